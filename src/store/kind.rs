//! The interface of a kind of store: what `StoreClient` needs of memory, embedded and Redis.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::state::{EntryId, Fingerprint, Owner, ReserveResult, SenderId, Settled, Settlement};
use crate::clock::UnixTime;
use crate::metrics::EntryKind;

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
        StoreFuture::Ready(ready(Err(StoreError::Unavailable)))
    }

    /// Looks up a token id, a subject and a key id in the revocation sets that all replicas share.
    fn revoked<'a>(&'a self, _names: [Option<&'a str>; 3]) -> StoreFuture<'a, Revoked> {
        StoreFuture::Ready(ready(Err(StoreError::Unavailable)))
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

impl<T> Future for StoreFuture<'_, T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(result) => Pin::new(result).poll(context),
            Self::Pending(call) => call.as_mut().poll(context),
        }
    }
}

/// An id to be reserved, and later settled.
#[derive(Clone, Debug)]
pub struct ReserveRequest {
    /// Purpose of the entry.
    pub kind: EntryKind,
    /// The id.
    pub id: EntryId,
    /// Fingerprint of the request that has the id.
    pub fingerprint: Fingerprint,
    /// The owner of the reservation.
    pub owner: Owner,
    /// Name of the route, which may use a share of a bounded store.
    pub route: Arc<str>,
    /// Maximum number of entries of that route.
    pub share: usize,
    /// The sender of the request on that route, by all of its credentials.
    pub sender: SenderId,
    /// Whether that is the only sender of the route, which may use up its share.
    pub whole: bool,
    /// Time until which the id must be stored.
    pub until: UnixTime,
    /// Length of the lease: the time within which the owner settles the reservation.
    pub lease: Duration,
    /// The part of the lease that is left once this process has died: the time that the upstream may take.
    pub upstream_lease: Duration,
    /// The first time at which the credential could be used, clock skew included; `None` if the credential does not
    /// say.
    pub issued: Option<UnixTime>,
}

/// Why a store could not reserve or settle an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The capacity of the store, or the share of the route, is used up.
    #[error("the store is full")]
    Full,
    /// The store did not respond in time, or may have lost entries.
    #[error("the store is not available")]
    Unavailable,
}

#[cfg(test)]
impl ReserveRequest {
    /// Reserves `id` until second 100 of Unix time, with a lease of 10 seconds.
    pub(super) fn sample(id: EntryId) -> Self {
        Self {
            kind: EntryKind::Replay,
            id,
            fingerprint: Fingerprint(7),
            owner: Owner(1),
            route: Arc::from("orders"),
            share: usize::MAX,
            sender: SenderId([1; 16]),
            whole: true,
            until: UnixTime::from_seconds(100).unwrap_or_default(),
            lease: Duration::from_secs(10),
            upstream_lease: Duration::from_secs(10),
            issued: None,
        }
    }
}
