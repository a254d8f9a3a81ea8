//! The documents tell what the code does: each name of a contract stands in its reference.

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
    properties(&config::schema(), &mut names);
    let missing: Vec<_> = names.iter().filter(|name| !reference.contains(&format!("`{name}`"))).collect();
    assert!(names.len() > 80 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_code_is_in_the_reference_with_its_status() {
    let reference = reference();
    for (code, status) in Failure::codes() {
        let row = reference.lines().any(|line| line.contains(&format!("`{code}`")) && line.contains(status.as_str()));
        assert!(row, "no line has {code} and {status}");
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
    // Fields are right; what `hookgate certs` makes may not be there yet.
    if let Err(errors) = config::load(path, &[]) {
        let others: Vec<_> =
            errors.problems().iter().filter(|problem| !problem.message.ends_with("not found")).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}
