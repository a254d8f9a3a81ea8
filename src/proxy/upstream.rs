//! Connections to the upstreams: kept alive, bounded in time. One pool per worker and endpoint, so that no lock is
//! shared.
//!
//! A request is never sent twice: whether to retry a request that an upstream may have seen is the sender's decision
//! (hyper#2136 has the race in which a blind retry would duplicate an event). It is sent again, and of several endpoints
//! another one is tried, only if no byte of it was sent, or an HTTP/2 upstream says that it has not processed it.

mod connection;
mod deadline;
mod exchange_end;
mod health;
mod pool;
mod shared;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::Body as _;

use super::request_body::{Received, RequestBody};
use super::{headers, websocket};
use crate::auth::{Permit, Policy};
use crate::failure::{Failure, UpstreamFault};
use crate::reason::Reason;
use crate::route::{Endpoint, HostHeader, Protocol, Reuse, Route, Upstream};
use crate::telemetry;
use connection::ConnectError;
use deadline::Deadline;
pub use deadline::{ResponseDeadline, ResponseTimer};
use health::AttemptOutcome;
pub use pool::UpstreamBody;
use pool::{Delivery, Pool, SendError};

/// The connection pools of one worker.
#[derive(Debug, Default)]
pub struct Upstreams(Mutex<Pools>);

#[derive(Debug, Default)]
struct Pools {
    all: Vec<Arc<Pool>>,
    /// Number of requests so far to routes with several endpoints.
    turn: u64,
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The response, without hop-by-hop headers.
    pub response: Response<UpstreamBody>,
    /// Deadlines of the rest of the response.
    pub deadline: ResponseDeadline,
}

/// How much longer than its upstream's deadline an exchange may take: to end a response, and to settle its reservation.
pub const MARGIN: Duration = Duration::from_secs(10);

/// Opens a connection as for a request, and closes it.
///
/// # Errors
/// Why there is no connection.
pub async fn probe(endpoint: &Endpoint) -> Result<(), String> {
    match tokio::time::timeout(endpoint.connect, connection::open(endpoint, endpoint.connect)).await {
        Ok(opened) => opened.map(drop).map_err(|error| telemetry::chain(&error)),
        Err(_late) => Err(ConnectError::Late.to_string()),
    }
}

