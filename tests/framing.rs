//! Request smuggling: raw bytes that HTTP implementations parse differently, with a good token, in front of an upstream
//! that records its requests.

use crate::support::http2::{
    GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, frames_until, http2_fields, literal,
};
use crate::support::{Gateway, Upstream};

/// A request that passes; `fields` and `body` follow its token.
fn request(gateway: &Gateway, target: &str, fields: &str, body: &str) -> String {
    let token = gateway.token();
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{fields}\r\n{body}")
}

/// For each, some parsers see a request for `/smuggled`, or another body than others do.
const HEADS: &[(&str, &str)] = &[
    ("CL+TE", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
    ("TE+CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
    ("two lengths", "Content-Length: 4\r\nContent-Length: 5\r\n"),
    ("one length twice", "Content-Length: 4\r\nContent-Length: 4\r\n"),
    ("a list of lengths", "Content-Length: 4, 4\r\n"),
    ("a signed length", "Content-Length: +4\r\n"),
    ("a length in hex", "Content-Length: 0x4\r\n"),
    ("a length that overflows", "Content-Length: 18446744073709551620\r\n"),
    ("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    ("TE and identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    ("TE of two codings", "Transfer-Encoding: gzip, chunked\r\n"),
    ("TE in another case", "Transfer-Encoding: ChunKed\r\n"),
    ("TE with a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
    ("TE in quotes", "Transfer-Encoding: \"chunked\"\r\n"),
    ("TE of an unknown coding", "Transfer-Encoding: xchunked\r\n"),
    ("a folded TE", "Transfer-Encoding:\r\n chunked\r\n"),
    ("a folded line", "X-A: b\r\n Content-Length: 4\r\n"),
    ("a space before the colon", "Content-Length : 4\r\n"),
    ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
    ("a space before the name", " Content-Length: 4\r\n"),
    ("no name", ": 4\r\n"),
    ("no colon", "Content-Length\r\n"),
    ("a NUL in a name", "Content-Length\0: 4\r\n"),
    ("a NUL in a value", "X-A: b\0c\r\n"),
    ("a bare CR", "X-A: b\rContent-Length: 4\r\n"),
    ("a bare LF", "X-A: b\nContent-Length: 4\r\n"),
    ("an end of bare LFs", "X-A: b\n\nGET /smuggled HTTP/1.1\r\n"),
    ("two CRs", "X-A: b\r\r\n"),
];

const LINES: &[(&str, &str)] = &[
    ("TE in HTTP/1.0", "POST /webhook HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a space in the method", "PO ST /webhook HTTP/1.1\r\n\r\n"),
    ("two spaces", "POST  /webhook HTTP/1.1\r\n\r\n"),
    ("a tab for a space", "POST\t/webhook HTTP/1.1\r\n\r\n"),
    ("a space in the target", "POST /webhook /smuggled HTTP/1.1\r\n\r\n"),
    ("no version", "POST /webhook\r\n\r\n"),
    ("a version to come", "POST /webhook HTTP/3.7\r\n\r\n"),
    ("empty lines before it", "\r\n\r\nPOST /webhook HTTP/1.1\r\n\r\n"),
    ("HTTP/2 without ALPN", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
];

const CHUNKS: &[(&str, &str)] = &[
    ("an extension", "4;a=b\r\nbody\r\n0\r\n\r\n"),
    ("an extension with a bare LF", "4;\nbody\r\n0\r\n\r\n"),
    ("a space after the size", "4 \r\nbody\r\n0\r\n\r\n"),
    ("a size in two notations", "0x4\r\nbody\r\n0\r\n\r\n"),
    ("a signed size", "+4\r\nbody\r\n0\r\n\r\n"),
    ("a size that overflows", "10000000000000004\r\nbody\r\n0\r\n\r\n"),
    ("a bare LF after the size", "4\nbody\r\n0\r\n\r\n"),
    ("a bare LF after the chunk", "4\r\nbody\n0\r\n\r\n"),
    ("more than its size", "4\r\nbodyX\r\n0\r\n\r\n"),
    ("no size", "\r\nbody\r\n0\r\n\r\n"),
    ("a bare LF at the end", "4\r\nbody\r\n0\r\n\n"),
    ("a folded trailer", "4\r\nbody\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
    ("a trailer with a space before the colon", "4\r\nbody\r\n0\r\nContent-Length : 4\r\n\r\n"),
];

/// Asserts a problem document with this reason, after which the connection is closed.
#[track_caller]
fn rejected(answer: &str, reason: &str, what: &str) {
    let head = answer.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 400 bad request\r\n"), "{what}: {answer}");
    assert!(
        head.contains("\r\nserver: hookgate\r\n") && head.contains("\r\nconnection: close\r\n"),
        "{what}: {answer}"
    );
    assert!(head.contains(&format!("\"reason\":\"{reason}\"")), "{what}: {answer}");
    assert_eq!(head.matches("http/1.1 ").count(), 1, "{what}: {answer}");
}

#[tokio::test]
async fn ambiguous_headers_are_rejected_and_end_their_connection() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let heads = HEADS.iter().map(|(what, fields)| (*what, request(&gateway, "/webhook", fields, "0\r\n\r\n")));
    let lines = LINES.iter().map(|(what, line)| (*what, (*line).to_owned()));
    let all: Vec<(&str, String)> = heads.chain(lines).collect();
    let smuggled = request(&gateway, "/smuggled", "", "");
    for (what, head) in &all {
        let answer = gateway.wire().await.write(format!("{head}{smuggled}")).await.rest().await;
        rejected(&answer, "ambiguous_framing", what);
    }
    assert!(upstream.seen().is_empty());
    let counted = "hookgate_requests_total{outcome=\"rejected\",reason=\"ambiguous_framing\",route=\"\"}";
    assert_eq!(gateway.metric(counted).await, Some(all.len() as f64));
}

/// The earlier request is forwarded and answered first.
#[tokio::test]
async fn ambiguous_headers_after_a_good_request_are_rejected_too() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let good = [
        ("sized", "Content-Length: 4\r\n", "body"),
        ("chunked", "Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"),
    ];
    for (what, fields) in HEADS {
        for (how, first, body) in good {
            let good = request(&gateway, "/webhook", first, body);
            let bad = request(&gateway, "/smuggled", fields, "0\r\n\r\n");
            let answer = gateway.wire().await.write(format!("{good}{bad}")).await.rest().await;
            let (first, second) = answer.split_at(answer.rfind("HTTP/1.1 ").unwrap());
            assert!(first.starts_with("HTTP/1.1 200") && first.ends_with("body"), "{what}, {how}: {answer}");
            rejected(second, "ambiguous_framing", what);
        }
    }
    assert_eq!(upstream.seen().len(), HEADS.len() * good.len());
    assert!(upstream.seen().iter().all(|seen| seen.body == "body"));
}

#[tokio::test]
async fn ambiguous_chunks_end_the_exchange() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let smuggled = request(&gateway, "/smuggled", "", "");
    for (what, chunks) in CHUNKS {
        let bad = request(&gateway, "/webhook", "Transfer-Encoding: chunked\r\n", chunks);
        let answer = gateway.wire().await.write(format!("{bad}{smuggled}")).await.rest().await;
        rejected(&answer, "ambiguous_framing", what);
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    assert_eq!(gateway.counted("rejected", "ambiguous_framing").await, Some(CHUNKS.len() as f64));
}

#[tokio::test]
async fn a_fragment_is_rejected_before_it_is_dropped() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let answer = gateway.wire().await.write(request(&gateway, "/webhook#/smuggled", "", "")).await.rest().await;
    rejected(&answer, "ambiguous_path", "a fragment");
    assert!(upstream.seen().is_empty());
}

/// Bytes after a rejected upgrade are discarded.
#[tokio::test]
async fn early_bytes_after_an_upgrade_are_no_tunnel() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let upgrade = request(&gateway, "/webhook", "Upgrade: websocket\r\nConnection: upgrade\r\n", "");
    let early = request(&gateway, "/webhook", "", "");
    let answer = gateway.wire().await.write(format!("{upgrade}{early}")).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    assert!(upstream.seen().is_empty());
}

/// hyper's own limit gives a response without a body, so the gateway's lower limit applies first.
#[tokio::test]
async fn endless_headers_get_a_problem_document() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let endless = format!("POST /webhook HTTP/1.1\r\nX-A: {}", "a".repeat(80_000));
    let answer = gateway.wire().await.write(endless).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("\"reason\":\"headers_too_large\""), "{answer}");
}

