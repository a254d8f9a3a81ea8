//! Makes and registers a metric from its row.

use prometheus::core::Collector;
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

use super::label::LabelValues;

/// A label of a metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: fn() -> LabelValues,
}

/// The declaration of a metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricRow {
    /// Its name.
    pub name: &'static str,
    /// Its `# HELP` line.
    pub help: &'static str,
    /// Its meaning in the reference, in Markdown.
    pub reference: &'static str,
    /// Its type in the Prometheus text format.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [MetricLabel],
    /// The upper bounds of a histogram's buckets, in seconds.
    pub buckets: &'static [f64],
}

/// The row of a metric without labels that is no histogram.
pub(super) const fn row(
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    reference: &'static str,
) -> MetricRow {
    MetricRow { name, help, reference, kind, labels: &[], buckets: &[] }
}

impl MetricRow {
    pub(super) const fn labels(self, labels: &'static [MetricLabel]) -> Self {
        Self { labels, ..self }
    }

    pub(super) const fn buckets(self, buckets: &'static [f64]) -> Self {
        Self { buckets, ..self }
    }

    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name).collect()
    }
}

/// A metric with all its labels set.
pub(super) trait Child: Sized {
    /// Its children, by their label values.
    type Family: Collector + Clone + 'static;

    /// The type in the Prometheus text format.
    const KIND: &'static str;

    fn family(row: &MetricRow) -> Result<Self::Family, Error>;

    fn register(row: &MetricRow, registry: &Registry) -> Result<Self::Family, Error> {
        let family = Self::family(row)?;
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

impl Child for IntCounter {
    type Family = IntCounterVec;
    const KIND: &'static str = "counter";

    fn family(row: &MetricRow) -> Result<IntCounterVec, Error> {
        IntCounterVec::new(row.opts(), &row.label_names())
    }
}

impl Child for IntGauge {
    type Family = IntGaugeVec;
    const KIND: &'static str = "gauge";

    fn family(row: &MetricRow) -> Result<IntGaugeVec, Error> {
        IntGaugeVec::new(row.opts(), &row.label_names())
    }
}

impl Child for Gauge {
    type Family = GaugeVec;
    const KIND: &'static str = "gauge";

    fn family(row: &MetricRow) -> Result<GaugeVec, Error> {
        GaugeVec::new(row.opts(), &row.label_names())
    }
}

impl Child for Histogram {
    type Family = HistogramVec;
    const KIND: &'static str = "histogram";

    fn family(row: &MetricRow) -> Result<HistogramVec, Error> {
        HistogramVec::new(HistogramOpts::from(row.opts()).buckets(row.buckets.to_vec()), &row.label_names())
    }
}
