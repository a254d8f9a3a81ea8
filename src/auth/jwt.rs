//! Verification of a JWT, in this order: format, header, issuer, key, signature, claims.
//!
//! The library verifies signatures; this module decides everything else, because each library interprets RFC 7519's
//! optional behaviour differently (RFC 8725 lists the resulting vulnerabilities). Called by [`super::verify`].

mod token_cache;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::memchr_iter;
use serde_json::{Map, Value};

use super::binding::Bindings;
use super::claims::ClaimRule;
use super::credential::TokenLocation;
use super::explanation::Explanation;
use super::json::parse_object;
use super::keys::{Algorithm, Key, Keys, algorithm_named};
use super::replay_id::{ReplayId, ReplayIdSource};
use super::request::RequestView;
use super::time::{NumericDate, TimestampRule, numeric_date};
use super::{Reason, Rejection, VerifyError};
use crate::clock::UnixTime;
use token_cache::CachedToken;
pub use token_cache::VerifiedTokenCache;

/// Default for `allowed_types`: the `typ` values of access tokens (RFC 8725 §3.11, RFC 9068 §2.1).
pub const DEFAULT_TYPES: &[&str] = &["JWT", "at+jwt"];

/// Maximum number of audiences in one token.
const MAX_AUDIENCES: usize = 64;

/// `auth.jwt` of a route.
#[derive(Clone, Debug)]
pub struct JwtPolicy {
    /// Accepted issuers. Of several, the token's unverified `iss` selects one and is compared again after verification.
    pub issuers: Vec<Issuer>,
    /// Accepted audiences.
    pub audience: Audience,
    /// Claims that must be present (`required_claims`).
    pub required: Vec<String>,
    /// Rules that claims must satisfy.
    pub claims: Vec<ClaimRule>,
    /// Allowed `typ` values (`allowed_types`), compared case-insensitively and without `application/`.
    pub types: Vec<String>,
    /// Maximum of now − `iat`.
    pub max_age: Option<Duration>,
    /// Maximum of `exp` − `iat`.
    pub max_lifetime: Option<Duration>,
    /// Tolerated clock skew.
    pub leeway: Duration,
    /// Where the request carries the token (`token_from`).
    pub token: TokenLocation,
    /// Claims that bind the token to its request.
    pub bindings: Bindings,
    /// A time other than `iat` that limits the token's age (`time_claim`).
    pub time: Option<TimestampRule>,
    /// Source of the replay id, if the route needs one.
    pub replay_id: Option<ReplayIdSource>,
}

/// The audiences that a policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// `aud` must contain one of these.
    OneOf(Vec<String>),
    /// Any audience (`none`): a binding ties the token to this endpoint instead.
    Any,
}

/// A trusted issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The issuer's name in gateway.yaml.
    pub name: Arc<str>,
    /// The exact `iss`. `None` skips the comparison (`none` in gateway.yaml, only together with one pinned key).
    pub issuer: Option<String>,
    /// Allowed algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's keys; another issuer's keys are never searched.
    pub keys: Keys,
    /// Cache of tokens that these keys have verified.
    pub known: Arc<VerifiedTokenCache>,
}

/// How a token's signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// By a signature verification now.
    Verified,
    /// By a cache hit: an earlier verification with the same keys.
    Cached,
}

/// A token that satisfies its policy.
pub(super) struct Verified {
    pub(super) issuer: Arc<str>,
    pub(super) kid: Option<String>,
    pub(super) claims: Arc<Map<String, Value>>,
    /// Index of the route's shared secret that signed the token; `None` for a public key.
    pub(super) secret: Option<usize>,
    pub(super) signed: SignatureCheck,
    /// Replay id, if the route needs one.
    pub(super) replay_id: Option<ReplayId>,
}

