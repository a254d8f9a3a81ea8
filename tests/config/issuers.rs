//! Issuers and rules for claims: a configuration that accepts tokens of others, or none at all, is rejected at load.

use hookgate::config::Handles;

use super::{folder, texts, write};
use crate::support::schema::load;

/// The warnings or the problems of a configuration with this issuer and these fields of `jwt`.
fn loaded(issuer: &str, jwt: &str) -> Result<Vec<String>, String> {
    let yaml = format!(
        "listeners: [{{ address: '127.0.0.1:0', tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }} }}]
issuers:
  acme: {{ {issuer}, algorithms: [ES256] }}
routes:
  - name: webhook
    match: {{ path: /webhook }}
    upstream: {{ url: 'http://127.0.0.1:8000' }}
    auth: {{ jwt: {{ issuer: acme, {jwt} }} }}
    replay_protection: disabled
"
    );
    let folder = folder();
    std::fs::write(folder.path().join("bearer"), "token\n").unwrap();
    std::fs::write(folder.path().join("spaced"), "to ken").unwrap();
    let path = write(folder.path(), &yaml);
    load(&path, &Handles::default()).map(|config| texts(&config.warnings)).map_err(|errors| errors.to_string())
}

const ISSUER: &str = "issuer: https://issuer.test/, jwks: { file: jwks.json }";
const AUDIENCE: &str = "audience: https://hooks.test/";

fn rejected(issuer: &str, jwt: &str, expected: &str) {
    let problems = loaded(issuer, jwt).expect_err(expected);
    assert!(problems.contains(expected), "{issuer} {jwt}: {problems}");
    assert!(!problems.contains("token\n"), "{problems}");
}

fn accepted(issuer: &str, jwt: &str) -> Vec<String> {
    loaded(issuer, jwt).unwrap_or_else(|problems| panic!("{issuer} {jwt}: {problems}"))
}

/// Access tokens of Amazon Cognito, Clerk and Kinde have no `aud`.
#[test]
fn without_an_audience_a_rule_names_the_client() {
    let none = |claims: &str| format!("audience: none, claims: {{ {claims} }}");
    for claims in ["client_id: a", "azp: { one_of: [a, b] }", "/ext/client: a", "cid: a, token_use: access"] {
        accepted(ISSUER, &none(claims));
    }
    for claims in [
        "",
        "token_use: access",
        "scope: { contains: a }",
        "iss: https://issuer.test/",
        "azp: { exists: true }",
        "azp: { prefix: a }",
        "azp: { matches: '.*' }",
        "azp: { one_of: [a, 1] }",
        "roles: { contains: a }",
        "email_verified: true",
        "tid: a",
    ] {
        rejected(ISSUER, &none(claims), "routes[0].auth.jwt.audience: `none` must be the only value, and needs a rule");
    }
}

#[test]
fn a_rule_that_no_token_can_satisfy_is_an_error() {
    let with = |claims: &str| format!("{AUDIENCE}, claims: {{ {claims} }}");
    for (claims, expected) in [
        ("exp: soon", "routes[0].auth.jwt.claims.exp: never holds: this claim is a number of seconds"),
        ("iat: { prefix: '17' }", "claims.iat: never holds"),
        ("nbf: { contains_any: [a] }", "claims.nbf: never holds"),
        ("sub: 7", "claims.sub: never holds: this claim is a text"),
        ("jti: { one_of: [1, 2] }", "claims.jti: never holds: this claim is a text"),
        ("aud: { exists: false }", "claims.aud: never holds: every token must have this claim"),
        ("groups: { contains_any: [] }", "claims.groups: expected a value, or one of"),
        ("groups: { contains_any: [[a]] }", "claims.groups: expected a value, or one of"),
        ("groups: { one_of: [[a]] }", "claims.groups: expected a value, or one of"),
        ("groups: { contains_any: a }", "claims.groups: expected a value, or one of"),
    ] {
        rejected(ISSUER, &with(claims), expected);
    }
    for claims in
        ["sub: { prefix: a }", "exp: 7", "iat: { one_of: [1] }", "aud: { contains: a }", "x: { exists: false }"]
    {
        accepted(ISSUER, &with(claims));
    }
    for (claims, warned) in [
        ("groups: { one_of: [a, b] }", true),
        ("roles: { matches: a }", true),
        ("amr: a", true),
        ("groups: { contains_any: [a, b] }", false),
        ("role: { one_of: [a, b] }", false),
        ("/x/groups: a", false),
    ] {
        let warnings = accepted(ISSUER, &with(claims));
        assert_eq!(
            warnings.iter().any(|warning| warning.contains("use `contains` or `contains_any`")),
            warned,
            "{claims}"
        );
    }
}

