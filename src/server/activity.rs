//! What a connection is doing and since when: hyper has no deadline for a silent client that holds, and none
//! at all for an idle one in HTTP/2, so the bytes and the requests are watched here.
//!
//! Every deadline counts from the moment a state began and is not moved by progress: a byte a second does
//! not hold a connection.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;

use super::framing::{Framing, Unframed};
use crate::proxy::body::{Body, ReplyBroke};
use crate::snapshot::ListenerLimits;

/// How long a closing connection is read on, so that a reply is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that a connection may bring before others have their turn: frames that lead to no request, such as PRIORITY,
/// would keep its worker busy for as long as tokio's own budget lasts, which counts reads and not what is read.
const TURN: usize = 64 * 1024;

/// The state of one connection.
#[derive(Debug)]
pub struct Activity(Mutex<State>);

/// What bytes may mean while no request is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The beginning of a head.
    Http1,
    /// A head, or a frame about the connection, which hyper does not tell apart: no deadline but the resting one.
    Http2,
}

#[derive(Debug)]
struct State {
    protocol: Protocol,
    in_flight: u32,
    requests: u64,
    /// When the connection last came to rest.
    resting_since: Instant,
    /// When the first byte came after that.
    head_since: Option<Instant>,
    /// Since when the client has not taken what we write.
    blocked_since: Option<Instant>,
    /// The replies that have begun, by when each is whole on our side.
    due: BTreeSet<(Instant, u64)>,
    /// The next head is none.
    unframed: Option<Unframed>,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// No request came, or the client takes no bytes: there is nothing to say.
    Silent,
    /// A request's head began and did not end.
    Head,
    /// No deadline: what came is no request.
    Unframed(Unframed),
}

impl Activity {
    /// A connection that is ready for its first request.
    pub fn new(protocol: Protocol) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            protocol,
            in_flight: 0,
            requests: 0,
            resting_since: Instant::now(),
            head_since: None,
            blocked_since: None,
            due: BTreeSet::new(),
            unframed: None,
        })))
    }

    /// A request's head is whole; until the [`InFlight`] is dropped, the request's own deadlines hold.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        let number = self.with(|state| {
            state.in_flight = state.in_flight.saturating_add(1);
            state.requests = state.requests.saturating_add(1);
            state.head_since = None;
            state.requests
        });
        InFlight { activity: Arc::clone(self), number, due: None }
    }

    /// The next deadline of the state the connection is in.
    pub fn deadline(&self, limits: &ListenerLimits) -> Option<(Instant, Expired)> {
        self.with(|state| state.deadline(limits))
    }

    /// Waits for a head that is none, until all that was asked before it is answered. Ready only when the connection,
    /// polled before in the same task, has made it so.
    pub async fn unframed(&self) -> Expired {
        std::future::poll_fn(|_| {
            let unframed = self.with(|state| {
                let at_rest = state.in_flight == 0 && state.blocked_since.is_none();
                state.unframed.filter(|_| at_rest)
            });
            unframed.map_or(Poll::Pending, |unframed| Poll::Ready(Expired::Unframed(unframed)))
        })
        .await
    }

    /// Nothing was asked here yet.
    pub fn is_fresh(&self) -> bool {
        self.with(|state| state.requests == 0)
    }

    fn bytes_came(&self) {
        self.with(|state| {
            let resting = state.in_flight == 0 && state.protocol == Protocol::Http1;
            if resting && state.head_since.is_none() {
                state.head_since = Some(Instant::now());
            }
        });
    }

    fn broke_framing(&self, unframed: Unframed) {
        self.with(|state| state.unframed = Some(unframed));
    }

    fn write_blocked(&self) {
        self.with(|state| state.blocked_since = state.blocked_since.or_else(|| Some(Instant::now())));
    }

    fn write_done(&self) {
        self.with(|state| state.blocked_since = None);
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn deadline(&self, limits: &ListenerLimits) -> Option<(Instant, Expired)> {
        let blocked = self.blocked_since.map(|since| (since + limits.body, Expired::Silent));
        let untaken = self.due.first().map(|(due, _)| (*due + limits.body, Expired::Silent));
        let waiting = if self.in_flight == 0 { Some(self.waiting(limits)) } else { None };
        [blocked, untaken, waiting].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn waiting(&self, limits: &ListenerLimits) -> (Instant, Expired) {
        let rest = if self.requests == 0 { limits.first_request } else { limits.idle };
        let rest = self.resting_since + rest;
        match self.head_since {
            Some(since) if self.requests == 0 => (rest.min(since + limits.head), Expired::Head),
            // A request that begins just before `idle` ends has its whole time.
            Some(since) => (since + limits.head, Expired::Head),
            None => (rest, Expired::Silent),
        }
    }
}

/// A request on its way, from its head to the last byte of its reply.
#[derive(Debug)]
pub struct InFlight {
    activity: Arc<Activity>,
    /// Which request of its connection.
    number: u64,
    /// Until when its reply is whole on our side, once it has begun.
    due: Option<Instant>,
}

impl InFlight {
    /// The reply begins. From `due` on, only the client can hold it up: in HTTP/2 it may open no window for it,
    /// and then neither the socket nor the reply's own deadline would ever tell.
    fn reply_begins(&mut self, due: Instant) {
        self.due = Some(due);
        self.activity.with(|state| state.due.insert((due, self.number)));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.with(|state| {
            if let Some(due) = self.due {
                state.due.remove(&(due, self.number));
            }
            state.in_flight = state.in_flight.saturating_sub(1);
            if state.in_flight == 0 {
                state.resting_since = Instant::now();
            }
        });
    }
}

/// A reply's body that keeps its request in flight.
#[derive(Debug)]
pub struct Tracked {
    body: Body,
    _in_flight: InFlight,
}

impl Tracked {
    /// Ends the flight when `body` is dropped.
    pub fn new(body: Body, mut in_flight: InFlight) -> Self {
        in_flight.reply_begins(body.due());
        Self { body, _in_flight: in_flight }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = ReplyBroke;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyBroke>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its [`Activity`] what passes.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// Of HTTP/1; HTTP/2 has frames.
    framing: Option<Framing>,
    /// Nothing more is read: what came is no request, or no body.
    ended: Ended,
    /// Bytes read since others had their turn.
    read: usize,
    /// Set once our side is closed: how long the client's may still take.
    lingering: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    InHead,
    InBody,
}

impl<S> Watched<S> {
    /// Watches `stream`.
    pub fn new(stream: S, activity: Arc<Activity>, framing: Option<Framing>) -> Self {
        Self { stream, activity, framing, ended: Ended::No, read: 0, lingering: None }
    }

    /// The stream, for a last word.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.read >= TURN {
            self.read = 0;
            // Woken only after the runtime has looked at what else is ready.
            return std::pin::pin!(tokio::task::yield_now()).poll(cx).map(Ok);
        }
        let before = buf.filled().len();
        if self.ended == Ended::No {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            let came = buf.filled().len().saturating_sub(before);
            self.read = self.read.saturating_add(came);
            if came > 0 {
                self.activity.bytes_came();
                self.follow(buf, before);
            }
        }
        match self.ended {
            Ended::InHead | Ended::InBody if buf.filled().len() > before => Poll::Ready(Ok(())),
            Ended::No => Poll::Ready(Ok(())),
            // The connection's own task ends it, once what came before is answered.
            Ended::InHead => Poll::Pending,
            Ended::InBody => Poll::Ready(Err(std::io::ErrorKind::InvalidData.into())),
        }
    }
}

