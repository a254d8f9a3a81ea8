//! Verification of a JWT, in this order: format, header, issuer, key, signature, claims.
//!
//! The library verifies signatures; this module decides everything else, because each library interprets RFC 7519's
//! optional behaviour differently (RFC 8725 lists the resulting vulnerabilities). Called by [`super::verify`].

pub mod binding;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims::{ClaimRule, Pointer};
use super::explanation::Explanation;
use super::grant::{Grant, ReplayId, hash_of};
use super::issuer::{Issuer, PATH_TENANT, VerifiedTokenCache, tenant_in};
use super::jws::{JwsParts, Token, malformed, missing};
use super::keys::Key;
use super::locator::Locator;
use super::quoted::quoted;
use super::rejection::{Rejection, VerifyError};
use super::request::RequestView;
use super::time::{MAX_AGE, NumericDate, TimestampRule, numeric_claim, numeric_date};
use crate::clock::UnixTime;
use crate::reason::Reason;
use binding::Bindings;

/// Default for `allowed_types`: the `typ` values of access tokens (RFC 8725 §3.11, RFC 9068 §2.1).
pub const DEFAULT_TYPES: &[&str] = &["JWT", "at+jwt"];

/// Maximum number of audiences in one token.
const MAX_AUDIENCES: usize = 64;

/// A duration longer than any configured one, which stands for an absent bound.
const NO_BOUND: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// `auth.jwt` of a route.
#[derive(Clone, Debug)]
pub struct JwtPolicy {
    /// Accepted issuers. Of several, the token's unverified `iss` selects one and is compared again after verification.
    pub issuers: Vec<Issuer>,
    /// Accepted audiences.
    pub audience: Audience,
    /// Claims that must be present (`required_claims`).
    pub required_claims: Vec<String>,
    /// Rules that claims must satisfy.
    pub claims: Vec<ClaimRule>,
    /// Allowed `typ` values (`allowed_types`), compared case-insensitively and without `application/`.
    pub allowed_types: Vec<String>,
    /// Maximum of now − `iat`.
    pub max_age: Option<Duration>,
    /// Maximum of `exp` − `iat`.
    pub max_lifetime: Option<Duration>,
    /// Tolerated clock skew.
    pub leeway: Duration,
    /// Where the request carries the token (`token_from`).
    pub token: Locator,
    /// Claims that bind the token to its request.
    pub bindings: Bindings,
    /// A time other than `iat` that limits the token's age (`time_claim`).
    pub time_claim: Option<TimestampRule>,
    /// Source of the replay id, if the route needs one.
    pub replay_id: Option<JwtReplayId>,
}

/// The source of a JWT's replay id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtReplayId {
    /// A claim.
    Claim(Pointer),
    /// The SHA-256 of header and payload.
    Hash,
}

/// The audiences that a policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// `aud` must contain one of these.
    OneOf(Vec<String>),
    /// `aud` must contain one of these, with the tenant of the path in the place of [`PATH_TENANT`].
    OfTenant(Vec<String>),
    /// Any audience (`none`): a binding ties the token to this endpoint instead.
    Any,
}

impl Audience {
    /// The accepted audiences, if the token has none of them.
    fn without(&self, theirs: &[&str], tenant: Option<&str>) -> Option<&[String]> {
        let is_ours = |our: &String, one: &str| match self {
            Self::OfTenant(_) if our.contains(PATH_TENANT) => {
                tenant.is_some() && tenant_in(our, PATH_TENANT, one) == tenant
            }
            Self::OfTenant(_) | Self::OneOf(_) | Self::Any => our == one,
        };
        match self {
            Self::OneOf(ours) | Self::OfTenant(ours) => {
                (!theirs.iter().any(|one| ours.iter().any(|our| is_ours(our, one)))).then_some(ours)
            }
            Self::Any => None,
        }
    }

    /// An audience that is accepted, for a development token for this tenant of the path.
    pub fn example(&self, tenant: Option<&str>) -> Option<String> {
        match self {
            Self::OneOf(ours) => ours.first().cloned(),
            Self::OfTenant(ours) => Some(ours.first()?.replace(PATH_TENANT, tenant?)),
            Self::Any => None,
        }
    }
}

impl JwtPolicy {
    /// Whether every token is one of the tenant in the path.
    pub(super) fn binds_tenant(&self) -> bool {
        !self.issuers.is_empty() && self.issuers.iter().all(|issuer| issuer.iss.is_of_path())
    }

