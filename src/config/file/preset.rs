//! The schema of presets/*.yaml: one provider a file, with the keys of gateway.yaml.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::issuer::{IssuerYaml, SecretYaml};
use super::jwt::JwtYaml;
use super::number::Switch;
use super::scalar::OneOrMany;
use super::signature::{SignatureYaml, StaticTokenYaml};
use crate::config::reader::{Field, List, WordType, word_or_mapping};
use crate::config::values::SecretEncoding;

/// A provider. A key that is neither optional nor a mapping must be written. Strings may contain `${name}`, which is replaced by a parameter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetYaml {
    /// The provider's display name.
    pub title: String,
    /// Other names of the preset: those of products and senders that sign alike.
    pub aliases: List<String>,
    /// The documents and code in which the scheme is described.
    pub source: OneOrMany<String>,
    /// The evidence that the preset verifies the provider's own requests; `self` if absent.
    pub evidence: Option<EvidenceYaml>,
    /// Why two events may have the same signed content. Such a preset has no replay id: the second event would be lost.
    pub repeats: Option<String>,
    /// The provider's retries after a failed delivery, in words, or `not documented`.
    pub retries: String,
    /// Whether the provider retries at all, where documented.
    pub redelivery: Option<RedeliveryYaml>,
    /// The time from the first delivery of an event to its last retry, where documented.
    pub retry_window: Option<String>,
    /// The largest body that the provider sends, where documented.
    pub largest_body: Option<String>,
    /// The parts of a request that the signature does not cover.
    pub unsigned: String,
    /// The shared secret that the operator gives.
    pub secret: Option<PresetSecretYaml>,
    /// The provider's public key that the operator gives.
    pub public_key: Option<PresetKeyYaml>,
    /// The root certificate that the operator gives; tokens carry their certificates.
    pub root_ca: Option<PresetKeyYaml>,
    /// The key set that the operator gives, if the provider has no address that can be fetched.
    pub jwks: Option<PresetKeyYaml>,
    /// Further parameters that the operator gives.
    pub parameters: BTreeMap<String, PresetParameterYaml>,
    /// The provider's signature.
    pub signature: Field<Box<SignatureYaml>>,
    /// The provider's static token.
    pub static_token: Field<StaticTokenYaml>,
    /// The provider's JWT.
    pub jwt: Field<Box<JwtYaml>>,
    /// The issuer of that JWT; its name in the access log is the preset's.
    pub issuer: Field<IssuerYaml>,
    /// A JWS whose payload is the request itself (detached content, RFC 7515 appendix F).
    pub detached: Option<DetachedYaml>,
    /// The JWT carries its certificate chain (`x5c`, RFC 7515 §4.1.6), which must lead to `root_ca`.
    pub x5c: Option<X5cYaml>,
    /// The provider's endpoint verification challenges.
    pub challenge: List<ChallengeYaml>,
    /// The protocol that defines the form of error responses.
    pub error_format: Option<ErrorFormatYaml>,
}

impl PresetYaml {
    /// The evidence that the preset verifies the provider's own requests.
    pub fn evidence(&self) -> EvidenceKind {
        self.evidence.as_ref().map_or(EvidenceKind::Own, |evidence| evidence.kind)
    }

    /// Whether its requests name their certificate by its URL.
    pub fn names_certificate(&self) -> bool {
        self.signature.value().is_some_and(|signature| signature.certificate.is_written())
    }

    /// Whether the preset has a key set of its own.
    pub fn has_jwks(&self) -> bool {
        self.issuer.value().is_some_and(|issuer| issuer.jwks.is_written())
    }
}

/// Whether a provider sends an event again after a failed delivery
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedeliveryYaml {
    /// By itself, at least after some responses.
    Automatic,
    /// Not by itself.
    Never,
}

/// The evidence that a preset verifies the provider's own requests
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceYaml {
    /// The kind.
    pub kind: EvidenceKind,
    /// Where it can be read.
    pub source: List<String>,
}

/// A kind of evidence
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceKind {
    /// A signed request from the tests of the provider's own SDK, or one that the SDK signed or verified.
    Sdk,
    /// A signed request in the provider's documents.
    Documents,
    /// The code of two public receivers that were written independently agrees.
    Receivers,
    /// None: only this project's own requests, signed by the documents.
    #[serde(rename = "self")]
    Own,
}

