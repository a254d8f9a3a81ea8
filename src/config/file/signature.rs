//! The schema of `auth.signature` and `auth.static_token`, in which presets are written too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::issuer::SecretFile;
use super::scalar::{DurationText, OneOrMany, UnitFile};

/// `signature`: the signature scheme of a sender
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignatureFile {
    /// Signature algorithm.
    pub algorithm: Option<SignatureAlgorithmFile>,
    /// Header with the signature, or several headers, any of which may match.
    pub header: Option<OneOrMany>,
    /// Query parameter with the signature.
    pub query: Option<String>,
    /// JSON pointer to the signature in the body.
    pub json: Option<String>,
    /// Field of a form body with the signature.
    pub form: Option<String>,
    /// Format of that value; the signature alone if absent.
    pub parse: Option<ParseFile>,
    /// Encoding of the signature.
    pub encoding: Option<SignatureEncodingFile>,
    /// Components of the string to sign (signed payload), such as [part:t, body].
    pub signed_payload: Option<Vec<String>>,
    /// Separator between the components; empty if absent.
    pub join: Option<String>,
    /// Parts of the URL in which senders differ: port, trailing slash.
    pub url_variants: Option<Vec<UrlVariantFile>>,
    /// The signed timestamp.
    pub timestamp: Option<SignedTimeFile>,
    /// Component with the key id, such as part:keyId; each secret or key then needs an `id`.
    pub key_id: Option<String>,
    /// Further values that the request must have.
    pub require: Option<RequireFile>,
    /// Hash of the body in a signed query parameter, which covers the body where it is present.
    pub body_hash: Option<QueryHashFile>,
    /// Component with the event id, which stays the same in retries; it must be signed.
    pub id: Option<String>,
    /// The shared secret of an HMAC or a plain SHA-256.
    pub secret: Option<SecretFile>,
    /// Several shared secrets during a rotation; a signature by any of them is accepted.
    pub secrets: Option<Vec<SecretFile>>,
    /// The sender's public key for Ed25519, ECDSA or RSA.
    pub public_key: Option<SecretFile>,
    /// Several public keys during a rotation; a signature by any of them is accepted.
    pub public_keys: Option<Vec<SecretFile>>,
}

/// A signature algorithm
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithmFile {
    /// HMAC with SHA-1 (RFC 2104). Collisions of SHA-1 do not break its HMAC.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// Plain SHA-256 over a string that contains the secret.
    Sha256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, in DER form.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
}

/// The encoding of a signature
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncodingFile {
    /// Hexadecimal; signatures in lower case only.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64url without padding.
    Base64url,
}

/// The format of the value with the signature: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseFile {
    /// The signature after this prefix.
    pub prefix: Option<String>,
    /// Pairs of key and value, such as t=1,v1=ab.
    pub pairs: Option<PairsFile>,
    /// A list of items, each with a prefix.
    pub list: Option<SignatureListFile>,
    /// Fields, one of which is the signature.
    pub split: Option<SplitFile>,
}

/// `pairs`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairsFile {
    /// Separator between pairs; a comma if absent.
    pub separator: Option<String>,
    /// Separator between key and value; `=` if absent.
    pub equals: Option<String>,
    /// Key of the signature; it may occur more than once.
    pub key: Option<String>,
}

/// `list`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignatureListFile {
    /// Separator between items.
    pub separator: Option<String>,
    /// Prefix of a signature; items without it are ignored.
    pub prefix: Option<String>,
}

/// `split`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitFile {
    /// Separator between fields.
    pub separator: Option<String>,
    /// Index of the field that is the signature, from 0.
    pub index: Option<usize>,
    /// Separator between several such values, where several are allowed.
    pub list: Option<String>,
}

/// A part of the URL in which senders differ
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UrlVariantFile {
    /// With the default port of the scheme, and without a port.
    Port,
    /// With a trailing slash of the path, and without one.
    Slash,
}

/// `timestamp` of a signature: exactly one of header, part, json and form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignedTimeFile {
    /// Name of a header.
    pub header: Option<String>,
    /// Part of the signature's value, as split by `parse`.
    pub part: Option<String>,
    /// JSON pointer into the body.
    pub json: Option<String>,
    /// Field of a form body.
    pub form: Option<String>,
    /// Unit or format of the time; default: s.
    pub unit: Option<UnitFile>,
    /// Maximum age; 5m if absent.
    pub max_age: Option<DurationText>,
    /// Maximum time that the timestamp may be in the future; as `max_age` if absent.
    pub max_future: Option<DurationText>,
}

/// `require` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequireFile {
    /// Header → required value.
    pub headers: Option<BTreeMap<String, String>>,
    /// Part of the signature's value → required value.
    pub parts: Option<BTreeMap<String, String>>,
    /// JSON pointer → required value in the body, which must be a JSON object; rules as under `claims`.
    pub json: Option<BTreeMap<String, Value>>,
}

/// `body_hash` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryHashFile {
    /// Name of the query parameter.
    pub query: Option<String>,
}

/// `static_token`: a secret that the sender presents as is
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaticTokenFile {
    /// Header with the token.
    pub header: Option<String>,
    /// Authentication scheme before the token in that header.
    pub scheme: Option<String>,
    /// Query parameter with the token.
    pub query: Option<String>,
    /// JSON pointer to the token in the body; `*` stands for every item of a list.
    pub json: Option<String>,
    /// Field of a form body with the token.
    pub form: Option<String>,
    /// The expected token.
    pub secret: Option<SecretFile>,
    /// Several tokens during a rotation; any of them is accepted.
    pub secrets: Option<Vec<SecretFile>>,
}
