//! Connections to the apps: kept alive, bounded in time. One pool a worker, so that no lock is shared.
//!
//! A request is never sent a second time: what an app may have seen is the sender's to retry
//! (hyper#2136 has the race that a blind retry would turn into a doubled event).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::{Content, Received, RequestBody};
use crate::auth::Permit;
use crate::failure::{Failure, UpstreamFault};
use crate::route::{Route, Upstream};

type Pool = Client<HttpConnector, RequestBody>;

/// Unused connections that a pool keeps to one app.
const MAX_IDLE: usize = 256;

/// The pools of one worker: one for each pair of `connect` and `idle` that the routes use.
#[derive(Default)]
pub struct Upstreams(Mutex<Vec<(Duration, Duration, Pool)>>);

/// What an exchange may take longer than its upstream's deadline: for the end of a reply, and to settle what it holds.
pub const MARGIN: Duration = Duration::from_secs(10);

impl Upstreams {
    /// Sends the request on; only a [`Permit`] opens this way.
    ///
    /// # Errors
    /// [`Failure::Body`] where the client's body was at fault, else [`Failure::Upstream`].
    pub async fn forward(
        &self,
        _proof: &Permit,
        mut head: Parts,
        body: RequestBody,
        route: &Route,
        received: &Received,
    ) -> Result<Response<Content>, Failure> {
        let begun = Instant::now();
        head.uri = upstream_uri(&head.uri, &route.upstream).ok_or(Failure::BadRequest)?;
        head.version = Version::HTTP_11;
        if !body.is_end_stream() && !head.headers.contains_key(CONTENT_LENGTH) {
            // The client library would send no body with a GET of unknown length.
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let latest = body.latest_end() + route.upstream.timeout;
        let pending = self.pool(&route.upstream).request(Request::from_parts(head, body));
        match within(pending, received, begun, route.upstream.timeout, latest).await {
            Some(Ok(response)) => accept(response, received, route.upstream.timeout),
            Some(Err(error)) => Err(blame(&error, received)),
            None => Err(received.fault().map_or(Failure::Upstream(UpstreamFault::Timeout), Failure::Body)),
        }
    }

    fn pool(&self, upstream: &Upstream) -> Pool {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pools.iter().find(|(connect, idle, _)| (*connect, *idle) == (upstream.connect, upstream.idle));
        if let Some((_, _, pool)) = found {
            return pool.clone();
        }
        let pool = new_pool(upstream);
        pools.push((upstream.connect, upstream.idle, pool.clone()));
        pool
    }
}

fn new_pool(upstream: &Upstream) -> Pool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(upstream.connect));
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(upstream.idle)
        .pool_max_idle_per_host(MAX_IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// The target as it came, at the app's address.
fn upstream_uri(came: &Uri, upstream: &Upstream) -> Option<Uri> {
    let target = came.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(upstream.authority.clone()).path_and_query(target);
    uri.build().ok()
}

/// The app's time runs from the end of the request's body; while that still comes, its own limits hold, and
/// `latest` bounds an app that does not read it.
async fn within<F: Future>(
    answer: F,
    received: &Received,
    begun: Instant,
    timeout: Duration,
    latest: Instant,
) -> Option<F::Output> {
    let mut answer = std::pin::pin!(answer);
    let mut deadline = begun + timeout;
    loop {
        if let Ok(answer) = tokio::time::timeout_at(deadline.into(), answer.as_mut()).await {
            return Some(answer);
        }
        let next = received.ended().map_or(Instant::now() + timeout, |ended| ended + timeout).min(latest);
        if next <= deadline {
            return None;
        }
        deadline = next;
    }
}

fn accept(
    mut response: Response<Incoming>,
    received: &Received,
    timeout: Duration,
) -> Result<Response<Content>, Failure> {
    // We never asked for another protocol, so an app that switches is out of step.
    if response.status().is_informational() {
        return Err(Failure::Upstream(UpstreamFault::Protocol));
    }
    let by = received.ended().unwrap_or_else(Instant::now) + timeout;
    // Our own connection to the client is what it is, whatever the app speaks.
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|incoming| Content::Upstream { incoming, by, timer: None }))
}

fn blame(error: &Error, received: &Received) -> Failure {
    match received.fault() {
        Some(fault) => Failure::Body(fault),
        None if error.is_connect() => Failure::Upstream(UpstreamFault::Unreachable),
        None => Failure::Upstream(UpstreamFault::Protocol),
    }
}
