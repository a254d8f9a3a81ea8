//! Has this been here before? Ids are reserved, their requests forwarded, and then committed or released, so that
//! nothing passes twice and a sender's honest retry passes. docs/replay.md says what each store promises.
//!
//! Asked by the gateway once a request is verified: strangers cannot fill the store. No rule is decided here but in
//! [`state`]; no reply is made here.

pub mod embedded;
pub mod memory;
pub mod naming;
pub mod redis;
pub mod state;
pub mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::auth::revocation::Revocable;
use crate::clock::{Clock, UnixTime};
use crate::config::state::{OnError, StateSettings, StoreSettings};
use crate::metrics::Metrics;
use embedded::{Embedded, EmbeddedError};
use memory::Memory;
use naming::Namer;
use redis::{Redis, RedisStartError};
use state::{Answer, Owner, Settled, Settlement};
use store::{Ask, StoreError};

/// Settlements that the store did not take and that are tried again.
const MAX_LATE: usize = 100_000;

/// Between two tries of one.
const LATE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Between two looks for entries that have ended.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The embedded store's file.
    #[error("state: {0}")]
    Embedded(#[from] EmbeddedError),
    /// What is said of the Redis.
    #[error("state: {0}")]
    Redis(#[from] RedisStartError),
    /// No random numbers.
    #[error("state: the system gives no random numbers")]
    NoEntropy,
}

/// What an entry is for; a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `replay`
    Replay,
    /// `idempotency`
    Idempotency,
}

impl Kind {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Idempotency => "idempotency",
        }
    }

    /// How it ends without a forward. A replay id keeps the fingerprint that it came with first; a key, which anybody may
    /// write beside a request that he has seen, leaves nothing behind.
    const fn unforwarded(self) -> Settlement {
        match self {
            Self::Replay => Settlement::Release,
            Self::Idempotency => Settlement::Forget,
        }
    }
}

/// An entry that a request needs.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What for.
    pub kind: Kind,
    /// Which.
    pub ask: Ask,
}

/// What became of a request's entries.
pub enum Admitted {
    /// All are its own, or the store could not say and `on_error` lets it pass.
    Reserved(Reservation),
    /// One is not; none is kept.
    Duplicate(Kind, Answer),
    /// The store could not say; none is kept.
    Undecided(StoreError),
}

enum Store {
    Memory(Memory),
    Embedded(Embedded),
    Redis(Redis),
}

impl Store {
    async fn reserve(&self, ask: &Ask, now: UnixTime) -> Result<Answer, StoreError> {
        match self {
            Self::Memory(memory) => memory.reserve(ask, now),
            Self::Embedded(embedded) => embedded.reserve(ask, now).await,
            Self::Redis(redis) => redis.reserve(ask, now).await,
        }
    }

    async fn settle(&self, ask: &Ask, settlement: &Settlement, now: UnixTime) -> Result<Settled, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.settle(ask, settlement, now)),
            Self::Embedded(embedded) => embedded.settle(ask, settlement, now).await,
            Self::Redis(redis) => redis.settle(ask, settlement, now).await,
        }
    }
}

/// The store, and what is counted of it. One for all workers.
pub struct Admission {
    store: Store,
    namer: Namer,
    capacity: usize,
    on_error: OnError,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    runtime: Handle,
    late: AtomicUsize,
}

