//! The deadline of an upstream's response headers.

use std::time::{Duration, Instant};

use crate::proxy::request_body::Received;

/// The upstream's timeout runs from the end of the request body. While the body is still arriving, its own limits
/// apply, and `latest` bounds an upstream that does not read it.
pub(super) struct Deadline<'a> {
    pub(super) received: &'a Received,
    pub(super) begun: Instant,
    pub(super) timeout: Duration,
    pub(super) latest: Instant,
}

impl Deadline<'_> {
    /// Time left to connect; no part of the body is read before that.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    /// Waits for the response headers; `None` if the deadline passes first.
    pub(super) async fn within<F: Future>(&self, response: F) -> Option<F::Output> {
        let mut response = std::pin::pin!(response);
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
