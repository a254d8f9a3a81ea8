//! Unusual requests that senders write, that RFC 9110 and 9112 allow, and that have one reading: they are served.
//! docs/concepts/leniency.md has each, and those that are rejected because another program could read them differently.

use tokio::io::AsyncReadExt;

use crate::support::configuration::{Signature, file};
use crate::support::{Gateway, Setup, Upstream, hmac};

/// A request that passes; `fields` and `body` follow its token.
fn request(gateway: &Gateway, line: &str, fields: &str, body: &str) -> String {
    let token = gateway.token();
    format!("{line}\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{fields}\r\n{body}")
}

/// The usual gateway, whose route matches every path and method.
fn every_path(upstream: &Upstream) -> Gateway {
    Setup::new(upstream.address).route(|route| route.path("/*").without("match.methods")).start()
}

/// Java's HttpClient and `curl --http2` offer HTTP/2 on plain http. RFC 9110 §7.8: a server may ignore the offer.
#[tokio::test]
async fn an_offer_of_another_protocol_is_served_over_http_1_and_goes_no_further() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    for offer in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nConnection: keep-alive\r\n",
        "Connection: upgrade\r\nUpgrade: H2C, TLS/1.0\r\n",
        "Upgrade:\r\n",
    ] {
        // The next request on the connection is one of HTTP/1 as well, with a credential of its own.
        let offering = request(&gateway, "POST /webhook HTTP/1.1", &format!("{offer}Content-Length: 2\r\n"), "{}");
        let next = request(&gateway, "POST /webhook HTTP/1.1", "Connection: close\r\nContent-Length: 4\r\n", "next");
        let mut wire = gateway.wire().await;
        let mut answer = String::new();
        // Without a close_notify, this is an error.
        wire.write(format!("{offering}{next}")).await.0.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{offer}: {answer}");
        let seen = upstream.seen();
        let bodies: Vec<_> = seen[seen.len() - 2..].iter().map(|seen| &seen.body[..]).collect();
        assert_eq!(bodies, [&b"{}"[..], b"next"]);
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(seen.iter().all(|seen| !seen.headers.contains_key(name)), "{offer}: {name}");
        }
        let forged = "POST /webhook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let answer = gateway.wire().await.write(format!("{offering}{forged}")).await.rest().await;
        assert_eq!(
            (answer.matches("HTTP/1.1 200").count(), answer.matches("HTTP/1.1 401").count()),
            (1, 1),
            "{answer}"
        );
    }
}

/// No 100 is sent in HTTP/2. A client that does not wait for it is served, and the header goes no further.
#[tokio::test]
async fn an_expectation_in_http2_is_removed() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let client = gateway.client_http2();
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    assert_eq!(client.send(request.header("expect", "100-continue"), "{}").await.status, 200);
    assert_eq!(upstream.only().header("expect"), None);
}

/// RFC 3986 excludes them from URLs, and senders write them. Nothing decodes or encodes them: a signature over the URL is
/// over the bytes that the upstream gets.
#[tokio::test]
async fn bytes_that_the_parser_takes_reach_the_upstream_as_they_were_signed() {
    let upstream = Upstream::echo().await;
    let setup = Setup::new(upstream.address).file("secret", "the secret of a sender");
    let setup = setup.route(|route| route.path("/*").public_url("https://hooks.test"));
    let gateway = setup.auth(Signature::hmac("X-Sig", &["url"]).secret(file("secret"))).start();
    let target = "/a{1}|^[x]?ids=[1]&a={b}|c^d`e\\f&n=\u{e9}\u{65e5}&r=%22%3c+~";
    let sig = hmac("the secret of a sender", format!("https://hooks.test{target}"));
    let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nX-Sig: {sig}\r\nConnection: close\r\n\r\n");
    let answer = gateway.wire().await.write(head).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.only().target, target);
}

