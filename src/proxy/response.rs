//! The responses that the gateway generates itself, for example from a [`Failure`].
//!
//! Responses are problem details (RFC 9457). They state no claim, no expected value, and no reason before a signature has
//! been verified, unless `error_detail` is `detailed` (see [`ErrorDetail`]). Transmitters of security event tokens get the form of their own
//! protocol (RFC 8935 §2.3).

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, SERVER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::headers::{REQUEST_ID, set};
use super::response_body::ResponseContent;
use crate::auth::challenge::ChallengeResponse;
use crate::auth::locator::{Locator, Scheme};
use crate::auth::{Policy, Rejection};
use crate::failure::{self, Failure, Limited, may_challenge};
use crate::reason::Reason;
use crate::route::filter::FilterRule;
use crate::route::table::Unrouted;
use crate::route::{ErrorForm, Route};
use crate::snapshot::ErrorDetail;

/// The limit (draft-ietf-httpapi-ratelimit-headers-10 §3).
static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The remaining quota of the limit (draft-ietf-httpapi-ratelimit-headers-10 §4).
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Seconds after which a sender may retry where the gateway could not decide.
const RETRY_SECONDS: &str = "10";

/// The response to a request that was not forwarded.
pub fn failure(
    failure: &Failure,
    disclosure: ErrorDetail,
    route: Option<&Route>,
    request_id: &str,
) -> Response<ResponseContent> {
    let withheld = withheld(failure, disclosure);
    // A withheld reason whose own status is withheld too must not show by another one.
    let may_choose = withheld.is_none() || failure.withheld_status() == failure.status();
    let route_status = route.and_then(|route| route.status_overrides.get(&failure.reason()).copied());
    let chosen = route_status.filter(|_| may_choose);
    let in_secevent = route.is_some_and(|route| route.errors == ErrorForm::Secevent);
    if let (true, Some((status, error))) = (in_secevent, failure.secevent()) {
        // The protocol has an error each for key, issuer and audience; `opaque` gives the same one for all.
        let opaque = disclosure == ErrorDetail::Opaque && failure.withheld_as() == Some("unauthorized");
        let error = if opaque { "authentication_failed" } else { error };
        let reason = withheld.unwrap_or(failure.reason().word());
        return secevent(chosen.unwrap_or(status), error, reason, request_id);
    }
    let status = if withheld.is_some() { failure.withheld_status() } else { failure.status() };
    let status = chosen.unwrap_or(status);
    let detail = failure.detail().filter(|_| disclosure == ErrorDetail::Detailed);
    let body = problem_json(status, withheld.unwrap_or(failure.reason().word()), detail.as_deref(), Some(request_id));
    let mut response = own(status, Some("application/problem+json"), body.into(), request_id);
    let headers = response.headers_mut();
    if failure.has_retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    let closes = matches!(
        failure.reason(),
        Reason::BadRequest | Reason::MissingHost | Reason::UpgradeNotSupported | Reason::AmbiguousFraming
    );
    if closes {
        // The gateway and the client may disagree about where the next request begins, or what this one was.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(limited) = failure.limited() {
        tell_limit(headers, limited);
    }
    if let Failure::Unrouted(Unrouted::MethodNotAllowed(methods)) = failure {
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        set(headers, &ALLOW, &names.join(", "));
    }
    if let (Failure::Rejected(rejection), true) = (failure, may_challenge(status)) {
        for value in route.into_iter().flat_map(|route| www_authenticate(route, rejection, status, disclosure)) {
            headers.extend(HeaderValue::from_str(&value).ok().map(|value| (WWW_AUTHENTICATE, value)));
        }
    }
    response
}

/// The response to an endpoint verification challenge of a provider.
pub fn challenge(challenge: &ChallengeResponse, request_id: &str) -> Response<ResponseContent> {
    let body = Bytes::from(challenge.body.clone());
    let mut response = own(StatusCode::default(), Some(challenge.content_type), body, request_id);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in &challenge.headers {
        set(headers, name, value);
    }
    response
}

/// The response to a CORS preflight, without its headers.
pub fn preflight(request_id: &str) -> Response<ResponseContent> {
    own(failure::PREFLIGHT, None, Bytes::new(), request_id)
}

/// The response without a body that acknowledges a duplicate of a processed event.
pub fn acknowledged(route: &Route, request_id: &str) -> Response<ResponseContent> {
    own(failure::acknowledged(route.errors == ErrorForm::Secevent), None, Bytes::new(), request_id)
}

/// The response without a body that acknowledges a filtered event.
pub fn filtered(rule: &FilterRule, route: &Route, request_id: &str) -> Response<ResponseContent> {
    let usual = failure::acknowledged(route.errors == ErrorForm::Secevent);
    own(rule.status.unwrap_or(usual), None, Bytes::new(), request_id)
}

/// A stored response, with the request id of this request.
pub fn again(mut response: Response<ResponseContent>, request_id: &str) -> Response<ResponseContent> {
    set(response.headers_mut(), &REQUEST_ID, request_id);
    response
}

