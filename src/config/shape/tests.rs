//! The walk over small file types that resemble the real ones, and one file with ten mistakes.

// Fields and variants exist for serde and schemars; the tests read few of them.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::config::{error::ConfigErrors, yaml};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SampleFile {
    workers: Option<u16>,
    ratio: Option<f64>,
    delta: Option<i32>,
    min_version: Option<SampleVersion>,
    log: Option<SampleLog>,
    state: Option<SampleStore>,
    issuers: Option<BTreeMap<String, SampleIssuer>>,
    #[serde(default)]
    routes: Vec<SampleRoute>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum SampleVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SampleLog {
    format: Option<SampleFormat>,
    access: Option<bool>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SampleFormat {
    /// For machines.
    Json,
    /// For people.
    Text,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum SampleStore {
    Memory {},
    Embedded { path: Option<String> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SampleIssuer {
    issuer: Option<String>,
    algorithms: Option<BTreeSet<String>>,
    secret: Option<SampleSecret>,
    refresh: Option<SampleDuration>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SampleSecret {
    Env(String),
    File(String),
}

/// A duration such as `30s` or `5m`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct SampleDuration(String);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SampleRoute {
    name: Option<String>,
    upstream: Option<SampleUpstream>,
    auth: Option<SampleAuth>,
    audience: Option<SampleAudience>,
    #[serde(default)]
    claims: BTreeMap<String, serde_json::Value>,
    #[schemars(title = "a rate such as `100/s`")]
    rate: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SampleUpstream {
    url: String,
    timeout: Option<SampleDuration>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum SampleAudience {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SampleAuth {
    Public,
    Jwt(SampleIssuer),
    AnyOf(Vec<SampleAuth>),
    Token { header: Option<String>, secret: Option<SampleSecret> },
}

/// The messages for a value, and the pruned value, which must deserialise.
fn checked(mut value: Json) -> (Vec<String>, Json, SampleFile) {
    let schema = serde_json::to_value(schema_for!(SampleFile)).unwrap();
    let mut problems = Problems::default();
    check(&schema, &mut value, &mut problems);
    let messages = problems.iter().map(|one| format!("{}: {}", one.path, one.message)).collect();
    let file = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"));
    (messages, value, file)
}

fn messages(value: Json) -> Vec<String> {
    checked(value).0
}

fn route(route: Json) -> Vec<String> {
    messages(json!({"routes": [route]})).iter().map(|line| line.replacen("routes[0].", "", 1)).collect()
}

#[test]
fn a_good_value_passes_untouched() {
    let value = json!({
        "workers": 4, "ratio": 1, "delta": -5, "min_version": "1.2", "log": {"format": "json", "access": true},
        "state": {"kind": "embedded", "path": "x"},
        "issuers": {"acme": {"issuer": "https://a", "algorithms": ["RS256"], "secret": {"env": "S"}, "refresh": "1m"}},
        "routes": [
            {"auth": "public", "audience": "x", "claims": {"/a/b": null, "c": {"exists": [1, {}]}}, "rate": "1/s"},
            {"auth": {"any_of": [{"jwt": {}}, {"token": {"secret": {"file": "f"}}}]}, "audience": ["x", "y"]},
        ],
    });
    let (found, left, _) = checked(value.clone());
    assert_eq!(found, [""; 0]);
    assert_eq!(left, value);
}

#[test]
fn unknown_fields_name_a_similar_one_or_all() {
    assert_eq!(messages(json!({"worker": 1})), ["worker: unknown field, did you mean `workers`?"]);
    assert_eq!(messages(json!({"log": {"x": 1}})), ["log.x: unknown field; known fields are `access`, `format`"]);
    assert_eq!(
        route(json!({"auth": {"token": {"heder": "x"}}})),
        ["auth.token.heder: unknown field, did you mean `header`?"]
    );
}

#[test]
fn a_required_field_is_missing_once() {
    assert_eq!(route(json!({"upstream": {}})), ["upstream.url: missing; expected a string"]);
    assert_eq!(route(json!({"upstream": {"ulr": "x"}})), ["upstream.ulr: unknown field, did you mean `url`?"]);
    assert_eq!(route(json!({"upstream": {"url": [1]}})), ["upstream.url: expected a string, got a list"]);
}

#[test]
fn wrong_types_say_what_to_write() {
    let found = messages(json!({
        "workers": "many", "ratio": [], "min_version": 1.2, "log": {"access": "yes"}, "state": "memory",
        "issuers": {"acme": {"refresh": 30, "issuer": 5}}, "routes": {},
    }));
    let expected = [
        "issuers.acme.issuer: expected a string, got a number; put it in quotes",
        "issuers.acme.refresh: expected a duration such as `30s` or `5m`, got a number",
        "log.access: expected `true` or `false`, got a string",
        "min_version: expected one of `1.2`, `1.3`, got a number; put it in quotes",
        "ratio: expected a number, got a list",
        "routes: expected a list, got a mapping",
        "state: expected a mapping, got a string",
        "workers: expected a whole number from 0 to 65535, got a string",
    ];
    assert_eq!(found, expected);
    assert_eq!(route(json!({"rate": 5})), ["rate: expected a rate such as `100/s`, got a number"]);
    assert_eq!(
        route(json!({"audience": 5})),
        ["audience: expected a string or a list, got a number; put it in quotes"]
    );
    assert_eq!(messages(json!([])), [": expected a mapping, got a list"]);
}

#[test]
fn numbers_keep_to_their_type() {
    for (value, message) in [
        (json!({"workers": 65536}), "workers: expected a whole number from 0 to 65535, got 65536"),
        (json!({"workers": -1}), "workers: expected a whole number from 0 to 65535, got -1"),
        (json!({"workers": 1.5}), "workers: expected a whole number from 0 to 65535, got a number"),
        (
            json!({"delta": 3_000_000_000_u64}),
            "delta: expected a whole number from -2147483648 to 2147483647, got 3000000000",
        ),
    ] {
        assert_eq!(messages(value), [message]);
    }
}

#[test]
fn a_null_value_is_rejected_even_where_the_field_is_optional() {
    let null = "got nothing; give a value or remove the line";
    assert_eq!(messages(json!({"log": null})), [format!("log: expected a mapping (`access`, `format`), {null}")]);
    assert_eq!(messages(json!({"routes": [null]})), [format!("routes[0]: expected a mapping, {null}")]);
}

#[test]
fn enums_list_their_values() {
    assert_eq!(
        messages(json!({"log": {"format": "jsn"}})),
        ["log.format: expected one of `json`, `text`, got `jsn`; did you mean `json`?"]
    );
    assert_eq!(
        messages(json!({"state": {"kind": "redis"}})),
        ["state.kind: expected one of `memory`, `embedded`, got `redis`"]
    );
    assert_eq!(messages(json!({"state": {}})), ["state.kind: missing; expected one of `memory`, `embedded`"]);
    assert_eq!(
        messages(json!({"state": {"kind": "memory", "path": "x"}})),
        ["state.path: unknown field; the only field here is `kind`"]
    );
}

#[test]
fn a_variant_needs_exactly_one_key() {
    let secret = |value: Json| messages(json!({"issuers": {"a": {"secret": value}}}));
    let at = "issuers.a.secret";
    assert_eq!(secret(json!({"evn": "X"})), [format!("{at}.evn: unknown field, did you mean `env`?")]);
    assert_eq!(secret(json!({"vault": "X"})), [format!("{at}.vault: unknown field; known fields are `env`, `file`")]);
    assert_eq!(secret(json!({"env": "X", "file": "y"})), [format!("{at}: expected only one of `env`, `file`")]);
    assert_eq!(secret(json!({})), [format!("{at}: expected a mapping with one of `env`, `file`")]);
    assert_eq!(secret(json!({"env": 5})), [format!("{at}.env: expected a string, got a number; put it in quotes")]);
}

#[test]
fn possible_secrets_are_never_printed() {
    let leak = "hunter2-hunter2";
    let value = json!({
        "workers": leak, "log": {"access": leak}, "issuers": {"a": {"secret": leak, "algorithms": {"x": leak}}},
        "routes": [{"upstream": leak, "audience": [[leak]], "auth": {"token": {"secret": {"env": [leak]}}}}, leak],
    });
    let found = messages(value);
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
    assert_eq!(found[0], "issuers.a.algorithms: expected a list, got a mapping");
    assert_eq!(found[1], "issuers.a.secret: expected a mapping with one of `env`, `file`, got a string");
}

#[test]
fn pruning_keeps_the_indices_of_a_list() {
    let value = json!({"routes": [{"name": "a"}, 5, {"name": "c", "audience": ["x", 5, "z"]}]});
    let (found, left, file) = checked(value);
    assert_eq!(found.len(), 2);
    assert_eq!(left, json!({"routes": [{"name": "a"}, {}, {"name": "c"}]}));
    assert_eq!(file.routes[2].name.as_deref(), Some("c"));
}

#[test]
fn an_error_in_a_nested_choice_is_reported_at_its_position() {
    let found = route(json!({"auth": {"any_of": [{"jwt": {"isuer": "x"}}, {"jtw": {}}, {"any_of": [{"token": 5}]}]}}));
    let expected = [
        "auth.any_of[0].jwt.isuer: unknown field, did you mean `issuer`?",
        "auth.any_of[1].jtw: unknown field, did you mean `jwt`?",
        "auth.any_of[2].any_of[0].token: expected a mapping (`header`, `secret`), got a number",
    ];
    assert_eq!(found, expected);
    let forms = "auth: expected `public` or a mapping with one of `jwt`, `any_of`, `token`, got a number";
    assert_eq!(route(json!({"auth": 5})), [forms]);
}

#[test]
fn a_duplicate_item_of_a_set_is_reported() {
    let found = messages(json!({"issuers": {"a": {"algorithms": ["RS256", "ES256", "RS256"]}}}));
    assert_eq!(found, ["issuers.a.algorithms[2]: duplicate item"]);
}

#[test]
fn ten_errors_are_reported_at_once_each_at_its_position() {
    let text = "\
workers: 70000
log:
  format: jsn
  acces: true
state: {kind: redis}
issuers:
  acme:
    secret: hunter2
    refresh: 30
routes:
  - name: [orders]
    upstream: {url: http://a, timeout: 5}
    auth: {jtw: {}}
  - audience:
    colour: red
";
    let mut document = yaml::read(text).unwrap();
    let schema = serde_json::to_value(schema_for!(SampleFile)).unwrap();
    let mut problems = Problems::default();
    check(&schema, &mut document.value, &mut problems);
    let errors = ConfigErrors::new("gateway.yaml", document.locate(&problems));
    let expected = "\
gateway.yaml:1:1: workers: expected a whole number from 0 to 65535, got 70000
gateway.yaml:3:3: log.format: expected one of `json`, `text`, got `jsn`; did you mean `json`?
gateway.yaml:4:3: log.acces: unknown field, did you mean `access`?
gateway.yaml:5:9: state.kind: expected one of `memory`, `embedded`, got `redis`
gateway.yaml:8:5: issuers.acme.secret: expected a mapping with one of `env`, `file`, got a string
gateway.yaml:9:5: issuers.acme.refresh: expected a duration such as `30s` or `5m`, got a number
gateway.yaml:11:5: routes[0].name: expected a string, got a list
gateway.yaml:12:31: routes[0].upstream.timeout: expected a duration such as `30s` or `5m`, got a number
gateway.yaml:13:12: routes[0].auth.jtw: unknown field, did you mean `jwt`?
gateway.yaml:14:5: routes[1].audience: expected a string or a list, got nothing; give a value or remove the line
gateway.yaml:15:5: routes[1].colour: unknown field; known fields are `audience`, `auth`, `claims`, `name`, `rate`, `upstream`";
    assert_eq!(errors.to_string(), expected);
    assert_eq!(errors.problems().len(), 11);
    let file: SampleFile = serde_json::from_value(document.value).unwrap();
    assert_eq!(file.routes.len(), 2);
    assert!(file.log.is_some() && file.state.is_none());
}
