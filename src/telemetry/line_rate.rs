//! The one bound on the rate of log lines about connections that never become a request, such as failed TLS handshakes:
//! unauthenticated clients can cause them at line rate.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Lines of one reason that are written within [`WINDOW`].
const LINES: u64 = 10;

/// After it the suppressed lines are reported.
const WINDOW: Duration = Duration::from_secs(10);

static WINDOW_NOW: LineRate = LineRate(Mutex::new(BTreeMap::new()));

/// The number of lines of each reason since the window began.
#[derive(Debug)]
struct LineRate(Mutex<BTreeMap<&'static str, u64>>);

/// Whether one more line of this reason may be written now. It is counted in any case.
pub fn may_log(reason: &'static str) -> bool {
    WINDOW_NOW.admit(reason)
}

/// Logs after each window how many lines of each reason were suppressed; never returns.
pub async fn report_suppressed() {
    loop {
        tokio::time::sleep(WINDOW).await;
        for (reason, suppressed) in WINDOW_NOW.end() {
            tracing::warn!(reason, suppressed, "suppressed log lines about connections");
        }
    }
}

impl LineRate {
    fn admit(&self, reason: &'static str) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reason).or_default();
        *count += 1;
        *count <= LINES
    }

    /// Ends the window; returns the number of suppressed lines of each reason that has some.
    fn end(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        counts.into_iter().filter(|(_, count)| *count > LINES).map(|(reason, count)| (reason, count - LINES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_lines_in_each_window() {
        let rate = LineRate(Mutex::default());
        let written = |reason| (0..25).filter(|_| rate.admit(reason)).count();
        assert_eq!((written("timeout"), written("other")), (10, 10));
        assert!(rate.admit("plain_http"));
        assert_eq!(rate.end().collect::<Vec<_>>(), [("other", 15), ("timeout", 15)]);
        assert!(rate.admit("timeout"));
        assert_eq!(rate.end().next(), None);
    }
}
