//! Runtime settings of `store`, which keeps replay ids, idempotency keys and shared limits. Only a restart can change
//! them.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// Settings of `store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The type of the store, with its own settings.
    pub store: StoreSettings,
    /// Maximum number of live entries in total (memory and embedded).
    pub capacity: usize,
    /// Behaviour for requests while the store is unavailable or full.
    pub on_error: OnError,
}

/// The type of a store, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// The memory of this process; lost when it ends.
    Memory,
    /// A file on this machine.
    Embedded {
        /// Path of the file.
        path: PathBuf,
        /// When entries are written to disk.
        durability: Durability,
    },
    /// Redis or Valkey.
    Redis(RedisSettings),
}

/// When entries are written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the sender receives its response.
    Sync,
    /// After this time at most.
    Interval(Duration),
}

/// Settings of `store` of type redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://host:port` or `rediss://host:port`, optionally with `/db`; for a cluster, one or several of its nodes.
    pub urls: Vec<String>,
    /// Whether the server is a cluster.
    pub cluster: bool,
    /// Root certificates (PEM) that a `rediss` server's certificate must chain to, instead of the public ones.
    pub ca: Option<Vec<u8>>,
    /// User name for `AUTH`.
    pub username: Option<String>,
    /// Password for `AUTH`.
    pub password: Option<Zeroizing<String>>,
    /// Timeout of one command, including every step until its response.
    pub timeout: Duration,
    /// Prefix of every key.
    pub prefix: String,
    /// Behaviour for credentials after a failover or a loss of data.
    pub failover: Failover,
}

impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { urls, cluster, timeout, prefix, failover, .. } = self;
        let mut shown = f.debug_struct("RedisSettings");
        shown.field("urls", urls).field("cluster", cluster).field("timeout", timeout);
        shown.field("prefix", prefix).field("failover", failover).finish_non_exhaustive()
    }
}

/// Behaviour for credentials after a replica was promoted, or after a master came back without its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failover {
    /// Credentials issued before it fail closed (503), because their ids may have been lost.
    #[default]
    Refuse,
    /// They are accepted.
    Accept,
}

/// Behaviour for requests while the store is unavailable or full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// 503, so that the sender retries.
    #[default]
    Refuse,
    /// The request is forwarded without replay protection, and counted.
    Allow,
}
