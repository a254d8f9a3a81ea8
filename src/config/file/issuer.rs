//! `issuers`, and the keys and secrets that routes have too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::number::{Count, Switch};
use super::scalar::{FileName, Parsed, Pin, Timeout, VariableName};
use crate::auth::keys::Algorithm;
use crate::config::reader::{Field, List, Section, WordType, word_or_mapping};
use crate::config::values::SecretEncoding;

/// An entry of `issuers`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerYaml {
    /// The exact `iss` claim of the issuer's tokens. With `{tenantid}` in it, as in the discovery document of Microsoft
    /// Entra, one of `tenants` must stand in its place. With `{tenant}`, that must be the tenant in the path of the
    /// request, which `match.path` of the route names. `spiffe://` and a trust domain: the tokens are JWT-SVIDs of this
    /// domain, in which `sub` must be, and `iss` is not compared. With `none`, `iss` is not compared; `none` is not
    /// allowed with `jwks`.
    #[schemars(required, length(min = 1), example = &"https://issuer.example.com/")]
    pub issuer: Field<String>,
    /// The tenants whose tokens are accepted, of an `issuer` with `{tenantid}` or `{tenant}`, at most 1000. Tokens of every
    /// other tenant of the provider are rejected. The tenant is a part of the sender. Those of `{tenant}` have names of 1
    /// to 64 letters in lower case, digits, `-` and `_`.
    #[schemars(length(min = 1), example = json!(["72f988bf-86f1-41af-91ab-2d7cd011db47"]))]
    pub tenants: Section<List<String>>,
    /// Allowed signature algorithms: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA; HS256, HS384
    /// and HS512 with a shared secret. A `public_key`, `secret` or `secrets` has exactly one algorithm. A key of a key set
    /// without its own `alg` has the first of them that fits it.
    #[schemars(required, length(min = 1), example = json!(["RS256"]))]
    pub algorithms: Section<List<Parsed<Algorithm>>>,
    /// A JSON Web Key Set (RFC 7517). Exactly one of `jwks`, `public_key`, `secret` and `secrets` is required.
    #[schemars(example = json!({ "url": "https://issuer.example.com/jwks.json" }))]
    pub jwks: Field<Box<JwksYaml>>,
    /// One public key in PEM form, which is used with any `kid`.
    #[schemars(example = json!({ "file": "issuer.pem" }))]
    pub public_key: Field<PublicKeyYaml>,
    /// A shared secret for HS256, HS384 or HS512, which is used with any `kid`. It has at least 32, 48 or 64 bytes, as many
    /// as the hash.
    #[schemars(example = json!({ "env": "ISSUER_SECRET" }))]
    pub secret: Field<SecretYaml>,
    /// Several shared secrets during a rotation: a token signed with any of them is accepted.
    #[schemars(length(min = 1, max = 10), example = json!([{ "file": "secrets/new" }, { "file": "secrets/old" }]))]
    pub secrets: Section<List<Section<SecretYaml>>>,
}

