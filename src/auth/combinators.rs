//! `all_of` and `any_of`: combine several policies into one decision. Called by [`super::verify`].

use super::explanation::Notes;
use super::request::RequestView;
use super::{Grant, Policy, Refusal, Refused, Stop};
use crate::clock::UnixTime;

/// Grants if every policy grants. The first rejection ends the evaluation, even if another policy still needs the body:
/// the body of a rejected request is not read.
pub(super) fn all_of(
    policies: &[Policy],
    request: &RequestView<'_>,
    now: UnixTime,
    notes: &mut Notes,
) -> Result<Grant, Stop> {
    let (mut granted, mut needs_body) = (Grant::default(), false);
    for policy in policies {
        match policy.judge(request, now, notes) {
            Ok(grant) => granted = granted.and(grant),
            Err(Stop::NeedsBody) => needs_body = true,
            Err(refused) => return Err(refused),
        }
    }
    if needs_body { Err(Stop::NeedsBody) } else { Ok(granted) }
}

/// Grants if at least one policy grants and every policy whose credential is present grants. Otherwise an attacker who
/// strips the strong credential and forges a weak one could choose the policy that verifies the request.
pub(super) fn any_of(
    policies: &[Policy],
    request: &RequestView<'_>,
    now: UnixTime,
    notes: &mut Notes,
) -> Result<Grant, Stop> {
    let (mut granted, mut beside, mut refusals): (Vec<Grant>, Vec<Grant>, Vec<Refused>) = Default::default();
    let mut needs_body = false;
    for policy in policies {
        let mut note = |judged: Result<Grant, Stop>, good: &mut Vec<Grant>| match judged {
            Ok(grant) => good.push(grant),
            Err(Stop::NeedsBody) => needs_body = true,
            Err(Stop::Refused(refused)) if refused.refusal == Refusal::MissingCredential => {}
            Err(Stop::Refused(refused)) => refusals.push(refused),
        };
        let whole = policy.judge(request, now, notes);
        if is_missing(&whole) {
            // An alternative that requires several credentials may have an invalid one: the upstream could accept it.
            policy.leaves().into_iter().for_each(|part| note(part.judge(request, now, notes), &mut beside));
        }
        note(whole, &mut granted);
    }
    if let Some(refused) = worst(refusals) {
        return Err(refused.into());
    }
    if needs_body {
        return Err(Stop::NeedsBody);
    }
    let granted = granted.into_iter().reduce(Grant::beside).ok_or(Refusal::MissingCredential)?;
    Ok(beside.into_iter().fold(granted, Grant::beside))
}

fn is_missing(judged: &Result<Grant, Stop>) -> bool {
    judged.as_ref().is_err_and(|stop| stop.refusal() == Some(Refusal::MissingCredential))
}

/// The rejection to report: first one for keys that are not available or lack the token's key, since a key fetch or a
/// retry may turn it into a grant.
fn worst(refusals: Vec<Refused>) -> Option<Refused> {
    let undecided = |refused: &Refused| refused.remote.is_some() || refused.refusal == Refusal::JwksUnavailable;
    let at = refusals.iter().position(undecided).unwrap_or(0);
    refusals.into_iter().nth(at)
}

#[cfg(test)]
mod tests;
