//! The client of a store: reservations of several entries, and their settlements while the store does not respond.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::kind::StoreFuture;
use super::state::EntryId;
use super::*;
use crate::clock::UnixTime;

/// A store with these results, each once and in order; then it reserves and settles every entry.
struct ScriptedStore {
    reserves: Mutex<VecDeque<Result<ReserveResult, StoreError>>>,
    settles: Mutex<VecDeque<Result<Settled, StoreError>>>,
    settled: UnboundedSender<(EntryKind, Settlement)>,
}

impl Store for ScriptedStore {
    fn reserve<'a>(&'a self, _: &'a ReserveRequest, _: UnixTime) -> StoreFuture<'a, ReserveResult> {
        StoreFuture::Ready(ready(self.reserves.lock().unwrap().pop_front().unwrap_or(Ok(ReserveResult::Reserved))))
    }

    fn settle<'a>(&'a self, entry: &'a ReserveRequest, as_: &'a Settlement, _: UnixTime) -> StoreFuture<'a, Settled> {
        let _ = self.settled.send((entry.kind, as_.clone()));
        StoreFuture::Ready(ready(self.settles.lock().unwrap().pop_front().unwrap_or(Ok(Settled::Done))))
    }
}

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_seconds(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

struct Setup {
    client: Arc<StoreClient>,
    clock: Arc<TestClock>,
    metrics: Arc<Metrics>,
    settled: UnboundedReceiver<(EntryKind, Settlement)>,
}

fn client(clock: Arc<TestClock>, on_error: OnError) -> StoreClient {
    let settings = StoreSettings { backend: StoreBackend::Memory, capacity: 10, on_error };
    StoreClient::new(&settings, clock, Arc::new(Metrics::new().unwrap()), Handle::current()).unwrap()
}

fn setup(
    on_error: OnError,
    reserves: impl IntoIterator<Item = Result<ReserveResult, StoreError>>,
    settles: impl IntoIterator<Item = Result<Settled, StoreError>>,
) -> Setup {
    let clock = Arc::new(TestClock(AtomicU64::new(50)));
    let (sender, settled) = unbounded_channel();
    let mut client = client(Arc::clone(&clock), on_error);
    let (reserves, settles) = (reserves.into_iter().collect(), settles.into_iter().collect());
    client.store =
        Box::new(ScriptedStore { reserves: Mutex::new(reserves), settles: Mutex::new(settles), settled: sender });
    let metrics = Arc::clone(&client.metrics);
    Setup { client: Arc::new(client), clock, metrics, settled }
}

impl Setup {
    /// Waits for all settlements of a client that is no longer used.
    async fn all_settled(mut self) -> Vec<(EntryKind, Settlement)> {
        drop(self.client);
        let mut all = Vec::new();
        while let Some(one) = self.settled.recv().await {
            all.push(one);
        }
        all
    }

    fn count(&self, result: StoreOperationResult) -> u64 {
        [EntryKind::Replay, EntryKind::Idempotency]
            .map(|kind| self.metrics.store_operations(kind, result).get())
            .iter()
            .sum()
    }

    async fn wait_until_counted(&self, result: StoreOperationResult) {
        while self.count(result) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn entry(kind: EntryKind) -> ReserveRequest {
    ReserveRequest { kind, ..ReserveRequest::sample(EntryId([1; 16])) }
}

/// An idempotency key and two replay ids, in the order of their reservation.
fn entries() -> Vec<ReserveRequest> {
    vec![entry(EntryKind::Idempotency), entry(EntryKind::Replay), entry(EntryKind::Replay)]
}

async fn reserved(setup: &Setup, entries: Vec<ReserveRequest>) -> Reservation {
    match setup.client.reserve(entries).await {
        ReserveOutcome::Reserved(reservation) => reservation,
        ReserveOutcome::Duplicate(..) | ReserveOutcome::Unavailable(_) => panic!("it is not reserved"),
    }
}

const RELEASED: (EntryKind, Settlement) = (EntryKind::Replay, Settlement::Release);
const FORGOTTEN: (EntryKind, Settlement) = (EntryKind::Idempotency, Settlement::Forget);

/// An entry that is left behind would block the genuine request until its lease ends.
#[tokio::test]
async fn of_a_duplicate_no_entry_is_kept() {
    let results = [Ok(ReserveResult::Reserved), Ok(ReserveResult::Reserved), Ok(ReserveResult::InFlight)];
    let setup = setup(OnError::Reject, results, []);
    let outcome = setup.client.reserve(entries()).await;
    assert!(matches!(outcome, ReserveOutcome::Duplicate(EntryKind::Replay, ReserveResult::InFlight)));
    assert_eq!((setup.count(StoreOperationResult::Reserved), setup.count(StoreOperationResult::InFlight)), (2, 1));
    assert_eq!(setup.count(StoreOperationResult::Released), 2, "before the response is sent");
    drop(outcome);
    assert_eq!(setup.all_settled().await, [RELEASED, FORGOTTEN]);
}

/// The entry whose reservation failed is released as well: the store may have it although its response was lost.
#[tokio::test]
async fn of_an_unavailable_store_no_entry_is_kept() {
    for error in [StoreError::Unavailable, StoreError::Full] {
        let setup = setup(OnError::Reject, [Ok(ReserveResult::Reserved), Err(error)], []);
        let outcome = setup.client.reserve(entries()).await;
        assert!(matches!(outcome, ReserveOutcome::Unavailable(found) if found == error));
        let mut settled = setup.all_settled().await;
        settled.sort_by_key(|(kind, _)| kind.label());
        assert_eq!(settled, [FORGOTTEN, RELEASED]);
    }
}

#[tokio::test]
async fn a_request_that_is_allowed_without_the_store_has_the_other_entries() {
    let setup = setup(OnError::Allow, [Err(StoreError::Unavailable)], []);
    let flight = reserved(&setup, entries()).await.keep();
    assert_eq!((setup.count(StoreOperationResult::Unavailable), setup.count(StoreOperationResult::Allowed)), (1, 1));
    assert!(!flight.keeps_reply());
    let settlements = Settlements { replay: Settlement::Commit(None), idempotency: Settlement::Release };
    flight.settle(settlements).await;
    let commit = (EntryKind::Replay, Settlement::Commit(None));
    // The entry of the failed reservation is released last, after the pause of a retry.
    assert_eq!(setup.all_settled().await, [commit.clone(), commit, (EntryKind::Idempotency, Settlement::Release)]);
}

#[tokio::test]
async fn a_reservation_that_is_dropped_is_released_and_one_in_flight_is_not() {
    let setup = setup(OnError::Reject, [], []);
    drop(reserved(&setup, entries()).await);
    let flight = reserved(&setup, vec![entry(EntryKind::Replay)]).await.keep();
    assert!(!flight.keeps_reply());
    drop(flight);
    let mut settled = setup.all_settled().await;
    settled.sort_by_key(|(kind, _)| kind.label());
    assert_eq!(settled, [FORGOTTEN, RELEASED, RELEASED]);
}

#[tokio::test]
async fn each_kind_of_entry_has_its_own_settlement() {
    let setup = setup(OnError::Reject, [], [Ok(Settled::Done), Ok(Settled::Done), Ok(Settled::Lost)]);
    let flight = reserved(&setup, entries()).await.keep();
    assert!(flight.keeps_reply());
    flight.settle(Settlements { replay: Settlement::Commit(None), idempotency: Settlement::Release }).await;
    let counts = [StoreOperationResult::Released, StoreOperationResult::Committed, StoreOperationResult::Lost];
    assert_eq!(counts.map(|result| setup.count(result)), [1, 1, 1]);
    let commit = (EntryKind::Replay, Settlement::Commit(None));
    assert_eq!(setup.all_settled().await, [(EntryKind::Idempotency, Settlement::Release), commit.clone(), commit]);
}

/// A commit that is lost would let the event be delivered again.
#[tokio::test]
async fn a_settlement_is_repeated_until_the_store_has_it() {
    let failed = || Err(StoreError::Unavailable);
    let mut setup = setup(OnError::Reject, [], [failed(), failed(), failed()]);
    let flight = reserved(&setup, vec![entry(EntryKind::Replay)]).await.keep();
    flight.settle(Settlements { replay: Settlement::Commit(None), idempotency: Settlement::Release }).await;
    assert_eq!(setup.count(StoreOperationResult::CommitFailed), 1);
    for _ in 0..4 {
        assert_eq!(setup.settled.recv().await, Some((EntryKind::Replay, Settlement::Commit(None))));
    }
    setup.wait_until_counted(StoreOperationResult::Committed).await;
    while setup.client.retries.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(setup.all_settled().await, []);
}

/// The entry is needed until its credential and its lease have expired, and not after.
#[tokio::test]
async fn a_settlement_is_given_up_after_its_entry_has_expired() {
    for (until, now) in [(100, 101), (40, 61)] {
        let mut setup = setup(OnError::Reject, [], vec![Err(StoreError::Unavailable); 100]);
        let until = UnixTime::from_seconds(until).unwrap();
        let request = ReserveRequest { until, ..entry(EntryKind::Replay) };
        drop(reserved(&setup, vec![request]).await);
        // The lease begins with the first attempt.
        assert_eq!(setup.settled.recv().await, Some(RELEASED));
        setup.clock.0.store(now - 1, Ordering::SeqCst);
        for _ in 0..2 {
            assert_eq!(setup.settled.recv().await, Some(RELEASED));
        }
        assert_eq!(setup.count(StoreOperationResult::GivenUp), 0, "at the last second");
        setup.clock.0.store(now, Ordering::SeqCst);
        setup.wait_until_counted(StoreOperationResult::GivenUp).await;
        while setup.client.retries.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A store that is down for long must not use up the memory.
#[tokio::test]
async fn the_number_of_waiting_settlements_is_bounded() {
    let setup = setup(OnError::Reject, [], []);
    setup.client.retries.store(MAX_RETRIES - 1, Ordering::Relaxed);
    drop(reserved(&setup, entries()).await);
    assert_eq!(setup.count(StoreOperationResult::GivenUp), 2);
    assert_eq!(setup.client.retries.load(Ordering::Relaxed), MAX_RETRIES);
    assert_eq!(setup.all_settled().await.len(), 1);
}

/// Otherwise ids and owners could be guessed, and two owners could be equal.
#[tokio::test]
async fn hashes_and_owners_are_random() {
    let id = || client(Arc::new(TestClock(AtomicU64::new(50))), OnError::Reject).hasher.id(&[b"id"]);
    assert_ne!(id(), id());
    assert_ne!(EntryHasher::new(&[0; 32]).id(&[b"id"]), id());
    assert_ne!(new_owner().unwrap(), new_owner().unwrap());
}

#[tokio::test]
async fn a_store_in_memory_is_available_and_counts_its_entries() {
    let client = Arc::new(client(Arc::new(TestClock(AtomicU64::new(50))), OnError::Reject));
    assert_eq!((client.is_available(), client.usage()), (true, Some((0, 10))));
    let reservation = client.reserve(vec![entry(EntryKind::Replay)]).await;
    assert_eq!(client.usage(), Some((1, 10)));
    drop(reservation);
    assert!(client.take(&[b"route"], Duration::from_secs(1), 1).await.is_err(), "this store is not shared");
}
