//! The metrics of the process. `families` declares each of them in one row.
//!
//! Label values come from finite sets: routes, issuers and listeners of gateway.yaml, reasons and HTTP statuses. The
//! children that each request needs are created once per route. docs/reference/metrics.md is generated from the
//! rows.

mod families;
mod family;
mod label;
mod route;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::proto::{LabelPair, Metric, MetricFamily};
use prometheus::{Encoder, IntCounter, Registry, TextEncoder};

use crate::auth::SignatureCheck;
use crate::auth::sender::KeyDigest;
use crate::clock::UnixTime;
pub use families::ROWS;
use families::{Families, seconds};
pub use family::{MetricLabel, MetricRow};
use label::Label as _;
pub use label::{
    ConnectionRejection, DisplacedCause, EntryKind, FilterResult, HandshakeError, LabelValues, LogLineKind,
    OperationResult, Outcome, PoolName, Reloaded, StoreLoss, StoreOperationResult,
};
pub use route::RouteMetrics;

/// Panics of this process, which also happen where no gateway and its metrics are at hand.
pub static PANICS: AtomicU64 = AtomicU64::new(0);

/// The names of gateway.yaml that are values of labels.
#[derive(Debug, Default)]
pub struct ConfiguredNames {
    /// Names of routes.
    pub routes: HashSet<Arc<str>>,
    /// Names of the issuers whose keys are fetched.
    pub issuers: HashSet<Arc<str>>,
    /// Folders with the secrets of tenants.
    pub tenant_folders: HashSet<String>,
    /// Files of revocation lists.
    pub revocation_files: HashSet<String>,
    /// The secrets of each route, with their index.
    pub secrets: HashMap<Arc<str>, HashMap<usize, KeyDigest>>,
}

