//! Every metric: its name, its help, its labels, and one typed method to count it.
//!
//! Labels come from finite sets: routes, issuers and listeners of gateway.yaml, and reason words. The
//! children that a request needs are made once a route.

mod maker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};
use tracing_appender::non_blocking::ErrorCounter;

use crate::clock::UnixTime;
use maker::Maker;

/// From half a millisecond, where a local app answers, to the longest time an app may take by default.
const REQUEST_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From a cached signature to a wait for a fetch of keys.
const VERIFY_BUCKETS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.01, 0.1, 0.5, 2.0];

/// Panics of this process: who panics has no gateway to ask for its metrics.
pub static PANICS: AtomicU64 = AtomicU64::new(0);

/// Lines of its log that were not written, once there is a log.
pub static LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The app answered.
    Forwarded,
    /// It was not let through.
    Rejected,
    /// It would not have been let through, on a route that only observes.
    DryRunRejected,
    /// A provider's handshake, which we have answered ourselves.
    ChallengeAnswered,
    /// A duplicate whose event has been processed already, answered once more.
    DuplicateAnswered,
    /// It was let through or undecided, and something broke.
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
    connections_refused: IntCounterVec,
    handshakes: IntCounterVec,
    jwks_keys: IntGaugeVec,
    jwks_age: GaugeVec,
    jwks_refreshes: IntCounterVec,
    reloads: IntCounterVec,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
    revocation_reloads: IntCounterVec,
    revocation_successful: IntGaugeVec,
    revocation_entries: IntGaugeVec,
    certificate_expiry: GaugeVec,
    secret_last_used: GaugeVec,
    admission: IntCounterVec,
    admission_entries: IntGauge,
    panics: IntCounter,
    log_lines_dropped: IntCounter,
    routes: RwLock<HashMap<Arc<str>, Arc<RouteMetrics>>>,
}

/// The children of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    name: Arc<str>,
    requests: IntCounterVec,
    forwarded: IntCounter,
    request_duration: Histogram,
    upstream_duration: Histogram,
    verify_durations: HistogramVec,
    /// The scheme that the route was first seen with, which is the one it mostly keeps.
    verify_duration: OnceLock<(&'static str, Histogram)>,
    secret_last_used: GaugeVec,
}

