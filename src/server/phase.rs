//! The phases of a graceful shutdown, which [`crate::app`] announces and every connection follows.

use tokio::sync::watch;

/// Phase of a graceful shutdown (`drain` in gateway.yaml).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are served.
    #[default]
    Running,
    /// Requests are served and connections accepted, but every response announces that its connection closes.
    Announcing,
    /// No connections are accepted; requests in flight are completed.
    Closing,
    /// The same, and connections without a request in flight are closed without waiting for their clients.
    ClosingAtOnce,
    /// The drain is over; requests still in flight are aborted.
    Stopped,
}

/// Waits until a drain has reached this phase; a dropped sender counts as the end of the drain.
pub async fn reached(phase: &mut watch::Receiver<Phase>, at: Phase) {
    let _end = phase.wait_for(|phase| *phase >= at).await;
}
