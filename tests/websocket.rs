//! WebSocket connections over raw sockets: the handshake, the tunnel, its limits, and how it ends.

mod server;

use std::sync::Arc;

use hookgate::config;
use hookgate::reload::Reloaded;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::support::configuration::{Idempotency, Listener, ReplayProtection, Route, StaticToken, Store, file, usual};
use crate::support::{Gateway, Issuer, PATIENCE, Setup, Wire, until};
use server::{Behaviour, EchoServer};

/// The key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn setup(upstream: &EchoServer) -> Setup {
    Setup::new(upstream.address).route(|route| route.methods(["GET", "POST"]).with("websocket", json!({})))
}

fn handshake(token: &str) -> String {
    with(token, "")
}

/// A handshake with further headers.
fn with(token: &str, headers: &str) -> String {
    format!(
        "GET /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// Sends a request and reads its response headers.
async fn ask(gateway: &Gateway, request: &str) -> (Wire, String) {
    let mut wire = gateway.wire().await;
    let answer = wire.write(request).await.read_until("\r\n\r\n").await;
    (wire, answer)
}

/// Opens a tunnel.
async fn open(gateway: &Gateway) -> Wire {
    let (wire, answer) = ask(gateway, &handshake(&gateway.token())).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    wire
}

/// Waits for the end of a tunnel, without another byte.
async fn ends(wire: &mut Wire) {
    assert_eq!(wire.rest().await, "");
}

async fn tunnels(gateway: &Gateway) -> f64 {
    gateway.metric("hookgate_open_tunnels{route=\"webhook\"}").await.unwrap_or_default()
}

async fn reason(gateway: &Gateway, request: &str) -> String {
    let answer = gateway.wire().await.write(request.replace("\r\n\r\n", "\r\nX-End: 1\r\n\r\n")).await.rest().await;
    let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    format!("{} {}", &answer[9..12], body["reason"].as_str().unwrap())
}

#[tokio::test]
async fn a_verified_handshake_opens_a_tunnel() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).start();
    let (mut wire, answer) =
        ask(&gateway, &with(&gateway.token(), "Sec-WebSocket-Protocol: chat\r\nX-Hookgate-Sub: forged\r\n")).await;
    let answer = answer.to_ascii_lowercase();
    for line in ["http/1.1 101 ", "upgrade: websocket", "connection: upgrade", &ACCEPT.to_ascii_lowercase()] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert!(!answer.contains("content-length"), "{answer}");
    let head = upstream.heads().remove(0).to_ascii_lowercase();
    for line in ["get /webhook http/1.1", "connection: upgrade\r\n", "upgrade: websocket\r\n", "protocol: chat"] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!head.contains("forged"), "{head}");
    until("the tunnel is counted", async || tunnels(&gateway).await == 1.0).await;
    // Bytes are passed on as they come: frames are not read.
    wire.write(b"\x81\x05hello\x00\r\nGET / HTTP/1.1\r\n\r\n").await.read_until("HTTP/1.1\r\n\r\n").await;
    drop(wire);
    until("the tunnel is closed", async || tunnels(&gateway).await == 0.0).await;
    assert_eq!(gateway.counted("forwarded", "").await, Some(1.0));
}

/// Each is a handshake but for one thing, and no byte of it reaches the upstream.
#[tokio::test]
async fn what_is_no_complete_handshake_is_rejected() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).start();
    let good = handshake(&gateway.token());
    let without = Setup::new(upstream.address).route(|route| route.methods(["GET"])).start();
    assert_eq!(reason(&without, &handshake(&without.token())).await, "400 upgrade_not_supported");
    for (from, to) in [
        ("GET /", "POST /"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Upgrade: websocket", "Upgrade: websocket, h2c"),
        ("Upgrade: websocket", "Upgrade: WebSocket/13"),
        ("keep-alive, Upgrade", "keep-alive"),
        ("Version: 13", "Version: 8"),
        (KEY, "AAAA"),
        ("Sec-WebSocket-Key", "X-Key"),
        ("Sec-WebSocket-Version: 13", "Content-Length: 0\r\nSec-WebSocket-Version: 13"),
    ] {
        let request = good.replacen(from, to, 1);
        assert_ne!(request, good);
        assert_eq!(reason(&gateway, &request).await, "400 upgrade_not_supported", "{to}");
    }
    let no_token = good.replace("Authorization", "X-Authorization");
    let answer = ask(&gateway, &no_token).await.1;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(upstream.heads().is_empty() && upstream.opened() == 0);
}

