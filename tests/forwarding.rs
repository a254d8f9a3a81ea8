//! The request that reaches the upstream, and the response that comes back.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::configuration::{Configuration, Preset, Route, Timestamp, file};
use crate::support::http2::{HEADERS, PREFACE, SETTINGS, frame, frames_until, http2_fields, literal};
use crate::support::{Gateway, Setup, Upstream, hmac};

#[tokio::test]
async fn a_good_request_reaches_the_upstream_unchanged() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let body = Bytes::from_static(b"{\"a\": 1}\n\xff\x00 not json");
    let request = gateway.client().request("/webhook?b=%2f..%2F&a=1;2&&c").header("x-own", "1");
    let request = request.header("authorization", format!("Bearer {}", gateway.token()));
    let answer = gateway
        .client()
        .send(request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), body.clone())
        .await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &body));
    let seen = upstream.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/webhook?b=%2f..%2F&a=1;2&&c"));
    assert_eq!(seen.body, body);
    assert_eq!(seen.header("x-own"), Some("1"));
    assert_eq!(seen.header("traceparent"), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    assert!(seen.header("authorization").unwrap().starts_with("Bearer ey"));
}

#[tokio::test]
async fn the_upstream_learns_where_a_request_came_from() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let answer = gateway.client().post(&gateway.token()).await;
    let seen = upstream.only();
    let host = format!("localhost:{}", gateway.address().port());
    assert_eq!(seen.header("host"), Some(host.as_str()));
    assert_eq!(seen.header("x-forwarded-host"), Some(host.as_str()));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let forwarded = format!("for=127.0.0.1;host=\"{host}\";proto=https");
    assert_eq!(seen.header("forwarded"), Some(forwarded.as_str()));
    assert_eq!(seen.header("x-request-id"), answer.header("x-request-id"));
    assert_eq!(answer.header("server"), Some("the-app"));
}

/// HTTP/2 would carry such a length into HTTP/1, where servers read it differently.
#[tokio::test]
async fn an_ambiguous_length_is_rejected_in_both_versions() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    for lengths in ["Content-Length: 002\r\n", "Content-Length: 2\r\nContent-Length: 2\r\n"] {
        let request = format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\n{lengths}Authorization: Bearer {}\r\n\r\n{{}}",
            gateway.token()
        );
        let answer = gateway.wire().await.write(request).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("ambiguous_framing"), "{answer}");
    }
    for lengths in [&["002"][..], &["2", "2"]] {
        let client = gateway.client_http2();
        let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
        let request = lengths.iter().fold(request, |request, length| request.header("content-length", *length));
        assert_eq!(client.send(request, "{}").await.problem(), (400, "ambiguous_framing".into()), "{lengths:?}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_absolute_target_of_another_scheme_is_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    for (scheme, status) in [("ftp", 400), ("ws", 400), ("https", 200), ("http", 200)] {
        let request = format!(
            "POST {scheme}://localhost/webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            gateway.token()
        );
        let answer = gateway.wire().await.write(request).await.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{scheme}: {answer}");
    }
}

/// hyper's client would send a GET of unknown length without its body.
#[tokio::test]
async fn a_get_keeps_its_chunked_body() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.without("match.methods")).start();
    let request = format!(
        "GET /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        gateway.token()
    );
    assert!(gateway.wire().await.write(request).await.rest().await.starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.only().body, "body");
}

/// A gateway that streams a body, and one that buffers it for its signature.
fn streaming_and_buffering(upstream: &Upstream) -> [Gateway; 2] {
    let buffering = Setup::new(upstream.address).file("secret", SECRET);
    [Gateway::before(upstream), buffering.auth(Preset::new("github").secret(file("secret"))).start()]
}

const SECRET: &str = "the secret of a sender";

