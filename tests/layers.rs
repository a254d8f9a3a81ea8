//! The structure of the code: no `use` points upwards, files and functions stay small, and one file names statuses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every module of the crate, from the bottom up.
const LAYERS: &[&[&str]] = &[
    &["rows", "clock", "settings"],
    &["reason"],
    &["auth"],
    &["route"],
    &["failure"],
    &["snapshot", "tls"],
    &["config"],
    &["metrics", "telemetry"],
    &["limit"],
    &["store"],
    &["jwks"],
    &["proxy"],
    &["server"],
    &["reload"],
    &["admin"],
    &["app"],
    &["cli", "main", "lib"],
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// `src/auth/keys/jwk.rs` belongs to `auth`.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules after each `crate::` in a text, comments left out.
fn used(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut modules = Vec::new();
    for after in code.split("crate::").skip(1) {
        let names = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(str::trim).collect(),
            None => vec![after],
        };
        let name = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        modules.extend(names.into_iter().map(name).filter(|name: &String| !name.is_empty()));
    }
    modules
}

fn upward_arrows(from: &str, text: &str) -> Vec<String> {
    let own = layer(from).unwrap_or_else(|| panic!("{from} has no layer"));
    let mut arrows = Vec::new();
    for to in used(text) {
        let target = layer(&to).unwrap_or_else(|| panic!("{to}, used by {from}, has no layer"));
        if target > own {
            arrows.push(format!("{from} uses {to}"));
        }
    }
    arrows
}

#[test]
fn no_arrow_points_upwards() {
    let arrows: Vec<String> = sources().iter().flat_map(|(path, text)| upward_arrows(&module(path), text)).collect();
    assert!(arrows.is_empty(), "{arrows:#?}");
}

/// A service gets its settings as values: it does not depend on how gateway.yaml is read.
#[test]
fn only_commands_start_and_reload_read_the_configuration() {
    let readers = ["config", "cli", "app", "reload", "main", "lib"];
    for (path, text) in sources().iter().filter(|(path, _)| !readers.contains(&module(path).as_str())) {
        assert!(!used(text).contains(&"config".to_owned()), "{} uses config", path.display());
    }
}

#[test]
fn an_upward_arrow_would_be_seen() {
    assert_eq!(upward_arrows("auth", "use crate::proxy::Gateway;"), ["auth uses proxy"]);
    assert_eq!(upward_arrows("route", "use crate::{clock, server};"), ["route uses server"]);
    assert_eq!(upward_arrows("auth", "fn f() { crate::app::start() }"), ["auth uses app"]);
    assert!(upward_arrows("app", "use crate::clock::Clock; // crate::cli").is_empty());
}

/// Layer 1 is pure: it gets the time and the bytes as arguments, and has no I/O, waiting, logging or metrics.
#[test]
fn decisions_do_nothing_but_decide() {
    let words =
        ["tokio", "std::fs", "std::env", "std::net", "SystemTime", "Instant", "tracing", "prometheus", "async fn"];
    for (path, text) in
        sources().iter().filter(|(path, _)| ["auth", "route", "failure"].contains(&module(path).as_str()))
    {
        let code = text.split("#[cfg(test)]").next().unwrap();
        let found: Vec<_> = words.iter().filter(|word| code.contains(**word)).collect();
        assert!(found.is_empty(), "{} has {found:?}", path.display());
    }
}

#[test]
fn one_file_names_status_codes() {
    for (path, text) in sources() {
        let named = text
            .split("StatusCode::")
            .skip(1)
            .any(|after| after.starts_with(|letter: char| letter.is_ascii_uppercase()));
        let allowed = path.ends_with("failure.rs") || module(&path) == "cli";
        assert!(allowed || !named, "{} names a status code", path.display());
    }
}

/// The status and the error of RFC 8935 stand in the row of a reason, which `auth` must not know.
#[test]
fn only_failure_reads_the_rows_of_reasons() {
    let readers = sources().into_iter().filter(|(_, text)| text.contains(".row()")).map(|(path, _)| module(&path));
    assert_eq!(readers.collect::<BTreeSet<_>>(), ["failure", "reason"].map(str::to_owned).into());
}

#[test]
fn files_and_functions_stay_small() {
    let mut lengths = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 440, "{} has {lines} lines: is it one job?", path.display());
        lengths.extend(function_lengths(text.split("#[cfg(test)]").next().unwrap()));
    }
    lengths.sort_unstable();
    let (median, longest) = (lengths[lengths.len() / 2], lengths[lengths.len() - 1]);
    println!("{} functions, median {median} lines, longest {longest}", lengths.len());
    assert!(median <= 12, "median {median}");
}

/// Lines from `fn` to the brace that closes it, as rustfmt writes them.
fn function_lengths(code: &str) -> Vec<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let mut lengths = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        let is_function = words.split('(').next().is_some_and(|head| head.split(' ').any(|word| word == "fn"));
        if !is_function || words.starts_with("//") || words.ends_with(';') || words.ends_with('}') {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let end = lines.iter().skip(start).position(|line| *line == close);
        lengths.extend(end.map(|lines| lines + 1));
    }
    lengths
}
