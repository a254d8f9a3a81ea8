//! The schema of `store`, and of `replay_protection` and `idempotency` of a route.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::issuer::SecretYaml;
use super::number::{Count, Switch};
use super::scalar::{FileName, OneOrMany, OptionalSeconds, Parsed, PlaceKey, Seconds, Timeout};
use crate::config::reader::{Field, List, Section, WordType, word_or_mapping};
use crate::route::duplicates::{OnDuplicate, ReplayScope, Statuses};
use crate::settings::{OnError, OnFailover};

/// `store`: where replay ids, idempotency keys, shared rates and shared revocations are kept. A change needs a restart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename = "$tagged", rename_all = "lowercase")]
#[schemars(rename = "StoreYaml", tag = "type", rename_all = "lowercase", transform = describe_type)]
pub enum StoreYaml {
    /// The memory of this process; lost when it ends.
    Memory(MemoryYaml),
    /// A file on this machine, for one process.
    Embedded(EmbeddedYaml),
    /// A Redis 7 or Valkey server or cluster, shared by several replicas.
    Redis(Box<RedisYaml>),
}

/// Describes the key `type`, which is no field that could have a doc comment.
fn describe_type(schema: &mut Schema) {
    let types = schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten();
    for name in types.filter_map(|one| one.pointer_mut("/properties/type")?.as_object_mut()) {
        name.insert("description".to_owned(), "The type of the store, on which its other keys depend.".into());
    }
}

/// `store` of type memory
// Inline, like the other types, so that the schema of the variant has its keys beside `type`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct MemoryYaml {
    /// Maximum number of live entries in total. The routes with `replay_protection` or `idempotency` have equal shares of
    /// it; beyond its share the response of a route is 503 `store_full`.
    #[schemars(example = 200_000)]
    pub capacity: Count<1_000_000>,
    /// Behaviour for requests while the store is unavailable or full. Revocation always fails closed.
    #[schemars(example = &"allow")]
    pub on_error: Field<OnError>,
}

/// `store` of type embedded
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct EmbeddedYaml {
    /// Maximum number of live entries in total. The routes with `replay_protection` or `idempotency` have equal shares of
    /// it; beyond its share the response of a route is 503 `store_full`.
    #[schemars(example = 200_000)]
    pub capacity: Count<1_000_000>,
    /// Behaviour for requests while the store is unavailable or full. Revocation always fails closed.
    #[schemars(example = &"allow")]
    pub on_error: Field<OnError>,
    /// Path of the file; it is created with mode 0600 if it does not exist. One process at a time can use it.
    #[schemars(required, example = &"/var/lib/hookgate/store")]
    pub path: Field<String>,
    /// When entries are written to disk.
    #[schemars(example = &"interval")]
    pub durability: Field<DurabilityYaml>,
    /// Time between two writes, with `durability: interval`: the most that a crash or a power failure can lose.
    #[schemars(example = &"200ms")]
    pub interval: Timeout<1_000>,
}

