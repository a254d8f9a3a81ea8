//! The examples and defaults of the schema are valid: to the schema of their own key, and to the gateway.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hookgate::config::{self, Handles, Sources, compile};
use serde_json::{Map, Value, json};

use crate::support::schema::lines;

/// A value that the schema shows for a key, and a configuration with it.
struct Shown {
    /// The path of the key, as in problems.
    path: String,
    configuration: Value,
}

/// Where a subschema is in gateway.yaml.
struct Place<'a> {
    path: String,
    /// Makes a configuration with a value at this place.
    around: &'a dyn Fn(Value) -> Value,
}

/// The keys of gateway.yaml with their examples and defaults.
#[derive(Default)]
struct Keys {
    shown: Vec<Shown>,
    number: usize,
    with_example: usize,
    with_default: usize,
    required: usize,
    without_example: Vec<String>,
}

fn resolved(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => config::schema().pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

/// The attribute of a schema, else of the definition to which it refers.
fn attribute(schema: &'static Value, name: &str) -> Option<&'static Value> {
    schema.get(name).or_else(|| resolved(schema).get(name))
}

/// An object with the keys that it requires.
fn required(schema: &'static Value) -> Map<String, Value> {
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let value = |name| {
        let property = &schema["properties"][name];
        property.get("const").or_else(|| attribute(property, "examples")?.get(0)).unwrap_or_else(|| panic!("{name}"))
    };
    names.map(|name| (name.to_owned(), value(name).clone())).collect()
}

impl Keys {
    /// Walks over a subschema. An object inside of itself is not walked over again.
    fn walk(&mut self, schema: &'static Value, place: &Place<'_>, open: &mut Vec<&'static str>) {
        if let Some(reference) = schema["$ref"].as_str() {
            if !open.contains(&reference) {
                open.push(reference);
                self.walk(resolved(schema), place, open);
                open.pop();
            }
            return;
        }
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let around = |value: Value| {
                let mut object = required(schema);
                object.insert(name.clone(), value);
                (place.around)(object.into())
            };
            let path = if place.path.is_empty() { name.clone() } else { format!("{}.{name}", place.path) };
            let inside = Place { path, around: &around };
            self.key(
                property,
                &inside,
                schema["required"].as_array().is_some_and(|names| names.contains(&json!(name))),
            );
            self.walk(property, &inside, open);
        }
        if properties.is_none() {
            let alternatives = ["anyOf", "oneOf"].iter().filter_map(|word| schema[*word].as_array());
            alternatives.flatten().for_each(|alternative| self.walk(alternative, place, open));
        }
        if schema["items"].is_object() {
            let around = |value: Value| (place.around)(json!([value]));
            let inside = Place { path: format!("{}[0]", place.path), around: &around };
            self.show(&schema["items"], &inside);
            self.walk(&schema["items"], &inside, open);
        }
        if schema["additionalProperties"].is_object() {
            let around = |value: Value| (place.around)(json!({ "acme": value }));
            let inside = Place { path: format!("{}.acme", place.path), around: &around };
            self.walk(&schema["additionalProperties"], &inside, open);
        }
    }

    fn key(&mut self, schema: &'static Value, place: &Place<'_>, is_required: bool) {
        self.number += 1;
        self.required += usize::from(is_required);
        let (has_example, has_default) = self.show(schema, place);
        self.with_example += usize::from(has_example);
        self.with_default += usize::from(has_default);
        if !has_example && schema.get("const").is_none() {
            self.without_example.push(place.path.clone());
        }
    }

    /// Adds the examples and the default of a schema; whether there are some.
    fn show(&mut self, schema: &'static Value, place: &Place<'_>) -> (bool, bool) {
        let examples = attribute(schema, "examples").and_then(Value::as_array).into_iter().flatten();
        let examples: Vec<&Value> = examples.collect();
        let default = attribute(schema, "default");
        for value in examples.iter().copied().chain(default) {
            let mut configuration = (place.around)(value.clone());
            // Many keys refer to these.
            let others = [("store", json!({ "type": "memory" })), ("issuers", issuers())];
            for (name, other) in others {
                configuration.as_object_mut().unwrap().entry(name).or_insert(other);
            }
            self.shown.push(Shown { path: place.path.clone(), configuration });
        }
        (!examples.is_empty(), default.is_some())
    }
}

/// The issuer `acme`, with a key set that needs no HTTP client: building one for each key would take minutes.
fn issuers() -> Value {
    let inline = &config::schema()["$defs"]["JwksYaml"]["properties"]["inline"]["examples"][0];
    json!({ "acme": { "issuer": "https://issuer.example.com/", "algorithms": ["EdDSA"], "jwks": { "inline": inline } } })
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    let place = Place { path: String::new(), around: &|value| value };
    keys.walk(config::schema(), &place, &mut Vec::new());
    keys
}

#[test]
fn every_key_has_an_example() {
    let keys = keys();
    println!(
        "{} keys, {} with an example, {} with a default, {} required",
        keys.number, keys.with_example, keys.with_default, keys.required
    );
    assert!(keys.number > 250 && keys.without_example.is_empty(), "{:#?}", keys.without_example);
}

/// The words of a problem that another key or a file would solve.
const SOLVED_ELSEWHERE: &[&str] = &[
    "missing; expected",
    "requires ",
    "was not read",
    "is for `header` only",
    "is for `url`, `discovery` and `discovery_url` only",
    "set `signed: false`",
    "without a JWT",
    "no listener requests client certificates",
    "the signature has no key id",
    "is not signed",
    "this scheme is verified with",
    "contains no usable key",
    "are its sender",
    "a static token has no key id",
    "has no effect on",
    "works only with `path: /*`",
    "is for an `issuer` with {tenantid} only",
    "no file matches",
];

#[test]
fn the_gateway_accepts_every_example_and_default() {
    let shown = keys().shown;
    let mut rejected = Vec::new();
    for Shown { path, configuration } in &shown {
        let sources = Sources::in_memory(PathBuf::from("gateway.yaml"), configuration.to_string(), BTreeMap::new());
        let Err(errors) = compile(&sources, &Handles::default()) else { continue };
        for problem in errors.problems() {
            let field = problem.field.to_string();
            let is_here =
                field.strip_prefix(path.as_str()).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
            if is_here && !SOLVED_ELSEWHERE.iter().any(|words| problem.message.contains(words)) {
                rejected.push(format!("{field}: {}", problem.message));
            }
        }
    }
    rejected.dedup();
    assert!(shown.len() > 400 && rejected.is_empty(), "{} values: {rejected:#?}", shown.len());
}

/// Every subschema that shows values, and these values.
fn showing<'a>(schema: &'a Value, found: &mut Vec<(&'a Value, Vec<&'a Value>)>) {
    let examples = schema["examples"].as_array().into_iter().flatten().chain(schema.get("default"));
    let examples: Vec<&Value> = examples.collect();
    if !examples.is_empty() {
        found.push((schema, examples));
    }
    let groups = ["properties", "$defs"].iter().filter_map(|word| schema[*word].as_object());
    let lists = ["anyOf", "oneOf"].iter().filter_map(|word| schema[*word].as_array());
    let inner = groups.flat_map(|group| group.values()).chain(lists.flatten());
    for inner in inner.chain([&schema["items"], &schema["additionalProperties"]]).filter(|inner| inner.is_object()) {
        showing(inner, found);
    }
}

/// The problems that the schema finds in the values that it shows itself.
fn contradictions(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    showing(schema, &mut found);
    let mut contradictions = Vec::new();
    for (subschema, values) in found {
        let mut alone = subschema.clone();
        alone["$defs"] = schema.get("$defs").cloned().unwrap_or_else(|| json!({}));
        let validator = jsonschema::validator_for(&alone).unwrap();
        contradictions.extend(values.iter().flat_map(|value| lines(&validator, value)));
    }
    contradictions
}

#[test]
fn every_example_and_default_is_valid_to_the_schema_of_its_key() {
    let contradictions = contradictions(config::schema());
    assert!(contradictions.is_empty(), "{contradictions:#?}");
    let wrong =
        json!({ "properties": { "a": { "type": "integer", "maximum": 5, "default": 6, "examples": [5, "5"] } } });
    assert_eq!(self::contradictions(&wrong).len(), 2);
}
