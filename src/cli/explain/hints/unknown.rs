//! Hints for a request that no change makes valid: a body that was lost, a secret of another kind, and the number of changes
//! of each sort. A cause that was not tried is not said to be excluded.

use http::header::CONTENT_LENGTH;

use super::super::trial::{Trial, signatures};
use super::secrets;
use crate::auth::Reason;

/// Reasons of a rejection by the content, for which a part of the body that was lost is a cause.
const OF_BODY: &[Reason] = &[Reason::InvalidSignature, Reason::BodyMismatch];

pub(super) fn find(trial: &Trial<'_>, reason: Reason, tried: &[String]) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    if OF_BODY.contains(&reason) {
        hints.extend(of_lost_body(trial));
    }
    if reason == Reason::InvalidSignature && !tried.is_empty() {
        hints.extend(secrets::of_kind(trial));
        let keys = signatures(&trial.route.rules).iter().all(|policy| policy.algorithm.is_asymmetric());
        let key = if keys { "public key" } else { "secret" };
        hints.push(format!(
            "most likely the sender uses a {key} that is not in this file (of another environment or endpoint, from before a rotation, or with a \
             character missing): none of these makes it valid: {}. Not tried, and so not excluded, is also a body with other \
             values. Compare the whole {key} with the one in the sender's console, and the string to sign above with the sender's",
            tried.join(", ")
        ));
    }
    hints
}

/// A body that is empty or incomplete in this file.
fn of_lost_body(trial: &Trial<'_>) -> Option<String> {
    let (body, headers) = (&trial.captured.body, &trial.captured.head.headers);
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if let Some(declared) = declared.filter(|declared| *declared > body.len()) {
        return Some(format!(
            "the file has {} bytes of the body, and its Content-Length is {declared}: the body was cut off, or an editor \
             changed its line breaks; pass the body as it was sent with --body",
            body.len()
        ));
    }
    let signs = signatures(&trial.route.rules).iter().any(|policy| policy.binds_body());
    (body.is_empty() && (signs || trial.route.rules.policy.binds_body())).then(|| {
        "the body is empty, and the signature covers it: if the sender sent one, a redirect, a proxy or the tool that wrote \
         this file lost it; pass it with --body"
            .to_owned()
    })
}