/// After any other response no byte passes, and the connection is not used again: the upstream may have switched all the
/// same (request smuggling).
#[tokio::test]
async fn only_the_right_101_opens_a_tunnel() {
    for (behaviour, status) in [
        (Behaviour::Head("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "200"),
        (Behaviour::Head("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), "403"),
        (Behaviour::Head("HTTP/1.1 204 No Content\r\n\r\n"), "204"),
        (
            Behaviour::Head("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
            "502",
        ),
        (
            Behaviour::Head(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: c3RyYW5nZXI=\r\n\r\n",
            ),
            "502",
        ),
        (
            Behaviour::Head(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            ),
            "502",
        ),
    ] {
        let upstream = EchoServer::start(behaviour).await;
        let gateway = setup(&upstream).route(|route| route.upstream_keepalive("20s")).start();
        let early = "\x01\x02 smuggled";
        let answer = gateway.wire().await.write(handshake(&gateway.token()) + early).await.rest().await;
        assert_eq!(answer.get(9..12), Some(status), "{answer}");
        until("the upstream's connection is closed", async || upstream.closed() == 1).await;
        assert_eq!(upstream.bytes(), b"", "bytes of the client reached the upstream");
        let again = gateway.wire().await.write(handshake(&gateway.token()) + early).await.rest().await;
        assert_eq!(again.get(9..12), Some(status), "{again}");
        assert_eq!(upstream.opened(), 2, "the connection was used again");
        assert_eq!(tunnels(&gateway).await, 0.0);
    }
}

/// RFC 6455 §4.1: a client waits for the response. Bytes before it may have been another request to a program in front.
#[tokio::test]
async fn early_bytes_of_a_client_end_the_tunnel() {
    for early in ["GET /webhook HTTP/1.1\r\nHost: localhost\r\n\r\n", "\u{1}\u{2}\u{3}", "G", "POST / HTT"] {
        let upstream = EchoServer::start(Behaviour::Held(Arc::new(tokio::sync::Semaphore::new(0)))).await;
        let Behaviour::Held(gate) = upstream.behaviour() else { unreachable!() };
        let gateway = setup(&upstream).start();
        let mut wire = gateway.wire().await;
        wire.write(handshake(&gateway.token()) + early).await;
        until("the upstream has the request", async || upstream.heads().len() == 1).await;
        gate.add_permits(1);
        let answer = wire.rest().await;
        assert!(answer.matches("HTTP/1.1").count() == 1 && answer.starts_with("HTTP/1.1 101"), "{early}: {answer}");
        until("the upstream's connection is closed", async || upstream.closed() == 1).await;
        assert_eq!(upstream.bytes(), b"", "{early}");
    }
}

#[tokio::test]
async fn a_web_page_needs_an_origin_of_the_list() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let origins = json!({ "origins": ["https://app.example.com"] });
    let gateway = setup(&upstream).route(|route| route.with("websocket", origins)).start();
    let token = gateway.token();
    for origin in [
        "",
        "Origin: null\r\n",
        "Origin: https://app.example.com.evil.test\r\n",
        "Origin: http://app.example.com\r\n",
        "Origin: https://app.example.com:444\r\n",
        "Origin: https://app.example.com\r\nOrigin: https://app.example.com\r\n",
    ] {
        let answer = ask(&gateway, &with(&token, origin)).await.1;
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}: {answer}");
    }
    assert_eq!(gateway.counted("rejected", "origin_not_allowed").await, Some(6.0));
    let answer = ask(&gateway, &with(&token, "Origin: https://app.example.com\r\n")).await.1;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(upstream.heads().len(), 1);
}

#[tokio::test]
async fn tunnels_are_limited_per_route_sender_and_address() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    for (key, header) in [
        ("max_tunnels", "tunnels"),
        ("max_tunnels_per_sender", "tunnels_per_sender"),
        ("max_tunnels_per_ip", "tunnels_per_ip"),
    ] {
        let gateway = setup(&upstream).route(|route| route.with(&format!("websocket.{key}"), 2)).start();
        let (first, _second) = (open(&gateway).await, open(&gateway).await);
        let answer = ask(&gateway, &handshake(&gateway.token())).await.1;
        assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
        assert!(answer.contains(&format!("ratelimit-policy: \"{header}\";q=2")), "{answer}");
        let other = gateway.issuer.token_with(json!({ "sub": "another" }));
        let from_another = gateway.wire_from(5).await.write(handshake(&other)).await.read_until("\r\n\r\n").await;
        let expected = if key == "max_tunnels" { "HTTP/1.1 429" } else { "HTTP/1.1 101" };
        assert!(from_another.starts_with(expected), "{key}: {from_another}");
        // Plain requests do not count.
        let plain = "GET /webhook HTTP/1.1\r\nHost: localhost\r\nX-End: 1\r\n\r\n";
        assert!(ask(&gateway, plain).await.1.starts_with("HTTP/1.1 401"));
        drop(first);
        until("a place is free", async || {
            ask(&gateway, &handshake(&gateway.token())).await.1.starts_with("HTTP/1.1 101")
        })
        .await;
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).start();
    let mut wire = open(&gateway).await;
    wire.write("still open").await.read_until("still open").await;
    gateway.clock.forward(400);
    ends(&mut wire).await;
    until("the upstream's connection is closed", async || upstream.closed() == 1).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_a_revocation_and_with_its_route() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).file("revoked.yaml", "{}").route(|route| route.revocation(file("revoked.yaml")));
    let gateway = gateway.start();
    let (wire, answer) = ask(&gateway, &handshake(&gateway.issuer.token_with(json!({ "sub": "gone" })))).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let (mut revoked, mut tightened) = (wire, open(&gateway).await);
    crate::support::replace(&gateway.path("revoked.yaml"), "sub: [gone]");
    ends(&mut revoked).await;
    tightened.write("still open").await.read_until("still open").await;
    gateway.edit_route(|route| route.without("websocket"));
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    ends(&mut tightened).await;
}

#[tokio::test]
async fn an_idle_tunnel_is_closed() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).route(|route| route.with("websocket.idle_timeout", "300ms")).start();
    ends(&mut open(&gateway).await).await;
    until("the upstream's connection is closed", async || upstream.closed() == 1).await;
}

