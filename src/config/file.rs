//! The schema of gateway.yaml: every key, with its description. The meaning of the values is not checked here.
//!
//! Every key is optional for serde, so that the file can always be read and checked further after the problems
//! of its shape were removed; `compile` reports missing keys. `hookgate schema` prints these types as JSON Schema.

mod jwt;
pub mod preset;
mod route;
pub mod signature;
pub mod store;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::error::{FieldPath, Problems};
use super::{renames, shape};
use crate::settings::LogFormat;
pub use jwt::{
    BodyHashFile, HashFile, HashPresenceFile, JwtFile, MethodClaimFile, TimeClaimFile, TokenFile, UrlClaimFile,
    UrlHashFile,
};
pub use route::{
    AuthFile, AuthScheme, AuthWord, CaptureFile, ClientCertificateFile, CredentialFile, ForwardFile, LimitFile,
    MatchFile, ModeFile, RevocationFile, RouteFile, RouteLimitsFile, TimestampFile, UnitFile, UpstreamFile,
    UpstreamTimeoutsFile,
};

/// The configuration of hookgate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayFile {
    /// Worker threads, each with its own runtime and upstream connection pool; 0 means one per core. A change needs a
    /// restart.
    pub workers: Option<u16>,
    /// The access log and other log lines. A change needs a restart.
    pub log: Option<LogFile>,
    /// How much detail the response to a rejected request contains.
    pub error_detail: Option<ErrorDetailFile>,
    /// Graceful shutdown after SIGTERM.
    pub drain: Option<DrainFile>,
    /// IP addresses and CIDR ranges of the proxies in front of hookgate. Only from them are the PROXY protocol header,
    /// X-Forwarded-For or Forwarded, X-Forwarded-Proto and X-Request-Id trusted.
    pub trusted_proxies: Option<Vec<String>>,
    /// Memory for all request bodies that are buffered until they are verified. A request that exceeds it is answered
    /// 503.
    pub max_buffered_bytes: Option<SizeText>,
    /// Addresses on which requests are accepted.
    pub listeners: Option<Vec<ListenerFile>>,
    /// The admin listener for /metrics, /livez, /readyz and /status; if absent, there is none. A change needs a
    /// restart.
    pub admin: Option<AdminFile>,
    /// The store for replay ids, idempotency keys and shared rate limits. A change needs a restart.
    pub store: Option<store::StoreFile>,
    /// Token issuers, each under a name that routes refer to.
    pub issuers: Option<BTreeMap<String, IssuerFile>>,
    /// Routes: which requests are accepted, by which credential, and to which upstream they are forwarded.
    pub routes: Option<Vec<RouteFile>>,
}

impl GatewayFile {
    /// The keys of the file that have the right shape, and every problem with the others.
    pub fn read(mut value: Value) -> (Self, Problems) {
        let mut problems = Problems::default();
        renames::check(&mut value, &mut problems);
        shape::check(super::schema(), &mut value, &mut problems);
        let file = serde_json::from_value(value).unwrap_or_else(|error| {
            // serde accepts every value that passes the check: an error here is a difference between the two.
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

/// One string or a list of strings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One string.
    One(String),
    /// A list of strings.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// The strings as a list.
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
    /// The format of log lines: one JSON object per line, or text.
    pub format: Option<LogFormat>,
    /// Whether the access log is written: one line per request.
    pub access: Option<bool>,
}

/// How much detail the response to a rejected request contains.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErrorDetailFile {
    /// The reason of a 401 or 403 only after a signature was verified; before that `unauthorized` or `forbidden`.
    Standard,
    /// `unauthorized` or `forbidden` instead of every reason of a 401 or 403.
    Opaque,
    /// Always the reason; for development.
    Detailed,
}

/// `drain`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DrainFile {
    /// Time after SIGTERM in which the process is not ready but still accepts connections; every response closes its
    /// connection.
    pub delay: Option<DurationText>,
    /// Time after `delay` in which requests in flight may finish; no connections are accepted.
    pub timeout: Option<DurationText>,
}

/// An entry of `listeners`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerFile {
    /// IP address and port, such as `0.0.0.0:8443` or `[::]:8443`, in quotes. A change needs a restart.
    pub address: Option<String>,
    /// Limits of connections.
    pub limits: Option<ListenerLimitsFile>,
    /// Timeouts of connections.
    pub timeouts: Option<ListenerTimeoutsFile>,
    /// TLS termination: certificates, and mutual TLS (mTLS).
    pub tls: Option<TlsFile>,
    /// `true` instead of `tls` where another proxy terminates TLS.
    pub plaintext: Option<bool>,
    /// Whether each connection begins with a PROXY protocol header, version 1 or 2, and comes from `trusted_proxies`.
    pub proxy_protocol: Option<bool>,
}

/// `limits` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimitsFile {
    /// Open connections in total.
    pub max_connections: Option<usize>,
    /// Open connections of one IP address, or of one /64 in IPv6.
    pub max_connections_per_ip: Option<usize>,
    /// Size of all headers of a request together.
    pub max_headers_size: Option<SizeText>,
    /// Headers of a request.
    pub max_headers_count: Option<usize>,
    /// Concurrent HTTP/2 streams of a connection.
    pub max_concurrent_streams: Option<u32>,
    /// HTTP/2 streams that a client may reset before they are processed (rapid reset).
    pub max_pending_resets: Option<usize>,
}

/// `timeouts` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerTimeoutsFile {
    /// The whole TLS handshake.
    pub tls_handshake: Option<DurationText>,
    /// From the TLS handshake to the end of the first request's headers.
    pub first_request: Option<DurationText>,
    /// From the first to the last byte of a request's headers.
    pub headers: Option<DurationText>,
    /// A whole request body.
    pub request_body: Option<DurationText>,
    /// Between two bytes of a request body.
    pub request_body_idle: Option<DurationText>,
    /// Between two bytes of a response that the client reads.
    pub response_write_idle: Option<DurationText>,
    /// Between two requests of a connection.
    pub keepalive: Option<DurationText>,
}

/// `tls` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFile {
    /// Server certificates, selected by SNI; the first is the default.
    pub certificates: Option<Vec<CertificateFile>>,
    /// The lowest TLS version.
    pub min_version: Option<MinVersionFile>,
    /// PEM file with the root certificates of client certificates (mTLS); clients are asked for a certificate if it is
    /// set.
    pub client_ca: Option<String>,
    /// Whether a client must present a certificate; requires `client_ca`.
    pub client_auth: Option<ClientAuthFile>,
    /// PEM file with certificate revocation lists, one for every issuer of client certificates; requires `client_ca`.
    pub client_crl: Option<String>,
}

/// Whether a client must present a certificate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthFile {
    /// A handshake without a client certificate fails.
    Required,
    /// A client may connect without a certificate; each route decides whether it needs one.
    Optional,
}

/// A server certificate and its private key
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
    /// IP address and port, such as 127.0.0.1:9901.
    pub address: Option<String>,
}

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
