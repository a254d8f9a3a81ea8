//! Responses of an upstream that break off, and their trailers.

use http::{HeaderMap, Version};
use serde_json::json;

use crate::support::configuration::{ReplayProtection, Store};
use crate::support::{Gateway, Setup, Upstream};

/// A gateway that streams the response, and one whose response settles a reservation.
fn streaming_and_reserving(upstream: &Upstream) -> [Gateway; 2] {
    let reserving = Setup::new(upstream.address).top(|top| top.store(Store::memory()));
    let reserving = reserving.route(|route| route.replay_protection(ReplayProtection::claim("jti")));
    [Gateway::before(upstream), reserving.start()]
}

fn token(gateway: &Gateway) -> String {
    gateway.issuer.token_with(json!({ "jti": "event-1" }))
}

/// A request on a connection of its own, which ends with the response.
fn request(gateway: &Gateway, more: &str) -> String {
    format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n{more}\r\n",
        token(gateway)
    )
}

/// While nothing was sent, the response has a status of its own, and the sender may retry.
#[tokio::test]
async fn a_response_that_breaks_off_before_anything_was_sent_is_502() {
    for broken in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
    ] {
        let upstream = Upstream::saying(broken).await;
        for gateway in streaming_and_reserving(&upstream) {
            for client in [gateway.client(), gateway.client_http2()] {
                // The reservation was released: the same event is forwarded again.
                assert_eq!(client.post(&token(&gateway)).await.problem(), (502, "upstream_protocol_error".into()));
            }
            assert_eq!(gateway.counted("error", "upstream_protocol_error").await, Some(2.0));
            assert_eq!(gateway.counted("forwarded", "").await, Some(0.0));
        }
    }
}

/// A partial response must not look complete: the connection is closed before the end of the body.
#[tokio::test]
async fn a_response_that_breaks_off_later_breaks_off_here_too() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf").await;
    for gateway in streaming_and_reserving(&upstream) {
        let answer = gateway.wire().await.write(request(&gateway, "")).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("half"), "{answer}");
        let incomplete = "outcome=\"upstream_incomplete\",reason=\"upstream_protocol_error\",status=\"200\"";
        assert_eq!(gateway.metric(&format!("hookgate_requests_total{{{incomplete}}}")).await, Some(1.0));
        assert_eq!(gateway.counted("forwarded", "").await, Some(0.0));
    }
}

/// A short response in several parts, and streams whose headers must not wait for their first part.
#[tokio::test]
async fn a_complete_response_is_forwarded_in_any_form() {
    for (complete, body) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", "whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n", "whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", "data: 1\n\n"),
    ] {
        let upstream = Upstream::saying(complete).await;
        for gateway in streaming_and_reserving(&upstream) {
            let answer = gateway.client().post(&token(&gateway)).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, body.to_owned()));
            assert_eq!(gateway.counted("forwarded", "").await, Some(1.0));
        }
    }
}

#[tokio::test]
async fn the_length_of_a_response_is_there_once_and_has_no_leading_zeros() {
    for lengths in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 02 ,2\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\n{}",
    ] {
        let upstream = Upstream::saying(lengths).await;
        let gateway = Gateway::before(&upstream);
        for client in [gateway.client(), gateway.client_http2()] {
            let answer = client.post(&gateway.token()).await;
            let lengths: Vec<_> = answer.headers.get_all("content-length").iter().map(|one| one.as_bytes()).collect();
            assert_eq!((lengths, answer.text().as_str()), (vec![&b"2"[..]], "{}"));
        }
    }
}

/// Those that change the framing end the stream of an HTTP/2 client, others could be merged into the headers (RFC 9110
/// §6.5.1).
const WITH_TRAILERS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
    Trailer: Server-Timing, Host, X-Own, Connection\r\n\r\n5\r\nhello\r\n0\r\nServer-Timing: db;dur=1\r\n\
    Transfer-Encoding: chunked\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nHost: evil\r\nContent-Length: 7\r\n\
    Authorization: Bearer evil\r\nSet-Cookie: evil=1\r\nTrailer: x\r\nTE: trailers\r\nUpgrade: x\r\nX-Own: 1\r\n\r\n";

