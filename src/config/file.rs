//! The schema of gateway.yaml: every key, with its type, default and description. The meaning of the values is not
//! checked here.
//!
//! Each key is a [`Field`] or a [`Section`], so that a mistake in one key does not stop the reading of the others;
//! `compile` reports missing keys. `hookgate schema` prints these types as JSON Schema; the reference is made of it.

mod acme;
mod auth;
mod certificate;
mod filter;
mod include;
mod issuer;
mod jwt;
pub mod message_signature;
mod number;
pub mod preset;
mod route;
mod scalar;
pub mod signature;
pub mod signing_certificate;
pub mod store;
mod upstream;
mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::misplaced;
use super::reader::{self, Field, List, Report, Section};
use super::renames;
pub use super::values::SecretEncoding;
use super::yaml::Node;
use crate::settings::LogFormat;
use crate::snapshot::ErrorDetail;
use crate::tls::{ClientAuth, MinVersion};
pub use acme::{AcmeYaml, EabYaml};
pub use auth::{AuthScheme, AuthWord, AuthYaml, ClientCertificateYaml};
pub use certificate::CertificateYaml;
pub use filter::{FilterModeYaml, FilterRuleYaml};
pub use include::IncludePattern;
use ipnet::IpNet;
pub use issuer::{BearerYaml, IssuerYaml, JwksYaml, PublicKeyYaml, SecretYaml, SecretsYaml, TenantFolderYaml};
pub use jwt::{BodyHashYaml, JwtYaml, MethodClaimYaml, TimeClaimYaml, TokenYaml, UrlClaimYaml, UrlHashYaml};
pub use number::{Count, Number, Switch};
pub use route::{
    Burst, CaptureYaml, Concurrency, CredentialYaml, ForwardYaml, LimitYaml, MatchYaml, ModeYaml, RateField,
    RevocationYaml, RouteLimitsYaml, RouteYaml, TimestampYaml,
};
pub use scalar::{
    Delay, FileName, HostName, OneOrMany, OptionalDuration, OptionalSeconds, Parsed, Pin, PlaceKey, RatePerSeconds,
    Seconds, Size, Timeout,
};
pub(super) use scalar::{HEADER_NAME, POINTER, Text};
pub use upstream::{UpstreamTimeoutsYaml, UpstreamYaml};
pub use web::{ClientCertificateFromYaml, CorsYaml, WebSocketYaml};

