//! `store`, `replay_protection` and `idempotency`: rejected configurations and warnings.

use serde_json::{Value, json};

use super::{VALID, problems_of, valid, warnings_of};
use crate::support::configuration::{
    Idempotency, Jwt, ReplayProtection, Route, SenderLimit, Signature, StaticToken, Store, any_of, file,
};

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
        (
            "{ type: redis, url: \"redis://a\", hash_key: { file: short } }",
            "store.hash_key: must have at least 16 bytes",
        ),
        ("{ type: redis, url: \"redis://a\", hash_key: { file: gone } }", "store.hash_key.file: file gone: not found"),
        (
            "{ type: redis, url: \"redis://a\", hash_key: { file: jwks.json, sender: a } }",
            "store.hash_key.sender: has no",
        ),
        ("{ type: redis, url: \"redis://a\", password: { file: short, id: a } }", "store.password.id: has no effect"),
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
        ("replay_protection: { scope: everywhere }", "replay_protection.scope: expected one of `route`, `credential`"),
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

/// ClickUp's `spaceUpdated` has only ids: two events have one body, and the second would get a 200 without the upstream.
#[test]
fn bodies_that_repeat_are_no_id_by_default() {
    let preset = |name: &str| json!({ "preset": name, "secret": file("shared") });
    let told = |name: &str, replay: ReplayProtection| {
        let route = |route: Route| route.auth(preset(name)).replay_protection(replay);
        let configuration = valid().store(Store::memory()).route(route);
        (problems_of(&configuration.to_string()), configuration)
    };
    let repeating = ["clickup", "dropbox", "shopify", "github", "gitea", "bitbucket", "woocommerce", "twilio"];
    for name in repeating {
        let (problems, _) = told(name, ReplayProtection::for_at_least("1h"));
        let expected = "replay_protection: this preset has no replay id: two events may have the same signed content";
        assert!(problems.iter().any(|line| line.contains(expected)), "{name}: {problems:#?}");
        // The operator may accept the loss; the second gets a 409 then, which the sender shows.
        let (problems, configuration) = told(name, ReplayProtection::for_at_least("1h").id(json!({"hash": true})));
        assert_eq!(problems, Vec::<String>::new());
        let warning = "may have the same signed content: the second is answered as a duplicate and never forwarded";
        assert!(warnings_of(&configuration).iter().any(|line| line.contains(warning)), "{name}");
    }
    let (problems, configuration) = told("jira", ReplayProtection::for_at_least("1h"));
    assert_eq!(problems, Vec::<String>::new());
    assert!(!warnings_of(&configuration).iter().any(|line| line.contains("same signed content")));
}

