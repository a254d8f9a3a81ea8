//! Why a request may not pass, in one word, and what was known when that was said.

use std::sync::Arc;

use super::keys::RemoteKeys;

/// Why there is no [`Grant`](super::Grant).
#[derive(Clone, Debug)]
pub enum Stop {
    /// What has been looked at is good so far: the rest needs the body.
    NeedsBody,
    /// No.
    Refused(Refused),
}

impl Stop {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::NeedsBody => None,
            Self::Refused(refused) => Some(refused.refusal),
        }
    }

    /// The same, told of somebody whose signature had been verified.
    pub(super) fn proven(self, issuer: &Arc<str>) -> Self {
        match self {
            Self::NeedsBody => Self::NeedsBody,
            Self::Refused(refused) => {
                Self::Refused(Refused { proven: true, issuer: Some(Arc::clone(issuer)), ..refused })
            }
        }
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Refused::at_once(refusal))
    }
}

impl PartialEq for Stop {
    fn eq(&self, other: &Self) -> bool {
        self.refusal() == other.refusal()
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

impl Refused {
    /// Before anything was known of who asks.
    pub const fn at_once(refusal: Refusal) -> Self {
        Self { refusal, proven: false, issuer: None, remote: None }
    }
}

/// Why a request may not pass: ONE word for the log, the metric's label, the reply and the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No credential where the route looks for one.
    MissingCredential,
    /// More than one credential, or a second place that holds one.
    MultipleCredentials,
    /// The field that carries the credential cannot be read.
    MalformedCredential,
    /// Over [`super::credential::MAX_TOKEN`].
    TokenTooLarge,
    /// Not a JWS in compact form, or its header or payload breaks a rule of RFC 7515, 7519 or 8725.
    MalformedToken,
    /// The algorithm is not allowed for this issuer, or is not the key's.
    UnsupportedAlgorithm,
    /// No key fits the token's `kid`.
    UnknownKey,
    /// The signature does not verify.
    InvalidSignature,
    /// A required claim is absent.
    MissingClaim,
    /// `iss` is not the issuer's.
    InvalidIssuer,
    /// `aud` does not name this receiver.
    InvalidAudience,
    /// `exp` has passed.
    TokenExpired,
    /// `nbf` has not come.
    TokenNotYetValid,
    /// `exp` − `iat` exceeds `max_lifetime`.
    TokenLifetimeTooLong,
    /// The timestamp that the route asks for is absent or cannot be read.
    MissingTimestamp,
    /// The timestamp, or `iat` under `max_age`, is too old.
    TimestampTooOld,
    /// The timestamp, or `iat`, lies in the future.
    TimestampInFuture,
    /// The body is not the one that was signed for.
    BodyMismatch,
    /// The URL or the method is not the one that was signed for.
    UrlMismatch,
    /// The token is bound to another client certificate, or none was shown.
    CertificateMismatch,
    /// The client certificate is not trusted (any longer), or not one that this route admits.
    CertificateNotAllowed,
    /// The token is good, and on the route's revocation list by its id, subject, key or age.
    Revoked,
    /// A claim rule does not hold: genuine, without the right.
    ClaimMismatch {
        /// The claim is a scope: RFC 6750 §3.1 `insufficient_scope`.
        scope: bool,
    },
    /// Nobody could say whether the token is revoked: undecided, not refused for good.
    RevocationUnknown,
    /// The issuer's keys are not known (yet, or any more): undecided, not refused for good.
    JwksUnavailable,
}

impl Refusal {
    /// Every refusal once, for documents and tests that walk the table.
    pub const ALL: &'static [Self] = &[
        Self::MissingCredential,
        Self::MultipleCredentials,
        Self::MalformedCredential,
        Self::TokenTooLarge,
        Self::MalformedToken,
        Self::UnsupportedAlgorithm,
        Self::UnknownKey,
        Self::InvalidSignature,
        Self::MissingClaim,
        Self::InvalidIssuer,
        Self::InvalidAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenLifetimeTooLong,
        Self::MissingTimestamp,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::BodyMismatch,
        Self::UrlMismatch,
        Self::CertificateMismatch,
        Self::CertificateNotAllowed,
        Self::Revoked,
        Self::ClaimMismatch { scope: false },
        Self::ClaimMismatch { scope: true },
        Self::RevocationUnknown,
        Self::JwksUnavailable,
    ];

    /// The reason word.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::MultipleCredentials => "multiple_credentials",
            Self::MalformedCredential => "malformed_credential",
            Self::TokenTooLarge => "headers_too_large",
            Self::MalformedToken => "malformed_token",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::InvalidSignature => "invalid_signature",
            Self::MissingClaim => "missing_claim",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenLifetimeTooLong => "token_lifetime_too_long",
            Self::MissingTimestamp => "missing_timestamp",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::BodyMismatch => "body_mismatch",
            Self::UrlMismatch => "url_mismatch",
            Self::CertificateMismatch => "certificate_mismatch",
            Self::CertificateNotAllowed => "certificate_not_allowed",
            Self::Revoked => "revoked",
            Self::ClaimMismatch { .. } => "claim_mismatch",
            Self::RevocationUnknown => "store_unavailable",
            Self::JwksUnavailable => "jwks_unavailable",
        }
    }
}