impl JwtPolicy {
    /// Verifies the token of one request, then the claims that bind it to the request.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Verified, VerifyError> {
        let token = self.token.find_in(request)?;
        let mut verified = self.verify_token(&token, now, explanation)?;
        let bound = self.check_bindings(&verified.claims, request, now, explanation);
        let time = bound.map_err(|error| error.proven(&verified.issuer))?;
        let replay_id = self.replay_id_of(&verified.issuer, &token, &verified.claims, time);
        verified.replay_id = replay_id.map_err(|reason| VerifyError::from(reason).proven(&verified.issuer))?;
        Ok(verified)
    }

    fn check_bindings(
        &self,
        claims: &Map<String, Value>,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Option<UnixTime>, VerifyError> {
        let time = self.time.as_ref().map(|time| time.check(request, claims, now, explanation)).transpose()?;
        self.bindings.check(claims, request, now, explanation)?;
        Ok(time)
    }

    /// Verifies the token alone, without its bindings.
    pub(super) fn verify_token(
        &self,
        token: &str,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Verified, VerifyError> {
        let parts = JwsParts::split(token)?;
        let name = VerifiedTokenCache::name(token);
        let known = name.and_then(|name| self.issuers.iter().find_map(|issuer| issuer.known.get(name)));
        let token =
            known.as_ref().map_or_else(|| Token::read(&parts).map(Arc::new), |known| Ok(Arc::clone(&known.token)))?;
        token.is_of(&self.types)?;
        explanation.add("header", || format!("alg {:?}, kid {:?}", token.algorithm, token.kid));
        let issuer = self.issuer(&token.claims)?;
        explanation.add("issuer", || issuer.name.to_string());

        let refuse =
            |reason, proven| Rejection { proven, issuer: Some(Arc::clone(&issuer.name)), ..Rejection::at_once(reason) };
        if !issuer.algorithms.contains(&token.algorithm) {
            return Err(refuse(Reason::UnsupportedAlgorithm, false).into());
        }
        // No key set, or a key that is not in it: a fetch may resolve this rejection.
        let undecided = |reason| Rejection { remote: issuer.keys.remote(), ..refuse(reason, false) };
        let keys = match &issuer.keys {
            Keys::Chain(root) => {
                let chain = token.chain().map_err(|reason| refuse(reason, false))?;
                Arc::new(root.key(&chain, token.algorithm, now).map_err(|reason| refuse(reason, false))?)
            }
            keys => keys.current(now).ok_or_else(|| undecided(Reason::JwksUnavailable))?,
        };
        // A cached result holds only for the same key set, which would select and verify the same key again.
        let before = known.filter(|known| Arc::ptr_eq(&known.keys, &keys));
        let (key, signed) = match before.as_ref().and_then(|known| keys.get(known.key)) {
            Some(key) => (key, SignatureCheck::Cached),
            None => {
                let candidates = keys.select(token.kid.as_deref(), token.algorithm);
                let candidates = candidates.map_err(|reason| match reason {
                    Reason::UnknownKey => undecided(reason),
                    other => refuse(other, false),
                })?;
                let (place, key) = parts.signed_by(&candidates).map_err(|reason| refuse(reason, false))?;
                if let Some(name) = name {
                    let (token, keys) = (&token, &keys);
                    let known = || CachedToken { token: Arc::clone(token), keys: Arc::clone(keys), key: place };
                    issuer.known.add(name, known);
                }
                (key, SignatureCheck::Verified)
            }
        };
        explanation.add("signature", || "valid".into());

        self.check_claims(issuer, &token.claims, now).map_err(|Rejection { reason, insufficient_scope, .. }| {
            Rejection { insufficient_scope, ..refuse(reason, true) }
        })?;
        explanation.add("claims", || "valid".into());
        // A token may omit `kid` if only one key fits; the key's own `kid` then lets revocation by key apply.
        let kid = token.kid.as_deref().or_else(|| key.name()).map(str::to_owned);
        let (issuer, claims) = (Arc::clone(&issuer.name), Arc::clone(&token.claims));
        Ok(Verified { issuer, kid, claims, secret: key.secret(), signed, replay_id: None })
    }

    /// Selects the issuer. A single issuer needs no selection. Of several, the unverified `iss` selects one; it is
    /// compared again once the signature is verified.
    fn issuer(&self, payload: &Map<String, Value>) -> Result<&Issuer, Reason> {
        match self.issuers.as_slice() {
            [] => Err(Reason::InvalidIssuer),
            [sole] => Ok(sole),
            several => {
                let says = payload.get("iss").ok_or(Reason::MissingClaim)?.as_str().ok_or(Reason::MalformedToken)?;
                let says = |issuer: &&Issuer| issuer.issuer.as_deref() == Some(says);
                several.iter().find(says).ok_or(Reason::InvalidIssuer)
            }
        }
    }

    /// Whether the token must contain a hash of the request body, or is the body itself.
    pub fn binds_body(&self) -> bool {
        self.bindings.binds_body() || self.token.is_in_body()
    }

    fn check_claims(&self, issuer: &Issuer, payload: &Map<String, Value>, now: UnixTime) -> Result<(), Rejection> {
        let claims = Registered::read(payload)?;
        // A null claim counts as missing, since it carries no value.
        if self.required.iter().any(|name| payload.get(name).is_none_or(Value::is_null)) {
            return Err(Reason::MissingClaim.into());
        }
        if issuer.issuer.is_some() && claims.iss != issuer.issuer.as_deref() {
            return Err(claims.iss.map_or(Reason::MissingClaim, |_| Reason::InvalidIssuer).into());
        }
        // Exact comparison: no case folding, trailing slash or substring match (mod_auth_openidc GHSA-wcvh-g65p-v576).
        let names = |ours: &String| claims.audiences.iter().any(|audience| audience == ours);
        if matches!(&self.audience, Audience::OneOf(ours) if !ours.iter().any(names)) {
            return Err(Reason::InvalidAudience.into());
        }
        self.check_times(&claims, now)?;
        match self.claims.iter().find(|rule| !rule.holds(payload)) {
            Some(rule) => {
                Err(Rejection { insufficient_scope: rule.is_scope(), ..Rejection::at_once(Reason::ClaimMismatch) })
            }
            None => Ok(()),
        }
    }

    fn check_times(&self, claims: &Registered<'_>, now: UnixTime) -> Result<(), Reason> {
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted.
        if claims.expires.is_some_and(|expires| now >= expires.floor.plus(self.leeway)) {
            return Err(Reason::TokenExpired);
        }
        // `exp` before `iat`: the token was never valid, at any leeway.
        if claims.expires.zip(claims.issued).is_some_and(|(expires, issued)| expires.ceil < issued.floor) {
            return Err(Reason::TokenExpired);
        }
        if claims.not_before.is_some_and(|start| now.plus(self.leeway) < start.ceil) {
            return Err(Reason::TokenNotYetValid);
        }
        if claims.issued.is_some_and(|issued| issued.ceil > now.plus(self.leeway)) {
            return Err(Reason::TokenIssuedInFuture);
        }
        if let Some(max_age) = self.max_age {
            let issued = claims.issued.ok_or(Reason::MissingClaim)?;
            if issued.floor.plus(max_age).plus(self.leeway) < now {
                return Err(Reason::TokenTooOld);
            }
        }
        if let Some(max_lifetime) = self.max_lifetime {
            let (issued, expires) = claims.issued.zip(claims.expires).ok_or(Reason::MissingClaim)?;
            if expires.ceil > issued.floor.plus(max_lifetime) {
                return Err(Reason::TokenLifetimeTooLong);
            }
        }
        Ok(())
    }
}

/// The three parts of a JWS in compact serialization (RFC 7515 §7.1), still encoded.
struct JwsParts<'t> {
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
    /// The JWS signing input: header, dot, payload (RFC 7515 §5.1).
    signed: &'t [u8],
}

