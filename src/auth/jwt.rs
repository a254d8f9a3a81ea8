//! Is this token good? Bytes in, claims out. From top to bottom: form, header, issuer, key, signature, claims.
//!
//! The library verifies signatures; everything else is decided here, since each library reads RFC 7519's
//! liberties its own way (RFC 8725 has the list of what went wrong). Called by [`super::verify`].

mod known;

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
use super::json::parse_object;
use super::keys::{Algorithm, Key, Keys, algorithm_named};
use super::notes::Notes;
use super::once::{Once, OnceRule};
use super::request::RequestView;
use super::time::{NumericDate, TimestampRule, numeric_date};
use super::{Refusal, Refused, Stop};
use crate::clock::UnixTime;
pub use known::Known;
use known::KnownToken;

/// `typ` of the tokens that we take for access tokens where nothing else is written (RFC 8725 §3.11, RFC 9068 §2.1).
pub const DEFAULT_TYPES: &[&str] = &["JWT", "at+jwt"];

/// Audiences in one token.
const MAX_AUDIENCES: usize = 64;

/// `auth.jwt` of a route.
#[derive(Clone, Debug)]
pub struct JwtPolicy {
    /// Who may have signed. Of several, the token's unverified `iss` selects one, and must match it after.
    pub issuers: Vec<Issuer>,
    /// Whom the token must name.
    pub audience: Audience,
    /// Claims that must be there.
    pub required: Vec<String>,
    /// What claims must say.
    pub claims: Vec<ClaimRule>,
    /// Allowed `typ`, compared without case and without `application/`.
    pub types: Vec<String>,
    /// The greatest now − iat.
    pub max_age: Option<Duration>,
    /// The greatest exp − iat.
    pub max_lifetime: Option<Duration>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Where the token is.
    pub token: TokenLocation,
    /// What it must say of its request.
    pub bindings: Bindings,
    /// A time other than `iat` that bounds its age.
    pub time: Option<TimestampRule>,
    /// What makes one token another than the next, if the route asks for it.
    pub once: Option<OnceRule>,
}

/// Whom a token must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One of these.
    OneOf(Vec<String>),
    /// Anybody (`none`): something else ties the token to this endpoint.
    Anybody,
}

/// Who may have signed.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name in gateway.yaml.
    pub name: Arc<str>,
    /// The exact `iss`; `None` (written `none`, beside one pinned key only) does not look at it.
    pub issuer: Option<String>,
    /// Allowed algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Its keys; never looked for in another issuer's.
    pub keys: Keys,
    /// Tokens that these keys have verified.
    pub known: Arc<Known>,
}

/// How a token's signature was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// By verifying it.
    Verified,
    /// It was, before, with the same keys.
    Known,
}

/// A token that holds to its policy.
pub(super) struct Verified {
    pub(super) issuer: Arc<str>,
    pub(super) kid: Option<String>,
    pub(super) claims: Arc<Map<String, Value>>,
    /// Which of the route's secrets made it, if it was one.
    pub(super) secret: Option<usize>,
    pub(super) signed: Signed,
    /// By which it is known, if the route asks for it.
    pub(super) once: Option<Once>,
}

impl JwtPolicy {
    /// The whole judgement of one request: its token, and what that says of the request.
    pub(super) fn verify(&self, request: &RequestView<'_>, now: UnixTime, notes: &mut Notes) -> Result<Verified, Stop> {
        let token = self.token.find_in(request)?;
        let mut verified = self.verify_token(&token, now, notes)?;
        let bound = self.judge_bindings(&verified.claims, request, now, notes);
        let time = bound.map_err(|stop| stop.proven(&verified.issuer))?;
        let once = self.once_of(&verified.issuer, &token, &verified.claims, time);
        verified.once = once.map_err(|refusal| Stop::from(refusal).proven(&verified.issuer))?;
        Ok(verified)
    }

    fn judge_bindings(
        &self,
        claims: &Map<String, Value>,
        request: &RequestView<'_>,
        now: UnixTime,
        notes: &mut Notes,
    ) -> Result<Option<UnixTime>, Stop> {
        let time = self.time.as_ref().map(|time| time.check(request, claims, now, notes)).transpose()?;
        self.bindings.check(claims, request, now, notes)?;
        Ok(time)
    }