impl Metrics {
    /// # Errors
    /// Never with the names below; a doubled name would be one.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker { registry: &registry };
        let token_cache = make.counters(
            "hookgate_token_cache_total",
            "Tokens with a good signature: known from before (hit), or verified (miss).",
            &["result"],
        )?;
        let metrics = Self {
            requests: make.counters(
                "hookgate_requests_total",
                "Requests by what became of them; reason says why.",
                &["route", "outcome", "reason"],
            )?,
            request_duration: make.histograms(
                "hookgate_request_duration_seconds",
                "From a request's head to the end of its reply.",
                &["route"],
                REQUEST_BUCKETS,
            )?,
            upstream_duration: make.histograms(
                "hookgate_upstream_duration_seconds",
                "From sending a request on to the head of the app's reply.",
                &["route"],
                REQUEST_BUCKETS,
            )?,
            verify_duration: make.histograms(
                "hookgate_verify_duration_seconds",
                "The decision on one request, with any wait for keys.",
                &["scheme"],
                VERIFY_BUCKETS,
            )?,
            token_known: token_cache.with_label_values(&["hit"]),
            token_verified: token_cache.with_label_values(&["miss"]),
            connections: make.gauges("hookgate_connections", "Open connections.", &["listener"])?,
            connections_refused: make.counters(
                "hookgate_connections_refused_total",
                "Connections closed at once, by the field of the configuration that they met.",
                &["listener", "limit"],
            )?,
            handshakes: make.counters(
                "hookgate_tls_handshakes_total",
                "TLS handshakes by their result.",
                &["listener", "result"],
            )?,
            jwks_keys: make.gauges("hookgate_jwks_keys", "Keys held for an issuer with a JWKS URL.", &["issuer"])?,
            jwks_age: make.float_gauges("hookgate_jwks_age_seconds", "Time since the last good fetch.", &["issuer"])?,
            jwks_refreshes: make.counters(
                "hookgate_jwks_refreshes_total",
                "Fetches of an issuer's keys by their result.",
                &["issuer", "result"],
            )?,
            reloads: make.counters(
                "hookgate_config_reloads_total",
                "Reloads of the configuration by their result.",
                &["result"],
            )?,
            reload_successful: make.gauge(
                "hookgate_config_last_reload_successful",
                "1 if the configuration on disk is the one in force, 0 if the last one read was refused.",
            )?,
            reload_timestamp: make.float_gauge(
                "hookgate_config_last_reload_timestamp_seconds",
                "When a configuration was last put in force.",
            )?,
            revocation_reloads: make.counters(
                "hookgate_revocation_reloads_total",
                "Readings of a changed revocation list by their result.",
                &["file", "result"],
            )?,
            revocation_successful: make.gauges(
                "hookgate_revocation_last_reload_successful",
                "1 if the revocation list on disk is the one in force, 0 if the last one read was refused.",
                &["file"],
            )?,
            revocation_entries: make.gauges(
                "hookgate_revocation_entries",
                "Token ids, subjects and key ids on the revocation list in force.",
                &["file"],
            )?,
            certificate_expiry: make.float_gauges(
                "hookgate_certificate_expiry_timestamp_seconds",
                "When a served certificate ends; name is its file.",
                &["name"],
            )?,
            secret_last_used: make.float_gauges(
                "hookgate_secret_last_used_timestamp_seconds",
                "When one of a route's secrets last verified a request; index counts from 0 in the order of the file.",
                &["route", "index"],
            )?,
            admission: make.counters(
                "hookgate_admission_total",
                "Replay ids and idempotency keys by what became of them.",
                &["kind", "result"],
            )?,
            admission_entries: make
                .gauge("hookgate_admission_entries", "Ids and keys that this process holds; 0 where a Redis does.")?,
            panics: make.counter(
                "hookgate_panics_total",
                "Tasks that ended by a panic: a bug. Their requests were not forwarded, or have no reply.",
            )?,
            log_lines_dropped: make.counter(
                "hookgate_log_lines_dropped_total",
                "Lines of the log that were dropped, since nobody read those before them.",
            )?,
            routes: RwLock::default(),
            registry: registry.clone(),
        };
        for result in ["applied", "unchanged", "refused"] {
            metrics.reloads.with_label_values(&[result]).inc_by(0);
        }
        make.gauges("hookgate_build_info", "Always 1; the version runs.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The exposition format, as Prometheus scrapes it.
    pub fn render(&self) -> Vec<u8> {
        self.panics.reset();
        self.panics.inc_by(PANICS.load(Ordering::Relaxed));
        self.log_lines_dropped.reset();
        let dropped = LINES.get().map_or(0, ErrorCounter::dropped_lines);
        self.log_lines_dropped.inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
        let mut text = Vec::new();
        // Writing into memory fails only for a metric without name or type: there is none.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }

    /// The names of all metrics that have a value, for documents.
    pub fn names(&self) -> Vec<String> {
        self.registry.gather().iter().map(|family| family.name().to_owned()).collect()
    }

    /// The children of a route.
    pub fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        if let Some(found) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(found);
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(Arc::clone(name)).or_insert_with(|| Arc::new(self.new_route(name))))
    }

    fn new_route(&self, name: &Arc<str>) -> RouteMetrics {
        RouteMetrics {
            name: Arc::clone(name),
            requests: self.requests.clone(),
            forwarded: self.requests.with_label_values(&[&**name, Outcome::Forwarded.label(), ""]),
            request_duration: self.request_duration.with_label_values(&[&**name]),
            upstream_duration: self.upstream_duration.with_label_values(&[&**name]),
            verify_durations: self.verify_duration.clone(),
            verify_duration: OnceLock::new(),
            secret_last_used: self.secret_last_used.clone(),
        }
    }

    /// A request that no route took.
    pub fn unrouted(&self, outcome: Outcome, reason: &str) {
        self.requests.with_label_values(&["", outcome.label(), reason]).inc();
    }

    /// A token with a good signature, which was known from before or not.
    pub fn token(&self, known: bool) {
        if known { self.token_known.inc() } else { self.token_verified.inc() }
    }

    /// The open connections of a listener, to be counted up and down.
    pub fn connections(&self, listener: &str) -> IntGauge {
        self.connections.with_label_values(&[listener])
    }

    /// A connection closed at once.
    pub fn connection_refused(&self, listener: &str, limit: &str) {
        self.connections_refused.with_label_values(&[listener, limit]).inc();
    }

    /// A handshake's end: `ok`, `failed`, `timeout` or `plain_http`.
    pub fn handshake(&self, listener: &str, result: &str) {
        self.handshakes.with_label_values(&[listener, result]).inc();
    }

    /// A fetch of an issuer's keys: `ok` or `failed`.
    pub fn jwks_refreshed(&self, issuer: &str, result: &str) {
        self.jwks_refreshes.with_label_values(&[issuer, result]).inc();
    }