const SECRET_LAST_USED: &str = "hookgate_secret_last_used_timestamp_seconds";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    token_cached: IntCounter,
    token_verified: IntCounter,
    configured: RwLock<ConfiguredNames>,
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
        let (configured, routes) = (RwLock::default(), RwLock::default());
        let metrics = Self { registry, families, token_cached, token_verified, configured, routes };
        Reloaded::ALL.iter().for_each(|result| metrics.config_reloads(*result).inc_by(0));
        metrics.build_info(env!("CARGO_PKG_VERSION")).set(1);
        Ok(metrics)
    }

    /// All metrics in the Prometheus text exposition format.
    pub fn render(&self) -> Vec<u8> {
        self.panics().reset();
        self.panics().inc_by(PANICS.load(Ordering::Relaxed));
        for kind in LogLineKind::ALL {
            self.log_lines_dropped(*kind).reset();
            self.log_lines_dropped(*kind).inc_by(kind.dropped().load(Ordering::Relaxed));
        }
        let families = self.registry.gather();
        let mut text = Vec::new();
        // Encoding into memory fails only for a metric without name or type: there is none.
        let _ = TextEncoder::new().encode(&families, &mut text);
        self.remove_unconfigured(&families);
        text
    }

    /// A configuration with these names becomes active: the children of all other names are removed. The children of a
    /// route that still has requests in flight stay until the first scrape after these.
    pub fn configure(&self, names: ConfiguredNames) {
        let secrets = {
            let mut configured = self.configured.write().unwrap_or_else(PoisonError::into_inner);
            let former = std::mem::replace(&mut *configured, names).secrets;
            former
                .into_iter()
                .filter_map(|(route, former)| {
                    let present = configured.secrets.get(&route)?;
                    (*present != former).then(|| (route, former, present.clone()))
                })
                .collect::<Vec<_>>()
        };
        secrets.iter().for_each(|(route, former, present)| self.move_uses(route, former, present));
        self.remove_unconfigured(&self.registry.gather());
    }

    /// The list of a route's secrets has changed: a secret that stays in it keeps the time of its last use.
    fn move_uses(&self, route: &str, former: &HashMap<usize, KeyDigest>, present: &HashMap<usize, KeyDigest>) {
        let last_use = |index: &usize| self.secret_last_used_timestamp(route, &index.to_string());
        let uses: Vec<_> = former.iter().map(|(index, key)| (*key, last_use(index).get())).collect();
        for index in former.keys() {
            self.families.remove(SECRET_LAST_USED, &[route, &index.to_string()]);
        }
        for (index, key) in present {
            if let Some((_, time)) = uses.iter().find(|(used, time)| used == key && *time > 0.0) {
                last_use(index).set(*time);
            }
        }
    }

    fn remove_unconfigured(&self, families: &[MetricFamily]) {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner);
        let unconfigured = |metric: &&Metric| {
            metric.get_label().iter().any(|label| match label.name() {
                "route" => !label.value().is_empty() && !configured.routes.contains(label.value()),
                "issuer" => !configured.issuers.contains(label.value()),
                "folder" => !configured.tenant_folders.contains(label.value()),
                "file" => !configured.revocation_files.contains(label.value()),
                _ => false,
            })
        };
        let children =
            families.iter().flat_map(|family| family.get_metric().iter().map(move |metric| (family, metric)));
        let unconfigured: Vec<_> = children.filter(|(_, metric)| unconfigured(metric)).collect();
        if unconfigured.is_empty() {
            return;
        }
        // While it is locked, no request gets a route's children. Those that a request in flight has stay.
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|name, route| configured.routes.contains(name) || Arc::strong_count(route) > 1);
        for (family, metric) in unconfigured {
            let Some(row) = ROWS.iter().find(|row| row.name == family.name()) else { continue };
            let pair = |name: &str| metric.get_label().iter().find(|pair| pair.name() == name);
            let value = |name: &str| pair(name).map_or("", LabelPair::value);
            if !routes.contains_key(value("route")) {
                let values: Vec<&str> = row.labels.iter().map(|label| value(label.name)).collect();
                self.families.remove(row.name, &values);
            }
        }
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

    /// Starts the counters of a source of signing certificates at zero.
    pub fn certificates_known(&self, issuer: &str) {
        OperationResult::ALL.iter().for_each(|result| self.certificate_fetches(issuer, *result).inc_by(0));
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

    /// Replaces the routes with a dry run and its end, which may have passed.
    pub fn dry_runs<'a>(&self, ends: impl Iterator<Item = (&'a str, UnixTime)>) {
        self.families.route_dry_run_until_timestamp.reset();
        for (route, until) in ends {
            self.route_dry_run_until_timestamp(route).set(seconds(until));
        }
    }

    /// Replaces the served certificates and the times from and until which they are valid.
    pub fn certificates<'a>(&self, validities: impl Iterator<Item = (&'a str, [UnixTime; 2])>) {
        self.families.certificate_expiry_timestamp.reset();
        self.families.certificate_not_before_timestamp.reset();
        for (name, validity) in validities {
            self.certificate(name, validity);
        }
    }

    /// Sets from and until when one of the served certificates is valid.
    pub fn certificate(&self, name: &str, [begins, expires]: [UnixTime; 2]) {
        self.certificate_not_before_timestamp(name).set(seconds(begins));
        self.certificate_expiry_timestamp(name).set(seconds(expires));
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn routes(names: &[&str]) -> ConfiguredNames {
        ConfiguredNames { routes: names.iter().map(|name| Arc::from(*name)).collect(), ..ConfiguredNames::default() }
    }

    fn finish(metrics: &Metrics, route: &RouteMetrics) {
        route.finished(metrics, Outcome::Forwarded, None, None, std::time::Duration::ZERO, None);
    }

    fn page(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).unwrap()
    }

    /// A request in flight keeps its route's children, although a reload has removed the route; its count is scraped
    /// once. A route that a later reload adds again keeps its counts.
    #[test]
    fn children_of_a_removed_route_stay_while_its_requests_are_in_flight() {
        let metrics = Metrics::new().unwrap();
        metrics.configure(routes(&["kept", "removed"]));
        let (kept, in_flight) = (metrics.route(&"kept".into()), metrics.route(&"removed".into()));
        [&kept, &in_flight].iter().for_each(|route| finish(&metrics, route));
        metrics.requests("", Outcome::Rejected, Some(Reason::NoRoute), None).inc();
        metrics.configure(routes(&["kept"]));
        drop(kept);
        finish(&metrics, &in_flight);
        drop(in_flight);
        let labels = |route: &str| {
            format!("hookgate_requests_total{{outcome=\"forwarded\",reason=\"\",route=\"{route}\",status=\"\"}}")
        };
        assert!(page(&metrics).contains(&format!("{} 2", labels("removed"))));
        assert!(!page(&metrics).contains("removed"));
        finish(&metrics, &metrics.route(&"kept".into()));
        let page = page(&metrics);
        assert!(page.contains(&format!("{} 2", labels("kept"))) && page.contains("no_route"), "{page}");
    }

    #[test]
    fn children_of_removed_issuers_and_revocation_lists_go() {
        let metrics = Metrics::new().unwrap();
        metrics.configure(ConfiguredNames {
            issuers: ["acme".into()].into(),
            revocation_files: ["revoked.yaml".to_owned()].into(),
            ..ConfiguredNames::default()
        });
        metrics.jwks_known("acme");
        metrics.jwks_held("acme", 2, Some(UnixTime::default()));
        metrics.revocation_known("revoked.yaml");
        metrics.revocation_activated("revoked.yaml", 1);
        assert_eq!(page(&metrics).matches("acme").count() + page(&metrics).matches("revoked.yaml").count(), 8);
        metrics.configure(ConfiguredNames::default());
        // A scrape that has read the keys before the reload.
        metrics.jwks_held("acme", 2, None);
        let _last = page(&metrics);
        let page = page(&metrics);
        assert!(!page.contains("acme") && !page.contains("revoked.yaml"), "{page}");
    }
}
