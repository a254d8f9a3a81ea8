//! Every failure of a request, with its reason and its status: the only file that names status codes. Pure;
//! `config` checks `status_overrides` against it, the proxy builds its responses from it.

mod kinds;

use http::StatusCode;

use crate::auth::{Reason, Rejection};
use crate::route::Unrouted;
pub use kinds::{BodyFault, Duplicate, Exhausted, Limited, StoreFault, UpstreamFault};

/// Why a request was not forwarded, or why forwarding it failed. Includes the cases in which the gateway cannot
/// decide and the sender must retry.
#[derive(Clone, Debug)]
pub enum Failure {
    /// A violation of HTTP that no other reason names: two or contradicting hosts, CONNECT or TRACE, whitespace around
    /// a value in HTTP/2, contradicting headers of a trusted proxy, a required idempotency key that is absent.
    BadRequest,
    /// No `Host` header, and no `:authority` in HTTP/2 (RFC 9112 §3.2).
    MissingHost,
    /// The client requests another protocol (`Upgrade`, RFC 9110 §7.8).
    UpgradeNotSupported,
    /// [`crate::route::AmbiguousPath`].
    AmbiguousPath,
    /// Two parsers could read different requests from the same bytes (RFC 9112 §11.2).
    AmbiguousFraming,
    /// No route matches the host and path, or none allows the method.
    Unrouted(Unrouted),
    /// The client's address is not in any of the CIDR ranges that the route allows.
    IpNotAllowed,
    /// The request target exceeds [`crate::proxy::head::MAX_URI`].
    UriTooLong,
    /// The headers exceed the listener's size or number.
    HeadersTooLarge,
    /// The route uses client certificates, and that of the connection was presented to another host (RFC 9110
    /// §15.5.20).
    Misdirected,
    /// The decision rejected the request.
    Rejected(Rejection),
    /// The request body exceeded a limit or ended prematurely.
    Body(BodyFault),
    /// The request is a duplicate.
    Duplicate(Duplicate),
    /// The store could not say whether the request is a duplicate, or over a shared limit.
    Undecided(StoreFault),
    /// The memory for buffered bodies is used up.
    BufferFull(Exhausted),
    /// Too many requests wait for their bodies.
    TooManyWaitingRequests(Exhausted),
    /// A rate is exceeded: a route's limit, or that of endpoint verification challenges.
    RateLimited(Limited),
    /// A concurrency limit is exceeded.
    ConcurrencyLimited(Limited),
    /// The upstream gave no response.
    Upstream(UpstreamFault),
}