/// Any customer of the provider can make a tenant.
#[test]
fn an_issuer_template_needs_its_tenants() {
    let template = "issuer: 'https://login.test/{tenantid}/v2.0', jwks: { discovery_url: https://login.test/document }";
    accepted(&format!("{template}, tenants: [one, two]"), AUDIENCE);
    rejected(template, AUDIENCE, "issuers.acme.tenants: missing; expected the tenants whose tokens are accepted");
    rejected(&format!("{template}, tenants: []"), AUDIENCE, "issuers.acme.tenants");
    for tenant in ["'*'", "''", "a/b", "'{tenantid}'", "a b"] {
        rejected(
            &format!("{template}, tenants: [{tenant}]"),
            AUDIENCE,
            "issuers.acme.tenants: expected ids of tenants",
        );
    }
    rejected(&format!("{ISSUER}, tenants: [one]"), AUDIENCE, "tenants: requires {tenantid} in `issuer`");
    for other in ["{tenant}/{tenant}", "{tenantid}/{tenantid}", "{tenantid}/{x}", "{tenantid"] {
        let issuer = format!("issuer: 'https://login.test/{other}', tenants: [one], jwks: {{ file: jwks.json }}");
        rejected(&issuer, AUDIENCE, "issuers.acme.issuer: the only placeholders are {tenant}");
    }
    let discovery = "issuer: 'https://login.test/{tenantid}', tenants: [one], jwks: { discovery: true }";
    rejected(discovery, AUDIENCE, "for another address set discovery_url");
}

#[test]
fn a_trust_domain_is_a_name_alone() {
    let of = |iss: &str| format!("issuer: '{iss}', jwks: {{ file: jwks.json }}");
    accepted(&of("spiffe://prod.example.org"), AUDIENCE);
    for other in ["spiffe://", "spiffe://a/b", "spiffe://a/", "spiffe://A", "spiffe://a:1", "spiffe://a@b"] {
        rejected(&of(other), AUDIENCE, "issuers.acme.issuer: expected spiffe:// and a trust domain");
    }
    rejected(&of("none"), AUDIENCE, "for the JWT-SVIDs of SPIFFE write the trust domain");
}

#[test]
fn a_key_set_is_reached_safely() {
    let of = |jwks: &str| format!("issuer: https://issuer.test/, jwks: {{ {jwks} }}");
    for good in [
        "url: 'https://issuer.test/', proxy: 'http://proxy:3128'",
        "url: 'https://issuer.test/', bearer: { file: bearer }",
        "discovery_url: 'https://issuer.test/', bearer: { file: bearer }, proxy: 'http://proxy:3128'",
    ] {
        assert_eq!(accepted(&of(good), AUDIENCE).len(), 1, "{good}: only that nothing binds the body");
    }
    for http in ["http://keycloak:8080/", "http://10.0.0.1/", "http://localhost/"] {
        let warnings = accepted(&of(&format!("url: '{http}', insecure_http: true")), AUDIENCE);
        assert!(warnings.iter().any(|warning| warning.contains("insecure_http: any program")), "{warnings:?}");
    }
    let insecure = "url: 'http://keycloak/', insecure_http: true";
    for (jwks, expected) in [
        ("url: 'http://keycloak/'".to_owned(), "jwks.url: expected an https:// URL"),
        ("url: 'http://9.9.9.9/', insecure_http: true".to_owned(), "jwks.url: expected an https:// URL"),
        ("url: 'http://169.254.169.254/', insecure_http: true".to_owned(), "jwks.url: expected an https:// URL"),
        ("url: 'https://a/', insecure_http: true".to_owned(), "jwks.insecure_http: is for an http:// URL only"),
        (format!("{insecure}, bearer: {{ file: bearer }}"), "jwks.bearer: cannot be combined with insecure_http"),
        (format!("{insecure}, proxy: 'http://p:1'"), "jwks.proxy: cannot be combined with insecure_http"),
        (format!("{insecure}, pins: ['sha256/{}=']", "A".repeat(43)), "jwks.pins: plain http has no public key"),
        ("url: 'http://localhost/', bearer: { file: bearer }".to_owned(), "jwks.bearer: would be sent unencrypted"),
        ("url: 'https://a/', bearer: { file: spaced }".to_owned(), "jwks.bearer: expected a file with one token"),
        ("url: 'https://a/', proxy: 'https://p:1'".to_owned(), "jwks.proxy: expected http://HOST:PORT"),
        ("url: 'https://a/', proxy: 'http://u:p@p:1'".to_owned(), "jwks.proxy: expected http://HOST:PORT"),
        (
            "file: jwks.json, proxy: 'http://p:1'".to_owned(),
            "jwks.proxy: is for `url`, `discovery` and `discovery_url` only",
        ),
        (
            "url: 'https://a/', discovery_url: 'https://a/'".to_owned(),
            "has more than one of url, discovery, discovery_url",
        ),
    ] {
        rejected(&of(&jwks), AUDIENCE, expected);
    }
}

