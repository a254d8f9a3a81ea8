//! Routing: selects one [`Route`] by a request's host, path and method, or reports why none matches.
//!
//! The path is validated and forwarded as received: a path that two programs could read differently is rejected, never
//! rewritten. A request without a route is not forwarded. Pure; the gateway calls it for each request.

pub mod duplicates;
mod limits;
mod upstream;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use core::net::IpAddr;
use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;

use crate::auth::challenge::{ChallengeResponse, ChallengeRule};
use crate::auth::claims::Pointer;
use crate::auth::request::{PublicUrl, UrlBase};
use crate::auth::{RequestView, Rules, VerifyError};
use crate::clock::UnixTime;
use crate::reason::Reason;
use duplicates::DuplicateRules;
pub use limits::{Limit, REDUCED_MAX_BODY, Rate, RouteLimits};
pub use upstream::{Endpoint, EndpointAddress, Reuse, Trust, Upstream};

/// One entry under `routes`.
#[derive(Clone, Debug)]
pub struct Route {
    /// The name in gateway.yaml: metric label and log field.
    pub name: Arc<str>,
    /// The requests that the route matches.
    pub matches: Match,
    /// The authentication rules for its requests.
    pub rules: Rules,
    /// The upstream that its requests are forwarded to.
    pub upstream: Upstream,
    /// The maximum size of a request body, in bytes (`max_body_size`).
    pub max_body: u64,
    /// The CIDR ranges that the client's address must be in (`allowed_ips`); `None` allows every address.
    pub allowed_ips: Option<Vec<IpNet>>,
    /// The rate and concurrency limits.
    pub limits: RouteLimits,
    /// The changes to the forwarded request.
    pub forward: Forward,
    /// HTTP statuses that override the default of a reason (`status_overrides`).
    pub status_overrides: BTreeMap<Reason, StatusCode>,
    /// The URL that senders use, if it is not `https` and the request's host.
    pub public_url: Option<PublicUrl>,
    /// The end of the dry run, during which rejections are only logged and counted (`mode: dry_run`).
    pub dry_run_until: Option<UnixTime>,
    /// The provider's endpoint verification challenges, with their responses.
    pub challenges: Vec<ChallengeRule>,
    /// Replay protection and idempotency, if configured.
    pub duplicates: Option<DuplicateRules>,
    /// Whether tokens that are revoked in the shared store are rejected.
    pub shared_revocation: bool,
    /// Where rejected requests are captured.
    pub capture: Option<Capture>,
    /// The format of rejection responses.
    pub errors: ErrorForm,
}

/// The format of rejection responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorForm {
    /// Problem details (RFC 9457).
    #[default]
    Problem,
    /// The errors of a receiver of security event tokens (RFC 8935 §2.4).
    Secevent,
}

/// `capture` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The maximum number of captured requests (`max_requests`); the oldest are deleted.
    pub max_requests: usize,
    /// The directory for them.
    pub dir: PathBuf,
}

/// Whether a request that may be an endpoint verification challenge has been authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeStage {
    /// The request has not been authenticated.
    Unauthenticated,
    /// The request has been authenticated.
    Authenticated,
}

impl Route {
    /// The base of the URL that senders use for this route.
    pub fn url_base<'a>(&'a self, authority: &'a str) -> UrlBase<'a> {
        self.public_url.as_ref().map_or(UrlBase::Host(authority), UrlBase::Configured)
    }

    /// Whether the route is in dry-run mode: a rejection is logged and counted, but not enforced.
    pub fn observes(&self, now: UnixTime) -> bool {
        self.dry_run_until.is_some_and(|until| now < until)
    }

    /// Whether the body is read before the decision, so that a rejected request is captured with its body.
    pub fn reads_body_first(&self) -> bool {
        self.capture.is_some()
    }

