//! The opening handshake of WebSocket (RFC 6455 §4): which requests ask for it, which the gateway forwards, and which
//! response of the upstream completes it. WebSocket is the only protocol to which the gateway switches, over HTTP/1.1
//! alone: the extended CONNECT of HTTP/2 (RFC 8441) is not supported.
//!
//! If an upstream and the gateway disagree about a switch, a connection with requests of others becomes a tunnel (request
//! smuggling): a request that is no complete handshake is rejected, and so is a `101` that does not
//! answer the key. `hookgate explain` uses the check of requests too.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::reason::Reason;
use crate::route::{Route, WebSocketRule};

/// The text that follows the key in the hash of `Sec-WebSocket-Accept` (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The prefix of the handshake's headers, all of which are end-to-end.
const PREFIX: &str = "sec-websocket-";

/// Whether the request asks for WebSocket. Other offers of `Upgrade` may be ignored by a server (RFC 9110 §7.8), but a
/// client that asks for WebSocket has no use for another response.
pub(super) fn is_requested(head: &Parts) -> bool {
    elements(&head.headers, &UPGRADE).any(|offer| offer.split('/').next().is_some_and(is_websocket))
}

/// The rule of the route if the request is a handshake that it forwards; `None` if the request asks for no WebSocket.
///
/// # Errors
/// `UpgradeNotSupported` if the route has no `websocket`, or the request is no complete handshake; `OriginNotAllowed`.
pub fn requested<'r>(head: &Parts, route: &'r Route) -> Result<Option<&'r WebSocketRule>, Reason> {
    if !is_requested(head) {
        return Ok(None);
    }
    let rule = route.websocket.as_ref().filter(|_| is_handshake(head)).ok_or(Reason::UpgradeNotSupported)?;
    if let Some(origins) = &rule.origins {
        let origin = only(&head.headers, &ORIGIN).filter(|origin| origins.iter().any(|one| one.is(origin)));
        origin.ok_or(Reason::OriginNotAllowed)?;
    }
    Ok(Some(rule))
}

/// Whether the request is a handshake (RFC 6455 §4.2.1) that has no body and offers no other protocol.
fn is_handshake(head: &Parts) -> bool {
    let headers = &head.headers;
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && only(headers, &UPGRADE).and_then(|offer| offer.to_str().ok()).is_some_and(is_websocket)
        && elements(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"))
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
        && only(headers, &SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && only(headers, &SEC_WEBSOCKET_KEY).is_some_and(is_key)
}

/// The base64 of 16 bytes.
fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == 16)
}

/// Whether a handshake needs the header, which `Connection` must not remove: without the key a 101 could not be verified.
pub(super) fn needs(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX) || *name == ORIGIN
}

/// Adds the handshake's headers of this hop to a request or a response.
pub(super) fn announce(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// The value of `Sec-WebSocket-Accept` with which the upstream must answer this request; `None` if it is no handshake:
/// only [`announce`] adds `Upgrade` to a request of the gateway.
pub(super) fn expected_accept(headers: &HeaderMap) -> Option<String> {
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| headers.contains_key(UPGRADE))?;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID.as_bytes()].concat());
    Some(STANDARD.encode(hash.as_ref()))
}

/// Whether these headers of a `101` complete the handshake (RFC 6455 §4.1).
pub(super) fn completes(headers: &HeaderMap, expected_accept: &str) -> bool {
    only(headers, &UPGRADE).and_then(|protocol| protocol.to_str().ok()).is_some_and(is_websocket)
        && elements(headers, &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"))
        && only(headers, &SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| accept == expected_accept)
}

fn is_websocket(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("websocket")
}

/// The elements of a header that is a list of tokens.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|element| element.trim_matches([' ', '\t']))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// The example of RFC 6455 §1.2.
    fn handshake() -> Parts {
        let request = Request::get("/chat").header("host", "server.example.com").header("upgrade", "websocket");
        let request = request.header("connection", "Upgrade").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.header("sec-websocket-version", "13").body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_handshake_of_rfc_6455_is_one() {
        assert!(is_requested(&handshake()) && is_handshake(&handshake()));
        let expected = expected_accept(&handshake().headers).unwrap();
        assert_eq!(expected, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut response = HeaderMap::new();
        announce(&mut response);
        assert!(!completes(&response, &expected));
        response.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(completes(&response, &expected));
        response.append(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(!completes(&response, &expected));
        response.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOp="));
        assert!(!completes(&response, &expected));
    }

    #[test]
    fn each_rule_of_the_handshake_holds() {
        for (name, value) in [
            ("upgrade", Some("websocket, h2c")),
            ("upgrade", Some("websocket/13")),
            ("connection", Some("keep-alive")),
            ("connection", None),
            ("content-length", Some("0")),
            ("transfer-encoding", Some("chunked")),
            ("sec-websocket-version", Some("8")),
            ("sec-websocket-version", None),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ")),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25j")),
            ("sec-websocket-key", None),
        ] {
            let mut head = handshake();
            match value {
                Some(value) => drop(head.headers.insert(name, HeaderValue::from_static(value))),
                None => drop(head.headers.remove(name)),
            }
            assert!(is_requested(&head) && !is_handshake(&head), "{name}: {value:?}");
        }
        let mut head = handshake();
        head.method = Method::POST;
        assert!(!is_handshake(&head));
        let mut head = handshake();
        head.version = Version::HTTP_10;
        assert!(!is_handshake(&head));
        for name in [UPGRADE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION] {
            let mut head = handshake();
            let value = head.headers[&name].clone();
            head.headers.append(&name, value);
            assert!(!is_handshake(&head), "{name} twice");
        }
    }

    #[test]
    fn other_offers_ask_for_no_websocket() {
        for (offer, asks) in
            [("h2c", false), ("TLS/1.0, HTTP/1.1", false), ("h2c,WebSocket", true), ("websockets", false)]
        {
            let mut head = handshake();
            head.headers.insert(UPGRADE, HeaderValue::from_static(offer));
            assert_eq!(is_requested(&head), asks, "{offer}");
        }
    }
}
