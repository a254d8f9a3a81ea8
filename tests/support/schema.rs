//! The validator of the JSON Schema of gateway.yaml. Every configuration that a test loads is validated with it.

use std::path::Path;
use std::sync::LazyLock;

use hookgate::config::{self, Config, ConfigErrors, Handles};
use jsonschema::Validator;
use serde_json::Value;

/// The problems of a configuration that the schema finds, one line each.
pub fn findings(yaml: &str) -> Vec<String> {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| jsonschema::validator_for(config::schema()).unwrap());
    match serde_yaml::from_str::<Value>(yaml) {
        Ok(document) => lines(&VALIDATOR, &document),
        Err(error) => vec![format!("no YAML: {error}")],
    }
}

/// The problems of a value that a validator finds, one line each.
pub fn lines(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Fails if the schema rejects a configuration that the gateway accepts.
pub fn assert_valid(yaml: &str) {
    let findings = findings(yaml);
    assert!(findings.is_empty(), "the schema rejects a configuration that loads: {findings:#?}\n{yaml}");
}

/// Loads a configuration. The schema must accept one that loads.
pub fn load(path: &Path, known: &Handles) -> Result<Config, ConfigErrors> {
    let config = config::load(path, known)?;
    assert_valid(&std::fs::read_to_string(path).unwrap());
    Ok(config)
}
