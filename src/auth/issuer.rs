//! An issuer of tokens, with its keys and the cache of tokens that they have verified.
//!
//! The cache has tokens whose signature has been verified. A sender may present one token many times, and verifying its
//! signature is the most expensive part of a request. A cache hit proves only that this key set has verified these
//! bytes; the claims are checked on every request.
//!
//! A token is cached once it is verified twice in a row in its slot. Most senders make a new token for each event, and
//! caching those would evict the tokens that do recur.
//!
//! Each issuer has its own cache, and an entry belongs to the key set that verified it: another issuer, a key set that
//! was fetched again or a reload starts without entries (Oathkeeper CVE-2026-33496). The cache never changes a
//! decision.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::jws::Token;
use super::keys::{Algorithm, Key, KeySet, Keys};
use super::sender::{Holder, HolderKind, KeyDigest};

/// Number of lock stripes, so that workers do not wait for each other.
const STRIPES: usize = 16;

/// Tokens per stripe: two thousand in total, about 2 KiB each.
const SLOTS: usize = 128;

/// Longest token that is cached, in bytes; longer tokens are verified on every request.
const MAX_TOKEN: usize = 4 * 1024;

/// A trusted issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The issuer's name in gateway.yaml.
    pub name: Arc<str>,
    /// Whether that is the name of a preset, under which routes may have different keys.
    pub preset: bool,
    /// The exact `iss`. `None` skips the comparison (`none` in gateway.yaml, only together with one pinned key).
    pub iss: Option<String>,
    /// Allowed algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's keys; another issuer's keys are never searched.
    pub keys: Keys,
    /// Cache of tokens that these keys have verified.
    pub token_cache: Arc<VerifiedTokenCache>,
}

impl Issuer {
    /// The holder of a token that this key has verified: the sender that the key names, or else the issuer. No `kid` is
    /// part of it, since issuers rotate their keys.
    pub(super) fn holder(&self, key: &Key) -> Holder {
        let issuer = || Holder { kind: HolderKind::Issuer, name: Arc::clone(&self.name), key_id: None };
        key.sender.as_ref().map_or_else(issuer, Holder::named)
    }

    /// The key, unless the name of the holder is unique in gateway.yaml.
    pub(super) fn unnamed(&self, key: &Key) -> Option<KeyDigest> {
        (self.preset && key.sender.is_none()).then_some(key.digest)
    }
}

/// SHA-256 of a token. Not truncated, because a collision would be a forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenHash([u8; 32]);

/// A token with a valid signature.
#[derive(Clone)]
pub(super) struct CachedToken {
    pub(super) token: Arc<Token>,
    /// The key set that verified it.
    pub(super) keys: Arc<KeySet>,
    /// Index of its key in `keys`.
    pub(super) key: usize,
}

/// One slot of a direct-mapped cache: bounded memory without eviction work.
#[derive(Default)]
struct CacheSlot {
    /// The token verified last.
    last: Option<TokenHash>,
    /// The last token verified twice in a row.
    kept: Option<(TokenHash, CachedToken)>,
}

/// The cached tokens of one issuer.
#[derive(Default)]
pub struct VerifiedTokenCache([Mutex<Vec<CacheSlot>>; STRIPES]);

impl fmt::Debug for VerifiedTokenCache {
    /// Omits the tokens, which are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokenCache").finish_non_exhaustive()
    }
}

impl VerifiedTokenCache {
    /// The cache key of a token; `None` if it is too long to be cached.
    pub(super) fn name(token: &str) -> Option<TokenHash> {
        let hash = (token.len() <= MAX_TOKEN).then(|| digest(&SHA256, token.as_bytes()))?;
        hash.as_ref().try_into().ok().map(TokenHash)
    }

    pub(super) fn get(&self, name: TokenHash) -> Option<CachedToken> {
        let (stripe, at) = self.place(name)?;
        let slots = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, known) = slots.get(at)?.kept.as_ref()?;
        (*found == name).then(|| known.clone())
    }

    /// Records that a token was verified. Calls `known` and caches the entry if the slot verified the same token last.
    pub(super) fn add(&self, name: TokenHash, known: impl FnOnce() -> CachedToken) {
        let Some((stripe, at)) = self.place(name) else { return };
        let mut slots = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.is_empty() {
            slots.resize_with(SLOTS, CacheSlot::default);
        }
        let Some(slot) = slots.get_mut(at) else { return };
        if slot.last.replace(name) != Some(name) {
            return;
        }
        let before = slot.kept.replace((name, known()));
        drop(slots);
        drop(before);
    }

    fn place(&self, name: TokenHash) -> Option<(&Mutex<Vec<CacheSlot>>, usize)> {
        let [stripe, slot, ..] = name.0;
        Some((self.0.get(usize::from(stripe) % STRIPES)?, usize::from(slot) % SLOTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn known() -> CachedToken {
        let token = Token {
            algorithm: crate::auth::keys::Algorithm::RS256,
            kid: None,
            typ: None,
            x5c: None,
            claims: Arc::new(Map::new()),
        };
        CachedToken { token: Arc::new(token), keys: Arc::default(), key: 0 }
    }

    #[test]
    fn it_stays_as_large_as_it_is() {
        let memory = VerifiedTokenCache::default();
        let names: Vec<TokenHash> =
            (0..20_000).map(|number| VerifiedTokenCache::name(&number.to_string()).unwrap()).collect();
        assert!(memory.get(names[0]).is_none());
        names.iter().for_each(|name| memory.add(*name, known));
        assert!(names.iter().all(|name| memory.get(*name).is_none()), "each was verified only once");
        names.iter().for_each(|name| (0..2).for_each(|_| memory.add(*name, known)));
        let held = names.iter().filter(|name| memory.get(**name).is_some()).count();
        assert!((STRIPES * SLOTS / 2..=STRIPES * SLOTS).contains(&held), "{held}");
        assert!(memory.get(*names.last().unwrap()).is_some());
        assert_eq!(VerifiedTokenCache::name(&"a".repeat(MAX_TOKEN + 1)), None);
    }
}