    /// The judgement of the token alone.
    pub(super) fn verify_token(&self, token: &str, now: UnixTime, notes: &mut Notes) -> Result<Verified, Stop> {
        let parts = Parts::split(token)?;
        let name = Known::name(token);
        let known = name.and_then(|name| self.issuers.iter().find_map(|issuer| issuer.known.get(name)));
        let token =
            known.as_ref().map_or_else(|| Token::read(&parts).map(Arc::new), |known| Ok(Arc::clone(&known.token)))?;
        token.is_of(&self.types)?;
        notes.add("header", || format!("alg {:?}, kid {:?}", token.algorithm, token.kid));
        let issuer = self.issuer(&token.claims)?;
        notes.add("issuer", || issuer.name.to_string());

        let refuse =
            |refusal, proven| Refused { refusal, proven, issuer: Some(Arc::clone(&issuer.name)), remote: None };
        if !issuer.algorithms.contains(&token.algorithm) {
            return Err(refuse(Refusal::UnsupportedAlgorithm, false).into());
        }
        // Without keys, or without this one, a fetch may help.
        let undecided = |refusal| Refused { remote: issuer.keys.remote(), ..refuse(refusal, false) };
        let keys = match &issuer.keys {
            Keys::Chain(root) => {
                let chain = token.chain().map_err(|refusal| refuse(refusal, false))?;
                Arc::new(root.key(&chain, token.algorithm, now).map_err(|refusal| refuse(refusal, false))?)
            }
            keys => keys.current(now).ok_or_else(|| undecided(Refusal::JwksUnavailable))?,
        };
        // What these very keys have chosen and verified before, they would again.
        let before = known.filter(|known| Arc::ptr_eq(&known.keys, &keys));
        let (key, signed) = match before.as_ref().and_then(|known| keys.get(known.key)) {
            Some(key) => (key, Signed::Known),
            None => {
                let candidates = keys.select(token.kid.as_deref(), token.algorithm);
                let candidates = candidates.map_err(|refusal| match refusal {
                    Refusal::UnknownKey => undecided(refusal),
                    other => refuse(other, false),
                })?;
                let (place, key) = parts.signed_by(&candidates).map_err(|refusal| refuse(refusal, false))?;
                if let Some(name) = name {
                    let (token, keys) = (&token, &keys);
                    let known = || KnownToken { token: Arc::clone(token), keys: Arc::clone(keys), key: place };
                    issuer.known.add(name, known);
                }
                (key, Signed::Verified)
            }
        };
        notes.add("signature", || "verifies".into());

        self.judge_claims(issuer, &token.claims, now).map_err(|refusal| refuse(refusal, true))?;
        notes.add("claims", || "hold".into());
        // A token may leave the name out where only one key fits; that must not hide a key that is revoked.
        let kid = token.kid.as_deref().or_else(|| key.name()).map(str::to_owned);
        let (issuer, claims) = (Arc::clone(&issuer.name), Arc::clone(&token.claims));
        Ok(Verified { issuer, kid, claims, secret: key.secret(), signed, once: None })
    }

    /// One issuer needs no choice. Of several, `iss` chooses: an unverified word, which selects one key set
    /// and is compared again under its signature.
    fn issuer(&self, payload: &Map<String, Value>) -> Result<&Issuer, Refusal> {
        match self.issuers.as_slice() {
            [] => Err(Refusal::InvalidIssuer),
            [sole] => Ok(sole),
            several => {
                let says = payload.get("iss").ok_or(Refusal::MissingClaim)?.as_str().ok_or(Refusal::MalformedToken)?;
                let says = |issuer: &&Issuer| issuer.issuer.as_deref() == Some(says);
                several.iter().find(says).ok_or(Refusal::InvalidIssuer)
            }
        }
    }

    /// Whether the token says what body it came with, or is the body.
    pub fn binds_body(&self) -> bool {
        self.bindings.binds_body() || self.token.is_in_body()
    }