/// The reason that the response states where it may not state the real one.
fn withheld(failure: &Failure, disclosure: ErrorDetail) -> Option<&'static str> {
    // A client knows its own address, and a sender whose address has changed must learn what to ask the operator for.
    let may_know =
        matches!(failure, Failure::Plain(Reason::IpNotAllowed) | Failure::Rejected(Rejection { proven: true, .. }));
    match disclosure {
        ErrorDetail::Detailed => None,
        ErrorDetail::Standard if may_know => None,
        ErrorDetail::Standard | ErrorDetail::Opaque => failure.withheld_as(),
    }
}

/// The challenges of the authentication schemes that the route takes in `Authorization` (RFC 9110 §11.6.1). Some senders
/// show their password only after one (RFC 7617 §2). A 403 has that of Bearer alone (RFC 6750 §3.1).
fn www_authenticate(route: &Route, rejection: &Rejection, status: StatusCode, disclosure: ErrorDetail) -> Vec<String> {
    let mut challenges = Vec::new();
    for leaf in route.rules.policy.leaves() {
        let in_authorization = leaf.places().iter().filter(|place| place.header() == Some(&AUTHORIZATION));
        let schemes = in_authorization.filter_map(|place| match (place, leaf) {
            (_, Policy::Jwt(_)) => Some("Bearer"),
            (Locator::Header { scheme: Some(Scheme::Word(scheme)), .. }, _) => Some(scheme.as_str()),
            _ => None,
        });
        for scheme in schemes {
            let challenge = match scheme.to_ascii_lowercase().as_str() {
                "bearer" => bearer(rejection, disclosure),
                _ if !failure::is_unauthorized(status) => continue,
                "basic" => "Basic realm=\"webhook\", charset=\"UTF-8\"".to_owned(),
                _ => format!("{scheme} realm=\"webhook\""),
            };
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
    }
    challenges
}

/// The challenge of Bearer (RFC 6750 §3). There is no error for a request without a credential (§3.1), since its sender
/// might not know that it needs one.
fn bearer(rejection: &Rejection, disclosure: ErrorDetail) -> String {
    let error = if rejection.insufficient_scope && disclosure != ErrorDetail::Opaque {
        ", error=\"insufficient_scope\""
    } else if matches!(rejection.reason, Reason::MissingCredential | Reason::ClaimMismatch) {
        ""
    } else {
        ", error=\"invalid_token\""
    };
    format!("Bearer realm=\"webhook\"{error}")
}

/// Sets the headers that describe the limit and when to retry. A concurrency limit has no window, and the gateway
/// cannot know when a request in flight ends: `Retry-After: 1` is a guess, and there is no `t`, which would be a
/// promise.
fn tell_limit(headers: &mut http::HeaderMap, limited: &Limited) {
    let Limited { limit, quota, window, retry_after } = limited;
    let (policy, left) = match window {
        Some(window) => (format!("\"{limit}\";q={quota};w={window}"), format!("\"{limit}\";r=0;t={retry_after}")),
        None => (format!("\"{limit}\";q={quota};qu=\"concurrent-requests\""), format!("\"{limit}\";r=0")),
    };
    set(headers, &RETRY_AFTER, &retry_after.to_string());
    set(headers, &RATELIMIT_POLICY, &policy);
    set(headers, &RATELIMIT, &left);
}

/// The error and a description with its language (RFC 8935 §2.3).
fn secevent(status: StatusCode, error: &str, reason: &str, request_id: &str) -> Response<ResponseContent> {
    let description = format!("the security event token was rejected: {reason}");
    let body = serde_json::json!({"err": error, "description": description}).to_string();
    let mut response = own(status, Some("application/json"), body.into(), request_id);
    response.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    response
}

fn own(
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Bytes,
    request_id: &str,
) -> Response<ResponseContent> {
    let mut response = Response::new(ResponseContent::Own(Some(body).filter(|body| !body.is_empty())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER, HeaderValue::from_static("hookgate"));
    set(headers, &REQUEST_ID, request_id);
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// The problem document (RFC 9457 §3). `type` is `about:blank` (§4.2.1), so `title` is the phrase of the status.
fn problem_json(status: StatusCode, reason: &str, detail: Option<&str>, request_id: Option<&str>) -> String {
    #[derive(serde::Serialize)]
    struct ProblemDocument<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        instance: Option<&'a str>,
        reason: &'a str,
        status: u16,
        title: &'a str,
        r#type: &'a str,
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let problem =
        ProblemDocument { detail, instance: request_id, reason, status: status.as_u16(), title, r#type: "about:blank" };
    // Strings and numbers can always be written.
    serde_json::to_string(&problem).unwrap_or_default()
}

/// The bytes of the response to a client that has sent no valid request: its bytes break the framing, its headers did
/// not arrive in time, or it speaks plain HTTP to a TLS port.
pub fn without_request(reason: Reason) -> Vec<u8> {
    let status = failure::status(reason);
    let body = problem_json(status, reason.word(), None, None);
    let phrase = status.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {phrase}\r\nserver: hookgate\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16(),
        body.len(),
    )
    .into_bytes()
}
