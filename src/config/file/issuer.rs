//! `issuers`, and the keys and secrets that routes have too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::scalar::DurationText;

/// An entry of `issuers`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IssuerFile {
    /// The exact `iss` claim of the issuer's tokens; `none` only with `public_key`, `secret` or `secrets`.
    pub issuer: Option<String>,
    /// Allowed signature algorithms, such as RS256, ES256 or EdDSA.
    pub algorithms: Option<Vec<String>>,
    /// A JSON Web Key Set (RFC 7517).
    pub jwks: Option<JwksFile>,
    /// One public key in PEM form.
    pub public_key: Option<PublicKeyFile>,
    /// A shared secret for HS256, HS384 or HS512: {env: NAME} or {file: path}, never the secret itself.
    pub secret: Option<SecretFile>,
    /// Several shared secrets during a rotation; a token signed with any of them is accepted.
    pub secrets: Option<Vec<SecretFile>>,
}

/// `jwks`: exactly one of url, discovery, file and inline
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwksFile {
    /// URL of the key set: https, or http to a loopback address.
    pub url: Option<String>,
    /// Time between two fetches.
    pub refresh_interval: Option<DurationText>,
    /// How long a fetched key set is used while fetches fail.
    pub max_stale: Option<DurationText>,
    /// Minimum time between two fetches.
    pub cooldown: Option<DurationText>,
    /// PEM file with root certificates to trust instead of the public ones.
    pub ca: Option<String>,
    /// Public key pins, of which one must match a certificate of the issuer's chain: `sha256/` and base64 of the
    /// SHA-256 of the SubjectPublicKeyInfo (RFC 7469 §2.4).
    pub pins: Option<Vec<String>>,
    /// JSON file with the key set.
    pub file: Option<String>,
    /// The key set itself.
    pub inline: Option<BTreeMap<String, Value>>,
    /// `true`: the address of the key set comes from the issuer's discovery document (OpenID Connect Discovery 1.0).
    pub discovery: Option<bool>,
    /// A file that hookgate writes, with the last good key set; a start while the issuer is unreachable uses it.
    pub cache: Option<String>,
}

/// A public key in PEM form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublicKeyFile {
    /// PEM file with the public key.
    pub file: Option<String>,
}

/// {env: NAME} or {file: path}, never the value itself
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "{env: NAME} or {file: path}, never the value itself")]
pub struct SecretFile {
    /// Name of an environment variable.
    pub env: Option<String>,
    /// Path of a file; one line break at its end is ignored.
    pub file: Option<String>,
    /// Key id, by which the signature names this secret or key.
    pub id: Option<String>,
    /// Encoding of a shared secret in the file or variable.
    pub encoding: Option<EncodingFile>,
}

/// The encoding of a shared secret
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFile {
    /// The bytes as they are.
    #[default]
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64 with or without the prefix `whsec_` (Standard Webhooks).
    Whsec,
}
