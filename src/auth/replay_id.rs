//! Replay ids: an id from the signed part of a request, and the time until which its credential is valid.
//!
//! Only data that a signature covers may be an id: an attacker who replays a request can change everything else
//! (PageSpace#2199). The schemes extract the id if the route has replay protection; `store` stores it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::claims::Pointer;
use super::jwt::JwtPolicy;
use super::signature::Component;
use super::time::numeric_date;
use super::{Policy, Reason};
use crate::clock::UnixTime;

/// The source of a replay id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayIdSource {
    /// A verified claim.
    Claim(Pointer),
    /// A signed component of the request.
    Component(Component),
    /// The SHA-256 of everything that was signed.
    Hash,
}

/// The replay id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayId {
    /// The namespace of the id: the issuer's name, or the preset's. An issuer cannot use up the ids of another one.
    pub issuer: Arc<str>,
    /// The kind of id: `claim`, `piece` or `hash`.
    pub kind: &'static str,
    /// The bytes of the id.
    pub id: Vec<u8>,
    /// The last second in which its credential may be valid; `None` if it does not expire.
    pub until: Option<UnixTime>,
    /// The earliest time at which its credential could be used, clock skew included; `None` if the credential does not
    /// state a time.
    pub issued: Option<UnixTime>,
}

/// The earliest of these times, if there is any.
pub(super) fn earliest(ends: impl IntoIterator<Item = Option<UnixTime>>) -> Option<UnixTime> {
    ends.into_iter().flatten().min()
}

/// SHA-256 of the signed data, never of the signature: in some schemes one signature has more than one encoding.
pub(super) fn hash_of(signed: &[u8]) -> Vec<u8> {
    digest(&SHA256, signed).as_ref().to_vec()
}

/// A claim as an id: a non-empty string, or a number.
pub(super) fn claimed(pointer: &Pointer, claims: &Map<String, Value>) -> Result<Vec<u8>, Reason> {
    match pointer.find(claims) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone().into_bytes()),
        Some(Value::Number(number)) => Ok(number.to_string().into_bytes()),
        Some(_) => Err(Reason::MalformedToken),
        None => Err(Reason::MissingClaim),
    }
}

/// A registered time claim (RFC 7519 §4.1), whose type was checked together with the other claims.
pub(super) fn claimed_time(claims: &Map<String, Value>, name: &str) -> Option<UnixTime> {
    match claims.get(name) {
        Some(Value::Number(number)) => numeric_date(number).map(|date| date.floor),
        Some(_) | None => None,
    }
}

/// Why a policy cannot give requests a replay id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReplayId {
    /// The policy signs no data that differs from request to request, or the id source does not fit the scheme.
    NoId,
    /// The component is not signed.
    Unsigned,
    /// Its credentials do not expire.
    Endless,
}