impl Admission {
    /// Opens the store; what it does in the background runs on `runtime`.
    ///
    /// # Errors
    /// [`StateError`]. A Redis that is down is none: its routes answer 503 until it is up.
    pub fn new(
        settings: &StateSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Result<Self, StateError> {
        let (store, namer) = match &settings.store {
            StoreSettings::Memory => (Store::Memory(Memory::new(settings.capacity)), Namer::new(&*random_key()?)),
            StoreSettings::Embedded { path, durability } => {
                let embedded = Embedded::open(path, *durability, settings.capacity, clock.now())?;
                let namer = Namer::new(embedded.key());
                (Store::Embedded(embedded), namer)
            }
            StoreSettings::Redis(redis) => {
                (Store::Redis(Redis::new(redis, runtime.clone())?), Namer::of_prefix(&redis.prefix))
            }
        };
        let (capacity, on_error) = (settings.capacity, settings.on_error);
        Ok(Self { store, namer, capacity, on_error, clock, metrics, runtime, late: AtomicUsize::new(0) })
    }

    /// Names ids and requests.
    pub fn namer(&self) -> &Namer {
        &self.namer
    }

    /// Whether the store answers, as far as is known.
    pub fn is_available(&self) -> bool {
        match &self.store {
            Store::Memory(_) | Store::Embedded(_) => true,
            Store::Redis(redis) => redis.is_available(),
        }
    }

    /// Takes one from a budget that all replicas share; how long to wait where it is used up.
    ///
    /// # Errors
    /// [`StoreError`]; also where the store is no shared one, which the configuration refuses.
    pub async fn take(&self, name: &[&[u8]], interval: Duration, burst: u32) -> Result<Option<Duration>, StoreError> {
        match &self.store {
            Store::Memory(_) | Store::Embedded(_) => Err(StoreError::Unavailable),
            Store::Redis(redis) => redis.take(&self.namer.id(name).to_string(), interval, burst).await,
        }
    }

    /// Whether the shared state revokes this.
    ///
    /// # Errors
    /// [`StoreError`], whatever `on_error` says: what is revoked must not pass because nobody could look.
    pub async fn revokes(&self, one: Revocable<'_>) -> Result<bool, StoreError> {
        let Store::Redis(redis) = &self.store else { return Err(StoreError::Unavailable) };
        let revoked = redis.revoked(one.token_id, one.subject, one.key_id).await?;
        Ok(revoked.named || revoked.issued_before.is_some_and(|bound| one.is_older_than(bound)))
    }

    /// What happens to a request that the store cannot decide on.
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The entries that this process stores and how many it can store; `None` where a Redis stores them.
    pub fn usage(&self) -> Option<(usize, usize)> {
        match &self.store {
            Store::Memory(memory) => Some((memory.entries(), self.capacity)),
            Store::Embedded(embedded) => Some((embedded.entries(), self.capacity)),
            Store::Redis(_) => None,
        }
    }

    /// Reserves all of these, in order, or none.
    pub async fn reserve(self: &Arc<Self>, wanted: Vec<Wanted>) -> Admitted {
        let now = self.clock.now();
        let mut reservation = Reservation { admission: Arc::clone(self), held: Vec::new() };
        for one in wanted {
            // Before it is asked: whoever leaves meanwhile may have reserved what nobody would settle.
            reservation.held.push(one.clone());
            let answer = self.store.reserve(&one.ask, now).await;
            self.metrics.admission(one.kind.label(), label(&answer));
            if answer == Ok(Answer::Reserved) {
                continue;
            }
            reservation.held.pop();
            match (answer, self.on_error) {
                (Ok(answer), _) => {
                    reservation.release().await;
                    return Admitted::Duplicate(one.kind, answer);
                }
                // The store may have heard it and only its answer be lost.
                (Err(_), OnError::Allow) => {
                    self.metrics.admission(one.kind.label(), "allowed");
                    self.settle_late(one, Settlement::Release);
                }
                (Err(error), OnError::Refuse) => {
                    let unforwarded = one.kind.unforwarded();
                    self.settle_late(one, unforwarded);
                    // Not waited for: the store has just shown that it has no answer.
                    self.runtime.spawn(reservation.release());
                    return Admitted::Undecided(error);
                }
            }
        }
        Admitted::Reserved(reservation)
    }

    async fn settle(self: &Arc<Self>, one: Wanted, settlement: Settlement) {
        let settled = self.store.settle(&one.ask, &settlement, self.clock.now()).await;
        self.count(&one, &settlement, settled);
        if settled.is_err() {
            self.settle_late(one, settlement);
        }
    }

    fn count(&self, one: &Wanted, settlement: &Settlement, settled: Result<Settled, StoreError>) {
        let result = match (settled, settlement) {
            (Ok(Settled::Done), Settlement::Commit(_)) => "committed",
            (Ok(Settled::Done), Settlement::Release | Settlement::Forget) => "released",
            (Ok(Settled::Lost), _) => "lost",
            (Err(_), Settlement::Commit(_)) => "commit_failed",
            (Err(_), Settlement::Release | Settlement::Forget) => "release_failed",
        };
        self.metrics.admission(one.kind.label(), result);
    }

    /// Tries again until the store takes it, or the entry would have ended anyway.
    fn settle_late(self: &Arc<Self>, one: Wanted, settlement: Settlement) {
        if self.late.fetch_add(1, Ordering::Relaxed) >= MAX_LATE {
            self.late.fetch_sub(1, Ordering::Relaxed);
            self.metrics.admission(one.kind.label(), "given_up");
            return;
        }
        let admission = Arc::clone(self);
        self.runtime.spawn(async move {
            let (mut pause, longest) = LATE_PAUSE;
            let ends = one.ask.until.max(admission.clock.now().plus(one.ask.lease));
            loop {
                tokio::time::sleep(pause).await;
                let now = admission.clock.now();
                match admission.store.settle(&one.ask, &settlement, now).await {
                    Ok(settled) => break admission.count(&one, &settlement, Ok(settled)),
                    Err(_) if now > ends => break admission.metrics.admission(one.kind.label(), "given_up"),
                    Err(_) => pause = (pause * 2).min(longest),
                }
            }
            admission.late.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Forgets what has ended, for ever.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let admission = Arc::clone(&self);
            // Millions of entries take a while; the thread that calls this answers probes too.
            let swept = tokio::task::spawn_blocking(move || {
                let now = admission.clock.now();
                match &admission.store {
                    Store::Memory(memory) => drop(memory.sweep(now)),
                    Store::Embedded(embedded) => embedded.sweep(now),
                    Store::Redis(_) => {}
                }
            });
            let _panicked = swept.await;
        }
    }
}

fn label(answer: &Result<Answer, StoreError>) -> &'static str {
    match answer {
        Ok(Answer::Reserved) => "reserved",
        Ok(Answer::InFlight) => "in_flight",
        Ok(Answer::Mismatch) => "mismatch",
        Ok(Answer::Committed { .. }) => "duplicate",
        Err(StoreError::Full) => "full",
        Err(StoreError::Unavailable) => "unavailable",
    }
}

fn random_key() -> Result<Zeroizing<[u8; 32]>, StateError> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| StateError::NoEntropy)?;
    Ok(key)
}

