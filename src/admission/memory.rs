//! The ids of this process, until it ends. Compact, since millions of them live at once: what few entries have (an
//! owner and a lease, a reply) lies beside the map. Never drops an entry that lives: when there is no place, it is full.
//!
//! `embedded` keeps its entries here too, and a file beside them.

mod routes;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use self::routes::{Claim, Routes, add};
use super::state::{self, Answer, Change, EntryId, Fingerprint, Owner, Settled, Settlement, State};
use super::store::{Ask, StoreError};
use crate::clock::UnixTime;

/// All recorded replies together; beyond it a commit keeps none.
pub const REPLY_BYTES: usize = 64 << 20;

/// So many that a sweep holds no lock for long.
const SHARDS: usize = 256;

/// A shard's maps are not made smaller than this.
const SMALLEST: usize = 64;

/// An end that u32 cannot say (after 2106): it never comes.
const NEVER: u32 = u32::MAX;

/// Entries in this process.
pub struct Memory {
    capacity: usize,
    shards: Vec<Mutex<Shard>>,
    routes: RwLock<Routes>,
    entries: AtomicUsize,
    reply_bytes: AtomicUsize,
    forgotten: Forgotten,
}

/// Whether a sweep tells which ids it has forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forgotten {
    Told,
    NotTold,
}

/// All that is known of an id, as a file keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) route: Arc<str>,
    pub(super) until: UnixTime,
    pub(super) state: State,
}

type Ids<V> = HashMap<EntryId, V, BuildHasherDefault<IdHasher>>;

#[derive(Default)]
struct Shard {
    slots: Ids<Slot>,
    flights: Ids<Flight>,
    replies: Ids<Bytes>,
    /// No entry ends before this.
    earliest: u64,
    swept: Option<UnixTime>,
    /// Since the last sweep that told.
    forgotten: Vec<EntryId>,
}

/// 16 bytes: with the id, 32 an entry.
#[derive(Clone, Copy)]
struct Slot {
    fingerprint: u64,
    until: u32,
    route: u16,
    tag: Tag,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    InFlight,
    Released,
    Committed,
}

#[derive(Clone, Copy)]
struct Flight {
    owner: Owner,
    lease: UnixTime,
}

/// An id is an HMAC under a secret key, so nobody can choose which bucket it falls into; its last bytes are the hash.
#[derive(Default)]
struct IdHasher(u64);

impl Memory {
    /// Room for `capacity` entries in all.
    pub fn new(capacity: usize) -> Self {
        Self::with(capacity, Forgotten::NotTold)
    }

    /// As `new`, and `sweep` tells what was forgotten since the last one.
    pub(super) fn telling(capacity: usize) -> Self {
        Self::with(capacity, Forgotten::Told)
    }

    fn with(capacity: usize, forgotten: Forgotten) -> Self {
        Self {
            capacity,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            routes: RwLock::default(),
            entries: AtomicUsize::new(0),
            reply_bytes: AtomicUsize::new(0),
            forgotten,
        }
    }

    /// Asks for an id. `Full`: no place in all, or in the route's share.
    pub fn reserve(&self, ask: &Ask, now: UnixTime) -> Result<Answer, StoreError> {
        let Some(mut shard) = self.shard(ask.id) else { return Err(StoreError::Unavailable) };
        if shard.slots.get(&ask.id).is_some_and(|slot| shard.ended(&ask.id, slot, now)) {
            self.forget(&mut shard, ask.id);
        }
        let found = shard.slots.get(&ask.id).copied();
        let known = found.map(|slot| shard.state(&ask.id, slot));
        let lease = now.plus(ask.lease);
        let (answer, next) = state::reserve(known.as_ref(), ask.owner, ask.fingerprint, lease, now);
        if let Some(next) = next {
            let place = match found {
                // Another credential with the same id may end earlier: the first is still valid until its own end.
                Some(slot) => (slot.until.max(compact(ask.until)), slot.route),
                None => (compact(ask.until), self.place(&mut shard, ask, now)?),
            };
            self.write(&mut shard, ask.id, place, next);
        } else if let Some(slot) = shard.slots.get_mut(&ask.id) {
            // What comes with this id now may be good for longer than what came first, and could be repeated then.
            slot.until = slot.until.max(compact(ask.until));
        }
        Ok(answer)
    }