/// Times have no fractions of a second: half a second would be none.
#[test]
fn a_duration_that_is_compared_with_a_time_is_in_whole_seconds() {
    for key in ["leeway", "max_age", "max_lifetime"] {
        for text in ["500ms", "1500ms", "0ms"] {
            let expected = format!("jwt.{key}: expected a duration: a whole number and s, m, h or d, such as 30s");
            rejected(ISSUER, &format!("{AUDIENCE}, {key}: {text}"), &expected);
        }
    }
    accepted(ISSUER, &format!("{AUDIENCE}, leeway: 0s, max_age: 1s"));
}

/// A token in Authorization must satisfy both: the first alternative needs a certificate beside it.
#[test]
fn alternatives_that_share_a_place_in_part_are_a_warning() {
    let warnings = |any_of: &str| {
        let yaml = format!(
            "listeners: [{{ address: '127.0.0.1:0', tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }} }}]
routes:
  - name: webhook
    match: {{ path: /webhook }}
    upstream: {{ url: 'http://127.0.0.1:8000' }}
    auth: {{ any_of: [{any_of}] }}
    replay_protection: disabled
"
        );
        let folder = folder();
        let path = write(folder.path(), &yaml);
        let config = load(&path, &Handles::default()).unwrap_or_else(|problems| panic!("{problems}"));
        config
            .warnings
            .iter()
            .filter(|warning| warning.message.contains("read a credential from the same place"))
            .count()
    };
    let token =
        |header: &str, file: &str| format!("{{ static_token: {{ header: {header}, secret: {{ file: {file} }} }} }}");
    let (a, b, c) = (token("x-a", "shared"), token("x-a", "other"), token("x-b", "other"));
    assert_eq!(warnings(&format!("{a}, {b}")), 0);
    assert_eq!(warnings(&format!("{a}, {c}")), 0);
    assert_eq!(warnings(&format!("{a}, {{ all_of: [{b}, {c}] }}")), 1);
    // The versions of Standard Webhooks stand in one list, where each reads its own alone.
    let listed = |separator: &str, prefix: &str| {
        let parse = format!("parse: {{ list: {{ separator: '{separator}', prefix: '{prefix}' }} }}");
        format!(
            "{{ signature: {{ header: x-a, {parse}, algorithm: hmac-sha256, encoding: hex, signed_payload: [body], \
             secret: {{ file: shared }} }} }}"
        )
    };
    let v1 = listed(" ", "v1,");
    assert_eq!(warnings(&format!("{v1}, {}", listed(" ", "v1a,"))), 0);
    for another in [listed(" ", "v1,x"), listed(" ", ""), listed(";", "v1a,")] {
        assert_eq!(warnings(&format!("{v1}, {another}")), 1, "{another}");
    }
}
