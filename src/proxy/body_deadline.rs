//! The deadlines of a request body that is being read.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// How long a body may take before its rate is measured.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// Deadlines of a body: one for the next bytes, one for the rate of all bytes so far, one for the whole body. The timer
/// is created at the first wait, since most bodies arrive together with their headers.
#[derive(Debug)]
pub(super) struct BodyDeadline {
    stall: Duration,
    /// In bytes per second.
    min_rate: u32,
    pub(super) whole_by: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// The start of the current wait.
    since: Option<Instant>,
    /// The time of all earlier waits: an upstream that takes a streamed body slowly does not count against the client.
    waited: Duration,
}

impl BodyDeadline {
    pub(super) fn new(stall: Duration, min_rate: u32, whole_by: Instant) -> Self {
        Self { stall, min_rate, whole_by, timer: None, since: None, waited: Duration::ZERO }
    }

    /// The same deadlines, of a body for which no client is waited.
    pub(super) fn copy(&self) -> Self {
        Self::new(self.stall, self.min_rate, self.whole_by)
    }

    pub(super) fn poll_exhausted(&mut self, cx: &mut Context<'_>, received: u64) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let until = (now + self.stall.min(self.rate_allows(received))).min(self.whole_by).into();
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    /// How long the client may take for its next bytes before its rate is too low.
    fn rate_allows(&self, received: u64) -> Duration {
        let Some(seconds) = received.checked_div(self.min_rate.into()) else { return Duration::MAX };
        RATE_GRACE.max(Duration::from_secs(seconds)).saturating_sub(self.waited)
    }

    pub(super) fn bytes_came(&mut self) {
        self.waited += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured_after_its_grace_and_only_while_the_client_is_waited_for() {
        let seconds = Duration::from_secs;
        let mut body = BodyDeadline::new(seconds(15), 240, Instant::now());
        let allowed = |body: &BodyDeadline| [0, 1200, 2400].map(|received| body.rate_allows(received));
        assert_eq!(allowed(&body), [5, 5, 10].map(seconds));
        body.waited = seconds(6);
        assert_eq!(allowed(&body), [0, 0, 4].map(seconds));
        body.min_rate = 0;
        assert_eq!(allowed(&body), [Duration::MAX; 3]);
    }
}
