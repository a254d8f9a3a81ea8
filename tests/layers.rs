//! The structure of the code: no `use` points upwards, decisions do nothing but decide, files and functions stay small,
//! a type's name has one meaning, and one file names statuses.

pub mod paths;
mod size;
pub mod source;
mod types;

use std::collections::BTreeSet;

use paths::paths;
use source::{Source, sources};

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
    &["acme"],
    &["services"],
    &["proxy"],
    &["server"],
    &["reload"],
    &["admin", "exposure"],
    &["app"],
    &["cli", "main", "lib"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The top-level modules that a file uses, tests included.
fn used(source: &Source) -> Vec<String> {
    let paths = paths(&source.path(), source.tokens.clone());
    paths.into_iter().filter(|path| path[0] == "crate").filter_map(|path| path.get(1).cloned()).collect()
}

fn upward_arrows(source: &Source) -> Vec<String> {
    let from = source.module();
    let own = layer(from).unwrap_or_else(|| panic!("{from} has no layer"));
    let is_upward = |to: &String| layer(to).unwrap_or_else(|| panic!("{to}, used by {from}, has no layer")) > own;
    used(source).into_iter().filter(is_upward).map(|to| format!("{from} uses {to}")).collect()
}

#[test]
fn no_arrow_points_upwards() {
    let arrows: Vec<String> = sources().iter().flat_map(upward_arrows).collect();
    assert!(arrows.is_empty(), "{arrows:#?}");
}

/// A service gets its settings as values: it does not depend on how gateway.yaml is read.
#[test]
fn only_commands_start_and_reload_read_the_configuration() {
    let readers = ["config", "cli", "app", "reload", "main", "lib"];
    for source in sources().iter().filter(|source| !readers.contains(&source.module())) {
        assert!(!used(source).contains(&"config".to_owned()), "{} uses config", source.name);
    }
}

#[test]
fn an_upward_arrow_would_be_seen() {
    for (file, text, expected) in [
        ("auth.rs", "use crate::proxy::Gateway;", "auth uses proxy"),
        ("route.rs", "use crate::{clock, server};", "route uses server"),
        ("auth.rs", "fn f() { crate::app::start() }", "auth uses app"),
        ("auth.rs", "fn f() { g!(crate::app::start()) }", "auth uses app"),
        ("auth.rs", "use super::route::Route;", "auth uses route"),
        ("auth/jwt.rs", "use super::{keys, super::proxy::Gateway};", "auth uses proxy"),
        ("auth/jwt.rs", "mod tests { use super::super::super::{clock, admin}; }", "auth uses admin"),
        ("limit.rs", "use crate::{clock::{Clock, UnixTime}, store::Store};", "limit uses store"),
        ("proxy/head.rs", "use crate::{auth::{request::{A, B}}, server::C};", "proxy uses server"),
    ] {
        assert_eq!(upward_arrows(&Source::new(file, text, false)), [expected], "{text}");
    }
    for (file, text) in [
        ("app.rs", "use crate::clock::Clock; // crate::cli"),
        (
            "auth/jwt.rs",
            "const TEXT: &str = \"crate::cli\"; use super::keys; use super::super::clock; use crate as all;",
        ),
    ] {
        assert!(upward_arrows(&Source::new(file, text, false)).is_empty(), "{text}");
    }
}

/// The order inside of the I/O layer, each with all of those before it.
#[test]
fn the_io_layer_has_an_order() {
    let order = ["limit", "store", "jwks", "services", "proxy", "server", "reload", "admin"];
    for (index, upper) in order.iter().enumerate() {
        for lower in &order[..index] {
            let (downwards, upwards) = (format!("use crate::{lower};"), format!("use crate::{upper};"));
            assert!(upward_arrows(&Source::new(&format!("{upper}.rs"), &downwards, false)).is_empty());
            assert_eq!(upward_arrows(&Source::new(&format!("{lower}.rs"), &upwards, false)).len(), 1);
        }
    }
}

/// I/O, waiting, clocks, logging and metrics in this code.
fn impure(source: &Source) -> Vec<String> {
    let crates = ["tokio", "tracing", "prometheus"];
    let modules = ["fs", "env", "process", "thread", "net"];
    let words = ["SystemTime", "Instant", "async"];
    let paths = paths(&source.path(), source.shipped()).into_iter();
    let is_impure = |path: &Vec<String>| {
        let has_no_io = path.last().is_some_and(|last| last.starts_with("Ip"));
        let std_module = path[0] == "std" && path.get(1).is_some_and(|module| modules.contains(&module.as_str()));
        crates.contains(&path[0].as_str())
            || path.iter().any(|segment| words.contains(&segment.as_str()))
            || std_module && !has_no_io
    };
    paths.filter(is_impure).map(|path| path.join("::")).collect()
}

/// Layer 1 is pure: it gets the time and the bytes as arguments, and has no I/O, waiting, logging or metrics.
#[test]
fn decisions_do_nothing_but_decide() {
    for source in sources().iter().filter(|source| ["auth", "route", "failure"].contains(&source.module())) {
        let found = impure(source);
        assert!(found.is_empty(), "{} has {found:?}", source.name);
    }
}

#[test]
fn an_impure_decision_would_be_seen() {
    let after_tests = "#[cfg(test)] mod tests; fn f() { std::fs::read(path) }";
    for (text, expected) in [
        ("use std::{collections, fs::{self, File}};", vec!["std::fs::self", "std::fs::File"]),
        (after_tests, vec!["std::fs::read"]),
        ("async fn f() {}", vec!["async"]),
        ("fn f() { tracing::info!(\"text\") }", vec!["tracing::info"]),
        ("use std::time::{Duration, Instant};", vec!["std::time::Instant"]),
        ("// std::fs\nconst A: &str = \"tokio::spawn\"; use std::net::IpAddr;", vec![]),
        ("#[cfg(test)] mod tests { use std::time::Instant; }", vec![]),
    ] {
        assert_eq!(impure(&Source::new("auth.rs", text, false)), expected, "{text}");
    }
    assert!(impure(&Source::new("auth/testing.rs", "use std::fs;", true)).is_empty());
}

#[test]
fn one_file_names_status_codes() {
    let is_status = |path: &Vec<String>| {
        path.windows(2).any(|pair| pair[0] == "StatusCode" && pair[1].starts_with(|letter: char| letter.is_uppercase()))
            && path.last().is_some_and(|name| !name.contains(char::is_lowercase))
    };
    for source in sources().iter().filter(|source| source.name != "failure.rs" && source.module() != "cli") {
        let named: Vec<_> = paths(&source.path(), source.tokens.clone()).into_iter().filter(is_status).collect();
        assert!(named.is_empty(), "{} names {named:?}", source.name);
    }
}

/// The status and the error of RFC 8935 stand in the row of a reason, which `auth` must not know.
#[test]
fn only_failure_reads_the_rows_of_reasons() {
    let sources = sources();
    let readers = sources.iter().filter(|source| source.text.contains(".row()")).map(Source::module);
    assert_eq!(readers.collect::<BTreeSet<_>>(), ["failure", "reason"].into());
}
