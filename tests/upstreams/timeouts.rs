//! Responses that last long, and upstreams that pause.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use super::before;
use crate::support::configuration::{ReplayProtection, Route, Store};
use crate::support::http2::{HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, frames_until, http2_head};
use crate::support::{Gateway, Setup, Upstream, until};

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

fn request(gateway: &Gateway) -> String {
    let token = gateway.issuer.token_with(json!({ "jti": "event-1" }));
    format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n")
}

fn timeouts(response_headers: &'static str, idle: &'static str) -> impl Fn(Route) -> Route {
    move |route| {
        let timeouts = json!({ "total": "none", "response_headers": response_headers, "response_body_idle": idle });
        route.with("upstream.timeouts", timeouts)
    }
}

fn endless(upstream: &Upstream, idle: &'static str) -> Setup {
    before(&format!("http://{}", upstream.address)).route(timeouts("20s", idle))
}

/// The timeout of another request shows that more time has passed than the headers may take.
#[tokio::test]
async fn a_response_without_total_outlasts_the_timeout_of_its_headers() {
    let gate = Arc::new(Semaphore::new(0));
    let (upstream, silent) = (Upstream::halting(Arc::clone(&gate)).await, Upstream::silent().await);
    let setup = before(&format!("http://{}", upstream.address)).route(timeouts("100ms", "20s"));
    let gateway = setup.top(|top| {
        let other = top.first_route().name("silent").path("/silent").upstream(format!("http://{}", silent.address));
        top.add_route(other)
    });
    let gateway = gateway.start();
    let mut wire = gateway.wire().await;
    wire.write(request(&gateway)).await.read_until("ha\r\n").await;
    let late = gateway.client().request("/silent").header("authorization", format!("Bearer {}", gateway.token()));
    assert_eq!(gateway.client().send(late, "").await.problem(), (504, "upstream_timeout".into()));
    gate.add_permits(1);
    wire.read_until("lf\r\n0\r\n\r\n").await;
    until("it is counted", async || gateway.counted("forwarded", "").await == Some(1.0)).await;
}

#[tokio::test]
async fn an_upstream_that_pauses_too_long_is_cut_off() {
    let upstream = Upstream::halting(Arc::new(Semaphore::new(0))).await;
    let reserving = |route: Route| {
        let route = route.with("upstream.timeouts", json!({ "response_body_idle": "100ms" }));
        route.replay_protection(ReplayProtection::claim("jti"))
    };
    let reserving = before(&format!("http://{}", upstream.address)).route(reserving);
    for setup in [endless(&upstream, "100ms"), reserving.top(|top| top.store(Store::memory()))] {
        let gateway = setup.start();
        let answer = gateway.wire().await.write(request(&gateway)).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("2\r\nha\r\n"), "{answer}");
        assert_eq!(gateway.counted("upstream_incomplete", "upstream_timeout").await, Some(1.0));
    }
}

/// Without `total` nothing else would end the request of a client that has left.
#[tokio::test]
async fn a_client_that_leaves_ends_the_request_of_its_upstream() {
    let silent = Upstream::endless(EVENTS, "").await;
    let gateway = endless(&silent, "1d").start();
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, &http2_head(&gateway.token(), 5)].concat()).await;
    frames_until(&mut wire, |kind, _| kind == HEADERS).await;
    assert_eq!(silent.open(), 1);
    wire.write(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    until("the upstream's connection is closed", async || silent.open() == 0).await;

    let flood = Upstream::endless(EVENTS, "data: 1\n\n").await;
    let gateway = endless(&flood, "1d").start();
    let mut wire = gateway.wire().await;
    wire.write(request(&gateway)).await.read_until("data: 1").await;
    drop(wire);
    until("the upstream's connection is closed", async || flood.open() == 0).await;
}

/// In HTTP/2 a client can keep one stream from being written, which neither the socket nor the upstream shows.
#[tokio::test]
async fn a_client_that_takes_nothing_of_an_endless_response_loses_its_connection() {
    let flood = Upstream::endless(EVENTS, "data: 1\n\n").await;
    let setup = endless(&flood, "100ms").listener(|listener| listener.response_write_idle("100ms"));
    let gateway = setup.start();
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, &http2_head(&gateway.token(), 5)].concat()).await;
    // The window of the stream has room for 64 KiB, and is never opened again.
    wire.rest().await;
    until("the upstream's connection is closed", async || flood.open() == 0).await;
}
