//! The metrics of the process. `families` declares each of them in one row.
//!
//! Label values come from finite sets: routes, issuers and listeners of gateway.yaml, reasons and HTTP statuses. The
//! children that each request needs are created once per route. docs/reference/metrics.md is generated from the
//! rows.

mod families;
mod family;
mod label;
mod route;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use prometheus::{Encoder, IntCounter, Registry, TextEncoder};
use tracing_appender::non_blocking::ErrorCounter;

use crate::auth::SignatureCheck;
use crate::clock::UnixTime;
pub use families::ROWS;
use families::{Families, seconds};
pub use family::{MetricLabel, MetricRow};
use label::Label as _;
pub use label::{
    ConnectionRejection, EntryKind, HandshakeError, LabelValues, OperationResult, Outcome, Reloaded,
    StoreOperationResult,
};
pub use route::RouteMetrics;

/// Panics of this process, which also happen where no gateway and its metrics are at hand.
pub static PANICS: AtomicU64 = AtomicU64::new(0);

/// The counter of log lines that were dropped; set when the log is opened.
pub static LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    token_cached: IntCounter,
    token_verified: IntCounter,
    routes: RwLock<HashMap<Arc<str>, Arc<RouteMetrics>>>,
}

impl std::ops::Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.families
    }
}

impl Metrics {
    /// # Errors
    /// Two metrics of one name, which the rows rule out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let lookups = |check: SignatureCheck| families.token_cache_lookups.with_label_values(&[check.label()]);
        let (token_cached, token_verified) = (lookups(SignatureCheck::Cached), lookups(SignatureCheck::Verified));
        let metrics = Self { registry, families, token_cached, token_verified, routes: RwLock::default() };
        Reloaded::ALL.iter().for_each(|result| metrics.config_reloads(*result).inc_by(0));
        metrics.build_info(env!("CARGO_PKG_VERSION")).set(1);
        Ok(metrics)
    }

    /// All metrics in the Prometheus text exposition format.
    pub fn render(&self) -> Vec<u8> {
        self.panics().reset();
        self.panics().inc_by(PANICS.load(Ordering::Relaxed));
        self.log_lines_dropped().reset();
        let dropped = LINES.get().map_or(0, ErrorCounter::dropped_lines);
        self.log_lines_dropped().inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
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

    /// Counts a token with a valid signature, by whether its verification was cached.
    pub fn token(&self, check: SignatureCheck) {
        match check {
            SignatureCheck::Cached => self.token_cached.inc(),
            SignatureCheck::Verified => self.token_verified.inc(),
        }
    }

    /// Sets the gauges of an issuer's JWKS.
    pub fn jwks_held(&self, issuer: &str, keys: usize, last_success: Option<UnixTime>) {
        self.jwks_keys(issuer).set(count(keys));
        if let Some(at) = last_success {
            self.jwks_last_success_timestamp(issuer).set(seconds(at));
        }
    }

    /// Starts the counters of a configured issuer at zero, so that a first error shows as an increase.
    pub fn jwks_known(&self, issuer: &str) {
        OperationResult::ALL.iter().for_each(|result| self.jwks_refreshes(issuer, *result).inc_by(0));
    }

    /// Removes the gauges of an issuer that is no longer configured.
    pub fn jwks_dropped(&self, issuer: &str) {
        // An error means that there was no such child, which is as good.
        let _ = self.families.jwks_keys.remove_label_values(&[issuer]);
        let _ = self.families.jwks_last_success_timestamp.remove_label_values(&[issuer]);
    }

    /// A configuration became active, at the start or by a reload.
    pub fn config_activated(&self, now: UnixTime) {
        self.config_last_reload_successful().set(1);
        self.config_last_reload_success_timestamp().set(seconds(now));
    }

    /// Starts the counters of a configured revocation list at zero.
    pub fn revocation_known(&self, file: &str) {
        for result in [Reloaded::Applied, Reloaded::Rejected] {
            self.revocation_reloads(file, result).inc_by(0);
        }
    }

    /// Removes the gauges of a revocation list that is no longer configured.
    pub fn revocation_dropped(&self, file: &str) {
        // An error means that there was no such child, which is as good.
        let _ = self.families.revocation_last_reload_successful.remove_label_values(&[file]);
        let _ = self.families.revocation_entries.remove_label_values(&[file]);
    }

    /// The revocation list on disk is the active one.
    pub fn revocation_activated(&self, file: &str, entries: usize) {
        self.revocation_last_reload_successful(file).set(1);
        self.revocation_entries(file).set(count(entries));
    }

    /// Sets the number of entries that this process stores, and how many it can store.
    pub fn store_usage(&self, entries: usize, capacity: usize) {
        self.store_entries().set(count(entries));
        self.store_capacity().set(count(capacity));
    }

    /// Replaces the upstreams on loopback, each with whether it is exposed.
    pub fn upstreams_exposed<'a>(&self, upstreams: impl Iterator<Item = (&'a str, bool)>) {
        self.families.upstream_exposed.reset();
        for (upstream, exposed) in upstreams {
            self.upstream_exposed(upstream).set(exposed.into());
        }
    }

    /// Replaces the served certificates and the times at which they expire.
    pub fn certificates<'a>(&self, expiries: impl Iterator<Item = (&'a str, UnixTime)>) {
        self.families.certificate_expiry_timestamp.reset();
        for (name, expiry) in expiries {
            self.certificate_expiry_timestamp(name).set(seconds(expiry));
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
