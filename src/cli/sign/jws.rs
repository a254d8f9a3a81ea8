//! Generates the tokens that a route accepts: JWTs with the claims that its rules require, and detached JWS.

use anyhow::{Context, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{AlgorithmFamily, EncodingKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Map, Value, json};

use super::draft::{Draft, satisfying, set};
use super::keyring::Keyring;
use crate::auth::claims::Pointer;
use crate::auth::detached::{DetachedPolicy, Payload};
use crate::auth::encoding::Encoding;
use crate::auth::issuer::Issuer;
use crate::auth::jwt::JwtPolicy;
use crate::auth::jwt::binding::{BindingHash, Bindings, canonical_request};
use crate::auth::keys::{Algorithm, Keys};
use crate::auth::locator::Locator;
use crate::auth::time::{TimestampRule, TimestampUnit};
use crate::route::Route;

/// Lifetime of a generated token in seconds; the route's `max_lifetime` if that is shorter.
const LIFETIME: u64 = 300;

/// Adds a token that passes `policy` to the request.
pub(super) fn add_token(
    policy: &JwtPolicy,
    route: &Route,
    draft: &mut Draft,
    keys: &Keyring,
) -> anyhow::Result<String> {
    let issuer = policy.issuers.first().context("the route has no issuer")?;
    let (header, claims) = unsigned_token(policy, route, draft, keys)?;
    let token = keys.compact(issuer, &header, &serde_json::to_vec(&claims)?)?;
    draft.place(&policy.token, token.as_str())?;
    Ok(token)
}

/// Header and claims of a token that passes `policy` in this request.
pub(in crate::cli) fn unsigned_token(
    policy: &JwtPolicy,
    route: &Route,
    draft: &Draft,
    keys: &Keyring,
) -> anyhow::Result<(Map<String, Value>, Value)> {
    let issuer = policy.issuers.first().context("the route has no issuer")?;
    let mut claims = claims(policy, issuer, route, draft.tenant(route), keys.now);
    bind(&policy.bindings, route, draft, &mut claims)?;
    for (name, value) in &keys.claims {
        set(&mut claims, &as_pointer(name), value.clone())?;
    }
    let mut header = keys.header(issuer)?;
    header.insert("typ".to_owned(), policy.allowed_types.first().map_or("JWT", String::as_str).into());
    Ok((header, claims))
}

/// The claims that the rules of the route require.
fn claims(policy: &JwtPolicy, issuer: &Issuer, route: &Route, tenant: Option<&str>, now: u64) -> Value {
    let lifetime = policy.max_lifetime.map_or(LIFETIME, |longest| longest.as_secs().min(LIFETIME));
    let audience = policy.audience.example(tenant);
    let mut claims = json!({
        "iss": issuer.iss.example(tenant), "sub": issuer.iss.example_subject(), "aud": audience, "iat": now, "nbf": now, "exp": now + lifetime,
        "jti": random_id(),
    });
    if let Some(members) = claims.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        for name in &policy.required_claims {
            members.entry(name.clone()).or_insert_with(|| "development".into());
        }
    }
    for rule in &policy.claims {
        if let Some(value) = satisfying(&rule.test) {
            let _objects_all_the_way = set(&mut claims, &rule.pointer.to_string(), value);
        }
    }
    for time in policy.time_claim.iter().chain(&route.rules.timestamp) {
        if let Some((pointer, value)) = time_claim(time, now) {
            let _objects_all_the_way = set(&mut claims, &pointer.to_string(), value);
        }
    }
    claims
}

fn as_pointer(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/{}", name.replace('~', "~0").replace('/', "~1")) }
}

fn time_claim(time: &TimestampRule, now: u64) -> Option<(&Pointer, Value)> {
    let Locator::Claim(pointer) = &time.source else { return None };
    let text = time.unit.write(now);
    let is_text = matches!(time.unit, TimestampUnit::Rfc3339 | TimestampUnit::Utc);
    let value = if is_text { text.into() } else { json!(text.parse::<u64>().ok()?) };
    Some((pointer, value))
}

/// Adds the claims that bind the token to the request: hashes of the body and the URL, the URL, the method.
fn bind(bindings: &Bindings, route: &Route, draft: &Draft, claims: &mut Value) -> anyhow::Result<()> {
    let head = draft.head()?;
    let view = draft.view(&head, route);
    let url = view.url.spellings(view.path_and_query(), &[]).into_iter().next().unwrap_or_default();
    if let Some(body) = &bindings.body
        && !draft.body.is_empty()
    {
        set(claims, &body.claim.to_string(), body.hash.written(&draft.body, body.encoding).into())?;
    }
    if let Some(hash) = &bindings.url_hash {
        set(claims, &hash.claim.to_string(), hash.hash.written(url.as_bytes(), hash.encoding).into())?;
    }
    if let Some(equals) = &bindings.url {
        let url = equals.spellings(&view).into_iter().next().unwrap_or_default();
        set(claims, &equals.claim.to_string(), url.into())?;
    }
    if let Some(method) = &bindings.method {
        set(claims, &method.to_string(), draft.method.as_str().into())?;
    }
    if bindings.qsh {
        let hash = BindingHash::Sha256.written(canonical_request(&view).as_bytes(), Encoding::Hex);
        set(claims, "/qsh", hash.into())?;
    }
    if bindings.certificate {
        bail!("the route binds tokens to a client certificate: pass its thumbprint with --claim /cnf/x5t#S256=…");
    }
    Ok(())
}