    /// Ends a reservation.
    pub fn settle(&self, ask: &Ask, settlement: &Settlement, now: UnixTime) -> Settled {
        // `shard` always finds one.
        let Some(mut shard) = self.shard(ask.id) else { return Settled::Lost };
        let found = shard.slots.get(&ask.id).copied();
        let known = found.map(|slot| shard.state(&ask.id, slot));
        let (settled, change) = state::settle(known.as_ref(), ask.owner, ask.fingerprint, settlement);
        let next = match change {
            Change::Put(next) => next,
            Change::Nothing => return settled,
            Change::Delete => {
                self.forget(&mut shard, ask.id);
                return settled;
            }
        };
        let place = match found {
            Some(slot) => Some((slot.until, slot.route)),
            // Nothing that has ended need be learned.
            None if now > ask.until => None,
            // Beyond the capacity if need be: no more than there are requests on their way.
            None => self.claim(&ask.route, usize::MAX, usize::MAX).map(|route| (compact(ask.until), route)),
        };
        if let Some(place) = place {
            self.write(&mut shard, ask.id, place, next);
        }
        settled
    }

    /// Entries held, those that have ended and are not swept yet among them.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Forgets what has ended and gives its memory back, one shard after the other; tells the ids to `embedded` alone.
    pub fn sweep(&self, now: UnixTime) -> Vec<EntryId> {
        let mut forgotten = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            self.sweep_shard(&mut shard, now);
            shard.shrink();
            forgotten.append(&mut std::mem::take(&mut shard.forgotten));
        }
        forgotten
    }

    /// What is known of an id now.
    pub(super) fn record(&self, id: EntryId) -> Option<Record> {
        let shard = self.shard(id)?;
        let slot = *shard.slots.get(&id)?;
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let route = routes.name(slot.route)?;
        let until = if slot.until == NEVER { UnixTime::MAX } else { expand(slot.until) };
        Some(Record { route, until, state: shard.state(&id, slot) })
    }

    /// Takes in what a file has kept, beyond the capacity too: it lives. `false`: there are more routes than numbers.
    pub(super) fn restore(&self, id: EntryId, record: Record) -> bool {
        let Some(mut shard) = self.shard(id) else { return false };
        let Some(route) = self.claim(&record.route, usize::MAX, usize::MAX) else { return false };
        if shard.slots.contains_key(&id) {
            self.forget(&mut shard, id);
        }
        self.write(&mut shard, id, (compact(record.until), route), record.state);
        true
    }

    fn shard(&self, id: EntryId) -> Option<MutexGuard<'_, Shard>> {
        // Other bytes than the hasher's, or each shard would use few of its buckets.
        let [first, ..] = id.0;
        self.shards.get(usize::from(first)).map(lock)
    }

    /// A place for a new entry; if there is none, what has ended makes one.
    fn place(&self, shard: &mut Shard, ask: &Ask, now: UnixTime) -> Result<u16, StoreError> {
        if let Some(route) = self.claim(&ask.route, self.capacity, ask.share) {
            return Ok(route);
        }
        // Once a second: a full store must not cost a scan for each request.
        if shard.swept == Some(now) {
            return Err(StoreError::Full);
        }
        self.sweep_shard(shard, now);
        self.claim(&ask.route, self.capacity, ask.share).ok_or(StoreError::Full)
    }

    fn claim(&self, route: &Arc<str>, capacity: usize, share: usize) -> Option<u16> {
        if !add(&self.entries, 1, capacity) {
            return None;
        }
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner).claim(route, share);
        let claimed = match known {
            Claim::Unknown => self.routes.write().unwrap_or_else(PoisonError::into_inner).introduce(route, share),
            known => known,
        };
        if let Claim::Held(number) = claimed {
            return Some(number);
        }
        self.entries.fetch_sub(1, Ordering::Relaxed);
        None
    }

    fn sweep_shard(&self, shard: &mut Shard, now: UnixTime) {
        shard.swept = Some(now);
        if now.seconds() <= shard.earliest {
            return;
        }
        let mut ended = Vec::new();
        let mut earliest = u64::MAX;
        for (id, slot) in &shard.slots {
            let end = shard.end(id, slot);
            if now.seconds() > end {
                ended.push(*id);
            } else {
                earliest = earliest.min(end);
            }
        }
        for id in ended {
            self.forget(shard, id);
        }
        shard.earliest = earliest;
    }

    fn forget(&self, shard: &mut Shard, id: EntryId) {
        let Some(slot) = shard.slots.remove(&id) else { return };
        self.clear(shard, &id);
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.routes.read().unwrap_or_else(PoisonError::into_inner).give_back(slot.route);
        if self.forgotten == Forgotten::Told {
            shard.forgotten.push(id);
        }
    }

    /// What lies beside the map.
    fn clear(&self, shard: &mut Shard, id: &EntryId) {
        shard.flights.remove(id);
        if let Some(reply) = shard.replies.remove(id) {
            self.reply_bytes.fetch_sub(reply.len(), Ordering::Relaxed);
        }
    }

    fn write(&self, shard: &mut Shard, id: EntryId, (until, route): (u32, u16), next: State) {
        self.clear(shard, &id);
        let (tag, fingerprint) = match next {
            State::InFlight { owner, lease, fingerprint } => {
                shard.flights.insert(id, Flight { owner, lease });
                (Tag::InFlight, fingerprint)
            }
            State::Released { fingerprint } => (Tag::Released, fingerprint),
            State::Committed { fingerprint, reply } => {
                if let Some(reply) = reply.filter(|reply| add(&self.reply_bytes, reply.len(), REPLY_BYTES)) {
                    // A copy: these bytes may be a part of a larger buffer, which they would keep.
                    shard.replies.insert(id, Bytes::copy_from_slice(&reply));
                }
                (Tag::Committed, fingerprint)
            }
        };
        let slot = Slot { fingerprint: fingerprint.0, until, route, tag };
        shard.earliest = shard.earliest.min(shard.end(&id, &slot));
        shard.slots.insert(id, slot);
    }
}

