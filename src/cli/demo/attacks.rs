//! The rows of the demo: valid requests and the classic attacks.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::super::dev::DevIssuer;

pub(super) const ISSUER: &str = "https://issuer.example/";
pub(super) const AUDIENCE: &str = "https://hooks.example/webhook";
pub(super) const BODY: &str = r#"{"event":"order.paid","id":1}"#;

/// One request of the demo, with the expected result.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// The values of the Authorization headers.
    pub(super) authorization: Vec<String>,
    pub(super) send: Send,
    pub(super) verdict: AttackResult,
}

/// The transport of a request to the gateway.
#[derive(Clone, Copy)]
pub(super) enum Send {
    OverTls,
    PlainHttp,
}

/// The expected result.
#[derive(Clone, Copy)]
pub(super) enum AttackResult {
    /// The request is forwarded.
    Passes,
    /// The request is rejected with this status and reason.
    Stops(u16, &'static str),
}

impl Attack {
    fn passes(name: &'static str, token: String) -> Self {
        let authorization = vec![format!("Bearer {token}")];
        Self { name, authorization, send: Send::OverTls, verdict: AttackResult::Passes }
    }

    fn stops(name: &'static str, token: String, status: u16, reason: &'static str) -> Self {
        Self { verdict: AttackResult::Stops(status, reason), ..Self::passes(name, token) }
    }
}

/// The claims of a valid token.
fn good_claims(now: u64) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "shop-42", "event_scope": "webhook",
        "jti": "event-1", "iat": now, "nbf": now, "exp": now + 300,
    })
}

/// The claims of a valid token with changes; `null` removes a claim.
pub(super) fn changed(now: u64, changes: &Value) -> Value {
    let mut claims = good_claims(now);
    if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
        for (name, value) in changes {
            claims.insert(name.clone(), value.clone());
        }
        claims.retain(|_, value| !value.is_null());
    }
    claims
}

/// All requests, in the order of the table.
pub(super) fn all(issuer: &DevIssuer, now: u64) -> anyhow::Result<Vec<Attack>> {
    let good = issuer.token(&good_claims(now))?;
    let with = |changes: Value| issuer.token(&changed(now, &changes));
    let mut rows = vec![
        Attack::passes("valid token", good.clone()),
        Attack { authorization: Vec::new(), ..Attack::stops("no token", String::new(), 401, "missing_credential") },
        Attack::stops("malformed token", "letmein".to_owned(), 401, "malformed_token"),
        Attack {
            authorization: vec![format!("Bearer {good}"), "Bearer x.y.z".to_owned()],
            ..Attack::stops("two tokens, one of them valid", String::new(), 401, "multiple_credentials")
        },
    ];
    rows.extend(forgeries(issuer, &good, now)?);
    rows.extend([
        Attack::stops("token of another issuer", with(json!({"iss": "https://evil.example/"}))?, 401, "invalid_issuer"),
        Attack::stops(
            "token for another service",
            with(json!({"aud": "https://other.example/"}))?,
            401,
            "invalid_audience",
        ),
        Attack::stops(
            "expired token",
            with(json!({"iat": now - 200, "nbf": now - 200, "exp": now - 60}))?,
            401,
            "token_expired",
        ),
        Attack::stops("token without expiry", with(json!({"exp": null}))?, 401, "missing_claim"),
        Attack::stops("token that is not yet valid", with(json!({"nbf": now + 200}))?, 401, "token_not_yet_valid"),
        Attack::stops(
            "token issued an hour ago, not yet expired",
            with(json!({"iat": now - 3600, "nbf": now - 3600}))?,
            401,
            "token_too_old",
        ),
        Attack::stops("token issued in the future", with(json!({"iat": now + 200}))?, 401, "token_issued_in_future"),
        Attack::stops("token without event_scope", with(json!({"event_scope": null}))?, 403, "claim_mismatch"),
        Attack::stops(
            "token with another event_scope",
            with(json!({"event_scope": "billing"}))?,
            403,
            "claim_mismatch",
        ),
        Attack {
            send: Send::PlainHttp,
            ..Attack::stops("valid token over plain HTTP", good.clone(), 400, "tls_required")
        },
        Attack::stops("the first token again: a replay", good, 409, "duplicate_request"),
        Attack::passes("valid token with another jti", with(json!({"jti": "event-2"}))?),
    ]);
    Ok(rows)
}

/// Tokens that the issuer did not sign, or that were changed after signing.
fn forgeries(issuer: &DevIssuer, good: &str, now: u64) -> anyhow::Result<Vec<Attack>> {
    let [header, payload, signature] = parts(good)?;
    let raised = URL_SAFE_NO_PAD.encode(changed(now, &json!({"sub": "admin"})).to_string());
    let claims = good_claims(now);
    Ok(vec![
        Attack::stops(
            "claim changed after signing",
            format!("{header}.{raised}.{signature}"),
            401,
            "invalid_signature",
        ),
        Attack::stops("signed with the attacker's key", foreign(issuer, &claims)?, 401, "invalid_signature"),
        Attack::stops("alg: none", unsigned(&claims, ""), 401, "malformed_token"),
        Attack::stops("alg: none with a signature", unsigned(&claims, signature), 401, "unsupported_algorithm"),
        Attack::stops(
            "HS256 with the RSA public key as secret",
            confused(issuer, &claims)?,
            401,
            "unsupported_algorithm",
        ),
        Attack::stops(
            "signed with a key that is not in the JWKS",
            DevIssuer::generate()?.token(&claims)?,
            401,
            "unknown_key",
        ),
        Attack::stops("token with a crit extension", critical(payload, signature), 401, "malformed_token"),
    ])
}

fn parts(token: &str) -> anyhow::Result<[&str; 3]> {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().ok().context("a token has three parts")
}

/// A token with the issuer's `kid`, signed with another key.
fn foreign(issuer: &DevIssuer, claims: &Value) -> anyhow::Result<String> {
    let mut other = DevIssuer::generate()?;
    other.kid.clone_from(&issuer.kid);
    other.token(claims)
}

fn unsigned(claims: &Value, signature: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// An algorithm confusion attack: HS256 with the public key as the shared secret (RFC 8725 §2.1).
fn confused(issuer: &DevIssuer, claims: &Value) -> anyhow::Result<String> {
    let public = issuer.jwks()?;
    let modulus = public.pointer("/keys/0/n").and_then(Value::as_str).context("no modulus")?;
    let header = Header { kid: Some(issuer.kid.clone()), ..Header::new(Algorithm::HS256) };
    Ok(jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(modulus)?))?)
}

fn critical(payload: &str, signature: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","crit":["exp"],"exp":1}"#);
    format!("{header}.{payload}.{signature}")
}
