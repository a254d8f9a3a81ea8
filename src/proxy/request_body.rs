//! Request bodies in transit, under their limits and deadlines. They are streamed without change; those that the
//! decision or an idempotency key needs are buffered first. Trailers are dropped, because an upstream could take one
//! for a header.

use std::error::Error as _;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::runtime::Handle;

use super::body_deadline::BodyDeadline;
use super::connection_info::ConnectionInfo;
use super::headers::clean_trailers;
use crate::failure::{BodyFault, Failure};
use crate::limit::{BodyProgress, ConnectionProgress, MemoryPermit};

/// Maximum bytes of an unwanted request body that are still read, so that the sender receives the response.
const READ_ON_BYTES: usize = 1 << 20;

/// How long an unwanted request body is read.
const READ_ON_TIME: Duration = Duration::from_secs(5);

/// Bytes of a request that waits for its body, in addition to its headers: in HTTP/2, a stream and a task.
pub(super) const WAITING: usize = 8 * 1024;

/// Maximum bytes of all requests that wait for their bodies; requests of one address may use a quarter of it.
pub const WAITING_IN_ALL: u64 = 64 << 20;

/// Source of a request body.
#[derive(Debug)]
pub enum BodySource {
    /// Read from a connection.
    Wire(Incoming),
    /// Held in memory; `None` once it is taken.
    Memory(Option<Bytes>),
    /// Buffered for the decision or an idempotency key; the bytes count against the memory quota until they are
    /// dropped. Without the permit, the bytes hold it themselves.
    Buffered(Option<Bytes>, Option<MemoryPermit>),
}

impl From<Incoming> for BodySource {
    fn from(body: Incoming) -> Self {
        Self::Wire(body)
    }
}

impl From<Bytes> for BodySource {
    fn from(body: Bytes) -> Self {
        Self::Memory(Some(body).filter(|body| !body.is_empty()))
    }
}

/// An incoming request body.
///
/// A client that gets a response before it has sent its whole body may take the end of its stream for an error and lose
/// the response (older curl does, in HTTP/2). The unread rest of the body is therefore read and discarded after this is
/// dropped, within bounds.
#[derive(Debug)]
pub struct InboundBody {
    source: BodySource,
    drain: DrainPolicy,
    /// For an unwanted rest of the body, which is read only if there is memory to spare.
    waiting: Option<MemoryPermit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DrainPolicy {
    ReadOn,
    /// The body is complete, will not arrive, or must not be read.
    Leave,
}

impl InboundBody {
    /// The body of the request with these headers; a permit of zero bytes that waits for the rest of the body.
    pub fn new(source: BodySource, head: &Parts, waiting: MemoryPermit) -> Self {
        // Reading would send `100 Continue` to a client that waits for the response (RFC 9110 §10.1.1).
        let drain = if head.headers.contains_key(EXPECT) { DrainPolicy::Leave } else { DrainPolicy::ReadOn };
        Self { source, drain, waiting: Some(waiting) }
    }
}

impl Drop for InboundBody {
    fn drop(&mut self) {
        let source = std::mem::replace(&mut self.source, BodySource::Memory(None));
        if let (BodySource::Wire(mut incoming), DrainPolicy::ReadOn, Some(waiting)) =
            (source, self.drain, self.waiting.take())
            && let (false, Ok(runtime)) = (is_complete(&mut incoming), Handle::try_current())
        {
            runtime.spawn(read_on(incoming, waiting));
        }
    }
}

/// Reads the part of an unwanted body that has arrived; true if that was its end, so that no task waits for more.
fn is_complete(incoming: &mut Incoming) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    while !incoming.is_end_stream() {
        match Pin::new(&mut *incoming).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => return true,
            Poll::Pending => return false,
        }
    }
    true
}

/// Beyond its bounds, and where the memory is needed for requests, the client may lose the response.
async fn read_on(incoming: Incoming, mut waiting: MemoryPermit) {
    if waiting.take_if_free(WAITING, WAITING_IN_ALL).is_err() {
        return;
    }
    let now = Instant::now();
    let progress = Arc::new(BodyProgress::begin(&Arc::default(), now));
    waiting.wait_for(&progress, now);
    let reading = Limited::new(incoming, READ_ON_BYTES);
    let mut reading = std::pin::pin!(reading);
    tokio::select! {
        () = async { while let Some(Ok(_)) = reading.frame().await {} } => {}
        _ = poll_fn(|cx| progress.poll_displaced(cx)) => {}
        () = tokio::time::sleep(READ_ON_TIME) => {}
    }
}

