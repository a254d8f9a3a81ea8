//! The summary of several requests: how many would be forwarded, and how many rejected for each cause, with an example.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::findings::Findings;
use crate::auth::Reason;

/// A request and its findings, or why it could not be read.
pub(super) struct Evaluated {
    pub(super) path: PathBuf,
    pub(super) found: anyhow::Result<Findings>,
}

/// Requests with the same outcome, route, reason and cause.
struct Group<'j> {
    count: usize,
    verdict: &'static str,
    reason: &'static str,
    route: &'j str,
    cause: &'j str,
    example: &'j Evaluated,
}

/// A cause without its numbers: two tokens that expired at different times have the same one.
fn kind(cause: &str) -> String {
    cause.split(|letter: char| letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("0")
}

/// The groups, the largest first.
fn groups(evaluated: &[Evaluated]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for example in evaluated {
        let Ok(found) = &example.found else { continue };
        let group = Group {
            count: 1,
            verdict: found.outcome(),
            reason: found.reason.map_or("", Reason::word),
            route: found.route.as_ref().map_or("", |route| &route.name),
            cause: found.hints.first().map_or("", String::as_str),
            example,
        };
        let is_same = |other: &&mut Group<'_>| {
            (other.verdict, other.reason, other.route) == (group.verdict, group.reason, group.route)
                && kind(other.cause) == kind(group.cause)
        };
        match groups.iter_mut().find(is_same) {
            Some(other) => other.count += 1,
            None => groups.push(group),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

pub(super) fn text(evaluated: &[Evaluated]) -> String {
    let groups = groups(evaluated);
    let count =
        |is: fn(&Group<'_>) -> bool| groups.iter().filter(|group| is(group)).map(|group| group.count).sum::<usize>();
    let rejected = count(|group| group.verdict == "rejected");
    let dry_run = count(|group| group.verdict == "dry_run_rejected");
    let unread: Vec<_> = evaluated.iter().filter_map(|one| Some((&one.path, one.found.as_ref().err()?))).collect();
    let passed = evaluated.len() - rejected - dry_run - unread.len();
    let mut text = format!("{} requests: {passed} forwarded, {rejected} rejected", evaluated.len());
    if dry_run > 0 {
        text.push_str(&format!(", {dry_run} forwarded in dry run and rejected without it"));
    }
    text.push('\n');
    for group in groups {
        let reason = if group.reason.is_empty() { group.verdict } else { group.reason };
        let route = if group.route.is_empty() { "(no route)" } else { group.route };
        text.push_str(&format!("\n  {:>5}  {reason:<26} {route}\n", group.count));
        if !group.cause.is_empty() {
            text.push_str(&format!("         cause    {}\n", group.cause));
        }
        text.push_str(&format!("         example  {}\n", group.example.path.display()));
    }
    for (path, error) in unread {
        text.push_str(&format!("\n  unreadable  {}: {error:#}\n", path.display()));
    }
    text
}

pub(super) fn as_json(evaluated: &[Evaluated]) -> Value {
    let requests = evaluated.iter().map(|one| {
        let mut value = match &one.found {
            Ok(found) => found.as_json(),
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        if let Some(members) = value.as_object_mut() {
            members.insert("file".to_owned(), one.path.display().to_string().into());
        }
        value
    });
    let groups = groups(evaluated).into_iter().map(|group| {
        json!({
            "count": group.count, "verdict": group.verdict, "reason": group.reason, "route": group.route,
            "cause": group.cause, "example": group.example.path.display().to_string(),
        })
    });
    json!({ "requests": requests.collect::<Vec<_>>(), "summary": groups.collect::<Vec<_>>() })
}
