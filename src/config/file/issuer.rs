//! `issuers`, and the keys and secrets that routes have too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::number::Switch;
use super::scalar::{FileName, Parsed, Pin, Timeout, VariableName};
use crate::auth::keys::Algorithm;
use crate::config::reader::{Field, List, Section};
use crate::config::values::SecretEncoding;

/// An entry of `issuers`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerYaml {
    /// The exact `iss` claim of the issuer's tokens; `none` only with `public_key`, `secret` or `secrets`.
    pub issuer: Field<String>,
    /// Allowed signature algorithms, such as RS256, ES256 or EdDSA.
    pub algorithms: Section<List<Parsed<Algorithm>>>,
    /// A JSON Web Key Set (RFC 7517).
    pub jwks: Field<Box<JwksYaml>>,
    /// One public key in PEM form.
    pub public_key: Field<PublicKeyYaml>,
    /// A shared secret for HS256, HS384 or HS512: {env: NAME} or {file: path}, never the secret itself.
    pub secret: Field<SecretYaml>,
    /// Several shared secrets during a rotation; a token signed with any of them is accepted.
    pub secrets: Section<List<Section<SecretYaml>>>,
}

/// `jwks`: exactly one of url, discovery, file and inline
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwksYaml {
    /// URL of the key set: https, or http to a loopback address.
    pub url: Field<String>,
    /// Time between two fetches.
    pub refresh_interval: Timeout<600_000>,
    /// How long a fetched key set is used while fetches fail.
    pub max_stale: Timeout<86_400_000>,
    /// Minimum time between two fetches.
    pub cooldown: Timeout<30_000>,
    /// PEM file with root certificates to trust instead of the public ones.
    pub ca: Field<Parsed<FileName>>,
    /// Public key pins, of which one must match a certificate of the issuer's chain: `sha256/` and base64 of the
    /// SHA-256 of the SubjectPublicKeyInfo (RFC 7469 §2.4).
    pub pins: Section<List<Parsed<Pin>>>,
    /// JSON file with the key set.
    pub file: Field<Parsed<FileName>>,
    /// The key set itself.
    pub inline: Field<BTreeMap<String, Value>>,
    /// `true`: the address of the key set comes from the issuer's discovery document (OpenID Connect Discovery 1.0).
    pub discovery: Switch<false>,
    /// A file that hookgate writes, with the last good key set; a start while the issuer is unreachable uses it.
    pub cache: Field<String>,
}

/// A public key in PEM form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyYaml {
    /// PEM file with the public key.
    pub file: Field<Parsed<FileName>>,
}

/// {env: NAME} or {file: path}, never the value itself
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "{env: NAME} or {file: path}, never the value itself")]
#[schemars(rename = "SecretYaml", title = "{env: NAME} or {file: path}, never the value itself")]
pub struct SecretYaml {
    /// Name of an environment variable.
    pub env: Field<Parsed<VariableName>>,
    /// Path of a file; one line break at its end is ignored.
    pub file: Field<Parsed<FileName>>,
    /// Key id, by which the signature names this secret or key.
    pub id: Field<String>,
    /// Encoding of a shared secret in the file or variable.
    pub encoding: Field<SecretEncoding>,
}
