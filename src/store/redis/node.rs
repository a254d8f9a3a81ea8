//! One Redis server and its connection. A background task maintains the connection and reconnects after a failure.
//! Callers wait for a connection only while one that broke is replaced for the first time.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dialer::{Dialer, NodeError, RedisAddress};
use super::heartbeat::Beat;

/// Interval between two attempts to connect.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// Interval between two heartbeats, by which also a broken idle connection is noticed before it is needed.
const BEAT: Duration = Duration::from_secs(1);
/// Interval between two checks of the server's settings.
const CHECK: Duration = Duration::from_secs(60);
/// Interval between two checks while the settings make the server unusable.
const CHECK_AGAIN: Duration = Duration::from_secs(5);

/// An open connection.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Whether each write is on disk before the server responds.
    pub(super) durable: bool,
    /// The last heartbeat to the server.
    pub(super) last_beat: Arc<Mutex<Option<Beat>>>,
    number: u64,
}

/// A server, with its connection if there is one.
pub(super) struct RedisNode {
    pub(super) address: RedisAddress,
    dialer: Arc<Dialer>,
    live: Mutex<Option<Live>>,
    last_beat: Arc<Mutex<Option<Beat>>>,
    failed: Notify,
    /// A connection broke, and the first attempt to replace it has not ended. Notified with its end.
    reconnecting: AtomicBool,
    reconnected: Notify,
    dialled: AtomicU64,
    logged: AtomicBool,
    rejection_logged: AtomicBool,
    volatile: AtomicBool,
    task: OnceLock<AbortHandle>,
}

impl RedisNode {
    /// Starts the task that connects and reconnects.
    pub(super) fn start(address: RedisAddress, dialer: &Arc<Dialer>) -> Arc<Self> {
        let node = Arc::new(Self {
            address,
            dialer: Arc::clone(dialer),
            live: Mutex::new(None),
            last_beat: Arc::default(),
            failed: Notify::new(),
            reconnecting: AtomicBool::new(false),
            reconnected: Notify::new(),
            dialled: AtomicU64::new(0),
            logged: AtomicBool::new(false),
            rejection_logged: AtomicBool::new(false),
            volatile: AtomicBool::new(false),
            task: OnceLock::new(),
        });
        let task = dialer.runtime.spawn(Arc::clone(&node).maintain()).abort_handle();
        let _first = node.task.set(task);
        node
    }

