//! Clients that send their whole request and close their side (FIN), over plain TCP and TLS: the request is served like
//! any other, and its places stay taken until the upstream has ended. An incomplete request, and a reset, are aborts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::configuration::{Listener, ReplayProtection, Store};
use crate::support::http2::{PREFACE, SETTINGS, http2_head};
use crate::support::{Gateway, PATIENCE, Setup, Upstream, connect_from, until};

/// The usual gateway without TLS.
fn plain(upstream: &Upstream, change: impl FnOnce(Listener) -> Listener) -> Setup {
    Setup::new(upstream.address).listener(|listener| change(listener.without_tls()))
}

/// A request with a token of its own.
fn request(gateway: &Gateway, more: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let token = gateway.issuer.token_with(serde_json::json!({ "jti": id.to_string() }));
    format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}")
}

/// Sends bytes and closes the client's side.
async fn half_closed(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream.shutdown().await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await;
    // A reset counts as the end too.
    let _ = read.expect("the connection stays open");
    text
}

async fn disconnects(gateway: &Gateway) -> f64 {
    gateway.metric("hookgate_requests_total{reason=\"client_disconnected\"}").await.unwrap_or_default()
}

/// The end comes while the upstream works on the request.
#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_response() {
    let (upstream, gate) = Upstream::held().await;
    let reserving = plain(&upstream, |listener| listener).top(|top| top.store(Store::memory()));
    let reserving = reserving.route(|route| route.replay_protection(ReplayProtection::claim("jti")));
    for gateway in [plain(&upstream, |listener| listener).start(), reserving.start()] {
        for (more, count) in [
            ("Content-Length: 0\r\n\r\n", 1),
            ("Content-Length: 4\r\n\r\nbody", 1),
            ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 1),
            ("Content-Length: 0\r\n\r\n", 3),
        ] {
            let before = upstream.seen().len();
            let requests: String = (0..count).map(|_| request(&gateway, more)).collect();
            let stream = half_closed(gateway.address(), requests).await;
            until("the upstream has the request", async || upstream.seen().len() == before + 1).await;
            gate.add_permits(count);
            let answers = rest(stream).await;
            assert_eq!(answers.matches("HTTP/1.1 200").count(), count, "{more}: {answers}");
            assert_eq!(upstream.seen().len(), before + count);
        }
        assert_eq!(disconnects(&gateway).await, 0.0);
    }
}

/// With a close_notify, and without one: the framing of the request shows that it is complete (RFC 9112 §9.8).
#[tokio::test]
async fn a_tls_client_that_closes_its_side_gets_its_response() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = Gateway::before(&upstream);
    for with_close_notify in [true, false] {
        let before = upstream.seen().len();
        let mut wire = gateway.wire().await;
        wire.write(request(&gateway, "Content-Length: 0\r\n\r\n")).await;
        if with_close_notify {
            wire.0.shutdown().await.unwrap();
        } else {
            wire.0.get_mut().0.shutdown().await.unwrap();
        }
        until("the upstream has the request", async || upstream.seen().len() == before + 1).await;
        gate.add_permits(1);
        let answer = wire.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{with_close_notify}: {answer}");
    }
}

/// The rest of a response to a client that reads slowly is not lost with the end of its request.
#[tokio::test]
async fn a_large_response_reaches_a_half_closed_client_whole() {
    let upstream = Upstream::echo().await;
    let gateway = plain(&upstream, |listener| listener).route(|route| route.max_body_size("64MiB")).start();
    let body = "x".repeat(16 << 20);
    let head = request(&gateway, &format!("Content-Length: {}\r\n\r\n", body.len()));
    let (mut reading, mut writing) = TcpStream::connect(gateway.address()).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        writing.shutdown().await.unwrap();
    });
    sending.await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, reading.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.len() > 16 << 20 && answer.ends_with(b"xxx"), "{}", answer.len());
}

