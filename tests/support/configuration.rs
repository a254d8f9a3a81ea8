//! gateway.yaml of a test, built key by key: a misspelt key does not compile. It is written as JSON, which is YAML.
//!
//! A method sets one key, also one in a nested mapping: `Route::max_body_size` sets `limits.max_body_size`. A rare key
//! has no method and is set by [`with`](Route::with) and its dotted path.

mod build;

use serde_json::{Map, Value, json};

pub use build::{all_of, any_of, file, usual};

/// Declares a mapping of gateway.yaml with a method for each key, as `method: "dotted.path"`. A scheme of `auth` is
/// nested under its own key, which follows `in`.
macro_rules! mapping {
    ($(#[$doc:meta])* $name:ident $(in $scheme:literal)? { $($method:ident: $path:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Value);

        impl $name {
            $(pub fn $method(self, value: impl Into<Value>) -> Self {
                self.with($path, value)
            })*
        }

        impl $name {
            pub fn empty() -> Self {
                Self(Value::Object(Map::new()))
            }

            /// Sets a key by its dotted path.
            pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
                set(&mut self.0, path, value.into());
                self
            }

            /// Removes a key by its dotted path; the key must be there.
            pub fn without(mut self, path: &str) -> Self {
                let (parent, key) = path.rsplit_once('.').map_or(("", path), |(parent, key)| (parent, key));
                let parent = parent.split('.').filter(|key| !key.is_empty());
                let parent = parent.fold(&mut self.0, |value, key| &mut value[key]);
                assert!(parent.as_object_mut().unwrap().remove(key).is_some(), "no {path} to remove");
                self
            }
        }

        impl From<$name> for Value {
            fn from(mapping: $name) -> Self {
                let value = mapping.0;
                $(let value = json!({ $scheme: value });)?
                value
            }
        }
    };
}

/// Sets a key by its dotted path, and makes the mappings above it.
fn set(value: &mut Value, path: &str, new: Value) {
    match path.split_once('.') {
        Some((first, rest)) => {
            let below = value.as_object_mut().unwrap().entry(first).or_insert_with(|| json!({}));
            set(below, rest, new);
        }
        None => value[path] = new,
    }
}

mapping! {
    /// The whole file.
    Configuration {
        admin: "admin.address",
        admin_hosts: "admin.hosts",
        drain_delay: "drain.delay",
        drain_timeout: "drain.timeout",
        error_detail: "error_detail",
        access_log: "log.access",
        max_buffered_bytes: "max_buffered_bytes",
        store: "store",
        trusted_proxies: "trusted_proxies",
        workers: "workers",
    }
}

mapping! {
    /// An item of `listeners`.
    Listener {
        address: "address",
        plaintext: "plaintext",
        proxy_protocol: "proxy_protocol",
        certificates: "tls.certificates",
        client_auth: "tls.client_auth",
        client_ca: "tls.client_ca",
        client_crl: "tls.client_crl",
        min_version: "tls.min_version",
        max_connections: "limits.max_connections",
        max_connections_per_ip: "limits.max_connections_per_ip",
        max_headers_count: "limits.max_headers_count",
        max_headers_size: "limits.max_headers_size",
        min_request_body_rate: "limits.min_request_body_rate",
        first_request: "timeouts.first_request",
        headers: "timeouts.headers",
        keepalive: "timeouts.keepalive",
        request_body: "timeouts.request_body",
        request_body_idle: "timeouts.request_body_idle",
        response_write_idle: "timeouts.response_write_idle",
        tls_handshake: "timeouts.tls_handshake",
    }
}

mapping! {
    /// A value of `issuers`.
    TrustedIssuer {
        algorithms: "algorithms",
        issuer: "issuer",
        jwks: "jwks",
    }
}