    fn judge_claims(&self, issuer: &Issuer, payload: &Map<String, Value>, now: UnixTime) -> Result<(), Refusal> {
        let claims = Registered::read(payload)?;
        // A null says nothing, which is what `required` is there to refuse.
        if self.required.iter().any(|name| payload.get(name).is_none_or(Value::is_null)) {
            return Err(Refusal::MissingClaim);
        }
        if issuer.issuer.is_some() && claims.iss != issuer.issuer.as_deref() {
            return Err(claims.iss.map_or(Refusal::MissingClaim, |_| Refusal::InvalidIssuer));
        }
        // Exactly: no case folding, no trailing slash, no part of a text (mod_auth_openidc GHSA-wcvh-g65p-v576).
        let names = |ours: &String| claims.audiences.iter().any(|audience| audience == ours);
        if matches!(&self.audience, Audience::OneOf(ours) if !ours.iter().any(names)) {
            return Err(Refusal::InvalidAudience);
        }
        self.judge_times(&claims, now)?;
        match self.claims.iter().find(|rule| !rule.holds(payload)) {
            Some(rule) => Err(Refusal::ClaimMismatch { scope: rule.is_scope() }),
            None => Ok(()),
        }
    }

    fn judge_times(&self, claims: &Registered<'_>, now: UnixTime) -> Result<(), Refusal> {
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted.
        if claims.expires.is_some_and(|expires| now >= expires.floor.plus(self.leeway)) {
            return Err(Refusal::TokenExpired);
        }
        // Over before it began: at no time was this token good, whatever the leeway.
        if claims.expires.zip(claims.issued).is_some_and(|(expires, issued)| expires.ceil < issued.floor) {
            return Err(Refusal::TokenExpired);
        }
        if claims.not_before.is_some_and(|start| now.plus(self.leeway) < start.ceil) {
            return Err(Refusal::TokenNotYetValid);
        }
        if claims.issued.is_some_and(|issued| issued.ceil > now.plus(self.leeway)) {
            return Err(Refusal::TokenIssuedInFuture);
        }
        if let Some(max_age) = self.max_age {
            let issued = claims.issued.ok_or(Refusal::MissingClaim)?;
            if issued.floor.plus(max_age).plus(self.leeway) < now {
                return Err(Refusal::TokenTooOld);
            }
        }
        if let Some(max_lifetime) = self.max_lifetime {
            let (issued, expires) = claims.issued.zip(claims.expires).ok_or(Refusal::MissingClaim)?;
            if expires.ceil > issued.floor.plus(max_lifetime) {
                return Err(Refusal::TokenLifetimeTooLong);
            }
        }
        Ok(())
    }
}

/// The three parts of a JWS in compact form (RFC 7515 §7.1), still encoded.
struct Parts<'t> {
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
    /// What was signed: header and payload with the dot between them.
    signed: &'t [u8],
}

impl<'t> Parts<'t> {
    /// Exactly three and none empty: five are a JWE, an empty third one is `none`. The token's size was
    /// bounded where it was found.
    fn split(token: &'t str) -> Result<Self, Refusal> {
        let mut dots = memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Refusal::MalformedToken);
        };
        let part =
            |range: Range<usize>| token.get(range).filter(|part| !part.is_empty()).ok_or(Refusal::MalformedToken);
        let (header, payload) = (part(0..first)?, part(first + 1..second)?);
        let signature = part(second + 1..token.len())?;
        Ok(Self { header, payload, signature, signed: part(0..second)?.as_bytes() })
    }

    /// The first of these keys by which the signature verifies, and its place.
    fn signed_by<'k>(&self, candidates: &[(usize, &'k Key)]) -> Result<(usize, &'k Key), Refusal> {
        let signature = decode(self.signature)?;
        let fits = |(_, key): &&(usize, &Key)| key.verify(self.signed, &signature).is_ok();
        candidates.iter().find(fits).copied().ok_or(Refusal::InvalidSignature)
    }
}

/// Canonical base64url without padding (RFC 7515 §2): no unused bits, no other letters, so that one token has
/// one spelling.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::MalformedToken)
}

pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    parse_object(bytes).map_err(|_| Refusal::MalformedToken)
}

