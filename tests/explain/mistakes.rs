//! Twenty wrong requests, the commonest mistakes of senders and operators: `hookgate explain` names the cause of each.
//! Each differs from a request that is forwarded in the mistake alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{NOW, edit, explained, folder, hmac, preset, replaced, write};
use crate::support::configuration::{Configuration, Preset, Signature, TrustedIssuer, file};
use crate::support::{Issuer, hmac as mac};

const SECRET: &str = "the secret of this endpoint";

/// A folder with a configuration, a request, the time at which it arrives, and words of the hint that names the cause.
struct Mistake {
    name: &'static str,
    folder: TempDir,
    message: Vec<u8>,
    now: &'static str,
    cause: &'static str,
}

fn mistake(name: &'static str, (folder, message): (TempDir, Vec<u8>), cause: &'static str) -> Mistake {
    Mistake { name, folder, message, now: NOW, cause }
}

fn base64_of_hex(hex: &str) -> String {
    STANDARD.encode(hex::decode(hex).unwrap())
}

/// A request with this body and these headers.
fn message(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A request for the route of the preset github with this value in its header.
fn github(value: &str, body: &[u8]) -> (TempDir, Vec<u8>) {
    let (folder, _) = hmac(preset("github"), "{}", None);
    (folder, message("/hook", &format!("x-hub-signature-256: {value}\r\n"), body))
}

fn secrets() -> Vec<Mistake> {
    let body = r#"{"id":"evt_1","amount":1250}"#;
    let with = |secret: &str| github(&format!("sha256={}", mac(secret, body)), body.as_bytes());
    let quoted = with(SECRET);
    write(&quoted.0, "secret", format!("\"{SECRET}\"\n"));
    let whsec = {
        let auth = Preset::new("standard-webhooks").secret(file("secret"));
        let folder = folder(&[("hook", auth.into())], None);
        write(&folder, "secret", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let signed = mac("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", format!("msg_1.{NOW}.{body}"));
        let signed = base64_of_hex(&signed);
        let headers = format!("webhook-id: msg_1\r\nwebhook-timestamp: {NOW}\r\nwebhook-signature: v1,{signed}\r\n");
        (folder, message("/hook", &headers, body.as_bytes()))
    };
    vec![
        mistake("secret with its prefix, as text", whsec, "with its prefix `whsec_`: set `encoding: utf8`"),
        mistake("newline in the sender's secret", with(&format!("{SECRET}\n")), "the trailing newline of its file"),
        mistake("quotes in the secret's file", quoted, "the secret's file has quotes around the secret"),
        mistake("secret of another environment", with("the secret of production"), "a secret that is not in this file"),
    ]
}

fn signatures() -> Vec<Mistake> {
    let body = r#"{"id":"evt_1","amount":1250}"#;
    let hex = mac(SECRET, body);
    let valid = format!("sha256={hex}");
    let (at_proxy, signed) = hmac(preset("square"), body, Some("https://hooks.example.com/pay"));
    edit(&at_proxy, |route| route.without("public_url"));
    let signed = replaced(
        &signed,
        "host: localhost:8443",
        "host: app.internal\r\nx-forwarded-host: hooks.example.com\r\n\
                           x-forwarded-prefix: /pay",
    );
    let spaced = github(&valid, br#"{"id": "evt_1", "amount": 1250}"#);
    let clock = hmac(preset("zoom"), body, None);
    let older = github(&valid, body.as_bytes());
    let renamed = (older.0, replaced(&older.1, "x-hub-signature-256: sha256=", "x-hub-signature: sha1="));
    let doubled = github(&format!("{valid}\r\nx-hub-signature-256: {valid}"), body.as_bytes());
    let base64 = {
        let (folder, _) = hmac(Signature::hmac("X-Sig", &["body"]).into(), body, None);
        let signature = base64_of_hex(&hex);
        (folder, message("/hook", &format!("x-sig: {signature}\r\n"), body.as_bytes()))
    };
    let form = {
        let (folder, _) = hmac(Signature::hmac("X-Sig", &["json:/id", "body"]).into(), r#"{"id":"evt_1"}"#, None);
        let headers = format!("content-type: application/x-www-form-urlencoded\r\nx-sig: {hex}\r\n");
        (folder, message("/hook", &headers, b"payload=%7B%22id%22%3A%22evt_1%22%7D"))
    };
    let (folder, compressed) = github(&valid, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV");
    let compressed = {
        let text = compressed.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let (head, rest) = compressed.split_at(text);
        (folder, [head, b"\r\ncontent-encoding: gzip", rest].concat())
    };
    vec![
        mistake("public URL behind a proxy", (at_proxy, signed), "set public_url to https://hooks.example.com/pay"),
        mistake("re-serialized JSON", spaced, "it was re-serialized; its sender writes no whitespace"),
        Mistake { now: "1800003600", ..mistake("clock, or an old request", clock, "it would have passed 3300 s ago") },
        mistake("name of the header", renamed, "the request has the header x-hub-signature, which is the older one"),
        mistake("encoding of the signature", base64, "the signature is encoded as base64"),
        mistake("forgotten prefix", github(&hex, body.as_bytes()), "no prefix \"sha256=\", which the route expects"),
        mistake("signature twice", doubled, "the header x-hub-signature-256 occurs 2 times"),
        mistake("form instead of JSON", form, "the body is a form, and the route reads JSON"),
        mistake("compressed body", compressed, "the body is compressed (Content-Encoding)"),
    ]
}

fn targets() -> Vec<Mistake> {
    let (folder, message) = hmac(preset("github"), "{}", None);
    edit(&folder, |route| route.methods(json!(["POST"])));
    let get = (folder, replaced(&message, "POST", "GET"));
    let (folder, message) = hmac(preset("github"), "{}", None);
    let slash = (folder, replaced(&message, "/hook ", "/hook/ "));
    vec![
        mistake("method after a redirect", get, "takes POST, and the request is a GET: a redirect"),
        mistake(
            "final slash of the path",
            slash,
            "the route hook has the path /hook: the request's path has a final slash",
        ),
    ]
}

const ISS: &str = "https://issuer.test/";
const AUD: &str = "https://api.test/hooks";

/// A route for tokens of an issuer with one key, and a request with this Authorization.
fn token(authorization: impl FnOnce(&Issuer) -> String) -> (TempDir, Vec<u8>) {
    let jwt = json!({ "issuer": "acme", "audience": AUD, "claims": { "scope": "hooks:write" } });
    let folder = folder(&[("hook", json!({ "jwt": jwt }))], None);
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let issuer = TrustedIssuer::new(ISS, &["RS256"]).jwks(json!({ "file": "jwks.json" }));
    let configuration = Configuration::read(&text).add_issuer("acme", issuer);
    let configuration = configuration.route(|route| route.replay_protection("disabled"));
    write(&folder, "gateway.yaml", configuration.to_string());
    let signer = Issuer::rs256("k1");
    write(&folder, "jwks.json", signer.jwks());
    (folder, message("/hook", &format!("authorization: {}\r\n", authorization(&signer)), b""))
}

/// A valid token with these claims changed.
fn claims(changes: Value) -> Value {
    let now: u64 = NOW.parse().unwrap();
    let mut claims = json!({ "iss": ISS, "aud": AUD, "iat": now, "exp": now + 60, "scope": "hooks:write" });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

fn bearer(changes: Value) -> (TempDir, Vec<u8>) {
    token(|signer| format!("Bearer {}", signer.token(&claims(changes))))
}

fn tokens() -> Vec<Mistake> {
    let now: u64 = NOW.parse().unwrap();
    let shared = token(|_| {
        let key = jsonwebtoken::EncodingKey::from_secret(&[7; 32]);
        format!("Bearer {}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims(json!({})), &key).unwrap())
    });
    let other_key =
        token(|signer| format!("Bearer {}", Issuer { kid: "k2".into(), ..signer.clone() }.token(&claims(json!({})))));
    vec![
        mistake("final slash of the audience", bearer(json!({ "aud": format!("{AUD}/") })), "it has a final slash"),
        mistake(
            "one of several scopes",
            bearer(json!({ "scope": "hooks:read hooks:write" })),
            "{ contains: \"hooks:write\" }",
        ),
        mistake(
            "missing scope",
            bearer(json!({ "scope": "hooks:read" })),
            "the token lacks the scope \"hooks:write\": the client must request it",
        ),
        mistake("algorithm", shared, "the token is signed with a shared secret, and the issuer has public keys"),
        mistake("key ID", other_key, "kid: expected \"k1\", got \"k2\": the key belongs to another issuer"),
        mistake(
            "milliseconds",
            bearer(json!({ "exp": (now + 60) * 1000 })),
            "it is in milliseconds: divide it by 1000",
        ),
        mistake(
            "milliseconds long past",
            bearer(json!({ "exp": (now - 1000) * 1000 })),
            "divide it by 1000; the token is then one that expired 1000 s ago",
        ),
        mistake(
            "token without Bearer",
            token(|signer| signer.token(&claims(json!({})))),
            "the token without the scheme `Bearer ` before it: send `authorization: Bearer TOKEN`",
        ),
    ]
}

#[test]
fn the_cause_of_each_of_twenty_wrong_requests_is_named() {
    let (folder, message) = bearer(json!({}));
    let (code, findings) = explained(&folder, &message, NOW);
    assert_eq!(code, 0, "{findings:#}");
    let all: Vec<Mistake> = [secrets(), signatures(), targets(), tokens()].into_iter().flatten().collect();
    let mut unnamed = Vec::new();
    for Mistake { name, folder, message, now, cause } in &all {
        let (code, findings) = explained(folder, message, now);
        let hints = findings["hints"].as_array().unwrap();
        if code != 2 || !hints.iter().any(|hint| hint.as_str().unwrap().contains(cause)) {
            unnamed.push(format!("{name}: no {cause:?} in {findings:#}"));
        }
    }
    assert!(unnamed.is_empty(), "{} of {} are not named:\n{}", unnamed.len(), all.len(), unnamed.join("\n"));
    assert!(all.len() >= 20, "{}", all.len());
}

/// Other slips in tokens, each with its rule, the expected and the seen value.
#[test]
fn near_misses_of_tokens_are_named() {
    let now: u64 = NOW.parse().unwrap();
    for (changes, cause) in [
        (
            json!({ "iss": "https://issuer.test" }),
            r#"iss: expected "https://issuer.test/", got "https://issuer.test": it lacks the final slash"#,
        ),
        (json!({ "iss": "https://Issuer.test/" }), "only the case of letters differs"),
        (json!({ "aud": "http://api.test/hooks" }), "only the scheme, http or https, differs"),
        (json!({ "aud": "client-7", "nonce": "n" }), "it looks like an ID token (it has `nonce`)"),
        (
            json!({ "exp": (now + 60).to_string() }),
            "exp: expected a number of seconds since 1970, got \"1800000060\": it is a text",
        ),
        (json!({ "exp": now - 312 }), "the token expired 312 s ago"),
        (json!({ "nbf": now + 500 }), "nbf: expected a time that has come (leeway"),
        (
            json!({ "scope": ["hooks:write"] }),
            "the claim is a list that has the value: write { contains: \"hooks:write\" }",
        ),
        (json!({ "scope": "Hooks:Write" }), "only the case of letters differs"),
        (json!({ "scope": null, "scp": "hooks:write" }), "the token has `scp`"),
    ] {
        let (folder, message) = bearer(changes);
        let (code, findings) = explained(&folder, &message, NOW);
        assert!(
            code == 2 && findings["hints"].to_string().replace("\\\"", "\"").contains(cause),
            "{cause}: {findings:#}"
        );
    }
    type Authorization = fn(&str) -> String;
    let cases: [(Authorization, &str); 8] = [
        (|token| format!("Token {token}"), "the scheme Token, not Bearer"),
        (|token| format!("Bearer \"{token}\""), "quotes around the token"),
        (|token| format!("Bearer: {token}"), "no space between the scheme Bearer and the token, or another sign"),
        (|token| format!("Bearer Bearer {token}"), "the scheme Bearer twice"),
        (|token| format!("Bearer {token}%0A"), "an encoded line break"),
        (|_| "Bearer 2YotnFZFEjr1zCsicMWpAA".to_owned(), "an opaque token, not a JWT"),
        (|_| "Bearer $TOKEN".to_owned(), "a placeholder instead of a token"),
        (|_| "Bearer undefined".to_owned(), "the word undefined"),
    ];
    for (authorization, cause) in cases {
        let (folder, message) = token(|signer| authorization(&signer.token(&claims(json!({})))));
        let (code, findings) = explained(&folder, &message, NOW);
        assert!(code == 2 && findings["hints"].to_string().contains(cause), "{cause}: {findings:#}");
    }
    let (folder, message) = bearer(json!({}));
    let moved = replaced(&message, "authorization: Bearer ", "x-auth-token: ");
    let (_, findings) = explained(&folder, &moved, NOW);
    assert!(findings["hints"].to_string().contains("there is a token in the header x-auth-token"), "{findings:#}");
}

/// Neither the signature of a token nor a value that no rule is about is printed.
#[test]
fn a_token_is_shown_without_its_signature() {
    let (folder, message) = bearer(json!({ "email": "someone@example.com", "scope": "other" }));
    let (_, findings) = explained(&folder, &message, NOW);
    let text = String::from_utf8(message).unwrap();
    let signature =
        text.split("\r\n").find_map(|line| line.strip_prefix("authorization: ")?.rsplit('.').next()).unwrap();
    let printed = findings.to_string();
    assert!(printed.contains("others: email") && printed.contains("alg "), "{findings:#}");
    assert!(!printed.contains(signature) && !printed.contains("someone"), "{findings:#}");
}
