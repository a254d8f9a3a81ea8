//! Failure → response: the only file that names status codes.
//!
//! Replies are problem details (RFC 9457) and never say what would have been right: no claim, no expected
//! value, and before a signature has been verified no reason either (see [`Disclosure`]).

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, SERVER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::Failure;
use super::body::{BodyFault, Content};
use super::headers::REQUEST_ID;
use super::upstream::UpstreamFault;
use crate::auth::{Policy, Refusal, Refused};
use crate::route::{Route, Unrouted};
use crate::snapshot::Disclosure;

/// Seconds after which a sender may try again when we could not decide.
const RETRY_SECONDS: &str = "10";

impl Failure {
    /// The reason word: log field, metric label and, where it may be told, `code` of the reply.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::AmbiguousPath => "ambiguous_path",
            Self::Unrouted(Unrouted::NoRoute) => "no_route",
            Self::Unrouted(Unrouted::MethodRefused(_)) => "method_refused",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::Refused(refused) => refused.refusal.reason(),
            Self::Body(BodyFault::TooLarge) => "body_too_large",
            Self::Body(BodyFault::Slow) => "request_timeout",
            Self::Body(BodyFault::Broken) => "client_gone",
            Self::Upstream(UpstreamFault::Unreachable) => "upstream_unreachable",
            Self::Upstream(UpstreamFault::Protocol) => "upstream_protocol",
            Self::Upstream(UpstreamFault::Timeout) => "upstream_timeout",
        }
    }

    /// Every code that a reply may carry, for the configuration (`responses`) and for documents.
    pub fn codes() -> impl Iterator<Item = (&'static str, StatusCode)> {
        let refusals = Refusal::ALL.iter().map(|refusal| (refusal.reason(), refusal_status(*refusal)));
        let others = [
            Self::BadRequest,
            Self::AmbiguousPath,
            Self::Unrouted(Unrouted::NoRoute),
            Self::Unrouted(Unrouted::MethodRefused(Vec::new())),
            Self::UriTooLong,
            Self::Body(BodyFault::TooLarge),
            Self::Body(BodyFault::Slow),
            Self::Body(BodyFault::Broken),
            Self::Upstream(UpstreamFault::Unreachable),
            Self::Upstream(UpstreamFault::Protocol),
            Self::Upstream(UpstreamFault::Timeout),
        ];
        refusals.chain(others.map(|failure| (failure.code(), failure.status())))
    }

    /// The decision fell against the request, rather than that its exchange failed.
    pub const fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Upstream(_)
                | Self::Body(BodyFault::Broken | BodyFault::Slow)
                | Self::Refused(Refused { refusal: Refusal::KeysUnavailable, .. })
        )
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest | Self::AmbiguousPath | Self::Body(BodyFault::Broken) => StatusCode::BAD_REQUEST,
            Self::Unrouted(Unrouted::NoRoute) => StatusCode::NOT_FOUND,
            Self::Unrouted(Unrouted::MethodRefused(_)) => StatusCode::METHOD_NOT_ALLOWED,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Refused(refused) => refusal_status(refused.refusal),
            Self::Body(BodyFault::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(BodyFault::Slow) => StatusCode::REQUEST_TIMEOUT,
            Self::Upstream(UpstreamFault::Unreachable | UpstreamFault::Protocol) => StatusCode::BAD_GATEWAY,
            Self::Upstream(UpstreamFault::Timeout) => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

const fn refusal_status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::MalformedCredential => StatusCode::BAD_REQUEST,
        Refusal::TokenTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::ClaimRefused { .. } => StatusCode::FORBIDDEN,
        Refusal::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::MissingCredential
        | Refusal::ManyCredentials
        | Refusal::MalformedToken
        | Refusal::UnsupportedAlgorithm
        | Refusal::UnknownKey
        | Refusal::BadSignature
        | Refusal::MissingClaim
        | Refusal::WrongIssuer
        | Refusal::WrongAudience
        | Refusal::Expired
        | Refusal::NotYetValid
        | Refusal::LifetimeExceeded
        | Refusal::MissingTimestamp
        | Refusal::StaleTimestamp
        | Refusal::FutureTimestamp => StatusCode::UNAUTHORIZED,
    }
}

