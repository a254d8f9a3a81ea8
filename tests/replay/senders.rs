//! Senders that sign: their replay ids and their retries.

use serde_json::{Value, json};

use crate::support::configuration::{Jwt, Preset, ReplayProtection, Signature, Store, Timestamp, any_of, file};
use crate::support::{Answer, Gateway, NOW, Setup, Upstream, hmac};

/// Used as text and, for Standard Webhooks, decoded from base64.
const SECRET: &str = "dGVzdC1zZWNyZXQtb2YtMjQtYnl0ZXMh";

fn signed_by(upstream: &Upstream, auth: impl Into<Value>, replay: ReplayProtection) -> Gateway {
    let setup = Setup::new(upstream.address).file("secret", SECRET).auth(auth);
    let setup = setup.top(|top| top.store(Store::memory()));
    setup.route(|route| route.replay_protection(replay)).start()
}

fn signature() -> Signature {
    Signature::hmac("X-Signature", &["header:X-Id", "body"]).join(".")
}

async fn plain(gateway: &Gateway, id: &str, body: &str) -> Answer {
    let client = gateway.client();
    let signature = hmac(SECRET, format!("{id}.{body}"));
    client.send(client.request("/webhook").header("x-id", id).header("x-signature", signature), body.to_owned()).await
}

#[tokio::test]
async fn the_hash_of_the_signed_payload_is_an_id() {
    let upstream = Upstream::echo().await;
    let gateway = signed_by(&upstream, signature(), ReplayProtection::for_at_least("1h"));
    assert_eq!(plain(&gateway, "1", "x").await.status, 200);
    assert_eq!(plain(&gateway, "1", "x").await.problem().1, "duplicate_request");
    assert_eq!(plain(&gateway, "1", "y").await.status, 200);
    gateway.clock.forward(3600);
    assert_eq!(plain(&gateway, "1", "x").await.problem().1, "duplicate_request");
    // The time to live counts from the last request.
    gateway.clock.forward(3601);
    assert_eq!(plain(&gateway, "1", "x").await.status, 200);
}

#[tokio::test]
async fn a_signed_id_identifies_the_request_alone() {
    let upstream = Upstream::answering(&[500]).await;
    let replay = ReplayProtection::for_at_least("1h").id(json!({"header": "X-Id"})).on_duplicate("acknowledge");
    let gateway = signed_by(&upstream, signature(), replay);
    assert_eq!(plain(&gateway, "1", "x").await.status, 500);
    assert_eq!(plain(&gateway, "1", "y").await.problem(), (409, "replay_id_reused".to_owned()));
    assert_eq!(plain(&gateway, "1", "x").await.status, 200);
    // An event that shares the id of another one must not be lost silently.
    assert_eq!(plain(&gateway, "1", "y").await.problem(), (409, "replay_id_reused".to_owned()));
    let again = plain(&gateway, "1", "x").await;
    assert_eq!((again.status.as_u16(), again.text().as_str(), again.header("server")), (200, "", Some("hookgate")));
    assert_eq!(
        (upstream.seen().len(), gateway.counted("duplicate_answered", "duplicate_request").await),
        (2, Some(1.0))
    );
}

/// Standard Webhooks: a retry keeps its id and gets a new signature.
#[tokio::test]
async fn a_retry_with_a_new_signature_passes_until_the_event_is_processed() {
    let upstream = Upstream::answering(&[500, 503]).await;
    let preset = Preset::new("standard-webhooks").secret(file("secret"));
    let gateway = signed_by(&upstream, preset, ReplayProtection::for_at_least("3d"));
    let key = base64(SECRET);
    let send = async |seconds: u64| {
        let signature = base64_hmac(&key, &format!("msg_1.{seconds}.{{}}"));
        let client = gateway.client();
        let request = client.request("/webhook").header("webhook-id", "msg_1");
        let request = request.header("webhook-timestamp", seconds.to_string());
        client.send(request.header("webhook-signature", format!("v1,{signature}")), "{}").await.status.as_u16()
    };
    let mut statuses = Vec::new();
    for pause in [0, 5, 300, 1800, 7200] {
        gateway.clock.forward(pause);
        let now = hookgate::clock::Clock::now(&*gateway.clock).seconds();
        statuses.push(send(now).await);
    }
    // The fourth and fifth are answered without the upstream, which has the event.
    assert_eq!((statuses, upstream.seen().len()), (vec![500, 503, 200, 200, 200], 3));
    assert!(hookgate::clock::Clock::now(&*gateway.clock).seconds() > NOW + 9000);
}

/// The second signature expires later than the first, so the id must be kept until the later time.
#[tokio::test]
async fn an_id_is_kept_for_the_last_signature_that_was_seen() {
    let upstream = Upstream::echo().await;
    let timed = signature().signed_payload(["header:X-Time", "header:X-Id", "body"]);
    let timed = timed.timestamp(Timestamp::in_header("X-Time"));
    let gateway = signed_by(&upstream, timed, ReplayProtection::empty().id(json!({"header": "X-Id"})));
    let send = async |seconds: u64| {
        let client = gateway.client();
        let request = client.request("/webhook").header("x-id", "1").header("x-time", seconds.to_string());
        let request = request.header("x-signature", hmac(SECRET, format!("{seconds}.1.x")));
        client.send(request, "x").await.status.as_u16()
    };
    assert_eq!(send(NOW).await, 200);
    gateway.clock.forward(250);
    assert_eq!(send(NOW + 250).await, 409);
    gateway.clock.forward(60);
    assert_eq!((send(NOW + 250).await, upstream.seen().len()), (409, 1));
}

fn base64(secret: &str) -> Vec<u8> {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.decode(secret).unwrap()
}

fn base64_hmac(key: &[u8], text: &str) -> String {
    use ::base64::Engine;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    ::base64::engine::general_purpose::STANDARD.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()))
}

/// A request with two credentials uses both, so a later request with one of them is a duplicate.
#[tokio::test]
async fn each_credential_of_a_request_is_used_once() {
    let upstream = Upstream::echo().await;
    let jwt = Jwt::new("acme").audience("https://hooks.test/webhook").required_claims(["jti"]);
    let auth = any_of([jwt.into(), signature().into()]);
    let gateway = signed_by(&upstream, auth, ReplayProtection::for_at_least("1h"));
    let client = gateway.client();
    let token = gateway.issuer.token_with(json!({ "jti": "1" }));
    let both = || client.request("/webhook").header("x-id", "1").header("x-signature", hmac(SECRET, "1."));
    let both = both().header("authorization", format!("Bearer {token}"));
    assert_eq!(client.send(both, "").await.status, 200);
    assert_eq!(plain(&gateway, "1", "").await.problem().1, "duplicate_request");
    assert_eq!(post_token(&gateway, &token).await.problem().1, "duplicate_request");
    assert_eq!(upstream.seen().len(), 1);
}

async fn post_token(gateway: &Gateway, token: &str) -> Answer {
    let client = gateway.client();
    client.send(client.request("/webhook").header("authorization", format!("Bearer {token}")), "").await
}
