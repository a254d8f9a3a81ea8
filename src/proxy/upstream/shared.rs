//! The HTTP/2 connections of a pool: several requests share one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http2::SendRequest;

use crate::proxy::request_body::RequestBody;

/// Most requests on one connection at a time; fewer if the upstream allows fewer.
const MAX_STREAMS: usize = 100;

/// Bytes of a response that are buffered for a client that does not read it.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;

/// Room for all streams of a connection: those whose clients do not read cannot keep the others from being read.
pub(super) const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;

/// Sends requests on a connection that others use too.
#[derive(Clone, Debug)]
pub(super) struct SharedSender {
    pub(super) requests: SendRequest<RequestBody>,
    /// The number of streams that the upstream allows now (SETTINGS_MAX_CONCURRENT_STREAMS); shared with the connection.
    pub(super) allowed: Arc<AtomicUsize>,
}

impl SharedSender {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.allowed, &other.allowed)
    }
}

#[derive(Debug)]
struct SharedConnection {
    sender: SharedSender,
    streams: usize,
    /// The end of its last request.
    since: Instant,
}

impl SharedConnection {
    /// Whether it may be used for another request.
    fn is_open(&self, keepalive: Duration) -> bool {
        !self.sender.requests.is_closed() && (self.streams > 0 || self.since.elapsed() < keepalive)
    }
}

/// The connections, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct SharedConnections(Mutex<Vec<SharedConnection>>);

impl SharedConnections {
    /// The first connection that has room for another stream, so that others become idle.
    pub(super) fn take(&self, keepalive: Duration) -> Option<SharedSender> {
        let mut all = self.locked();
        let one = all.iter_mut().find(|one| {
            let most = one.sender.allowed.load(Ordering::Relaxed).min(MAX_STREAMS);
            one.streams < most && one.is_open(keepalive)
        })?;
        one.streams += 1;
        Some(one.sender.clone())
    }

    /// Adds a new connection with one stream.
    pub(super) fn add(&self, sender: &SharedSender) {
        self.locked().push(SharedConnection { sender: sender.clone(), streams: 1, since: Instant::now() });
    }

    /// A request has ended, or its client has left.
    pub(super) fn give_back(&self, sender: &SharedSender) {
        if let Some(one) = self.locked().iter_mut().find(|one| one.sender.is(sender)) {
            (one.streams, one.since) = (one.streams.saturating_sub(1), Instant::now());
        }
    }

    /// No further request uses the connection, which may be dead; those on it go on.
    pub(super) fn retire(&self, sender: &SharedSender) {
        self.locked().retain(|one| !one.sender.is(sender));
    }

    /// Closes connections that have been idle too long.
    pub(super) fn sweep(&self, keepalive: Duration) {
        self.locked().retain(|one| one.is_open(keepalive));
    }

    /// Never contended: the mutex belongs to one worker.
    fn locked(&self) -> MutexGuard<'_, Vec<SharedConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
