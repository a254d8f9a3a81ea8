//! The metrics: name, help and labels of each, and one typed method to count it.
//!
//! Label values come from finite sets: routes, issuers and listeners of gateway.yaml, reasons and HTTP statuses. The
//! children that each request needs are created once per route.

mod registrar;
mod route;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::StatusCode;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};
use tracing_appender::non_blocking::ErrorCounter;

use crate::clock::UnixTime;
use crate::reason::Reason;
use registrar::Registrar;
pub use route::RouteMetrics;

/// Seconds; from half a millisecond, where a local upstream responds, to the default timeout of an upstream.
const REQUEST_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds; from a cached signature to a wait for a fetch of keys.
const VERIFY_BUCKETS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.1, 0.5, 2.0];

/// Panics of this process, which also happen where no gateway and its metrics are at hand.
pub static PANICS: AtomicU64 = AtomicU64::new(0);

/// The counter of log lines that were dropped; set when the log is opened.
pub static LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream's response was passed on.
    Forwarded,
    /// The gateway rejected the request.
    Rejected,
    /// A route in dry run forwarded the request although it would have been rejected.
    DryRunRejected,
    /// The gateway answered a provider's endpoint verification challenge itself.
    ChallengeAnswered,
    /// A duplicate of a processed event was acknowledged, or got the stored response.
    DuplicateAnswered,
    /// The upstream's response ended prematurely after it had begun.
    UpstreamIncomplete,
    /// The upstream gave no response, the client disconnected, or the gateway could not decide.
    Error,
}

impl Outcome {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Rejected => "rejected",
            Self::DryRunRejected => "dry_run_rejected",
            Self::ChallengeAnswered => "challenge_answered",
            Self::DuplicateAnswered => "duplicate_answered",
            Self::UpstreamIncomplete => "upstream_incomplete",
            Self::Error => "error",
        }
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    upstream_duration: HistogramVec,
    verify_duration: HistogramVec,
    token_known: IntCounter,
    token_verified: IntCounter,
    connections: IntGaugeVec,
    connections_rejected: IntCounterVec,
    tls_handshakes: IntCounterVec,
    jwks_keys: IntGaugeVec,
    jwks_last_success: GaugeVec,
    jwks_refreshes: IntCounterVec,
    reloads: IntCounterVec,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
    revocation_reloads: IntCounterVec,
    revocation_successful: IntGaugeVec,
    revocation_entries: IntGaugeVec,
    certificate_expiry: GaugeVec,
    secret_last_used: GaugeVec,
    store_operations: IntCounterVec,
    store_entries: IntGauge,
    store_capacity: IntGauge,
    panics: IntCounter,
    log_lines_dropped: IntCounter,
    routes: RwLock<HashMap<Arc<str>, Arc<RouteMetrics>>>,
}

