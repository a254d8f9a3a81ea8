//! How an exchange has ended without a response, in the words of RFC 9112 and RFC 9113.

use std::error::Error as _;
use std::fmt;

/// The end of an exchange, as its error shows it. Displayed as the beginning of a text for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeEnd {
    /// HTTP/1: the connection.
    Closed,
    /// The response cannot be parsed; in HTTP/2 an error of its stream (RFC 9113 §8.1.1).
    Malformed,
    /// HTTP/2: the upstream has ended the stream (RFC 9113 §5.4.2), and no other of the connection.
    Reset,
    /// As [`Self::Reset`]; the upstream has not processed the request (RFC 9113 §8.7).
    Refused,
    /// HTTP/2: the connection; the upstream has not processed the request (RFC 9113 §6.8). h2 gives the error of a GOAWAY
    /// to no stream that it includes.
    LeftOut,
    /// Any other error of the connection.
    Other,
}

impl ExchangeEnd {
    pub(super) fn of(error: &hyper::Error) -> Self {
        let h2 = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
        match h2 {
            Some(h2) if h2.is_remote() && h2.is_go_away() => Self::LeftOut,
            Some(h2) if h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM) => Self::Refused,
            Some(h2) if h2.is_remote() && h2.is_reset() => Self::Reset,
            Some(h2) if h2.is_reset() => Self::Malformed,
            Some(_) => Self::Other,
            None if error.is_incomplete_message() => Self::Closed,
            None if error.is_parse() => Self::Malformed,
            None => Self::Other,
        }
    }

    /// Whether an HTTP/2 connection goes on.
    pub(super) const fn is_of_one_stream(self) -> bool {
        match self {
            Self::Malformed | Self::Reset | Self::Refused => true,
            Self::Closed | Self::LeftOut | Self::Other => false,
        }
    }
}

impl fmt::Display for ExchangeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the upstream closed the connection before the response headers: ",
            Self::Malformed => "malformed response: ",
            Self::Reset => "the upstream reset the stream (RST_STREAM): ",
            Self::Refused => "the upstream rejected the request without processing it (REFUSED_STREAM): ",
            Self::LeftOut => "the upstream closed the connection without processing the request (GOAWAY): ",
            Self::Other => "",
        })
    }
}
