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
mod key_id;
mod key_set;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use zeroize::Zeroizing;

use crate::clock::UnixTime;
pub use algorithm::Algorithm;
pub use chain::{NotARoot, PinnedRoot};
pub use error::{KeySetError, SkippedKey, Unusable};
pub use jwk::is_small_order;
pub use key::Key;
pub use key_set::KeySet;

/// Source of an issuer's keys.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Loaded with the configuration: inline, a file, a PEM public key or a shared secret.
    Fixed(Arc<KeySet>),
    /// Fetched over HTTP; the keys survive a reload.
    Remote(Arc<RemoteKeys>),
    /// Taken from the token's certificates, if they chain to this root.
    Chain(Arc<PinnedRoot>),
    /// Those of each tenant, by its name.
    OfTenants(Arc<BTreeMap<Arc<str>, Keys>>),
}

impl Keys {
    /// The active keys; `None` if none have been fetched, or they are older than `max_stale`. Always `None` for
    /// [`Self::Chain`] and [`Self::OfTenants`].
    pub fn current(&self, now: UnixTime) -> Option<Arc<KeySet>> {
        match self {
            Self::Fixed(keys) => Some(Arc::clone(keys)),
            Self::Remote(remote) => remote.current(now).map(|fetched| Arc::clone(&fetched.keys)),
            Self::Chain(_) | Self::OfTenants(_) => None,
        }
    }

    /// The keys for a request of this tenant, and whether a valid signature proves nothing: those of an unknown tenant are
    /// another one's, so that its rejection takes as long.
    pub(super) fn of(&self, tenant: Option<&str>) -> (&Self, bool) {
        let Self::OfTenants(all) = self else { return (self, false) };
        match tenant.and_then(|tenant| all.get(tenant)) {
            Some(keys) => (keys, false),
            None => (all.values().next().unwrap_or(self), true),
        }
    }

    /// Whether they are fetched.
    pub fn are_fetched(&self) -> bool {
        match self {
            Self::Fixed(_) | Self::Chain(_) => false,
            Self::Remote(_) => true,
            Self::OfTenants(all) => all.values().any(Self::are_fetched),
        }
    }

    /// The handle of fetched keys; `None` for keys that are not fetched.
    pub fn remote(&self) -> Option<Arc<RemoteKeys>> {
        match self {
            Self::Fixed(_) | Self::Chain(_) | Self::OfTenants(_) => None,
            Self::Remote(remote) => Some(Arc::clone(remote)),
        }
    }
}

/// How a remote key set is fetched. Equal sources share one fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSource {
    /// The issuer's name in gateway.yaml; a log field and a metric label.
    pub issuer: Arc<str>,
    /// URL of the key set or of the discovery document: https, or http on loopback or, with `insecure_http`, to a private
    /// address.
    pub url: String,
    /// The `iss` of the discovery document (OpenID Connect Discovery 1.0 §4); `None` if the URL is that of the key set.
    pub discovery: Option<String>,
    /// PEM certificates that are trusted instead of the public roots.
    pub ca: Option<Vec<u8>>,
    /// How its host is reached.
    pub access: JwksAccess,
    /// Pinned keys, of which the issuer's certificate chain must contain one: SHA-256 of a `SubjectPublicKeyInfo` each
    /// (RFC 7469 §2.4). Empty: no pinning.
    pub pins: Vec<[u8; 32]>,
    /// File that stores the last valid key set, for a start while the issuer is unreachable.
    pub cache: Option<PathBuf>,
    /// Allowed algorithms; a JWK without `alg` gets the first of these that fits its type.
    pub algorithms: Vec<Algorithm>,
    /// Time between two fetches (`refresh_interval`), unless `Cache-Control` specifies less.
    pub refresh: Duration,
    /// How long a key set is used after its fetch.
    pub max_stale: Duration,
    /// Minimum time between two fetch attempts.
    pub cooldown: Duration,
}

/// How the host of a key set is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwksAccess {
    /// URL of the HTTP proxy, which tunnels TLS by CONNECT.
    pub proxy: Option<String>,
    /// The token in the request to the configured URL, and in no other one.
    pub bearer: Option<BearerToken>,
    /// Plain http to private addresses is allowed.
    pub insecure_http: bool,
}

/// A bearer token, which is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// `None` for a text that is no `b64token` (RFC 6750 §2.1).
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        (!text.is_empty() && text.bytes().all(plain)).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// The handle of one remote key set.
#[derive(Debug)]
pub struct RemoteKeys {
    /// How the key set is fetched.
    pub source: RemoteSource,
    fetched: ArcSwapOption<Fetched>,
}

/// A key set and the time of its fetch.
#[derive(Debug)]
pub struct Fetched {
    /// The keys.
    pub keys: Arc<KeySet>,
    /// Time of the fetch.
    pub at: UnixTime,
}

impl RemoteKeys {
    /// A handle without keys.
    pub fn new(source: RemoteSource) -> Self {
        Self { source, fetched: ArcSwapOption::empty() }
    }

    /// A handle that takes over the keys of another one, and the time of their fetch.
    pub fn adopt(source: RemoteSource, other: &Self) -> Self {
        Self { source, fetched: ArcSwapOption::new(other.fetched.load_full()) }
    }

    /// The last fetched key set, of any age.
    pub fn fetched(&self) -> Option<Arc<Fetched>> {
        self.fetched.load_full()
    }

    /// The last fetched key set, unless it is older than `max_stale`.
    pub fn current(&self, now: UnixTime) -> Option<Arc<Fetched>> {
        self.fetched().filter(|fetched| now.since(fetched.at) <= self.source.max_stale)
    }

    /// Makes a valid key set the active one.
    pub fn replace(&self, keys: KeySet, at: UnixTime) {
        self.fetched.store(Some(Arc::new(Fetched { keys: Arc::new(keys), at })));
    }
}

#[cfg(test)]
mod tests;
