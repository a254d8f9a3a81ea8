//! Revocation lists of a running gateway: each is loaded by itself, even if the rest of the configuration is invalid.

use hookgate::config::{self, Handles};
use hookgate::reload::Reloaded;
use serde_json::json;

use crate::support::configuration::file;
use crate::support::{Gateway, Issuer, NOW, Setup, Upstream, replace, until};

const SUCCESSFUL: &str = "hookgate_revocation_last_reload_successful{file=\"revoked.yaml\"}";
const ENTRIES: &str = "hookgate_revocation_entries{file=\"revoked.yaml\"}";
const REJECTED: &str = "hookgate_revocation_reloads_total{file=\"revoked.yaml\",result=\"rejected\"}";

fn setup(upstream: &Upstream) -> Setup {
    let setup = Setup::new(upstream.address).file("revoked.yaml", "{}");
    setup.route(|route| route.revocation(file("revoked.yaml")))
}

fn revoke(gateway: &Gateway, list: &str) {
    replace(&gateway.path("revoked.yaml"), list);
}

/// A token with this `jti`, and no other value that a list names.
fn token(gateway: &Gateway, id: &str) -> String {
    gateway.issuer.token_with(json!({"jti": id, "sub": format!("of {id}"), "iat": NOW - 10}))
}

async fn until_revoked(gateway: &Gateway, token: &str) {
    until("the token is revoked", async || gateway.client().post(token).await.status == 401).await;
    let answer = gateway.client().post(token).await;
    assert_eq!(answer.problem(), (401, "revoked".into()));
    assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
}

async fn passes(gateway: &Gateway, token: &str) -> bool {
    gateway.client().post(token).await.status == 200
}

async fn configuration(gateway: &Gateway) -> serde_json::Value {
    gateway.admin("/status").await.json()["configuration"].clone()
}

#[tokio::test]
async fn every_field_of_a_list_takes_effect_by_itself() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    let version = configuration(&gateway).await;
    let (one, other) = (token(&gateway, "1"), token(&gateway, "2"));
    assert!(passes(&gateway, &one).await && passes(&gateway, &other).await);
    for (list, entries) in [("jti: [\"0\", \"1\"]", 2.0), ("sub: [of 1]", 1.0)] {
        revoke(&gateway, list);
        until_revoked(&gateway, &one).await;
        assert!(passes(&gateway, &other).await, "{list}");
        assert_eq!(gateway.metric(ENTRIES).await, Some(entries));
        revoke(&gateway, "jti: []");
        until("nothing is revoked", async || passes(&gateway, &one).await).await;
    }
    for list in ["kid: [k1]".to_owned(), format!("issued_before: {}", NOW - 9)] {
        revoke(&gateway, &list);
        until_revoked(&gateway, &other).await;
        revoke(&gateway, &format!("{{ kid: [k2], issued_before: {} }}", NOW - 10));
        until("nothing is revoked", async || passes(&gateway, &other).await).await;
    }
    assert_eq!(configuration(&gateway).await, version);
    assert_eq!(gateway.metric("hookgate_config_reloads_total{result=\"applied\"}").await, Some(0.0));
}

/// A list that exists at the start is active at once.
#[tokio::test]
async fn a_list_that_is_there_at_the_start_is_active() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).file("revoked.yaml", "jti: [\"1\"]").start();
    assert_eq!(gateway.client().post(&token(&gateway, "1")).await.problem(), (401, "revoked".into()));
    assert_eq!((gateway.metric(ENTRIES).await, gateway.metric(SUCCESSFUL).await), (Some(1.0), Some(1.0)));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_revocation_does_not_wait_for_a_configuration_that_is_broken() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    let current = async || gateway.metric("hookgate_config_last_reload_successful").await;
    let text = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    for (id, broken) in ["routes: [", "routes: []", ""].iter().enumerate() {
        replace(&gateway.path("gateway.yaml"), broken);
        until("the file is rejected", async || current().await == Some(0.0)).await;
        let token = token(&gateway, &id.to_string());
        assert!(passes(&gateway, &token).await);
        revoke(&gateway, &format!("jti: [\"{id}\"]"));
        until_revoked(&gateway, &token).await;
    }
    std::fs::remove_file(gateway.path("gateway.yaml")).unwrap();
    revoke(&gateway, "jti: [gone]");
    until_revoked(&gateway, &token(&gateway, "gone")).await;
    replace(&gateway.path("gateway.yaml"), &text);
    until("the configuration is valid again", async || current().await == Some(1.0)).await;
    assert_eq!(gateway.metric(SUCCESSFUL).await, Some(1.0));
}

#[tokio::test]
async fn a_revocation_does_not_wait_for_another_file_that_is_broken() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    let good = token(&gateway, "1");
    replace(&gateway.path("jwks.json"), "{");
    assert_ne!(gateway.running().reload(), Reloaded::Applied);
    assert!(passes(&gateway, &good).await);
    revoke(&gateway, "jti: [\"1\"]");
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(gateway.client().post(&good).await.problem(), (401, "revoked".into()));
    assert_eq!(gateway.metric("hookgate_config_last_reload_successful").await, Some(0.0));
}

