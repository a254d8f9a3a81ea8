//! Replay protection of a policy: from where each scheme takes the replay id, and how long its credentials stay valid.

use std::time::Duration;

use super::claims::Pointer;
use super::jwt::JwtReplayId;
use super::locator::Locator;
use super::message_signature::{MessageReplayId, SignatureParameter};
use super::policy::Policy;
use super::signature::{Component, SignatureReplayId};

/// The source of the replay id, as the configuration of a route states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayIdSource {
    /// A verified claim.
    Claim(Pointer),
    /// A signed component of the request.
    Component(Component),
    /// The SHA-256 of everything that was signed.
    Hash,
}

/// Why a policy cannot give requests a replay id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReplayId {
    /// The policy signs no data that differs from request to request, or the id source does not fit the scheme.
    NoId,
    /// The component is not signed.
    Unsigned,
    /// Two events may have the same signed content.
    Repeats,
    /// Its credentials do not expire.
    Endless,
}

impl Policy {
    /// Sets the source of the replay id for the scheme, or for the schemes of a combination: `source`, or each scheme's
    /// default if there is none. `has_ttl` is true if the route has a `ttl`, which credentials without an expiry
    /// need.
    ///
    /// # Errors
    /// [`NoReplayId`]. An `any_of` needs an id from each alternative, an `all_of` from one of its policies.
    pub fn identify(&mut self, source: Option<&ReplayIdSource>, has_ttl: bool) -> Result<(), NoReplayId> {
        let check_end = |bounded| if bounded || has_ttl { Ok(()) } else { Err(NoReplayId::Endless) };
        match self {
            Self::AllOf(policies) => {
                let mut why = NoReplayId::NoId;
                for policy in policies {
                    match policy.identify(source, has_ttl) {
                        Ok(()) => return Ok(()),
                        Err(NoReplayId::NoId) => {}
                        Err(nearer) => why = nearer,
                    }
                }
                Err(why)
            }
            Self::AnyOf(policies) => policies.iter_mut().try_for_each(|policy| policy.identify(source, has_ttl)),
            Self::Token(_) | Self::ClientCertificate(_) | Self::Public => Err(NoReplayId::NoId),
            Self::Jwt(policy) => {
                let chosen = match source {
                    None => policy.default_replay_id().ok_or(NoReplayId::NoId)?,
                    Some(ReplayIdSource::Claim(pointer)) => JwtReplayId::Claim(pointer.clone()),
                    Some(ReplayIdSource::Hash) => JwtReplayId::Hash,
                    Some(ReplayIdSource::Component(_)) => return Err(NoReplayId::NoId),
                };
                check_end(policy.is_bounded())?;
                policy.replay_id = Some(chosen);
                Ok(())
            }
            Self::Detached(policy) => match source {
                None | Some(ReplayIdSource::Hash) => {
                    check_end(policy.time.is_some())?;
                    policy.replay_id = true;
                    Ok(())
                }
                Some(ReplayIdSource::Claim(_) | ReplayIdSource::Component(_)) => Err(NoReplayId::NoId),
            },
            Self::MessageSignature(policy) => {
                let chosen = match source {
                    None if policy.required_parameters.contains(&SignatureParameter::Nonce) => MessageReplayId::Nonce,
                    None | Some(ReplayIdSource::Hash) => MessageReplayId::Hash,
                    Some(ReplayIdSource::Component(Component::Located(Locator::Header { name, scheme: None }, _))) => {
                        if !policy.signs_header(name) {
                            return Err(NoReplayId::Unsigned);
                        }
                        MessageReplayId::Header(name.clone())
                    }
                    Some(ReplayIdSource::Component(_) | ReplayIdSource::Claim(_)) => return Err(NoReplayId::NoId),
                };
                policy.replay_id = Some(chosen);
                Ok(())
            }
            Self::Signature(policy) => {
                let chosen = match source {
                    None => match &policy.id {
                        Some(id) => SignatureReplayId::Component(id.clone()),
                        None if policy.repeats => return Err(NoReplayId::Repeats),
                        None => SignatureReplayId::Hash,
                    },
                    Some(ReplayIdSource::Hash) => SignatureReplayId::Hash,
                    Some(ReplayIdSource::Component(component)) if component.is_covered_by(&policy.signed_payload) => {
                        SignatureReplayId::Component(component.clone())
                    }
                    Some(ReplayIdSource::Component(_)) => return Err(NoReplayId::Unsigned),
                    Some(ReplayIdSource::Claim(_)) => return Err(NoReplayId::NoId),
                };
                check_end(policy.time.is_some())?;
                policy.replay_id = Some(chosen);
                Ok(())
            }
        }
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
            Self::MessageSignature(policy) => policy.max_age.saturating_add(policy.leeway),
            Self::Signature(policy) => policy.time.as_ref().map_or(Duration::ZERO, |time| time.max_age),
            Self::Token(_) | Self::ClientCertificate(_) | Self::Public => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
