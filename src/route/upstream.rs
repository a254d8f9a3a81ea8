//! `upstream` of a route: its endpoints, timeouts, and the reuse of its connections.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;

/// `upstream` of a route.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The first endpoint.
    pub first: Arc<Endpoint>,
    /// Further equivalent endpoints (`urls`).
    pub others: Vec<Arc<Endpoint>>,
    /// The maximum time from the end of the request's body to the end of the response (`timeouts.total`).
    pub timeout: Duration,
    /// Which connections are used again.
    pub reuse: Reuse,
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
        std::iter::once(&self.first).chain(&self.others).map(|endpoint| endpoint.address.place())
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
    /// The TLS configuration built from the roots.
    pub config: Arc<ClientConfig>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.ca) == (&other.name, &other.ca)
    }
}

impl Eq for Trust {}
