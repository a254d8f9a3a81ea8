//! The schema accepts every configuration of the repository: the files, and the parts of presets.

use std::path::{Path, PathBuf};

use hookgate::config;
use hookgate::config::presets::PRESETS;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files_in;
use crate::support::schema::{assert_valid, lines};

/// Folders whose files are broken on purpose.
const BROKEN: &[&str] = &["golden/check", "golden/cli/check.in", "golden/slips"];

/// Every YAML file of the folders, except those that are broken on purpose.
fn yaml_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            match path.is_dir() {
                true if BROKEN.iter().any(|folder| path.ends_with(folder)) => {}
                true => walk(&path, found),
                false => found.extend(Some(path).filter(|_| is_yaml)),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("gateway.yaml")];
    ["bench", "certs", "deploy", "docs", "fuzz", "tests"]
        .iter()
        .for_each(|folder| walk(&root.join(folder), &mut found));
    found
}

/// The configurations of a file: itself, or those in a ConfigMap of Kubernetes.
fn configurations(text: &str) -> Vec<String> {
    // After a mistake, the documents of a text would never end.
    let documents = serde_yaml::Deserializer::from_str(text).map_while(|document| Value::deserialize(document).ok());
    let mut found = Vec::new();
    for document in documents {
        if document["routes"].is_array() {
            found.push(text.to_owned());
        }
        let data = document["data"].as_object().into_iter().flatten();
        let inside = data.filter(|(name, _)| name.ends_with("gateway.yaml")).filter_map(|(_, text)| text.as_str());
        found.extend(inside.map(str::to_owned));
    }
    found
}

#[test]
fn the_schema_accepts_every_file_of_the_repository() {
    let mut names = Vec::new();
    for path in yaml_files() {
        for configuration in configurations(&std::fs::read_to_string(&path).unwrap()) {
            assert_valid(&configuration);
            names.push(path.display().to_string());
        }
    }
    println!("{} files", names.len());
    for expected in ["/gateway.yaml", "sidecar.yaml", "compiled/jwt.yaml"] {
        assert!(names.iter().any(|name| name.ends_with(expected)), "{expected} is not among {names:#?}");
    }
    let golden = names.iter().filter(|name| name.contains("golden/compiled")).count();
    assert_eq!(golden, files_in("tests/golden/compiled", "yaml").len());
}

/// The value with a text for each `${…}`.
fn filled(value: &Value) -> Value {
    let placeholder = regex::Regex::new(r"\$\{[a-z_]+\}").unwrap();
    match value {
        Value::String(text) => placeholder.replace_all(text, "example").into_owned().into(),
        Value::Array(items) => items.iter().map(filled).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[test]
fn the_schema_accepts_the_parts_of_every_preset() {
    let parts = [
        ("signature", "SignatureYaml"),
        ("static_token", "StaticTokenYaml"),
        ("jwt", "JwtYaml"),
        ("issuer", "IssuerYaml"),
    ];
    let mut validated = 0;
    for (part, definition) in parts {
        let schema = json!({ "$ref": format!("#/$defs/{definition}"), "$defs": config::schema()["$defs"] });
        let validator = jsonschema::validator_for(&schema).unwrap();
        for (name, text) in &*PRESETS {
            let preset: Value = serde_yaml::from_str(text).unwrap();
            let Some(part) = preset.get(part) else { continue };
            let mut part = filled(part);
            if definition == "JwtYaml" {
                // The issuer of a preset is the preset's own.
                part["issuer"] = json!(name);
            }
            let findings = lines(&validator, &part);
            assert!(findings.is_empty(), "{name}: {findings:#?}\n{part:#}");
            validated += 1;
        }
    }
    println!("{validated} parts of {} presets", PRESETS.len());
    assert!(validated >= PRESETS.len(), "{validated}");
}