/// `store` of type redis
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct RedisYaml {
    /// Behaviour for requests while the store is unavailable or full. Revocation always fails closed.
    #[schemars(example = &"allow")]
    pub on_error: Field<OnError>,
    /// `redis://host:port`, or `rediss://host:port` with TLS; for a cluster, one or several of its nodes. It has no user
    /// name or password. A database may follow the port.
    #[schemars(required, example = &"rediss://redis:6379")]
    pub url: Field<OneOrMany<String>>,
    /// Whether the server is a cluster.
    #[schemars(example = true)]
    pub cluster: Switch<false>,
    /// TLS to a rediss server; without it, public roots are trusted.
    #[schemars(example = json!({ "ca": "redis-ca.crt" }))]
    pub tls: Field<StoreTlsYaml>,
    /// User name for AUTH.
    #[schemars(example = &"hookgate")]
    pub username: Field<String>,
    /// Password for AUTH. With a `redis://` URL of another machine it is sent in plain text, which is a warning.
    #[schemars(example = json!({ "file": "secrets/redis" }))]
    pub password: Field<SecretYaml>,
    /// Secret key of the hashes that are the names of ids, keys and requests in Redis, of at least 16 bytes. Without it, a
    /// client that can read this Redis can find out by trying which ids were used. All replicas need the same key. After a
    /// change, the ids that were stored before are no longer found.
    #[schemars(example = json!({ "file": "secrets/redis-hash-key" }))]
    pub hash_key: Field<SecretYaml>,
    /// Timeout of one command, for which a request waits; at most 2s. After it `on_error` applies.
    #[schemars(example = &"200ms")]
    pub timeout: Timeout<500>,
    /// Prefix of every key: 1 to 64 letters, digits, `-`, `_` and `.`. Gateways with the same prefix share their entries.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"), example = &"gateway-eu", extend("default" = "hookgate"))]
    pub prefix: Field<String>,
    /// Behaviour for requests whose ids Redis may have lost, after a restart, a promotion, or a clock that was set.
    #[schemars(example = &"allow")]
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
    /// PEM file with the root certificates to which the server's certificate must chain. A change of its contents needs a
    /// restart too.
    #[schemars(required, example = &"redis-ca.crt")]
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
    /// The replay id, which is the same in every copy of a request and must be signed. If absent: `jti` of a JWT if it is in
    /// `required_claims`, the hash of a JWT that is bound to its body, the `id` of a signature or preset, or else the hash of
    /// the string to sign.
    #[schemars(example = json!({ "claim": "jti" }))]
    pub id: Field<ReplayIdYaml>,
    /// Where an id is used up.
    #[schemars(example = &"credential")]
    pub scope: Field<ReplayScope>,
    /// The response to a duplicate of a request that was committed: `reject` if absent, but `acknowledge` for a preset
    /// whose sender retries. `stored_response` is for `idempotency` only.
    #[schemars(example = &"acknowledge")]
    pub on_duplicate: Field<OnDuplicate>,
    /// Minimum time for which an id is kept after its last use, at most 366d: as long as the credential is valid if absent.
    /// It is required if the credential does not expire. If the sender signs each retry again, set at least the time in
    /// which it retries.
    #[schemars(example = &"72h")]
    pub ttl: OptionalSeconds,
    /// Statuses of the upstream that commit a request: `2xx`, `3xx`, `4xx`, `5xx`, or one status. After other statuses a
    /// retry is forwarded.
    #[schemars(length(min = 1), example = json!(["2xx", 409]), extend("default" = ["2xx", "3xx"]))]
    pub commit_on: Section<List<Statuses>>,
}

/// `id` of `replay_protection`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayIdYaml {
    /// Name of a claim of the JWT, or a JSON pointer to one. Exactly one of `claim`, `header`, `json`, `form` and
    /// `hash: true` is required.
    #[schemars(example = &"jti")]
    pub claim: Field<String>,
    /// Name of a signed header.
    #[schemars(example = &"webhook-id")]
    pub header: Field<String>,
    /// JSON pointer into a signed body.
    #[schemars(example = &"/id")]
    pub json: Field<String>,
    /// Field of a signed form body.
    #[schemars(example = &"event_id")]
    pub form: Field<String>,
    /// `true`: the hash of the string to sign.
    #[schemars(example = true)]
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
    /// Where the idempotency key is, which has at most 1 KiB. A key need not be signed, and is no protection from an
    /// attacker.
    #[schemars(required, example = json!({ "header": "Idempotency-Key" }))]
    pub key: Field<IdempotencyKeyYaml>,
    /// Whether a request without a key is rejected, with 400 `bad_request`.
    #[schemars(example = true)]
    pub required: Switch<false>,
    /// How long a key is kept, at most 366d.
    #[schemars(example = &"72h")]
    pub ttl: Seconds<86_400_000>,
    /// The response to a request whose key was committed.
    #[schemars(example = &"reject", extend("default" = "stored_response"))]
    pub on_duplicate: Field<OnDuplicate>,
}

/// `key` of `idempotency`: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyKeyYaml {
    /// Name of a header. Exactly one of `header`, `claim` and `json` is required.
    #[schemars(example = &"Idempotency-Key")]
    pub header: Field<String>,
    /// Name of a claim of the JWT, or a JSON pointer to one.
    #[schemars(example = &"request_id")]
    pub claim: Field<String>,
    /// JSON pointer into the body.
    #[schemars(example = &"/idempotency_key")]
    pub json: Field<String>,
}

impl IdempotencyKeyYaml {
    /// The keys of which exactly one says where the key is, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 3] {
        [PlaceKey::of("header", &self.header), PlaceKey::of("claim", &self.claim), PlaceKey::of("json", &self.json)]
    }
}
