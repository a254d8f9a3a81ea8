//! The authentication decision: given a request and the current time, returns a [`Grant`] or a [`VerifyError`].
//!
//! This code is pure: it does not wait, read a clock, a file or a socket, write logs or update metrics. The gateway
//! calls it for each request; `hookgate explain` calls it to report the gateway's decision.

pub mod binding;
pub mod challenge;
pub mod claims;
pub mod client_certificate;
pub mod combinators;
pub mod detached;
pub mod explanation;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod locator;
mod rejection;
pub mod replay_id;
pub mod request;
pub mod revocation;
pub mod signature;
pub mod static_token;
pub mod time;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use http::HeaderName;

use crate::clock::UnixTime;
use client_certificate::CertificateRule;
use detached::DetachedPolicy;
use explanation::Explanation;
use jwt::{JwtPolicy, SignatureCheck};
use locator::Locator;
pub use rejection::{Reason, Rejection, VerifyError};
use replay_id::ReplayId;
pub use request::RequestView;
use revocation::{Revocable, RevocationHandle};
use signature::SignaturePolicy;
use static_token::StaticTokenPolicy;
use time::TimestampRule;

/// The authentication rules of a route.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The credentials that a request must carry.
    pub policy: Policy,
    /// The list of revoked tokens, if the route has one.
    pub revocation: Option<Arc<RevocationHandle>>,
    /// The timestamp required in addition to the credential, if the route has such a rule.
    pub timestamp: Option<TimestampRule>,
    /// The headers that the policy and the timestamp rule read, computed by [`Rules::new`].
    headers: Vec<HeaderName>,
}

/// An authentication policy: the credentials that a request must carry.
#[derive(Clone, Debug)]
pub enum Policy {
    /// A JWT (RFC 7519) that satisfies these rules.
    Jwt(Box<JwtPolicy>),
    /// A detached JWS over the request (RFC 7515 appendix F).
    Detached(Box<DetachedPolicy>),
    /// A signature over the request, by HMAC or a public key.
    Signature(Box<SignaturePolicy>),
    /// A client certificate (mTLS) that this rule allows.
    ClientCertificate(Box<CertificateRule>),
    /// A static token.
    Token(Box<StaticTokenPolicy>),
    /// All of these policies must grant.
    AllOf(Vec<Policy>),
    /// At least one of these policies must grant, and so must every one whose credential is present.
    AnyOf(Vec<Policy>),
    /// No credential is required (`auth: public`).
    Public,
}

/// Proof that [`verify`] accepted a request, with the identity that its credentials prove. Only this module builds one.
#[derive(Debug, Default)]
pub struct Grant {
    issuer: Option<Arc<str>>,
    kid: Option<String>,
    claims: Arc<serde_json::Map<String, serde_json::Value>>,
    secrets: Vec<usize>,
    signed: Option<SignatureCheck>,
    replay_id: Option<ReplayId>,
    /// The grants of the request's other credentials: the upstream may read those too.
    others: Vec<Grant>,
}

impl Grant {
    /// The issuer's name in gateway.yaml, or the preset's; `None` if the policy has no issuer, as on a public route.
    pub fn issuer(&self) -> Option<&Arc<str>> {
        self.issuer.as_ref()
    }

    /// The key id (`kid`) in the token, or else that of the key that verified it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The verified claims of the token; empty if there is no token.
    pub fn claims(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.claims
    }

    /// The `sub` claim, if it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(serde_json::Value::as_str)
    }

    /// The replay ids of all credentials that were present, if the route uses replay protection. All of them count:
    /// otherwise an attacker could replay a request with one credential left out and count as a new sender.
    pub fn replay_ids(&self) -> impl Iterator<Item = &ReplayId> {
        self.each().filter_map(|grant| grant.replay_id.as_ref())
    }

    /// The attributes by which its tokens can be revoked: `jti`, `sub`, key id and issue time of each token.
    pub fn revocables(&self) -> impl Iterator<Item = Revocable<'_>> {
        self.each().filter(|grant| grant.kid.is_some() || !grant.claims.is_empty()).map(revocation::revocable)
    }

    /// How the token's signature was verified: by the key, or by an earlier verification that is still cached.
    pub fn signed(&self) -> Option<SignatureCheck> {
        self.signed
    }

    /// The indices of the route's secrets that verified the request.
    pub fn secrets(&self) -> &[usize] {
        &self.secrets
    }
}

