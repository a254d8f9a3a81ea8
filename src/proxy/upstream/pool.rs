//! The connections of one worker to one endpoint: opened when there is no idle one, reused within
//! `upstream.timeouts.keepalive`.
//!
//! The pool reports for each failed request whether any byte of it was sent, and never sends such a request again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper::service::Service;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::health::{AttemptOutcome, Health, HealthChange};
use crate::proxy::request_body::{Received, RequestBody};
use crate::route::{Endpoint, EndpointAddress};
use crate::telemetry;

type UpstreamSender = SendRequest<RequestBody>;

/// Maximum number of idle connections to one endpoint.
const MAX_IDLE: usize = 256;

/// Shortest interval between two sweeps of idle connections.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Connections to one endpoint, and its health.
#[derive(Debug)]
pub(super) struct Pool {
    /// Dropped once no configuration and no request uses it.
    pub(super) endpoint: Weak<Endpoint>,
    keepalive: Duration,
    /// Idle connections, oldest first.
    idle: Mutex<Vec<IdleConnection>>,
    /// Used if the upstream has several endpoints.
    health: Mutex<Health>,
}

#[derive(Debug)]
struct IdleConnection {
    sender: UpstreamSender,
    since: Instant,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// There was no connection, and no byte of the request was sent.
    NotSent(Box<Request<RequestBody>>),
    /// The connection broke, and the upstream may have seen the request.
    Broke,
    /// There was no response in time.
    Late,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("timed out")]
    Late,
    #[error("the endpoint is no longer configured")]
    Gone,
    #[error(transparent)]
    Tcp(Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Socket(std::io::Error),
    #[error("TLS handshake failed")]
    Tls(#[source] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl Pool {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Arc<Self> {
        let (keepalive, weak) = (endpoint.keepalive, Arc::downgrade(endpoint));
        let pool = Arc::new(Self { endpoint: weak, keepalive, idle: Mutex::default(), health: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// Sends a request over an idle connection, or a new one, which is used again afterwards if `reuse` says so.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
        reuse: bool,
        deadline: &Deadline<'_>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        if let Some(sender) = self.take() {
            match self.exchange(sender, request, reuse, deadline).await {
                // The upstream has just closed the idle connection.
                Err(SendError::NotSent(back)) => request = *back,
                done => return done,
            }
        }
        // Boxed because it is rare and large: it includes name resolution and the TLS handshake.
        match Box::pin(self.connect(deadline.left())).await {
            Ok(fresh) => self.exchange(fresh, request, reuse, deadline).await,
            Err(error) => {
                let url = self.endpoint.upgrade().map(|endpoint| endpoint.url.clone());
                tracing::warn!(upstream = url, error = telemetry::chain(&error), "cannot connect to the upstream");
                Err(SendError::NotSent(Box::new(request)))
            }
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        mut sender: UpstreamSender,
        request: Request<RequestBody>,
        reuse: bool,
        deadline: &Deadline<'_>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        match deadline.within(sender.try_send_request(request)).await {
            Some(Ok(response)) => {
                let connection = PooledConnection { sender: reuse.then_some(sender), pool: Arc::clone(self) };
                Ok(response.map(|incoming| UpstreamBody { incoming, _connection: connection }))
            }
            Some(Err(mut error)) => {
                Err(error.take_message().map_or(SendError::Broke, |back| SendError::NotSent(Box::new(back))))
            }
            None => Err(SendError::Late),
        }
    }

    /// The youngest idle connection.
    fn take(&self) -> Option<UpstreamSender> {
        let mut idle = locked(&self.idle);
        while idle.pop_if(|last| last.sender.is_closed()).is_some() {}
        // A connection may still be busy with the rest of a request body for which its upstream did not wait.
        let youngest = idle.iter().rposition(|one| one.sender.is_ready())?;
        let one = idle.remove(youngest);
        (one.since.elapsed() < self.keepalive).then_some(one.sender)
    }

    fn keep(&self, sender: UpstreamSender) {
        let mut idle = locked(&self.idle);
        if !sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push(IdleConnection { sender, since: Instant::now() });
        }
    }

    async fn connect(&self, left: Duration) -> Result<UpstreamSender, ConnectError> {
        let endpoint = self.endpoint.upgrade().ok_or(ConnectError::Gone)?;
        let limit = endpoint.connect.min(left);
        let opened = tokio::time::timeout(limit, open(&endpoint.address, limit)).await;
        opened.unwrap_or(Err(ConnectError::Late))
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        locked(&self.health)
    }

    pub(super) fn note(&self, outcome: AttemptOutcome) {
        let change = self.health().note(outcome, Instant::now());
        let url = self.endpoint.upgrade().map(|endpoint| endpoint.url.clone());
        match change {
            None => {}
            Some(HealthChange::Ejected) => tracing::warn!(upstream = url, "upstream ejected"),
            Some(HealthChange::Restored) => tracing::info!(upstream = url, "upstream back in rotation"),
        }
    }
}

