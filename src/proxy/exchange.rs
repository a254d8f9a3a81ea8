//! The exchange with the upstream for a request that holds a reservation. It runs in its own task: when a client
//! disconnects, the future of its request is dropped, and a drop can neither wait nor decide. Only this task commits or
//! releases the reservation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

use super::body::{Received, Relayed, RequestBody, ResponseContent, ResponseError};
use super::headers;
use super::stored_response::ResponseRecorder;
use super::upstream::{UpstreamBody, Upstreams};
use crate::auth::Permit;
use crate::failure::Failure;
use crate::limit::ConcurrencyPermits;
use crate::reason::Reason;
use crate::route::Route;
use crate::store::state::Settlement;
use crate::store::{InFlightReservation, Settlements};

/// Frames of a response that are buffered for the client.
const FRAMES: usize = 8;

/// How much longer the rest of a response is read from the upstream if the client reads it too slowly.
const READ_ON: Duration = Duration::from_secs(5);

/// Input of an exchange.
pub(super) struct UpstreamExchange {
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) permit: Permit,
    pub(super) head: Parts,
    pub(super) body: RequestBody,
    pub(super) route: Arc<Route>,
    pub(super) received: Arc<Received>,
    pub(super) reservation: InFlightReservation,
    /// Held until the exchange is over: the upstream is busy with the request until then.
    pub(super) permits: ConcurrencyPermits,
    pub(super) request_id: String,
    /// A drain waits until it is dropped.
    pub(super) alive: mpsc::Sender<()>,
}

type UpstreamResult = Result<Response<ResponseContent>, Failure>;

impl UpstreamExchange {
    /// Starts the exchange; returns the response headers and a streamed body, or the failure.
    pub(super) async fn run(self) -> UpstreamResult {
        let (answer, answered) = oneshot::channel();
        tokio::spawn(self.carry_out(answer));
        // A task that has panicked sends nothing; its lease expires.
        answered.await.unwrap_or(Err(Reason::UpstreamProtocolError.into()))
    }

    async fn carry_out(self, answer: oneshot::Sender<UpstreamResult>) {
        let Self { upstreams, permit, head, body, route, received, reservation, permits, request_id, alive } = self;
        let forwarded = upstreams.forward(&permit, head, body, &route, &received).await;
        let (mut head, incoming, by) = match forwarded.map(Response::into_parts) {
            Ok((head, ResponseContent::Upstream { incoming, by, .. })) => (head, incoming, by),
            // The upstream's responses have no other kind of content.
            Ok((_, ResponseContent::Own(_) | ResponseContent::Relayed(_))) => return,
            Err(failure) => {
                reservation.settle(Settlements::RELEASED).await;
                // Sending fails where the client has disconnected, here and below.
                let _ = answer.send(Err(failure));
                return;
            }
        };
        headers::clean_response(&mut head.headers, &request_id);
        let mut recorder =
            (reservation.keeps_reply() && head.status.is_success()).then(|| ResponseRecorder::new(&head));
        if incoming.is_end_stream() {
            reservation.settle(settlements(&route, head.status, recorder)).await;
            let _ = answer.send(Ok(Response::from_parts(head, ResponseContent::Own(None))));
            return;
        }
        let (frames, relayed) = mpsc::channel(FRAMES);
        let status = head.status;
        let relayed = Relayed::new(relayed, incoming.size_hint(), by + READ_ON);
        let _ = answer.send(Ok(Response::from_parts(head, ResponseContent::Relayed(relayed))));
        let mut relay = Relay { frames: Some(frames), last: None, by, latest: by + READ_ON };
        let whole = relay.pass(incoming, recorder.as_mut()).await;
        let settlements = if whole.is_ok() { settlements(&route, status, recorder) } else { Settlements::RELEASED };
        reservation.settle(settlements).await;
        relay.end(whole).await;
        drop((permits, alive));
    }
}

/// How a complete response with this status settles the reservation. Only a response that commits is stored for an
/// idempotency key.
fn settlements(route: &Route, status: StatusCode, recorder: Option<ResponseRecorder>) -> Settlements {
    let replay = route.duplicates.as_ref().and_then(|rules| rules.replay.as_ref());
    let commits = replay.map_or(status.is_success(), |replay| replay.commit_on.iter().any(|some| some.holds(status)));
    if !commits {
        return Settlements::RELEASED;
    }
    let idempotency = recorder.map_or(Settlement::Release, |recorder| Settlement::Commit(Some(recorder.kept(status))));
    Settlements { replay: Settlement::Commit(None), idempotency }
}

/// A part of a response, passed from the exchange to the client.
#[derive(Debug)]
pub enum ResponseEvent {
    /// A frame, not the last one.
    Frame(Frame<Bytes>),
    /// The end of the response, with the last frame if one was held back.
    End(Option<Frame<Bytes>>),
    /// The response ended prematurely.
    Broke(ResponseError),
}

/// Passes a response on to the client for as long as the client is connected. The end is held back until the
/// reservation is settled, so that a client that has received a complete response can rely on it.
struct Relay {
    frames: Option<mpsc::Sender<ResponseEvent>>,
    last: Option<Frame<Bytes>>,
    by: Instant,
    /// `by`, plus the longest delay that a slow client may add.
    latest: Instant,
}

impl Relay {
    async fn pass(
        &mut self,
        mut incoming: UpstreamBody,
        mut recorder: Option<&mut ResponseRecorder>,
    ) -> Result<(), ResponseError> {
        loop {
            let next = tokio::time::timeout_at(self.by.into(), incoming.frame()).await;
            let frame = match next {
                Err(_elapsed) => return Err(ResponseError::Late),
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(ResponseError::Upstream(error)),
                Ok(Some(Ok(frame))) => frame,
            };
            if let (Some(recorder), Some(data)) = (&mut recorder, frame.data_ref()) {
                recorder.add(data);
            }
            if incoming.is_end_stream() || frame.is_trailers() {
                self.last = Some(frame);
                return Ok(());
            }
            self.send(frame).await;
        }
    }

    /// A client that does not read its response within the upstream's timeout loses it; the response is still read to
    /// its end, because the upstream has processed the request.
    async fn send(&mut self, frame: Frame<Bytes>) {
        let Some(frames) = &self.frames else { return };
        let begun = Instant::now();
        let sent = tokio::time::timeout_at(self.by.into(), frames.send(ResponseEvent::Frame(frame))).await;
        // The upstream cannot write while the client does not read, so that time does not count against the upstream.
        self.by = (self.by + begun.elapsed()).min(self.latest);
        if !matches!(sent, Ok(Ok(()))) {
            self.frames = None;
            self.by = self.latest;
        }
    }

    async fn end(self, whole: Result<(), ResponseError>) {
        let Some(frames) = self.frames else { return };
        let event = match whole {
            Ok(()) => ResponseEvent::End(self.last),
            Err(broke) => ResponseEvent::Broke(broke),
        };
        let _ = tokio::time::timeout(READ_ON, frames.send(event)).await;
    }
}