impl Upstreams {
    /// Sends a request to the upstream of its route; requires a [`Permit`] as proof of the decision. The response's
    /// headers are those for the client. The request is completed before the future, which would otherwise hold it
    /// twice.
    ///
    /// Where the connection is not used again, the upstream is told before it reads the body: otherwise it would process
    /// an unread body as another request, whose response is discarded.
    ///
    /// # Errors
    /// The reason of the client's body if that was at fault, otherwise that of the upstream.
    pub fn send(
        &self,
        permit: &Permit,
        mut request: Box<Request<RequestBody>>,
        route: &Route,
        received: &Received,
        request_id: &str,
    ) -> impl Future<Output = Result<UpstreamResponse, Failure>> {
        let upstream = &route.upstream;
        let target = target(upstream, std::mem::take(request.uri_mut()));
        *request.version_mut() = Version::HTTP_11;
        if let Some(HostHeader::Literal { value, .. }) = &upstream.host {
            request.headers_mut().insert(HOST, value.clone());
        }
        let protocol = upstream.first.protocol;
        if protocol == Protocol::Http2 {
            request.body_mut().forward_trailers();
        }
        let has_body = !request.body().is_end_stream();
        if has_body && protocol == Protocol::Http1 && !request.headers().contains_key(CONTENT_LENGTH) {
            // hyper would send no body with a GET of unknown length.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let expected_accept = websocket::expected_accept(request.headers());
        let is_handshake = request.headers().contains_key(UPGRADE);
        let authenticated = is_authenticated(permit, route);
        // A connection of a handshake is never used again: the upstream may have switched with any response.
        let reuse = match protocol {
            Protocol::Http1 => !is_handshake && upstream.reuse.allows(request.method(), has_body, authenticated),
            // A body that is not read cannot become a request: it is framed by its stream.
            Protocol::Http2 => upstream.reuse != Reuse::Never,
        };
        if !reuse && !is_handshake && protocol == Protocol::Http1 {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let timeouts = upstream.timeouts;
        let deadline = Deadline::new(&timeouts, request.body(), received);
        let delivery = Delivery { reuse, protocol, own_host: upstream.host == Some(HostHeader::Endpoint), deadline };
        let (only, several) = self.pools(upstream);
        async move {
            *request.uri_mut() = target.ok_or(Reason::UriTooLong)?;
            let sent = match only {
                Some(pool) => pool.send(request, &delivery).await,
                None => Box::pin(send_to_one_of(several, request, &delivery)).await,
            };
            let (reason, cause) = match sent {
                Ok(response) => {
                    let deadline = ResponseDeadline::new(&timeouts, received.ended());
                    return accept(response, expected_accept.as_deref(), deadline, request_id);
                }
                Err(SendError::NotSent(_, cause) | SendError::Refused(_, cause)) => {
                    (Reason::UpstreamUnreachable, cause)
                }
                Err(SendError::Reset(cause) | SendError::Broke(cause)) => (Reason::UpstreamProtocolError, cause),
                Err(SendError::Late(cause)) => (Reason::UpstreamTimeout, cause),
            };
            Err(received.fault().map_or_else(|| UpstreamFault::new(reason, cause).into(), Failure::from))
        }
    }

    /// The only pool, or several in the order in which they are tried; the first is next in the round robin.
    fn pools(&self, upstream: &Upstream) -> (Option<Arc<Pool>>, Vec<Arc<Pool>>) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = pools.of(&upstream.first);
        if upstream.others.is_empty() {
            return (Some(first), Vec::new());
        }
        let now = Instant::now();
        let mut several: Vec<_> =
            std::iter::once(first).chain(upstream.others.iter().map(|other| pools.of(other))).collect();
        several.sort_by_cached_key(|pool| pool.health().rank(now));
        pools.turn += 1;
        several.iter().take(1).for_each(|next| next.health().begin(pools.turn, now));
        (None, several)
    }
}

impl Pools {
    /// Found by identity: an endpoint with another CA, or any other change, is another endpoint.
    fn of(&mut self, endpoint: &Arc<Endpoint>) -> Arc<Pool> {
        if let Some(pool) = self.all.iter().find(|pool| pool.endpoint.as_ptr() == Arc::as_ptr(endpoint)) {
            return Arc::clone(pool);
        }
        self.all.retain(|pool| pool.endpoint.strong_count() > 0);
        let pool = Pool::new(endpoint);
        self.all.push(Arc::clone(&pool));
        pool
    }
}

/// Tries the next pool only if the upstream has not processed the request.
async fn send_to_one_of(
    pools: Vec<Arc<Pool>>,
    request: Box<Request<RequestBody>>,
    delivery: &Delivery<'_>,
) -> Result<Response<UpstreamBody>, SendError> {
    let (mut unsent, mut cause) = (request, String::new());
    for pool in pools {
        let sent = pool.send(unsent, delivery).await;
        let outcome = sent.as_ref().map_or_else(SendError::outcome, |_| AttemptOutcome::Answered);
        // A request body that ends prematurely says nothing about the upstream.
        if outcome != AttemptOutcome::Unanswered || delivery.deadline.received.fault().is_none() {
            pool.note(outcome);
        }
        match sent {
            Err(SendError::NotSent(back, why) | SendError::Refused(Some(back), why))
                if !delivery.deadline.left().is_zero() =>
            {
                (unsent, cause) = (back, why);
            }
            done => return done,
        }
    }
    Err(SendError::NotSent(unsent, cause))
}

/// Whether a credential was verified: not on a public route, and not for a request that only a dry run forwards.
fn is_authenticated(permit: &Permit, route: &Route) -> bool {
    matches!(permit, Permit::Granted(_)) && !matches!(route.rules.policy, Policy::Public)
}

/// The target that the upstream gets, in origin form, without scheme and authority; `None` if a prefix makes it too
/// long.
fn target(upstream: &Upstream, came: Uri) -> Option<Uri> {
    if came.authority().is_none() && upstream.path.is_none() {
        return Some(came);
    }
    // In absolute form the path may be empty (RFC 9112 §3.2.1), even before a query.
    let received = match came.path_and_query() {
        Some(received) if !received.as_str().starts_with('?') => received.clone(),
        Some(query) => PathAndQuery::try_from(format!("/{}", query.as_str())).ok()?,
        None => PathAndQuery::from_static("/"),
    };
    upstream.path.as_ref().map_or(Some(received.clone()), |path| path.target(&received)).map(Uri::from)
}

fn accept(
    mut response: Response<UpstreamBody>,
    expected_accept: Option<&str>,
    deadline: ResponseDeadline,
    request_id: &str,
) -> Result<UpstreamResponse, Failure> {
    // An upstream that switches without being asked, or to something else, is in error.
    let switches = response.status().is_informational();
    if switches && !expected_accept.is_some_and(|expected| websocket::completes(response.headers(), expected)) {
        let cause = format!("the response has the status {}", response.status().as_u16());
        return Err(UpstreamFault::new(Reason::UpstreamProtocolError, cause).into());
    }
    // The client's connection keeps its own protocol version, regardless of the upstream's.
    *response.version_mut() = Version::HTTP_11;
    let status = response.status();
    if !headers::clean_response(response.headers_mut(), status, request_id) {
        let cause = "the response has a Transfer-Encoding other than chunked".to_owned();
        return Err(UpstreamFault::new(Reason::UpstreamProtocolError, cause).into());
    }
    if switches {
        websocket::announce(response.headers_mut());
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    Ok(UpstreamResponse { response, deadline })
}
