//! Warnings of senders that share names, and of routes that accept each other's copies.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::jwt::{Audience, JwtPolicy};
use crate::auth::keys::Keys;
use crate::auth::message_signature::MessageSignaturePolicy;
use crate::auth::secret::Secret;
use crate::auth::signature::SignaturePolicy;
use crate::config::reader::Location;
use crate::route::duplicates::{DuplicateRules, ReplayScope};
use crate::route::{Limit, Route};

/// Secrets without names that one sender needs: the current one and the next one.
const ROTATING: usize = 2;

impl Compiler<'_> {
    /// Warns where several senders of a route may count as one.
    pub(super) fn warn_of_shared_names(&mut self, route: &Route, at: Location) {
        let counts = route.limits.sender != Limit::default();
        let has_keys = route.duplicates.as_ref().is_some_and(|rules| rules.idempotency.is_some());
        if !counts && route.duplicates.is_none() {
            return;
        }
        let mut unnamed: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for leaf in route.rules.policy.leaves() {
            let (name, secrets) = match leaf {
                Policy::Signature(policy) => (&*policy.name, &policy.secrets),
                Policy::Token(policy) => (&*policy.name, &policy.secrets),
                Policy::Jwt(policy) if (counts || has_keys) && self.lacks_subject(policy) => {
                    let warning = "all tokens of an issuer that have no `sub` count as one sender, whose idempotency keys \
                                   and limits they share; add `sub` to `required_claims`";
                    self.warn(at, warning);
                    continue;
                }
                Policy::Public if counts || has_keys => {
                    let warning =
                        "a public route has no senders: all clients share its idempotency keys and its limits";
                    self.warn(at, warning);
                    continue;
                }
                Policy::Jwt(_)
                | Policy::Detached(_)
                | Policy::MessageSignature(_)
                | Policy::ClientCertificate(_)
                | Policy::AllOf(_)
                | Policy::AnyOf(_)
                | Policy::Public => continue,
            };
            let count = secrets.iter().filter(|secret| is_unnamed(secret)).count();
            let (schemes, all) = unnamed.entry(name).or_default();
            *schemes += usize::from(count > 0);
            *all += count;
        }
        for (name, (schemes, secrets)) in unnamed {
            if schemes > 1 || secrets > ROTATING {
                let warning = format!(
                    "{secrets} secrets of {name} have no `sender`, and all of them count as one sender: if they belong to \
                     several, one can use up the event ids of another; set `sender`"
                );
                self.warn(at, &warning);
            }
        }
    }

    /// Warns of a secret that has different senders in two schemes of a route: both may accept the same signature.
    pub(super) fn warn_of_moved_signatures(&mut self, route: &Route, at: Location) {
        if route.duplicates.as_ref().is_none_or(|rules| rules.replay.is_none()) {
            return;
        }
        let holders = route.rules.policy.leaves().into_iter().filter_map(|leaf| match leaf {
            Policy::Signature(policy) => Some(policy.secrets.iter().map(|one| (one.digest, one.holder(&policy.name)))),
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::MessageSignature(_)
            | Policy::Token(_)
            | Policy::ClientCertificate(_)
            | Policy::AllOf(_)
            | Policy::AnyOf(_)
            | Policy::Public => None,
        });
        let holders: Vec<_> = holders.flatten().collect();
        let moved = |(digest, holder)| holders.iter().any(|(other, of)| other == digest && of != holder);
        if holders.iter().map(|(digest, holder)| (digest, holder)).any(moved) {
            let warning = "two schemes have the same secret, and are two senders: a copied request whose signature is moved to \
                           the other scheme's header may be accepted once more; give the secret the same `sender` in both";
            self.warn(at, warning);
        }
    }

    /// Whether the tokens of an issuer in gateway.yaml may have no subject. A preset's issuer is one provider.
    fn lacks_subject(&self, policy: &JwtPolicy) -> bool {
        let requires = policy.required_claims.iter().any(|name| name == "sub");
        !requires && policy.issuers.iter().any(|issuer| !issuer.preset)
    }

    /// Warns of routes that accept copies of each other's requests although one of them has replay protection.
    pub(super) fn warn_of_shared_credentials(&mut self, routes: &[(Location, Arc<Route>)]) {
        for (index, (at, route)) in routes.iter().enumerate() {
            let copies = |(_, other): &&(Location, Arc<Route>)| {
                is_protected(&route.duplicates, &other.duplicates)
                    && accepts_the_same(&route.rules.policy, &other.rules.policy)
            };
            if let Some((_, other)) = routes.iter().take(index).find(copies) {
                let warning = format!(
                    "accepts the credentials of route `{}`: a copied request passes once on each; set \
                     `replay_protection: {{ scope: credential }}` on both, or give each its own secret or audience",
                    other.name
                );
                self.warn(*at, &warning);
            }
        }
    }
}

