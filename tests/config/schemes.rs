//! Every form of `auth` except `jwt` and `signature`: a policy that proves nothing, or rejects every request, is rejected at
//! load.

use std::sync::LazyLock;

use super::{folder, texts, write};
use crate::support::schema::load;
use hookgate::config::Handles;

const BASE: &str = r#"listeners:
  - address: "127.0.0.1:0"
    tls: { certificates: [ { cert: server.crt, key: server.key } ], client_ca: server.crt, client_auth: optional }
routes:
  - name: webhook
    match: { path: /webhook, methods: [POST] }
    upstream: { url: "http://127.0.0.1:8000" }
    auth: "#;

/// The warnings or the problems of this `auth`. Its files are a secret of usual length, a short and an empty one, and a
/// key pair.
pub fn loaded(auth: &str) -> Result<Vec<String>, String> {
    static KEYS: LazyLock<(String, String)> = LazyLock::new(|| {
        let pair = rcgen::KeyPair::generate().unwrap();
        (pair.serialize_pem(), pair.public_key_pem())
    });
    let folder = folder();
    for (name, content) in [
        ("secret", "0123456789abcdef0123"),
        ("other", "3210fedcba9876543210"),
        ("empty", ""),
        ("basic", "user:0123456789abcdef"),
        ("private.pem", &KEYS.0),
        ("public.pem", &KEYS.1),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let path = write(folder.path(), &format!("{BASE}{auth}\n"));
    let config = load(&path, &Handles::default()).map_err(|errors| errors.to_string())?;
    Ok(texts(&config.warnings))
}

/// Asserts that each `auth` is rejected with this problem, after its position.
pub fn rejected(cases: &[(&str, &str)]) {
    for (auth, expected) in cases {
        let problems = loaded(auth).expect_err(auth);
        assert!(problems.contains(&format!("routes[0].auth.{expected}")), "{auth}: {problems}");
        assert!(!problems.contains("0123456789abcdef"), "{problems}");
    }
}

pub fn accepted(cases: &[&str]) {
    for auth in cases {
        if let Err(problems) = loaded(auth) {
            panic!("{auth}: {problems}");
        }
    }
}

/// An HMAC of the body with one more field.
pub fn signature(more: &str) -> String {
    let more =
        if more.contains("signed_payload:") { more.to_owned() } else { format!("signed_payload: [body], {more}") };
    format!(
        "{{ signature: {{ algorithm: hmac-sha256, header: X-Sig, encoding: hex, secret: {{ file: secret }}, {more} }} }}"
    )
}

#[test]
fn a_preset_takes_only_the_fields_that_it_needs() {
    let secret = "secret: { file: secret }";
    let preset = |name: &str, more: &str| format!("{{ preset: {name}{more} }}");
    let set = "security-event-token, parameters: { issuer: a, audience: b";
    for (auth, expected) in [
        (preset("githup", ""), "preset: unknown preset"),
        (preset("github", ""), "secret: missing; expected {env: NAME} or {file: path}: the webhook's secret"),
        (preset("github", ", secret: { file: empty }"), "secret: must not be empty"),
        (
            preset("github", &format!(", {secret}, parameters: {{ url: x }}")),
            "parameters.url: unknown parameter; this preset has none",
        ),
        (preset("github", &format!(", {secret}, tolerance: 5m")), "tolerance: this provider signs no timestamp"),
        (preset("gitlab-token", &format!(", {secret}, tolerance: 5m")), "tolerance: this provider signs no timestamp"),
        (
            preset("github", &format!(", {secret}, challenge: true")),
            "challenge: this provider sends no endpoint verification challenge",
        ),
        (
            preset("discord", ", secret: { file: private.pem }"),
            "secret: this scheme is verified with a public key; use",
        ),
        (preset("discord", ", public_key: { file: private.pem }"), "public_key: contains a private key"),
        (preset(set, " }"), "parameters.jwks_url: missing"),
        (
            preset(set, ", jwks_url: \"https://a/\", more: c }"),
            "parameters.more: unknown parameter; this preset has audience, issuer",
        ),
        (
            preset(set, &format!(", jwks_url: \"https://a/\" }}, {secret}")),
            "secret: this preset uses a key set; remove this",
        ),
        (preset("meta", &format!(", {secret}, challenge: true")), "challenge: expected { token: {env: NAME} }"),
        (
            preset("slack", &format!(", {secret}, challenge: {{ token: {{ file: secret }} }}")),
            "challenge: this provider sends no token",
        ),
        (
            preset("meta", &format!(", {secret}, challenge: {{ token: {{ file: empty }} }}")),
            "challenge.token: must not be empty",
        ),
        (preset("meta", &format!(", {secret}, challenge: {{}}")), "challenge.token: missing"),
    ] {
        let expected =
            expected.strip_prefix("auth: ").map_or_else(|| format!(".{expected}"), |rest| format!(": {rest}"));
        let problems = loaded(&auth).expect_err(&auth);
        assert!(problems.contains(&format!("routes[0].auth{expected}")), "{auth}: {problems}");
    }
}

/// A challenge with a method that its route does not accept would always be rejected.
#[test]
fn a_challenge_uses_a_method_that_the_route_accepts() {
    let meta = "{ preset: meta, secret: { file: secret }, challenge: { token: { file: secret } } }";
    let problems = loaded(meta).unwrap_err();
    assert!(problems.contains("routes[0].match.methods: the challenge is sent with GET; add"), "{problems}");
    accepted(&["{ preset: slack, secret: { file: secret }, challenge: true }"]);
}

#[test]
fn a_static_token_has_one_location_and_a_secret() {
    let token = |fields: &str| format!("{{ static_token: {{ {fields} }} }}");
    rejected(&[
        (&token("header: X-T"), "static_token.secret: missing; expected `secret`, or a list"),
        (&token("header: X-T, secret: { file: empty }"), "static_token.secret: must not be empty"),
        (
            &token("secret: { file: secret }"),
            "static_token: missing; expected exactly one of header, query, json and form",
        ),
        (&token("header: X-T, query: t, secret: { file: secret }"), "static_token: has more than one of header"),
        (&token("query: t, scheme: a, secret: { file: secret }"), "static_token.scheme: is for `header` only"),
        (
            &token("header: Authorization, scheme: basic, secret: { file: secret }"),
            "static_token: expected `user:password`, or its base64, as the secret of the scheme Basic",
        ),
        (&token("header: \"a b\", secret: { file: secret }"), "static_token.header: expected a header name"),
        (&token("header: X-T, secret: { env: HOOKGATE_TEST_UNSET }"), "static_token.secret.env: environment variable"),
    ]);
    accepted(&[
        &token("header: Authorization, scheme: Token, secrets: [ { file: secret }, { file: secret } ]"),
        &token("header: Authorization, scheme: Basic, secret: { file: basic }"),
    ]);
}

#[test]
fn an_http_message_signature_has_a_key_and_covers_something() {
    let message = |fields: &str| format!("{{ http_message_signature: {{ {fields} }} }}");
    let by_key =
        |more: &str| message(&format!("algorithm: ecdsa-p256-sha256, public_key: {{ file: public.pem }}, {more}"));
    rejected(&[
        (&message(""), "http_message_signature: missing; expected `issuer`, or `algorithm`"),
        (
            &message("algorithm: ed25519"),
            "http_message_signature.public_key: missing; expected `public_key`, or a list",
        ),
        (
            &message("public_key: { file: public.pem }"),
            "http_message_signature.algorithm: missing; expected the signature algorithm",
        ),
        (&message("algorithm: rs256, secret: { file: secret }"), "http_message_signature.algorithm: "),
        (
            &message("algorithm: ed25519, secret: { file: secret }"),
            "http_message_signature.secret: this scheme is verified with a public key",
        ),
        (
            &message("algorithm: hmac-sha256, public_key: { file: public.pem }"),
            "http_message_signature.public_key: this scheme is verified with a shared secret",
        ),
        (&message("algorithm: ed25519, public_key: { file: public.pem }"), "http_message_signature.public_key: "),
        (
            &message("algorithm: ecdsa-p256-sha256, public_key: { file: private.pem }"),
            "http_message_signature.public_key: ",
        ),
        (&message("issuer: acme"), "http_message_signature.issuer: unknown issuer `acme`"),
        (
            &message("issuer: acme, algorithm: ed25519"),
            "http_message_signature.algorithm: cannot be combined with `issuer`",
        ),
        (
            &message("algorithm: hmac-sha256, secrets: [ { file: secret, id: a }, { file: other } ]"),
            "http_message_signature.secret: either each key needs an `id`",
        ),
        (&by_key("required_components: []"), "http_message_signature.required_components: must not be empty"),
        (
            &by_key("required_components: [\"@status\"]"),
            "http_message_signature.required_components[0]: is not a derived component",
        ),
        (
            &by_key("required_components: [Content-Digest]"),
            "http_message_signature.required_components[0]: is not the name of a header in lower case",
        ),
        (
            &by_key("required_components: ['x;tr']"),
            "http_message_signature.required_components[0]: has the parameter tr: trailers",
        ),
        (
            &by_key("required_parameters: [nonce]"),
            "http_message_signature.required_parameters: needs `created` or `expires`",
        ),
        (&by_key("required_parameters: [date]"), "http_message_signature.required_parameters[0]: "),
        (&by_key("leeway: 6m"), "http_message_signature.leeway: is more than 5m"),
        (&by_key("max_age: 0s"), "http_message_signature.max_age: must be longer than zero"),
    ]);
    accepted(&[
        &by_key("tag: webhooks"),
        &message("algorithm: hmac-sha256, secrets: [ { file: secret, id: a }, { file: other, id: b, sender: c } ]"),
        &by_key("required_components: ['@method', '@query-param;name=\"id\"', '\"x-dict\";key=\"a\"', content-digest]"),
    ]);
    let warnings = loaded(&by_key("required_components: ['@method', '@target-uri']")).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("not bound to the body")), "{warnings:?}");
}

