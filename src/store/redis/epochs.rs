//! The epochs of the buckets, as this gateway saw them last; `epoch.lua` defines an epoch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{RedisError, ServerErrorKind};

use crate::metrics::{Metrics, StoreLoss};

/// Number of hash tags that the keys are spread over. In a cluster, an entry and its epoch need the same hash tag so
/// that a script may read both.
pub(super) const BUCKETS: usize = 64;

/// The epochs that were seen last.
pub(super) struct Epochs {
    prefix: String,
    seen: Vec<Mutex<SeenEpoch>>,
    metrics: Arc<Metrics>,
    /// Times of the latest event that was logged, and of the latest whose end was, in Unix seconds: the buckets report
    /// an event within two seconds of each other.
    logged: AtomicU64,
    ended: AtomicU64,
}

#[derive(Default)]
struct SeenEpoch {
    text: Arc<str>,
    /// The epoch for which this gateway has written its tail again; `None` before the first one.
    recovered: Option<Epoch>,
}

/// The parts of an epoch that a gateway uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) event: u64,
    base: String,
    pub(super) n: u64,
    /// Time of the last heartbeat that was not lost, in milliseconds of the server.
    pub(super) last: u64,
    /// Whether writes before `last` may be lost too.
    pub(super) whole: bool,
    from: u64,
    pub(super) open: bool,
}

impl Epoch {
    fn read(text: &str) -> Option<Self> {
        let [_, event, _, base, n, last, whole, from, open] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let number = |text: &str| text.parse::<u64>().ok();
        Some(Self {
            event: number(event)?,
            base: base.to_owned(),
            n: number(n)?,
            last: number(last)?,
            whole: whole == "1",
            from: number(from)?,
            open: open != "0",
        })
    }

    /// Whether ids may have been lost since the other epoch.
    fn has_lost_since(&self, other: &Self) -> bool {
        (&self.base, self.n) != (&other.base, other.n)
            && (self.open || self.event != other.event || self.base != other.base)
    }
}

impl Epochs {
    pub(super) fn new(prefix: &str, metrics: Arc<Metrics>) -> Self {
        let seen = (0..BUCKETS).map(|_| Mutex::default()).collect();
        Self { prefix: prefix.to_owned(), seen, metrics, logged: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }

    fn bucket(&self, bucket: usize) -> Option<MutexGuard<'_, SeenEpoch>> {
        self.seen.get(bucket).map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn seen(&self, bucket: usize) -> Arc<str> {
        self.bucket(bucket).map(|seen| Arc::clone(&seen.text)).unwrap_or_default()
    }

    /// The number of the epoch for which this gateway has written its tail again; `None` if it has not used the bucket.
    pub(super) fn recovered(&self, bucket: usize) -> Option<u64> {
        self.bucket(bucket)?.recovered.as_ref().map(|epoch| epoch.n)
    }

    /// Stores a new epoch. Returns it if this gateway has to write its tail again.
    pub(super) fn update(&self, bucket: usize, text: &str) -> Option<Epoch> {
        let mut seen = self.bucket(bucket)?;
        if !text.is_empty() {
            let before = Epoch::read(&seen.text);
            seen.text = Arc::from(text);
            self.log(before.as_ref(), &Epoch::read(text)?);
        }
        let epoch = Epoch::read(&seen.text)?;
        match &seen.recovered {
            Some(recovered) if epoch.has_lost_since(recovered) => Some(epoch),
            Some(recovered) if *recovered == epoch => None,
            None | Some(_) => {
                seen.recovered = Some(epoch);
                None
            }
        }
    }

    /// Records that this gateway has written its tail again.
    pub(super) fn recover(&self, bucket: usize, epoch: Epoch) {
        if let Some(mut seen) = self.bucket(bucket) {
            seen.recovered = Some(epoch);
        }
    }

    fn log(&self, before: Option<&Epoch>, now: &Epoch) {
        let is_first =
            |latest: &AtomicU64| now.event > latest.fetch_max(now.event, Ordering::Relaxed).saturating_add(2);
        let was_open = before.is_some_and(|before| before.open);
        if now.open && !was_open && is_first(&self.logged) {
            self.metrics.store_losses(StoreLoss::Detected).inc();
            tracing::warn!(event = now.event, "the Redis store may have lost ids, which the gateways write again");
        }
        if now.open || !was_open || !is_first(&self.ended) {
            return;
        }
        if before.is_some_and(|before| before.from < now.from) {
            self.metrics.store_losses(StoreLoss::Incomplete).inc();
            tracing::error!(
                event = now.event,
                issued_until = now.from,
                "the Redis store has lost ids that no gateway could write again; credentials issued until this time are \
                 rejected unless on_failover is allow"
            );
        } else {
            self.metrics.store_losses(StoreLoss::Recovered).inc();
            tracing::info!(event = now.event, "the gateways have written the lost ids of the Redis store again");
        }
    }

    /// The keys of a bucket that are not entries: its epoch, and its gateways.
    pub(super) fn keys(&self, bucket: usize) -> [String; 2] {
        ["epoch", "gateways"].map(|name| format!("{}{name}", self.tag(bucket)))
    }

    /// The prefix of all keys of a bucket, with its hash tag.
    pub(super) fn tag(&self, bucket: usize) -> String {
        format!("{{{}:{bucket:02x}}}:v2:", self.prefix)
    }
}

/// Whether the server is out of memory (OOM). Before Redis 7, the code of an error in a script is part of its text.
pub(super) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.detail().is_some_and(|detail| detail.contains("OOM command not allowed"))
}

pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), redis::ErrorKind::Server(Moved | Ask | TryAgain))
}
