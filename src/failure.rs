//! The failures of a request. The table in `reason` declares their statuses and their errors of RFC 8935; only this
//! file reads these columns. Pure; `config` checks `status_overrides` against it, the proxy builds its responses from
//! it.

mod kinds;

use std::borrow::Cow;

use http::StatusCode;

use crate::auth::Rejection;
use crate::reason::{Ending, Reason};
use crate::route::table::Unrouted;
pub use kinds::{BodyFault, Exhausted, Limited, UpstreamFault};

/// Why a request was not forwarded, or why forwarding it failed: a reason, and the facts that its response or the log
/// states. Includes the cases in which the gateway cannot decide and the sender must retry.
#[derive(Clone, Debug)]
pub enum Failure {
    /// A reason that needs no facts.
    Plain(Reason),
    /// A reason with several causes, and the one of this request, for the log.
    Detailed(Reason, Cow<'static, str>),
    /// No route matches the host and path, none allows the method, or the path could be read as that of another route.
    Unrouted(Unrouted),
    /// The decision rejected the request.
    Rejected(Rejection),
    /// The memory for buffered bodies is used up.
    BufferFull(Exhausted),
    /// Too many requests wait for their bodies.
    TooManyWaitingRequests(Exhausted),
    /// A rate is exceeded: a route's limit, or that of endpoint verification challenges.
    RateLimited(Limited),
    /// A concurrency limit is exceeded.
    ConcurrencyLimited(Limited),
    /// The upstream has sent no valid response.
    Upstream(UpstreamFault),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Plain(reason)
    }
}

impl From<UpstreamFault> for Failure {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream(fault)
    }
}

impl From<BodyFault> for Failure {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge => Self::Plain(fault.reason()),
            BodyFault::Slow | BodyFault::ClientDisconnected | BodyFault::Ambiguous => {
                Self::Detailed(fault.reason(), fault.to_string().into())
            }
        }
    }
}

impl Failure {
    /// A reason with the cause of this request.
    pub fn detailed(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Detailed(reason, detail.into())
    }

    /// The reason: log field, metric label and, if it may be disclosed, `reason` of the response.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Plain(reason) | Self::Detailed(reason, _) | Self::Rejected(Rejection { reason, .. }) => *reason,
            Self::Unrouted(Unrouted::NoRoute) => Reason::NoRoute,
            Self::Unrouted(Unrouted::MethodNotAllowed(_)) => Reason::MethodNotAllowed,
            Self::Unrouted(Unrouted::Ambiguous) => Reason::AmbiguousPath,
            Self::BufferFull(_) => Reason::BufferFull,
            Self::TooManyWaitingRequests(_) => Reason::TooManyWaitingRequests,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::ConcurrencyLimited(_) => Reason::ConcurrencyLimited,
            Self::Upstream(fault) => fault.reason,
        }
    }

    /// The HTTP status of the response.
    pub const fn status(&self) -> StatusCode {
        status(self.reason())
    }

    /// The reason that an unauthenticated client is given where the real one is withheld.
    pub const fn withheld_as(&self) -> Option<&'static str> {
        match self.withheld_status() {
            StatusCode::UNAUTHORIZED => Some("unauthorized"),
            StatusCode::FORBIDDEN => Some("forbidden"),
            _ => None,
        }
    }

    /// The status that goes with [`Self::withheld_as`]. Before authentication a body that cannot be read gets that of a
    /// wrong credential: if several schemes are required, a 400 would confirm the credential of the first.
    pub const fn withheld_status(&self) -> StatusCode {
        if let Self::Rejected(Rejection { reason: Reason::MalformedBody, proven: false, .. }) = self {
            return StatusCode::UNAUTHORIZED;
        }
        self.status()
    }

    /// The response has a `Retry-After` header; limits state their own time.
    pub const fn has_retry_after(&self) -> bool {
        let reason = self.reason();
        matches!(reason.row().ending, Ending::Undecided)
            || matches!(
                reason,
                Reason::DuplicateInFlight | Reason::JwksCooldown | Reason::SigningCertificateUnavailable
            )
    }

    /// The limit that the request exceeds, if that is the reason.
    pub const fn limited(&self) -> Option<&Limited> {
        if let Self::RateLimited(limited) | Self::ConcurrencyLimited(limited) = self { Some(limited) } else { None }
    }

    /// The log's field `detail`, where the reason has one.
    pub fn detail(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::BufferFull(exhausted) | Self::TooManyWaitingRequests(exhausted) => Some(exhausted.label().into()),
            Self::RateLimited(limited) | Self::ConcurrencyLimited(limited) => Some(limited.limit.into()),
            Self::Upstream(fault) => Some(fault.cause.clone().into_string().into()),
            Self::Rejected(rejection) => rejection.detail.clone(),
            Self::Detailed(_, detail) => Some(detail.clone()),
            Self::Unrouted(Unrouted::Ambiguous) => {
                Some("another spelling of the path of a stricter route with the same upstream".into())
            }
            Self::Unrouted(Unrouted::MethodNotAllowed(methods)) => {
                let methods: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
                Some(format!("the routes of this path have {}", methods.join(", ")).into())
            }
            Self::Plain(_) | Self::Unrouted(Unrouted::NoRoute) => None,
        }
    }

    /// Status and `err` for a transmitter of security event tokens (RFC 8935 §2.3, §2.4); `None` if that protocol
    /// has no error for it, and the response is the usual one.
    pub const fn secevent(&self) -> Option<(StatusCode, &'static str)> {
        match secevent_error(self.reason()) {
            Some(error) => Some((StatusCode::BAD_REQUEST, error)),
            None => None,
        }
    }
}

