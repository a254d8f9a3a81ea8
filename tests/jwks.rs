//! Key sets by URL: prefetched, refreshed and rotated; an unreachable issuer affects its own routes only.

mod access;
mod cache;
mod discovery;
mod pins;

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::configuration::{Jwks, Jwt, Route, TrustedIssuer};
use crate::support::key_server::{KeyServer, SILENCE, ok, with_head};
use crate::support::{Issuer, Setup, Upstream, claims, until};

#[tokio::test]
async fn keys_are_fetched_before_they_are_needed() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks);
    until("the first fetch is done", async || gateway.admin("/readyz").await.status == 200).await;
    assert_eq!((server.fetches(), gateway.metric("hookgate_jwks_keys{issuer=\"acme\"}").await), (1, Some(1.0)));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert_eq!(server.fetches(), 1);
    let at = gateway.metric("hookgate_jwks_last_success_timestamp_seconds{issuer=\"acme\"}").await;
    assert_eq!(at, Some(1_795_478_400.0));
    assert_eq!(gateway.admin("/status").await.json()["issuers"][0]["last_success"], "2026-11-24T00:00:00Z");
    assert_eq!(gateway.metric("hookgate_jwks_refreshes_total{issuer=\"acme\",result=\"success\"}").await, Some(1.0));
}

/// The issuer is stopped, rotates its key and comes back: known keys never fail, and the new one works after the
/// cooldown.
#[tokio::test]
async fn an_issuer_may_be_gone_for_a_while_and_come_back_with_another_key() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let mut server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("300ms").refresh_interval("1h"));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    server.stop().await;
    let rotated = next.token(&claims());
    let unavailable = async || gateway.client().post(&rotated).await.problem() == (503, "jwks_unavailable".into());
    until("the fetch has failed", unavailable).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    server.answers(ok(&format!("{{\"keys\":[{},{}]}}", issuer.jwk(), next.jwk())));
    server.start_again().await;
    until("the new key works", async || gateway.client().post(&rotated).await.status == 200).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_unknown_keys_are_one_fetch() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = Arc::new(server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("60s").refresh_interval("1h")));
    until("the first fetch is done", async || server.fetches() == 1).await;
    let unknown_issuer = Arc::new(Issuer::es256("x"));
    let floods: Vec<_> = (0..8)
        .map(|flood| {
            let (gateway, unknown_issuer) = (Arc::clone(&gateway), Arc::clone(&unknown_issuer));
            tokio::spawn(async move {
                let client = gateway.client();
                for index in 0..125 {
                    let unknown = Issuer { kid: format!("{flood}-{index}"), ..Issuer::clone(&unknown_issuer) };
                    let status = client.post(&unknown.token(&claims())).await.status.as_u16();
                    assert!([401, 503].contains(&status), "{status}");
                }
            })
        })
        .collect();
    for flood in floods {
        flood.await.unwrap();
    }
    // The scheduled one, and one for all unknown keys.
    assert_eq!(server.fetches(), 2);
}

/// An unauthenticated client could otherwise have every token under a new key rejected with 401, which many senders never
/// retry.
#[tokio::test]
async fn within_the_cooldown_of_another_unknown_key_a_sender_is_told_to_retry() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("60s").refresh_interval("1h"));
    // A request before the scheduled fetch would make another one.
    until("the keys are fetched", async || gateway.admin("/readyz").await.status == 200).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    let junk = Issuer { kid: "junk".into(), ..next.clone() }.token(&claims());
    assert_eq!(gateway.client().post(&junk).await.problem(), (401, "unauthorized".into()));
    server.answers(ok(&format!("{{\"keys\":[{},{}]}}", issuer.jwk(), next.jwk())));
    for token in [next.token(&claims()), junk] {
        let answer = gateway.client().post(&token).await;
        assert_eq!((answer.problem(), answer.header("retry-after")), ((503, "jwks_cooldown".into()), Some("10")));
    }
    // A client can cause it at will: it must not count as a failure of the gateway or the issuer.
    assert_eq!(gateway.counted("rejected", "jwks_cooldown").await, Some(2.0));
    assert_eq!((server.fetches(), upstream.seen().len()), (2, 1));
}

