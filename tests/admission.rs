//! Admission under attack: clients that stall, trickle or hold the most give way, and the request of a sender is served
//! while 64 addresses fill a pool.

use crate::signatures::{github, head, send, signature};
use crate::support::configuration::{Configuration, Listener};
use crate::support::http2::{PREFACE, SETTINGS, frame, frames_until, http2_fields, literal};
use crate::support::{Gateway, Upstream, Wire, connect_from, until};

/// The last bytes of the attackers' addresses; the sender is in the same /24.
const ATTACKERS: std::ops::Range<u8> = 100..164;

const SENDER: u8 = 2;

fn small_buffer(top: Configuration) -> Configuration {
    top.max_buffered_bytes("64KiB")
}

/// A signed request with this body from 127.0.0.`last`.
async fn post_from(gateway: &Gateway, last: u8, body: &str) -> String {
    let request = head(&signature(body), &format!("Content-Length: {}\r\nConnection: close", body.len())) + body;
    gateway.wire_from(last).await.write(request).await.rest().await
}

fn is_ok(response: &str) -> bool {
    response.starts_with("HTTP/1.1 200")
}

/// A connection whose signed body stalls after `sent` bytes.
async fn stall(gateway: &Gateway, last: u8, sent: usize) -> Wire {
    let mut wire = gateway.wire_from(last).await;
    wire.write(head(&signature("x"), &format!("Content-Length: {}", sent + 1))).await;
    wire.write(vec![b'x'; sent]).await;
    wire
}

/// The same, once its bytes are buffered.
async fn stall_buffered(gateway: &Gateway, last: u8, sent: usize) -> Wire {
    let held = gateway.running().buffered.total() + u64::try_from(sent).unwrap();
    let wire = stall(gateway, last, sent).await;
    until("its bytes are buffered", async || gateway.running().buffered.total() == held).await;
    wire
}

async fn displaced(gateway: &Gateway, pool: &str) -> f64 {
    gateway.metric(&format!("hookgate_displaced_total{{pool=\"{pool}\"}}")).await.unwrap_or_default()
}

/// The bytes of the largest body that one address may buffer here.
const QUARTER: usize = 16 * 1024;

#[tokio::test]
async fn one_address_buffers_no_more_than_a_quarter() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).top(small_buffer).start();
    let whole = vec![b'x'; QUARTER + 1];
    let answer = send(&gateway.client(), whole.clone(), &signature(&whole)).await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((503, "buffer_full".into()), Some("10")));
    let mut stalled = stall_buffered(&gateway, SENDER, QUARTER).await;
    assert!(is_ok(&post_from(&gateway, SENDER + 1, "x").await));
    // Its own share is full until its stalled body is late, which then gives way.
    until("the sender is served again", async || is_ok(&post_from(&gateway, SENDER, "x").await)).await;
    let response = stalled.rest().await.to_lowercase();
    assert!(response.starts_with("http/1.1 503") && response.contains("retry-after: 10"), "{response}");
    assert_eq!((displaced(&gateway, "buffered_bytes").await, gateway.running().buffered.total()), (1.0, 0));
}

#[tokio::test]
async fn each_client_of_a_trusted_proxy_buffers_a_quarter() {
    let upstream = Upstream::echo().await;
    let setup = github(&upstream).top(small_buffer);
    let gateway = setup.top(|top| top.trusted_proxies(["127.0.0.2"])).start();
    let of = |client: u8, body: &str| {
        let fields =
            format!("X-Forwarded-For: 198.51.100.{client}\r\nContent-Length: {}\r\nConnection: close", body.len());
        head(&signature(body), &fields) + body
    };
    let mut wire = gateway.wire_from(2).await;
    wire.write(head(&signature("x"), &format!("X-Forwarded-For: 198.51.100.7\r\nContent-Length: {}", QUARTER + 1)))
        .await;
    wire.write(vec![b'x'; QUARTER]).await;
    let held = u64::try_from(QUARTER).unwrap();
    until("its bytes are buffered", async || gateway.running().buffered.total() == held).await;
    for (client, size, status) in [(8, QUARTER, "HTTP/1.1 200"), (7, QUARTER + 1, "HTTP/1.1 503")] {
        let response = gateway.wire_from(2).await.write(of(client, &"x".repeat(size))).await.rest().await;
        assert!(response.starts_with(status), "{client}: {response}");
    }
}

