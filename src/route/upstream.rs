//! `upstream` of a route: its endpoints, timeouts, and the reuse of its connections.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::path_rewrite::PathRewrite;

/// `upstream` of a route.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The first endpoint.
    pub first: Arc<Endpoint>,
    /// Further equivalent endpoints (`urls`).
    pub others: Vec<Arc<Endpoint>>,
    /// The bounds of a response.
    pub timeouts: UpstreamTimeouts,
    /// Which connections are used again.
    pub reuse: Reuse,
    /// The Host header that the upstream gets; `None` for that of the sender.
    pub host: Option<HostHeader>,
    /// The prefixes that are stripped from the path and added to it. Boxed because they are rare.
    pub path: Option<Box<PathRewrite>>,
}

/// The Host header that an upstream gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// Host and port of the endpoint's URL.
    Endpoint,
    /// A fixed one.
    Literal {
        /// The value of the header.
        value: HeaderValue,
        /// Its host in lower case, without port.
        host: String,
    },
}

/// The timeouts of a response, each in `timeouts` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// The maximum time from the end of the request's body to the end of the response (`total`); `None` for no limit.
    pub total: Option<Duration>,
    /// The maximum time from the end of the request's body to the response headers (`response_headers`).
    pub response_headers: Duration,
    /// How long the upstream may send nothing of a response that has begun (`response_body_idle`). Set where `total` is
    /// not.
    pub response_body_idle: Option<Duration>,
}

/// Whether a connection to the upstream may be used again after a request. Some applications respond without reading the
/// request's body, and then read it as the next request on the connection (request smuggling, CL.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "safe"))]
pub enum Reuse {
    /// Not after a body that an unauthenticated client sent, nor after a body with a method other than POST, PUT and
    /// PATCH.
    #[default]
    Safe,
    /// Never: each request has its own connection.
    Never,
    /// After every request. Only for an upstream that reads every body to its end.
    Always,
}

impl Reuse {
    /// Whether the connection may be used again after this request.
    pub fn allows(self, method: &Method, has_body: bool, authenticated: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            // A body with another method has no defined meaning (RFC 9110 §9.3.1), so that its handler may not read it.
            Self::Safe => !has_body || authenticated && [Method::POST, Method::PUT, Method::PATCH].contains(method),
        }
    }
}

impl Upstream {
    /// Whether both have an endpoint in common, so that one application may get the requests of both.
    pub fn shares_endpoint(&self, other: &Self) -> bool {
        self.places().any(|mine| other.places().any(|theirs| mine == theirs))
    }

    fn places(&self) -> impl Iterator<Item = String> {
        self.endpoints().map(|endpoint| endpoint.address.place())
    }

    /// All endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The host that the upstream sees in requests, if it is not that of the sender; in lower case, without port.
    pub fn host_seen(&self) -> Option<String> {
        match self.host.as_ref()? {
            HostHeader::Literal { host, .. } => Some(host.clone()),
            HostHeader::Endpoint => Some(self.first.address.uri()?.host()?.to_ascii_lowercase()),
        }
    }
}

/// An endpoint of an upstream. Routes that name the same one share it, and a reload keeps one that has not changed:
/// each worker stores its connection pool and health by the endpoint's identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL as it is configured, for the log.
    pub url: String,
    /// The address.
    pub address: EndpointAddress,
    /// The maximum time to establish a connection, TLS handshake included (`timeouts.connect`).
    pub connect: Duration,
    /// How long an idle connection is kept open (`timeouts.keepalive`): less than the upstream's own keep-alive
    /// timeout, so that the upstream never closes a connection on which a request is being sent.
    pub keepalive: Duration,
    /// The protocol of its connections.
    pub protocol: Protocol,
}

/// The protocol that is spoken to an upstream
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "http1"))]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, as gRPC needs it: with prior knowledge over `http` and `unix` (h2c), by ALPN over `https`. Trailers are
    /// forwarded in both directions.
    Http2,
}

/// The address of an upstream endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointAddress {
    /// `http://host:port`
    Tcp(Uri),
    /// `https://host:port`
    Tls(Uri, Trust),
    /// `unix:/path`
    Unix(PathBuf),
}

impl EndpointAddress {
    /// The URL of an address that is not a socket's.
    pub const fn uri(&self) -> Option<&Uri> {
        match self {
            Self::Tcp(uri) | Self::Tls(uri, _) => Some(uri),
            Self::Unix(_) => None,
        }
    }

    /// Where the endpoint listens, in one spelling: routes may reach it with different certificates or timeouts.
    fn place(&self) -> String {
        let (uri, port) = match self {
            Self::Tcp(uri) => (uri, 80),
            Self::Tls(uri, _) => (uri, 443),
            Self::Unix(path) => return path.display().to_string(),
        };
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let is_loopback = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                // A connection to 0.0.0.0 or [::] goes to the machine itself.
                .is_ok_and(|address| address.to_canonical().is_loopback() || address.is_unspecified());
        let host = if is_loopback { "localhost" } else { &host };
        format!("{host}:{}", uri.port_u16().unwrap_or(port))
    }
}

/// The TLS verification of an upstream endpoint.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
    /// The root certificates, in PEM form, that its certificate must chain to; `None` for the public roots.
    pub ca: Option<Vec<u8>>,
    /// SHA-256 of the client certificate that is presented and of its key, if there is one: connections that were made with
    /// another one are not used.
    pub identity: Option<[u8; 32]>,
    /// The TLS configuration built from these.
    pub config: Arc<ClientConfig>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.ca, &self.identity) == (&other.name, &other.ca, &other.identity)
    }
}

impl Eq for Trust {}
