//! Several schemes on one route, and client certificates: in the TLS handshake and during the connection.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookgate::reload::Reloaded;
use rcgen::SanType;
use serde_json::json;

use crate::support::{Answer, Authority, Client, Gateway, Identity, Issuer, Setup, Upstream, replace};

const JWT: &str = "{ jwt: { issuer: acme, audience: https://hooks.test/webhook } }";
const TOKEN: &str = "{ static_token: { header: X-Token, secret: { file: token } } }";
const HMAC: &str = "{ preset: github, secret: { file: token } }";

/// A gateway with this `auth`, which trusts client certificates of this authority and does not require one.
fn setup(upstream: &Upstream, authority: &Authority, auth: &str) -> Setup {
    let setup = Setup::new(upstream.address).file("clients.crt", &authority.pem).file("token", "the token");
    let setup = setup.with("tls: { ", "tls: { client_ca: clients.crt, client_auth: optional, ");
    let setup = setup.auth(auth).and("error_detail: detailed");
    if auth.contains("jwt:") { setup.route("forward: { claims_to_headers: { sub: X-Who } }") } else { setup }
}

/// Status and reason of a response; the reason is empty where the upstream responded.
fn outcome(answer: &Answer) -> (u16, String) {
    if answer.header("x-from-app").is_some() { (answer.status.as_u16(), String::new()) } else { answer.problem() }
}

/// Sends a POST with these headers, except those with an empty value.
async fn ask(client: &Client, fields: &[(&str, &str)]) -> (u16, String) {
    let present = fields.iter().filter(|(_, value)| !value.is_empty());
    let request = present.fold(client.request("/webhook"), |request, (name, value)| request.header(*name, *value));
    outcome(&client.send(request, "{}").await)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn rejected(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn passed() -> (u16, String) {
    (200, String::new())
}

#[tokio::test]
async fn all_of_wants_each() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let auth = format!("{{ all_of: [ {JWT}, {{ client_certificate: {{ san: [\"dns:a.test\"] }} }} ] }}");
    let gateway = setup(&upstream, &authority, &auth).start();
    let with = |name| gateway.client_showing(&authority.client(name, 7));
    let (right, other, without) = (with("a.test"), with("b.test"), gateway.client());
    let (good, bad) = (bearer(&gateway.token()), bearer("x.y.z"));
    for (client, token, expected) in [
        (&right, "", rejected(401, "missing_credential")),
        (&right, bad.as_str(), rejected(401, "malformed_token")),
        (&other, &good, rejected(403, "certificate_not_allowed")),
        (&without, &good, rejected(401, "missing_credential")),
        (&without, "", rejected(401, "missing_credential")),
    ] {
        assert_eq!(ask(client, &[("authorization", token)]).await, expected, "{token}");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(ask(&right, &[("authorization", &good)]).await, passed());
    assert_eq!(upstream.only().header("x-who"), Some("shop-42"));
}

/// Otherwise an attacker with the weaker credential could choose which one is verified, and the upstream would read the
/// other one.
#[tokio::test]
async fn any_of_wants_each_credential_that_is_there() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, &format!("{{ any_of: [ {JWT}, {TOKEN} ] }}")).start();
    let (client, good) = (gateway.client(), bearer(&gateway.token()));
    for (authorization, token, expected) in [
        ("", "", rejected(401, "missing_credential")),
        (good.as_str(), "another token", rejected(401, "invalid_static_token")),
        ("Bearer x.y.z", "the token", rejected(401, "malformed_token")),
        ("Bearer x.y.z", "", rejected(401, "malformed_token")),
        ("", "another token", rejected(401, "invalid_static_token")),
    ] {
        assert_eq!(ask(&client, &[("authorization", authorization), ("x-token", token)]).await, expected);
    }
    assert!(upstream.seen().is_empty());
    for (authorization, token, who) in
        [(good.as_str(), "", Some("shop-42")), ("", "the token", None), (&good, "the token", Some("shop-42"))]
    {
        let fields = [("authorization", authorization), ("x-token", token), ("X_Who", "evil"), ("x-who", "evil")];
        assert_eq!(ask(&client, &fields).await, passed());
        assert_eq!(upstream.seen().pop().unwrap().header("x-who"), who);
    }
}

