//! How the mappings of a configuration begin and are put together.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{
    Configuration, Idempotency, Jwks, Jwt, Listener, Preset, ReplayProtection, Route, SenderLimit, Signature,
    StaticToken, Store, Timestamp, TrustedIssuer,
};

/// The configuration that a test changes: one JWT route at /webhook to `upstream`.
pub fn usual(upstream: SocketAddr) -> Configuration {
    let certificates = json!([{ "cert": "server.crt", "key": "server.key" }]);
    let listener = Listener::new().max_connections(20_000).max_connections_per_ip(20_000).certificates(certificates);
    let issuer = TrustedIssuer::new("https://issuer.test/", &["RS256", "ES256", "EdDSA"]);
    let jwt = Jwt::new("acme").audience("https://hooks.test/webhook").required_claims(["iss", "aud", "exp", "nbf"]);
    let route = Route::new("webhook").path("/webhook").methods(["POST", "PUT"]).upstream(format!("http://{upstream}"));
    let route = route.auth(jwt.claims(json!({ "event_scope": "webhook" })).leeway("30s"));
    let top = Configuration::empty().access_log(false).drain_delay("1s").drain_timeout("20s").workers(2);
    top.admin("127.0.0.1:0")
        .add_listener(listener)
        .add_issuer("acme", issuer.jwks(Jwks::file("jwks.json")))
        .add_route(route.replay_protection("disabled"))
}

impl Configuration {
    /// Changes the first listener.
    pub fn listener(mut self, change: impl FnOnce(Listener) -> Listener) -> Self {
        let listener = &mut self.0["listeners"][0];
        *listener = change(Listener(listener.take())).into();
        self
    }

    /// Changes the first route.
    pub fn route(mut self, change: impl FnOnce(Route) -> Route) -> Self {
        let route = &mut self.0["routes"][0];
        *route = change(Route(route.take())).into();
        self
    }

    /// A copy of the first route.
    pub fn first_route(&self) -> Route {
        Route(self.0["routes"][0].clone())
    }

    /// Changes the issuer of this name.
    pub fn issuer(mut self, name: &str, change: impl FnOnce(TrustedIssuer) -> TrustedIssuer) -> Self {
        let issuer = &mut self.0["issuers"][name];
        *issuer = change(TrustedIssuer(issuer.take())).into();
        self
    }

    pub fn add_listener(self, listener: Listener) -> Self {
        self.add("listeners", listener.into())
    }

    pub fn add_route(self, route: Route) -> Self {
        self.add("routes", route.into())
    }

    pub fn add_issuer(mut self, name: &str, issuer: TrustedIssuer) -> Self {
        let issuers = self.0.as_object_mut().unwrap().entry("issuers").or_insert_with(|| json!({}));
        issuers[name] = issuer.into();
        self
    }

    fn add(mut self, list: &str, item: Value) -> Self {
        let items = self.0.as_object_mut().unwrap().entry(list).or_insert_with(|| json!([]));
        items.as_array_mut().unwrap().push(item);
        self
    }

    /// Reads a file that was written by [`Display`](fmt::Display).
    pub fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap())
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl Listener {
    /// A listener on any free port of 127.0.0.1.
    pub fn new() -> Self {
        Self::empty().address("127.0.0.1:0")
    }

    /// A listener without TLS.
    pub fn without_tls(self) -> Self {
        let tls = self.0.get("tls").is_some();
        if tls { self.without("tls") } else { self }.plaintext(true)
    }
}

impl TrustedIssuer {
    pub fn new(issuer: &str, algorithms: &[&str]) -> Self {
        Self::empty().issuer(issuer).algorithms(algorithms)
    }
}

impl Jwks {
    pub fn file(path: &str) -> Self {
        Self::empty().with("file", path)
    }

    pub fn url(url: &str) -> Self {
        Self::empty().with("url", url)
    }

    /// Keys that the issuer's discovery document names.
    pub fn discovery() -> Self {
        Self::empty().with("discovery", true)
    }
}

impl Route {
    pub fn new(name: &str) -> Self {
        Self::empty().name(name)
    }

    /// Changes the `jwt` of the route, whose `auth` must have one.
    pub fn jwt(mut self, change: impl FnOnce(Jwt) -> Jwt) -> Self {
        let jwt = Jwt(self.0["auth"]["jwt"].take());
        assert!(jwt.0.is_object(), "the route has no jwt");
        self.0["auth"] = change(jwt).into();
        self
    }

    /// Rejections of the route are only logged until the end of this day.
    pub fn dry_run_until(self, day: &str) -> Self {
        self.with("mode", "dry_run").with("dry_run_until", day)
    }
}

impl Jwt {
    pub fn new(issuer: &str) -> Self {
        Self::empty().issuer(issuer)
    }
}

impl Signature {
    /// HMAC-SHA256 in hexadecimal in this header, over these components.
    pub fn hmac(header: &str, signed_payload: &[&str]) -> Self {
        let signature = Self::empty().algorithm("hmac-sha256").header(header).encoding("hex");
        signature.signed_payload(signed_payload).secret(file("secret"))
    }
}

impl Preset {
    pub fn new(name: &str) -> Self {
        Self::empty().preset(name)
    }
}

impl StaticToken {
    /// A token in this header, with the file of the secret.
    pub fn new(header: &str, path: &str) -> Self {
        Self::empty().header(header).secret(file(path))
    }
}

impl ReplayProtection {
    /// With the id in this claim of the token.
    pub fn claim(name: &str) -> Self {
        Self::empty().id(json!({ "claim": name }))
    }

    /// With the default source of the id, which is kept for this time at least.
    pub fn for_at_least(ttl: &str) -> Self {
        Self::empty().ttl(ttl)
    }
}

impl Idempotency {
    /// With the key in this place, such as `("header", "Idempotency-Key")`.
    pub fn keyed_by(place: &str, name: &str) -> Self {
        Self::empty().key(json!({ place: name }))
    }
}

impl Timestamp {
    pub fn in_header(header: &str) -> Self {
        Self::empty().header(header)
    }
}

impl SenderLimit {
    pub fn rate_of(rate: &str) -> Self {
        Self::empty().rate(rate)
    }
}

impl Store {
    pub fn memory() -> Self {
        Self::empty().kind("memory")
    }

    pub fn embedded(path: impl AsRef<Path>) -> Self {
        Self::empty().kind("embedded").path(path.as_ref().to_str())
    }

    pub fn redis(address: impl fmt::Display) -> Self {
        Self::empty().kind("redis").url(format!("redis://{address}"))
    }
}

/// A secret or a key in a file.
pub fn file(path: &str) -> Value {
    json!({ "file": path })
}

/// All of these schemes.
pub fn all_of<const N: usize>(schemes: [Value; N]) -> Value {
    json!({ "all_of": schemes.to_vec() })
}

/// Any of these schemes.
pub fn any_of<const N: usize>(schemes: [Value; N]) -> Value {
    json!({ "any_of": schemes.to_vec() })
}