    /// Verifies the token of one request, then the claims that bind it to the request.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let token = self.token.find_token(request)?;
        let (issuer, mut grant) = self.verify_token(&token, request.tenant, now, explanation)?;
        let validity = self.check_bindings(&grant.claims, request, now, explanation);
        let validity = validity.map_err(|error| error.proven(&issuer.name))?;
        let replay_id = self.replay_id_of(&token, &grant.claims, validity);
        grant.replay_id = replay_id.map_err(|rejection| VerifyError::from(rejection).proven(&issuer.name))?;
        Ok(grant)
    }

    /// Returns the first and the last second in which the signed time is accepted.
    fn check_bindings(
        &self,
        claims: &Map<String, Value>,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Option<(UnixTime, UnixTime)>, VerifyError> {
        let validity =
            self.time_claim.as_ref().map(|time| time.check(request, claims, now, explanation)).transpose()?;
        self.bindings.check(claims, request, now, explanation)?;
        Ok(validity)
    }

    /// Verifies the token alone, without its bindings and its replay id.
    pub(super) fn verify_token(
        &self,
        token: &str,
        tenant: Option<&str>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<(&Issuer, Grant), VerifyError> {
        let parts = JwsParts::split(token)?;
        let name = VerifiedTokenCache::name(token);
        let known = name.and_then(|name| self.issuers.iter().find_map(|issuer| issuer.token_cache.get(name)));
        let token =
            known.as_ref().map_or_else(|| Token::read(&parts).map(Arc::new), |known| Ok(Arc::clone(&known.token)))?;
        token.is_of(&self.allowed_types)?;
        let issuer = self.issuer(&token.claims)?;
        issuer.iss.check_path(&token.claims, tenant)?;
        explanation.add("issuer", || issuer.name.to_string());

        let of_issuer = |rejection| Rejection { issuer: Some(Arc::clone(&issuer.name)), ..rejection };
        let verified = issuer.verify_signature((&parts, &token), (name, known), tenant, now).map_err(of_issuer)?;
        let (keys, place, signed) = verified;
        let key = keys.get(place).ok_or(Reason::UnknownKey)?;
        explanation.add("signature", || "valid".into());

        let checked = self.check_claims(issuer, key, &token.claims, tenant, now);
        checked.map_err(|rejection| Rejection { proven: true, ..of_issuer(rejection) })?;
        explanation.add("claims", || "valid".into());
        // A token may omit `kid` if only one key fits; the key's own `kid` then lets revocation by key apply.
        let kid = token.kid.as_deref().or_else(|| key.name()).map(str::to_owned);
        let grant = Grant {
            issuer: Some(Arc::clone(&issuer.name)),
            kid,
            claims: Arc::clone(&token.claims),
            secrets: key.secret.into_iter().collect(),
            signed: Some(signed),
            holder: Some(issuer.holder(key, &token.claims)),
            key: issuer.unnamed(key),
            ..Grant::anonymous()
        };
        Ok((issuer, grant))
    }

    /// Selects the issuer. A single issuer needs no selection. Of several, the unverified `iss` selects one; it is
    /// compared again once the signature is verified.
    fn issuer(&self, payload: &Map<String, Value>) -> Result<&Issuer, Rejection> {
        match self.issuers.as_slice() {
            [] => Err(Reason::InvalidIssuer.into()),
            [sole] => Ok(sole),
            several => several.iter().find(|issuer| issuer.iss.matches(payload)).ok_or_else(|| {
                match payload.get("iss").map(Value::as_str) {
                    None => missing("iss"),
                    Some(None) => malformed("`iss` is not a string"),
                    Some(Some(iss)) => {
                        let detail = format!("iss {} is that of none of the route's issuers", quoted(iss));
                        Rejection::detailed(Reason::InvalidIssuer, detail)
                    }
                }
            }),
        }
    }

    /// Whether the token must contain a hash of the request body, or is the body itself.
    pub fn binds_body(&self) -> bool {
        self.bindings.binds_body() || self.token.is_in_body()
    }

    fn check_claims(
        &self,
        issuer: &Issuer,
        key: &Key,
        payload: &Map<String, Value>,
        tenant: Option<&str>,
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let claims = Registered::read(payload)?;
        // A null claim counts as missing, since it carries no value.
        if let Some(name) = self.required_claims.iter().find(|name| payload.get(*name).is_none_or(Value::is_null)) {
            return Err(missing(name));
        }
        // Exact comparison: no case folding, trailing slash or substring match (mod_auth_openidc GHSA-wcvh-g65p-v576).
        if !issuer.iss.matches(payload) {
            return Err(issuer.iss.mismatch(payload));
        }
        if !issuer.may_sign(key, payload) {
            return Err(Rejection::detailed(Reason::InvalidIssuer, "the `issuer` of the key is another tenant"));
        }
        if let Some(ours) = self.audience.without(&claims.audiences, tenant) {
            return Err(other_audience(ours, &claims.audiences));
        }
        self.check_times(&claims, now)?;
        match self.claims.iter().find(|rule| !rule.holds(payload)) {
            Some(rule) => {
                let rejection = Rejection::detailed(Reason::ClaimMismatch, rule.mismatch(payload));
                Err(Rejection { insufficient_scope: rule.is_scope(), ..rejection })
            }
            None => Ok(()),
        }
    }

    fn check_times(&self, claims: &Registered<'_>, now: UnixTime) -> Result<(), Rejection> {
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted.
        let leeway = self.leeway.as_secs();
        let ago = |name: &str, time: UnixTime| format!("`{name}` was {} s ago", now.since(time).as_secs());
        let ahead = |name: &str, time: UnixTime| {
            format!("`{name}` is {} s ahead; `leeway` is {leeway} s", time.since(now).as_secs())
        };
        if let Some(expires) = claims.expires.filter(|expires| now >= expires.floor.plus(self.leeway)) {
            let detail = format!("{}; `leeway` is {leeway} s", ago("exp", expires.floor));
            return Err(Rejection::detailed(Reason::TokenExpired, detail));
        }
        // `exp` before `iat`: the token was never valid, at any leeway.
        if claims.expires.zip(claims.issued).is_some_and(|(expires, issued)| expires.ceil < issued.floor) {
            return Err(Rejection::detailed(Reason::TokenExpired, "`exp` is before `iat`"));
        }
        if let Some(start) = claims.not_before.filter(|start| now.plus(self.leeway) < start.ceil) {
            return Err(Rejection::detailed(Reason::TokenNotYetValid, ahead("nbf", start.ceil)));
        }
        if let Some(issued) = claims.issued.filter(|issued| issued.ceil > now.plus(self.leeway)) {
            return Err(Rejection::detailed(Reason::TokenIssuedInFuture, ahead("iat", issued.ceil)));
        }
        if let Some(max_age) = self.max_age {
            let issued = claims.issued.ok_or_else(|| missing("iat"))?;
            if issued.floor.plus(max_age).plus(self.leeway) < now {
                let detail = format!("{}; {MAX_AGE} is {} s", ago("iat", issued.floor), max_age.as_secs());
                return Err(Rejection::detailed(Reason::TokenTooOld, detail));
            }
        }
        if let Some(max_lifetime) = self.max_lifetime {
            let (issued, expires) = claims.issued.zip(claims.expires).ok_or_else(|| missing("iat` or `exp"))?;
            if expires.ceil > issued.floor.plus(max_lifetime) {
                let lifetime = expires.ceil.since(issued.floor).as_secs();
                let detail =
                    format!("`exp` is {lifetime} s after `iat`; `max_lifetime` is {} s", max_lifetime.as_secs());
                return Err(Rejection::detailed(Reason::TokenLifetimeTooLong, detail));
            }
        }
        Ok(())
    }

    /// The default source: `jti` if every token must have one, else the hash of a token that is bound to the request's
    /// body.
    pub(super) fn default_replay_id(&self) -> Option<JwtReplayId> {
        if self.required_claims.iter().any(|name| name == "jti") {
            return Pointer::parse("jti").map(JwtReplayId::Claim);
        }
        self.binds_body().then_some(JwtReplayId::Hash)
    }

    /// Whether every token expires.
    pub(super) fn is_bounded(&self) -> bool {
        self.required_claims.iter().any(|name| name == "exp") || self.max_age.is_some() || self.time_claim.is_some()
    }

    /// The sum of the durations for which a token may stay valid after the times that it states.
    pub(super) fn window(&self) -> Duration {
        let time = self.time_claim.as_ref().map_or(NO_BOUND, |time| time.max_age);
        self.leeway.saturating_add(self.max_age.unwrap_or(NO_BOUND)).saturating_add(time)
    }

    /// The replay id of a verified token; `validity` is the result of the policy's time rule.
    fn replay_id_of(
        &self,
        token: &str,
        claims: &Map<String, Value>,
        validity: Option<(UnixTime, UnixTime)>,
    ) -> Result<Option<ReplayId>, Rejection> {
        let (kind, id) = match &self.replay_id {
            None => return Ok(None),
            Some(JwtReplayId::Claim(pointer)) => ("claim", claim_as_id(pointer, claims)?),
            Some(JwtReplayId::Hash) => {
                ("hash", hash_of(token.rsplit_once('.').map_or("", |(signed, _)| signed).as_bytes()))
            }
        };
        let issued = numeric_claim(claims, "iat");
        let expires = numeric_claim(claims, "exp").map(|expires| expires.plus(self.leeway));
        let ages = issued.zip(self.max_age).map(|(issued, age)| issued.plus(age).plus(self.leeway));
        let stales = validity.map(|(_, last)| last);
        let until = [expires, ages, stales].into_iter().flatten().min().map(|until| until.plus(Duration::from_secs(1)));
        let first = issued.max(numeric_claim(claims, "nbf")).map(|first| first.minus(self.leeway));
        let issued = first.max(validity.map(|(first, _)| first));
        Ok(Some(ReplayId { kind, id, text: None, until, issued }))
    }
}

/// A claim as an id: a non-empty string, or a number.
fn claim_as_id(pointer: &Pointer, claims: &Map<String, Value>) -> Result<Vec<u8>, Rejection> {
    match pointer.find(claims) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone().into_bytes()),
        Some(Value::Number(number)) => Ok(number.to_string().into_bytes()),
        Some(_) => Err(malformed(format!("{pointer}, the replay id, is neither a text nor a number"))),
        None => Err(missing(&pointer.to_string())),
    }
}

