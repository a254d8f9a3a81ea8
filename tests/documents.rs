//! The documents describe the code: each configuration field, reason and metric is in the reference.

mod configuration;
mod examples;
mod generated;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hookgate::config;
use hookgate::failure::{is_before_route, secevent_error, status};
use hookgate::metrics::{
    ConnectionRejection, EntryKind, HandshakeError, Metrics, OperationResult, Outcome, ROWS, StoreOperationResult,
};
use hookgate::reason::Reason;
use serde_json::Value;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

fn reference() -> String {
    std::fs::read_to_string(REFERENCE).unwrap()
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
    properties(config::schema(), &mut names);
    let missing: Vec<_> = names.iter().filter(|name| !reference.contains(&format!("`{name}`"))).collect();
    assert!(names.len() > 80 && missing.is_empty(), "{missing:?}");
}

/// The page with other rows in the table under `header`, as far as its rows begin with `prefix`.
fn with_rows(page: &str, header: &str, prefix: &str, rows: &str) -> String {
    let (before, after) = page.split_once(header).unwrap();
    let replaced = after.split_inclusive('\n').take_while(|line| line.starts_with(prefix)).map(str::len).sum();
    [before, header, rows, &after[replaced..]].concat()
}

/// Held from reading the page to writing it: the tests run at the same time.
static TURN: Mutex<()> = Mutex::new(());

/// Fails if a table on the page differs from `rows`; with `HOOKGATE_WRITE=1` it writes them.
fn assert_rows(header: &str, prefix: &str, rows: &str) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let page = reference();
    let generated = with_rows(&page, header, prefix, rows);
    if std::env::var_os("HOOKGATE_WRITE").is_some() {
        // Renamed, since other tests read the page meanwhile.
        let written = format!("{REFERENCE}.new");
        std::fs::write(&written, &generated).unwrap();
        return std::fs::rename(&written, REFERENCE).unwrap();
    }
    assert!(page == generated, "regenerate it: HOOKGATE_WRITE=1 cargo test --test integration documents");
}

#[test]
fn every_reason_is_in_the_reference_with_its_status() {
    let row =
        |reason: &Reason| format!("| `{}` | {} | {} |\n", reason.word(), status(*reason).as_u16(), reason.cause());
    let rows: String = Reason::ALL.iter().map(row).collect();
    assert_rows("| reason | status | cause |\n|---|---|---|\n", "| `", &rows);
}

/// The words between backticks.
fn words(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_error_of_rfc_8935_has_its_reasons_in_the_reference() {
    let reference = reference();
    let (_, after) = reference.split_once("| `err` | reasons |\n|---|---|\n").unwrap();
    let mut left: BTreeSet<Reason> = Reason::ALL.iter().copied().filter(|one| secevent_error(*one).is_some()).collect();
    for line in after.lines().take_while(|line| line.starts_with("| `")) {
        let (errors, reasons) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap();
        let (of_row, others): (BTreeSet<Reason>, BTreeSet<Reason>) =
            left.into_iter().partition(|reason| words(errors).contains(secevent_error(*reason).unwrap()));
        let expected: BTreeSet<&str> = of_row.iter().map(|reason| reason.word()).collect();
        assert!(reasons == "all others" || words(reasons) == expected, "{errors}: {expected:?}");
        left = others;
    }
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn every_reason_that_comes_before_a_route_is_in_the_reference() {
    let reference = reference();
    let (_, after) = reference.split_once("that are sent before a route is known cannot be changed: ").unwrap();
    let listed = words(after.split("\n\n").next().unwrap());
    // These two are never the response of a route, nor of a request.
    let unsent = [Reason::ClientDisconnected, Reason::TlsRequired];
    let before_route = Reason::ALL.iter().filter(|reason| is_before_route(**reason) && !unsent.contains(reason));
    assert_eq!(listed, before_route.map(|reason| reason.word()).collect());
}

#[test]
fn every_metric_is_in_the_reference_with_its_labels() {
    let labels = |labels: &[&str]| labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
    let rows = ROWS.iter().map(|row| format!("| `{}` | {} | {} |\n", row.name, labels(row.labels), row.reference));
    let rows = rows.collect::<String>().replace("|  |", "| |");
    assert_rows("| metric | labels | |\n|---|---|---|\n", "| `hookgate_", &rows);
}

#[test]
fn every_label_value_is_in_the_reference() {
    let reference = reference();
    let outcomes = reference.split_once("| outcome | meaning |").unwrap().1;
    assert!(Outcome::ALL.iter().all(|outcome| outcomes.contains(&format!("| `{}` |", outcome.label()))));
    let values: [(&str, Vec<&str>); 5] = [
        ("hookgate_connections_rejected_total", ConnectionRejection::ALL.iter().map(|value| value.label()).collect()),
        ("hookgate_tls_handshakes_total", HandshakeError::ALL.iter().map(|value| value.label()).collect()),
        ("hookgate_jwks_refreshes_total", OperationResult::ALL.iter().map(|value| value.label()).collect()),
        ("hookgate_store_operations_total", EntryKind::ALL.iter().map(|value| value.label()).collect()),
        ("hookgate_store_operations_total", StoreOperationResult::ALL.iter().map(|value| value.label()).collect()),
    ];
    for (name, values) in values {
        let row = ROWS.iter().find(|row| row.name == name).unwrap();
        let named = |value: &&str| {
            row.reference.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == *value)
        };
        assert!(values.iter().all(named), "{name}: {values:?}");
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
    // Only the files that `hookgate dev-certs` writes may be missing.
    if let Err(errors) = config::load(path, &config::Handles::default()) {
        let others: Vec<_> =
            errors.problems().iter().filter(|problem| !problem.message.ends_with("not found")).collect();
        assert!(others.is_empty(), "{others:#?}");
    }
}

/// Every source file of the crate and of its tests.
fn code() -> String {
    fn walk(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    walk(&root.join("src"), &mut text);
    walk(&root.join("tests"), &mut text);
    text
}

/// Rows of the page's tables without a test, and named tests that do not exist.
fn gaps(page: &str, code: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| mechanism"));
    let mut gaps = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let missing = tests.iter().filter(|name| !code.contains(&format!("fn {name}("))).map(|name| (*name).to_owned());
        gaps.extend(missing);
        if tests.is_empty() {
            gaps.push(row.to_owned());
        }
    }
    gaps
}

#[test]
fn every_row_of_the_conformance_page_has_its_test() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md")).unwrap();
    let gaps = gaps(&page, &code());
    assert!(gaps.is_empty(), "{gaps:#?}");
    assert_eq!(self::gaps("| a | b | c | |\n| a | b | c | `no_such_test` |", "").len(), 2);
}

/// The files of src that a text names and that do not exist; docs/presets.md names files of other projects.
fn missing_files(text: &str) -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = regex::Regex::new(r"`(src/[A-Za-z0-9_/]+\.rs)").unwrap();
    let named = path.captures_iter(text).map(|found| found[1].to_owned());
    named.filter(|name| !root.join(name).exists()).collect()
}

#[test]
fn each_source_file_that_a_document_names_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages =
        pages.chain(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)));
    for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let missing = missing_files(&std::fs::read_to_string(&page).unwrap());
        assert!(missing.is_empty(), "{} names {missing:?}", page.display());
    }
    assert_eq!(missing_files("`src/lib.rs` and `src/admission/state/model.rs`"), ["src/admission/state/model.rs"]);
}
