//! Routing: selects one [`Route`] by a request's host, path and method, or reports why none matches.
//!
//! The path is validated and forwarded as received: a path that two programs could read differently is rejected, never
//! rewritten. A request without a route is not forwarded. Pure; the gateway calls it for each request.

pub mod duplicates;
mod forward;
mod limits;
mod path;
mod upstream;
mod variants;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use core::net::IpAddr;
use http::{Method, StatusCode};
use ipnet::IpNet;

use crate::auth::challenge::{ChallengeResponse, ChallengeRule};
use crate::auth::request::{PublicUrl, UrlBase};
use crate::auth::{RequestView, Rules, VerifyError};
use crate::clock::UnixTime;
use crate::reason::Reason;
use duplicates::DuplicateRules;
pub use forward::{Forward, HeaderPattern, NEEDED_BY_HTTP, normal_form};
pub use limits::{Limit, Rate, RouteLimits};
pub use path::{AmbiguousPath, validate_path};
pub use upstream::{Endpoint, EndpointAddress, Trust, Upstream};
use variants::Variants;
pub use variants::{Bypass, bypasses};

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

/// Why no route matches a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// No route matches the host and path.
    NoRoute,
    /// A route matches the host and path, but not the method; lists the allowed methods (for the header `Allow`).
    MethodNotAllowed(Vec<Method>),
    /// A route matches, but an upstream could read the path as that of a route with stricter rules.
    Ambiguous,
}

/// The names of two routes that match the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap(pub Arc<str>, pub Arc<str>);

/// All routes, indexed for lookup.
#[derive(Debug, Default)]
pub struct RoutingTable {
    index: HostIndex,
    /// `None` where no route could be bypassed by another one.
    variants: Option<Box<Variants>>,
}

/// Routes by host and path.
#[derive(Debug, Default)]
struct HostIndex {
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
        let variants = Variants::new(&routes).map(Box::new);
        let mut index = HostIndex::default();
        let mut overlaps = Vec::new();
        for route in routes {
            let same = index.paths(&route).at(&route.matches.path);
            let others = same.iter().filter(|other| other.matches.shares_method(&route.matches));
            overlaps.extend(others.map(|other| Overlap(other.name.clone(), route.name.clone())));
            same.push(route);
        }
        if overlaps.is_empty() { Ok(Self { index, variants }) } else { Err(overlaps) }
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let paths = self.index.hosts.values().chain([&self.index.any]);
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
    /// protect that path. A route also protects the variants of its paths (see [`Variants`]).
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Result<&Arc<Route>, Unrouted> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let candidates = self.index.find(&host, path, path).ok_or(Unrouted::NoRoute)?;
        let found = candidates.iter().find(|route| route.matches.takes(method)).ok_or_else(|| allowed(candidates))?;
        let is_bypass = self.variants.as_ref().is_some_and(|variants| variants.is_bypass(found, &host, path, method));
        if is_bypass { Err(Unrouted::Ambiguous) } else { Ok(found) }
    }
}

impl HostIndex {
    /// The routes with the same host as this one.
    fn paths(&mut self, route: &Route) -> &mut Paths {
        match &route.matches.host {
            Some(host) => self.hosts.entry(host.clone()).or_default(),
            None => &mut self.any,
        }
    }

    /// The routes of the most specific match: `exact` is compared with exact paths, `text` with prefixes.
    fn find(&self, host: &str, exact: &str, text: &str) -> Option<&[Arc<Route>]> {
        self.hosts.get(host).and_then(|paths| paths.find(exact, text)).or_else(|| self.any.find(exact, text))
    }
}

impl Paths {
    /// The routes at this path.
    fn at(&mut self, path: &PathMatch) -> &mut Vec<Arc<Route>> {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Prefix(prefix) => self.prefix(prefix),
        }
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

    fn find(&self, exact: &str, text: &str) -> Option<&[Arc<Route>]> {
        let exact = self.exact.get(exact).map(Vec::as_slice);
        exact.or_else(|| {
            let (_, routes) = self.prefixes.iter().find(|(prefix, _)| text.starts_with(prefix))?;
            Some(routes.as_slice())
        })
    }
}

impl Match {
    /// Whether it matches requests with this method.
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
    }

    /// Whether it matches a method that the other one matches too.
    pub fn shares_method(&self, other: &Self) -> bool {
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

#[cfg(test)]
mod tests;