/// A status that makes a sender try again; `responses` may not turn it into a success.
pub fn is_retried(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS)
}

/// Our reply to a request that was not forwarded.
pub fn failure(
    failure: &Failure,
    disclosure: Disclosure,
    route: Option<&Route>,
    request_id: &str,
) -> Response<Content> {
    let proper = failure.status();
    let chosen = route.and_then(|route| route.responses.get(failure.code()).copied());
    let status = chosen.unwrap_or(proper);
    let mut response = problem(status, told(failure, proper, disclosure), request_id);
    let headers = response.headers_mut();
    if proper == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    if let Failure::Unrouted(Unrouted::MethodRefused(methods)) = failure {
        insert(headers, ALLOW, &allow(methods));
    }
    let asks = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) && takes_bearer(route);
    if let (Failure::Refused(refused), true) = (failure, asks) {
        insert(headers, WWW_AUTHENTICATE, &challenge(refused.refusal));
    }
    response
}

/// The word that the sender may read.
fn told(failure: &Failure, proper: StatusCode, disclosure: Disclosure) -> &'static str {
    let proven = matches!(failure, Failure::Refused(Refused { proven: true, .. }));
    let may_be_told = match disclosure {
        Disclosure::Detailed => true,
        Disclosure::Standard => proven || proper != StatusCode::UNAUTHORIZED,
        Disclosure::Opaque => !matches!(proper, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
    };
    match proper {
        _ if may_be_told => failure.code(),
        StatusCode::FORBIDDEN => "forbidden",
        _ => "unauthorized",
    }
}

fn takes_bearer(route: Option<&Route>) -> bool {
    route.is_some_and(|route| match &route.rules.policy {
        Policy::Jwt(_) => true,
        Policy::Public => false,
    })
}

/// RFC 6750 §3: no error for a request without a credential (§3.1), which might not know that it needs one.
fn challenge(refusal: Refusal) -> String {
    let error = match refusal {
        Refusal::MissingCredential => "",
        Refusal::ClaimRefused { scope: true } => ", error=\"insufficient_scope\"",
        Refusal::ClaimRefused { scope: false } => "",
        Refusal::MalformedCredential => ", error=\"invalid_request\"",
        _ => ", error=\"invalid_token\"",
    };
    format!("Bearer realm=\"webhook\"{error}")
}

fn allow(methods: &[Method]) -> String {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

fn problem(status: StatusCode, code: &str, request_id: &str) -> Response<Content> {
    let body = problem_json(status, code, request_id);
    let mut response = Response::new(Content::Own(Some(Bytes::from(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER, HeaderValue::from_static("hookgate"));
    insert(headers, REQUEST_ID.clone(), request_id);
    response
}

/// RFC 9457 §3; `type` is `about:blank` (§4.2.1), so that `title` is the status's own phrase.
fn problem_json(status: StatusCode, code: &str, request_id: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "instance": request_id,
    })
    .to_string()
}

fn insert(headers: &mut http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The bytes of a 408 for a connection whose head never became whole (RFC 9110 §15.5.9).
pub fn head_timed_out() -> Vec<u8> {
    raw(StatusCode::REQUEST_TIMEOUT, "request_timeout")
}

/// The bytes for a client that speaks plain HTTP to a TLS port.
pub fn plain_http_on_tls() -> Vec<u8> {
    raw(StatusCode::BAD_REQUEST, "tls_required")
}

fn raw(status: StatusCode, code: &str) -> Vec<u8> {
    let body = problem_json(status, code, "");
    let phrase = status.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {phrase}\r\nserver: hookgate\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16(),
        body.len(),
    )
    .into_bytes()
}

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
    MethodRefused,
}

impl AdminStatus {
    /// Its status.
    pub const fn code(self) -> StatusCode {
        match self {
            Self::Ok => StatusCode::OK,
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}
