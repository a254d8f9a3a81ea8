//! `forward.verdict`: the header by which the upstream learns what was verified.

use serde_json::{Value, json};

use crate::support::configuration::{ReplayProtection, Route, StaticToken, Store};
use crate::support::{Setup, Upstream};

const HEADER: &str = "x-app-verdict";

fn setup(upstream: &Upstream) -> Setup {
    Setup::new(upstream.address).route(|route| route.with("forward.verdict", "X-App-Verdict"))
}

/// The verdict of the last request.
fn verdict(upstream: &Upstream) -> Value {
    serde_json::from_str(upstream.seen().last().unwrap().header(HEADER).expect("no verdict")).unwrap()
}

#[tokio::test]
async fn the_upstream_learns_what_was_verified() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    let expected = json!({
        "scheme": "jwt", "dry_run": false, "issuer": "acme", "sender": "acme/shop-42", "kid": "k1",
        "duplicates": "unchecked",
    });
    assert_eq!(verdict(&upstream), expected);
    let gateway = setup(&upstream)
        .top(|top| top.store(Store::memory()))
        .route(|route| route.replay_protection(ReplayProtection::claim("jti")))
        .start();
    let token = gateway.issuer.token_with(json!({ "jti": "e-1", "sub": "jos\u{e9} \u{1f600}" }));
    assert_eq!(gateway.client().post(&token).await.status, 200);
    let seen = verdict(&upstream);
    assert_eq!((&seen["sender"], &seen["duplicates"]), (&json!("acme/jos\u{e9} \u{1f600}"), &json!("first")));
    assert_eq!(seen["replay_ids"], json!(["e-1"]));
    let text = upstream.seen().last().unwrap().header(HEADER).unwrap().to_owned();
    assert!(text.is_ascii() && token.split('.').all(|part| !text.contains(part)), "{text}");
}

/// The upstream may look at a request that only the dry run forwards, and learns nothing about a sender who has proven
/// nothing.
#[tokio::test]
async fn a_dry_run_tells_why_the_request_would_be_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream)
        .top(|top| top.store(Store::memory()))
        .route(|route| route.dry_run_until("2026-12-31").replay_protection(ReplayProtection::claim("jti")))
        .start();
    assert_eq!(gateway.client().post("no.valid.token").await.status, 200);
    assert_eq!(verdict(&upstream), json!({ "scheme": "jwt", "dry_run": true, "reason": "malformed_token" }));
    let token = gateway.issuer.token_with(json!({ "jti": "e-1" }));
    for expected in [json!(false), json!(true)] {
        assert_eq!(gateway.client().post(&token).await.status, 200);
        assert_eq!(verdict(&upstream)["dry_run"], expected);
    }
    assert_eq!(verdict(&upstream), json!({ "scheme": "jwt", "dry_run": true, "reason": "duplicate_request" }));
}

/// On the route itself, and on another one with the same upstream, in every spelling.
#[tokio::test]
async fn no_client_sets_the_verdict() {
    let upstream = Upstream::echo().await;
    let other = Route::new("other").path("/other").upstream(format!("http://{}", upstream.address)).auth("public");
    let gateway = setup(&upstream).top(|top| top.add_route(other)).start();
    for path in ["/webhook", "/other"] {
        let request = gateway.client().request(path).header("authorization", format!("Bearer {}", gateway.token()));
        let names = ["X-App-Verdict", "x_app_verdict", "X.App.Verdict"].into_iter();
        let request = names.fold(request, |request, name| request.header(name, "{\"dry_run\":false}"));
        assert_eq!(gateway.client().send(request, "{}").await.status, 200);
        let seen = upstream.seen().pop().unwrap();
        let forged = seen.headers.iter().filter(|(name, _)| name.as_str().replace(['_', '.'], "-") == HEADER);
        let values: Vec<_> = forged.map(|(_, value)| value.to_str().unwrap().to_owned()).collect();
        match path {
            "/webhook" => assert!(values.len() == 1 && values[0].contains("acme"), "{values:?}"),
            _ => assert_eq!(values, [""; 0]),
        }
    }
}

#[tokio::test]
async fn a_static_token_is_not_in_the_verdict() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream)
        .file("secret", "a secret of a sender")
        .route(|route| route.auth(StaticToken::new("X-Key", "secret")))
        .start();
    let request = gateway.client().request("/webhook").header("x-key", "a secret of a sender");
    assert_eq!(gateway.client().send(request, "{}").await.status, 200);
    let expected = json!({
        "scheme": "static_token", "dry_run": false, "sender": "static_token", "duplicates": "unchecked",
    });
    assert_eq!(verdict(&upstream), expected);
}