#[tokio::test]
async fn a_drain_closes_tunnels() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let mut gateway = setup(&upstream).start();
    let mut wire = open(&gateway).await;
    let drained = tokio::spawn(gateway.running.take().unwrap().drain(std::future::pending()));
    ends(&mut wire).await;
    assert!(drained.await.unwrap(), "something was cut off");
}

/// A client that reads nothing stops the upstream, and the tunnel is closed after `response_write_idle`.
#[tokio::test]
async fn a_client_that_reads_nothing_holds_no_memory() {
    let upstream = EchoServer::start(Behaviour::Flood).await;
    let gateway = setup(&upstream).listener(|listener| listener.response_write_idle("500ms")).start();
    let wire = open(&gateway).await;
    until("the upstream's connection is closed", async || upstream.closed() == 1).await;
    assert!(upstream.sent() < 64 << 20, "{} bytes were taken", upstream.sent());
    drop(wire);
}

/// A copy of a handshake is rejected once the upstream has accepted the first, and only then.
#[tokio::test]
async fn a_tunnel_commits_its_replay_id() {
    let upstream = EchoServer::start(Behaviour::Once("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")).await;
    let setup = setup(&upstream).top(|top| top.store(Store::memory()));
    let gateway = setup.route(|route| route.replay_protection(ReplayProtection::claim("jti"))).start();
    let token = gateway.issuer.token_with(json!({ "jti": "once" }));
    assert!(ask(&gateway, &handshake(&token)).await.1.starts_with("HTTP/1.1 503"));
    let (mut wire, answer) = ask(&gateway, &handshake(&token)).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(ask(&gateway, &handshake(&token)).await.1.starts_with("HTTP/1.1 409"));
    wire.write("still open").await.read_until("still open").await;
    assert_eq!(tunnels(&gateway).await, 1.0);
}

/// An upstream that did not switch has not accepted the handshake, with any status.
#[tokio::test]
async fn a_handshake_without_101_releases_its_replay_id() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        let upstream = EchoServer::start(Behaviour::Once(answer)).await;
        let setup = setup(&upstream).top(|top| top.store(Store::memory()));
        let replay = ReplayProtection::claim("jti").commit_on(json!(["2xx", 304]));
        let keyed = |route: Route| route.replay_protection(replay).idempotency(Idempotency::keyed_by("header", "Key"));
        let gateway = setup.route(keyed).start();
        let token = gateway.issuer.token_with(json!({ "jti": "once" }));
        let request = with(&token, "Key: 1\r\n");
        let first = ask(&gateway, &request).await.1;
        assert_eq!(first.get(9..12), answer.get(9..12), "{first}");
        // The head has come before the end of the response, with which the id is released.
        let opens = async || ask(&gateway, &request).await.1.starts_with("HTTP/1.1 101");
        until(&format!("the id is released after {answer:?}"), opens).await;
    }
}

