//! HTTP/2 to the upstream, as gRPC needs it. tests/e2e/grpc_calls.py has a real gRPC client and server.

use std::sync::Arc;

use serde_json::json;

use super::{UNREACHABLE, before, before_tls, problem, statuses, urls};
use crate::support::configuration::{ReplayProtection, Route, Store};
use crate::support::http2::{HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, http2_fields, http2_head, literal};
use crate::support::{Calls, Client, Gateway, Setup, Upstream, certificate, hmac, until};

fn http2(route: Route) -> Route {
    route.with("upstream.protocol", "http2").upstream_keepalive("10s")
}

fn before_http2(upstream: &Upstream) -> Setup {
    before(&format!("http://{}", upstream.address)).route(http2)
}

fn call(client: &Client, token: &str) -> http::request::Builder {
    client.request("/webhook").header("authorization", format!("Bearer {token}")).header("te", "trailers")
}

#[tokio::test]
async fn an_http2_upstream_gets_the_request_and_its_trailers_reach_the_client() {
    let (ca, chain, key) = certificate(&["localhost"]);
    let plain = Upstream::http2(Calls::open()).await;
    let tls = Upstream::http2_tls(&chain, &key, b"h2").await;
    let setups =
        [before_http2(&plain), before_tls("localhost", &tls, Some("app.pem")).file("app.pem", &ca).route(http2)];
    for (setup, (upstream, scheme)) in setups.into_iter().zip([(&plain, "http"), (&tls, "https")]) {
        let gateway = setup.start();
        let client = gateway.client_http2();
        let answer = client.send(call(&client, &gateway.token()).header("x-own", "1"), "a message").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "a message"));
        // Trailers that could change how the message is read are removed.
        let trailers = answer.trailers.unwrap();
        assert_eq!((trailers.len(), trailers["grpc-status"].to_str().unwrap()), (1, "0"));
        let seen = upstream.only();
        let target = format!("{scheme}://localhost:{}/webhook", gateway.address().port());
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str(), &seen.body[..]),
            ("POST", target.as_str(), &b"a message"[..])
        );
        assert_eq!((seen.header("te"), seen.header("x-own"), seen.header("host")), (Some("trailers"), Some("1"), None));
        // Over HTTP/1, without TE, and over the same connection.
        assert_eq!(gateway.client().post(&gateway.token()).await.text(), "{}");
        assert_eq!((upstream.seen()[1].header("te"), upstream.connections()), (None, 1));
    }
}

#[tokio::test]
async fn an_http1_upstream_gets_no_te_and_no_trailers() {
    let upstream = Upstream::echo().await;
    let gateway = before(&format!("http://{}", upstream.address)).start();
    let client = gateway.client_http2();
    assert_eq!(client.send(call(&client, &gateway.token()), "").await.status, 200);
    assert_eq!(upstream.only().header("te"), None);
}

#[tokio::test]
async fn safe_trailers_of_a_request_are_forwarded() {
    let upstream = Upstream::http2(Calls::open()).await;
    let streaming = before_http2(&upstream);
    // A signed body is buffered.
    let preset = json!({ "preset": "github", "secret": { "file": "secret" } });
    let buffering = before_http2(&upstream).file("secret", "the secret of a sender").auth(preset);
    for setup in [streaming, buffering] {
        let gateway = setup.start();
        let signature = format!("sha256={}", hmac("the secret of a sender", "abc"));
        let head = format!(
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nX-Hub-Signature-256: {signature}\r\n\
             Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
            gateway.token()
        );
        let trailers = "Server-Timing: a;dur=1\r\nAuthorization: Bearer evil\r\nX-Role: admin\r\n\r\n";
        let answer = gateway.wire().await.write(format!("{head}3\r\nabc\r\n0\r\n{trailers}")).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let seen = upstream.seen().pop().unwrap();
        let trailers = seen.trailers.unwrap();
        assert_eq!(
            (&seen.body[..], trailers.len(), &trailers["server-timing"]),
            (&b"abc"[..], 1, &"a;dur=1".parse().unwrap())
        );
    }
}

