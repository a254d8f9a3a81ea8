//! The reader on small file types that resemble the real ones, and one file with many mistakes.

#![expect(dead_code, reason = "the tests look at few of the fields")]

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::*;
use crate::config::error::ConfigErrors;
use crate::config::file::{FileName, OneOrMany, OptionalDuration, Parsed, RateField, Switch};
use crate::config::yaml;

#[derive(Debug, Default, Deserialize)]
struct SampleFile {
    workers: crate::config::file::Count<0, 0, 65_535>,
    capacity: crate::config::file::Count<10>,
    min_version: Field<SampleVersion>,
    log: Section<SampleLog>,
    state: Field<SampleStore>,
    issuers: Section<BTreeMap<String, Section<SampleIssuer>>>,
    routes: Section<List<Section<SampleRoute>>>,
}

#[derive(Debug, Deserialize)]
enum SampleVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Debug, Default, Deserialize)]
struct SampleLog {
    format: Field<SampleFormat>,
    access: Switch<true>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SampleFormat {
    Json,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "$tagged", rename_all = "snake_case")]
enum SampleStore {
    Memory(SampleMemory),
    Embedded(SampleEmbedded),
}

#[derive(Debug, Deserialize)]
struct SampleMemory {}

#[derive(Debug, Deserialize)]
struct SampleEmbedded {
    path: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
struct SampleIssuer {
    issuer: Field<String>,
    algorithms: Section<List<String>>,
    secret: Field<SampleSecret>,
    refresh: OptionalDuration,
}

#[derive(Debug, Deserialize)]
#[serde(rename = "{env: NAME} or {file: path}, never the value itself")]
struct SampleSecret {
    env: Field<String>,
    file: Field<Parsed<FileName>>,
}

#[derive(Debug, Default, Deserialize)]
struct SampleRoute {
    name: Field<String>,
    audience: Field<OneOrMany<String>>,
    claims: Section<BTreeMap<String, Field<Value>>>,
    rate: RateField,
    auth: Field<SampleAuth>,
}

#[derive(Debug)]
enum SampleAuth {
    Public,
    Scheme(Box<Section<SampleScheme>>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SampleWord {
    Public,
}

#[derive(Debug, Default, Deserialize)]
struct SampleScheme {
    jwt: Field<SampleIssuer>,
    any_of: Section<List<Section<SampleScheme>>>,
}

impl<'de> Deserialize<'de> for SampleAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_mapping(
            deserializer,
            ("a scheme, or `public`", WordType::String),
            |_: SampleWord| Self::Public,
            |scheme| Self::Scheme(Box::new(scheme)),
        )
    }
}

fn file(text: &str) -> (SampleFile, Report) {
    read(&yaml::read(text).unwrap(), Report::default())
}

/// The messages for a value, each with its field.
fn messages(value: Value) -> Vec<String> {
    let mut found = file(&value.to_string()).1.problems.into_vec();
    found.sort_by(|a, b| a.field.cmp(&b.field));
    found.iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
}

fn route(route: Value) -> Vec<String> {
    messages(json!({"routes": [route]})).iter().map(|line| line.replacen("routes[0].", "", 1)).collect()
}

#[test]
fn a_good_file_is_read() {
    let text = "\
workers: 4
min_version: \"1.2\"
log: {format: text, access: false}
state: {type: embedded, path: x}
issuers:
  acme: {issuer: https://a, algorithms: [RS256], secret: {env: S}, refresh: 1m}
routes:
  - {auth: public, audience: x, claims: {/a/b: null, c: {exists: [1, {}]}}, rate: 1/s}
  - {auth: {any_of: [{jwt: {secret: {file: f}}}]}, audience: [x, y]}
";
    let (file, report) = file(text);
    assert!(report.problems.is_empty(), "{report:?}");
    assert!(report.named.files.iter().eq(["f"]));
    assert_eq!((file.workers.get::<u16>(), file.capacity.get::<usize>(), file.log.access.get()), (4, 10, false));
    assert!(matches!(file.min_version.value(), Some(SampleVersion::Tls12)) && file.log.format.is_written());
    let Some(SampleStore::Embedded(store)) = file.state.value() else { panic!("{file:?}") };
    assert_eq!(store.path.text(), Some("x"));
    let issuer = &file.issuers["acme"];
    assert_eq!(issuer.refresh.duration(), Some(std::time::Duration::from_secs(60)));
    assert_eq!(issuer.secret.value().unwrap().env.text(), Some("S"));
    let [first, second] = file.routes.as_slice() else { panic!("{file:?}") };
    assert!(matches!(first.auth.value(), Some(SampleAuth::Public)));
    assert_eq!(first.claims["c"].value(), Some(&json!({"exists": [1, {}]})));
    let Some(SampleAuth::Scheme(scheme)) = second.auth.value() else { panic!("{file:?}") };
    assert!(scheme.any_of[0].jwt.is_written() && !scheme.jwt.is_written());
    assert_eq!(second.audience.or_default().len(), 2);
}

#[test]
fn an_absent_value_has_a_field_and_the_position_of_its_parent() {
    let (file, mut report) = file("log:\n  format: json\nroutes:\n  - name: a\n");
    for at in [file.log.access.at, file.state.at, file.routes[0].rate.at] {
        report.problems.add(at, "missing");
    }
    let entry = report.problems.absent_entry(file.routes[0].claims.at, "sub");
    report.problems.add(entry, "missing");
    let told = ConfigErrors::new("f", report.problems.into_vec()).to_string();
    let expected = "\
f:1:1: log.access: missing
f:1:1: state: missing
f:4:5: routes[0].claims.sub: missing
f:4:5: routes[0].rate: missing";
    assert_eq!(told, expected);
}

#[test]
fn unknown_fields_name_a_similar_one_or_all() {
    assert_eq!(messages(json!({"worker": 1})), ["worker: unknown field, did you mean `workers`?"]);
    assert_eq!(messages(json!({"log": {"x": 1}})), ["log.x: unknown field; known fields are `access`, `format`"]);
    assert_eq!(
        messages(json!({"state": {"type": "memory", "path": "x"}})),
        ["state.path: unknown field; the only field here is `type`"]
    );
}

/// The field that was meant is not reported as missing.
#[test]
fn a_misspelt_field_explains_the_missing_one() {
    let (file, mut report) = file("stat: 1\nroutes: [{nme: a}]");
    report.problems.add_follow_up(file.state.at, "missing");
    report.problems.add_follow_up(file.routes[0].name.at, "missing");
    report.problems.add_follow_up(file.issuers.at, "missing");
    let found: Vec<String> = report.problems.into_vec().iter().map(|one| one.field.to_string()).collect();
    assert_eq!(found, ["stat", "routes[0].nme", "issuers"]);
}

#[test]
fn a_follow_up_is_reported_only_where_no_other_problem_explains_it() {
    let (file, mut report) = file("routes: [{rate: 5}, 7]");
    for at in [file.routes.at, file.routes[0].rate.at, file.routes[0].at, file.routes[1].name.at] {
        report.problems.add_follow_up(at, "missing");
    }
    report.problems.add_follow_up(file.routes[0].name.at, "missing");
    let found: Vec<String> = report.problems.into_vec().iter().map(|one| one.field.to_string()).collect();
    assert_eq!(found, ["routes[0].rate", "routes[1]", "routes[0].name"]);
}

#[test]
fn wrong_types_say_what_to_write() {
    let found = messages(json!({
        "workers": "many", "capacity": [], "min_version": 1.2, "log": {"access": "yes"}, "state": "memory",
        "issuers": {"acme": {"refresh": 30, "issuer": 5, "secret": "x"}}, "routes": {},
    }));
    let expected = [
        "capacity: expected a whole number of at least 1, got a list",
        "issuers.acme.issuer: expected a string, got a number; put it in quotes",
        "issuers.acme.refresh: expected a duration such as 500ms, 30s, 5m or 24h, got a number; the unit is missing: write s, m, h or d behind 30",
        "issuers.acme.secret: expected {env: NAME} or {file: path}, never the value itself, got a string",
        "log.access: expected `true` or `false`, got a string; write true without quotes",
        "min_version: expected one of `1.2`, `1.3`, got a number; put it in quotes",
        "routes: expected a list, got a mapping; begin each item with `- `",
        "state: expected a mapping, got a string",
        "workers: expected a whole number from 0 to 65535, got a string",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        route(json!({"rate": 5})),
        ["rate: expected a rate such as 100/s, 30/m or 5/h, got a number; write 5/s"]
    );
    assert_eq!(route(json!({"auth": 5})), ["auth: expected a scheme, or `public`, got a number"]);
    assert_eq!(
        route(json!({"audience": 5})),
        ["audience: expected a string or a list, got a number; put it in quotes"]
    );
    assert_eq!(
        messages(json!([])),
        [": expected a mapping, got a list; remove the `-` or the brackets: write `NAME: VALUE`"]
    );
}

#[test]
fn numbers_keep_to_their_range() {
    for (value, given) in [(json!(65_536), "65536"), (json!(-1), "-1"), (json!(1.5), "a number")] {
        let expected = format!("workers: expected a whole number from 0 to 65535, got {given}");
        assert_eq!(messages(json!({ "workers": value })), [expected]);
    }
    assert_eq!(messages(json!({"capacity": 0})), ["capacity: expected a whole number of at least 1, got 0"]);
}

#[test]
fn a_null_value_is_rejected_even_where_the_field_is_optional() {
    let null = "got nothing; give a value or remove the line";
    assert_eq!(messages(json!({"log": null})), [format!("log: expected a mapping (`access`, `format`), {null}")]);
    assert_eq!(messages(json!({"routes": [null]})), [format!("routes[0]: expected a mapping, {null}")]);
    assert_eq!(
        messages(json!({"workers": null})),
        [format!("workers: expected a whole number from 0 to 65535, {null}")]
    );
}

#[test]
fn enums_list_their_values() {
    let of_log = "log.format: expected one of `json`, `text`, got `jsn`; did you mean `json`?";
    assert_eq!(messages(json!({"log": {"format": "jsn"}})), [of_log]);
    let of_store = "state.type: expected one of `memory`, `embedded`, got";
    assert_eq!(messages(json!({"state": {"type": "redis"}})), [format!("{of_store} `redis`")]);
    assert_eq!(messages(json!({"state": {"type": []}})), [format!("{of_store} a list")]);
    assert_eq!(messages(json!({"state": {}})), ["state.type: missing; expected one of `memory`, `embedded`"]);
    assert_eq!(route(json!({"auth": "publik"})), ["auth: expected `public`, got `publik`; did you mean `public`?"]);
}

#[test]
fn possible_secrets_are_never_printed() {
    let leak = "hunter2-hunter2";
    let value = json!({
        "workers": leak, "log": {"access": leak}, "issuers": {"a": {"secret": leak, "algorithms": {"x": leak}}},
        "routes": [{"audience": [[leak]], "rate": leak, "auth": {"jwt": {"secret": {"env": [leak]}}}}, leak],
    });
    let found = messages(value);
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
}

#[test]
fn the_items_of_a_list_keep_their_indices() {
    let text = "routes: [{name: a}, 5, {name: c, audience: [x, 5, z, 6]}]";
    let (file, report) = file(text);
    let found: Vec<String> = report.problems.into_vec().iter().map(|one| one.field.to_string()).collect();
    assert_eq!(found, ["routes[1]", "routes[2].audience[1]", "routes[2].audience[3]"]);
    assert_eq!(file.routes[2].name.text(), Some("c"));
    assert_eq!(&*file.routes[2].audience.or_default(), ["x", "z"]);
}

#[test]
fn problems_of_nested_schemes_are_reported_at_their_positions() {
    let found = route(json!({"auth": {"any_of": [{"jwt": {"isuer": "x"}}, {"jtw": {}}, {"any_of": [{"jwt": 5}]}]}}));
    let expected = [
        "auth.any_of[0].jwt.isuer: unknown field, did you mean `issuer`?",
        "auth.any_of[1].jtw: unknown field, did you mean `jwt`?",
        "auth.any_of[2].any_of[0].jwt: expected a mapping (`algorithms`, `issuer`, `refresh`, `secret`), got a number",
    ];
    assert_eq!(found, expected);
}

/// A preset stands in gateway.yaml as its name, where its problems are reported.
#[test]
fn a_document_in_place_of_a_value_has_one_place() {
    let (file, report) = file("state:\n  type: memory\n");
    let node = yaml::read("workers: many\nroutes: [{nme: a}]").unwrap();
    let (_, report): (SampleFile, Report) = read_in_place(&node, file.state.at, report);
    let found = ConfigErrors::new("f", report.problems.into_vec()).to_string();
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.starts_with("f:1:1: state: ")), "{found}");
}

