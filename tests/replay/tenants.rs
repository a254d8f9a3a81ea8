//! Several senders on one route: none uses up, or reads, what belongs to another one.

use serde_json::{Value, json};

use crate::support::configuration::{Idempotency, ReplayProtection, Signature, Store, file};
use crate::support::{Answer, Gateway, Setup, Upstream, hmac};

const SECRETS: [(&str, &str); 3] = [
    ("a-1", "secret of tenant a, the first"),
    ("a-2", "secret of tenant a, the next"),
    ("b-1", "secret of tenant b, the first"),
];

/// A signature whose key id names one of these secrets.
fn keyed(secrets: &[Value]) -> Value {
    let signature = Signature::hmac("X-Signature", &["header:X-Id", "body"]).join(".").without("secret");
    signature.with("key_id", "header:X-Key").with("secrets", secrets.to_vec()).into()
}

/// One secret of each tenant.
fn of_each() -> Value {
    keyed(&[with_id("a-1"), with_id("b-1")])
}

fn with_id(id: &str) -> Value {
    let mut secret = file(id);
    secret["id"] = id.into();
    secret
}

fn setup(upstream: &Upstream, auth: Value) -> Setup {
    let setup = Setup::new(upstream.address).auth(auth).top(|top| top.store(Store::memory()));
    SECRETS.iter().fold(setup, |setup, (name, secret)| setup.file(name, secret))
}

fn by_id() -> ReplayProtection {
    ReplayProtection::for_at_least("1h").id(json!({ "header": "X-Id" })).on_duplicate("acknowledge")
}

/// A request with this id and idempotency key, signed with this secret.
async fn post(gateway: &Gateway, secret: &str, id: &str, body: &str) -> Answer {
    let client = gateway.client();
    let (_, key) = SECRETS.iter().find(|(name, _)| *name == secret).unwrap();
    let request = client.request("/webhook").header("x-key", secret).header("x-id", id);
    let request = request.header("idempotency-key", id).header("x-signature", hmac(key, format!("{id}.{body}")));
    client.send(request, body.to_owned()).await
}

#[tokio::test]
async fn an_event_id_belongs_to_its_tenant() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, of_each()).route(|route| route.replay_protection(by_id())).start();
    assert_eq!(post(&gateway, "a-1", "order-1001", "of a").await.text(), "of a");
    assert_eq!(post(&gateway, "b-1", "order-1001", "of b").await.text(), "of b");
    assert_eq!(post(&gateway, "b-1", "order-1001", "of b").await.text(), "");
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_stored_response_belongs_to_its_tenant() {
    let upstream = Upstream::echo().await;
    let rule = Idempotency::keyed_by("header", "Idempotency-Key");
    let gateway = setup(&upstream, of_each()).route(|route| route.idempotency(rule)).start();
    for _ in 0..2 {
        assert_eq!(post(&gateway, "a-1", "order-1001", "same").await.status, 200);
        assert_eq!(post(&gateway, "b-1", "order-1001", "same").await.status, 200);
    }
    assert_eq!(upstream.seen().len(), 2);
    assert_eq!(post(&gateway, "b-1", "order-1001", "same").await.header("idempotent-replayed"), Some("true"));
    assert_eq!(post(&gateway, "b-1", "order-1002", "other").await.header("idempotent-replayed"), None);
}