mapping! {
    /// `jwks` of an issuer or of a preset.
    Jwks {
        bearer: "bearer.file",
        ca: "ca",
        cache: "cache",
        cooldown: "cooldown",
        discovery_url: "discovery_url",
        insecure_http: "insecure_http",
        max_stale: "max_stale",
        pins: "pins",
        proxy: "proxy",
        refresh_interval: "refresh_interval",
    }
}

mapping! {
    /// An item of `routes`.
    Route {
        name: "name",
        host: "match.host",
        path: "match.path",
        methods: "match.methods",
        upstream: "upstream.url",
        upstreams: "upstream.urls",
        upstream_ca: "upstream.ca",
        upstream_connect: "upstream.timeouts.connect",
        upstream_keepalive: "upstream.timeouts.keepalive",
        upstream_total: "upstream.timeouts.total",
        auth: "auth",
        replay_protection: "replay_protection",
        idempotency: "idempotency",
        filter: "filter",
        timestamp: "timestamp",
        public_url: "public_url",
        revocation: "revocation",
        allowed_ips: "allowed_ips",
        max_body_size: "limits.max_body_size",
        rate: "limits.rate",
        burst: "limits.burst",
        concurrency: "limits.concurrency",
        per_issuer: "limits.per_issuer",
        per_subject: "limits.per_subject",
        per_sender: "limits.per_sender",
        failed_auth_rate: "limits.failed_auth_rate",
        shared_rates: "limits.shared",
        credential: "forward.credential",
        claims_to_headers: "forward.claims_to_headers",
        status_overrides: "status_overrides",
        capture: "capture",
    }
}

mapping! {
    /// `auth.jwt`.
    Jwt in "jwt" {
        issuer: "issuer",
        audience: "audience",
        bound_certificate: "bound_certificate",
        claims: "claims",
        leeway: "leeway",
        required_claims: "required_claims",
        token_from: "token_from",
        url: "url",
    }
}

mapping! {
    /// `auth.signature`.
    Signature in "signature" {
        algorithm: "algorithm",
        encoding: "encoding",
        header: "header",
        join: "join",
        secret: "secret",
        signed_payload: "signed_payload",
        timestamp: "timestamp",
    }
}

mapping! {
    /// `auth.http_message_signature`.
    MessageSignature in "http_message_signature" {
        algorithm: "algorithm",
        public_key: "public_key",
        required_components: "required_components",
        required_parameters: "required_parameters",
        secret: "secret",
        tag: "tag",
    }
}

mapping! {
    /// `auth` with a `preset`.
    Preset {
        preset: "preset",
        challenge: "challenge",
        jwks: "jwks",
        parameters: "parameters",
        secret: "secret",
        secrets: "secrets",
    }
}

mapping! {
    /// `auth.static_token`.
    StaticToken in "static_token" {
        header: "header",
        secret: "secret",
    }
}

mapping! {
    /// `auth.client_certificate`.
    ClientCertificate in "client_certificate" {
        san: "san",
        sha256: "sha256",
    }
}

mapping! {
    /// `replay_protection` of a route.
    ReplayProtection {
        commit_on: "commit_on",
        id: "id",
        on_duplicate: "on_duplicate",
        ttl: "ttl",
    }
}

mapping! {
    /// `idempotency` of a route.
    Idempotency {
        key: "key",
        on_duplicate: "on_duplicate",
        required: "required",
    }
}

mapping! {
    /// `timestamp` of a route or of a signature.
    Timestamp {
        header: "header",
        max_age: "max_age",
        max_future: "max_future",
        signed: "signed",
        unit: "unit",
    }
}

mapping! {
    /// A limit of senders: `limits.per_issuer`, `limits.per_subject` and `limits.per_sender`.
    SenderLimit {
        burst: "burst",
        concurrency: "concurrency",
        rate: "rate",
    }
}

mapping! {
    /// `store`.
    Store {
        capacity: "capacity",
        kind: "type",
        on_error: "on_error",
        path: "path",
        timeout: "timeout",
        url: "url",
    }
}