/// Progress and outcome of a request body; the body itself belongs to the upstream connection.
#[derive(Debug, Default)]
pub struct Received {
    bytes: AtomicU64,
    fault: OnceLock<BodyFault>,
    ended: OnceLock<Instant>,
}

impl Received {
    /// Bytes received so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes of a tunnel.
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Time at which the last byte was received; `None` until then.
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// The fault that ended the body, if any.
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault.get().copied()
    }

    fn broke(&self, fault: BodyFault) -> BodyFault {
        // A body breaks once.
        let _first_fault = self.fault.set(fault);
        fault
    }
}

/// Bytes that count against the memory quota until their last copy is dropped.
struct CountedBytes {
    whole: Bytes,
    _permit: MemoryPermit,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

/// A request body under its size limit and deadlines.
#[derive(Debug)]
pub struct RequestBody {
    inbound: InboundBody,
    left: u64,
    deadline: BodyDeadline,
    received: Arc<Received>,
    connection: Arc<ConnectionProgress>,
    /// Set while the client is waited for, from the first wait to the end of the body.
    wait: Option<BodyWait>,
    /// The trailers that may be forwarded, once they have come. Boxed because they are rare and large.
    trailers: Option<Box<HeaderMap>>,
    /// Whether the upstream gets them.
    forwards_trailers: bool,
}

/// A wait for a request body, during which its connection waits too.
#[derive(Debug)]
struct BodyWait(Arc<BodyProgress>);

impl Drop for BodyWait {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl RequestBody {
    /// A request body of at most `max` bytes, under the timeouts of its connection.
    ///
    /// # Errors
    /// [`BodyFault::TooLarge`] if the declared length alone exceeds `max`.
    pub fn new(
        inbound: InboundBody,
        max: u64,
        connection: &ConnectionInfo,
        received: Arc<Received>,
    ) -> Result<Self, Failure> {
        let limits = &connection.limits;
        let whole_by = Instant::now() + limits.request_body;
        let deadline = BodyDeadline::new(limits.request_body_idle, limits.min_request_body_rate, whole_by);
        let connection = Arc::clone(&connection.progress);
        let (wait, trailers) = (None, None);
        let mut body =
            Self { inbound, left: max, deadline, received, connection, wait, trailers, forwards_trailers: false };
        if body.size_hint().lower() > max {
            return Err(BodyFault::TooLarge.into());
        }
        if body.is_end_stream() {
            body.end();
        }
        Ok(body)
    }

    /// Lowers the maximum size.
    ///
    /// # Errors
    /// [`BodyFault::TooLarge`] if the declared length alone exceeds it.
    pub fn lower_limit(&mut self, max: u64) -> Result<(), BodyFault> {
        self.left = self.left.min(max);
        if self.size_hint().lower() > max { Err(BodyFault::TooLarge) } else { Ok(()) }
    }

    /// Forwards the trailers: HTTP/2 can carry them without an announcement.
    pub(super) fn forward_trailers(&mut self) {
        self.forwards_trailers = true;
    }

    /// Continues with the whole body in memory.
    pub(super) fn set_buffered(&mut self, whole: Bytes, permit: MemoryPermit) -> Bytes {
        self.inbound.source = BodySource::Buffered(Some(whole.clone()).filter(|body| !body.is_empty()), Some(permit));
        whole
    }

    /// The same body once more, if it is empty or in memory.
    pub(super) fn copy(&mut self) -> Option<Self> {
        let source = match &mut self.inbound.source {
            BodySource::Wire(incoming) if !incoming.is_end_stream() => return None,
            BodySource::Wire(_) => BodySource::Memory(None),
            BodySource::Memory(bytes) => BodySource::Memory(bytes.clone()),
            BodySource::Buffered(bytes, permit) => {
                *bytes = bytes.take().map(|whole| match permit.take() {
                    Some(permit) => Bytes::from_owner(CountedBytes { whole, _permit: permit }),
                    None => whole,
                });
                BodySource::Buffered(bytes.clone(), None)
            }
        };
        Some(Self {
            inbound: InboundBody { source, drain: DrainPolicy::Leave, waiting: None },
            left: self.left,
            deadline: self.deadline.copy(),
            received: Arc::clone(&self.received),
            connection: Arc::clone(&self.connection),
            wait: None,
            trailers: self.trailers.clone(),
            forwards_trailers: self.forwards_trailers,
        })
    }