#[tokio::test]
async fn only_safe_trailers_of_a_response_are_forwarded_in_both_versions() {
    let upstream = Upstream::saying(WITH_TRAILERS).await;
    for gateway in streaming_and_reserving(&upstream) {
        let request = request(&gateway, "TE: trailers\r\nConnection: TE, close\r\n");
        let answer = gateway.wire().await.write(request).await.rest().await.to_lowercase();
        assert!(answer.ends_with("5\r\nhello\r\n0\r\nserver-timing: db;dur=1\r\n\r\n"), "{answer}");
        assert!(answer.contains("\r\ntrailer: server-timing\r\n"), "{answer}");
    }
    for gateway in streaming_and_reserving(&upstream) {
        // HTTP/1 sends trailers only to a client that asks for them (RFC 9110 §6.5.1).
        let answer = gateway.wire().await.write(request(&gateway, "Connection: close\r\n")).await.rest().await;
        assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    }
    for gateway in streaming_and_reserving(&upstream) {
        let client = gateway.client_http2();
        let request = client.request("/webhook").version(Version::HTTP_2);
        let request = request.header("authorization", format!("Bearer {}", token(&gateway)));
        let answer = client.send(request, "{}").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"));
        let expected: HeaderMap = [("server-timing", "db;dur=1")]
            .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
            .into_iter()
            .collect();
        assert_eq!(answer.trailers, Some(expected));
        assert_eq!(gateway.counted("forwarded", "").await, Some(1.0));
    }
}

#[tokio::test]
async fn a_response_without_safe_trailers_ends_without_any() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nConnection: close\r\n\r\n",
    )
    .await;
    for gateway in streaming_and_reserving(&upstream) {
        let answer = gateway.client_http2().post(&token(&gateway)).await;
        assert_eq!((answer.text().as_str(), answer.trailers), ("{}", None));
    }
}

/// RFC 9112 §6.3: chunks delimit the body, not the length. A length that is forwarded would cut the body, or
/// have the client wait for more.
#[tokio::test]
async fn a_length_beside_chunks_is_removed() {
    for broken in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 100\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let upstream = Upstream::saying(broken).await;
        for gateway in streaming_and_reserving(&upstream) {
            let client = gateway.client();
            let answer = client.post(&token(&gateway)).await;
            assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", None));
            assert_eq!(gateway.counted("forwarded", "").await, Some(1.0));
        }
        let answer = Gateway::before(&upstream);
        let answer = answer.client_http2().post(&answer.token()).await;
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", None));
    }
}

/// The client would take the coded bytes for the content: `Transfer-Encoding` ends at the gateway.
#[tokio::test]
async fn a_response_with_a_coding_that_is_not_removed_is_502() {
    for broken in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let upstream = Upstream::saying(broken).await;
        let gateway = Gateway::before(&upstream);
        assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (502, "upstream_protocol_error".into()));
    }
}

/// A response that has no body by its status keeps no length that a client could wait for (RFC 9110 §8.6).
#[tokio::test]
async fn a_response_without_a_body_is_complete_with_its_headers() {
    for (complete, status, length) in [
        (&b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"[..], 204, None),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, None),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, Some("5")),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: five\r\n\r\n", 304, None),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, None),
    ] {
        let upstream = Upstream::saying(complete).await;
        for gateway in streaming_and_reserving(&upstream) {
            for client in [gateway.client(), gateway.client_http2()] {
                let token = gateway.issuer.token_with(json!({ "jti": format!("{:?}", std::time::Instant::now()) }));
                let answer = client.post(&token).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (status, String::new()));
                assert!(answer.header("content-length").is_none_or(|found| Some(found) == length));
            }
            assert_eq!(gateway.counted("forwarded", "").await, Some(2.0));
        }
    }
}
