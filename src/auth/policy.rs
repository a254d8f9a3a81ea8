//! The authentication policy of a route: one scheme, or a combination of schemes by `all_of` and `any_of`. Called by
//! [`super::verify`].

mod unread;

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;

use super::certificate_rule::CertificateRule;
use super::detached::DetachedPolicy;
use super::explanation::Explanation;
use super::grant::Grant;
use super::issuer::IssuerClaim;
use super::jwt::JwtPolicy;
use super::locator::Locator;
use super::message_signature::MessageSignaturePolicy;
use super::rejection::{Rejection, VerifyError};
use super::request::RequestView;
use super::sender::KeyDigest;
use super::signature::SignaturePolicy;
use super::static_token::StaticTokenPolicy;
use super::tenants::{Secrets, TenantSecrets};
use crate::clock::UnixTime;
use crate::reason::Reason;
use crate::rows::rows;

/// An authentication policy: the credentials that a request must carry.
#[derive(Clone, Debug)]
pub enum Policy {
    /// A JWT (RFC 7519) that satisfies these rules.
    Jwt(Box<JwtPolicy>),
    /// A detached JWS over the request (RFC 7515 appendix F).
    Detached(Box<DetachedPolicy>),
    /// An HTTP Message Signature (RFC 9421).
    MessageSignature(Box<MessageSignaturePolicy>),
    /// A signature over the request, by HMAC or a public key.
    Signature(Box<SignaturePolicy>),
    /// A client certificate (mTLS) that this rule allows.
    ClientCertificate(Box<CertificateRule>),
    /// A static token.
    Token(Box<StaticTokenPolicy>),
    /// All of these policies must grant.
    AllOf(Vec<Policy>),
    /// At least one of these policies must grant, and so must one of each credential that is present.
    AnyOf(Vec<Policy>),
    /// No credential is required (`auth: public`).
    Public,
}

rows! {
    /// The kind of a policy.
    pub enum PolicyKind;
    /// The label `scheme` of `hookgate_verify_duration_seconds`.
    pub fn label -> &'static str, meaning;
    /// A JSON Web Token.
    Jwt = "jwt";
    /// A detached JWS over the request.
    DetachedJws = "detached_jws";
    /// An HTTP Message Signature (RFC 9421).
    MessageSignature = "http_message_signature";
    /// A signature over the request.
    Signature = "signature";
    /// A static token.
    StaticToken = "static_token";
    /// A client certificate (mTLS).
    ClientCertificate = "client_certificate";
    /// Several schemes, all of which must accept the request.
    AllOf = "all_of";
    /// Several schemes, one of which must accept the request.
    AnyOf = "any_of";
    /// No authentication.
    Public = "public";
}

impl Policy {
    /// Evaluates one scheme, or a combination of schemes.
    pub(super) fn evaluate(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let evaluated = match self {
            Self::Public => Ok(Grant::anonymous()),
            Self::Jwt(policy) => policy.verify(request, now, explanation),
            Self::Detached(policy) => policy.verify(request, now, explanation),
            Self::MessageSignature(policy) => policy.verify(request, now, explanation),
            Self::Signature(policy) => policy.verify(request, now, explanation),
            Self::ClientCertificate(rule) => rule.verify(request, now, explanation),
            Self::Token(policy) => policy.verify(request, explanation),
            Self::AllOf(policies) => return all_of(policies, request, now, explanation),
            Self::AnyOf(policies) => return any_of(policies, request, now, explanation),
        };
        if let Err(VerifyError::Rejected(Rejection { detail: Some(detail), .. })) = &evaluated {
            explanation.add("detail", || detail.to_string());
        }
        evaluated
    }

    /// Its scheme, or its combination of schemes.
    pub const fn kind(&self) -> PolicyKind {
        match self {
            Self::Jwt(_) => PolicyKind::Jwt,
            Self::Detached(_) => PolicyKind::DetachedJws,
            Self::MessageSignature(_) => PolicyKind::MessageSignature,
            Self::Signature(_) => PolicyKind::Signature,
            Self::ClientCertificate(_) => PolicyKind::ClientCertificate,
            Self::Token(_) => PolicyKind::StaticToken,
            Self::AllOf(_) => PolicyKind::AllOf,
            Self::AnyOf(_) => PolicyKind::AnyOf,
            Self::Public => PolicyKind::Public,
        }
    }