impl<'t> JwsParts<'t> {
    /// Splits a token into exactly three non-empty parts: five parts are a JWE, and an empty third part is `alg: none`.
    /// The lookup of the token has already limited its size.
    fn split(token: &'t str) -> Result<Self, Reason> {
        let mut dots = memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Reason::MalformedToken);
        };
        let part = |range: Range<usize>| token.get(range).filter(|part| !part.is_empty()).ok_or(Reason::MalformedToken);
        let (header, payload) = (part(0..first)?, part(first + 1..second)?);
        let signature = part(second + 1..token.len())?;
        Ok(Self { header, payload, signature, signed: part(0..second)?.as_bytes() })
    }

    /// The first of these keys under which the signature is valid, and its index.
    fn signed_by<'k>(&self, candidates: &[(usize, &'k Key)]) -> Result<(usize, &'k Key), Reason> {
        let signature = decode(self.signature)?;
        let fits = |(_, key): &&(usize, &Key)| key.verify(self.signed, &signature).is_ok();
        candidates.iter().find(fits).copied().ok_or(Reason::InvalidSignature)
    }
}

/// Decodes canonical base64url without padding (RFC 7515 §2): no unused bits and no other characters, so that a token
/// has exactly one spelling.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::MalformedToken)
}

pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Reason> {
    parse_object(bytes).map_err(|_| Reason::MalformedToken)
}

/// The header and the claims of a token, independent of any policy. `jwk`, `jku`, `x5u` and `x5c` in the header are
/// ignored, except `x5c` under a pinned root: keys come from the configuration (RFC 8725 §3.10, CVE-2026-27962).
struct Token {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    x5c: Option<Value>,
    claims: Arc<Map<String, Value>>,
}

