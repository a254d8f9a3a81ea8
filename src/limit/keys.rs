//! Whom a number belongs to, and maps over many of them: what all workers share is split, so that they seldom wait
//! for each other.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts of a map, each with its lock.
const SHARDS: usize = 16;

/// A keyed hash of whom a number belongs to: as small for a subject of 8 KiB as for an address, and nobody can aim at
/// another one's. At a hundred thousand of them, two are the same once in 10²⁸.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64, u64);

/// Makes them, differently in each process.
#[derive(Debug, Default)]
pub(super) struct Namer(RandomState, RandomState);

impl Namer {
    /// `parts` tell where each of them ends, as a tuple of strings does.
    pub(super) fn id(&self, parts: impl Hash) -> Id {
        Id(self.0.hash_one(&parts), self.1.hash_one(&parts))
    }
}

/// Some value in each part.
#[derive(Debug, Default)]
pub(super) struct Sharded<T>([Mutex<T>; SHARDS]);

impl<T> Sharded<T> {
    /// The part that `id` belongs to.
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
