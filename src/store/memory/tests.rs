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
    ReserveResult::Committed { reply: reply.map(|text| Bytes::from_static(text.as_bytes())) }
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
    let of = |number, route: &str| ReserveRequest {
        share: 2,
        route: Arc::from(route),
        sender: SenderId([route.as_bytes()[0]; 16]),
        ..request(number, 100)
    };
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
    let quarter = Settlement::Commit(Some(Bytes::from(vec![0; REPLY_BYTES / 4])));
    // The first sender takes half of the bytes, and the second half of what is left.
    let of = |number| ReserveRequest { sender: SenderId([u8::from(number > 2); 16]), ..request(number, 100) };
    for number in 0..5 {
        memory.reserve(&of(number), at(1)).unwrap();
        memory.settle(&of(number), &quarter, at(1));
    }
    let kept = |number| match memory.reserve(&request(number, 100), at(1)) {
        Ok(ReserveResult::Committed { reply, .. }) => reply.is_some(),
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 3, 4].map(kept), [true, true, false, true, false]);
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

/// The number of new ids that a sender can reserve now.
fn taken(memory: &MemoryStore, sender: u8, share: usize) -> usize {
    let begin = u64::from(sender) * 1_000_000 + u64::try_from(memory.entries()).unwrap() * 10_000;
    let reserves = |number: &u64| {
        let request =
            ReserveRequest { share, whole: false, sender: SenderId([sender; 16]), ..request(begin + *number, 100) };
        memory.reserve(&request, at(1)) == Ok(ReserveResult::Reserved)
    };
    (0..2000).filter(reserves).count()
}

#[test]
fn greedy_senders_leave_room_for_new_ones() {
    let memory = MemoryStore::new(10_000);
    assert_eq!((taken(&memory, 1, 1000), taken(&memory, 2, 1000)), (500, 250));
    // All of them together leave as much as each newcomer may take.
    assert_eq!((taken(&memory, 1, 1000), taken(&memory, 3, 1000)), (0, 125));
    assert_eq!(memory.entries(), 875);
    memory.sweep(at(101));
    assert_eq!((memory.entries(), taken(&memory, 3, 1000)), (0, 500));
}

#[test]
fn the_only_sender_of_a_route_has_its_whole_share() {
    let memory = MemoryStore::new(10_000);
    let reserves = |number: &u64| {
        let request = ReserveRequest { share: 10, ..request(*number, 100) };
        memory.reserve(&request, at(1)) == Ok(ReserveResult::Reserved)
    };
    assert_eq!((0..20).filter(reserves).count(), 10);
}

#[test]
fn senders_that_are_gone_take_no_memory() {
    let memory = MemoryStore::new(100_000);
    let rows = || memory.shares.read().unwrap().rows();
    for sender in 0..1000_u64 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&sender.to_be_bytes());
        memory.reserve(&ReserveRequest { sender: SenderId(id), ..request(sender, 50 + sender % 2) }, at(1)).unwrap();
    }
    assert_eq!(rows(), (1000, 1));
    memory.sweep(at(51));
    assert_eq!(rows(), (500, 1));
    memory.sweep(at(61));
    assert_eq!(rows(), (0, 0));
}