impl Metrics {
    /// # Errors
    /// Two metrics of one name, which the names below rule out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Registrar { registry: &registry };
        let token_cache = make.counters(
            "hookgate_token_cache_lookups_total",
            "Tokens with a valid signature, by whether the verification was cached (hit) or not (miss).",
            &["result"],
        )?;
        let metrics = Self {
            requests: make.counters(
                "hookgate_requests_total",
                "Requests by route, outcome, reason and the HTTP status of the response.",
                &["route", "outcome", "reason", "status"],
            )?,
            request_duration: make.histograms(
                "hookgate_request_duration_seconds",
                "Time from the request headers to the end of the response.",
                &["route"],
                REQUEST_BUCKETS,
            )?,
            upstream_duration: make.histograms(
                "hookgate_upstream_duration_seconds",
                "Time from forwarding a request to the response headers of the upstream.",
                &["route"],
                REQUEST_BUCKETS,
            )?,
            verify_duration: make.histograms(
                "hookgate_verify_duration_seconds",
                "Time to verify one request, including any wait for keys.",
                &["scheme"],
                VERIFY_BUCKETS,
            )?,
            token_known: token_cache.with_label_values(&["hit"]),
            token_verified: token_cache.with_label_values(&["miss"]),
            connections: make.gauges("hookgate_open_connections", "Open client connections.", &["listener"])?,
            connections_rejected: make.counters(
                "hookgate_connections_rejected_total",
                "Client connections closed as soon as they were accepted, by reason.",
                &["listener", "reason"],
            )?,
            tls_handshakes: make.counters(
                "hookgate_tls_handshakes_total",
                "TLS handshakes with clients by result, and by the reason of an error.",
                &["listener", "result", "reason"],
            )?,
            jwks_keys: make.gauges("hookgate_jwks_keys", "Usable keys in an issuer's fetched JWKS.", &["issuer"])?,
            jwks_last_success: make.float_gauges(
                "hookgate_jwks_last_success_timestamp_seconds",
                "Unix time of the last successful fetch of an issuer's JWKS.",
                &["issuer"],
            )?,
            jwks_refreshes: make.counters(
                "hookgate_jwks_refreshes_total",
                "Fetches of an issuer's JWKS by result.",
                &["issuer", "result"],
            )?,
            reloads: make.counters(
                "hookgate_config_reloads_total",
                "Reloads of the configuration by result.",
                &["result"],
            )?,
            reload_successful: make.gauge(
                "hookgate_config_last_reload_successful",
                "1 if the configuration on disk is active, 0 if the last reload was rejected.",
            )?,
            reload_timestamp: make.float_gauge(
                "hookgate_config_last_reload_success_timestamp_seconds",
                "Unix time at which the active configuration was loaded.",
            )?,
            revocation_reloads: make.counters(
                "hookgate_revocation_reloads_total",
                "Reloads of a changed revocation list by result.",
                &["file", "result"],
            )?,
            revocation_successful: make.gauges(
                "hookgate_revocation_last_reload_successful",
                "1 if the revocation list on disk is active, 0 if the last reload was rejected.",
                &["file"],
            )?,
            revocation_entries: make.gauges(
                "hookgate_revocation_entries",
                "Token ids, subjects and key ids on the active revocation list.",
                &["file"],
            )?,
            certificate_expiry: make.float_gauges(
                "hookgate_certificate_expiry_timestamp_seconds",
                "Unix time at which a served certificate expires; name is its file.",
                &["name"],
            )?,
            secret_last_used: make.float_gauges(
                "hookgate_secret_last_used_timestamp_seconds",
                "Unix time at which one of a route's secrets last verified a request; index counts from 0 in the order \
                 of the file.",
                &["route", "index"],
            )?,
            store_operations: make.counters(
                "hookgate_store_operations_total",
                "Operations of the store on replay ids and idempotency keys, by kind and result.",
                &["kind", "result"],
            )?,
            store_entries: make.gauge(
                "hookgate_store_entries",
                "Replay ids and idempotency keys stored in this process; 0 with Redis.",
            )?,
            store_capacity: make.gauge(
                "hookgate_store_capacity",
                "Replay ids and idempotency keys that this process can store; 0 with Redis.",
            )?,
            panics: make.counter(
                "hookgate_panics_total",
                "Tasks that panicked, which is a bug. Their requests were not forwarded, or got no response.",
            )?,
            log_lines_dropped: make.counter(
                "hookgate_log_lines_dropped_total",
                "Log lines dropped because the reader of standard output was too slow.",
            )?,
            routes: RwLock::default(),
            registry: registry.clone(),
        };
        for result in ["applied", "unchanged", "rejected"] {
            metrics.reloads.with_label_values(&[result]).inc_by(0);
        }
        make.gauges("hookgate_build_info", "Always 1; the label is the running version.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// All metrics in the Prometheus text exposition format.
    pub fn render(&self) -> Vec<u8> {
        self.panics.reset();
        self.panics.inc_by(PANICS.load(Ordering::Relaxed));
        self.log_lines_dropped.reset();
        let dropped = LINES.get().map_or(0, ErrorCounter::dropped_lines);
        self.log_lines_dropped.inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
        let mut text = Vec::new();
        // Encoding into memory fails only for a metric without name or type: there is none.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }

    /// The names of all metrics that have a value, for documents.
    pub fn names(&self) -> Vec<String> {
        self.registry.gather().iter().map(|family| family.name().to_owned()).collect()
    }

    /// The children of a route, created on its first request.
    pub fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        if let Some(found) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(found);
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(Arc::clone(name)).or_insert_with(|| Arc::new(RouteMetrics::new(self, name))))
    }

    /// Counts a request that no route matches.
    pub fn unrouted(&self, outcome: Outcome, reason: Option<Reason>, status: Option<StatusCode>) {
        let reason = reason.map_or("", Reason::word);
        self.requests.with_label_values(&["", outcome.label(), reason, route::label(status.as_ref())]).inc();
    }

    /// Counts a token with a valid signature, by whether its verification was cached.
    pub fn token(&self, known: bool) {
        if known { self.token_known.inc() } else { self.token_verified.inc() }
    }

    /// The gauge of a listener's open connections.
    pub fn connections(&self, listener: &str) -> IntGauge {
        self.connections.with_label_values(&[listener])
    }

