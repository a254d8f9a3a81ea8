//! One connection after its handshake: hyper speaks the protocol, the [`Activity`] holds it to its deadlines.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1 as h1, http2 as h2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::activity::{Activity, Expired, Protocol, Tracked};
use super::framing::{Framing, SLACK};
use super::watched::{Watched, linger};
use super::{Phase, reached};
use crate::proxy::{Gateway, Peer, reply};
use crate::snapshot::ListenerLimits;

/// So many header fields hyper takes unless it is told; a number that it is told costs it two allocations a request.
const PARSER_HEADERS: usize = 100;

/// Bytes of replies that one HTTP/2 stream may hold for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;

/// What a client may send on one HTTP/2 stream, or on all of a connection, before we have read it.
const RECEIVE_WINDOW: u32 = 256 * 1024;

/// How long a connection may have no request yet when the drain closes.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1 until one side ends it.
pub(super) async fn http1<S>(stream: S, peer: Peer, gateway: &Arc<Gateway>, phase: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = Arc::clone(&peer.limits);
    let activity = Activity::new(Protocol::Http1);
    let framing = Framing::new(&limits);
    let (peer, activity, told) = (&peer, &activity, &phase.clone());
    // Boxed, since hyper moves it several times and keeps a place for it in every connection; made in its box.
    let service = service_fn(move |request| {
        Box::pin(async move {
            let response = answer(gateway, peer, activity, request).await;
            response.map(|response| announce(response, *told.borrow()))
        })
    });
    let mut builder = h1::Builder::new();
    if limits.headers > PARSER_HEADERS {
        builder.max_headers(limits.headers);
    }
    let mut connection = builder
        .max_header_size(
            usize::try_from(limits.head_bytes).unwrap_or(usize::MAX).saturating_mul(SLACK).saturating_add(1),
        )
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(activity), Some(framing))), service);
    let word = match drive(Pin::new(&mut connection), activity, &limits, phase, Phase::Closing).await {
        None | Some(Expired::Silent) => return,
        Some(Expired::Head) => reply::head_timed_out(),
        Some(Expired::Unframed(unframed)) => gateway.unframed(&unframed.failure(), *peer.address),
    };
    let mut stream = connection.into_parts().io.into_inner().into_inner();
    // It has a buffer.
    Box::pin(linger(&mut stream, &word)).await;
}

/// Serves HTTP/2 until one side ends it.
pub(super) async fn http2<S>(stream: S, peer: Peer, gateway: &Arc<Gateway>, phase: watch::Receiver<Phase>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = Arc::clone(&peer.limits);
    let activity = Activity::new(Protocol::Http2);
    let shared = (Arc::clone(gateway), peer, Arc::clone(&activity));
    let service = service_fn(move |request| {
        let (gateway, peer, activity) = shared.clone();
        Box::pin(async move { answer(&gateway, &peer, &activity, request).await })
    });
    let connection = h2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.resets)
        .max_local_error_reset_streams(limits.resets)
        .max_header_list_size(limits.head_bytes.saturating_mul(2))
        .initial_stream_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(&activity), None)), service);
    let connection = std::pin::pin!(connection);
    drive(connection, &activity, &limits, phase, Phase::Announcing).await;
}

/// One request in, one reply out; in flight until the reply's last byte.
async fn answer(
    gateway: &Gateway,
    peer: &Peer,
    activity: &Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Response<Tracked>, Infallible> {
    let in_flight = activity.begin();
    let response = gateway.handle(request, peer).await;
    Ok(response.map(|body| Tracked::new(body, in_flight)))
}

/// A client that reads `Connection: close` sends its next request elsewhere (RFC 9112 §9.6).
fn announce(mut response: Response<Tracked>, phase: Phase) -> Response<Tracked> {
    if phase > Phase::Running {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Runs a connection to its end, or to the deadline that it broke. It is asked to end when the drain has
/// come to `ends_at`: HTTP/2 loses nothing by a GOAWAY at once, while HTTP/1 can only close.
async fn drive<C: GracefulConnection>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    limits: &ListenerLimits,
    mut phase: watch::Receiver<Phase>,
    ends_at: Phase,
) -> Option<Expired> {
    // No deadline can pass sooner than the shortest of them after it began, so that a look every so often
    // misses none, and no request has to set a timer.
    let shortest = limits.shortest();
    let mut wake = std::pin::pin!(sleep_until((Instant::now() + shortest).into()));
    let (mut ending, mut told) = (false, false);
    loop {
        tokio::select! {
            biased;
            // An error is the client's: whatever it was owed, hyper has said.
            _ended = connection.as_mut() => return None,
            expired = activity.unframed() => return Some(expired),
            () = reached(&mut phase, ends_at), if !ending => {
                ending = true;
                told = !activity.is_fresh();
                if told {
                    connection.as_mut().graceful_shutdown();
                } else {
                    // It has connected to send something: hyper would close before it is read.
                    wake.as_mut().reset((Instant::now() + FIRST_WORD).into());
                }
            }
            () = wake.as_mut() => {
                let now = Instant::now();
                if ending && !told {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                let next = activity.deadline(limits);
                if let Some((_, expired)) = next.filter(|(at, _)| *at <= now) {
                    return Some(expired);
                }
                let look = next.map_or(now + shortest, |(at, _)| at.min(now + shortest));
                wake.as_mut().reset(look.into());
            }
        }
    }
}
