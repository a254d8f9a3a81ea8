//! The schema of `auth.signature` and `auth.static_token`, in which presets are written too.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::issuer::{SecretYaml, SecretsYaml};
use super::number::{Number, Switch};
use super::scalar::{OneOrMany, OptionalSeconds, Parsed, PlaceKey, Seconds};
use super::signing_certificate::SigningCertificateYaml;
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
    #[schemars(required, example = &"hmac-sha256")]
    pub algorithm: Field<SignatureAlgorithmYaml>,
    /// Header with the signature, or several headers, any of which may match. Exactly one of `header`, `query`, `json` and
    /// `form` is required.
    #[schemars(example = &"X-Signature")]
    pub header: Field<OneOrMany<String>>,
    /// Query parameter with the signature.
    #[schemars(example = &"signature")]
    pub query: Field<String>,
    /// JSON pointer to the signature in the body.
    #[schemars(example = &"/signature")]
    pub json: Field<String>,
    /// Field of a form body with the signature.
    #[schemars(example = &"signature")]
    pub form: Field<String>,
    /// Format of the value with the signature; without it, the value is the signature. A value has at most 16 signatures, any of which may
    /// match, and at most 64 parts. A part that occurs twice is absent.
    #[schemars(example = json!({ "prefix": "sha256=" }))]
    pub parse: Field<ParseYaml>,
    /// Encoding of the signature, in one spelling: hex in lower case, hex_upper in capitals, base64 with padding,
    /// base64url without, base64_of_hex of the text in lower case.
    #[schemars(required, example = &"hex")]
    pub encoding: Field<Encoding>,
    /// Components of the string to sign (signed payload), in their order. A component is `literal:TEXT`, `body`,
    /// `body.sha256.hex` (or `raw`, `base64`, `base64url`), `body.crc32`, `method`, `url`, `url.decoded`, `path`,
    /// `query.sorted`, `query.pairs`, `query:NAME`, `query?:NAME`, `query.lower:NAME`, `form.sorted`, `header:NAME`,
    /// `header?:NAME`, `part:KEY`, `headers:PART`, `listed:HEADER,NAME,…`, `json:/POINTER`, `json?:/POINTER`,
    /// `json.lines:NAME,NAME?,…`, `form:FIELD` or `secret`. With `?`, a value that is absent counts as empty. `secret` is required with the
    /// algorithm sha256 and not allowed with others.
    #[schemars(required, length(min = 1, max = 64), example = json!(["part:t", "body"]))]
    pub signed_payload: Section<List<Parsed<Component>>>,
    /// Separator between the components.
    #[schemars(example = &".", extend("default" = ""))]
    pub join: Field<String>,
    /// Differences between the URL that senders sign and the URL that hookgate receives, which are tolerated.
    #[schemars(example = json!(["port"]))]
    pub url_variants: Section<List<UrlVariant>>,
    /// The signed timestamp. It must be among the components of `signed_payload`.
    #[schemars(example = json!({ "part": "t", "max_age": "5m" }))]
    pub timestamp: Field<SignedTimeYaml>,
    /// Component with the key id; each secret or key then needs an `id`. Only the secret or key with this id is tried.
    #[schemars(example = &"part:keyId")]
    pub key_id: Field<Parsed<Component>>,
    /// Further values that the request must have. Without them the response is 401 `requirement_not_met`.
    #[schemars(example = json!({ "headers": { "X-Event": "push" } }))]
    pub require: Field<RequireYaml>,
    /// Hash of the body in a signed query parameter; `url` must be among `signed_payload`. If the parameter is present
    /// and the body is no form, it is compared with the SHA-256 of the body in hex, and replaces the body in the string
    /// to sign. It must be the last parameter, where no form field can be moved to.
    #[schemars(example = json!({ "query": "bodySHA256" }))]
    pub body_hash: Field<QueryHashYaml>,
    /// Component with the event id, which stays the same in retries; it must be signed. `replay_protection` uses it, or
    /// else the hash of the string to sign.
    #[schemars(example = &"header:webhook-id")]
    pub id: Field<Parsed<Component>>,
    /// The shared secret of an HMAC or a plain SHA-256. Such an algorithm requires `secret` or `secrets`, the others
    /// `public_key` or `public_keys`. Fewer than 16 bytes are a warning.
    #[schemars(example = json!({ "file": "secrets/sender" }))]
    pub secret: Field<SecretYaml>,
    /// Several shared secrets during a rotation: a signature by any of them is accepted. More than 10 are allowed only
    /// with `key_id`. With `{ dir: secrets/{tenant} }` each tenant
    /// of `match.path` has its own instead ([tenants](../../concepts/tenants.md)).
    #[schemars(example = json!([{ "file": "secrets/new" }, { "file": "secrets/old" }]))]
    pub secrets: Section<SecretsYaml>,
    /// The sender's public key for Ed25519, ECDSA or RSA: PEM (`BEGIN PUBLIC KEY`), DER, or the bytes of DER or of the raw
    /// key in hex, base64 or base64url, with or without the prefix `whpk_`. RSA keys have 2048 to 8192 bits.
    #[schemars(example = json!({ "file": "sender.pem" }))]
    pub public_key: Field<SecretYaml>,
    /// Several public keys during a rotation: a signature by any of them is accepted. More than 10 are allowed only with
    /// `key_id`. With `{ dir: secrets/{tenant} }` each tenant
    /// of `match.path` has its own instead ([tenants](../../concepts/tenants.md)).
    #[schemars(example = json!([{ "file": "new.pem" }, { "file": "old.pem" }]))]
    pub public_keys: Section<SecretsYaml>,
    /// The certificate with the public key, which the request names by its URL, instead of a key in this file. See
    /// [signing certificates](../../concepts/signing-certificates.md).
    #[schemars(example = json!({
        "url_from": "header:X-Certificate-Url", "hosts": ["keys.example.com"], "path": "/certificates/[0-9a-f]+",
        "subject": "webhooks.example.com"
    }))]
    pub certificate: Field<Box<SigningCertificateYaml>>,
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
    /// Plain SHA-256 over a string that contains the secret. With the body as its last component, an attacker can append
    /// to the body (length extension).
    Sha256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, in DER form.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-1, only with `certificate`, for SignatureVersion 1 of Amazon SNS.
    RsaSha1,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaSha512,
}

