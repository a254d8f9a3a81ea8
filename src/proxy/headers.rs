//! Headers that pass the gateway. Hop-by-hop headers are removed (RFC 9110 §7.6.1), and so are headers about identity
//! and origin that an unauthenticated client could have written. The gateway's own headers are added last, so that no
//! `Connection` header can remove them (Traefik GHSA-62c8-mh53-4cqv). Called by `forward`, and by `upstream` for
//! responses.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::request_context::RequestContext;
use crate::auth::Permit;
use crate::route::Route;

/// The request id, in requests and responses.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Prefixes of headers by which upstreams and frameworks allow a client to change its identity or origin.
const SPOOFABLE_PREFIXES: &[&str] = &["x-hookgate-", "x-forwarded-"];

/// Hop-by-hop headers, in addition to those that `Connection` names.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Further headers of identity, origin and requested target or method, in normal form (Envoy CVE-2023-27487,
/// oauth2-proxy CVE-2026-40575, Traefik CVE-2026-35051); `proxy` is httpoxy's (CVE-2016-5385): CGI turns it into
/// HTTP_PROXY.
fn is_listed(normal: &str) -> bool {
    matches!(
        normal,
        "forwarded"
            | "x-forwarded"
            | "x-original-forwarded-for"
            | "x-real-ip"
            | "client-ip"
            | "remote-user"
            | "proxy"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "true-client-ip"
            | "x-request-id"
            | "x-original-url"
            | "x-original-uri"
            | "x-original-host"
            | "x-rewrite-url"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
            | "x-envoy-original-path"
            | "x-envoy-original-host"
    )
}

/// Headers of which every other spelling (`Content_Length`) is removed, since CGI and its successors would take it for
/// the header itself. Of any other header, another spelling is removed if the header itself is present, which may
/// have been signed.
const FRAMING: &[&str] = &["content-length", "content-type", "content-encoding", "transfer-encoding"];

/// Turns the received request headers into those that are sent to the upstream.
pub(super) fn prepare(context: &mut RequestContext<'_>, permit: &Permit) {
    let RequestContext { head, route, .. } = context;
    let evaluated = route.rules.headers();
    let named = named_by_connection(&head.headers);
    remove(&mut head.headers, |headers, name| {
        is_hop_by_hop(name.as_str())
            // The gateway itself has responded to `Expect: 100-continue` by the time it reads the body.
            || *name == header::EXPECT
            || (named.contains(name) && !evaluated.contains(name))
            || is_spoofable(name, headers, route)
    });
    join_cookies(&mut head.headers);
    if route.forward.remove_credential {
        // `check` rejects this setting where the credential is in the target, a cookie or the body: those are forwarded
        // unchanged.
        for name in route.rules.policy.credential_headers() {
            head.headers.remove(name);
        }
    }
    add_ours(context, permit);
}

/// Turns the upstream's response headers into those that are sent to the client.
pub fn clean_response(headers: &mut HeaderMap, request_id: &str) {
    let named = named_by_connection(headers);
    remove(headers, |_, name| is_hop_by_hop(name.as_str()) || named.contains(name));
    set(headers, &REQUEST_ID, request_id);
}

/// One pass over all headers: most messages have none of these.
fn remove(headers: &mut HeaderMap, is_doomed: impl Fn(&HeaderMap, &HeaderName) -> bool) {
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| is_doomed(headers, name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    names.filter(may_be_named).collect()
}

/// Whether `Connection` may remove this header: without `authorization` or `content-length`, for example, the request
/// would mean something else.
fn may_be_named(name: &HeaderName) -> bool {
    let meaning = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::AUTHORIZATION,
        header::COOKIE,
    ];
    !meaning.contains(name)
}

