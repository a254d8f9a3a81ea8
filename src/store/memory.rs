//! The store in the memory of this process. Entries are compact, since there may be millions: values that few entries
//! have (owner and lease, a stored response) are in separate maps. Entries are never evicted before they expire: a
//! store without room is full.
//!
//! `embedded` keeps its entries here too, and mirrors them to a file.

mod shares;

use std::collections::HashMap;
use std::future::ready;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use self::shares::{ShareClaim, ShareRequest, Shares, add};
use super::kind::{ReserveRequest, Store, StoreError, StoreFuture};
use super::state::{
    self, EntryChange, EntryId, EntryState, Fingerprint, Owner, ReserveResult, SenderId, Settled, Settlement,
};
use crate::clock::UnixTime;

/// Maximum size of all stored responses together; above it, or above the sender's share of it, a commit stores no
/// response.
pub const REPLY_BYTES: usize = 64 << 20;

/// Number of shards, one for each first byte of an id: so many that a sweep never holds a lock for long.
const SHARDS: usize = 256;

/// Minimum capacity of a shard's maps when they shrink.
const SMALLEST: usize = 64;

/// Expiry of an entry whose time does not fit into a u32 (after 2106): the entry never expires.
const NEVER: u32 = u32::MAX;

/// The entries of this process.
pub struct MemoryStore {
    capacity: usize,
    shards: Vec<Mutex<Shard>>,
    shares: RwLock<Shares>,
    entries: AtomicUsize,
    reply_bytes: AtomicUsize,
    /// Whether a sweep returns the ids that were removed.
    reports_removed: bool,
}

/// An entry as the file of the embedded store contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemoryEntry {
    pub(super) route: Arc<str>,
    pub(super) sender: SenderId,
    pub(super) until: UnixTime,
    pub(super) state: EntryState,
}

type Ids<V> = HashMap<EntryId, V, BuildHasherDefault<IdHasher>>;

#[derive(Default)]
struct Shard {
    slots: Ids<EntrySlot>,
    flights: Ids<Flight>,
    replies: Ids<Bytes>,
    /// A time in Unix seconds before which no entry expires.
    earliest: u64,
    swept: Option<UnixTime>,
    /// Ids that were removed since the last sweep.
    removed: Vec<EntryId>,
}

/// The part that every entry has: 16 bytes, and 32 with the id.
#[derive(Clone, Copy)]
struct EntrySlot {
    fingerprint: u64,
    until: u32,
    /// The number of the sender in the upper 30 bits, and the tag in the lower two.
    sender_and_tag: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    InFlight = 0,
    Released = 1,
    Committed = 2,
}

#[derive(Clone, Copy)]
struct Flight {
    owner: Owner,
    lease: UnixTime,
}

/// Uses the last bytes of an id as its hash. An id is an HMAC with a secret key, so that an attacker cannot choose its
/// bucket.
#[derive(Default)]
struct IdHasher(u64);

