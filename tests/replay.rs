//! No event twice and none lost: replay protection through a whole gateway, with the in-memory store.

mod clocks;
mod copies;
mod idempotency;
mod senders;
mod shared;
mod tenants;

use serde_json::json;

use crate::support::configuration::{ReplayProtection, Store};
use crate::support::{Answer, Client, Gateway, Setup, Upstream, claims, until};

/// The usual gateway with a store in memory.
fn with_store(upstream: &Upstream) -> Setup {
    let store = Store::memory().capacity(1000);
    Setup::new(upstream.address).top(|top| top.store(store))
}

/// The usual gateway with a store in memory and replay protection.
fn with_replay_protection(upstream: &Upstream) -> Setup {
    with_store(upstream).route(|route| route.replay_protection(ReplayProtection::claim("jti")))
}

fn token(gateway: &Gateway, id: &str) -> String {
    gateway.issuer.token_with(json!({ "jti": id }))
}

async fn post(client: &Client, token: &str, target: &str, body: &str) -> Answer {
    let request = client.request(target).header("authorization", format!("Bearer {token}"));
    client.send(request, body.to_owned()).await
}

async fn store_operations(gateway: &Gateway, result: &str) -> Option<f64> {
    gateway.metric(&format!("hookgate_store_operations_total{{kind=\"replay\",result=\"{result}\"}}")).await
}

#[tokio::test]
async fn a_request_passes_once() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, first) = (gateway.client(), token(&gateway, "a"));
    assert_eq!(post(&client, &first, "/webhook", "x").await.status, 200);
    assert_eq!(post(&client, &first, "/webhook", "x").await.problem(), (409, "duplicate_request".to_owned()));
    // The body is not read, so that another token with this id is the same request, and another target is not.
    assert_eq!(post(&client, &token(&gateway, "a"), "/webhook", "y").await.problem().1, "duplicate_request");
    assert_eq!(post(&client, &first, "/webhook?a", "x").await.problem(), (409, "replay_id_reused".to_owned()));
    assert_eq!(post(&client, &token(&gateway, "b"), "/webhook", "x").await.status, 200);
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(gateway.counted("rejected", "duplicate_request").await, Some(2.0));
    assert_eq!(
        (store_operations(&gateway, "committed").await, store_operations(&gateway, "duplicate").await),
        (Some(2.0), Some(2.0))
    );
    assert_eq!(gateway.metric("hookgate_store_entries").await, Some(2.0));
    assert_eq!(gateway.metric("hookgate_store_capacity").await, Some(1000.0));
}