/// Each is a stream error or a connection error, and never a forwarded request.
#[tokio::test]
async fn bytes_that_http2_could_carry_into_http1_are_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let good = http2_fields(&gateway.token());
    for (name, value) in [
        ("x-a", "b\r\nx-smuggled: c"),
        ("x-a", "b\nc"),
        ("x-a", "b\rc"),
        ("x-a", "b\0c"),
        ("x-a\r\nx-smuggled", "c"),
        ("x-a: b", "c"),
        ("x-a\0", "c"),
        ("X-A", "c"),
        ("", "c"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("upgrade", "h2c"),
        (":path", "/smuggled"),
        (":method", "GET"),
        (":unknown", "a"),
    ] {
        let block = [good.clone(), literal(name, value)].concat();
        stream_ends(&gateway, &[frame(1, 5, 1, &block)].concat(), name).await;
    }
    let late = [literal("x-a", "b"), good.clone()].concat();
    stream_ends(&gateway, &frame(1, 5, 1, &late), "pseudo-headers late").await;
    for (length, data) in [("4", "bodysmuggled"), ("40", "body"), ("4x", "body")] {
        let block = [good.clone(), literal("content-length", length)].concat();
        let frames = [frame(1, 4, 1, &block), frame(0, 1, 1, data.as_bytes())].concat();
        stream_ends(&gateway, &frames, length).await;
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

/// Asserts that the stream is reset or the connection is closed, without a response.
async fn stream_ends(gateway: &Gateway, frames: &[u8], what: &str) {
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, frames].concat()).await;
    let seen = frames_until(&mut wire, |kind, _| matches!(kind, HEADERS | RST_STREAM | GOAWAY)).await;
    assert_ne!(seen.last().map(|(kind, _)| *kind), Some(HEADERS), "{what}");
}
