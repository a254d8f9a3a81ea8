//! Replay protection and idempotency. The id of a request is reserved before the request is forwarded, and committed or
//! released afterwards, so that no request is processed twice and a legitimate retry passes. docs/concepts/replay-and-idempotency.md describes
//! the guarantees of each store.
//!
//! The gateway calls this module only for verified requests, so that unauthenticated clients cannot fill the store. The
//! state transitions are in [`state`]; responses are made elsewhere.

pub mod embedded;
pub mod entry_hasher;
pub mod kind;
pub mod memory;
pub mod redis;
pub mod state;
pub mod store_clock;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::auth::revocation::Revocable;
use crate::clock::Clock;
pub use crate::metrics::EntryKind;
use crate::metrics::{Metrics, StoreOperationResult};
use crate::settings::{OnError, StoreBackend, StoreSettings};
use embedded::{EmbeddedError, EmbeddedStore};
use entry_hasher::EntryHasher;
use kind::{ReserveRequest, Store, StoreError};
use memory::MemoryStore;
use redis::{RedisStartError, RedisStore};
use state::{Owner, ReserveResult, Settled, Settlement};
use store_clock::StoreClock;

/// Maximum number of settlements that wait for a retry because the store was not available.
const MAX_RETRIES: usize = 100_000;