    /// How far the body has come, while it is waited for.
    pub(super) fn progress(&self) -> Option<&Arc<BodyProgress>> {
        self.wait.as_ref().map(|BodyWait(progress)| progress)
    }

    /// Does not read the rest of the body.
    pub(super) fn abandon(&mut self) {
        self.inbound.drain = DrainPolicy::Leave;
    }

    /// The whole body, where it has been read or is empty.
    pub fn known(&self) -> Option<&[u8]> {
        match &self.inbound.source {
            BodySource::Wire(incoming) => incoming.is_end_stream().then_some(&[]),
            BodySource::Memory(bytes) | BodySource::Buffered(bytes, _) => Some(bytes.as_deref().unwrap_or_default()),
        }
    }

    /// How long the rest of the body may still take; zero once it is complete.
    pub fn time_left(&self) -> Duration {
        let whole = self.known().is_some();
        if whole { Duration::ZERO } else { self.deadline.whole_by.saturating_duration_since(Instant::now()) }
    }

    /// Deadline of the whole body, while it is being read.
    pub fn latest_end(&self) -> Instant {
        self.deadline.whole_by
    }

    fn end(&mut self) {
        self.wait = None;
        let _first_time = self.received.ended.set(Instant::now());
    }

    fn give_up(&mut self, fault: BodyFault) -> BodyFault {
        self.abandon();
        self.wait = None;
        self.received.broke(fault)
    }

    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, BodyFault> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(|| self.received.broke(BodyFault::TooLarge))?;
        self.received.bytes.fetch_add(length, Ordering::Relaxed);
        self.deadline.bytes_came();
        if let Some(BodyWait(progress)) = &self.wait {
            progress.received(length);
        }
        Ok(Frame::data(data))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let incoming = match &mut self.inbound.source {
            BodySource::Memory(bytes) | BodySource::Buffered(bytes, _) => return Poll::Ready(bytes.take().map(Ok)),
            BodySource::Wire(incoming) => incoming,
        };
        loop {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Some(Err(fault(&broken)))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok().and_then(clean_trailers).map(Box::new);
                    }
                },
            }
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let body = self.get_mut();
        match body.poll_data(cx) {
            Poll::Ready(None) => {
                body.abandon();
                body.end();
                let trailers = if body.forwards_trailers { body.trailers.take() } else { None };
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(*trailers))))
            }
            // Its bytes were counted when it was buffered.
            Poll::Ready(Some(Ok(data))) if matches!(body.inbound.source, BodySource::Buffered(..)) => {
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Ok(data))) => {
                let frame = body.take(data);
                if body.is_end_stream() {
                    body.end();
                }
                Poll::Ready(Some(frame))
            }
            Poll::Ready(Some(Err(fault))) => Poll::Ready(Some(Err(body.give_up(fault)))),
            Poll::Pending if body.deadline.poll_exhausted(cx, body.received.bytes()).is_ready() => {
                Poll::Ready(Some(Err(body.give_up(BodyFault::Slow))))
            }
            Poll::Pending => {
                let connection = &body.connection;
                body.wait.get_or_insert_with(|| BodyWait(Arc::new(BodyProgress::begin(connection, Instant::now()))));
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let is_read = match &self.inbound.source {
            BodySource::Wire(incoming) => incoming.is_end_stream(),
            BodySource::Memory(bytes) | BodySource::Buffered(bytes, _) => bytes.is_none(),
        };
        is_read && !(self.forwards_trailers && self.trailers.is_some())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inbound.source {
            BodySource::Wire(incoming) => incoming.size_hint(),
            BodySource::Memory(bytes) | BodySource::Buffered(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

/// Maps hyper's error to a fault: invalid framing is `Ambiguous`, a broken connection `ClientDisconnected`.
fn fault(broken: &hyper::Error) -> BodyFault {
    let kind = broken.source().and_then(|source| source.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    if matches!(kind, Some(ErrorKind::InvalidData | ErrorKind::InvalidInput)) {
        BodyFault::Ambiguous
    } else {
        BodyFault::ClientDisconnected
    }
}