fn is_unnamed(secret: &Secret) -> bool {
    secret.sender.is_none() && secret.id.is_none()
}

/// Whether a copy that one of these routes would reject as a duplicate passes on the other.
fn is_protected(one: &Option<DuplicateRules>, other: &Option<DuplicateRules>) -> bool {
    let scope = |rules: &Option<DuplicateRules>| rules.as_ref()?.replay.as_ref().map(|rule| rule.scope);
    match (scope(one), scope(other)) {
        (None, None) | (Some(ReplayScope::Credential), Some(ReplayScope::Credential)) => false,
        (Some(_), _) | (_, Some(_)) => true,
    }
}

/// Whether one request may satisfy a scheme of each policy. Copies to another URL do not, where it is signed.
fn accepts_the_same(one: &Policy, other: &Policy) -> bool {
    let others = other.leaves();
    one.leaves().into_iter().any(|leaf| {
        others.iter().any(|other| match (leaf, other) {
            (Policy::Signature(one), Policy::Signature(other)) => have_common_secret(one, other),
            (Policy::Jwt(one), Policy::Jwt(other)) => have_common_audience(one, other),
            (Policy::MessageSignature(one), Policy::MessageSignature(other)) => have_common_key(one, other),
            (
                Policy::Jwt(_)
                | Policy::Signature(_)
                | Policy::Detached(_)
                | Policy::MessageSignature(_)
                | Policy::Token(_)
                | Policy::ClientCertificate(_)
                | Policy::AllOf(_)
                | Policy::AnyOf(_)
                | Policy::Public,
                _,
            ) => false,
        })
    })
}

fn have_common_secret(one: &SignaturePolicy, other: &SignaturePolicy) -> bool {
    let signs_path = |policy: &SignaturePolicy| policy.signs_url() || policy.signs_path();
    let common = |secret: &Secret| other.secrets.iter().any(|other| other.digest == secret.digest);
    let is_common = one.secrets.iter().any(common) || one.secrets.has_common_tenants(&other.secrets);
    !signs_path(one) && !signs_path(other) && is_common
}

fn have_common_key(one: &MessageSignaturePolicy, other: &MessageSignaturePolicy) -> bool {
    let digests = |policy: &MessageSignaturePolicy| match &policy.issuer.keys {
        Keys::Fixed(set) => (0..set.len()).filter_map(|place| Some(set.get(place)?.digest)).collect(),
        Keys::Remote(_) | Keys::Chain(_) | Keys::OfTenants(_) => Vec::new(),
    };
    let named = (one.issuer.preset, &one.issuer.name) == (other.issuer.preset, &other.issuer.name);
    let others = digests(other);
    let common = (named && !one.issuer.preset) || digests(one).iter().any(|digest| others.contains(digest));
    !one.signs_path() && !other.signs_path() && common
}

fn have_common_audience(one: &JwtPolicy, other: &JwtPolicy) -> bool {
    let is_bound = |policy: &JwtPolicy| policy.bindings.binds_url();
    let issuer = one.issuers.iter().any(|issuer| {
        other
            .issuers
            .iter()
            .any(|other| (issuer.preset, &issuer.name, &issuer.iss) == (other.preset, &other.name, &other.iss))
    });
    let audience = match (&one.audience, &other.audience) {
        (Audience::OneOf(ours) | Audience::OfTenant(ours), Audience::OneOf(theirs) | Audience::OfTenant(theirs)) => {
            ours.iter().any(|one| theirs.contains(one))
        }
        (Audience::Any, _) | (_, Audience::Any) => true,
    };
    !is_bound(one) && !is_bound(other) && issuer && audience
}
