//! The schema of `store`, and of `replay_protection` and `idempotency` of a route.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::issuer::SecretYaml;
use super::number::{Count, Switch};
use super::scalar::{FileName, OneOrMany, OptionalDuration, Parsed, PlaceKey, Timeout};
use crate::config::reader::{Field, List, Section, WordType, word_or_mapping};
use crate::route::duplicates::{OnDuplicate, Statuses};
use crate::settings::{OnError, OnFailover};

/// `store`: where replay ids, idempotency keys, shared rates and shared revocations are kept. A change needs a restart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename = "$tagged", rename_all = "lowercase")]
#[schemars(rename = "StoreYaml", tag = "type", rename_all = "lowercase")]
pub enum StoreYaml {
    /// The memory of this process; lost when it ends.
    Memory(MemoryYaml),
    /// A file on this machine, for one process.
    Embedded(EmbeddedYaml),
    /// A Redis or Valkey server or cluster, shared by several replicas.
    Redis(Box<RedisYaml>),
}

/// `store` of type memory
// Inline, like the other types, so that the schema of the variant has its keys beside `type`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct MemoryYaml {
    /// Maximum number of live entries in total.
    pub capacity: Count<1_000_000>,
    /// Behaviour for requests while the store is unavailable or full.
    pub on_error: Field<OnError>,
}

/// `store` of type embedded
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct EmbeddedYaml {
    /// Maximum number of live entries in total.
    pub capacity: Count<1_000_000>,
    /// Behaviour for requests while the store is unavailable or full.
    pub on_error: Field<OnError>,
    /// Path of the file; it is created if it does not exist.
    pub path: Field<String>,
    /// When entries are written to disk.
    pub durability: Field<DurabilityYaml>,
    /// Time between two writes with `durability: interval`: the most that a crash can lose.
    pub interval: Timeout<1_000>,
}

/// `store` of type redis
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct RedisYaml {
    /// Behaviour for requests while the store is unavailable or full.
    pub on_error: Field<OnError>,
    /// redis://host:port or rediss://host:port; for a cluster, one or several of its nodes.
    pub url: Field<OneOrMany<String>>,
    /// Whether the server is a cluster.
    pub cluster: Switch<false>,
    /// TLS to a rediss server.
    pub tls: Field<StoreTlsYaml>,
    /// User name for AUTH.
    pub username: Field<String>,
    /// Password for AUTH.
    pub password: Field<SecretYaml>,
    /// Timeout of one command; 500ms if absent.
    pub timeout: Timeout<500>,
    /// Prefix of every key; `hookgate` if absent.
    pub prefix: Field<String>,
    /// Behaviour for requests after a replica was promoted, or after a master came back empty.
    pub on_failover: Field<OnFailover>,
}

/// When an embedded store writes entries to disk
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "sync"))]
pub enum DurabilityYaml {
    /// Before the sender gets the response.
    #[default]
    Sync,
    /// Every `interval`.
    Interval,
}

/// `tls` of a `store` of type redis
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreTlsYaml {
    /// PEM file with the root certificates that the server's certificate must chain to; public roots if absent.
    pub ca: Field<Parsed<FileName>>,
}

/// `replay_protection` of a route: `disabled`, or its settings
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, title = "`disabled`, or { id: …, on_duplicate: … }")]
pub enum ReplayProtectionYaml {
    /// `disabled`
    Word(ReplayProtectionWord),
    /// The settings.
    Rule(Box<ReplayRuleYaml>),
}

impl<'de> Deserialize<'de> for ReplayProtectionYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = "`disabled`, or { id: …, on_duplicate: … }";
        word_or_mapping(deserializer, (form, WordType::String), Self::Word, Self::Rule)
    }
}

/// No replay protection
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", rename = "`disabled`, or { id: …, on_duplicate: … }")]
#[schemars(rename = "ReplayProtectionWord")]
pub enum ReplayProtectionWord {
    /// No replay protection: the store keeps no ids of this route.
    Disabled,
}

/// `replay_protection`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRuleYaml {
    /// The replay id, which is the same in every copy of a request. If absent, the scheme's own id: a required `jti`, a
    /// signed id, or the hash of the string to sign.
    pub id: Field<ReplayIdYaml>,
    /// The response to a duplicate of a request that was committed.
    pub on_duplicate: Field<OnDuplicate>,
    /// Minimum time for which an id is kept.
    pub ttl: OptionalDuration,
    /// Statuses of the upstream that commit a request; 2xx and 3xx if absent. After other statuses a retry is
    /// forwarded.
    pub commit_on: Section<List<Statuses>>,
}

/// `id` of `replay_protection`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayIdYaml {
    /// Name of a token's claim, or a JSON pointer to one.
    pub claim: Field<String>,
    /// Name of a signed header.
    pub header: Field<String>,
    /// JSON pointer into a signed body.
    pub json: Field<String>,
    /// Field of a signed form body.
    pub form: Field<String>,
    /// `true`: the hash of the string to sign.
    pub hash: Field<bool>,
}

impl ReplayIdYaml {
    /// The keys of which exactly one says where the id is, each with its text, unless it is the hash.
    pub fn places(&self) -> [PlaceKey<'_>; 4] {
        [
            PlaceKey::of("claim", &self.claim),
            PlaceKey::of("header", &self.header),
            PlaceKey::of("json", &self.json),
            PlaceKey::of("form", &self.form),
        ]
    }
}

/// `idempotency` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyYaml {
    /// Where the idempotency key is: exactly one of header, claim and json.
    pub key: Field<IdempotencyKeyYaml>,
    /// Whether a request without a key is rejected; false if absent.
    pub required: Switch<false>,
    /// How long a key is kept; 24h if absent.
    pub ttl: Timeout<86_400_000>,
    /// The response to a request whose key was committed; stored_response if absent.
    pub on_duplicate: Field<OnDuplicate>,
}

/// `key` of `idempotency`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyKeyYaml {
    /// Name of a header.
    pub header: Field<String>,
    /// Name of a token's claim, or a JSON pointer to one.
    pub claim: Field<String>,
    /// JSON pointer into the body.
    pub json: Field<String>,
}

impl IdempotencyKeyYaml {
    /// The keys of which exactly one says where the key is, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 3] {
        [PlaceKey::of("header", &self.header), PlaceKey::of("claim", &self.claim), PlaceKey::of("json", &self.json)]
    }
}
