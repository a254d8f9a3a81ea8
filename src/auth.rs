//! The decision: may this request pass? Bytes, headers and the time in; a [`Grant`] or a [`Refused`] out.
//!
//! Nothing here waits, reads a clock, a file or a socket, logs or counts. Called by the gateway for each
//! request, and by whoever wants to know what the gateway would say.

pub mod certificate;
pub mod claims;
pub mod credential;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod time;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use crate::clock::UnixTime;
use jwt::JwtPolicy;
use keys::RemoteKeys;
use time::TimestampRule;

/// What a route asks of a request.
#[derive(Debug)]
pub struct Rules {
    /// Who may pass.
    pub policy: Policy,
    /// A timestamp beside the credential, if the route wants one.
    pub timestamp: Option<TimestampRule>,
}

/// Who may pass.
#[derive(Debug)]
pub enum Policy {
    /// The bearer of a JWT (RFC 7519) that holds to these rules.
    Jwt(Box<JwtPolicy>),
    /// Everyone; written out as `auth: public`.
    Public,
}

/// What the decision may see of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Method, target and header fields as they came.
    pub head: &'a http::request::Parts,
}

/// Proof that [`verify`] let a request pass. Nothing else can make one.
#[derive(Debug)]
pub struct Grant {
    issuer: Option<Arc<str>>,
    kid: Option<String>,
    claims: serde_json::Map<String, serde_json::Value>,
}

impl Grant {
    /// The issuer's name in gateway.yaml; `None` on a public route.
    pub fn issuer(&self) -> Option<&Arc<str>> {
        self.issuer.as_ref()
    }

    /// The key id that the token named.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The verified claims; empty on a public route.
    pub fn claims(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.claims
    }

    /// The `sub` claim, where it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(serde_json::Value::as_str)
    }
}

/// A refusal and what was known when it was made.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// A signature had been verified: whoever asks holds a genuine credential and may be told the code.
    pub proven: bool,
    /// The issuer's name in gateway.yaml, where one had been chosen.
    pub issuer: Option<Arc<str>>,
    /// The fetched keys that lacked the key: a fetch may turn this refusal into a decision.
    pub remote: Option<Arc<RemoteKeys>>,
}

/// Why a request may not pass: ONE word for the log, the metric's label, the reply and the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No credential where the route looks for one.
    MissingCredential,
    /// More than one credential, or a second place that holds one.
    ManyCredentials,
    /// The field that carries the credential cannot be read.
    MalformedCredential,
    /// Over [`credential::MAX_TOKEN`].
    TokenTooLarge,
    /// Not a JWS in compact form, or its header or payload breaks a rule of RFC 7515, 7519 or 8725.
    MalformedToken,
    /// The algorithm is not allowed for this issuer, or is not the key's.
    UnsupportedAlgorithm,
    /// No key fits the token's `kid`.
    UnknownKey,
    /// The signature does not verify.
    BadSignature,
    /// A required claim is absent.
    MissingClaim,
    /// `iss` is not the issuer's.
    WrongIssuer,
    /// `aud` does not name this receiver.
    WrongAudience,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `exp` − `iat` exceeds `max_lifetime`.
    LifetimeExceeded,
    /// The timestamp that the route asks for is absent or cannot be read.
    MissingTimestamp,
    /// The timestamp, or `iat` under `max_age`, is too old.
    StaleTimestamp,
    /// The timestamp, or `iat`, lies in the future.
    FutureTimestamp,
    /// A claim rule does not hold: genuine, without the right.
    ClaimRefused {
        /// The claim is a scope: RFC 6750 §3.1 `insufficient_scope`.
        scope: bool,
    },
    /// The issuer's keys are not known (yet, or any more): undecided, not refused for good.
    KeysUnavailable,
}

impl Refusal {
    /// Every refusal once, for documents and tests that walk the table.
    pub const ALL: &'static [Self] = &[
        Self::MissingCredential,
        Self::ManyCredentials,
        Self::MalformedCredential,
        Self::TokenTooLarge,
        Self::MalformedToken,
        Self::UnsupportedAlgorithm,
        Self::UnknownKey,
        Self::BadSignature,
        Self::MissingClaim,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::LifetimeExceeded,
        Self::MissingTimestamp,
        Self::StaleTimestamp,
        Self::FutureTimestamp,
        Self::ClaimRefused { scope: false },
        Self::ClaimRefused { scope: true },
        Self::KeysUnavailable,
    ];

    /// The reason word.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::ManyCredentials => "many_credentials",
            Self::MalformedCredential => "malformed_credential",
            Self::TokenTooLarge => "head_too_large",
            Self::MalformedToken => "malformed_token",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim => "missing_claim",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LifetimeExceeded => "lifetime_exceeded",
            Self::MissingTimestamp => "missing_timestamp",
            Self::StaleTimestamp => "stale_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::ClaimRefused { .. } => "claim_refused",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

/// The whole decision, from top to bottom.
///
/// # Errors
/// The first rule that does not hold.
pub fn verify(rules: &Rules, request: &RequestView<'_>, now: UnixTime) -> Result<Grant, Refused> {
    let grant = match &rules.policy {
        Policy::Public => Grant { issuer: None, kid: None, claims: serde_json::Map::new() },
        Policy::Jwt(policy) => {
            let token = policy.token.find(request.head).map_err(Refused::unproven)?;
            let verified = policy.verify(token, now)?;
            Grant { issuer: Some(verified.issuer), kid: verified.kid, claims: verified.claims }
        }
    };
    if let Some(timestamp) = &rules.timestamp {
        timestamp.check(request.head, &grant.claims, now).map_err(|refusal| Refused {
            refusal,
            proven: grant.issuer.is_some(),
            issuer: grant.issuer.clone(),
            remote: None,
        })?;
    }
    Ok(grant)
}

impl Refused {
    /// Before anything was known of who asks.
    fn unproven(refusal: Refusal) -> Self {
        Self { refusal, proven: false, issuer: None, remote: None }
    }
}

#[cfg(test)]
mod tests;
