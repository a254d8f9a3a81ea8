//! Tokens whose signature was verified before: one token comes again and again, and its signature is the dearest part of
//! a request. That these bytes are a token of this key set stays true; what it says is judged each time.
//!
//! A token is kept when it comes twice in a row in its place: most senders make a new one for each event, and to keep those
//! would only push out the ones that do come again.
//!
//! An issuer has a memory of its own, and in it a token belongs to the very key set that verified it: another issuer, a
//! set that was fetched anew or a reload begin with nothing (Oathkeeper CVE-2026-33496). Pure to whoever asks: with or
//! without it, the answer is the same.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::Token;
use crate::auth::keys::KeySet;

/// Locks, so that workers do not wait for each other.
const STRIPES: usize = 16;

/// Tokens that one stripe remembers: two thousand in all, about 2 KiB each.
const SLOTS: usize = 128;

/// Longer tokens are verified each time.
const MAX_TOKEN: usize = 4 * 1024;

/// A collision would be a forgery, so that it is a whole SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name([u8; 32]);

/// A token with a good signature.
#[derive(Clone)]
pub(super) struct KnownToken {
    pub(super) token: Arc<Token>,
    /// Whose it is.
    pub(super) keys: Arc<KeySet>,
    /// The place of its key among these.
    pub(super) key: usize,
}

/// One place for each name: bounded, without upkeep.
#[derive(Default)]
struct Slot {
    /// Who came last and was verified.
    last: Option<Name>,
    /// Who came twice in a row.
    kept: Option<(Name, KnownToken)>,
}

/// The tokens of one issuer.
#[derive(Default)]
pub struct Known([Mutex<Vec<Slot>>; STRIPES]);

impl fmt::Debug for Known {
    /// Without tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl Known {
    /// `None` for what is too long to be remembered.
    pub(super) fn name(token: &str) -> Option<Name> {
        let hash = (token.len() <= MAX_TOKEN).then(|| digest(&SHA256, token.as_bytes()))?;
        hash.as_ref().try_into().ok().map(Name)
    }

    pub(super) fn get(&self, name: Name) -> Option<KnownToken> {
        let (stripe, at) = self.place(name)?;
        let slots = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, known) = slots.get(at)?.kept.as_ref()?;
        (*found == name).then(|| known.clone())
    }

    /// A token was verified, which is made to be kept if this is not the first time.
    pub(super) fn add(&self, name: Name, known: impl FnOnce() -> KnownToken) {
        let Some((stripe, at)) = self.place(name) else { return };
        let mut slots = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.is_empty() {
            slots.resize_with(SLOTS, Slot::default);
        }
        let Some(slot) = slots.get_mut(at) else { return };
        if slot.last.replace(name) != Some(name) {
            return;
        }
        let before = slot.kept.replace((name, known()));
        drop(slots);
        drop(before);
    }

    fn place(&self, name: Name) -> Option<(&Mutex<Vec<Slot>>, usize)> {
        let [stripe, slot, ..] = name.0;
        Some((self.0.get(usize::from(stripe) % STRIPES)?, usize::from(slot) % SLOTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn known() -> KnownToken {
        let token = Token {
            algorithm: crate::auth::keys::Algorithm::RS256,
            kid: None,
            typ: None,
            x5c: None,
            claims: Arc::new(Map::new()),
        };
        KnownToken { token: Arc::new(token), keys: Arc::default(), key: 0 }
    }

    #[test]
    fn it_stays_as_large_as_it_is() {
        let memory = Known::default();
        let names: Vec<Name> = (0..20_000).map(|number| Known::name(&number.to_string()).unwrap()).collect();
        assert!(memory.get(names[0]).is_none());
        names.iter().for_each(|name| memory.add(*name, known));
        assert!(names.iter().all(|name| memory.get(*name).is_none()), "each came but once");
        names.iter().for_each(|name| (0..2).for_each(|_| memory.add(*name, known)));
        let held = names.iter().filter(|name| memory.get(**name).is_some()).count();
        assert!((STRIPES * SLOTS / 2..=STRIPES * SLOTS).contains(&held), "{held}");
        assert!(memory.get(*names.last().unwrap()).is_some());
        assert_eq!(Known::name(&"a".repeat(MAX_TOKEN + 1)), None);
    }
}
