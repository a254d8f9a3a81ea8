//! `store`, `replay_protection` and `idempotency`: rejected configurations and warnings.

use serde_json::json;

use super::{VALID, problems_of, valid};
use crate::support::configuration::{ReplayProtection, Signature, Store, file};

fn with_store(state: &str, replay: &str) -> Vec<String> {
    let text = VALID.replace("replay_protection: disabled", replay);
    problems_of(&format!("store: {state}\n{text}"))
}

#[test]
fn stores_require_their_fields() {
    let cases = [
        ("{}", "store.type: missing; expected one of `memory`, `embedded`, `redis`"),
        ("{ type: disk }", "store.type: expected one of `memory`, `embedded`, `redis`"),
        ("{ type: redis, url: \"redis://a\", capacity: 5 }", "store.capacity: unknown field"),
        ("{ type: memory, capacity: 0 }", "store.capacity: expected a whole number of at least 1, got 0"),
        ("{ type: memory, path: a }", "store.path: unknown field"),
        ("{ type: embedded }", "store.path: missing"),
        ("{ type: embedded, path: a, interval: 1s }", "store.interval: requires `durability: interval`"),
        ("{ type: embedded, path: a, url: \"redis://a\" }", "store.url: unknown field"),
        ("{ type: redis }", "store.url: missing; expected redis://host:6379"),
        ("{ type: redis, url: \"http://a\" }", "store.url: expected redis://host:6379"),
        ("{ type: redis, url: \"redis://:hunter2@a\" }", "store.url: contains a user name or a password"),
        ("{ type: redis, url: \"redis://a\", tls: { ca: jwks.json } }", "store.url: redis:// does not use TLS"),
        ("{ type: redis, url: [\"redis://a\", \"redis://b\"] }", "store.url: several URLs need `cluster: true`"),
        ("{ type: redis, url: \"redis://a\", password: hunter2 }", "store.password: "),
        ("{ type: redis, url: \"redis://a\", timeout: 1m }", "store.timeout: must be 2s or less"),
        ("{ type: redis, url: \"redis://a\", prefix: \"a{b}\" }", "store.prefix: expected 1 to 64 letters"),
    ];
    for (state, expected) in cases {
        let told = with_store(state, "replay_protection: { id: { claim: jti } }");
        assert!(told.iter().any(|line| line.contains(expected)), "{state}: {told:#?}");
        assert!(!told.iter().any(|line| line.contains("hunter2")), "{told:#?}");
    }
}

#[test]
fn replay_protection_and_idempotency_must_be_possible() {
    let cases = [
        ("replay_protection: true", "replay_protection: expected `disabled`"),
        ("replay_protection: { id: {} }", "replay_protection.id: missing; expected exactly one of"),
        (
            "replay_protection: { id: { header: X-Id } }",
            "replay_protection: a credential of this route contains no signed value",
        ),
        (
            "replay_protection: { on_duplicate: stored_response }",
            "replay_protection.on_duplicate: `stored_response` is for idempotency",
        ),
        ("replay_protection: { ttl: 800d }", "replay_protection.ttl: must be 366d or less"),
        ("replay_protection: { commit_on: [] }", "replay_protection.commit_on: must not be empty"),
        ("replay_protection: { commit_on: [2xx, 99, 6xx] }", "replay_protection.commit_on[1]: expected 2xx"),
        ("replay_protection: disabled\n    idempotency: {}", "idempotency.key: missing; expected exactly one of"),
    ];
    for (replay, expected) in cases {
        let told = with_store("{ type: memory }", replay);
        assert!(told.iter().any(|line| line.contains(expected)), "{replay}: {told:#?}");
    }
}

/// PageSpace#2199: an unsigned delivery id.
#[test]
fn an_unsigned_id_is_no_id() {
    let signature = Signature::hmac("X-Signature", &["body"]).secret(file("shared"));
    let signed = valid().store(Store::memory()).route(|route| route.auth(signature));
    let told = |replay: ReplayProtection| {
        problems_of(&signed.clone().route(|route| route.replay_protection(replay)).to_string())
    };
    let unsigned = told(ReplayProtection::for_at_least("1h").id(json!({"header": "X-Delivery"})));
    assert!(unsigned.iter().any(|line| line.contains("replay_protection.id: is not signed")), "{unsigned:#?}");
    let endless = told(ReplayProtection::empty().id(json!({"hash": true})));
    assert!(endless.iter().any(|line| line.contains("replay_protection.ttl: missing")), "{endless:#?}");
    assert_eq!(told(ReplayProtection::for_at_least("1h")), Vec::<String>::new());
}

/// A token may be sent with many deliveries, so it does not identify one.
#[test]
fn a_token_that_need_not_be_unique_is_no_id() {
    let replay = ReplayProtection::for_at_least("1h");
    let protected = valid().store(Store::memory()).route(|route| route.replay_protection(replay));
    let told = problems_of(&protected.to_string());
    assert!(
        told.iter().any(|line| line.contains("replay_protection: a credential of this route contains no signed value")),
        "{told:#?}"
    );
    let unique = protected.route(|route| route.jwt(|jwt| jwt.required_claims(["jti"])));
    assert_eq!(problems_of(&unique.to_string()), Vec::<String>::new());
}
