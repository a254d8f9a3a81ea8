//! What one id goes through: reserved, then committed or released. Pure: the state that was found and the time in, the
//! answer and the state to write out.
//!
//! `memory` and `embedded` run this code; `redis` runs the same rules as Lua, and a test holds one to the other.
//! docs/replay.md has the drawing.

use bytes::Bytes;

use crate::clock::UnixTime;

/// A keyed hash of what is reserved; see `Namer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub [u8; 16]);

impl std::fmt::Display for EntryId {
    /// In hex.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Of the request that an id came with: method, target, and the body where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

/// Who holds a reservation: a random number, new for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub u64);

/// What is known of an id; nothing is known of most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its request is on its way.
    InFlight {
        /// Who may settle it.
        owner: Owner,
        /// When the owner is given up: from then on it counts as released.
        lease: UnixTime,
        /// Of its request.
        fingerprint: Fingerprint,
    },
    /// It was on its way and has not arrived.
    Released {
        /// Only the same request may try again.
        fingerprint: Fingerprint,
    },
    /// It has arrived.
    Committed {
        /// Of its request.
        fingerprint: Fingerprint,
        /// What was answered, where that is kept.
        reply: Option<Bytes>,
    },
}

/// The answer to a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is the asker's until its lease ends.
    Reserved,
    /// Another one's, at this moment.
    InFlight,
    /// It may come again, but not as another request.
    Mismatch,
    /// It has arrived already.
    Committed {
        /// With the same request.
        same: bool,
        /// What was answered, where that is kept.
        reply: Option<Bytes>,
    },
}

/// How a reservation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The request has arrived; with what was answered, where that is kept.
    Commit(Option<Bytes>),
    /// It has not.
    Release,
    /// It was never on its way, so that even its fingerprint need not be kept.
    Forget,
}

/// What a settlement makes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    Nothing,
    /// To be written.
    Put(State),
    /// To be deleted.
    Delete,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is so.
    Done,
    /// The lease had ended and the id is no longer the owner's.
    Lost,
}

/// Asks for an id. The second value is the state to write, if any.
pub fn reserve(
    found: Option<&State>,
    owner: Owner,
    fingerprint: Fingerprint,
    lease: UnixTime,
    now: UnixTime,
) -> (Answer, Option<State>) {
    let reserved = (Answer::Reserved, Some(State::InFlight { owner, lease, fingerprint }));
    match found {
        None => reserved,
        // The answer to a first try was lost on its way.
        Some(State::InFlight { owner: holder, .. }) if *holder == owner => reserved,
        Some(State::InFlight { lease, .. }) if *lease > now => (Answer::InFlight, None),
        Some(State::InFlight { fingerprint: first, .. } | State::Released { fingerprint: first }) => {
            if *first == fingerprint { reserved } else { (Answer::Mismatch, None) }
        }
        Some(State::Committed { fingerprint: first, reply }) => {
            (Answer::Committed { same: *first == fingerprint, reply: reply.clone() }, None)
        }
    }
}

/// Ends a reservation. A lease that has ended is still its owner's until another one takes the id: what has arrived is
/// better known late than never.
pub fn settle(
    found: Option<&State>,
    owner: Owner,
    fingerprint: Fingerprint,
    settlement: &Settlement,
) -> (Settled, Change) {
    let committed =
        |reply: &Option<Bytes>| (Settled::Done, Change::Put(State::Committed { fingerprint, reply: reply.clone() }));
    match (found, settlement) {
        // A store that has forgotten the reservation learns at least how it ended.
        (None, Settlement::Commit(reply)) => committed(reply),
        (None, Settlement::Release | Settlement::Forget) => (Settled::Done, Change::Nothing),
        (Some(State::InFlight { owner: holder, .. }), _) if *holder != owner => (Settled::Lost, Change::Nothing),
        (Some(State::InFlight { .. }), Settlement::Commit(reply)) => committed(reply),
        (Some(State::InFlight { .. }), Settlement::Release) => {
            (Settled::Done, Change::Put(State::Released { fingerprint }))
        }
        (Some(State::InFlight { .. }), Settlement::Forget) => (Settled::Done, Change::Delete),
        // Said twice, since the answer to the first was lost.
        (Some(State::Committed { .. }), Settlement::Commit(_)) => (Settled::Done, Change::Nothing),
        (Some(State::Released { .. }), Settlement::Release | Settlement::Forget) => (Settled::Done, Change::Nothing),
        (Some(State::Committed { .. }), Settlement::Release | Settlement::Forget) => (Settled::Lost, Change::Nothing),
        (Some(State::Released { .. }), Settlement::Commit(_)) => (Settled::Lost, Change::Nothing),
    }
}

#[cfg(test)]
mod model;