/// The parser takes none of these: the rejection has a reason, a log line and a metric.
#[tokio::test]
async fn bytes_that_no_url_has_are_rejected_with_a_reason() {
    let upstream = Upstream::echo().await;
    let gateway = every_path(&upstream);
    let targets: [&[u8]; 8] = [b"/?ids=[\"1\"]", b"/?<b>", b"/?a>b", b"/<", b"/>", b"/`", b"/?\xe9", b"/\xff"];
    for target in targets {
        let head = request(&gateway, "POST TARGET HTTP/1.1", "", "");
        let (before, after) = head.split_once("TARGET").unwrap();
        let bytes = [before.as_bytes(), target, after.as_bytes()].concat();
        let answer = gateway.wire().await.write(bytes).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("\"reason\":\"invalid_target\""), "{}: {answer}", target.escape_ascii());
    }
    let counted = "hookgate_requests_total{outcome=\"rejected\",reason=\"invalid_target\",route=\"\",status=\"400\"}";
    assert_eq!(gateway.metric(counted).await, Some(targets.len() as f64));
    assert!(upstream.seen().is_empty());
}

/// Each has one reading, and reaches the upstream.
#[tokio::test]
async fn unusual_requests_with_one_reading_are_served() {
    let upstream = Upstream::echo().await;
    let gateway = every_path(&upstream);
    let more = "Connection: close\r\n";
    for (what, line, fields, body) in [
        ("an empty line before the request line", "\r\nPOST /a HTTP/1.1", "", ""),
        ("absolute form", "POST http://localhost/a HTTP/1.1", "", ""),
        ("absolute form in another case", "POST HTTP://LocalHost/a HTTP/1.1", "", ""),
        ("HTTP/1.0", "POST /a HTTP/1.0", "", ""),
        (
            "HTTP/1.0 with a body and keep-alive",
            "POST /a HTTP/1.0",
            "Connection: keep-alive\r\nContent-Length: 2\r\n",
            "{}",
        ),
        ("an unknown method", "PURGE /a HTTP/1.1", "", ""),
        ("a method in lower case", "post /a HTTP/1.1", "", ""),
        ("GET with a body", "GET /a HTTP/1.1", "Content-Length: 2\r\n", "{}"),
        ("DELETE with chunks", "DELETE /a HTTP/1.1", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        ("no body and no length", "POST /a HTTP/1.1", "", ""),
        ("a question mark alone", "POST /a? HTTP/1.1", "", ""),
        ("whitespace around a value", "POST /a HTTP/1.1", "Content-Length: \t 2\t \r\n", "{}"),
        ("no whitespace before a value", "POST /a HTTP/1.1", "Content-Length:2\r\n", "{}"),
        ("names in any case", "POST /a HTTP/1.1", "cOnTeNt-LeNgTh: 2\r\n", "{}"),
        ("an empty value", "POST /a HTTP/1.1", "X-Empty:\r\nAccept: \r\n", ""),
        ("empty members of a list", "POST /a HTTP/1.1", "Connection: ,, ,x-a,\r\nAccept: ,,\r\n", ""),
        ("an empty Connection", "POST /a HTTP/1.1", "Connection:\r\n", ""),
        ("UTF-8 and ISO-8859-1 in a value", "POST /a HTTP/1.1", "User-Agent: caf\u{e9}\r\n", ""),
        ("a long value", "POST /a HTTP/1.1", &format!("X-Long: {}\r\n", "a".repeat(20_000)), ""),
        ("a header twice", "POST /a HTTP/1.1", "X-A: 1\r\nX-A: 2\r\n", ""),
        (
            "an expectation that the body has met",
            "POST /a HTTP/1.1",
            "Expect: 100-Continue\r\nContent-Length: 2\r\n",
            "{}",
        ),
        ("an unknown expectation", "POST /a HTTP/1.1", "Expect: 200-ok\r\nContent-Length: 2\r\n", "{}"),
        (
            "trailers",
            "POST /a HTTP/1.1",
            "TE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        (
            "chunk sizes with zeros and in capitals",
            "POST /a HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "00A\r\n0123456789\r\n000\r\n\r\n",
        ),
        (
            "Keep-Alive and Proxy-Connection",
            "POST /a HTTP/1.1",
            "Keep-Alive: 300\r\nProxy-Connection: keep-alive\r\n",
            "",
        ),
    ] {
        let before = upstream.seen().len();
        let bytes = request(&gateway, line, &format!("{fields}{more}"), body);
        let answer = gateway.wire().await.write(bytes).await.rest().await;
        assert!(answer.contains(" 200 OK\r\n"), "{what}: {answer}");
        assert_eq!(upstream.seen().len(), before + 1, "{what}");
    }
}

/// The host of a request in each spelling that RFC 9110 §4.2.3 takes for the same.
#[tokio::test]
async fn a_host_is_the_same_in_each_spelling() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.host("localhost")).start();
    for host in ["localhost", "LOCALHOST", "localhost.", "LocalHost.:8443", "localhost:", "localhost:80"] {
        let head = request(&gateway, "POST /webhook HTTP/1.1", "Connection: close\r\n", "")
            .replace(": localhost", &format!(": {host}"));
        let answer = gateway.wire().await.write(head).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        assert_eq!(upstream.seen().pop().unwrap().header("host"), Some(host));
    }
    let gateway = Gateway::before(&upstream);
    for host in ["[::1]", "[::1]:8443", "127.0.0.1", "xn--bcher-kva.example", "under_score.example"] {
        let head = request(&gateway, "POST /webhook HTTP/1.1", "Connection: close\r\n", "")
            .replace(": localhost", &format!(": {host}"));
        let answer = gateway.wire().await.write(head).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
}

