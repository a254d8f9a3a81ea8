//! Slow clients: each connection is closed at its timeout, and none delays a good request.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::support::configuration::Listener;
use crate::support::http2::{GOAWAY, PREFACE, SETTINGS, frame, frames_until, http2_head};
use crate::support::{Gateway, Setup, Upstream, Wire, until};

/// A gateway with these timeouts; the others keep the values of the tests.
fn gateway(upstream: &Upstream, timeouts: impl FnOnce(Listener) -> Listener) -> Gateway {
    Setup::new(upstream.address).listener(timeouts).start()
}

/// Sends `byte` repeatedly until the other side closes the connection.
async fn drip(wire: &mut Wire, byte: &[u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    until("the dripping connection is closed", async || {
        let mut buffer = [0; 4096];
        let gone = wire.0.write_all(byte).await.is_err() || wire.0.flush().await.is_err();
        let read = tokio::time::timeout(Duration::from_millis(1), wire.0.read(&mut buffer)).await;
        gone || matches!(read, Ok(Ok(0) | Err(_)))
    })
    .await;
}

#[tokio::test]
async fn silence_before_the_handshake_ends() {
    use tokio::io::AsyncReadExt;
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.tls_handshake("200ms"));
    let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let name = format!(
        "hookgate_tls_handshakes_total{{listener=\"{}\",result=\"error\",reason=\"timeout\"}}",
        gateway.address()
    );
    until("the timeout is counted", async || gateway.metric(&name).await == Some(1.0)).await;
}

#[tokio::test]
async fn silence_after_the_handshake_ends() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.first_request("200ms"));
    assert_eq!(gateway.wire().await.rest().await, "");
    // SETTINGS and GOAWAY may come first; the connection must end.
    gateway.wire_http2().await.rest().await;
    gateway.wire_http2().await.write([PREFACE, SETTINGS].concat()).await.rest().await;
}

#[tokio::test]
async fn half_the_headers_end_with_408() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.headers("200ms"));
    let answer = gateway.wire().await.write("POST /webhook HTTP/1.1\r\nHost: loc").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn half_the_second_headers_end_too() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.headers("200ms").keepalive("30s"));
    let mut wire = gateway.wire().await;
    wire.write("POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.read_until("}").await;
    let answer = wire.write("POST /web").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_byte_at_a_time_does_not_extend_the_headers_timeout() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.headers("300ms"));
    let mut wire = gateway.wire().await;
    wire.write("POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
    drip(&mut wire, b"a").await;
}

#[tokio::test]
async fn half_the_http2_headers_end() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.first_request("300ms"));
    let mut wire = gateway.wire_http2().await;
    // HEADERS without END_HEADERS, followed by endless CONTINUATION frames.
    wire.write([PREFACE, SETTINGS, &frame(1, 0, 1, &[0x83, 0x87])].concat()).await;
    drip(&mut wire, &frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b'])).await;
}

#[tokio::test]
async fn an_http2_connection_that_only_pings_ends() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.first_request("300ms").keepalive("300ms"));
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS].concat()).await;
    drip(&mut wire, &frame(6, 0, 0, &[0; 8])).await;
}

/// The endless frames of CVE-2023-44487, CVE-2024-27316, CVE-2025-8671 and RUSTSEC-2026-0258, and headers of 40 MB in
/// 14 kB of references to one header (RFC 7541 §7.3).
#[tokio::test]
async fn floods_of_http2_frames_end_their_connection() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let head = [&[0x83, 0x87, 1, 9][..], b"localhost", &[4, 8], b"/nowhere"].concat();
    let each_stream = |then: &[u8], kind| {
        let one = |stream| [frame(1, 5, stream, &head), frame(kind, 0, stream, then)].concat();
        (0..100).flat_map(|number| one(2 * number + 1)).collect::<Vec<_>>()
    };
    let field = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000], &[0xbe; 10_000]].concat();
    let floods = [
        ("rapid reset", each_stream(&[0, 0, 0, 8], 3)),
        ("made-you-reset", each_stream(&[0; 4], 8)),
        ("CONTINUATION", [frame(1, 0, 1, &head), frame(9, 0, 1, &[0, 1, b'x', 1, b'y']).repeat(1000)].concat()),
        ("empty DATA", [http2_head(&gateway.token(), 4), frame(0, 0, 1, &[]).repeat(20_000)].concat()),
        ("HPACK bomb", frame(1, 5, 1, &[head.clone(), field].concat())),
    ];
    for (name, flood) in floods {
        let mut wire = gateway.wire_http2().await;
        wire.write([PREFACE, SETTINGS, &flood].concat()).await;
        let frames = frames_until(&mut wire, |kind, _| kind == GOAWAY).await;
        assert!(!frames.contains(&(1, 4)), "{name}: {frames:?}");
    }
}

