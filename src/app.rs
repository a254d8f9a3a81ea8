//! The composition root: builds the services of a gateway, starts its threads, and drains it.

pub mod listen;
pub mod memory;
mod start_lines;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::acme::Acme;
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{Config, Drain, ProcessSettings};
use crate::exposure;
use crate::jwks::Jwks;
use crate::limit::{ChallengeLimit, Connections, MemoryQuota, RequestLimits};
use crate::metrics::{Metrics, PoolName};
use crate::proxy::Gateway;
use crate::reload::cause::Cause;
use crate::reload::{self, Reloaded, Reloader};
use crate::server::phase::{Phase, reached};
use crate::server::{Server, ServerContext};
use crate::services::Services;
use crate::snapshot::SharedSnapshot;
use crate::store::{StoreClient, StoreStartError};
use crate::telemetry;
use listen::{ListenError, listen};

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or does not belong to this host.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A thread or its runtime could not be created.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// The configured `store` could not be opened.
    #[error(transparent)]
    Store(#[from] StoreStartError),
    /// Keys, ids and TLS need random numbers.
    #[error("the operating system provides no random numbers")]
    NoEntropy,
    /// Two metrics have one name: a bug.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
}

/// A running gateway. Dropping it stops it at once; [`Running::drain`] shuts it down gracefully.
pub struct Running {
    /// Address of each listener; port 0 is replaced by the port that was assigned.
    pub listeners: Vec<SocketAddr>,
    /// Address of the admin listener.
    pub admin: Option<SocketAddr>,
    /// Memory quota of buffered bodies.
    pub buffered: MemoryQuota,
    reloader: Arc<Reloader>,
    shared: Vec<Arc<ServerContext>>,
    phase: watch::Sender<Phase>,
    workers: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
}

/// Starts the gateway that `config` describes; `path` is the file from which it is reloaded, if any.
///
/// # Errors
/// [`StartError`]; no thread is left running then.
pub fn start(path: Option<PathBuf>, config: &Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let ProcessSettings { workers, listeners, admin, .. } = &config.process;
    start_lines::starting(path.as_deref());
    // The first random number of a process takes a tenth of a second (aws-lc takes its seed from the processor's
    // jitter): it is drawn here, and not in the first request while all others wait.
    aws_lc_rs::rand::fill(&mut [0]).map_err(|_| StartError::NoEntropy)?;
    let listener = |(index, address): (usize, &SocketAddr)| listen(format!("listeners[{index}].address"), *address);
    let sockets = listeners.iter().enumerate().map(listener).collect::<Result<Vec<_>, _>>()?;
    let admin = admin.map(|address| listen("admin.address".to_owned(), address)).transpose()?;
    let addresses = sockets.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let admin_address = admin.as_ref().map(TcpListener::local_addr).transpose()?;

    let control = runtime()?;
    let (phase, phases) = watch::channel(Phase::Running);
    let services = services(config, clock, &control)?;
    let reloader = Arc::new(Reloader::new(path, Arc::clone(&services), config));
    let shared = share(&addresses, listeners);
    let workers = (0..worker_count(*workers)).map(|_| worker(&services, &phases, &shared, &sockets));
    let workers = workers.collect::<Result<Vec<_>, _>>()?;
    let buffered = services.buffered.clone();
    let own = addresses.iter().chain(&admin_address).copied().collect();
    let endpoints =
        Admin { services, phase: phases, started: Instant::now(), hosts: config.process.admin_hosts.clone() };
    let control = Some(control_thread(control, endpoints, Arc::clone(&reloader), admin, own)?);
    start_lines::started(&config.snapshot, &addresses, admin_address);
    Ok(Running { listeners: addresses, admin: admin_address, buffered, reloader, shared, phase, workers, control })
}