impl Policy {
    /// Sets the source of the replay id for the scheme, or for the schemes of a combination: `rule`, or each scheme's
    /// default if there is no rule. `has_ttl` is true if the route has a `ttl`, which credentials without an expiry
    /// need.
    ///
    /// # Errors
    /// [`NoReplayId`]. An `any_of` needs an id from each alternative, an `all_of` from one of its policies.
    pub fn identify(&mut self, rule: Option<&ReplayIdSource>, has_ttl: bool) -> Result<(), NoReplayId> {
        let (place, chosen, bounded) = match self {
            Self::AllOf(policies) => {
                let mut why = NoReplayId::NoId;
                for policy in policies {
                    match policy.identify(rule, has_ttl) {
                        Ok(()) => return Ok(()),
                        Err(NoReplayId::NoId) => {}
                        Err(nearer) => why = nearer,
                    }
                }
                return Err(why);
            }
            Self::AnyOf(policies) => {
                return policies.iter_mut().try_for_each(|policy| policy.identify(rule, has_ttl));
            }
            Self::Token(_) | Self::ClientCertificate(_) | Self::Public => return Err(NoReplayId::NoId),
            Self::Jwt(policy) => {
                let rule = match rule {
                    Some(ReplayIdSource::Component(_)) => return Err(NoReplayId::NoId),
                    Some(rule) => rule.clone(),
                    None => policy.own_rule().ok_or(NoReplayId::NoId)?,
                };
                let bounded = policy.is_bounded();
                (&mut policy.replay_id, rule, bounded)
            }
            Self::Detached(policy) => match rule {
                None | Some(ReplayIdSource::Hash) => {
                    (&mut policy.replay_id, ReplayIdSource::Hash, policy.time.is_some())
                }
                Some(ReplayIdSource::Claim(_) | ReplayIdSource::Component(_)) => return Err(NoReplayId::NoId),
            },
            Self::Signature(policy) => {
                let own = || policy.id.clone().map_or(ReplayIdSource::Hash, ReplayIdSource::Component);
                let rule = match rule {
                    Some(ReplayIdSource::Claim(_)) => return Err(NoReplayId::NoId),
                    Some(ReplayIdSource::Component(piece)) if !piece.is_covered_by(&policy.signed) => {
                        return Err(NoReplayId::Unsigned);
                    }
                    Some(rule) => rule.clone(),
                    None => own(),
                };
                let bounded = policy.time.is_some();
                (&mut policy.replay_id, rule, bounded)
            }
        };
        if !bounded && !has_ttl {
            return Err(NoReplayId::Endless);
        }
        *place = Some(chosen);
        Ok(())
    }

    /// The sum of all durations (max age, leeway) for which credentials stay valid after the time that they state. It
    /// grows if any of the durations does.
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

/// A duration longer than any configured one, which stands for an absent bound.
const NO_BOUND: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl JwtPolicy {
    /// The default source: `jti` if every token must have one, else the hash of a token that is bound to the request's
    /// body.
    fn own_rule(&self) -> Option<ReplayIdSource> {
        if self.required.iter().any(|name| name == "jti") {
            return Pointer::parse("jti").map(ReplayIdSource::Claim);
        }
        self.binds_body().then_some(ReplayIdSource::Hash)
    }

    fn is_bounded(&self) -> bool {
        self.required.iter().any(|name| name == "exp") || self.max_age.is_some() || self.time.is_some()
    }

    fn window(&self) -> Duration {
        let time = self.time.as_ref().map_or(NO_BOUND, |time| time.max_age);
        self.leeway.saturating_add(self.max_age.unwrap_or(NO_BOUND)).saturating_add(time)
    }

    /// The replay id of a verified token; `time` is the time that the policy's time rule found in it.
    pub(super) fn replay_id_of(
        &self,
        issuer: &Arc<str>,
        token: &str,
        claims: &Map<String, Value>,
        time: Option<UnixTime>,
    ) -> Result<Option<ReplayId>, Reason> {
        let Some(rule) = &self.replay_id else { return Ok(None) };
        let (kind, id) = match rule {
            ReplayIdSource::Claim(pointer) => ("claim", claimed(pointer, claims)?),
            ReplayIdSource::Hash => {
                ("hash", hash_of(token.rsplit_once('.').map_or("", |(signed, _)| signed).as_bytes()))
            }
            ReplayIdSource::Component(_) => return Err(Reason::MissingClaim),
        };
        let issued = claimed_time(claims, "iat");
        let expires = claimed_time(claims, "exp").map(|expires| expires.plus(self.leeway));
        let ages = issued.zip(self.max_age).map(|(issued, age)| issued.plus(age).plus(self.leeway));
        let stales = time.zip(self.time.as_ref()).map(|(at, rule)| at.plus(rule.max_age));
        let until = earliest([expires, ages, stales]).map(|until| until.plus(Duration::from_secs(1)));
        let first = issued.max(claimed_time(claims, "nbf")).map(|first| first.minus(self.leeway));
        let issued = first.max(time.zip(self.time.as_ref()).map(|(at, rule)| at.minus(rule.max_future)));
        Ok(Some(ReplayId { issuer: Arc::clone(issuer), kind, id, until, issued }))
    }
}
