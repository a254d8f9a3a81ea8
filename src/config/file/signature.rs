//! The shape of `auth.signature` and `auth.token`: what presets are written in too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{DurationText, EncodingFile, OneOrMany, SecretFile, UnitFile};

/// `signature`: how a sender signs, in the words of its documentation
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignatureFile {
    /// How the signature is made.
    pub algorithm: Option<SignatureAlgorithmFile>,
    /// The header that carries it, or several, of which any may match.
    pub header: Option<OneOrMany>,
    /// The query parameter that carries it.
    pub query: Option<String>,
    /// A JSON pointer to where the body carries it.
    pub json: Option<String>,
    /// The field of a form body that carries it.
    pub form: Option<String>,
    /// How the signature stands in that value; as it is, if absent.
    pub parse: Option<ParseFile>,
    /// How its bytes are written.
    pub encoding: Option<SignatureEncodingFile>,
    /// What is signed, piece by piece, such as [part:t, body].
    pub signed: Option<Vec<String>>,
    /// What stands between the pieces; nothing if absent.
    pub join: Option<String>,
    /// Parts of the URL in which senders differ from what arrives: port, slash.
    pub url_variants: Option<Vec<UrlVariantFile>>,
    /// The signed time.
    pub timestamp: Option<SignedTimeFile>,
    /// The piece that names the secret, such as part:keyId; secrets then need an `id`.
    pub key_id: Option<String>,
    /// What else the request must say.
    pub require: Option<RequireFile>,
    /// A hash of the body in a signed query parameter, which stands for the body where it is there.
    pub body_hash: Option<QueryHashFile>,
    /// The piece that names the event once and for all; it must be signed.
    pub id: Option<String>,
    /// The shared secret, or the sender's public key.
    pub secret: Option<SecretFile>,
    /// Several, of which any may match.
    pub secrets: Option<Vec<SecretFile>>,
}

/// How a signature is made
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithmFile {
    /// HMAC with SHA-1 (RFC 2104): still unbroken, though its hash is not.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// A plain SHA-256 over a text that holds the secret.
    Sha256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, in DER form.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
}

/// How a signature's bytes are written
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncodingFile {
    /// Hexadecimal; signatures in lower case.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64url without padding.
    Base64url,
}

/// How the signature stands in its value: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseFile {
    /// After this text.
    pub prefix: Option<String>,
    /// As one of several pairs, such as t=1,v1=ab.
    pub pairs: Option<PairsFile>,
    /// As one of several items, each after a text.
    pub list: Option<ListFile>,
    /// As one field of several.
    pub split: Option<SplitFile>,
}

/// `pairs`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairsFile {
    /// Between pairs; a comma if absent.
    pub separator: Option<String>,
    /// Between key and value; `=` if absent.
    pub equals: Option<String>,
    /// The key of signatures; it may be there more than once.
    pub key: Option<String>,
}

/// `list`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListFile {
    /// Between items.
    pub separator: Option<String>,
    /// Before each signature; items without it are of another kind.
    pub prefix: Option<String>,
}

/// `split`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitFile {
    /// Between fields.
    pub separator: Option<String>,
    /// Which field is the signature, from 0.
    pub index: Option<usize>,
    /// Between several such values, if there may be several.
    pub list: Option<String>,
}

/// A part of the URL in which senders differ
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UrlVariantFile {
    /// With the scheme's own port, and without any.
    Port,
    /// With a slash at the end of the path, and without.
    Slash,
}

/// `timestamp` of a signature: exactly one of header, part, json and form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignedTimeFile {
    /// A header's name.
    pub header: Option<String>,
    /// A part of the signature's value, as `parse` takes it apart.
    pub part: Option<String>,
    /// A JSON pointer into the body.
    pub json: Option<String>,
    /// A field of a form body.
    pub form: Option<String>,
    /// How the time is written.
    pub unit: Option<UnitFile>,
    /// How old it may be.
    pub max_age: Option<DurationText>,
    /// How far ahead it may be; as `max_age` if absent.
    pub max_future: Option<DurationText>,
}

/// `require` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequireFile {
    /// Header → the value that it must have.
    pub headers: Option<BTreeMap<String, String>>,
    /// Part of the signature's value → what it must be.
    pub parts: Option<BTreeMap<String, String>>,
    /// The body is a JSON object, and each of these JSON pointers → what stands there, as under `claims`.
    pub json: Option<BTreeMap<String, Value>>,
}

/// `body_hash` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryHashFile {
    /// The query parameter's name.
    pub query: Option<String>,
}

/// `token`: a secret that the sender shows as it is
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StaticTokenFile {
    /// The header that carries it.
    pub header: Option<String>,
    /// The word before it in that header.
    pub scheme: Option<String>,
    /// The query parameter that carries it.
    pub query: Option<String>,
    /// A JSON pointer to where the body carries it; `*` stands for every item of a list.
    pub json: Option<String>,
    /// The field of a form body that carries it.
    pub form: Option<String>,
    /// What it must be.
    pub secret: Option<SecretFile>,
    /// Several, of which any may match.
    pub secrets: Option<Vec<SecretFile>>,
}

/// How the secret of a preset is written where nothing else is said
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresetSecretEncoding {
    /// As it is.
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64, after `whsec_` or alone (Standard Webhooks).
    Whsec,
    /// A public key: PEM, DER, or its bytes in base64 or hex.
    PublicKey,
    /// A certificate: PEM or DER.
    Certificate,
}

impl PresetSecretEncoding {
    /// The encoding of a shared secret; `None` for what is none.
    pub const fn shared(self) -> Option<EncodingFile> {
        match self {
            Self::Utf8 => Some(EncodingFile::Utf8),
            Self::Hex => Some(EncodingFile::Hex),
            Self::Base64 => Some(EncodingFile::Base64),
            Self::Whsec => Some(EncodingFile::Whsec),
            Self::PublicKey | Self::Certificate => None,
        }
    }
}
