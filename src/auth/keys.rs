//! The keys of issuers: each JWK becomes a `kid`, exactly one algorithm and a public key. Also the handle that holds
//! fetched keys.
//!
//! Keys are validated and parsed once, when they are loaded. A weak, private, unsupported or off-curve key is skipped,
//! and the others are used. Libraries verify signatures; this module decides which key may verify which token. It
//! fetches nothing.

mod algorithm;
mod chain;
mod error;
mod jwk;
mod key;
mod key_set;
mod remote;

use std::sync::Arc;

use crate::clock::UnixTime;
pub use algorithm::Algorithm;
pub use chain::{NotARoot, PinnedRoot};
pub use error::{KeySetError, SkippedKey, Unusable};
pub use jwk::is_small_order;
pub use key::Key;
pub use key_set::KeySet;
pub use remote::{Fetched, RemoteKeys, RemoteSource};

/// The supported algorithm with this name.
pub fn algorithm_named(name: &str) -> Option<Algorithm> {
    Algorithm::named(name)
}

/// Whether the algorithm uses a shared secret (HS256, HS384, HS512).
pub fn is_hmac(algorithm: Algorithm) -> bool {
    algorithm.mac_length().is_some()
}

/// Source of an issuer's keys.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Loaded with the configuration: inline, a file, a PEM public key or a shared secret.
    Fixed(Arc<KeySet>),
    /// Fetched over HTTP; the keys survive a reload.
    Remote(Arc<RemoteKeys>),
    /// Taken from the token's certificates, if they chain to this root.
    Chain(Arc<PinnedRoot>),
}

impl Keys {
    /// The active keys; `None` if none have been fetched, or they are older than `max_stale`. Always `None` for
    /// [`Self::Chain`].
    pub fn current(&self, now: UnixTime) -> Option<Arc<KeySet>> {
        match self {
            Self::Fixed(keys) => Some(Arc::clone(keys)),
            Self::Remote(remote) => remote.current(now).map(|fetched| Arc::clone(&fetched.keys)),
            Self::Chain(_) => None,
        }
    }

    /// The handle of fetched keys; `None` for keys that are not fetched.
    pub fn remote(&self) -> Option<Arc<RemoteKeys>> {
        match self {
            Self::Fixed(_) | Self::Chain(_) => None,
            Self::Remote(remote) => Some(Arc::clone(remote)),
        }
    }
}

#[cfg(test)]
mod tests;
