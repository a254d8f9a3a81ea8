//! The documents describe the code: each configuration field, reason and metric is in the reference.

mod examples;

use std::collections::BTreeSet;

use hookgate::config;
use hookgate::failure::Failure;
use hookgate::metrics::Metrics;
use serde_json::Value;

fn reference() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    std::fs::read_to_string(path).unwrap()
}

/// Every property name in a JSON Schema.
fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                names.extend(properties.keys().cloned());
            }
            members.values().for_each(|value| properties(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| properties(value, names)),
        _ => {}
    }
}

#[test]
fn every_field_is_in_the_reference() {
    let (mut names, reference) = (BTreeSet::new(), reference());
    properties(config::schema(), &mut names);
    let missing: Vec<_> = names.iter().filter(|name| !reference.contains(&format!("`{name}`"))).collect();
    assert!(names.len() > 80 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_reason_is_in_the_reference_with_its_status() {
    let reference = reference();
    for (reason, status) in Failure::reasons() {
        let row = reference.lines().any(|line| line.contains(&format!("`{reason}`")) && line.contains(status.as_str()));
        assert!(row, "no line has {reason} and {status}");
    }
}

#[test]
fn every_metric_is_in_the_reference() {
    let (reference, metrics) = (reference(), Metrics::new().unwrap());
    for name in metrics.names() {
        assert!(reference.contains(&name), "{name}");
    }
}

#[test]
fn the_repositorys_configuration_is_valid_but_for_its_certificates() {
    let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.yaml"));
    // Only the files that `hookgate dev-certs` writes may be missing.
    if let Err(errors) = config::load(path, &config::Handles::default()) {
        let others: Vec<_> =
            errors.problems().iter().filter(|problem| !problem.message.ends_with("not found")).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

/// Every source file of the crate and of its tests.
fn code() -> String {
    fn walk(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    walk(&root.join("src"), &mut text);
    walk(&root.join("tests"), &mut text);
    text
}

/// Rows of the page's tables without a test, and named tests that do not exist.
fn gaps(page: &str, code: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| mechanism"));
    let mut gaps = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let missing = tests.iter().filter(|name| !code.contains(&format!("fn {name}("))).map(|name| (*name).to_owned());
        gaps.extend(missing);
        if tests.is_empty() {
            gaps.push(row.to_owned());
        }
    }
    gaps
}

#[test]
fn every_row_of_the_conformance_page_has_its_test() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md")).unwrap();
    let gaps = gaps(&page, &code());
    assert!(gaps.is_empty(), "{gaps:#?}");
    assert_eq!(self::gaps("| a | b | c | |\n| a | b | c | `no_such_test` |", "").len(), 2);
}
