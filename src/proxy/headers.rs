//! Headers that pass the gateway. Hop-by-hop headers are removed (RFC 9110 §7.6.1), and so are headers about identity
//! and origin that an unauthenticated client could have written. The gateway's own headers are added last, so that no
//! `Connection` header can remove them (Traefik GHSA-62c8-mh53-4cqv). Called by `forward`, and by `upstream` for
//! responses.

use std::borrow::Cow;
use std::net::IpAddr;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::request_context::RequestContext;
use super::websocket;
use crate::auth::Permit;
use crate::route::{Protocol, Route, normal_form};

/// The request id, in requests and responses.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Hop-by-hop headers, in addition to those that `Connection` names. `http2-settings` belongs to an offer of `h2c` (RFC
/// 7540 §3.2.1): an upstream that took it would speak HTTP/2 to a gateway that waits for HTTP/1.1.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
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

/// Headers by which proxies and frameworks state the client's identity, origin or certificate, or change the target, the
/// method or the response, in normal form: an upstream could take the value of a client for that of a proxy (Envoy
/// CVE-2023-27487, oauth2-proxy CVE-2026-40575, Traefik CVE-2026-35051, Next.js CVE-2025-29927). `proxy` is httpoxy's
/// (CVE-2016-5385): CGI turns it into HTTP_PROXY.
fn is_listed(normal: &str) -> bool {
    if let Some(name) = normal.strip_prefix("x-") {
        return is_listed_after_x(name);
    }
    matches!(
        normal,
        "cf-connecting-ip"
            | "cf-connecting-ipv6"
            | "cf-pseudo-ipv4"
            | "client-cert"
            | "client-cert-chain"
            | "client-ip"
            | "fastly-client-ip"
            | "fly-client-ip"
            | "forwarded"
            | "front-end-https"
            | "impersonate-group"
            | "impersonate-user"
            | "proxy"
            | "proxy-client-ip"
            | "remote-addr"
            | "remote-email"
            | "remote-groups"
            | "remote-name"
            | "remote-user"
            | "true-client-ip"
    ) || ["cf-access-", "ssl-client-", "tailscale-user-", "wl-proxy-"].iter().any(|prefix| normal.starts_with(prefix))
}

