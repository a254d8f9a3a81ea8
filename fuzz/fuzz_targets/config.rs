//! Configurations: one that compiles has an `auth` for each route, and only `auth: public` grants every client; each
//! error of one that does not compile names a position within the text. A second YAML reader reads the same tree, the
//! JSON Schema accepts each configuration that compiles, and an unknown key is always a problem.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use hookgate::auth::Policy;
use hookgate::config::error::{FieldPath, Problem};
use hookgate::config::yaml::NodeValue;
use hookgate::config::{Config, ConfigErrors, Handles, compile, schema, yaml};
use hookgate::route::validate_path;
use hookgate_fuzz::keys::{SIGNERS, TLS};
use hookgate_fuzz::second_reader::assert_same_tree;
use hookgate_fuzz::{sources, to_json};
use http::Method;
use jsonschema::Validator;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use zeroize::Zeroizing;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fuzz_target!(|text: &str| {
    if let Ok(tree) = yaml::read(text) {
        assert_same_tree(text, &tree);
    }
    let result = compiled(text);
    check_unknown_key(text);
    match result {
        Ok(config) => {
            check_schema(text);
            check_routes(text, &config);
            check_nested_key(text);
            assert!(text.contains(SECRET) || !config.warnings.iter().any(|warning| warning.message.contains(SECRET)));
        }
        Err(errors) => {
            check_problems(text, &errors);
            let again = compiled(text).err();
            assert_eq!(Some(errors.problems()), again.as_ref().map(ConfigErrors::problems), "the second time");
        }
    }
});

/// The files that the text may name are those of tests/golden/compiled.
fn compiled(text: &str) -> Result<Config, ConfigErrors> {
    static KEYS: LazyLock<[String; 2]> = LazyLock::new(|| [SIGNERS.pem(), SIGNERS.jwks().to_string()]);
    let files = [
        ("secret", SECRET),
        ("another-secret", "another example of a secret"),
        ("pem", &KEYS[0]),
        ("certs/issuer.jwks.json", &KEYS[1]),
        ("certs/server.crt", &TLS.server),
        ("certs/server.key", &TLS.key),
        ("certs/clients.crt", &TLS.clients),
        ("certs/clients.crl", &TLS.list),
    ];
    let mut read = sources(text.to_owned(), &files.map(|(name, content)| (name, content.as_bytes())));
    read.variables.insert("SECRET".to_owned(), Ok(Zeroizing::new(SECRET.into())));
    read.revocations.insert("revoked.yaml".to_owned(), Ok(Zeroizing::new(b"jti: [a, b]".to_vec())));
    compile(&read, &Handles::default())
}

/// With one more key at the top, the text never compiles, and the key is reported at its place, besides all other problems.
fn check_unknown_key(text: &str) {
    const KEY: &str = "zz_unknown";
    let longer = format!("{text}\n{KEY}: 1\n");
    // Elsewhere the line is part of a string, of another document or of no mapping.
    let Ok(NodeValue::Mapping(entries)) = yaml::read(&longer).map(|tree| tree.value) else { return };
    if text.contains(KEY) || !entries.iter().any(|(key, _)| key == KEY) {
        return;
    }
    let Err(errors) = compiled(&longer) else { panic!("compiles with an unknown key") };
    let field = FieldPath::root().child(KEY);
    let found: Vec<&Problem> = errors.problems().iter().filter(|problem| problem.field == field).collect();
    let line = lines(&longer).len() - 1;
    assert!(matches!(found[..], [one] if (one.position.line, one.position.column) == (line, 1)), "{errors}");
}

/// With one more key in one of its mappings, a configuration compiles only if its schema allows that key there.
fn check_nested_key(text: &str) {
    let mut file = to_json(&yaml::read(text).expect("YAML"));
    let chosen = text.len() % mappings(&file);
    assert!(add_key(&mut file, chosen).is_none());
    let longer = file.to_string();
    if compiled(&longer).is_ok() {
        check_schema(&longer);
    }
}

fn mappings(value: &Value) -> usize {
    match value {
        Value::Object(entries) => 1 + entries.values().map(mappings).sum::<usize>(),
        Value::Array(items) => items.iter().map(mappings).sum(),
        _ => 0,
    }
}

/// Adds a key to the mapping with this number; `None` when that is done, otherwise the number less those in `value`.
fn add_key(value: &mut Value, number: usize) -> Option<usize> {
    match value {
        Value::Object(entries) => match number.checked_sub(1) {
            Some(rest) => entries.values_mut().try_fold(rest, |rest, value| add_key(value, rest)),
            None => {
                entries.insert("zz_unknown".to_owned(), Value::from(1));
                None
            }
        },
        Value::Array(items) => items.iter_mut().try_fold(number, |rest, item| add_key(item, rest)),
        _ => Some(number),
    }
}

/// The lines of YAML, which also a lone carriage return ends.
fn lines(text: &str) -> Vec<String> {
    text.replace("\r\n", "\n").split(['\n', '\r']).map(str::to_owned).collect()
}

fn check_problems(text: &str, errors: &ConfigErrors) {
    let lines = lines(text);
    assert!(!errors.problems().is_empty());
    let mut seen = BTreeSet::new();
    for problem in errors.problems() {
        let Problem { position, field, message } = problem;
        let line = position.line.checked_sub(1).expect("lines count from 1");
        // The end of the text is a position too, on the line after the last one if need be.
        let length = lines.get(line).map_or(0, |line| line.chars().count());
        assert!(line <= lines.len() && (1..=length + 1).contains(&position.column), "{problem:?}");
        assert!(!message.is_empty(), "{problem:?}");
        assert!(seen.insert((position, field, message)), "twice: {problem:?}");
    }
    assert!(text.contains(SECRET) || !errors.to_string().contains(SECRET));
}

fn check_schema(text: &str) {
    static SCHEMA: LazyLock<Validator> = LazyLock::new(|| jsonschema::validator_for(schema()).expect("a schema"));
    let value: Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).expect("YAML");
    if let Err(error) = SCHEMA.validate(&value) {
        panic!("compiles, but the schema rejects {}: {error}", error.instance_path());
    }
}

fn check_routes(text: &str, config: &Config) {
    let file = to_json(&yaml::read(text).expect("YAML"));
    let routes = file["routes"].as_array().expect("routes");
    assert!(!routes.is_empty());
    for route in routes {
        let auth = &route["auth"];
        assert!(!auth.is_null() && auth.as_object().is_none_or(|scheme| !scheme.is_empty()), "{route}");
        let matches = &route["match"];
        let host = matches["host"].as_str().unwrap_or("no.example");
        let path = matches["path"].as_str().expect("a path").trim_end_matches('*');
        let path = validate_path(path).expect("a path that requests may have");
        let method = matches["methods"][0].as_str().map_or(Method::POST, |method| method.parse().expect("a method"));
        // A more specific route may match the same path; that one is found.
        let found = config.snapshot.routes.find(host, &path, &method);
        if let Some(found) = found.ok().filter(|found| found.name.as_ref() == route["name"].as_str().expect("a name")) {
            let everybody = found.rules.policy.leaves().iter().any(|leaf| matches!(leaf, Policy::Public));
            assert_eq!(everybody, *auth == Value::from("public"), "{route}");
        }
    }
}
