//! The tail: the latest changes that this gateway has made in the store, kept in memory, so that it can write them again
//! when a server has lost them. Each bucket has its own, bounded by time and number of entries, and its stored responses
//! by their size.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::epochs::BUCKETS;
use crate::store::kind::ReserveRequest;
use crate::store::state::{EntryId, Settlement};

/// The longest time that an entry is kept after its last change.
const LONGEST: Duration = Duration::from_secs(600);
/// Maximum number of entries of a bucket: 65,536 of all.
const ENTRIES: usize = 1024;
/// Maximum size of the stored responses of a bucket: 16 MiB of all. An entry without its response is acknowledged.
const REPLY_BYTES: usize = 256 << 10;

/// The tails of all buckets.
pub(super) struct Tail(Vec<Mutex<BucketTail>>);

#[derive(Default)]
struct BucketTail {
    entries: HashMap<EntryId, TailEntry>,
    /// The entries by the time of their changes, also of former ones.
    order: VecDeque<(Instant, EntryId)>,
    reply_bytes: usize,
    /// Time of the latest change that was dropped.
    dropped: Option<Instant>,
}

/// The latest state of an entry, with the request that made it.
#[derive(Clone)]
pub(super) struct TailEntry {
    pub(super) request: ReserveRequest,
    pub(super) state: TailState,
    /// Time of the change. The lease is counted from here.
    pub(super) at: Instant,
}

#[derive(Clone)]
pub(super) enum TailState {
    InFlight,
    Released,
    Committed(Option<Bytes>),
}

impl Tail {
    pub(super) fn new() -> Self {
        Self((0..BUCKETS).map(|_| Mutex::default()).collect())
    }

    fn bucket(&self, bucket: usize) -> Option<MutexGuard<'_, BucketTail>> {
        self.0.get(bucket).map(|tail| tail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records a reservation.
    pub(super) fn reserved(&self, bucket: usize, request: &ReserveRequest, at: Instant) {
        self.put(bucket, request, TailState::InFlight, at);
    }

    /// Records a settlement, before the server has it.
    pub(super) fn settled(&self, bucket: usize, request: &ReserveRequest, settlement: &Settlement, at: Instant) {
        match settlement {
            Settlement::Commit(reply) => self.put(bucket, request, TailState::Committed(reply.clone()), at),
            // After a reservation that failed, the id may belong to another owner, whose commit must not be forgotten.
            Settlement::Release if self.is_of_another_owner(bucket, request) => {}
            Settlement::Release => self.put(bucket, request, TailState::Released, at),
            Settlement::Forget => self.remove(bucket, request),
        }
    }

    fn is_of_another_owner(&self, bucket: usize, request: &ReserveRequest) -> bool {
        let Some(tail) = self.bucket(bucket) else { return false };
        tail.entries.get(&request.id).is_some_and(|entry| entry.request.owner != request.owner)
    }

    fn remove(&self, bucket: usize, request: &ReserveRequest) {
        let Some(mut tail) = self.bucket(bucket) else { return };
        if tail.entries.get(&request.id).is_some_and(|entry| entry.request.owner == request.owner) {
            tail.take(request.id);
        }
    }

    fn put(&self, bucket: usize, request: &ReserveRequest, state: TailState, at: Instant) {
        let Some(mut tail) = self.bucket(bucket) else { return };
        tail.take(request.id);
        let fits = |reply: &Bytes| tail.reply_bytes + reply.len() <= REPLY_BYTES;
        let state = match state {
            // Copied, since these bytes may be a slice that keeps a larger buffer alive.
            TailState::Committed(reply) => {
                TailState::Committed(reply.filter(fits).map(|reply| Bytes::copy_from_slice(&reply)))
            }
            TailState::InFlight | TailState::Released => state,
        };
        tail.reply_bytes += state.reply_len();
        tail.entries.insert(request.id, TailEntry { request: request.clone(), state, at });
        tail.order.push_back((at, request.id));
        tail.trim(at);
    }

    /// The entries that have changed since `from`; all without it.
    pub(super) fn since(&self, bucket: usize, from: Option<Instant>) -> Vec<TailEntry> {
        let Some(tail) = self.bucket(bucket) else { return Vec::new() };
        tail.entries.values().filter(|entry| from.is_none_or(|from| entry.at >= from)).cloned().collect()
    }

    /// Time of the latest change that the tail lacks; `None` if it lacks none.
    pub(super) fn dropped(&self, bucket: usize) -> Option<Instant> {
        self.bucket(bucket)?.dropped
    }
}

impl TailState {
    fn reply_len(&self) -> usize {
        match self {
            Self::Committed(Some(reply)) => reply.len(),
            Self::Committed(None) | Self::InFlight | Self::Released => 0,
        }
    }
}

impl BucketTail {
    fn take(&mut self, id: EntryId) -> Option<TailEntry> {
        let entry = self.entries.remove(&id)?;
        self.reply_bytes -= entry.state.reply_len();
        Some(entry)
    }

