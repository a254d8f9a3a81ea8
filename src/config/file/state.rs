//! The shape of `state`, and of `replay` and `idempotency` of a route.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, OneOrMany, SecretFile};

/// `state`: where replay ids, idempotency keys and shared limits are kept. A change needs a restart.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateFile {
    /// memory (one process, until it ends), embedded (a file), or redis.
    pub kind: Option<StateKind>,
    /// Live entries in all; memory and embedded.
    pub capacity: Option<usize>,
    /// What happens to a request that the store cannot decide on.
    pub on_error: Option<OnErrorFile>,
    /// The file of an embedded store.
    pub path: Option<String>,
    /// When an embedded store is on disk.
    pub durability: Option<DurabilityFile>,
    /// How much `durability: interval` may lose; 1s if absent.
    pub interval: Option<DurationText>,
    /// redis://host:port or rediss://host:port; of a cluster, one or several of its nodes.
    pub url: Option<OneOrMany>,
    /// The Redis is a cluster.
    pub cluster: Option<bool>,
    /// What a rediss server's certificate must hang from.
    pub tls: Option<StateTlsFile>,
    /// For AUTH.
    pub username: Option<String>,
    /// For AUTH.
    pub password: Option<SecretFile>,
    /// For one answer of the Redis; 500ms if absent.
    pub timeout: Option<DurationText>,
    /// Before each key's name; `hookgate` if absent.
    pub prefix: Option<String>,
    /// What holds after a promotion, or after a master has come back empty.
    pub failover: Option<FailoverFile>,
}

/// Which store
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateKind {
    /// This process, until it ends.
    Memory,
    /// A file of this machine.
    Embedded,
    /// Redis or Valkey.
    Redis,
}

/// What happens to a request that the store cannot decide on
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnErrorFile {
    /// 503: the sender tries again.
    #[default]
    Refuse,
    /// It passes, and is counted.
    Allow,
}

/// When an embedded store is on disk
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityFile {
    /// Before the sender is answered.
    #[default]
    Sync,
    /// Every `interval`.
    Interval,
}

/// `tls` of `state`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StateTlsFile {
    /// A file of certificates in PEM form.
    pub ca: Option<String>,
}

/// What holds after a promotion
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverFile {
    /// Credentials issued before it are answered 503.
    #[default]
    Refuse,
    /// They pass.
    Accept,
}

/// `replay` of a route: `off`, or what is remembered
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`off`, or { id: …, on_duplicate: … }")]
pub enum ReplayFile {
    /// `off`
    Word(ReplayWord),
    /// `false`, which YAML 1.1 writes for `off`.
    Switch(bool),
    /// What is remembered.
    Rule(Box<ReplayRuleFile>),
}

/// The word for no replay protection
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayWord {
    /// Nothing is remembered.
    Off,
}

/// `replay`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRuleFile {
    /// What tells one request from the next; the scheme's own id if absent: a required `jti`, a signed id, or the hash of
    /// what is signed.
    pub id: Option<ReplayIdFile>,
    /// What a sender hears who repeats what has arrived.
    pub on_duplicate: Option<OnDuplicateFile>,
    /// The least time that an id is kept.
    pub ttl: Option<DurationText>,
    /// Replies of the app by which a request has arrived: 2xx and 3xx if absent.
    pub commit_on: Option<Vec<StatusText>>,
}

/// Replies of the app
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a class such as 2xx, or a status such as 202")]
pub enum StatusText {
    /// 202
    Number(u16),
    /// 2xx
    Class(String),
}

/// `id` of `replay`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayIdFile {
    /// A claim of the token, or a JSON pointer to one.
    pub claim: Option<String>,
    /// A header that is signed.
    pub header: Option<String>,
    /// A JSON pointer into a body that is signed.
    pub json: Option<String>,
    /// A field of a form that is signed.
    pub form: Option<String>,
    /// `true`: the hash of all that is signed.
    pub hash: Option<bool>,
}

/// What a sender hears who repeats what has arrived
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicateFile {
    /// 409.
    Refuse,
    /// 200, empty.
    Acknowledge,
    /// What was answered the first time; of `idempotency` only.
    Replay,
}

/// `idempotency` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyFile {
    /// Where the key is: exactly one of header, claim and json.
    pub key: Option<IdempotencyKeyFile>,
    /// Whether a request without a key is refused; it is not, if absent.
    pub required: Option<bool>,
    /// How long a key is kept; 24h if absent.
    pub ttl: Option<DurationText>,
    /// What a sender hears who repeats what was done; replay if absent.
    pub on_duplicate: Option<OnDuplicateFile>,
}

/// `key` of `idempotency`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyKeyFile {
    /// A header's name.
    pub header: Option<String>,
    /// A claim of the token, or a JSON pointer to one.
    pub claim: Option<String>,
    /// A JSON pointer into the body.
    pub json: Option<String>,
}
