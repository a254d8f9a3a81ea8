//! The access log has the cause of an upstream's failure: each of its reasons has several.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::*;
use crate::support::{Calls, Upstream, certificate};

/// The lines of the access log after one request to each route, whose names are their paths.
async fn lines(routes: Vec<Route>) -> Vec<Value> {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let routes: Vec<Route> = routes
        .into_iter()
        .enumerate()
        .map(|(index, route)| route.name(index.to_string()).path(format!("/{index}")).auth("public"))
        .collect();
    let count = routes.len();
    let mut process = start_with(folder.path(), address, admin, routes);
    let output = BufReader::new(process.stdout.take().unwrap());
    for index in 0..count {
        let mut stream = connected(address).await;
        let request = format!("GET /{index} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        timeout(Duration::from_secs(60), stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    }
    stop(process).await;
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut lines: Vec<Value> = lines.filter(|line| line["message"] == "request").collect();
    lines.sort_by_key(|line| line["route"].as_str().unwrap().parse::<usize>().unwrap());
    lines
}

#[tokio::test]
async fn the_cause_of_an_upstreams_failure_is_logged() {
    let to = |upstream: &Upstream, scheme: &str| Route::empty().upstream(format!("{scheme}://{}", upstream.address));
    let limited =
        |upstream: &Upstream, key: &str| to(upstream, "http").with(&format!("upstream.timeouts.{key}"), "50ms");
    let (_, chain, key) = certificate(&["127.0.0.1"]);
    let [says_nothing, nonsense, switches, half] = [
        &b""[..],
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf",
    ]
    .map(Upstream::saying);
    let says_nothing = says_nothing.await;
    let (nonsense, switches, half) = (nonsense.await, switches.await, half.await);
    let (silent, tls) = (Upstream::silent().await, Upstream::echo_tls(&chain, &key).await);
    let (halting, plain) = (Upstream::halting(Arc::new(Semaphore::new(0))).await, Upstream::echo().await);
    let resetting = Upstream::http2(Calls::resetting(&[2])).await;
    let refusing = Upstream::http2(Calls::resetting(&[7, 7])).await;
    let http2 = |upstream: &Upstream| to(upstream, "http").with("upstream.protocol", "http2");
    let connecting = to(&silent, "https").with("upstream.timeouts.connect", "50ms");
    let several = Route::empty().upstreams(vec!["http://127.0.0.1:9", "unix:/nowhere/app.sock"]);
    let cases = [
        (
            Route::empty().upstream("http://127.0.0.1:9"),
            "upstream_unreachable",
            "http://127.0.0.1:9: tcp connect error: Connection refused",
        ),
        (several, "upstream_unreachable", "unix:/nowhere/app.sock: No such file or directory"),
        (to(&tls, "https"), "upstream_unreachable", "TLS handshake failed: invalid peer certificate: UnknownIssuer"),
        (to(&plain, "https"), "upstream_unreachable", "TLS handshake failed: received corrupt message"),
        (connecting, "upstream_unreachable", "no connection within timeouts.connect"),
        (
            to(&says_nothing, "http"),
            "upstream_protocol_error",
            "the upstream closed the connection before the response headers",
        ),
        (to(&nonsense, "http"), "upstream_protocol_error", "malformed response: invalid HTTP version parsed"),
        (
            http2(&resetting),
            "upstream_protocol_error",
            "the upstream reset the stream (RST_STREAM): http2 error: stream",
        ),
        (
            http2(&refusing),
            "upstream_unreachable",
            "the upstream rejected the request without processing it (REFUSED_STREAM): http2 error: stream",
        ),
        (to(&switches, "http"), "upstream_protocol_error", "the response has the status 101"),
        (
            to(&half, "http"),
            "upstream_protocol_error",
            "the upstream closed the connection or the stream before the end of the response: error reading a body",
        ),
        (
            limited(&silent, "response_headers"),
            "upstream_timeout",
            "no response headers within timeouts.response_headers",
        ),
        (limited(&silent, "total"), "upstream_timeout", "no response headers within timeouts.total"),
        (limited(&halting, "total"), "upstream_timeout", "the upstream's response took longer than timeouts.total"),
        (
            limited(&halting, "response_body_idle"),
            "upstream_timeout",
            "the upstream's response took longer than timeouts.response_body_idle",
        ),
    ];
    let (routes, expected): (Vec<Route>, Vec<_>) =
        cases.into_iter().map(|(route, reason, detail)| (route, (reason, detail))).unzip();
    let lines = lines(routes).await;
    assert_eq!(lines.len(), expected.len());
    for (line, (reason, detail)) in lines.iter().zip(expected) {
        assert_eq!(line["reason"], reason, "{line}");
        assert!(line["detail"].as_str().is_some_and(|text| text.contains(detail)), "{detail}: {line}");
    }
}
