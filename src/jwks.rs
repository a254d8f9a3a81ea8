//! Remote key sets (JWKS). They are prefetched and refreshed. If a token names a key that is not in the set, the set is
//! fetched once more, for all requests that wait for it.
//!
//! A failed fetch or an invalid set never replaces a valid one, and an issuer that is down affects only its own routes.
//! With a cache on disk, these routes keep working even after a restart, until the set is older than `max_stale`. The
//! URLs come from gateway.yaml alone, never from a token (Istio CVE-2026-41413).

mod cache;
mod certificates;
mod confirmations;
mod connect;
mod discovery;
mod fetch;
mod once;
mod read;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::auth::keys::{RemoteKeys, RemoteSource};
use crate::clock::{Clock, UnixTime};
use crate::metrics::{Metrics, OperationResult};
use crate::telemetry;
pub use certificates::{CertificateFetch, CertificateHealth, SigningCertificateFetches};
pub use confirmations::SubscriptionConfirmations;
use fetch::{FailedFetch, FetchedDocument, Fetcher, MAX_WAIT};
pub use once::{cached, fetch_once};
use read::{read_cache, read_keys};

/// Time between two warnings of `insecure_http`, at least; they are logged before a fetch.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// The remote key sets of the active configuration.
pub struct Jwks {
    sources: RwLock<Vec<Arc<IssuerSource>>>,
    /// Certificates that requests name by their URLs.
    pub certificates: Arc<SigningCertificateFetches>,
    /// Subscriptions that verified messages have confirmed.
    pub confirmations: SubscriptionConfirmations,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

/// A remote key set, with the task that refreshes it.
struct IssuerSource {
    keys: Arc<RemoteKeys>,
    wanted: Notify,
    attempts: watch::Sender<Attempts>,
    task: std::sync::OnceLock<AbortHandle>,
}

/// Number of fetches so far, and the last one.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    count: u64,
    last: Option<Attempt>,
}

/// A fetch that has ended.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: Instant,
    succeeded: bool,
    /// It was made for a request with an unknown key, and not by the schedule.
    requested: bool,
}

impl Attempts {
    /// The end of the cooldown, which only a failed fetch or one for an unknown key begins: after a scheduled fetch, a
    /// new key is fetched at once. So there are at most two fetches in each cooldown.
    fn cooling_until(&self, cooldown: Duration) -> Option<Instant> {
        self.last.filter(|last| last.requested || !last.succeeded).map(|last| last.at + cooldown)
    }
}

/// Result of a request for another fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refetch {
    /// The set was fetched; look up the key again.
    Fetched,
    /// The last fetch succeeded within the cooldown, so that there is no other. The issuer may have published a key since
    /// then: an unauthenticated client can begin a cooldown at any time.
    CoolingDown,
    /// The fetch failed or took too long, or the last one failed within the cooldown.
    Failed,
}

/// State of an issuer's keys, for `/status`, `/readyz` and the metrics.
#[derive(Clone, Debug)]
pub struct IssuerHealth {
    /// Name of the issuer in gateway.yaml.
    pub issuer: Arc<str>,
    /// Number of usable keys.
    pub keys: usize,
    /// Time of the last successful fetch; `None` if there was none.
    pub last_success: Option<UnixTime>,
    /// Whether there are keys that are not older than `max_stale`.
    pub usable: bool,
    /// Whether a fetch has succeeded or failed, or cached keys were loaded.
    pub tried: bool,
}