/// A burst on a new upstream: no request waits for a free stream while another connection could be opened, and none opens
/// a connection while there is one with a free stream.
#[tokio::test]
async fn requests_share_a_connection_as_far_as_the_upstream_allows() {
    for (streams, connections) in [(1000, 1), (4, 3), (1, 10)] {
        let calls = Calls { streams, ..Calls::held() };
        let upstream = Upstream::http2(calls.clone()).await;
        let gateway = Arc::new(before_http2(&upstream).start());
        let requests: Vec<_> = (0..10)
            .map(|_| {
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move { gateway.client().post(&gateway.token()).await.status.as_u16() })
            })
            .collect();
        until("all have arrived", async || upstream.seen().len() == 10).await;
        assert_eq!(upstream.connections(), connections, "{streams} streams");
        calls.gate.add_permits(10);
        for request in requests {
            assert_eq!(request.await.unwrap(), 200);
        }
    }
}

/// The requests that wait for a connection wait no longer than one would take.
#[tokio::test]
async fn an_upstream_that_never_allows_a_stream_gets_no_request() {
    let silent = Upstream::silent().await;
    let none = Upstream::http2(Calls { streams: 0, ..Calls::open() }).await;
    for upstream in [silent, none] {
        let setup = before_http2(&upstream).route(|route| route.upstream_connect("100ms"));
        let gateway = Arc::new(setup.start());
        let requests: Vec<_> = (0..3)
            .map(|_| {
                let gateway = Arc::clone(&gateway);
                tokio::spawn(async move { problem(&gateway).await })
            })
            .collect();
        for request in requests {
            let (status, code) = request.await.unwrap();
            assert_eq!((status, code.as_str()), UNREACHABLE);
        }
        assert!(upstream.seen().is_empty());
    }
}

/// Codes of RST_STREAM (RFC 9113 §7).
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

/// A reset ends one stream (RFC 9113 §5.4.2): the others of the connection, and the upstream, are as healthy as before.
#[tokio::test]
async fn a_reset_of_a_stream_says_nothing_about_its_connection() {
    let upstream = Upstream::http2(Calls::resetting(&[INTERNAL_ERROR, CANCEL])).await;
    let gateway = before_http2(&upstream).start();
    for _ in 0..2 {
        assert_eq!(problem(&gateway).await, (502, "upstream_protocol_error".to_owned()));
    }
    assert_eq!((statuses(&gateway, 1).await, upstream.connections()), (vec![200], 1));
}

#[tokio::test]
async fn resets_of_streams_eject_no_upstream() {
    let one = Upstream::http2(Calls::resetting(&[INTERNAL_ERROR; 10])).await;
    let two = Upstream::http2(Calls::open()).await;
    let route = |route: Route| http2(route.without("upstream.url").upstreams(urls(&[one.address, two.address])));
    let gateway: Gateway = before("").route(route).start();
    assert_eq!(statuses(&gateway, 20).await.iter().filter(|status| **status == 502).count(), 10);
    assert_eq!((one.seen().len(), two.seen().len()), (10, 10));
}

/// RFC 9113 §8.7: the upstream has not processed the request, so that it may be sent again.
#[tokio::test]
async fn a_request_that_the_upstream_has_refused_is_sent_once_more() {
    let preset = json!({ "preset": "github", "secret": { "file": "secret" } });
    for (refused, status) in [(1, 200), (2, 502)] {
        for body in ["", "the event"] {
            let upstream = Upstream::http2(Calls::resetting(&vec![REFUSED_STREAM; refused])).await;
            let setup = before_http2(&upstream).file("secret", "the secret of a sender").auth(preset.clone());
            let gateway = setup.start();
            let client = gateway.client();
            let signature = format!("sha256={}", hmac("the secret of a sender", body));
            let signed = client.request("/webhook").header("x-hub-signature-256", signature);
            assert_eq!(client.send(signed, body).await.status, status);
            let bodies: Vec<_> = upstream.seen().into_iter().map(|seen| seen.body).collect();
            assert_eq!(bodies, [body; 2]);
        }
    }
    // A streamed body is gone; its sender learns that the upstream has not received it.
    let upstream = Upstream::http2(Calls::resetting(&[REFUSED_STREAM])).await;
    let gateway = before_http2(&upstream).start();
    assert_eq!((problem(&gateway).await, upstream.seen().len()), ((502, "upstream_unreachable".to_owned()), 1));
    assert_eq!((statuses(&gateway, 1).await, upstream.connections()), (vec![200], 1));
}

