//! Several schemes on one route, and client certificates: in the TLS handshake and during the connection.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookgate::reload::Reloaded;
use rcgen::SanType;
use serde_json::{Value, json};

use crate::support::configuration::{ClientCertificate, Jwks, Jwt, Preset, StaticToken, all_of, any_of, file};
use crate::support::{Answer, Authority, Client, Gateway, Identity, Issuer, Setup, Upstream, replace};

fn jwt() -> Jwt {
    Jwt::new("acme").audience("https://hooks.test/webhook")
}

fn static_token() -> Value {
    StaticToken::new("X-Token", "token").into()
}

/// A gateway with this `auth`, which trusts client certificates of this authority and does not require one.
fn setup(upstream: &Upstream, authority: &Authority, auth: impl Into<Value>) -> Setup {
    let auth = auth.into();
    let has_claims = auth.to_string().contains("\"jwt\"");
    let setup = Setup::new(upstream.address).file("clients.crt", &authority.pem).file("token", "the token");
    let setup = setup.listener(|listener| listener.client_ca("clients.crt").client_auth("optional"));
    let setup = setup.auth(auth).top(|top| top.error_detail("detailed"));
    if has_claims { setup.route(|route| route.claims_to_headers(json!({ "sub": "X-Who" }))) } else { setup }
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
    let auth = all_of([jwt().into(), ClientCertificate::empty().san(["dns:a.test"]).into()]);
    let gateway = setup(&upstream, &authority, auth).start();
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
    let gateway = setup(&upstream, &authority, any_of([jwt().into(), static_token()])).start();
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
    let hmac = Preset::new("github").secret(file("token"));
    let gateway = setup(&upstream, &authority, any_of([static_token(), hmac.into()])).start();
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
    for inner in [[any_certificate(), jwt().into()], [jwt().into(), any_certificate()]] {
        let inner = all_of(inner);
        let gateway = setup(&upstream, &authority, any_of([inner.clone(), static_token()])).start();
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
    let gateway = setup(&upstream, &authority, any_of([jwt().into(), static_token()]))
        .jwks(Jwks::url("http://127.0.0.1:9/jwks.json"))
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
    let rule = ClientCertificate::empty().san(["dns:a.test", "spiffe://example.org/sender"]).sha256([fingerprint]);
    let gateway = setup(&upstream, &authority, rule).start();
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
fn any_certificate() -> Value {
    ClientCertificate::empty().into()
}

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
    for (auth, client_auth) in [(any_certificate(), "optional"), (jwt().into(), "required")] {
        let gateway = setup(&upstream, &authority, auth)
            .listener(|listener| listener.client_auth(client_auth).client_crl("clients.crl"))
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
    let gateway = setup(&upstream, &old, any_certificate()).start();
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
    gateway.edit(|configuration| {
        configuration.listener(|listener| listener.without("tls.client_ca").without("tls.client_auth"))
    });
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(ask(&client, &[]).await, passed());
    assert_eq!(challenges(&gateway).await, Some(1.0));
}

/// The expiry is compared with the gateway's own clock.
#[tokio::test]
async fn a_certificate_that_expires_during_the_connection_passes_no_more() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, any_certificate()).start();
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
    let bound = jwt().bound_certificate(true).into();
    let in_a_tree = any_of([static_token(), any_certificate()]);
    for (auth, status) in [(any_certificate(), 421), (bound, 421), (in_a_tree, 421), (jwt().into(), 401)] {
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
    let gateway = setup(&upstream, &authority, jwt().bound_certificate(true)).start();
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