/// A scheme that needs the body is waited for, even if another branch already grants the request.
#[tokio::test]
async fn a_grant_does_not_hide_a_signature_that_the_body_breaks() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, &format!("{{ any_of: [ {TOKEN}, {HMAC} ] }}")).start();
    let signature = |body| format!("sha256={}", crate::support::hmac("the token", body));
    for (signed, expected) in [("{}", passed()), ("{} ", rejected(401, "invalid_signature"))] {
        let fields = [("x-token", "the token"), ("x-hub-signature-256", &signature(signed))];
        assert_eq!(ask(&gateway.client(), &fields).await, expected);
        assert_eq!(ask(&gateway.client(), &fields[1..]).await, expected);
    }
    assert_eq!(upstream.seen().len(), 2);
}

/// A missing credential in a branch does not excuse an invalid one next to it.
#[tokio::test]
async fn an_invalid_credential_in_an_incomplete_branch_is_rejected() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    for inner in [format!("{{ client_certificate: {{}} }}, {JWT}"), format!("{JWT}, {{ client_certificate: {{}} }}")] {
        let gateway =
            setup(&upstream, &authority, &format!("{{ any_of: [ {{ all_of: [ {inner} ] }}, {TOKEN} ] }}")).start();
        let ask =
            async |token: &str| ask(&gateway.client(), &[("authorization", token), ("x-token", "the token")]).await;
        assert_eq!(ask("Bearer x.y.z").await, rejected(401, "malformed_token"), "{inner}");
        assert_eq!(ask("").await, passed());
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_credential_that_cannot_be_verified_is_503_and_hides_behind_no_other_credential() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, &format!("{{ any_of: [ {JWT}, {TOKEN} ] }}"))
        .with("{ file: jwks.json }", "{ url: \"http://127.0.0.1:9/jwks.json\" }")
        .start();
    let (client, good) = (gateway.client(), bearer(&gateway.token()));
    for token in ["", "the token"] {
        let fields = [("authorization", good.as_str()), ("x-token", token)];
        assert_eq!(ask(&client, &fields).await, rejected(503, "jwks_unavailable"));
    }
    assert_eq!(ask(&client, &[("x-token", "the token")]).await, passed());
    assert_eq!(ask(&client, &[("x-token", "another")]).await, rejected(401, "invalid_static_token"));
}

#[tokio::test]
async fn a_certificate_is_accepted_by_its_names_or_its_fingerprint() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let uri = |text: &str| authority.client_named(SanType::URI(text.try_into().unwrap()), 7);
    let (dns, spiffe) = (authority.client("a.test", 7), uri("spiffe://example.org/sender"));
    let (other, pinned) = (uri("spiffe://example.org/sender/2"), authority.client("c.test", 9));
    let fingerprint = hex::encode(pinned.sha256());
    let rule = format!("san: [\"dns:a.test\", \"spiffe://example.org/sender\"], sha256: [\"{fingerprint}\"]");
    let gateway = setup(&upstream, &authority, &format!("{{ client_certificate: {{ {rule} }} }}")).start();
    for (identity, expected) in [
        (&dns, passed()),
        (&spiffe, passed()),
        (&pinned, passed()),
        (&other, rejected(403, "certificate_not_allowed")),
        (&authority.client("c.test", 9), rejected(403, "certificate_not_allowed")),
        (&authority.client("b.a.test", 9), rejected(403, "certificate_not_allowed")),
    ] {
        assert_eq!(ask(&gateway.client_showing(identity), &[]).await, expected);
    }
    assert_eq!(ask(&gateway.client(), &[]).await, rejected(401, "missing_credential"));
}

/// Without other rules, every certificate that the listener trusts is accepted.
const ANY_CERTIFICATE: &str = "{ client_certificate: {} }";

fn reload(gateway: &Gateway) {
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
}

async fn challenges(gateway: &Gateway) -> Option<f64> {
    let labels = format!("{{listener=\"{}\",result=\"success\"}}", gateway.address());
    gateway.metric(&format!("hookgate_tls_handshakes_total{labels}")).await
}

