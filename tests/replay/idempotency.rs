//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a request with a finished key is not processed again.

use serde_json::json;

use super::{with_replay_protection, with_store};
use crate::support::configuration::Idempotency;
use crate::support::{Answer, Gateway, Upstream, until};

fn by_header() -> Idempotency {
    Idempotency::keyed_by("header", "Idempotency-Key")
}

/// A gateway with this rule and no replay protection.
fn keyed(upstream: &Upstream, rule: Idempotency) -> Gateway {
    with_store(upstream).route(|route| route.idempotency(rule)).start()
}

async fn post(gateway: &Gateway, subject: &str, key: Option<&str>, body: &str) -> Answer {
    let client = gateway.client();
    let token = gateway.issuer.token_with(json!({ "sub": subject, "jti": key }));
    let request = client.request("/webhook").header("authorization", format!("Bearer {token}"));
    let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
    client.send(request, body.to_owned()).await
}

#[tokio::test]
async fn a_finished_key_gets_the_stored_response() {
    let upstream = Upstream::answering(&[201]).await;
    let gateway = keyed(&upstream, by_header());
    let first = post(&gateway, "s", Some("k"), "body").await;
    let again = post(&gateway, "s", Some("k"), "body").await;
    assert_eq!((first.status.as_u16(), first.text().as_str()), (201, "body"));
    assert_eq!((again.status.as_u16(), again.text().as_str()), (201, "body"));
    assert_eq!((again.header("idempotent-replayed"), again.header("x-from-app")), (Some("true"), Some("1")));
    assert!(first.header("idempotent-replayed").is_none() && first.header("set-cookie").is_some());
    assert!(again.header("set-cookie").is_none() && again.header("x-request-id") != first.header("x-request-id"));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_key_is_of_one_payload_and_one_sender() {
    let upstream = Upstream::echo().await;
    let gateway = keyed(&upstream, by_header());
    assert_eq!(post(&gateway, "s", Some("k"), "body").await.status, 200);
    assert_eq!(post(&gateway, "s", Some("k"), "other").await.problem(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(post(&gateway, "t", Some("k"), "other").await.status, 200);
    assert_eq!(post(&gateway, "s", None, "body").await.status, 200);
    assert_eq!(post(&gateway, "s", None, "body").await.status, 200);
    assert_eq!(post(&gateway, "s", Some(""), "body").await.problem().0, 400);
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_required_key_in_the_body_needs_a_json_body() {
    let upstream = Upstream::echo().await;
    let gateway = keyed(&upstream, Idempotency::keyed_by("json", "/id").required(true));
    for (body, problem) in [("not JSON", "malformed_body"), ("{}", "bad_request")] {
        assert_eq!(post(&gateway, "s", None, body).await.problem(), (400, problem.to_owned()), "{body}");
    }
    assert_eq!(post(&gateway, "s", None, "{\"id\":\"1\"}").await.status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_key_may_be_required() {
    let upstream = Upstream::echo().await;
    let gateway = keyed(&upstream, by_header().required(true));
    assert_eq!(post(&gateway, "s", None, "").await.problem(), (400, "bad_request".to_owned()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_unfinished_request_is_forwarded_again() {
    let upstream = Upstream::answering(&[500, 302, 200]).await;
    let gateway = keyed(&upstream, by_header());
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(post(&gateway, "s", Some("k"), "body").await.status.as_u16());
    }
    assert_eq!((statuses, upstream.seen().len()), (vec![500, 302, 200, 200], 3));
}

#[tokio::test]
async fn a_key_is_in_flight_once() {
    let (upstream, gate) = Upstream::held().await;
    let gateway = std::sync::Arc::new(keyed(&upstream, by_header()));
    let asking = std::sync::Arc::clone(&gateway);
    let first = tokio::spawn(async move { post(&asking, "s", Some("k"), "body").await.status });
    until("the upstream has the request", async || upstream.seen().len() == 1).await;
    assert_eq!(post(&gateway, "s", Some("k"), "body").await.problem(), (409, "duplicate_in_flight".to_owned()));
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), 200);
}

/// A finished key is answered before the replay id is checked, and a duplicate token leaves no key behind.
#[tokio::test]
async fn keys_and_replay_ids_are_reserved_together() {
    let upstream = Upstream::echo().await;
    let gateway = with_replay_protection(&upstream).route(|route| route.idempotency(by_header())).start();
    let client = gateway.client();
    let token = gateway.issuer.token_with(json!({ "jti": "1" }));
    let send = async |key: &str, token: &str| {
        let request = client.request("/webhook").header("authorization", format!("Bearer {token}"));
        client.send(request.header("idempotency-key", key), "body").await
    };
    assert_eq!(send("a", &token).await.header("idempotent-replayed"), None);
    assert_eq!(send("a", &token).await.header("idempotent-replayed"), Some("true"));
    for key in ["b", "c", "d"] {
        assert_eq!(send(key, &token).await.problem(), (409, "duplicate_request".to_owned()));
    }
    // The entries of the first request only; entries of the others would fill the route's share.
    assert_eq!(gateway.metric("hookgate_store_entries").await, Some(2.0));
    let other = gateway.issuer.token_with(json!({ "jti": "2" }));
    assert_eq!(send("b", &other).await.header("idempotent-replayed"), None);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_finished_key_may_be_acknowledged_or_rejected() {
    for (word, status, body) in [("acknowledge", 200, ""), ("reject", 409, "duplicate_request")] {
        let upstream = Upstream::answering(&[201]).await;
        let gateway = keyed(&upstream, by_header().on_duplicate(word));
        assert_eq!(post(&gateway, "s", Some("k"), "body").await.status, 201);
        let again = post(&gateway, "s", Some("k"), "body").await;
        assert!(again.status == status && again.text().contains(body), "{word}: {}", again.text());
    }
}

#[tokio::test]
async fn keys_may_stand_in_a_claim_or_in_the_body() {
    for (place, name) in [("claim", "jti"), ("json", "/event/id")] {
        let upstream = Upstream::echo().await;
        let gateway = keyed(&upstream, Idempotency::keyed_by(place, name));
        let body = r#"{"event": {"id": 7}}"#;
        assert_eq!(post(&gateway, "s", Some("k"), body).await.status, 200);
        let again = post(&gateway, "s", Some("k"), body).await;
        assert_eq!((again.header("idempotent-replayed"), upstream.seen().len()), (Some("true"), 1), "{place}");
    }
}
