//! CORS: preflights are answered for the listed origins, and only their pages can read responses.

use http::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, Setup, Upstream};

const ORIGIN: &str = "https://app.example.com";

async fn start(upstream: &Upstream, cors: serde_json::Value) -> Gateway {
    let mut all = json!({ "origins": [ORIGIN] });
    all.as_object_mut().unwrap().extend(cors.as_object().unwrap().clone());
    Setup::new(upstream.address).route(|route| route.with("cors", all)).start()
}

async fn preflight(gateway: &Gateway, origin: &str, method: &str) -> Answer {
    let client = gateway.client();
    let request = client.request("/webhook").method(Method::OPTIONS).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    client.send(request.header("access-control-request-headers", "authorization"), "").await
}

#[tokio::test]
async fn a_preflight_is_answered_for_listed_origins_alone() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, json!({ "headers": ["X-More"], "max_age": "1h" })).await;
    let answer = preflight(&gateway, ORIGIN, "POST").await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", ORIGIN),
        ("access-control-allow-methods", "POST, PUT"),
        ("access-control-allow-headers", "authorization, content-type, x-more"),
        ("access-control-max-age", "3600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for origin in
        ["null", "*", "https://app.example.com.evil.test", "http://app.example.com", "https://APP.example.com"]
    {
        let answer = preflight(&gateway, origin, "POST").await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (403, None), "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    assert_eq!(preflight(&gateway, ORIGIN, "DELETE").await.problem(), (405, "method_not_allowed".into()));
    assert_eq!(preflight(&gateway, ORIGIN, "a b").await.problem(), (405, "method_not_allowed".into()));
    assert!(upstream.seen().is_empty());
    assert_eq!(gateway.counted("preflight_answered", "").await, Some(1.0));
    assert_eq!(gateway.counted("rejected", "origin_not_allowed").await, Some(5.0));
}

#[tokio::test]
async fn responses_are_readable_for_listed_origins_alone() {
    let upstream = Upstream::echo().await;
    let gateway = start(&upstream, json!({ "credentials": true })).await;
    let client = gateway.client();
    let ask = async |origin: Option<&str>, token: &str| {
        let request = client.request("/webhook").header("authorization", format!("Bearer {token}"));
        let request = origin
            .into_iter()
            .fold(request, |request: http::request::Builder, origin| request.header("origin", origin));
        client.send(request, "{}").await
    };
    let (token, other) = (gateway.token(), Some("https://other.example.com"));
    for (origin, token, status, allowed) in [
        (Some(ORIGIN), token.as_str(), 200, Some(ORIGIN)),
        (Some(ORIGIN), "no.valid.token", 401, Some(ORIGIN)),
        (other, token.as_str(), 200, None),
        (None, token.as_str(), 200, None),
        (other, "no.valid.token", 401, None),
    ] {
        let answer = ask(origin, token).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), allowed.map(|_| "true"), "{origin:?}");
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

/// The upstream's own headers would allow other origins, or be there twice, which browsers reject.
#[tokio::test]
async fn the_headers_of_the_upstream_are_replaced() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
          Vary: Accept\r\nAccess-Control-Expose-Headers: X-Total\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let gateway = start(&upstream, json!({})).await;
    let client = gateway.client();
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    let answer = client.send(request.header("origin", ORIGIN), "{}").await;
    let all = |name: &str| {
        answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all("access-control-allow-origin"), [ORIGIN]);
    assert_eq!(all("access-control-allow-credentials"), [""; 0]);
    assert_eq!(all("vary"), ["Accept", "Origin"]);
    assert_eq!(all("access-control-expose-headers"), ["X-Total"]);
}

/// Without `cors`, and without one of its two headers, OPTIONS is a method like any other.
#[tokio::test]
async fn other_options_requests_are_no_preflights() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).start();
    assert_eq!(preflight(&gateway, ORIGIN, "POST").await.problem(), (405, "method_not_allowed".into()));
    let gateway = start(&upstream, json!({})).await;
    let client = gateway.client();
    for header in [("origin", ORIGIN), ("access-control-request-method", "POST")] {
        let request: http::request::Builder = client.request("/webhook").method(Method::OPTIONS);
        assert_eq!(
            client.send(request.header(header.0, header.1), "").await.problem(),
            (405, "method_not_allowed".into())
        );
    }
}