/// Those that begin with `x-`, without it.
fn is_listed_after_x(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "accel-",
        "amzn-mtls-",
        "amzn-oidc-",
        "anonymous-consumer",
        "apigateway-api-",
        "appengine-user-",
        "arr-",
        "auth-request-",
        "authenticated-",
        "authentik-",
        "client-cert",
        "consumer-",
        "credential-identifier",
        "endpoint-api-userinfo",
        "envoy-",
        "forwarded-",
        "goog-authenticated-user-",
        "goog-iap-",
        "hookgate-",
        "middleware-",
        "ms-client-principal",
        "ms-token-",
        "pomerium-",
        "remote-",
        "ssl-",
        "tls-client-cert",
        "vouch-",
        "webauth-",
    ];
    matches!(
        name,
        "azure-clientip"
            | "azure-socketip"
            | "client-dn"
            | "client-ip"
            | "client-verify"
            | "cluster-client-ip"
            | "forwarded"
            | "host"
            | "http-host-override"
            | "http-method"
            | "http-method-override"
            | "http-path-override"
            | "method-override"
            | "nf-client-connection-ip"
            | "original-forwarded-for"
            | "original-host"
            | "original-method"
            | "original-uri"
            | "original-url"
            | "override-url"
            | "real-ip"
            | "request-id"
            | "rewrite-url"
            | "scheme"
            | "script-name"
            | "sendfile-type"
            | "url-scheme"
    ) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Trailers of a message that are forwarded: those whose definitions allow them there (RFC 9110 §8.8.3, RFC 9530 §2,
/// Server-Timing §3, gRPC over HTTP/2). Any other could change the framing, the routing or the authentication of a
/// message to which it is merged (RFC 9110 §6.5.1).
const TRAILERS: &[&str] = &[
    "content-digest",
    "etag",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "repr-digest",
    "server-timing",
];

/// Headers of which every other spelling (`Content_Length`) is removed, since CGI and its successors would take it for
/// the header itself. Of any other header, another spelling is removed if the header itself is present, which may
/// have been signed.
const FRAMING: &[&str] = &["content-length", "content-type", "content-encoding", "transfer-encoding"];

/// Turns the received request headers into those that are sent to the upstream.
pub(super) fn prepare(context: &mut RequestContext<'_>, permit: &Permit) {
    let route: &Route = context.route;
    let RequestContext { head, tunnel, snapshot, connection, .. } = &mut *context;
    let listener = snapshot.listeners.get(connection.listener);
    let certificate = listener.and_then(|listener| listener.certificate_header.as_ref());
    let evaluated = route.rules.headers();
    // A verified header is no forgery, such as the token that an identity-aware proxy sets.
    let verified = match permit {
        Permit::Granted(_) => route.rules.verified_headers(&head.headers),
        Permit::Observed(_) => Cow::default(),
    };
    let named = named_by_connection(&head.headers);
    let takes_trailers = route.upstream.first.protocol == Protocol::Http2 && takes_trailers(&head.headers);
    remove(&mut head.headers, |headers, name| {
        let normal = normal_form(name.as_str());
        is_hop_by_hop(name.as_str())
            || certificate.is_some_and(|header| is_spelt(header.name(), &normal))
            // The gateway itself has responded to `Expect: 100-continue` by the time it reads the body.
            || *name == header::EXPECT
            || (named.contains(name) && !evaluated.contains(name) && !(tunnel.is_some() && websocket::needs(name)))
            || (is_listed(&normal) && !verified.contains(name))
            || (is_spoofable(name, &normal, headers, route) && !(tunnel.is_some() && websocket::needs(name)))
    });
    if tunnel.is_some() {
        websocket::announce(&mut head.headers);
    }
    if takes_trailers {
        head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    join_cookies(&mut head.headers);
    if route.forward.remove_credential {
        // `check` rejects this setting where the credential is in the target, a cookie or the body: those are forwarded
        // unchanged.
        for name in route.rules.policy.credential_headers() {
            head.headers.remove(name);
        }
    }
    add_ours(context, permit, &verified);
}

/// Whether the client accepts trailers in the response (RFC 9110 §10.1.4). gRPC requires that.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("trailers"))
}

/// Turns the upstream's response headers into those that are sent to the client. False if the body has a coding that the
/// HTTP client does not remove, such as `gzip, chunked`: without its `Transfer-Encoding` the client would take the coded
/// bytes for the content.
#[must_use]
pub fn clean_response(headers: &mut HeaderMap, status: StatusCode, request_id: &str) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (coding, second) = (codings.next(), codings.next());
    let is_chunked = coding.is_some();
    if second.is_some() || coding.is_some_and(|one| !one.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return false;
    }
    // The chunks delimit the body, not the length (RFC 9112 §6.3); a 204 has none (RFC 9110 §8.6).
    if is_chunked || status.as_u16() == 204 {
        headers.remove(header::CONTENT_LENGTH);
    }
    let named = named_by_connection(headers);
    let trailers = announced_trailers(headers);
    remove(headers, |_, name| is_hop_by_hop(name.as_str()) || named.contains(name));
    if let Some(trailers) = trailers {
        headers.insert(header::TRAILER, trailers);
    }
    set_one_length(headers);
    set(headers, &REQUEST_ID, request_id);
    true
}

/// Removes the trailers of a message that are not forwarded; `None` if none is left. A message to HTTP/2 must not be
/// reset because of them (RFC 9113 §8.2.2), since its sender may already have committed.
pub(super) fn clean_trailers(mut trailers: HeaderMap) -> Option<HeaderMap> {
    remove(&mut trailers, |_, name| !TRAILERS.contains(&name.as_str()));
    Some(trailers).filter(|trailers| !trailers.is_empty())
}

/// The trailers that the upstream announces and that are forwarded. HTTP/1 sends no others, and none after a body with a
/// length.
fn announced_trailers(headers: &HeaderMap) -> Option<HeaderValue> {
    if headers.contains_key(header::CONTENT_LENGTH) {
        return None;
    }
    let values = headers.get_all(header::TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let names: Vec<String> = names.map(|name| name.to_string()).filter(|name| TRAILERS.contains(&&**name)).collect();
    HeaderValue::try_from(names.join(", ")).ok().filter(|_| !names.is_empty())
}

/// Writes the length of a response once and without leading zeros. The HTTP client accepts equal ones and lists (`5, 5`),
/// which a client or a cache may read differently (RFC 9110 §8.6). Without a body, it accepts any, and one that is no
/// number is removed.
fn set_one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(first), second) = (lengths.next(), lengths.next()) else { return };
    let digits = first.to_str().ok().and_then(|text| text.split(',').next()).map(str::trim).unwrap_or_default();
    let is_shortest = *first == digits && (digits.len() == 1 || !digits.starts_with('0'));
    match digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(_) if second.is_none() && is_shortest => {}
        Some(length) => drop(headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length))),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
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