/// The HTTP status of a response with this reason.
pub const fn status(reason: Reason) -> StatusCode {
    reason.row().status
}

/// The error of RFC 8935 §2.4 for this reason. None if the gateway cannot decide: the transmitter must retry.
pub const fn secevent_error(reason: Reason) -> Option<&'static str> {
    reason.row().secevent
}

/// Whether the gateway rejected the request, as opposed to a failure while it was processed.
pub const fn is_rejection(reason: Reason) -> bool {
    matches!(reason.row().ending, Ending::Rejected)
}

/// Whether the response is sent before a route is known, or to no client: a route's `status_overrides` cannot change
/// its status.
pub const fn is_before_route(reason: Reason) -> bool {
    reason.row().before_route
}

/// The status of the response to a CORS preflight; any success is one (Fetch standard §4.8).
pub const PREFLIGHT: StatusCode = StatusCode::NO_CONTENT;

/// The status for a duplicate of a processed event, if that is not an error. A transmitter of security event tokens
/// knows only one status of success (RFC 8935 §2.2).
pub const fn acknowledged(secevent: bool) -> StatusCode {
    if secevent { StatusCode::ACCEPTED } else { StatusCode::OK }
}

/// A status after which a sender retries; `status_overrides` may not turn it into a success.
pub fn is_retried(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
}

/// A response with this status may have a `WWW-Authenticate` challenge (RFC 9110 §11.6.1, RFC 6750 §3).
pub fn may_challenge(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Whether a response with this status says that a credential is missing or invalid (RFC 9110 §15.5.2).
pub fn is_unauthorized(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}

/// The responses of the admin listener; their statuses are defined here like all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminStatus {
    /// The requested page, or a check that passes.
    Ok,
    /// The gateway drains, or the first fetch of the keys has not ended.
    NotReady,
    /// No such endpoint.
    NotFound,
    /// A method other than GET and HEAD.
    MethodNotAllowed,
    /// A host that is not the listener's (RFC 9110 §15.5.20).
    MisdirectedRequest,
}

impl AdminStatus {
    /// The HTTP status.
    pub const fn code(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MisdirectedRequest => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests;
