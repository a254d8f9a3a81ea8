//! How long the gateway has waited for a client: for its TLS handshake, its next request, or the body of one. The tasks
//! of a connection write it, and a [`pool`](super::pool) that is full reads it, to end the wait that has lasted longest.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::pool::WaitingClient;
use crate::failure::Exhausted;
use crate::metrics::PoolName;

/// How long a client may make the gateway wait before it counts as late.
const GRACE: Duration = Duration::from_secs(1);

/// The same for the next request on a connection that has brought an authenticated one: its sender would lose a request
/// that it sends while the connection is closed.
const AUTHENTICATED_GRACE: Duration = Duration::from_secs(30);

/// The bytes per second with which a body is not late. Most senders are faster, and an attacker who fills a pool at this
/// rate has to pay for it.
const REFERENCE_RATE: u64 = 64 * 1024;

const NANOSECONDS: u64 = 1_000_000_000;

/// A time as nanoseconds of this process, which fit into an atomic.
pub(super) fn nanoseconds(at: Instant) -> u64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    duration(at.saturating_duration_since(*BEGIN))
}

fn duration(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The progress of a connection.
#[derive(Debug)]
pub struct ConnectionProgress {
    late_from: AtomicU64,
    /// The requests in flight that do not wait for the client, and 1 until the connection has a task. It may be
    /// negative for an instant, when a request ends while its body is still being received.
    at_work: AtomicI32,
    /// Until then the upstream may send the rest of a response; 0 without one.
    responds_until: AtomicU64,
    /// The client does not read what the gateway writes.
    blocked: AtomicBool,
    authenticated: AtomicBool,
    task: OnceLock<AbortHandle>,
    displaced: OnceLock<Exhausted>,
}

impl Default for ConnectionProgress {
    fn default() -> Self {
        Self {
            late_from: AtomicU64::default(),
            at_work: AtomicI32::new(1),
            responds_until: AtomicU64::default(),
            blocked: AtomicBool::default(),
            authenticated: AtomicBool::default(),
            task: OnceLock::default(),
            displaced: OnceLock::default(),
        }
    }
}

impl ConnectionProgress {
    /// Sets the task of the connection, which ends if it has to give way.
    pub fn run_by(&self, task: AbortHandle, now: Instant) {
        if self.task.set(task).is_ok() {
            self.wait(now);
        }
    }

    /// The gateway works on a request, and does not wait for the client.
    pub fn work(&self) {
        self.at_work.fetch_add(1, Ordering::Relaxed);
    }

    /// A request of [`Self::work`] has ended, or waits for the client.
    pub fn wait(&self, now: Instant) {
        self.at_work.fetch_sub(1, Ordering::Relaxed);
        self.wait_until(nanoseconds(now).saturating_add(duration(GRACE)));
    }

    /// The client has come as far as the end of its TLS handshake.
    pub fn advance(&self, now: Instant) {
        self.wait_until(nanoseconds(now).saturating_add(duration(GRACE)));
    }

    /// Whether the client reads what the gateway writes.
    pub fn set_blocked(&self, blocked: bool, now: Instant) {
        self.blocked.store(blocked, Ordering::Relaxed);
        self.advance(now);
    }

    /// A request on this connection was authenticated.
    pub fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    /// Why the connection has given way, if it has.
    pub fn displaced(&self) -> Option<Exhausted> {
        self.displaced.get().copied()
    }

    /// Until `due` the upstream may send the rest of a response, and the gateway does not wait for the client alone.
    pub fn respond_until(&self, due: Option<Instant>) {
        self.responds_until.store(due.map_or(0, nanoseconds), Ordering::Relaxed);
    }

    fn wait_until(&self, late_from: u64) {
        self.late_from.fetch_max(late_from, Ordering::Relaxed);
    }
}

impl WaitingClient for ConnectionProgress {
    fn late_from(&self) -> Option<u64> {
        let responds_until = self.responds_until.load(Ordering::Relaxed);
        let is_at_work = self.at_work.load(Ordering::Relaxed) > 0 || responds_until > nanoseconds(Instant::now());
        if is_at_work && !self.blocked.load(Ordering::Relaxed) {
            return None;
        }
        let responded = if responds_until == 0 { 0 } else { responds_until.saturating_add(duration(GRACE)) };
        let more = if self.authenticated.load(Ordering::Relaxed) { AUTHENTICATED_GRACE } else { Duration::ZERO };
        Some(self.late_from.load(Ordering::Relaxed).max(responded).saturating_add(duration(more)))
    }

    fn displace(&self, _pool: PoolName, why: Exhausted) {
        // Only the first reason counts.
        let _first = self.displaced.set(why);
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// The progress of a request body for which the gateway waits; its connection then waits too.
#[derive(Debug)]
pub struct BodyProgress {
    late_from: AtomicU64,
    connection: Arc<ConnectionProgress>,
    signal: Mutex<DisplacedSignal>,
}

#[derive(Debug, Default)]
struct DisplacedSignal {
    displaced: Option<(PoolName, Exhausted)>,
    waker: Option<Waker>,
}

impl BodyProgress {
    /// A body for which the gateway waits from now on.
    pub fn begin(connection: &Arc<ConnectionProgress>, now: Instant) -> Self {
        connection.wait(now);
        let late_from = AtomicU64::new(nanoseconds(now).saturating_add(duration(GRACE)));
        Self { late_from, connection: Arc::clone(connection), signal: Mutex::default() }
    }

    /// More bytes were received.
    pub fn received(&self, bytes: u64) {
        let worth = bytes.saturating_mul(NANOSECONDS / REFERENCE_RATE);
        let before = self.late_from.fetch_add(worth, Ordering::Relaxed);
        self.connection.wait_until(before.saturating_add(worth));
    }

    /// The gateway no longer waits for the body.
    pub fn end(&self) {
        self.connection.work();
    }

    /// The pool in which the body has given way, and why.
    pub fn displaced(&self) -> Option<(PoolName, Exhausted)> {
        self.signal().displaced
    }

    /// Ready once the body has to give way.
    pub fn poll_displaced(&self, cx: &mut Context<'_>) -> Poll<(PoolName, Exhausted)> {
        let mut signal = self.signal();
        if let Some(displaced) = signal.displaced {
            return Poll::Ready(displaced);
        }
        if !signal.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            signal.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn signal(&self) -> MutexGuard<'_, DisplacedSignal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingClient for BodyProgress {
    fn late_from(&self) -> Option<u64> {
        Some(self.late_from.load(Ordering::Relaxed))
    }

    fn displace(&self, pool: PoolName, why: Exhausted) {
        let mut signal = self.signal();
        let _ = signal.displaced.get_or_insert((pool, why));
        if let Some(waker) = signal.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the first time that this process counts from.
    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    fn late(client: &impl WaitingClient, at: Instant) -> Option<bool> {
        client.late_from().map(|from| from <= nanoseconds(at))
    }

    fn connection(runtime: &tokio::runtime::Runtime, now: Instant) -> Arc<ConnectionProgress> {
        let connection = Arc::<ConnectionProgress>::default();
        connection.run_by(runtime.spawn(std::future::pending::<()>()).abort_handle(), now);
        connection
    }

    /// A client that never reads its response (HTTP/2 with a window of 0) keeps its place only while the upstream may
    /// still send the rest.
    #[test]
    fn a_connection_waits_for_its_client_once_the_response_is_complete() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let now = soon();
        let connection = connection(&runtime, now);
        connection.respond_until(Some(now + Duration::from_secs(60)));
        assert_eq!(late(&*connection, now + Duration::from_secs(90)), None);
        connection.respond_until(Some(Instant::now()));
        assert_eq!(late(&*connection, now + Duration::from_secs(3)), Some(true));
        connection.respond_until(None);
        assert_eq!(late(&*connection, now + Duration::from_secs(3)), Some(true));
    }

    #[test]
    fn a_body_is_late_below_the_reference_rate() {
        let (connection, begun) = (Arc::default(), soon());
        let body = BodyProgress::begin(&connection, begun);
        let after = |millis| begun + Duration::from_millis(millis);
        assert_eq!((late(&body, after(999)), late(&body, after(1_000))), (Some(false), Some(true)));
        body.received(REFERENCE_RATE / 2);
        assert_eq!((late(&body, after(1_499)), late(&body, after(1_500))), (Some(false), Some(true)));
    }

    #[test]
    fn a_connection_waits_for_its_client_unless_a_request_is_at_work() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let begun = soon();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let connection = connection(&runtime, begun);
        assert_eq!((late(&*connection, begun), late(&*connection, after(1))), (Some(false), Some(true)));
        connection.work();
        assert_eq!(late(&*connection, after(9)), None);
        // A body that does not arrive: the connection waits as well, and no longer once the body is complete.
        let body = BodyProgress::begin(&connection, after(9));
        assert_eq!((late(&*connection, after(9)), late(&*connection, after(10))), (Some(false), Some(true)));
        body.end();
        assert_eq!(late(&*connection, after(99)), None);
        // A response that the client does not read.
        connection.set_blocked(true, after(20));
        assert_eq!((late(&*connection, after(20)), late(&*connection, after(21))), (Some(false), Some(true)));
        connection.set_blocked(false, after(22));
        assert_eq!(late(&*connection, after(99)), None);
        connection.wait(after(30));
        connection.set_authenticated();
        assert_eq!((late(&*connection, after(59)), late(&*connection, after(61))), (Some(false), Some(true)));
    }
}
