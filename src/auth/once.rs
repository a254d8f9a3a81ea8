//! What makes a request this one and no other: an id out of signed material, and until when its credential is good.
//!
//! Only what a signature covers may be an id: whoever repeats a request can change everything else (PageSpace#2199).
//! Found by the schemes where the route asks for it; `admission` remembers it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::claims::Pointer;
use super::jwt::JwtPolicy;
use super::signature::Piece;
use super::time::numeric_date;
use super::{Policy, Refusal};
use crate::clock::UnixTime;

/// Where a scheme finds the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnceRule {
    /// In a verified claim.
    Claim(Pointer),
    /// In a signed piece of the request.
    Piece(Piece),
    /// It is the hash of all that was signed.
    Hash,
}

/// A request's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whose: the issuer's name, or the preset's. Nobody can use up another's ids.
    pub issuer: Arc<str>,
    /// What kind of id: `claim`, `piece` or `hash`.
    pub kind: &'static str,
    /// The id.
    pub id: Vec<u8>,
    /// The last second in which its credential may be good; `None` where nothing bounds it.
    pub until: Option<UnixTime>,
    /// When its credential could be used first, by whatever clock; `None` where it does not say.
    pub issued: Option<UnixTime>,
}

/// The first of these ends.
pub(super) fn earliest(ends: impl IntoIterator<Item = Option<UnixTime>>) -> Option<UnixTime> {
    ends.into_iter().flatten().min()
}

/// SHA-256 over what was signed, and never over the signature: some kinds of signature have more than one spelling.
pub(super) fn hash_of(signed: &[u8]) -> Vec<u8> {
    digest(&SHA256, signed).as_ref().to_vec()
}

/// A claim as an id: a text that is not empty, or a number.
pub(super) fn claimed(pointer: &Pointer, claims: &Map<String, Value>) -> Result<Vec<u8>, Refusal> {
    match pointer.find(claims) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone().into_bytes()),
        Some(Value::Number(number)) => Ok(number.to_string().into_bytes()),
        Some(_) => Err(Refusal::MalformedToken),
        None => Err(Refusal::MissingClaim),
    }
}

/// A registered time (RFC 7519 §4.1), whose type was judged with the claims.
pub(super) fn claimed_time(claims: &Map<String, Value>, name: &str) -> Option<UnixTime> {
    match claims.get(name) {
        Some(Value::Number(number)) => numeric_date(number).map(|date| date.floor),
        Some(_) | None => None,
    }
}

/// Why a policy cannot tell one request from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoOnce {
    /// Nothing in it is signed anew with each request, or not by this rule.
    NoId,
    /// The piece is not signed.
    Unsigned,
    /// Nothing ends its credentials.
    Endless,
}

impl Policy {
    /// Has the scheme, or those of a tree, find ids by `rule`, or each by its own where there is none. `ttl` is written
    /// where nothing else would end them.
    ///
    /// # Errors
    /// [`NoOnce`]: an `any_of` needs an id of each branch, an `all_of` of one.
    pub fn identify(&mut self, rule: Option<&OnceRule>, has_ttl: bool) -> Result<(), NoOnce> {
        let (place, chosen, bounded) = match self {
            Self::AllOf(policies) => {
                let mut why = NoOnce::NoId;
                for policy in policies {
                    match policy.identify(rule, has_ttl) {
                        Ok(()) => return Ok(()),
                        Err(NoOnce::NoId) => {}
                        Err(nearer) => why = nearer,
                    }
                }
                return Err(why);
            }
            Self::AnyOf(policies) => {
                return policies.iter_mut().try_for_each(|policy| policy.identify(rule, has_ttl));
            }
            Self::Token(_) | Self::ClientCertificate(_) | Self::Public => return Err(NoOnce::NoId),
            Self::Jwt(policy) => {
                let rule = match rule {
                    Some(OnceRule::Piece(_)) => return Err(NoOnce::NoId),
                    Some(rule) => rule.clone(),
                    None => policy.own_rule().ok_or(NoOnce::NoId)?,
                };
                let bounded = policy.is_bounded();
                (&mut policy.once, rule, bounded)
            }
            Self::Detached(policy) => match rule {
                None | Some(OnceRule::Hash) => (&mut policy.once, OnceRule::Hash, policy.time.is_some()),
                Some(OnceRule::Claim(_) | OnceRule::Piece(_)) => return Err(NoOnce::NoId),
            },
            Self::Signature(policy) => {
                let own = || policy.id.clone().map_or(OnceRule::Hash, OnceRule::Piece);
                let rule = match rule {
                    Some(OnceRule::Claim(_)) => return Err(NoOnce::NoId),
                    Some(OnceRule::Piece(piece)) if !piece.is_covered_by(&policy.signed) => {
                        return Err(NoOnce::Unsigned);
                    }
                    Some(rule) => rule.clone(),
                    None => own(),
                };
                let bounded = policy.time.is_some();
                (&mut policy.once, rule, bounded)
            }
        };
        if !bounded && !has_ttl {
            return Err(NoOnce::Endless);
        }
        *place = Some(chosen);
        Ok(())
    }

