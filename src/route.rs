//! Routing: a [`Route`], with the requests that it matches, their rules, and what is done with them; its [`table`] selects
//! one by a request's host, path and method.
//!
//! The path is validated and forwarded as received, apart from the route's own prefixes: a path that two programs could
//! read differently is rejected, never rewritten. A request without a route is not forwarded. Pure; the gateway calls it
//! for each request.

mod cors;
pub mod duplicates;
pub mod filter;
mod forward;
mod limits;
mod path;
mod path_match;
mod path_rewrite;
mod summary;
pub mod table;
mod template;
mod upstream;
pub mod variants;
mod websocket;

use std::collections::BTreeMap;
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
pub use cors::CorsRule;
use duplicates::DuplicateRules;
use filter::FilterRule;
pub use forward::{Forward, HeaderPattern, NEEDED_BY_HTTP, normal_form};
pub use limits::{Limit, REDUCED_MAX_BODY, Rate, RouteLimits};
pub use path::{AmbiguousPath, validate_path, validate_slashes};
pub use path_match::PathMatch;
pub use path_rewrite::{PathPrefix, PathRewrite};
pub use template::{PathTemplate, TENANT};
pub use upstream::{Endpoint, EndpointAddress, HostHeader, Protocol, Reuse, Trust, Upstream, UpstreamTimeouts};
pub use websocket::{WebOrigin, WebSocketRule};

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
    /// The rules for WebSocket connections; `None` if they are rejected.
    pub websocket: Option<WebSocketRule>,
    /// Which web pages may read responses; `None` leaves CORS to the upstream.
    pub cors: Option<CorsRule>,
    /// HTTP statuses that override the default of a reason (`status_overrides`).
    pub status_overrides: BTreeMap<Reason, StatusCode>,
    /// The URL that senders use, if it is not `https` and the request's host.
    pub public_url: Option<PublicUrl>,
    /// The end of the dry run, during which rejections are only logged and counted (`mode: dry_run`).
    pub dry_run_until: Option<UnixTime>,
    /// The provider's endpoint verification challenges, with their responses.
    pub challenges: Vec<ChallengeRule>,
    /// The rules by which verified events are acknowledged and not forwarded.
    pub filter: Vec<FilterRule>,
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
    /// The maximum number of captured requests (`max_requests`).
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
    /// Whether a path may contain `%2F` (`allow_encoded_slashes`).
    pub encoded_slashes: bool,
}

impl Match {
    /// The name of the tenant in a path that matches, if the route's path has `{tenant}`.
    pub fn tenant<'p>(&self, path: &'p str) -> Option<&'p str> {
        match &self.path {
            PathMatch::Template(template) => template.tenant(path),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => None,
        }
    }

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

#[cfg(test)]
mod tests;
