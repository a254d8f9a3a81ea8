//! Probes with tokens: forgeries, and tokens with a claim that the rules do not allow.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};

use super::super::super::dev::DevIssuer;
use super::super::super::sign::{Draft, Keyring, random_id, unsigned_token};
use super::super::knowledge::now;
use super::super::probe::Probe;
use super::super::signer::RequestSigner;
use super::change::with;
use crate::auth::Policy;
use crate::auth::jwt::JwtPolicy;

/// Tokens that need no key, of a subject that the endpoint does not know.
pub(super) fn blind(blank: &Draft) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for (rule, name, token) in forgeries(&anonymous_claims(now()), None)? {
        let draft = with(blank, &[("authorization", &format!("Bearer {token}"))])?;
        probes.push(Probe::reject(rule, name, draft));
    }
    Ok(probes)
}

/// Tokens of the issuer with changes.
pub(super) fn of_key(signer: &RequestSigner) -> anyhow::Result<Vec<Probe>> {
    let Some(policy) = find(&signer.route.rules.policy) else { return Ok(Vec::new()) };
    let forge = Forge::new(signer, policy)?;
    let mut probes = Vec::new();
    for (rule, name, token) in forgeries(&forge.claims, forge.header.get("kid"))? {
        probes.push(Probe::reject(rule, format!("{name}, with the claims of the issuer"), forge.carried(&token)?));
    }
    if let Some(token) = forge.by_another_key()? {
        probes.push(Probe::reject("token-wrong-key", "a token that another key signed", forge.carried(&token)?));
    }
    for (name, secret) in forge.public_key_texts() {
        let token = hmac(&forge.header, &forge.claims, &secret)?;
        probes.push(Probe::reject("token-algorithm-confusion", name, forge.carried(&token)?));
    }
    probes.extend(forge.wrong_claims()?);
    probes.extend(forge.wrong_headers()?);
    Ok(probes)
}

/// Tokens that no key of the issuer has signed.
fn forgeries(claims: &Value, kid: Option<&Value>) -> anyhow::Result<Vec<(&'static str, String, String)>> {
    let payload = encode(claims);
    let mut rows = Vec::new();
    for alg in ["none", "None", "NONE"] {
        let header = encode(&json!({"alg": alg, "typ": "JWT"}));
        rows.push(("token-alg-none", format!("a token with alg {alg}"), format!("{header}.{payload}.")));
    }
    let own = DevIssuer::generate()?;
    let jwk = own.jwks()?.pointer("/keys/0").cloned().unwrap_or_default();
    let mut header = members(json!({"alg": "RS256", "typ": "JWT", "jwk": jwk}));
    if let Some(kid) = kid {
        header.insert("kid".to_owned(), kid.clone());
    }
    let key = EncodingKey::from_rsa_pem(own.private_pem.as_bytes())?;
    let token = signed(&header, claims, &key, Algorithm::RS256)?;
    rows.push(("token-embedded-key", "a token with its own key in jwk".to_owned(), token));
    let header = members(json!({"alg": "HS256", "typ": "JWT", "kid": "../../../../../../../../dev/null"}));
    let token = signed(&header, claims, &EncodingKey::from_secret(b""), Algorithm::HS256)?;
    rows.push(("token-kid-injection", "a token whose kid is the path of an empty file".to_owned(), token));
    Ok(rows)
}

/// Makes tokens like those of the issuer.
struct Forge<'s> {
    policy: &'s JwtPolicy,
    keys: Keyring,
    now: u64,
    draft: Draft,
    header: Map<String, Value>,
    claims: Value,
}

impl<'s> Forge<'s> {
    fn new(signer: &RequestSigner, policy: &'s JwtPolicy) -> anyhow::Result<Self> {
        let (draft, keys) = (signer.draft(), signer.keys(0));
        let (header, claims) = unsigned_token(policy, &signer.route, &draft, &keys)?;
        Ok(Self { policy, now: keys.now, keys, draft, header, claims })
    }

    /// The request with this token.
    fn carried(&self, token: &str) -> anyhow::Result<Draft> {
        let mut draft = self.draft.clone();
        draft.place(&self.policy.token, token)?;
        Ok(draft)
    }

    /// The request with a token of the issuer's key.
    fn issued(&self, header: &Map<String, Value>, payload: &[u8]) -> anyhow::Result<Draft> {
        let issuer = self.policy.issuers.first().context("the route has no issuer")?;
        self.carried(&self.keys.compact(issuer, header, payload)?)
    }

    /// The claims with these changes; `null` removes a claim.
    fn changed(&self, changes: Value) -> Value {
        let mut claims = members(self.claims.clone());
        claims.insert("jti".to_owned(), random_id().into());
        claims.extend(members(changes));
        claims.retain(|_, value| !value.is_null());
        Value::Object(claims)
    }