#[tokio::test]
async fn a_scheduled_fetch_delays_no_fetch_for_an_unknown_key() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("60s").refresh_interval("1h"));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    server.answers(ok(&format!("{{\"keys\":[{},{}]}}", issuer.jwk(), next.jwk())));
    assert_eq!(gateway.client().post(&next.token(&claims())).await.status, 200);
    assert_eq!(server.fetches(), 2);
}

/// The cooldown counts from the last attempt, not from the last success: a flood must not keep an issuer down.
#[tokio::test]
async fn a_failing_issuer_is_asked_once_a_cooldown() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let server = KeyServer::start(with_head("500 Internal Server Error", "")).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("60s").refresh_interval("1h"));
    let failed = "hookgate_jwks_refreshes_total{issuer=\"acme\",result=\"error\"}";
    until("the first fetch has failed", async || gateway.metric(failed).await == Some(1.0)).await;
    let client = gateway.client();
    for _ in 0..50 {
        assert_eq!(client.post(&gateway.token()).await.problem(), (503, "jwks_unavailable".into()));
    }
    assert_eq!((server.fetches(), gateway.metric(failed).await), (1, Some(1.0)));
}

/// Only a request with an unknown key waits for an issuer that does not respond.
#[tokio::test]
async fn a_slow_issuer_delays_no_request_whose_key_is_known() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = Arc::new(server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("10ms").refresh_interval("1h")));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    server.answers(SILENCE.to_owned());
    let asked = server.fetches();
    let rotated = next.token(&claims());
    let waiting = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        // Within the cooldown it is answered at once.
        async move {
            loop {
                let problem = gateway.client().post(&rotated).await.problem();
                if problem.1 != "jwks_cooldown" {
                    return problem;
                }
            }
        }
    });
    until("a fetch begins", async || server.fetches() > asked).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert!(!waiting.is_finished(), "the request with the known key waited for the other one");
    assert_eq!(waiting.await.unwrap(), (503, "jwks_unavailable".into()));
}

/// All waiting requests use the result of one fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fetch_serves_all_requests_that_wait_for_it() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = Arc::new(server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("50ms").refresh_interval("1h")));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    server.answers(ok(&next.jwks()));
    // The next fetch is made only after the cooldown of the first one.
    until("the new key works", async || gateway.client().post(&next.token(&claims())).await.status == 200).await;
    assert!(server.fetches() <= 3, "{}", server.fetches());
}

#[tokio::test]
async fn bad_answers_never_replace_a_good_set() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("10ms").refresh_interval("20ms"));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    let private = ok(r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}"#);
    let bad = [
        ok("{}"),
        ok("nonsense"),
        ok(r#"{"keys":[]}"#),
        private,
        with_head("500 Internal Server Error", &next.jwks()),
        with_head("302 Found\r\nlocation: http://127.0.0.1:9/jwks.json", ""),
        ok(&format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(600 * 1024))),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":[".to_owned(),
        "not http at all".to_owned(),
    ];
    for answer in bad {
        server.answers(answer.clone());
        let before = server.fetches();
        until("the response was fetched and checked", async || server.fetches() > before + 1).await;
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200, "{answer:.80}");
    }
    assert!(gateway.metric("hookgate_jwks_refreshes_total{issuer=\"acme\",result=\"error\"}").await.unwrap() >= 9.0);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let other = KeyServer::start(ok(&issuer.jwks())).await;
    let away = format!("302 Found\r\nlocation: http://{}/jwks.json", other.address);
    let server = KeyServer::start(with_head(&away, "")).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.cooldown("10ms"));
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (503, "jwks_unavailable".into()));
    assert_eq!(other.fetches(), 0);
}

