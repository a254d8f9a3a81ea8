//! State of a connection, and since when: hyper has no deadline that stops a silent client, and none at all for an idle
//! client in HTTP/2, so bytes and requests are tracked here.
//!
//! Every deadline counts from the start of a state and is not extended by progress: one byte per second does not keep a
//! connection open.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::framing::{FramingError, FramingPosition};
use crate::limit::ConnectionProgress;
use crate::proxy::response_body::Body;
use crate::proxy::response_error::ResponseError;
use crate::snapshot::ListenerLimits;

/// The state of one connection.
#[derive(Debug)]
pub struct ConnectionState {
    fields: Mutex<ConnectionFields>,
    /// The same state as far as other connections need it, when they need this one's place.
    progress: Arc<ConnectionProgress>,
}

#[derive(Debug)]
struct ConnectionFields {
    in_flight: u32,
    requests: u64,
    /// When the connection last became idle.
    resting_since: Instant,
    /// Since when request headers have been arriving, while no request is in flight.
    head_since: Option<Instant>,
    /// Position after the last byte received.
    place: FramingPosition,
    /// hyper has asked for more bytes than were received: it has none left to process.
    all_taken: bool,
    /// The gateway's side is closed, or about to be.
    closing: bool,
    /// Time since which the client has not read the bytes that the gateway writes.
    blocked_since: Option<Instant>,
    /// Responses that have begun, by the time at which each is complete on the gateway's side.
    due: BTreeSet<(Instant, u64)>,
    /// The next request breaks the framing.
    framing_error: Option<FramingError>,
    /// The connection's task, once the client has closed its side and still waits for responses.
    half_closed: Option<Waker>,
}

/// Reason why hyper's part of the connection ends: mostly a deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// No request was received, or the client reads nothing: no response is sent.
    Silent,
    /// Request headers began and did not end.
    Head,
    /// No deadline: the connection is idle and is parked.
    Park,
    /// No deadline: the bytes received are not a valid request.
    FramingError(FramingError),
}

impl ConnectionState {
    /// A connection that is ready for its first request.
    pub fn new(progress: Arc<ConnectionProgress>) -> Arc<Self> {
        progress.advance(Instant::now());
        let fields = Mutex::new(ConnectionFields {
            in_flight: 0,
            requests: 0,
            resting_since: Instant::now(),
            head_since: None,
            place: FramingPosition::Between,
            all_taken: false,
            closing: false,
            blocked_since: None,
            due: BTreeSet::new(),
            framing_error: None,
            half_closed: None,
        });
        Arc::new(Self { fields, progress })
    }

    /// Called when request headers are complete; the request's own deadlines apply until the [`RequestGuard`] is
    /// dropped.
    pub fn begin(self: &Arc<Self>) -> RequestGuard {
        let number = self.with(|state| {
            state.in_flight = state.in_flight.saturating_add(1);
            state.requests = state.requests.saturating_add(1);
            state.head_since = None;
            state.requests
        });
        self.progress.work();
        RequestGuard { state: Arc::clone(self), number, due: None, at_work: true }
    }

    /// The next deadline in the connection's current state.
    pub fn deadline(&self, limits: &ListenerLimits) -> Option<(Instant, CloseCause)> {
        self.with(|state| state.deadline(limits))
    }

    /// Waits for bytes that are not a valid request, until all earlier requests are answered. Becomes ready only
    /// through the connection, which is polled before it in the same task.
    pub async fn framing_error(&self) -> CloseCause {
        std::future::poll_fn(|_| {
            let framing_error = self.with(|state| {
                let at_rest = state.in_flight == 0 && state.blocked_since.is_none();
                state.framing_error.filter(|_| at_rest)
            });
            framing_error.map_or(Poll::Pending, |framing_error| Poll::Ready(CloseCause::FramingError(framing_error)))
        })
        .await
    }