#[tokio::test]
async fn a_certificate_revoked_during_the_connection_passes_no_more() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    for (auth, client_auth) in [(ANY_CERTIFICATE, "optional"), (JWT, "required")] {
        let gateway = setup(&upstream, &authority, auth)
            .with("client_auth: optional", &format!("client_auth: {client_auth}, client_crl: clients.crl"))
            .file("clients.crl", &authority.list(4000, &[8]))
            .start();
        let client = gateway.client_showing(&authority.client("a.test", 7));
        let token = bearer(&gateway.token());
        assert_eq!(ask(&client, &[("authorization", &token)]).await, passed());
        replace(&gateway.path("clients.crl"), &authority.list(4000, &[7]));
        reload(&gateway);
        assert_eq!(ask(&client, &[("authorization", &token)]).await, rejected(403, "certificate_not_allowed"));
        assert_eq!(challenges(&gateway).await, Some(1.0));
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn an_authority_that_is_trusted_no_more_counts_no_more() {
    let (upstream, old, new) = (Upstream::echo().await, Authority::new("old"), Authority::new("new"));
    let gateway = setup(&upstream, &old, ANY_CERTIFICATE).start();
    let client = gateway.client_showing(&old.client("a.test", 7));
    assert_eq!(ask(&client, &[]).await, passed());
    for (pem, expected) in
        [(&new.pem, rejected(403, "certificate_not_allowed")), (&format!("{}{}", old.pem, new.pem), passed())]
    {
        replace(&gateway.path("clients.crt"), pem);
        reload(&gateway);
        assert_eq!(ask(&client, &[]).await, expected);
    }
    // Without a client CA the route would reject every request, so the active configuration stays.
    gateway.edit("client_ca: clients.crt, client_auth: optional, ", "");
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(ask(&client, &[]).await, passed());
    assert_eq!(challenges(&gateway).await, Some(1.0));
}

/// The expiry is compared with the gateway's own clock.
#[tokio::test]
async fn a_certificate_that_expires_during_the_connection_passes_no_more() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, ANY_CERTIFICATE).start();
    let client = gateway.client_showing(&authority.client("a.test", 7));
    assert_eq!(ask(&client, &[]).await, passed());
    // rcgen's certificates end in the year 4096.
    gateway.clock.forward(2080 * 366 * 24 * 3600);
    assert_eq!(ask(&client, &[]).await, rejected(403, "certificate_not_allowed"));
}

/// Caddy GHSA-gr7w-x2jp-3xgw: a certificate was presented to one host, and the request is for another.
#[tokio::test]
async fn a_request_for_another_host_than_the_connection_s_is_misdirected() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let bound = "{ jwt: { issuer: acme, audience: https://hooks.test/webhook, bound_certificate: true } }";
    let in_a_tree = format!("{{ any_of: [ {TOKEN}, {ANY_CERTIFICATE} ] }}");
    for (auth, status) in [(ANY_CERTIFICATE, 421), (bound, 421), (&in_a_tree, 421), (JWT, 401)] {
        let gateway = setup(&upstream, &authority, auth).start();
        for (host, expected) in [("other.test", status), ("localhost.", status), ("LocalHost:443", 401)] {
            let request = format!("POST /webhook HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
            let answer = gateway.wire().await.write(request).await.read_until("}").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{host}: {answer}");
            assert_eq!(answer.contains("misdirected_request"), expected == 421);
        }
    }
    assert!(upstream.seen().is_empty());
}

fn bound_to(issuer: &Issuer, identity: &Identity) -> String {
    bearer(&issuer.token_with(json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode(identity.sha256())}})))
}

/// RFC 8705 §3.
#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_no_use_with_another() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let auth = JWT.replace(" } }", ", bound_certificate: true } }");
    let gateway = setup(&upstream, &authority, &auth).start();
    let (own, other) = (authority.client("a.test", 7), authority.client("a.test", 8));
    let token = bound_to(&gateway.issuer, &own);
    let (owner, thief) = (gateway.client_showing(&own), gateway.client_showing(&other));
    for client in [&thief, &gateway.client()] {
        let answer = client.send(client.request("/webhook").header("authorization", &token), "{}").await;
        assert_eq!(outcome(&answer), rejected(401, "certificate_mismatch"));
        assert!(answer.header("www-authenticate").unwrap().ends_with("error=\"invalid_token\""));
    }
    for (claims, code) in [
        (json!({}), "missing_claim"),
        (json!({"cnf": {}}), "missing_claim"),
        (json!({"cnf": {"jkt": "x"}}), "missing_claim"),
        (json!({"cnf": "x"}), "malformed_token"),
        (json!({"cnf": {"x5t#S256": ""}}), "certificate_mismatch"),
    ] {
        let token = bearer(&gateway.issuer.token_with(claims));
        assert_eq!(ask(&owner, &[("authorization", &token)]).await, rejected(401, code));
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(ask(&owner, &[("authorization", &token)]).await, passed());
}