impl Failure {
    /// The reason: log field, metric label and, if it may be disclosed, `reason` of the response.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MissingHost => "missing_host",
            Self::UpgradeNotSupported => "upgrade_not_supported",
            Self::AmbiguousPath => "ambiguous_path",
            Self::AmbiguousFraming | Self::Body(BodyFault::Ambiguous) => "ambiguous_framing",
            Self::Unrouted(Unrouted::NoRoute) => "no_route",
            Self::Unrouted(Unrouted::MethodNotAllowed(_)) => "method_not_allowed",
            Self::Misdirected => "misdirected_request",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::UriTooLong => "uri_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Rejected(rejection) => rejection.reason.reason(),
            Self::Body(BodyFault::TooLarge) => "body_too_large",
            Self::Body(BodyFault::Slow) => "request_timeout",
            Self::Body(BodyFault::ClientDisconnected) => "client_disconnected",
            Self::Duplicate(Duplicate::Request) => "duplicate_request",
            Self::Duplicate(Duplicate::ReplayIdReused) => "replay_id_reused",
            Self::Duplicate(Duplicate::InFlight) => "duplicate_in_flight",
            Self::Duplicate(Duplicate::IdempotencyKeyReused) => "idempotency_key_reused",
            Self::Undecided(StoreFault::Unavailable) => "store_unavailable",
            Self::Undecided(StoreFault::Full) => "store_full",
            Self::BufferFull(_) => "buffer_full",
            Self::TooManyWaitingRequests(_) => "too_many_waiting_requests",
            Self::RateLimited(_) => "rate_limited",
            Self::ConcurrencyLimited(_) => "concurrency_limited",
            Self::Upstream(UpstreamFault::Unreachable) => "upstream_unreachable",
            Self::Upstream(UpstreamFault::ProtocolError) => "upstream_protocol_error",
            Self::Upstream(UpstreamFault::Timeout) => "upstream_timeout",
        }
    }

    /// Every reason that a response may carry, with its status, for the configuration (`status_overrides`) and for
    /// documents.
    pub fn reasons() -> impl Iterator<Item = (&'static str, StatusCode)> {
        let rejections = Reason::ALL.iter().map(|reason| (reason.reason(), rejection_status(*reason)));
        let others = [
            Self::BadRequest,
            Self::MissingHost,
            Self::UpgradeNotSupported,
            Self::AmbiguousPath,
            Self::AmbiguousFraming,
            Self::Unrouted(Unrouted::NoRoute),
            Self::Unrouted(Unrouted::MethodNotAllowed(Vec::new())),
            Self::IpNotAllowed,
            Self::UriTooLong,
            Self::HeadersTooLarge,
            Self::Misdirected,
            Self::Body(BodyFault::TooLarge),
            Self::Body(BodyFault::Slow),
            Self::Body(BodyFault::ClientDisconnected),
            Self::Duplicate(Duplicate::Request),
            Self::Duplicate(Duplicate::ReplayIdReused),
            Self::Duplicate(Duplicate::InFlight),
            Self::Duplicate(Duplicate::IdempotencyKeyReused),
            Self::Undecided(StoreFault::Unavailable),
            Self::Undecided(StoreFault::Full),
            Self::BufferFull(Exhausted::Total),
            Self::TooManyWaitingRequests(Exhausted::Total),
            Self::RateLimited(Limited::default()),
            Self::ConcurrencyLimited(Limited::default()),
            Self::Upstream(UpstreamFault::Unreachable),
            Self::Upstream(UpstreamFault::ProtocolError),
            Self::Upstream(UpstreamFault::Timeout),
        ];
        rejections.chain(others.map(|failure| (failure.reason(), failure.status())))
    }

    /// Whether the response is sent before a route is known, or to no client: a route's `status_overrides` cannot
    /// change its status.
    pub const fn has_no_route(reason: &str) -> bool {
        matches!(
            reason.as_bytes(),
            b"bad_request"
                | b"missing_host"
                | b"upgrade_not_supported"
                | b"ambiguous_path"
                | b"ambiguous_framing"
                | b"no_route"
                | b"method_not_allowed"
                | b"uri_too_long"
                | b"headers_too_large"
                | b"client_disconnected"
        )
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
        match self {
            Self::Rejected(Rejection { reason: Reason::MalformedBody, proven: false, .. }) => StatusCode::UNAUTHORIZED,
            failure => failure.status(),
        }
    }

    /// The gateway could not decide: the sender is asked to retry.
    pub const fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::Rejected(Rejection { reason: Reason::JwksUnavailable | Reason::RevocationUnknown, .. })
                | Self::BufferFull(_)
                | Self::TooManyWaitingRequests(_)
                | Self::Undecided(_)
        )
    }

    /// The response has a `Retry-After` header; limits state their own time.
    pub const fn may_be_retried(&self) -> bool {
        self.is_undecided() || matches!(self, Self::Duplicate(Duplicate::InFlight))
    }

    /// The limit that the request exceeds, if that is the reason.
    pub const fn limited(&self) -> Option<&Limited> {
        if let Self::RateLimited(limited) | Self::ConcurrencyLimited(limited) = self { Some(limited) } else { None }
    }

    /// The log's field `detail`, where the reason has one.
    pub const fn detail(&self) -> Option<&'static str> {
        match self {
            Self::BufferFull(exhausted) | Self::TooManyWaitingRequests(exhausted) => Some(exhausted.label()),
            _ => None,
        }
    }

    /// Whether the gateway rejected the request, as opposed to a failure while it was processed.
    pub const fn is_rejection(&self) -> bool {
        let broke = matches!(self, Self::Upstream(_) | Self::Body(BodyFault::ClientDisconnected | BodyFault::Slow));
        !broke && !self.is_undecided()
    }

    /// Status and `err` for a transmitter of security event tokens (RFC 8935 §2.3, §2.4); `None` if that protocol
    /// has no error for it, and the response is the usual one.
    pub const fn secevent(&self) -> Option<(StatusCode, &'static str)> {
        let error = match self {
            Self::Rejected(rejection) => secevent_error(rejection.reason),
            Self::IpNotAllowed => Some("access_denied"),
            Self::BadRequest
            | Self::MissingHost
            | Self::UpgradeNotSupported
            | Self::AmbiguousPath
            | Self::AmbiguousFraming
            | Self::Unrouted(_)
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Misdirected
            | Self::Body(_)
            | Self::Duplicate(_)
            | Self::Undecided(_)
            | Self::BufferFull(_)
            | Self::TooManyWaitingRequests(_)
            | Self::RateLimited(_)
            | Self::ConcurrencyLimited(_)
            | Self::Upstream(_) => None,
        };
        match error {
            Some(error) => Some((StatusCode::BAD_REQUEST, error)),
            None => None,
        }
    }

    /// The HTTP status of the response.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::MissingHost
            | Self::UpgradeNotSupported
            | Self::AmbiguousPath
            | Self::AmbiguousFraming
            | Self::Body(BodyFault::ClientDisconnected | BodyFault::Ambiguous) => StatusCode::BAD_REQUEST,
            Self::Unrouted(Unrouted::NoRoute) => StatusCode::NOT_FOUND,
            Self::Unrouted(Unrouted::MethodNotAllowed(_)) => StatusCode::METHOD_NOT_ALLOWED,
            Self::IpNotAllowed => StatusCode::FORBIDDEN,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Rejected(rejection) => rejection_status(rejection.reason),
            Self::Duplicate(Duplicate::IdempotencyKeyReused) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Duplicate(Duplicate::Request | Duplicate::ReplayIdReused | Duplicate::InFlight) => {
                StatusCode::CONFLICT
            }
            Self::Undecided(_) | Self::BufferFull(_) | Self::TooManyWaitingRequests(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::RateLimited(_) | Self::ConcurrencyLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Body(BodyFault::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyFault::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Upstream(UpstreamFault::Unreachable | UpstreamFault::ProtocolError) => StatusCode::BAD_GATEWAY,
            Self::Upstream(UpstreamFault::Timeout) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

const fn rejection_status(reason: Reason) -> StatusCode {
    match reason {
        Reason::MalformedCredential | Reason::MalformedBody => StatusCode::BAD_REQUEST,
        Reason::TokenTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Reason::ClaimMismatch { .. } | Reason::CertificateNotAllowed => StatusCode::FORBIDDEN,
        Reason::JwksUnavailable | Reason::RevocationUnknown => StatusCode::SERVICE_UNAVAILABLE,
        Reason::MissingCredential
        | Reason::MultipleCredentials
        | Reason::MalformedToken
        | Reason::UnsupportedAlgorithm
        | Reason::UnknownKey
        | Reason::InvalidSignature
        | Reason::RequirementNotMet
        | Reason::MissingSignedComponent
        | Reason::InvalidStaticToken
        | Reason::MissingClaim
        | Reason::InvalidIssuer
        | Reason::InvalidAudience
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::TokenLifetimeTooLong
        | Reason::TokenTooOld
        | Reason::TokenIssuedInFuture
        | Reason::MissingTimestamp
        | Reason::MalformedTimestamp
        | Reason::TimestampTooOld
        | Reason::TimestampInFuture
        | Reason::BodyMismatch
        | Reason::UrlMismatch
        | Reason::MethodMismatch
        | Reason::CertificateMismatch
        | Reason::Revoked => StatusCode::UNAUTHORIZED,
    }
}

/// The error of RFC 8935 §2.4. A token that breaks its own rules, times included, is an invalid request.
const fn secevent_error(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::MissingCredential
        | Reason::MultipleCredentials
        | Reason::MalformedCredential
        | Reason::TokenTooLarge
        | Reason::MalformedToken
        | Reason::MalformedBody
        | Reason::MissingClaim
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::TokenLifetimeTooLong
        | Reason::TokenTooOld
        | Reason::TokenIssuedInFuture
        | Reason::MissingTimestamp
        | Reason::MalformedTimestamp
        | Reason::TimestampTooOld
        | Reason::TimestampInFuture
        | Reason::BodyMismatch
        | Reason::UrlMismatch
        | Reason::MethodMismatch => "invalid_request",
        Reason::UnsupportedAlgorithm | Reason::UnknownKey => "invalid_key",
        Reason::InvalidSignature
        | Reason::RequirementNotMet
        | Reason::MissingSignedComponent
        | Reason::InvalidStaticToken
        | Reason::CertificateMismatch => "authentication_failed",
        Reason::InvalidIssuer => "invalid_issuer",
        Reason::InvalidAudience => "invalid_audience",
        Reason::CertificateNotAllowed | Reason::Revoked | Reason::ClaimMismatch { .. } => "access_denied",
        // The gateway cannot verify the token: the transmitter must retry.
        Reason::JwksUnavailable | Reason::RevocationUnknown => return None,
    })
}

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

/// Status and reason if the request headers did not arrive in time (RFC 9110 §15.5.9).
pub const HEAD_TIMED_OUT: (StatusCode, &str) = (StatusCode::REQUEST_TIMEOUT, "request_timeout");

/// Status and reason for plain HTTP on a TLS port.
pub const TLS_REQUIRED: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "tls_required");

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
}

impl AdminStatus {
    /// The HTTP status.
    pub const fn code(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

#[cfg(test)]
mod tests;
