//! The deadlines of an exchange with an upstream: that of the response headers, and those of the response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::proxy::request_body::{Received, RequestBody};
use crate::route::UpstreamTimeouts;

/// The deadline of an upstream's response headers. The upstream's timeout runs from the end of the request body. While
/// the body is still arriving, its own limits apply, and `latest` bounds an upstream that does not read it.
pub(super) struct Deadline<'a> {
    pub(super) received: &'a Received,
    begun: Instant,
    timeout: Duration,
    latest: Instant,
    /// The key with this timeout.
    pub(super) key: &'static str,
}

impl<'a> Deadline<'a> {
    /// The deadline of a request that is sent now.
    pub(super) fn new(timeouts: &UpstreamTimeouts, body: &RequestBody, received: &'a Received) -> Self {
        let timeout = timeouts.response_headers;
        let key = if timeouts.total == Some(timeout) { TOTAL } else { "timeouts.response_headers" };
        Self { received, begun: Instant::now(), timeout, latest: body.latest_end() + timeout, key }
    }

    /// Time left to connect; no part of the body is read before that.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    /// Waits for the response headers; `None` if the deadline passes first.
    pub(super) async fn within<F: Future>(&self, mut response: Pin<&mut F>) -> Option<F::Output> {
        let mut deadline = self.begun + self.timeout;
        loop {
            if let Ok(response) = tokio::time::timeout_at(deadline.into(), response.as_mut()).await {
                return Some(response);
            }
            let ended = self.received.ended().unwrap_or_else(Instant::now);
            let next = (ended + self.timeout).min(self.latest);
            if next <= deadline {
                return None;
            }
            deadline = next;
        }
    }
}

const TOTAL: &str = "timeouts.total";

/// The deadlines of a response whose headers are there.
#[derive(Clone, Copy, Debug)]
pub struct ResponseDeadline {
    /// When it must be complete; `None` for a response that may last for ever.
    whole_by: Option<Instant>,
    /// How long the upstream may send nothing.
    idle: Option<Duration>,
}

impl ResponseDeadline {
    /// For the response to a request whose body ended at `ended`.
    pub(super) fn new(timeouts: &UpstreamTimeouts, ended: Option<Instant>) -> Self {
        let whole_by = timeouts.total.map(|total| ended.unwrap_or_else(Instant::now) + total);
        Self { whole_by, idle: timeouts.response_body_idle }
    }

    /// When the next part must be there, and the key with that timeout.
    pub fn next(&self) -> (Instant, &'static str) {
        match (self.whole_by, self.idle.map(|idle| Instant::now() + idle)) {
            (Some(whole), Some(idle)) if idle < whole => (idle, IDLE),
            (None, Some(idle)) => (idle, IDLE),
            (whole, _) => (whole.unwrap_or_else(Instant::now), TOTAL),
        }
    }

    /// When the response must be complete. For one that may last for ever, when the next part must be there.
    pub fn due(&self) -> Instant {
        self.whole_by.unwrap_or_else(|| self.next().0)
    }

    /// Whether the response may last for ever.
    pub const fn is_open(&self) -> bool {
        self.whole_by.is_none()
    }

    /// Moves the time at which the response must be complete.
    pub fn set_due(&mut self, due: Instant) {
        self.whole_by = Some(due);
    }
}

const IDLE: &str = "timeouts.response_body_idle";

/// The timer of a response that is streamed, created at the first wait.
#[derive(Debug, Default)]
pub struct ResponseTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    key: &'static str,
    is_waiting: bool,
}

impl ResponseTimer {
    /// Ready with the key of the timeout once the upstream has taken too long.
    pub fn poll_late(&mut self, deadline: &ResponseDeadline, cx: &mut Context<'_>) -> Poll<&'static str> {
        let sleep = match &mut self.sleep {
            Some(sleep) if self.is_waiting => sleep,
            sleep => {
                let (until, key) = deadline.next();
                (self.key, self.is_waiting) = (key, true);
                match sleep {
                    Some(sleep) => sleep.as_mut().reset(until.into()),
                    None => *sleep = Some(Box::pin(tokio::time::sleep_until(until.into()))),
                }
                let Some(sleep) = sleep else { return Poll::Pending };
                sleep
            }
        };
        sleep.as_mut().poll(cx).map(|()| self.key)
    }

    /// A part has come. Without an idle timeout, the timer stays as it is.
    pub fn reset(&mut self, deadline: &ResponseDeadline) {
        self.is_waiting = deadline.idle.is_none();
    }
}
