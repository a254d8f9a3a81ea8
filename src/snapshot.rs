//! The configuration snapshot that a request is handled with, and the only place where it is swapped.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::client_certificate::ClientTrust;
use crate::auth::proxied_certificate::CertificateHeader;
use crate::route::table::RoutingTable;
use crate::tls::acme::AcmeName;

/// HMAC-SHA256 over the whole configuration: the YAML and each file and environment variable that it references, secrets
/// included. The key is random in each process: with a known key, the hash would confirm guesses of a weak secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfigHash(pub [u8; 32]);

/// Without entropy there is no start, and no hash is shown.
static PROCESS_KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    let random = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
    random.unwrap_or_else(|_| hmac::Key::new(hmac::HMAC_SHA256, &[]))
});

impl ConfigHash {
    /// The hash over all parts, each preceded by its length, so that no two lists of parts give the same bytes.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = hmac::Context::with_key(&PROCESS_KEY);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        // HMAC-SHA256 has 32 bytes.
        hash.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl std::fmt::Display for ConfigHash {
    /// The first eight bytes in hex: enough to tell two configurations apart in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0.split_at(8).0))
    }
}

/// The detail in error responses (`error_detail`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "standard"))]
pub enum ErrorDetail {
    /// A client whose signature was verified gets the reason, any other client `unauthorized`. The reason
    /// `ip_not_allowed` is always in the response.
    #[default]
    Standard,
    /// Every client gets `unauthorized` or `forbidden`.
    Opaque,
    /// Every client gets the reason, and of a token in `detail` the claim, rule or key that does not match; for
    /// development.
    Detailed,
}

/// One client address may use at most 1/`ADDRESS_SHARE` of `max_buffered_bytes`.
pub const ADDRESS_SHARE: u64 = 4;

/// One complete configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// All routes.
    pub routes: RoutingTable,
    /// The settings of the listeners, in the order of `listeners`.
    pub listeners: Vec<ListenerSettings>,
    /// The proxies that are trusted to state the client's address of a connection or request (`trusted_proxies`).
    pub trusted_proxies: Vec<IpNet>,
    /// The detail in error responses.
    pub error_detail: ErrorDetail,
    /// The maximum number of bytes in all buffered bodies (`max_buffered_bytes`).
    pub max_buffered_bytes: u64,
    /// The hash of the configuration, which is different in each process.
    pub config_hash: ConfigHash,
    /// SHA-256 of gateway.yaml in hex, which contains no secret: the same for replicas with the same file.
    pub yaml_hash: String,
}

/// The settings of a listener that a reload may change.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// The TLS configuration; `None` on a plaintext listener.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// The names whose certificates come from an ACME server; `None` without `tls.acme`.
    pub acme: Option<Arc<[Arc<AcmeName>]>>,
    /// The trust in client certificates; `None` if clients are not asked for one.
    pub client_trust: Option<Arc<ClientTrust>>,
    /// The header in which trusted proxies state the client's certificate (`client_certificate_from`).
    pub certificate_header: Option<CertificateHeader>,
    /// Whether each connection must come from a trusted proxy and begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The limits and timeouts of its connections.
    pub limits: Arc<ListenerLimits>,
}

/// `limits` and `timeouts` of a listener. All timeouts are absolute: progress does not extend them, except
/// `request_body_idle` and `response_write_idle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// The maximum number of open connections (`max_connections`).
    pub max_connections: usize,
    /// The maximum number of open connections from one address, or one /64 in IPv6 (`max_connections_per_ip`).
    pub max_connections_per_ip: usize,
    /// The maximum time from accept to the end of the TLS handshake (`tls_handshake`).
    pub tls_handshake: Duration,
    /// The maximum time from there to the end of the first request's headers (`first_request`).
    pub first_request: Duration,
    /// The maximum time from the first byte to the end of a request's headers (`headers`); `first_request` bounds those
    /// of the first request as well.
    pub headers: Duration,
    /// The maximum time without a request (`keepalive`).
    pub keepalive: Duration,
    /// The maximum time without a byte of a request's body (`request_body_idle`).
    pub request_body_idle: Duration,
    /// The maximum time for a whole request body (`request_body`).
    pub request_body: Duration,
    /// The lowest average rate of a request body, in bytes per second; zero for none (`min_request_body_rate`).
    pub min_request_body_rate: u32,
    /// The maximum time in which the client reads no byte of the response (`response_write_idle`).
    pub response_write_idle: Duration,
    /// The maximum size of all headers of a request, in bytes (`max_headers_size`).
    pub max_headers_size: u32,
    /// The maximum number of headers of a request (`max_headers_count`).
    pub max_headers_count: usize,
    /// The maximum number of concurrent streams of an HTTP/2 connection (`max_concurrent_streams`).
    pub max_concurrent_streams: u32,
    /// The maximum number of streams that the client may reset before they have been handled (HTTP/2 rapid reset;
    /// `max_pending_resets`).
    pub max_pending_resets: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_ip: 1_000,
            tls_handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            keepalive: Duration::from_secs(60),
            request_body_idle: Duration::from_secs(15),
            request_body: Duration::from_secs(60),
            min_request_body_rate: 240,
            response_write_idle: Duration::from_secs(60),
            max_headers_size: 32 * 1024,
            max_headers_count: 100,
            max_concurrent_streams: 100,
            max_pending_resets: 20,
        }
    }
}

impl ListenerLimits {
    /// The shortest time after which a connection can exceed one of its timeouts.
    pub fn shortest(&self) -> Duration {
        self.first_request.min(self.headers).min(self.keepalive).min(self.response_write_idle)
    }
}

/// The current [`Snapshot`]. Each request loads it once; a reload stores another one for the requests that begin later.
pub type SharedSnapshot = ArcSwap<Snapshot>;
