//! The schema of `auth.http_message_signature`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::issuer::{SecretYaml, SecretsYaml};
use super::scalar::{Parsed, Seconds};
use crate::auth::message_signature::{ComponentIdentifier, SignatureParameter};
use crate::config::reader::{Field, List, Section};

/// `http_message_signature`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageSignatureYaml {
    /// A name under `issuers`, whose keys verify signatures: `keyid` selects one of them. `iss` is not compared. Either
    /// `issuer`, or `algorithm` with a secret or public key is required.
    #[schemars(example = &"acme")]
    pub issuer: Field<String>,
    /// The algorithm of the secrets or public keys. `alg` of a signature never chooses it, and must be the same if it is
    /// present.
    #[schemars(example = &"ed25519")]
    pub algorithm: Field<MessageAlgorithmYaml>,
    /// The shared secret for hmac-sha256. Fewer than 16 bytes are a warning.
    #[schemars(example = json!({ "file": "secrets/sender", "encoding": "base64" }))]
    pub secret: Field<SecretYaml>,
    /// Several shared secrets. `id` of each is the `keyid` that selects it; without any `id`, all are tried, at most 10.
    #[schemars(length(min = 1, max = 64))]
    #[schemars(example = json!([{ "file": "secrets/a", "id": "a" }, { "file": "secrets/b", "id": "b" }]))]
    pub secrets: Section<SecretsYaml>,
    /// The sender's public key in PEM form, for the other algorithms. RSA keys have 2048 to 8192 bits.
    #[schemars(example = json!({ "file": "sender.pem" }))]
    pub public_key: Field<SecretYaml>,
    /// Several public keys in PEM form. `id` of each is the `keyid` that selects it; without any `id`, all are tried, at
    /// most 10.
    #[schemars(length(min = 1, max = 64))]
    #[schemars(example = json!([{ "file": "a.pem", "id": "a" }, { "file": "b.pem", "id": "b" }]))]
    pub public_keys: Section<SecretsYaml>,
    /// Label that the signature must have. Senders and proxies may choose labels freely: prefer `tag`.
    #[schemars(example = &"sig1")]
    pub label: Field<String>,
    /// Value that the parameter `tag` of the signature must have. Signatures with another label or tag are ignored.
    #[schemars(example = &"webhooks")]
    pub tag: Field<String>,
    /// Components that a signature must cover. `@target-uri` may also be covered by `@authority` with `@path` and
    /// `@query`, and `content-digest` by `repr-digest`; a digest is required only for a request with a body. Otherwise the
    /// response is 401 `missing_signed_component`. A component is written as in a signature, such as `"@query-param";name="id"`,
    /// also without the quotes of its name.
    #[schemars(length(min = 1, max = 64), example = json!(["@method", "@target-uri", "content-digest", "webhook-id"]))]
    #[schemars(extend("default" = ["@method", "@target-uri", "content-digest"]))]
    pub required_components: Section<List<Parsed<ComponentIdentifier>>>,
    /// Parameters that a signature must have, `created` or `expires` among them. With `nonce`, that is the replay id, or
    /// else the hash of what is signed.
    #[schemars(length(min = 1, max = 6), example = json!(["created", "nonce", "keyid"]), extend("default" = ["created"]))]
    pub required_parameters: Section<List<Field<SignatureParameter>>>,
    /// Maximum age of a signature: now − created.
    #[schemars(example = &"1m")]
    pub max_age: Seconds<300_000>,
    /// Clock skew that is tolerated between the sender and hookgate, at most 5m.
    #[schemars(example = &"10s")]
    pub leeway: Seconds<30_000, 0>,
}

/// A signature algorithm (RFC 9421 §3.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum MessageAlgorithmYaml {
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "rsa-pss-sha512")]
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "rsa-v1_5-sha256")]
    RsaV15Sha256,
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ecdsa-p384-sha384")]
    EcdsaP384Sha384,
    /// Ed25519 (RFC 8032).
    #[serde(rename = "ed25519")]
    Ed25519,
}
