//! The PROXY protocol: the header before the bytes of a connection, and the proxies that may send it.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{PROXY, UNTRUSTED, ask_plainly, behind_proxies, closed, good, request, rest, status, tcp};
use crate::support::configuration::Listener;
use crate::support::{Gateway, Setup, Upstream, Wire, until};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// 198.51.100.7 in each version, and 2001:db8::7 in both.
const LINE: &[u8] = b"PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\n";
const LINE_6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";

fn version_2(family: u8, addresses: &[u8], more: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len() + more.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x21, family], &length, addresses, more].concat()
}

fn binary(more: &[u8]) -> Vec<u8> {
    version_2(0x11, &[198, 51, 100, 7, 192, 0, 2, 1, 0xdc, 4, 1, 0xbb], more)
}

fn binary_6() -> Vec<u8> {
    let address = |last: u8| [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
    version_2(0x21, &[address(7), address(1), vec![0xdc, 4, 1, 0xbb]].concat(), b"")
}

fn taking_headers(upstream: &Upstream) -> Setup {
    behind_proxies(upstream).listener(|listener| listener.proxy_protocol(true))
}

fn plainly(upstream: &Upstream) -> Setup {
    taking_headers(upstream).listener(Listener::without_tls)
}

/// Makes a TLS handshake after the header and sends a request.
async fn ask_over_tls(gateway: &Gateway, stream: TcpStream, fields: &str) -> String {
    Wire::over(stream, &gateway.ca, &[b"http/1.1"]).await.write(good(gateway, fields)).await.rest().await
}

/// The header is sent in one segment with the bytes that follow, and byte by byte.
#[tokio::test]
async fn the_client_is_the_address_in_the_proxy_protocol_header() {
    let upstream = Upstream::echo().await;
    let (tls, plain) = (taking_headers(&upstream).start(), plainly(&upstream).start());
    let values = [&[4, 0, 0][..], &[0xe2, 0, 3, 1, 2, 3]].concat();
    for (header, client) in [
        (LINE.to_vec(), "198.51.100.7"),
        (LINE_6.to_vec(), "2001:db8::7"),
        (binary(b""), "198.51.100.7"),
        (binary(&values), "198.51.100.7"),
        (binary_6(), "2001:db8::7"),
    ] {
        let whole = [&header[..], good(&plain, "").as_bytes()].concat();
        assert_eq!(status(&ask_plainly(&plain, PROXY, whole).await), "200");
        let mut stream = tcp(&tls, PROXY).await;
        stream.set_nodelay(true).unwrap();
        for byte in &header {
            stream.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(status(&ask_over_tls(&tls, stream, "").await), "200");
        let seen = upstream.seen();
        assert_eq!(seen.len() % 2, 0);
        for seen in &seen[seen.len() - 2..] {
            assert_eq!(seen.header("x-forwarded-for"), Some(client));
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_good_header_is_closed_and_counted() {
    let upstream = Upstream::echo().await;
    let gateway = plainly(&upstream).start();
    let good = good(&gateway, "");
    let unfinished = |header: &[u8]| header[..header.len() - 1].to_vec();
    let before = |header: &[u8]| [header, good.as_bytes()].concat();
    let cases = [
        before(b""),
        before(&LINE[..LINE.len() - 2]),
        before(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()),
        before(b"PROXY TCP4 198.51.100.7 2001:db8::1 1 2\r\n"),
        before(b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\0"),
        before(&version_2(0x12, &[0; 12], b"")),
        before(&version_2(0x11, &[0; 11], b"")),
        before(&binary(&[0; 600])),
        unfinished(&binary(b"")),
        unfinished(LINE),
        Vec::new(),
    ];
    for (index, bytes) in cases.iter().enumerate() {
        let mut stream = tcp(&gateway, PROXY).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        assert_eq!(rest(&mut stream).await, "", "{index}");
        assert_eq!(closed(&gateway, "proxy_protocol").await, (index + 1) as f64);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn half_a_header_ends_with_the_handshake_timeout() {
    let upstream = Upstream::echo().await;
    for setup in [taking_headers(&upstream), plainly(&upstream)] {
        let gateway = setup.listener(|listener| listener.tls_handshake("200ms")).start();
        for half in [&b""[..], &LINE[..20], &LOCAL[..14]] {
            let mut stream = tcp(&gateway, PROXY).await;
            stream.write_all(half).await.unwrap();
            assert_eq!(rest(&mut stream).await, "");
        }
        assert_eq!(closed(&gateway, "proxy_protocol").await, 3.0);
    }
}

/// The TLS handshake has the time that the header has left of the timeout.
#[tokio::test]
async fn silence_after_the_header_ends_too() {
    let upstream = Upstream::echo().await;
    let gateway = taking_headers(&upstream).listener(|listener| listener.tls_handshake("200ms")).start();
    let mut stream = tcp(&gateway, PROXY).await;
    stream.write_all(LINE).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    let timed_out = format!(
        "hookgate_tls_handshakes_total{{listener=\"{}\",result=\"error\",reason=\"timeout\"}}",
        gateway.address()
    );
    until("the timeout is counted", async || gateway.metric(&timed_out).await == Some(1.0)).await;
}

#[tokio::test]
async fn only_a_trusted_proxy_may_name_the_client() {
    let upstream = Upstream::echo().await;
    let gateway = plainly(&upstream).start();
    for (index, header) in [LINE, &binary(b""), LOCAL, b""].iter().enumerate() {
        let whole = [header, good(&gateway, "").as_bytes()].concat();
        assert_eq!(ask_plainly(&gateway, UNTRUSTED, whole).await, "");
        assert_eq!(closed(&gateway, "trusted_proxies").await, (index + 1) as f64);
    }
    // A listener without `proxy_protocol` reads the header as HTTP.
    let without = behind_proxies(&upstream).listener(Listener::without_tls).start();
    for from in [PROXY, UNTRUSTED] {
        let whole = [LINE, good(&without, "").as_bytes()].concat();
        assert_eq!(status(&ask_plainly(&without, from, whole).await), "400");
    }
    assert!(upstream.seen().is_empty());
}

/// If the PROXY header names a trusted proxy, its forwarding headers count. If it names another client or none, they do
/// not.
#[tokio::test]
async fn forwarding_headers_count_only_from_a_trusted_proxy_in_the_proxy_protocol_header() {
    let upstream = Upstream::echo().await;
    let gateway = plainly(&upstream).start();
    let headers = "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: front-7\r\n";
    for (header, chain, proto) in [
        (&b"PROXY TCP4 127.0.0.10 192.0.2.1 56324 443\r\n"[..], "203.0.113.9, 127.0.0.10", "https"),
        (LINE, "198.51.100.7", "http"),
        (LOCAL, "127.0.0.9", "http"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.9", "http"),
        (&version_2(0x00, b"", b""), "127.0.0.9", "http"),
    ] {
        let whole = [header, good(&gateway, headers).as_bytes()].concat();
        let answer = ask_plainly(&gateway, PROXY, whole).await;
        assert_eq!((status(&answer), answer.contains("front-7")), ("200", proto == "https"));
        let seen = upstream.seen().pop().unwrap();
        assert_eq!((seen.header("x-forwarded-for"), seen.header("x-forwarded-proto")), (Some(chain), Some(proto)));
    }
}

#[tokio::test]
async fn allow_lists_and_budgets_go_by_the_header() {
    let upstream = Upstream::echo().await;
    let setup = plainly(&upstream);
    let gateway = setup.route(|route| route.allowed_ips(["198.51.100.0/24"]).failed_auth_rate("1/h")).start();
    let ask = async |client: &str, token: &str| {
        let whole = format!("PROXY TCP4 {client} 192.0.2.1 56324 443\r\n{}", request(token, ""));
        status(&ask_plainly(&gateway, PROXY, whole).await).to_owned()
    };
    assert_eq!(ask("203.0.113.9", &gateway.token()).await, "403");
    assert_eq!(ask("198.51.100.7", "x.y.z").await, "401");
    assert_eq!(ask("198.51.100.7", "x.y.z").await, "429");
    assert_eq!(ask("198.51.100.8", &gateway.token()).await, "200");
    assert_eq!(upstream.only().header("x-forwarded-for"), Some("198.51.100.8"));
}

/// A proxy carries the connections of all its clients; the header names the client of each.
#[tokio::test]
async fn connections_are_counted_for_the_client_and_never_for_a_proxy() {
    let upstream = Upstream::echo().await;
    let few = |setup: Setup| setup.listener(|listener| listener.max_connections_per_ip(2)).start();
    let gateway = few(behind_proxies(&upstream));
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(gateway.wire_from(PROXY).await);
    }
    let gateway = few(plainly(&upstream));
    let mut held = Vec::new();
    let open = async |header: &[u8]| {
        let mut stream = tcp(&gateway, PROXY).await;
        stream.write_all(header).await.unwrap();
        stream
    };
    for header in [LINE, LINE, LOCAL, LOCAL, LOCAL] {
        held.push(open(header).await);
    }
    let ask = async |header: &[u8]| {
        let whole = [header, good(&gateway, "").as_bytes()].concat();
        status(&ask_plainly(&gateway, PROXY, whole).await).to_owned()
    };
    // Connections are counted in any order: a request may come first, so that one of the open connections is closed.
    until("the client has its maximum of connections", async || {
        held.push(open(LINE).await);
        ask(LINE).await.is_empty()
    })
    .await;
    assert!(closed(&gateway, "max_connections_per_ip").await >= 1.0);
    for header in [LINE_6, LOCAL, b"PROXY TCP4 127.0.0.10 192.0.2.1 1 2\r\n"] {
        assert_eq!(ask(header).await, "200");
    }
    drop(held);
    until("a connection is free again", async || ask(LINE).await == "200").await;
}