/// Whether a header of the client is removed as a spelling of another header, or by the route's configuration.
fn is_spoofable(name: &HeaderName, normal: &str, headers: &HeaderMap, route: &Route) -> bool {
    route.forward.claim_headers.iter().any(|ours| is_spelt(ours, normal))
        || route.forward.removes(normal)
        || !(route.forward.allows(name.as_str()) || route.rules.headers().contains(name))
        || (normal != name.as_str() && (FRAMING.contains(&normal) || headers.contains_key(normal)))
        // A header that the decision has read: another spelling would reach the upstream together with it.
        || route.rules.headers().iter().any(|evaluated| evaluated != name && is_spelt(evaluated, normal))
}

/// Whether `normal` is the normal form of `name`; a normal form is as long as the name.
fn is_spelt(name: &HeaderName, normal: &str) -> bool {
    name.as_str().len() == normal.len() && normal_form(name.as_str()) == normal
}

/// Adds the gateway's own headers. A verified one stays as it came: an application that verifies the signature as well
/// would reject another value (Mercado Pago signs `X-Request-Id`).
fn add_ours(context: &mut RequestContext<'_>, permit: &Permit, verified: &[HeaderName]) {
    let RequestContext { head, target, route, connection, request_id, .. } = context;
    let headers = &mut head.headers;
    let authority = target.authority().as_str();
    let proto = if connection.secure { "https" } else { "http" };
    let client = connection.address.text();
    let mut host = headers.get(header::HOST).cloned();
    // In HTTP/1 the header is already present.
    if host.as_ref().is_none_or(|host| host != authority) {
        set(headers, &header::HOST, authority);
        host = headers.get(header::HOST).cloned();
    }
    let mut add = |name: &HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value.filter(|_| !(verified.contains(name) && headers.contains_key(name))) {
            headers.insert(name, value);
        }
    };
    let text = |value: &str| HeaderValue::from_str(value).ok();
    add(&FORWARDED_HOST, host);
    add(&FORWARDED_PROTO, Some(HeaderValue::from_static(proto)));
    add(&FORWARDED_FOR, forwarded_for(client, &connection.forwarded.via).try_into().ok());
    add(&FORWARDED_PORT, target.authority().port().and_then(|port| text(port.as_str())));
    add(&header::FORWARDED, forwarded(client, authority, proto, &connection.forwarded.via).try_into().ok());
    add(&FORWARDED_PREFIX, route.upstream.path.as_ref().and_then(|path| path.stripped.clone()));
    add(&REQUEST_ID, text(request_id));
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
        Value::String(text) if is_ambiguous(text) => return None,
        Value::String(text) => text.clone(),
        Value::Null => return None,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => claim.to_string(),
    };
    Some(text).filter(|text| text.is_ascii())
}

/// Whether the upstream could take a claim's string for another value. A header loses whitespace at its ends (`admin `
/// would become `admin`; RFC 9112 §5), an empty one may count as absent, and text like JSON is what a claim of another
/// type looks like. A number is no such case: its text is the same, and subjects are often numbers.
fn is_ambiguous(text: &str) -> bool {
    text.trim() != text || matches!(text, "" | "true" | "false" | "null") || text.starts_with(['{', '[', '"'])
}

/// Sets a header, unless the value has a byte that no header can carry.
pub(super) fn set(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::is_listed;

    /// A header that a provider sends must reach the upstream, as one that it signs does. Words with a hyphen are looked at.
    #[test]
    fn no_header_of_a_preset_is_removed() {
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/presets")).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let words =
                lines.flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-'));
            for word in words.filter(|word| word.contains('-') && !text.contains(&format!("header:{word}"))) {
                assert!(!is_listed(&word.to_ascii_lowercase()), "{}: {word}", path.display());
            }
        }
    }
}