/// Both values are public. A long list is cut.
fn other_audience(ours: &[String], theirs: &[&str]) -> Rejection {
    let list = |names: &mut dyn Iterator<Item = &str>| match names.take(4).map(quoted).collect::<Vec<_>>() {
        none if none.is_empty() => "none".to_owned(),
        some => some.join(", "),
    };
    let expected = list(&mut ours.iter().map(String::as_str));
    let detail = format!("expected aud {expected}, got {}", list(&mut theirs.iter().copied()));
    Rejection::detailed(Reason::InvalidAudience, detail)
}

/// The registered claims (RFC 7519 §4.1), checked for their types: a claim of the wrong type is an error, never an
/// absent claim (CVE-2026-25537).
struct Registered<'p> {
    audiences: Vec<&'p str>,
    expires: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued: Option<NumericDate>,
}

impl<'p> Registered<'p> {
    /// Reads the claims in one pass: seven look-ups would compare each name many times.
    fn read(payload: &'p Map<String, Value>) -> Result<Self, Rejection> {
        let mut read = Self { audiences: Vec::new(), expires: None, not_before: None, issued: None };
        for (name, claim) in payload {
            let is_readable = match name.as_str() {
                "iss" | "sub" | "jti" => claim.is_string(),
                "aud" => audiences(claim).map(|audiences| read.audiences = audiences).is_some(),
                "exp" => date(claim).map(|date| read.expires = Some(date)).is_some(),
                "nbf" => date(claim).map(|date| read.not_before = Some(date)).is_some(),
                "iat" => date(claim).map(|date| read.issued = Some(date)).is_some(),
                _ => true,
            };
            if !is_readable {
                return Err(wrong_type(name, claim));
            }
        }
        Ok(read)
    }
}

