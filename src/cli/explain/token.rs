//! The tokens of a request as `explain` shows them: header and claims, and each rule of the route that they break, with
//! the expected and the seen value. Nothing here decides: `auth` has decided already, and stops at the first rule.

use super::trial::Trial;
use crate::auth::Policy;
use crate::auth::explanation::Note;
use crate::auth::jwt::JwtPolicy;
use crate::auth::locator::{LocatedValue, Locator};
use crate::clock::UnixTime;
use crate::config::Config;
pub(super) use decoded::{BEGIN, Decoded, Mismatch, within};
use decoded::{cut, distance, seconds, shown};

mod decoded;
mod rules;

/// Maximum number of names of other claims that are printed.
const MAX_NAMES: usize = 40;

/// Members of the header that are shown; keys and certificates in it are ignored by the gateway.
const HEADER: &[&str] = &["alg", "typ", "kid", "cty", "crit", "b64", "enc", "zip"];

/// Claims that are shown besides those of the route's rules.
const CLAIMS: &[&str] = &["iss", "aud", "exp", "nbf", "iat", "azp", "client_id", "scope", "scp", "token_use"];

/// The token in this place, in any spelling: from its first letter to the first one that no token has.
pub(super) fn at(trial: &Trial<'_>, place: &Locator) -> Option<Decoded> {
    let view = trial.view();
    let text = match place {
        Locator::Header { name, .. } => {
            String::from_utf8_lossy(trial.captured.head.headers.get(name)?.as_bytes()).into_owned()
        }
        Locator::Query(_)
        | Locator::Cookie(_)
        | Locator::Form(_)
        | Locator::Json(_)
        | Locator::Body
        | Locator::Claim(_) => place.find(&view).ok()?.and_then(LocatedValue::into_text)?.into_owned(),
    };
    Decoded::read(within(&text)?)
}

fn policies<'t>(trial: &Trial<'t>) -> impl Iterator<Item = &'t JwtPolicy> {
    let leaves = trial.route.rules.policy.leaves().into_iter();
    leaves.filter_map(|leaf| if let Policy::Jwt(policy) = leaf { Some(&**policy) } else { None })
}

/// The header and the claims of each token that the route reads.
pub(super) fn notes(trial: &Trial<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    for policy in policies(trial) {
        let Some(token) = at(trial, &policy.token) else { continue };
        let header = HEADER.iter().filter_map(|name| Some(format!("{name} {}", shown(token.header.get(*name)?))));
        notes.push(Note { check: "token header", found: header.collect::<Vec<_>>().join(", ") });
        notes.push(Note { check: "token claims", found: claims(policy, &token, trial.now) });
    }
    notes.dedup();
    notes
}

/// The claims that the rules are about, with their values, and the names of all others: a value may be personal data.
fn claims(policy: &JwtPolicy, token: &Decoded, now: UnixTime) -> String {
    let mut names: Vec<&str> = CLAIMS.to_vec();
    names.extend(policy.required_claims.iter().map(String::as_str).filter(|name| *name != "sub"));
    let mut found: Vec<String> = Vec::new();
    let mut used: Vec<String> = Vec::new();
    for name in names {
        if let (Some(value), false) = (token.claims.get(name), used.iter().any(|used| used == name)) {
            used.push(name.to_owned());
            let time = seconds(value).filter(|_| ["exp", "nbf", "iat"].contains(&name));
            let time = time.map(|time| format!(" ({})", distance(time, now))).unwrap_or_default();
            found.push(format!("{name} {}{time}", shown(value)));
        }
    }
    for rule in &policy.claims {
        let pointer = rule.pointer.to_string();
        let value = rule.pointer.find(&token.claims);
        if let (Some(value), false) = (value, used.iter().any(|used| pointer == format!("/{used}"))) {
            found.push(format!("{pointer} {}", shown(value)));
            used.extend(pointer.split('/').nth(1).map(str::to_owned));
        }
    }
    let others = token.claims.keys().filter(|name| !used.contains(name)).take(MAX_NAMES).map(|name| cut(name));
    let others: Vec<String> = others.collect();
    let others = if others.is_empty() { String::new() } else { format!("; others: {}", others.join(", ")) };
    found.join(", ") + &others
}

/// The rules of the route that its tokens break.
pub(super) fn mismatches(config: &Config, trial: &Trial<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for policy in policies(trial) {
        if let Some(token) = at(trial, &policy.token) {
            found.extend(rules::of_header(config, trial, policy, &token));
            found.extend(rules::of_issuer(config, trial, policy, &token));
            found.extend(rules::of_audience(trial, policy, &token));
            found.extend(rules::of_times(trial, policy, &token));
            found.extend(rules::of_claims(policy, &token));
        }
    }
    found
}
