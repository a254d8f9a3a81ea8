use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A client that is late from this time; `u64::MAX` while the gateway does not wait for it.
#[derive(Debug)]
struct Client {
    late_from: AtomicU64,
    displaced: OnceLock<Exhausted>,
}

impl WaitingClient for Client {
    fn late_from(&self) -> Option<u64> {
        Some(self.late_from.load(Ordering::Relaxed)).filter(|at| *at != u64::MAX)
    }

    fn displace(&self, _pool: PoolName, why: Exhausted) {
        self.displaced.set(why).unwrap();
    }
}

struct Held {
    permit: PoolPermit<Client>,
    client: Arc<Client>,
}

impl Held {
    fn gave_way(&self) -> Option<Exhausted> {
        self.client.displaced.get().copied()
    }
}

type TestPool = Arc<AdmissionPool<Client>>;

fn pool() -> TestPool {
    AdmissionPool::new(PoolName::WaitingRequests)
}

fn bounds(total: u64, address: u64) -> PoolBounds {
    PoolBounds { total, address, displaced: MayDisplace::Others }
}

fn key(address: &str) -> AddressKey {
    AddressKey::of(address.parse().unwrap())
}

fn try_take(pool: &TestPool, from: &str, late_from: u64, bounds: PoolBounds, now: u64) -> Result<Held, Exhausted> {
    let client = Arc::new(Client { late_from: AtomicU64::new(late_from), displaced: OnceLock::new() });
    let mut permit = pool.begin(Some(key(from)));
    permit.grow(1, bounds, || now)?;
    permit.wait_for(Arc::clone(&client), now);
    Ok(Held { permit, client })
}

/// One place of ten for a client that is late a second later.
fn take(pool: &TestPool, from: &str, now: u64) -> Result<Held, Exhausted> {
    try_take(pool, from, now + SECOND, bounds(10, 5), now)
}

fn gave_way(held: &[Held]) -> Vec<usize> {
    held.iter().enumerate().filter(|(_, held)| held.gave_way().is_some()).map(|(index, _)| index).collect()
}

#[test]
fn the_latest_client_of_the_heaviest_address_gives_way_first() {
    let pool = pool();
    let from = |last, now| take(&pool, &format!("192.0.2.{last}"), now).unwrap();
    let held = [from(1, 4), from(1, 3), from(2, 2), from(2, 1), from(2, 5), from(3, 0), from(3, 0), from(4, 0)];
    let late: Vec<_> = (0..5).map(|_| take(&pool, "203.0.113.9", 2 * SECOND)).collect();
    assert!(late.iter().all(Result::is_ok));
    // The first two places were free; then 192.0.2.2 holds three, and so on.
    assert_eq!(gave_way(&held).len(), 3);
    assert_eq!(held[3].gave_way(), Some(Exhausted::Late));
    assert_eq!(pool.total(), 10);
}

/// Five addresses with a quarter each could keep everyone else out.
#[test]
fn sixty_four_stalling_addresses_delay_no_newcomer() {
    let pool = pool();
    let many = bounds(640, 160);
    let stalled: Vec<_> = (0..640)
        .map(|index| try_take(&pool, &format!("198.51.100.{}", index % 64), SECOND, many, 0).unwrap())
        .collect();
    // A genuine sender has more requests at once than any of the attackers, and none of its own gives way.
    let genuine: Vec<_> =
        (0..100).map(|_| try_take(&pool, "192.0.2.1", 3 * SECOND, many, 2 * SECOND).unwrap()).collect();
    assert_eq!((gave_way(&genuine).len(), gave_way(&stalled).len(), pool.total()), (0, 100, 640));
}

/// Attackers that start again each second are never late.
#[test]
fn without_a_late_client_the_heaviest_address_gives_way_but_not_to_itself() {
    let pool = pool();
    let heavy: Vec<_> = (0..4).map(|_| take(&pool, "192.0.2.1", 0).unwrap()).collect();
    let light: Vec<_> = (2..8).map(|last| take(&pool, &format!("198.51.100.{last}"), 0).unwrap()).collect();
    // The /24 of the light ones is the heaviest network, and within it the address that would have two places.
    assert_eq!(take(&pool, "198.51.100.7", 1).err(), Some(Exhausted::Total));
    let newcomer = take(&pool, "203.0.113.1", 1).unwrap();
    assert_eq!((gave_way(&heavy).len(), gave_way(&light).len(), newcomer.gave_way()), (0, 1, None));
}

#[test]
fn an_attacker_in_the_network_of_the_sender_displaces_only_itself() {
    for (sender, attacker) in [("192.0.2.1", "192.0.2"), ("2001:db8:0:101::1", "2001:db8:0:2")] {
        let pool = pool();
        let from = |index: usize| {
            if attacker.contains(':') {
                format!("{attacker}{index:02}::1")
            } else {
                format!("{attacker}.{}", 10 + index)
            }
        };
        let attackers: Vec<_> = (0..10).map(|index| take(&pool, &from(index % 3), 0).unwrap()).collect();
        let sender: Vec<_> = (0..2).map(|_| take(&pool, sender, 1).unwrap()).collect();
        let flood: Vec<_> = (0..9).map(|index| take(&pool, &from(index % 3), 2)).collect();
        assert_eq!((gave_way(&sender).len(), gave_way(&attackers).len() >= 2), (0, true));
        assert!(flood.iter().any(Result::is_err));
    }
}