/// The rejection of a registered claim with another type. The year 9999 in seconds is less than the year 1980 in milliseconds.
fn wrong_type(name: &str, claim: &Value) -> Rejection {
    let is_time = matches!(name, "exp" | "nbf" | "iat");
    let expected = match name {
        "aud" => "a text or a list of at most 64 texts",
        _ if is_time => "a number of seconds",
        _ => "a text",
    };
    let found = match claim {
        Value::Number(number) if is_time && number.as_f64().is_some_and(|number| number > 0.0) => {
            "too large for seconds: milliseconds?"
        }
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) | Value::Object(_) => "a list or an object",
        Value::Bool(_) | Value::Null => "true, false or null",
    };
    malformed(format!("`{name}` must be {expected} (RFC 7519 §4.1), and is {found}"))
}

/// Reads `aud`: one string or an array of strings (RFC 7519 §4.1.3).
fn audiences(claim: &Value) -> Option<Vec<&str>> {
    match claim {
        // A null names no audience.
        Value::Null => Some(Vec::new()),
        Value::String(audience) => Some(vec![audience]),
        Value::Array(audiences) if audiences.len() <= MAX_AUDIENCES => audiences.iter().map(Value::as_str).collect(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn date(claim: &Value) -> Option<NumericDate> {
    claim.as_number().and_then(numeric_date)
}

#[cfg(test)]
mod tests;
