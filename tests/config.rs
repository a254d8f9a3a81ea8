//! Rejected configurations: every problem is reported at once, each with its position and a remedy.

use std::path::{Path, PathBuf};

use hookgate::clock::UnixTime;
use hookgate::config::{ConfigErrors, Handles, Problem};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::configuration::{Configuration, Preset, file, usual};
use crate::support::schema::load;
use crate::support::{Authority, Issuer, certificate};

mod certificates;
mod issuers;
mod schemes;
mod secrets;
mod signatures;
mod store;
mod upstreams;

/// A folder with a certificate, its key and a key set.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (_, chain, key) = certificate(&["localhost"]);
    std::fs::write(folder.path().join("server.crt"), chain).unwrap();
    std::fs::write(folder.path().join("server.key"), key).unwrap();
    std::fs::write(folder.path().join("other.key"), certificate(&["localhost"]).2).unwrap();
    std::fs::write(folder.path().join("jwks.json"), Issuer::es256("k1").jwks()).unwrap();
    std::fs::write(folder.path().join("short"), "too short").unwrap();
    std::fs::write(folder.path().join("shared"), "a shared secret of more than 32 bytes").unwrap();
    std::fs::write(folder.path().join("other"), "another secret of more than 32 bytes").unwrap();
    folder
}

const VALID: &str = r#"listeners:
  - address: "127.0.0.1:0"
    tls: { certificates: [ { cert: server.crt, key: server.key } ] }
issuers:
  acme:
    issuer: https://issuer.test/
    algorithms: [ES256]
    jwks: { file: jwks.json }
routes:
  - name: webhook
    match: { path: /webhook }
    upstream: { url: "http://127.0.0.1:8000" }
    auth:
      jwt:
        issuer: acme
        audience: https://hooks.test/
    replay_protection: disabled
"#;

/// A valid configuration for tests that change keys and look at no position.
fn valid() -> Configuration {
    usual(([127, 0, 0, 1], 8000).into())
}

fn write(folder: &Path, yaml: &str) -> PathBuf {
    let path = folder.join("gateway.yaml");
    std::fs::write(&path, yaml).unwrap();
    path
}

/// The problems of the valid configuration with one piece replaced, as `line:column: field: message`.
fn problems(old: &str, new: &str) -> Vec<String> {
    assert!(VALID.contains(old), "{old}");
    problems_of(&VALID.replace(old, new))
}

fn problems_of(yaml: &str) -> Vec<String> {
    let folder = folder();
    let path = write(folder.path(), yaml);
    let told =
        load(&path, &Handles::default()).err().map(|errors: ConfigErrors| errors.to_string()).unwrap_or_default();
    let prefix = format!("{}:", path.display());
    told.lines().map(|line| line.strip_prefix(&prefix).unwrap().to_owned()).collect()
}

/// The warnings of a valid configuration.
fn warnings_of(configuration: &Configuration) -> Vec<String> {
    let folder = folder();
    let path = write(folder.path(), &configuration.to_string());
    texts(&load(&path, &Handles::default()).unwrap_or_else(|errors| panic!("{errors}")).warnings)
}