/// Clients name headers of the handshake in `Connection`, which would remove them from the request.
#[tokio::test]
async fn the_headers_of_a_handshake_reach_the_upstream_where_connection_names_them() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).start();
    let named = "Connection: Sec-WebSocket-Key, Sec-WebSocket-Version, Sec-WebSocket-Protocol, Origin, X-Own\r\n";
    let others = "Sec-WebSocket-Protocol: chat\r\nOrigin: https://app.example.com\r\nX-Own: 1\r\n";
    let answer = ask(&gateway, &with(&gateway.token(), &format!("{named}{others}"))).await.1;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let head = upstream.heads().remove(0).to_ascii_lowercase();
    for line in ["sec-websocket-key: ", "sec-websocket-version: 13", "sec-websocket-protocol: chat", "origin: https://"]
    {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(!head.contains("x-own"), "{head}");
}

/// Large amounts in both directions arrive whole.
#[tokio::test]
async fn a_tunnel_loses_no_byte() {
    let upstream = EchoServer::start(Behaviour::Echo).await;
    let gateway = setup(&upstream).start();
    let wire = open(&gateway).await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut from, mut to) = tokio::io::split(wire.0);
    let writing = tokio::spawn({
        let sent = sent.clone();
        async move {
            tokio::io::AsyncWriteExt::write_all(&mut to, &sent).await.unwrap();
            tokio::io::AsyncWriteExt::flush(&mut to).await.unwrap();
            to
        }
    });
    let mut came = vec![0; sent.len()];
    tokio::time::timeout(PATIENCE, from.read_exact(&mut came)).await.unwrap().unwrap();
    assert!(came == sent);
    drop(writing.await.unwrap());
}

/// Configurations that would open a tunnel to web pages of others, or without a credential, are errors.
#[test]
fn a_route_without_a_safe_credential_is_an_error() {
    let basic = json!({ "static_token": { "header": "Authorization", "scheme": "Basic", "secret": file("secret") } });
    let query = json!({ "static_token": { "query": "key", "secret": file("secret") } });
    let header: Value = StaticToken::new("X-Key", "secret").into();
    let origins = || json!({ "origins": ["https://app.example.com"] });
    let with_auth =
        |auth: &Value, websocket: Value| problems(|route| route.auth(auth.clone()).with("websocket", websocket));
    let hijacking = "cross-site WebSocket hijacking";
    let in_cookie = |route: Route| route.jwt(|jwt| jwt.token_from(json!({ "cookie": "session" })));
    for (problems, expected) in [
        (with_auth(&json!("public"), origins()), "requires authentication"),
        (with_auth(&query, json!({})), hijacking),
        (with_auth(&basic, json!({})), hijacking),
        (problems(|route| in_cookie(route).with("websocket", json!({}))), hijacking),
        (problems(|route| route.with("websocket", json!({})).methods(["POST"])), "begins with GET"),
        (problems(|route| route.with("websocket", json!({})).dry_run_until("2026-12-31")), "mode: dry_run"),
        (problems(|route| route.with("websocket.origins", json!([]))), "must not be empty"),
        (problems(|route| route.with("websocket.origins", json!(["https://App.example.com"]))), "expected an origin"),
        (problems(|route| route.with("websocket.origins", json!(["https://a.example.com/"]))), "expected an origin"),
        (problems(|route| route.with("websocket.origins", json!(["*"]))), "expected an origin"),
        (problems(|route| route.with("websocket.max_tunnels", 0)), "at least 1"),
    ] {
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
    for good in [
        with_auth(&query, origins()),
        with_auth(&header, json!({})),
        problems(|route| in_cookie(route).with("websocket", origins())),
        problems(|route| route.with("websocket", json!({}))),
    ] {
        assert_eq!(good, "");
    }
}

/// The problems of the usual configuration with a change of its route.
fn problems(change: impl FnOnce(Route) -> Route) -> String {
    let folder = tempfile::TempDir::new().unwrap();
    for (name, content) in [("secret", "sender:a secret of a sender"), ("jwks.json", &Issuer::es256("k1").jwks())] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let top = usual("127.0.0.1:9".parse().unwrap()).listener(Listener::without_tls);
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, top.route(|route| change(route.methods(["GET"]))).to_string()).unwrap();
    config::load(&path, &config::Handles::default()).map_or_else(|errors| errors.to_string(), |_| String::new())
}