    /// The sum of all windows by which a credential stays good after the moment that it names: it grows where any of
    /// them does.
    pub fn window(&self) -> Duration {
        match self {
            Self::AllOf(policies) | Self::AnyOf(policies) => {
                policies.iter().map(Self::window).fold(Duration::ZERO, Duration::saturating_add)
            }
            Self::Jwt(policy) => policy.window(),
            Self::Detached(policy) => policy.time.as_ref().map_or(Duration::ZERO, |time| time.max_age),
            Self::Signature(policy) => policy.time.as_ref().map_or(Duration::ZERO, |time| time.max_age),
            Self::Token(_) | Self::ClientCertificate(_) | Self::Public => Duration::ZERO,
        }
    }
}

/// Longer than any window: where a bound was taken away.
const NO_BOUND: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl JwtPolicy {
    /// `jti` where each token must have one; else a token is told by all that it says, if that is of one request only.
    fn own_rule(&self) -> Option<OnceRule> {
        if self.required.iter().any(|name| name == "jti") {
            return Pointer::parse("jti").map(OnceRule::Claim);
        }
        self.binds_body().then_some(OnceRule::Hash)
    }

    fn is_bounded(&self) -> bool {
        self.required.iter().any(|name| name == "exp") || self.max_age.is_some() || self.time.is_some()
    }

    fn window(&self) -> Duration {
        let time = self.time.as_ref().map_or(NO_BOUND, |time| time.max_age);
        self.leeway.saturating_add(self.max_age.unwrap_or(NO_BOUND)).saturating_add(time)
    }

    /// The id of a token that holds to all rules; `time` is when its own time rule says it was made.
    pub(super) fn once_of(
        &self,
        issuer: &Arc<str>,
        token: &str,
        claims: &Map<String, Value>,
        time: Option<UnixTime>,
    ) -> Result<Option<Once>, Refusal> {
        let Some(rule) = &self.once else { return Ok(None) };
        let (kind, id) = match rule {
            OnceRule::Claim(pointer) => ("claim", claimed(pointer, claims)?),
            OnceRule::Hash => ("hash", hash_of(token.rsplit_once('.').map_or("", |(signed, _)| signed).as_bytes())),
            OnceRule::Piece(_) => return Err(Refusal::MissingClaim),
        };
        let issued = claimed_time(claims, "iat");
        let expires = claimed_time(claims, "exp").map(|expires| expires.plus(self.leeway));
        let ages = issued.zip(self.max_age).map(|(issued, age)| issued.plus(age).plus(self.leeway));
        let stales = time.zip(self.time.as_ref()).map(|(at, rule)| at.plus(rule.max_age));
        let until = earliest([expires, ages, stales]).map(|until| until.plus(Duration::from_secs(1)));
        let first = issued.max(claimed_time(claims, "nbf")).map(|first| first.minus(self.leeway));
        let issued = first.max(time.zip(self.time.as_ref()).map(|(at, rule)| at.minus(rule.max_future)));
        Ok(Some(Once { issuer: Arc::clone(issuer), kind, id, until, issued }))
    }
}
