//! Copies of a signed request with bytes moved between its signed parts, or without one of its signatures.

use serde_json::{Value, json};

use crate::support::configuration::{Preset, ReplayProtection, Route, Signature, Store, Timestamp, any_of, file};
use crate::support::{Answer, Gateway, NOW, Setup, Upstream, hmac};

const SECRET: &str = "dGVzdC1zZWNyZXQtb2YtMjQtYnl0ZXMh";

const NEXT_SECRET: &str = "bmV4dC1zZWNyZXQtb2YtMjQtYnl0ZXMh";

const FORM: &str = "application/x-www-form-urlencoded";

fn setup(upstream: &Upstream, auth: impl Into<Value>, replay: ReplayProtection) -> Setup {
    let setup = Setup::new(upstream.address).file("secret", SECRET).file("next", NEXT_SECRET).auth(auth);
    let setup = setup.top(|top| top.store(Store::memory()));
    setup.route(|route: Route| route.public_url("https://hooks.test").replay_protection(replay))
}

async fn post(gateway: &Gateway, fields: &[(&str, &str)], body: &str) -> Answer {
    let client = gateway.client();
    let request =
        fields.iter().fold(client.request("/webhook"), |request, (name, value)| request.header(*name, *value));
    client.send(request, body.to_owned()).await
}

