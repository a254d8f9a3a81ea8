//! The test harness: a gateway on real sockets over TLS, a recording upstream, an issuer and a manual clock.

mod authority;
mod client;
pub mod configuration;
pub mod http2;
mod issuer;
pub mod key_server;
pub mod schema;
mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hookgate::app::{self, Running};
use hookgate::clock::{Clock, UnixTime};
use hookgate::config;
use serde_json::Value;
use tempfile::TempDir;

pub use authority::{Authority, Identity};
use configuration::{Configuration, Jwks, Listener, Route, usual};

pub use client::{Answer, Client, Wire, connect_from, get_plain};
pub use issuer::{Issuer, claims};
pub use upstream::{Calls, Upstream};

/// 2026-11-24T00:00:00Z, the start of every manual clock.
pub const NOW: u64 = 1_795_478_400;

/// The longest wait for a condition. Reaching it is a failure, not a pause.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that changes only by [`ManualClock::forward`] and [`ManualClock::set_by`].
#[derive(Debug)]
pub struct ManualClock {
    passed: AtomicU64,
    set_by: AtomicI64,
}

impl ManualClock {
    pub fn forward(&self, seconds: u64) {
        self.passed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Sets the clock, while no time passes.
    pub fn set_by(&self, seconds: i64) {
        self.set_by.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        let set_by = self.set_by.load(Ordering::SeqCst);
        UnixTime::from_seconds(self.passed.load(Ordering::SeqCst).checked_add_signed(set_by).unwrap()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.passed.load(Ordering::SeqCst))
    }
}

/// A running gateway with its files.
pub struct Gateway {
    pub clock: Arc<ManualClock>,
    pub issuer: Issuer,
    pub running: Option<Running>,
    pub ca: String,
    folder: TempDir,
}

/// The usual configuration with the changes of a test.
pub struct Setup {
    configuration: Configuration,
    issuer: Issuer,
    files: Vec<(String, String)>,
}

impl Setup {
    /// One JWT route at /webhook to `upstream`.
    pub fn new(upstream: SocketAddr) -> Self {
        Self { configuration: usual(upstream), issuer: Issuer::rs256("k1"), files: Vec::new() }
    }

    /// Changes the whole configuration.
    pub fn top(mut self, change: impl FnOnce(Configuration) -> Configuration) -> Self {
        self.configuration = change(self.configuration);
        self
    }

    /// Changes the listener.
    pub fn listener(self, change: impl FnOnce(Listener) -> Listener) -> Self {
        self.top(|top| top.listener(change))
    }

    /// Changes the route.
    pub fn route(self, change: impl FnOnce(Route) -> Route) -> Self {
        self.top(|top| top.route(change))
    }

    /// Replaces the `auth` of the route.
    pub fn auth(self, auth: impl Into<Value>) -> Self {
        self.route(|route| route.auth(auth))
    }

    /// Replaces the source of the issuer's keys.
    pub fn jwks(self, jwks: Jwks) -> Self {
        self.top(|top| top.issuer("acme", |issuer| issuer.jwks(jwks)))
    }

    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuer = issuer;
        self
    }

    /// Adds a file next to the configuration.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    pub fn start(self) -> Gateway {
        let folder = TempDir::new().unwrap();
        let (ca, certificate, key) = certificate(&["localhost"]);
        let gateway = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        gateway("server.crt", &certificate);
        gateway("server.key", &key);
        gateway("jwks.json", &self.issuer.jwks());
        gateway("gateway.yaml", &self.configuration.to_string());
        self.files.iter().for_each(|(name, content)| gateway(name, content));
        let path = folder.path().join("gateway.yaml");
        let config = schema::load(&path, &config::Handles::default()).unwrap_or_else(|errors| panic!("{errors}"));
        let clock = Arc::new(ManualClock { passed: AtomicU64::new(NOW), set_by: AtomicI64::new(0) });
        let running = app::start(Some(path), &config, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Gateway { clock, issuer: self.issuer, running: Some(running), folder, ca }
    }
}

