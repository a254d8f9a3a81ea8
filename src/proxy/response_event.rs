//! The parts of an upstream's response that the task with the reservation passes on to the client, and the errors that
//! end a response.

use bytes::Bytes;
use http_body::Frame;

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

/// A response that ended prematurely: the connection (HTTP/1) or the stream (HTTP/2) is closed without the regular end.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The connection to the upstream failed.
    #[error("the upstream's response ended prematurely")]
    Upstream(#[source] hyper::Error),
    /// The upstream took longer than `upstream.timeouts.total`.
    #[error("the upstream's response timed out")]
    Late,
    /// The task that passes on the response ended before the end of the response.
    #[error("the exchange with the upstream ended early")]
    Lost,
}