impl<S> Watched<S> {
    /// Nothing of what breaks the framing goes further.
    fn follow(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let Some(framing) = &mut self.framing else { return };
        let came = buf.filled().get(before..).unwrap_or_default();
        let Err((good, unframed)) = framing.follow(came) else { return };
        buf.set_filled(before + good);
        if framing.is_in_body() {
            self.ended = Ended::InBody;
        } else {
            self.ended = Ended::InHead;
            self.activity.broke_framing(unframed);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    fn watch_write<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.activity.write_blocked();
        }
        polled
    }

    /// Reads and forgets until the client has closed too: data that nobody reads would make the kernel
    /// answer with a reset, and a reset can take our last reply with it.
    fn poll_until_closed(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut scratch = [0_u8; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.watch_write(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.watch_write(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_ready() {
            self.activity.write_done();
        }
        self.watch_write(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let given_up = self.lingering.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if given_up { Poll::Ready(Ok(())) } else { self.poll_until_closed(cx) }
    }
}

/// Says a last word on a connection and lets it arrive.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, word: &[u8]) {
    let saying = async {
        stream.write_all(word).await?;
        stream.shutdown().await?;
        let mut scratch = [0_u8; 4096];
        while stream.read(&mut scratch).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Best effort by nature: whether the client hears it is up to the client.
    let _ = tokio::time::timeout(LINGER, saying).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ListenerLimits {
        let seconds = Duration::from_secs;
        ListenerLimits { first_request: seconds(1), head: seconds(2), idle: seconds(9), ..ListenerLimits::default() }
    }

    fn next(activity: &Activity) -> Option<(u64, Expired)> {
        let (at, expired) = activity.deadline(&limits())?;
        Some((at.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64, expired))
    }

    #[test]
    fn each_state_has_its_deadline() {
        let activity = Activity::new(Protocol::Http1);
        assert_eq!(next(&activity), Some((1, Expired::Silent)));
        activity.bytes_came();
        assert_eq!(next(&activity), Some((1, Expired::Head)));
        let request = activity.begin();
        assert_eq!(next(&activity), None);
        drop(request);
        assert_eq!(next(&activity), Some((9, Expired::Silent)));
        activity.bytes_came();
        assert_eq!(next(&activity), Some((2, Expired::Head)));
    }

    /// A PING or a WINDOW_UPDATE is no head, and neither is it a request that would keep the connection.
    #[test]
    fn frames_of_http2_do_not_move_the_deadline() {
        let activity = Activity::new(Protocol::Http2);
        drop(activity.begin());
        let before = activity.deadline(&limits());
        activity.bytes_came();
        assert_eq!(activity.deadline(&limits()), before);
    }

    #[test]
    fn a_reply_that_is_not_read_has_a_deadline_although_its_request_is_in_flight() {
        let activity = Activity::new(Protocol::Http1);
        let _request = activity.begin();
        activity.write_blocked();
        assert_eq!(next(&activity), Some((60, Expired::Silent)));
        activity.write_done();
        assert_eq!(next(&activity), None);
    }
}
