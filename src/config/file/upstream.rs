//! The schema of `upstream` of a route.

use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::certificate::CertificateYaml;
use super::scalar::{FileName, HostName, OptionalDuration, Parsed, Text, Timeout};
use crate::config::hints;
use crate::config::reader::{Field, List, Section};
use crate::config::values::{self, parse_duration};
use crate::route::{HostHeader, PathPrefix, Protocol, Reuse};

/// A pattern that every valid URL of an upstream matches.
const UPSTREAM_URL: &str = "^(https?://[^/?#@]+/?|unix:.+)$";

/// `upstream` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["urls"] }]))]
pub struct UpstreamYaml {
    /// `http://host:port`, `https://host:port` or `unix:/path`. The port is 80 or 443 if absent. Exactly one of `url` and
    /// `urls` is required.
    #[schemars(regex(pattern = UPSTREAM_URL), example = &"http://127.0.0.1:8000")]
    pub url: Field<String>,
    /// Several endpoints instead of `url`, with round-robin load balancing and passive health checks.
    #[schemars(length(min = 1), inner(regex(pattern = UPSTREAM_URL)))]
    #[schemars(example = json!(["http://10.0.0.1:8000", "http://10.0.0.2:8000"]))]
    pub urls: Section<List<Field<String>>>,
    /// The protocol of the connections to the upstream. gRPC needs `http2`.
    #[schemars(example = &"http2")]
    pub protocol: Field<Protocol>,
    /// The Host header that the upstream gets: a host name, with a port if the application expects one, or `upstream` for
    /// host and port of the URL. Without it, the Host of the sender is kept. X-Forwarded-Host and Forwarded always have the
    /// Host of the sender.
    #[schemars(example = &"upstream")]
    pub host: Field<Parsed<HostHeader>>,
    /// Path that is added in front of the path of each request, after `strip_prefix`: with `/base`, `/webhook` becomes
    /// `/base/webhook`. Signatures are verified over the path as it came.
    #[schemars(example = &"/base")]
    pub path_prefix: Field<Parsed<PathPrefix>>,
    /// Whole segments that are removed from the beginning of the path: with `/hooks`, `/hooks/github` becomes `/github`,
    /// and `/hooks` becomes `/`. `match.path` must begin with them. The upstream gets them in X-Forwarded-Prefix.
    /// Signatures are verified over the path as it came.
    #[schemars(example = &"/hooks")]
    pub strip_prefix: Field<Parsed<PathPrefix>>,
    /// PEM file with the root certificates to which the certificate of an https upstream must chain, instead of the public
    /// ones. A change of the file takes effect without a restart.
    #[schemars(example = &"upstream-ca.crt")]
    pub ca: Field<Parsed<FileName>>,
    /// The name of an https upstream: it is sent as SNI, and the certificate must have it. The host of the URL if absent.
    #[schemars(example = &"app.internal")]
    pub server_name: Field<Parsed<HostName>>,
    /// The certificate that the gateway presents to an https upstream that requests one (mTLS). A change of the files takes
    /// effect without a restart; open connections with the former certificate are not used again.
    #[schemars(example = json!({ "cert": "gateway.crt", "key": "gateway.key" }))]
    pub client_certificate: Section<CertificateYaml>,
    /// Timeouts of the upstream.
    #[schemars(example = json!({ "total": "10s" }))]
    pub timeouts: Section<UpstreamTimeoutsYaml>,
    /// Whether a connection is used again after a request: some upstreams take a body that their handler has not read for
    /// the next request. A request whose connection is not used again has `Connection: close`.
    #[schemars(example = &"never")]
    pub reuse: Field<Reuse>,
}