/// Credentials for both gateways, for the body `{}`.
fn good_twice(gateway: &Gateway) -> [(&'static str, String); 2] {
    let signature = format!("sha256={}", hmac(SECRET, "{}"));
    [("authorization", format!("Bearer {}", gateway.token())), ("x-hub-signature-256", signature)]
}

/// Asserts that the upstream got the body of the last request and none of its trailers.
#[track_caller]
fn saw_no_trailers(upstream: &Upstream, gateway: &Gateway) {
    let seen = upstream.seen().pop().unwrap();
    assert_eq!((&seen.body[..], &seen.trailers), (&b"{}"[..], &None));
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {}", gateway.token())));
    assert_eq!((seen.header("x-hookgate-sub"), seen.header("trailer")), (None, None));
}

#[tokio::test]
async fn trailers_of_a_request_do_not_reach_the_upstream() {
    let upstream = Upstream::echo().await;
    for gateway in streaming_and_buffering(&upstream) {
        let good = good_twice(&gateway).map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let request = format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\n{good}Transfer-Encoding: chunked\r\n\
             Trailer: x-hookgate-sub, authorization\r\nConnection: close\r\n\r\n2\r\n{{}}\r\n0\r\n\
             X-Hookgate-Sub: admin\r\nAuthorization: Bearer admin\r\n\r\n"
        );
        let answer = gateway.wire().await.write(request).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        saw_no_trailers(&upstream, &gateway);
    }
}

/// HTTP/2 trailers are a HEADERS frame after the DATA frames (RFC 9113 §8.1).
#[tokio::test]
async fn trailers_over_http2_do_not_reach_the_upstream() {
    const DATA_WITH_END: (u8, u8) = (0, 1);
    let upstream = Upstream::echo().await;
    let trailers = [literal("x-hookgate-sub", "admin"), literal("authorization", "Bearer admin")].concat();
    for gateway in streaming_and_buffering(&upstream) {
        let [_, (name, signature)] = good_twice(&gateway);
        let head = [http2_fields(&gateway.token()), literal(name, &signature)].concat();
        let request = [frame(HEADERS, 4, 1, &head), frame(0, 0, 1, b"{}"), frame(HEADERS, 5, 1, &trailers)].concat();
        let mut wire = gateway.wire_http2().await;
        wire.write([PREFACE, SETTINGS, &request].concat()).await;
        frames_until(&mut wire, |kind, flags| (kind, flags) == DATA_WITH_END).await;
        saw_no_trailers(&upstream, &gateway);
    }
}

/// Caddy CVE-2026-27588: beyond a hundred hosts the comparison was case-sensitive.
#[tokio::test]
async fn a_host_is_found_among_many_in_any_case() {
    let upstream = Upstream::echo().await;
    let routes = (0..300).map(|index| {
        let route = Route::new(&format!("r-{index}")).host(format!("Host-{index}.Example")).path("/a");
        route.upstream(format!("http://{}", upstream.address)).auth("public")
    });
    let setup = Setup::new(upstream.address);
    let gateway = setup.top(|top| routes.fold(top, Configuration::add_route)).start();
    let request = "POST /a HTTP/1.1\r\nHost: hOST-299.eXAMPLE\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(gateway.wire().await.write(request).await.rest().await.starts_with("HTTP/1.1 200"));
    let forwarded = "hookgate_requests_total{outcome=\"forwarded\",reason=\"\",route=\"r-299\"}";
    assert_eq!(gateway.metric(forwarded).await, Some(1.0));
    assert_eq!(upstream.only().header("host"), Some("hOST-299.eXAMPLE"));
}

/// WSGI merges `X-Auth-Token` and `X_Auth_Token`, so only the verified header is forwarded.
#[tokio::test]
async fn no_other_spelling_of_a_verified_header_reaches_the_upstream() {
    let upstream = Upstream::echo().await;
    let timestamp = Timestamp::in_header("X-Sent-At").signed(false);
    let gateway = Setup::new(upstream.address)
        .route(|route| route.timestamp(timestamp).jwt(|jwt| jwt.token_from(json!({"header": "X-Auth-Token"}))))
        .start();
    let now = crate::support::NOW.to_string();
    let request = gateway.client().request("/webhook").header("x-auth-token", gateway.token()).header("x-sent-at", now);
    let request = request.header("x_auth_token", "evil").header("x.auth.token", "evil").header("x_sent_at", "evil");
    assert_eq!(gateway.client().send(request, "{}").await.status, 200);
    let seen = upstream.only();
    assert!(seen.header("x-auth-token").is_some() && seen.header("x-sent-at").is_some());
    assert!(seen.headers.values().all(|value| value != "evil"), "{:?}", seen.headers);
}

#[tokio::test]
async fn cookies_split_by_http2_are_one_header_again() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let client = gateway.client_http2();
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    assert_eq!(client.send(request.header("cookie", "a=1").header("cookie", "b=2; c=3"), "{}").await.status, 200);
    assert_eq!(upstream.only().header("cookie"), Some("a=1; b=2; c=3"));
}

