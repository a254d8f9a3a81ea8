//! The beginning of an upstream's response, read before its headers are sent to the client: a response that breaks off
//! until then gets the status of a failure. Called by `forward`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use super::request_body::Received;
use super::response_error::ResponseError;
use super::upstream::{ResponseDeadline, UpstreamBody, UpstreamResponse};
use crate::failure::Failure;

/// A body of at most this length is read whole.
const WHOLE: u64 = 16 * 1024;

/// A response of which the beginning was read.
#[derive(Debug)]
pub struct BegunResponse {
    /// The response, without hop-by-hop headers.
    pub response: Response<BegunBody>,
    /// Deadlines of the rest of the response.
    pub deadline: ResponseDeadline,
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

/// Reads a short body whole, and of a longer one the first part. An event stream and a gRPC call begin with their headers:
/// the first event may come much later, and the first message only after the client's next one.
///
/// # Errors
/// `UpstreamProtocolError` if the body breaks off, `UpstreamTimeout` if it does not arrive in time; the reason of the
/// client's body if that was at fault.
pub(super) async fn begin(
    UpstreamResponse { response, deadline }: UpstreamResponse,
    received: &Received,
) -> Result<BegunResponse, Failure> {
    let (head, rest) = response.into_parts();
    let is_short = rest.size_hint().exact().is_some_and(|length| length <= WHOLE);
    let begins_with_headers =
        !is_short && [&b"text/event-stream"[..], GRPC].iter().any(|kind| has_type(&head.headers, kind));
    let mut body = BegunBody { first: Bytes::new(), trailers: None, rest, ended: false };
    while !body.rest.is_end_stream() && !body.ended && (is_short || (body.first.is_empty() && !begins_with_headers)) {
        let (until, key) = deadline.next();
        let error = match tokio::time::timeout_at(until.into(), body.rest.frame()).await {
            Ok(Some(Ok(frame))) => {
                body.add(frame);
                continue;
            }
            Ok(None) => {
                body.ended = true;
                continue;
            }
            Ok(Some(Err(broke))) => ResponseError::Upstream(broke),
            Err(_elapsed) => ResponseError::Late(key),
        };
        return Err(received.fault().map_or_else(|| error.fault().into(), Failure::from));
    }
    Ok(BegunResponse { response: Response::from_parts(head, body), deadline })
}

/// The beginning of the content types of gRPC.
pub(super) const GRPC: &[u8] = b"application/grpc";

/// Whether the content type begins with this text.
pub(super) fn has_type(headers: &HeaderMap, kind: &[u8]) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
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