/// Breaking or removing the file must not undo a revocation.
#[tokio::test]
async fn a_broken_list_keeps_the_old_one_active_and_is_logged_once() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).file("revoked.yaml", "jti: [\"1\"]").start();
    let (bad, good) = (token(&gateway, "1"), token(&gateway, "2"));
    let mut rejected = 0.0;
    for broken in ["jti: [", "jti: [\"\"]", "jit: [\"2\"]", "", "jti: [a]\njti: [b]"] {
        revoke(&gateway, broken);
        rejected += 1.0;
        until("the file is rejected", async || gateway.metric(REJECTED).await == Some(rejected)).await;
        assert_eq!((gateway.metric(SUCCESSFUL).await, gateway.metric(ENTRIES).await), (Some(0.0), Some(1.0)));
        assert_eq!(gateway.client().post(&bad).await.problem(), (401, "revoked".into()));
        assert!(passes(&gateway, &good).await);
    }
    std::fs::remove_file(gateway.path("revoked.yaml")).unwrap();
    until("the missing file is noticed", async || gateway.metric(REJECTED).await == Some(6.0)).await;
    // Another change reads the same missing file again.
    gateway.edit_route(|route| route.methods(["POST"]));
    let applied = "hookgate_config_reloads_total{result=\"applied\"}";
    until("the other change is active", async || gateway.metric(applied).await == Some(1.0)).await;
    assert_eq!((gateway.metric(SUCCESSFUL).await, gateway.metric(REJECTED).await), (Some(0.0), Some(6.0)));
    assert_eq!(gateway.client().post(&bad).await.problem(), (401, "revoked".into()));
    revoke(&gateway, "jti: [\"2\"]");
    until_revoked(&gateway, &good).await;
    assert_eq!(gateway.metric(SUCCESSFUL).await, Some(1.0));
}

/// The file has the content of the active list again, so there is no error any more and nothing to load.
#[tokio::test]
async fn a_list_restored_to_its_former_content_is_valid_again() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).file("revoked.yaml", "jti: [\"1\"]").start();
    for count in [1.0, 2.0] {
        revoke(&gateway, "jti: 1");
        until("the file is rejected", async || gateway.metric(REJECTED).await == Some(count)).await;
        revoke(&gateway, "jti: [\"1\"]");
        until("the list is valid", async || gateway.metric(SUCCESSFUL).await == Some(1.0)).await;
    }
}

#[tokio::test]
async fn a_newly_configured_list_is_valid_or_the_reload_is_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    let good = token(&gateway, "1");
    gateway.edit_route(|route| route.revocation(file("other.yaml")));
    assert_ne!(gateway.running().reload(), Reloaded::Applied);
    replace(&gateway.path("other.yaml"), "jti: [");
    assert_ne!(gateway.running().reload(), Reloaded::Applied);
    assert!(passes(&gateway, &good).await);
    assert_eq!(gateway.metric(SUCCESSFUL).await, Some(1.0));
    // Only the list is fixed, and that is noticed.
    replace(&gateway.path("other.yaml"), "jti: [\"1\"]");
    until_revoked(&gateway, &good).await;
    assert_eq!(gateway.metric(SUCCESSFUL).await, None);
    assert_eq!(gateway.metric("hookgate_revocation_entries{file=\"other.yaml\"}").await, Some(1.0));
    gateway.edit_route(|route| route.without("revocation"));
    until("there is no list any more", async || passes(&gateway, &good).await).await;
    assert_eq!(gateway.metric("hookgate_revocation_entries{file=\"other.yaml\"}").await, None);
}

#[tokio::test]
async fn routes_that_name_one_file_share_its_list_over_reloads() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    gateway.edit(|configuration| {
        let second = configuration.first_route().name("second").path("/second");
        configuration.add_route(second)
    });
    let first = config::load(&gateway.path("gateway.yaml"), &Handles::default()).unwrap();
    let again = config::load(&gateway.path("gateway.yaml"), &first.handles).unwrap();
    assert_eq!(first.handles.revocations.len(), 1);
    assert!(std::sync::Arc::ptr_eq(&first.handles.revocations[0], &again.handles.revocations[0]));

    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    revoke(&gateway, "jti: [\"1\"]");
    let bad = token(&gateway, "1");
    until_revoked(&gateway, &bad).await;
    let request = gateway.client().request("/second").header("authorization", format!("Bearer {bad}"));
    assert_eq!(gateway.client().send(request, "{}").await.problem(), (401, "revoked".into()));
}

/// A token with a wrong signature is rejected without mention of the revocation list.
#[tokio::test]
async fn unverified_tokens_are_not_reported_as_revoked() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).file("revoked.yaml", "jti: [\"1\"]").start();
    let forged = Issuer::rs256("k1").token_with(json!({"jti": "1"}));
    assert_eq!(gateway.client().post(&forged).await.problem(), (401, "unauthorized".into()));
    assert_eq!(
        gateway
            .metric("hookgate_requests_total{outcome=\"rejected\",reason=\"invalid_signature\",route=\"webhook\"}")
            .await,
        Some(1.0)
    );
}
