//! The schema of what a route does for web pages and WebSocket connections.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::number::Count;
use super::scalar::{Parsed, Timeout};
use crate::config::reader::{List, Section};
use crate::route::Origin;

/// `websocket` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketYaml {
    /// Origins of the web pages that may open a connection, as browsers send them: `https://host`, with a port unless it
    /// is the default. A request without one of them gets 403 `origin_not_allowed`. Required if the credential is a
    /// cookie, a query parameter, `Basic` or a client certificate, which browsers add to the requests of every web page
    /// (cross-site WebSocket hijacking).
    #[schemars(length(min = 1), example = json!(["https://app.example.com"]))]
    pub origins: Section<List<Parsed<Origin>>>,
    /// Open connections of the route, counted in each process. Beyond it the response is 429 `concurrency_limited`.
    #[schemars(example = 5000)]
    pub max_tunnels: Count<1_000, 1, { u32::MAX as u64 }>,
    /// Open connections of each sender: the issuer and subject of a token, the `sender` or key id of a secret, or the name
    /// of a client certificate.
    #[schemars(example = 10)]
    pub max_tunnels_per_sender: Count<100, 1, { u32::MAX as u64 }>,
    /// Open connections of each IP address, or one /64 in IPv6.
    #[schemars(example = 20)]
    pub max_tunnels_per_ip: Count<100, 1, { u32::MAX as u64 }>,
    /// Time without a byte in either direction, after which the connection is closed. The pings of a client or of the
    /// upstream extend it.
    #[schemars(example = &"1h")]
    pub idle_timeout: Timeout<300_000>,
}
