//! Hints for a credential that is not where the route reads it: in another header, more than once, or in another form.

use http::HeaderName;

use super::super::trial::{Trial, passes};
use crate::auth::Reason;

/// How much of two names must be the same.
const SIMILAR: f64 = 0.75;

pub(super) fn find(trial: &Trial<'_>, reason: Reason) -> Option<String> {
    let headers = &trial.captured.head.headers;
    let expected: Vec<&HeaderName> = trial.route.rules.headers().iter().collect();
    if reason == Reason::MultipleCredentials {
        let twice = expected.iter().find(|name| headers.get_all(**name).iter().count() > 1)?;
        let count = headers.get_all(*twice).iter().count();
        return Some(format!(
            "the header {twice} occurs {count} times: a client or a proxy adds it again; send it once"
        ));
    }
    let absent: Vec<&&HeaderName> = expected.iter().filter(|name| !headers.contains_key(**name)).collect();
    for wanted in &absent {
        let moved = headers.iter().find(|(_, value)| {
            passes(trial, |_, captured, _| drop(captured.head.headers.insert((**wanted).clone(), (*value).clone())))
        });
        if let Some((name, _)) = moved {
            return Some(format!("the credential is valid, and in the header {name}: the route reads {wanted}"));
        }
    }
    absent.iter().find_map(|wanted| {
        let others = headers.keys().filter(|name| !expected.contains(name));
        let bare = |name: &HeaderName| name.as_str().trim_start_matches("x-").replace('_', "-");
        let similar = others.map(|name| (strsim::normalized_levenshtein(&bare(name), &bare(wanted)), name));
        let (_, name) =
            similar.filter(|(score, _)| *score >= SIMILAR).max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        let note = if name == "x-hub-signature" { ", which is the older one with SHA-1" } else { "" };
        Some(format!("the request has the header {name}{note}, and not {wanted}, which the route reads"))
    })
}
