//! Everything that a request can fail by, each with its word and its status: the only file that names status
//! codes. Pure; `config` checks `responses` against it, the proxy answers by it.

use http::StatusCode;

use crate::auth::{Refusal, Refused};
use crate::route::Unrouted;

/// Why a request was not forwarded, or its forwarding failed. Undecided is a failure too: the sender must try again.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Against HTTP itself: no or two hosts, an upgrade, an unknown target form.
    BadRequest,
    /// [`crate::route::AmbiguousPath`].
    AmbiguousPath,
    /// Two programs could see other requests in these bytes (RFC 9112 §11.2).
    AmbiguousFraming,
    /// No route or no method.
    Unrouted(Unrouted),
    /// The peer's address is in none of the route's nets.
    IpNotAllowed,
    /// The target exceeds the longest that we read.
    UriTooLong,
    /// More or longer header fields than the listener takes.
    HeadersTooLarge,
    /// The route looks at client certificates, and the connection's was shown to another host (RFC 9110 §15.5.20).
    Misdirected,
    /// The decision.
    Refused(Refused),
    /// The request's body broke a limit or off.
    Body(BodyFault),
    /// It has been here before.
    Duplicate(Duplicate),
    /// The store of ids could not say whether it has.
    Undecided(StoreFault),
    /// Too many bodies wait to be judged.
    BufferFull,
    /// Too often: a route's limit, or that of handshakes.
    RateLimited(Limited),
    /// Too many at once.
    ConcurrencyLimited(Limited),
    /// The app did not answer.
    Upstream(UpstreamFault),
}

/// The limit that a request exceeds, as its sender is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// Its name: `route`, `issuer`, `subject`, `address` or `handshakes`.
    pub limit: &'static str,
    /// Requests that it lets through at once.
    pub quota: u32,
    /// Seconds in which those are whole again; `None` where they are counted while they last.
    pub window: Option<u64>,
    /// Seconds until the next request may pass.
    pub retry_after: u64,
}

impl Limited {
    /// So many at once. Nobody knows when one of them will be over.
    pub const fn at_once(limit: &'static str, quota: u32) -> Self {
        Self { limit, quota, window: None, retry_after: 1 }
    }
}

/// How a request's body broke its rules, or broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// More bytes than the route takes.
    #[error("the request body is too large")]
    TooLarge,
    /// No byte for `body_stall`, or not whole within `body`.
    #[error("the request body came too slowly")]
    Slow,
    /// The client left.
    #[error("the request body broke off")]
    ClientDisconnected,
    /// Its chunks are none (RFC 9112 §7.1).
    #[error("the request body breaks the framing")]
    Ambiguous,
}

/// How a request has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// It has arrived.
    Request,
    /// Its id has been here with another request, which has not arrived.
    ReplayIdReused,
    /// It is on its way at this moment.
    InFlight,
    /// Its idempotency key was used with another request.
    IdempotencyKeyReused,
}

/// Why the store of ids could not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// No answer in time, or none that can be relied upon.
    Unavailable,
    /// No place for another id.
    Full,
}

/// Why the app did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFault {
    /// No connection within `connect`, or refused.
    Unreachable,
    /// The connection ended early, or what came was not HTTP.
    ProtocolError,
    /// No reply within `timeout`.
    Timeout,
}

