//! The decision: may this request pass? A request and the time in; a [`Grant`] or a [`Stop`] out.
//!
//! Nothing here waits, reads a clock, a file or a socket, logs or counts. Called by the gateway for each
//! request, and by `hookgate explain`, which wants to know what the gateway would say.

pub mod binding;
pub mod certificate;
pub mod claims;
pub mod credential;
pub mod detached;
pub mod handshake;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod notes;
pub mod once;
mod refusal;
pub mod request;
pub mod revocation;
pub mod signature;
pub mod time;
pub mod token;
pub mod tree;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use http::HeaderName;

use crate::clock::UnixTime;
use certificate::CertificateRule;
use credential::TokenLocation;
use detached::DetachedPolicy;
use jwt::{JwtPolicy, Signed};
use notes::Notes;
use once::Once;
pub use refusal::{Refusal, Refused, Stop};
pub use request::RequestView;
use revocation::{Revocable, RevocationHandle};
use signature::SignaturePolicy;
use time::{TimestampRule, TimestampSource};
use token::{TokenPlace, TokenPolicy};

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may pass.
    pub policy: Policy,
    /// Tokens that shall not pass any more, if the route has a list of them.
    pub revocation: Option<Arc<RevocationHandle>>,
    /// A timestamp beside the credential, if the route wants one.
    pub timestamp: Option<TimestampRule>,
    /// Header fields that the policy and the timestamp read, as they were when this was made.
    headers: Vec<HeaderName>,
}

/// Who may pass.
#[derive(Clone, Debug)]
pub enum Policy {
    /// The bearer of a JWT (RFC 7519) that holds to these rules.
    Jwt(Box<JwtPolicy>),
    /// The sender of a request that a detached JWS has signed.
    Detached(Box<DetachedPolicy>),
    /// Whoever has signed the request.
    Signature(Box<SignaturePolicy>),
    /// Whoever holds a certificate that this rule admits.
    ClientCertificate(Box<CertificateRule>),
    /// Whoever shows a secret.
    Token(Box<TokenPolicy>),
    /// Whoever satisfies each of these.
    AllOf(Vec<Policy>),
    /// Whoever satisfies one of these, and each whose credential is there.
    AnyOf(Vec<Policy>),
    /// Everyone; written out as `auth: public`.
    Public,
}

/// Proof that [`verify`] let a request pass. Nothing else can make one.
#[derive(Debug, Default)]
pub struct Grant {
    issuer: Option<Arc<str>>,
    kid: Option<String>,
    claims: Arc<serde_json::Map<String, serde_json::Value>>,
    secrets: Vec<usize>,
    signed: Option<Signed>,
    once: Option<Once>,
    /// What other credentials of the request have proven: the app may read those too.
    others: Vec<Grant>,
}

impl Grant {
    /// The issuer's name in gateway.yaml, or the preset's; `None` on a public route.
    pub fn issuer(&self) -> Option<&Arc<str>> {
        self.issuer.as_ref()
    }

    /// The key id that the token named, or else that of the key which verified it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The verified claims; empty without a token.
    pub fn claims(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.claims
    }

    /// The `sub` claim, where it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(serde_json::Value::as_str)
    }

    /// The ids by which its credentials are known, where the route asks for them: of each that was there, or whoever
    /// leaves one out of a repetition would be a new sender.
    pub fn onces(&self) -> impl Iterator<Item = &Once> {
        self.each().filter_map(|grant| grant.once.as_ref())
    }

    /// What the revocation of its tokens goes by: of each, `jti`, `sub` and key id, and when it was issued.
    pub fn revocables(&self) -> impl Iterator<Item = Revocable<'_>> {
        self.each().filter(|grant| grant.kid.is_some() || !grant.claims.is_empty()).map(revocation::revocable)
    }

    /// How the signature of a token was found good.
    pub fn signed(&self) -> Option<Signed> {
        self.signed
    }

    /// Which of the route's secrets were used.
    pub fn secrets(&self) -> &[usize] {
        &self.secrets
    }
}