fn services(config: &Config, clock: Arc<dyn Clock>, control: &Runtime) -> Result<Arc<Services>, StartError> {
    let metrics = Arc::new(Metrics::new()?);
    let store = match &config.process.store {
        None => None,
        Some(settings) => {
            let (clock, metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
            let store = StoreClient::new(settings, clock, metrics, control.handle().clone())?;
            await_store(control, &store);
            Some(Arc::new(store))
        }
    };
    Ok(Arc::new(Services {
        snapshot: SharedSnapshot::new(Arc::clone(&config.snapshot)),
        jwks: Arc::new(Jwks::new(Arc::clone(&clock), Arc::clone(&metrics), control.handle().clone())),
        acme: Arc::new(Acme::new(Arc::clone(&clock), Arc::clone(&metrics))),
        clock,
        metrics,
        access_log: config.process.access_log,
        buffered: MemoryQuota::new(PoolName::BufferedBodies),
        waiting: MemoryQuota::new(PoolName::WaitingRequests),
        challenges: ChallengeLimit::default(),
        store,
        limits: RequestLimits::default(),
    }))
}

/// A drain that takes longer says what it waits for.
const NO_WAIT: Duration = Duration::from_millis(250);

/// How long the start waits for a Redis that may be down.
const FIRST_CONNECTION: Duration = Duration::from_secs(2);

/// Waits for the store, so that it is available to the first request.
fn await_store(control: &Runtime, store: &StoreClient) {
    let available = async {
        while !store.is_available() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // In a separate thread, since the caller's may belong to another runtime.
    let waited = std::thread::scope(|scope| {
        scope.spawn(|| control.block_on(async { tokio::time::timeout(FIRST_CONNECTION, available).await })).join()
    });
    if !matches!(waited, Ok(Ok(()))) {
        tracing::warn!("the store is not available; routes that need it respond with 503 until it is");
    }
}

fn share(addresses: &[SocketAddr], configured: &[SocketAddr]) -> Vec<Arc<ServerContext>> {
    let shared = addresses.iter().zip(configured).enumerate().map(|(index, (real, configured))| {
        // The label must be the same after each start, except where a test asks for any port.
        let name = if configured.port() == 0 { real.to_string() } else { configured.to_string() };
        Arc::new(ServerContext { index, name, connections: Connections::default() })
    });
    shared.collect()
}

fn worker_count(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

fn runtime() -> Result<Runtime, std::io::Error> {
    Builder::new_current_thread().enable_all().build()
}

/// Starts one worker thread, with its own runtime and connection pools.
fn worker(
    services: &Arc<Services>,
    phase: &watch::Receiver<Phase>,
    shared: &[Arc<ServerContext>],
    sockets: &[TcpListener],
) -> Result<JoinHandle<()>, StartError> {
    let sockets = sockets.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>()?;
    let (alive, ended) = mpsc::channel(1);
    let gateway = Arc::new(Gateway { services: Arc::clone(services), upstreams: Arc::default(), alive });
    let server = |shared: &Arc<ServerContext>| Server {
        shared: Arc::clone(shared),
        gateway: Arc::clone(&gateway),
        phase: phase.clone(),
    };
    let servers = shared.iter().map(server).collect();
    drop(gateway);
    let runtime = runtime()?;
    let phase = phase.clone();
    let run = move || runtime.block_on(work(servers, sockets, ended, phase));
    Ok(std::thread::Builder::new().name("worker".to_owned()).spawn(run)?)
}

/// Runs until every connection has ended, or until the drain stops it.
async fn work(
    servers: Vec<Server>,
    sockets: Vec<TcpListener>,
    mut ended: mpsc::Receiver<()>,
    mut phase: watch::Receiver<Phase>,
) {
    for (server, socket) in servers.into_iter().zip(sockets) {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => drop(tokio::spawn(server.run(listener))),
            Err(error) => tracing::error!(%error, "cannot listen"),
        }
    }
    tokio::select! {
        _all_ended = ended.recv() => {}
        () = reached(&mut phase, Phase::Stopped) => {}
    }
}

/// Starts the control thread: it fetches keys, watches files and serves the admin listener, apart from the workers.
fn control_thread(
    runtime: Runtime,
    endpoints: Admin,
    reloader: Arc<Reloader>,
    admin: Option<TcpListener>,
    own: Vec<SocketAddr>,
) -> Result<JoinHandle<()>, StartError> {
    let (store, watched) = (endpoints.services.store.clone(), Arc::clone(&endpoints.services));
    let mut phase = endpoints.phase.clone();
    let control = async move {
        tokio::spawn(reload::watch(reloader));
        tokio::spawn(Arc::clone(&watched.acme).run());
        tokio::spawn(reload::dry_run::remind(Arc::clone(&watched)));
        tokio::spawn(telemetry::report_suppressed());
        tokio::spawn(exposure::watch(watched, own));
        if let Some(store) = store {
            tokio::spawn(store.sweep());
        }
        match admin.map(tokio::net::TcpListener::from_std) {
            Some(Ok(listener)) => drop(tokio::spawn(Arc::new(endpoints).serve(listener))),
            Some(Err(error)) => tracing::error!(%error, "cannot listen for admin requests"),
            None => {}
        }
        // Probes and scrapes get responses until the end.
        reached(&mut phase, Phase::Stopped).await;
    };
    let run = move || {
        runtime.block_on(control);
        // A fetch or a file operation may be slow, and is not waited for.
        runtime.shutdown_background();
    };
    Ok(std::thread::Builder::new().name("control".to_owned()).spawn(run)?)
}

impl Running {
    /// Reloads the configuration (SIGHUP).
    pub fn reload(&self) -> Reloaded {
        self.reloader.reload(Cause::Asked)
    }

    /// Starts a reload in its own thread: a file may be on a network that does not respond, and a signal must still stop the
    /// process.
    ///
    /// # Errors
    /// The thread could not be created.
    pub fn reload_in_background(&self) -> std::io::Result<JoinHandle<Reloaded>> {
        let reloader = Arc::clone(&self.reloader);
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || reloader.reload(Cause::Asked))
    }

    /// Shuts down gracefully: for `drain.delay` every response closes its connection; then no connections are accepted
    /// any more, and requests in flight have `drain.timeout` to finish. `hurry` ends the delay and the wait at once.
    ///
    /// Returns whether all requests finished in time.
    pub async fn drain(self, hurry: impl Future<Output = ()>) -> bool {
        let drain = self.reloader.drain();
        self.end(drain, Phase::Closing, hurry).await
    }

    /// Shuts down as [`Self::drain`] does, without the delay, in which a load balancer removes the gateway, and without
    /// waiting for clients of idle connections: a person at a terminal waits for requests in flight alone.
    pub async fn interrupt(self, hurry: impl Future<Output = ()>) -> bool {
        let drain = Drain { delay: Duration::ZERO, ..self.reloader.drain() };
        self.end(drain, Phase::ClosingAtOnce, hurry).await
    }

    async fn end(mut self, drain: Drain, closing: Phase, hurry: impl Future<Output = ()>) -> bool {
        let (delay_s, timeout_s) = (drain.delay.as_secs(), drain.timeout.as_secs());
        tracing::info!(delay_s, timeout_s, open_connections = self.open_connections(), "draining");
        let workers = std::mem::take(&mut self.workers);
        let orderly = async {
            self.phase.send_replace(Phase::Announcing);
            tokio::time::sleep(drain.delay).await;
            self.phase.send_replace(closing);
            let end = Instant::now() + drain.timeout;
            if tokio::time::timeout(NO_WAIT.min(drain.timeout), all_ended(&workers)).await.is_ok() {
                return true;
            }
            let open_connections = self.open_connections();
            tracing::info!(open_connections, timeout_s, "waiting for requests in flight; a second signal ends them");
            tokio::time::timeout_at(end.into(), all_ended(&workers)).await.is_ok()
        };
        let finished = tokio::select! {
            finished = orderly => finished,
            () = hurry => false,
        };
        tracing::info!(finished, "stopped");
        self.stop();
        workers.into_iter().for_each(join);
        finished
    }

    fn open_connections(&self) -> u64 {
        self.shared.iter().map(|listener| listener.connections.open()).sum()
    }

    fn stop(&mut self) {
        self.phase.send_replace(Phase::Stopped);
        self.workers.drain(..).chain(self.control.take()).for_each(join);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread has panicked");
    }
}

/// Threads cannot be awaited; polling every few milliseconds is enough for a drain.
async fn all_ended(workers: &[JoinHandle<()>]) {
    while !workers.iter().all(JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
