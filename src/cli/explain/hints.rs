//! Hints at the probable cause of a rejection: the request is verified again with one thing changed at a time, and the
//! change that makes it pass is the cause.

mod bodies;
mod form;
mod headers;
mod message_signature;
mod secrets;
mod target;
mod tokens;
mod unknown;

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::token::Mismatch;
use super::trial::{Trial, each_signature, passes, signatures};
use crate::auth::locator::Locator;
use crate::auth::request::{PublicUrl, UrlVariant};
use crate::auth::secret::{Hash, SignatureAlgorithm};
use crate::auth::signature::{Component, SignaturePolicy};
use crate::auth::time::TimestampUnit;
use crate::auth::{Policy, Reason};
use crate::clock::UnixTime;
use crate::config::{Config, presets};
pub(super) use target::of_target;

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

/// Reasons of a request whose body may have been read in another form than the sender's.
const OF_UNREAD: &[Reason] = &[
    Reason::MalformedBody,
    Reason::MissingSignedComponent,
    Reason::MissingTimestamp,
    Reason::MissingCredential,
    Reason::RequirementNotMet,
];

/// Reasons for which the credential is looked for elsewhere.
const OF_CREDENTIAL: &[Reason] =
    &[Reason::MissingCredential, Reason::MultipleCredentials, Reason::MalformedCredential, Reason::MissingTimestamp];

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

