//! `state` as it runs: where ids, keys and shared limits are kept. Only a restart can change it.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// `state`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// Where.
    pub store: StoreSettings,
    /// Live entries, in all (memory and embedded).
    pub capacity: usize,
    /// What happens to a request that the store cannot decide on.
    pub on_error: OnError,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSettings {
    /// This process, until it ends.
    Memory,
    /// A file of this machine.
    Embedded {
        /// The file.
        path: PathBuf,
        /// When it is on disk.
        durability: Durability,
    },
    /// Redis or Valkey.
    Redis(RedisSettings),
}

/// When what has been written is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the sender is answered.
    Sync,
    /// So much later at most.
    Interval(Duration),
}

/// `state` of kind redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://host:port` or `rediss://host:port`, with `/db` at most; of a cluster, some of its nodes.
    pub urls: Vec<String>,
    /// A cluster.
    pub cluster: bool,
    /// Certificates in PEM form that a `rediss` server's must hang from, instead of the public ones.
    pub ca: Option<Vec<u8>>,
    /// For `AUTH`.
    pub username: Option<String>,
    /// For `AUTH`.
    pub password: Option<Zeroizing<String>>,
    /// For one answer, whatever it takes to get it.
    pub timeout: Duration,
    /// Before each key's name.
    pub prefix: String,
    /// What holds after a promotion or a loss.
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

/// What holds after a promotion, or after a master has come back without what it knew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failover {
    /// Credentials issued before it are undecided: their ids may have been lost.
    #[default]
    Refuse,
    /// They pass.
    Accept,
}

/// What happens to a request that the store cannot decide on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// 503: the sender tries again.
    #[default]
    Refuse,
    /// It passes without replay protection, and is counted.
    Allow,
}
