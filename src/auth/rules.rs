//! The authentication rules of a route, and the decision on a request by them.

use std::sync::Arc;

use http::HeaderName;

use super::explanation::Explanation;
use super::grant::Grant;
use super::policy::Policy;
use super::rejection::VerifyError;
use super::request::RequestView;
use super::revocation::RevocationHandle;
use super::time::TimestampRule;
use crate::clock::UnixTime;
use crate::reason::Reason;

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

impl Rules {
    /// Builds the rules and derives the list of headers that they read.
    pub fn new(policy: Policy, revocation: Option<Arc<RevocationHandle>>, timestamp: Option<TimestampRule>) -> Self {
        let mut headers: Vec<HeaderName> = policy.credential_headers().into_iter().cloned().collect();
        for leaf in policy.leaves() {
            match leaf {
                Policy::Signature(policy) => headers.extend(policy.headers().cloned()),
                Policy::MessageSignature(policy) => headers.extend(policy.headers()),
                Policy::Jwt(_)
                | Policy::Detached(_)
                | Policy::ClientCertificate(_)
                | Policy::Token(_)
                | Policy::AllOf(_)
                | Policy::AnyOf(_)
                | Policy::Public => {}
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

/// Decides a request by the policy, the revocation list and the timestamp rule.
///
/// # Errors
/// The first rule that does not hold, or [`VerifyError::NeedsBody`] if every rule holds that can be evaluated without
/// the body.
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

#[cfg(test)]
mod tests;
