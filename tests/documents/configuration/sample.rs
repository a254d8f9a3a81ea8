//! A small schema with every keyword that the reference reads, and the page that it becomes.

use serde_json::{Value, json};

use super::pages_of;

fn schema() -> Value {
    json!({
        "$defs": {
            "Delay": { "title": "a duration such as 5s", "type": "string", "default": "5s", "description": "A duration such as 5s." },
            "Word": { "oneOf": [
                { "const": "reject", "description": "Rejects." },
                { "const": "allow", "description": "Forwards." },
            ] },
            "Secret": { "type": "object", "properties": { "env": { "type": "string", "examples": ["TOKEN"] } } },
            "Scheme": { "type": "object", "properties": {
                "all_of": { "type": "array", "items": { "$ref": "#/$defs/Scheme" }, "minItems": 2, "maxItems": 16 },
                "secret": { "$ref": "#/$defs/Secret" },
            } },
        },
        "type": "object",
        "required": ["workers"],
        "properties": {
            "drain": { "anyOf": [{ "$ref": "#/$defs/Delay" }, { "type": "null" }], "description": "One. Two. Three.", "examples": ["10s", "20s"] },
            "routes": { "type": ["array", "null"], "default": null, "items": { "type": "object", "properties": {
                "auth": { "anyOf": [{ "const": "public" }, { "$ref": "#/$defs/Scheme" }] },
                "tags": { "type": "array", "items": { "enum": ["a", "b"] } },
            } } },
            "store": {
                "x-restart": true,
                "description": "Where ids are.",
                "oneOf": [
                    { "description": "This process.", "required": ["type"], "properties": { "type": { "const": "memory" }, "on": { "$ref": "#/$defs/Word", "default": "reject" } } },
                    { "description": "Redis.", "required": ["type", "password"], "properties": { "type": { "const": "redis" }, "on": { "$ref": "#/$defs/Word", "default": "reject" }, "password": { "$ref": "#/$defs/Secret", "description": "A|B." } } },
                ],
            },
            "workers": { "type": "integer", "minimum": 1, "maximum": 64, "description": "Threads." },
        },
    })
}

/// The rows of a page, without their anchors.
fn rows(file: &str) -> Vec<String> {
    let schema = schema();
    let (_, page) = pages_of(&schema).into_iter().find(|(name, _)| *name == file).unwrap();
    let anchor = regex::Regex::new(r#"<a id="[^"]*"></a>"#).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| key "));
    rows.map(|line| anchor.replace_all(line, "").into_owned()).collect()
}

#[test]
fn each_keyword_of_a_schema_has_its_cell() {
    assert_eq!(
        rows("index.md"),
        [
            "| [`workers`](#workers) | whole number from 1 to 64 | required | | Threads. | |",
            "| [`drain`](#drain) | duration | `5s` | | One. Two. | `drain: 10s` |",
            "| [`routes`](#routes) | list of [mappings](routes.md#keys-of-routes) | — | | | |",
            "| [`store`](#store) | [mapping](store.md#keys-of-store) | — | yes | Where ids are. | |",
        ]
    );
    assert_eq!(
        rows("store.md"),
        [
            "| [`store.type`](#store.type) | one of `memory`, `redis` | required | yes | | `type: memory` |",
            "| [`store.password`](#store.password) | [mapping](secrets.md#keys-of-storepassword-routesauthsecret) | required | yes | A\\|B. Only with `type: redis`. | |",
            "| [`store.on`](#store.on) | one of `reject`, `allow` | `reject` | yes | | `on: reject` |",
        ]
    );
    assert_eq!(
        rows("routes.md"),
        [
            "| [`routes.auth`](#routes.auth) | `public` or [mapping](authentication.md#keys-of-routesauth) | — | | | `auth: public` |",
            "| [`routes.tags`](#routes.tags) | list of `a`, `b` | — | | | `tags: [a]` |",
        ]
    );
    assert_eq!(
        rows("authentication.md")[0],
        "| [`routes.auth.all_of`](#routes.auth.all_of) | list of [mappings](#keys-of-routesauth) (2 to 16) | — | | | |"
    );
}

#[test]
fn an_object_in_several_places_is_one_section_with_an_anchor_for_each() {
    let schema = schema();
    let (_, page) = pages_of(&schema).into_iter().find(|(name, _)| *name == "secrets.md").unwrap();
    let row = "| <a id=\"store.password.env\"></a>[`env`](#store.password.env) | string | — | for `store.password` | | `env: TOKEN` |";
    assert!(page.contains(row), "{page}");
    assert!(
        page.contains(
            "- <a id=\"routes.auth.secret.env\"></a>[`routes.auth.secret`](authentication.md#routes.auth.secret)\n"
        ),
        "{page}"
    );
}

#[test]
fn values_and_further_sentences_stand_below_their_table() {
    let schema = schema();
    let pages = pages_of(&schema);
    let page = |file: &str| &pages.iter().find(|(name, _)| *name == file).unwrap().1;
    assert!(page("store.md").contains("Values of `store.on`:\n\n- `reject`: Rejects.\n- `allow`: Forwards.\n"));
    assert!(page("store.md").contains("- `memory`: This process.\n- `redis`: Redis.\n"));
    assert!(page("index.md").contains("\n`drain`: Three.\n") && page("index.md").contains("- *duration*: 5s\n"));
}
