//! One connection after its TLS handshake: hyper speaks the protocol, the [`ConnectionState`] enforces the deadlines.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1 as h1, http2 as h2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::connection_state::{CloseCause, ConnectionState, RequestGuard, Tracked};
use super::framing::{FramingValidator, SLACK};
use super::guarded_stream::{GuardedStream, linger};
use super::phase::{Phase, reached};
use crate::proxy::connection_info::ConnectionInfo;
use crate::proxy::response_body::Body;
use crate::proxy::tunnel::Tunnel;
use crate::proxy::{Gateway, response};
use crate::reason::Reason;
use crate::snapshot::ListenerLimits;
use crate::telemetry;

/// Maximum number of headers that hyper accepts by default; a configured number costs hyper two allocations per
/// request.
const PARSER_HEADERS: usize = 100;

/// Bytes of responses that one HTTP/2 stream may buffer for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;

/// Flow-control window: bytes that a client may send on one HTTP/2 stream, or on a whole connection, before the gateway
/// has read them. Each connection may hold as many, so it is that of RFC 9113 §6.9.2, and not larger for large bodies.
pub const RECEIVE_WINDOW: u32 = 64 * 1024;

/// A connection is parked after this time without a request: hyper and its two buffers of 8 KiB are dropped until the
/// client sends more.
const PARK_AFTER: Duration = if cfg!(test) { Duration::from_millis(20) } else { Duration::from_secs(2) };

/// How long a connection may take to send its first request once the drain closes connections.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// How often a connection with a request in flight looks whether it has ended, once idle connections are closed at once.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Serves HTTP/1.1 until either side closes the connection.
pub(super) async fn http1<S>(
    stream: S,
    connection: ConnectionInfo,
    gateway: &Arc<Gateway>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = Arc::clone(&connection.limits);
    let state = ConnectionState::new(Arc::clone(&connection.progress));
    let mut builder = h1::Builder::new();
    if limits.max_headers_count > PARSER_HEADERS {
        builder.max_headers(limits.max_headers_count);
    }
    builder.max_header_size(
        usize::try_from(limits.max_headers_size).unwrap_or(usize::MAX).saturating_mul(SLACK).saturating_add(1),
    );
    let (connection, state, current) = (&connection, &state, &phase.clone());
    let mut stream = GuardedStream::new(stream, Arc::clone(state), Some(FramingValidator::new(&limits)));
    let opened = &Opened::default();
    loop {
        // Boxed, since hyper moves it several times and reserves space for it in every connection; created in its box.
        let service = service_fn(move |request| {
            // Called here and not at the first poll: from now on the connection is in use.
            let in_flight = state.begin();
            boxed(|| async move {
                let response = gateway.handle(request, connection).await;
                Ok::<_, Infallible>(tracked(response, in_flight, *current.borrow(), opened))
            })
        });
        // Boxed as well: a parked connection does not hold it.
        let (left, io, all_read) = Box::pin(async {
            let mut connection = builder.serve_connection(TokioIo::new(stream), service);
            let hyper = Pin::new(&mut connection);
            let left = drive(hyper, state, &limits, &mut phase, Some(PARK_AFTER), Phase::Closing).await;
            let parts = connection.into_parts();
            // Empty or not, it would keep hyper's buffer for as long as it exists.
            (left, parts.io, parts.read_buf.is_empty())
        })
        .await;
        stream = io.into_inner();
        let tunnel = locked(opened).take();
        if let (Ok(None), Some(tunnel)) = (&left, tunnel) {
            // Boxed because it is rare and large.
            return Box::pin(run_tunnel(*tunnel, gateway, connection, stream, all_read, phase)).await;
        }
        let (reason, detail) = match left {
            Ok(None) => {
                // After an offer of an upgrade that was not taken, hyper has left the stream open.
                let _ = stream.shutdown().await;
                return;
            }
            Ok(Some(CloseCause::Silent)) => return,
            Err(error) => return parser_failed(gateway, &error, *connection.address),
            // Does not happen; parking would lose the bytes in the buffer.
            Ok(Some(CloseCause::Park)) if !all_read => return,
            Ok(Some(CloseCause::Park)) if park(&mut stream, state, &limits, &mut phase).await => continue,
            Ok(Some(CloseCause::Park)) => return,
            Ok(Some(CloseCause::Head)) => (Reason::RequestTimeout, Some("the headers were not complete in time")),
            Ok(Some(CloseCause::FramingError(framing_error))) => (framing_error.reason(), framing_error.detail()),
        };
        gateway.no_request(reason, detail, *connection.address);
        // Boxed because it has a buffer.
        return Box::pin(linger(&mut stream.into_inner(), &response::without_request(reason))).await;
    }
}