/// `public` in a combinator would accept every client, a single scheme needs no combinator, and two schemes in one
/// object do not say how they combine.
#[test]
fn a_combinator_has_several_schemes_and_public_is_none() {
    let token = "{ static_token: { header: X-T, secret: { file: secret } } }";
    let certificate = "{ client_certificate: {} }";
    for (auth, expected) in [
        (format!("{{ any_of: [ {token} ] }}"), ".any_of: expected 2 to 16 schemes"),
        ("{ all_of: [] }".to_owned(), ".all_of: expected 2 to 16 schemes"),
        (format!("{{ any_of: [ {} ] }}", vec![token; 17].join(", ")), ".any_of: expected 2 to 16 schemes"),
        (format!("{{ any_of: [ {token}, public ] }}"), ".any_of[1]: "),
        (format!("{{ any_of: [ {token}, {{}} ] }}"), ".any_of[1]: missing"),
        ("{}".to_owned(), ": missing; expected one of jwt, preset"),
        (
            format!("{{ all_of: [ {token}, {certificate} ], any_of: [ {token}, {certificate} ] }}"),
            ": has more than one",
        ),
        (
            "{ client_certificate: {}, static_token: { header: X-T, secret: { file: secret } } }".to_owned(),
            ": has more than one",
        ),
        ("{ client_certificate: { san: [] } }".to_owned(), ".client_certificate.san: must not be empty"),
        ("{ client_certificate: { sha256: [] } }".to_owned(), ".client_certificate.sha256: must not be empty"),
        ("{ client_certificate: { sha256: [abc] } }".to_owned(), ".client_certificate.sha256[0]: expected the SHA-256"),
        ("{ client_certificate: { san: [\"dns:*.a.test\"] } }".to_owned(), ".client_certificate.san[0]: "),
        ("{ client_certificate: {}, secret: { file: secret } }".to_owned(), ".secret: requires `preset`"),
        ("{ client_certificate: {}, tolerance: 5m }".to_owned(), ".tolerance: requires `preset`"),
    ] {
        let problems = loaded(&auth).expect_err(&auth);
        assert!(problems.contains(&format!("routes[0].auth{expected}")), "{auth}: {problems}");
    }
    accepted(&[&format!("{{ all_of: [ {token}, {{ any_of: [ {certificate}, {token} ] }} ] }}")]);
}