impl Failure {
    /// The reason word: log field, metric label and, where it may be told, `code` of the reply.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::AmbiguousPath => "ambiguous_path",
            Self::AmbiguousFraming | Self::Body(BodyFault::Ambiguous) => "ambiguous_framing",
            Self::Unrouted(Unrouted::NoRoute) => "no_route",
            Self::Unrouted(Unrouted::MethodNotAllowed(_)) => "method_not_allowed",
            Self::Misdirected => "misdirected_request",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::UriTooLong => "uri_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Refused(refused) => refused.refusal.reason(),
            Self::Body(BodyFault::TooLarge) => "body_too_large",
            Self::Body(BodyFault::Slow) => "request_timeout",
            Self::Body(BodyFault::ClientDisconnected) => "client_disconnected",
            Self::Duplicate(Duplicate::Request) => "duplicate_request",
            Self::Duplicate(Duplicate::ReplayIdReused) => "replay_id_reused",
            Self::Duplicate(Duplicate::InFlight) => "duplicate_in_flight",
            Self::Duplicate(Duplicate::IdempotencyKeyReused) => "idempotency_key_reused",
            Self::Undecided(StoreFault::Unavailable) => "store_unavailable",
            Self::Undecided(StoreFault::Full) => "store_full",
            Self::BufferFull => "buffer_full",
            Self::RateLimited(_) => "rate_limited",
            Self::ConcurrencyLimited(_) => "concurrency_limited",
            Self::Upstream(UpstreamFault::Unreachable) => "upstream_unreachable",
            Self::Upstream(UpstreamFault::ProtocolError) => "upstream_protocol_error",
            Self::Upstream(UpstreamFault::Timeout) => "upstream_timeout",
        }
    }

    /// Every code that a reply may carry, for the configuration (`responses`) and for documents.
    pub fn reasons() -> impl Iterator<Item = (&'static str, StatusCode)> {
        let refusals = Refusal::ALL.iter().map(|refusal| (refusal.reason(), refusal_status(*refusal)));
        let others = [
            Self::BadRequest,
            Self::AmbiguousPath,
            Self::AmbiguousFraming,
            Self::Unrouted(Unrouted::NoRoute),
            Self::Unrouted(Unrouted::MethodNotAllowed(Vec::new())),
            Self::IpNotAllowed,
            Self::UriTooLong,
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
            Self::BufferFull,
            Self::RateLimited(Limited::default()),
            Self::ConcurrencyLimited(Limited::default()),
            Self::Upstream(UpstreamFault::Unreachable),
            Self::Upstream(UpstreamFault::ProtocolError),
            Self::Upstream(UpstreamFault::Timeout),
        ];
        refusals.chain(others.map(|failure| (failure.reason(), failure.status())))
    }

    /// Answered before a route is known, or to nobody: `responses` of a route cannot change these.
    pub const fn has_no_route(reason: &str) -> bool {
        matches!(
            reason.as_bytes(),
            b"bad_request"
                | b"ambiguous_path"
                | b"ambiguous_framing"
                | b"no_route"
                | b"method_not_allowed"
                | b"uri_too_long"
                | b"client_disconnected"
        )
    }

    /// What a stranger hears instead of the word, where the word is withheld.
    pub const fn withheld_as(&self) -> Option<&'static str> {
        match self.status() {
            StatusCode::UNAUTHORIZED => Some("unauthorized"),
            StatusCode::FORBIDDEN => Some("forbidden"),
            _ => None,
        }
    }

    /// We could not decide: the sender is asked to come again.
    pub const fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refused { refusal: Refusal::JwksUnavailable | Refusal::RevocationUnknown, .. })
                | Self::BufferFull
                | Self::Undecided(_)
        )
    }

    /// The sender is told when to come again; of limits, their own time.
    pub const fn may_be_retried(&self) -> bool {
        self.is_undecided() || matches!(self, Self::Duplicate(Duplicate::InFlight))
    }

    /// The limit that the request exceeds, if that is why.
    pub const fn limited(&self) -> Option<&Limited> {
        if let Self::RateLimited(limited) | Self::ConcurrencyLimited(limited) = self { Some(limited) } else { None }
    }

    /// The decision fell against the request, rather than that its exchange failed.
    pub const fn is_refusal(&self) -> bool {
        let broke = matches!(self, Self::Upstream(_) | Self::Body(BodyFault::ClientDisconnected | BodyFault::Slow));
        !broke && !self.is_undecided()
    }

    /// Status and `err` for a transmitter of security event tokens (RFC 8935 §2.3, §2.4); `None` where that protocol
    /// has no word for it, and what HTTP itself says stands.
    pub const fn secevent(&self) -> Option<(StatusCode, &'static str)> {
        let error = match self {
            Self::Refused(refused) => secevent_error(refused.refusal),
            Self::IpNotAllowed => Some("access_denied"),
            Self::BadRequest
            | Self::AmbiguousPath
            | Self::AmbiguousFraming
            | Self::Unrouted(_)
            | Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::Misdirected
            | Self::Body(_)
            | Self::Duplicate(_)
            | Self::Undecided(_)
            | Self::BufferFull
            | Self::RateLimited(_)
            | Self::ConcurrencyLimited(_)
            | Self::Upstream(_) => None,
        };
        match error {
            Some(error) => Some((StatusCode::BAD_REQUEST, error)),
            None => None,
        }
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::AmbiguousPath
            | Self::AmbiguousFraming
            | Self::Body(BodyFault::ClientDisconnected | BodyFault::Ambiguous) => StatusCode::BAD_REQUEST,
            Self::Unrouted(Unrouted::NoRoute) => StatusCode::NOT_FOUND,
            Self::Unrouted(Unrouted::MethodNotAllowed(_)) => StatusCode::METHOD_NOT_ALLOWED,
            Self::IpNotAllowed => StatusCode::FORBIDDEN,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Refused(refused) => refusal_status(refused.refusal),
            Self::Duplicate(Duplicate::IdempotencyKeyReused) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Duplicate(Duplicate::Request | Duplicate::ReplayIdReused | Duplicate::InFlight) => {
                StatusCode::CONFLICT
            }
            Self::Undecided(_) | Self::BufferFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::RateLimited(_) | Self::ConcurrencyLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Body(BodyFault::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyFault::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Upstream(UpstreamFault::Unreachable | UpstreamFault::ProtocolError) => StatusCode::BAD_GATEWAY,
            Self::Upstream(UpstreamFault::Timeout) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

const fn refusal_status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::MalformedCredential => StatusCode::BAD_REQUEST,
        Refusal::TokenTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::ClaimMismatch { .. } | Refusal::CertificateNotAllowed => StatusCode::FORBIDDEN,
        Refusal::JwksUnavailable | Refusal::RevocationUnknown => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::MissingCredential
        | Refusal::MultipleCredentials
        | Refusal::MalformedToken
        | Refusal::UnsupportedAlgorithm
        | Refusal::UnknownKey
        | Refusal::InvalidSignature
        | Refusal::MissingClaim
        | Refusal::InvalidIssuer
        | Refusal::InvalidAudience
        | Refusal::TokenExpired
        | Refusal::TokenNotYetValid
        | Refusal::TokenLifetimeTooLong
        | Refusal::MissingTimestamp
        | Refusal::TimestampTooOld
        | Refusal::TimestampInFuture
        | Refusal::BodyMismatch
        | Refusal::UrlMismatch
        | Refusal::CertificateMismatch
        | Refusal::Revoked => StatusCode::UNAUTHORIZED,
    }
}