/// The verdict on a request that may be forwarded.
#[derive(Debug)]
pub enum Permit {
    /// The policy granted the request.
    Granted(Grant),
    /// The request would have been rejected, but the route is in dry-run mode: it is forwarded without any identity.
    Observed(Rejection),
}

/// Decides a request by the policy, the revocation list and the timestamp rule.
///
/// # Errors
/// The first rule that does not hold, or [`VerifyError::NeedsBody`] if every rule holds that can be evaluated without the
/// body.
pub fn verify(rules: &Rules, request: &RequestView<'_>, now: UnixTime) -> Result<Grant, VerifyError> {
    verify_explained(rules, request, now, &mut Explanation::off())
}

/// Like [`verify`], and records each check in `explanation`.
///
/// # Errors
/// The same as those of [`verify`].
pub fn verify_explained(
    rules: &Rules,
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Grant, VerifyError> {
    let evaluated = rules.policy.evaluate(request, now, explanation);
    let in_head = rules.timestamp.as_ref().filter(|rule| rule.source.header().is_some());
    if let (Err(VerifyError::NeedsBody), Some(timestamp)) = (&evaluated, in_head) {
        // The body of a request with an old timestamp is not read.
        timestamp.check(request, &serde_json::Map::new(), now, explanation)?;
    }
    let grant = evaluated.map_err(|error| rules.policy.unread(request, error))?;
    let proven = |error: VerifyError| match &grant.issuer {
        Some(issuer) => error.proven(issuer),
        None => error,
    };
    if rules.revocation.as_ref().is_some_and(|list| list.revokes(&grant)) {
        return Err(proven(Reason::Revoked.into()));
    }
    if let Some(timestamp) = &rules.timestamp {
        timestamp.check(request, &grant.claims, now, explanation).map_err(proven)?;
    }
    Ok(grant)
}

impl Policy {
    /// Evaluates one scheme, or a combination of schemes.
    fn evaluate(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        match self {
            Self::Public => Ok(Grant::default()),
            Self::Jwt(policy) => {
                let verified = policy.verify(request, now, explanation)?;
                let secrets = verified.secret.into_iter().collect();
                let (issuer, kid, claims) = (Some(verified.issuer), verified.kid, verified.claims);
                let (signed, replay_id) = (Some(verified.signed), verified.replay_id);
                Ok(Grant { issuer, kid, claims, secrets, signed, replay_id, ..Grant::default() })
            }
            Self::Detached(policy) => {
                let verified = policy.verify(request, now, explanation)?;
                let (issuer, kid, replay_id) = (Some(verified.issuer), verified.kid, verified.replay_id);
                Ok(Grant { issuer, kid, replay_id, ..Grant::default() })
            }
            Self::Signature(policy) => {
                let signed = policy.verify(request, now, explanation)?;
                let (issuer, secrets) = (Some(Arc::clone(&policy.name)), vec![signed.secret]);
                Ok(Grant { issuer, secrets, replay_id: signed.replay_id, ..Grant::default() })
            }
            Self::ClientCertificate(rule) => {
                evaluate_certificate(rule, request, now, explanation).map(|()| Grant::default())
            }
            Self::Token(policy) => {
                Ok(Grant { secrets: vec![policy.verify(request, explanation)?], ..Grant::default() })
            }
            Self::AllOf(policies) => combinators::all_of(policies, request, now, explanation),
            Self::AnyOf(policies) => combinators::any_of(policies, request, now, explanation),
        }
    }

    /// The name of the scheme: the label `scheme` of `hookgate_verify_duration_seconds`.
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Jwt(_) => "jwt",
            Self::Detached(_) => "detached_jws",
            Self::Signature(_) => "signature",
            Self::ClientCertificate(_) => "client_certificate",
            Self::Token(_) => "static_token",
            Self::AllOf(_) => "all_of",
            Self::AnyOf(_) => "any_of",
            Self::Public => "public",
        }
    }

    /// The single-scheme policies of a combination, at any depth; the policy itself if it is not a combination.
    pub fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::AllOf(policies) | Self::AnyOf(policies) => policies.iter().flat_map(Self::leaves).collect(),
            Self::Jwt(_)
            | Self::Detached(_)
            | Self::Signature(_)
            | Self::ClientCertificate(_)
            | Self::Token(_)
            | Self::Public => vec![self],
        }
    }

    /// Whether every request that passes carries a signature over its body, whichever alternative of an `any_of` it
    /// uses.
    pub fn binds_body(&self) -> bool {
        match self {
            Self::Jwt(policy) => policy.binds_body(),
            Self::Detached(_) => true,
            Self::Signature(policy) => policy.binds_body(),
            Self::AllOf(policies) => policies.iter().any(Self::binds_body),
            Self::AnyOf(policies) => policies.iter().all(Self::binds_body),
            Self::ClientCertificate(_) | Self::Token(_) | Self::Public => false,
        }
    }

    /// Whether the policy reads the client certificate, which is valid only for the host name (SNI) of its connection.
    pub fn looks_at_certificates(&self) -> bool {
        match self {
            Self::ClientCertificate(_) => true,
            Self::Jwt(policy) => policy.bindings.certificate,
            Self::AllOf(policies) | Self::AnyOf(policies) => policies.iter().any(Self::looks_at_certificates),
            Self::Detached(_) | Self::Signature(_) | Self::Token(_) | Self::Public => false,
        }
    }

    /// The headers that carry a credential and nothing else.
    pub fn credential_headers(&self) -> Vec<&HeaderName> {
        self.leaves().into_iter().flat_map(Self::places).filter_map(Locator::header).collect()
    }

    /// The places in which a single scheme looks for its credential; none for a combination.
    pub fn places(&self) -> &[Locator] {
        match self {
            Self::Jwt(policy) => std::slice::from_ref(&policy.token),
            Self::Detached(policy) => std::slice::from_ref(&policy.token),
            Self::Signature(policy) => &policy.places,
            Self::Token(policy) => std::slice::from_ref(&policy.place),
            Self::ClientCertificate(_) | Self::AllOf(_) | Self::AnyOf(_) | Self::Public => &[],
        }
    }
}