/// A future in a box that is allocated first: one that is made before is copied whole, and most of it is empty.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}

/// A tunnel, which keeps its request in flight. Boxed because it is rare and large.
type Opened = Mutex<Option<Box<(Tunnel, RequestGuard)>>>;

/// The response as hyper sends it; a tunnel in the place of its body is put into `opened`.
fn tracked(mut response: Response<Body>, in_flight: RequestGuard, phase: Phase, opened: &Opened) -> Response<Tracked> {
    if response.status().is_informational() {
        return response.map(|body| {
            *locked(opened) = body.into_tunnel().map(|tunnel| Box::new((tunnel, in_flight)));
            Tracked::none()
        });
    }
    // A client that reads it sends its next request on another connection (RFC 9112 §9.6).
    if phase > Phase::Running {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Tracked::new(body, in_flight))
}

/// Runs the tunnel that a response has opened on this connection.
async fn run_tunnel<S: AsyncRead + AsyncWrite + Unpin + Send>(
    (tunnel, _in_flight): (Tunnel, RequestGuard),
    gateway: &Gateway,
    connection: &ConnectionInfo,
    stream: GuardedStream<S>,
    all_read: bool,
    mut phase: watch::Receiver<Phase>,
) {
    if !all_read || !stream.is_between_requests() {
        return tunnel.reject_early_bytes();
    }
    tunnel.run(&gateway.services, connection, stream.into_inner(), reached(&mut phase, Phase::Closing)).await;
}

/// Never contended: one task has both sides.
fn locked(opened: &Opened) -> MutexGuard<'_, Option<Box<(Tunnel, RequestGuard)>>> {
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts and logs the error responses that hyper sends without a request: its parser rejects targets and headers that
/// the [`FramingValidator`] passes.
fn parser_failed(gateway: &Gateway, error: &hyper::Error, client: SocketAddr) {
    if error.is_parse_too_large() {
        gateway.no_request(Reason::HeadersTooLarge, None, client);
    } else if error.is_parse() {
        gateway.no_request(Reason::BadRequest, Some("the HTTP parser rejects the headers"), client);
    }
}

/// Parks an idle connection until the client sends bytes; false if that took too long, or the connection broke.
async fn park<S: AsyncRead + Unpin>(
    stream: &mut GuardedStream<S>,
    state: &ConnectionState,
    limits: &ListenerLimits,
    phase: &mut watch::Receiver<Phase>,
) -> bool {
    let Some((end, _)) = state.deadline(limits) else { return true };
    tokio::select! {
        unbroken = stream.something_comes() => unbroken,
        // hyper then closes it like any other connection.
        () = reached(phase, Phase::Closing) => true,
        () = sleep_until(end.into()) => false,
    }
}

/// Serves HTTP/2 until either side closes the connection.
pub(super) async fn http2<S>(
    stream: S,
    connection: ConnectionInfo,
    gateway: &Arc<Gateway>,
    mut phase: watch::Receiver<Phase>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = Arc::clone(&connection.limits);
    let state = ConnectionState::new(Arc::clone(&connection.progress));
    let client = *connection.address;
    let (shared, begun) = ((Arc::clone(gateway), connection), Arc::clone(&state));
    let service = service_fn(move |request| {
        let (gateway, connection) = shared.clone();
        let in_flight = begun.begin();
        boxed(|| async move { answer(&gateway, &connection, in_flight, request).await })
    });
    let connection = h2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_local_error_reset_streams(limits.max_pending_resets)
        .max_header_list_size(limits.max_headers_size.saturating_mul(2))
        .initial_stream_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(TokioIo::new(GuardedStream::new(stream, Arc::clone(&state), None)), service);
    let connection = std::pin::pin!(connection);
    // HTTP/2 loses nothing by an early GOAWAY, while HTTP/1 can only close.
    let ended = drive(connection, &state, &limits, &mut phase, None, Phase::Announcing).await;
    if let Some(error) = ended.as_ref().err().and_then(broken_by_client) {
        http2_failed(gateway, error, client);
    }
}