#[tokio::test]
async fn a_token_without_the_id_is_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let without = gateway.issuer.token_with(json!({ "jti": null }));
    assert_eq!(gateway.client().post(&without).await.problem(), (401, "missing_claim".to_owned()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_event_that_was_not_processed_may_be_retried_unchanged() {
    let upstream = Upstream::answering(&[404, 429, 500]).await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, token) = (gateway.client(), token(&gateway, "a"));
    for status in [404, 429, 500] {
        assert_eq!(post(&client, &token, "/webhook", "x").await.status, status);
        assert_eq!(
            post(&client, &token, "/webhook?other=1", "x").await.problem(),
            (409, "replay_id_reused".to_owned())
        );
    }
    assert_eq!(post(&client, &token, "/webhook", "x").await.status, 200);
    assert_eq!(post(&client, &token, "/webhook", "x").await.problem().1, "duplicate_request");
    assert_eq!((upstream.seen().len(), store_operations(&gateway, "released").await), (4, Some(3.0)));
}

#[tokio::test]
async fn commit_on_selects_the_committing_statuses() {
    let upstream = Upstream::answering(&[302, 200]).await;
    let replay = ReplayProtection::claim("jti").commit_on(["2xx"]);
    let gateway = with_store(&upstream).route(|route| route.replay_protection(replay)).start();
    let (client, first) = (gateway.client(), token(&gateway, "a"));
    let statuses = [post(&client, &first, "/webhook", "").await, post(&client, &first, "/webhook", "").await];
    assert_eq!(statuses.map(|answer| answer.status.as_u16()), [302, 200]);
    let upstream = Upstream::answering(&[302]).await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, first) = (gateway.client(), token(&gateway, "a"));
    let statuses = [post(&client, &first, "/webhook", "").await, post(&client, &first, "/webhook", "").await];
    assert_eq!(statuses.map(|answer| answer.status.as_u16()), [302, 409]);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_not_committed() {
    let upstream = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nhalf").await;
    let gateway = with_replay_protection(&upstream).start();
    let token = token(&gateway, "a");
    for _ in 0..2 {
        let mut wire = gateway.wire().await;
        wire.write(head(&token, "content-length: 0")).await;
        assert!(wire.rest().await.starts_with("HTTP/1.1 200"));
    }
    until("both ids are released", async || store_operations(&gateway, "released").await == Some(2.0)).await;
}

#[tokio::test]
async fn a_request_without_an_answer_is_not_committed() {
    let upstream = Upstream::silent().await;
    let gateway = with_replay_protection(&upstream).route(|route| route.upstream_total("100ms")).start();
    let (client, token) = (gateway.client(), token(&gateway, "a"));
    for _ in 0..2 {
        assert_eq!(post(&client, &token, "/webhook", "").await.problem().1, "upstream_timeout");
    }
}

fn head(token: &str, more: &str) -> String {
    format!("POST /webhook HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{more}\r\n\r\n")
}

#[tokio::test]
async fn one_at_a_time_and_a_client_that_disconnects_changes_nothing() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, token) = (gateway.client(), token(&gateway, "a"));
    let mut wire = gateway.wire().await;
    wire.write(head(&token, "content-length: 0")).await;
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    drop(wire);
    let second = post(&client, &token, "/webhook", "").await;
    assert_eq!((second.problem(), second.header("retry-after")), ((409, "duplicate_in_flight".to_owned()), Some("10")));
    gate.add_permits(1);
    until("the id is committed", async || store_operations(&gateway, "committed").await == Some(1.0)).await;
    assert_eq!(post(&client, &token, "/webhook", "").await.problem().1, "duplicate_request");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_client_that_disconnects_before_its_body_is_whole_may_retry() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, token) = (gateway.client(), token(&gateway, "a"));
    let mut wire = gateway.wire().await;
    wire.write(head(&token, "content-length: 10") + "half").await;
    until("the id is reserved", async || store_operations(&gateway, "reserved").await == Some(1.0)).await;
    drop(wire);
    until("the id is released", async || store_operations(&gateway, "released").await == Some(1.0)).await;
    assert_eq!(post(&client, &token, "/webhook", "whole body").await.status, 200);
}

/// RST_STREAM ends the stream and not the exchange.
#[tokio::test]
async fn a_reset_stream_changes_nothing_either() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, token) = (gateway.client_http2(), token(&gateway, "a"));
    let request = client.request("/webhook").header("authorization", format!("Bearer {token}"));
    let (sender, asked) = (client.clone(), tokio::spawn(async move { client.try_send(request, "").await.map(drop) }));
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    asked.abort();
    assert_eq!(post(&sender, &token, "/webhook", "").await.problem().1, "duplicate_in_flight");
    gate.add_permits(1);
    until("the id is committed", async || store_operations(&gateway, "committed").await == Some(1.0)).await;
    assert_eq!(post(&sender, &token, "/webhook", "").await.problem().1, "duplicate_request");
}