/// A new owner.
///
/// # Errors
/// Without random numbers two owners could be one: undecided.
pub fn new_owner() -> Result<Owner, StoreError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError::Unavailable)?;
    Ok(Owner(u64::from_be_bytes(bytes)))
}

/// How each kind of a request's entries ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Of its replay ids.
    pub replay: Settlement,
    /// Of its idempotency key.
    pub idempotency: Settlement,
}

impl Ending {
    /// It has not arrived.
    pub const RELEASED: Self = Self { replay: Settlement::Release, idempotency: Settlement::Release };
}

/// What a request holds before it is on its way. Dropping it gives it back: its client has left.
#[must_use = "a reservation that is dropped is given back"]
pub struct Reservation {
    admission: Arc<Admission>,
    held: Vec<Wanted>,
}

impl Drop for Reservation {
    /// Nothing was forwarded: whoever forwards takes what is held out first, by [`Reservation::keep`].
    fn drop(&mut self) {
        for one in self.held.drain(..) {
            let unforwarded = one.kind.unforwarded();
            self.admission.settle_late(one, unforwarded);
        }
    }
}

/// What is held by a request that is on its way to the app. Dropping it decides nothing: its lease runs out then.
#[must_use = "what is not settled blocks its id until the lease ends"]
pub struct Kept {
    admission: Arc<Admission>,
    held: Vec<Wanted>,
}

impl Reservation {
    /// From here on only a settlement ends it, or its lease.
    pub fn keep(mut self) -> Kept {
        Kept { admission: Arc::clone(&self.admission), held: std::mem::take(&mut self.held) }
    }

    /// The request is not forwarded after all.
    pub async fn release(mut self) {
        while let Some(one) = self.held.last().cloned() {
            let unforwarded = one.kind.unforwarded();
            self.admission.settle(one, unforwarded).await;
            self.held.pop();
        }
    }
}

impl Kept {
    /// Ends it. The idempotency key comes first, as it was reserved first: whoever finds it committed is answered by it.
    pub async fn settle(self, ending: Ending) {
        for one in self.held {
            let settlement = match one.kind {
                Kind::Replay => ending.replay.clone(),
                Kind::Idempotency => ending.idempotency.clone(),
            };
            self.admission.settle(one, settlement).await;
        }
    }

    /// Whether a reply is to be kept.
    pub fn keeps_reply(&self) -> bool {
        self.held.iter().any(|one| one.kind == Kind::Idempotency)
    }
}
