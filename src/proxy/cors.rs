//! CORS (Fetch standard §3.3): answers a preflight without the upstream and without a credential, which browsers do not
//! send with it, and lets web pages of the listed origins read responses. It authorizes nothing: a request of another
//! origin is verified and forwarded as any other, and its page cannot read the response.
//!
//! `*` is never sent, and a preflight states nothing beyond the configuration of its route.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::headers::set;
use crate::reason::Reason;
use crate::route::{CorsRule, Route};

/// The method for which a browser asks by this request; `None` if it is no preflight.
pub(super) fn preflight_method(head: &Parts) -> Option<Method> {
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(only(&head.headers, &ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Sets the headers of the response to a preflight, whose route was found by the method that the browser will use, except
/// those of [`allow`].
///
/// # Errors
/// `OriginNotAllowed`.
pub(super) fn answer(
    headers: &mut HeaderMap,
    request: &Parts,
    route: &Route,
    rule: &CorsRule,
    method: &Method,
) -> Result<(), Reason> {
    allowed_origin(rule, &request.headers).ok_or(Reason::OriginNotAllowed)?;
    let methods = route.matches.methods.as_deref().unwrap_or(std::slice::from_ref(method));
    set(headers, &ACCESS_CONTROL_ALLOW_METHODS, &join(methods.iter().map(Method::as_str)));
    set(headers, &ACCESS_CONTROL_ALLOW_HEADERS, &join(rule.headers.iter().map(HeaderName::as_str)));
    headers.insert(ACCESS_CONTROL_MAX_AGE, rule.max_age.into());
    Ok(())
}

/// The origin of a request, if its page may read the response.
pub(super) fn allowed_origin(rule: &CorsRule, headers: &HeaderMap) -> Option<HeaderValue> {
    only(headers, &ORIGIN).filter(|origin| rule.allows(origin)).cloned()
}

/// Sets the CORS headers of a response, in place of the upstream's: two values of one would block the page. `Vary` keeps a
/// cache from sending the response for one origin to another.
pub(super) fn allow(headers: &mut HeaderMap, rule: &CorsRule, origin: Option<&HeaderValue>) {
    headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
    headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if rule.credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn join<'t>(words: impl Iterator<Item = &'t str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    Some(value)
}
