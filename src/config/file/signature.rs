//! The schema of `auth.signature` and `auth.static_token`, in which presets are written too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::issuer::SecretYaml;
use super::number::Number;
use super::scalar::{OneOrMany, OptionalDelay, Parsed, PlaceKey, Timeout};
use crate::auth::encoding::Encoding;
use crate::auth::request::UrlVariant;
use crate::auth::signature::Component;
use crate::auth::time::TimestampUnit;
use crate::config::reader::{Field, List, Section};

/// `signature`: the signature scheme of a sender
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureYaml {
    /// Signature algorithm.
    pub algorithm: Field<SignatureAlgorithmYaml>,
    /// Header with the signature, or several headers, any of which may match.
    pub header: Field<OneOrMany<String>>,
    /// Query parameter with the signature.
    pub query: Field<String>,
    /// JSON pointer to the signature in the body.
    pub json: Field<String>,
    /// Field of a form body with the signature.
    pub form: Field<String>,
    /// Format of that value; the signature alone if absent.
    pub parse: Field<ParseYaml>,
    /// Encoding of the signature.
    pub encoding: Field<Encoding>,
    /// Components of the string to sign (signed payload), such as [part:t, body].
    pub signed_payload: Section<List<Parsed<Component>>>,
    /// Separator between the components; empty if absent.
    pub join: Field<String>,
    /// Parts of the URL in which senders differ: port, trailing slash.
    pub url_variants: Section<List<UrlVariant>>,
    /// The signed timestamp.
    pub timestamp: Field<SignedTimeYaml>,
    /// Component with the key id, such as part:keyId; each secret or key then needs an `id`.
    pub key_id: Field<Parsed<Component>>,
    /// Further values that the request must have.
    pub require: Field<RequireYaml>,
    /// Hash of the body in a signed query parameter, which covers the body where it is present.
    pub body_hash: Field<QueryHashYaml>,
    /// Component with the event id, which stays the same in retries; it must be signed.
    pub id: Field<Parsed<Component>>,
    /// The shared secret of an HMAC or a plain SHA-256.
    pub secret: Field<SecretYaml>,
    /// Several shared secrets during a rotation; a signature by any of them is accepted.
    pub secrets: Section<List<Section<SecretYaml>>>,
    /// The sender's public key for Ed25519, ECDSA or RSA.
    pub public_key: Field<SecretYaml>,
    /// Several public keys during a rotation; a signature by any of them is accepted.
    pub public_keys: Section<List<Section<SecretYaml>>>,
}

impl SignatureYaml {
    /// The keys of which exactly one says where the signature is, each with its text: of several headers, the first.
    pub fn places(&self) -> [PlaceKey<'_>; 4] {
        let header = self.header.value().and_then(|headers| headers.first()).map(String::as_str);
        [
            PlaceKey { key: "header", text: header, at: self.header.at },
            PlaceKey::of("query", &self.query),
            PlaceKey::of("json", &self.json),
            PlaceKey::of("form", &self.form),
        ]
    }
}

/// A signature algorithm
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithmYaml {
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

/// The format of the value with the signature: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseYaml {
    /// The signature after this prefix.
    pub prefix: Field<String>,
    /// Pairs of key and value, such as t=1,v1=ab.
    pub pairs: Field<PairsYaml>,
    /// A list of items, each with a prefix.
    pub list: Field<SignatureListYaml>,
    /// Fields, one of which is the signature.
    pub split: Field<SplitYaml>,
}

/// `pairs`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsYaml {
    /// Separator between pairs; a comma if absent.
    pub separator: Field<String>,
    /// Separator between key and value; `=` if absent.
    pub equals: Field<String>,
    /// Key of the signature; it may occur more than once.
    pub key: Field<String>,
}

/// `list`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureListYaml {
    /// Separator between items.
    pub separator: Field<String>,
    /// Prefix of a signature; items without it are ignored.
    pub prefix: Field<String>,
}

/// `split`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitYaml {
    /// Separator between fields.
    pub separator: Field<String>,
    /// Index of the field that is the signature, from 0.
    pub index: Field<Number<0, 65_535>>,
    /// Separator between several such values, where several are allowed.
    pub list: Field<String>,
}

/// `timestamp` of a signature: exactly one of header, part, json and form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedTimeYaml {
    /// Name of a header.
    pub header: Field<String>,
    /// Part of the signature's value, as split by `parse`.
    pub part: Field<String>,
    /// JSON pointer into the body.
    pub json: Field<String>,
    /// Field of a form body.
    pub form: Field<String>,
    /// Unit or format of the time; default: s.
    pub unit: Field<TimestampUnit>,
    /// Maximum age; 5m if absent.
    pub max_age: Timeout<300_000>,
    /// Maximum time that the timestamp may be in the future; as `max_age` if absent.
    pub max_future: OptionalDelay,
}

impl SignedTimeYaml {
    /// The keys of which exactly one says where the timestamp is, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 4] {
        [
            PlaceKey::of("header", &self.header),
            PlaceKey::of("part", &self.part),
            PlaceKey::of("json", &self.json),
            PlaceKey::of("form", &self.form),
        ]
    }
}

/// `require` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequireYaml {
    /// Header → required value.
    pub headers: Section<BTreeMap<String, Field<String>>>,
    /// Part of the signature's value → required value.
    pub parts: Section<BTreeMap<String, Field<String>>>,
    /// JSON pointer → required value in the body, which must be a JSON object; rules as under `claims`.
    pub json: Section<BTreeMap<String, Field<Value>>>,
}

/// `body_hash` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryHashYaml {
    /// Name of the query parameter.
    pub query: Field<String>,
}

/// `static_token`: a secret that the sender presents as is
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticTokenYaml {
    /// Header with the token.
    pub header: Field<String>,
    /// Authentication scheme before the token in that header.
    pub scheme: Field<String>,
    /// Query parameter with the token.
    pub query: Field<String>,
    /// JSON pointer to the token in the body; `*` stands for every item of a list.
    pub json: Field<String>,
    /// Field of a form body with the token.
    pub form: Field<String>,
    /// The expected token.
    pub secret: Field<SecretYaml>,
    /// Several tokens during a rotation; any of them is accepted.
    pub secrets: Section<List<Section<SecretYaml>>>,
}

impl StaticTokenYaml {
    /// The keys of which exactly one says where the token is, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 4] {
        [
            PlaceKey::of("header", &self.header),
            PlaceKey::of("query", &self.query),
            PlaceKey::of("json", &self.json),
            PlaceKey::of("form", &self.form),
        ]
    }
}