#[test]
fn weak_but_allowed_fields_are_warnings() {
    let warned = |auth: &str, expected: &str| {
        let warnings = loaded(auth).unwrap();
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{auth}: {warnings:?}");
    };
    warned("{ static_token: { header: X-T, secret: { file: short } } }", "is shorter than 16 bytes");
    warned("{ static_token: { header: X-T, secret: { file: secret } } }", "the credential is not bound to the body");
    warned("{ client_certificate: {} }", "the credential is not bound to the body");
    warned(
        "{ preset: github, secret: { file: secret } }",
        "github sends up to 25MiB, more than limits.max_body_size, and never",
    );
    warned(
        "{ static_token: { header: X-T, secret: { file: secret } } }\n    limits: { per_subject: { rate: 1/s } }",
        "no scheme of this route identifies subjects",
    );
    let bound = loaded(&signature("join: \".\"")).unwrap();
    assert_eq!(bound, Vec::<String>::new());
}

/// One address may buffer a quarter at most, so a larger body would always be rejected with 503.
#[test]
fn a_body_that_could_never_be_buffered_is_a_warning() {
    let warned = |auth: &str, size: &str| {
        let warnings = loaded(&format!("{auth}\n    limits: {{ max_body_size: {size} }}")).unwrap();
        warnings
            .iter()
            .any(|warning| warning.contains("limits.max_body_size is more than a quarter of max_buffered_bytes"))
    };
    let github = "{ preset: github, secret: { file: secret } }";
    let static_token = "{ static_token: { json: /t, secret: { file: secret } } }";
    assert!(warned(github, "17MiB") && !warned(github, "16MiB"));
    assert!(warned(&format!("{{ all_of: [ {github}, {{ client_certificate: {{}} }} ] }}"), "17MiB"));
    assert!(warned(static_token, "17MiB") && !warned("{ client_certificate: {} }", "17MiB"));
    assert!(warned("public\n    capture: { dir: kept }", "17MiB") && !warned("public", "17MiB"));
}

