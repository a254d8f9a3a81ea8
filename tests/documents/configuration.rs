//! docs/reference/configuration: a row for each key of gateway.yaml, generated from its JSON Schema.

mod kinds;
mod sample;
mod sections;
mod walk;
mod yaml;

use std::collections::BTreeSet;

use hookgate::config;
use serde_json::Value;

use super::generated::{anchors, assert_page, heading, origin, row, slug};
use kinds::{in_words, words};
use sections::{Section, sections, sentences};
use walk::Key;

/// The pages: the path of the objects that each begins with, its file, its title, and its subject.
const PAGES: &[(&str, &str, &str)] = &[
    ("", "index.md", "Configuration reference"),
    ("listeners", "listeners.md", "Listeners: addresses, TLS, client certificates, limits and timeouts"),
    ("store", "store.md", "The store of replay ids, idempotency keys and shared limits"),
    ("issuers", "issuers.md", "Token issuers and their keys"),
    ("routes", "routes.md", "Routes: matching, upstreams, limits, forwarded headers"),
    ("routes.auth", "authentication.md", "Authentication schemes of a route"),
    ("routes.auth.jwt", "jwt.md", "JSON Web Tokens"),
    ("routes.auth.signature", "signature.md", "Signatures"),
    ("routes.auth.http_message_signature", "http-message-signature.md", "HTTP Message Signatures"),
    ("routes.replay_protection", "replay-protection.md", "Replay protection and idempotency"),
    ("routes.idempotency", "replay-protection.md", "Replay protection and idempotency"),
    (sections::SECRETS, "secrets.md", "Secrets and public keys"),
];

const INTRODUCTION: &str = "\
`hookgate check gateway.yaml` reports every problem of the file with its line and key. `hookgate schema` prints the JSON
Schema, for editors.

- A key is written as its dotted path from the top of the file. Indexes of lists and names of your choice are left out:
  `issuers.jwks.url` is the `url` of the `jwks` of any issuer. The schemes under `all_of` and `any_of` have the keys of
  `routes.auth`.
- *Default*: the value of a key that is absent; *required* if the key must be present.
- *Restart*: a reload that changes the key is rejected. Every other key can be changed by a reload.
- *Example*: the key as it is written in the file.
";

/// The pages and their contents.
fn pages_of(schema: &Value) -> Vec<(&'static str, String)> {
    let sections = sections(schema);
    let mut pages: Vec<(&str, String)> = Vec::new();
    for (file, title) in files() {
        let mut page = format!("# {title}\n\n{}", origin("the JSON Schema of gateway.yaml"));
        if file == "index.md" {
            let (notations, pages) = (notations(schema), list_of_pages());
            page.push_str(&format!("{INTRODUCTION}\n## Notation\n\nDurations and other scalars are written like these:\n\n{notations}\n## Pages\n\n{pages}"));
        }
        for section in sections.iter().filter(|section| section.file == file) {
            page.push_str(&written(section, &sections));
        }
        pages.push((file, page.trim_end().to_owned() + "\n"));
    }
    pages
}

/// File and title of each page, once.
pub fn files() -> Vec<(&'static str, &'static str)> {
    let mut files: Vec<(&str, &str)> = PAGES.iter().map(|(_, file, title)| (*file, *title)).collect();
    files.dedup();
    files
}

fn list_of_pages() -> String {
    let pages = files().into_iter().skip(1);
    pages.map(|(file, title)| format!("- [{title}]({file})\n")).collect::<String>() + "\n"
}

