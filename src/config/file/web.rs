//! The schema of what a route does for web pages and WebSocket connections, and of client certificates that a proxy states.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::number::{Count, Switch};
use super::scalar::{FileName, Parsed, Seconds, Timeout};
use crate::config::reader::{Field, List, Section};
use crate::route::WebOrigin;

/// `websocket` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketYaml {
    /// Origins of the web pages that may open a connection, as browsers send them: `https://host`, with a port unless it
    /// is the default. A request without one of them gets 403 `origin_not_allowed`. Required if the credential is a
    /// cookie, a query parameter, `Basic` or a client certificate, which browsers add to the requests of every web page
    /// (cross-site WebSocket hijacking).
    #[schemars(length(min = 1), example = json!(["https://app.example.com"]))]
    pub origins: Section<List<Parsed<WebOrigin>>>,
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

/// `cors` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsYaml {
    /// Origins of the web pages, as browsers send them: `https://host`, with a port unless it is the default. `*` is not
    /// possible.
    #[schemars(required, length(min = 1), example = json!(["https://app.example.com"]))]
    pub origins: Section<List<Parsed<WebOrigin>>>,
    /// Further headers that a page may send. It may always send `Content-Type` and the headers that the route's `auth` and
    /// `timestamp` read.
    #[schemars(example = json!(["Idempotency-Key"]))]
    pub headers: Section<List<Parsed<HeaderName>>>,
    /// `true`: pages may send the cookies, `Basic` credentials and client certificates of their visitors.
    #[schemars(example = true)]
    pub credentials: Switch<false>,
    /// How long a browser may remember the answer to a preflight.
    #[schemars(example = &"1h")]
    pub max_age: Seconds<600_000>,
}

/// `client_certificate_from` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateFromYaml {
    /// The header, whose name determines its form: `Client-Cert`, with `Client-Cert-Chain` (RFC 9440: HAProxy, Caddy);
    /// `X-Forwarded-Client-Cert` with one element that has `Cert` or `Chain` (Envoy); any other has a chain in PEM form,
    /// percent-encoded: `$ssl_client_escaped_cert` of nginx, `X-Amzn-Mtls-Clientcert` and `X-Amzn-Mtls-Clientcert-Leaf` of
    /// AWS. A malformed or repeated one is 400 `malformed_credential`.
    #[schemars(required, example = &"X-Forwarded-Client-Cert")]
    pub header: Field<Parsed<HeaderName>>,
    /// PEM file with the root certificates to which client certificates must chain.
    #[schemars(required, example = &"clients-ca.crt")]
    pub ca: Field<Parsed<FileName>>,
    /// PEM file with certificate revocation lists, as `tls.client_crl`.
    #[schemars(example = &"clients.crl")]
    pub crl: Field<Parsed<FileName>>,
}
