//! docs/reference/metrics.md, generated from the rows of `src/metrics/families.rs` and the enums of label values.

use hookgate::metrics::{MetricRow, Metrics, ROWS};

use super::generated::{assert_page, heading, origin, row, sentence};

const INTRODUCTION: &str = "\
`/metrics` of the [admin listener](configuration/index.md#admin) has these metrics in the Prometheus text format. The
values of `route`, `issuer`, `listener`, `file`, `name` and `upstream` are names of gateway.yaml, `reason` of
`hookgate_requests_total` is one of [the reasons](reasons.md), and all others are [listed below](#label-values).
";

/// A label and its values, and the metrics that have it.
struct Label {
    name: &'static str,
    values: Vec<(&'static str, &'static str)>,
    metrics: Vec<&'static str>,
}

/// The labels with fixed values, in the order of the metrics.
fn labels() -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    for metric in ROWS {
        for label in metric.labels {
            let Some(values) = (label.values)() else { continue };
            match labels.iter_mut().find(|known| known.name == label.name && known.values == values) {
                Some(known) => known.metrics.push(metric.name),
                None => labels.push(Label { name: label.name, values, metrics: vec![metric.name] }),
            }
        }
    }
    labels
}

fn code(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
}

fn metric(metric: &MetricRow) -> String {
    let name = metric.name;
    row(&[
        format!("<a id=\"{name}\"></a>[`{name}`](#{name})"),
        metric.kind.to_owned(),
        code(metric.labels.iter().map(|label| label.name)),
        sentence(metric.reference),
    ])
}

fn page() -> String {
    let mut page = format!("# Metrics\n\n{}{INTRODUCTION}\n", origin("`src/metrics/families.rs`"));
    page.push_str(&heading(&["metric", "type", "labels", "meaning"]));
    ROWS.iter().for_each(|one| page.push_str(&metric(one)));
    let process = Metrics::new().unwrap().names().into_iter().filter(|name| name.starts_with("process_"));
    page.push_str(&format!("\nOf the process: {}.\n\n## Label values\n", code(process)));
    for label in labels() {
        page.push_str(&format!("\n### `{}` of {}\n\n", label.name, code(&label.metrics)));
        page.push_str(&heading(&["value", "meaning"]));
        let values = label.values.iter().map(|(value, meaning)| row(&[format!("`{value}`"), (*meaning).to_owned()]));
        page.extend(values);
    }
    page.push_str("\n## Buckets of the histograms\n\nUpper bounds, in seconds:\n\n");
    for histogram in ROWS.iter().filter(|row| !row.buckets.is_empty()) {
        page.push_str(&format!("- `{}`: {}\n", histogram.name, numbers(histogram.buckets)));
    }
    page
}

fn numbers(numbers: &[f64]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    assert_page("metrics.md", &page());
}

/// The page is made of the rows: a metric that is registered elsewhere would be missing.
#[test]
fn every_metric_is_in_the_reference() {
    let page = page();
    for name in Metrics::new().unwrap().names() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    let kinds: Vec<&str> = ROWS.iter().map(|row| row.kind).collect();
    assert!(["counter", "gauge", "histogram"].iter().all(|kind| kinds.contains(kind)));
}

/// A label whose values are not names of gateway.yaml, reasons or statuses has its values on the page.
#[test]
fn every_label_has_its_values_or_is_a_name_of_the_configuration() {
    let open =
        ["route", "rule", "listener", "issuer", "file", "folder", "name", "upstream", "index", "version", "status"];
    for metric in ROWS {
        for label in metric.labels.iter().filter(|label| (label.values)().is_none()) {
            let is_reason_of_request = metric.name == "hookgate_requests_total" && label.name == "reason";
            assert!(open.contains(&label.name) || is_reason_of_request, "{}: {}", metric.name, label.name);
        }
    }
}