/// The format of the value with the signature: exactly one of these
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseYaml {
    /// The signature after this prefix. Exactly one of `prefix`, `pairs`, `list` and `split` is required.
    #[schemars(example = &"sha256=")]
    pub prefix: Field<String>,
    /// Pairs of key and value, such as `t=1,v1=ab`. All other pairs are parts, by their keys.
    #[schemars(example = json!({ "key": "v1" }))]
    pub pairs: Field<PairsYaml>,
    /// A list of items, each with a prefix. It has no parts.
    #[schemars(example = json!({ "separator": " ", "prefix": "v1," }))]
    pub list: Field<SignatureListYaml>,
    /// Fields, one of which is the signature. All of them are parts, by their numbers from 0.
    #[schemars(example = json!({ "separator": "/", "index": 2 }))]
    pub split: Field<SplitYaml>,
}

/// `pairs`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsYaml {
    /// Separator between pairs.
    #[schemars(length(min = 1), example = &";", extend("default" = ","))]
    pub separator: Field<String>,
    /// Separator between key and value.
    #[schemars(length(min = 1), example = &":", extend("default" = "="))]
    pub equals: Field<String>,
    /// Key of the signature; it may occur more than once.
    #[schemars(required, length(min = 1), example = &"v1")]
    pub key: Field<String>,
}

/// `list`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureListYaml {
    /// Separator between items.
    #[schemars(required, length(min = 1), example = &" ")]
    pub separator: Field<String>,
    /// Prefix of a signature; items without it are ignored.
    #[schemars(example = &"v1,", extend("default" = ""))]
    pub prefix: Field<String>,
}