/// The notations of scalars, such as durations, with the examples of their titles.
fn notations(schema: &Value) -> String {
    fn walk(schema: &Value, found: &mut BTreeSet<(String, String)>) {
        match schema {
            Value::Object(members) => {
                let title = members.get("title").and_then(Value::as_str).filter(|_| schema["type"] == "string");
                let titled = title.and_then(kinds::titled).filter(|(_, examples)| !examples.is_empty());
                found.extend(titled.map(|(name, examples)| (name, examples.to_owned())));
                members.values().for_each(|inner| walk(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(schema, &mut found);
    found.iter().map(|(name, examples)| format!("- *{name}*: {examples}\n")).collect()
}

fn written(section: &Section, all: &[Section]) -> String {
    let mut text = format!("## {}\n\n", section.heading());
    if !section.description.is_empty() {
        text.push_str(&format!("{}\n\n", section.description));
    }
    text.push_str(&section.places(all));
    text.push_str(&heading(&["key", "type", "default", "restart", "description", "example"]));
    let mut below = String::new();
    for key in &section.keys {
        let (description, rest) = sentences(&key.description, 2);
        let description = [description, key.only_with.clone()].join(" ").trim().to_owned();
        text.push_str(&row(&[
            section.anchored(&key.name),
            in_words(&key.kinds, &|path| section.link(path, all)),
            default(key),
            section.restart(&key.name),
            description,
            example(key).map(|example| format!("`{example}`")).unwrap_or_default(),
        ]));
        below.push_str(&values(section, key));
        if !rest.is_empty() {
            below.push_str(&format!("{}: {rest}\n\n", section.shown(&key.name)));
        }
    }
    text + "\n" + &below
}

fn default(key: &Key) -> String {
    match &key.default {
        _ if key.is_required => "required".to_owned(),
        Some(default) => format!("`{}`", yaml::flow(default)),
        None => "—".to_owned(),
    }
}

/// The key with a value: the first example, else the first fixed value or the other one than the default.
fn example(key: &Key) -> Option<String> {
    let word = words(&key.kinds).into_iter().map(|(word, _)| word).next();
    let boolean =
        key.kinds.contains(&walk::Kind::Boolean).then(|| (key.default != Some(Value::Bool(true))).to_string());
    let example = key.example.as_ref().map(yaml::flow).or(word).or(boolean);
    let value = example.or_else(|| key.default.as_ref().map(yaml::flow))?;
    let listed =
        key.example.is_none() && matches!(key.kinds.as_slice(), [walk::Kind::List(..)]) && !value.starts_with('[');
    Some(if listed { format!("{}: [{value}]", key.name) } else { format!("{}: {value}", key.name) })
}

/// The fixed values with their descriptions, below the table.
fn values(section: &Section, key: &Key) -> String {
    let values: Vec<(String, String)> = words(&key.kinds).into_iter().filter(|(_, text)| !text.is_empty()).collect();
    if values.is_empty() {
        return String::new();
    }
    let lines: String = values.iter().map(|(word, text)| format!("- `{word}`: {text}\n")).collect();
    format!("Values of {}:\n\n{lines}\n", section.shown(&key.name))
}

#[test]
fn the_configuration_reference_is_up_to_date() {
    for (file, content) in pages_of(config::schema()) {
        assert_page(&format!("configuration/{file}"), &content);
    }
}

#[test]
fn every_example_of_a_key_is_yaml() {
    let (sections, mut checked) = (sections(config::schema()), 0);
    for key in sections.iter().flat_map(|section| &section.keys) {
        let Some(example) = example(key) else { continue };
        let read: Value = serde_yaml::from_str(&example).unwrap_or_else(|error| panic!("{example}: {error}"));
        assert!(read.get(&key.name).is_some_and(|value| !value.is_null()), "{example}");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// Every dotted path of the schema, by a walk of its own; objects that are open already are left out.
fn paths<'a>(root: &'a Value, schema: &'a Value, path: &str, open: &mut Vec<&'a str>, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str().filter(|reference| !open.contains(reference)) {
        open.push(reference);
        paths(root, root.pointer(&reference[1..]).unwrap(), path, open, found);
        open.pop();
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(path.clone());
        paths(root, property, &path, open, found);
    }
    let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    let inside = [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|inner| inner.is_object());
    for inner in alternatives.chain(inside) {
        paths(root, inner, path, open, found);
    }
}

#[test]
fn every_key_of_the_schema_is_on_one_page_of_the_reference() {
    let mut expected = BTreeSet::new();
    paths(config::schema(), config::schema(), "", &mut Vec::new(), &mut expected);
    let mut found = BTreeSet::new();
    for (file, page) in pages_of(config::schema()) {
        for anchor in anchors(&page) {
            assert!(found.insert(anchor.clone()), "{anchor} is on {file} and on another page, or twice");
        }
    }
    let (missing, surplus): (Vec<_>, Vec<_>) =
        (expected.difference(&found).collect(), found.difference(&expected).collect());
    assert!(
        expected.len() > 150 && missing.is_empty() && surplus.is_empty(),
        "missing {missing:?}, surplus {surplus:?}"
    );
}
