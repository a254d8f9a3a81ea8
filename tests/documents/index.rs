//! docs/reference/README.md: every page of the reference, and what it answers.

use std::collections::BTreeSet;

use super::configuration;
use super::generated::{assert_page, origin, pages};

/// The pages besides those of the configuration.
const PAGES: &[(&str, &str, &str)] = &[
    ("reasons.md", "Reasons", "why a request is rejected or fails, and what to do about it"),
    ("metrics.md", "Metrics", "each metric with its labels and their values"),
    ("log.md", "Log", "the fields of the access log, and every other line"),
    ("commands.md", "Commands", "each command with its options and exit codes"),
    ("presets.md", "Presets", "each provider that has a preset, and its configuration"),
    ("audit-rules.md", "Audit rules", "each weakness that `hookgate audit` looks for, with its fix"),
    ("former-names.md", "Former names", "the present name of each renamed key, value, reason and metric"),
];

fn page() -> String {
    let mut page = format!("# Reference\n\n{}", origin("the code"));
    page.push_str("A test fails where a page of this folder differs from the code.\n\n");
    page.push_str("- [Configuration](configuration/index.md): each key of gateway.yaml\n");
    for (file, title) in configuration::files().into_iter().skip(1) {
        page.push_str(&format!("  - [{title}](configuration/{file})\n"));
    }
    for (file, title, about) in PAGES {
        page.push_str(&format!("- [{title}]({file}): {about}\n"));
    }
    page
}

#[test]
fn the_index_of_the_reference_is_up_to_date() {
    assert_page("README.md", &page());
}

/// A page that no test compares with the code would become untrue unnoticed.
#[test]
fn the_reference_has_no_other_page() {
    let configuration = configuration::files().into_iter().map(|(file, _)| format!("configuration/{file}"));
    let others = PAGES.iter().map(|(file, ..)| *file).chain(["README.md"]).map(str::to_owned);
    assert_eq!(pages(), configuration.chain(others).collect::<BTreeSet<String>>());
}
