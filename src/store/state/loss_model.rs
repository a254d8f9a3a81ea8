//! Model checker of losses: a breadth-first search of all interleavings of two gateways that use one id, while the store
//! loses everything since a point at which it was durable. It checks `write_again`, and that a reservation has to wait for
//! the gateways. Leases do not end here; `model` has them.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::{EntryChange, EntryState, Fingerprint, Owner, ReserveResult, Settlement, reserve, settle, write_again};
use crate::clock::UnixTime;

const GATEWAYS: usize = 2;
const EXCHANGES: u64 = 3;
const REQUESTS: [Fingerprint; 2] = [Fingerprint(1), Fingerprint(2)];

type WriteAgain = fn(Option<&EntryState>, Owner, &EntryState) -> Option<EntryState>;

/// How the store recovers; the tests break each part.
#[derive(Clone, Copy)]
struct LossRules {
    write_again: WriteAgain,
    /// Reservations wait until all gateways have written again.
    waits: bool,
    /// And are rejected if one has died with changes that were not durable.
    rejects: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LossInvariant {
    OneForward,
    NotAfterCommit,
    SameRequest,
    CommitCounts,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry(Option<EntryState>);

impl Hash for Entry {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // The rest of the world determines most of it.
        self.0.as_ref().map(std::mem::discriminant).hash(hasher);
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct LossGateway {
    /// The forward in flight: owner, request, and whether the upstream has processed it, once that is known.
    forward: Option<(Owner, usize, Option<bool>)>,
    /// The latest change of this process.
    tail: Option<(Owner, Entry)>,
    exchanges: u64,
    /// Whether it has to write its tail again.
    recovering: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct LossWorld {
    stored: Entry,
    durable: Entry,
    gateways: [LossGateway; GATEWAYS],
    /// Changes since the store was durable, by gateways that have died since.
    dead: bool,
    /// Which gateways have made changes since the store was durable.
    changed: [bool; GATEWAYS],
    lost: bool,
    rejecting: bool,
    first: Option<usize>,
    in_flight: Option<Owner>,
    committed: bool,
}

struct LossSearch {
    rules: LossRules,
    seen: HashSet<LossWorld>,
    queue: VecDeque<LossWorld>,
    broken: BTreeSet<LossInvariant>,
    events: BTreeSet<&'static str>,
}

fn search(rules: LossRules) -> LossSearch {
    let (seen, queue, broken, events) = Default::default();
    let mut search = LossSearch { rules, seen, queue, broken, events };
    let gateway = LossGateway { forward: None, tail: None, exchanges: 0, recovering: false };
    search.reach(LossWorld {
        stored: Entry(None),
        durable: Entry(None),
        gateways: [gateway.clone(), gateway],
        dead: false,
        changed: [false; GATEWAYS],
        lost: false,
        rejecting: false,
        first: None,
        in_flight: None,
        committed: false,
    });
    while let Some(world) = search.queue.pop_front() {
        search.store(&world);
        for gateway in 0..GATEWAYS {
            search.gateway(&world, gateway);
        }
    }
    search
}

impl LossSearch {
    fn reach(&mut self, world: LossWorld) {
        if self.seen.insert(world.clone()) {
            self.queue.push_back(world);
        }
    }

    fn require(&mut self, holds: bool, invariant: LossInvariant) {
        if !holds {
            self.broken.insert(invariant);
        }
    }

    /// The store becomes durable, or loses all changes since then.
    fn store(&mut self, world: &LossWorld) {
        let (durable, changed) = (world.stored.clone(), [false; GATEWAYS]);
        if !world.lost {
            self.reach(LossWorld { durable, changed, dead: false, ..world.clone() });
            let mut next = LossWorld { stored: world.durable.clone(), lost: true, ..world.clone() };
            next.rejecting = world.dead;
            next.gateways.iter_mut().for_each(|gateway| gateway.recovering = true);
            self.reach(next);
        }
    }

    fn gateway(&mut self, world: &LossWorld, gateway: usize) {
        let own = &world.gateways[gateway];
        self.crash(world, gateway);
        if own.recovering {
            let mut next = world.clone();
            next.gateways[gateway].recovering = false;
            if let Some((owner, Entry(Some(latest)))) = &own.tail
                && let Some(state) = (self.rules.write_again)(world.stored.0.as_ref(), *owner, latest)
            {
                self.events.insert("written again");
                next.stored = Entry(Some(state));
            }
            self.reach(next);
        }
        match own.forward {
            None if own.exchanges < EXCHANGES => {
                (0..REQUESTS.len()).for_each(|request| self.begin(world, gateway, request))
            }
            None => (),
            Some((owner, request, None)) => {
                for arrived in [true, false] {
                    let mut next = world.clone();
                    next.gateways[gateway].forward = Some((owner, request, Some(arrived)));
                    next.committed |= arrived;
                    next.in_flight = None;
                    // Recorded before the store has the settlement.
                    let fingerprint = REQUESTS[request];
                    let latest = match arrived {
                        true => EntryState::Committed { fingerprint, reply: None },
                        false => EntryState::Released { fingerprint },
                    };
                    next.gateways[gateway].tail = Some((owner, Entry(Some(latest))));
                    next.changed[gateway] = true;
                    self.reach(next);
                }
            }
            Some((owner, request, Some(arrived))) => self.end(world, gateway, owner, request, arrived),
        }
    }

    /// The process dies, and a new one takes its place.
    fn crash(&mut self, world: &LossWorld, gateway: usize) {
        let mut next = world.clone();
        let own = &mut next.gateways[gateway];
        let unknown = own.recovering && own.tail.is_some();
        (own.tail, own.forward, own.recovering) = (None, None, false);
        next.dead |= world.changed[gateway];
        next.changed[gateway] = false;
        next.rejecting |= unknown;
        // The upstream had the request, and its sender was told nothing.
        let forwards = world.gateways[gateway].forward.is_some();
        if !forwards {
            self.reach(next);
        }
    }

    fn begin(&mut self, world: &LossWorld, gateway: usize, request: usize) {
        let waits = self.rules.waits && world.gateways.iter().any(|gateway| gateway.recovering);
        let rejects = self.rules.rejects && world.rejecting;
        if waits || rejects {
            self.events.insert(if waits { "waited" } else { "rejected" });
            return;
        }
        let number = world.gateways[gateway].exchanges;
        let owner = Owner(number * GATEWAYS as u64 + gateway as u64);
        let (lease, now) = (UnixTime::MAX, UnixTime::default());
        let (result, write) = reserve(world.stored.0.as_ref(), owner, REQUESTS[request], lease, now);
        if result != ReserveResult::Reserved {
            return;
        }
        self.require(world.in_flight.is_none(), LossInvariant::OneForward);
        self.require(!world.committed, LossInvariant::NotAfterCommit);
        self.require(world.first.is_none_or(|first| first == request), LossInvariant::SameRequest);
        let mut next = world.clone();
        next.stored = Entry(write.clone());
        (next.first, next.in_flight) = (Some(request), Some(owner));
        let own = &mut next.gateways[gateway];
        own.exchanges += 1;
        (own.forward, own.tail) = (Some((owner, request, None)), Some((owner, Entry(write))));
        next.changed[gateway] = true;
        if world.lost {
            self.events.insert("reserved after the loss");
        }
        self.reach(next);
    }

    fn end(&mut self, world: &LossWorld, gateway: usize, owner: Owner, request: usize, arrived: bool) {
        let settlement = if arrived { Settlement::Commit(None) } else { Settlement::Release };
        let (_, change) = settle(world.stored.0.as_ref(), owner, REQUESTS[request], &settlement);
        let mut next = world.clone();
        next.gateways[gateway].forward = None;
        if let EntryChange::Put(state) = change {
            next.stored = Entry(Some(state));
        }
        let committed = matches!(next.stored.0, Some(EntryState::Committed { .. }));
        // Otherwise the store still has a state from before the loss, and gets the commit with the tail.
        self.require(!arrived || committed || world.gateways[gateway].recovering, LossInvariant::CommitCounts);
        self.reach(next);
    }
}

const RULES: LossRules = LossRules { write_again, waits: true, rejects: true };

#[test]
fn a_loss_changes_no_promise() {
    let found = search(RULES);
    assert_eq!(found.broken, BTreeSet::new());
    assert!(found.seen.len() > 1000, "{} worlds", found.seen.len());
    let expected = ["rejected", "reserved after the loss", "waited", "written again"];
    assert_eq!(found.events, BTreeSet::from(expected));
}

#[track_caller]
fn breaks(rules: LossRules, expected: &[LossInvariant]) {
    let broken = search(rules).broken;
    assert!(expected.iter().all(|invariant| broken.contains(invariant)), "only {broken:?}");
}

#[test]
fn a_recovery_that_is_not_waited_for_is_noticed() {
    breaks(
        LossRules { waits: false, ..RULES },
        &[LossInvariant::OneForward, LossInvariant::NotAfterCommit, LossInvariant::SameRequest],
    );
}

#[test]
fn a_gateway_that_died_is_noticed() {
    breaks(LossRules { rejects: false, ..RULES }, &[LossInvariant::NotAfterCommit]);
}

#[test]
fn tails_that_undo_something_are_noticed() {
    breaks(LossRules { write_again: |_, _, latest| Some(latest.clone()), ..RULES }, &[LossInvariant::NotAfterCommit]);
    let releases: WriteAgain = |found, owner, latest| {
        let owner = if let Some(EntryState::InFlight { owner, .. }) = found { *owner } else { owner };
        write_again(found, owner, latest)
    };
    breaks(LossRules { write_again: releases, ..RULES }, &[LossInvariant::OneForward]);
    let nothing: WriteAgain = |_, _, _| None;
    breaks(LossRules { write_again: nothing, ..RULES }, &[LossInvariant::NotAfterCommit]);
}
