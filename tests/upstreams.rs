//! Upstreams over TLS, on a Unix socket, and several with load balancing.

mod http2;
mod identity;
mod reuse;
mod timeouts;

use std::net::SocketAddr;

use hookgate::reload::Reloaded;
use tempfile::TempDir;

use crate::support::{Gateway, Setup, Upstream, certificate, replace, until};

/// The usual gateway with one worker and the upstream at this URL.
fn before(url: &str) -> Setup {
    let setup = Setup::new(([127, 0, 0, 1], 9).into()).route(|route| route.upstream(url));
    setup.top(|top| top.workers(1))
}

/// The usual gateway with one worker and an upstream behind TLS, with or without its own CA.
fn before_tls(host: &str, upstream: &Upstream, ca: Option<&str>) -> Setup {
    let setup = before(&format!("https://{host}:{}", upstream.address.port()));
    if ca.is_some() { setup.route(|route| route.upstream_ca(ca)) } else { setup }
}

fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(|address| format!("http://{address}")).collect()
}

fn several(addresses: &[SocketAddr]) -> Gateway {
    before("").route(|route| route.without("upstream.url").upstreams(urls(addresses))).start()
}

/// A free address, on which no server listens yet.
async fn dead() -> SocketAddr {
    Upstream::echo().await.stop().await
}

/// The statuses of `count` successive requests.
async fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.client().post(&gateway.token()).await.status.as_u16());
    }
    statuses
}

const UNREACHABLE: (u16, &str) = (502, "upstream_unreachable");

async fn problem(gateway: &Gateway) -> (u16, String) {
    gateway.client().post(&gateway.token()).await.problem()
}

#[tokio::test]
async fn an_upstream_that_also_listens_elsewhere_is_reported() {
    for (listens, exposed) in [("0.0.0.0:0", 1.0), ("127.0.0.1:0", 0.0)] {
        let upstream = Upstream::echo_at(listens.parse().unwrap()).await;
        let url = format!("http://127.0.0.1:{}", upstream.address.port());
        let gateway = before(&url).start();
        let metric = format!("hookgate_upstream_exposed{{upstream=\"{url}\"}}");
        until("it has looked", async || gateway.metric(&metric).await.is_some()).await;
        assert_eq!(gateway.metric(&metric).await, Some(exposed), "{listens}");
    }
}