#[tokio::test]
async fn idle_connections_end() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.keepalive("200ms"));
    let mut wire = gateway.wire().await;
    wire.write("POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.read_until("}").await;
    assert_eq!(wire.rest().await, "");
}

fn half_a_body(token: &str) -> String {
    format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\nhalf"
    )
}

#[tokio::test]
async fn half_a_body_ends_with_408() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.request_body_idle("200ms"));
    let answer = gateway.wire().await.write(half_a_body(&gateway.token())).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_byte_at_a_time_does_not_extend_the_body_timeout() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.request_body("300ms"));
    let mut wire = gateway.wire().await;
    wire.write(half_a_body(&gateway.token())).await;
    drip(&mut wire, b"a").await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn half_an_http2_body_ends() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.request_body_idle("200ms").keepalive("200ms"));
    let mut wire = gateway.wire_http2().await;
    let head = http2_head(&gateway.token(), 4);
    wire.write([PREFACE, SETTINGS, &head, &frame(0, 0, 1, b"half")].concat()).await.rest().await;
    let timed_out = "hookgate_requests_total{outcome=\"error\",reason=\"request_timeout\",route=\"webhook\"}";
    assert_eq!(gateway.metric(timed_out).await, Some(1.0));
}

#[tokio::test]
async fn a_byte_at_a_time_does_not_extend_the_http2_body_timeout() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.request_body("300ms").keepalive("200ms"));
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, &http2_head(&gateway.token(), 4)].concat()).await;
    drip(&mut wire, &frame(0, 0, 1, b"a")).await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_is_dropped() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address)
        .route(|route| route.max_body_size("64MiB"))
        .listener(|listener| listener.response_write_idle("500ms"))
        .start();
    let token = gateway.token();
    let mut wire = gateway.wire().await;
    let body = "x".repeat(24 << 20);
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    wire.write(head).await.write(body).await;
    let open = format!("hookgate_open_connections{{listener=\"{}\"}}", gateway.address());
    until("the connection is gone", async || gateway.metric(&open).await == Some(0.0)).await;
}

/// Without a flow-control window no byte of a response can be sent, and neither the socket nor the total timeout
/// notices.
#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_dropped() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address)
        .route(|route| route.upstream_total("500ms"))
        .listener(|listener| listener.response_write_idle("300ms").keepalive("300ms"))
        .start();
    // SETTINGS_INITIAL_WINDOW_SIZE (4) = 0 (RFC 9113 §6.5.2).
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for token in ["x.y.z".to_owned(), gateway.token()] {
        let mut wire = gateway.wire_http2().await;
        let body = frame(0, 1, 1, b"{}");
        wire.write([PREFACE, &no_window, &http2_head(&token, 4), &body].concat()).await.rest().await;
    }
}

