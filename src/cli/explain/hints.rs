//! Hints at the probable cause of a rejection: the request is verified again with one thing changed at a time, and the
//! change that makes it pass is the cause.

mod bodies;
mod tokens;

use std::time::Duration;

use super::message::Captured;
use super::trial::Trial;
use crate::auth::encoding::Encoding;
use crate::auth::explanation::Explanation;
use crate::auth::request::{PublicUrl, UrlVariant};
use crate::auth::secret::{Secret, SecretKey};
use crate::auth::signature::SignaturePolicy;
use crate::auth::time::TimestampUnit;
use crate::auth::{Policy, Reason, Rules};
use crate::clock::UnixTime;
use crate::config::file::SecretEncoding;
use crate::config::values::decode_secret;
use crate::config::{Config, presets};
use crate::route::Route;

/// The largest clock error that is tried, in seconds.
const MAX_OFFSET: u64 = 10 * 366 * 24 * 3600;

/// Reasons for which another body, URL, secret or encoding is tried.
const OF_CONTENT: &[Reason] = &[
    Reason::InvalidSignature,
    Reason::RequirementNotMet,
    Reason::MissingSignedComponent,
    Reason::MalformedBody,
    Reason::BodyMismatch,
    Reason::UrlMismatch,
    Reason::MethodMismatch,
];

/// Reasons for which another unit of the time, or another time, is tried.
const OF_TIME: &[Reason] = &[
    Reason::TimestampTooOld,
    Reason::TimestampInFuture,
    Reason::MissingTimestamp,
    Reason::MalformedTimestamp,
    Reason::TokenTooOld,
    Reason::TokenIssuedInFuture,
    Reason::TokenExpired,
    Reason::TokenNotYetValid,
];

/// The probable causes of a rejection for this reason.
pub(super) fn find(config: &Config, trial: &Trial<'_>, reason: Reason) -> Vec<String> {
    let mut hints = Vec::new();
    if OF_CONTENT.contains(&reason) {
        hints.extend(of_body(trial));
        hints.extend(of_url(trial));
        hints.extend(of_secrets(config, trial));
        hints.extend(of_encoding(trial));
    }
    if OF_TIME.contains(&reason) {
        hints.extend(of_unit(trial));
        hints.extend(of_clock(trial));
    }
    hints.extend(tokens::find(trial, reason));
    if reason == Reason::MissingCredential && hints.is_empty() {
        hints.extend(of_senders(trial));
    }
    if hints.is_empty() {
        hints.extend(reason.hint().map(str::to_owned));
    }
    hints
}

/// Whether the request passes after `change` of the rules, the headers, the body or the time.
fn passes(trial: &Trial<'_>, change: impl FnOnce(&mut Route, &mut Captured, &mut UnixTime)) -> bool {
    let (mut route, mut captured, mut now) = (trial.route.clone(), trial.captured.clone(), trial.now);
    change(&mut route, &mut captured, &mut now);
    Trial { route: &route, captured, now }.verdict(&mut Explanation::off()).is_ok()
}

fn of_body(trial: &Trial<'_>) -> Option<String> {
    let variants = bodies::variants(&trial.captured.body);
    let found = variants.into_iter().find(|(_, body)| passes(trial, |_, captured, _| captured.body.clone_from(body)));
    found.map(|(what, _)| format!("the body was changed in transit: {what}"))
}

fn of_url(trial: &Trial<'_>) -> Option<String> {
    let authority = trial.captured.host();
    let bare = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let forwarded = trial.captured.head.headers.get("x-forwarded-host").and_then(|value| value.to_str().ok());
    let hosts = [Some(authority), Some(bare), forwarded];
    for host in hosts.into_iter().flatten() {
        for scheme in ["https", "http"] {
            let url = PublicUrl { scheme: scheme.to_owned(), authority: host.to_owned(), prefix: String::new() };
            if passes(trial, |route, _, _| route.public_url = Some(url)) {
                return Some(format!("the sender signs another URL: set public_url to {scheme}://{host}"));
            }
        }
    }
    let slashed = passes(trial, |route, _, _| {
        each_signature(&mut route.rules, |policy| policy.url_variants = vec![UrlVariant::Port, UrlVariant::Slash]);
    });
    slashed.then(|| "the sender signs the URL with another port or trailing slash: see url_variants".to_owned())
}

fn each_signature(rules: &mut Rules, mut change: impl FnMut(&mut SignaturePolicy)) {
    fn walk(policy: &mut Policy, change: &mut impl FnMut(&mut SignaturePolicy)) {
        match policy {
            Policy::Signature(policy) => change(policy),
            Policy::AllOf(policies) | Policy::AnyOf(policies) => {
                policies.iter_mut().for_each(|policy| walk(policy, change));
            }
            Policy::Jwt(_) | Policy::Detached(_) | Policy::ClientCertificate(_) | Policy::Token(_) | Policy::Public => {
            }
        }
    }
    walk(&mut rules.policy, &mut change);
}

fn secrets_of(rules: &Rules) -> Vec<Secret> {
    let leaves = rules.policy.leaves().into_iter();
    leaves
        .filter_map(|leaf| if let Policy::Signature(policy) = leaf { Some(policy.secrets.clone()) } else { None })
        .flatten()
        .collect()
}

