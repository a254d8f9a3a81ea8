//! YAML blocks and key tables of the documents, compared with the JSON Schema of gateway.yaml.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use hookgate::config::{schema, yaml};
use serde_json::{Value, json};

/// Every key of the schema.
static KEYS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut keys = BTreeSet::new();
    collect(schema(), &mut keys);
    // Of the revocation list, whose schema is its own.
    keys.extend(["jti", "sub", "kid", "issued_before"].map(str::to_owned));
    keys
});

fn collect(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            let properties = members.get("properties").and_then(Value::as_object);
            keys.extend(properties.into_iter().flat_map(|properties| properties.keys().cloned()));
            members.values().for_each(|value| collect(value, keys));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub fn is_known(key: &str) -> bool {
    key.split('.').all(|segment| KEYS.contains(segment))
}

/// Line and text of each block marked as YAML.
pub fn yaml_blocks(page: &str) -> Vec<(usize, String)> {
    let (mut blocks, mut open): (Vec<(usize, String)>, bool) = (Vec::new(), false);
    for (index, line) in page.lines().enumerate() {
        match (open, line.trim()) {
            (false, "```yaml") => {
                blocks.push((index + 1, String::new()));
                open = true;
            }
            (true, "```") => open = false,
            (true, _) => blocks.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            (false, _) => {}
        }
    }
    blocks
}

/// Unknown and former keys of a configuration, or of any object inside one. Manifests of other programs have none.
pub fn unknown_keys(block: &str) -> Vec<String> {
    let text = filled(block);
    if let Err(problems) = yaml::read(&text) {
        return problems.iter().map(|problem| problem.message.clone()).collect();
    }
    let value: Value = serde_yaml::from_str(&text).unwrap();
    let keys: Vec<&String> = value.as_object().map(|object| object.keys().collect()).unwrap_or_default();
    if keys.iter().any(|key| ["apiVersion", "scrape_configs", "services", "rule_files"].contains(&key.as_str())) {
        return Vec::new();
    }
    let definitions = schema()["$defs"].as_object().unwrap();
    let has_all = |object: &Value| keys.iter().all(|key| object["properties"].get(key.as_str()).is_some());
    match definitions.iter().find(|(_, object)| has_all(object)) {
        _ if has_all(schema()) => mistakes(schema(), &value),
        Some((name, _)) => mistakes(&json!({"$ref": format!("#/$defs/{name}"), "$defs": definitions}), &value),
        // Of a revocation list, or keys that stand together in no object: the first unknown one is named.
        None => keys.iter().filter(|key| !is_known(key)).map(|key| format!("no key `{key}`")).collect(),
    }
}

/// `@NAME@` of a template in bench, which its script replaces.
fn filled(block: &str) -> String {
    block
        .lines()
        .filter(|line| !line.trim_start().starts_with('@'))
        .map(|line| format!("{}\n", line.replace('@', "")))
        .collect()
}

/// Keys that the schema does not have; other differences may be placeholders.
fn mistakes(schema: &Value, value: &Value) -> Vec<String> {
    let schema = jsonschema::validator_for(schema).unwrap();
    let mistakes = schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path()));
    mistakes.filter(|mistake| mistake.contains("Additional properties")).collect()
}

/// Line and name of each key in the first column of a table whose heading is `field` or `key`.
pub fn keys(page: &str) -> Vec<(usize, String)> {
    let (mut found, mut inside) = (Vec::new(), false);
    for (index, line) in page.lines().enumerate().filter(|(_, line)| !line.starts_with("|--")) {
        let Some(first) = line.strip_prefix("| ").and_then(|line| line.split('|').next()) else {
            inside = false;
            continue;
        };
        if ["field", "key"].iter().any(|heading| first.starts_with(heading)) && !first.contains("of the log") {
            inside = true;
        } else if inside {
            let names = first.split('`').skip(1).step_by(2);
            found.extend(names.map(|name| (index + 1, name.to_owned())));
        }
    }
    found
}

#[test]
fn unknown_keys_of_blocks_and_tables_are_found() {
    assert_eq!(unknown_keys("routes:\n  - nmae: a\n").len(), 1);
    assert_eq!(unknown_keys("state: { kind: memory }\n").len(), 1);
    assert_eq!(unknown_keys("limits: { body: 1MiB }\nname: a\n").len(), 1);
    assert_eq!(unknown_keys("limits: { max_body_size: 1MiB }\nname: a\n"), Vec::<String>::new());
    let table = "| field | meaning |\n|---|---|\n| `name` `nmae` | a |\n\n| `x` | not a key |\n";
    let names: Vec<String> = keys(table).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["name", "nmae"]);
    assert!(is_known("name") && !is_known("nmae") && is_known("upstream.timeouts.total"));
}