/// `jwks`: exactly one of url, discovery, discovery_url, file and inline
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksYaml {
    /// URL of the key set: https, or http to a loopback address, without user and password. Exactly one of `url`,
    /// `discovery`, `discovery_url`, `file` and `inline` is required. With `{tenant}` in `url`, `discovery_url` or
    /// `issuer` with `discovery`, each of `tenants` has a key set of its own, and `cache` needs `{tenant}` too.
    #[schemars(example = &"https://issuer.example.com/.well-known/jwks.json")]
    pub url: Field<String>,
    /// Time between two fetches, with `url` or `discovery`. `Cache-Control: max-age` of the response may shorten it, not
    /// below `cooldown`.
    #[schemars(example = &"5m")]
    pub refresh_interval: Timeout<600_000>,
    /// How long a fetched key set is used while fetches fail; not shorter than `refresh_interval`, which is the default if
    /// it is longer. After it the response is 503 `jwks_unavailable`.
    #[schemars(example = &"48h")]
    pub max_stale: Timeout<86_400_000>,
    /// Minimum time from a fetch for an unknown key, or one that failed, to the next; not longer than `refresh_interval`,
    /// which is the default if it is shorter.
    #[schemars(example = &"10s")]
    pub cooldown: Timeout<30_000>,
    /// PEM file with root certificates to trust instead of the public ones, with `url` or `discovery`.
    #[schemars(example = &"issuer-ca.crt")]
    pub ca: Field<Parsed<FileName>>,
    /// Public key pins, of which one must match a certificate of the issuer's chain, in addition to the usual
    /// verification; https only. A pin is `sha256/` and base64 of the SHA-256 of the SubjectPublicKeyInfo (RFC 7469 §2.4).
    #[schemars(length(min = 1), example = json!(["sha256/LHDhK3oGRvkiefQnx7OOczTY5Tic/xZ6HcMOc/gmtoM="]))]
    pub pins: Section<List<Parsed<Pin>>>,
    /// JSON file with the key set. A set without a usable key is an error.
    #[schemars(example = &"issuer.jwks.json")]
    pub file: Field<Parsed<FileName>>,
    /// The key set itself, in YAML. A set without a usable key is an error.
    #[schemars(example = json!({
        "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
    }))]
    pub inline: Field<BTreeMap<String, Value>>,
    /// `true`: the address of the key set comes from the discovery document of the issuer, `issuer` and
    /// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0). `issuer` must be an https URL without a query,
    /// or http to a loopback address.
    #[schemars(example = true)]
    pub discovery: Switch<false>,
    /// URL of a discovery document that is not below `issuer`, such as the one of all tenants of Microsoft Entra. Its
    /// `issuer` must be the one here, with `{tenantid}` as it stands.
    #[schemars(example = &"https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration")]
    pub discovery_url: Field<String>,
    /// HTTP proxy through which keys are fetched, by CONNECT: the TLS session with the issuer goes through it unread.
    /// `HTTPS_PROXY` and other environment variables are not read.
    #[schemars(example = &"http://proxy.example.com:3128")]
    pub proxy: Field<String>,
    /// A bearer token for the request to `url` or for the discovery document, such as that of a Kubernetes service
    /// account. It needs https, and it is sent to this URL alone: not after a redirect, and not to the key set that a
    /// discovery document names.
    #[schemars(example = json!({ "file": "/var/run/secrets/kubernetes.io/serviceaccount/token" }))]
    pub bearer: Field<BearerYaml>,
    /// `true`: the keys may be fetched over plain http from a host on a private network. Any program between the gateway
    /// and the host can then replace the keys and so sign tokens; a warning is logged at load and each hour. At each
    /// connection, all addresses of the host must be private (RFC 1918, RFC 4193) or loopback. Not with `bearer`,
    /// `proxy` or `pins`.
    #[schemars(example = true)]
    pub insecure_http: Switch<false>,
    /// A file that hookgate writes (mode 0600), with the last good key set, which a start uses while the issuer is
    /// unreachable. `max_stale` counts from the time at which the set was fetched. Each issuer needs its own file, in a
    /// directory that only the user of the gateway can write and that has no other file of the configuration.
    #[schemars(example = &"/var/cache/hookgate/acme.jwks")]
    pub cache: Field<String>,
}

/// `bearer`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BearerYaml {
    /// File with the token; white space around it is ignored. A change takes effect without a restart.
    #[schemars(required, example = &"/var/run/secrets/kubernetes.io/serviceaccount/token")]
    pub file: Field<Parsed<FileName>>,
}

/// A public key in PEM form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyYaml {
    /// PEM file with one public key; not a certificate or private key.
    #[schemars(required, example = &"issuer.pem")]
    pub file: Field<Parsed<FileName>>,
}