    /// Since when hyper has had nothing to do and has held no bytes: the connection can be parked.
    pub fn idle_since(&self) -> Option<Instant> {
        self.with(|state| {
            let under_way = state.in_flight > 0 || state.blocked_since.is_some() || state.framing_error.is_some();
            let idle = !under_way && !state.closing && state.place == FramingPosition::Between && state.all_taken;
            idle.then_some(state.resting_since)
        })
    }

    /// Whether nothing is in flight: all bytes that were received belong to requests whose responses are sent.
    pub fn is_at_rest(&self) -> bool {
        self.with(|state| {
            state.in_flight == 0 && state.blocked_since.is_none() && state.place == FramingPosition::Between
        })
    }

    /// Whether no request was received yet.
    pub fn is_fresh(&self) -> bool {
        self.with(|state| state.requests == 0)
    }

    /// Called for bytes of HTTP/1, which end at `place`. Not called for HTTP/2: a frame may be about the connection
    /// itself, and must not move a deadline.
    pub(super) fn bytes_came(&self, place: FramingPosition) {
        self.with(|state| {
            (state.place, state.all_taken) = (place, false);
            if state.in_flight == 0 {
                let in_head = place == FramingPosition::InHead;
                state.head_since = in_head.then(|| state.head_since.unwrap_or_else(Instant::now));
            }
        });
    }

    pub(super) fn no_more_bytes(&self) {
        self.with(|state| state.all_taken = true);
    }

    /// Whether complete requests of a client that has closed its side are still to be answered: to close it is no abort
    /// (RFC 9112 §9.6), and a reset shows itself as an error. If so, the task is woken after the last response, to see the
    /// end then.
    pub(super) fn outlives_end(&self, task: &Waker) -> bool {
        self.with(|state| {
            let answering = state.in_flight > 0 || state.blocked_since.is_some();
            state.half_closed = (answering && state.place == FramingPosition::Between).then(|| task.clone());
            state.half_closed.is_some()
        })
    }

    fn wake_half_closed(&self) {
        let answered = |state: &mut ConnectionFields| state.half_closed.take_if(|_| state.in_flight == 0);
        if let Some(task) = self.with(answered) {
            task.wake();
        }
    }

    pub(super) fn closes(&self) {
        self.with(|state| state.closing = true);
    }

    pub(super) fn record_framing_error(&self, framing_error: FramingError) {
        self.with(|state| state.framing_error = Some(framing_error));
    }

    pub(super) fn write_blocked(&self) {
        self.with(|state| {
            if state.blocked_since.is_none() {
                let now = Instant::now();
                state.blocked_since = Some(now);
                self.progress.set_blocked(true, now);
            }
        });
    }

    pub(super) fn write_done(&self) {
        self.with(|state| {
            if state.blocked_since.take().is_some() {
                self.progress.set_blocked(false, Instant::now());
            }
        });
        self.wake_half_closed();
    }

