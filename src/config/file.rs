//! The schema of gateway.yaml: every key, with its type, default and description. The meaning of the values is not
//! checked here.
//!
//! Each key is a [`Field`] or a [`Section`], so that a mistake in one key does not stop the reading of the others;
//! `compile` reports missing keys. `hookgate schema` prints these types as JSON Schema; the reference is made of it.

mod issuer;
mod jwt;
mod number;
pub mod preset;
mod route;
mod scalar;
pub mod signature;
pub mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;

use super::reader::{self, Field, List, Report, Section};
use super::renames;
pub use super::values::SecretEncoding;
use super::yaml::Node;
use crate::settings::LogFormat;
use crate::snapshot::ErrorDetail;
use crate::tls::{ClientAuth, MinVersion};
use ipnet::IpNet;
pub use issuer::{IssuerYaml, JwksYaml, PublicKeyYaml, SecretYaml};
pub use jwt::{BodyHashYaml, JwtYaml, MethodClaimYaml, TimeClaimYaml, TokenYaml, UrlClaimYaml, UrlHashYaml};
pub use number::{Count, Number, Switch};
pub use route::{
    AuthScheme, AuthWord, AuthYaml, Burst, CaptureYaml, ClientCertificateYaml, Concurrency, CredentialYaml,
    ForwardYaml, LimitYaml, MatchYaml, ModeYaml, RateField, RevocationYaml, RouteLimitsYaml, RouteYaml, TimestampYaml,
    UpstreamTimeoutsYaml, UpstreamYaml,
};
pub use scalar::{
    Delay, FileName, OneOrMany, OptionalDelay, OptionalDuration, Parsed, Pin, PlaceKey, RatePerSeconds, Size, Timeout,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration of hookgate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayYaml {
    /// Worker threads, each with its own runtime and upstream connection pool; 0 means one per core.
    #[schemars(extend("x-restart" = true))]
    pub workers: Count<0, 0, 65535>,
    /// The access log and other log lines.
    #[schemars(extend("x-restart" = true))]
    pub log: Section<LogYaml>,
    /// How much detail the response to a rejected request contains.
    pub error_detail: Field<ErrorDetail>,
    /// Graceful shutdown after SIGTERM.
    pub drain: Section<DrainYaml>,
    /// IP addresses and CIDR ranges of the proxies in front of hookgate. Only from them are the PROXY protocol header,
    /// X-Forwarded-For or Forwarded, X-Forwarded-Proto and X-Request-Id trusted.
    pub trusted_proxies: Section<List<Parsed<IpNet>>>,
    /// Memory for all request bodies that are buffered until they are verified. A request that exceeds it is answered
    /// 503.
    pub max_buffered_bytes: Size<{ 64 << 20 }>,
    /// Addresses on which requests are accepted.
    #[schemars(required)]
    pub listeners: Section<List<Section<ListenerYaml>>>,
    /// The admin listener for /metrics, /livez, /readyz and /status; if absent, there is none.
    #[schemars(extend("x-restart" = true))]
    pub admin: Section<AdminYaml>,
    /// The store for replay ids, idempotency keys, shared rates and shared revocations.
    #[schemars(extend("x-restart" = true))]
    pub store: Field<store::StoreYaml>,
    /// Token issuers, each under a name that routes refer to.
    pub issuers: Section<BTreeMap<String, Section<IssuerYaml>>>,
    /// Routes: which requests are accepted, by which credential, and to which upstream they are forwarded.
    #[schemars(required)]
    pub routes: Section<List<Section<RouteYaml>>>,
}

impl GatewayYaml {
    /// The parts of the file that can be read, and every problem with the others.
    pub fn read(mut document: Node) -> (Self, Report) {
        let mut report = Report::default();
        renames::check(&mut document, &mut report.problems);
        reader::read(&document, report)
    }

    /// Whether a listener asks clients for a certificate.
    pub fn requests_client_certificates(&self) -> bool {
        self.listeners.iter().any(|listener| listener.tls.client_ca.is_written())
    }

    /// Whether there is a store in which replicas can share rates and revocations.
    pub fn has_shared_store(&self) -> bool {
        matches!(self.store.value(), Some(store::StoreYaml::Redis(_)))
    }
}

/// The JSON Schema of gateway.yaml (draft 2020-12).
pub fn schema() -> &'static serde_json::Value {
    // Built once, because every poll for a changed configuration uses it.
    static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| schemars::schema_for!(GatewayYaml).to_value());
    &SCHEMA
}