impl Token {
    fn read(parts: &JwsParts<'_>) -> Result<Self, Reason> {
        let mut header = object(&decode(parts.header)?)?;
        // `crit` names extensions that must be understood; none is supported (RFC 7515 §4.1.11). `b64` changes the
        // signing input, and `enc` and `zip` wrap content that was not signed.
        if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
            return Err(Reason::MalformedToken);
        }
        // A nested token (RFC 7519 §5.2).
        if optional_text(&header, "cty")?.is_some_and(|cty| same_type(cty, "JWT")) {
            return Err(Reason::MalformedToken);
        }
        let owned = |name| Ok(optional_text(&header, name)?.map(str::to_owned));
        let (typ, kid) = (owned("typ")?, owned("kid")?);
        let algorithm = optional_text(&header, "alg")?.ok_or(Reason::MalformedToken)?;
        let algorithm = algorithm_named(algorithm).ok_or(Reason::UnsupportedAlgorithm)?;
        let claims = Arc::new(object(&decode(parts.payload)?)?);
        Ok(Self { algorithm, kid, typ, x5c: header.remove("x5c"), claims })
    }

    /// Checks `typ` against the allowed types; a token without `typ` passes.
    fn is_of(&self, types: &[String]) -> Result<(), Reason> {
        let other = self.typ.as_ref().is_some_and(|typ| !types.iter().any(|allowed| same_type(typ, allowed)));
        if other { Err(Reason::MalformedToken) } else { Ok(()) }
    }

    /// The certificates in `x5c`, read only if a root is pinned (RFC 7515 §4.1.6: base64, not base64url).
    fn chain(&self) -> Result<Vec<Vec<u8>>, Reason> {
        let Some(Value::Array(written)) = &self.x5c else { return Err(Reason::UnknownKey) };
        let certificates = written.iter().map(|certificate| STANDARD.decode(certificate.as_str()?).ok());
        certificates.collect::<Option<_>>().ok_or(Reason::UnknownKey)
    }
}

/// Compares media types (RFC 7515 §4.1.9): case-insensitively, and `application/` may be omitted.
fn same_type(one: &str, other: &str) -> bool {
    bare_type(one).eq_ignore_ascii_case(bare_type(other))
}

fn bare_type(text: &str) -> &str {
    match text.split_once('/') {
        Some((application, bare)) if application.eq_ignore_ascii_case("application") => bare,
        _ => text,
    }
}

pub(super) fn optional_text<'j>(object: &'j Map<String, Value>, name: &str) -> Result<Option<&'j str>, Reason> {
    object.get(name).map(text).transpose()
}

fn text(claim: &Value) -> Result<&str, Reason> {
    claim.as_str().ok_or(Reason::MalformedToken)
}

/// The registered claims (RFC 7519 §4.1), checked for their types: a claim of the wrong type is an error, never an
/// absent claim (CVE-2026-25537).
struct Registered<'p> {
    iss: Option<&'p str>,
    audiences: Vec<&'p str>,
    expires: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued: Option<NumericDate>,
}

impl<'p> Registered<'p> {
    /// Reads the claims in one pass: seven look-ups would compare each name many times.
    fn read(payload: &'p Map<String, Value>) -> Result<Self, Reason> {
        let mut read = Self { iss: None, audiences: Vec::new(), expires: None, not_before: None, issued: None };
        for (name, claim) in payload {
            match name.as_str() {
                "iss" => read.iss = Some(text(claim)?),
                "sub" | "jti" => _ = text(claim)?,
                "aud" => read.audiences = audiences(claim)?,
                "exp" => read.expires = Some(date(claim)?),
                "nbf" => read.not_before = Some(date(claim)?),
                "iat" => read.issued = Some(date(claim)?),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Reads `aud`: one string or an array of strings (RFC 7519 §4.1.3).
fn audiences(claim: &Value) -> Result<Vec<&str>, Reason> {
    match claim {
        // A null names no audience.
        Value::Null => Ok(Vec::new()),
        Value::String(audience) => Ok(vec![audience]),
        Value::Array(audiences) if audiences.len() <= MAX_AUDIENCES => audiences.iter().map(text).collect(),
        _ => Err(Reason::MalformedToken),
    }
}

fn date(claim: &Value) -> Result<NumericDate, Reason> {
    claim.as_number().and_then(numeric_date).ok_or(Reason::MalformedToken)
}

#[cfg(test)]
mod tests;