/// The configuration of hookgate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["routes"] }, { "required": ["include"] }]))]
pub struct GatewayYaml {
    /// Worker threads, each with its own runtime and upstream connection pool. 0 means one thread per core.
    #[schemars(example = 4, extend("x-restart" = true))]
    pub workers: Count<0, 0, 65535>,
    /// The access log and other log lines.
    #[schemars(example = json!({ "format": "json", "access": true }), extend("x-restart" = true))]
    pub log: Section<LogYaml>,
    /// How much detail the response to a rejected request contains. The access log and the metrics always contain the
    /// reason.
    #[schemars(example = &"opaque")]
    pub error_detail: Field<ErrorDetail>,
    /// Graceful shutdown on SIGTERM, or on SIGINT (Ctrl-C) without `delay`; a second signal ends the wait. The stop timeout of
    /// the supervisor must be longer than `delay` and `timeout` together.
    #[schemars(example = json!({ "delay": "5s", "timeout": "30s" }))]
    pub drain: Section<DrainYaml>,
    /// IP addresses and CIDR ranges of the proxies in front of hookgate: only from them are the PROXY protocol header,
    /// X-Forwarded-For or Forwarded, X-Forwarded-Proto and X-Request-Id trusted. Without it, the client address is the
    /// peer address of the connection. List only the addresses from which the proxies connect: any other machine in a
    /// listed range can claim any client address. A range that contains every address is a warning.
    #[schemars(example = json!(["10.0.0.0/8", "2001:db8::/32"]))]
    pub trusted_proxies: Section<List<Parsed<IpNet>>>,
    /// Memory for the request bodies that are buffered until they are verified, of all routes together. Beyond it a
    /// client whose body is late [gives way](../../concepts/limits.md#who-gives-way), or the response is 503
    /// `buffer_full`. The buffered bodies of one IP address (one /64 in IPv6) may use a quarter of it.
    #[schemars(example = &"256MiB")]
    pub max_buffered_bytes: Size<{ 64 << 20 }>,
    /// Addresses on which requests are accepted. A change of their number or order needs a restart.
    #[schemars(required, length(min = 1))]
    #[schemars(example = json!([
        { "address": "0.0.0.0:8443", "tls": { "certificates": [{ "cert": "server.crt", "key": "server.key" }] } }
    ]))]
    pub listeners: Section<List<Section<ListenerYaml>>>,
    /// The admin listener for /metrics, /livez, /readyz and /status; without this key there is none. It serves plain
    /// HTTP/1.1 without authentication: GET and HEAD, on at most 64 concurrent connections, of which those without a request
    /// give way to new ones.
    #[schemars(example = json!({ "address": "127.0.0.1:9901" }), extend("x-restart" = true))]
    pub admin: Section<AdminYaml>,
    /// The store for replay ids, idempotency keys, shared rates and shared revocations. It is required if a route has
    /// `replay_protection` or `idempotency`, and must be of type redis for `limits.shared` and `revocation.shared`.
    #[schemars(example = json!({ "type": "embedded", "path": "/var/lib/hookgate/store" }), extend("x-restart" = true))]
    pub store: Field<store::StoreYaml>,
    /// Token issuers, each under a name that routes refer to. The access log and the metrics have this name.
    #[schemars(example = json!({
        "acme": { "issuer": "https://issuer.example.com/", "algorithms": ["RS256"], "jwks": { "discovery": true } }
    }))]
    pub issuers: Section<BTreeMap<String, Section<IssuerYaml>>>,
    /// Routes: which requests are accepted, by which credential, and to which upstream they are forwarded. Two routes
    /// that match the same request are an error; a request that matches no route is rejected with 404 `no_route`.
    #[schemars(example = json!([{
        "name": "github",
        "match": { "path": "/github" },
        "upstream": { "url": "http://127.0.0.1:8000" },
        "auth": { "preset": "github", "secret": { "env": "GITHUB_SECRET" } }
    }]))]
    pub routes: Section<List<Section<RouteYaml>>>,
    /// Files with further routes: one folder, relative to this file, and a pattern of names with one `*`. Each file has
    /// `routes` only, and names files relative to this one. They are read in the order of their names, and hidden files are
    /// not read. A file that is added, changed or removed is noticed like a change of this file. See
    /// [One file for several environments](../../how-to/environments.md).
    #[schemars(example = &"routes.d/*.yaml")]
    pub include: Field<Parsed<IncludePattern>>,
}

impl GatewayYaml {
    /// The parts of the file that can be read, and every problem with the others.
    pub fn read(mut document: Node) -> (Self, Report) {
        let mut report = Report { homes: Some(|path| misplaced::homes(schema(), path)), ..Report::default() };
        renames::check(&mut document, &mut report.problems);
        reader::read(&document, report)
    }

    /// Whether a listener asks clients for a certificate.
    pub fn requests_client_certificates(&self) -> bool {
        let requests = |listener: &ListenerYaml| {
            listener.tls.client_ca.is_written() || listener.client_certificate_from.is_written
        };
        self.listeners.iter().any(|listener| requests(listener))
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
    /// The format of log lines.
    #[schemars(example = &"text")]
    pub format: Field<LogFormat>,
    /// Whether the access log is written: one line for each request, after its response was sent or aborted.
    #[schemars(example = false)]
    pub access: Switch<true>,
}

/// `drain`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainYaml {
    /// Time after SIGTERM in which the process is not ready but still accepts connections, so that load balancers
    /// notice; every response closes its connection.
    #[schemars(example = &"10s")]
    pub delay: Delay<5_000>,
    /// Time after `delay` in which requests in flight may finish; no connections are accepted. Requests that are still in
    /// flight after it are aborted.
    #[schemars(example = &"60s")]
    pub timeout: Delay<30_000>,
}