/// Another upstream may serve a request that the first one has rejected.
#[tokio::test]
async fn a_refused_request_goes_to_the_next_upstream() {
    let one = Upstream::http2(Calls::resetting(&[REFUSED_STREAM; 8])).await;
    let two = Upstream::http2(Calls::open()).await;
    let route = |route: Route| http2(route.without("upstream.url").upstreams(urls(&[one.address, two.address])));
    let gateway: Gateway = before("").route(|it| route(it).methods(["GET"])).start();
    for _ in 0..8 {
        let head = format!(
            "GET /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            gateway.token()
        );
        let answer = gateway.wire().await.write(head).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!((one.seen().len(), two.seen().len()), (8, 8));
}

/// RFC 9113 §6.8: a GOAWAY names the last request that the upstream may have processed.
#[tokio::test]
async fn a_request_that_a_goaway_leaves_out_is_sent_once_more() {
    let upstream = Upstream::http2_going_away().await;
    let gateway = before_http2(&upstream).route(|route| route.methods(["GET"])).start();
    let head = format!(
        "GET /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        gateway.token()
    );
    let answer = gateway.wire().await.write(head).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!((upstream.seen().len(), upstream.connections()), (1, 2));
}

/// RFC 9112 §3.2.1: the path of an absolute target may be empty, even before a query.
#[tokio::test]
async fn an_absolute_target_without_a_path_gets_one() {
    let (one, two) = (Upstream::echo().await, Upstream::http2(Calls::open()).await);
    for (setup, upstream) in [(before(&format!("http://{}", one.address)), &one), (before_http2(&two), &two)] {
        let gateway = setup.route(|route| route.path("/").methods(["GET"])).start();
        for (target, expected) in [("?q", "/?q"), ("", "/"), ("/?q", "/?q")] {
            let head = format!(
                "GET https://localhost{target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
                 Connection: close\r\n\r\n",
                gateway.token()
            );
            let answer = gateway.wire().await.write(head).await.rest().await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
            let target = upstream.seen().pop().unwrap().target;
            assert_eq!(target.strip_prefix("http://localhost").unwrap_or(&target), expected);
        }
    }
}

#[tokio::test]
async fn each_request_has_its_own_connection_without_reuse() {
    let upstream = Upstream::http2(Calls::open()).await;
    let gateway = before_http2(&upstream).route(|route| route.with("upstream.reuse", "never")).start();
    assert_eq!(statuses(&gateway, 3).await, [200; 3]);
    assert_eq!(upstream.connections(), 3);
    until("they are closed", async || upstream.open() == 0).await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let upstream = Upstream::http2(Calls::open()).await;
    let gateway = before_http2(&upstream).route(|route| route.upstream_keepalive("50ms")).start();
    assert_eq!(statuses(&gateway, 2).await, [200; 2]);
    until("it is closed", async || upstream.open() == 0).await;
}

/// A connection that has died shows nothing but timeouts, and would otherwise be used for ever.
#[tokio::test]
async fn a_connection_on_which_a_request_timed_out_gets_no_other() {
    let calls = Calls::held();
    let upstream = Upstream::http2(calls.clone()).await;
    let gateway = before_http2(&upstream).route(|route| route.upstream_total("300ms")).start();
    assert_eq!(problem(&gateway).await, (504, "upstream_timeout".to_owned()));
    calls.gate.add_permits(9);
    assert_eq!((statuses(&gateway, 2).await, upstream.connections()), (vec![200; 2], 2));
}

#[tokio::test]
async fn an_upstream_without_http2_is_an_error() {
    let (ca, chain, key) = certificate(&["localhost"]);
    for alpn in [&b""[..], b"http/1.1"] {
        let upstream = Upstream::http2_tls(&chain, &key, alpn).await;
        let gateway = before_tls("localhost", &upstream, Some("app.pem")).file("app.pem", &ca).route(http2).start();
        let (status, code) = problem(&gateway).await;
        assert_eq!((status, code.as_str()), UNREACHABLE);
    }
    let upstream = Upstream::echo().await;
    let gateway = before_http2(&upstream).start();
    let (status, code) = problem(&gateway).await;
    assert_eq!((status, code.as_str()), UNREACHABLE);
}

/// The HTTP status of a gRPC call is 200 also where it has failed.
#[tokio::test]
async fn a_grpc_call_that_fails_may_be_retried() {
    let upstream = Upstream::http2(Calls::open()).await;
    let setup = before_http2(&upstream).top(|top| top.store(Store::memory()));
    let gateway = setup.route(|route| route.replay_protection(ReplayProtection::claim("jti"))).start();
    let token = gateway.issuer.token_with(json!({ "jti": "event-1" }));
    let client = gateway.client_http2();
    let send = async |status: &str| {
        let answer = client.send(call(&client, &token).header("status", status), "").await;
        (answer.status.as_u16(), answer.trailers.map(|trailers| trailers["grpc-status"].to_str().unwrap().to_owned()))
    };
    assert_eq!(send("14").await, (200, Some("14".to_owned())));
    assert_eq!(send("0").await, (200, Some("0".to_owned())));
    assert_eq!(send("0").await, (409, None));
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn the_size_of_a_streamed_body_is_limited() {
    let upstream = Upstream::http2(Calls::open()).await;
    let gateway = before_http2(&upstream).route(|route| route.max_body_size("64KiB")).start();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        gateway.token()
    );
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    let mut wire = gateway.wire().await;
    let answer = wire.write(format!("{head}{chunk}{chunk}{chunk}")).await.read_until("body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(upstream.seen().is_empty());
    assert_eq!(statuses(&gateway, 1).await, [200]);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_stream() {
    let calls = Calls { streams: 1, ..Calls::held() };
    let upstream = Upstream::http2(calls.clone()).await;
    let gateway = before_http2(&upstream).start();
    calls.gate.add_permits(1);
    assert_eq!(statuses(&gateway, 1).await, [200]);
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, &http2_head(&gateway.token(), 5)].concat()).await;
    until("the call has arrived", async || upstream.seen().len() == 2).await;
    wire.write(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    calls.gate.add_permits(9);
    assert_eq!(statuses(&gateway, 1).await, [200]);
    drop(wire);
}

/// All on one connection to the upstream, whose window they would use up.
#[tokio::test]
async fn streams_whose_clients_do_not_read_hold_up_no_other() {
    let upstream = Upstream::http2(Calls::open()).await;
    let gateway = before_http2(&upstream).start();
    assert_eq!(statuses(&gateway, 1).await, [200]);
    let mut wire = gateway.wire_http2().await;
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2) is zero.
    wire.write([PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()).await;
    let fields = [http2_fields(&gateway.token()), literal("size", "1000000")].concat();
    for number in 0..90 {
        wire.write(frame(HEADERS, 5, 2 * number + 1, &fields)).await;
    }
    until("all have arrived", async || upstream.seen().len() == 91).await;
    let client = gateway.client();
    let answer = client.send(call(&client, &gateway.token()).header("size", "1000000"), "").await;
    assert_eq!((answer.body.len(), upstream.connections()), (1_000_000, 1));
}

#[tokio::test]
async fn a_dead_http2_upstream_costs_no_request() {
    let upstream = Upstream::http2(Calls::open()).await;
    let dead = Upstream::echo().await.stop().await;
    let urls = json!([format!("http://{dead}"), format!("http://{}", upstream.address)]);
    let route = |route: Route| http2(route.without("upstream.url").with("upstream.urls", urls));
    let gateway: Gateway = before("").route(route).start();
    assert_eq!(statuses(&gateway, 6).await, [200; 6]);
    assert_eq!((upstream.seen().len(), upstream.connections()), (6, 1));
}