/// A request, and a copy of it with another border between two signed parts: headers and body of each.
struct Moved {
    auth: Value,
    id: Value,
    text: String,
    request: (Vec<(&'static str, String)>, String),
    copy: (Vec<(&'static str, String)>, String),
}

fn base64_of(hex: &str) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(hex::decode(hex).unwrap())
}

/// An id and the border after it, in own schemes and in presets.
fn moved() -> Vec<Moved> {
    let own = |components: &[&str], join: &str| Signature::hmac("X-Signature", components).join(join);
    let fields = |fields: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let id = |name: &str| json!({ "header": name });
    let (now, later) = (NOW.to_string(), (NOW + 1).to_string());
    let preset = |name: &str| Value::from(Preset::new(name).secret(file("secret")));
    let timed = own(&["header:X-Time", "header:X-Id", "body"], ".").timestamp(Timestamp::in_header("X-Time"));
    vec![
        Moved {
            auth: own(&["header:X-Id", "body"], "").into(),
            id: id("X-Id"),
            text: "ev10{}".into(),
            request: (fields(&[("x-id", "ev1")]), "0{}".into()),
            copy: (fields(&[("x-id", "ev10")]), "{}".into()),
        },
        Moved {
            auth: own(&["header:X-Id", "body"], ".").into(),
            id: id("X-Id"),
            text: "ev1.a.b".into(),
            request: (fields(&[("x-id", "ev1")]), "a.b".into()),
            copy: (fields(&[("x-id", "ev1.a")]), "b".into()),
        },
        Moved {
            auth: own(&["json.lines:Id,Message?"], "").into(),
            id: json!({ "json": "/Id" }),
            text: "Id\n5\nMessage\ntest\n".into(),
            request: (Vec::new(), r#"{"Id":"5\nMessage\ntest"}"#.into()),
            copy: (Vec::new(), r#"{"Id":"5","Message":"test"}"#.into()),
        },
        Moved {
            auth: timed.into(),
            id: id("X-Id"),
            text: format!("{now}.ev1.a.b"),
            request: (fields(&[("x-time", &now), ("x-id", "ev1")]), "a.b".into()),
            copy: (fields(&[("x-time", &now), ("x-id", "ev1.a")]), "b".into()),
        },
        Moved {
            auth: own(&["header:X-Id", "body"], "").into(),
            id: json!({ "form": "id" }),
            text: "xpid=1&sid=2".into(),
            request: (fields(&[("x-id", "xp"), ("content-type", FORM)]), "id=1&sid=2".into()),
            copy: (fields(&[("x-id", "xpid=1&s"), ("content-type", FORM)]), "id=2".into()),
        },
        Moved {
            auth: preset("plivo"),
            id: id("X-Plivo-Signature-V3-Nonce"),
            text: "https://hooks.test/webhook?From1Texthi.there.n1".into(),
            request: (
                fields(&[("x-plivo-signature-v3-nonce", "n1"), ("content-type", FORM)]),
                "From=1&Text=hi.there".into(),
            ),
            copy: (
                fields(&[("x-plivo-signature-v3-nonce", "there.n1"), ("content-type", FORM)]),
                "From=1&Text=hi".into(),
            ),
        },
        Moved {
            auth: preset("sinch"),
            id: id("X-Sinch-Webhook-Signature-Nonce"),
            text: format!("{{\"a\":\"1.5\"}}.n1.{now}"),
            request: (
                fields(&[("x-sinch-webhook-signature-nonce", "n1"), ("x-sinch-webhook-signature-timestamp", &now)]),
                "{\"a\":\"1.5\"}".into(),
            ),
            copy: (
                fields(&[
                    ("x-sinch-webhook-signature-nonce", "5\"}.n1"),
                    ("x-sinch-webhook-signature-timestamp", &now),
                ]),
                "{\"a\":\"1".into(),
            ),
        },
        Moved {
            auth: preset("quicknode"),
            id: id("X-QN-Nonce"),
            text: format!("n{now}{{\"at\":{later}}}"),
            request: (fields(&[("x-qn-nonce", "n"), ("x-qn-timestamp", &now)]), format!("{{\"at\":{later}}}")),
            copy: (fields(&[("x-qn-nonce", &format!("n{now}{{\"at\":")), ("x-qn-timestamp", &later)]), "}".into()),
        },
    ]
}

/// The headers that carry the signature of each scheme.
fn signature_of(text: &str) -> Vec<(&'static str, String)> {
    let hex = hmac(SECRET, text);
    vec![
        ("x-signature", hex.clone()),
        ("x-qn-signature", hex.clone()),
        ("x-plivo-signature-v3", base64_of(&hex)),
        ("x-sinch-webhook-signature", base64_of(&hex)),
    ]
}

/// CVE-2023-35941 in Envoy: parts that are signed one after another can be read with other borders, here so that the copy
/// has another id.
#[tokio::test]
async fn a_copy_with_a_moved_border_is_rejected() {
    for Moved { auth, id, text, request, copy } in moved() {
        let upstream = Upstream::echo().await;
        let replay = ReplayProtection::for_at_least("1h").id(id).on_duplicate("acknowledge");
        let gateway = setup(&upstream, auth, replay).start();
        let send = async |(fields, body): &(Vec<(&'static str, String)>, String)| {
            let signed = signature_of(&text);
            let all: Vec<_> = fields.iter().chain(&signed).map(|(name, value)| (*name, value.as_str())).collect();
            post(&gateway, &all, body).await
        };
        assert_eq!(send(&request).await.text(), request.1, "{text}");
        assert_eq!(send(&copy).await.problem(), (409, "replay_id_reused".to_owned()), "{text}");
        assert_eq!(send(&request).await.text(), "", "{text}: the request itself is acknowledged");
        assert_eq!(upstream.seen().len(), 1, "{text}");
    }
}

/// A fraction of a second has no fixed length.
#[tokio::test]
async fn a_copy_with_digits_of_its_time_in_its_id_is_a_duplicate() {
    let upstream = Upstream::echo().await;
    let signature = Signature::hmac("X-Signature", &["header:X-Time", "header:X-Id"]).join("");
    let signature = signature.timestamp(Timestamp::in_header("X-Time").unit("utc"));
    let replay = ReplayProtection::for_at_least("1h").id(json!({ "header": "X-Id" })).on_duplicate("acknowledge");
    let gateway = setup(&upstream, signature, replay).start();
    let mac = hmac(SECRET, "2026-11-24T00:00:00.123456abc");
    for (time, id) in [("123", "456abc"), ("1234", "56abc"), ("123456", "abc"), ("12", "3456abc")] {
        let time = format!("2026-11-24T00:00:00.{time}");
        assert_eq!(post(&gateway, &[("x-time", &*time), ("x-id", id), ("x-signature", &*mac)], "a").await.status, 200);
    }
    assert_eq!(upstream.seen().len(), 1);
}

/// A Standard Webhooks id may end in a dot and a time. The id of the copy is that of another event, which must still pass.
#[tokio::test]
async fn a_moved_time_uses_up_no_other_id() {
    use ::base64::Engine;
    let upstream = Upstream::echo().await;
    let preset = Preset::new("standard-webhooks").secret(file("secret"));
    let gateway = setup(&upstream, preset, ReplayProtection::for_at_least("1h")).start();
    let key = ::base64::engine::general_purpose::STANDARD.decode(SECRET).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let send = async |id: &str, time: u64, body: &str, signed: &str| {
        let mac = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        let signature = format!("v1,{}", ::base64::engine::general_purpose::STANDARD.encode(mac));
        let time = time.to_string();
        let fields = [("webhook-id", id), ("webhook-timestamp", &*time), ("webhook-signature", &*signature)];
        let answer = post(&gateway, &fields, body).await;
        if answer.status == 200 { (200, String::new()) } else { answer.problem() }
    };
    let (id, later, rest) = (format!("evt.{}", NOW + 1), NOW + 1, format!("{NOW}.{{}}"));
    let signed = format!("{id}.{NOW}.{{}}");
    assert_eq!(send(&id, NOW, "{}", &signed).await.0, 200);
    assert_eq!(send("evt", later, &rest, &signed).await, (409, "replay_id_reused".to_owned()));
    assert_eq!(send("evt", NOW, "{}", &format!("evt.{NOW}.{{}}")).await.0, 200);
    // The time of another copy is from the body: it is valid when the request has expired.
    let (late, body) = (NOW + 1000, format!("a.{}.b", NOW + 1000));
    let signed = format!("late.{NOW}.{body}");
    assert_eq!(send("late", NOW, &body, &signed).await.0, 200);
    gateway.clock.forward(1000);
    assert_eq!(send(&format!("late.{NOW}.a"), late, "b", &signed).await, (409, "replay_id_reused".to_owned()));
    assert_eq!(upstream.seen().len(), 3);
}

fn named(name: &str, sender: Option<&str>) -> Value {
    let mut secret = file(name);
    if let Some(sender) = sender {
        secret["sender"] = sender.into();
    }
    secret
}

/// A signature in a list, by any of these secrets.
fn listed(secrets: &[Value]) -> Signature {
    let signature = Signature::hmac("X-Signature", &["header:X-Id", "body"]).join(".").without("secret");
    let list = json!({ "list": { "separator": " ", "prefix": "v1=" } });
    signature.with("parse", list).with("secrets", secrets.to_vec())
}

/// Sends a request with the signatures of both secrets, then copies with fewer or with another order of them.
async fn assert_each_copy_is_a_duplicate(auth: Value, scope: &str) {
    let (upstream, text) = (Upstream::echo().await, "1.x");
    let replay = ReplayProtection::for_at_least("1h").id(json!({ "header": "X-Id" })).with("scope", scope);
    let gateway = setup(&upstream, auth, replay).start();
    let (first, second) = (format!("v1={}", hmac(SECRET, text)), format!("v1={}", hmac(NEXT_SECRET, text)));
    let send = async |signatures: &str| {
        let answer = post(&gateway, &[("x-id", "1"), ("x-signature", signatures)], "x").await;
        if answer.status == 200 { answer.text() } else { answer.problem().1 }
    };
    assert_eq!(send(&format!("{first} {second}")).await, "x");
    for copy in [&second, &first, &format!("{second} {first}")] {
        assert_eq!(send(copy).await, "duplicate_request", "{copy}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

/// A signature by either secret, whose senders have these names.
fn either(first: &str, second: &str) -> Value {
    let of = |name, sender| Value::from(listed(&[named(name, Some(sender))]));
    any_of([of("secret", first), of("next", second)])
}

/// Several signatures are those of a rotation, or of several senders: without a record of each, a copy with one of them
/// would be a request of another sender.
#[tokio::test]
async fn a_copy_without_one_of_the_signatures_is_a_duplicate() {
    let both = |one, other| listed(&[named("secret", one), named("next", other)]);
    assert_each_copy_is_a_duplicate(both(Some("acme"), Some("beta")).into(), "route").await;
    // In this scope a secret without a sender is named by itself.
    assert_each_copy_is_a_duplicate(both(None, None).into(), "credential").await;
}

#[tokio::test]
async fn a_copy_without_the_signature_of_one_alternative_is_a_duplicate() {
    assert_each_copy_is_a_duplicate(either("acme", "beta"), "route").await;
}

#[tokio::test]
async fn two_signatures_with_one_id_do_not_make_a_request_its_own_duplicate() {
    let both = listed(&[named("secret", Some("acme")), named("next", Some("acme"))]);
    assert_each_copy_is_a_duplicate(both.into(), "route").await;
    assert_each_copy_is_a_duplicate(either("acme", "acme"), "route").await;
}

/// Each value names its key. One that cannot be read takes nothing from a good one before it.
#[tokio::test]
async fn values_with_keys_of_their_own_are_all_used() {
    let keyed = |name: &str| {
        let mut secret = named(name, Some(name));
        secret["id"] = name.into();
        secret
    };
    let signature = Signature::hmac("X-Signature", &["header:X-Id", "body"]).join(".").without("secret");
    let split = json!({ "split": { "separator": ":", "index": 1, "list": " " } });
    let auth = signature.with("parse", split).with("key_id", "part:0");
    let auth = auth.with("secrets", vec![keyed("secret"), keyed("next")]);
    let upstream = Upstream::echo().await;
    let replay = ReplayProtection::for_at_least("1h").id(json!({ "header": "X-Id" }));
    let gateway = setup(&upstream, auth, replay).start();
    let (first, second) = (format!("secret:{}", hmac(SECRET, "1.x")), format!("next:{}", hmac(NEXT_SECRET, "1.x")));
    for (signatures, expected) in [
        (format!("{first} {second} other:00"), 200),
        (second.clone(), 409),
        (first.clone(), 409),
        (format!("{second} {first}"), 409),
    ] {
        let answer = post(&gateway, &[("x-id", "1"), ("x-signature", &signatures)], "x").await;
        assert_eq!(answer.status.as_u16(), expected, "{signatures}");
    }
}
