//! The handle of a fetched key set: policies hold it, the fetcher fills it, a reload does not forget it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::{Algorithm, KeySet};
use crate::clock::UnixTime;

/// How a remote key set is fetched. Two equal sources are one fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSource {
    /// The issuer's name in gateway.yaml: log field and metric label.
    pub issuer: Arc<str>,
    /// https, or http on loopback: the key set, or the document that says where it is.
    pub url: String,
    /// The `iss` whose discovery document it is (OpenID Connect Discovery 1.0 §4), if it is one.
    pub discovery: Option<String>,
    /// PEM certificates to trust instead of the public roots.
    pub ca: Option<Vec<u8>>,
    /// Of these keys one must stand in the issuer's certificate chain: SHA-256 of a `SubjectPublicKeyInfo` each
    /// (RFC 7469 §2.4). None are asked for where there are none.
    pub pins: Vec<[u8; 32]>,
    /// Where the last good set is kept on disk, for a start while the issuer is gone.
    pub cache: Option<PathBuf>,
    /// Allowed algorithms: a JWK without `alg` takes the first of these that fits.
    pub algorithms: Vec<Algorithm>,
    /// Time between two fetches, unless Cache-Control asks for less.
    pub refresh: Duration,
    /// How long a set serves after its fetch.
    pub max_stale: Duration,
    /// The least time between two attempts.
    pub cooldown: Duration,
}

/// The handle.
#[derive(Debug)]
pub struct RemoteKeys {
    /// How it is fetched.
    pub source: RemoteSource,
    fetched: ArcSwapOption<Fetched>,
}

/// A key set and when it was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The keys.
    pub keys: Arc<KeySet>,
    /// When they were fetched.
    pub at: UnixTime,
}

impl RemoteKeys {
    /// Without keys yet.
    pub fn new(source: RemoteSource) -> Self {
        Self { source, fetched: ArcSwapOption::empty() }
    }

    /// With the keys, and their age, of another handle.
    pub fn adopt(source: RemoteSource, other: &Self) -> Self {
        Self { source, fetched: ArcSwapOption::new(other.fetched.load_full()) }
    }

    /// What was fetched last, however old.
    pub fn fetched(&self) -> Option<Arc<Fetched>> {
        self.fetched.load_full()
    }

    /// What was fetched, unless it is older than `max_stale`.
    pub fn current(&self, now: UnixTime) -> Option<Arc<Fetched>> {
        self.fetched().filter(|fetched| now.since(fetched.at) <= self.source.max_stale)
    }

    /// Puts a good set in force.
    pub fn replace(&self, keys: KeySet, at: UnixTime) {
        self.fetched.store(Some(Arc::new(Fetched { keys: Arc::new(keys), at })));
    }
}