    /// Counts a connection that was closed as soon as it was accepted.
    pub fn connection_rejected(&self, listener: &str, reason: &str) {
        self.connections_rejected.with_label_values(&[listener, reason]).inc();
    }

    /// Counts a TLS handshake by its result and, for an error, the reason.
    pub fn tls_handshake(&self, listener: &str, result: Result<(), &str>) {
        let (result, reason) = result.map_or_else(|reason| ("error", reason), |()| ("success", ""));
        self.tls_handshakes.with_label_values(&[listener, result, reason]).inc();
    }

    /// Counts a fetch of an issuer's JWKS: `success` or `error`.
    pub fn jwks_refreshed(&self, issuer: &str, result: &str) {
        self.jwks_refreshes.with_label_values(&[issuer, result]).inc();
    }

    /// Sets the gauges of an issuer's JWKS.
    pub fn jwks_held(&self, issuer: &str, keys: usize, last_success: Option<UnixTime>) {
        self.jwks_keys.with_label_values(&[issuer]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        if let Some(at) = last_success {
            self.jwks_last_success.with_label_values(&[issuer]).set(seconds(at));
        }
    }

    /// Starts the counters of a configured issuer at zero, so that a first error shows as an increase.
    pub fn jwks_known(&self, issuer: &str) {
        for result in ["success", "error"] {
            self.jwks_refreshes.with_label_values(&[issuer, result]).inc_by(0);
        }
    }

    /// Removes the gauges of an issuer that is no longer configured.
    pub fn jwks_dropped(&self, issuer: &str) {
        // An error means that there was no such child, which is as good.
        let _ = self.jwks_keys.remove_label_values(&[issuer]);
        let _ = self.jwks_last_success.remove_label_values(&[issuer]);
    }

    /// A configuration became active, at the start or by a reload.
    pub fn config_in_force(&self, now: UnixTime) {
        self.reload_successful.set(1);
        self.reload_timestamp.set(seconds(now));
    }

    /// Counts a reload: `applied`, `unchanged` or `rejected`.
    pub fn reloaded(&self, result: &str) {
        self.reloads.with_label_values(&[result]).inc();
    }

    /// Sets whether the configuration on disk is the active one.
    pub fn config_is_current(&self, current: bool) {
        self.reload_successful.set(i64::from(current));
    }

    /// Starts the counters of a configured revocation list at zero.
    pub fn revocation_known(&self, file: &str) {
        for result in ["applied", "rejected"] {
            self.revocation_reloads.with_label_values(&[file, result]).inc_by(0);
        }
    }

    /// Removes the gauges of a revocation list that is no longer configured.
    pub fn revocation_dropped(&self, file: &str) {
        // An error means that there was no such child, which is as good.
        let _ = self.revocation_successful.remove_label_values(&[file]);
        let _ = self.revocation_entries.remove_label_values(&[file]);
    }

    /// The revocation list on disk is the active one.
    pub fn revocation_in_force(&self, file: &str, entries: usize) {
        self.revocation_successful.with_label_values(&[file]).set(1);
        self.revocation_entries.with_label_values(&[file]).set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// The revocation list on disk is not the active one.
    pub fn revocation_rejected(&self, file: &str) {
        self.revocation_successful.with_label_values(&[file]).set(0);
    }

    /// Counts a reload of a changed revocation list: `applied` or `rejected`.
    pub fn revocation_reloaded(&self, file: &str, result: &str) {
        self.revocation_reloads.with_label_values(&[file, result]).inc();
    }

    /// Counts an operation of the store on an id or a key: `reserved`, `committed`, `duplicate`, …
    pub fn store_operation(&self, kind: &str, result: &str) {
        self.store_operations.with_label_values(&[kind, result]).inc();
    }

    /// Sets the number of entries that this process stores, and how many it can store.
    pub fn store_usage(&self, entries: usize, capacity: usize) {
        self.store_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.store_capacity.set(i64::try_from(capacity).unwrap_or(i64::MAX));
    }

    /// Replaces the served certificates and the times at which they expire.
    pub fn certificates<'a>(&self, expiries: impl Iterator<Item = (&'a str, UnixTime)>) {
        self.certificate_expiry.reset();
        for (name, expiry) in expiries {
            self.certificate_expiry.with_label_values(&[name]).set(seconds(expiry));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a Unix time is exact in 53 bits for 285 million years")]
fn seconds(time: UnixTime) -> f64 {
    time.seconds() as f64
}
