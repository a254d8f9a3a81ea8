//! The authentication rules of a route, and the decision on a request by them.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::explanation::Explanation;
use super::grant::Grant;
use super::locator::Locator;
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

    /// Which header or token of `malformed_credential` and `multiple_credentials` it is; `None` where it could be one of
    /// several. The value is not shown.
    fn unreadable(&self, request: &RequestView<'_>, reason: Reason) -> Option<String> {
        let fields = &request.head.headers;
        let leaves = self.policy.leaves();
        let is_token = |leaf: &&&Policy| matches!(leaf, Policy::Jwt(_) | Policy::Detached(_) | Policy::Token(_));
        let tokens: Vec<&Locator> = leaves.iter().filter(is_token).flat_map(|leaf| leaf.places()).collect();
        if reason == Reason::MultipleCredentials {
            let mut names = self.headers.iter();
            if let Some(name) = names.find(|name| fields.get_all(*name).iter().count() > 1) {
                return Some(format!("the header `{name}` occurs more than once"));
            }
            let has_comma =
                |name: &&HeaderName| fields.get(*name).is_some_and(|value| value.as_bytes().contains(&b','));
            let joined = tokens.into_iter().filter_map(Locator::header).find(has_comma);
            return joined.map(|name| format!("the header `{name}` has a comma, as two values that a proxy joins"));
        }
        if reason != Reason::MalformedCredential {
            return None;
        }
        let is_unreadable = |name: &&HeaderName| fields.get_all(*name).iter().any(|value| value.to_str().is_err());
        if let Some(name) = self.headers.iter().find(is_unreadable) {
            return Some(format!("the header `{name}` is not in visible ASCII"));
        }
        let has_fields = leaves.iter().any(|leaf| matches!(leaf, Policy::MessageSignature(_)));
        match (tokens.is_empty(), has_fields) {
            (true, true) => Some("a structured field of the signature cannot be parsed (RFC 9651)".to_owned()),
            (false, false) => {
                let places: Vec<String> = tokens.iter().map(ToString::to_string).collect();
                let places = places.join(" or ");
                Some(format!("the token in {places} is empty, or has characters that no token has (RFC 6750 §2.1)"))
            }
            (true, false) | (false, true) => None,
        }
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
    let evaluated = evaluated.map_err(|error| {
        let error = rules.policy.missing(request, rules.policy.unread(request, error));
        error.with_detail(|reason| rules.unreadable(request, reason))
    });
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