#[test]
fn a_client_that_sends_is_no_longer_late() {
    let pool = pool();
    let held: Vec<_> = (0..10).map(|last| take(&pool, &format!("192.0.2.{last}"), 0).unwrap()).collect();
    let all_but = |spared: usize| held.iter().enumerate().filter(move |(index, _)| *index != spared);
    all_but(7).for_each(|(_, held)| held.client.late_from.store(9 * SECOND, Ordering::Relaxed));
    take(&pool, "192.0.2.100", 2 * SECOND).unwrap();
    assert_eq!((gave_way(&held), held[7].gave_way()), (vec![7], Some(Exhausted::Late)));
}

/// A connection with a request at work is never closed, however heavy its address is.
#[test]
fn only_clients_that_are_waited_for_give_way() {
    let pool = pool();
    let busy: Vec<_> = (0..9)
        .map(|index| try_take(&pool, &format!("192.0.2.{}", index % 3), u64::MAX, bounds(10, 5), 0).unwrap())
        .collect();
    let waiting = take(&pool, "198.51.100.1", 0).unwrap();
    let newcomer = take(&pool, "203.0.113.1", 2 * SECOND).unwrap();
    assert_eq!((gave_way(&busy).len(), waiting.gave_way()), (0, Some(Exhausted::Late)));
    assert_eq!(take(&pool, "203.0.113.2", 2 * SECOND + 1).err(), Some(Exhausted::Total));
    // It ends its work: it is found again, and late at once.
    busy[4].client.late_from.store(SECOND, Ordering::Relaxed);
    assert!(take(&pool, "203.0.113.2", 3 * SECOND - 1).is_ok());
    assert_eq!((gave_way(&busy), newcomer.gave_way()), (vec![4], None));
}

#[test]
fn the_share_of_an_address_is_taken_from_its_own_late_clients() {
    let pool = pool();
    let own: Vec<_> = (0..5).map(|_| take(&pool, "192.0.2.1", 0).unwrap()).collect();
    let other = take(&pool, "192.0.2.2", 0).unwrap();
    assert_eq!(take(&pool, "192.0.2.1", 1).err(), Some(Exhausted::Address));
    assert!(take(&pool, "192.0.2.1", 2 * SECOND).is_ok());
    assert_eq!((gave_way(&own).len(), other.gave_way()), (1, None));
}

#[test]
fn a_client_that_has_given_way_can_neither_grow_nor_keep_its_amount() {
    let pool = pool();
    let mut held: Vec<_> = (0..10).map(|last| take(&pool, &format!("192.0.2.{last}"), 0).unwrap()).collect();
    let newcomer = take(&pool, "203.0.113.1", 2 * SECOND).unwrap();
    let victim = gave_way(&held)[0];
    let mut victim = held.remove(victim);
    assert_eq!(victim.permit.grow(1, bounds(99, 99), || 0), Err(Exhausted::Total));
    assert!(!victim.permit.keep());
    drop(victim);
    assert_eq!(pool.total(), 10);
    // A kept amount is counted until it is dropped, and others cannot take it.
    let mut kept = newcomer;
    assert!(kept.permit.keep());
    drop(held);
    assert_eq!(pool.total(), 1);
    drop(kept);
    assert!(pool.is_empty() && pool.total() == 0);
}

/// An amount that cannot fit must not cost others their places.
#[test]
fn what_never_fits_displaces_nobody() {
    let pool = pool();
    let held: Vec<_> = (0..10).map(|last| take(&pool, &format!("192.0.2.{last}"), 0).unwrap()).collect();
    let mut permit = pool.begin(Some(key("203.0.113.1")));
    assert_eq!(permit.grow(11, bounds(10, 20), || 2 * SECOND), Err(Exhausted::Total));
    assert_eq!(permit.grow(6, bounds(10, 5), || 2 * SECOND), Err(Exhausted::Address));
    let nobody = PoolBounds { displaced: MayDisplace::Nobody, ..bounds(10, 5) };
    assert_eq!(permit.grow(1, nobody, || 2 * SECOND), Err(Exhausted::Total));
    assert!(gave_way(&held).is_empty());
}

#[test]
fn room_is_made_for_nobody_in_particular() {
    let pool = pool();
    let held: Vec<_> = (0..3).map(|last| take(&pool, &format!("192.0.2.{last}"), 0).unwrap()).collect();
    assert!(pool.make_room(0) && pool.make_room(2 * SECOND) && pool.make_room(2 * SECOND) && !pool.make_room(9));
    assert_eq!((gave_way(&held).len(), pool.total()), (3, 0));
}

/// Ten thousand connections: finding the one that gives way must not take longer the more there are.
#[test]
fn a_full_pool_of_ten_thousand_is_not_searched() {
    let pool = pool();
    let all = bounds(10_000, 10_000);
    let at = |index: usize| format!("2001:db8:{:x}:{:x}::1", index / 256, index % 256);
    let mut held: Vec<_> = (0..10_000).map(|index| try_take(&pool, &at(index), SECOND, all, 0).unwrap()).collect();
    for index in 0..20_000 {
        held.push(try_take(&pool, &at(70_000 + index), SECOND, all, 2 * SECOND).unwrap());
    }
    assert_eq!((pool.total(), gave_way(&held).len()), (10_000, 20_000));
    drop(held);
    assert!(pool.is_empty());
}
