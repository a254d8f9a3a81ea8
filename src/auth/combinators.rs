//! `all_of` and `any_of`: combine several policies into one decision. Called by [`super::verify`].

use super::explanation::Explanation;
use super::request::RequestView;
use super::{Grant, Policy, Reason, Rejection, VerifyError};
use crate::clock::UnixTime;

/// Grants if every policy grants. The first rejection ends the evaluation, even if another policy still needs the body:
/// the body of a rejected request is not read.
pub(super) fn all_of(
    policies: &[Policy],
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Grant, VerifyError> {
    let (mut granted, mut needs_body) = (Grant::default(), false);
    for policy in policies {
        match policy.evaluate(request, now, explanation) {
            Ok(grant) => granted = granted.and(grant),
            Err(VerifyError::NeedsBody) => needs_body = true,
            Err(rejection) => return Err(rejection),
        }
    }
    if needs_body { Err(VerifyError::NeedsBody) } else { Ok(granted) }
}

/// Grants if at least one policy grants and every policy whose credential is present grants. Otherwise an attacker who
/// strips the strong credential and forges a weak one could choose the policy that verifies the request.
pub(super) fn any_of(
    policies: &[Policy],
    request: &RequestView<'_>,
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Grant, VerifyError> {
    let (mut granted, mut beside, mut rejections): (Vec<Grant>, Vec<Grant>, Vec<Rejection>) = Default::default();
    let mut needs_body = false;
    for policy in policies {
        let mut note = |evaluated: Result<Grant, VerifyError>, good: &mut Vec<Grant>| match evaluated {
            Ok(grant) => good.push(grant),
            Err(VerifyError::NeedsBody) => needs_body = true,
            Err(VerifyError::Rejected(rejection)) if rejection.reason == Reason::MissingCredential => {}
            Err(VerifyError::Rejected(rejection)) => rejections.push(rejection),
        };
        let whole = policy.evaluate(request, now, explanation);
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
