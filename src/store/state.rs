//! The state machine of one id: reserved, then committed or released. Pure functions: they take the state in the store
//! and the time, and return the result and the state to write.
//!
//! `memory` and `embedded` run this code; `redis` runs the same rules as Lua, and a test compares the two.
//! docs/concepts/replay-and-idempotency.md has a diagram.

use bytes::Bytes;

use crate::clock::UnixTime;

/// A keyed hash of a reserved id; see `EntryHasher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub [u8; 16]);

impl std::fmt::Display for EntryId {
    /// Writes 32 hexadecimal digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A keyed hash of a route and a sender; see `EntryHasher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SenderId(pub [u8; 16]);

/// A keyed hash of a request: its method, target, and body if that is known; see `EntryHasher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

/// The owner of a reservation: a random number, different for each reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub u64);

/// The stored state of an id. An id that was never reserved has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// The request is in flight.
    InFlight {
        /// The owner, which alone may settle the reservation.
        owner: Owner,
        /// End of the lease; after it the reservation counts as released.
        lease: UnixTime,
        /// Fingerprint of the request.
        fingerprint: Fingerprint,
    },
    /// The request was in flight, and the upstream has not processed it.
    Released {
        /// Fingerprint of the request; only the same request may be retried.
        fingerprint: Fingerprint,
    },
    /// The upstream has processed the request.
    Committed {
        /// Fingerprint of the request.
        fingerprint: Fingerprint,
        /// The stored response, if there is one.
        reply: Option<Bytes>,
    },
}

/// Result of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReserveResult {
    /// The id is reserved for the owner until the lease ends.
    Reserved,
    /// Another request with this id is in flight.
    InFlight,
    /// Another request had this id first, by its fingerprint. Whether it was processed does not matter: the event of this
    /// request was not.
    Mismatch,
    /// The same request was processed before.
    Committed {
        /// The stored response, if there is one.
        reply: Option<Bytes>,
    },
}

/// The way in which a reservation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The upstream has processed the request; with the response to store, if any.
    Commit(Option<Bytes>),
    /// The upstream has not processed the request.
    Release,
    /// The request was never forwarded, so that not even its fingerprint need be stored.
    Forget,
}

/// The change of an entry by a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// The entry is unchanged.
    Nothing,
    /// The state is written.
    Put(EntryState),
    /// The entry is deleted.
    Delete,
}

/// Result of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The entry has the state that the owner wanted.
    Done,
    /// The lease expired, and the id no longer belongs to the owner.
    Lost,
}

/// Reserves an id for `owner`. The second value is the state to write, if any.
pub fn reserve(
    found: Option<&EntryState>,
    owner: Owner,
    fingerprint: Fingerprint,
    lease: UnixTime,
    now: UnixTime,
) -> (ReserveResult, Option<EntryState>) {
    let reserved = (ReserveResult::Reserved, Some(EntryState::InFlight { owner, lease, fingerprint }));
    match found {
        None => reserved,
        // The response to the owner's first attempt was lost.
        Some(EntryState::InFlight { owner: holder, .. }) if *holder == owner => reserved,
        Some(EntryState::InFlight { lease, .. }) if *lease > now => (ReserveResult::InFlight, None),
        Some(
            EntryState::InFlight { fingerprint: first, .. }
            | EntryState::Released { fingerprint: first }
            | EntryState::Committed { fingerprint: first, .. },
        ) if *first != fingerprint => (ReserveResult::Mismatch, None),
        Some(EntryState::InFlight { .. } | EntryState::Released { .. }) => reserved,
        Some(EntryState::Committed { reply, .. }) => (ReserveResult::Committed { reply: reply.clone() }, None),
    }
}

/// Settles a reservation. After the lease the owner may still settle it until another request reserves the id: a late
/// commit is better than none.
pub fn settle(
    found: Option<&EntryState>,
    owner: Owner,
    fingerprint: Fingerprint,
    settlement: &Settlement,
) -> (Settled, EntryChange) {
    match (found, settlement) {
        (Some(EntryState::InFlight { owner: holder, .. }), _) if *holder != owner => {
            (Settled::Lost, EntryChange::Nothing)
        }
        // Also where the store has lost the reservation.
        (None | Some(EntryState::InFlight { .. }), Settlement::Commit(reply)) => {
            (Settled::Done, EntryChange::Put(EntryState::Committed { fingerprint, reply: reply.clone() }))
        }
        (Some(EntryState::InFlight { .. }), Settlement::Release) => {
            (Settled::Done, EntryChange::Put(EntryState::Released { fingerprint }))
        }
        (Some(EntryState::InFlight { .. }), Settlement::Forget) => (Settled::Done, EntryChange::Delete),
        // Repeated, since the response to the first attempt was lost, or there is nothing to release.
        (Some(EntryState::Committed { .. }), Settlement::Commit(_))
        | (None | Some(EntryState::Released { .. }), Settlement::Release | Settlement::Forget) => {
            (Settled::Done, EntryChange::Nothing)
        }
        (Some(EntryState::Committed { .. }), Settlement::Release | Settlement::Forget)
        | (Some(EntryState::Released { .. }), Settlement::Commit(_)) => (Settled::Lost, EntryChange::Nothing),
    }
}

/// Writes the latest state of an owner's id again, which the store may have lost. Returns the state to write, if any:
/// nothing that happened later is undone.
pub fn write_again(found: Option<&EntryState>, owner: Owner, latest: &EntryState) -> Option<EntryState> {
    match (found, latest) {
        (Some(EntryState::Committed { .. }), _) => None,
        // Another owner has reserved the id since.
        (Some(EntryState::InFlight { owner: holder, .. }), EntryState::Released { .. }) if *holder != owner => None,
        (None | Some(EntryState::InFlight { .. } | EntryState::Released { .. }), _) => Some(latest.clone()),
    }
}

#[cfg(test)]
mod loss_model;
#[cfg(test)]
mod model;