#[tokio::test]
async fn bodies_have_a_maximum_size() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.max_body_size("1KiB")).start();
    let client = gateway.client();
    let request = || client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    assert_eq!(client.send(request(), Bytes::from(vec![0; 1024])).await.status, 200);
    // With a declared length: rejected before anything else is checked.
    let declared = client.send(client.request("/webhook"), Bytes::from(vec![0; 1025])).await;
    assert_eq!(declared.problem(), (413, "body_too_large".into()));
    // Without a declared length: rejected when the limit is reached, and never forwarded complete.
    let chunked = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         401\r\n{}\r\n0\r\n\r\n",
        gateway.token(),
        "a".repeat(1025)
    );
    let answer = gateway.wire().await.write(chunked).await.read_until("body_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn headers_have_a_maximum_size() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.max_headers_size("8KiB").max_headers_count(20));
    let client = gateway.client();
    let large = client.send(client.request("/webhook").header("x", "a".repeat(9000)), "").await;
    assert_eq!(large.problem(), (431, "headers_too_large".into()));
    let many = (0..25).fold(client.request("/webhook"), |request, index| request.header(format!("x-{index}"), "1"));
    assert_eq!(client.send(many, "").await.problem(), (431, "headers_too_large".into()));
    let long = client.send(client.request(&format!("/{}", "a".repeat(8200))), "").await;
    assert_eq!(long.problem(), (414, "uri_too_long".into()));
    let huge = format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    assert!(gateway.wire().await.write(huge).await.rest().await.starts_with("HTTP/1.1 431"));
    assert!(upstream.seen().is_empty());
}

/// A token with many groups has more than the 8 KiB that other gateways allow for all headers.
#[tokio::test]
async fn a_token_may_be_as_large_as_all_headers() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.max_headers_size("40KiB"));
    let token = |groups: usize| {
        let groups: Vec<String> = (0..groups).map(|group| format!("72f988bf-86f1-41af-91ab-{group:012}")).collect();
        gateway.issuer.token_with(json!({ "groups": groups }))
    };
    let (large, huge) = (token(600), token(1200));
    assert!(large.len() > 30_000 && huge.len() > 60_000, "{} {}", large.len(), huge.len());
    assert_eq!(gateway.client().post(&large).await.status, 200);
    assert_eq!(gateway.client().post(&huge).await.problem(), (431, "headers_too_large".into()));
}

#[tokio::test]
async fn connections_of_one_address_have_a_maximum() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| listener.max_connections_per_ip(2));
    let (_one, two) = (gateway.wire().await, gateway.wire().await);
    let mut third = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let end = tokio::io::AsyncReadExt::read(&mut third, &mut [0; 16]).await.unwrap_or(0);
    assert_eq!(end, 0);
    let name = format!(
        "hookgate_connections_rejected_total{{listener=\"{}\",reason=\"max_connections_per_ip\"}}",
        gateway.address()
    );
    assert_eq!(gateway.metric(&name).await, Some(1.0));
    drop(two);
    until("a connection is free again", async || {
        gateway.metric(&format!("hookgate_open_connections{{listener=\"{}\"}}", gateway.address())).await == Some(1.0)
    })
    .await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

/// Two thousand slow clients, in each possible way, do not delay a good sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_silent_clients_delay_no_sender() {
    // Both ends of each connection are in this process.
    let open_files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(open_files >= 5000, "only {open_files} open files are allowed; see ulimit -n");
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |listener| {
        let listener = listener.tls_handshake("8s").first_request("8s").headers("8s");
        listener.keepalive("2s").request_body_idle("8s")
    });
    let mut raw = Vec::new();
    for _ in 0..1400 {
        raw.push(tokio::net::TcpStream::connect(gateway.address()).await.unwrap());
    }
    let mut held = Vec::new();
    for index in 0..600 {
        let mut wire = if index % 2 == 0 { gateway.wire().await } else { gateway.wire_http2().await };
        match index % 6 {
            0 => {}
            2 => drop(wire.write("POST /webhook HTTP/1.1\r\nHo").await),
            4 => drop(wire.write(half_a_body(&gateway.token())).await),
            1 => drop(wire.write(PREFACE).await),
            3 => drop(wire.write([PREFACE, SETTINGS, &frame(1, 0, 1, &[0x83])].concat()).await),
            _ => drop(wire.write([PREFACE, SETTINGS, &http2_head(&gateway.token(), 4)].concat()).await),
        }
        held.push(wire);
    }
    let open = format!("hookgate_open_connections{{listener=\"{}\"}}", gateway.address());
    assert!(gateway.metric(&open).await.unwrap() >= 2000.0);
    for _ in 0..20 {
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    }
    until("all of them are gone", async || gateway.metric(&open).await == Some(0.0)).await;
}
