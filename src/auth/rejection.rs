//! The rejections of the decision: the reason of each, and the facts known when it was made.

use std::sync::Arc;

use super::keys::RemoteKeys;

/// Why [`super::verify`] returned no [`Grant`](super::Grant).
#[derive(Clone, Debug)]
pub enum VerifyError {
    /// Every check so far passed; the remaining checks need the body.
    NeedsBody,
    /// The request is rejected.
    Rejected(Rejection),
}

impl VerifyError {
    /// The reason of the rejection; `None` if only the body is missing.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::NeedsBody => None,
            Self::Rejected(rejection) => Some(rejection.reason),
        }
    }

    /// The same rejection, of a sender whose signature has been verified with a key of `issuer`.
    pub(super) fn proven(self, issuer: &Arc<str>) -> Self {
        match self {
            Self::NeedsBody => Self::NeedsBody,
            Self::Rejected(rejection) => {
                Self::Rejected(Rejection { proven: true, issuer: Some(Arc::clone(issuer)), ..rejection })
            }
        }
    }
}

impl From<Rejection> for VerifyError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Reason> for VerifyError {
    fn from(reason: Reason) -> Self {
        Self::Rejected(Rejection::at_once(reason))
    }
}

impl PartialEq for VerifyError {
    fn eq(&self, other: &Self) -> bool {
        self.reason() == other.reason()
    }
}

/// A rejection and the facts known when it was made.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// A signature had been verified: the client holds a valid credential, so the response may state the reason.
    pub proven: bool,
    /// The issuer's name in gateway.yaml, where one had been chosen.
    pub issuer: Option<Arc<str>>,
    /// The fetched key set that lacks the key: after another fetch the token may verify.
    pub remote: Option<Arc<RemoteKeys>>,
}

impl Rejection {
    /// A rejection before any signature was verified or an issuer chosen.
    pub const fn at_once(reason: Reason) -> Self {
        Self { reason, proven: false, issuer: None, remote: None }
    }
}

/// The reason why the decision rejects a request. [`Reason::reason`] is its name in log, metrics, responses and
/// documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No credential in any location that the route configures.
    MissingCredential,
    /// More than one credential, or a second place that holds one.
    MultipleCredentials,
    /// The header that carries the credential cannot be read.
    MalformedCredential,
    /// The token is longer than [`super::locator::MAX_TOKEN`].
    TokenTooLarge,
    /// Not a JWS in compact form, or its header or payload breaks a rule of RFC 7515, 7519 or 8725.
    MalformedToken,
    /// A body that must be a JSON object or a form, but is not.
    MalformedBody,
    /// The algorithm is not allowed for this issuer, or is not the key's.
    UnsupportedAlgorithm,
    /// No key fits the token's `kid`.
    UnknownKey,
    /// The signature does not verify with any key or secret of the route, or does not have the configured form.
    InvalidSignature,
    /// A `require` of the signature (header, part of the signature's value, member of the JSON body) does not hold.
    RequirementNotMet,
    /// A header, a part of the signature's value, a JSON member or a form field that must be signed is absent.
    MissingSignedComponent,
    /// The static token matches none of the route's secrets.
    InvalidStaticToken,
    /// A required claim is absent.
    MissingClaim,
    /// `iss` is not the issuer's.
    InvalidIssuer,
    /// `aud` does not name this receiver.
    InvalidAudience,
    /// `exp` has passed (RFC 7519 §4.1.4).
    TokenExpired,
    /// `nbf` is in the future (RFC 7519 §4.1.5).
    TokenNotYetValid,
    /// `exp` − `iat` exceeds `max_lifetime`.
    TokenLifetimeTooLong,
    /// `iat` is older than `max_age`.
    TokenTooOld,
    /// `iat` is in the future.
    TokenIssuedInFuture,
    /// The timestamp that the route requires is absent.
    MissingTimestamp,
    /// The timestamp cannot be read in its unit, or is there more than once.
    MalformedTimestamp,
    /// The timestamp is older than `max_age`.
    TimestampTooOld,
    /// The timestamp is further in the future than `max_future`.
    TimestampInFuture,
    /// The body is not the one that was signed.
    BodyMismatch,
    /// The URL is not the one in the token.
    UrlMismatch,
    /// The method is not the one in the token.
    MethodMismatch,
    /// The token is bound to another client certificate, or the client presented none (RFC 8705 §3.1).
    CertificateMismatch,
    /// The client certificate is not trusted (any longer), or not one that this route allows.
    CertificateNotAllowed,
    /// The token is valid, but revoked by its id, subject, key or issue time.
    Revoked,
    /// A claim rule does not hold: the token is valid, but lacks the permission.
    ClaimMismatch {
        /// The claim is a scope: RFC 6750 §3.1 `insufficient_scope`.
        scope: bool,
    },
    /// The store could not say whether the token is revoked: cannot verify, 503.
    RevocationUnknown,
    /// The issuer's keys are not available: cannot verify, 503.
    JwksUnavailable,
}

impl Reason {
    /// Every value once, for the documentation and for tests that iterate over the table.
    pub const ALL: &'static [Self] = &[
        Self::MissingCredential,
        Self::MultipleCredentials,
        Self::MalformedCredential,
        Self::TokenTooLarge,
        Self::MalformedToken,
        Self::MalformedBody,
        Self::UnsupportedAlgorithm,
        Self::UnknownKey,
        Self::InvalidSignature,
        Self::RequirementNotMet,
        Self::MissingSignedComponent,
        Self::InvalidStaticToken,
        Self::MissingClaim,
        Self::InvalidIssuer,
        Self::InvalidAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenLifetimeTooLong,
        Self::TokenTooOld,
        Self::TokenIssuedInFuture,
        Self::MissingTimestamp,
        Self::MalformedTimestamp,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::BodyMismatch,
        Self::UrlMismatch,
        Self::MethodMismatch,
        Self::CertificateMismatch,
        Self::CertificateNotAllowed,
        Self::Revoked,
        Self::ClaimMismatch { scope: false },
        Self::ClaimMismatch { scope: true },
        Self::RevocationUnknown,
        Self::JwksUnavailable,
    ];

    /// The reason as log, metrics and responses state it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::MultipleCredentials => "multiple_credentials",
            Self::MalformedCredential => "malformed_credential",
            Self::TokenTooLarge => "token_too_large",
            Self::MalformedToken => "malformed_token",
            Self::MalformedBody => "malformed_body",
            Self::UnsupportedAlgorithm => "unsupported_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::InvalidSignature => "invalid_signature",
            Self::RequirementNotMet => "requirement_not_met",
            Self::MissingSignedComponent => "missing_signed_component",
            Self::InvalidStaticToken => "invalid_static_token",
            Self::MissingClaim => "missing_claim",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenLifetimeTooLong => "token_lifetime_too_long",
            Self::TokenTooOld => "token_too_old",
            Self::TokenIssuedInFuture => "token_issued_in_future",
            Self::MissingTimestamp => "missing_timestamp",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::BodyMismatch => "body_mismatch",
            Self::UrlMismatch => "url_mismatch",
            Self::MethodMismatch => "method_mismatch",
            Self::CertificateMismatch => "certificate_mismatch",
            Self::CertificateNotAllowed => "certificate_not_allowed",
            Self::Revoked => "revoked",
            Self::ClaimMismatch { .. } => "claim_mismatch",
            Self::RevocationUnknown => "store_unavailable",
            Self::JwksUnavailable => "jwks_unavailable",
        }
    }
}