/// An entry of `listeners`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerYaml {
    /// IP address and port, each once; an IPv6 address has brackets and quotes: `"[::]:8443"`. Port 0 is any free port.
    #[schemars(required, example = &"0.0.0.0:8443", extend("x-restart" = true))]
    pub address: Field<Parsed<SocketAddr>>,
    /// Limits of connections. A connection keeps the limits with which it began.
    #[schemars(example = json!({ "max_connections": 20000 }))]
    pub limits: Section<ListenerLimitsYaml>,
    /// Timeouts of connections. A connection keeps the timeouts with which it began. Progress extends only
    /// `request_body_idle` and `response_write_idle`.
    #[schemars(example = json!({ "keepalive": "120s" }))]
    pub timeouts: Section<ListenerTimeoutsYaml>,
    /// TLS termination for HTTP/2 and HTTP/1.1 (ALPN), and mutual TLS (mTLS). Exactly one of `tls` and
    /// `plaintext: true` is required. TLS early data (0-RTT) is not supported.
    #[schemars(example = json!({ "certificates": [{ "cert": "server.crt", "key": "server.key" }] }))]
    pub tls: Section<TlsYaml>,
    /// `true` instead of `tls` where another proxy terminates TLS; HTTP/1.1 only.
    #[schemars(example = true)]
    pub plaintext: Switch<false>,
    /// Where trusted proxies that terminate TLS state the client's certificate. Its chain is verified here, by `ca`; that
    /// the client holds the private key, only the proxy can verify. From other addresses the header is not read, and it is
    /// never forwarded. Requires `trusted_proxies`; not with `tls.client_ca`. See
    /// [Client certificates](../../concepts/proxies.md#client-certificates).
    #[schemars(example = json!({ "header": "Client-Cert", "ca": "clients-ca.crt" }))]
    pub client_certificate_from: Section<ClientCertificateFromYaml>,
    /// Whether each connection begins with a PROXY protocol header, version 1 or 2; requires `trusted_proxies`. A
    /// connection from another address, without a header or with a malformed one is closed. A header of more than 107
    /// bytes (version 1) or 536 bytes (version 2) is malformed.
    #[schemars(example = true)]
    pub proxy_protocol: Switch<false>,
}

/// `limits` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerLimitsYaml {
    /// Open connections in total. Beyond it a connection whose client is late
    /// [gives way](../../concepts/limits.md#who-gives-way), or the new one is closed at once.
    #[schemars(example = 20_000)]
    pub max_connections: Count<10_000>,
    /// Open connections of one IP address, or of one /64 in IPv6. Further connections are closed at once. Connections of
    /// a trusted proxy count for the client in their PROXY header, and are not counted without such a client.
    #[schemars(example = 100)]
    pub max_connections_per_ip: Count<1_000>,
    /// Size of all headers of a request together: names, values, and 32 bytes for each header. It is at least 8KiB and at
    /// most 256KiB; beyond it the response is 431 `headers_too_large`.
    #[schemars(example = &"64KiB")]
    pub max_headers_size: Size<{ 32 << 10 }, { 8 << 10 }, { 256 << 10 }>,
    /// Headers of a request. Beyond it the response is 431 `headers_too_large`.
    #[schemars(example = 200)]
    pub max_headers_count: Count<100, 1, 1_000>,
    /// Bytes per second that a request body must have on average while the gateway waits for it, after 5 s; `0B` for no
    /// such limit. Below it the response is 408 `request_timeout`.
    #[schemars(example = &"1KiB")]
    pub min_request_body_rate: Size<240, 0, { 1 << 20 }>,
    /// Concurrent HTTP/2 streams of a connection.
    #[schemars(example = 250)]
    pub max_concurrent_streams: Count<100, 1, 1_000>,
    /// HTTP/2 streams that a client may reset before they are processed (rapid reset).
    #[schemars(example = 50)]
    pub max_pending_resets: Count<20, 1, 1_000>,
}

