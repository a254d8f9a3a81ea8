//! Model checker: a breadth-first search of all interleavings of two gateways that use one id. It checks `reserve` and
//! `settle`, and that the invariants detect deliberately broken versions of them.
//!
//! Requests to the store, its responses, gateways and upstreams may be lost; settlements may be late by any time. The
//! model assumes, and the proxy must ensure, that a forward begins and ends within its lease, and that each reservation
//! has a different owner.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::{EntryChange, EntryState, Fingerprint, Owner, ReserveResult, Settled, Settlement, reserve, settle};
use crate::clock::UnixTime;

const GATEWAYS: usize = 2;
/// Length of a lease in ticks.
const LEASE: u64 = 2;
/// Last tick of the search, late enough for two leases to expire one after the other.
const LAST_TICK: u64 = 4;
/// The sender's request, and an attacker's with the same id.
const REQUESTS: [Fingerprint; 2] = [Fingerprint(1), Fingerprint(2)];
/// An owner that no gateway of the search uses.
const ANOTHER: Owner = Owner(u64::MAX);

type Reserve = fn(Option<&EntryState>, Owner, Fingerprint, UnixTime, UnixTime) -> (ReserveResult, Option<EntryState>);
type Settle = fn(Option<&EntryState>, Owner, Fingerprint, &Settlement) -> (Settled, EntryChange);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Invariant {
    /// (a) At most one forward at a time.
    OneForward,
    /// (b) No forward begins after a commit.
    NotAfterCommit,
    /// (c) No other request than the first one is forwarded, or acknowledged.
    SameRequest,
    /// (c, d) A request that was released, or lost with its gateway, can be reserved again.
    ComesAgain,
    /// (d) But not before the owner has settled it or its lease has expired.
    LeaseHolds,
    /// (e) An owner that has lost the id to another one changes nothing.
    OwnerSettles,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ModelExchange {
    owner: Owner,
    request: usize,
    lease: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ModelPhase {
    Idle,
    /// The store has not responded to the reservation.
    Unsure(ModelExchange),
    Reserved(ModelExchange),
    Forwarding(ModelExchange),
    /// The upstream has processed the request (`true`) or not; the settlement is repeated until the store responds.
    Settling(ModelExchange, bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ModelGateway {
    phase: ModelPhase,
    exchanges: u64,
}

#[derive(Clone, PartialEq, Eq)]
struct Stored(Option<EntryState>);

impl Hash for Stored {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // The history determines most of the rest.
        self.0.as_ref().map(std::mem::discriminant).hash(hasher);
    }
}

/// The events so far, derived from the responses of the store: the invariants do not read the store itself.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct History {
    first: Option<usize>,
    /// The owner that reserved the id last.
    last: Option<Owner>,
    /// Time until which no other owner may reserve the id; 0 once it is settled.
    reserved_until: u64,
    crashed: bool,
    forwarded: bool,
    committed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    stored: Stored,
    gateways: [ModelGateway; GATEWAYS],
    /// Leases of forwards that the upstream still processes although their gateway has crashed.
    orphans: Vec<u64>,
    history: History,
}

impl World {
    fn forwards(&self) -> impl Iterator<Item = u64> + '_ {
        let own = self.gateways.iter().filter_map(|gateway| match gateway.phase {
            ModelPhase::Forwarding(exchange) => Some(exchange.lease),
            _ => None,
        });
        own.chain(self.orphans.iter().copied())
    }

    fn with(&self, gateway: usize, phase: ModelPhase) -> Self {
        let mut next = self.clone();
        next.gateways[gateway].phase = phase;
        next
    }
}

struct Search {
    reserve: Reserve,
    settle: Settle,
    /// Maximum number of exchanges of a gateway.
    exchanges: u64,
    seen: HashSet<World>,
    queue: VecDeque<World>,
    broken: BTreeSet<Invariant>,
    /// Events that have occurred. All of them must occur, or else the search proves nothing.
    events: BTreeSet<&'static str>,
}

fn at(tick: u64) -> UnixTime {
    UnixTime::from_seconds(tick).unwrap()
}

/// Searches until all invariants in `expected` are broken; if `expected` is empty, the search visits every world.
fn search(reserve: Reserve, settle: Settle, exchanges: u64, expected: &[Invariant]) -> Search {
    let (seen, queue, broken, events) = Default::default();
    let mut search = Search { reserve, settle, exchanges, seen, queue, broken, events };
    search.reach(World {
        now: 0,
        stored: Stored(None),
        gateways: [ModelGateway { phase: ModelPhase::Idle, exchanges: 0 }; GATEWAYS],
        orphans: Vec::new(),
        history: History::default(),
    });
    while let Some(world) = search.queue.pop_front() {
        if !expected.is_empty() && expected.iter().all(|invariant| search.broken.contains(invariant)) {
            break;
        }
        search.look(&world);
        search.time_passes(&world);
        for gateway in 0..GATEWAYS {
            search.act(&world, gateway);
        }
    }
    search
}

impl Search {
    fn reach(&mut self, world: World) {
        if self.seen.insert(world.clone()) {
            self.queue.push_back(world);
        }
    }

    fn require(&mut self, holds: bool, invariant: Invariant) {
        if !holds {
            self.broken.insert(invariant);
        }
    }

    fn note(&mut self, happened: bool, event: &'static str) {
        if happened {
            self.events.insert(event);
        }
    }

    /// Checks the invariants of a world, also for one more request after the lease has expired.
    fn look(&mut self, world: &World) {
        self.require(world.forwards().count() <= 1, Invariant::OneForward);
        let Some(first) = world.history.first else { return };
        let later = world.now.max(world.history.reserved_until);
        let reserve_once = |request: usize| {
            let lease = at(later + LEASE);
            (self.reserve)(world.stored.0.as_ref(), ANOTHER, REQUESTS[request], lease, at(later)).0
        };
        let (same, other) = (reserve_once(first), reserve_once(1 - first));
        self.require((same == ReserveResult::Reserved) != world.history.committed, Invariant::ComesAgain);
        self.require(other == ReserveResult::Mismatch, Invariant::SameRequest);
    }

    /// Advances the time. No lease expires while its forward runs, since the timeout of the upstream is earlier.
    fn time_passes(&mut self, world: &World) {
        if world.now < LAST_TICK && world.forwards().all(|lease| lease > world.now + 1) {
            self.reach(World { now: world.now + 1, ..world.clone() });
        }
        for orphan in 0..world.orphans.len() {
            let mut next = world.clone();
            next.orphans.remove(orphan);
            self.reach(next);
        }
    }

    fn act(&mut self, world: &World, gateway: usize) {
        match world.gateways[gateway].phase {
            ModelPhase::Idle => self.begin(world, gateway),
            ModelPhase::Unsure(exchange) => {
                self.crash(world, gateway, exchange);
                self.reserve_once(world, gateway, exchange);
                self.reach(world.with(gateway, ModelPhase::Settling(exchange, false)));
            }
            ModelPhase::Reserved(exchange) => {
                self.crash(world, gateway, exchange);
                self.forward(world, gateway, exchange);
                // The client disconnected before its body was complete.
                self.reach(world.with(gateway, ModelPhase::Settling(exchange, false)));
            }
            ModelPhase::Forwarding(exchange) => {
                self.crash(world, gateway, exchange);
                // First a 2xx; second a 5xx, no response, a lost response, or a timeout.
                self.reach(world.with(gateway, ModelPhase::Settling(exchange, true)));
                self.reach(world.with(gateway, ModelPhase::Settling(exchange, false)));
            }
            ModelPhase::Settling(exchange, arrived) => {
                self.crash(world, gateway, exchange);
                self.end(world, gateway, exchange, arrived);
            }
        }
    }

    fn crash(&mut self, world: &World, gateway: usize, exchange: ModelExchange) {
        let mut next = world.with(gateway, ModelPhase::Idle);
        next.history.crashed |= world.history.last == Some(exchange.owner) && world.history.reserved_until > 0;
        self.reach(next.clone());
        if matches!(world.gateways[gateway].phase, ModelPhase::Forwarding(_)) {
            next.orphans.push(exchange.lease);
            next.orphans.sort_unstable();
            self.reach(next);
        }
    }

    fn begin(&mut self, world: &World, gateway: usize) {
        let number = world.gateways[gateway].exchanges;
        if number == self.exchanges {
            return;
        }
        for request in 0..REQUESTS.len() {
            let owner = Owner(number * GATEWAYS as u64 + gateway as u64);
            let exchange = ModelExchange { owner, request, lease: 0 };
            let mut next = world.clone();
            next.gateways[gateway].exchanges += 1;
            self.reserve_once(&next, gateway, exchange);
            // The request to the store is lost.
            self.reach(next.with(gateway, ModelPhase::Unsure(exchange)));
        }
    }

    fn reserve_once(&mut self, world: &World, gateway: usize, exchange: ModelExchange) {
        let lease = world.now + LEASE;
        let ModelExchange { owner, request, .. } = exchange;
        let found = world.stored.0.as_ref();
        let (answer, write) = (self.reserve)(found, owner, REQUESTS[request], at(lease), at(world.now));
        let mut next = world.clone();
        next.stored.0 = write.or(next.stored.0);
        let phase = match answer {
            ReserveResult::Reserved => {
                self.reserved(world, owner);
                let first = world.history.first.or(Some(request));
                let (last, reserved_until, crashed) = (Some(owner), lease, false);
                next.history = History { first, last, reserved_until, crashed, ..next.history };
                ModelPhase::Reserved(ModelExchange { lease, ..exchange })
            }
            rejection => {
                self.events.insert(match rejection {
                    ReserveResult::Committed { .. } => "replayed",
                    ReserveResult::Mismatch if world.history.committed => "mismatch after a commit",
                    ReserveResult::Mismatch => "mismatch",
                    ReserveResult::InFlight | ReserveResult::Reserved => "in flight",
                });
                ModelPhase::Idle
            }
        };
        self.reach(next.with(gateway, phase));
        self.reach(next.with(gateway, ModelPhase::Unsure(exchange)));
    }

    fn reserved(&mut self, world: &World, owner: Owner) {
        let history = &world.history;
        let own = history.last == Some(owner);
        self.require(own || history.reserved_until <= world.now, Invariant::LeaseHolds);
        self.note(own, "reserved twice");
        self.note(!own && history.crashed, "reserved after a crash");
    }

    fn forward(&mut self, world: &World, gateway: usize, exchange: ModelExchange) {
        if exchange.lease <= world.now {
            self.events.insert("heard after the lease");
            return;
        }
        let history = &world.history;
        self.require(!history.committed, Invariant::NotAfterCommit);
        self.require(history.first == Some(exchange.request), Invariant::SameRequest);
        self.note(history.forwarded, "forwarded again");
        let mut next = world.with(gateway, ModelPhase::Forwarding(exchange));
        next.history.forwarded = true;
        self.reach(next);
    }

    fn end(&mut self, world: &World, gateway: usize, exchange: ModelExchange, arrived: bool) {
        let settlement = if arrived { Settlement::Commit(None) } else { Settlement::Release };
        let found = world.stored.0.as_ref();
        let (settled, change) = (self.settle)(found, exchange.owner, REQUESTS[exchange.request], &settlement);
        let write = if let EntryChange::Put(state) = change { Some(state) } else { None };
        let history = &world.history;
        let own = history.last == Some(exchange.owner);
        self.require(own || write.is_none(), Invariant::OwnerSettles);
        let done = settled == Settled::Done;
        self.note(arrived && !done, "commit lost");
        self.note(!arrived && !done, "release lost");
        self.note(arrived && done && own, "committed");
        self.note(arrived && done && own && write.is_none(), "committed twice");
        self.note(arrived && write.is_some() && history.reserved_until <= world.now, "committed after the lease");
        self.note(!arrived && write.is_some() && exchange.lease == 0, "released unheard");
        let mut next = world.with(gateway, ModelPhase::Idle);
        next.stored.0 = write.or(next.stored.0);
        next.history.committed |= arrived && done;
        if own && done {
            next.history.reserved_until = 0;
        }
        self.reach(next.clone());
        // The response of the store is lost.
        self.reach(next.with(gateway, ModelPhase::Settling(exchange, arrived)));
    }
}

#[test]
fn every_interleaving_keeps_the_promises() {
    let found = search(reserve, settle, 3, &[]);
    assert_eq!(found.broken, BTreeSet::new());
    assert!(found.seen.len() > 10_000, "{} worlds", found.seen.len());
    let expected = "committed, committed twice, committed after the lease, commit lost, release lost, released unheard, \
                  forwarded again, reserved after a crash, reserved twice, in flight, mismatch, mismatch after a commit, \
                  replayed, heard after the lease";
    assert_eq!(found.events, expected.split(", ").collect());
}

/// Checks that a broken rule violates the `expected` invariants; it may violate others too.
#[track_caller]
fn breaks(reserve: Reserve, settle: Settle, expected: &[Invariant]) {
    let broken = search(reserve, settle, 2, expected).broken;
    assert!(expected.iter().all(|invariant| broken.contains(invariant)), "only {broken:?}");
}

#[test]
fn broken_leases_are_noticed() {
    let ignored: Reserve = |found, owner, request, lease, _| reserve(found, owner, request, lease, UnixTime::MAX);
    breaks(ignored, settle, &[Invariant::LeaseHolds, Invariant::OneForward]);
    let endless: Reserve = |found, owner, request, lease, _| reserve(found, owner, request, lease, at(0));
    breaks(endless, settle, &[Invariant::ComesAgain]);
}

#[test]
fn owners_that_are_not_compared_are_noticed() {
    let anyone: Settle = |found, owner, request, settlement| {
        let holder = if let Some(EntryState::InFlight { owner, .. }) = found { *owner } else { owner };
        settle(found, holder, request, settlement)
    };
    breaks(reserve, anyone, &[Invariant::OwnerSettles, Invariant::OneForward]);
}

#[test]
fn fingerprints_that_are_not_compared_are_noticed() {
    let any: Reserve = |found, owner, request, lease, now| match reserve(found, owner, request, lease, now) {
        (ReserveResult::Mismatch, _) => reserve(None, owner, request, lease, now),
        answer => answer,
    };
    breaks(any, settle, &[Invariant::SameRequest]);
    let acknowledged: Reserve = |found, owner, request, lease, now| match found {
        Some(EntryState::Committed { reply, .. }) => (ReserveResult::Committed { reply: reply.clone() }, None),
        _ => reserve(found, owner, request, lease, now),
    };
    breaks(acknowledged, settle, &[Invariant::SameRequest]);
}

#[test]
fn settlements_that_do_the_other_thing_are_noticed() {
    let releases: Settle = |found, owner, request, _| settle(found, owner, request, &Settlement::Release);
    breaks(reserve, releases, &[Invariant::NotAfterCommit]);
    let commits: Settle = |found, owner, request, _| settle(found, owner, request, &Settlement::Commit(None));
    breaks(reserve, commits, &[Invariant::ComesAgain]);
}

#[test]
fn commits_that_do_not_last_are_noticed() {
    let forgets: Reserve = |found, owner, request, lease, now| {
        let found = found.filter(|state| !matches!(state, EntryState::Committed { .. }));
        reserve(found, owner, request, lease, now)
    };
    breaks(forgets, settle, &[Invariant::NotAfterCommit]);
    let undoes: Settle = |found, owner, request, settlement| match (found, settlement) {
        (Some(EntryState::Committed { .. }), Settlement::Release) => {
            (Settled::Done, EntryChange::Put(EntryState::Released { fingerprint: request }))
        }
        _ => settle(found, owner, request, settlement),
    };
    breaks(reserve, undoes, &[Invariant::OwnerSettles, Invariant::NotAfterCommit]);
}
