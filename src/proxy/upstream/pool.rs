//! The connections of one worker to one endpoint: opened when there is no idle one, reused within
//! `upstream.timeouts.keepalive`.
//!
//! The pool reports for each failed request whether the upstream may have processed it, and never sends such a request
//! again.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;

use super::connection::{ConnectError, UpstreamSender, open, to_http2};
use super::deadline::Deadline;
use super::exchange_end::ExchangeEnd;
use super::health::{AttemptOutcome, Health, HealthChange};
use super::shared::SharedConnections;
use crate::proxy::request_body::RequestBody;
use crate::route::{Endpoint, EndpointAddress, Protocol};
use crate::telemetry;

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
    /// Host and port of the endpoint's URL, for `host: upstream`.
    host: Option<HeaderValue>,
    /// Idle HTTP/1 connections, oldest first.
    idle: Mutex<Vec<IdleConnection>>,
    /// HTTP/2 connections, idle or not.
    shared: SharedConnections,
    /// Held by the request that opens an HTTP/2 connection, on which others may then find room.
    opening: tokio::sync::Mutex<()>,
    /// The scheme of HTTP/2 requests.
    scheme: Scheme,
    /// Used if the upstream has several endpoints.
    health: Mutex<Health>,
}

#[derive(Debug)]
struct IdleConnection {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// How a request is sent.
pub(super) struct Delivery<'a> {
    /// Whether its connection is used again afterwards.
    pub(super) reuse: bool,
    pub(super) protocol: Protocol,
    /// Whether its Host is that of the endpoint's URL.
    pub(super) own_host: bool,
    pub(super) deadline: Deadline<'a>,
}

/// Why there is no response, with the cause in a text for the log.
#[derive(Debug)]
pub(super) enum SendError {
    /// There was no connection, and no byte of the request was sent.
    NotSent(Box<Request<RequestBody>>, String),
    /// The upstream has rejected the request without processing it (REFUSED_STREAM). With the request, unless its body was streamed.
    Refused(Option<Box<Request<RequestBody>>>, String),
    /// The upstream has reset the stream, and may have processed the request.
    Reset(String),
    /// The connection broke, and the upstream may have seen the request.
    Broke(String),
    /// There was no response in time.
    Late(String),
}

impl SendError {
    /// The outcome for the health of the upstream.
    pub(super) const fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::NotSent(..) => AttemptOutcome::Unreached,
            Self::Refused(..) | Self::Reset(_) => AttemptOutcome::Answered,
            Self::Broke(_) | Self::Late(_) => AttemptOutcome::Unanswered,
        }
    }
}