/// Each warning with its field.
fn texts(warnings: &[Problem]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

/// A written `refresh_interval` must not contradict a default that is not in the file.
#[test]
fn defaults_of_jwks_follow_a_written_refresh_interval() {
    let with = |keys: &str| problems("{ file: jwks.json }", &format!("{{ url: \"https://a/\", {keys} }}"));
    for keys in ["refresh_interval: 5s", "refresh_interval: 48h", "refresh_interval: 5s, cooldown: 5s"] {
        assert_eq!(with(keys), Vec::<String>::new(), "{keys}");
    }
    for (keys, expected) in [
        ("refresh_interval: 5s, cooldown: 6s", "jwks.cooldown: must not be longer than refresh_interval"),
        ("refresh_interval: 48h, max_stale: 24h", "jwks.max_stale: must not be shorter than refresh_interval"),
    ] {
        let told = with(keys);
        assert!(told.len() == 1 && told[0].contains(expected), "{keys}: {told:?}");
    }
}

#[test]
fn the_valid_one_is_valid() {
    assert_eq!(problems("acme", "acme"), Vec::<String>::new());
}

/// In another gateway, each of these accepts too many requests or only seems to protect.
#[test]
fn fields_that_would_accept_too_much_are_rejected() {
    let cases = [
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/\n",
            "",
            "10:5: routes[0].auth: missing",
        ),
        ("        audience: https://hooks.test/\n", "", "routes[0].auth.jwt.audience: missing"),
        (
            "audience: https://hooks.test/",
            "audience: none",
            "routes[0].auth.jwt.audience: `none` must be the only value",
        ),
        (
            "    replay_protection: disabled\n",
            "",
            "routes[0].replay_protection: missing; expected { id: { claim: jti } } together with a `store`, or `disabled`",
        ),
        (
            "replay_protection: disabled",
            "replay_protection: { id: { claim: jti } }",
            "store: missing; expected `store: { type: memory }`",
        ),
        (
            "replay_protection: disabled",
            "replay_protection: disabled\n    idempotency: { key: { header: Idempotency-Key } }",
            "store: missing; expected `store: { type: memory }`",
        ),
        ("[ES256]", "[HS256]", "issuers.acme.algorithms: HS256, HS384 and HS512 need `secret`"),
        ("[ES256]", "[none]", "issuers.acme.algorithms[0]: unknown"),
        ("    issuer: https://issuer.test/\n", "", "issuers.acme.issuer: missing"),
        (
            "issuer: https://issuer.test/",
            "issuer: none",
            "issuers.acme.issuer: `none` is allowed only together with public_key or secret",
        ),
        (
            "{ file: jwks.json }",
            "{ url: \"http://issuer.test/jwks.json\" }",
            "issuers.acme.jwks.url: expected an https:// URL",
        ),
        (
            "    jwks: { file: jwks.json }\n",
            "    secret: hunter2\n",
            "issuers.acme.secret: expected {env: NAME} or {file: path}",
        ),
        ("    tls: { certificates: [ { cert: server.crt, key: server.key } ] }\n", "", "listeners[0].tls: missing"),
        ("path: /webhook", "path: /a/../webhook", "routes[0].match.path: expected"),
        ("path: /webhook", "path: /web*", "routes[0].match.path: expected"),
        (
            "replay_protection: disabled",
            "replay_protection: disabled\n    status_overrides: { upstream_timeout: 200 }",
            "routes[0].status_overrides.upstream_timeout: the sender must retry",
        ),
        (
            "replay_protection: disabled",
            "replay_protection: disabled\n    timestamp: { header: X-Time }",
            "routes[0].timestamp.signed: set `signed: false`",
        ),
        (
            "replay_protection: disabled",
            "replay_protection: disabled\n    mode: dry_run",
            "routes[0].dry_run_until: missing; expected the last day of the dry run",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        bound_certificate: true",
            "routes[0].auth.jwt.bound_certificate: no listener requests client certificates",
        ),
        (
            "replay_protection: disabled",
            "replay_protection: disabled\n    dry_run_until: 2026-12-31",
            "routes[0].dry_run_until: requires `mode: dry_run`",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        leeway: 1h",
            "routes[0].auth.jwt.leeway: is more than 5m",
        ),
    ];
    for (old, new, expected) in cases {
        let told = problems(old, new);
        assert!(told.iter().any(|line| line.contains(expected)), "{new:?}: {told:#?}");
        assert!(told.iter().all(|line| !line.contains("hunter2")), "{told:#?}");
    }
}