#[tokio::test]
async fn all_clients_together_buffer_no_more_than_the_total() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).top(small_buffer).start();
    let mut wires = Vec::new();
    for last in 3..6 {
        wires.push(stall_buffered(&gateway, last, QUARTER).await);
    }
    wires.push(stall_buffered(&gateway, 6, QUARTER * 3 / 4).await);
    // There is no room for a fifth: the heaviest of the others gives way.
    wires.push(stall(&gateway, 7, QUARTER * 3 / 4).await);
    until("one gives way", async || displaced(&gateway, "buffered_bytes").await >= 1.0).await;
    assert!(gateway.running().buffered.total() <= 64 * 1024);
    assert!(is_ok(&post_from(&gateway, SENDER, "x").await));
}

/// Five addresses with a quarter each of the memory could keep every other sender out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_body_is_served_while_64_addresses_fill_the_buffer() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).top(small_buffer).start();
    let mut stalled = Vec::new();
    for last in ATTACKERS {
        stalled.push(stall(&gateway, last, 2_000).await);
    }
    until("the buffer is full", async || gateway.counted("error", "buffer_full").await > Some(0.0)).await;
    for _ in 0..20 {
        assert!(is_ok(&post_from(&gateway, SENDER, "x").await));
    }
    let large = "x".repeat(QUARTER - 1);
    until("a body that is larger than any of theirs is served", async || {
        is_ok(&post_from(&gateway, SENDER, &large).await)
    })
    .await;
    assert_eq!(upstream.seen().len(), 21);
}

/// HEADERS of a hundred signed requests on as many streams, whose bodies never come.
fn headers_without_bodies() -> Vec<u8> {
    let (signature, mut block) = (signature("x"), vec![0x83, 0x87]);
    // :authority (1), :path (4), and a name that is not in the static table (RFC 7541 §6.2.2).
    for (name, value) in [(&[1][..], "localhost"), (&[4], "/webhook"), (b"\0\x13x-hub-signature-256", &signature)] {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    (0..100).flat_map(|stream| frame(1, 4, 2 * stream + 1, &block)).collect()
}

async fn wait_on_streams(gateway: &Gateway, last: u8) -> Wire {
    let mut wire = gateway.wire_http2_from(last).await;
    wire.write([PREFACE, SETTINGS, &headers_without_bodies()].concat()).await;
    wire
}

/// Without a separate bound, each of a thousand connections could have a hundred waiting requests.
#[tokio::test]
async fn requests_that_wait_for_their_bodies_are_bounded() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let mut wires = Vec::new();
    for _ in 0..21 {
        wires.push(wait_on_streams(&gateway, 1).await);
    }
    let counted = async || gateway.counted("error", "too_many_waiting_requests").await;
    until("some are rejected or give way", async || counted().await > Some(0.0)).await;
    assert!(counted().await < Some(400.0));
    assert_eq!(gateway.counted("error", "buffer_full").await, None);
    // A body that has arrived waits for nothing.
    assert!(is_ok(&post_from(&gateway, 1, "x").await));
}

/// A body in two parts has to wait, and every place for it is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_body_comes_later_is_served_while_64_addresses_wait() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let mut wires = Vec::new();
    for last in ATTACKERS.chain(ATTACKERS) {
        wires.push(wait_on_streams(&gateway, last).await);
    }
    until("all places are taken", async || displaced(&gateway, "waiting_requests").await > 0.0).await;
    for _ in 0..20 {
        let mut wire = gateway.wire_from(SENDER).await;
        wire.write(head(&signature("12"), "Content-Length: 2\r\nConnection: close") + "1").await;
        let response = wire.write("2").await.rest().await;
        assert!(is_ok(&response), "{response}");
    }
}

