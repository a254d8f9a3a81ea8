//! The store in Redis or Valkey, as a single server or a cluster. Each call is one Lua script with the rules of
//! `state.rs`. Leases are measured by the server's clock, and each call detects whether the server may have lost ids
//! (`redis/epoch.lua`).
//!
//! A call waits for a connection only while one that broke is replaced for the first time, and never takes longer than
//! its deadline. `redis/node.rs` maintains connections.

mod dialer;
mod epochs;
mod heartbeat;
mod node;
mod nodes;
mod script;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{
    ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError, ScriptInvocation, ServerErrorKind,
};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::kind::{ReserveRequest, Revoked, Store, StoreError, StoreFuture};
use super::state::{ReserveResult, Settled, Settlement};
use super::store_clock::StoreClock;
use crate::clock::UnixTime;
use crate::metrics::Metrics;
use crate::settings::{OnFailover, RedisSettings};
use crate::tls::TlsError;
use dialer::{Dialer, NodeError};
use epochs::{BUCKETS, Epochs, is_elsewhere, is_full};
use node::{Live, RedisNode};
use nodes::Nodes;
use script::{Scripts, hex, reply_argument};
use tail::Tail;

/// Responses that one sender of a route may store, in bytes. A full server rejects the requests of all routes.
const REPLY_BYTES: usize = 16 << 20;

/// Why the settings cannot be used. A server that is down is not an error.
#[derive(Debug, thiserror::Error)]
pub enum RedisStartError {
    /// A URL is not `redis://host:port` or `rediss://host:port`. It is not printed, since it might contain a password.
    #[error("a URL of the Redis store is invalid: expected redis://HOST:PORT or rediss://HOST:PORT")]
    Url(#[source] Option<RedisError>),
    /// The list of URLs is empty.
    #[error("the Redis store has no URL")]
    NoUrl,
    /// The CA certificates cannot be used.
    #[error("the CA certificates of the Redis store cannot be used")]
    Ca(#[source] TlsError),
    /// The system's random number generator failed.
    #[error("the operating system provides no random numbers")]
    NoEntropy,
}

/// The Redis store, which replicas share.
pub struct RedisStore {
    dialer: Arc<Dialer>,
    nodes: Nodes,
    prefix: String,
    on_failover: OnFailover,
}

impl RedisStore {
    /// Connects in the background. The tasks of connections run on `runtime`, also if other runtimes use them.
    ///
    /// # Errors
    /// [`RedisStartError`]: a URL or the CA cannot be used.
    pub fn new(
        settings: &RedisSettings,
        clock: Arc<StoreClock>,
        metrics: Arc<Metrics>,
        runtime: Handle,
    ) -> Result<Self, RedisStartError> {
        let mut seeds = Vec::new();
        let (mut secure, mut login) = (false, redis::RedisConnectionInfo::default());
        for url in &settings.urls {
            let info = url.as_str().into_connection_info().map_err(|error| RedisStartError::Url(Some(error)))?;
            login = info.redis_settings().clone();
            #[expect(clippy::wildcard_enum_match_arm, reason = "a later version may add kinds of addresses")]
            match info.addr() {
                ConnectionAddr::Tcp(host, port) => seeds.push((host.clone(), *port)),
                ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
                    secure = true;
                    seeds.push((host.clone(), *port));
                }
                _ => return Err(RedisStartError::Url(None)),
            }
        }
        if let Some(username) = &settings.username {
            login = login.set_username(username);
        }
        if let Some(password) = &settings.password {
            login = login.set_password(password.as_str());
        }
        let config = secure.then(|| crate::tls::client_config(settings.ca.as_deref())).transpose();
        let tls = config.map_err(RedisStartError::Ca)?.map(|config| TlsConnector::from(Arc::new(config)));
        let dialer = Arc::new(Dialer {
            login: login.set_skip_set_lib_name(),
            tls,
            timeout: settings.timeout,
            runtime,
            scripts: Scripts::new(),
            epochs: Epochs::new(&settings.prefix, Arc::clone(&metrics)),
            tail: Tail::new(),
            gateway: random_id()?,
            started: std::time::Instant::now(),
            clock,
            metrics,
            full: AtomicBool::new(false),
            recovering: AtomicBool::new(false),
        });
        let nodes = if settings.cluster {
            Nodes::cluster(seeds, &dialer)
        } else {
            Nodes::single(seeds.into_iter().next().ok_or(RedisStartError::NoUrl)?, &dialer)
        };
        Ok(Self { dialer, nodes, prefix: settings.prefix.clone(), on_failover: settings.on_failover })
    }

    fn entry(&self, request: &ReserveRequest) -> String {
        format!("{}{}", self.dialer.epochs.tag(bucket(request)), request.id)
    }

    /// The quota of the sender's responses in the bucket of the entry.
    fn quota(&self, request: &ReserveRequest) -> String {
        format!("{}replies:{:032x}", self.dialer.epochs.tag(bucket(request)), u128::from_be_bytes(request.sender.0))
    }

    /// Makes one call within the deadline; after a redirection (MOVED) the call is repeated at the new server.
    async fn run<'a, T: FromRedisValue>(
        &self,
        key: &str,
        call: impl Fn(bool) -> ScriptInvocation<'a>,
    ) -> Result<(T, Live), StoreError> {
        let until = Instant::now() + self.dialer.timeout;
        let mut called = self.call_once(self.nodes.of(key), until, &call).await;
        // Every call may be repeated: its owner reserves and settles an entry once.
        if matches!(called, Err(CommandError::Broken)) {
            called = self.call_once(self.nodes.of(key), until, &call).await;
        }
        if let Err(CommandError::Elsewhere(error)) = &called {
            self.nodes.mark_stale();
            let moved = error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
            let next = error.redirect_node().filter(|_| moved).and_then(|(address, _)| self.nodes.at(address));
            called = self.call_once(next, until, &call).await;
        }
        called.map_err(|error| match error {
            CommandError::Store(error) => error,
            CommandError::Elsewhere(_) | CommandError::Broken => StoreError::Unavailable,
        })
    }

