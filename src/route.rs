//! Which route does a request belong to? Host, path and method in; one [`Route`] or a reason out.
//!
//! The path is judged as it came and forwarded as it came: what two programs could read differently is
//! refused, never rewritten. No route means no forward. Pure; called by the gateway for each request.

pub mod admission;
mod limits;
mod upstream;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use core::net::IpAddr;
use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use crate::auth::claims::Pointer;
use crate::auth::handshake::{Answer, Handshake};
use crate::auth::request::{PublicUrl, UrlBase};
use crate::auth::{RequestView, Rules, Stop};
use crate::clock::UnixTime;
use admission::Admission;
pub use limits::{Limit, Rate, RouteLimits};
pub use upstream::{Address, Endpoint, Trust, Upstream};

/// One entry under `routes`.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name in gateway.yaml: metric label and log field.
    pub name: Arc<str>,
    /// Which requests.
    pub matches: Match,
    /// What is asked of them.
    pub rules: Rules,
    /// Where they go.
    pub upstream: Upstream,
    /// The largest request body, in bytes.
    pub max_body: u64,
    /// The sender's address must be in one of these nets (`limits.allow`); `None` takes every address.
    pub allow: Option<Vec<IpNet>>,
    /// How many requests it takes.
    pub limits: RouteLimits,
    /// What the app is told.
    pub forward: Forward,
    /// Another status for a code (`responses`).
    pub responses: BTreeMap<&'static str, StatusCode>,
    /// The address that senders know, where it is not https and the request's host.
    pub public_url: Option<PublicUrl>,
    /// Until when refusals are only told (`mode: observe`).
    pub observe_until: Option<UnixTime>,
    /// Questions of the provider, and their answers.
    pub handshakes: Vec<Handshake>,
    /// What is remembered of its requests.
    pub admission: Option<Admission>,
    /// Tokens that the shared state revokes do not pass.
    pub shared_revocation: bool,
    /// Where refused requests are kept.
    pub capture: Option<Capture>,
    /// How refusals are told.
    pub errors: ErrorForm,
}

/// How refusals are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorForm {
    /// Problem details (RFC 9457).
    #[default]
    Problem,
    /// As a receiver of security event tokens does (RFC 8935 §2.4).
    Secevent,
}

/// `capture` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// How many are kept; the oldest go.
    pub refused: usize,
    /// In this folder.
    pub dir: PathBuf,
}

/// Who asks a handshake's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Nobody knows.
    Anybody,
    /// Somebody who was let through.
    Granted,
}

impl Route {
    /// What senders know it by.
    pub fn url_base<'a>(&'a self, authority: &'a str) -> UrlBase<'a> {
        self.public_url.as_ref().map_or(UrlBase::Host(authority), UrlBase::Configured)
    }

    /// Whether a refusal is told and not carried out.
    pub fn observes(&self, now: UnixTime) -> bool {
        self.observe_until.is_some_and(|until| now < until)
    }

    /// What is refused is kept with its body.
    pub fn reads_body_first(&self) -> bool {
        self.capture.is_some()
    }

    /// The answer to a handshake that may be given to `asker`.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`].
    pub fn answer(&self, request: &RequestView<'_>, asker: Asker) -> Result<Option<Answer>, Stop> {
        let open = self.handshakes.iter().filter(|handshake| handshake.signed == (asker == Asker::Granted));
        for handshake in open {
            if let Some(answer) = handshake.answer(request)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

impl Route {
    /// Whether a request from this address may be looked at.
    pub fn admits(&self, peer: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|nets| within(nets, peer))
    }
}

/// Whether one of these nets holds an address. An IPv4 address is one, also where a socket for both families shows it
/// as `::ffff:192.0.2.7`.
pub fn within(nets: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    nets.iter().any(|net| net.contains(&address))
}

/// `match` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Lower case, without port; `None` takes every host.
    pub host: Option<String>,
    /// Which paths.
    pub path: PathMatch,
    /// `None` takes every method.
    pub methods: Option<Vec<Method>>,
}

/// How `path` is compared: decoded, and then byte by byte; case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path only.
    Exact(String),
    /// `/hooks/*`: what starts with `/hooks/`. The stored prefix ends in `/`.
    Prefix(String),
}

/// `forward` of a route.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// Take the credential out of the request (`credential: remove`).
    pub remove_credential: bool,
    /// Claim → header that carries it to the app.
    pub claims: Vec<(Pointer, HeaderName)>,
}

/// Why no route took the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// Nothing matches host and path.
    NoRoute,
    /// Host and path match, the method does not; the methods that would (for `Allow`).
    MethodNotAllowed(Vec<Method>),
}

/// Two routes that would take the same request; the names of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap(pub Arc<str>, pub Arc<str>);

/// Every route, ready for look-up.
#[derive(Debug, Default)]
pub struct RoutingTable {
    hosts: HashMap<String, Paths>,
    any: Paths,
}

/// The routes of one host: exact paths first, then the longest prefix.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<Arc<Route>>>,
    prefixes: Vec<(String, Vec<Arc<Route>>)>,
}