#[tokio::test]
async fn a_set_serves_no_longer_than_max_stale() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let mut server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway =
        server.gateway(&upstream, &issuer, |jwks| jwks.max_stale("2h").cooldown("10ms").refresh_interval("1h"));
    let token = issuer.token_with(serde_json::json!({"exp": crate::support::NOW + 90_000}));
    assert_eq!(gateway.client().post(&token).await.status, 200);
    server.stop().await;
    gateway.clock.forward(7200);
    assert_eq!(gateway.client().post(&token).await.status, 200);
    gateway.clock.forward(1);
    // Within the cooldown of the fetch for the former request the reason is another one.
    until("the cooldown is over", async || {
        let (status, reason) = gateway.client().post(&token).await.problem();
        assert_eq!(status, 503, "{reason}");
        reason == "jwks_unavailable"
    })
    .await;
}

#[tokio::test]
async fn a_dead_issuer_hurts_its_own_routes_only() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let dead = TrustedIssuer::new("https://dead.test/", &["RS256"]);
    let dead = dead.jwks(Jwks::url("http://127.0.0.1:9/").cooldown("10ms"));
    let route = Route::new("dead").path("/dead").upstream("http://127.0.0.1:9").replay_protection("disabled");
    let route = route.auth(Jwt::new("dead").audience("x"));
    let setup = Setup::new(upstream.address).top(|top| top.add_issuer("dead", dead).add_route(route));
    let gateway = setup.issuer(issuer).start();
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    let request = gateway.client().request("/dead").header("authorization", format!("Bearer {}", gateway.token()));
    let answer = gateway.client().send(request, "{}").await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((503, "jwks_unavailable".into()), Some("10")));
    until("the gateway is ready nevertheless", async || gateway.admin("/readyz").await.status == 200).await;
    assert_eq!(gateway.admin("/readyz").await.json()["issuers_without_keys"], serde_json::json!(["dead"]));
}

#[tokio::test]
async fn a_reload_does_not_forget_fetched_keys() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let mut server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.refresh_interval("1h"));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    server.stop().await;
    gateway.edit(|configuration| configuration.issuer("acme", |issuer| issuer.with("jwks.refresh_interval", "2h")));
    gateway.running().reload();
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A genuine token, signed by `sign`.
fn signed(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims().to_string()));
    format!("{message}.{}", b64(sign(message.as_bytes())))
}

/// Algorithms that the JWT library does not sign or name: P-521, and EdDSA by its name of RFC 9864.
#[tokio::test]
async fn fetched_keys_of_es512_and_ed25519_serve() {
    let upstream = Upstream::echo().await;
    let p521 = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
    let (x, y) = p521.public_key().as_ref()[1..].split_at(66);
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-521", "kid": "p", "x": b64(x), "y": b64(y)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "e", "alg": "Ed25519", "x": b64(ed25519.public_key())},
        {"kty": "OKP", "crv": "Ed448", "kid": "f", "alg": "Ed448", "x": b64([1; 57])},
    ]});
    let server = KeyServer::start(ok(&set.to_string())).await;
    let jwks = Jwks::url(&format!("{}/", server.url()));
    let setup = Setup::new(upstream.address)
        .top(|top| top.issuer("acme", |issuer| issuer.algorithms(["ES512", "Ed25519"]).jwks(jwks)));
    let gateway = setup.start();
    let es512 = |message: &[u8]| p521.sign(&aws_lc_rs::rand::SystemRandom::new(), message).unwrap().as_ref().to_vec();
    let post = async |token: String| gateway.client().post(&token).await.status.as_u16();
    let header = json!({"alg": "ES512", "kid": "p"});
    assert_eq!(post(signed(&header, es512)).await, 200);
    let flipped = |message: &[u8]| {
        let mut signature = es512(message);
        signature[131] ^= 1;
        signature
    };
    assert_eq!(post(signed(&header, flipped)).await, 401);
    let eddsa = |message: &[u8]| ed25519.sign(message).as_ref().to_vec();
    for (alg, expected) in [("Ed25519", 200), ("EdDSA", 200), ("ES512", 401), ("Ed448", 401)] {
        assert_eq!(post(signed(&json!({"alg": alg, "kid": "e"}), eddsa)).await, expected, "{alg}");
    }
}