    /// What is held for an issuer.
    pub fn jwks_held(&self, issuer: &str, keys: usize, age: Option<Duration>) {
        self.jwks_keys.with_label_values(&[issuer]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        if let Some(age) = age {
            self.jwks_age.with_label_values(&[issuer]).set(age.as_secs_f64());
        }
    }

    /// An issuer that is configured: its counters begin at zero, so that a first failure shows as an increase.
    pub fn jwks_known(&self, issuer: &str) {
        for result in ["ok", "failed"] {
            self.jwks_refreshes.with_label_values(&[issuer, result]).inc_by(0);
        }
    }

    /// An issuer that is no longer configured.
    pub fn jwks_dropped(&self, issuer: &str) {
        // An error says that there was no such child: just as well.
        let _ = self.jwks_keys.remove_label_values(&[issuer]);
        let _ = self.jwks_age.remove_label_values(&[issuer]);
    }

    /// A configuration was put in force: at the start, or by a reload.
    pub fn config_in_force(&self, now: UnixTime) {
        self.reload_successful.set(1);
        self.reload_timestamp.set(seconds(now));
    }

    /// A reload's end: `applied`, `unchanged` or `refused`.
    pub fn reloaded(&self, result: &str) {
        self.reloads.with_label_values(&[result]).inc();
    }

    /// The configuration on disk is not the one in force, or is again.
    pub fn config_is_current(&self, current: bool) {
        self.reload_successful.set(i64::from(current));
    }

    /// A revocation list that is configured: its counters begin at zero.
    pub fn revocation_known(&self, file: &str) {
        for result in ["applied", "refused"] {
            self.revocation_reloads.with_label_values(&[file, result]).inc_by(0);
        }
    }

    /// A revocation list that is no longer configured.
    pub fn revocation_dropped(&self, file: &str) {
        // An error says that there was no such child: just as well.
        let _ = self.revocation_successful.remove_label_values(&[file]);
        let _ = self.revocation_entries.remove_label_values(&[file]);
    }

    /// The revocation list on disk is the one in force.
    pub fn revocation_in_force(&self, file: &str, entries: usize) {
        self.revocation_successful.with_label_values(&[file]).set(1);
        self.revocation_entries.with_label_values(&[file]).set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// The revocation list on disk is not the one in force.
    pub fn revocation_refused(&self, file: &str) {
        self.revocation_successful.with_label_values(&[file]).set(0);
    }

    /// A reading of a changed revocation list: `applied` or `refused`.
    pub fn revocation_reloaded(&self, file: &str, result: &str) {
        self.revocation_reloads.with_label_values(&[file, result]).inc();
    }

    /// An id or a key: `reserved`, `committed`, `duplicate`, …
    pub fn admission(&self, kind: &str, result: &str) {
        self.admission.with_label_values(&[kind, result]).inc();
    }

    /// Entries that this process holds.
    pub fn admission_entries(&self, entries: usize) {
        self.admission_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// The served certificates, anew.
    pub fn certificates<'a>(&self, expiries: impl Iterator<Item = (&'a str, UnixTime)>) {
        self.certificate_expiry.reset();
        for (name, expiry) in expiries {
            self.certificate_expiry.with_label_values(&[name]).set(seconds(expiry));
        }
    }
}

impl RouteMetrics {
    /// One of the route's secrets has verified a request: the others may be old ones that can go.
    pub fn secret_used(&self, index: usize, now: UnixTime) {
        self.secret_last_used.with_label_values(&[&*self.name, &index.to_string()]).set(seconds(now));
    }

    /// One decision.
    pub fn verified(&self, scheme: &'static str, took: Duration) {
        let child = || self.verify_durations.with_label_values(&[scheme]);
        let (first, kept) = self.verify_duration.get_or_init(|| (scheme, child()));
        if *first == scheme { kept.observe(took.as_secs_f64()) } else { child().observe(took.as_secs_f64()) }
    }

    /// A request's end.
    pub fn finished(&self, outcome: Outcome, reason: &str, took: Duration, upstream: Option<Duration>) {
        match outcome {
            Outcome::Forwarded => self.forwarded.inc(),
            Outcome::Rejected
            | Outcome::DryRunRejected
            | Outcome::ChallengeAnswered
            | Outcome::DuplicateAnswered
            | Outcome::Error => {
                self.requests.with_label_values(&[&*self.name, outcome.label(), reason]).inc();
            }
        }
        self.request_duration.observe(took.as_secs_f64());
        if let Some(upstream) = upstream {
            self.upstream_duration.observe(upstream.as_secs_f64());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a Unix time is exact in 53 bits for 285 million years")]
fn seconds(time: UnixTime) -> f64 {
    time.seconds() as f64
}
