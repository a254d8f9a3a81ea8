//! The rejections of the decision: the reason of each, and the facts known when it was made.

use std::borrow::Cow;
use std::sync::Arc;

use super::keys::{Keys, RemoteKeys};
use super::signing_certificate::SigningCertificates;
use crate::reason::Reason;

/// Why [`super::verify`] returned no [`super::Grant`].
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

    /// The same rejection for another reason.
    pub(super) fn with_reason(self, reason: Reason) -> Self {
        match self {
            Self::NeedsBody => Self::NeedsBody,
            Self::Rejected(rejection) => Self::Rejected(Rejection { reason, ..rejection }),
        }
    }

    /// The same rejection, with a detail where it has none.
    pub(super) fn with_detail(self, detail: impl FnOnce(Reason) -> Option<String>) -> Self {
        match self {
            Self::Rejected(rejection) if rejection.detail.is_none() => {
                let detail = detail(rejection.reason).map(Cow::Owned);
                Self::Rejected(Rejection { detail, ..rejection })
            }
            other @ (Self::NeedsBody | Self::Rejected(_)) => other,
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
        Self::Rejected(reason.into())
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
    /// The claim that does not hold is a scope: `insufficient_scope` of RFC 6750 §3.1.
    pub insufficient_scope: bool,
    /// The issuer's name in gateway.yaml, where one had been chosen.
    pub issuer: Option<Arc<str>>,
    /// The key to fetch: after that the request may verify.
    pub remote: Option<Box<MissingKey>>,
    /// The rule that does not hold, for the log and `explain`. It has no value of a token except `iss`, `aud` and `kid`.
    pub detail: Option<Cow<'static, str>>,
}

/// A key that a request needs and that has not been fetched. Boxed in a [`Rejection`], which each request moves.
#[derive(Clone, Debug)]
pub enum MissingKey {
    /// A key of an issuer, whose fetched set lacks it.
    OfSet(Arc<RemoteKeys>),
    /// The key of the certificate at a URL, which is one that its source allows.
    OfCertificate(Arc<SigningCertificates>, String),
}

impl MissingKey {
    /// A key of these keys; `None` unless they are fetched.
    pub(super) fn of(keys: &Keys) -> Option<Box<Self>> {
        keys.remote().map(|remote| Box::new(Self::OfSet(remote)))
    }
}

impl Rejection {
    /// A rejection as [`Self::from`] makes it, with a detail for the operator.
    pub(super) fn detailed(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..reason.into() }
    }
}

impl From<Reason> for Rejection {
    /// A rejection before any signature was verified or an issuer chosen.
    fn from(reason: Reason) -> Self {
        Self { reason, proven: false, insufficient_scope: false, issuer: None, remote: None, detail: None }
    }
}
