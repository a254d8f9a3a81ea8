//! Why a response of the upstream is not complete.

use crate::failure::UpstreamFault;
use crate::reason::Reason;
use crate::telemetry;

/// A response that ended prematurely: the connection (HTTP/1) or the stream (HTTP/2) is closed without the regular end.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The connection to the upstream failed.
    #[error("the upstream closed the connection or the stream before the end of the response")]
    Upstream(#[source] hyper::Error),
    /// The upstream took longer than the timeout of this key.
    #[error("the upstream's response took longer than {0}")]
    Late(&'static str),
    /// The task that passes on the response ended before the end of the response.
    #[error("the exchange with the upstream ended early")]
    Lost,
}

impl ResponseError {
    /// The reason and the cause.
    pub fn fault(&self) -> UpstreamFault {
        let reason = match self {
            Self::Late(_) => Reason::UpstreamTimeout,
            Self::Upstream(_) | Self::Lost => Reason::UpstreamProtocolError,
        };
        UpstreamFault::new(reason, telemetry::chain(self))
    }
}
