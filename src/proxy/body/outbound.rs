//! Response bodies: the gateway's own text, or the upstream's response under its deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::exactly;
use crate::proxy::exchange::ResponseEvent;
use crate::proxy::record::RequestRecord;
use crate::proxy::upstream::UpstreamBody;

/// Content of a response.
#[derive(Debug)]
pub enum ResponseContent {
    /// The gateway's own text; `None` once it is taken.
    Own(Option<Bytes>),
    /// The upstream's response, which must be complete by its deadline.
    Upstream {
        /// Body of the upstream's response.
        incoming: UpstreamBody,
        /// Deadline of the complete response.
        by: Instant,
        /// Created at the first wait.
        timer: Option<Pin<Box<Sleep>>>,
    },
    /// The upstream's response as passed on by its exchange, which enforces the deadline.
    Relayed(Relayed),
}

/// A response from an exchange that runs in its own task.
#[derive(Debug)]
pub struct Relayed {
    events: mpsc::Receiver<ResponseEvent>,
    hint: SizeHint,
    due: Instant,
    ended: bool,
}

impl Relayed {
    /// A response that is complete at `due` at the latest.
    pub fn new(events: mpsc::Receiver<ResponseEvent>, hint: SizeHint, due: Instant) -> Self {
        Self { events, hint, due, ended: false }
    }

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

/// A response that ended prematurely: the connection (HTTP/1) or the stream (HTTP/2) is closed without the regular end.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The connection to the upstream failed.
    #[error("the upstream's response ended prematurely")]
    Upstream(#[source] hyper::Error),
    /// The upstream took longer than `upstream.timeouts.total`.
    #[error("the upstream's response timed out")]
    Late,
    /// The exchange ended before the end of its response.
    #[error("the exchange with the upstream ended early")]
    Lost,
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
        body.look();
        body
    }

    /// Time at which the response is complete on the gateway's side, whether or not the client reads it.
    pub fn due(&self) -> Instant {
        match &self.content {
            ResponseContent::Own(_) => Instant::now(),
            ResponseContent::Upstream { by, .. } => *by,
            ResponseContent::Relayed(relayed) => relayed.due,
        }
    }

    /// hyper does not poll again after the last frame.
    fn look(&mut self) {
        if self.is_end_stream() {
            self.record.complete();
        }
    }
}

impl ResponseContent {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        match self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream { incoming, by, timer } => match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(ResponseError::Upstream))),
                Poll::Pending => {
                    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until((*by).into())));
                    timer.as_mut().poll(cx).map(|()| Some(Err(ResponseError::Late)))
                }
            },
            Self::Relayed(relayed) => relayed.poll_frame(cx),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let body = self.get_mut();
        let polled = body.content.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            body.record.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        match &polled {
            Poll::Ready(None) => body.record.complete(),
            Poll::Ready(Some(Ok(_))) => body.look(),
            Poll::Ready(Some(Err(broke))) => body.record.broke(broke),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            ResponseContent::Own(bytes) => bytes.is_none(),
            ResponseContent::Upstream { incoming, .. } => incoming.is_end_stream(),
            ResponseContent::Relayed(relayed) => relayed.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            ResponseContent::Own(bytes) => exactly(bytes.as_ref()),
            ResponseContent::Upstream { incoming, .. } => incoming.size_hint(),
            ResponseContent::Relayed(relayed) => relayed.hint,
        }
    }
}
