//! The shape of gateway.yaml: what may be written, with a word on each field. No meaning is checked here.
//!
//! Every field is optional for serde, so that what is left after the shape's problems were taken out can
//! always be read and checked further; `compile` says what is missing. `hookgate schema` prints these types.

pub mod preset;
mod route;
pub mod signature;
pub mod state;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::error::{FieldPath, Problems};
use super::shape;
pub use route::{
    AuthFile, AuthScheme, AuthWord, BodyHashFile, CaptureFile, ClientCertificateFile, CredentialFile, ForwardFile,
    HashFile, HashPresenceFile, JwtFile, LimitFile, MatchFile, MethodClaimFile, ModeFile, RevocationFile, RouteFile,
    RouteLimitsFile, TimeClaimFile, TimestampFile, TokenFile, UnitFile, UpstreamFile, UrlClaimFile, UrlHashFile,
};

/// The configuration of hookgate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayFile {
    /// Worker threads, each with its own runtime and upstream pool; 0 is one a core. A change needs a restart.
    pub workers: Option<u16>,
    /// What is logged. A change needs a restart.
    pub log: Option<LogFile>,
    /// How much a reply tells of its reason.
    pub errors: Option<ErrorsFile>,
    /// What SIGTERM does.
    pub drain: Option<DrainFile>,
    /// Addresses and nets of the proxies in front: their PROXY header, X-Forwarded-For or Forwarded,
    /// X-Forwarded-Proto and X-Request-Id count.
    pub trusted_proxies: Option<Vec<String>>,
    /// Memory for all bodies that wait to be judged; beyond it 503.
    pub buffered_bodies: Option<SizeText>,
    /// Where requests come in.
    pub listeners: Option<Vec<ListenerFile>>,
    /// Where /metrics, /livez, /readyz and /status are served; without it, nowhere. A change needs a restart.
    pub admin: Option<AdminFile>,
    /// Not supported yet: where replay and idempotency are remembered.
    pub state: Option<state::StateFile>,
    /// Who signs tokens, by a name of your choice.
    pub issuers: Option<BTreeMap<String, IssuerFile>>,
    /// Which requests are let through to where.
    pub routes: Option<Vec<RouteFile>>,
}

impl GatewayFile {
    /// The file's fields, as far as they have the right shape, and what is wrong with the others.
    pub fn read(mut value: Value) -> (Self, Problems) {
        let mut problems = Problems::default();
        shape::check(super::schema(), &mut value, &mut problems);
        let file = serde_json::from_value(value).unwrap_or_else(|error| {
            // What the check lets through serde takes: an error here is a difference between the two.
            problems.add(&FieldPath::root(), error.to_string());
            Self::default()
        });
        (file, problems)
    }
}

/// A duration such as 500ms, 30s, 5m or 24h.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = "a duration such as 500ms, 30s, 5m or 24h")]
pub struct DurationText(pub String);

/// A size such as 512B, 64KiB or 1MiB.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = "a size such as 64KiB or 1MiB")]
pub struct SizeText(pub String);

/// A rate such as 100/s, 30/m or 5/h.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(title = "a rate such as 100/s, 30/m or 5/h")]
pub struct RateText(pub String);

/// One name or a list of names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// All of them.
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }
}

/// `log`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// One JSON object a line, or text.
    pub format: Option<LogFormat>,
    /// One line a request.
    pub access: Option<bool>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// JSON
    #[default]
    Json,
    /// Text
    Text,
}

/// How much a reply tells of its reason.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErrorsFile {
    /// The code, once a signature was verified.
    Standard,
    /// `unauthorized` or `forbidden`.
    Opaque,
    /// Always the code; for development.
    Detailed,
}

/// `drain`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainFile {
    /// After SIGTERM: unready, still accepting, every reply ends its connection.
    pub delay: Option<DurationText>,
    /// Then: no more accepting; what is under way may take so long.
    pub timeout: Option<DurationText>,
}

/// An entry of `listeners`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerFile {
    /// Address and port, such as `0.0.0.0:8443` or `[::]:8443`, in quotes. A change needs a restart.
    pub address: Option<String>,
    /// Limits and deadlines of connections.
    pub limits: Option<ListenerLimitsFile>,
    /// Certificates.
    pub tls: Option<TlsFile>,
    /// Written out as true instead of `tls`, where something else has ended TLS.
    pub plaintext: Option<bool>,
    /// Each connection begins with a PROXY header, version 1 or 2, and comes from one of `trusted_proxies`.
    pub proxy_protocol: Option<bool>,
}