#[tokio::test]
async fn the_credential_can_be_removed_before_the_upstream() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.credential("remove")).start();
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert_eq!(upstream.only().header("authorization"), None);
}

#[tokio::test]
async fn large_bodies_stream_through_in_both_directions() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.max_body_size("16MiB")).start();
    let body = Bytes::from((0..8_u32 << 20).map(|index| (index % 251) as u8).collect::<Vec<_>>());
    for client in [gateway.client(), gateway.client_http2()] {
        let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
        let answer = client.send(request, body.clone()).await;
        assert!(answer.status == 200 && answer.body == body);
    }
}

#[tokio::test]
async fn http2_is_served_by_alpn() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    assert_eq!(gateway.client_http2().post(&gateway.token()).await.status, 200);
    let host = format!("localhost:{}", gateway.address().port());
    assert_eq!(upstream.only().header("host"), Some(host.as_str()));
    assert_eq!(gateway.client_http2().post("x").await.problem(), (401, "unauthorized".into()));
}

#[tokio::test]
async fn pipelined_requests_are_each_answered() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let good = |connection: &str, body: &str| {
        format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: {connection}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            gateway.token(),
            body.len()
        )
    };
    let bad = "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let requests = format!("{}{bad}{}", good("keep-alive", "one"), good("close", "two"));
    let answers = gateway.wire().await.write(requests).await.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 401 Unauthorized").count(), 1, "{answers}");
    assert_eq!(upstream.seen().iter().map(|seen| seen.body.clone()).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn a_sender_that_expects_100_continue_is_rejected_on_its_headers() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let head = |token: &str| {
        format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
    };
    let rejected = gateway.wire().await.write(head("x.y.z")).await.rest().await;
    assert!(rejected.starts_with("HTTP/1.1 401"), "{rejected}");
    let mut wire = gateway.wire().await;
    wire.write(head(&gateway.token())).await.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert!(wire.write("{}").await.rest().await.contains("HTTP/1.1 200"));
    assert_eq!(upstream.only().header("expect"), None);
}

#[tokio::test]
async fn an_unreachable_upstream_is_502() {
    let gateway = Setup::new("127.0.0.1:9".parse().unwrap()).start();
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (502, "upstream_unreachable".into()));
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http_is_502() {
    for nonsense in [
        &b""[..],
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let upstream = Upstream::saying(nonsense).await;
        let gateway = Gateway::before(&upstream);
        assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (502, "upstream_protocol_error".into()));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_504() {
    let upstream = Upstream::silent().await;
    let gateway = Setup::new(upstream.address).route(|route| route.upstream_total("200ms")).start();
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (504, "upstream_timeout".into()));
}

#[tokio::test]
async fn a_response_that_takes_too_long_is_counted_as_incomplete() {
    let upstream = Upstream::halting(Arc::new(Semaphore::new(0))).await;
    let gateway = Setup::new(upstream.address).route(|route| route.upstream_total("200ms")).start();
    let request = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        gateway.token()
    );
    let answer = gateway.wire().await.write(request).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("2\r\nha\r\n"), "{answer}");
    let incomplete = "outcome=\"upstream_incomplete\",reason=\"upstream_timeout\",status=\"200\"";
    assert_eq!(gateway.metric(&format!("hookgate_requests_total{{{incomplete}}}")).await, Some(1.0));
}

#[tokio::test]
async fn forwarded_requests_are_counted_by_their_status() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    for status in [200, 204, 302, 503, 204] {
        let request = gateway.client().request(&format!("/webhook?status={status}"));
        gateway.client().send(request.header("authorization", format!("Bearer {}", gateway.token())), "").await;
    }
    for (status, count) in [(200, 1.0), (204, 2.0), (302, 1.0), (503, 1.0)] {
        let labels = format!("{{outcome=\"forwarded\",reason=\"\",route=\"webhook\",status=\"{status}\"}}");
        assert_eq!(gateway.metric(&format!("hookgate_requests_total{labels}")).await, Some(count), "{status}");
    }
}

#[tokio::test]
async fn statuses_of_the_upstream_are_forwarded() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    for status in [204, 302, 401, 404, 429, 500, 503] {
        let request = gateway.client().request(&format!("/webhook?status={status}"));
        let answer =
            gateway.client().send(request.header("authorization", format!("Bearer {}", gateway.token())), "").await;
        assert_eq!((answer.status.as_u16(), answer.header("x-from-app")), (status, Some("1")));
    }
}
