//! `state`, `replay` and `idempotency`: what is refused, and what is only told.

use super::{VALID, problems_of};

fn with_state(state: &str, replay: &str) -> Vec<String> {
    let text = VALID.replace("replay: off", replay);
    problems_of(&format!("state: {state}\n{text}"))
}

#[test]
fn stores_say_what_they_need() {
    let cases = [
        ("{}", "state.kind: missing; write memory, embedded or redis"),
        ("{ kind: disk }", "state.kind: "),
        ("{ kind: memory, capacity: 0 }", "state.capacity: must be 1 or more"),
        ("{ kind: memory, path: a }", "state.path: is for kind embedded"),
        ("{ kind: embedded }", "state.path: missing"),
        ("{ kind: embedded, path: a, interval: 1s }", "state.interval: goes with `durability: interval`"),
        ("{ kind: embedded, path: a, url: \"redis://a\" }", "state.url: is for kind redis"),
        ("{ kind: redis }", "state.url: missing; write redis://host:6379"),
        ("{ kind: redis, url: \"http://a\" }", "state.url: expected redis://host:6379"),
        ("{ kind: redis, url: \"redis://:hunter2@a\" }", "state.url: holds a name or a password"),
        ("{ kind: redis, url: \"redis://a\", tls: { ca: jwks.json } }", "state.url: is without TLS"),
        (
            "{ kind: redis, url: [\"redis://a\", \"redis://b\"] }",
            "state.url: several addresses are for `cluster: true`",
        ),
        ("{ kind: redis, url: \"redis://a\", password: hunter2 }", "state.password: "),
        ("{ kind: redis, url: \"redis://a\", timeout: 1m }", "state.timeout: must be 2s or less"),
        ("{ kind: redis, url: \"redis://a\", prefix: \"a{b}\" }", "state.prefix: expected 1 to 64 letters"),
    ];
    for (state, expected) in cases {
        let told = with_state(state, "replay: { id: { claim: jti } }");
        assert!(told.iter().any(|line| line.contains(expected)), "{state}: {told:#?}");
        assert!(!told.iter().any(|line| line.contains("hunter2")), "{told:#?}");
    }
}

#[test]
fn what_a_route_remembers_must_be_possible() {
    let cases = [
        ("replay: true", "replay: expected `off`"),
        ("replay: { id: {} }", "replay.id: missing; write exactly one of"),
        ("replay: { id: { header: X-Id } }", "replay: nothing that each sender of this route signs"),
        ("replay: { on_duplicate: replay }", "replay.on_duplicate: `replay` is of idempotency"),
        ("replay: { ttl: 800d }", "replay.ttl: must be 366d or less"),
        ("replay: { commit_on: [] }", "replay.commit_on: is empty"),
        ("replay: { commit_on: [2xx, 99, 6xx] }", "replay.commit_on[1]: expected 2xx"),
        ("replay: off\n    idempotency: {}", "idempotency.key: missing; write exactly one of"),
    ];
    for (replay, expected) in cases {
        let told = with_state("{ kind: memory }", replay);
        assert!(told.iter().any(|line| line.contains(expected)), "{replay}: {told:#?}");
    }
}

/// PageSpace#2199: an unsigned delivery id.
#[test]
fn an_unsigned_id_is_no_id() {
    let start = VALID.find("    auth:").unwrap();
    let end = VALID.find("    replay: off").unwrap();
    let auth = "    auth: { signature: { algorithm: hmac-sha256, header: X-Signature, encoding: hex, signed: [body], \
                secret: { file: jwks.json } } }\n";
    let text = format!("state: {{ kind: memory }}\n{}{auth}{}", &VALID[..start], &VALID[end..]);
    let told = |replay: &str| problems_of(&text.replace("replay: off", replay));
    let unsigned = told("replay: { id: { header: X-Delivery }, ttl: 1h }");
    assert!(unsigned.iter().any(|line| line.contains("replay.id: is not signed")), "{unsigned:#?}");
    let endless = told("replay: { id: { hash: true } }");
    assert!(endless.iter().any(|line| line.contains("replay.ttl: missing")), "{endless:#?}");
    assert_eq!(told("replay: { ttl: 1h }"), Vec::<String>::new());
}

/// One token for many deliveries is no id.
#[test]
fn a_token_that_need_not_differ_is_no_id() {
    let told = with_state("{ kind: memory }", "replay: { ttl: 1h }");
    assert!(told.iter().any(|line| line.contains("replay: nothing that each sender of this route signs")), "{told:#?}");
    let text = VALID.replace("audience: https://hooks.test/", "audience: https://hooks.test/\n        required: [jti]");
    let text = format!("state: {{ kind: memory }}\n{}", text.replace("replay: off", "replay: { ttl: 1h }"));
    assert_eq!(problems_of(&text), Vec::<String>::new());
}
