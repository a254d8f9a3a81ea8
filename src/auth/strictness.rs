//! Compares two policies: whether one accepts a credential that the other rejects. Read when the configuration is
//! compiled, to find routes by which another route could be bypassed.

use std::sync::Arc;

use super::detached::DetachedPolicy;
use super::issuer::Issuer;
use super::jwt::JwtPolicy;
use super::keys::Keys;
use super::message_signature::MessageSignaturePolicy;
use super::policy::Policy;
use super::secret::Secret;
use super::signature::SignaturePolicy;
use super::tenants::Secrets;

/// The proof that a policy requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// No proof: `auth: public`.
    None,
    /// Proof of the sender, by a static token or a client certificate.
    Sender,
    /// A token or a signature made with the key of the sender.
    Signed,
}

impl Policy {
    /// The strength of the policy: of `all_of` the strongest part, of `any_of` the weakest.
    pub fn strength(&self) -> Strength {
        match self {
            Self::Public => Strength::None,
            Self::ClientCertificate(_) | Self::Token(_) => Strength::Sender,
            Self::Jwt(_) | Self::Detached(_) | Self::MessageSignature(_) | Self::Signature(_) => Strength::Signed,
            Self::AllOf(parts) => parts.iter().map(Self::strength).max().unwrap_or(Strength::None),
            Self::AnyOf(parts) => parts.iter().map(Self::strength).min().unwrap_or(Strength::None),
        }
    }

    /// Whether `other` accepts every credential that this policy accepts. Two settings of which neither implies the
    /// other count as different.
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Public) => true,
            (Self::AnyOf(parts), _) => parts.iter().all(|part| part.is_as_strict_as(other)),
            (_, Self::AllOf(parts)) => parts.iter().all(|part| self.is_as_strict_as(part)),
            (Self::AllOf(parts), Self::AnyOf(others)) => {
                others.iter().any(|part| self.is_as_strict_as(part))
                    || parts.iter().any(|part| part.is_as_strict_as(other))
            }
            (Self::AllOf(parts), _) => parts.iter().any(|part| part.is_as_strict_as(other)),
            (_, Self::AnyOf(parts)) => parts.iter().any(|part| self.is_as_strict_as(part)),
            (Self::Jwt(mine), Self::Jwt(theirs)) => is_jwt_as_strict(mine, theirs),
            (Self::Detached(mine), Self::Detached(theirs)) => is_detached_as_strict(mine, theirs),
            (Self::MessageSignature(mine), Self::MessageSignature(theirs)) => is_message_as_strict(mine, theirs),
            (Self::Signature(mine), Self::Signature(theirs)) => is_signature_as_strict(mine, theirs),
            (Self::Token(mine), Self::Token(theirs)) => {
                mine.place == theirs.place && all_among(&mine.secrets, &theirs.secrets)
            }
            (Self::ClientCertificate(mine), Self::ClientCertificate(theirs)) => {
                mine == theirs || theirs.allows_every_certificate()
            }
            (
                Self::Jwt(_)
                | Self::Detached(_)
                | Self::MessageSignature(_)
                | Self::Signature(_)
                | Self::ClientCertificate(_)
                | Self::Token(_)
                | Self::Public,
                _,
            ) => false,
        }
    }
}

fn is_jwt_as_strict(mine: &JwtPolicy, theirs: &JwtPolicy) -> bool {
    let issuers = mine.issuers.iter().all(|issuer| theirs.issuers.iter().any(|other| is_same_issuer(issuer, other)));
    // The text of the settings, of which some have no equality; it contains no keys.
    let rules =
        |policy: &JwtPolicy| format!("{:?}", JwtPolicy { issuers: Vec::new(), replay_id: None, ..policy.clone() });
    issuers && mine.audience == theirs.audience && rules(mine) == rules(theirs)
}

fn is_detached_as_strict(mine: &DetachedPolicy, theirs: &DetachedPolicy) -> bool {
    let rules = |policy: &DetachedPolicy| format!("{:?}", (&policy.payload, &policy.token, &policy.time));
    is_same_issuer(&mine.issuer, &theirs.issuer) && rules(mine) == rules(theirs)
}

/// The keys of a route are its own: those of two routes count as different.
fn is_message_as_strict(mine: &MessageSignaturePolicy, theirs: &MessageSignaturePolicy) -> bool {
    let rules = |policy: &MessageSignaturePolicy| {
        let times = (&policy.required_parameters, policy.max_age, policy.leeway);
        format!("{:?}", (&policy.label, &policy.tag, &policy.required, policy.requires_digest, times))
    };
    is_same_issuer(&mine.issuer, &theirs.issuer) && rules(mine) == rules(theirs)
}

fn is_signature_as_strict(mine: &SignaturePolicy, theirs: &SignaturePolicy) -> bool {
    let rules = |policy: &SignaturePolicy| {
        format!("{:?}", SignaturePolicy { secrets: Secrets::default(), replay_id: None, ..policy.clone() })
    };
    all_among(&mine.secrets, &theirs.secrets) && rules(mine) == rules(theirs)
}

/// Presets build their keys for each route: theirs count as different.
fn is_same_issuer(mine: &Issuer, theirs: &Issuer) -> bool {
    let same_keys = match (&mine.keys, &theirs.keys) {
        (Keys::Fixed(mine), Keys::Fixed(theirs)) => Arc::ptr_eq(mine, theirs),
        (Keys::Remote(mine), Keys::Remote(theirs)) => Arc::ptr_eq(mine, theirs),
        (Keys::Chain(mine), Keys::Chain(theirs)) => Arc::ptr_eq(mine, theirs),
        (Keys::OfTenants(mine), Keys::OfTenants(theirs)) => Arc::ptr_eq(mine, theirs),
        (Keys::Fixed(_) | Keys::Remote(_) | Keys::Chain(_) | Keys::OfTenants(_), _) => false,
    };
    same_keys && mine.name == theirs.name
}

fn all_among(mine: &Secrets, theirs: &Secrets) -> bool {
    let has = |secret: &Secret| theirs.iter().any(|other| secret.id == other.id && secret.key.is_same_as(&other.key));
    mine.has_same_tenants(theirs) && mine.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::certificate_rule::CertificateRule;

    fn only(certificate: u8) -> Policy {
        Policy::ClientCertificate(Box::new(CertificateRule { sans: Vec::new(), sha256: vec![[certificate; 32]] }))
    }

    #[test]
    fn a_policy_is_as_strict_as_one_that_accepts_all_of_its_credentials() {
        let all = || Policy::AllOf(vec![only(1), only(2)]);
        let any = || Policy::AnyOf(vec![all(), only(3)]);
        for policy in [Policy::Public, only(1), all(), any(), Policy::AllOf(vec![any(), only(4)])] {
            assert!(policy.is_as_strict_as(&policy) && policy.is_as_strict_as(&Policy::Public), "{policy:?}");
        }
        for (stricter, weaker) in [(all(), only(1)), (all(), any()), (only(3), any()), (only(1), Policy::Public)] {
            assert!(stricter.is_as_strict_as(&weaker), "{stricter:?} {weaker:?}");
            assert!(!weaker.is_as_strict_as(&stricter), "{weaker:?} {stricter:?}");
        }
        assert!(!only(1).is_as_strict_as(&only(2)) && !only(1).is_as_strict_as(&any()));
    }
}
