//! The response to a request that holds a reservation. It runs in the task that has sent the request: when a client
//! disconnects, the future of its request is dropped, and a drop can neither wait nor decide. Only this task commits or
//! releases the reservation.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

use super::response_body::{Relayed, ResponseContent, ResponseEvent};
use super::response_error::ResponseError;
use super::response_start::{BegunBody, BegunResponse, GRPC, has_type};
use super::stored_response::ResponseRecorder;
use super::upstream::ResponseDeadline;
use crate::failure::Failure;
use crate::route::Route;
use crate::store::state::Settlement;
use crate::store::{InFlightReservation, Settlements};

/// Frames of a response that are buffered for the client.
const FRAMES: usize = 8;

/// How much longer the rest of a response is read from the upstream if the client reads it too slowly.
const READ_ON: Duration = Duration::from_secs(5);

/// Settles the reservation of a request by its response, and passes the response headers and a streamed body, or the
/// failure, on to `responder`.
pub(super) async fn relay(
    sent: Result<BegunResponse, Failure>,
    reservation: InFlightReservation,
    route: &Route,
    is_handshake: bool,
    responder: oneshot::Sender<Result<Response<ResponseContent>, Failure>>,
) {
    let BegunResponse { response, deadline } = match sent {
        Ok(response) => response,
        Err(failure) => {
            reservation.settle(Settlements::RELEASED).await;
            // Sending fails where the client has disconnected, here and below.
            let _ = responder.send(Err(failure));
            return;
        }
    };
    let (head, incoming) = response.into_parts();
    let (status, grpc) = (head.status, GrpcStatus::of(&head.headers));
    // An upstream that does not switch has not accepted a handshake of WebSocket, with any status.
    let is_answer = !is_handshake || status.is_informational();
    let accepted = |trailers| is_answer && grpc.succeeded(trailers);
    let mut recorder = (reservation.keeps_reply() && status.is_success()).then(|| ResponseRecorder::new(&head));
    if incoming.is_end_stream() {
        let settlements = if accepted(None) { settlements(route, status, recorder) } else { Settlements::RELEASED };
        reservation.settle(settlements).await;
        let _ = responder.send(Ok(Response::from_parts(head, ResponseContent::Own(None))));
        return;
    }
    let (frames, events) = mpsc::channel(FRAMES);
    // A complete response waits for the store alone, and then for the client.
    let latest = deadline.due() + READ_ON;
    let complete_by = if incoming.is_complete() { Instant::now() + READ_ON } else { latest };
    let relayed = Relayed { events, hint: incoming.size_hint(), due: complete_by, ended: false };
    let _ = responder.send(Ok(Response::from_parts(head, ResponseContent::Relayed(relayed))));
    let mut relay = Relay { frames: Some(frames), last: None, deadline, latest };
    let whole = relay.pass(incoming, recorder.as_mut()).await;
    let accepted = whole.is_ok() && accepted(relay.last.as_ref().and_then(Frame::trailers_ref));
    let settlements = if accepted { settlements(route, status, recorder) } else { Settlements::RELEASED };
    reservation.settle(settlements).await;
    relay.end(whole).await;
}

/// How a complete response with this status settles the reservation. Only a response that commits is stored for an
/// idempotency key. A response that opens a tunnel commits: the upstream has accepted the request.
fn settlements(route: &Route, status: StatusCode, recorder: Option<ResponseRecorder>) -> Settlements {
    let replay = route.duplicates.as_ref().and_then(|rules| rules.replay.as_ref());
    let commits = replay.map_or(status.is_success(), |replay| replay.commit_on.iter().any(|some| some.holds(status)));
    if !commits && !status.is_informational() {
        return Settlements::RELEASED;
    }
    let idempotency =
        recorder.map_or(Settlement::Release, |recorder| Settlement::Commit(Some(recorder.into_message(status))));
    Settlements { replay: Settlement::Commit(None), idempotency }
}

/// Where a response has the status of a gRPC call, whose HTTP status is 200 even if the call has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrpcStatus {
    /// The response is none of gRPC.
    Nowhere,
    InTrailers,
    /// The headers have it; whether it is success.
    InHeaders(bool),
}

impl GrpcStatus {
    fn of(headers: &HeaderMap) -> Self {
        match headers.get(GRPC_STATUS) {
            Some(status) => Self::InHeaders(status == "0"),
            None if has_type(headers, GRPC) => Self::InTrailers,
            None => Self::Nowhere,
        }
    }

    /// False also for a gRPC call without a status, which its client takes for a failure.
    fn succeeded(self, trailers: Option<&HeaderMap>) -> bool {
        match self {
            Self::Nowhere => true,
            Self::InHeaders(succeeded) => succeeded,
            Self::InTrailers => trailers.and_then(|all| all.get(GRPC_STATUS)).is_some_and(|status| status == "0"),
        }
    }
}

const GRPC_STATUS: &str = "grpc-status";

/// Passes a response on to the client for as long as the client is connected. The end is held back until the
/// reservation is settled, so that a client that has received a complete response can rely on it.
struct Relay {
    frames: Option<mpsc::Sender<ResponseEvent>>,
    last: Option<Frame<Bytes>>,
    deadline: ResponseDeadline,
    /// When it is due, plus the longest delay that a slow client may add.
    latest: Instant,
}

impl Relay {
    async fn pass(
        &mut self,
        mut incoming: BegunBody,
        mut recorder: Option<&mut ResponseRecorder>,
    ) -> Result<(), ResponseError> {
        loop {
            let (until, key) = self.deadline.next();
            let next = tokio::time::timeout_at(until.into(), incoming.frame()).await;
            let frame = match next {
                Err(_elapsed) => return Err(ResponseError::Late(key)),
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
        let (begun, due) = (Instant::now(), self.deadline.due());
        let sent = tokio::time::timeout_at(due.into(), frames.send(ResponseEvent::Frame(frame))).await;
        // The upstream cannot write while the client does not read, so that time does not count against the upstream.
        self.deadline.set_due((due + begun.elapsed()).min(self.latest));
        if !matches!(sent, Ok(Ok(()))) {
            self.frames = None;
            self.deadline.set_due(self.latest);
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