/// `whatsapp` is `meta` under another name; a preset without a request of its provider's is a warning.
#[test]
fn a_preset_is_found_by_its_aliases_and_its_evidence_is_told() {
    let warned = |name: &str| {
        let route = |route: Route| route.auth(json!({ "preset": name, "secret": file("shared") }));
        let configuration = valid().route(route);
        assert_eq!(problems_of(&configuration.to_string()), Vec::<String>::new(), "{name}");
        warnings_of(&configuration).iter().any(|line| line.contains("(evidence: self)"))
    };
    assert!(!warned("whatsapp") && !warned("meta") && !warned("jira") && warned("affirm"));
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

#[test]
fn hashes_without_a_secret_key_are_a_warning() {
    let told = |store: Store| {
        warnings_of(&valid().store(store)).into_iter().any(|line| line.contains("store.hash_key: is not"))
    };
    let redis = || Store::redis("127.0.0.1:6379");
    assert!(told(redis()));
    assert!(!told(redis().with("hash_key", file("shared"))) && !told(Store::memory()));
}

/// A copied request passes once on each route that accepts its credential.
#[test]
fn routes_that_accept_each_other_s_copies_are_a_warning() {
    let told = |first: Value, other: Value, replay: [Value; 2]| {
        let [ours, theirs] = replay;
        let top = valid().store(Store::memory()).route(|route| route.auth(first).replay_protection(ours));
        let copy = top.first_route().name("copy").path("/copy").auth(other).replay_protection(theirs);
        let warnings = warnings_of(&top.add_route(copy));
        warnings.iter().any(|line| line.contains("routes[1].auth: accepts the credentials of route `webhook`"))
    };
    let kept = || Value::from(ReplayProtection::for_at_least("1h"));
    let wide = || Value::from(ReplayProtection::for_at_least("1h").with("scope", "credential"));
    let off = || json!("disabled");
    let signed = |secret, payload: &str| Value::from(Signature::hmac("X-Signature", &[payload]).secret(file(secret)));
    let one = || signed("shared", "body");
    assert!(told(one(), one(), [kept(), kept()]) && told(one(), one(), [kept(), wide()]));
    assert!(told(one(), one(), [off(), kept()]));
    assert!(!told(one(), one(), [wide(), wide()]) && !told(one(), one(), [off(), off()]));
    assert!(!told(one(), signed("other", "body"), [kept(), kept()]));
    assert!(!told(one(), signed("shared", "path"), [kept(), kept()]));
    let jwt = |audience: &str| {
        let jwt = Jwt::new("acme").audience(audience).required_claims(["exp", "jti"]);
        Value::from(jwt)
    };
    assert!(told(jwt("a"), jwt("a"), [kept(), kept()]));
    assert!(!told(jwt("a"), jwt("b"), [kept(), kept()]));
}

/// Senders that `check` cannot tell apart share ids, keys and limits.
#[test]
fn senders_that_count_as_one_are_a_warning() {
    let told = |auth: Value, expected: &str, change: fn(Route) -> Route| {
        let top = valid().store(Store::memory()).route(|route| change(route.auth(auth)));
        warnings_of(&top).iter().any(|line| line.contains(expected))
    };
    let keyed = |route: Route| route.idempotency(Idempotency::keyed_by("header", "Idempotency-Key"));
    let limited = |route: Route| route.per_sender(SenderLimit::rate_of("1/s"));
    let plain = |route: Route| route;
    let jwt = |claims: &[&str]| Value::from(Jwt::new("acme").audience("a").required_claims(claims.to_vec()));
    let (subject, public) = ("that have no `sub` count as one sender", "a public route has no senders");
    assert!(told(jwt(&["exp"]), subject, keyed) && told(jwt(&["exp"]), subject, limited));
    assert!(!told(jwt(&["exp", "sub"]), subject, keyed) && !told(jwt(&["exp"]), subject, plain));
    assert!(told(json!("public"), public, keyed) && !told(json!("public"), public, plain));
    let tokens = |secrets: Value| Value::from(StaticToken::empty().header("X-Token").with("secrets", secrets));
    let (one, unnamed) = (|name: &str| file(name), "secrets of static_token have no `sender`");
    let named = json!({ "file": "short", "sender": "a" });
    assert!(told(tokens(json!([one("shared"), one("other"), one("short")])), unnamed, keyed));
    assert!(!told(tokens(json!([one("shared"), one("other"), named])), unnamed, keyed));
    let either = any_of([tokens(json!([one("shared")])), tokens(json!([one("other")]))]);
    assert!(told(either, unnamed, limited));
}

/// Svix sends its signature in headers of its own, and senders with the same library in those of Standard Webhooks.
#[test]
fn a_secret_with_different_senders_in_two_schemes_is_a_warning() {
    let told = |sender: Option<&str>| {
        let scheme = |name: &str| {
            let mut secret = file("short");
            if let Some(sender) = sender {
                secret["sender"] = sender.into();
            }
            json!({ "preset": name, "secret": secret })
        };
        let auth = any_of([scheme("jira"), scheme("logto")]);
        let replay = ReplayProtection::for_at_least("1h");
        let top = valid().store(Store::memory()).route(|route| route.auth(auth).replay_protection(replay));
        warnings_of(&top).iter().any(|line| line.contains("two schemes have the same secret"))
    };
    assert!(told(None) && !told(Some("acme")));
}