    async fn call_once<'a, T: FromRedisValue>(
        &self,
        node: Option<Arc<RedisNode>>,
        until: Instant,
        call: impl Fn(bool) -> ScriptInvocation<'a>,
    ) -> Result<(T, Live), CommandError> {
        let unavailable = || {
            self.nodes.mark_stale();
            CommandError::Store(StoreError::Unavailable)
        };
        let node = node.ok_or_else(unavailable)?;
        let mut live = node.next_live(until).await.ok_or_else(unavailable)?;
        let error = match timeout_at(until, call(live.durable).invoke_async(&mut live.connection)).await {
            Ok(Ok(answer)) => return Ok((answer, live)),
            Ok(Err(error)) if is_full(&error) => return Err(CommandError::Store(StoreError::Full)),
            Ok(Err(error)) if is_elsewhere(&error) => return Err(CommandError::Elsewhere(error)),
            // An error of this key or call, such as a value of another type; the connection stays in use.
            Ok(Err(error)) if is_of_call(&error) => {
                node.log_rejected_call(&error);
                return Err(CommandError::Store(StoreError::Unavailable));
            }
            Ok(Err(error)) => NodeError::from(error),
            Err(elapsed) => {
                node.fail(&live, &NodeError::from(elapsed));
                return Err(unavailable());
            }
        };
        node.fail(&live, &error);
        self.nodes.mark_stale();
        Err(CommandError::Broken)
    }

    fn recover(&self, mut live: Live) {
        let dialer = Arc::clone(&self.dialer);
        // Every reservation reports the event until the tail is written.
        if dialer.recovering.swap(true, Ordering::Relaxed) {
            return;
        }
        self.dialer.runtime.spawn(async move {
            let beat = dialer.beat(&mut live.connection, live.durable, &live.last_beat);
            // If this fails, the next heartbeat does it.
            let _ = timeout_at(Instant::now() + dialer.patience(), beat).await;
            dialer.recovering.store(false, Ordering::Relaxed);
        });
    }
}

impl Store for RedisStore {
    fn reserve<'a>(&'a self, request: &'a ReserveRequest, now: UnixTime) -> StoreFuture<'a, ReserveResult> {
        StoreFuture::Pending(Box::pin(async move {
            let bucket = bucket(request);
            let (keys, entry) = (self.dialer.epochs.keys(bucket), self.entry(request));
            let begun = std::time::Instant::now();
            let call = |durable| {
                let mut call = self.dialer.scripts.reserve.key(&keys);
                call.key(&entry).arg(&*self.dialer.epochs.seen(bucket)).arg(durable);
                call.arg(self.dialer.clock.system().seconds()).arg(&self.dialer.gateway);
                call.arg(hex(request.owner.0)).arg(hex(request.fingerprint.0));
                call.arg(request.lease.as_millis()).arg(request.until.since(now).as_millis());
                call.arg(self.on_failover == OnFailover::Reject);
                call.arg(request.issued.map(|issued| issued.seconds().to_string()).unwrap_or_default());
                call.arg(request.upstream_lease.as_millis());
                call
            };
            let ((code, epoch, reply), live): ((String, String, Option<Vec<u8>>), Live) =
                self.run(&entry, call).await?;
            if self.dialer.epochs.update(bucket, &epoch).is_some() {
                self.recover(live);
            }
            let reply = reply.map(Into::into);
            match code.as_str() {
                "R" => {
                    self.dialer.tail.reserved(bucket, request, begun);
                    Ok(ReserveResult::Reserved)
                }
                "I" => Ok(ReserveResult::InFlight),
                "M" => Ok(ReserveResult::Mismatch),
                "C" => Ok(ReserveResult::Committed { reply }),
                // Without memory for heartbeats, a server rejects new ids as after a loss.
                _ if self.dialer.full.load(Ordering::Relaxed) => Err(StoreError::Full),
                _ => Err(StoreError::Unavailable),
            }
        }))
    }

