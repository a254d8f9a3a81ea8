//! The schema of `auth` of a route.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::issuer::{JwksYaml, SecretYaml, SecretsYaml};
use super::jwt::JwtYaml;
use super::message_signature::MessageSignatureYaml;
use super::preset::ChallengeSwitch;
use super::scalar::{CertificateFingerprint, OneOrMany, OptionalSeconds, Parsed};
use super::signature::{SignatureYaml, StaticTokenYaml};
use super::signing_certificate::CertificateAccessYaml;
use crate::auth::client_certificate::San;
use crate::config::reader::{Field, List, Section, WordType, word_or_mapping};

/// How requests are authenticated: `{ jwt: … }`, `{ preset: … }`, …, or `public`
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, title = "{ jwt: … }, { preset: … }, …, or `public` for no authentication")]
pub enum AuthYaml {
    /// `public`
    Word(AuthWord),
    /// An authentication scheme.
    Scheme(Box<Section<AuthScheme>>),
}

impl<'de> Deserialize<'de> for AuthYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = "{ jwt: … }, { preset: … }, …, or `public` for no authentication";
        word_or_mapping(deserializer, (form, WordType::String), Self::Word, |scheme| Self::Scheme(Box::new(scheme)))
    }
}

/// The word for no authentication
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", rename = "{ jwt: … }, { preset: … }, …, or `public` for no authentication")]
#[schemars(rename = "AuthWord")]
pub enum AuthWord {
    /// Every client may send requests.
    Public,
}

