use super::*;

mod expiry;

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

fn id(number: u64) -> EntryId {
    // Distributed as evenly as an HMAC.
    let mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[8..].copy_from_slice(&(mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_le_bytes());
    EntryId(bytes)
}

fn request(number: u64, until: u64) -> ReserveRequest {
    ReserveRequest { owner: Owner(number), until: at(until), ..ReserveRequest::sample(id(number)) }
}

fn committed(reply: Option<&'static str>) -> ReserveResult {
    ReserveResult::Committed { same: true, reply: reply.map(|text| Bytes::from_static(text.as_bytes())) }
}

fn commit(reply: &'static str) -> Settlement {
    Settlement::Commit(Some(Bytes::from_static(reply.as_bytes())))
}

#[test]
fn an_id_is_reserved_once_and_committed_with_its_response() {
    let memory = MemoryStore::new(10);
    let first = request(1, 100);
    let second = ReserveRequest { owner: Owner(99), ..first.clone() };
    assert_eq!(memory.reserve(&first, at(1)), Ok(ReserveResult::Reserved));
    assert_eq!(memory.reserve(&second, at(1)), Ok(ReserveResult::InFlight));
    assert_eq!(memory.settle(&second, &commit("no"), at(1)), Settled::Lost);
    assert_eq!(memory.settle(&first, &commit("yes"), at(1)), Settled::Done);
    assert_eq!(memory.reserve(&second, at(2)), Ok(committed(Some("yes"))));
    assert_eq!(memory.entries(), 1);
}

#[test]
fn a_released_id_keeps_its_fingerprint() {
    let memory = MemoryStore::new(10);
    let first = request(1, 100);
    let other = ReserveRequest { fingerprint: Fingerprint(8), ..first.clone() };
    memory.reserve(&first, at(1)).unwrap();
    assert_eq!(memory.settle(&first, &Settlement::Release, at(1)), Settled::Done);
    assert_eq!(memory.reserve(&other, at(1)), Ok(ReserveResult::Mismatch));
    assert_eq!(memory.reserve(&first, at(1)), Ok(ReserveResult::Reserved));
}

#[test]
fn a_reservation_that_was_never_in_flight_is_removed_by_its_owner_alone() {
    let memory = MemoryStore::new(10);
    let first = request(1, 100);
    let other = ReserveRequest { owner: Owner(99), ..first.clone() };
    memory.reserve(&first, at(1)).unwrap();
    assert_eq!((memory.settle(&other, &Settlement::Forget, at(1)), memory.entries()), (Settled::Lost, 1));
    assert_eq!((memory.settle(&first, &Settlement::Forget, at(1)), memory.entries()), (Settled::Done, 0));
    memory.reserve(&first, at(1)).unwrap();
    memory.settle(&first, &commit("yes"), at(1));
    assert_eq!(memory.settle(&first, &Settlement::Forget, at(1)), Settled::Lost);
    assert_eq!(memory.reserve(&other, at(1)), Ok(committed(Some("yes"))));
}

#[test]
fn an_entry_lives_through_its_last_second() {
    let memory = MemoryStore::new(10);
    memory.reserve(&request(1, 100), at(1)).unwrap();
    memory.settle(&request(1, 100), &Settlement::Commit(None), at(1));
    memory.sweep(at(100));
    assert_eq!(memory.reserve(&request(1, 100), at(100)), Ok(committed(None)));
    memory.sweep(at(101));
    assert_eq!(memory.entries(), 0);
}

#[test]
fn a_lease_outlives_its_credential() {
    let memory = MemoryStore::new(10);
    memory.reserve(&request(1, 5), at(1)).unwrap();
    memory.sweep(at(11));
    assert_eq!(memory.entries(), 1);
    memory.sweep(at(12));
    assert_eq!(memory.entries(), 0);
}

#[test]
fn until_never_shrinks() {
    let memory = MemoryStore::new(10);
    memory.reserve(&request(1, 100), at(1)).unwrap();
    memory.settle(&request(1, 100), &Settlement::Release, at(1));
    memory.reserve(&request(1, 50), at(1)).unwrap();
    memory.settle(&request(1, 50), &Settlement::Commit(None), at(1));
    memory.sweep(at(60));
    assert_eq!(memory.reserve(&request(1, 100), at(60)), Ok(committed(None)));
}

#[test]
fn an_end_beyond_u32_never_comes() {
    let memory = MemoryStore::new(10);
    let far = u64::from(u32::MAX) + 10;
    memory.reserve(&request(1, far), at(1)).unwrap();
    memory.settle(&request(1, far), &Settlement::Commit(None), at(1));
    memory.sweep(at(far - 1));
    assert_eq!(memory.entries(), 1);
}

#[test]
fn a_full_store_rejects_until_an_entry_expires() {
    let memory = MemoryStore::new(3);
    for number in 0..3 {
        memory.reserve(&request(number, 100), at(1)).unwrap();
    }
    assert_eq!(memory.reserve(&request(3, 300), at(1)), Err(StoreError::Full));
    // Known ids still get a result, and are not evicted.
    assert_eq!(
        memory.reserve(&ReserveRequest { owner: Owner(9), ..request(0, 100) }, at(1)),
        Ok(ReserveResult::InFlight)
    );
    memory.sweep(at(101));
    assert_eq!(memory.reserve(&request(3, 300), at(101)), Ok(ReserveResult::Reserved));
}

#[test]
fn a_full_shard_makes_room_by_itself() {
    let memory = MemoryStore::new(1);
    let same_shard = |last: u8| {
        let mut bytes = [3; 16];
        bytes[15] = last;
        EntryId(bytes)
    };
    memory.reserve(&ReserveRequest { id: same_shard(1), ..request(0, 20) }, at(1)).unwrap();
    assert_eq!(memory.reserve(&ReserveRequest { id: same_shard(2), ..request(1, 100) }, at(20)), Err(StoreError::Full));
    assert_eq!(
        memory.reserve(&ReserveRequest { id: same_shard(2), ..request(1, 100) }, at(21)),
        Ok(ReserveResult::Reserved)
    );
    assert_eq!(memory.entries(), 1);
}

#[test]
fn a_route_has_its_share_alone() {
    let memory = MemoryStore::new(100);
    let of = |number, route: &str| ReserveRequest { share: 2, route: Arc::from(route), ..request(number, 100) };
    memory.reserve(&of(1, "a"), at(1)).unwrap();
    memory.reserve(&of(2, "a"), at(1)).unwrap();
    assert_eq!(memory.reserve(&of(3, "a"), at(1)), Err(StoreError::Full));
    assert_eq!(memory.reserve(&of(4, "b"), at(1)), Ok(ReserveResult::Reserved));
    assert_eq!(memory.entries(), 3);
    memory.sweep(at(101));
    assert_eq!(memory.reserve(&of(3, "a"), at(101)), Ok(ReserveResult::Reserved));
}

#[test]
fn responses_beyond_their_bound_are_not_stored() {
    let memory = MemoryStore::new(100);
    let half = Settlement::Commit(Some(Bytes::from(vec![0; REPLY_BYTES / 2])));
    for number in 0..3 {
        memory.reserve(&request(number, 100), at(1)).unwrap();
        memory.settle(&request(number, 100), &half, at(1));
    }
    let kept = |number| match memory.reserve(&request(number, 100), at(1)) {
        Ok(ReserveResult::Committed { reply, .. }) => reply.is_some(),
        other => panic!("{other:?}"),
    };
    assert_eq!([kept(0), kept(1), kept(2)], [true, true, false]);
    memory.sweep(at(101));
    assert_eq!(memory.reply_bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn eight_threads_reserve_each_id_once() {
    let memory = MemoryStore::new(100_000);
    let reserved = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (memory, reserved) = (&memory, &reserved);
            scope.spawn(move || {
                for number in 0..10_000 {
                    let request = ReserveRequest { owner: Owner(thread), ..request(number, 100) };
                    if memory.reserve(&request, at(1)) == Ok(ReserveResult::Reserved) {
                        reserved.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!((reserved.into_inner(), memory.entries()), (10_000, 10_000));
}

#[test]
fn expiry_gives_memory_back() {
    let memory = MemoryStore::new(1_000_000);
    for number in 0..200_000 {
        memory.reserve(&request(number, 100), at(1)).unwrap();
    }
    let places = |of: fn(&Shard) -> usize| memory.shards.iter().map(|shard| of(&lock(shard))).sum::<usize>();
    let maps: [fn(&Shard) -> usize; 2] = [|shard| shard.slots.capacity(), |shard| shard.flights.capacity()];
    assert!(maps.iter().all(|map| places(*map) >= 200_000));
    memory.sweep(at(101));
    assert!(maps.iter().all(|map| places(*map) <= SHARDS * SMALLEST * 2));
    assert_eq!(memory.entries(), 0);
}

#[test]
fn a_slot_stays_compact() {
    assert_eq!(size_of::<(EntryId, EntrySlot)>(), 32);
}

#[test]
fn a_sweep_reports_only_where_it_was_asked_to() {
    for (memory, reported) in [(MemoryStore::new(10), 0), (MemoryStore::reporting_removed(10), 1)] {
        memory.reserve(&request(1, 100), at(1)).unwrap();
        assert_eq!(memory.sweep(at(101)).len(), reported);
    }
}
