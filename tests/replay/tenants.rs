//! Several senders on one route: none uses up, or reads, what belongs to another one.

use serde_json::{Value, json};

use crate::fleet::redis::RedisServer;
use crate::support::configuration::{Idempotency, ReplayProtection, Signature, StaticToken, Store, any_of, file};
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
    post_to(gateway, "/webhook", secret, id, body).await
}

async fn post_to(gateway: &Gateway, path: &str, secret: &str, id: &str, body: &str) -> Answer {
    let client = gateway.client();
    let (_, key) = SECRETS.iter().find(|(name, _)| *name == secret).unwrap();
    let request = client.request(path).header("x-key", secret).header("x-id", id);
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

/// `sender` groups the secrets of a tenant; without it and without key ids all secrets belong to one sender.
#[tokio::test]
async fn a_retry_under_the_next_secret_is_a_duplicate() {
    let named = |id: &str| {
        let mut secret = with_id(id);
        secret["sender"] = id[..1].into();
        secret
    };
    let rotating = Signature::hmac("X-Signature", &["header:X-Id", "body"]).join(".").without("secret");
    let rotating = rotating.with("secrets", json!([file("a-1"), file("a-2")]));
    for auth in [keyed(&[named("a-1"), named("a-2"), named("b-1")]), rotating.into()] {
        let upstream = Upstream::echo().await;
        let gateway = setup(&upstream, auth).route(|route| route.replay_protection(by_id())).start();
        assert_eq!(post(&gateway, "a-1", "1", "x").await.text(), "x");
        assert_eq!(post(&gateway, "a-2", "1", "x").await.text(), "");
        assert_eq!(upstream.seen().len(), 1);
    }
}

/// Another credential of the attacker's own in a copy makes no new sender of it.
#[tokio::test]
async fn a_credential_that_is_added_to_a_copy_makes_no_new_id() {
    let upstream = Upstream::echo().await;
    let signature = |header, secret: &str| {
        let mut key = file(secret);
        key["sender"] = secret[..1].into();
        Value::from(Signature::hmac(header, &["header:X-Id", "body"]).join(".").secret(key))
    };
    let auth = any_of([signature("X-Signature", "a-1"), signature("X-Other", "b-1")]);
    let gateway = setup(&upstream, auth).route(|route| route.replay_protection(by_id())).start();
    assert_eq!(post(&gateway, "a-1", "1", "x").await.text(), "x");
    let client = gateway.client();
    let request = client.request("/webhook").header("x-id", "1").header("x-signature", hmac(SECRETS[0].1, "1.x"));
    let copy = request.header("x-other", hmac(SECRETS[2].1, "1.x"));
    assert_eq!(client.send(copy, "x".to_owned()).await.text(), "");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn static_tokens_with_senders_have_keys_of_their_own() {
    let upstream = Upstream::echo().await;
    let token = |name: &str, sender: &str| json!({ "file": name, "sender": sender });
    let secrets = json!([token("a-1", "a"), token("a-2", "a"), token("b-1", "b")]);
    let auth = StaticToken::empty().header("X-Token").with("secrets", secrets);
    let rule = Idempotency::keyed_by("header", "Idempotency-Key");
    let gateway = setup(&upstream, auth.into()).route(|route| route.idempotency(rule)).start();
    for (secret, replayed) in [(0, None), (1, Some("true")), (2, None), (2, Some("true"))] {
        let client = gateway.client();
        let request = client.request("/webhook").header("x-token", SECRETS[secret].1).header("idempotency-key", "1");
        assert_eq!(client.send(request, String::new()).await.header("idempotent-replayed"), replayed, "{secret}");
    }
}

#[tokio::test]
async fn a_tenant_that_fills_the_store_leaves_room_for_others() {
    let upstream = Upstream::echo().await;
    // An event has two entries: its id, and the string to sign.
    let store = Store::memory().capacity(40);
    let setup = setup(&upstream, of_each()).top(|top| top.store(store));
    let gateway = setup.route(|route| route.replay_protection(by_id())).start();
    let mut statuses = Vec::new();
    for id in 0..20 {
        statuses.push(post(&gateway, "a-1", &id.to_string(), "").await.status.as_u16());
    }
    assert_eq!((statuses[9], statuses[10], statuses[19]), (200, 503, 503));
    for id in 0..5 {
        assert_eq!(post(&gateway, "b-1", &id.to_string(), "").await.status, 200);
    }
}

/// Two routes with one secret: `/webhook`, and `/other` with this `replay_protection`.
fn two_routes(setup: Setup, replay: &ReplayProtection) -> Gateway {
    let setup = setup.route(|route| route.replay_protection(replay.clone()));
    setup
        .top(|top| {
            let other = top.first_route().name("other").path("/other");
            top.add_route(other)
        })
        .start()
}

#[tokio::test]
async fn a_copy_passes_once_on_each_route_unless_the_scope_is_the_credential() {
    let (upstream, server) = (Upstream::echo().await, RedisServer::start().await);
    let folder = tempfile::TempDir::new().unwrap();
    let stores = [Store::memory(), Store::embedded(folder.path().join("store")), Store::redis(server.address)];
    for store in stores {
        // A key id that gateway.yaml names differently on the second route, or a sender: the secret is the same.
        for named in [false, true] {
            let mut secret = file("a-1");
            if named {
                secret["sender"] = "a".into();
            }
            let signature = Signature::hmac("X-Signature", &["header:X-Id", "body"]).join(".").secret(secret);
            let setup = || setup(&upstream, signature.clone().into()).top(|top| top.store(store.clone()));
            let id = format!("{named}");
            let gateway = two_routes(setup(), &by_id());
            assert_eq!(post_to(&gateway, "/webhook", "a-1", &format!("{id}-route"), "x").await.text(), "x");
            assert_eq!(post_to(&gateway, "/other", "a-1", &format!("{id}-route"), "x").await.text(), "x");
            drop(gateway);
            let gateway = two_routes(setup(), &by_id().with("scope", "credential"));
            assert_eq!(post_to(&gateway, "/webhook", "a-1", &id, "x").await.text(), "x");
            // Never acknowledged: where the id is a hash of the body, it may be the second of two genuine deliveries.
            let other = post_to(&gateway, "/other", "a-1", &id, "x").await;
            assert_eq!(other.problem(), (409, "replay_id_reused".to_owned()));
            let again = post_to(&gateway, "/webhook", "a-1", &id, "x").await;
            assert_eq!((again.status.as_u16(), again.text().as_str()), (200, ""));
        }
    }
}