impl Jwks {
    /// Creates an empty list of key sets, whose tasks run on `runtime`.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>, runtime: Handle) -> Self {
        let certificates = SigningCertificateFetches::new(Arc::clone(&clock), Arc::clone(&metrics), runtime.clone());
        let confirmations = SubscriptionConfirmations::new(Arc::clone(&metrics), runtime.clone());
        Self {
            sources: RwLock::default(),
            certificates: Arc::new(certificates),
            confirmations,
            clock,
            metrics,
            runtime,
        }
    }

    /// Replaces the list of sets: starts the tasks of new sets, and stops those of sets that are not in `wanted`.
    pub fn replace_sources(self: &Arc<Self>, wanted: &[Arc<RemoteKeys>]) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| {
            let stays = wanted.iter().any(|keys| Arc::ptr_eq(keys, &source.keys));
            if let (false, Some(task)) = (stays, source.task.get()) {
                task.abort();
            }
            stays
        });
        for keys in wanted {
            if !sources.iter().any(|source| Arc::ptr_eq(keys, &source.keys)) {
                sources.push(self.start(keys));
            }
        }
    }

    fn start(self: &Arc<Self>, keys: &Arc<RemoteKeys>) -> Arc<IssuerSource> {
        self.metrics.jwks_known(&keys.source.issuer);
        let source = Arc::new(IssuerSource {
            keys: Arc::clone(keys),
            wanted: Notify::new(),
            attempts: watch::Sender::new(Attempts::default()),
            task: std::sync::OnceLock::new(),
        });
        let task = self.runtime.spawn(Arc::clone(self).keep_fresh(Arc::clone(&source)));
        let _first = source.task.set(task.abort_handle());
        source
    }

    /// Fetches a set once more: one fetch for all concurrent callers, and none within the cooldown.
    pub async fn refetch(&self, keys: &Arc<RemoteKeys>) -> Refetch {
        let same = |source: &&Arc<IssuerSource>| Arc::ptr_eq(&source.keys, keys);
        let source = self.sources.read().unwrap_or_else(PoisonError::into_inner).iter().find(same).cloned();
        // A reload removed this issuer while the request was in flight.
        let Some(source) = source else { return Refetch::Failed };
        let mut attempts = source.attempts.subscribe();
        let seen = *attempts.borrow();
        if seen.cooling_until(keys.source.cooldown).is_some_and(|until| Instant::now() < until) {
            let succeeded = seen.last.is_some_and(|last| last.succeeded);
            return if succeeded { Refetch::CoolingDown } else { Refetch::Failed };
        }
        source.wanted.notify_one();
        let next = attempts.wait_for(|attempts| attempts.count > seen.count);
        match tokio::time::timeout(MAX_WAIT, next).await {
            Ok(Ok(attempts)) if attempts.last.is_some_and(|last| last.succeeded) => Refetch::Fetched,
            Ok(_) | Err(_) => Refetch::Failed,
        }
    }

    /// The state of each issuer's keys.
    pub fn health(&self) -> Vec<IssuerHealth> {
        let now = self.clock.now();
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let health = sources.iter().map(|source| {
            let fetched = source.keys.fetched();
            IssuerHealth {
                issuer: Arc::clone(&source.keys.source.issuer),
                keys: fetched.as_ref().map_or(0, |fetched| fetched.keys.len()),
                last_success: fetched.as_ref().map(|fetched| fetched.at),
                usable: source.keys.current(now).is_some(),
                tried: source.attempts.borrow().count > 0 || fetched.is_some(),
            }
        });
        health.collect()
    }

    /// The task of a source: fetches its set until the task is aborted.
    async fn keep_fresh(self: Arc<Self>, source: Arc<IssuerSource>) {
        let settings = &source.keys.source;
        let fetcher = Fetcher::new(settings);
        let mut failures = 0_u32;
        let mut next = self.first_wait(&source.keys);
        let mut warned = None;
        self.restore(&source.keys).await;
        loop {
            if settings.access.insecure_http && warned.is_none_or(|at: Instant| at.elapsed() >= WARN_EVERY) {
                warned = Some(Instant::now());
                let (issuer, url) = (&*settings.issuer, &*settings.url);
                tracing::warn!(issuer, url, "keys are fetched over plain http (insecure_http)");
            }
            let requested = source.wait(next).await;
            let result = match &fetcher {
                Ok(fetcher) => fetcher.fetch().await,
                Err(error) => Err(FailedFetch { url: settings.url.clone(), error: error.clone() }),
            };
            let good = self.settle(&source.keys, result, failures > 0);
            next = match &good {
                Some((answer, _)) => {
                    failures = 0;
                    jittered(after_success(settings, answer.max_age))
                }
                None => {
                    failures = failures.saturating_add(1);
                    jittered(after_failure(settings, failures))
                }
            };
            // This fetch also counts for callers that requested one meanwhile.
            source.wanted.notify_one();
            source.wanted.notified().await;
            source.attempts.send_modify(|attempts| {
                attempts.count = attempts.count.saturating_add(1);
                attempts.last = Some(Attempt { at: Instant::now(), succeeded: failures == 0, requested });
            });
            // Only the next fetch waits for the disk.
            if let Some((answer, at)) = good {
                store(&source.keys, answer, at).await;
            }
        }
    }

    /// Loads the keys that an earlier process has cached. The first fetch still starts at once.
    async fn restore(&self, keys: &Arc<RemoteKeys>) {
        let (keys, now) = (Arc::clone(keys), self.clock.now());
        let Some(path) = keys.source.cache.clone().filter(|_| keys.fetched().is_none()) else { return };
        off_the_runtime(move || {
            let issuer = &*keys.source.issuer;
            match read_cache(&keys, &path, now) {
                Ok(None) => {}
                Ok(Some((set, at))) => {
                    tracing::info!(issuer, keys = set.len(), age_s = now.since(at).as_secs(), "loaded cached keys");
                    keys.replace(set, at);
                }
                Err(error) => {
                    let (cache, error) = (path.display(), telemetry::chain(&error));
                    tracing::warn!(issuer, %cache, error, "cached keys ignored");
                }
            }
        })
        .await;
    }

    /// Time until the first fetch: none, or the rest of the refresh interval if a reload kept the set.
    fn first_wait(&self, keys: &RemoteKeys) -> Duration {
        let age = keys.fetched().map(|fetched| self.clock.now().since(fetched.at));
        age.map_or(Duration::ZERO, |age| keys.source.refresh.saturating_sub(age))
    }

    /// Activates a valid set, and returns it with the time; `None` if the fetch failed or the set is invalid.
    fn settle(
        &self,
        keys: &RemoteKeys,
        result: Result<FetchedDocument, FailedFetch>,
        is_recovery: bool,
    ) -> Option<(FetchedDocument, UnixTime)> {
        let issuer = &*keys.source.issuer;
        let read = |answer: FetchedDocument| match read_keys(keys, &answer.body) {
            Ok(set) => Ok((set, answer)),
            Err(error) => Err(FailedFetch { url: answer.url.to_string(), error }),
        };
        match result.and_then(read) {
            Ok((set, answer)) => {
                let (now, count) = (self.clock.now(), set.len());
                let is_news = is_recovery || keys.fetched().is_none_or(|former| former.keys.len() != count);
                let url = &answer.url;
                if is_news {
                    tracing::info!(issuer, %url, keys = count, "fetched keys");
                } else {
                    tracing::debug!(issuer, %url, keys = count, "fetched keys");
                }
                keys.replace(set, now);
                self.metrics.jwks_refreshes(issuer, OperationResult::Success).inc();
                Some((answer, now))
            }
            Err(FailedFetch { url, error }) => {
                tracing::warn!(issuer, url, error = %telemetry::chain(&error), "could not fetch keys");
                self.metrics.jwks_refreshes(issuer, OperationResult::Error).inc();
                None
            }
        }
    }
}

