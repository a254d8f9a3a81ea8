//! `jwks.discovery`: the issuer's own document names the URL of its keys.

use serde_json::json;

use crate::support::configuration::Jwks;
use crate::support::key_server::{KeyServer, ok, with_head};
use crate::support::{Gateway, Issuer, Setup, Upstream, certificate, until};

const DOCUMENT: &str = "/realm/.well-known/openid-configuration";

/// The `iss` of this server.
fn iss(server: &KeyServer) -> String {
    format!("{}/realm/", server.url())
}

fn document(issuer: &str, jwks_uri: &str) -> String {
    ok(&json!({ "issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["reason"] }).to_string())
}

/// A gateway whose issuer is this server.
fn setup(server: &KeyServer, upstream: &Upstream, issuer: &Issuer, jwks: Jwks) -> Setup {
    let setup = Setup::new(upstream.address).issuer(issuer.clone()).jwks(jwks);
    setup.top(|top| top.issuer("acme", |issuer| issuer.issuer(iss(server))))
}

/// A gateway that fetches at this interval.
fn gateway(server: &KeyServer, upstream: &Upstream, issuer: &Issuer, refresh_interval: &str) -> Gateway {
    let jwks = Jwks::discovery().cooldown("10ms").refresh_interval(refresh_interval);
    setup(server, upstream, issuer, jwks).start()
}

fn token(server: &KeyServer, issuer: &Issuer) -> String {
    issuer.token_with(json!({ "iss": iss(server) }))
}

#[tokio::test]
async fn the_document_leads_to_keys_also_on_another_host_and_is_fetched_each_time() {
    let (upstream, issuer, next) = (Upstream::echo().await, Issuer::rs256("k1"), Issuer::es256("k2"));
    let (keys, moved) = (KeyServer::start(ok(&issuer.jwks())).await, KeyServer::start(ok(&next.jwks())).await);
    let server = KeyServer::start(with_head("404 Not Found", "")).await;
    server.answers_at(DOCUMENT, document(&iss(&server), &format!("{}/keys", keys.url())));
    let gateway = gateway(&server, &upstream, &issuer, "1h");
    assert_eq!(gateway.client().post(&token(&server, &issuer)).await.status, 200);
    assert_eq!((server.fetches(), keys.fetches(), moved.fetches()), (1, 1, 0));
    server.answers_at(DOCUMENT, document(&iss(&server), &format!("{}/keys", moved.url())));
    let rotated = token(&server, &next);
    until("the moved key works", async || gateway.client().post(&rotated).await.status == 200).await;
}

/// Without a document, with one of another issuer, or with one that leads to plain http, no keys are fetched.
#[tokio::test]
async fn a_document_that_is_not_the_issuers_own_leads_nowhere() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let keys = KeyServer::start(ok(&issuer.jwks())).await;
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let (own, there) = (iss(&server), format!("{}/keys", keys.url()));
    let away = format!("302 Found\r\nlocation: {}/realm/.well-known/openid-configuration", keys.url());
    let bad = [
        document("https://issuer.test/", &there),
        document(own.trim_end_matches('/'), &there),
        document(&own, "http://keys.test/jwks"),
        ok(&json!({ "jwks_uri": there }).to_string()),
        ok(&json!({ "issuer": own }).to_string()),
        ok("nonsense"),
        with_head("500 Internal Server Error", &json!({ "issuer": own, "jwks_uri": there }).to_string()),
        with_head(&away, ""),
    ];
    for answer in bad {
        server.answers_at(DOCUMENT, answer.clone());
        let gateway = gateway(&server, &upstream, &issuer, "20ms");
        let before = server.fetches();
        until("the document was fetched and checked", async || server.fetches() > before + 1).await;
        let problem = gateway.client().post(&token(&server, &issuer)).await.problem();
        assert_eq!(problem, (503, "jwks_unavailable".into()), "{answer}");
    }
    assert_eq!(keys.fetches(), 0);
}

/// The document came over TLS, so the keys must too, even on the same machine.
#[tokio::test]
async fn an_https_issuer_does_not_lead_to_plain_http() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let (ca, leaf, key) = certificate(&["localhost"]);
    let keys = KeyServer::start(ok(&issuer.jwks())).await;
    let server = KeyServer::start_tls(&leaf, &key, ok(&issuer.jwks())).await;
    let status = async |jwks_uri: String| {
        server.answers_at(DOCUMENT, document(&iss(&server), &jwks_uri));
        let jwks = Jwks::discovery().ca("issuer.crt");
        let gateway = setup(&server, &upstream, &issuer, jwks).file("issuer.crt", &ca).start();
        gateway.client().post(&token(&server, &issuer)).await.status.as_u16()
    };
    assert_eq!(status(format!("{}/keys", server.url())).await, 200);
    assert_eq!(status(format!("{}/keys", keys.url())).await, 503);
    assert_eq!(keys.fetches(), 0);
}