/// `limits` of a listener; all times are absolute.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimitsFile {
    /// Open connections.
    pub connections: Option<usize>,
    /// Open connections of one address, or one /64 in IPv6.
    pub connections_per_address: Option<usize>,
    /// For the TLS handshake.
    pub handshake: Option<DurationText>,
    /// From the handshake to the end of the first request's head.
    pub first_request: Option<DurationText>,
    /// From the first to the last byte of a request's head.
    pub head: Option<DurationText>,
    /// Without a request.
    pub idle: Option<DurationText>,
    /// Without a byte of a request's body.
    pub body_stall: Option<DurationText>,
    /// For a whole request body, and for a reply that the client does not take.
    pub body: Option<DurationText>,
    /// Size of a request's head.
    pub head_size: Option<SizeText>,
    /// Header fields of a request.
    pub headers: Option<usize>,
    /// Concurrent HTTP/2 streams of a connection.
    pub streams: Option<u32>,
    /// HTTP/2 streams that a client may reset before they were dealt with.
    pub resets: Option<usize>,
}

/// `tls` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFile {
    /// Chosen by SNI; the first serves where no name fits.
    pub certificates: Option<Vec<CertificateFile>>,
    /// The lowest version.
    pub min_version: Option<MinVersionFile>,
    /// PEM file: the roots of client certificates, which are asked for if this is written.
    pub client_ca: Option<String>,
    /// What becomes of a client without a certificate; beside `client_ca`.
    pub client_auth: Option<ClientAuthFile>,
    /// PEM file: revocation lists, one for every issuer of client certificates; beside `client_ca`.
    pub client_crl: Option<String>,
}

/// What becomes of a client without a certificate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthFile {
    /// No connection.
    Required,
    /// A connection, and what the route asks for.
    Optional,
}

/// A certificate and its key
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateFile {
    /// PEM file: the certificate and its intermediates.
    pub cert: Option<String>,
    /// PEM file: the private key.
    pub key: Option<String>,
}

/// The lowest TLS version, in quotes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum MinVersionFile {
    /// TLS 1.2
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    Tls13,
}

/// `admin`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminFile {
    /// Address and port, such as 127.0.0.1:9901.
    pub address: Option<String>,
}

/// An entry of `issuers`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IssuerFile {
    /// The exact `iss`; `none` only beside `pem`, `secret` or `secrets`.
    pub issuer: Option<String>,
    /// Allowed signature algorithms, such as RS256, ES256 or EdDSA.
    pub algorithms: Option<Vec<String>>,
    /// A JSON Web Key Set (RFC 7517).
    pub jwks: Option<JwksFile>,
    /// One public key in PEM form.
    pub pem: Option<PemFile>,
    /// A shared secret for HS256, HS384 or HS512: {env: NAME} or {file: path}, never the secret itself.
    pub secret: Option<SecretFile>,
    /// Several, of which any may have signed, while one takes another's place.
    pub secrets: Option<Vec<SecretFile>>,
}

/// `jwks` of an issuer: exactly one of url, discovery, file and inline
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwksFile {
    /// https, or http on loopback.
    pub url: Option<String>,
    /// Time between two fetches.
    pub refresh: Option<DurationText>,
    /// How long a fetched set serves.
    pub max_stale: Option<DurationText>,
    /// The least time between two fetches.
    pub cooldown: Option<DurationText>,
    /// PEM file: certificates to trust instead of the public roots.
    pub ca: Option<String>,
    /// Keys of which one must stand in the issuer's certificate chain: `sha256/` and the base64 of a hash (RFC 7469 §2.4).
    pub pins: Option<Vec<String>>,
    /// A JSON file.
    pub file: Option<String>,
    /// The set itself.
    pub inline: Option<BTreeMap<String, Value>>,
    /// Written as true: the issuer's discovery document says where its keys are (OpenID Connect Discovery 1.0).
    pub discovery: Option<bool>,
    /// A file of our own for the last good set: a start while the issuer is gone begins with it.
    pub cache: Option<String>,
}

/// A public key in PEM form
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PemFile {
    /// The PEM file.
    pub file: Option<String>,
}

/// {env: NAME} or {file: path}, never the secret itself
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "{env: NAME} or {file: path}, never the secret itself")]
pub struct SecretFile {
    /// An environment variable.
    pub env: Option<String>,
    /// A file; one line break at its end does not count.
    pub file: Option<String>,
    /// Its name, where the signature names one.
    pub id: Option<String>,
    /// How the secret is written there.
    pub encoding: Option<EncodingFile>,
}

/// How a secret is written
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFile {
    /// As it is.
    #[default]
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64, after `whsec_` or alone (Standard Webhooks).
    Whsec,
}