/// What may be forwarded.
#[derive(Debug)]
pub enum Permit {
    /// It was let through.
    Granted(Grant),
    /// It would have been refused, on a route that only observes: forwarded without any identity.
    Observed(Refused),
}

/// The whole decision, from top to bottom.
///
/// # Errors
/// The first rule that does not hold, or [`Stop::NeedsBody`] where all hold that could be judged without it.
pub fn verify(rules: &Rules, request: &RequestView<'_>, now: UnixTime) -> Result<Grant, Stop> {
    verify_noting(rules, request, now, &mut Notes::off())
}

/// The same, with notes of what was looked at.
///
/// # Errors
/// As [`verify`].
pub fn verify_noting(
    rules: &Rules,
    request: &RequestView<'_>,
    now: UnixTime,
    notes: &mut Notes,
) -> Result<Grant, Stop> {
    let judged = rules.policy.judge(request, now, notes);
    let in_head = rules.timestamp.as_ref().filter(|rule| matches!(rule.source, TimestampSource::Header(_)));
    if let (Err(Stop::NeedsBody), Some(timestamp)) = (&judged, in_head) {
        // A stale request is not worth reading.
        timestamp.check(request, &serde_json::Map::new(), now, notes)?;
    }
    let grant = judged.map_err(|stop| rules.policy.unread(request, stop))?;
    let proven = |stop: Stop| match &grant.issuer {
        Some(issuer) => stop.proven(issuer),
        None => stop,
    };
    if rules.revocation.as_ref().is_some_and(|list| list.revokes(&grant)) {
        return Err(proven(Refusal::Revoked.into()));
    }
    if let Some(timestamp) = &rules.timestamp {
        timestamp.check(request, &grant.claims, now, notes).map_err(proven)?;
    }
    Ok(grant)
}

impl Policy {
    /// One scheme's judgement, or a tree's.
    fn judge(&self, request: &RequestView<'_>, now: UnixTime, notes: &mut Notes) -> Result<Grant, Stop> {
        match self {
            Self::Public => Ok(Grant::default()),
            Self::Jwt(policy) => {
                let verified = policy.verify(request, now, notes)?;
                let secrets = verified.secret.into_iter().collect();
                let (issuer, kid, claims) = (Some(verified.issuer), verified.kid, verified.claims);
                let (signed, once) = (Some(verified.signed), verified.once);
                Ok(Grant { issuer, kid, claims, secrets, signed, once, ..Grant::default() })
            }
            Self::Detached(policy) => {
                let verified = policy.verify(request, now, notes)?;
                let (issuer, kid, once) = (Some(verified.issuer), verified.kid, verified.once);
                Ok(Grant { issuer, kid, once, ..Grant::default() })
            }
            Self::Signature(policy) => {
                let signed = policy.verify(request, now, notes)?;
                let (issuer, secrets) = (Some(Arc::clone(&policy.name)), vec![signed.secret]);
                Ok(Grant { issuer, secrets, once: signed.once, ..Grant::default() })
            }
            Self::ClientCertificate(rule) => judge_certificate(rule, request, now, notes).map(|()| Grant::default()),
            Self::Token(policy) => Ok(Grant { secrets: vec![policy.verify(request, notes)?], ..Grant::default() }),
            Self::AllOf(policies) => tree::all_of(policies, request, now, notes),
            Self::AnyOf(policies) => tree::any_of(policies, request, now, notes),
        }
    }

    /// The label of `hookgate_verify_duration_seconds`.
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

    /// This and every policy below it.
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

    /// Whether the body's bytes are what the sender signed, whichever way a request passes.
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

    /// Whether a client certificate counts: it was shown to the connection's own host, and to no other.
    pub fn looks_at_certificates(&self) -> bool {
        match self {
            Self::ClientCertificate(_) => true,
            Self::Jwt(policy) => policy.bindings.certificate,
            Self::AllOf(policies) | Self::AnyOf(policies) => policies.iter().any(Self::looks_at_certificates),
            Self::Detached(_) | Self::Signature(_) | Self::Token(_) | Self::Public => false,
        }
    }

