//! Makes and registers a metric from its row.

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

/// The declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricRow {
    /// Its name.
    pub name: &'static str,
    /// Its `# HELP` line.
    pub help: &'static str,
    /// Its meaning in the reference, in Markdown.
    pub reference: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets, in seconds.
    pub buckets: &'static [f64],
}

/// The row of a metric that is no histogram.
pub(super) const fn row(
    name: &'static str,
    help: &'static str,
    reference: &'static str,
    labels: &'static [&'static str],
) -> MetricRow {
    MetricRow { name, help, reference, labels, buckets: &[] }
}

impl MetricRow {
    pub(super) const fn buckets(self, buckets: &'static [f64]) -> Self {
        Self { buckets, ..self }
    }

    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

/// A metric with all its labels set.
pub(super) trait Child: Sized {
    /// Its children, by their label values.
    type Family: Collector + Clone + 'static;

    fn family(row: &MetricRow) -> Result<Self::Family, Error>;

    fn register(row: &MetricRow, registry: &Registry) -> Result<Self::Family, Error> {
        let family = Self::family(row)?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

impl Child for IntCounter {
    type Family = IntCounterVec;

    fn family(row: &MetricRow) -> Result<IntCounterVec, Error> {
        IntCounterVec::new(row.opts(), row.labels)
    }
}

impl Child for IntGauge {
    type Family = IntGaugeVec;

    fn family(row: &MetricRow) -> Result<IntGaugeVec, Error> {
        IntGaugeVec::new(row.opts(), row.labels)
    }
}

impl Child for Gauge {
    type Family = GaugeVec;

    fn family(row: &MetricRow) -> Result<GaugeVec, Error> {
        GaugeVec::new(row.opts(), row.labels)
    }
}

impl Child for Histogram {
    type Family = HistogramVec;

    fn family(row: &MetricRow) -> Result<HistogramVec, Error> {
        HistogramVec::new(HistogramOpts::from(row.opts()).buckets(row.buckets.to_vec()), row.labels)
    }
}
