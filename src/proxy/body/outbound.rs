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
use crate::proxy::exchange::Piece;
use crate::proxy::record::Record;
use crate::proxy::upstream::Reply;

/// Content of a response.
#[derive(Debug)]
pub enum Content {
    /// The gateway's own text; `None` once it is taken.
    Own(Option<Bytes>),
    /// The upstream's response, which must be complete by its deadline.
    Upstream {
        /// Body of the upstream's response.
        incoming: Reply,
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
    pieces: mpsc::Receiver<Piece>,
    hint: SizeHint,
    due: Instant,
    ended: bool,
}

impl Relayed {
    /// A response that is complete at `due` at the latest.
    pub fn new(pieces: mpsc::Receiver<Piece>, hint: SizeHint, due: Instant) -> Self {
        Self { pieces, hint, due, ended: false }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyBroke>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(Piece::Frame(frame)) => Some(Ok(frame)),
            Some(Piece::End(last)) => {
                self.ended = true;
                last.map(Ok)
            }
            Some(Piece::Broke(broke)) => Some(Err(broke)),
            None => Some(Err(ReplyBroke::Lost)),
        })
    }
}

/// A response that ended prematurely: the connection (HTTP/1) or the stream (HTTP/2) is closed without the regular end.
#[derive(Debug, thiserror::Error)]
pub enum ReplyBroke {
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
    content: Content,
    record: Record,
}

impl Body {
    /// The response, and the record to complete once it is sent.
    pub fn new(content: Content, record: Record) -> Self {
        let mut body = Self { content, record };
        body.look();
        body
    }

    /// Time at which the response is complete on the gateway's side, whether or not the client reads it.
    pub fn due(&self) -> Instant {
        match &self.content {
            Content::Own(_) => Instant::now(),
            Content::Upstream { by, .. } => *by,
            Content::Relayed(relayed) => relayed.due,
        }
    }

    /// hyper does not poll again after the last frame.
    fn look(&mut self) {
        if self.is_end_stream() {
            self.record.complete();
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
            Self::Relayed(relayed) => relayed.poll_frame(cx),
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
            Poll::Ready(None) => body.record.complete(),
            Poll::Ready(Some(Ok(_))) => body.look(),
            Poll::Ready(Some(Err(broke))) => body.record.broke(broke),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Own(bytes) => bytes.is_none(),
            Content::Upstream { incoming, .. } => incoming.is_end_stream(),
            Content::Relayed(relayed) => relayed.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => exactly(bytes.as_ref()),
            Content::Upstream { incoming, .. } => incoming.size_hint(),
            Content::Relayed(relayed) => relayed.hint,
        }
    }
}