    /// Closes the connection and stops the task.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        *self.lock() = None;
        self.set_volatile(false);
    }

    pub(super) fn live(&self) -> Option<Live> {
        self.lock().clone()
    }

    /// As `live`, but waits while a connection that broke is replaced, as after all connections were closed at once.
    pub(super) async fn next_live(&self, until: Instant) -> Option<Live> {
        loop {
            let mut reconnected = pin!(self.reconnected.notified());
            reconnected.as_mut().enable();
            if let Some(live) = self.live() {
                return Some(live);
            }
            if !self.reconnecting.load(Ordering::Relaxed) {
                return None;
            }
            timeout_at(until, reconnected).await.ok()?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops a connection that failed; the task opens a new one.
    pub(super) fn fail(&self, used: &Live, error: &NodeError) {
        let mut live = self.lock();
        if live.take_if(|live| live.number == used.number).is_some() {
            // A server that does not respond is not waited for again.
            self.reconnecting.store(!matches!(error, NodeError::Late(_)), Ordering::Relaxed);
            drop(live);
            self.log_failure(error);
            self.failed.notify_one();
        }
    }

    /// Logs that the server rejected a call, once per connection.
    pub(super) fn log_rejected_call(&self, error: &RedisError) {
        if !self.rejection_logged.swap(true, Ordering::Relaxed) {
            let (host, port) = &self.address;
            // Only the error code is logged, since the text may contain a key.
            tracing::warn!(host, port, code = error.code(), "the Redis store rejected a call");
        }
    }

    fn log_failure(&self, error: &NodeError) {
        if self.logged.swap(true, Ordering::Relaxed) {
            return;
        }
        let (host, port) = &self.address;
        match error {
            NodeError::Evicts(policy) => tracing::error!(
                host,
                port,
                policy,
                "the Redis store may evict ids and is not used: set maxmemory-policy to noeviction"
            ),
            NodeError::Io(_) | NodeError::Redis(_) | NodeError::Late(_) | NodeError::Name | NodeError::NotMaster => {
                tracing::warn!(host, port, %error, "the Redis store is not available")
            }
        }
    }

    async fn maintain(self: Arc<Self>) {
        loop {
            let begun = Instant::now();
            let opened = timeout(self.dialer.patience(), self.open()).await;
            let opened = opened.map_err(NodeError::from).and_then(|opened| opened);
            if let Ok(live) = &opened {
                *self.lock() = Some(live.clone());
            }
            self.reconnecting.store(false, Ordering::Relaxed);
            self.reconnected.notify_waiters();
            match opened {
                Ok(live) => {
                    let (host, port) = &self.address;
                    tracing::info!(host, port, "the Redis store is available");
                    self.logged.store(false, Ordering::Relaxed);
                    self.rejection_logged.store(false, Ordering::Relaxed);
                    if let Some(error) = self.watch(live.clone()).await {
                        self.fail(&live, &error);
                    }
                }
                Err(error) => {
                    let again = if matches!(error, NodeError::Evicts(_)) { CHECK_AGAIN } else { PAUSE };
                    self.log_failure(&error);
                    sleep_until(begun + again).await;
                }
            }
            sleep_until(begun + PAUSE).await;
        }
    }

    async fn open(&self) -> Result<Live, NodeError> {
        let mut connection = self.dialer.dial(&self.address).await?;
        let durable = self.check(&mut connection).await?;
        self.dialer.scripts.load(&mut connection).await?;
        // A loss of ids is detected, and the tail written again, before the connection is used.
        self.dialer.beat(&mut connection, durable, &self.last_beat).await?;
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        Ok(Live { connection, durable, last_beat: Arc::clone(&self.last_beat), number })
    }

    /// Checks the settings of the server. Returns whether each write is on disk before the server responds.
    async fn check(&self, connection: &mut MultiplexedConnection) -> Result<bool, NodeError> {
        let persistence = check_settings(connection).await?;
        self.set_volatile(persistence == Persistence::Nothing);
        Ok(persistence == Persistence::EachWrite)
    }

    fn set_volatile(&self, volatile: bool) {
        if self.volatile.swap(volatile, Ordering::Relaxed) == volatile {
            return;
        }
        self.dialer.metrics.store_volatile_servers().add(if volatile { 1 } else { -1 });
        if volatile {
            let (host, port) = &self.address;
            tracing::warn!(host, port, "a restart of the Redis store loses ids: set appendonly to yes");
        }
    }

    /// Sends heartbeats over the connection until it fails. `None`: a caller noticed the failure first.
    async fn watch(&self, mut live: Live) -> Option<NodeError> {
        let mut checked = Instant::now();
        loop {
            let current = self.live().map(|live| live.number);
            if current != Some(live.number) {
                return None;
            }
            if timeout(BEAT, self.failed.notified()).await.is_ok() {
                continue;
            }
            let beat = self.dialer.beat(&mut live.connection, live.durable, &live.last_beat);
            match timeout(self.dialer.patience(), beat).await {
                Ok(Ok(())) => (),
                Ok(Err(error)) => return Some(error.into()),
                Err(elapsed) => return Some(elapsed.into()),
            }
            if checked.elapsed() < CHECK {
                continue;
            }
            checked = Instant::now();
            match timeout(self.dialer.patience(), self.check(&mut live.connection)).await {
                Ok(Ok(durable)) => {
                    if let Some(current) = self.lock().as_mut().filter(|current| current.number == live.number) {
                        current.durable = durable;
                    }
                }
                Ok(Err(error)) => return Some(error),
                Err(elapsed) => return Some(elapsed.into()),
            }
        }
    }
}

/// The writes that a server keeps over a restart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Persistence {
    /// Nothing since the last snapshot.
    Nothing,
    /// All but the last seconds, or that is unknown.
    Most,
    /// Each write, before the server responds.
    EachWrite,
}

/// Checks that the server can be used, and what it keeps.
async fn check_settings(connection: &mut MultiplexedConnection) -> Result<Persistence, NodeError> {
    let info: String = redis::cmd("INFO").query_async(connection).await?;
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    if field("role") != Some("master") || field("loading") == Some("1") {
        return Err(NodeError::NotMaster);
    }
    match field("maxmemory_policy") {
        Some("noeviction") => (),
        other => return Err(NodeError::Evicts(other.unwrap_or("unknown").to_owned())),
    }
    // Managed servers do not allow CONFIG: durability is unknown then, and a restart counts as a loss.
    let always: Result<Vec<String>, RedisError> =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await;
    let always = match always {
        Ok(pair) => pair.get(1).is_some_and(|value| value == "always"),
        Err(error) if error.is_io_error() => return Err(error.into()),
        Err(_) => false,
    };
    Ok(match field("aof_enabled") {
        Some("0") => Persistence::Nothing,
        Some("1") if always => Persistence::EachWrite,
        _ => Persistence::Most,
    })
}