/// `log`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogYaml {
    /// The format of log lines: one JSON object per line, or text.
    pub format: Field<LogFormat>,
    /// Whether the access log is written: one line per request.
    pub access: Switch<true>,
}

/// `drain`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainYaml {
    /// Time after SIGTERM in which the process is not ready but still accepts connections; every response closes its
    /// connection.
    pub delay: Delay<5_000>,
    /// Time after `delay` in which requests in flight may finish; no connections are accepted.
    pub timeout: Delay<30_000>,
}

/// An entry of `listeners`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerYaml {
    /// IP address and port, such as `0.0.0.0:8443` or `[::]:8443`, in quotes.
    #[schemars(extend("x-restart" = true))]
    #[schemars(required)]
    pub address: Field<Parsed<SocketAddr>>,
    /// Limits of connections.
    pub limits: Section<ListenerLimitsYaml>,
    /// Timeouts of connections.
    pub timeouts: Section<ListenerTimeoutsYaml>,
    /// TLS termination: certificates, and mutual TLS (mTLS).
    pub tls: Section<TlsYaml>,
    /// `true` instead of `tls` where another proxy terminates TLS.
    pub plaintext: Switch<false>,
    /// Whether each connection begins with a PROXY protocol header, version 1 or 2, and comes from `trusted_proxies`.
    pub proxy_protocol: Switch<false>,
}

/// `limits` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerLimitsYaml {
    /// Open connections in total.
    pub max_connections: Count<10_000>,
    /// Open connections of one IP address, or of one /64 in IPv6.
    pub max_connections_per_ip: Count<1_000>,
    /// Size of all headers of a request together.
    pub max_headers_size: Size<{ 32 << 10 }, { 8 << 10 }, { 256 << 10 }>,
    /// Headers of a request.
    pub max_headers_count: Count<100, 1, 1_000>,
    /// Concurrent HTTP/2 streams of a connection.
    pub max_concurrent_streams: Count<100, 1, 1_000>,
    /// HTTP/2 streams that a client may reset before they are processed (rapid reset).
    pub max_pending_resets: Count<20, 1, 1_000>,
}

/// `timeouts` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTimeoutsYaml {
    /// The whole TLS handshake.
    pub tls_handshake: Timeout<10_000>,
    /// From the TLS handshake to the end of the first request's headers.
    pub first_request: Timeout<10_000>,
    /// From the first to the last byte of a request's headers.
    pub headers: Timeout<10_000>,
    /// A whole request body.
    pub request_body: Timeout<60_000>,
    /// Between two bytes of a request body.
    pub request_body_idle: Timeout<15_000>,
    /// Between two bytes of a response that the client reads.
    pub response_write_idle: Timeout<60_000>,
    /// Between two requests of a connection.
    pub keepalive: Timeout<60_000>,
}

/// `tls` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsYaml {
    /// Server certificates, selected by SNI; the first is the default.
    pub certificates: Section<List<Section<CertificateYaml>>>,
    /// The lowest TLS version.
    pub min_version: Field<MinVersion>,
    /// PEM file with the root certificates of client certificates (mTLS); clients are asked for a certificate if it is
    /// set.
    pub client_ca: Field<Parsed<FileName>>,
    /// Whether a client must present a certificate; requires `client_ca`.
    pub client_auth: Field<ClientAuth>,
    /// PEM file with certificate revocation lists, one for every issuer of client certificates; requires `client_ca`.
    pub client_crl: Field<Parsed<FileName>>,
}

/// A server certificate and its private key
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateYaml {
    /// PEM file: the certificate and its intermediates.
    #[schemars(required)]
    pub cert: Field<Parsed<FileName>>,
    /// PEM file: the private key.
    #[schemars(required)]
    pub key: Field<Parsed<FileName>>,
}

/// `admin`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminYaml {
    /// IP address and port, such as 127.0.0.1:9901.
    #[schemars(required)]
    pub address: Field<Parsed<SocketAddr>>,
}
