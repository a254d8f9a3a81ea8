//! Bodies on their way through: the request's under its limits and deadlines, the reply's under the app's.
//!
//! Nothing is held back or changed; trailers of a request are dropped (an app could take one for a header).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::record::Record;
use crate::failure::{BodyFault, Failure};
use crate::snapshot::ListenerLimits;

/// A request's body as it comes: from a connection, or in memory.
#[derive(Debug)]
pub enum Inbound {
    /// From a connection.
    Wire(Incoming),
    /// In memory; `None` once it was taken.
    Memory(Option<Bytes>),
}

impl From<Incoming> for Inbound {
    fn from(body: Incoming) -> Self {
        Self::Wire(body)
    }
}

impl From<Bytes> for Inbound {
    fn from(body: Bytes) -> Self {
        Self::Memory(Some(body).filter(|body| !body.is_empty()))
    }
}

/// What became of a request's body; the body itself is with the connection to the app.
#[derive(Debug, Default)]
pub struct Received {
    bytes: AtomicU64,
    fault: AtomicU8,
    ended: OnceLock<Instant>,
}

impl Received {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the last byte had come; `None` while it has not.
    pub fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    /// What went wrong, if anything did.
    pub fn fault(&self) -> Option<BodyFault> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(BodyFault::TooLarge),
            2 => Some(BodyFault::Slow),
            3 => Some(BodyFault::Broken),
            _none => None,
        }
    }

    fn broke(&self, fault: BodyFault) -> BodyFault {
        let code = match fault {
            BodyFault::TooLarge => 1,
            BodyFault::Slow => 2,
            BodyFault::Broken => 3,
        };
        self.fault.store(code, Ordering::Relaxed);
        fault
    }
}

/// A request's body under its limits.
#[derive(Debug)]
pub struct RequestBody {
    inbound: Inbound,
    left: u64,
    patience: Patience,
    received: Arc<Received>,
}

impl RequestBody {
    /// # Errors
    /// Where the declared length alone exceeds `max`.
    pub fn new(inbound: Inbound, max: u64, limits: &ListenerLimits, received: Arc<Received>) -> Result<Self, Failure> {
        let body = Self { inbound, left: max, patience: Patience::new(limits.body_stall, limits.body), received };
        if body.size_hint().lower() > max {
            return Err(Failure::Body(BodyFault::TooLarge));
        }
        if body.is_end_stream() {
            body.end();
        }
        Ok(body)
    }

    /// When this body will be whole at the latest, if it is being read.
    pub fn latest_end(&self) -> Instant {
        self.patience.whole_by
    }

    fn end(&self) {
        let _first_time = self.received.ended.set(Instant::now());
    }

    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, BodyFault> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(|| self.received.broke(BodyFault::TooLarge))?;
        self.received.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(Frame::data(data))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        let incoming = match &mut self.inbound {
            Inbound::Memory(bytes) => return Poll::Ready(bytes.take().map(Ok)),
            Inbound::Wire(incoming) => incoming,
        };
        loop {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_broken))) => return Poll::Ready(Some(Err(BodyFault::Broken))),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
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
                body.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(data))) => {
                body.patience.satisfied();
                let frame = body.take(data);
                if body.is_end_stream() {
                    body.end();
                }
                Poll::Ready(Some(frame))
            }
            Poll::Ready(Some(Err(fault))) => Poll::Ready(Some(Err(body.received.broke(fault)))),
            Poll::Pending if body.patience.poll_exhausted(cx).is_ready() => {
                Poll::Ready(Some(Err(body.received.broke(BodyFault::Slow))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inbound {
            Inbound::Wire(incoming) => incoming.is_end_stream(),
            Inbound::Memory(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inbound {
            Inbound::Wire(incoming) => incoming.size_hint(),
            Inbound::Memory(bytes) => exactly(bytes.as_ref()),
        }
    }
}

fn exactly(bytes: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
}

/// Waits so long for the next bytes, and so long for all of them. The timer is made when the first wait
/// begins: most bodies come with their head.
#[derive(Debug)]
struct Patience {
    stall: Duration,
    whole_by: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    fn new(stall: Duration, whole: Duration) -> Self {
        Self { stall, whole_by: Instant::now() + whole, timer: None, waiting: false }
    }

    fn satisfied(&mut self) {
        self.waiting = false;
    }

    fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = (Instant::now() + self.stall).min(self.whole_by).into();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx)
    }
}

/// What a reply is made of.
#[derive(Debug)]
pub enum Content {
    /// Our own words; `None` once they were taken.
    Own(Option<Bytes>),
    /// The app's reply, which must be whole in time.
    Upstream {
        /// From the app.
        incoming: Incoming,
        /// When it must be whole.
        by: Instant,
        /// Made when the first wait begins.
        timer: Option<Pin<Box<Sleep>>>,
    },
}

/// A reply that broke off: the connection (HTTP/1) or the stream (HTTP/2) ends without its proper end.
#[derive(Debug, thiserror::Error)]
pub enum ReplyBroke {
    /// The app's connection failed.
    #[error("the upstream's reply broke off")]
    Upstream(#[source] hyper::Error),
    /// The app took longer than `upstream.timeout`.
    #[error("the upstream's reply took too long")]
    Late,
}

/// A reply's body; the request's record is closed with it.
#[derive(Debug)]
pub struct Body {
    content: Content,
    record: Record,
}

impl Body {
    /// The reply and what is to be recorded when it has gone out.
    pub fn new(content: Content, record: Record) -> Self {
        let mut body = Self { content, record };
        body.look();
        body
    }

    /// Nobody asks for more after the last frame.
    fn look(&mut self) {
        if self.is_end_stream() {
            self.record.whole();
        }
    }
}

impl Content {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyBroke>>> {
        match self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream { incoming, by, timer } => match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(ReplyBroke::Upstream))),
                Poll::Pending => {
                    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((*by).into())));
                    timer.as_mut().poll(cx).map(|()| Some(Err(ReplyBroke::Late)))
                }
            },
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = ReplyBroke;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyBroke>>> {
        let body = self.get_mut();
        let polled = body.content.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            body.record.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        match &polled {
            Poll::Ready(None) => body.record.whole(),
            Poll::Ready(Some(Ok(_))) => body.look(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => exactly(bytes.as_ref()),
            Content::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}
