//! The clock of the machine is set while ids are stored.

use serde_json::json;

use super::{post, store_operations, token, with_replay_protection};
use crate::support::{Gateway, NOW, Upstream, claims, until};

const HOUR: i64 = 3600;

/// A token with this id from an hour later.
fn later_token(gateway: &Gateway, id: &str) -> String {
    let lives = claims()["exp"].as_u64().unwrap() - NOW;
    let issued = NOW + 3600;
    gateway.issuer.token_with(json!({ "jti": id, "iat": issued, "nbf": issued, "exp": issued + lives }))
}

#[tokio::test]
async fn an_hour_ahead_and_back_forwards_nothing_twice() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, first) = (gateway.client(), token(&gateway, "a"));
    assert_eq!(post(&client, &first, "/webhook", "").await.status, 200);
    gateway.clock.set_by(HOUR);
    let later = later_token(&gateway, "a");
    assert_eq!(post(&client, &later, "/webhook", "").await.problem().1, "duplicate_request");
    assert_eq!(post(&client, &later_token(&gateway, "b"), "/webhook", "").await.status, 200);
    gateway.clock.set_by(-HOUR);
    assert_eq!(post(&client, &first, "/webhook", "").await.problem().1, "duplicate_request");
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_lease_does_not_end_while_the_clock_is_ahead() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, first) = (gateway.client(), token(&gateway, "a"));
    let (sender, sent) = (client.clone(), first.clone());
    let held = tokio::spawn(async move { post(&sender, &sent, "/webhook", "").await });
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    gateway.clock.set_by(HOUR);
    let later = later_token(&gateway, "a");
    assert_eq!(post(&client, &later, "/webhook", "").await.problem().1, "duplicate_in_flight");
    gateway.clock.set_by(-HOUR);
    assert_eq!(post(&client, &first, "/webhook", "").await.problem().1, "duplicate_in_flight");
    gate.add_permits(1);
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn ids_forgotten_before_the_clock_was_set_back_are_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).start();
    let (client, first) = (gateway.client(), token(&gateway, "a"));
    assert_eq!(post(&client, &first, "/webhook", "").await.status, 200);
    gateway.clock.forward(3600);
    until("the id is forgotten", async || gateway.metric("hookgate_store_entries").await == Some(0.0)).await;
    gateway.clock.set_by(-HOUR);
    assert_eq!(post(&client, &first, "/webhook", "").await.problem(), (503, "store_unavailable".to_owned()));
    gateway.clock.set_by(HOUR);
    assert_eq!(post(&client, &later_token(&gateway, "a"), "/webhook", "").await.status, 200);
    assert_eq!(store_operations(&gateway, "unavailable").await, Some(1.0));
}