impl RoutingTable {
    /// # Errors
    /// Every pair of routes with the same host and path and a method in common.
    pub fn new(routes: Vec<Arc<Route>>) -> Result<Self, Vec<Overlap>> {
        let mut table = Self::default();
        let mut overlaps = Vec::new();
        for route in routes {
            let paths = match &route.matches.host {
                Some(host) => table.hosts.entry(host.clone()).or_default(),
                None => &mut table.any,
            };
            paths.add(route, &mut overlaps);
        }
        if overlaps.is_empty() { Ok(table) } else { Err(overlaps) }
    }

    /// Every route.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let paths = self.hosts.values().chain([&self.any]);
        paths.flat_map(|paths| {
            let prefixes = paths.prefixes.iter().flat_map(|(_, routes)| routes);
            paths.exact.values().flatten().chain(prefixes)
        })
    }

    /// The route for a request, by its path as [`judge_path`] decodes it. `host` is compared without case, without port and without a final dot.
    ///
    /// # Errors
    /// [`Unrouted`]. Where a path matches and its methods do not, no wider route takes over: the narrow
    /// one was written to guard that path.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Result<&Arc<Route>, Unrouted> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let candidates = self.hosts.get(&host).and_then(|paths| paths.find(path)).or_else(|| self.any.find(path));
        let candidates = candidates.ok_or(Unrouted::NoRoute)?;
        candidates.iter().find(|route| route.matches.takes(method)).ok_or_else(|| allowed(candidates))
    }
}

impl Paths {
    fn add(&mut self, route: Arc<Route>, overlaps: &mut Vec<Overlap>) {
        let same = match &route.matches.path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Prefix(prefix) => self.prefix(prefix),
        };
        let others = same.iter().filter(|other| other.matches.shares_method(&route.matches));
        overlaps.extend(others.map(|other| Overlap(other.name.clone(), route.name.clone())));
        same.push(route);
    }

    /// The routes of this prefix; longer prefixes stand first.
    fn prefix(&mut self, prefix: &str) -> &mut Vec<Arc<Route>> {
        let at = self.prefixes.partition_point(|(other, _)| (other.len(), other.as_str()) > (prefix.len(), prefix));
        if self.prefixes.get(at).is_none_or(|(other, _)| other != prefix) {
            self.prefixes.insert(at, (prefix.to_owned(), Vec::new()));
        }
        // `insert` above made sure that the entry is there.
        #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted just above")]
        &mut self.prefixes[at].1
    }

    fn find(&self, path: &str) -> Option<&[Arc<Route>]> {
        let exact = self.exact.get(path).map(Vec::as_slice);
        exact.or_else(|| {
            let (_, routes) = self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix))?;
            Some(routes.as_slice())
        })
    }
}

impl Match {
    /// Whether it takes requests of this method.
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    fn shares_method(&self, other: &Self) -> bool {
        match (&self.methods, &other.methods) {
            (Some(mine), Some(theirs)) => mine.iter().any(|method| theirs.contains(method)),
            (None, _) | (_, None) => true,
        }
    }
}

fn allowed(candidates: &[Arc<Route>]) -> Unrouted {
    let methods = candidates.iter().filter_map(|route| route.matches.methods.as_ref());
    Unrouted::MethodNotAllowed(methods.flatten().cloned().collect())
}

/// A path that the app could read differently from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousPath;

/// Refuses what proxies and apps are known to read differently: dot segments, empty segments, `\`, `;`,
/// raw non-ASCII or control bytes, and percent-encodings that are broken, doubled, not UTF-8, or stand for
/// one of those or for a delimiter (RFC 3986 §2.2, §3.3; Istio CVE-2021-31920, Oathkeeper CVE-2026-33494).
///
/// Gives the path decoded, as an app will read it: routes are found by that, or `/%61dmin` would walk around the
/// route that guards `/admin`.
///
/// # Errors
/// [`AmbiguousPath`].
pub fn judge_path(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    let inside = path.strip_prefix('/').ok_or(AmbiguousPath)?;
    let decoded = decode_strictly(inside)?;
    let segments = decoded.split('/');
    let last = segments.clone().count().saturating_sub(1);
    for (index, segment) in segments.enumerate() {
        // Only the last segment may be empty: `/hooks/` is a path, `/hooks//x` is a riddle.
        if segment == "." || segment == ".." || (segment.is_empty() && index != last) {
            return Err(AmbiguousPath);
        }
    }
    Ok(if decoded == inside { Cow::Borrowed(path) } else { Cow::Owned(format!("/{decoded}")) })
}

fn decode_strictly(path: &str) -> Result<String, AmbiguousPath> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => decoded.push(decode_escape(bytes.next(), bytes.next())?),
            b'\\' | b';' | b'#' | b'?' | 0x00..=0x20 | 0x7f..=0xff => return Err(AmbiguousPath),
            plain => decoded.push(plain),
        }
    }
    String::from_utf8(decoded).map_err(|_| AmbiguousPath)
}

/// An escape may stand for a letter or a blank, never for a byte that means something in a path.
fn decode_escape(high: Option<u8>, low: Option<u8>) -> Result<u8, AmbiguousPath> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let (high, low) = (digit(high).ok_or(AmbiguousPath)?, digit(low).ok_or(AmbiguousPath)?);
    match u8::try_from(high * 16 + low).map_err(|_| AmbiguousPath)? {
        b'/' | b'\\' | b'.' | b'%' | b';' | b'#' | b'?' | 0x00..=0x1f | 0x7f => Err(AmbiguousPath),
        byte => Ok(byte),
    }
}

#[cfg(test)]
mod tests;
