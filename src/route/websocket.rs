//! `websocket` of a route: whose WebSocket connections are forwarded, and how many tunnels may be open.

use std::time::Duration;

use http::HeaderValue;

/// `websocket` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketRule {
    /// The origins of web pages that may open a tunnel (`origins`); `None` admits every client that has a credential.
    pub origins: Option<Vec<WebOrigin>>,
    /// The maximum number of open tunnels of the route (`max_tunnels`).
    pub max_tunnels: u32,
    /// The maximum number of each sender (`max_tunnels_per_sender`).
    pub max_tunnels_per_sender: u32,
    /// The maximum number of each client address (`max_tunnels_per_ip`).
    pub max_tunnels_per_ip: u32,
    /// The maximum time without a byte in either direction (`idle_timeout`).
    pub idle_timeout: Duration,
}

/// The origin of a web page as browsers send it (RFC 6454 §6.2): scheme and host in lower case, and the port unless it is
/// the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(pub String);

impl WebOrigin {
    /// Whether it is the value of an `Origin` header. Browsers write an origin in one way only, so bytes are compared.
    pub fn is(&self, header: &HeaderValue) -> bool {
        self.0.as_bytes() == header.as_bytes()
    }
}