fn few_connections(listener: Listener) -> Listener {
    listener.max_connections(256)
}

/// Silent, idle and half-open connections, in every state in which a client can stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_accepted_while_64_addresses_hold_all_of_them() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).listener(few_connections).start();
    let (mut silent, mut wires) = (Vec::new(), Vec::new());
    for last in ATTACKERS {
        for _ in 0..3 {
            silent.push(connect_from([127, 0, 0, last], gateway.address()).await);
        }
        let mut wire = if last % 2 == 0 { gateway.wire_from(last).await } else { gateway.wire_http2_from(last).await };
        match last % 6 {
            0 => drop(wire.write("POST /webhook HTTP/1.1\r\nHo").await),
            2 => drop(wire.write(head(&signature("x"), "Content-Length: 1")).await),
            1 => drop(wire.write([PREFACE, SETTINGS].concat()).await),
            3 => drop(wire.write([PREFACE, SETTINGS, &headers_without_bodies()].concat()).await),
            _ => {}
        }
        wires.push(wire);
    }
    let mut kept = gateway.wire_from(SENDER).await;
    let request = head(&signature("x"), "Content-Length: 1") + "x";
    for _ in 0..20 {
        assert!(is_ok(&post_from(&gateway, SENDER, "x").await));
        assert!(is_ok(&kept.write(&request).await.read_until("\r\n\r\nx").await));
    }
    assert!(displaced(&gateway, "connections").await >= 1.0);
    let rejected = gateway.metric("hookgate_connections_rejected_total").await;
    assert_eq!(rejected.unwrap_or_default(), 0.0);
}

/// The client of a request that the upstream works on is not waited for.
#[tokio::test]
async fn a_connection_with_a_request_at_the_upstream_is_not_closed() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = github(&upstream).listener(|listener| listener.max_connections(2)).start();
    let mut first = gateway.wire_from(SENDER).await;
    first.write(head(&signature("x"), "Content-Length: 1\r\nConnection: close") + "x").await;
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    let mut second = gateway.wire_http2_from(SENDER).await;
    let body = frame(0, 1, 1, b"x");
    second.write([PREFACE, SETTINGS, &http2_signed_head(), &body].concat()).await;
    until("the upstream has both requests", async || upstream.seen().len() == 2).await;
    let mut third = connect_from([127, 0, 0, 9], gateway.address()).await;
    assert_eq!(tokio::io::AsyncReadExt::read(&mut third, &mut [0; 16]).await.unwrap_or(0), 0);
    gate.add_permits(2);
    assert!(is_ok(&first.rest().await));
    let frames = frames_until(&mut second, |kind, flags| kind == 0 && flags == 1).await;
    assert!(frames.iter().any(|(kind, _)| *kind == 1), "{frames:?}");
    assert_eq!(displaced(&gateway, "connections").await, 0.0);
}

fn http2_signed_head() -> Vec<u8> {
    let fields = [http2_fields("x"), literal("x-hub-signature-256", &signature("x"))].concat();
    frame(1, 4, 1, &fields)
}

/// Kestrel's `MinRequestBodyDataRate`: an attacker has to pay for the time of its places.
#[tokio::test]
async fn a_body_below_the_minimum_rate_ends_with_408() {
    let upstream = Upstream::echo().await;
    let slow = |listener: Listener| listener.request_body("10m").request_body_idle("10m").min_request_body_rate("1KiB");
    let gateway = github(&upstream).listener(slow).start();
    let request = head(&signature("x"), "Content-Length: 100000") + &"x".repeat(2_000);
    let response = gateway.wire().await.write(request).await.rest().await;
    assert!(response.starts_with("HTTP/1.1 408") && response.contains("request_timeout"), "{response}");
}