    fn trim(&mut self, now: Instant) {
        while let Some((at, id)) = self.order.front().copied() {
            let current = self.entries.get(&id).is_some_and(|entry| entry.at == at);
            let fits = self.entries.len() <= ENTRIES
                && self.order.len() <= 2 * ENTRIES
                && now.saturating_duration_since(at) <= LONGEST;
            if current && fits {
                break;
            }
            self.order.pop_front();
            if current {
                self.take(id);
                self.dropped = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::Owner;

    fn request(number: u16) -> ReserveRequest {
        let [high, low] = number.to_be_bytes();
        let mut id = [0; 16];
        (id[1], id[2]) = (high, low);
        ReserveRequest::sample(EntryId(id))
    }

    fn committed(bytes: usize) -> Settlement {
        Settlement::Commit(Some(vec![0; bytes].into()))
    }

    #[test]
    fn a_tail_is_bounded_and_knows_what_it_lacks() {
        let (tail, start) = (Tail::new(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        tail.reserved(0, &request(0), after(0));
        tail.settled(0, &request(0), &committed(REPLY_BYTES), after(1));
        assert_eq!((tail.since(0, None).len(), tail.dropped(0)), (1, None));
        // There is no room for a second response, but for its entry.
        tail.settled(0, &request(1), &committed(1), after(2));
        let replies = |entry: &TailEntry| entry.state.reply_len();
        assert_eq!(tail.since(0, None).iter().map(replies).sum::<usize>(), REPLY_BYTES);
        assert_eq!(tail.since(0, Some(after(2))).len(), 1);
        // By time: the first reservation was changed since, and counts no longer.
        tail.settled(0, &request(2), &Settlement::Release, after(602));
        assert_eq!((tail.since(0, None).len(), tail.dropped(0)), (2, Some(after(1))));
        // By number.
        for number in 3..=2000 {
            tail.reserved(0, &request(number), after(603));
        }
        assert_eq!((tail.since(0, None).len(), tail.dropped(0)), (ENTRIES, Some(after(603))));
        assert!(tail.since(1, None).is_empty());
    }

    #[test]
    fn an_entry_of_another_owner_is_kept() {
        let tail = Tail::new();
        tail.reserved(0, &request(0), Instant::now());
        tail.remove(0, &ReserveRequest { owner: Owner(9), ..request(0) });
        assert_eq!(tail.since(0, None).len(), 1);
        tail.settled(0, &request(0), &Settlement::Forget, Instant::now());
        assert!(tail.since(0, None).is_empty());
    }

    /// While the server is down, a copy of a committed request fails to reserve its id, and is released.
    #[test]
    fn a_failed_reservation_does_not_undo_the_commit_of_another_owner() {
        let (tail, copy) = (Tail::new(), ReserveRequest { owner: Owner(9), ..request(0) });
        tail.settled(0, &request(0), &committed(1), Instant::now());
        tail.settled(0, &copy, &Settlement::Release, Instant::now());
        assert!(matches!(tail.since(0, None)[..], [TailEntry { state: TailState::Committed(Some(_)), .. }]));
        tail.reserved(0, &request(1), Instant::now());
        tail.settled(0, &ReserveRequest { owner: Owner(9), ..request(1) }, &Settlement::Release, Instant::now());
        let states: Vec<_> = tail.since(0, None).into_iter().map(|entry| entry.state).collect();
        assert!(states.iter().any(|state| matches!(state, TailState::InFlight)));
    }

    /// Each id is reserved and settled, which are two changes.
    #[test]
    fn a_bucket_keeps_as_many_ids_as_stated() {
        let (tail, at) = (Tail::new(), Instant::now());
        for number in 0..1024 {
            tail.reserved(0, &request(number), at);
            tail.settled(0, &request(number), &Settlement::Release, at);
        }
        assert_eq!((tail.since(0, None).len(), tail.dropped(0)), (ENTRIES, None));
    }
}