/// `split`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitYaml {
    /// Separator between fields.
    #[schemars(required, length(min = 1), example = &"/")]
    pub separator: Field<String>,
    /// Index of the field that is the signature, from 0.
    #[schemars(required, example = 2)]
    pub index: Field<Number<0, 65_535>>,
    /// Separator between several such values; without it there is one.
    #[schemars(example = &",")]
    pub list: Field<String>,
    /// Whether every field from `index` on is a signature, any of which may match, as in `1700000000,5257a8…,9fa31c…`.
    /// Cannot be combined with `list`.
    #[schemars(example = true)]
    pub rest: Switch<false>,
}

/// `timestamp` of a signature: exactly one of header, part, json and form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedTimeYaml {
    /// Name of a header. Exactly one of `header`, `part`, `json` and `form` is required.
    #[schemars(example = &"X-Timestamp")]
    pub header: Field<String>,
    /// Part of the signature's value, as split by `parse`.
    #[schemars(example = &"t")]
    pub part: Field<String>,
    /// JSON pointer into the body.
    #[schemars(example = &"/timestamp")]
    pub json: Field<String>,
    /// Field of a form body.
    #[schemars(example = &"timestamp")]
    pub form: Field<String>,
    /// Unit or format of the time.
    #[schemars(example = &"ms")]
    pub unit: Field<TimestampUnit>,
    /// Maximum age of the time, inclusive.
    #[schemars(example = &"10m")]
    pub max_age: Seconds<300_000>,
    /// Maximum time that the timestamp may be in the future, inclusive; as `max_age` if absent.
    #[schemars(example = &"1m")]
    pub max_future: OptionalSeconds<0>,
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
    #[schemars(example = json!({ "X-Event": "push" }))]
    pub headers: Section<BTreeMap<String, Field<String>>>,
    /// Part of the signature's value → required value.
    #[schemars(example = json!({ "0": "v1" }))]
    pub parts: Section<BTreeMap<String, Field<String>>>,
    /// JSON pointer → required value in the body, which must be a JSON object: a value, or an operator as under `claims`
    /// of `jwt`.
    #[schemars(example = json!({ "/type": "event" }))]
    pub json: Section<BTreeMap<String, Field<Value>>>,
}

/// `body_hash` of a signature
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryHashYaml {
    /// Name of the query parameter.
    #[schemars(required, example = &"bodySHA256")]
    pub query: Field<String>,
}

/// `static_token`: a secret that the sender presents as is
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticTokenYaml {
    /// Header with the token. Exactly one of `header`, `query`, `json` and `form` is required.
    #[schemars(example = &"X-Token")]
    pub header: Field<String>,
    /// Authentication scheme before the token in that header, in upper or lower case. With `Basic`, the secret is
    /// `user:password`, or its base64 (RFC 7617).
    #[schemars(example = &"Bearer")]
    pub scheme: Field<String>,
    /// Query parameter with the token.
    #[schemars(example = &"token")]
    pub query: Field<String>,
    /// JSON pointer to the token in the body. `*` stands for every item of a list, each of which must have the token.
    #[schemars(example = &"/events/*/token")]
    pub json: Field<String>,
    /// Field of a form body with the token.
    #[schemars(example = &"token")]
    pub form: Field<String>,
    /// The expected token, which is compared in constant time. `secret` or `secrets` is required. Fewer than 16 bytes are
    /// a warning.
    #[schemars(example = json!({ "env": "TOKEN" }))]
    pub secret: Field<SecretYaml>,
    /// Several tokens during a rotation: any of them is accepted. With `{ dir: secrets/{tenant} }` each tenant
    /// of `match.path` has its own instead ([tenants](../../concepts/tenants.md)).
    #[schemars(example = json!([{ "file": "secrets/new" }, { "file": "secrets/old" }]))]
    pub secrets: Section<SecretsYaml>,
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
