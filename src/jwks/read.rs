//! Key sets from the bytes of a response or of the cache.

use std::path::Path;
use std::sync::Arc;

use super::cache::{self, CacheError};
use super::fetch::FetchError;
use crate::auth::keys::{KeySet, RemoteKeys};
use crate::clock::UnixTime;

pub(super) fn read_cache(
    keys: &RemoteKeys,
    path: &Path,
    now: UnixTime,
) -> Result<Option<(KeySet, UnixTime)>, CacheError> {
    match cache::read(path, &keys.source, now)? {
        None => Ok(None),
        Some(cached) => Ok(Some((read_keys(keys, &cached.body)?, cached.at))),
    }
}

pub(super) fn read_keys(keys: &RemoteKeys, body: &[u8]) -> Result<KeySet, FetchError> {
    let issuer = &*keys.source.issuer;
    let (set, skipped) =
        KeySet::from_jwks(body, &keys.source.algorithms).map_err(|error| FetchError::BadSet(Arc::new(error)))?;
    for key in &skipped {
        tracing::warn!(issuer, key = %key, "skipped a key of the JWKS");
    }
    if set.is_empty() { Err(FetchError::NoKeys) } else { Ok(set) }
}