#[tokio::test]
async fn an_upstream_behind_tls_is_reached_under_its_own_ca() {
    for name in ["localhost", "127.0.0.1"] {
        let (ca, chain, key) = certificate(&[name]);
        let upstream = Upstream::echo_tls(&chain, &key).await;
        let gateway = before_tls(name, &upstream, Some("app.pem")).file("app.pem", &ca).start();
        assert_eq!(statuses(&gateway, 3).await, [200; 3]);
        // The host that the sender used, not the address of the upstream.
        let host = format!("localhost:{}", gateway.address().port());
        assert_eq!(upstream.seen()[0].header("host"), Some(host.as_str()));
        assert_eq!(upstream.seen()[0].target, "/webhook");
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_prove_its_name_gets_nothing() {
    let (ca, chain, key) = certificate(&["localhost"]);
    let (other_ca, other_chain, other_key) = certificate(&["other.test"]);
    let upstream = Upstream::echo_tls(&chain, &key).await;
    let other = Upstream::echo_tls(&other_chain, &other_key).await;
    let cases = [
        (&upstream, Some("app.pem"), &other_ca),
        // The public roots do not contain its CA.
        (&upstream, None, &ca),
        (&other, Some("app.pem"), &other_ca),
    ];
    for (app, trusted, ca) in cases {
        let gateway = before_tls("localhost", app, trusted).file("app.pem", ca).start();
        let (status, code) = problem(&gateway).await;
        assert_eq!((status, code.as_str()), UNREACHABLE, "{trusted:?}");
    }
    assert!(upstream.seen().is_empty() && other.seen().is_empty());
}

/// The connect timeout includes the TLS handshake; with the total timeout it would be a 504 after half a minute.
#[tokio::test]
async fn a_handshake_that_does_not_end_is_502() {
    let upstream = Upstream::silent().await;
    let setup = before(&format!("https://{}", upstream.address));
    let gateway = setup.route(|route| route.upstream_connect("100ms")).start();
    let (status, code) = problem(&gateway).await;
    assert_eq!((status, code.as_str()), UNREACHABLE);
}

#[tokio::test]
async fn a_new_ca_counts_from_the_reload_on() {
    let (ca, chain, key) = certificate(&["localhost"]);
    let (other_ca, ..) = certificate(&["localhost"]);
    let upstream = Upstream::echo_tls(&chain, &key).await;
    let gateway = before_tls("localhost", &upstream, Some("app.pem")).file("app.pem", &ca).start();
    assert_eq!(statuses(&gateway, 1).await, [200]);
    replace(&gateway.path("app.pem"), &other_ca);
    // The watch may have been faster, and then there is nothing left to do.
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    // A connection made with the old CA is still open, and must not be used.
    let (status, code) = problem(&gateway).await;
    assert_eq!((status, code.as_str(), upstream.seen().len()), (502, "upstream_unreachable", 1));
    replace(&gateway.path("app.pem"), "no certificate");
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    replace(&gateway.path("app.pem"), &ca);
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(statuses(&gateway, 1).await, [200]);
}

#[tokio::test]
async fn an_upstream_on_a_unix_socket_is_reached() {
    let folder = TempDir::new().unwrap();
    let upstream = Upstream::echo_unix(&folder.path().join("app.sock"));
    let gateway = before(&format!("unix:{}", folder.path().join("app.sock").display())).start();
    assert_eq!(statuses(&gateway, 2).await, [200; 2]);
    let host = format!("localhost:{}", gateway.address().port());
    assert_eq!(upstream.seen()[0].header("host"), Some(host.as_str()));
    assert_eq!(upstream.seen()[0].target, "/webhook");
}

#[tokio::test]
async fn the_path_of_a_socket_is_relative_to_the_configuration() {
    let gateway = before("unix:app.sock").start();
    let (status, code) = problem(&gateway).await;
    assert_eq!((status, code.as_str()), UNREACHABLE);
    let upstream = Upstream::echo_unix(&gateway.path("app.sock"));
    assert_eq!(statuses(&gateway, 1).await, [200]);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn connections_are_reused_and_closed_when_idle() {
    let upstream = Upstream::echo().await;
    let setup = before(&format!("http://{}", upstream.address));
    let gateway = setup.route(|route| route.upstream_keepalive("10s")).start();
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert_eq!((upstream.connections(), upstream.open()), (1, 1));
    gateway.edit_route(|route| route.upstream_keepalive("1ms"));
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(statuses(&gateway, 1).await, [200]);
    until("no connection is open", async || upstream.open() == 0).await;
}

#[tokio::test]
async fn several_upstreams_are_used_round_robin() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let gateway = several(&[one.address, two.address]);
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert_eq!((one.seen().len(), two.seen().len()), (5, 5));
}

#[tokio::test]
async fn a_dead_upstream_costs_no_request_and_comes_back_into_rotation() {
    let (address, two) = (dead().await, Upstream::echo().await);
    let gateway = several(&[address, two.address]);
    assert_eq!(statuses(&gateway, 20).await, [200; 20]);
    assert_eq!(two.seen().len(), 20);
    // It is still ejected; when the other upstream is gone, all are tried.
    let one = Upstream::echo_at(address).await;
    let address = two.stop().await;
    // The gateway may send one more request over the closing connection.
    until("the first upstream responds", async || statuses(&gateway, 1).await == [200] && one.seen().len() > 2).await;
    // It serves alone now: the other upstream, which runs again, is ejected for a while.
    let (two, before) = (Upstream::echo_at(address).await, one.seen().len());
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert_eq!((one.seen().len() - before, two.seen().len()), (10, 0));
}

#[tokio::test]
async fn with_all_upstreams_dead_the_answer_is_502() {
    let gateway = several(&[dead().await, dead().await]);
    for _ in 0..3 {
        let (status, code) = problem(&gateway).await;
        assert_eq!((status, code.as_str()), UNREACHABLE);
    }
}

/// A second upstream would repeat an operation that the first may have performed.
#[tokio::test]
async fn a_request_that_one_upstream_may_have_seen_is_not_sent_to_another() {
    let (one, two) = (Upstream::saying(b"").await, Upstream::echo().await);
    let gateway = several(&[one.address, two.address]);
    let (status, code) = problem(&gateway).await;
    assert_eq!((status, code.as_str(), two.seen().len()), (502, "upstream_protocol_error", 0));
    // Every second request fails, until the upstream is ejected after five failures in a row.
    let statuses = statuses(&gateway, 19).await;
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 4, "{statuses:?}");
    assert_eq!(two.seen().len(), 15);
}

/// An upstream may close a reused connection with or without having seen the request.
#[tokio::test]
async fn a_request_sent_over_a_used_connection_is_not_sent_over_a_new_one() {
    let (one, two) = (Upstream::leaving().await, dead().await);
    let gateway = several(&[one.address, two]);
    assert_eq!(statuses(&gateway, 3).await, [200, 502, 200]);
    assert_eq!((one.seen().len(), one.connections()), (3, 2));
}

#[tokio::test]
async fn a_reload_keeps_the_state_of_unchanged_upstreams() {
    let (address, two, three) = (dead().await, Upstream::echo().await, Upstream::echo().await);
    let gateway = several(&[address, two.address]);
    assert_eq!(statuses(&gateway, 4).await, [200; 4]);
    let one = Upstream::echo_at(address).await;
    gateway.edit_route(|route| route.upstreams(urls(&[address, two.address, three.address])));
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(statuses(&gateway, 6).await, [200; 6]);
    assert_eq!(one.seen().len(), 0);
    // The new upstream is next, because it was used least recently.
    assert_eq!((two.seen().len(), three.seen().len()), (7, 3));
    // The connections of an unchanged upstream are kept too.
    assert_eq!(two.connections(), 1);
}