/// An attacker could have the challenge of one route sign a body, and send it to the other route.
#[test]
fn a_secret_that_signs_challenges_is_no_other_route_s() {
    let with_other_route = |auth: &str| {
        loaded(&format!(
            "{{ preset: zoom, secret: {{ file: secret }}, challenge: true }}\n  - name: other\n    match: {{ path: /other }}\n    \
             upstream: {{ url: \"http://127.0.0.1:8000\" }}\n    auth: {auth}"
        ))
    };
    let problems = with_other_route("{ preset: github, secret: { file: secret } }").unwrap_err();
    assert!(
        problems.contains("routes[1].auth: a challenge response of another route is signed with this secret"),
        "{problems}"
    );
    assert!(with_other_route("{ preset: zoom, secret: { file: secret }, challenge: true }").is_ok());
    assert!(with_other_route("{ preset: stripe, secret: { file: other } }").is_ok());
}

/// Each key field is checked at load: the fields of a preset, their number and the type of the key.
#[test]
fn preset_keys_are_present_and_of_their_type() {
    rejected(&[
        ("{ preset: wix, public_keys: [] }", "public_keys: expected `public_key`, or a list"),
        ("{ preset: plaid }", "jwks: missing; expected {file: path}: the JWK set of Plaid"),
        (
            "{ preset: wix, public_key: { file: public.pem }, public_keys: [ { file: public.pem } ] }",
            "public_keys: expected `public_key`, or a list",
        ),
        (
            "{ preset: wix, public_keys: [ { file: public.pem }, { file: secret } ] }",
            "public_keys[0]: expected a public key in PEM form",
        ),
        ("{ preset: stripe, secret: { file: secret }, jwks: { file: x } }", "jwks: this preset uses no key set"),
        ("{ preset: vonage, jwks: { url: https://a.example/ } }", "jwks: this preset uses no key set"),
        (
            "{ preset: gong, public_key: { file: public.pem }, jwks: { file: x } }",
            "jwks: cannot be combined with a secret",
        ),
        (
            "{ preset: netlify, secret: { file: secret }, tolerance: 5m }",
            "tolerance: this provider signs no time of issue",
        ),
        ("{ preset: stripe, secret: { file: secret, id: a } }", "secret.id: this provider sends no key id"),
    ]);
}

#[test]
fn a_secret_has_one_sender_with_a_plain_name() {
    let tokens = |secrets: &str| format!("{{ static_token: {{ header: X-T, secrets: [ {secrets} ] }} }}");
    rejected(&[
        (&tokens("{ file: secret, sender: \"a/b\" }"), "static_token.secrets[0].sender: expected 1 to 64 letters"),
        (&tokens("{ file: secret, sender: \"\" }"), "static_token.secrets[0].sender: expected 1 to 64 letters"),
        (
            &tokens("{ file: secret, sender: a }, { file: secret, sender: b }"),
            "static_token.secrets[1]: another sender or key id has the same secret",
        ),
        (&tokens("{ file: secret, id: a }"), "static_token.secrets[0].id: a static token has no key id"),
    ]);
    accepted(&[
        &tokens("{ file: secret, sender: a }"),
        &tokens("{ file: secret, sender: a }, { file: secret, sender: a }"),
    ]);
}
