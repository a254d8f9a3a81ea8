//! When an entry ends, and what is left of it then.

use super::*;

fn other(number: u64, until: u64) -> ReserveRequest {
    ReserveRequest { owner: Owner(99), ..request(number, until) }
}

/// Ids of one shard, whose sweep is decided for all of them.
fn neighbour(last: u8, until: u64) -> ReserveRequest {
    let mut bytes = [3; 16];
    bytes[15] = last;
    ReserveRequest { id: EntryId(bytes), ..request(u64::from(last), until) }
}

fn commit_without_response(memory: &MemoryStore, request: &ReserveRequest) {
    assert_eq!(memory.reserve(request, at(1)), Ok(ReserveResult::Reserved));
    assert_eq!(memory.settle(request, &Settlement::Commit(None), at(1)), Settled::Done);
}

#[test]
fn an_expired_entry_is_absent_before_it_is_swept() {
    let memory = MemoryStore::new(10);
    commit_without_response(&memory, &request(1, 100));
    assert_eq!(memory.reserve(&other(1, 300), at(100)), Ok(committed(None)));
    commit_without_response(&memory, &request(2, 100));
    assert_eq!(memory.reserve(&other(2, 300), at(101)), Ok(ReserveResult::Reserved));
    assert_eq!(memory.entries(), 2);
}

/// A copy whose credential is valid for longer than the first one's could be replayed after the entry.
#[test]
fn a_copy_extends_the_entry_to_its_own_end() {
    let memory = MemoryStore::new(10);
    commit_without_response(&memory, &request(1, 100));
    for until in [200, 50] {
        assert_eq!(memory.reserve(&other(1, until), at(1)), Ok(committed(None)));
    }
    memory.sweep(at(200));
    assert_eq!(memory.reserve(&other(1, 200), at(200)), Ok(committed(None)));
    memory.sweep(at(201));
    assert_eq!(memory.entries(), 0);
}

#[test]
fn a_retry_extends_the_entry_to_its_own_end() {
    let memory = MemoryStore::new(10);
    memory.reserve(&request(1, 100), at(1)).unwrap();
    memory.settle(&request(1, 100), &Settlement::Release, at(1));
    commit_without_response(&memory, &other(1, 200));
    memory.sweep(at(200));
    assert_eq!(memory.reserve(&request(1, 200), at(200)), Ok(committed(None)));
}

/// The owner reserves again if the response to its first attempt was lost, and settles again for the same reason.
#[test]
fn an_owner_may_repeat_itself() {
    let memory = MemoryStore::new(10);
    for _ in 0..2 {
        assert_eq!(memory.reserve(&request(1, 100), at(1)), Ok(ReserveResult::Reserved));
    }
    for _ in 0..2 {
        assert_eq!(memory.settle(&request(1, 100), &commit("yes"), at(1)), Settled::Done);
    }
    assert_eq!(memory.reserve(&other(1, 100), at(1)), Ok(committed(Some("yes"))));
}

#[test]
fn a_lease_ends_at_its_last_second() {
    let memory = MemoryStore::new(10);
    memory.reserve(&request(1, 100), at(1)).unwrap();
    assert_eq!(memory.reserve(&other(1, 100), at(10)), Ok(ReserveResult::InFlight));
    assert_eq!(memory.reserve(&other(1, 100), at(11)), Ok(ReserveResult::Reserved));
}

/// The upstream has processed the request, even if the store has lost the reservation.
#[test]
fn a_commit_without_a_reservation_is_stored_while_its_credential_is_valid() {
    let memory = MemoryStore::new(1);
    for number in 1..=2 {
        assert_eq!(memory.settle(&request(number, 100), &commit("yes"), at(100)), Settled::Done);
        assert_eq!(memory.reserve(&other(number, 100), at(100)), Ok(committed(Some("yes"))));
    }
    assert_eq!((memory.settle(&request(3, 100), &commit("yes"), at(101)), memory.entries()), (Settled::Done, 2));
}

/// A shard remembers when its first entry expires, also of entries that came after a sweep.
#[test]
fn an_entry_that_ends_before_the_others_is_swept() {
    let memory = MemoryStore::new(10);
    commit_without_response(&memory, &neighbour(1, 1000));
    memory.sweep(at(50));
    commit_without_response(&memory, &neighbour(2, 100));
    memory.sweep(at(101));
    assert_eq!(memory.entries(), 1);
}

#[test]
fn a_settled_entry_keeps_neither_owner_nor_lease() {
    let memory = MemoryStore::new(10);
    for (number, settlement) in [commit("yes"), Settlement::Release, Settlement::Forget].iter().enumerate() {
        let request = request(number as u64, 100);
        memory.reserve(&request, at(1)).unwrap();
        memory.settle(&request, settlement, at(1));
    }
    memory.reserve(&request(9, 5), at(1)).unwrap();
    memory.sweep(at(50));
    assert_eq!(memory.shards.iter().map(|shard| lock(shard).flights.len()).sum::<usize>(), 0);
    assert_eq!(Store::usage(&memory), Some((2, 10)));
    Store::sweep(&memory, at(101));
    assert_eq!(memory.entries(), 0);
}

#[test]
fn an_entry_is_restored_with_its_end() {
    let (memory, copy) = (MemoryStore::new(10), MemoryStore::new(10));
    for (number, until) in [(1, at(100)), (2, UnixTime::MAX)] {
        memory.reserve(&ReserveRequest { until, ..request(number, 100) }, at(1)).unwrap();
        let entry = memory.record(id(number)).unwrap();
        assert_eq!(entry.until, until);
        for _ in 0..2 {
            assert!(copy.restore(id(number), entry.clone()));
        }
        assert_eq!(copy.record(id(number)), Some(entry));
    }
    assert_eq!(copy.entries(), 2);
}