    fn with<T>(&self, change: impl FnOnce(&mut ConnectionFields) -> T) -> T {
        change(&mut self.fields.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ConnectionFields {
    /// Time at which the last of the responses that have begun is complete.
    fn last_due(&self) -> Option<Instant> {
        self.due.last().map(|(due, _)| *due)
    }

    fn deadline(&self, limits: &ListenerLimits) -> Option<(Instant, CloseCause)> {
        let blocked = self.blocked_since.map(|since| (since + limits.response_write_idle, CloseCause::Silent));
        let untaken = self.due.first().map(|(due, _)| (*due + limits.response_write_idle, CloseCause::Silent));
        let waiting = if self.in_flight == 0 { Some(self.waiting(limits)) } else { None };
        [blocked, untaken, waiting].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn waiting(&self, limits: &ListenerLimits) -> (Instant, CloseCause) {
        let limit = if self.requests == 0 { limits.first_request } else { limits.keepalive };
        let idle_until = self.resting_since + limit;
        match self.head_since {
            Some(since) if self.requests == 0 => (idle_until.min(since + limits.headers), CloseCause::Head),
            // A request that begins just before `timeouts.keepalive` has passed gets the whole of `timeouts.headers`.
            Some(since) => (since + limits.headers, CloseCause::Head),
            None => (idle_until, CloseCause::Silent),
        }
    }
}

/// A request in flight, from its headers to the last byte of its response.
#[derive(Debug)]
pub struct RequestGuard {
    state: Arc<ConnectionState>,
    /// Number of the request on its connection.
    number: u64,
    /// Time at which its response is complete on the gateway's side, once it has begun.
    due: Option<Instant>,
    /// Until only the client can delay it.
    at_work: bool,
}

impl RequestGuard {
    fn set_due(&mut self, due: Instant) {
        let former = self.due.replace(due);
        self.state.with(|state| {
            if let Some(former) = former {
                state.due.remove(&(former, self.number));
            }
            state.due.insert((due, self.number));
            self.state.progress.respond_until(state.last_due());
        });
    }

    fn wait_for_client(&mut self, now: Instant) {
        if std::mem::take(&mut self.at_work) {
            self.state.progress.wait(now);
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let now = Instant::now();
        self.wait_for_client(now);
        self.state.with(|state| {
            if let Some(due) = self.due {
                state.due.remove(&(due, self.number));
                self.state.progress.respond_until(state.last_due());
            }
            state.in_flight = state.in_flight.saturating_sub(1);
            if state.in_flight == 0 {
                state.resting_since = now;
                // Part of the next request's headers may have arrived while this request was in flight.
                state.head_since = (state.place == FramingPosition::InHead).then_some(now);
            }
        });
        self.state.wake_half_closed();
    }
}

/// A response body that keeps its request in flight; `None` where a tunnel takes its place.
#[derive(Debug)]
pub struct Tracked(Option<(Body, RequestGuard)>);

impl Tracked {
    /// The request is in flight until `body` is dropped. After it is due, only the client can delay it: in HTTP/2 the
    /// client may keep the flow-control window closed, which neither the socket nor the response's own deadline would
    /// show.
    pub fn new(body: Body, mut in_flight: RequestGuard) -> Self {
        in_flight.set_due(body.due());
        in_flight.wait_for_client(Instant::now());
        Self(Some((body, in_flight)))
    }

    /// The body of the response that opens a tunnel.
    pub const fn none() -> Self {
        Self(None)
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let Some((body, in_flight)) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if body.is_open() {
            // That hyper asks for more shows that the client has taken the parts before.
            in_flight.set_due(body.due());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> ListenerLimits {
        let seconds = Duration::from_secs;
        ListenerLimits {
            first_request: seconds(1),
            headers: seconds(2),
            keepalive: seconds(9),
            ..ListenerLimits::default()
        }
    }

    fn next(state: &ConnectionState) -> Option<(u64, CloseCause)> {
        let (at, expired) = state.deadline(&limits())?;
        Some((at.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64, expired))
    }

    #[test]
    fn each_state_has_its_deadline() {
        let state = ConnectionState::new(Arc::default());
        assert_eq!(next(&state), Some((1, CloseCause::Silent)));
        state.bytes_came(FramingPosition::InHead);
        assert_eq!(next(&state), Some((1, CloseCause::Head)));
        state.bytes_came(FramingPosition::Between);
        let request = state.begin();
        assert_eq!(next(&state), None);
        drop(request);
        assert_eq!(next(&state), Some((9, CloseCause::Silent)));
        state.bytes_came(FramingPosition::InHead);
        assert_eq!(next(&state), Some((2, CloseCause::Head)));
    }

    #[test]
    fn an_unread_response_has_a_deadline_although_its_request_is_in_flight() {
        let state = ConnectionState::new(Arc::default());
        let _request = state.begin();
        state.write_blocked();
        assert_eq!(next(&state), Some((60, CloseCause::Silent)));
        state.write_done();
        assert_eq!(next(&state), None);
    }
}
