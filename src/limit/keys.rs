//! Keys of counters, and sharded maps of them: the workers share the maps, and seldom wait for each other because each
//! shard has its own lock.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of shards of a map, each with its own lock.
const SHARDS: usize = 16;

/// The key of a counter: a keyed hash of a route with an address, an issuer or a subject. It is as small for a subject
/// of 8 KiB as for an address, and an attacker cannot aim at the key of another sender. Among a hundred thousand keys,
/// two are equal with a probability of 10⁻²⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64, u64);

/// Computes keys, with a random hash key in each process.
#[derive(Debug, Default)]
pub(super) struct KeyedHasher(RandomState, RandomState);

impl KeyedHasher {
    /// The key of `parts`, whose hash must include where each part ends, as that of a tuple of strings does.
    pub(super) fn id(&self, parts: impl Hash) -> Id {
        Id(self.0.hash_one(&parts), self.1.hash_one(&parts))
    }
}

/// One value per shard, each behind a lock.
#[derive(Debug, Default)]
pub(super) struct Sharded<T>([Mutex<T>; SHARDS]);

impl<T> Sharded<T> {
    /// Locks the shard of `id`.
    #[expect(clippy::indexing_slicing, reason = "a remainder of SHARDS is less than SHARDS")]
    pub(super) fn lock(&self, id: Id) -> MutexGuard<'_, T> {
        let at = usize::try_from(id.0).unwrap_or_default() % SHARDS;
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn sum(&self, count: impl Fn(&T) -> usize) -> usize {
        self.0.iter().map(|shard| count(&shard.lock().unwrap())).sum()
    }
}