/// Makes one kind of change, and says which one makes the request valid.
type FindCause = fn(&Config, &Trial<'_>) -> Option<String>;

/// The changes that are tried for a rejection of the content, each with its name in the list of what was tried.
const CAUSES: &[(&str, FindCause)] = &[
    ("other forms of the body", |_, trial| of_body(trial)),
    ("other public URLs", |_, trial| of_url(trial)),
    ("spellings of the secrets, and secrets of other routes", secrets::of_signature),
    ("other encodings of the signature", |_, trial| form::of_encoding(trial)),
    ("other prefixes of the signature", |_, trial| form::of_prefix(trial)),
    ("other hashes", |_, trial| of_algorithm(trial)),
];

/// The probable causes of a rejection for this reason.
pub(super) fn find(config: &Config, trial: &Trial<'_>, reason: Reason, mismatches: &[Mismatch]) -> Vec<String> {
    let mut hints: Vec<String> = of_form(trial, reason).into_iter().collect();
    let mut tried = Vec::new();
    if OF_CONTENT.contains(&reason) {
        for (name, cause) in CAUSES {
            let before = trial.attempts.get();
            hints.extend(cause(config, trial));
            let attempts = trial.attempts.get() - before;
            tried.extend((attempts > 0).then(|| format!("{attempts} {name}")));
        }
    }
    if OF_TIME.contains(&reason) {
        hints.extend(of_unit(trial));
    }
    hints.extend(tokens::find(trial, reason));
    if hints.is_empty() {
        hints.extend(form::find(trial, reason));
    }
    let near = mismatches.iter().filter_map(|mismatch| Some(format!("{mismatch}: {}", mismatch.near.as_ref()?)));
    hints.extend(near);
    if OF_TIME.contains(&reason) && hints.is_empty() {
        hints.extend(of_clock(trial));
    }
    if reason == Reason::InvalidStaticToken {
        hints.extend(secrets::of_static_token(config, trial));
    }
    if hints.is_empty() {
        hints.extend(message_signature::find(trial, reason));
    }
    if hints.is_empty() && OF_CONTENT.contains(&reason) {
        hints.extend(of_unknown_url(trial));
    }
    if hints.is_empty() && OF_CREDENTIAL.contains(&reason) {
        hints.extend(headers::find(trial, reason));
        hints.extend(of_senders(trial).filter(|_| reason == Reason::MissingCredential));
    }
    if hints.is_empty() {
        hints.extend(reason.hint().map(str::to_owned));
    }
    if hints.iter().all(|hint| Some(&**hint) == reason.hint()) {
        let unknown = unknown::find(trial, reason, &tried);
        hints = if unknown.is_empty() { hints } else { unknown };
    }
    hints
}

/// A form is read in one of its two encodings.
fn of_form(trial: &Trial<'_>, reason: Reason) -> Option<String> {
    let value = trial.captured.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = value.unwrap_or_default().to_ascii_lowercase();
    let is_in_form = |locator: &Locator| matches!(locator, Locator::Form(_));
    let in_form = |component: &Component| {
        let located = matches!(component, Component::Located(locator, _) if is_in_form(locator));
        located || *component == Component::FormSorted
    };
    let reads = trial.route.rules.policy.leaves().into_iter().any(|leaf| {
        let signs = matches!(leaf, Policy::Signature(policy) if policy.signed_payload.iter().any(in_form));
        signs || leaf.places().iter().any(is_in_form)
    });
    if reads && value.starts_with("multipart/") {
        let hint = "the body is multipart/form-data, which is not read: only application/x-www-form-urlencoded is";
        return Some(hint.to_owned());
    }
    let is_compressed = trial.captured.body.starts_with(&[0x1f, 0x8b])
        || trial.captured.head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
    if is_compressed && OF_CONTENT.contains(&reason) {
        let hint = "the body is compressed (Content-Encoding): its bytes are verified as they are, and the sender may have \
                    signed them before their compression, which was not tried: send the body without it";
        return Some(hint.to_owned());
    }
    if !OF_UNREAD.contains(&reason) {
        return None;
    }
    let is_json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|body| body.is_object());
    let body = &trial.captured.body;
    let leaves = trial.route.rules.policy.leaves();
    let reads_json = leaves.iter().any(|leaf| {
        if let Policy::Signature(policy) = leaf {
            let is_json = |piece: &Component| matches!(piece, Component::Located(Locator::Json(_), _));
            policy.required_json.is_some() || policy.signed_payload.iter().any(is_json)
        } else {
            leaf.places().iter().any(|place| matches!(place, Locator::Json(_)))
        }
    });
    let is_form = value.starts_with("application/x-www-form-urlencoded");
    if reads_json && is_form && !is_json(body) {
        let hint = "the body is a form, and the route reads JSON: set the content type application/json in the sender's \
                    console";
        return Some(hint.to_owned());
    }
    (reads && !is_form && is_json(body)).then(|| {
        "the body is JSON, and the route reads a form: the sender must send application/x-www-form-urlencoded"
            .to_owned()
    })
}

fn of_body(trial: &Trial<'_>) -> Option<String> {
    let mut variants = bodies::variants(&trial.captured.body);
    let found = variants.find(|(_, body)| passes(trial, |_, captured, _| captured.body.clone_from(body)));
    found.map(|(what, _)| format!("the body was changed in transit: {what}"))
}

fn of_url(trial: &Trial<'_>) -> Option<String> {
    let authority = trial.captured.host();
    let bare = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    // The headers of a proxy in front: of several values, the first is that of the client.
    let header = |name: &str| {
        let value = trial.captured.head.headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    };
    let configured = trial.route.public_url.as_ref();
    let hosts = [Some(authority), Some(bare), header("x-forwarded-host"), configured.map(|url| url.authority.as_str())];
    let schemes = [Some("https"), Some("http"), header("x-forwarded-proto")];
    let prefixes = [Some(""), header("x-forwarded-prefix"), configured.map(|url| url.prefix.as_str())];
    for host in hosts.into_iter().flatten() {
        for scheme in schemes.into_iter().flatten() {
            for prefix in prefixes.into_iter().flatten().map(|prefix| prefix.trim_end_matches('/')) {
                let url =
                    PublicUrl { scheme: scheme.to_owned(), authority: host.to_owned(), prefix: prefix.to_owned() };
                if passes(trial, |route, _, _| route.public_url = Some(url)) {
                    return Some(format!("the sender signs another URL: set public_url to {scheme}://{host}{prefix}"));
                }
            }
        }
    }
    let slashed = passes(trial, |route, _, _| {
        each_signature(&mut route.rules, |policy| policy.url_variants = vec![UrlVariant::Port, UrlVariant::Slash]);
    });
    slashed.then(|| "the sender signs the URL with another port or trailing slash: see url_variants".to_owned())
}