    /// The single-scheme policies of a combination, at any depth; the policy itself if it is not a combination.
    pub fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::AllOf(policies) | Self::AnyOf(policies) => policies.iter().flat_map(Self::leaves).collect(),
            Self::Jwt(_)
            | Self::Detached(_)
            | Self::MessageSignature(_)
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
            Self::MessageSignature(policy) => policy.binds_body(),
            Self::Signature(policy) => policy.binds_body(),
            Self::AllOf(policies) => policies.iter().any(Self::binds_body),
            Self::AnyOf(policies) => policies.iter().all(Self::binds_body),
            Self::ClientCertificate(_) | Self::Token(_) | Self::Public => false,
        }
    }

    /// Whether every request that passes is verified with a secret or a token of the tenant in its path, whichever
    /// alternative of an `any_of` it uses.
    pub fn binds_tenant(&self) -> bool {
        match self {
            Self::Signature(policy) => policy.secrets.tenants.is_some(),
            Self::Token(policy) => policy.secrets.tenants.is_some(),
            Self::AllOf(policies) => policies.iter().any(Self::binds_tenant),
            Self::AnyOf(policies) => policies.iter().all(Self::binds_tenant),
            Self::Jwt(policy) => policy.binds_tenant(),
            Self::Detached(_) | Self::MessageSignature(_) | Self::ClientCertificate(_) | Self::Public => false,
        }
    }

    /// The folders with the secrets of tenants.
    pub fn tenants(&self) -> Vec<&Arc<TenantSecrets>> {
        self.secrets().filter_map(|secrets| secrets.tenants.as_ref()).collect()
    }

    /// The secrets that gateway.yaml lists, by their index.
    pub fn listed_secrets(&self) -> HashMap<usize, KeyDigest> {
        self.secrets().flat_map(|secrets| secrets.iter().map(|secret| (secret.index, secret.digest))).collect()
    }

    fn secrets(&self) -> impl Iterator<Item = &Secrets> {
        self.leaves().into_iter().filter_map(|leaf| match leaf {
            Self::Signature(policy) => Some(&policy.secrets),
            Self::Token(policy) => Some(&policy.secrets),
            Self::Jwt(_)
            | Self::Detached(_)
            | Self::MessageSignature(_)
            | Self::ClientCertificate(_)
            | Self::AllOf(_)
            | Self::AnyOf(_)
            | Self::Public => None,
        })
    }

    /// The first tenant of a folder or an issuer, for which `hookgate sign` signs unless its URL names another one.
    pub fn first_tenant(&self) -> Option<Arc<str>> {
        let of_issuer = |leaf: &Self| {
            let Self::Jwt(policy) = leaf else { return None };
            let IssuerClaim::Tenants(_, tenants) = &policy.issuers.first()?.iss else { return None };
            tenants.first().map(|name| name.as_str().into())
        };
        let of_folder = self.tenants().first().and_then(|tenants| tenants.first());
        of_folder.or_else(|| self.leaves().into_iter().find_map(of_issuer))
    }

    /// Whether all requests that pass have the same sender. Tokens of one issuer may have different subjects.
    pub fn has_one_sender(&self) -> bool {
        let one = |secrets: &Secrets| {
            if secrets.tenants.is_some() {
                return false;
            }
            let mut names = secrets.iter().map(|secret| secret.sender.as_ref().ok_or(&secret.id));
            names.next().is_none_or(|first| names.all(|other| other == first))
        };
        match self {
            Self::Public | Self::Detached(_) => true,
            Self::MessageSignature(policy) => policy.has_one_sender(),
            Self::Signature(policy) => one(&policy.secrets),
            Self::Token(policy) => one(&policy.secrets),
            Self::ClientCertificate(rule) => rule.sans.len() + rule.sha256.len() == 1,
            Self::AllOf(policies) => policies.iter().all(Self::has_one_sender),
            Self::Jwt(_) | Self::AnyOf(_) => false,
        }
    }

    /// Whether the policy reads the client certificate, which is valid only for the host name (SNI) of its connection.
    pub fn looks_at_certificates(&self) -> bool {
        match self {
            Self::ClientCertificate(_) => true,
            Self::Jwt(policy) => policy.bindings.certificate,
            Self::AllOf(policies) | Self::AnyOf(policies) => policies.iter().any(Self::looks_at_certificates),
            Self::Detached(_) | Self::MessageSignature(_) | Self::Signature(_) | Self::Token(_) | Self::Public => false,
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
            Self::MessageSignature(policy) => &policy.places,
            Self::Signature(policy) => &policy.places,
            Self::Token(policy) => std::slice::from_ref(&policy.place),
            Self::ClientCertificate(_) | Self::AllOf(_) | Self::AnyOf(_) | Self::Public => &[],
        }
    }

    /// Whether both policies are single schemes that read the same credential, which can satisfy either of them.
    pub fn reads_credential_of(&self, other: &Self) -> bool {
        let lists = match (self, other) {
            (Self::Signature(one), Self::Signature(other)) => (one.parse.list_prefix(), other.parse.list_prefix()),
            _ => (None, None),
        };
        !self.places().is_empty() && self.places() == other.places() && lists.0 == lists.1
    }

    /// Whether both find their signatures in one list by different prefixes, so that neither reads those of the other.
    pub fn tells_apart(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Signature(one), Self::Signature(other)) => one.parse.tells_apart(&other.parse),
            _ => false,
        }
    }
}

