//! The kinds of a [`Failure`](super::Failure), with the details that responses and log state.

use crate::reason::Reason;

/// The limit that a request exceeds, as the `RateLimit` headers of the response describe it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// Its policy name: `route`, `issuer`, `subject`, `sender`, `failed_auth`, `challenges`, or one of tunnels.
    pub limit: &'static str,
    /// The number of requests that may arrive at once.
    pub quota: u32,
    /// Seconds until the whole quota is available again; `None` for a concurrency limit.
    pub window: Option<u64>,
    /// Seconds until the next request may pass.
    pub retry_after: u64,
}

impl Limited {
    /// A concurrency limit. The gateway cannot know when a request in flight will end, so the retry time is a guess.
    pub const fn at_once(limit: &'static str, quota: u32) -> Self {
        Self { limit, quota, window: None, retry_after: 1 }
    }
}

/// Which limit of a shared memory quota is reached; the log's field `detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The limit of all clients together.
    Total,
    /// The share of one client address.
    Address,
    /// That of all clients together, and this request's body was late when another request needed the memory.
    Late,
}

impl Exhausted {
    /// Its value in the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
            Self::Late => "late",
        }
    }
}

/// The longest cause of an upstream's failure in the log, in bytes.
const LONGEST_CAUSE: usize = 300;

/// A failure of the upstream, and its cause.
#[derive(Clone, Debug)]
pub struct UpstreamFault {
    /// The reason.
    pub reason: Reason,
    /// The log's field `detail`.
    pub cause: Box<str>,
}

impl UpstreamFault {
    /// A long cause is cut.
    pub fn new(reason: Reason, mut cause: String) -> Self {
        let end = (0..=LONGEST_CAUSE.min(cause.len())).rev().find(|end| cause.is_char_boundary(*end));
        cause.truncate(end.unwrap_or_default());
        Self { reason, cause: cause.into() }
    }
}

/// How a request body exceeded a limit or ended prematurely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// More bytes than the route allows.
    #[error("the request body is too large")]
    TooLarge,
    /// No byte within the idle timeout, or not complete within the timeout of the whole body.
    #[error("the request body timed out")]
    Slow,
    /// The client disconnected.
    #[error("the request body ended prematurely")]
    ClientDisconnected,
    /// The chunks break the framing (RFC 9112 §7.1).
    #[error("the request body has invalid framing")]
    Ambiguous,
}

impl BodyFault {
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::BodyTooLarge,
            Self::Slow => Reason::RequestTimeout,
            Self::ClientDisconnected => Reason::ClientDisconnected,
            Self::Ambiguous => Reason::AmbiguousFraming,
        }
    }
}
