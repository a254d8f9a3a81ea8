//! The shape of presets/*.yaml: one provider a file, in the words of gateway.yaml itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::signature::{PresetSecretEncoding, SignatureFile, StaticTokenFile};
use super::{IssuerFile, JwtFile, OneOrMany};

/// A provider. Texts may hold `${name}`, which stands for a parameter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PresetFile {
    /// Its name for people.
    pub title: String,
    /// Where the rule was read.
    pub source: OneOrMany,
    /// What its sender does after a failure.
    pub retries: String,
    /// The largest body it sends, where known.
    pub largest_body: Option<String>,
    /// What the signature leaves unsigned.
    pub unsigned: String,
    /// The secret that goes with it.
    pub secret: Option<PresetSecretFile>,
    /// What else must be given.
    pub parameters: BTreeMap<String, PresetParameterFile>,
    /// How it signs.
    pub signature: Option<SignatureFile>,
    /// The token that it shows.
    pub token: Option<StaticTokenFile>,
    /// The JWT that it sends.
    pub jwt: Option<JwtFile>,
    /// Who signs that JWT; its name in the log is the preset's.
    pub issuer: Option<IssuerFile>,
    /// A JWS whose payload is the request itself (RFC 7515 appendix F).
    pub detached: Option<DetachedFile>,
    /// The JWT brings its certificates along (RFC 7515 §4.1.6), which must lead to the `secret`.
    pub x5c: Option<X5cFile>,
    /// Questions of the provider about the endpoint, and the answers.
    pub handshake: Option<Vec<HandshakeFile>>,
    /// Refusals are told in the form of this protocol.
    pub errors: Option<PresetErrors>,
}

/// What to give as `secret`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetSecretFile {
    /// What it is and where it is found.
    pub what: String,
    /// How it is written.
    pub encoding: PresetSecretEncoding,
}

/// What to give as a parameter
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetParameterFile {
    /// What it is and where it is found.
    pub what: String,
    /// What it is where it is not given.
    pub default: Option<String>,
}

/// What a detached JWS signs
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetachedFile {
    /// The body as it is (RFC 7797, `b64: false`).
    Unencoded,
    /// Method, path, listed headers and body, as TrueLayer writes them.
    Truelayer,
}

/// Extensions that certificates must have, by their object identifiers
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct X5cFile {
    /// Of the one that signs.
    pub leaf: Option<String>,
    /// Of the one above it.
    pub intermediate: Option<String>,
}

/// A question and its answer
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HandshakeFile {
    /// Its method.
    pub method: String,
    /// Whether its signature is verified first.
    pub signed: bool,
    /// Query parameter → its value; `$token` stands for the handshake's own secret.
    pub query: BTreeMap<String, String>,
    /// JSON pointer → its value in the body.
    pub json: BTreeMap<String, Value>,
    /// Header → its value.
    pub headers: BTreeMap<String, String>,
    /// Where the challenge stands: query:NAME, json:/POINTER or header:NAME.
    pub challenge: Option<String>,
    /// The answer as text: `$challenge`.
    pub text: Option<String>,
    /// The answer as JSON; its texts may hold `$challenge`, `$hmac.hex` or `$hmac.base64`.
    pub reply: Option<Value>,
    /// Headers of the answer, which may hold `$challenge`.
    pub reply_headers: BTreeMap<String, String>,
}

/// How refusals are told
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresetErrors {
    /// RFC 8935 §2.4.
    Secevent,
}

/// `handshake` of a route: `true`, or the secret that some providers show
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "true, or { token: {env: NAME} } where the provider shows a token")]
pub enum HandshakeSwitch {
    /// Whether questions are answered.
    Switch(bool),
    /// They are, and must show this.
    Token(HandshakeTokenFile),
}

/// The secret of a handshake
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HandshakeTokenFile {
    /// The token that the provider was told to show.
    pub token: Option<super::SecretFile>,
}