/// The error for which the HTTP/2 library has closed the connection with GOAWAY, if it has.
fn broken_by_client(error: &hyper::Error) -> Option<&::h2::Error> {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<::h2::Error>());
    cause.filter(|cause| cause.is_go_away() && cause.is_library())
}

/// Counts and logs a connection whose client broke HTTP/2, of which no request may show anything.
fn http2_failed(gateway: &Gateway, error: &::h2::Error, client: SocketAddr) {
    gateway.services.metrics.http2_connection_errors().inc();
    if !telemetry::may_log("http2_connection_error") {
        return;
    }
    telemetry::unauthenticated(|| {
        tracing::info!(
            client_address = %client.ip(),
            client_port = client.port(),
            %error,
            "HTTP/2 connection error"
        );
    });
}

/// Handles one request of HTTP/2, which is in flight until the last byte of its response.
async fn answer(
    gateway: &Gateway,
    connection: &ConnectionInfo,
    in_flight: RequestGuard,
    request: Request<Incoming>,
) -> Result<Response<Tracked>, Infallible> {
    let response = gateway.handle(request, connection).await;
    Ok(response.map(|body| Tracked::new(body, in_flight)))
}

/// Runs a connection to its end, or to the deadline that it exceeded. It is parked after `park_after` without requests,
/// if set, and closed in the phase `ends_at` of a drain.
///
/// # Errors
/// hyper's error, if it ended the connection by itself.
async fn drive<C: GracefulConnection<Error = hyper::Error>>(
    mut connection: Pin<&mut C>,
    state: &ConnectionState,
    limits: &ListenerLimits,
    phase: &mut watch::Receiver<Phase>,
    park_after: Option<Duration>,
    ends_at: Phase,
) -> Result<Option<CloseCause>, hyper::Error> {
    // No deadline passes sooner than the shortest timeout after it began: waking at that interval misses none, and no
    // request has to set a timer. Only a connection that was parked has a deadline that began earlier.
    let shortest = limits.shortest().min(park_after.unwrap_or(Duration::MAX));
    let first = Instant::now() + shortest;
    let first = state.deadline(limits).map_or(first, |(at, _)| at.min(first));
    let mut wake = std::pin::pin!(sleep_until(first.into()));
    let (mut ending, mut announced, mut at_once) = (false, false, false);
    loop {
        let next_phase = if ending { Phase::ClosingAtOnce } else { ends_at };
        tokio::select! {
            biased;
            // An error is the client's; hyper has sent any response that was due.
            ended = connection.as_mut() => return ended.map(|()| None),
            expired = state.framing_error() => return Ok(Some(expired)),
            () = reached(phase, next_phase), if !at_once => {
                at_once = std::mem::replace(&mut ending, true);
                if at_once {
                    wake.as_mut().reset(Instant::now().into());
                    continue;
                }
                announced = !state.is_fresh();
                if announced {
                    connection.as_mut().graceful_shutdown();
                } else {
                    // The client has connected to send a request: hyper would close before the request is read.
                    wake.as_mut().reset((Instant::now() + FIRST_WORD).into());
                }
            }
            () = wake.as_mut() => {
                let now = Instant::now();
                if ending && !announced {
                    announced = true;
                    connection.as_mut().graceful_shutdown();
                }
                if at_once && state.is_at_rest() {
                    return Ok(Some(CloseCause::Silent));
                }
                let park = state.idle_since().zip(park_after).filter(|_| !ending);
                let park = park.map(|(since, park)| (since + park, CloseCause::Park));
                let next = state.deadline(limits).into_iter().chain(park).min_by_key(|(at, _)| *at);
                if let Some((_, expired)) = next.filter(|(at, _)| *at <= now) {
                    return Ok(Some(expired));
                }
                let shortest = if at_once { AT_ONCE } else { shortest };
                let look = next.map_or(now + shortest, |(at, _)| at.min(now + shortest));
                wake.as_mut().reset(look.into());
            }
        }
    }
}

#[cfg(test)]
mod tests;