/// First and longest pause between two attempts of a settlement; the pause doubles each time.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Interval between two sweeps for expired entries.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreStartError {
    /// The file of the embedded store cannot be used.
    #[error("store: {0}")]
    Embedded(#[from] EmbeddedError),
    /// The settings of the Redis store cannot be used.
    #[error("store: {0}")]
    Redis(#[from] RedisStartError),
    /// The system's random number generator failed.
    #[error("store: the operating system provides no random numbers")]
    NoEntropy,
}

impl EntryKind {
    /// The settlement of a request that is not forwarded. The entry of a replay id keeps the fingerprint of its first
    /// request. That of an idempotency key is deleted, since an attacker may add any key to a request that he has seen.
    const fn unforwarded(self) -> Settlement {
        match self {
            Self::Replay => Settlement::Release,
            Self::Idempotency => Settlement::Forget,
        }
    }
}

/// Result of reserving the entries of a request.
pub enum ReserveOutcome {
    /// All entries are reserved for this request, or the store was full or not available and `on_error` is `allow`.
    Reserved(Reservation),
    /// An entry is in use or was used before; none is kept.
    Duplicate(EntryKind, ReserveResult),
    /// The store was full or not available, and `on_error` is `reject`; none is kept.
    Unavailable(StoreError),
}

/// The store with its metrics and retries, shared by all workers.
pub struct StoreClient {
    store: Box<dyn Store>,
    /// The keyed hash for ids and fingerprints.
    pub hasher: EntryHasher,
    /// Whether requests are rejected or forwarded while the store is full or not available.
    pub on_error: OnError,
    clock: Arc<StoreClock>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    /// Number of settlements that wait for a retry.
    retries: AtomicUsize,
}

impl StoreClient {
    /// Opens the store; its background tasks run on `runtime`.
    ///
    /// # Errors
    /// [`StoreStartError`]. A Redis server that is down is not an error: `on_error` applies until it is up.
    pub fn new(
        settings: &StoreSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Result<Self, StoreStartError> {
        let clock = Arc::new(StoreClock::new(clock));
        let (capacity, now) = (settings.capacity, clock.now());
        let (store, hasher): (Box<dyn Store>, EntryHasher) = match &settings.backend {
            StoreBackend::Memory => {
                let mut key = Zeroizing::new([0; 32]);
                aws_lc_rs::rand::fill(&mut *key).map_err(|_| StoreStartError::NoEntropy)?;
                (Box::new(MemoryStore::new(capacity)), EntryHasher::new(&*key))
            }
            StoreBackend::Embedded { path, durability } => {
                let embedded = EmbeddedStore::open(path, *durability, capacity, now)?;
                let hasher = EntryHasher::new(embedded.key());
                (Box::new(embedded), hasher)
            }
            StoreBackend::Redis(redis) => {
                let secret = redis.hash_key.as_deref().map(Vec::as_slice);
                let hasher = EntryHasher::of_replicas(&redis.prefix, secret);
                let store = RedisStore::new(redis, Arc::clone(&clock), Arc::clone(&metrics), runtime.clone())?;
                (Box::new(store), hasher)
            }
        };
        Ok(Self { store, hasher, on_error: settings.on_error, clock, metrics, runtime, retries: AtomicUsize::new(0) })
    }

    /// Whether the store was available when it was last used or probed.
    pub fn is_available(&self) -> bool {
        self.store.is_available()
    }

    /// Takes one request from a rate limit that all replicas share. `None`: within the limit, or else the time to wait.
    ///
    /// # Errors
    /// [`StoreError`]; also if the store is not shared, which the configuration rejects.
    pub async fn take(&self, name: &[&[u8]], interval: Duration, burst: u32) -> Result<Option<Duration>, StoreError> {
        self.store.take(&self.hasher.id(name).to_string(), interval, burst).await
    }

    /// Whether the shared revocation sets revoke this credential.
    ///
    /// # Errors
    /// [`StoreError`], also if `on_error` is `allow`: a revoked credential must not pass while the sets cannot be read.
    pub async fn revokes(&self, credential: Revocable<'_>) -> Result<bool, StoreError> {
        let revoked = self.store.revoked([credential.token_id, credential.subject, credential.key_id]).await?;
        Ok(revoked.named || revoked.issued_before.is_some_and(|bound| credential.is_older_than(bound)))
    }

    /// Number of entries in this process, and its capacity; `None` for a shared store.
    pub fn usage(&self) -> Option<(usize, usize)> {
        self.store.usage()
    }

    /// Reserves all these entries in order, or none of them.
    pub async fn reserve(self: &Arc<Self>, entries: Vec<ReserveRequest>) -> ReserveOutcome {
        let now = self.clock.now();
        let mut reservation = Reservation { store: Arc::clone(self), entries: Vec::new() };
        for entry in entries {
            // Recorded before the call: if the client disconnects meanwhile, dropping the reservation releases the
            // entry.
            reservation.entries.push(entry.clone());
            let forgotten = self.clock.may_have_forgotten(entry.until);
            let result = if forgotten { Err(StoreError::Unavailable) } else { self.store.reserve(&entry, now).await };
            self.metrics.store_operations(entry.kind, result_of(&result)).inc();
            if result == Ok(ReserveResult::Reserved) {
                continue;
            }
            reservation.entries.pop();
            match (result, self.on_error) {
                (Ok(result), _) => {
                    reservation.release().await;
                    return ReserveOutcome::Duplicate(entry.kind, result);
                }
                // The store may have made the reservation although its response was lost.
                (Err(_), OnError::Allow) => {
                    self.metrics.store_operations(entry.kind, StoreOperationResult::Allowed).inc();
                    self.retry_settlement(Settlement::Release, entry);
                }
                (Err(error), OnError::Reject) => {
                    self.retry_settlement(entry.kind.unforwarded(), entry);
                    // Not awaited, since the store has just failed to respond.
                    self.runtime.spawn(reservation.release());
                    return ReserveOutcome::Unavailable(error);
                }
            }
        }
        ReserveOutcome::Reserved(reservation)
    }

    async fn settle(self: &Arc<Self>, settlement: Settlement, entry: ReserveRequest) {
        let settled = self.store.settle(&entry, &settlement, self.clock.now()).await;
        self.count(&entry, &settlement, settled);
        if settled.is_err() {
            self.retry_settlement(settlement, entry);
        }
    }

    fn count(&self, entry: &ReserveRequest, settlement: &Settlement, settled: Result<Settled, StoreError>) {
        let result = match (settled, settlement) {
            (Ok(Settled::Done), Settlement::Commit(_)) => StoreOperationResult::Committed,
            (Ok(Settled::Done), Settlement::Release | Settlement::Forget) => StoreOperationResult::Released,
            (Ok(Settled::Lost), _) => StoreOperationResult::Lost,
            (Err(_), Settlement::Commit(_)) => StoreOperationResult::CommitFailed,
            (Err(_), Settlement::Release | Settlement::Forget) => StoreOperationResult::ReleaseFailed,
        };
        self.metrics.store_operations(entry.kind, result).inc();
    }

    /// Retries a settlement in the background until it succeeds, or the entry and its lease have expired.
    fn retry_settlement(self: &Arc<Self>, settlement: Settlement, entry: ReserveRequest) {
        if self.retries.fetch_add(1, Ordering::Relaxed) >= MAX_RETRIES {
            self.retries.fetch_sub(1, Ordering::Relaxed);
            self.metrics.store_operations(entry.kind, StoreOperationResult::GivenUp).inc();
            return;
        }
        let client = Arc::clone(self);
        self.runtime.spawn(async move {
            let (mut pause, longest) = RETRY_PAUSE;
            let end = entry.until.max(client.clock.now().plus(entry.lease));
            loop {
                tokio::time::sleep(pause).await;
                let now = client.clock.now();
                match client.store.settle(&entry, &settlement, now).await {
                    Ok(settled) => break client.count(&entry, &settlement, Ok(settled)),
                    Err(_) if now > end => {
                        break client.metrics.store_operations(entry.kind, StoreOperationResult::GivenUp).inc();
                    }
                    Err(_) => pause = (pause * 2).min(longest),
                }
            }
            client.retries.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Removes expired entries every few seconds; never returns.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let client = Arc::clone(&self);
            // Millions of entries take a while, and the calling thread also answers health probes.
            let swept = tokio::task::spawn_blocking(move || client.store.sweep(client.clock.now()));
            let _panicked = swept.await;
        }
    }
}

fn result_of(result: &Result<ReserveResult, StoreError>) -> StoreOperationResult {
    match result {
        Ok(ReserveResult::Reserved) => StoreOperationResult::Reserved,
        Ok(ReserveResult::InFlight) => StoreOperationResult::InFlight,
        Ok(ReserveResult::Mismatch) => StoreOperationResult::Mismatch,
        Ok(ReserveResult::Committed { .. }) => StoreOperationResult::Duplicate,
        Err(StoreError::Full) => StoreOperationResult::Full,
        Err(StoreError::Unavailable) => StoreOperationResult::Unavailable,
    }
}

/// A new random owner.
///
/// # Errors
/// [`StoreError::Unavailable`] without random numbers, since two owners could be equal.
pub fn new_owner() -> Result<Owner, StoreError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError::Unavailable)?;
    Ok(Owner(u64::from_be_bytes(bytes)))
}

/// The settlements of a forwarded request, by kind of entry.
#[derive(Clone, Debug)]
pub struct Settlements {
    /// Settlement of the replay ids.
    pub replay: Settlement,
    /// Settlement of the idempotency key.
    pub idempotency: Settlement,
}

impl Settlements {
    /// The upstream has not processed the request: all entries are released.
    pub const RELEASED: Self = Self { replay: Settlement::Release, idempotency: Settlement::Release };
}

/// The reserved entries of a request that is not forwarded yet. Dropping it, as when the client disconnects, releases
/// them.
#[must_use = "a reservation that is dropped is released"]
pub struct Reservation {
    store: Arc<StoreClient>,
    entries: Vec<ReserveRequest>,
}

impl Drop for Reservation {
    /// Releases the entries in the background. [`Reservation::keep`] takes them out before a request is forwarded.
    fn drop(&mut self) {
        for entry in self.entries.drain(..) {
            self.store.retry_settlement(entry.kind.unforwarded(), entry);
        }
    }
}

/// The reserved entries of a request that is in flight to the upstream. Dropping it settles nothing: the lease expires.
#[must_use = "an entry that is not settled blocks its id until the lease expires"]
pub struct InFlightReservation {
    store: Arc<StoreClient>,
    entries: Vec<ReserveRequest>,
}

impl Reservation {
    /// Marks the request as forwarded: from now on only a settlement or the end of the lease frees the entries.
    pub fn keep(mut self) -> InFlightReservation {
        InFlightReservation { store: Arc::clone(&self.store), entries: std::mem::take(&mut self.entries) }
    }

    /// Releases the entries of a request that is not forwarded.
    pub async fn release(mut self) {
        while let Some(entry) = self.entries.last().cloned() {
            self.store.settle(entry.kind.unforwarded(), entry).await;
            self.entries.pop();
        }
    }
}

impl InFlightReservation {
    /// Settles all entries. The idempotency key comes first, in the order of reservation: a retry that finds the key
    /// committed gets the stored response.
    pub async fn settle(self, settlements: Settlements) {
        for entry in self.entries {
            let settlement = match entry.kind {
                EntryKind::Replay => settlements.replay.clone(),
                EntryKind::Idempotency => settlements.idempotency.clone(),
            };
            self.store.settle(settlement, entry).await;
        }
    }

    /// Whether the response is to be stored.
    pub fn keeps_reply(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == EntryKind::Idempotency)
    }
}

#[cfg(test)]
mod tests;
