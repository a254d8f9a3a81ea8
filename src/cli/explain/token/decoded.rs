//! A decoded token, its values as they are printed, and a rule that it breaks.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::auth::explanation::Note;
use crate::auth::time::numeric_date;
use crate::clock::UnixTime;

/// The base64url of `{"`, with which a JWT begins.
pub(in crate::cli::explain) const BEGIN: &str = "eyJ";

/// Maximum number of characters of one value that are printed.
const MAX_SHOWN: usize = 200;

/// A decoded token, without its signature.
pub(in crate::cli::explain) struct Decoded {
    pub(in crate::cli::explain) header: Map<String, Value>,
    pub(in crate::cli::explain) claims: Map<String, Value>,
}

/// A rule of the route that a token breaks.
pub(in crate::cli::explain) struct Mismatch {
    /// The rule: `iss`, `aud`, `exp`, `claims` and others.
    pub(in crate::cli::explain) rule: &'static str,
    pub(in crate::cli::explain) expected: String,
    pub(in crate::cli::explain) seen: String,
    /// The difference, where it is small, or the advice.
    pub(in crate::cli::explain) near: Option<String>,
}

impl Mismatch {
    pub(in crate::cli::explain) fn note(&self) -> Note {
        Note { check: "broken rule", found: self.to_string() }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.rule, self.expected, self.seen)
    }
}

impl Decoded {
    /// Reads a token more leniently than the gateway does, to show it.
    pub(in crate::cli::explain) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let mut object = || {
            let bytes = URL_SAFE_NO_PAD.decode(parts.next()?.trim_end_matches('=')).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
        };
        Some(Self { header: object()?, claims: object()? })
    }
}

/// The text that looks like a JWT in another one.
pub(in crate::cli::explain) fn within(text: &str) -> Option<&str> {
    let token = text.get(text.find(BEGIN)?..)?;
    let is_of_token = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '=');
    let token = token.split(|letter| !is_of_token(letter)).next()?;
    token.contains('.').then_some(token)
}

/// A value of a token, cut; another token in it is not printed.
pub(in crate::cli::explain) fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

pub(in crate::cli::explain) fn cut(text: &str) -> String {
    if text.contains(BEGIN) {
        return "(a token)".to_owned();
    }
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

/// A time claim in whole seconds.
pub(in crate::cli::explain) fn seconds(value: &Value) -> Option<UnixTime> {
    numeric_date(value.as_number()?).map(|date| date.floor)
}

pub(in crate::cli::explain) fn distance(time: UnixTime, now: UnixTime) -> String {
    match time.since(now).as_secs() {
        0 => format!("{} s ago", now.since(time).as_secs()),
        ahead => format!("in {ahead} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_any_spelling_of_its_header() {
        let token = "eyJhbGciOiJub25lIn0.e30.c2ln";
        for text in ["Bearer eyJhbGciOiJub25lIn0.e30.c2ln", "\"eyJhbGciOiJub25lIn0.e30.c2ln\"", token] {
            assert_eq!(within(text), Some(token), "{text}");
        }
        assert_eq!((within("Bearer abc"), within("eyJhbGciOiJub25lIn0")), (None, None));
        let decoded = Decoded::read(token).unwrap();
        assert_eq!((decoded.header["alg"].as_str(), decoded.claims.len()), (Some("none"), 0));
    }

    #[test]
    fn a_value_is_cut_and_never_a_token() {
        assert_eq!(shown(&Value::from("eyJhbGciOiJub25lIn0.e30.c2ln")), "(a token)");
        assert_eq!(shown(&Value::from("x".repeat(500))).chars().count(), MAX_SHOWN + 1);
    }
}