impl MemoryStore {
    /// Creates a store for at most `capacity` entries in total.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shares: RwLock::default(),
            entries: AtomicUsize::new(0),
            reply_bytes: AtomicUsize::new(0),
            reports_removed: false,
        }
    }

    /// As `new`, but `sweep` returns the ids that were removed since the previous sweep.
    pub(super) fn reporting_removed(capacity: usize) -> Self {
        Self { reports_removed: true, ..Self::new(capacity) }
    }

    /// Reserves an id. `Full`: the capacity, or the share of the route or of the sender, is used up.
    pub fn reserve(&self, request: &ReserveRequest, now: UnixTime) -> Result<ReserveResult, StoreError> {
        let mut shard = self.shard(request.id);
        if shard.slots.get(&request.id).is_some_and(|slot| now.seconds() > shard.end(&request.id, slot)) {
            self.remove(&mut shard, request.id);
        }
        let found = shard.slots.get(&request.id).copied();
        let known = found.map(|slot| shard.state(&request.id, slot));
        let lease = now.plus(request.lease);
        let (result, next) = state::reserve(known.as_ref(), request.owner, request.fingerprint, lease, now);
        if let Some(next) = next {
            let place = match found {
                // Another credential with the same id may expire earlier than the first one.
                Some(slot) => (slot.until.max(compact(request.until)), slot.sender()),
                None => (compact(request.until), self.make_room(&mut shard, request, now)?),
            };
            self.write(&mut shard, request.id, place, next);
        } else if let Some(slot) = shard.slots.get_mut(&request.id) {
            // This credential may be valid for longer than the first one with the same id, and could be replayed after
            // it.
            slot.until = slot.until.max(compact(request.until));
        }
        Ok(result)
    }

    /// Settles a reservation.
    pub fn settle(&self, request: &ReserveRequest, settlement: &Settlement, now: UnixTime) -> Settled {
        let mut shard = self.shard(request.id);
        let found = shard.slots.get(&request.id).copied();
        let known = found.map(|slot| shard.state(&request.id, slot));
        let (settled, change) = state::settle(known.as_ref(), request.owner, request.fingerprint, settlement);
        let next = match change {
            EntryChange::Put(next) => next,
            EntryChange::Nothing => return settled,
            EntryChange::Delete => {
                self.remove(&mut shard, request.id);
                return settled;
            }
        };
        let place = match found {
            Some(slot) => Some((slot.until, slot.sender())),
            // An expired entry need not be stored.
            None if now > request.until => None,
            // Stored even beyond the capacity: there are no more such entries than requests in flight.
            None => self
                .claim(&unbounded(&request.route, request.sender), usize::MAX)
                .map(|sender| (compact(request.until), sender)),
        };
        if let Some(place) = place {
            self.write(&mut shard, request.id, place, next);
        }
        settled
    }

    /// Number of entries, including expired ones that are not swept yet.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Removes expired entries and frees their memory, one shard after the other. Returns their ids for `embedded`, and
    /// nothing otherwise.
    pub fn sweep(&self, now: UnixTime) -> Vec<EntryId> {
        let mut removed = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            self.sweep_shard(&mut shard, now);
            shard.shrink();
            removed.append(&mut std::mem::take(&mut shard.removed));
        }
        removed
    }

    /// The current entry of an id.
    pub(super) fn record(&self, id: EntryId) -> Option<MemoryEntry> {
        let shard = self.shard(id);
        let slot = *shard.slots.get(&id)?;
        let (route, sender) = self.shares.read().unwrap_or_else(PoisonError::into_inner).names(slot.sender())?;
        let until =
            Some(slot.until).filter(|until| *until != NEVER).and_then(|until| UnixTime::from_seconds(until.into()));
        Some(MemoryEntry { route, sender, until: until.unwrap_or(UnixTime::MAX), state: shard.state(&id, slot) })
    }

    /// Adds an entry from a file, even beyond the capacity, since it has not expired. `false`: there are more senders
    /// than numbers.
    pub(super) fn restore(&self, id: EntryId, record: MemoryEntry) -> bool {
        let mut shard = self.shard(id);
        let Some(sender) = self.claim(&unbounded(&record.route, record.sender), usize::MAX) else { return false };
        if shard.slots.contains_key(&id) {
            self.remove(&mut shard, id);
        }
        self.write(&mut shard, id, (compact(record.until), sender), record.state);
        true
    }

    #[expect(clippy::indexing_slicing, reason = "there is a shard for each value of a byte")]
    fn shard(&self, id: EntryId) -> MutexGuard<'_, Shard> {
        // Not the bytes that `IdHasher` uses, or else each shard would use only few of its buckets.
        let [first, ..] = id.0;
        lock(&self.shards[usize::from(first)])
    }

    /// Reserves room for a new entry; without room, expired entries of the shard are removed first.
    fn make_room(&self, shard: &mut Shard, request: &ReserveRequest, now: UnixTime) -> Result<u32, StoreError> {
        let ReserveRequest { route, sender, share, whole, .. } = request;
        let wanted = ShareRequest { route, sender: *sender, share: *share, whole: *whole };
        if let Some(sender) = self.claim(&wanted, self.capacity) {
            return Ok(sender);
        }
        // At most once a second: a full store must not cause a scan for each request.
        if shard.swept == Some(now) {
            return Err(StoreError::Full);
        }
        self.sweep_shard(shard, now);
        self.claim(&wanted, self.capacity).ok_or(StoreError::Full)
    }

    fn claim(&self, request: &ShareRequest<'_>, capacity: usize) -> Option<u32> {
        add(&self.entries, 1, capacity)?;
        let known = self.shares.read().unwrap_or_else(PoisonError::into_inner).claim(request);
        let claim = match known {
            ShareClaim::Unknown => self.shares.write().unwrap_or_else(PoisonError::into_inner).register(request),
            known @ (ShareClaim::Claimed(_) | ShareClaim::Full) => known,
        };
        if let ShareClaim::Claimed(number) = claim {
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
        let mut expired = Vec::new();
        let mut earliest = u64::MAX;
        for (id, slot) in &shard.slots {
            let end = shard.end(id, slot);
            if now.seconds() > end {
                expired.push(*id);
            } else {
                earliest = earliest.min(end);
            }
        }
        for id in expired {
            self.remove(shard, id);
        }
        shard.earliest = earliest;
    }

    fn remove(&self, shard: &mut Shard, id: EntryId) {
        let Some(slot) = shard.slots.remove(&id) else { return };
        self.clear(shard, &id, slot.sender());
        self.entries.fetch_sub(1, Ordering::Relaxed);
        let was_last = self.shares.read().unwrap_or_else(PoisonError::into_inner).release(slot.sender());
        if was_last {
            self.shares.write().unwrap_or_else(PoisonError::into_inner).remove_unused(slot.sender());
        }
        if self.reports_removed {
            shard.removed.push(id);
        }
    }

    /// Takes room for a stored response, if the sender may have it.
    fn has_room(&self, sender: u32, length: usize) -> bool {
        let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
        shares.add_reply(sender, length, &self.reply_bytes, REPLY_BYTES)
    }

    /// Removes an id's values from the separate maps.
    fn clear(&self, shard: &mut Shard, id: &EntryId, sender: u32) {
        shard.flights.remove(id);
        if let Some(reply) = shard.replies.remove(id) {
            let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
            shares.remove_reply(sender, reply.len(), &self.reply_bytes);
        }
    }

    fn write(&self, shard: &mut Shard, id: EntryId, (until, sender): (u32, u32), next: EntryState) {
        self.clear(shard, &id, sender);
        let (tag, fingerprint) = match next {
            EntryState::InFlight { owner, lease, fingerprint } => {
                shard.flights.insert(id, Flight { owner, lease });
                (Tag::InFlight, fingerprint)
            }
            EntryState::Released { fingerprint } => (Tag::Released, fingerprint),
            EntryState::Committed { fingerprint, reply } => {
                if let Some(reply) = reply.filter(|reply| self.has_room(sender, reply.len())) {
                    // Copied, since these bytes may be a slice that keeps a larger buffer alive.
                    shard.replies.insert(id, Bytes::copy_from_slice(&reply));
                }
                (Tag::Committed, fingerprint)
            }
        };
        let slot = EntrySlot { fingerprint: fingerprint.0, until, sender_and_tag: sender << 2 | tag as u32 };
        shard.earliest = shard.earliest.min(shard.end(&id, &slot));
        shard.slots.insert(id, slot);
    }
}

