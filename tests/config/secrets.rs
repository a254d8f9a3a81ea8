use super::*;

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