    fn settle<'a>(
        &'a self,
        request: &'a ReserveRequest,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> StoreFuture<'a, Settled> {
        StoreFuture::Pending(Box::pin(async move {
            let (entry, quota) = (self.entry(request), self.quota(request));
            let (kind, reply) = match settlement {
                Settlement::Commit(reply) => ("C", reply_argument(reply.as_deref())),
                Settlement::Release => ("R", Vec::new()),
                Settlement::Forget => ("-", Vec::new()),
            };
            self.dialer.tail.settled(bucket(request), request, settlement, std::time::Instant::now());
            let call = |_| {
                let mut call = self.dialer.scripts.settle.key(&entry);
                call.key(&quota);
                call.arg(hex(request.owner.0)).arg(hex(request.fingerprint.0));
                call.arg(request.until.since(now).as_millis()).arg(kind).arg(&reply).arg(REPLY_BYTES / BUCKETS);
                call
            };
            let (code, _): (String, Live) = self.run(&entry, call).await?;
            // A lost settlement stays in the tail: what the server has may be from before a loss.
            Ok(if code == "D" { Settled::Done } else { Settled::Lost })
        }))
    }

    /// Whether there is a connection to the server of every bucket.
    fn is_available(&self) -> bool {
        (0..BUCKETS)
            .all(|bucket| self.nodes.of(&self.dialer.epochs.tag(bucket)).is_some_and(|node| node.live().is_some()))
    }

    fn take<'a>(&'a self, key: &'a str, interval: Duration, burst: u32) -> StoreFuture<'a, Option<Duration>> {
        StoreFuture::Pending(Box::pin(async move {
            // Any even distribution over the buckets is good enough.
            let bucket = key.bytes().fold(0_u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte)) & 0x3f;
            let key = format!("{}rate:{key}", self.dialer.epochs.tag(bucket.into()));
            let call = |_| {
                let mut call = self.dialer.scripts.take.key(&key);
                call.arg(interval.as_micros().max(1)).arg(burst.max(1));
                call
            };
            let (wait, _): (u64, Live) = self.run(&key, call).await?;
            Ok(Some(Duration::from_micros(wait)).filter(|wait| !wait.is_zero()))
        }))
    }

    fn revoked<'a>(&'a self, names: [Option<&'a str>; 3]) -> StoreFuture<'a, Revoked> {
        StoreFuture::Pending(Box::pin(async move {
            let keys = ["jti", "sub", "kid", "issued_before"].map(|name| format!("{{{}:revoked}}:{name}", self.prefix));
            let call = |_| {
                let mut call = self.dialer.scripts.revoked.key(&keys);
                call.arg(&names.map(|name| name.map_or("-".to_owned(), |name| format!("+{name}"))));
                call
            };
            let [tokens, ..] = &keys;
            let ((named, before), _): ((bool, Option<String>), Live) = self.run(tokens, call).await?;
            let issued_before = before.map(|before| before.trim().parse().ok().and_then(UnixTime::from_seconds));
            if issued_before == Some(None) {
                tracing::error!("issued_before of the shared revocation sets must be a time in whole seconds");
                return Err(StoreError::Unavailable);
            }
            Ok(Revoked { named, issued_before: issued_before.flatten() })
        }))
    }
}

enum CommandError {
    Store(StoreError),
    Elsewhere(RedisError),
    /// The connection broke.
    Broken,
}

fn is_of_call(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
            | ErrorKind::Extension
            | ErrorKind::UnexpectedReturnType
    )
}

fn bucket(request: &ReserveRequest) -> usize {
    let [first, ..] = request.id.0;
    usize::from(first & 0x3f)
}

fn random_id() -> Result<String, RedisStartError> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RedisStartError::NoEntropy)?;
    Ok(hex(u64::from_be_bytes(bytes)))
}