/// HTTP/2 may split cookies over several headers, which must be joined for HTTP/1.1 (RFC 9113 §8.2.3): an upstream
/// would join them with a comma.
fn join_cookies(headers: &mut HeaderMap) {
    let fields: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if fields.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&fields.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

fn is_spoofable(name: &HeaderName, headers: &HeaderMap, route: &Route) -> bool {
    let normal = normalised(name.as_str());
    is_listed(&normal)
        || SPOOFABLE_PREFIXES.iter().any(|prefix| normal.starts_with(prefix))
        || route.forward.claims.iter().any(|(_, ours)| is_spelt(ours, &normal))
        || (normal != name.as_str() && (FRAMING.contains(&&*normal) || headers.contains_key(&*normal)))
        // A header that the decision has read: another spelling would reach the upstream together with it.
        || route.rules.headers().iter().any(|evaluated| evaluated != name && is_spelt(evaluated, &normal))
}

/// Whether `normal` is the normal form of `name`; a normal form is as long as the name.
fn is_spelt(name: &HeaderName, normal: &str) -> bool {
    name.as_str().len() == normal.len() && normalised(name.as_str()) == normal
}

/// The normal form of a header name. WSGI, Rack and CGI turn each of these characters into `_`, which makes
/// `X_Hookgate_Sub` equal to `X-Hookgate-Sub` (oauth2-proxy CVE-2025-64484, Traefik CVE-2026-54763).
fn normalised(name: &str) -> Cow<'_, str> {
    if !name.bytes().fold(false, |found, byte| found | (!byte.is_ascii_alphanumeric() && byte != b'-')) {
        return Cow::Borrowed(name);
    }
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

fn add_ours(context: &mut RequestContext<'_>, permit: &Permit) {
    let RequestContext { head, target, route, connection, request_id, .. } = context;
    let headers = &mut head.headers;
    let authority = target.authority().as_str();
    let proto = if connection.secure { "https" } else { "http" };
    let client = connection.address.text();
    // In HTTP/1 the header is already present.
    if headers.get(header::HOST).is_none_or(|host| host != authority) {
        set(headers, &header::HOST, authority);
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(&FORWARDED_HOST, host);
    }
    headers.insert(&FORWARDED_PROTO, HeaderValue::from_static(proto));
    set(headers, &FORWARDED_FOR, &forwarded_for(client, &connection.forwarded.via));
    if let Some(port) = target.authority().port() {
        set(headers, &FORWARDED_PORT, port.as_str());
    }
    set(headers, &header::FORWARDED, &forwarded(client, authority, proto, &connection.forwarded.via));
    set(headers, &REQUEST_ID, request_id);
    let Permit::Granted(grant) = permit else { return };
    for (claim, name) in &route.forward.claims {
        if let Some(value) = claim.find(grant.claims()).and_then(claim_text) {
            set(headers, name, &value);
        }
    }
}

/// X-Forwarded-For: the client, and the trusted proxies after it.
fn forwarded_for(client: &str, via: &[IpAddr]) -> String {
    via.iter().fold(client.to_owned(), |chain, proxy| chain + ", " + &proxy.to_string())
}

/// Forwarded (RFC 7239 §4), in the same order; an IPv6 address is written in brackets and quotes (§6).
fn forwarded(client: &str, authority: &str, proto: &str, via: &[IpAddr]) -> String {
    let [open, close] = brackets(client);
    let client = ["for=", open, client, close, ";host=\"", authority, "\";proto=", proto].concat();
    via.iter().map(IpAddr::to_string).fold(client, |chain, proxy| {
        let [open, close] = brackets(&proxy);
        chain + ", for=" + open + &proxy + close
    })
}

fn brackets(address: &str) -> [&'static str; 2] {
    if address.contains(':') { ["\"[", "]\""] } else { ["", ""] }
}

/// A claim as a header value: a string as is, any other value as JSON. A value that no header can carry is not sent,
/// and neither is text beyond ASCII, which each upstream may decode differently (RFC 9110 §5.5).
fn claim_text(claim: &Value) -> Option<String> {
    let text = match claim {
        Value::String(text) => text.clone(),
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => claim.to_string(),
    };
    Some(text).filter(|text| text.is_ascii())
}

/// Sets a header, unless the value has a byte that no header can carry.
pub(super) fn set(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
