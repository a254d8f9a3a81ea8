use super::*;

/// A shared secret that holds a public key is known to everybody.
#[test]
fn a_key_file_is_no_shared_secret() {
    let folder = folder();
    let (_, certificate, private) = crate::support::certificate(&["localhost"]);
    let jwk = r#"  {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let public = crate::support::Issuer::rs256("k1").jwks();
    let schemes = [
        "{ signature: { algorithm: hmac-sha256, header: X-Sig, encoding: hex, signed_payload: [body], secret: { file: shared } } }",
        "{ static_token: { header: X-Token, secret: { file: shared } } }",
        "{ preset: github, secret: { file: shared } }",
        "{ jwt: { issuer: acme, audience: app } }",
    ];
    for scheme in schemes {
        let issuer = if scheme.contains("jwt") {
            "issuers: { acme: { issuer: a, algorithms: [HS256], secret: { file: shared } } }\n"
        } else {
            ""
        };
        let text = format!(
            "listeners: [{{ address: '127.0.0.1:0', plaintext: true }}]\n{issuer}routes:\n  - {{ name: a, match: {{ path: /a }}, \
             upstream: {{ url: 'http://127.0.0.1:1' }}, replay_protection: disabled, auth: {scheme} }}\n"
        );
        let path = write(folder.path(), &text);
        let problems_of = |secret: &str| {
            std::fs::write(folder.path().join("shared"), secret).unwrap();
            load(&path, &Handles::default()).err().map(|errors| errors.to_string()).unwrap_or_default()
        };
        assert_eq!(problems_of("{a secret of more than 32 bytes, in braces}"), "", "{scheme}");
        for key in [&certificate, &private, jwk, &public] {
            let told = problems_of(key);
            assert!(told.contains("not a shared secret") && told.lines().count() == 1, "{scheme} {key:.30}: {told}");
        }
    }
}

/// Each secret contains a marker, which is searched for as text, in base64, as a list of bytes and in hexadecimal.
#[test]
fn debug_output_of_the_configuration_contains_no_secret() {
    let folder = folder();
    let write = |name: &str, secret: &str| std::fs::write(folder.path().join(name), secret).unwrap();
    for name in ["hs256", "hmac", "static", "challenge", "redis"] {
        write(name, &format!("marker-of-the-{name}-secret-and-more-of-it"));
    }
    let text = r#"
store: { type: redis, url: "redis://127.0.0.1:6379", password: { file: redis } }
listeners:
  - address: "127.0.0.1:0"
    tls: { certificates: [ { cert: server.crt, key: server.key } ] }
issuers:
  acme: { issuer: "https://issuer.test/", algorithms: [HS256], secret: { file: hs256 } }
routes:
  - name: jwt
    match: { path: /jwt }
    upstream: { url: "http://127.0.0.1:8000" }
    auth: { jwt: { issuer: acme, audience: app } }
    replay_protection: disabled
  - name: stripe
    match: { path: /stripe }
    upstream: { url: "http://127.0.0.1:8000" }
    auth: { preset: stripe, secret: { file: hmac } }
    replay_protection: disabled
  - name: meta
    match: { path: /meta }
    upstream: { url: "http://127.0.0.1:8000" }
    auth: { preset: meta, secret: { file: hmac }, challenge: { token: { file: challenge } } }
    replay_protection: disabled
  - name: static
    match: { path: /static }
    upstream: { url: "http://127.0.0.1:8000" }
    auth: { static_token: { header: X-Token, secret: { file: static } } }
    replay_protection: disabled
"#;
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, text).unwrap();
    let config = load(&path, &Handles::default()).unwrap();
    let printed = format!("{config:?} {config:#?}");
    let key = std::fs::read_to_string(folder.path().join("server.key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    assert!(printed.contains("acme"));
    for marker in ["marker", "bWFya2Vy", "109, 97, 114, 107", "6d61726b6572", key] {
        assert!(!printed.contains(marker), "{marker}");
    }
}
