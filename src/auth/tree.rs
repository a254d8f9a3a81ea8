//! `all_of` and `any_of`: several policies, one answer. Called by [`super::verify`].

use super::notes::Notes;
use super::request::RequestView;
use super::{Grant, Policy, Refusal, Refused, Stop};
use crate::clock::UnixTime;

/// Each must grant. A refusal ends it, also where another part still needs the body: what is refused is not read.
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

/// Each whose credential is there must grant, and there must be one: otherwise whoever strips the strong credential
/// and forges a weak one chooses by which he is judged.
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
            // Of a branch that asks for several, one may be there and bad: the app could take it for good.
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

/// Undecided before refused: a fetch, or another try, may turn it into a grant.
fn worst(refusals: Vec<Refused>) -> Option<Refused> {
    let undecided = |refused: &Refused| refused.remote.is_some() || refused.refusal == Refusal::JwksUnavailable;
    let at = refusals.iter().position(undecided).unwrap_or(0);
    refusals.into_iter().nth(at)
}

#[cfg(test)]
mod tests;
