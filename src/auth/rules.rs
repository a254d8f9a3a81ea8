//! The authentication rules of a route, and the decision on a request by them.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

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
        let headers = read_headers(&policy, timestamp.as_ref(), |_| true);
        Self { policy, revocation, timestamp, headers }
    }

    /// The headers that the decision reads. The upstream could read a header whose name is another spelling of one of
    /// these (`x_sig` for `x-sig`) instead of the verified one.
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Those of [`Rules::headers`] that the decision has read in an accepted request. With the credential of one scheme of
    /// a combination, a header that only another scheme signs is not signed.
    pub fn verified_headers(&self, request: &HeaderMap) -> Cow<'_, [HeaderName]> {
        if !matches!(self.policy, Policy::AllOf(_) | Policy::AnyOf(_)) {
            return Cow::Borrowed(&self.headers);
        }
        let has_credential = |leaf: &Policy| leaf.credential_headers().iter().any(|name| request.contains_key(*name));
        Cow::Owned(read_headers(&self.policy, self.timestamp.as_ref(), has_credential))
    }
}

/// The headers that a decision reads if of the policy's signatures it verifies these.
fn read_headers(
    policy: &Policy,
    timestamp: Option<&TimestampRule>,
    is_verified: impl Fn(&Policy) -> bool,
) -> Vec<HeaderName> {
    let mut headers: Vec<HeaderName> = policy.credential_headers().into_iter().cloned().collect();
    for leaf in policy.leaves() {
        if !is_verified(leaf) {
            continue;
        }
        if let Policy::Signature(policy) = leaf {
            headers.extend(policy.headers().cloned());
        } else if let Policy::MessageSignature(policy) = leaf {
            headers.extend(policy.headers());
        }
    }
    headers.extend(timestamp.and_then(|rule| rule.source.header()).cloned());
    headers
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
    let evaluated = evaluated.map_err(|error| rules.policy.missing(request, rules.policy.unread(request, error)));
    if let (Err(_), Some(error)) = (&evaluated, request.json_error()) {
        explanation.add("JSON body", || error.to_string());
    }
    let grant = evaluated?;
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
