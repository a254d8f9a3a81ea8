//! The schema of `store`, and of `replay_protection` and `idempotency` of a route.

use schemars::JsonSchema;
use serde::Deserialize;

use super::issuer::SecretFile;
use super::scalar::{DurationText, OneOrMany};
use crate::settings::{OnError, OnFailover};

/// `store`: where replay ids, idempotency keys, shared rates and shared revocations are kept. A change needs a restart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum StoreFile {
    /// The memory of this process; lost when it ends.
    Memory {
        /// Maximum number of live entries in total.
        capacity: Option<usize>,
        /// Behaviour for requests while the store is unavailable or full.
        on_error: Option<OnError>,
    },
    /// A file on this machine, for one process.
    Embedded {
        /// Maximum number of live entries in total.
        capacity: Option<usize>,
        /// Behaviour for requests while the store is unavailable or full.
        on_error: Option<OnError>,
        /// Path of the file; it is created if it does not exist.
        path: Option<String>,
        /// When entries are written to disk.
        durability: Option<DurabilityFile>,
        /// Time between two writes with `durability: interval`: the most that a crash can lose; 1s if absent.
        interval: Option<DurationText>,
    },
    /// A Redis or Valkey server or cluster, shared by several replicas.
    Redis(Box<RedisFile>),
}

/// `store` of type redis
// Inline, so that the schema of the variant has its keys beside the tag.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct RedisFile {
    /// Behaviour for requests while the store is unavailable or full.
    pub on_error: Option<OnError>,
    /// redis://host:port or rediss://host:port; for a cluster, one or several of its nodes.
    pub url: Option<OneOrMany>,
    /// Whether the server is a cluster.
    pub cluster: Option<bool>,
    /// TLS to a rediss server.
    pub tls: Option<StoreTlsFile>,
    /// User name for AUTH.
    pub username: Option<String>,
    /// Password for AUTH.
    pub password: Option<SecretFile>,
    /// Timeout of one command; 500ms if absent.
    pub timeout: Option<DurationText>,
    /// Prefix of every key; `hookgate` if absent.
    pub prefix: Option<String>,
    /// Behaviour for requests after a replica was promoted, or after a master came back empty.
    pub on_failover: Option<OnFailover>,
}

/// When an embedded store writes entries to disk
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityFile {
    /// Before the sender gets the response.
    #[default]
    Sync,
    /// Every `interval`.
    Interval,
}

/// `tls` of a `store` of type redis
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreTlsFile {
    /// PEM file with the root certificates that the server's certificate must chain to; public roots if absent.
    pub ca: Option<String>,
}

/// `replay_protection` of a route: `disabled`, or its settings
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "`disabled`, or { id: …, on_duplicate: … }")]
pub enum ReplayProtectionFile {
    /// `disabled`
    Word(ReplayProtectionWord),
    /// The settings.
    Rule(Box<ReplayRuleFile>),
}

/// No replay protection
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayProtectionWord {
    /// No replay protection: the store keeps no ids of this route.
    Disabled,
}

/// `replay_protection`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRuleFile {
    /// The replay id, which is the same in every copy of a request. If absent, the scheme's own id: a required `jti`, a
    /// signed id, or the hash of the string to sign.
    pub id: Option<ReplayIdFile>,
    /// The response to a duplicate of a request that was committed.
    pub on_duplicate: Option<OnDuplicateFile>,
    /// Minimum time for which an id is kept.
    pub ttl: Option<DurationText>,
    /// Statuses of the upstream that commit a request; 2xx and 3xx if absent. After other statuses a retry is
    /// forwarded.
    pub commit_on: Option<Vec<StatusText>>,
}

/// Statuses of the upstream
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "a class such as 2xx, or a status such as 202")]
pub enum StatusText {
    /// A status such as 202.
    Number(u16),
    /// A class such as 2xx.
    Class(String),
}

/// `id` of `replay_protection`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayIdFile {
    /// Name of a token's claim, or a JSON pointer to one.
    pub claim: Option<String>,
    /// Name of a signed header.
    pub header: Option<String>,
    /// JSON pointer into a signed body.
    pub json: Option<String>,
    /// Field of a signed form body.
    pub form: Option<String>,
    /// `true`: the hash of the string to sign.
    pub hash: Option<bool>,
}

impl ReplayIdFile {
    /// The keys of which exactly one says where the id is, each with its text, unless it is the hash.
    pub fn places(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("claim", self.claim.as_deref()),
            ("header", self.header.as_deref()),
            ("json", self.json.as_deref()),
            ("form", self.form.as_deref()),
        ]
    }
}

/// The response to a duplicate of a request that was committed
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicateFile {
    /// 409 (Conflict).
    Reject,
    /// 200, or 202 for security event tokens, with an empty body.
    Acknowledge,
    /// The stored response to the first request; for `idempotency` only.
    StoredResponse,
}

/// `idempotency` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyFile {
    /// Where the idempotency key is: exactly one of header, claim and json.
    pub key: Option<IdempotencyKeyFile>,
    /// Whether a request without a key is rejected; false if absent.
    pub required: Option<bool>,
    /// How long a key is kept; 24h if absent.
    pub ttl: Option<DurationText>,
    /// The response to a request whose key was committed; stored_response if absent.
    pub on_duplicate: Option<OnDuplicateFile>,
}

/// `key` of `idempotency`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencyKeyFile {
    /// Name of a header.
    pub header: Option<String>,
    /// Name of a token's claim, or a JSON pointer to one.
    pub claim: Option<String>,
    /// JSON pointer into the body.
    pub json: Option<String>,
}

impl IdempotencyKeyFile {
    /// The keys of which exactly one says where the key is, each with its text.
    pub fn places(&self) -> [(&'static str, Option<&str>); 3] {
        [("header", self.header.as_deref()), ("claim", self.claim.as_deref()), ("json", self.json.as_deref())]
    }
}
