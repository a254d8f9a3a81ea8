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

use super::body::{Content, Received, Relayed, ReplyBroke, RequestBody};
use super::headers;
use super::stored_response::Keeper;
use super::upstream::{Reply, Upstreams};
use crate::auth::Permit;
use crate::failure::{Failure, UpstreamFault};
use crate::limit::Places;
use crate::route::Route;
use crate::store::state::Settlement;
use crate::store::{Ending, Kept};

/// Frames of a response that are buffered for the client.
const FRAMES: usize = 8;

/// How much longer the rest of a response is read from the upstream if the client reads it too slowly.
const READ_ON: Duration = Duration::from_secs(5);

/// Input of an exchange.
pub(super) struct Exchange {
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) permit: Permit,
    pub(super) head: Parts,
    pub(super) body: RequestBody,
    pub(super) route: Arc<Route>,
    pub(super) received: Arc<Received>,
    pub(super) reservation: Kept,
    /// Held until the exchange is over: the upstream is busy with the request until then.
    pub(super) places: Places,
    pub(super) request_id: String,
    /// A drain waits until it is dropped.
    pub(super) alive: mpsc::Sender<()>,
}

type Answer = Result<Response<Content>, Failure>;

impl Exchange {
    /// Starts the exchange; returns the response headers and a streamed body, or the failure.
    pub(super) async fn run(self) -> Answer {
        let (answer, answered) = oneshot::channel();
        tokio::spawn(self.carry_out(answer));
        // A task that has panicked sends nothing; its lease expires.
        answered.await.unwrap_or(Err(Failure::Upstream(UpstreamFault::ProtocolError)))
    }

    async fn carry_out(self, answer: oneshot::Sender<Answer>) {
        let Self { upstreams, permit, head, body, route, received, reservation, places, request_id, alive } = self;
        let forwarded = upstreams.forward(&permit, head, body, &route, &received).await;
        let (mut head, incoming, by) = match forwarded.map(Response::into_parts) {
            Ok((head, Content::Upstream { incoming, by, .. })) => (head, incoming, by),
            // The upstream's responses have no other kind of content.
            Ok((_, Content::Own(_) | Content::Relayed(_))) => return,
            Err(failure) => {
                reservation.settle(Ending::RELEASED).await;
                // Sending fails where the client has disconnected, here and below.
                let _ = answer.send(Err(failure));
                return;
            }
        };
        headers::clean_response(&mut head.headers, &request_id);
        let mut keeper = (reservation.keeps_reply() && head.status.is_success()).then(|| Keeper::new(&head));
        if incoming.is_end_stream() {
            reservation.settle(ending(&route, head.status, keeper)).await;
            let _ = answer.send(Ok(Response::from_parts(head, Content::Own(None))));
            return;
        }
        let (frames, relayed) = mpsc::channel(FRAMES);
        let status = head.status;
        let relayed = Relayed::new(relayed, incoming.size_hint(), by + READ_ON);
        let _ = answer.send(Ok(Response::from_parts(head, Content::Relayed(relayed))));
        let mut relay = Relay { frames: Some(frames), last: None, by, latest: by + READ_ON };
        let whole = relay.pass(incoming, keeper.as_mut()).await;
        let ending = if whole.is_ok() { ending(&route, status, keeper) } else { Ending::RELEASED };
        reservation.settle(ending).await;
        relay.end(whole).await;
        drop((places, alive));
    }
}

/// How a complete response with this status settles the reservation. Only a response that commits is stored for an
/// idempotency key.
fn ending(route: &Route, status: StatusCode, keeper: Option<Keeper>) -> Ending {
    let replay = route.admission.as_ref().and_then(|rules| rules.replay.as_ref());
    let commits = replay.map_or(status.is_success(), |replay| replay.commit_on.iter().any(|some| some.holds(status)));
    if !commits {
        return Ending::RELEASED;
    }
    let idempotency = keeper.map_or(Settlement::Release, |keeper| Settlement::Commit(Some(keeper.kept(status))));
    Ending { replay: Settlement::Commit(None), idempotency }
}

/// A part of a response, passed from the exchange to the client.
#[derive(Debug)]
pub enum Piece {
    /// A frame, not the last one.
    Frame(Frame<Bytes>),
    /// The end of the response, with the last frame if one was held back.
    End(Option<Frame<Bytes>>),
    /// The response ended prematurely.
    Broke(ReplyBroke),
}

/// Passes a response on to the client for as long as the client is connected. The end is held back until the
/// reservation is settled, so that a client that has received a complete response can rely on it.
struct Relay {
    frames: Option<mpsc::Sender<Piece>>,
    last: Option<Frame<Bytes>>,
    by: Instant,
    /// `by`, plus the longest delay that a slow client may add.
    latest: Instant,
}

impl Relay {
    async fn pass(&mut self, mut incoming: Reply, mut keeper: Option<&mut Keeper>) -> Result<(), ReplyBroke> {
        loop {
            let next = tokio::time::timeout_at(self.by.into(), incoming.frame()).await;
            let frame = match next {
                Err(_elapsed) => return Err(ReplyBroke::Late),
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(ReplyBroke::Upstream(error)),
                Ok(Some(Ok(frame))) => frame,
            };
            if let (Some(keeper), Some(data)) = (&mut keeper, frame.data_ref()) {
                keeper.add(data);
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
        let sent = tokio::time::timeout_at(self.by.into(), frames.send(Piece::Frame(frame))).await;
        // The upstream cannot write while the client does not read, so that time does not count against the upstream.
        self.by = (self.by + begun.elapsed()).min(self.latest);
        if !matches!(sent, Ok(Ok(()))) {
            self.frames = None;
            self.by = self.latest;
        }
    }

    async fn end(self, whole: Result<(), ReplyBroke>) {
        let Some(frames) = self.frames else { return };
        let piece = match whole {
            Ok(()) => Piece::End(self.last),
            Err(broke) => Piece::Broke(broke),
        };
        let _ = tokio::time::timeout(READ_ON, frames.send(piece)).await;
    }
}
