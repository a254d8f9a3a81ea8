//! Which tokens are good and shall not pass any more? By id, subject, key, or by when they were issued.
//!
//! A list stands behind a handle that outlives reloads and is filled on its own, so that a revocation waits for nothing
//! else. No file is read here: `config` makes lists, `reload` replaces them, [`super::verify`] asks.

use std::collections::HashSet;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::Grant;
use super::time::numeric_date;
use crate::clock::UnixTime;

/// What is revoked. Names are compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    /// `jti` of tokens.
    pub token_ids: HashSet<String>,
    /// `sub` of tokens.
    pub subjects: HashSet<String>,
    /// `kid` of keys.
    pub key_ids: HashSet<String>,
    /// Tokens that were issued earlier, or do not say when.
    pub issued_before: Option<UnixTime>,
    /// SHA-256 of the text that it was read from: the same text need not be read again.
    pub version: [u8; 32],
}

impl RevocationList {
    /// How many names it has.
    pub fn entries(&self) -> usize {
        [&self.token_ids, &self.subjects, &self.key_ids].iter().map(|names| names.len()).sum()
    }

    fn revokes(&self, grant: &Grant) -> bool {
        let one = revocable(grant);
        holds(&self.token_ids, one.token_id)
            || holds(&self.subjects, one.subject)
            || holds(&self.key_ids, one.key_id)
            || self.issued_before.is_some_and(|bound| one.is_older_than(bound))
    }
}

/// What a revocation goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocable<'a> {
    /// `jti`
    pub token_id: Option<&'a str>,
    /// `sub`
    pub subject: Option<&'a str>,
    /// `kid`
    pub key_id: Option<&'a str>,
    /// Whoever passes by another scheme of the route has no token.
    is_token: bool,
    issued: Option<UnixTime>,
}

impl Revocable<'_> {
    /// A token that hides its age is taken for an old one.
    pub fn is_older_than(&self, bound: UnixTime) -> bool {
        self.is_token && self.issued.is_none_or(|issued| issued < bound)
    }
}

pub(super) fn revocable(grant: &Grant) -> Revocable<'_> {
    let issued = match grant.claims.get("iat") {
        Some(Value::Number(number)) => numeric_date(number).map(|date| date.floor),
        Some(_) | None => None,
    };
    Revocable {
        token_id: grant.claims.get("jti").and_then(Value::as_str),
        subject: grant.subject(),
        key_id: grant.kid(),
        is_token: !grant.claims.is_empty(),
        issued,
    }
}

fn holds(names: &HashSet<String>, name: Option<&str>) -> bool {
    name.is_some_and(|name| names.contains(name))
}

/// The handle of one file's list.
#[derive(Debug)]
pub struct RevocationHandle {
    /// The file, as it is named in gateway.yaml: log field and metric label.
    pub file: String,
    list: ArcSwap<RevocationList>,
}

impl RevocationHandle {
    /// Begins with this list.
    pub fn new(file: String, list: RevocationList) -> Self {
        Self { file, list: ArcSwap::from_pointee(list) }
    }

    /// Whether the list in force revokes a token of this grant.
    pub(super) fn revokes(&self, grant: &Grant) -> bool {
        let list = self.list.load();
        grant.each().any(|one| list.revokes(one))
    }

    /// Which list is in force.
    pub fn version(&self) -> [u8; 32] {
        self.list.load().version
    }

    /// How many names the list in force has.
    pub fn entries(&self) -> usize {
        self.list.load().entries()
    }

    /// Puts a good list in force.
    pub fn replace(&self, list: RevocationList) {
        self.list.store(list.into());
    }
}

#[cfg(test)]
mod tests;
