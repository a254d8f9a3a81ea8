//! Hints about the form of a signature's value: another encoding or prefix, a part that is absent, another length.

use super::super::trial::{Trial, each_signature, passes, signatures};
use crate::auth::encoding::Encoding;
use crate::auth::locator::{LocatedValue, Locator};
use crate::auth::signature::{Parse, SignaturePolicy};
use crate::auth::{Policy, Reason};

/// Number of prefixes that are tried: a value has at most a few separators before its signature.
const MAX_PREFIXES: usize = 8;

/// The longest name of a part that is shown.
const MAX_NAME: usize = 24;

/// Number of parts that are tried as the signature.
const MAX_PARTS: usize = 8;

/// Reasons of a value that has another form than the route's.
const OF_FORM: &[Reason] = &[
    Reason::InvalidSignature,
    Reason::MissingCredential,
    Reason::MissingSignedComponent,
    Reason::MissingTimestamp,
    Reason::RequirementNotMet,
];

/// The difference between the value and the form that the route expects; `None` where a value has the form.
pub(super) fn find(trial: &Trial<'_>, reason: Reason) -> Option<String> {
    if !OF_FORM.contains(&reason) {
        return None;
    }
    let view = trial.view();
    let mut hint = None;
    for policy in signatures(&trial.route.rules) {
        for place in &policy.places {
            let Some(value) = place.find(&view).ok().flatten().and_then(LocatedValue::into_text) else { continue };
            let what = of_value(trial, policy, &value)?;
            hint = hint.or_else(|| Some(sentence(policy, place, &what)));
        }
    }
    hint
}

fn sentence(policy: &SignaturePolicy, place: &Locator, what: &str) -> String {
    let (form, signature) = (policy.form(), policy.signature_form());
    let expected = match policy.parse {
        Parse::Raw => signature,
        Parse::Prefix(_) | Parse::Pairs { .. } | Parse::List { .. } | Parse::Split { .. } | Parse::Rest { .. } => {
            format!("the form `{form}`, where SIGNATURE is {signature}")
        }
    };
    format!("the {place} has {what}: the route expects {expected}")
}

/// The difference of one value; `None` if it has the form.
fn of_value(trial: &Trial<'_>, policy: &SignaturePolicy, value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("no value".to_owned());
    }
    let values = policy.parse.read(value);
    if values.is_empty() {
        return Some(match &policy.parse {
            Parse::Pairs { separator, equals, key } => of_pairs(trial, policy, value, (separator, equals, key)),
            Parse::Prefix(prefix) => format!("no `{prefix}` at its beginning"),
            Parse::List { prefix, .. } => format!("no item that begins with `{prefix}`"),
            Parse::Split { separator, .. } | Parse::Rest { separator, .. } => {
                format!("too few parts between `{separator}`")
            }
            Parse::Raw => "too many signatures".to_owned(),
        });
    }
    let absent = |(name, _): &(&str, &str)| values.iter().all(|value| value.part(name).is_none());
    if let Some((name, _)) = policy.parts().into_iter().find(absent) {
        return Some(format!("no part `{name}`, or more than one"));
    }
    let other = |(name, text): &(&str, &str)| values.iter().all(|value| value.part(name) != Some(*text));
    let fixed = policy.required_parts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    if let Some((name, text)) = fixed.into_iter().find(other) {
        return Some(format!("a part `{name}` that is not `{text}`"));
    }
    if values.iter().any(|value| policy.has_signature(value)) {
        return None;
    }
    let longest = values.iter().flat_map(|value| value.signatures()).map(|text| text.chars().count()).max();
    Some(format!("a signature of {} characters, in another encoding or cut off", longest.unwrap_or_default()))
}

/// The pairs of a value that has none with the signature.
fn of_pairs(
    trial: &Trial<'_>,
    policy: &SignaturePolicy,
    value: &str,
    (separator, equals, key): (&str, &str, &str),
) -> String {
    let is_name = |name: &&str| {
        (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let pairs = value.split(separator).filter_map(|pair| pair.trim().split_once(equals));
    let names: Vec<&str> = pairs.map(|(name, _)| name).filter(is_name).take(MAX_PARTS).collect();
    let valid = names.iter().find(|name| {
        let parse =
            Parse::Pairs { separator: separator.to_owned(), equals: equals.to_owned(), key: (**name).to_owned() };
        passes(trial, |route, _, _| each_signature(&mut route.rules, |policy| policy.parse = parse.clone()))
    });
    if let Some(name) = valid {
        return format!("a valid signature in the part `{name}`, and none in `{key}`");
    }
    if names.is_empty() {
        let is_signature = Parse::Raw.read(value).iter().any(|value| policy.has_signature(value));
        let bare = if is_signature { "a signature alone" } else { "another text" };
        return format!("{bare}, without the parts of the form");
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("the parts {}, and no `{key}`", names.join(", "))
}

/// Finds a signature after a prefix that is not configured, such as `sha256=`, or without one that is.
pub(super) fn of_prefix(trial: &Trial<'_>) -> Option<String> {
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
        let expected = signatures(&trial.route.rules).into_iter().find_map(|policy| match &policy.parse {
            Parse::Prefix(prefix) | Parse::List { prefix, .. } => Some(format!(" {prefix:?}, which the route expects")),
            Parse::Raw | Parse::Pairs { .. } | Parse::Split { .. } | Parse::Rest { .. } => None,
        });
        let expected = expected.unwrap_or_else(|| " and no parts".to_owned());
        return Some(format!("the signature has no prefix{expected}: its sender must write it, or remove `parse`"));
    }
    for prefix in prefixes {
        let parse = Parse::Prefix(prefix.clone());
        if std::iter::once(None).chain(encodings.map(Some)).any(|encoding| with(&parse, encoding)) {
            return Some(format!("the signature follows a prefix: set parse: {{ prefix: {prefix:?} }}"));
        }
    }
    None
}

/// Finds a signature in another encoding.
pub(super) fn of_encoding(trial: &Trial<'_>) -> Option<String> {
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
