//! The interface of a store kind: what `StoreClient` needs of memory, embedded and Redis.

use std::future::Ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::request::{ReserveRequest, StoreError};
use super::state::{ReserveResult, Settled, Settlement};
use crate::clock::UnixTime;

/// A kind of store. All workers call it at the same time.
pub trait Store: Send + Sync {
    /// Reserves an id, as `state::reserve`. After `Unavailable` the id may be reserved all the same: settle it as
    /// released.
    fn reserve<'a>(&'a self, request: &'a ReserveRequest, now: UnixTime) -> StoreFuture<'a, ReserveResult>;

    /// Settles a reservation, as `state::settle`. After `Unavailable` it may be settled all the same: repeat the call.
    fn settle<'a>(
        &'a self,
        request: &'a ReserveRequest,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> StoreFuture<'a, Settled>;

    /// Whether the store was available when it was last used or probed.
    fn is_available(&self) -> bool {
        true
    }

    /// Number of entries in this process, including expired ones that are not swept yet, and its capacity; `None` for a
    /// shared store.
    fn usage(&self) -> Option<(usize, usize)> {
        None
    }

    /// Removes expired entries; may take a while.
    fn sweep(&self, _now: UnixTime) {}

    /// Takes one request from a rate limit that all replicas share: `burst` requests at once, then one per `interval`.
    /// `None`: within the limit, or else the time to wait.
    fn take<'a>(&'a self, _key: &'a str, _interval: Duration, _burst: u32) -> StoreFuture<'a, Option<Duration>> {
        StoreFuture::ready(Err(StoreError::Unavailable))
    }

    /// Looks up a token id, a subject and a key id in the revocation sets that all replicas share.
    fn revoked<'a>(
        &'a self,
        _token_id: Option<&'a str>,
        _subject: Option<&'a str>,
        _key_id: Option<&'a str>,
    ) -> StoreFuture<'a, Revoked> {
        StoreFuture::ready(Err(StoreError::Unavailable))
    }
}

/// Result of a lookup in the shared revocation sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Whether one of the names is in its set.
    pub named: bool,
    /// Credentials that were issued before this time are revoked.
    pub issued_before: Option<UnixTime>,
}

/// The result of a call. The memory store has it at once and needs no allocation for it.
pub enum StoreFuture<'a, T> {
    /// The result.
    Ready(Ready<Result<T, StoreError>>),
    /// The call waits for a file or a server.
    Pending(Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>),
}

impl<'a, T> StoreFuture<'a, T> {
    pub(super) fn ready(result: Result<T, StoreError>) -> Self {
        Self::Ready(std::future::ready(result))
    }

    pub(super) fn pending(call: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> Self {
        Self::Pending(Box::pin(call))
    }
}

impl<T> Future for StoreFuture<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(result) => Pin::new(result).poll(context),
            Self::Pending(call) => call.as_mut().poll(context),
        }
    }
}