#[tokio::test]
async fn an_incomplete_request_ends_with_its_client() {
    let upstream = Upstream::echo().await;
    let gateway = plain(&upstream, |listener| listener).start();
    for (more, counted) in [
        ("", 0.0),
        ("Content-Length: 5\r\n\r\nbody", 1.0),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", 2.0),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n", 3.0),
        ("Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", 4.0),
    ] {
        let answer = rest(half_closed(gateway.address(), request(&gateway, more)).await).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{more}: {answer}");
        until("the disconnect is counted", async || disconnects(&gateway).await == counted).await;
    }
    assert!(upstream.seen().iter().all(|seen| seen.body.is_empty()), "{:?}", upstream.seen());
    assert_eq!(gateway.counted("forwarded", "").await, Some(0.0));
}

/// In HTTP/2 a request ends with its stream; a client that closes the connection gives up all of them.
#[tokio::test]
async fn a_reset_and_the_end_of_an_http2_connection_are_aborts() {
    let (upstream, _gate) = Upstream::held().await;
    let gateway = Gateway::before(&upstream);
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, &http2_head(&gateway.token(), 5)].concat()).await;
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    wire.0.shutdown().await.unwrap();
    until("the disconnect is counted", async || disconnects(&gateway).await == 1.0).await;

    let gateway = plain(&upstream, |listener| listener).start();
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(request(&gateway, "Content-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    until("the upstream has the request", async || upstream.seen().len() == 2).await;
    reset(stream);
    until("the reset is counted", async || disconnects(&gateway).await == 1.0).await;
}

/// Closes a connection by a reset.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// A client that sends, closes and comes again cannot have more requests at the upstream than one that waits.
#[tokio::test]
async fn the_places_of_half_closed_clients_stay_taken() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = plain(&upstream, |listener| listener.max_connections_per_ip(2));
    let gateway = gateway.route(|route| route.concurrency(3)).start();
    let send = async |last: u8| {
        let mut stream = connect_from([127, 0, 0, last], gateway.address()).await;
        // It fails where the gateway has closed the connection already.
        let _ = stream.write_all(request(&gateway, "Content-Length: 0\r\n\r\n").as_bytes()).await;
        drop(stream);
    };
    send(1).await;
    send(1).await;
    until("the upstream has two requests", async || upstream.seen().len() == 2).await;
    send(1).await;
    let rejected = "hookgate_connections_rejected_total{reason=\"max_connections_per_ip\"}";
    until("the third connection is rejected", async || gateway.metric(rejected).await == Some(1.0)).await;
    send(2).await;
    until("the upstream has three requests", async || upstream.seen().len() == 3).await;
    send(2).await;
    until("the fourth request is limited", async || {
        gateway.counted("rejected", "concurrency_limited").await == Some(1.0)
    })
    .await;
    gate.add_permits(9);
    until("all places are free", async || gateway.metric("hookgate_open_connections").await == Some(0.0)).await;
    send(1).await;
    until("the upstream has a fourth request", async || upstream.seen().len() == 4).await;
}

/// Ten thousand clients that send and close, within the limits of one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_clients_that_send_and_close_stay_within_the_limits() {
    const LIMIT: usize = 64;
    let (upstream, gate) = Upstream::held().await;
    let gateway = plain(&upstream, |listener| listener.max_connections_per_ip(LIMIT));
    let gateway = gateway.route(|route| route.upstream_total("10m")).start();
    let bytes = request(&gateway, "Content-Length: 0\r\n\r\n");
    for _ in 0..10_000 {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        let _ = stream.write_all(bytes.as_bytes()).await;
    }
    until("all but the first are rejected", async || {
        let rejected = gateway.metric("hookgate_connections_rejected_total").await.unwrap_or_default();
        // A connection that has sent nothing yet gives way to a later one.
        let displaced = gateway.metric("hookgate_displaced_total{pool=\"connections\"}").await.unwrap_or_default();
        rejected + displaced + upstream.seen().len() as f64 == 10_000.0
    })
    .await;
    assert_eq!(upstream.seen().len(), LIMIT);
    gate.add_permits(LIMIT);
    until("all places are free", async || gateway.metric("hookgate_open_connections").await == Some(0.0)).await;
    gate.add_permits(1);
    let answer = rest(half_closed(gateway.address(), &bytes).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