/// What a token says, whoever reads it. `jwk`, `jku`, `x5u` and `x5c` may stand in its header and mean nothing: keys
/// come from the configuration (RFC 8725 §3.10, CVE-2026-27962).
struct Token {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    x5c: Option<Value>,
    claims: Arc<Map<String, Value>>,
}

impl Token {
    fn read(parts: &Parts<'_>) -> Result<Self, Refusal> {
        let mut header = object(&decode(parts.header)?)?;
        // `crit` names extensions that must be understood: we understand none (RFC 7515 §4.1.11). `b64`, `enc`
        // and `zip` change what was signed or wrap what was not.
        if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
            return Err(Refusal::MalformedToken);
        }
        // A token inside of a token (RFC 7519 §5.2).
        if optional_text(&header, "cty")?.is_some_and(|cty| same_type(cty, "JWT")) {
            return Err(Refusal::MalformedToken);
        }
        let owned = |name| Ok(optional_text(&header, name)?.map(str::to_owned));
        let (typ, kid) = (owned("typ")?, owned("kid")?);
        let algorithm = optional_text(&header, "alg")?.ok_or(Refusal::MalformedToken)?;
        let algorithm = algorithm_named(algorithm).ok_or(Refusal::UnsupportedAlgorithm)?;
        let claims = Arc::new(object(&decode(parts.payload)?)?);
        Ok(Self { algorithm, kid, typ, x5c: header.remove("x5c"), claims })
    }

    /// Of one of the types that a route takes; a token need not say.
    fn is_of(&self, types: &[String]) -> Result<(), Refusal> {
        let other = self.typ.as_ref().is_some_and(|typ| !types.iter().any(|allowed| same_type(typ, allowed)));
        if other { Err(Refusal::MalformedToken) } else { Ok(()) }
    }

    /// The certificates that came along, looked at only where a root is pinned (RFC 7515 §4.1.6: base64, not url).
    fn chain(&self) -> Result<Vec<Vec<u8>>, Refusal> {
        let Some(Value::Array(written)) = &self.x5c else { return Err(Refusal::UnknownKey) };
        let certificates = written.iter().map(|certificate| STANDARD.decode(certificate.as_str()?).ok());
        certificates.collect::<Option<_>>().ok_or(Refusal::UnknownKey)
    }
}

/// RFC 7515 §4.1.9: media types compare without case, and `application/` may be left out.
fn same_type(one: &str, other: &str) -> bool {
    bare_type(one).eq_ignore_ascii_case(bare_type(other))
}

fn bare_type(text: &str) -> &str {
    match text.split_once('/') {
        Some((application, bare)) if application.eq_ignore_ascii_case("application") => bare,
        _ => text,
    }
}

pub(super) fn optional_text<'j>(object: &'j Map<String, Value>, name: &str) -> Result<Option<&'j str>, Refusal> {
    object.get(name).map(text).transpose()
}

fn text(claim: &Value) -> Result<&str, Refusal> {
    claim.as_str().ok_or(Refusal::MalformedToken)
}

/// The registered claims (RFC 7519 §4.1), of the right types: a claim of another type is an error, never an
/// absent claim (CVE-2026-25537).
struct Registered<'p> {
    iss: Option<&'p str>,
    audiences: Vec<&'p str>,
    expires: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued: Option<NumericDate>,
}

impl<'p> Registered<'p> {
    /// In one pass: seven look-ups would compare each name many times.
    fn read(payload: &'p Map<String, Value>) -> Result<Self, Refusal> {
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

/// One text or a list of texts (RFC 7519 §4.1.3).
fn audiences(claim: &Value) -> Result<Vec<&str>, Refusal> {
    match claim {
        // A null names nobody.
        Value::Null => Ok(Vec::new()),
        Value::String(audience) => Ok(vec![audience]),
        Value::Array(audiences) if audiences.len() <= MAX_AUDIENCES => audiences.iter().map(text).collect(),
        _ => Err(Refusal::MalformedToken),
    }
}

fn date(claim: &Value) -> Result<NumericDate, Refusal> {
    claim.as_number().and_then(numeric_date).ok_or(Refusal::MalformedToken)
}

#[cfg(test)]
mod tests;