    /// The response to an endpoint verification challenge, if the request is one that may be answered at this stage.
    ///
    /// # Errors
    /// [`VerifyError`], as from [`ChallengeRule::answer`].
    pub fn challenge_response(
        &self,
        request: &RequestView<'_>,
        stage: ChallengeStage,
    ) -> Result<Option<ChallengeResponse>, VerifyError> {
        let open =
            self.challenges.iter().filter(|challenge| challenge.signed == (stage == ChallengeStage::Authenticated));
        for challenge in open {
            if let Some(answer) = challenge.answer(request)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

impl Route {
    /// Whether the route accepts requests from this address (`allowed_ips`).
    pub fn admits(&self, peer: IpAddr) -> bool {
        self.allowed_ips.as_ref().is_none_or(|nets| within(nets, peer))
    }
}

/// Whether one of these CIDR ranges contains an address. An IPv4-mapped address from a dual-stack socket
/// (`::ffff:192.0.2.7`) counts as IPv4.
pub fn within(nets: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    nets.iter().any(|net| net.contains(&address))
}

/// `match` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The host in lower case, without port; `None` matches every host.
    pub host: Option<String>,
    /// The paths that match.
    pub path: PathMatch,
    /// The methods that match; `None` matches every method.
    pub methods: Option<Vec<Method>>,
}

/// How `path` is matched: percent-decoded, then byte by byte, case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// `/hooks/*`: every path that starts with `/hooks/`. The stored prefix ends in `/`.
    Prefix(String),
}

/// `forward` of a route.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// Whether the credential is removed from the request (`credential: remove`).
    pub remove_credential: bool,
    /// Claims that are forwarded, each with the header that carries it to the upstream (`claims_to_headers`).
    pub claims: Vec<(Pointer, HeaderName)>,
}

/// Why no route matches a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// No route matches the host and path.
    NoRoute,
    /// A route matches the host and path, but not the method; lists the allowed methods (for the header `Allow`).
    MethodNotAllowed(Vec<Method>),
}

/// The names of two routes that match the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap(pub Arc<str>, pub Arc<str>);

/// All routes, indexed for lookup.
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
    /// Builds the table.
    ///
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

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let paths = self.hosts.values().chain([&self.any]);
        paths.flat_map(|paths| {
            let prefixes = paths.prefixes.iter().flat_map(|(_, routes)| routes);
            paths.exact.values().flatten().chain(prefixes)
        })
    }

    /// The route for a request, by its path as [`validate_path`] decodes it. `host` has no port; it is compared
    /// case-insensitively and without a final dot.
    ///
    /// # Errors
    /// [`Unrouted`]. If a path matches and its methods do not, no wider route is tried: the narrow one was written to
    /// protect that path.
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

    /// The routes of this prefix; longer prefixes come first.
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
    /// Whether it matches requests with this method.
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

/// The upstream could read the path differently from hookgate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousPath;

/// Rejects paths that proxies and upstreams are known to read differently: those with dot segments, empty segments,
/// `\`, `;`, raw non-ASCII or control bytes, or percent-encodings that are broken, doubled, not UTF-8, or stand for one
/// of those or for a delimiter (RFC 3986 §2.2, §3.3; Istio CVE-2021-31920, Oathkeeper CVE-2026-33494).
///
/// Returns the path decoded, as an upstream reads it. Routes are matched by that form: otherwise `/%61dmin` would
/// bypass the route that protects `/admin`.
///
/// # Errors
/// [`AmbiguousPath`].
pub fn validate_path(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    let inside = path.strip_prefix('/').ok_or(AmbiguousPath)?;
    let decoded = decode_strictly(inside)?;
    let segments = decoded.split('/');
    let last = segments.clone().count().saturating_sub(1);
    for (index, segment) in segments.enumerate() {
        // Only the last segment may be empty: `/hooks/` is a valid path, `/hooks//x` is ambiguous.
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

/// Decodes a percent-encoding, which may stand for a letter or a space, but not for a byte with a meaning in paths.
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
