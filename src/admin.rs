//! The admin listener, for probes, Prometheus and people. It exposes no secret and changes nothing.
//!
//! | path | response |
//! |---|---|
//! | `/metrics` | all metrics, in Prometheus' text format |
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200 when the gateway can take requests, otherwise 503; the body names what is degraded |
//! | `/status` | version, active configuration, and each remote issuer's keys |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::auth::time::TimestampUnit;
use crate::failure::AdminStatus;
use crate::server::phase::Phase;
use crate::services::Services;

/// How long readiness waits for the first keys: an unreachable issuer must not keep the pod out of service.
const FIRST_KEYS: Duration = Duration::from_secs(10);

const MAX_CONNECTIONS: usize = 64;
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Data of the endpoints.
pub struct Admin {
    /// Shared with the gateways.
    pub services: Arc<Services>,
    /// Current phase of the drain.
    pub phase: watch::Receiver<Phase>,
    /// Start of the process.
    pub started: Instant,
}

impl Admin {
    /// Serves requests as long as the process runs.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // Further connections wait in the kernel's queue.
            let Ok(place) = Arc::clone(&permits).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let admin = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = admin.answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(MAX_WAIT)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // The prober may not read the response.
                let _ = tokio::time::timeout(MAX_WAIT * 3, connection).await;
                drop(place);
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return reply(AdminStatus::MethodNotAllowed, json!({"error": "only GET and HEAD are allowed"}));
        }
        match request.uri().path() {
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
        let snapshot = self.services.snapshot.load();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "configuration": snapshot.config_hash.to_string(),
            "gateway_yaml_sha256": snapshot.yaml_hash,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "draining": *self.phase.borrow() > Phase::Running,
            "issuers": issuers.collect::<Vec<_>>(),
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
