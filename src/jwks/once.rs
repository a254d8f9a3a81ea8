//! Keys for the commands: fetched once, or read from the cache of a gateway.

use super::fetch::{FailedFetch, FetchError, Fetcher};
use super::read::{read_cache, read_keys};
use crate::auth::keys::{KeySet, RemoteKeys};
use crate::clock::UnixTime;
use crate::telemetry;

/// Fetches a key set once, as the gateway does, and keeps nothing.
///
/// # Errors
/// The URL and why its keys cannot be used.
pub async fn fetch_once(keys: &RemoteKeys) -> Result<KeySet, String> {
    let told = |url: &str, error: &FetchError| format!("{url}: {}", telemetry::chain(error));
    let fetcher = Fetcher::new(&keys.source).map_err(|error| told(&keys.source.url, &error))?;
    let answer = fetcher.fetch().await.map_err(|FailedFetch { url, error }| told(&url, &error))?;
    read_keys(keys, &answer.body).map_err(|error| told(&answer.url.to_string(), &error))
}

/// The key set that a gateway has cached on disk, with the time of its fetch; `None` without a cache.
///
/// # Errors
/// Why the cache cannot be used.
pub fn cached(keys: &RemoteKeys, now: UnixTime) -> Result<Option<(KeySet, UnixTime)>, String> {
    let Some(path) = &keys.source.cache else { return Ok(None) };
    read_cache(keys, path, now).map_err(|error| telemetry::chain(&error))
}
