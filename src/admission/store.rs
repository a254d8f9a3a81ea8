//! What every store is asked, and how it may fail.

use std::sync::Arc;
use std::time::Duration;

use super::state::{EntryId, Fingerprint, Owner};
use crate::clock::UnixTime;

/// One id to be reserved, and later settled.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which.
    pub id: EntryId,
    /// Of the request that it comes with.
    pub fingerprint: Fingerprint,
    /// Who asks.
    pub owner: Owner,
    /// The route, which has its share of a bounded store.
    pub route: Arc<str>,
    /// How many entries that route may hold.
    pub share: usize,
    /// Until when it must be remembered.
    pub until: UnixTime,
    /// How long the owner may take.
    pub lease: Duration,
    /// When its credential could be used first; `None` where it does not say.
    pub issued: Option<UnixTime>,
}

/// Why a store could not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No place for one more entry, in all or in the route's share.
    #[error("the store is full")]
    Full,
    /// It did not answer in time, or what it holds cannot be relied upon.
    #[error("the store is not available")]
    Unavailable,
}