/// Writes a valid set to the cache on disk for the next start.
async fn store(keys: &Arc<RemoteKeys>, answer: FetchedDocument, at: UnixTime) {
    let keys = Arc::clone(keys);
    let Some(path) = keys.source.cache.clone() else { return };
    off_the_runtime(move || {
        if let Err(error) = cache::write(&path, &keys.source, &answer.body, at) {
            let (issuer, cache) = (&*keys.source.issuer, path.display());
            tracing::warn!(issuer, %cache, %error, "cannot write the JWKS cache");
        }
    })
    .await;
}

/// Runs `work` on a thread for blocking calls, since file access blocks.
async fn off_the_runtime(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "a thread for file access panicked");
    }
}

impl IssuerSource {
    /// Waits until the next fetch is due or requested, but not less than the cooldown. Returns whether it is requested.
    async fn wait(&self, next: Duration) -> bool {
        let attempts = *self.attempts.borrow();
        let scheduled = attempts.last.map_or_else(Instant::now, |last| last.at) + next;
        let requested = tokio::select! {
            biased;
            () = tokio::time::sleep_until(scheduled) => false,
            () = self.wanted.notified() => true,
        };
        if let Some(earliest) = attempts.cooling_until(self.keys.source.cooldown) {
            tokio::time::sleep_until(earliest).await;
        }
        requested
    }
}

/// Time until the next fetch after a success: the issuer's `max-age`, but at least the cooldown and at most
/// `refresh_interval`.
fn after_success(source: &RemoteSource, max_age: Option<Duration>) -> Duration {
    max_age.unwrap_or(source.refresh).max(source.cooldown).min(source.refresh)
}

/// Time until the next fetch after failures: exponential backoff from the cooldown up to `refresh_interval`.
fn after_failure(source: &RemoteSource, failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
    source.cooldown.saturating_mul(doubled).min(source.refresh)
}

/// Shortens a wait by up to a tenth, so that replicas do not fetch at the same time.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without entropy there is no jitter, which is harmless.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    wait.saturating_sub(wait.mul_f64(f64::from(byte) / 2560.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::JwksAccess;

    pub(super) fn source() -> RemoteSource {
        RemoteSource {
            issuer: "acme".into(),
            url: "https://issuer.test/".into(),
            discovery: None,
            ca: None,
            access: JwksAccess::default(),
            pins: Vec::new(),
            cache: None,
            algorithms: Vec::new(),
            refresh: Duration::from_secs(600),
            max_stale: Duration::from_secs(86_400),
            cooldown: Duration::from_secs(30),
        }
    }

    #[test]
    fn cache_control_moves_the_next_fetch_within_bounds() {
        let after = |seconds: Option<u64>| after_success(&source(), seconds.map(Duration::from_secs)).as_secs();
        assert_eq!((after(None), after(Some(120)), after(Some(0)), after(Some(86_400))), (600, 120, 30, 600));
    }

    #[test]
    fn failures_are_retried_ever_more_slowly() {
        let waits: Vec<u64> = (1..8).map(|failures| after_failure(&source(), failures).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(after_failure(&source(), u32::MAX).as_secs(), 600);
    }

    #[test]
    fn jitter_only_shortens_and_by_a_tenth_at_most() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(600)).as_secs_f64();
            assert!((540.0..=600.0).contains(&wait), "{wait}");
        }
    }
}
