//! The epochs of the buckets, as this gateway saw them last; `epoch.lua` defines an epoch.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, Script, ServerErrorKind, Value};

/// Number of hash tags that the keys are spread over. In a cluster, an entry and its epoch need the same hash tag so
/// that a script may read both.
pub(super) const BUCKETS: usize = 64;

/// The epochs that were seen last.
pub(super) struct Epochs {
    prefix: String,
    seen: Vec<Mutex<Arc<str>>>,
    /// Time of the latest event that was logged, in Unix seconds.
    logged: AtomicU64,
}

impl Epochs {
    pub(super) fn new(prefix: &str) -> Self {
        let seen = (0..BUCKETS).map(|_| Mutex::new(Arc::from(""))).collect();
        Self { prefix: prefix.to_owned(), seen, logged: AtomicU64::new(0) }
    }

    pub(super) fn seen(&self, bucket: usize) -> Arc<str> {
        let seen = self.seen.get(bucket).map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).clone());
        seen.unwrap_or_else(|| Arc::from(""))
    }

    /// Stores a new epoch, and returns whether ids may have been lost since the previous one.
    pub(super) fn update(&self, bucket: usize, epoch: &str) -> bool {
        let Some(seen) = self.seen.get(bucket).filter(|_| !epoch.is_empty()) else { return false };
        let before = std::mem::replace(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner), Arc::from(epoch));
        let now = event(epoch);
        let is_new = now > event(&before);
        // Other buckets report the same event within two seconds.
        if is_new && now > self.logged.fetch_max(now, Ordering::Relaxed).saturating_add(2) {
            tracing::warn!(event = now, "the Redis store may have lost ids that were recorded before this time");
        }
        is_new
    }

    /// Updates all epochs at once, so that the buckets agree on the time of an event. Buckets of other nodes return
    /// MOVED.
    pub(super) async fn touch(
        &self,
        connection: &mut MultiplexedConnection,
        touch: &Script,
        durable: bool,
    ) -> Result<(), RedisError> {
        let mut all = redis::pipe();
        for bucket in 0..BUCKETS {
            all.invoke_script(touch.key(self.key(bucket)).arg(&*self.seen(bucket)).arg(durable));
        }
        for (bucket, answer) in connection.send_packed_commands(&all, 0, BUCKETS).await?.into_iter().enumerate() {
            if let Value::ServerError(error) = answer {
                let error = RedisError::from(error);
                // The next reservation of the bucket detects the event; a full server still finds its entries.
                if is_elsewhere(&error) || is_full(&error) {
                    continue;
                }
                return Err(error);
            }
            let epoch: String = redis::from_redis_value(answer)?;
            self.update(bucket, &epoch);
        }
        Ok(())
    }

    pub(super) fn key(&self, bucket: usize) -> String {
        format!("{}epoch", self.tag(bucket))
    }

    /// The prefix of all keys of a bucket, with its hash tag.
    pub(super) fn tag(&self, bucket: usize) -> String {
        format!("{{{}:{bucket:02x}}}:", self.prefix)
    }
}

/// Whether the server is out of memory (OOM). Before Redis 7, the code of an error in a script is part of its text.
pub(super) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.detail().is_some_and(|detail| detail.contains("OOM command not allowed"))
}

pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | TryAgain))
}

fn event(epoch: &str) -> u64 {
    epoch.split(' ').nth(1).and_then(|event| event.parse().ok()).unwrap_or(0)
}