#[test]
fn many_errors_are_reported_at_once_each_at_its_position() {
    let text = "\
workers: 70000
log:
  format: jsn
  acces: true
state: {type: redis}
issuers:
  acme:
    secret: hunter2
    refresh: 30
routes:
  - name: [orders]
    auth: {jtw: {}}
  - audience:
    colour: red
";
    let expected = "\
gateway.yaml:1:1: workers: expected a whole number from 0 to 65535, got 70000
gateway.yaml:3:3: log.format: expected one of `json`, `text`, got `jsn`; did you mean `json`?
gateway.yaml:4:3: log.acces: unknown field, did you mean `access`?
gateway.yaml:5:9: state.type: expected one of `memory`, `embedded`, got `redis`
gateway.yaml:8:5: issuers.acme.secret: expected {env: NAME} or {file: path}, never the value itself, got a string
gateway.yaml:9:5: issuers.acme.refresh: expected a duration such as 500ms, 30s, 5m or 24h, got a number; the unit is missing: write s, m, h or d behind 30
gateway.yaml:11:5: routes[0].name: expected a string, got a list
gateway.yaml:12:12: routes[0].auth.jtw: unknown field, did you mean `jwt`?
gateway.yaml:13:5: routes[1].audience: expected a string or a list, got nothing; give a value or remove the line
gateway.yaml:14:5: routes[1].colour: unknown field; known fields are `audience`, `auth`, `claims`, `name`, `rate`";
    let (file, report) = file(text);
    assert_eq!(ConfigErrors::new("gateway.yaml", report.problems.into_vec()).to_string(), expected);
    assert_eq!(file.routes.len(), 2);
    assert!(file.log.is_written && file.state.value().is_none());
}