impl Policy {
    /// Turns `missing_credential` into `malformed_body` if the credential can only be in a JSON body, and the request
    /// has a body that is not a JSON object.
    fn unread(&self, request: &RequestView<'_>, error: VerifyError) -> VerifyError {
        let places = self.places();
        let in_json = !places.is_empty() && places.iter().all(Locator::is_json);
        let missing = error.reason() == Some(Reason::MissingCredential);
        let has_body = request.body.is_some_and(|body| !body.is_empty());
        let unreadable = missing && in_json && has_body && request.json() == Ok(None);
        if unreadable { Reason::MalformedBody.into() } else { error }
    }
}

fn evaluate_certificate(
    rule: &CertificateRule,
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<(), VerifyError> {
    let client = request.client.ok_or(Reason::MissingCredential)?;
    let trusted = client.is_trusted(now);
    explanation.add("client certificate", || {
        if trusted { "is trusted" } else { "is not trusted, or no longer trusted" }.into()
    });
    if trusted && rule.admits(client.certificate) { Ok(()) } else { Err(Reason::CertificateNotAllowed.into()) }
}

impl Rules {
    /// Builds the rules and derives the list of headers that they read.
    pub fn new(policy: Policy, revocation: Option<Arc<RevocationHandle>>, timestamp: Option<TimestampRule>) -> Self {
        let mut headers: Vec<HeaderName> = policy.credential_headers().into_iter().cloned().collect();
        for leaf in policy.leaves() {
            if let Policy::Signature(policy) = leaf {
                headers.extend(policy.headers().cloned());
            }
        }
        headers.extend(timestamp.as_ref().and_then(|rule| rule.source.header()).cloned());
        Self { policy, revocation, timestamp, headers }
    }

    /// The headers that the decision reads. The upstream could read a header whose name is another spelling of one of
    /// these (`x_sig` for `x-sig`) instead of the verified one.
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }
}

impl Grant {
    /// Merges two grants: the identity of `self`, completed from `other`, and the secrets of both.
    fn and(mut self, mut other: Self) -> Self {
        self.issuer = self.issuer.or_else(|| other.issuer.clone());
        self.kid = self.kid.or_else(|| other.kid.clone());
        if self.claims.is_empty() {
            std::mem::swap(&mut self.claims, &mut other.claims);
        }
        self.secrets.extend(&other.secrets);
        self.beside(other)
    }

    /// Keeps the identity of `self`; `other` is added to the grants of other credentials.
    fn beside(mut self, mut other: Self) -> Self {
        self.others.append(&mut other.others);
        self.others.push(other);
        self
    }

    /// This grant and those of the other credentials.
    fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

#[cfg(test)]
mod tests;
