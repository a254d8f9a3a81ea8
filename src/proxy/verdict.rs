//! The header by which the upstream learns the decision on a request (`forward.verdict`): who sent it, how that was
//! verified, and whether it would have been rejected outside of a dry run. It has no secret, no token and no signature.

use serde_json::{Map, Value, json};

use crate::auth::{CredentialId, Grant, Permit};
use crate::reason::Reason;
use crate::route::Route;

/// The longest text of a replay id, in bytes; a longer one is cut by its hash.
const LONGEST_ID: usize = 128;

/// The state of a request in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DuplicateState {
    /// The route has no replay protection and no idempotency keys, or the store did not respond and `on_error` allows it.
    Unchecked,
    /// Its ids were reserved: no other request with them is committed or in flight.
    First,
}

impl DuplicateState {
    const fn word(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::First => "first",
        }
    }
}

/// The verdict as one JSON object in ASCII. `reason` is that of a request that only a dry run forwards: the identity of
/// its sender is not proven, and is left out.
pub(super) fn verdict(route: &Route, permit: &Permit, reason: Option<Reason>, duplicates: DuplicateState) -> String {
    let mut verdict = Map::from_iter([
        ("scheme".to_owned(), route.rules.policy.kind().label().into()),
        ("dry_run".to_owned(), reason.is_some().into()),
    ]);
    match (permit, reason) {
        (Permit::Granted(grant), None) => {
            verdict.insert("duplicates".to_owned(), duplicates.word().into());
            verdict.extend(identity(grant));
        }
        (Permit::Granted(_) | Permit::Observed(_), reason) => {
            verdict.extend(reason.map(|reason| ("reason".to_owned(), reason.word().into())));
        }
    }
    ascii(&Value::Object(verdict).to_string())
}

fn identity(grant: &Grant) -> impl Iterator<Item = (String, Value)> {
    let ids: Vec<Value> = grant.replay_ids().map(|id| replay_id(&id)).collect();
    let members = [
        ("issuer", grant.issuer().map(|issuer| Value::from(&**issuer))),
        ("sender", grant.sender().text().map(Value::from)),
        ("kid", grant.kid().map(Value::from)),
        ("replay_ids", Some(Value::Array(ids)).filter(|ids| *ids != json!([]))),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// The id as text if it is one, otherwise, and if it is long, in hex: the bytes, or their SHA-256.
fn replay_id(id: &CredentialId<'_>) -> Value {
    let bytes = &id.replay_id.id;
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST_ID);
    match text.filter(|text| !text.contains(char::is_control)) {
        Some(text) => text.into(),
        None if bytes.len() <= LONGEST_ID / 2 => hex::encode(bytes).into(),
        None => hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)).into(),
    }
}

/// JSON with each character beyond ASCII escaped: an upstream may decode the bytes of a header in another way.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() && letter != '\u{7f}' {
            text.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_ascii_and_the_same_json() {
        for text in ["acme", "jos\u{e9}", "\u{1f600}", "\u{7f}", "a\"b\\", "\u{1}\n"] {
            let (json, value) = (ascii(&json!(text).to_string()), Value::from(text));
            assert!(json.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{json}");
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        }
    }
}