/// The deadline of an upstream's response headers. The upstream's timeout runs from the end of the request body. While
/// the body is still arriving, its own limits apply, and `latest` bounds an upstream that does not read it.
pub(super) struct Deadline<'a> {
    pub(super) received: &'a Received,
    pub(super) begun: Instant,
    pub(super) timeout: Duration,
    pub(super) latest: Instant,
}

impl Deadline<'_> {
    /// Time left to connect; no part of the body is read before that.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    /// Waits for the response headers; `None` if the deadline passes first.
    pub(super) async fn within<F: Future>(&self, response: F) -> Option<F::Output> {
        let mut response = std::pin::pin!(response);
        let mut deadline = self.begun + self.timeout;
        loop {
            if let Ok(response) = tokio::time::timeout_at(deadline.into(), response.as_mut()).await {
                return Some(response);
            }
            let ended = self.received.ended().unwrap_or_else(Instant::now);
            let next = (ended + self.timeout).min(self.latest);
            if next <= deadline {
                return None;
            }
            deadline = next;
        }
    }
}

/// Never contended: the mutex belongs to one worker.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes connections that have been idle too long, for as long as the pool exists.
async fn sweep(pool: Weak<Pool>) {
    while let Some(pool) = pool.upgrade() {
        let keepalive = pool.keepalive;
        locked(&pool.idle).retain(|one| !one.sender.is_closed() && one.since.elapsed() < keepalive);
        drop(pool);
        tokio::time::sleep(keepalive.max(SWEEP_EVERY)).await;
    }
}

async fn open(address: &EndpointAddress, limit: Duration) -> Result<UpstreamSender, ConnectError> {
    match address {
        EndpointAddress::Tcp(uri) => speak(TokioIo::new(tcp(uri, limit).await?)).await,
        EndpointAddress::Tls(uri, trust) => {
            let connector = TlsConnector::from(Arc::clone(&trust.config));
            let stream = connector.connect(trust.name.clone(), tcp(uri, limit).await?).await;
            speak(TokioIo::new(stream.map_err(ConnectError::Tls)?)).await
        }
        EndpointAddress::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(ConnectError::Socket)?;
            speak(TokioIo::new(stream)).await
        }
    }
}

/// Resolves the name and tries its addresses, of both families in parallel; `limit` bounds all attempts together.
async fn tcp(uri: &Uri, limit: Duration) -> Result<TcpStream, ConnectError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(limit));
    let stream = TowerToHyperService::new(connector).call(uri.clone()).await;
    stream.map(TokioIo::into_inner).map_err(|error| ConnectError::Tcp(error.into()))
}

async fn speak(io: impl Read + Write + Send + Unpin + 'static) -> Result<UpstreamSender, ConnectError> {
    let (sender, connection) = handshake(io).await?;
    // The request that uses the connection gets its errors.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

/// A response body and its connection, which goes back to the pool when the response is dropped, if it may be used
/// again.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    _connection: PooledConnection,
}

#[derive(Debug)]
struct PooledConnection {
    sender: Option<UpstreamSender>,
    pool: Arc<Pool>,
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.pool.keep(sender);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
