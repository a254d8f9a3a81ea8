//! `upstream.reuse`: which connections to an upstream are used again. tests/e2e/unread_bodies.py has the attack itself,
//! against servers that do not read bodies.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::before;
use crate::support::configuration::Route;
use crate::support::{Gateway, Upstream, until};

/// The usual gateway with one worker and this upstream, for every method.
fn gateway(upstream: &Upstream, change: impl FnOnce(Route) -> Route) -> Gateway {
    let route = |route: Route| change(route.without("match.methods").upstream_keepalive("10s"));
    before(&format!("http://{}", upstream.address)).route(route).start()
}

/// Whether the connection of a request is kept. If not, the upstream must have been told: it would read the rest of a body
/// as another request.
async fn keeps(gateway: &Gateway, upstream: &Upstream, method: &str, body: &'static str) -> bool {
    let send = async || {
        let request = gateway.client().request("/webhook").method(method);
        let request = request.header("authorization", format!("Bearer {}", gateway.token()));
        assert_eq!(gateway.client().send(request, body).await.status, 200);
    };
    send().await;
    if upstream.seen().pop().unwrap().header("connection") == Some("close") {
        until("the connection is closed", async || upstream.open() == 0).await;
        return false;
    }
    let connections = upstream.connections();
    send().await;
    assert_eq!(upstream.connections(), connections, "{method} {body:?}");
    true
}

/// Request smuggling by an unread body (CL.0): the method says whether a handler reads one.
#[tokio::test]
async fn a_body_that_the_upstream_may_not_read_ends_its_connection() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| route);
    for method in ["GET", "DELETE", "OPTIONS", "PROPFIND", "QUERY"] {
        assert!(!keeps(&gateway, &upstream, method, "body").await, "{method}");
        assert!(keeps(&gateway, &upstream, method, "").await, "{method}");
    }
    for method in ["POST", "PUT", "PATCH"] {
        assert!(keeps(&gateway, &upstream, method, "body").await, "{method}");
    }
}

#[tokio::test]
async fn a_body_of_an_unauthenticated_client_ends_its_connection() {
    let upstream = Upstream::echo().await;
    let public = |route: Route| route.auth("public").without("replay_protection");
    let gateway = gateway(&upstream, public);
    assert!(!keeps(&gateway, &upstream, "POST", "body").await);
    assert!(keeps(&gateway, &upstream, "POST", "").await);
}

/// In a dry run a request is forwarded although it would be rejected.
#[tokio::test]
async fn a_body_that_only_a_dry_run_forwards_ends_its_connection() {
    let upstream = Upstream::echo().await;
    let rejected = |route: Route| route.dry_run_until("2026-11-24").jwt(|jwt| jwt.audience("https://other.test/"));
    let gateway = gateway(&upstream, rejected);
    assert!(!keeps(&gateway, &upstream, "POST", "body").await);
}

#[tokio::test]
async fn never_and_always_are_explicit() {
    let upstream = Upstream::echo().await;
    let always = gateway(&upstream, |route| route.with("upstream.reuse", "always"));
    assert!(keeps(&always, &upstream, "GET", "body").await);
    let upstream = Upstream::echo().await;
    let never = gateway(&upstream, |route| route.with("upstream.reuse", "never"));
    assert!(!keeps(&never, &upstream, "POST", "body").await);
    assert!(!keeps(&never, &upstream, "GET", "").await);
}

/// The next request would get the surplus response (response queue poisoning).
#[tokio::test]
async fn bytes_after_a_response_are_no_response_to_the_next_request() {
    const TWO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let upstream = Upstream::repeating(TWO, Arc::new(Semaphore::new(0))).await;
    let gateway = gateway(&upstream, |route| route);
    for count in 1..=5 {
        assert_eq!(gateway.client().post(&gateway.token()).await.text(), "ok");
        assert_eq!(upstream.connections(), count);
    }
}

#[tokio::test]
async fn an_idle_connection_on_which_bytes_come_is_closed() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::repeating("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Arc::clone(&gate)).await;
    let gateway = gateway(&upstream, |route| route);
    assert_eq!(gateway.client().post(&gateway.token()).await.text(), "ok");
    assert_eq!(upstream.open(), 1);
    gate.add_permits(1);
    until("the connection is closed", async || upstream.open() == 0).await;
}