/// `timeouts` of an upstream
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTimeoutsYaml {
    /// From the end of the request's body to the end of the response. Before the response begins, a timeout is 504
    /// `upstream_timeout`; after that the response is aborted. `none` for responses without end (server-sent events), which
    /// `response_headers` and `response_body_idle` bound; not with `replay_protection` or `idempotency`.
    #[schemars(example = &"none")]
    pub total: Field<Parsed<TotalTimeout>>,
    /// From the end of the request's body to the response headers; never longer than `total`. After it the response is 504
    /// `upstream_timeout`. As `total` if absent; 30s with `total: none`.
    #[schemars(example = &"10s")]
    pub response_headers: OptionalDuration,
    /// How long the upstream may send nothing of a response that has begun; after it the response is aborted. No limit but
    /// `total` if absent; 60s with `total: none`.
    #[schemars(example = &"1m")]
    pub response_body_idle: OptionalDuration,
    /// Connecting, TLS handshake included; never longer than `response_headers`. After it the response is 502
    /// `upstream_unreachable`.
    #[schemars(example = &"2s")]
    pub connect: Timeout<5_000>,
    /// How long an idle connection is kept. It must be shorter than the upstream's own keep-alive timeout, which is 5s in
    /// uvicorn and Node.
    #[schemars(example = &"30s")]
    pub keepalive: Timeout<4_000>,
}

/// The time for a whole response; `None` for no limit.
#[derive(Clone, Copy, Debug)]
pub struct TotalTimeout(pub Option<Duration>);

impl Default for TotalTimeout {
    fn default() -> Self {
        Self(Some(Duration::from_secs(30)))
    }
}

impl From<TotalTimeout> for Option<Duration> {
    fn from(total: TotalTimeout) -> Self {
        total.0
    }
}

impl Text for TotalTimeout {
    const FORM: &'static str = "a duration such as 500ms, 30s, 5m or 24h, or none";
    const EXAMPLE: &'static str = "10s";
    const PATTERN: Option<&'static str> = Some("^([0-9]+(ms|s|m|h|d)|none)$");

    fn parse(text: &str) -> Result<Self, String> {
        match parse_duration(text) {
            _ if text == "none" => Ok(Self(None)),
            Some(total) if !total.is_zero() => Ok(Self(Some(total))),
            Some(_) => Err("must be longer than zero".to_owned()),
            None => {
                let expected = "expected a duration: a whole number and ms, s, m, h or d, such as 30s; or none";
                Err(format!(
                    "{expected}{}",
                    hints::duration(text, |hint| parse_duration(hint).is_some_and(|duration| !duration.is_zero()))
                ))
            }
        }
    }

    fn default_text() -> Option<String> {
        Some("30s".to_owned())
    }
}

impl Text for HostHeader {
    const FORM: &'static str = "a host name, with or without port, or upstream";
    const EXAMPLE: &'static str = "app.internal";
    const PATTERN: Option<&'static str> = Some(r"^(\[[0-9A-Fa-f:.]+\]|[^:/?#@*\[\]]+)(:[0-9]+)?$");

    fn parse(text: &str) -> Result<Self, String> {
        if text == "upstream" {
            return Ok(Self::Endpoint);
        }
        let problem =
            "expected a host name such as app.internal, with a port if the application expects one, or upstream";
        let authority = Authority::try_from(text).ok();
        let authority = authority.filter(|it| values::parse_host(it.host()).is_some() && !it.as_str().ends_with(':'));
        // `Authority` accepts a port that is no number.
        let port = |it: &Authority| it.as_str() == it.host() || it.port_u16().is_some_and(|port| port > 0);
        let authority = authority.filter(|it| !text.contains('@') && port(it)).ok_or(problem)?;
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| problem)?;
        Ok(Self::Literal { value, host: authority.host().to_ascii_lowercase() })
    }
}

impl Text for PathPrefix {
    const FORM: &'static str = "a path such as /base";
    const EXAMPLE: &'static str = "/base";
    const PATTERN: Option<&'static str> = Some("^/.*[^/]$");

    fn parse(text: &str) -> Result<Self, String> {
        let problem = "expected a path such as /base, without a slash at its end, query, `//`, dot segments or encoded \
                       delimiters, of at most 1024 bytes";
        Self::parse(text).ok_or_else(|| problem.to_owned())
    }
}
