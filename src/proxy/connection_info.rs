//! The client at the other end of a connection, as the request path sees it. The server makes a [`ConnectionInfo`] for
//! each connection; [`super::forwarded`] replaces it for a request that a trusted proxy has forwarded.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::auth::client_certificate::ClientCertificate;
use crate::limit::ConnectionProgress;
use crate::snapshot::ListenerLimits;

/// The client at the other end of a connection, and the limits of that connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Address of the connection. Where trusted proxies name the client, the client's address with port 0.
    pub address: ClientAddress,
    /// False if the PROXY header does not name the client: X-Forwarded-For and Forwarded are then not read.
    pub named: bool,
    /// Whether the client uses TLS: with the gateway, or with a trusted proxy that reports it.
    pub secure: bool,
    /// Further information from trusted proxies about one request.
    pub forwarded: ForwardedInfo,
    /// Index of its listener in `listeners`; the snapshot holds the current settings of that listener.
    pub listener: usize,
    /// Client certificate whose private key the client has proven to hold. It was trusted at the TLS handshake, and may
    /// have lost that trust since.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// Server name that the client requested (SNI), in lower case.
    pub server_name: Option<Arc<str>>,
    /// Timeouts and limits of its listener.
    pub limits: Arc<ListenerLimits>,
    /// How long the gateway has waited for the client. Where trusted proxies name the client, that of the proxy.
    pub progress: Arc<ConnectionProgress>,
}

impl ConnectionInfo {
    /// Whether the request's host is the server name (SNI) of the TLS handshake, or the client sent none: a client
    /// presents its certificate to the named server only.
    pub fn sni_matches(&self, host: &str) -> bool {
        self.server_name.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Information from trusted proxies about one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedInfo {
    /// The proxies that forwarded the request, first the one next to the client, last the one connected to the gateway.
    pub via: Vec<IpAddr>,
    /// Value of X-Request-Id.
    pub request_id: Option<Arc<str>>,
    /// X-Forwarded-For and Forwarded name different clients, one of which may be forged.
    pub contradictory: bool,
    /// The header with the client's certificate cannot be read.
    pub malformed_certificate: bool,
}

/// An address with its text form, which each request of a connection sends to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    socket: SocketAddr,
    text: Arc<str>,
}

impl From<SocketAddr> for ClientAddress {
    fn from(socket: SocketAddr) -> Self {
        Self { socket, text: socket.ip().to_canonical().to_string().into() }
    }
}

impl std::ops::Deref for ClientAddress {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.socket
    }
}

impl ClientAddress {
    /// The IP address without a port; an IPv4-mapped IPv6 address as IPv4.
    pub fn text(&self) -> &str {
        &self.text
    }
}