/// Adds a detached JWS over the request.
pub(super) fn add_detached(policy: &DetachedPolicy, draft: &mut Draft, keys: &Keyring) -> anyhow::Result<String> {
    let mut header = keys.header(&policy.issuer)?;
    let payload = match policy.payload {
        Payload::Unencoded => {
            header.insert("b64".to_owned(), false.into());
            header.insert("crit".to_owned(), json!(["b64"]));
            if let Some((pointer, value)) = policy.time.as_ref().and_then(|time| time_claim(time, keys.now)) {
                header.insert(pointer.to_string().trim_start_matches('/').to_owned(), value);
            }
            draft.body.clone()
        }
        Payload::TrueLayer => {
            let time: http::HeaderName = "x-tl-webhook-timestamp".parse()?;
            if !draft.has_header(&time) {
                draft.set_header(&time, TimestampUnit::Rfc3339.write(keys.now));
            }
            let value = draft.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(time.as_str()));
            let value = value.map_or("", |(_, value)| value);
            header.insert("tl_version".to_owned(), "2".into());
            header.insert("tl_headers".to_owned(), "X-Tl-Webhook-Timestamp".into());
            let path = draft.target.split('?').next().unwrap_or_default();
            let signed = format!("{} {path}\nX-Tl-Webhook-Timestamp: {value}\n", draft.method);
            let payload = [signed.as_bytes(), &draft.body].concat();
            URL_SAFE_NO_PAD.encode(payload).into_bytes()
        }
    };
    let encoded = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
    let input = [encoded.as_bytes(), b".", payload.as_slice()].concat();
    let token = format!("{encoded}..{}", keys.sign(&policy.issuer, &input)?);
    draft.place(&policy.token, token.as_str())?;
    Ok(token)
}

impl Keyring {
    pub(super) fn algorithm(&self, issuer: &Issuer) -> anyhow::Result<Algorithm> {
        let first = issuer.algorithms.first().copied().context("the issuer has no algorithm")?;
        // Of several algorithms, the one that fits the key.
        let fits = |algorithm: &&Algorithm| self.signs(issuer, **algorithm, b"").is_ok();
        Ok(issuer.algorithms.iter().find(fits).copied().unwrap_or(first))
    }

    fn header(&self, issuer: &Issuer) -> anyhow::Result<Map<String, Value>> {
        let algorithm = self.algorithm(issuer)?;
        let mut header = Map::from_iter([("alg".to_owned(), json!(algorithm.name()))]);
        if let Some(kid) = &self.kid {
            header.insert("kid".to_owned(), kid.clone().into());
        }
        if let Some(chain) = &self.chain {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
            let certificates: Vec<String> = certificates?.iter().map(|der| STANDARD.encode(der)).collect();
            header.insert("x5c".to_owned(), json!(certificates));
        }
        Ok(header)
    }

    pub(in crate::cli) fn compact(
        &self,
        issuer: &Issuer,
        header: &Map<String, Value>,
        payload: &[u8],
    ) -> anyhow::Result<String> {
        let input =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(header)?), URL_SAFE_NO_PAD.encode(payload));
        Ok(format!("{input}.{}", self.sign(issuer, input.as_bytes())?))
    }

    pub(super) fn sign(&self, issuer: &Issuer, input: &[u8]) -> anyhow::Result<String> {
        self.signs(issuer, self.algorithm(issuer)?, input)
    }

    /// The signature in base64url.
    fn signs(&self, issuer: &Issuer, algorithm: Algorithm, input: &[u8]) -> anyhow::Result<String> {
        if let Keys::Fixed(set) = &issuer.keys
            && let Some(secret) = set.shared_secret(algorithm)
        {
            let library = algorithm.in_library().context("not an HMAC algorithm")?;
            return Ok(jsonwebtoken::crypto::sign(input, &EncodingKey::from_secret(secret), library)?);
        }
        let pem = self.private_key()?;
        sign_with(&pem, algorithm, input).map_err(|problem| self.unusable(&pem, algorithm, &problem))
    }
}

fn sign_with(pem: &[u8], algorithm: Algorithm, input: &[u8]) -> anyhow::Result<String> {
    let Some(library) = algorithm.in_library() else { return sign_p521(pem, input) };
    let key = match algorithm.family() {
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem),
        // HMAC cannot sign with it: the issuer has no shared secret.
        AlgorithmFamily::Rsa | AlgorithmFamily::Hmac => EncodingKey::from_rsa_pem(pem),
    };
    Ok(jsonwebtoken::crypto::sign(input, &key?, library)?)
}

fn sign_p521(pem: &[u8], input: &[u8]) -> anyhow::Result<String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok().context("expected a private key in PKCS #8 PEM form")?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, der.secret_pkcs8_der());
    let pair = pair.ok().context("expected a P-521 key")?;
    let signature = pair.sign(&SystemRandom::new(), input).ok().context("cannot sign with the P-521 key")?;
    Ok(URL_SAFE_NO_PAD.encode(signature))
}

pub(in crate::cli) fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without entropy the id is zero, which is good enough for a request made by hand.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}
