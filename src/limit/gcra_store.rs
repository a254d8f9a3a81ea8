//! Rate limit counters of many keys: for each key with consumed quota, the time at which its quota is full again.
//! Memory is bounded: keys whose quota is full again are removed when room is needed, and the number of the others is
//! limited.

use std::collections::HashMap;
use std::sync::MutexGuard;

use super::gcra;
use super::keys::{Id, Sharded};
use crate::route::Rate;

/// The maximum number of keys with consumed quota in one shard.
const DEBTORS: usize = 8_192;

/// The minimum time between two sweeps, in nanoseconds: a sweep scans a whole shard for keys whose quota is full again.
const SWEEP: u64 = 100_000_000;

/// The consumed quotas of one kind of key.
#[derive(Debug, Default)]
pub(super) struct Budgets(Sharded<Debts>);

/// The consumed quotas of one shard.
#[derive(Debug)]
pub(super) struct Debts {
    free_at: HashMap<Id, u64>,
    capacity: usize,
    sweep_from: u64,
}

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The request is this number of nanoseconds too early.
    Early(u64),
    /// No further key can be stored.
    Full,
}

impl Default for Debts {
    fn default() -> Self {
        Self { free_at: HashMap::new(), capacity: DEBTORS, sweep_from: 0 }
    }
}

impl Budgets {
    /// Locks the shard of `id`.
    pub(super) fn lock(&self, id: Id) -> MutexGuard<'_, Debts> {
        self.0.lock(id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.sum(|debts| debts.free_at.len())
    }
}

impl Debts {
    /// The time at which the quota would be full again after one more request; nothing is stored yet.
    pub(super) fn take(&mut self, id: Id, now: u64, rate: &Rate) -> Result<u64, Refused> {
        if !self.has_room(id, now) {
            return Err(Refused::Full);
        }
        gcra::take(self.free_at(id), now, rate).map_err(Refused::Early)
    }

    /// Stores the result of [`Self::take`].
    pub(super) fn owe(&mut self, id: Id, free_at: u64) {
        self.free_at.insert(id, free_at);
    }

    /// Nanoseconds until a request may pass; 0 if it may pass now.
    pub(super) fn wait(&self, id: Id, now: u64, rate: &Rate) -> u64 {
        gcra::take(self.free_at(id), now, rate).err().unwrap_or_default()
    }

    /// Charges a request that has already been handled, unless no further key can be stored.
    pub(super) fn charge(&mut self, id: Id, now: u64, rate: &Rate) {
        if self.has_room(id, now) {
            let free_at = gcra::charge(self.free_at(id), now, rate);
            self.owe(id, free_at);
        }
    }

    fn free_at(&self, id: Id) -> u64 {
        self.free_at.get(&id).copied().unwrap_or_default()
    }

    fn has_room(&mut self, id: Id, now: u64) -> bool {
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
    use crate::limit::keys::Namer;

    const SECOND: u64 = 1_000_000_000;

    fn small() -> Debts {
        Debts { capacity: 10, ..Debts::default() }
    }

    fn ids(count: u32) -> Vec<Id> {
        let namer = Namer::default();
        (0..count).map(|number| namer.id(number)).collect()
    }

    fn pass(debts: &mut Debts, id: Id, now: u64, rate: &Rate) -> Result<(), Refused> {
        let free_at = debts.take(id, now, rate)?;
        debts.owe(id, free_at);
        Ok(())
    }

    #[test]
    fn active_entries_are_bounded_and_never_evicted() {
        let (mut debts, rate) = (small(), Rate::new(1, 3600, 1));
        let passed: Vec<_> = ids(100).into_iter().map(|id| (id, pass(&mut debts, id, 0, &rate))).collect();
        assert_eq!(passed.iter().filter(|(_, passed)| passed.is_ok()).count(), 10);
        assert!(passed[10..].iter().all(|(_, passed)| *passed == Err(Refused::Full)));
        assert_eq!(pass(&mut debts, passed[0].0, 0, &rate), Err(Refused::Early(3600 * SECOND)));
        assert_eq!(debts.free_at.len(), 10);
    }

    #[test]
    fn expired_entries_make_room() {
        let (mut debts, rate) = (small(), Rate::new(1, 1, 1));
        let ids = ids(31);
        for (round, ids) in (0..).zip(ids.chunks(10)) {
            assert!(ids.iter().all(|id| pass(&mut debts, *id, round * SECOND, &rate).is_ok()), "{round}");
            assert!(debts.free_at.len() <= 10);
        }
        assert_eq!(debts.free_at.len(), 1);
    }

    /// Otherwise an attacker with many addresses could cause a scan of all keys for each request.
    #[test]
    fn expired_entries_are_not_searched_for_at_each_request() {
        let (mut debts, rate) = (small(), Rate::new(1, 1, 1));
        let ids = ids(12);
        assert!(ids[..10].iter().all(|id| pass(&mut debts, *id, 0, &rate).is_ok()));
        let late = SECOND - 1;
        assert_eq!(pass(&mut debts, ids[10], late, &rate), Err(Refused::Full));
        assert_eq!(pass(&mut debts, ids[10], late + SWEEP - 1, &rate), Err(Refused::Full));
        assert_eq!(pass(&mut debts, ids[10], late + SWEEP, &rate), Ok(()));
    }

    #[test]
    fn a_client_without_an_entry_is_not_charged() {
        let (mut debts, rate) = (small(), Rate::new(1, 3600, 1));
        let ids = ids(11);
        ids.iter().for_each(|id| debts.charge(*id, 0, &rate));
        assert_eq!((debts.free_at.len(), debts.wait(ids[10], 0, &rate)), (10, 0));
        assert_eq!(debts.wait(ids[9], 0, &rate), 3600 * SECOND);
    }

    /// An unlimited number of keys over all shards: the total is bounded too.
    #[test]
    fn all_parts_together_are_bounded() {
        let (budgets, namer, rate) = (Budgets::default(), Namer::default(), Rate::new(1, 3600, 1));
        for number in 0..200_000 {
            let id = namer.id(number);
            budgets.lock(id).charge(id, 0, &rate);
        }
        assert_eq!(budgets.len(), 16 * DEBTORS);
    }
}