    /// Header fields that carry a credential and nothing else.
    pub fn credential_headers(&self) -> Vec<&HeaderName> {
        self.leaves().into_iter().flat_map(Self::own_credential_headers).collect()
    }

    fn own_credential_headers(&self) -> Vec<&HeaderName> {
        match self {
            Self::Jwt(policy) => policy.token.header().into_iter().collect(),
            Self::Detached(policy) => policy.token.header().into_iter().collect(),
            Self::Signature(policy) => policy.places.iter().filter_map(signature::Place::header).collect(),
            Self::Token(policy) => policy.header().into_iter().collect(),
            Self::ClientCertificate(_) | Self::AllOf(_) | Self::AnyOf(_) | Self::Public => Vec::new(),
        }
    }
}

impl Policy {
    /// A request without a credential is one whose body cannot be read, where the credential stands in a JSON body alone.
    fn unread(&self, request: &RequestView<'_>, stop: Stop) -> Stop {
        let in_json = match self {
            Self::Jwt(policy) => matches!(policy.token, TokenLocation::Json(_)),
            Self::Detached(policy) => matches!(policy.token, TokenLocation::Json(_)),
            Self::Signature(policy) => policy.places.iter().all(|place| matches!(place, signature::Place::Json(_))),
            Self::Token(policy) => matches!(policy.place, TokenPlace::Json(_)),
            Self::ClientCertificate(_) | Self::AllOf(_) | Self::AnyOf(_) | Self::Public => false,
        };
        let missing = stop.refusal() == Some(Refusal::MissingCredential);
        let has_body = request.body.is_some_and(|body| !body.is_empty());
        let unreadable = missing && in_json && has_body && request.json() == Ok(None);
        if unreadable { Refusal::MalformedBody.into() } else { stop }
    }
}

fn judge_certificate(
    rule: &CertificateRule,
    request: &RequestView<'_>,
    now: UnixTime,
    notes: &mut Notes,
) -> Result<(), Stop> {
    let client = request.client.ok_or(Refusal::MissingCredential)?;
    let trusted = client.is_trusted(now);
    notes.add("client certificate", || if trusted { "is trusted" } else { "is not trusted, or no longer" }.into());
    if trusted && rule.admits(client.certificate) { Ok(()) } else { Err(Refusal::CertificateNotAllowed.into()) }
}

impl Rules {
    /// Rules are made here, since what they read is told from them.
    pub fn new(policy: Policy, revocation: Option<Arc<RevocationHandle>>, timestamp: Option<TimestampRule>) -> Self {
        let mut headers: Vec<HeaderName> = policy.credential_headers().into_iter().cloned().collect();
        for leaf in policy.leaves() {
            if let Policy::Signature(policy) = leaf {
                headers.extend(policy.headers().cloned());
            }
        }
        if let Some(TimestampRule { source: TimestampSource::Header(name), .. }) = &timestamp {
            headers.push(name.clone());
        }
        Self { policy, revocation, timestamp, headers }
    }

    /// Header fields that the decision reads: another spelling of one would reach the app beside it.
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }
}

impl Grant {
    /// What both have proven.
    fn and(mut self, mut other: Self) -> Self {
        self.issuer = self.issuer.or_else(|| other.issuer.clone());
        self.kid = self.kid.or_else(|| other.kid.clone());
        if self.claims.is_empty() {
            std::mem::swap(&mut self.claims, &mut other.claims);
        }
        self.secrets.extend(&other.secrets);
        self.beside(other)
    }

    /// What this one has proven; the other one was there too.
    fn beside(mut self, mut other: Self) -> Self {
        self.others.append(&mut other.others);
        self.others.push(other);
        self
    }

    /// This one and the others.
    fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

#[cfg(test)]
mod tests;
