//! Token revocation: rejects otherwise valid tokens by id, subject, key, or issue time.
//!
//! A list is stored behind a handle that outlives reloads and is updated independently of the configuration, so that
//! nothing else delays a revocation. This module reads no file: `config` parses lists, `reload` replaces them, and
//! [`super::verify`] queries them.

use std::collections::HashSet;

use arc_swap::ArcSwap;
use serde_json::Value;

use super::grant::Grant;
use super::time::numeric_claim;
use crate::clock::UnixTime;

/// A revocation list. Names are compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    /// Revoked token ids (`jti`).
    pub token_ids: HashSet<String>,
    /// Revoked subjects (`sub`).
    pub subjects: HashSet<String>,
    /// Revoked key ids (`kid`).
    pub key_ids: HashSet<String>,
    /// Tokens issued before this time, or without an issue time (`iat`), are revoked.
    pub issued_before: Option<UnixTime>,
    /// SHA-256 of the text that it was parsed from: an unchanged text is not parsed again.
    pub version: [u8; 32],
}

impl RevocationList {
    /// The number of token ids, subjects and key ids in the list.
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

/// The attributes by which a token can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocable<'a> {
    /// The token id (`jti`).
    pub token_id: Option<&'a str>,
    /// The subject (`sub`).
    pub subject: Option<&'a str>,
    /// The key id (`kid`).
    pub key_id: Option<&'a str>,
    /// False for a request that was authenticated by a scheme without a token.
    is_token: bool,
    issued: Option<UnixTime>,
}

impl Revocable<'_> {
    /// Whether the token was issued before `bound`. A token without an issue time counts as older.
    pub fn is_older_than(&self, bound: UnixTime) -> bool {
        self.is_token && self.issued.is_none_or(|issued| issued < bound)
    }
}

fn revocable(grant: &Grant) -> Revocable<'_> {
    Revocable {
        token_id: grant.claims.get("jti").and_then(Value::as_str),
        subject: grant.subject(),
        key_id: grant.kid(),
        is_token: !grant.claims.is_empty(),
        issued: numeric_claim(&grant.claims, "iat"),
    }
}

impl Grant {
    /// The attributes by which its tokens can be revoked: `jti`, `sub`, key id and issue time of each token.
    pub fn revocables(&self) -> impl Iterator<Item = Revocable<'_>> {
        // A grant that was merged from others repeats one of them.
        let credentials = self.each().filter(|grant| grant.holder.is_some());
        credentials.filter(|grant| grant.kid.is_some() || !grant.claims.is_empty()).map(revocable)
    }
}

fn holds(names: &HashSet<String>, name: Option<&str>) -> bool {
    name.is_some_and(|name| names.contains(name))
}

/// The handle of the revocation list of one file.
#[derive(Debug)]
pub struct RevocationHandle {
    /// The file, as named in gateway.yaml: log field and metric label.
    pub file: String,
    list: ArcSwap<RevocationList>,
}

impl RevocationHandle {
    /// Creates a handle with this list.
    pub fn new(file: String, list: RevocationList) -> Self {
        Self { file, list: ArcSwap::from_pointee(list) }
    }

    /// Whether the active list revokes a token of this grant.
    pub(super) fn revokes(&self, grant: &Grant) -> bool {
        let list = self.list.load();
        grant.each().any(|one| list.revokes(one))
    }

    /// The version (SHA-256) of the active list.
    pub fn version(&self) -> [u8; 32] {
        self.list.load().version
    }

    /// The number of entries in the active list.
    pub fn entries(&self) -> usize {
        self.list.load().entries()
    }

    /// Replaces the active list.
    pub fn replace(&self, list: RevocationList) {
        self.list.store(list.into());
    }
}

#[cfg(test)]
mod tests;
