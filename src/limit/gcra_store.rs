//! Rate limit counters of many keys: for each key with consumed quota, the time at which its quota is full again.
//! Memory is bounded: keys whose quota is full again are removed when room is needed, and the number of the others is
//! limited.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::gcra;
use super::keys::{CounterId, Sharded};
use crate::route::Rate;

/// The maximum number of keys with consumed quota in one shard.
const MAX_KEYS: usize = 8_192;

/// The minimum time between two sweeps, in nanoseconds: a sweep scans a whole shard for keys whose quota is full again.
const SWEEP: u64 = 100_000_000;

/// The consumed quotas of one kind of key.
pub(super) type GcraStore = Sharded<Mutex<GcraShard>>;

/// The consumed quotas of one shard.
#[derive(Debug)]
pub(super) struct GcraShard {
    free_at: HashMap<CounterId, u64>,
    capacity: usize,
    sweep_from: u64,
}

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QuotaError {
    /// The request is this number of nanoseconds too early.
    Early(u64),
    /// No further key can be stored.
    Full,
}

impl Default for GcraShard {
    fn default() -> Self {
        Self { free_at: HashMap::new(), capacity: MAX_KEYS, sweep_from: 0 }
    }
}

impl GcraStore {
    /// Locks the shard of `id`.
    pub(super) fn lock(&self, id: CounterId) -> MutexGuard<'_, GcraShard> {
        self.of(id).lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sum(|shard| shard.lock().unwrap().free_at.len())
    }
}

impl GcraShard {
    /// The time at which the quota would be full again after one more request; nothing is stored yet.
    pub(super) fn take(&mut self, id: CounterId, now: u64, rate: &Rate) -> Result<u64, QuotaError> {
        if !self.has_room(id, now) {
            return Err(QuotaError::Full);
        }
        gcra::take(self.free_at(id), now, rate).map_err(QuotaError::Early)
    }

    /// Stores the result of [`Self::take`].
    pub(super) fn record_consumption(&mut self, id: CounterId, free_at: u64) {
        self.free_at.insert(id, free_at);
    }

    /// Nanoseconds until a request may pass; 0 if it may pass now.
    pub(super) fn wait(&self, id: CounterId, now: u64, rate: &Rate) -> u64 {
        gcra::take(self.free_at(id), now, rate).err().unwrap_or_default()
    }

    /// Charges a request that has already been handled, unless no further key can be stored.
    pub(super) fn charge(&mut self, id: CounterId, now: u64, rate: &Rate) {
        if self.has_room(id, now) {
            let free_at = gcra::charge(self.free_at(id), now, rate);
            self.record_consumption(id, free_at);
        }
    }

    fn free_at(&self, id: CounterId) -> u64 {
        self.free_at.get(&id).copied().unwrap_or_default()
    }

    fn has_room(&mut self, id: CounterId, now: u64) -> bool {
        if self.free_at.len() >= self.capacity && now >= self.sweep_from && !self.free_at.contains_key(&id) {
            self.free_at.retain(|_, free_at| *free_at > now);
            self.sweep_from = now.saturating_add(SWEEP);
        }
        self.free_at.len() < self.capacity || self.free_at.contains_key(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::keys::CounterHasher;

    const SECOND: u64 = 1_000_000_000;

    fn small() -> GcraShard {
        GcraShard { capacity: 10, ..GcraShard::default() }
    }

    fn ids(count: u32) -> Vec<CounterId> {
        let hasher = CounterHasher::default();
        (0..count).map(|number| hasher.id(number)).collect()
    }

    fn pass(shard: &mut GcraShard, id: CounterId, now: u64, rate: &Rate) -> Result<(), QuotaError> {
        let free_at = shard.take(id, now, rate)?;
        shard.record_consumption(id, free_at);
        Ok(())
    }

    #[test]
    fn active_entries_are_bounded_and_never_evicted() {
        let (mut shard, rate) = (small(), Rate::new(1, 3600, 1));
        let passed: Vec<_> = ids(100).into_iter().map(|id| (id, pass(&mut shard, id, 0, &rate))).collect();
        assert_eq!(passed.iter().filter(|(_, passed)| passed.is_ok()).count(), 10);
        assert!(passed[10..].iter().all(|(_, passed)| *passed == Err(QuotaError::Full)));
        assert_eq!(pass(&mut shard, passed[0].0, 0, &rate), Err(QuotaError::Early(3600 * SECOND)));
        assert_eq!(shard.free_at.len(), 10);
    }

    #[test]
    fn expired_entries_make_room() {
        let (mut shard, rate) = (small(), Rate::new(1, 1, 1));
        let ids = ids(31);
        for (round, ids) in (0..).zip(ids.chunks(10)) {
            assert!(ids.iter().all(|id| pass(&mut shard, *id, round * SECOND, &rate).is_ok()), "{round}");
            assert!(shard.free_at.len() <= 10);
        }
        assert_eq!(shard.free_at.len(), 1);
    }

    /// Otherwise an attacker with many addresses could cause a scan of all keys for each request.
    #[test]
    fn expired_entries_are_not_searched_for_at_each_request() {
        let (mut shard, rate) = (small(), Rate::new(1, 1, 1));
        let ids = ids(12);
        assert!(ids[..10].iter().all(|id| pass(&mut shard, *id, 0, &rate).is_ok()));
        let late = SECOND - 1;
        assert_eq!(pass(&mut shard, ids[10], late, &rate), Err(QuotaError::Full));
        assert_eq!(pass(&mut shard, ids[10], late + SWEEP - 1, &rate), Err(QuotaError::Full));
        assert_eq!(pass(&mut shard, ids[10], late + SWEEP, &rate), Ok(()));
    }

    #[test]
    fn a_client_without_an_entry_is_not_charged() {
        let (mut shard, rate) = (small(), Rate::new(1, 3600, 1));
        let ids = ids(11);
        ids.iter().for_each(|id| shard.charge(*id, 0, &rate));
        assert_eq!((shard.free_at.len(), shard.wait(ids[10], 0, &rate)), (10, 0));
        assert_eq!(shard.wait(ids[9], 0, &rate), 3600 * SECOND);
    }

    /// An unlimited number of keys over all shards: the total is bounded too.
    #[test]
    fn all_parts_together_are_bounded() {
        let (store, hasher, rate) = (GcraStore::default(), CounterHasher::default(), Rate::new(1, 3600, 1));
        for number in 0..200_000 {
            let id = hasher.id(number);
            store.lock(id).charge(id, 0, &rate);
        }
        assert_eq!(store.len(), 16 * MAX_KEYS);
    }
}