/// `timeouts` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTimeoutsYaml {
    /// The whole TLS handshake; with `proxy_protocol`, the PROXY protocol header too.
    #[schemars(example = &"5s")]
    pub tls_handshake: Timeout<10_000>,
    /// From the TLS handshake to the end of the first request's headers, even if `headers` is longer.
    #[schemars(example = &"5s")]
    pub first_request: Timeout<10_000>,
    /// From the first to the last byte of a request's headers, in HTTP/1; in HTTP/2 `first_request` and `keepalive` bound
    /// this time. After it the response is 408 `request_timeout`.
    #[schemars(example = &"5s")]
    pub headers: Timeout<10_000>,
    /// A whole request body, from the end of the headers. After it the response is 408 `request_timeout`.
    #[schemars(example = &"30s")]
    pub request_body: Timeout<60_000>,
    /// Between two bytes of a request body. After it the response is 408 `request_timeout`.
    #[schemars(example = &"10s")]
    pub request_body_idle: Timeout<15_000>,
    /// Between two bytes of a response that the client reads. After it the connection is closed.
    #[schemars(example = &"30s")]
    pub response_write_idle: Timeout<60_000>,
    /// Between two requests of a connection. Frames such as PING do not extend it.
    #[schemars(example = &"120s")]
    pub keepalive: Timeout<60_000>,
}

/// `tls` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["certificates"] }, { "required": ["acme"] }]))]
pub struct TlsYaml {
    /// Server certificates. SNI selects one by its DNS names, in which `*.` stands for one label; the first is the
    /// default. At least one of `certificates` and `acme` is required.
    #[schemars(length(min = 1), example = json!([{ "cert": "server.crt", "key": "server.key" }]))]
    pub certificates: Section<List<Section<CertificateYaml>>>,
    /// Certificates that hookgate obtains and renews itself, from an ACME server (RFC 8555) such as Let's Encrypt, with the
    /// challenge TLS-ALPN-01 (RFC 8737). See [ACME](../../concepts/tls.md#acme).
    #[schemars(example = json!({
        "names": ["hooks.example.com"], "terms_of_service_agreed": true, "storage": "/var/lib/hookgate/acme"
    }))]
    pub acme: Section<AcmeYaml>,
    /// The lowest TLS version, in quotes.
    #[schemars(example = &"1.3")]
    pub min_version: Field<MinVersion>,
    /// PEM file with the root certificates to which client certificates must chain (mTLS); with it, clients are asked for
    /// a certificate. A certificate with an extended key usage must allow client authentication.
    #[schemars(example = &"clients-ca.crt")]
    pub client_ca: Field<Parsed<FileName>>,
    /// Whether a client must present a certificate; requires `client_ca`. An invalid certificate always fails the TLS
    /// handshake.
    #[schemars(example = &"optional")]
    pub client_auth: Field<ClientAuth>,
    /// PEM file with certificate revocation lists, one for every issuer of client certificates; requires `client_ca`. A
    /// certificate is rejected if it or an intermediate is revoked, has no list of its issuer, or only an expired one. Of
    /// two lists of an issuer the newer one is used. An expired list is a warning.
    #[schemars(example = &"clients.crl")]
    pub client_crl: Field<Parsed<FileName>>,
}

/// `admin`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminYaml {
    /// IP address and port; not the address of a listener. The admin listener has no authentication: use a
    /// loopback or private address.
    #[schemars(required, example = &"127.0.0.1:9901")]
    pub address: Field<Parsed<SocketAddr>>,
    /// Host names under which clients may reach the admin listener, in addition to `localhost` and IP addresses; the
    /// response to others is 421. A website could otherwise read it through the browser of a person who can reach it (DNS
    /// rebinding).
    #[schemars(example = json!(["hookgate.internal"]))]
    pub hosts: Section<List<Parsed<HostName>>>,
}