/// RFC 8935 §2.4. A token that breaks its own rules, times among them, is an invalid request.
const fn secevent_error(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::MissingCredential
        | Refusal::MultipleCredentials
        | Refusal::MalformedCredential
        | Refusal::TokenTooLarge
        | Refusal::MalformedToken
        | Refusal::MissingClaim
        | Refusal::TokenExpired
        | Refusal::TokenNotYetValid
        | Refusal::TokenLifetimeTooLong
        | Refusal::MissingTimestamp
        | Refusal::TimestampTooOld
        | Refusal::TimestampInFuture
        | Refusal::BodyMismatch
        | Refusal::UrlMismatch => "invalid_request",
        Refusal::UnsupportedAlgorithm | Refusal::UnknownKey => "invalid_key",
        Refusal::InvalidSignature | Refusal::CertificateMismatch => "authentication_failed",
        Refusal::InvalidIssuer => "invalid_issuer",
        Refusal::InvalidAudience => "invalid_audience",
        Refusal::CertificateNotAllowed | Refusal::Revoked | Refusal::ClaimMismatch { .. } => "access_denied",
        // Undecided: the transmitter must come again.
        Refusal::JwksUnavailable | Refusal::RevocationUnknown => return None,
    })
}

/// For what has arrived already, where that is no error: nothing more is to be done. A transmitter of security event
/// tokens knows one status only (RFC 8935 §2.2).
pub const fn acknowledged(secevent: bool) -> StatusCode {
    if secevent { StatusCode::ACCEPTED } else { StatusCode::OK }
}

/// A status that makes a sender try again; `responses` may not turn it into a success.
pub fn is_retried(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
}

/// A reply with this status may carry a challenge (RFC 9110 §11.6.1, RFC 6750 §3).
pub fn may_challenge(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// For a head that never became whole (RFC 9110 §15.5.9).
pub const HEAD_TIMED_OUT: (StatusCode, &str) = (StatusCode::REQUEST_TIMEOUT, "request_timeout");

/// For plain HTTP on a TLS port.
pub const TLS_REQUIRED: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "tls_required");

/// What the admin listener answers; its statuses stand here with all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminStatus {
    /// Yes.
    Ok,
    /// Draining, or still without first keys.
    NotReady,
    /// No such endpoint.
    NotFound,
    /// Nothing here can be changed.
    MethodNotAllowed,
}

impl AdminStatus {
    /// Its status.
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
mod tests {
    use super::*;

    /// RFC 8935 §2.4: one of six words for what was decided, and none for what was not.
    #[test]
    fn every_decision_has_its_word_of_rfc_8935() {
        let words = [
            "invalid_request",
            "invalid_key",
            "invalid_issuer",
            "invalid_audience",
            "authentication_failed",
            "access_denied",
        ];
        for refusal in Refusal::ALL {
            let failure = Failure::Refused(Refused::at_once(*refusal));
            let told = failure.secevent().filter(|(status, word)| status.as_u16() == 400 && words.contains(word));
            assert_eq!(told.is_none(), failure.is_undecided(), "{refusal:?}");
        }
        for failure in
            [Failure::BufferFull, Failure::RateLimited(Limited::default()), Failure::Body(BodyFault::TooLarge)]
        {
            assert_eq!(failure.secevent(), None);
        }
    }
}