/// RFC 9110 §11.1: the scheme in any case. RFC 6750 §2.1: one space or more.
#[tokio::test]
async fn a_bearer_token_has_its_scheme_in_any_case() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let post = async |value: String| {
        let request = gateway.client().request("/webhook").header("authorization", value);
        gateway.client().send(request, "{}").await.status.as_u16()
    };
    let token = gateway.token();
    for (scheme, status) in [
        ("Bearer ", 200),
        ("bearer ", 200),
        ("BEARER ", 200),
        ("Bearer  ", 200),
        ("Bearer", 401),
        ("Bearer\t", 401),
        ("Bearer, ", 401),
        ("Token ", 401),
    ] {
        assert_eq!(post(format!("{scheme}{token}")).await, status, "{scheme:?}");
    }
    let padded = token.split('.').map(|part| format!("{part}==")).collect::<Vec<_>>().join(".");
    assert_ne!(post(format!("Bearer {padded}")).await, 200);
}

/// The names of an API's objects, such as the projects of GitLab.
#[tokio::test]
async fn encoded_slashes_reach_the_upstream_of_a_route_that_allows_them() {
    let upstream = Upstream::echo().await;
    let other = Upstream::echo().await;
    let setup = Setup::new(upstream.address).route(|route| route.path("/*").with("match.allow_encoded_slashes", true));
    let strict = Setup::new(upstream.address).route(|route| route.path("/*")).start();
    let gateway = setup.top(|top| {
        let narrow = top.first_route().name("narrow").without("match.allow_encoded_slashes").path("/hooks/*");
        top.add_route(narrow.upstream(format!("http://{}", other.address)))
    });
    let gateway = gateway.start();
    let post = async |gateway: &Gateway, target: &str| {
        let head =
            request(gateway, &format!("POST {target} HTTP/1.1"), "Connection: close\r\nContent-Length: 0\r\n", "");
        let answer = gateway.wire().await.write(head).await.rest().await;
        if answer.starts_with("HTTP/1.1 200") {
            "200"
        } else if answer.contains("ambiguous_path") {
            "ambiguous"
        } else {
            "?"
        }
    };
    for target in ["/projects/group%2Fname/hooks?a=%2F", "/a%2fb%2F", "/a/b"] {
        assert_eq!(post(&gateway, target).await, "200", "{target}");
        assert_eq!(upstream.seen().pop().unwrap().target, target);
    }
    for target in [
        "/a%2F%2e%2e%2Fb",
        "/a%2F/b",
        "/a%2Fb%5Cc",
        "/a%252Fb",
        "/%2Fa",
        "/hooks%2Fa",
        "/hooks/a%2Fb",
        "/hooks/%2e%2e%2Fa",
    ] {
        assert_eq!(post(&gateway, target).await, "ambiguous", "{target}");
    }
    assert_eq!(post(&strict, "/a%2Fb").await, "ambiguous");
    assert_eq!((upstream.seen().len(), other.seen().len()), (3, 0));
}

#[tokio::test]
async fn a_number_that_no_rule_reads_may_be_large() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let token = gateway.issuer.token_with(serde_json::json!({ "x": 1e300, "y": u64::MAX }));
    assert_eq!(gateway.client().post(&token).await.status, 200);
}
