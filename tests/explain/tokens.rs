//! `hookgate explain` for tokens: the claim, the rule or the key that does not match, and hints for this kind of
//! credential.

use serde_json::{Value, json};

use super::{NOW, explained, folder, hookgate, write};
use crate::support::Issuer;
use crate::support::configuration::{Configuration, Jwks, TrustedIssuer};

const ISS: &str = "https://issuer.test/";

/// Reason, detail and hints of a request with these headers, by this JWKS.
fn findings(jwks: &Value, headers: &str) -> (String, String, String) {
    let jwt = json!({ "issuer": "acme", "audience": "a", "required_claims": ["iss", "aud", "exp", "jti"],
                      "claims": { "groups": { "one_of": ["ops"] } } });
    let folder = folder(&[("r", json!({ "jwt": jwt }))], None);
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let issuer = TrustedIssuer::new(ISS, &["RS256"]).jwks(Jwks::url(&format!("{ISS}jwks")));
    let configuration = Configuration::read(&text).add_issuer("acme", issuer);
    let configuration = configuration.route(|route| route.replay_protection("disabled"));
    write(&folder, "gateway.yaml", configuration.to_string());
    write(&folder, "jwks.json", jwks.to_string());
    write(&folder, "request.http", format!("POST /r HTTP/1.1\r\nhost: a\r\n{headers}content-length: 0\r\n\r\n"));
    let arguments = ["explain", "--request", "request.http", "--jwks", "jwks.json", "--now", NOW, "--format", "json"];
    let output = hookgate(folder.path(), &arguments);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = findings["checks"].as_array().unwrap();
    let detail = checks.iter().find(|check| check["check"] == "detail").map(|check| check["found"].as_str().unwrap());
    let reason = findings["reason"].as_str().unwrap().to_owned();
    (reason, detail.unwrap_or_default().to_owned(), findings["hints"].to_string())
}

#[test]
fn a_rejected_token_is_explained_by_its_claim_its_rule_or_its_key() {
    let (signer, other) = (Issuer::rs256("k1"), Issuer::rs256("k1"));
    let now: u64 = NOW.parse().unwrap();
    let token = |signer: &Issuer, changes: Value| {
        let mut claims = json!({ "iss": ISS, "aud": "a", "exp": now + 60, "jti": "1", "groups": "ops" });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        format!("authorization: Bearer {}\r\n", signer.token(&claims))
    };
    let keys = json!({ "keys": [signer.jwk()] });
    let mut encryption = signer.jwk();
    encryption["use"] = "enc".into();
    let unnamed = Issuer { kid: String::new(), ..signer.clone() };
    for (jwks, headers, expected) in [
        (&keys, token(&signer, json!({"jti": null})), ["missing_claim", "the token has no `jti`", "required_claims"]),
        (
            &keys,
            token(&signer, json!({"groups": ["ops"]})),
            [
                "claim_mismatch",
                "the claim /groups does not satisfy `{ one_of: [\"ops\"] }`: it is a list",
                "the claim is a list that has the value",
            ],
        ),
        (
            &keys,
            token(&signer, json!({"iss": "https://issuer.test"})),
            [
                "invalid_issuer",
                r#"expected iss "https://issuer.test/", got "https://issuer.test""#,
                "it lacks the final slash",
            ],
        ),
        (
            &keys,
            token(&other, json!({})),
            ["invalid_signature", r#"alg RS256, kid "k1""#, "the key that the token names"],
        ),
        (
            &keys,
            token(&unnamed, json!({})),
            ["unknown_key", r#"no key of the issuer has the kid """#, "the key belongs to another issuer"],
        ),
        (
            &json!({ "keys": [encryption] }),
            token(&signer, json!({})),
            ["unknown_key", "no key of the issuer is for RS256", "a key of the JWKS is not used: keys[0]"],
        ),
        (
            &keys,
            "authorization: Bearer abc\r\n".into(),
            ["malformed_token", "an opaque token", "an opaque token, not a JWT"],
        ),
        (
            &keys,
            "x-amzn-oidc-data: eyJhbGciOiJFUzI1NiJ9==.e30=.c2ln==\r\n".into(),
            ["missing_credential", "", "x-amzn-oidc-data of an AWS application load balancer is not supported"],
        ),
    ] {
        let (reason, detail, hints) = findings(jwks, &headers);
        assert_eq!(reason, expected[0], "{detail} {hints}");
        assert!(detail.contains(expected[1]) && hints.contains(expected[2]), "{detail} {hints}");
        assert!(!hints.contains("console"), "a token has no secret in a console: {hints}");
    }
}

/// The kinds of credentials have hints of their own.
#[test]
fn a_static_token_is_explained_by_its_secret() {
    let auth = json!({ "static_token": { "header": "X-Token", "secret": { "file": "secret" } } });
    let folder = folder(&[("r", auth)], None);
    write(&folder, "secret", "0123456789abcdef");
    let message = b"POST /r HTTP/1.1\r\nhost: a\r\nx-token: other\r\ncontent-length: 0\r\n\r\n";
    let (code, findings) = explained(&folder, message, NOW);
    assert_eq!((code, findings["reason"].as_str()), (2, Some("invalid_static_token")));
    assert!(findings["hints"][0].as_str().unwrap().contains("not one of the route's secrets"), "{findings}");
}
