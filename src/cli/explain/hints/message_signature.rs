//! Hints for HTTP Message Signatures (RFC 9421): the component that is not covered, is absent, or differs.

use http::{Method, Uri};

use crate::auth::explanation::Explanation;
use crate::auth::message_signature::SIGNATURE;
use crate::auth::{Policy, Reason};
use crate::cli::explain::trial::{Trial, passes};

/// Checks whose finding names the cause.
const TELLING: &[&str] =
    &["required component", "covered component", "required parameter", "signature parameters", "key"];

/// Reasons that such a finding explains.
const OF_FINDING: &[Reason] = &[
    Reason::MissingSignedComponent,
    Reason::MalformedCredential,
    Reason::RequirementNotMet,
    Reason::MissingTimestamp,
    Reason::UnknownKey,
    Reason::UnsupportedAlgorithm,
];

/// The probable cause; `None` for a route with other schemes alone.
pub(super) fn find(trial: &Trial<'_>, reason: Reason) -> Option<String> {
    if !trial.route.rules.policy.leaves().iter().any(|leaf| matches!(leaf, Policy::MessageSignature(_))) {
        return None;
    }
    if reason == Reason::InvalidSignature {
        return of_component(trial);
    }
    if reason == Reason::MissingCredential {
        return of_draft(trial).or_else(|| of_finding(trial, &["signature"]));
    }
    OF_FINDING.contains(&reason).then(|| of_finding(trial, TELLING)).flatten()
}

/// The last finding of one of these checks.
fn of_finding(trial: &Trial<'_>, checks: &[&str]) -> Option<String> {
    let mut explanation = Explanation::on();
    let _rejected = trial.verdict(&mut explanation);
    let notes = explanation.into_vec();
    let note = notes.iter().rev().find(|note| checks.contains(&note.check))?;
    Some(format!("{}: {}", note.check, note.found))
}

/// Tries other values of the components that proxies change most.
fn of_component(trial: &Trial<'_>) -> Option<String> {
    if let Some(url) = &trial.route.public_url {
        let without = passes(trial, |route, _, _| {
            route.public_url.iter_mut().for_each(|url| url.prefix.clear());
        });
        if without && !url.prefix.is_empty() {
            return Some("@target-uri or @path: the sender signs it without the path prefix of public_url".to_owned());
        }
        let other = if url.scheme == "http" { "https" } else { "http" };
        if passes(trial, |route, _, _| route.public_url.iter_mut().for_each(|url| url.scheme = other.to_owned())) {
            return Some(format!("@target-uri or @scheme: the sender signs {other}; set it in public_url"));
        }
    }
    let target = trial.captured.head.uri.to_string();
    let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    let path = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let slashed = query.map_or(path.clone(), |query| format!("{path}?{query}"));
    let slashed: Option<Uri> = slashed.parse().ok();
    if slashed.is_some_and(|uri| passes(trial, |_, captured, _| captured.head.uri = uri)) {
        return Some("@target-uri or @path: the sender signs it with or without the final slash".to_owned());
    }
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let method =
        methods.into_iter().find(|method| passes(trial, |_, captured, _| captured.head.method = method.clone()))?;
    Some(format!("@method: the sender signs {method}"))
}

/// The `Signature` of a draft that RFC 9421 has replaced.
fn of_draft(trial: &Trial<'_>) -> Option<String> {
    let value = trial.captured.head.headers.get(SIGNATURE)?.to_str().ok()?;
    let is_draft = value.contains("keyId=") && value.contains("signature=");
    is_draft.then(|| {
        "the Signature header is that of the draft Signing HTTP Messages (draft-cavage), not of RFC 9421: it has no \
         Signature-Input, and is not supported by http_message_signature"
            .to_owned()
    })
}
