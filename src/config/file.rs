//! The schema of gateway.yaml: every key, with its description. The meaning of the values is not checked here.
//!
//! Every key is optional for serde, so that the file can always be read and checked further after the problems
//! of its shape were removed; `compile` reports missing keys. `hookgate schema` prints these types as JSON Schema.

mod issuer;
mod jwt;
pub mod preset;
mod route;
mod scalar;
pub mod signature;
pub mod store;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::error::{FieldPath, Problems};
use super::{renames, shape};
use crate::settings::LogFormat;
pub use issuer::{EncodingFile, IssuerFile, JwksFile, PublicKeyFile, SecretFile};
pub use jwt::{
    BodyHashFile, HashFile, HashPresenceFile, JwtFile, MethodClaimFile, TimeClaimFile, TokenFile, UrlClaimFile,
    UrlHashFile,
};
pub use route::{
    AuthFile, AuthScheme, AuthWord, CaptureFile, ClientCertificateFile, CredentialFile, ForwardFile, LimitFile,
    MatchFile, ModeFile, RevocationFile, RouteFile, RouteLimitsFile, TimestampFile, UpstreamFile, UpstreamTimeoutsFile,
};
pub use scalar::{DurationText, OneOrMany, RateText, SizeText, UnitFile};

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
    /// The store for replay ids, idempotency keys, shared rates and shared revocations. A change needs a restart.
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
        shape::check(schema(), &mut value, &mut problems);
        let file = serde_json::from_value(value).unwrap_or_else(|error| {
            // serde accepts every value that passes the check: an error here is a difference between the two.
            problems.add(&FieldPath::root(), error.to_string());
            Self::default()
        });
        (file, problems)
    }
}

/// The JSON Schema of gateway.yaml (draft 2020-12).
pub fn schema() -> &'static serde_json::Value {
    // Built once, because every poll for a changed configuration uses it.
    static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| schemars::schema_for!(GatewayFile).to_value());
    &SCHEMA
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