impl Gateway {
    /// The usual gateway in front of `upstream`.
    pub fn before(upstream: &Upstream) -> Self {
        Setup::new(upstream.address).start()
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.running().listeners[0]
    }

    /// A client that trusts this gateway.
    pub fn client(&self) -> Client {
        Client::new(self.address(), &self.ca)
    }

    /// A client that speaks HTTP/2.
    pub fn client_http2(&self) -> Client {
        Client::http2(self.address(), &self.ca)
    }

    /// A client that presents a certificate where the listener requests one.
    pub fn client_showing(&self, identity: &Identity) -> Client {
        Client::showing(self.address(), &self.ca, identity)
    }

    /// One raw connection after its handshake.
    pub async fn wire(&self) -> Wire {
        Wire::connect(self.address(), &self.ca, &[b"http/1.1"]).await
    }

    /// One raw connection from 127.0.0.`last`.
    pub async fn wire_from(&self, last: u8) -> Wire {
        Wire::connect_from([127, 0, 0, last], self.address(), &self.ca).await
    }

    /// One raw connection from 127.0.0.`last` that speaks HTTP/2.
    pub async fn wire_http2_from(&self, last: u8) -> Wire {
        Wire::over(connect_from([127, 0, 0, last], self.address()).await, &self.ca, &[b"h2"]).await
    }

    /// One raw connection that speaks HTTP/2.
    pub async fn wire_http2(&self) -> Wire {
        Wire::connect(self.address(), &self.ca, &[b"h2"]).await
    }

    /// A token that passes the usual route.
    pub fn token(&self) -> String {
        self.issuer.token(&claims())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes gateway.yaml.
    pub fn edit(&self, change: impl FnOnce(Configuration) -> Configuration) {
        replace(&self.path("gateway.yaml"), &self.edited(change));
    }

    /// gateway.yaml with a change, which is not written.
    pub fn edited(&self, change: impl FnOnce(Configuration) -> Configuration) -> String {
        let text = std::fs::read_to_string(self.path("gateway.yaml")).unwrap();
        change(Configuration::read(&text)).to_string()
    }

    /// Changes the route in gateway.yaml.
    pub fn edit_route(&self, change: impl FnOnce(Route) -> Route) {
        self.edit(|configuration| configuration.route(change));
    }

    /// A page of the admin listener.
    pub async fn admin(&self, path: &str) -> Answer {
        get_plain(self.running().admin.unwrap(), path).await
    }

    /// The number of requests with this outcome and reason; `None` for none.
    pub async fn counted(&self, outcome: &str, reason: &str) -> Option<f64> {
        let labels = format!("{{outcome=\"{outcome}\",reason=\"{reason}\",route=\"webhook\"}}");
        self.metric(&format!("hookgate_requests_total{labels}")).await
    }

    /// The sum over all lines of a metric that have these labels, such as `hookgate_jwks_keys{issuer="acme"}`.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.admin("/metrics").await.text();
        let (name, wanted) = name.strip_suffix('}').and_then(|name| name.split_once('{')).unwrap_or((name, ""));
        let values = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.strip_suffix('}').and_then(|s| s.split_once('{')).unwrap_or((series, ""));
            let has = |label: &str| label.is_empty() || labels.split(',').any(|found| found == label);
            (found == name && wanted.split(',').all(has)).then(|| value.parse::<f64>().unwrap())
        });
        values.reduce(|sum, value| sum + value)
    }
}

/// HMAC-SHA256 in hex.
pub fn hmac(secret: &str, text: impl AsRef<[u8]>) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(aws_lc_rs::hmac::sign(&key, text.as_ref()))
}

/// Replaces a file atomically: writes a new file next to it and renames it.
pub fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// CA, certificate and key in PEM form.
pub fn certificate(names: &[&str]) -> (String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = rcgen::CertificateParams::new(names).unwrap();
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).unwrap();
    (ca_certificate.pem(), leaf.pem(), key.serialize_pem())
}

/// Polls until `condition` is true. Tests wait for a condition, never for a fixed time.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