/// Grants if every policy grants. The first rejection ends the evaluation, even if another policy still needs the body:
/// the body of a rejected request is not read.
fn all_of(
    policies: &[Policy],
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Grant, VerifyError> {
    let (mut granted, mut needs_body) = (Grant::anonymous(), false);
    for policy in policies {
        match policy.evaluate(request, now, explanation) {
            Ok(grant) => granted = granted.and(grant),
            Err(VerifyError::NeedsBody) => needs_body = true,
            Err(rejection) => return Err(rejection),
        }
    }
    if needs_body { Err(VerifyError::NeedsBody) } else { Ok(granted) }
}

/// Grants if at least one policy grants and every credential that is present is accepted. Otherwise an attacker who
/// strips the strong credential and forges a weak one could choose the policy that verifies the request. Policies that
/// read the same credential are alternatives for it: nothing can be stripped without stripping it for all of them.
fn any_of(
    policies: &[Policy],
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Grant, VerifyError> {
    let (mut granted, mut beside, mut rejections): (Vec<Grant>, Vec<Grant>, Vec<Rejection>) = Default::default();
    let mut needs_body = false;
    for (index, policy) in policies.iter().enumerate() {
        let (before, rest) = policies.split_at(index);
        if before.iter().any(|other| other.reads_credential_of(policy)) {
            continue;
        }
        let mut note = |evaluated: Result<Grant, VerifyError>, good: &mut Vec<Grant>| match evaluated {
            Ok(grant) => good.push(grant),
            Err(VerifyError::NeedsBody) => needs_body = true,
            Err(VerifyError::Rejected(rejection)) if rejection.reason == Reason::MissingCredential => {}
            Err(VerifyError::Rejected(rejection)) => rejections.push(rejection),
        };
        let others = rest.iter().skip(1).filter(|other| other.reads_credential_of(policy));
        let whole = first_to_grant(std::iter::once(policy).chain(others), request, now, explanation);
        if is_missing(&whole) {
            // An alternative that requires several credentials may have an invalid one: the upstream could accept it.
            policy.leaves().into_iter().for_each(|part| note(part.evaluate(request, now, explanation), &mut beside));
        }
        note(whole, &mut granted);
    }
    if let Some(rejection) = worst(rejections) {
        return Err(rejection.into());
    }
    if needs_body {
        return Err(VerifyError::NeedsBody);
    }
    let granted = granted.into_iter().reduce(Grant::beside).ok_or(Reason::MissingCredential)?;
    Ok(beside.into_iter().fold(granted, Grant::beside))
}

/// The grant of the first of these policies that accepts their common credential. With the body the result is the same
/// as without it, so that no later policy is tried while one needs the body. A header may carry several signatures: those
/// of later policies are added, or a copy without the first one would have another replay id.
fn first_to_grant<'p>(
    policies: impl Iterator<Item = &'p Policy>,
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Grant, VerifyError> {
    let (mut granted, mut rejections): (Option<Grant>, Vec<Rejection>) = (None, Vec::new());
    for policy in policies {
        if granted.is_some() && !matches!(policy, Policy::Signature(_) | Policy::MessageSignature(_)) {
            continue;
        }
        match policy.evaluate(request, now, explanation) {
            Ok(grant) => {
                granted = Some(match granted {
                    Some(first) => first.beside(grant),
                    None => grant,
                });
            }
            Err(VerifyError::NeedsBody) => return Err(VerifyError::NeedsBody),
            Err(VerifyError::Rejected(rejection)) if rejection.reason == Reason::MissingCredential => {}
            Err(VerifyError::Rejected(rejection)) => rejections.push(rejection),
        }
    }
    if let Some(granted) = granted {
        return Ok(granted);
    }
    // A policy that has verified the signature is the one for which the credential was made.
    let meant = rejections.iter().position(|rejection| rejection.proven);
    let rejection = meant.map(|at| rejections.swap_remove(at)).or_else(|| worst(rejections));
    Err(rejection.unwrap_or_else(|| Reason::MissingCredential.into()).into())
}

fn is_missing(evaluated: &Result<Grant, VerifyError>) -> bool {
    evaluated.as_ref().is_err_and(|error| error.reason() == Some(Reason::MissingCredential))
}

/// The rejection to report: first one for keys that are not available or lack the token's key, since a key fetch or a
/// retry may turn it into a grant.
fn worst(rejections: Vec<Rejection>) -> Option<Rejection> {
    let undecided = |rejection: &Rejection| rejection.remote.is_some() || rejection.reason == Reason::JwksUnavailable;
    let at = rejections.iter().position(undecided).unwrap_or(0);
    rejections.into_iter().nth(at)
}

#[cfg(test)]
mod tests;