/// Where the URL is signed, the one of the sender may be any other: it is not in the request.
fn of_unknown_url(trial: &Trial<'_>) -> Option<String> {
    let policy = &trial.route.rules.policy;
    let signs = policy.leaves().iter().any(|leaf| matches!(leaf, Policy::Signature(policy) if policy.signs_url()));
    let base = if trial.route.public_url.is_some() { "public_url" } else { "the Host header, without public_url," };
    signs.then(|| {
        format!(
            "the sender signs the URL that is registered in its console, and {base} is a guess at it: no host or path \
             other than those in this request was tried; set public_url to the registered URL"
        )
    })
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

/// Finds by how many seconds the time must change, earlier or later, for the request to pass: the scale by steps, which
/// grow by at most a quarter of a power of two, and then the exact number.
fn of_clock(trial: &Trial<'_>) -> Option<String> {
    let earlier = |seconds: u64| trial.now.seconds().checked_sub(seconds).and_then(UnixTime::from_seconds);
    let later = |seconds: u64| Some(trial.now.plus(Duration::from_secs(seconds)));
    let at = |now: Option<UnixTime>| now.is_some_and(|now| passes(trial, |_, _, time| *time = now));
    let scales = std::iter::successors(Some(1_u64), |seconds| seconds.checked_mul(2)).take_while(|s| *s <= MAX_OFFSET);
    let steps = scales.flat_map(|s| [s, s + s / 4, s + s / 2, s + 3 * (s / 4)]);
    let mut before = 0;
    for step in steps {
        if at(earlier(step)) {
            let exact = first(before, step, |seconds| at(earlier(seconds)));
            return Some(format!(
                "it would have passed {exact} s ago: an old request (set its time with --now), or a wrong clock"
            ));
        }
        if at(later(step)) {
            let exact = first(before, step, |seconds| at(later(seconds)));
            return Some(format!("it would pass in {exact} s: a wrong clock"));
        }
        before = step;
    }
    None
}

/// The first number that passes, of those after `failing` up to `passing`.
fn first(mut failing: u64, mut passing: u64, passes: impl Fn(u64) -> bool) -> u64 {
    while passing.saturating_sub(failing) > 1 {
        let middle = failing + (passing - failing) / 2;
        if passes(middle) { passing = middle } else { failing = middle }
    }
    passing
}

/// Finds a sender that uses another hash.
fn of_algorithm(trial: &Trial<'_>) -> Option<String> {
    let hashes = [(Hash::Sha1, "sha1"), (Hash::Sha256, "sha256"), (Hash::Sha384, "sha384"), (Hash::Sha512, "sha512")];
    let is_mac = |policy: &&SignaturePolicy| matches!(policy.algorithm, SignatureAlgorithm::Hmac(_));
    let used: Vec<SignatureAlgorithm> =
        signatures(&trial.route.rules).into_iter().filter(is_mac).map(|policy| policy.algorithm).collect();
    let others =
        hashes.into_iter().filter(|(hash, _)| !used.is_empty() && !used.contains(&SignatureAlgorithm::Hmac(*hash)));
    let mut others = others.filter(|(hash, _)| {
        passes(trial, |route, _, _| {
            each_signature(&mut route.rules, |policy| policy.algorithm = SignatureAlgorithm::Hmac(*hash));
        })
    });
    others.next().map(|(_, name)| format!("the sender signs with HMAC-{}: see `algorithm`", name.to_ascii_uppercase()))
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