/// Fields that would have no effect, or would reject every request.
#[test]
fn fields_without_effect_are_rejected() {
    let own = |more: &str| format!("replay_protection: disabled\n    {more}");
    let cases = [
        (
            "replay_protection: disabled",
            own("forward: { claims_to_headers: { a: X_A } }"),
            "forward.claims_to_headers.a: expected the name of a custom header",
        ),
        (
            "127.0.0.1:0\"",
            "127.0.0.1:9\"\n    plaintext: true\n  - address: \"127.0.0.1:9\"".to_owned(),
            "listeners[1].address: duplicate address: an earlier listener uses it",
        ),
        (
            "listeners:",
            "admin: { address: \"127.0.0.1:9\" }\nlisteners:\n  - { address: \"127.0.0.1:9\", plaintext: true }"
                .to_owned(),
            "admin.address: duplicate address: a listener uses it",
        ),
        (
            "listeners:",
            "admin: { address: \"127.0.0.1:9\", hosts: [\"ops.test:80\"] }\nlisteners:".to_owned(),
            "admin.hosts[0]: expected a host name without port",
        ),
        ("127.0.0.1:8000", "127.0.0.1:99999".to_owned(), "upstream.url: expected http://host:port"),
        ("127.0.0.1:8000", "127.0.0.1:0".to_owned(), "upstream.url: expected http://host:port"),
        ("{ file: jwks.json }", "{ url: \"https:127.0.0.1/jwks\" }".to_owned(), "jwks.url: expected an https:// URL"),
        (
            "{ file: jwks.json }",
            "{ file: jwks.json, refresh_interval: 5m }".to_owned(),
            "jwks.refresh_interval: is for `url`, `discovery` and `discovery_url` only",
        ),
        (
            "{ file: jwks.json }",
            "{ url: \"https://a/\", max_stale: 1m }".to_owned(),
            "jwks.max_stale: must not be shorter than refresh",
        ),
        (
            "{ file: jwks.json }",
            "{ url: \"https://a/\", discovery: true }".to_owned(),
            "issuers.acme.jwks: has more than one of url, discovery, discovery_url, file and inline",
        ),
        ("{ file: jwks.json }", "{ file: jwks.json, discovery: true }".to_owned(), "jwks: has more than one of url"),
        ("{ file: jwks.json }", "{ discovery: false }".to_owned(), "jwks: missing; expected one of url, discovery"),
        (
            "issuer: https://issuer.test/\n    algorithms: [ES256]\n    jwks: { file: jwks.json }",
            "issuer: none\n    algorithms: [ES256]\n    jwks: { discovery: true }".to_owned(),
            "issuers.acme.issuer: `none` is allowed only together",
        ),
        (
            "issuer: https://issuer.test/\n    algorithms: [ES256]\n    jwks: { file: jwks.json }",
            "issuer: http://issuer.test/\n    algorithms: [ES256]\n    jwks: { discovery: true }".to_owned(),
            "jwks.discovery: needs an `issuer` that is an https:// URL",
        ),
        ("{ file: jwks.json }", "{ url: \"https://a/\", pins: [] }".to_owned(), "jwks.pins: must not be empty"),
        ("{ file: jwks.json }", "{ url: \"https://a/\", cache: \"\" }".to_owned(), "jwks.cache: expected the path"),
        (
            "{ file: jwks.json }",
            "{ url: \"https://a/\", cache: server.key }".to_owned(),
            "jwks.cache: the configuration is read from this file",
        ),
        (
            "{ file: jwks.json }",
            "{ url: \"https://a/\", cache: gateway.yaml }".to_owned(),
            "jwks.cache: the configuration is read from this file",
        ),
        (
            "    jwks: { file: jwks.json }",
            "    jwks: { url: \"https://a/\", cache: c }\n  other: { issuer: b, algorithms: [ES256], \
             jwks: { url: \"https://b/\", cache: c } }"
                .to_owned(),
            "issuers.other.jwks.cache: another issuer uses this file",
        ),
        ("{ file: jwks.json }", "{ file: jwks.json, cache: c }".to_owned(), "jwks.cache: is for `url`, `discovery`"),
        (
            "{ file: jwks.json }",
            "{ url: \"https://a/\", pins: [\"sha256/AAAA\"] }".to_owned(),
            "jwks.pins[0]: expected `sha256/` and the base64 of 32 bytes",
        ),
        (
            "{ file: jwks.json }",
            format!("{{ url: \"http://127.0.0.1:9/\", pins: [\"sha256/{}=\"] }}", "A".repeat(43)),
            "jwks.pins: plain http has no public key to pin",
        ),
        (
            "{ file: jwks.json }",
            "{ file: jwks.json, pins: [] }".to_owned(),
            "jwks.pins: is for `url`, `discovery` and `discovery_url` only",
        ),
        (
            "replay_protection: disabled",
            own("status_overrides: { no_route: 410 }"),
            "status_overrides.no_route: occurs only before a route is matched",
        ),
        (
            "replay_protection: disabled",
            own("forward: { claims_to_headers: { a: X-A, b: x-a } }"),
            "forward.claims_to_headers.b: duplicate header: another claim uses it",
        ),
        (
            "replay_protection: disabled",
            own("forward: { claims_to_headers: { a: X-Forwarded-For } }"),
            "forward.claims_to_headers.a: expected the name of a custom header",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        max_age: 0s".to_owned(),
            "jwt.max_age: must be longer than zero",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        allowed_types: []".to_owned(),
            "jwt.allowed_types: must not be empty",
        ),
        (
            "replay_protection: disabled",
            own("limits: { rate: 100 }"),
            "routes[0].limits.rate: expected a rate such as 100/s",
        ),
        (
            "replay_protection: disabled",
            own("limits: { rate: 0/s }"),
            "limits.rate: expected a rate: a whole number from 1 to 1000000",
        ),
        (
            "replay_protection: disabled",
            own("limits: { failed_auth_rate: 5/d }"),
            "limits.failed_auth_rate: expected a rate: a",
        ),
        ("replay_protection: disabled", own("limits: { burst: 5 }"), "limits.burst: requires `rate`; set it too"),
        (
            "replay_protection: disabled",
            own("limits: { per_issuer: { burst: 5 } }"),
            "limits.per_issuer.burst: requires `rate`",
        ),
        (
            "replay_protection: disabled",
            own("limits: { rate: 1/s, burst: 0 }"),
            "limits.burst: expected a whole number from 1 to 1000000, got 0",
        ),
        (
            "replay_protection: disabled",
            own("limits: { concurrency: 0 }"),
            "limits.concurrency: expected a whole number of at least 1, got 0",
        ),
        (
            "replay_protection: disabled",
            own("limits: { per_subject: { rate: 5 per s } }"),
            "limits.per_subject.rate: expected a rate: a whole",
        ),
        (
            "replay_protection: disabled",
            own("limits: { per_subject: { concurrency: 0 } }"),
            "limits.per_subject.concurrency: expected a whole number of at least 1, got 0",
        ),
        (
            "replay_protection: disabled",
            own("limits: { rate: 1/s, shared: true }"),
            "limits.shared: requires a `store` of type redis",
        ),
        ("replay_protection: disabled", own("allowed_ips: []"), "routes[0].allowed_ips: must not be empty"),
        (
            "replay_protection: disabled",
            own("revocation: {}"),
            "routes[0].revocation.file: missing; expected the path of a YAML file",
        ),
        (
            "replay_protection: disabled",
            own("revocation: { file: gone.yaml }"),
            "routes[0].revocation.file: file gone.yaml: not found",
        ),
        (
            "replay_protection: disabled",
            own("revocation: { file: jwks.json }"),
            "routes[0].revocation.file: jwks.json:1:2: keys: unknown field",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    revocation: { file: gone.yaml }".to_owned(),
            "routes[0].revocation: without a JWT there is no token to revoke",
        ),
        (
            "replay_protection: disabled",
            own("allowed_ips: [192.0.2.7, 203.0.113.5/24]"),
            "routes[0].allowed_ips[1]: has host bits set; use 203.0.113.0/24",
        ),
        (
            "replay_protection: disabled",
            own("allowed_ips: [2001:db8::/32, hooks.test]"),
            "allowed_ips[1]: expected an IP address",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        token_from: { query: t, scheme: a }".to_owned(),
            "jwt.token_from.scheme: is for `header` only",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        token_from: { query: \"\" }".to_owned(),
            "jwt.token_from.query: must not be empty",
        ),
        (
            "audience: https://hooks.test/",
            "audience: x\n        claims: { a: { matches: \"(\" } }".to_owned(),
            "claims.a: `matches` is not a supported regular expression",
        ),
        (
            "    tls:",
            "    limits: { max_headers_count: 20000 }\n    tls:".to_owned(),
            "limits.max_headers_count: expected a whole number from 1 to 1000, got 20000",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { credential: keep }".to_owned(),
            "forward.credential: a public route has no credential",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { remove: [X-A, Host] }".to_owned(),
            "forward.remove[1]: would remove a header that HTTP needs",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { remove: [\"Content-*\"] }".to_owned(),
            "forward.remove[0]: would remove a header that HTTP needs",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { remove: [] }".to_owned(),
            "forward.remove: must not be empty",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { allow: [X_A] }".to_owned(),
            "forward.allow[0]: expected a header name of letters, digits and `-`",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { allow: [\"*\"] }".to_owned(),
            "forward.allow[0]: expected a header name of letters, digits and `-`",
        ),
        (
            "    auth:\n      jwt:\n        issuer: acme\n        audience: https://hooks.test/",
            "    auth: public\n    forward: { allow: [] }".to_owned(),
            "forward.allow: must not be empty",
        ),
    ];
    for (old, new, expected) in cases {
        let told = problems(old, &new);
        assert!(told.iter().any(|line| line.contains(expected)), "{new:?}: {told:#?}");
    }
}

#[test]
fn a_shared_secret_is_long_enough_and_never_in_the_file() {
    let secret =
        |yaml: &str| problems("[ES256]\n    jwks: { file: jwks.json }", &format!("[HS256]\n    secret: {yaml}"));
    let told = secret("{ env: HOOKGATE_TEST_UNSET }");
    assert_eq!(told, ["8:15: issuers.acme.secret.env: environment variable HOOKGATE_TEST_UNSET: not set"]);
    let told = secret("{ file: gone }");
    assert_eq!(told, ["8:15: issuers.acme.secret.file: file gone: not found"]);
    let told = secret("{ file: shared, encoding: hex }");
    assert!(told[0].contains("issuers.acme.secret.encoding: the secret is not valid in this encoding"), "{told:?}");
}

#[test]
fn of_several_secrets_each_problem_has_its_position() {
    let told = |more: &str| problems("[ES256]\n    jwks: { file: jwks.json }", &format!("[HS256]\n    {more}"));
    let secrets = told("secrets: [ { file: shared }, { file: gone }, { env: HOOKGATE_TEST_UNSET } ]");
    assert_eq!(secrets.len(), 2, "{secrets:#?}");
    assert!(secrets[0].contains("issuers.acme.secrets[1].file: file gone: not found"), "{secrets:#?}");
    assert!(secrets[1].contains("issuers.acme.secrets[2].env: environment variable"), "{secrets:#?}");
    for (yaml, expected) in [
        ("secrets: []", "issuers.acme.secrets: expected 1 to 10 secrets"),
        ("secrets: [ { file: shared, encoding: hex } ]", "issuers.acme.secrets[0].encoding: the secret is not"),
        ("secrets: [ { file: short } ]", "issuers.acme.secrets[0]: the secret is too short"),
        ("secrets: [ { file: short } ]\n    secret: { file: short }", "issuers.acme: has more than one of jwks"),
    ] {
        let told = told(yaml);
        assert!(told.iter().any(|line| line.contains(expected)), "{yaml}: {told:#?}");
    }
    assert_eq!(told("secrets: [ { file: shared }, { file: other } ]"), Vec::<String>::new());
}

#[test]
fn two_routes_for_one_request_are_a_problem() {
    let second = format!("{}\n", VALID.split_once("routes:\n").unwrap().1);
    let told = problems_of(&format!("{VALID}{second}"));
    assert!(told.iter().any(|line| line.contains("routes[1].name: duplicate name: routes[0] uses it")), "{told:#?}");
    let other = "routes[1].match: matches requests that the other route of this name matches too";
    assert!(told.iter().any(|line| line.contains(other)), "{told:#?}");
    let told = problems_of(&format!("{VALID}{}", second.replace("name: webhook", "name: second")));
    let other = "routes[1].match: matches requests that route `webhook` matches too";
    assert!(told.iter().any(|line| line.contains(other)), "{told:#?}");
}

#[test]
fn a_certificate_without_its_key_is_reported_at_its_position() {
    let told = problems("key: server.key", "key: server.crt");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("3:28: listeners[0].tls.certificates[0]: certificate and key cannot be used"),
        "{told:?}"
    );
}

#[test]
fn client_certificates_need_their_roots_and_readable_lists() {
    let problem = |fields: &str| problems("tls: { ", &format!("tls: {{ {fields}, ")).join("\n");
    for (fields, expected) in [
        ("client_auth: optional", "tls.client_auth: requires `client_ca`"),
        ("client_crl: server.crt", "tls.client_crl: requires `client_ca`"),
        ("client_ca: null", "tls.client_ca: "),
        ("client_ca: gone.crt", "tls.client_ca: file gone.crt: not found"),
        ("client_ca: server.key", "tls.client_ca: cannot be used: no certificate in PEM form"),
        ("client_ca: server.crt, client_crl: gone.crl", "tls.client_crl: file gone.crl: not found"),
        (
            "client_ca: server.crt, client_crl: server.crt",
            "tls.client_crl: cannot be used: no certificate revocation list in PEM form",
        ),
        ("client_ca: server.crt, client_auth: request", "tls.client_auth: "),
    ] {
        let told = problem(fields);
        assert!(told.contains(&format!("listeners[0].{expected}")), "{fields}: {told}");
    }
    assert_eq!(problem("client_ca: server.crt"), "");
}

#[test]
fn trusted_proxies_are_cidr_ranges_and_proxy_protocol_needs_them() {
    let problem = |top: &str, listener: &str| {
        let yaml = VALID.replace("    tls: {", &format!("{listener}    tls: {{"));
        problems_of(&format!("{top}{yaml}")).join("\n")
    };
    let (trusted, taken) = ("trusted_proxies: [10.0.0.0/8, \"2001:db8::7\"]\n", "    proxy_protocol: true\n");
    for (top, listener, expected) in [
        ("", taken, "3:5: listeners[0].proxy_protocol: requires `trusted_proxies`"),
        ("trusted_proxies: []\n", taken, "4:5: listeners[0].proxy_protocol: requires `trusted_proxies`"),
        (trusted, "    proxy_protocol: v2\n", "4:5: listeners[0].proxy_protocol: expected `true` or `false`"),
        ("trusted_proxies: [10.0.0.1/8]\n", "", "1:19: trusted_proxies[0]: has host bits set; use 10.0.0.0/8"),
        ("trusted_proxies: [10.0.0.0/8, proxy.test]\n", "", "1:31: trusted_proxies[1]: expected an IP address such"),
        ("trusted_proxies: 10.0.0.0/8\n", "", "1:1: trusted_proxies: expected a list"),
    ] {
        let told = problem(top, listener);
        assert!(told.contains(expected), "{top}{listener}: {told}");
    }
    for (top, listener) in [(trusted, taken), (trusted, ""), ("trusted_proxies: []\n", "    proxy_protocol: false\n")] {
        assert_eq!(problem(top, listener), "", "{top}{listener}");
    }
}

#[test]
fn a_rate_of_failed_authentication_that_other_customers_can_exhaust_is_a_warning() {
    let folder = folder();
    std::fs::write(folder.path().join("secret"), "a secret of more than sixteen bytes").unwrap();
    let warnings = |limits: Value| {
        let preset = Preset::new("github").secret(file("secret"));
        let yaml = valid().route(|route| route.auth(preset).with("limits", limits)).to_string();
        let told = texts(&load(&write(folder.path(), &yaml), &Handles::default()).unwrap().warnings);
        told.iter().filter(|warning| warning.contains("all customers of github")).count()
    };
    assert_eq!(warnings(json!({ "failed_auth_rate": "20/s" })), 1);
    assert_eq!(warnings(json!({ "failed_auth_rate": "20/s", "max_body_size": "64KiB" })), 0);
    assert_eq!(warnings(json!({})), 0);
}

#[test]
fn trusting_every_address_is_a_warning() {
    let folder = folder();
    let warnings = |ranges: &[&str]| {
        let yaml = valid().trusted_proxies(ranges).to_string();
        texts(&load(&write(folder.path(), &yaml), &Handles::default()).unwrap().warnings)
    };
    let (some, all) = (warnings(&["10.0.0.0/8"]), warnings(&["10.0.0.0/8", "::/0"]));
    assert_eq!(some.len() + 1, all.len());
    assert!(all.iter().any(|warning| warning.starts_with("trusted_proxies: trusts every address")), "{all:?}");
}

#[test]
fn an_expired_revocation_list_is_a_warning_and_no_problem() {
    let (folder, authority) = (folder(), Authority::new("clients"));
    std::fs::write(folder.path().join("clients.crt"), &authority.pem).unwrap();
    std::fs::write(folder.path().join("clients.crl"), authority.list(2027, &[])).unwrap();
    let yaml = valid().listener(|listener| listener.client_ca("clients.crt").client_crl("clients.crl")).to_string();
    let config = load(&write(folder.path(), &yaml), &Handles::default()).unwrap();
    let end = 1_798_761_600;
    let warnings = |seconds| config.warnings_at(UnixTime::from_seconds(seconds).unwrap());
    assert_eq!(warnings(end - 1).len() + 1, warnings(end).len());
    let told = texts(&warnings(end));
    let expected = "listeners[0].tls.client_crl: has expired: client certificates of its issuer";
    assert!(told.iter().any(|warning| warning.starts_with(expected)), "{told:?}");
}

#[test]
fn every_problem_is_reported_at_once() {
    let yaml = r#"worker: 2
listeners:
  - adress: "127.0.0.1:0"
    timeouts: { keepalive: 5, headers: 0s }
    limits: { max_connections: 0 }
    plaintext: true
drain: { delay: soon }
issuers:
  acme: { issuer: "https://a/", algorithms: [RS999, ES256], jwks: { file: gone.json } }
routes:
  - name: a b
    match: { path: webhook, methods: [post] }
    upstream: { url: "ftp://app" }
    auth: { jwt: { issuer: acne, audience: x, claims: { a: { like: 1 } } } }
    replay_protection: perhaps
    status_overrides: { nonsense: 200, token_expired: 99 }
  - name: b
    match: { path: /b }
    upstream: { url: "http://127.0.0.1:8000/base" }
    auth: privat
"#;
    let told = problems_of(yaml);
    let fields: Vec<&str> =
        told.iter().map(|line| line.splitn(3, ':').nth(2).unwrap().split(": ").next().unwrap().trim()).collect();
    let expected = [
        "worker",
        "listeners[0].adress",
        "listeners[0].timeouts.keepalive",
        "listeners[0].timeouts.headers",
        "listeners[0].limits.max_connections",
        "drain.delay",
        "issuers.acme.algorithms[0]",
        "issuers.acme.jwks.file",
        "routes[0].name",
        "routes[0].match.path",
        "routes[0].match.methods[0]",
        "routes[0].upstream.url",
        "routes[0].auth.jwt.issuer",
        "routes[0].auth.jwt.claims.a",
        "routes[0].replay_protection",
        "routes[0].status_overrides.nonsense",
        "routes[0].status_overrides.token_expired",
        "routes[1].upstream.url",
        "routes[1].auth",
    ];
    assert_eq!(fields, expected, "{told:#?}");
    assert!(told.iter().all(|line| line.split(':').take(2).all(|number| number.parse::<u32>().is_ok())), "{told:#?}");
}

#[test]
fn yaml_itself_is_read_strictly() {
    for (yaml, expected) in [
        ("routes: []\nroutes: []\n", "2:1: "),
        ("a: &x 1\nb: *x\n", "1:4: "),
        ("a: 1\n---\nb: 1\n", "2:"),
        ("a:\n\t- b\n", "2:"),
        ("[]", "1:1: "),
    ] {
        let told = problems_of(yaml);
        assert!(told.first().is_some_and(|line| line.starts_with(expected)), "{yaml:?}: {told:#?}");
    }
}

proptest::proptest! {
    /// Any edit of the file gives a result, never a panic, and every problem has its position.
    #[test]
    fn no_edit_of_the_file_panics(at in 0..VALID.len(), cut in 0_usize..40, put in "[ -~\n\té]{0,12}") {
        let tail = VALID.get(at..).unwrap_or_default().get(cut..).unwrap_or_default();
        let text = format!("{}{put}{tail}", &VALID[..at]);
        let file = |name: &str| (name.to_owned(), Err("not read".to_owned()));
        let files = ["server.crt", "server.key", "jwks.json"].map(file).into();
        let sources = hookgate::config::Sources::in_memory(PathBuf::from("gateway.yaml"), text, files);
        let problems = hookgate::config::compile(&sources, &Handles::default()).unwrap_err();
        proptest::prop_assert!(problems.problems().iter().all(|problem| problem.position.line >= 1));
    }
}