impl Shard {
    fn state(&self, id: &EntryId, slot: Slot) -> State {
        let fingerprint = Fingerprint(slot.fingerprint);
        match (slot.tag, self.flights.get(id)) {
            (Tag::InFlight, Some(Flight { owner, lease })) => {
                State::InFlight { owner: *owner, lease: *lease, fingerprint }
            }
            (Tag::InFlight, None) | (Tag::Released, _) => State::Released { fingerprint },
            (Tag::Committed, _) => State::Committed { fingerprint, reply: self.replies.get(id).cloned() },
        }
    }

    /// The last second of its life.
    fn end(&self, id: &EntryId, slot: &Slot) -> u64 {
        let until = if slot.until == NEVER { u64::MAX } else { u64::from(slot.until) };
        match slot.tag {
            Tag::InFlight => self.flights.get(id).map_or(until, |flight| flight.lease.seconds().max(until)),
            Tag::Released | Tag::Committed => until,
        }
    }

    fn ended(&self, id: &EntryId, slot: &Slot, now: UnixTime) -> bool {
        now.seconds() > self.end(id, slot)
    }

    fn shrink(&mut self) {
        shrink(&mut self.slots);
        shrink(&mut self.flights);
        shrink(&mut self.replies);
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    // The length of the array, which `Hash` writes before it.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compact(until: UnixTime) -> u32 {
    u32::try_from(until.seconds()).unwrap_or(NEVER)
}

fn expand(until: u32) -> UnixTime {
    UnixTime::default().plus(std::time::Duration::from_secs(u64::from(until)))
}

/// Under a quarter full: to half.
fn shrink<K: Eq + Hash, V, S: std::hash::BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > SMALLEST && map.len() < map.capacity() / 4 {
        map.shrink_to((map.len() * 2).max(SMALLEST));
    }
}

#[cfg(test)]
mod tests;
