//! State that gateways share through Redis: replay ids, rates and revocations.

use serde_json::json;

use super::{post, token};
use crate::fleet::redis::RedisServer;
use crate::support::configuration::{ReplayProtection, Route, SenderLimit, Store};
use crate::support::{Gateway, Setup, Upstream, until};

/// A gateway with a store in this Redis and these changes of its route.
fn sharing(upstream: &Upstream, server: &RedisServer, change: impl FnOnce(Route) -> Route) -> Gateway {
    let store = Store::redis(server.address);
    Setup::new(upstream.address).top(|top| top.store(store).route(change)).start()
}

fn protected(route: Route) -> Route {
    route.replay_protection(ReplayProtection::claim("jti"))
}

#[tokio::test]
async fn a_token_that_one_gateway_has_seen_is_a_replay_to_the_other() {
    let (upstream, server) = (Upstream::echo().await, RedisServer::start().await);
    let gateways = [sharing(&upstream, &server, protected), sharing(&upstream, &server, protected)];
    // Both trust one issuer, as replicas do.
    let token = token(&gateways[0], "a");
    std::fs::copy(gateways[0].path("jwks.json"), gateways[1].path("jwks.json")).unwrap();
    gateways[1].running().reload();
    assert_eq!(post(&gateways[0].client(), &token, "/webhook", "x").await.status, 200);
    assert_eq!(post(&gateways[1].client(), &token, "/webhook", "x").await.problem().1, "duplicate_request");
    assert_eq!(upstream.seen().len(), 1);
}

/// A replayed request does not count against a rate.
#[tokio::test]
async fn rates_are_counted_together_and_replays_are_not() {
    let (upstream, server) = (Upstream::echo().await, RedisServer::start().await);
    let limited = |route| protected(route).rate("1/h").burst(2).shared_rates(true);
    let gateway = sharing(&upstream, &server, limited);
    let client = gateway.client();
    assert_eq!(post(&client, &token(&gateway, "a"), "/webhook", "").await.status, 200);
    for _ in 0..5 {
        assert_eq!(post(&client, &token(&gateway, "a"), "/webhook", "").await.problem().1, "duplicate_request");
    }
    let other = sharing(&upstream, &server, limited);
    assert_eq!(post(&other.client(), &token(&other, "b"), "/webhook", "").await.status, 200);
    let limited = post(&client, &token(&gateway, "c"), "/webhook", "").await;
    assert_eq!(limited.problem(), (429, "rate_limited".to_owned()));
    assert!(limited.header("ratelimit").unwrap().starts_with("\"route\";r=0;t="), "{:?}", limited.headers);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn rates_of_a_sender_are_counted_together() {
    let (upstream, server) = (Upstream::echo().await, RedisServer::start().await);
    let limited = |route: Route| protected(route).per_sender(SenderLimit::rate_of("1/h").burst(1)).shared_rates(true);
    let gateways = [sharing(&upstream, &server, limited), sharing(&upstream, &server, limited)];
    let post_as = async |gateway: &Gateway, subject: &str, id: &str| {
        let token = gateway.issuer.token_with(json!({ "sub": subject, "jti": id }));
        post(&gateway.client(), &token, "/webhook", "").await
    };
    assert_eq!(post_as(&gateways[0], "a", "1").await.status, 200);
    let limited = post_as(&gateways[1], "a", "2").await;
    assert!(limited.header("ratelimit").unwrap().starts_with("\"sender\";r=0;t="), "{:?}", limited.headers);
    assert_eq!(post_as(&gateways[1], "b", "3").await.status, 200);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn revocations_in_redis_are_enforced_and_fail_closed() {
    let (upstream, mut server) = (Upstream::echo().await, RedisServer::start().await);
    let gateway = sharing(&upstream, &server, |route| route.revocation(json!({"shared": true})));
    let client = gateway.client();
    let of = |changes| gateway.issuer.token_with(changes);
    let (one, other) = (of(json!({"jti": "1", "sub": "s"})), of(json!({"jti": "2", "sub": "t"})));
    assert_eq!(client.post(&one).await.status, 200);
    server.say("SADD {hookgate:revoked}:jti 1");
    assert_eq!(client.post(&one).await.problem(), (401, "revoked".to_owned()));
    assert_eq!(client.post(&other).await.status, 200);
    server.say("SADD {hookgate:revoked}:sub t");
    assert_eq!(client.post(&other).await.problem(), (401, "revoked".to_owned()));
    let third = of(json!({"jti": "3", "sub": "u"}));
    server.say(&format!("SET {{hookgate:revoked}}:issued_before {}", crate::support::NOW + 1));
    assert_eq!(client.post(&third).await.problem(), (401, "revoked".to_owned()));
    server.kill();
    let unknown = client.post(&third).await;
    assert_eq!((unknown.problem(), unknown.header("retry-after")), ((503, "store_unavailable".to_owned()), Some("10")));
    assert_eq!(upstream.seen().len(), 2);
}

/// The request's future is dropped while it waits for the store, which has made the reservation by then.
#[tokio::test]
async fn a_client_that_disconnects_during_a_store_operation_blocks_nothing() {
    let (upstream, server) = (Upstream::echo().await, RedisServer::start().await);
    let gateway = sharing(&upstream, &server, protected);
    let token = token(&gateway, "a");
    server.pause();
    let mut wire = gateway.wire().await;
    wire.write(super::head(&token, "content-length: 0")).await;
    until("the token is verified", async || {
        gateway.metric("hookgate_verify_duration_seconds_count{scheme=\"jwt\"}").await.is_some()
    })
    .await;
    wire.reset();
    until("the disconnect is counted", async || {
        gateway
            .metric("hookgate_requests_total{outcome=\"error\",reason=\"client_disconnected\",route=\"webhook\"}")
            .await
            == Some(1.0)
    })
    .await;
    server.resume();
    let client = gateway.client();
    let mut last = 0;
    until("the request passes", async || {
        last = post(&client, &token, "/webhook", "").await.status.as_u16();
        last == 200
    })
    .await;
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn without_redis_requests_fail_closed_unless_configured_otherwise() {
    let (upstream, mut server) = (Upstream::echo().await, RedisServer::start().await);
    server.kill();
    for (word, status) in [("reject", 503), ("allow", 200)] {
        let store = Store::redis(server.address).on_error(word);
        let setup = Setup::new(upstream.address).route(protected);
        let gateway = setup.top(|top| top.store(store)).start();
        assert_eq!(post(&gateway.client(), &token(&gateway, "a"), "/webhook", "").await.status, status);
        let ready = gateway.admin("/readyz").await;
        assert_eq!((ready.status.as_u16(), ready.json()["store_available"].clone()), (200, json!(false)));
    }
}
