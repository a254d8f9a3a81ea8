//! Settings that the configuration gives to the services: the store, the log, and the URLs that may be fetched. On the
//! ground floor, so that a service does not depend on how gateway.yaml is read. Values only: no I/O.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

/// The format of a log line. A change needs a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "auto"))]
pub enum LogFormat {
    /// `text` if standard output is a terminal, otherwise `json`.
    #[default]
    Auto,
    /// Plain text for people, in colour on a terminal unless NO_COLOR is set.
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of `store`, which keeps replay ids, idempotency keys, shared rates and shared revocations. A change needs a
/// restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The type of the store, with its own settings.
    pub backend: StoreBackend,
    /// Maximum number of live entries in total (memory and embedded).
    pub capacity: usize,
    /// Behaviour for requests while the store is unavailable or full.
    pub on_error: OnError,
}

/// The type of a store, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreBackend {
    /// The memory of this process; lost when it ends.
    Memory,
    /// A file on this machine.
    Embedded {
        /// Path of the file.
        path: PathBuf,
        /// When entries are written to disk.
        durability: Durability,
    },
    /// Redis or Valkey.
    Redis(RedisSettings),
}

/// When entries are written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the sender receives its response.
    Sync,
    /// After this time at most.
    Interval(Duration),
}

/// Settings of `store` of type redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://host:port` or `rediss://host:port`, optionally with `/db`; for a cluster, one or several of its nodes.
    pub urls: Vec<String>,
    /// Whether the server is a cluster.
    pub cluster: bool,
    /// Root certificates (PEM) that a `rediss` server's certificate must chain to, instead of the public ones.
    pub ca: Option<Vec<u8>>,
    /// User name for `AUTH`.
    pub username: Option<String>,
    /// Password for `AUTH`.
    pub password: Option<Zeroizing<String>>,
    /// Secret key of the hashes of ids and requests.
    pub hash_key: Option<Zeroizing<Vec<u8>>>,
    /// Timeout of one command, including every step until its response.
    pub timeout: Duration,
    /// Prefix of every key.
    pub prefix: String,
    /// Behaviour for requests whose ids may have been lost.
    pub on_failover: OnFailover,
}

impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { urls, cluster, timeout, prefix, on_failover, .. } = self;
        let mut shown = f.debug_struct("RedisSettings");
        shown.field("urls", urls).field("cluster", cluster).field("timeout", timeout);
        shown.field("prefix", prefix).field("on_failover", on_failover).finish_non_exhaustive()
    }
}

/// Behaviour for requests whose ids Redis may have lost, after a restart, a promotion, or a clock that was set
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "reject"))]
pub enum OnFailover {
    /// They are rejected with 503: until the gateways have written their latest ids again, ten seconds at most, all
    /// that are not found; after it, credentials with a signed time that no gateway covers, until they expire.
    #[default]
    Reject,
    /// They are forwarded, some of them perhaps a second time.
    Allow,
}

/// Behaviour for requests while the store is unavailable or full
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "reject"))]
pub enum OnError {
    /// The requests are rejected with 503, and their senders retry (fail closed).
    #[default]
    Reject,
    /// The requests are forwarded without replay protection, and counted in the metrics (fail open). Shared rates are
    /// counted in this process; a route with `revocation.shared` still rejects with 503.
    Allow,
}

/// Whether the text is an https URL.
pub fn is_https(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}

/// Whether hookgate may fetch from the URL: https, or http to loopback, without user and password; with `insecure_http`
/// also http to a private address, or to a name, whose addresses are checked at each connection.
pub fn is_fetchable(url: &str, insecure_http: bool) -> bool {
    // The HTTP client parses the text with `http::Uri`, which is stricter than `url::Url`.
    let as_it_stands = url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.authority().is_some());
    let Some(url) = url::Url::parse(url).ok().filter(|_| as_it_stands) else { return false };
    let plain = url.username().is_empty() && url.password().is_none();
    let near = |address: IpAddr| address.is_loopback() || (insecure_http && is_private(address));
    let near = || match url.host() {
        Some(url::Host::Domain(name)) => insecure_http || name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => near(IpAddr::V4(address)),
        Some(url::Host::Ipv6(address)) => near(IpAddr::V6(address)),
        None => false,
    };
    plain && url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && near()))
}

/// Whether an address is on a private network (RFC 1918, RFC 4193) or loopback. Link-local addresses are not: clouds have
/// their metadata service at one.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    }
}

/// Whether the text is the URL of an HTTP proxy: a host and a port.
pub fn is_proxy(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|authority| {
        authority.parse::<http::uri::Authority>().is_ok_and(|authority| {
            authority.port_u16().is_some() && !authority.host().is_empty() && !authority.as_str().contains('@')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_from_https_or_from_loopback() {
        for good in ["https://issuer.test/jwks?a=1", "https://10.0.0.1:8443", "http://127.0.0.2/", "http://[::1]:80/"] {
            assert!(is_fetchable(good, false) && is_fetchable(good, true), "{good}");
        }
        for bad in
            ["http://issuer.test/", "https:issuer.test", "https:issuer.test/jwks", "//issuer.test/", "issuer.test"]
        {
            assert!(!is_fetchable(bad, false), "{bad}");
        }
        for bad in ["https://a:b@issuer.test/", "http://127.0.0.1@issuer.test/", "ftp://127.0.0.1/", "file:///jwks", ""]
        {
            assert!(!is_fetchable(bad, false) && !is_fetchable(bad, true), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_for_private_networks_only() {
        let private = [
            "http://keycloak:8080/",
            "http://10.0.0.1",
            "http://172.16.0.1/",
            "http://192.168.1.1",
            "http://[fd00::1]/",
        ];
        for url in private {
            assert!(is_fetchable(url, true) && !is_fetchable(url, false), "{url}");
        }
        let public = [
            "http://9.9.9.9/",
            "http://169.254.169.254/",
            "http://172.32.0.1/",
            "http://[2001:db8::1]/",
            "http://[fe80::1]/",
        ];
        for url in public.into_iter().chain(["http://0.0.0.0/", "http://[::ffff:9.9.9.9]/", "http://100.64.0.1/"]) {
            assert!(!is_fetchable(url, true), "{url}");
        }
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        assert!(is_proxy("http://proxy.test:3128") && is_proxy("http://[::1]:3128"));
        for bad in [
            "https://proxy.test:3128",
            "http://proxy.test",
            "proxy.test:3128",
            "http://a:b@proxy.test:1",
            "http://p:1/",
        ] {
            assert!(!is_proxy(bad), "{bad}");
        }
    }
}