/// A shared secret that the operator gives
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetSecretYaml {
    /// A description of the secret, and where the provider shows it.
    pub what: String,
    /// The beginning of every such secret, if the provider gives it one and it is a part of the secret.
    pub begins_with: Option<String>,
    /// The encoding of the secret as the provider shows it.
    pub encoding: SecretEncoding,
    /// The hash of the secret that is the key, if the provider uses one.
    pub derive: Option<KeyDerivation>,
}

/// The hash of a secret that is the key of an HMAC
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyDerivation {
    /// The 20 bytes of its SHA-1 (Braintree).
    Sha1,
    /// The 32 bytes of its SHA-256.
    Sha256,
}

/// A public key, root certificate or key set that the operator gives
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetKeyYaml {
    /// A description of the key, and where the provider shows it.
    pub what: String,
}

/// A parameter that the operator gives
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetParameterYaml {
    /// A description of the parameter, and where the provider shows it.
    pub what: String,
    /// The value if the operator gives none.
    pub default: Option<String>,
    /// Whether the operator may give several values.
    pub list: Switch<false>,
}

/// The payload of a detached JWS
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetachedYaml {
    /// The body as is (RFC 7797, `b64: false`).
    Unencoded,
    /// Method, path, listed headers and body, in TrueLayer's format.
    Truelayer,
}

/// Extensions that certificates must have, by their object identifiers
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct X5cYaml {
    /// Extension of the signing certificate.
    pub leaf: Option<String>,
    /// Extension of the intermediate certificate.
    pub intermediate: Option<String>,
}

/// An endpoint verification challenge and its response
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeYaml {
    /// Method of the challenge request.
    pub method: String,
    /// Whether the signature of the challenge is verified first.
    pub signed: Switch<false>,
    /// Query parameter → expected value; `$token` stands for the secret of the challenge.
    pub query: BTreeMap<String, String>,
    /// JSON pointer into the body → expected value, or an operator as in `claims`.
    pub json: BTreeMap<String, Field<Value>>,
    /// Header → expected value.
    pub headers: BTreeMap<String, String>,
    /// Where the challenge's value is: query:NAME, json:/POINTER or header:NAME.
    pub value_from: Option<String>,
    /// The response as text, with `$challenge` instead of the value.
    pub literal: Option<String>,
    /// The response as JSON; its strings may contain `$challenge`, `$hmac.hex` or `$hmac.base64`.
    pub response: Option<Value>,
    /// Headers of the response, which may contain `$challenge`.
    pub response_headers: BTreeMap<String, String>,
    /// The URL that is fetched before the response, if the sender asks for that.
    pub confirmation: Option<ConfirmationYaml>,
}

/// The URL of a signed challenge that confirms a subscription; it is on a host of the preset's `certificate`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmationYaml {
    /// Where the URL is, such as json:/SubscribeURL.
    pub url_from: String,
    /// Query parameter of the URL → its value, or where the request has it; the URL has no other ones.
    pub query: BTreeMap<String, String>,
    /// Further conditions, as in `json` of the challenge.
    #[serde(default)]
    pub json: BTreeMap<String, Field<Value>>,
    /// Where the name of the topic is, for the log.
    pub topic_from: String,
}

impl ChallengeYaml {
    /// Whether the challenge shows the token that was entered in the provider's console.
    pub fn shows_token(&self) -> bool {
        self.query.values().any(|value| value == "$token")
    }
}

/// The protocol that defines the form of error responses
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorFormatYaml {
    /// Security event tokens: RFC 8935 §2.4.
    Secevent,
}

/// `challenge` of a route: `true`, or the secret that some providers present
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, title = "true, or { token: {env: NAME} } where the provider presents a token")]
pub enum ChallengeSwitch {
    /// Whether challenges are answered.
    Switch(bool),
    /// Challenges with this token are answered.
    Token(ChallengeTokenYaml),
}

impl<'de> Deserialize<'de> for ChallengeSwitch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = "true, or { token: {env: NAME} } where the provider presents a token";
        word_or_mapping(deserializer, (form, WordType::Bool), Self::Switch, Self::Token)
    }
}

/// The secret of a challenge
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChallengeTokenYaml {
    /// The token that was entered in the provider's console.
    #[schemars(required, example = json!({ "env": "META_TOKEN" }))]
    pub token: Field<SecretYaml>,
}