impl Pool {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Arc<Self> {
        let host = endpoint.address.uri().and_then(|uri| HeaderValue::from_str(uri.authority()?.as_str()).ok());
        let pool = Arc::new(Self {
            endpoint: Arc::downgrade(endpoint),
            keepalive: endpoint.keepalive,
            host,
            idle: Mutex::default(),
            shared: SharedConnections::default(),
            opening: tokio::sync::Mutex::default(),
            scheme: if matches!(endpoint.address, EndpointAddress::Tls(..)) { Scheme::HTTPS } else { Scheme::HTTP },
            health: Mutex::default(),
        });
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// Sends a request over a connection with room for it, or a new one. One that the upstream has not processed is sent
    /// once more.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Box<Request<RequestBody>>,
        delivery: &Delivery<'_>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        if let (true, Some(host)) = (delivery.own_host, &self.host) {
            request.headers_mut().insert(HOST, host.clone());
        }
        let (mut is_retry, mut is_new) = (false, false);
        loop {
            let free = if is_new { None } else { self.take(delivery.protocol) };
            let sender = match free {
                Some(free) => Ok(free),
                // Boxed because it is rare and large: it includes name resolution and the TLS handshake.
                None => {
                    tracing::debug!(upstream = self.url(), "connecting to the upstream");
                    Box::pin(self.connect(delivery)).await
                }
            };
            let sender = match sender {
                Ok(sender) => sender,
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(upstream = self.url(), error, "cannot connect to the upstream");
                    return Err(SendError::NotSent(request, self.detail(&error)));
                }
            };
            match self.exchange(sender, request, delivery).await {
                // The upstream has just closed the idle connection.
                Err(SendError::NotSent(back, _)) if !is_retry => (request, is_retry, is_new) = (back, true, true),
                Err(SendError::Refused(Some(back), _)) if !is_retry => (request, is_retry) = (back, true),
                done => return done,
            }
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        sender: UpstreamSender,
        mut request: Box<Request<RequestBody>>,
        Delivery { reuse, deadline, .. }: &Delivery<'_>,
    ) -> Result<Response<UpstreamBody>, SendError> {
        let pool = Arc::clone(self);
        match sender {
            UpstreamSender::Http1(mut sender) => {
                let sent = deadline.within(pin!(sender.try_send_request(*request))).await;
                self.answered(sent, deadline, None, || {
                    let sender = reuse.then_some(UpstreamSender::Http1(sender));
                    PooledConnection { sender, pool }
                })
            }
            UpstreamSender::Http2(shared) => {
                // Before the wait: the client may leave.
                let connection = PooledConnection { sender: Some(UpstreamSender::Http2(shared.clone())), pool };
                let copy = copy(&mut request);
                if !to_http2(&mut request, &self.scheme) {
                    return Err(SendError::Broke(self.detail("the Host of the request cannot be sent in HTTP/2")));
                }
                let mut requests = shared.requests.clone();
                let sent = deadline.within(pin!(requests.try_send_request(*request))).await;
                let is_alive = match &sent {
                    Some(Ok(_)) => true,
                    Some(Err(error)) => ExchangeEnd::of(error.error()).is_of_one_stream(),
                    None => false,
                };
                // A request body that ends prematurely says nothing about the connection.
                if !is_alive && deadline.received.fault().is_none() {
                    self.shared.retire(&shared);
                }
                self.answered(sent, deadline, copy, || connection)
            }
        }
    }

    fn answered(
        &self,
        sent: Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
        deadline: &Deadline<'_>,
        copy: Option<Box<Request<RequestBody>>>,
        connection: impl FnOnce() -> PooledConnection,
    ) -> Result<Response<UpstreamBody>, SendError> {
        match sent {
            Some(Ok(response)) => Ok(response.map(|incoming| UpstreamBody { incoming, _connection: connection() })),
            Some(Err(mut error)) => {
                let back = error.take_message();
                let ending = ExchangeEnd::of(error.error());
                let cause = self.detail(&format!("{ending}{}", telemetry::chain(error.error())));
                Err(match (back, ending) {
                    (Some(back), _) => SendError::NotSent(Box::new(back), cause),
                    (None, ExchangeEnd::Refused | ExchangeEnd::LeftOut) => SendError::Refused(copy, cause),
                    (None, ExchangeEnd::Reset) => SendError::Reset(cause),
                    (None, ExchangeEnd::Closed | ExchangeEnd::Malformed | ExchangeEnd::Other) => {
                        SendError::Broke(cause)
                    }
                })
            }
            None => Err(SendError::Late(self.detail(&format!("no response headers within {}", deadline.key)))),
        }
    }

    fn url(&self) -> Option<String> {
        self.endpoint.upgrade().map(|endpoint| endpoint.url.clone())
    }

    /// The text for the log: of several endpoints, which one.
    fn detail(&self, cause: &str) -> String {
        self.url().map_or_else(|| cause.to_owned(), |url| format!("{url}: {cause}"))
    }

    /// The youngest idle connection, or one with room for another stream.
    fn take(&self, protocol: Protocol) -> Option<UpstreamSender> {
        if protocol == Protocol::Http2 {
            return self.shared.take(self.keepalive).map(UpstreamSender::Http2);
        }
        let mut idle = locked(&self.idle);
        while idle.pop_if(|last| last.sender.is_closed()).is_some() {}
        // A connection may still be busy with the rest of a request body for which its upstream did not wait.
        let youngest = idle.iter().rposition(|one| one.sender.is_ready())?;
        let one = idle.remove(youngest);
        (one.since.elapsed() < self.keepalive).then_some(UpstreamSender::Http1(one.sender))
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        let mut idle = locked(&self.idle);
        if !sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push(IdleConnection { sender, since: Instant::now() });
        }
    }

    /// A new connection. Of the requests that find no HTTP/2 connection with room, one at a time opens one, and the others
    /// wait, no longer than they could wait for their own.
    async fn connect(&self, delivery: &Delivery<'_>) -> Result<UpstreamSender, ConnectError> {
        let endpoint = self.endpoint.upgrade().ok_or(ConnectError::Gone)?;
        let limit = endpoint.connect.min(delivery.deadline.left());
        let opened = tokio::time::timeout(limit, async {
            if delivery.protocol == Protocol::Http1 || !delivery.reuse {
                return open(&endpoint, limit).await;
            }
            let _opening = self.opening.lock().await;
            if let Some(free) = self.take(delivery.protocol) {
                return Ok(free);
            }
            let fresh = open(&endpoint, limit).await?;
            if let UpstreamSender::Http2(fresh) = &fresh {
                self.shared.add(fresh);
            }
            Ok(fresh)
        });
        opened.await.unwrap_or(Err(ConnectError::Late))
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        locked(&self.health)
    }

    pub(super) fn note(&self, outcome: AttemptOutcome) {
        let change = self.health().note(outcome, Instant::now());
        match change {
            None => {}
            Some(HealthChange::Ejected) => tracing::warn!(upstream = self.url(), "upstream ejected"),
            Some(HealthChange::Restored) => tracing::info!(upstream = self.url(), "upstream back in rotation"),
        }
    }
}

/// The request once more, unless its body is streamed.
fn copy(request: &mut Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    let mut copy = Request::new(request.body_mut().copy()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(Box::new(copy))
}

/// Never contended: the mutex belongs to one worker.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes connections that have been idle too long, for as long as the pool exists.
async fn sweep(pool: Weak<Pool>) {
    while let Some(pool) = pool.upgrade() {
        let keepalive = pool.keepalive;
        pool.shared.sweep(keepalive);
        locked(&pool.idle).retain(|one| !one.sender.is_closed() && one.since.elapsed() < keepalive);
        drop(pool);
        tokio::time::sleep(keepalive.max(SWEEP_EVERY)).await;
    }
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
        match self.sender.take() {
            Some(UpstreamSender::Http1(sender)) => self.pool.keep(sender),
            Some(UpstreamSender::Http2(sender)) => self.pool.shared.give_back(&sender),
            None => {}
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