/// A list of secrets or public keys, or the folder with those of tenants
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, title = "a list of secrets, or { dir: … } with those of tenants")]
pub enum SecretsYaml {
    /// A list.
    List(#[schemars(length(min = 1, max = 64))] List<Section<SecretYaml>>),
    /// The folder with the secrets of tenants.
    Folder(Box<Section<TenantFolderYaml>>),
}

impl SecretsYaml {
    /// The secrets that are listed.
    pub fn list(&self) -> &[Section<SecretYaml>] {
        match self {
            Self::List(list) => list,
            Self::Folder(_) => &[],
        }
    }

    /// The folder with the secrets of tenants.
    pub fn folder(&self) -> Option<&Section<TenantFolderYaml>> {
        match self {
            Self::List(_) => None,
            Self::Folder(folder) => Some(folder),
        }
    }
}

impl Default for SecretsYaml {
    fn default() -> Self {
        Self::List(List::default())
    }
}

impl<'de> Deserialize<'de> for SecretsYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = "a list of secrets, or { dir: … } with those of tenants";
        word_or_mapping(deserializer, (form, WordType::List), Self::List, |folder| Self::Folder(Box::new(folder)))
    }
}

/// The folder with the secrets of tenants
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantFolderYaml {
    /// Folder with one file for each tenant of `match.path`, which is read at the start and after a change; a request only
    /// looks up the name. The name of a file is that of its tenant: 1 to 64 letters in lower case, digits, `-` and `_`.
    /// With a dot and another such name, as in `acme.next`, it is a further secret of the tenant, of at most 4. A file has
    /// at most 2 KiB, and one line break at its end is ignored. Names that begin with a dot are ignored. `/{tenant}` at the
    /// end is optional.
    #[schemars(required, length(min = 1), example = &"secrets/{tenant}")]
    pub dir: Field<String>,
    /// Encoding of the shared secrets in the files: that of the preset if absent, otherwise `utf8`. The form of public keys
    /// is detected.
    #[schemars(example = &"base64")]
    pub file_encoding: Field<SecretEncoding>,
    /// Number of tenants. A folder with more is an error, and the secrets that were read before stay active.
    #[schemars(example = 10_000)]
    pub max_tenants: Count<1_000, 1, 100_000>,
}

/// {env: NAME} or {file: path}, never the value itself
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "{env: NAME} or {file: path}, never the value itself")]
#[schemars(rename = "SecretYaml", title = "{env: NAME} or {file: path}, never the value itself")]
#[schemars(extend("oneOf" = [{ "required": ["env"] }, { "required": ["file"] }]))]
pub struct SecretYaml {
    /// Name of an environment variable with the value. Exactly one of `env` and `file` is required.
    #[schemars(example = &"GITHUB_SECRET")]
    pub env: Field<Parsed<VariableName>>,
    /// Path of a file with the value; one line break at its end is ignored. A change of the file takes effect without a
    /// restart, except that of `store.password`.
    #[schemars(example = &"secrets/github")]
    pub file: Field<Parsed<FileName>>,
    /// Key id, by which the signature names this secret or key. It is required if the signature has a key id, and not
    /// allowed otherwise.
    #[schemars(example = &"acme-1")]
    pub id: Field<String>,
    /// Name of the sender that has this secret or key, for signatures, static tokens and presets: 1 to 64 letters, digits,
    /// `-`, `_` and `.`. Secrets with the same name belong to the same sender, as during a rotation. Without it, a secret
    /// with a key id belongs to a sender of its own, and all others of the scheme to one. Replay ids, idempotency keys,
    /// `limits.per_sender` and shares of the store are kept for each sender.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"), example = &"acme")]
    pub sender: Field<String>,
    /// Encoding of a shared secret in the file or variable: that of the preset if absent, otherwise `utf8`. The form of
    /// public keys and root certificates is detected.
    #[schemars(example = &"base64")]
    pub encoding: Field<SecretEncoding>,
}
