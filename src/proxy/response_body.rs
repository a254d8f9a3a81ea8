//! Response bodies: the gateway's own text, or the upstream's response under its deadline.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::headers::clean_trailers;
use super::record::RequestRecord;
use super::response_error::ResponseError;
use super::response_start::{BegunBody, BegunResponse};
use super::tunnel::{OpenedTunnel, Tunnel};
use super::upstream::{ResponseDeadline, ResponseTimer};

/// Content of a response.
#[derive(Debug)]
pub enum ResponseContent {
    /// The gateway's own text; `None` once it is taken.
    Own(Option<Bytes>),
    /// The upstream's response, which must be complete by its deadline.
    Upstream {
        /// Body of the upstream's response.
        incoming: BegunBody,
        /// Deadlines of the response.
        deadline: ResponseDeadline,
        /// The timer for them.
        timer: ResponseTimer,
    },
    /// The upstream's response as passed on by the task with its reservation, which enforces the deadline.
    Relayed(Relayed),
    /// None: the connection becomes a tunnel.
    Tunnel(Box<OpenedTunnel>),
}

/// A response that a separate task passes on.
#[derive(Debug)]
pub struct Relayed {
    pub(super) events: mpsc::Receiver<ResponseEvent>,
    pub(super) hint: SizeHint,
    /// When the response is complete at the latest.
    pub(super) due: Instant,
    pub(super) ended: bool,
}

impl Relayed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.events.poll_recv(cx).map(|event| match event {
            Some(ResponseEvent::Frame(frame)) => Some(Ok(frame)),
            Some(ResponseEvent::End(last)) => {
                self.ended = true;
                last.map(Ok)
            }
            Some(ResponseEvent::Broke(broke)) => Some(Err(broke)),
            None => Some(Err(ResponseError::Lost)),
        })
    }
}

/// A part of a response, passed on to the client.
#[derive(Debug)]
pub enum ResponseEvent {
    /// A frame, not the last one.
    Frame(Frame<Bytes>),
    /// The end of the response, with the last frame if one was held back.
    End(Option<Frame<Bytes>>),
    /// The response ended prematurely.
    Broke(ResponseError),
}

/// A response body; the request's record is closed with it.
#[derive(Debug)]
pub struct Body {
    content: ResponseContent,
    record: RequestRecord,
}

impl Body {
    /// The response, and the record to complete once it is sent.
    pub fn new(content: ResponseContent, record: RequestRecord) -> Self {
        let mut body = Self { content, record };
        body.complete_if_ended();
        body
    }

    /// The tunnel that takes the place of the body, with the record.
    pub fn into_tunnel(self) -> Option<Tunnel> {
        if let ResponseContent::Tunnel(opened) = self.content { Some(Tunnel::new(opened, self.record)) } else { None }
    }

    /// Time at which the response is complete on the gateway's side, whether or not the client reads it.
    pub fn due(&self) -> Instant {
        match &self.content {
            ResponseContent::Own(_) | ResponseContent::Tunnel(_) => Instant::now(),
            ResponseContent::Upstream { incoming, .. } if incoming.is_complete() => Instant::now(),
            ResponseContent::Upstream { deadline, .. } => deadline.due(),
            ResponseContent::Relayed(relayed) => relayed.due,
        }
    }

    /// Whether the response may last for ever: it is due again and again, with each of its parts.
    pub const fn is_open(&self) -> bool {
        matches!(&self.content, ResponseContent::Upstream { deadline, .. } if deadline.is_open())
    }

    /// hyper does not poll again after the last frame.
    fn complete_if_ended(&mut self) {
        if self.is_end_stream() {
            self.record.complete();
        }
    }
}

impl ResponseContent {
    /// The upstream's response, streamed as it arrives.
    pub fn streamed(BegunResponse { response, deadline }: BegunResponse) -> Response<Self> {
        response.map(|incoming| Self::Upstream { incoming, deadline, timer: ResponseTimer::default() })
    }

    /// The response that opens a tunnel for the request with these headers.
    pub(super) fn tunnel(mut response: Response<Self>, head: Parts, idle_timeout: Duration) -> Response<Self> {
        let opened = OpenedTunnel::new(&mut response, head, idle_timeout);
        response.map(|_| Self::Tunnel(opened))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        match self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream { incoming, deadline, timer } => match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(frame) => {
                    timer.reset(deadline);
                    Poll::Ready(frame.map(|frame| frame.map_err(ResponseError::Upstream)))
                }
                Poll::Pending => timer.poll_late(deadline, cx).map(|key| Some(Err(ResponseError::Late(key)))),
            },
            Self::Relayed(relayed) => relayed.poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }
}

/// The frame as the client gets it; `None` for trailers of which none is forwarded.
fn without_other_trailers(next: Result<Frame<Bytes>, ResponseError>) -> Option<Result<Frame<Bytes>, ResponseError>> {
    match next.map(Frame::into_trailers) {
        Ok(Ok(trailers)) => clean_trailers(trailers).map(|trailers| Ok(Frame::trailers(trailers))),
        Ok(Err(frame)) => Some(Ok(frame)),
        Err(broke) => Some(Err(broke)),
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let body = self.get_mut();
        let polled = body.content.poll_frame(cx).map(|next| next.and_then(without_other_trailers));
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            body.record.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        match &polled {
            Poll::Ready(None) => body.record.complete(),
            // Nothing follows trailers.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => body.record.complete(),
            Poll::Ready(Some(Ok(_))) => body.complete_if_ended(),
            Poll::Ready(Some(Err(broke))) => body.record.broke(broke.fault()),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            ResponseContent::Own(bytes) => bytes.is_none(),
            ResponseContent::Upstream { incoming, .. } => incoming.is_end_stream(),
            ResponseContent::Relayed(relayed) => relayed.ended,
            ResponseContent::Tunnel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            ResponseContent::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            ResponseContent::Upstream { incoming, .. } => incoming.size_hint(),
            ResponseContent::Relayed(relayed) => relayed.hint,
            ResponseContent::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