#[tokio::test]
async fn ids_are_kept_as_long_as_their_tokens_are_good() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, token) = (gateway.client(), token(&gateway, "a"));
    let lives = claims()["exp"].as_u64().unwrap() - crate::support::NOW + 30;
    assert_eq!(post(&client, &token, "/webhook", "").await.status, 200);
    gateway.clock.forward(lives - 1);
    assert_eq!(post(&client, &token, "/webhook", "").await.problem().1, "duplicate_request");
    gateway.clock.forward(1);
    assert_eq!(post(&client, &token, "/webhook", "").await.problem().1, "token_expired");
    gateway.clock.forward(2);
    until("the entry is removed", async || gateway.metric("hookgate_store_entries").await == Some(0.0)).await;
}

#[tokio::test]
async fn a_full_store_asks_for_a_retry() {
    let upstream = Upstream::echo().await;
    let store = Store::memory().capacity(2);
    let gateway = with_replay_protection(&upstream).top(|top| top.store(store)).start();
    let client = gateway.client();
    assert_eq!(post(&client, &token(&gateway, "a"), "/webhook", "").await.status, 200);
    // The place that is left is for another sender.
    let full = post(&client, &token(&gateway, "b"), "/webhook", "").await;
    assert_eq!((full.problem(), full.header("retry-after")), ((503, "store_full".to_owned()), Some("10")));
    assert_eq!(post(&client, &token(&gateway, "a"), "/webhook", "").await.problem().1, "duplicate_request");
    let other = gateway.issuer.token_with(json!({ "sub": "other", "jti": "a" }));
    assert_eq!(post(&client, &other, "/webhook", "").await.status, 200);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_full_store_forwards_where_that_is_configured() {
    let upstream = Upstream::echo().await;
    let store = Store::memory().capacity(1).on_error("allow");
    let gateway = with_replay_protection(&upstream).top(|top| top.store(store)).start();
    let client = gateway.client();
    for id in ["a", "b", "b"] {
        assert_eq!(post(&client, &token(&gateway, id), "/webhook", "").await.status, 200);
    }
    assert_eq!(store_operations(&gateway, "allowed").await, Some(2.0));
}

#[tokio::test]
async fn dry_run_routes_report_duplicates_and_forward_them() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).route(|route| route.dry_run_until("2026-12-31")).start();
    let (client, token) = (gateway.client(), token(&gateway, "a"));
    for _ in 0..2 {
        assert_eq!(post(&client, &token, "/webhook", "").await.status, 200);
    }
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(gateway.counted("dry_run_rejected", "duplicate_request").await, Some(1.0));
    assert_eq!(store_operations(&gateway, "committed").await, Some(1.0));
}

#[tokio::test]
async fn a_reload_keeps_all_ids_and_widens_only_for_later_credentials() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let client = gateway.client();
    let lives = claims()["exp"].as_u64().unwrap() - crate::support::NOW;
    let (used, unused) = (token(&gateway, "used"), token(&gateway, "unused"));
    assert_eq!(post(&client, &used, "/webhook", "").await.status, 200);
    gateway.clock.forward(10);
    gateway.edit_route(|route| route.jwt(|jwt| jwt.leeway("60s")));
    gateway.running().reload();
    assert_eq!(post(&client, &used, "/webhook", "").await.problem().1, "duplicate_request");
    gateway.clock.forward(lives + 30);
    // The larger leeway would accept both, and the id of the first one is removed by now.
    for old in [&used, &unused] {
        assert_eq!(post(&client, old, "/webhook", "").await.problem(), (401, "timestamp_too_old".to_owned()));
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_drain_waits_for_exchanges_whose_client_has_disconnected() {
    let (upstream, gate) = Upstream::held().await;
    let mut gateway = with_replay_protection(&upstream).top(|top| top.drain_delay("0s")).start();
    let mut wire = gateway.wire().await;
    wire.write(head(&token(&gateway, "a"), "content-length: 0")).await;
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    drop(wire);
    let draining = tokio::spawn(gateway.running.take().unwrap().drain(std::future::pending()));
    gate.add_permits(1);
    assert!(draining.await.unwrap());
}
