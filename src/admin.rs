//! The admin listener, for probes, Prometheus and people. It exposes no secret and changes nothing.
//!
//! | path | response |
//! |---|---|
//! | `/metrics` | all metrics, in Prometheus' text format |
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 when the gateway can take requests, otherwise 503; the body names what is degraded |
//! | `/status` | version, active configuration, each remote issuer's keys, and the signing certificates |

mod connections;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SERVER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::auth::time::TimestampUnit;
use crate::failure::AdminStatus;
use crate::proxy::head::one_authority;
use crate::reason::Reason;
use crate::server::phase::Phase;
use crate::services::Services;
use connections::{AdminConnection, OpenConnections};

/// How long readiness waits for the first keys: an unreachable issuer must not keep the pod out of service.
const FIRST_KEYS: Duration = Duration::from_secs(10);

/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection may stay open: a client may be slow to read all metrics.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Data of the endpoints.
pub struct Admin {
    /// Shared with the gateways.
    pub services: Arc<Services>,
    /// Current phase of the drain.
    pub phase: watch::Receiver<Phase>,
    /// Start of the process.
    pub started: Instant,
    /// Host names under which clients may send requests, in addition to localhost and IP addresses.
    pub hosts: Vec<String>,
}

impl Admin {
    /// Serves requests as long as the process runs.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut open = OpenConnections::default();
        loop {
            let Ok((stream, address)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            open.add(Arc::clone(&self).spawn(stream, address));
        }
    }

    fn spawn(self: Arc<Self>, stream: TcpStream, address: SocketAddr) -> AdminConnection {
        let requested = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&requested);
        let task = tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                begun.store(true, Ordering::Relaxed);
                let response = self.answer(&request.into_parts().0);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // The prober may not read the response.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
        });
        AdminConnection { address: address.ip(), requested, task: task.abort_handle() }
    }

    fn answer(&self, head: &Parts) -> Response<Full<Bytes>> {
        if !self.is_own_host(head) {
            let error = "unknown host; use an IP address, localhost or a name in `admin.hosts`";
            return reply(AdminStatus::MisdirectedRequest, json!({ "error": error }));
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return reply(AdminStatus::MethodNotAllowed, json!({"error": "only GET and HEAD are allowed"}));
        }
        match head.uri.path() {
            "/metrics" => self.scrape(),
            "/livez" => reply(AdminStatus::Ok, json!({"alive": true})),
            "/readyz" => self.readiness(),
            "/status" => reply(AdminStatus::Ok, self.status()),
            _ => reply(
                AdminStatus::NotFound,
                json!({"error": "not found; available: /metrics, /livez, /readyz and /status"}),
            ),
        }
    }

    /// Whether the request names an IP address, localhost or one of `admin.hosts`. A website whose name resolves to this
    /// listener could read it through the browser of anyone near it (DNS rebinding), but the browser sends that name.
    fn is_own_host(&self, head: &Parts) -> bool {
        match one_authority(head) {
            Ok(authority) => {
                let host = authority.host();
                let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
                let mut names = self.hosts.iter().map(String::as_str).chain(["localhost"]);
                is_address || names.any(|name| name.eq_ignore_ascii_case(host))
            }
            // Probes of HTTP/1.0 omit it, which no browser does.
            Err(failure) => failure.reason() == Reason::MissingHost && head.version == Version::HTTP_10,
        }
    }

    fn scrape(&self) -> Response<Full<Bytes>> {
        for health in self.services.jwks.health() {
            self.services.metrics.jwks_held(&health.issuer, health.keys, health.last_success);
        }
        if let Some((entries, capacity)) = self.services.store.as_ref().and_then(|store| store.usage()) {
            self.services.metrics.store_usage(entries, capacity);
        }
        let mut response = Response::new(Full::from(self.services.metrics.render()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
        response
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let draining = *self.phase.borrow() > Phase::Running;
        let health = self.services.jwks.health();
        let fetching = health.iter().any(|issuer| !issuer.tried) && self.started.elapsed() < FIRST_KEYS;
        let degraded: Vec<_> = health.iter().filter(|issuer| !issuer.usable).map(|issuer| &*issuer.issuer).collect();
        let store_available = self.services.store.as_ref().is_none_or(|store| store.is_available());
        // A process that is not ready would get no connections, and so no challenge of the ACME server.
        let names = self.services.acme.health().into_iter();
        let uncertified: Vec<_> = names.filter(|name| name.expires.is_none()).map(|name| name.name).collect();
        let ready = !draining && !fetching;
        let status = if ready { AdminStatus::Ok } else { AdminStatus::NotReady };
        reply(
            status,
            json!({
                "ready": ready,
                "draining": draining,
                "fetching_first_keys": fetching,
                "issuers_without_keys": degraded,
                "store_available": store_available,
                "names_without_certificate": uncertified,
            }),
        )
    }

    fn status(&self) -> serde_json::Value {
        let health = self.services.jwks.health();
        let issuers = health.iter().map(|issuer| {
            json!({
                "issuer": &*issuer.issuer,
                "keys": issuer.keys,
                "last_success": issuer.last_success.map(|at| TimestampUnit::Rfc3339.write(at.seconds())),
                "usable": issuer.usable,
            })
        });
        let certificates = self.services.jwks.certificates.health().into_iter().map(|health| {
            json!({
                "issuer": &*health.issuer,
                "hosts": health.hosts,
                "certificates": health.certificates,
                "last_success": health.last_success.map(|at| TimestampUnit::Rfc3339.write(at.seconds())),
            })
        });
        let acme = self.services.acme.health().into_iter().map(|health| {
            json!({
                "name": health.name,
                "expires": health.expires.map(|at| TimestampUnit::Rfc3339.write(at.seconds())),
                "next_attempt": health.next_attempt.map(|at| TimestampUnit::Rfc3339.write(at.seconds())),
                "error": health.error,
            })
        });
        let snapshot = self.services.snapshot.load();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": snapshot.config_hash.to_string(),
            "gateway_yaml_sha256": snapshot.yaml_hash,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "draining": *self.phase.borrow() > Phase::Running,
            "issuers": issuers.collect::<Vec<_>>(),
            "acme": acme.collect::<Vec<_>>(),
            "signing_certificates": certificates.collect::<Vec<_>>(),
        })
    }
}

fn reply(status: AdminStatus, body: serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status.code();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(SERVER, HeaderValue::from_static("hookgate"));
    response
}