/// Finds a secret that was read in the wrong encoding, or a secret of another route.
fn of_secrets(config: &Config, trial: &Trial<'_>) -> Option<String> {
    let with = |key: &SecretKey| {
        passes(trial, |route, _, _| {
            each_signature(&mut route.rules, |policy| {
                policy.key_id = None;
                policy.secrets = vec![Secret::new(0, key.clone())];
            });
        })
    };
    for secret in secrets_of(&trial.route.rules) {
        let raw = secret.key.shared().unwrap_or_default();
        for (encoding, name) in
            [(SecretEncoding::Hex, "hex"), (SecretEncoding::Base64, "base64"), (SecretEncoding::Whsec, "whsec")]
        {
            let decoded = decode_secret(raw, encoding).and_then(|secret| SecretKey::from_secret(secret).ok());
            if decoded.is_some_and(|key| with(&key)) {
                return Some(format!("the secret is encoded as {name}: set `encoding: {name}`"));
            }
        }
        let as_text = "the sender uses the secret as text: set `encoding: utf8`";
        let with_newline = String::from_utf8_lossy(&[raw, b"\n"].concat()).into_owned();
        for (text, hint) in [
            (Encoding::Hex.encode(raw), as_text),
            (Encoding::Base64.encode(raw), as_text),
            (with_newline, "the sender uses the secret with the trailing newline of its file"),
        ] {
            let key = SecretKey::from_secret(zeroize::Zeroizing::new(text.into_bytes())).ok();
            if key.is_some_and(|key| with(&key)) {
                return Some(hint.to_owned());
            }
        }
    }
    let others = config.snapshot.routes.routes().filter(|route| route.name != trial.route.name);
    let found = others.into_iter().find(|route| secrets_of(&route.rules).iter().any(|secret| with(&secret.key)));
    found.map(|route| {
        format!(
            "it is signed with a secret of the route {}: a previous secret, or that of another endpoint",
            route.name
        )
    })
}

fn of_encoding(trial: &Trial<'_>) -> Option<String> {
    let encodings =
        [(Encoding::Hex, "hex"), (Encoding::Base64, "base64"), (Encoding::Base64Url, "base64url without padding")];
    let found = encodings.into_iter().find(|(encoding, _)| {
        passes(trial, |route, _, _| each_signature(&mut route.rules, |policy| policy.encoding = *encoding))
    });
    found.map(|(_, name)| format!("the signature is encoded as {name}"))
}

/// Finds a timestamp in another unit, most often milliseconds instead of seconds.
fn of_unit(trial: &Trial<'_>) -> Option<String> {
    let units = [
        (TimestampUnit::Milliseconds, "milliseconds (ms)"),
        (TimestampUnit::Seconds, "seconds (s)"),
        (TimestampUnit::Microseconds, "microseconds (us)"),
        (TimestampUnit::Rfc3339, "RFC 3339 (rfc3339)"),
    ];
    let found = units.into_iter().find(|(unit, _)| {
        passes(trial, |route, _, _| {
            each_signature(&mut route.rules, |policy| {
                if let Some(time) = &mut policy.time {
                    time.unit = *unit;
                }
            });
            if let Some(time) = &mut route.rules.timestamp {
                time.unit = *unit;
            }
        })
    });
    found.map(|(_, name)| format!("the sender's timestamp is in {name}"))
}

/// Finds by how many seconds the time must change, earlier or later, for the request to pass. Steps grow by at most a
/// quarter of a power of two.
fn of_clock(trial: &Trial<'_>) -> Option<String> {
    let earlier = |seconds: u64| trial.now.seconds().checked_sub(seconds).and_then(UnixTime::from_seconds);
    let later = |seconds: u64| Some(trial.now.plus(Duration::from_secs(seconds)));
    let at = |now: Option<UnixTime>| now.is_some_and(|now| passes(trial, |_, _, time| *time = now));
    let scales = std::iter::successors(Some(1_u64), |seconds| seconds.checked_mul(2)).take_while(|s| *s <= MAX_OFFSET);
    for seconds in scales {
        for step in [seconds, seconds + seconds / 4, seconds + seconds / 2, seconds + 3 * (seconds / 4)] {
            if at(earlier(step)) {
                return Some(format!(
                    "it would have passed {step} s ago: an old request (set its time with --now), or a wrong clock"
                ));
            }
            if at(later(step)) {
                return Some(format!("it would pass in {step} s: a wrong clock"));
            }
        }
    }
    None
}

/// For a request without a credential where the route expects it: lists the presets that match its headers.
fn of_senders(trial: &Trial<'_>) -> Option<String> {
    let headers = &trial.captured.head.headers;
    let wanted = trial.route.rules.policy.credential_headers();
    let wanted: Vec<&str> = wanted.iter().map(|name| name.as_str()).collect();
    let looks_like = presets::PRESETS.keys().filter_map(|name| {
        let preset = presets::find(name)?;
        let names = preset.signature.value()?.header.value()?.to_vec();
        names.iter().any(|header| headers.contains_key(header.to_ascii_lowercase())).then_some(*name)
    });
    let looks_like: Vec<&str> = looks_like.collect();
    let place =
        if wanted.is_empty() { String::new() } else { format!("the route expects the header {}", wanted.join(" or ")) };
    match (looks_like.is_empty(), place.is_empty()) {
        (true, true) => None,
        (true, false) => Some(place),
        (false, _) => Some(format!("{place}; the request looks like one from {}", looks_like.join(", "))),
    }
}
