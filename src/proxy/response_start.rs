//! The beginning of an upstream's response, read before its headers are sent to the client: a response that breaks off
//! until then gets the status of a failure. Called by `forward`.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use super::request_body::Received;
use super::upstream::{UpstreamBody, UpstreamResponse};
use crate::failure::Failure;
use crate::reason::Reason;

/// A body of at most this length is read whole.
const WHOLE: u64 = 16 * 1024;

/// A response of which the beginning was read.
#[derive(Debug)]
pub struct BegunResponse {
    /// The response, without hop-by-hop headers.
    pub response: Response<BegunBody>,
    /// Deadline of the complete response.
    pub due: Instant,
}

/// The body of an upstream's response, of which the beginning was read.
#[derive(Debug)]
pub struct BegunBody {
    /// The part of the body that was read.
    first: Bytes,
    /// The trailers, if they were read. Boxed because they are rare and large.
    trailers: Option<Box<HeaderMap>>,
    rest: UpstreamBody,
    ended: bool,
}

/// Reads a short body whole, and of a longer one the first part. An event stream begins with its headers: its first
/// event may come much later.
///
/// # Errors
/// `UpstreamProtocolError` if the body breaks off, `UpstreamTimeout` if it does not arrive in time; the reason of the
/// client's body if that was at fault.
pub(super) async fn begin(
    UpstreamResponse { response, due }: UpstreamResponse,
    received: &Received,
) -> Result<BegunResponse, Failure> {
    let (head, rest) = response.into_parts();
    let is_short = rest.size_hint().exact().is_some_and(|length| length <= WHOLE);
    let is_event_stream = is_event_stream(&head.headers);
    let mut body = BegunBody { first: Bytes::new(), trailers: None, rest, ended: false };
    while !body.rest.is_end_stream() && !body.ended && (is_short || (body.first.is_empty() && !is_event_stream)) {
        let reason = match tokio::time::timeout_at(due.into(), body.rest.frame()).await {
            Ok(Some(Ok(frame))) => {
                body.add(frame);
                continue;
            }
            Ok(None) => {
                body.ended = true;
                continue;
            }
            Ok(Some(Err(_broke))) => Reason::UpstreamProtocolError,
            Err(_elapsed) => Reason::UpstreamTimeout,
        };
        return Err(received.fault().map_or(reason.into(), Failure::from));
    }
    Ok(BegunResponse { response: Response::from_parts(head, body), due })
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    content_type.get(.."text/event-stream".len()).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}

impl BegunBody {
    /// Whether it was read to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.ended || self.rest.is_end_stream()
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if self.first.is_empty() => self.first = data,
            Ok(data) => self.first = [&*self.first, &*data].concat().into(),
            Err(frame) => {
                self.trailers = frame.into_trailers().ok().map(Box::new);
                self.ended = true;
            }
        }
    }
}

impl HttpBody for BegunBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        if !body.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut body.first)))));
        }
        match body.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(*trailers)))),
            None if body.ended => Poll::Ready(None),
            None => Pin::new(&mut body.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.trailers.is_none() && (self.ended || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.len() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint.set_lower(rest.lower().saturating_add(first));
        hint
    }
}
