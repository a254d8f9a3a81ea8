//! The request to a store and its errors, common to all stores.

use std::sync::Arc;
use std::time::Duration;

use super::state::{EntryId, Fingerprint, Owner};
use crate::clock::UnixTime;

/// An id to be reserved, and later settled.
#[derive(Clone, Debug)]
pub struct ReserveRequest {
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
    /// Time until which the id must be stored.
    pub until: UnixTime,
    /// Length of the lease: the time within which the owner settles the reservation.
    pub lease: Duration,
    /// When the credential was issued, the first time at which it could be used; `None` if the credential does not say.
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
