//! Hints at the probable cause of a rejection: the request is verified again with one thing changed at a time, and the
//! change that makes it pass is the cause.

mod bodies;
mod message_signature;
mod tokens;

use std::time::Duration;

use http::header::CONTENT_TYPE;

use super::trial::{Trial, passes};
use crate::auth::encoding::Encoding;
use crate::auth::locator::{LocatedValue, Locator};
use crate::auth::request::{PublicUrl, UrlVariant};
use crate::auth::secret::{Secret, SecretKey};
use crate::auth::signature::{Component, Parse, SignaturePolicy};
use crate::auth::time::TimestampUnit;
use crate::auth::{Policy, Reason, Rules};
use crate::clock::UnixTime;
use crate::config::file::SecretEncoding;
use crate::config::values::{cleaned_secret, decode_secret};
use crate::config::{Config, presets};

/// The largest clock error that is tried, in seconds.
const MAX_OFFSET: u64 = 10 * 366 * 24 * 3600;

/// Number of prefixes that are tried: a value has at most a few separators before its signature.
const MAX_PREFIXES: usize = 8;

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
    let mut hints: Vec<String> = of_multipart(trial).into_iter().collect();
    if OF_CONTENT.contains(&reason) {
        hints.extend(of_body(trial));
        hints.extend(of_url(trial));
        hints.extend(of_secrets(config, trial));
        hints.extend(of_encoding(trial));
        hints.extend(of_prefix(trial));
    }
    if OF_TIME.contains(&reason) {
        hints.extend(of_unit(trial));
        hints.extend(of_clock(trial));
    }
    hints.extend(tokens::find(trial, reason));
    if hints.is_empty() {
        hints.extend(message_signature::find(trial, reason));
    }
    if hints.is_empty() && OF_CONTENT.contains(&reason) {
        hints.extend(of_unknown_url(trial));
    }
    if hints.is_empty() && reason == Reason::MissingCredential {
        hints.extend(of_senders(trial));
    }
    if hints.is_empty() {
        hints.extend(reason.hint().map(str::to_owned));
    }
    hints
}

/// A form is read in one of its two encodings.
fn of_multipart(trial: &Trial<'_>) -> Option<String> {
    let value = trial.captured.head.headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    let is_in_form = |locator: &Locator| matches!(locator, Locator::Form(_));
    let in_form = |component: &Component| {
        let located = matches!(component, Component::Located(locator, _) if is_in_form(locator));
        located || *component == Component::FormSorted
    };
    let reads = trial.route.rules.policy.leaves().into_iter().any(|leaf| {
        let signs = matches!(leaf, Policy::Signature(policy) if policy.signed_payload.iter().any(in_form));
        signs || leaf.places().iter().any(is_in_form)
    });
    (reads && value.starts_with("multipart/")).then(|| {
        "the body is multipart/form-data, which is not read: only application/x-www-form-urlencoded is".to_owned()
    })
}

fn of_body(trial: &Trial<'_>) -> Option<String> {
    let variants = bodies::variants(&trial.captured.body);
    let found = variants.into_iter().find(|(_, body)| passes(trial, |_, captured, _| captured.body.clone_from(body)));
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

/// Finds a signature after a prefix that is not configured, such as `sha256=`, or without one that is.
fn of_prefix(trial: &Trial<'_>) -> Option<String> {
    let view = trial.view();
    let mut prefixes = Vec::new();
    for place in trial.route.rules.policy.leaves().into_iter().flat_map(Policy::places) {
        let value = place.find(&view).ok().flatten().and_then(LocatedValue::into_text).unwrap_or_default().into_owned();
        let ends = value.match_indices(['=', ':', ',', ' ']).map(|(at, _)| at + 1);
        prefixes.extend(ends.take(MAX_PREFIXES).filter_map(|end| value.get(..end).map(str::to_owned)));
    }
    let encodings = [Encoding::Hex, Encoding::HexUpper, Encoding::Base64, Encoding::Base64Url];
    let with = |parse: &Parse, encoding: Option<Encoding>| {
        passes(trial, |route, _, _| {
            each_signature(&mut route.rules, |policy| {
                policy.parse = parse.clone();
                policy.encoding = encoding.unwrap_or(policy.encoding);
            });
        })
    };
    if with(&Parse::Raw, None) {
        return Some("the signature has no prefix and no parts: remove `parse`".to_owned());
    }
    for prefix in prefixes {
        let parse = Parse::Prefix(prefix.clone());
        if std::iter::once(None).chain(encodings.map(Some)).any(|encoding| with(&parse, encoding)) {
            return Some(format!("the signature follows a prefix: set parse: {{ prefix: {prefix:?} }}"));
        }
    }
    None
}

fn each_signature(rules: &mut Rules, mut change: impl FnMut(&mut SignaturePolicy)) {
    fn walk(policy: &mut Policy, change: &mut impl FnMut(&mut SignaturePolicy)) {
        match policy {
            Policy::Signature(policy) => change(policy),
            Policy::AllOf(policies) | Policy::AnyOf(policies) => {
                policies.iter_mut().for_each(|policy| walk(policy, change));
            }
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::MessageSignature(_)
            | Policy::ClientCertificate(_)
            | Policy::Token(_)
            | Policy::Public => {}
        }
    }
    walk(&mut rules.policy, &mut change);
}

fn secrets_of(rules: &Rules, tenant: Option<&str>) -> Vec<Secret> {
    let leaves = rules.policy.leaves().into_iter();
    leaves
        .filter_map(|leaf| if let Policy::Signature(policy) = leaf { Some(policy.secrets.of(tenant)) } else { None })
        .flatten()
        .collect()
}

/// Finds a secret that was read in the wrong encoding, or a secret of another route.
fn of_secrets(config: &Config, trial: &Trial<'_>) -> Option<String> {
    let with = |key: &SecretKey| {
        passes(trial, |route, _, _| {
            each_signature(&mut route.rules, |policy| {
                policy.key_id = None;
                policy.secrets = vec![Secret::new(0, key.clone())].into();
            });
        })
    };
    for secret in secrets_of(&trial.route.rules, trial.tenant.as_deref()) {
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
        let cleaned = cleaned_secret(raw).and_then(|text| SecretKey::from_secret(text.to_vec().into()).ok());
        if cleaned.is_some_and(|key| with(&key)) {
            let hint =
                "the secret's file has a byte order mark, quotes, spaces or empty lines around the secret: remove them";
            return Some(hint.to_owned());
        }
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
    let found = others.into_iter().find(|route| secrets_of(&route.rules, None).iter().any(|secret| with(&secret.key)));
    found.map(|route| {
        format!(
            "it is signed with a secret of the route {}: a previous secret, or that of another endpoint",
            route.name
        )
    })
}

fn of_encoding(trial: &Trial<'_>) -> Option<String> {
    let encodings = [
        (Encoding::Hex, "hex in lower case (hex)"),
        (Encoding::HexUpper, "hex in capitals (hex_upper)"),
        (Encoding::Base64, "base64"),
        (Encoding::Base64Url, "base64url without padding"),
        (Encoding::Base64OfHex, "base64 of the text in hex (base64_of_hex)"),
    ];
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