/// `auth` of a route: exactly one of jwt, preset, signature, http_message_signature, static_token, client_certificate,
/// all_of and any_of
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthScheme {
    /// A JSON Web Token (RFC 7519). Exactly one of `jwt`, `preset`, `signature`, `http_message_signature`, `static_token`,
    /// `client_certificate`, `all_of` and `any_of` is required.
    #[schemars(example = json!({ "issuer": "acme", "audience": "https://api.example.com/webhook" }))]
    pub jwt: Field<Box<JwtYaml>>,
    /// Name of a provider's preset; `hookgate presets` lists them, and `hookgate presets NAME` shows the keys that one
    /// needs.
    #[schemars(example = &"github")]
    pub preset: Field<String>,
    /// The shared secret of the preset.
    #[schemars(example = json!({ "env": "GITHUB_SECRET" }))]
    pub secret: Field<SecretYaml>,
    /// Several shared secrets of the preset during a rotation: a request signed with any of them is accepted. More than
    /// 10 are allowed only if the signature has a key id. With `{ dir: secrets/{tenant} }` each tenant
    /// of `match.path` has its own instead ([tenants](../../concepts/tenants.md)).
    #[schemars(example = json!([{ "file": "secrets/new" }, { "file": "secrets/old" }]))]
    pub secrets: Section<SecretsYaml>,
    /// The public key of the preset: PEM for a JWT. For a signature also DER, or the bytes of DER or of the raw key in
    /// hex, base64 or base64url, with or without the prefix `whpk_`. RSA keys have 2048 to 8192 bits.
    #[schemars(example = json!({ "file": "provider.pem" }))]
    pub public_key: Field<SecretYaml>,
    /// Several public keys of the preset during a rotation: a request signed with any of them is accepted. More than 10
    /// are allowed only if the signature has a key id. With `{ dir: secrets/{tenant} }` each tenant
    /// of `match.path` has its own instead ([tenants](../../concepts/tenants.md)).
    #[schemars(example = json!([{ "file": "new.pem" }, { "file": "old.pem" }]))]
    pub public_keys: Section<SecretsYaml>,
    /// The root certificate, in PEM or DER form, to which the certificates of the preset's tokens must chain.
    #[schemars(example = json!({ "file": "apple-root.cer" }))]
    pub root_ca: Field<SecretYaml>,
    /// Maximum age of the time that the preset's sender signs, instead of the preset's own. It does not extend how far
    /// that time may be in the future.
    #[schemars(example = &"10m")]
    pub tolerance: OptionalSeconds,
    /// Parameters of the preset, by name, such as `tenant` or `audience`; `hookgate presets NAME` lists them. One that says
    /// so may be a list.
    #[schemars(example = json!({ "tenant": "acme", "audience": "hooks.example.com" }))]
    pub parameters: Section<BTreeMap<String, Field<OneOrMany<String>>>>,
    /// Key set of the preset, instead of the one that it fetches.
    #[schemars(example = json!({ "url": "https://idp.example.com/jwks.json" }))]
    pub jwks: Field<Box<JwksYaml>>,
    /// How the certificates of the preset are fetched, of a preset whose requests name their certificate by its URL.
    #[schemars(example = json!({ "proxy": "http://proxy.example.com:3128" }))]
    pub certificate: Field<CertificateAccessYaml>,
    /// Whether the endpoint verification challenges of the preset's provider are answered: `true`, or the token that the
    /// provider presents. `methods` of the route must include the method of the challenge.
    #[schemars(example = true, extend("default" = false))]
    pub challenge: Field<ChallengeSwitch>,
    /// A custom signature scheme.
    #[schemars(example = json!({
        "algorithm": "hmac-sha256", "header": "X-Signature", "encoding": "hex", "signed_payload": ["body"],
        "secret": { "env": "SECRET" }
    }))]
    pub signature: Field<Box<SignatureYaml>>,
    /// An HTTP Message Signature (RFC 9421) in the headers Signature-Input and Signature, with the digest of the body in
    /// Content-Digest (RFC 9530).
    #[schemars(example = json!({ "algorithm": "ed25519", "public_key": { "file": "sender.pem" } }))]
    pub http_message_signature: Field<Box<MessageSignatureYaml>>,
    /// A static token: a secret that the sender presents as is. It authenticates no part of the request.
    #[schemars(example = json!({ "header": "X-Token", "secret": { "env": "TOKEN" } }))]
    pub static_token: Field<StaticTokenYaml>,
    /// A client certificate (mTLS); a listener must have `client_ca`. With neither `san` nor `sha256`, every certificate
    /// that the listener trusts is accepted; a certificate is accepted by one entry of either.
    #[schemars(example = json!({ "san": ["dns:sender.example.com"] }))]
    pub client_certificate: Field<ClientCertificateYaml>,
    /// Every one of these schemes must accept the request. The reason of a rejection is that of the first scheme that
    /// rejects.
    #[schemars(length(min = 2, max = 16))]
    #[schemars(example = json!([{ "preset": "github", "secret": { "env": "A" } }, { "client_certificate": {} }]))]
    pub all_of: Section<List<Section<AuthScheme>>>,
    /// One of these schemes must accept the request, and none whose credential is present may reject it. Schemes that read
    /// the same place, such as two `jwt` in the header Authorization, are alternatives for one credential: one of them must
    /// accept it. The reason of a rejection without any credential is `missing_credential`.
    #[schemars(length(min = 2, max = 16))]
    #[schemars(example = json!([{ "preset": "github", "secret": { "env": "A" } }, { "client_certificate": {} }]))]
    pub any_of: Section<List<Section<AuthScheme>>>,
}

/// `client_certificate`: without `san` and `sha256`, any certificate that the listener trusts
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateYaml {
    /// Subject alternative names without `*`, such as `spiffe://…`, `dns:…`, `uri:…`, `email:…` or `ip:…`, one of which
    /// the certificate must have. A SPIFFE id must be the only URI of its certificate; the common name is not compared.
    #[schemars(length(min = 1), example = json!(["dns:sender.example.com", "spiffe://example.com/sender"]))]
    pub san: Section<List<Parsed<San>>>,
    /// SHA-256 fingerprints of certificates in DER form: 64 hexadecimal digits, with or without colons. The certificate
    /// must have one of them.
    #[schemars(length(min = 1))]
    #[schemars(example = json!([
        "9F:86:D0:81:88:4C:7D:65:9A:2F:EA:A0:C5:5A:D0:15:A3:BF:4F:1B:2B:0B:82:2C:D1:5D:6C:15:B0:F0:0A:08"
    ]))]
    pub sha256: Section<List<Parsed<CertificateFingerprint>>>,
}