impl EntrySlot {
    const fn sender(self) -> u32 {
        self.sender_and_tag >> 2
    }

    const fn tag(self) -> Tag {
        match self.sender_and_tag & 3 {
            0 => Tag::InFlight,
            1 => Tag::Released,
            _committed => Tag::Committed,
        }
    }
}

/// An entry that is counted even where the share is used up.
const fn unbounded(route: &Arc<str>, sender: SenderId) -> ShareRequest<'_> {
    ShareRequest { route, sender, share: usize::MAX, whole: true }
}

impl Store for MemoryStore {
    fn reserve<'a>(&'a self, request: &'a ReserveRequest, now: UnixTime) -> StoreFuture<'a, ReserveResult> {
        StoreFuture::Ready(ready(Self::reserve(self, request, now)))
    }

    fn settle<'a>(
        &'a self,
        request: &'a ReserveRequest,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> StoreFuture<'a, Settled> {
        StoreFuture::Ready(ready(Ok(Self::settle(self, request, settlement, now))))
    }

    fn usage(&self) -> Option<(usize, usize)> {
        Some((self.entries(), self.capacity))
    }

    fn sweep(&self, now: UnixTime) {
        Self::sweep(self, now);
    }
}

impl Shard {
    fn state(&self, id: &EntryId, slot: EntrySlot) -> EntryState {
        let fingerprint = Fingerprint(slot.fingerprint);
        match (slot.tag(), self.flights.get(id)) {
            (Tag::InFlight, Some(Flight { owner, lease })) => {
                EntryState::InFlight { owner: *owner, lease: *lease, fingerprint }
            }
            (Tag::InFlight, None) | (Tag::Released, _) => EntryState::Released { fingerprint },
            (Tag::Committed, _) => EntryState::Committed { fingerprint, reply: self.replies.get(id).cloned() },
        }
    }

    /// The last second at which the entry is valid.
    fn end(&self, id: &EntryId, slot: &EntrySlot) -> u64 {
        let until = if slot.until == NEVER { u64::MAX } else { u64::from(slot.until) };
        match slot.tag() {
            Tag::InFlight => self.flights.get(id).map_or(until, |flight| flight.lease.seconds().max(until)),
            Tag::Released | Tag::Committed => until,
        }
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

    // `Hash` writes the length of the array first; it is ignored.
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

/// Halves the load: a map that is less than a quarter full shrinks to twice its number of entries.
fn shrink<K: Eq + Hash, V, S: std::hash::BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > SMALLEST && map.len() < map.capacity() / 4 {
        map.shrink_to((map.len() * 2).max(SMALLEST));
    }
}

#[cfg(test)]
mod tests;