    fn wrong_claims(&self) -> anyhow::Result<Vec<Probe>> {
        let now = self.now;
        let mut rows = vec![
            ("token-wrong-audience", "a token for another audience", json!({"aud": "https://other.example/"})),
            ("token-no-audience", "a token without aud", json!({"aud": null})),
            ("token-wrong-issuer", "a token of another issuer", json!({"iss": "https://evil.example/"})),
            ("token-no-issuer", "a token without iss", json!({"iss": null})),
            (
                "token-expired",
                "a token that expired an hour ago",
                json!({"iat": now - 7200, "nbf": now - 7200, "exp": now - 3600}),
            ),
            ("token-no-expiry", "a token without exp", json!({"exp": null})),
            ("token-not-yet-valid", "a token that is valid in an hour", json!({"nbf": now + 3600, "exp": now + 7200})),
            ("token-issued-in-future", "a token issued in an hour", json!({"iat": now + 3600, "exp": now + 7200})),
        ];
        for rule in &self.policy.claims {
            let pointer = rule.pointer.to_string();
            let name = pointer.trim_start_matches('/').to_owned();
            // A nested claim is removed with its parent.
            let first = name.split('/').next().unwrap_or_default().to_owned();
            rows.push(("token-scope-missing", "a token without a required claim", json!({first: null})));
        }
        let rows = rows.into_iter().map(|(rule, name, changes)| {
            let claims = serde_json::to_vec(&self.changed(changes))?;
            Ok(Probe::reject(rule, name, self.issued(&self.header, &claims)?).valid())
        });
        rows.collect()
    }

    fn wrong_headers(&self) -> anyhow::Result<Vec<Probe>> {
        let with = |changes: Value| {
            let mut header = self.header.clone();
            header.extend(members(changes));
            header
        };
        // Each has an id of its own.
        let claims = || serde_json::to_string(&self.changed(json!({})));
        let critical = with(json!({"crit": ["example"], "example": true}));
        let typed = with(json!({"typ": "logout+jwt"}));
        let text = claims()?;
        // The first iss is right, the last one is not.
        let doubled = format!(r#"{},"iss":"https://evil.example/"}}"#, text.trim_end_matches('}'));
        Ok(vec![
            Probe::reject(
                "token-crit-ignored",
                "a token with an unknown critical extension",
                self.issued(&critical, claims()?.as_bytes())?,
            )
            .valid(),
            Probe::reject(
                "token-type-confusion",
                "a token with typ logout+jwt",
                self.issued(&typed, claims()?.as_bytes())?,
            )
            .valid(),
            Probe::reject(
                "token-duplicate-claims",
                "a token with iss twice, whose last value is wrong",
                self.issued(&self.header, doubled.as_bytes())?,
            )
            .valid(),
        ])
    }

    /// A token like the issuer's by another key of the same kind.
    fn by_another_key(&self) -> anyhow::Result<Option<String>> {
        let algorithm = self.header.get("alg").and_then(Value::as_str).unwrap_or_default();
        let (key, algorithm) = match algorithm {
            "HS256" => (EncodingKey::from_secret(random_id().as_bytes()), Algorithm::HS256),
            "RS256" => (EncodingKey::from_rsa_pem(DevIssuer::generate()?.private_pem.as_bytes())?, Algorithm::RS256),
            "ES256" => {
                let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
                (EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?, Algorithm::ES256)
            }
            "EdDSA" => {
                let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
                (EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes())?, Algorithm::EdDSA)
            }
            _ => return Ok(None),
        };
        signed(&self.header, &self.claims, &key, algorithm).map(Some)
    }

    /// The public key as a text that a confused library takes for an HMAC secret (RFC 8725 §2.1).
    fn public_key_texts(&self) -> Vec<(&'static str, Vec<u8>)> {
        let is_shared = |name: &str| name.starts_with("HS");
        if self.header.get("alg").and_then(Value::as_str).is_none_or(is_shared) {
            return Vec::new();
        }
        let Some(pair) =
            self.keys.private_key().ok().and_then(|pem| rcgen::KeyPair::from_pem(std::str::from_utf8(&pem).ok()?).ok())
        else {
            return Vec::new();
        };
        let pem = pair.public_key_pem().replace("\r\n", "\n");
        let trimmed = pem.trim_end().as_bytes().to_vec();
        vec![
            ("HS256 with the public key in PEM form as the secret", pem.into_bytes()),
            ("HS256 with the public key in PEM form, without its last line break", trimmed),
        ]
    }
}

/// The first scheme with a token.
fn find(policy: &Policy) -> Option<&JwtPolicy> {
    policy.leaves().into_iter().find_map(|leaf| if let Policy::Jwt(policy) = leaf { Some(&**policy) } else { None })
}

fn hmac(header: &Map<String, Value>, claims: &Value, secret: &[u8]) -> anyhow::Result<String> {
    let mut header = header.clone();
    header.insert("alg".to_owned(), "HS256".into());
    signed(&header, claims, &EncodingKey::from_secret(secret), Algorithm::HS256)
}

fn signed(
    header: &Map<String, Value>,
    claims: &Value,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> anyhow::Result<String> {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(header)?), encode(claims));
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), key, algorithm)?;
    Ok(format!("{input}.{signature}"))
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// The claims of a token that belongs to no known sender.
fn anonymous_claims(now: u64) -> serde_json::Value {
    json!({"sub": "example", "iat": now, "nbf": now, "exp": now + 300, "jti": random_id()})
}

fn encode(part: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
