//! The documents describe the code: the reference is generated from it, and each name and example that a document has
//! exists.

mod commands;
mod configuration;
mod examples;
mod former_names;
mod generated;
mod index;
pub mod log;
mod metrics;
mod reasons;
mod steps;

use hookgate::config;

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

/// Every page in docs and the folders inside of it.
pub fn pages() -> Vec<std::path::PathBuf> {
    fn walk(folder: &std::path::Path, pages: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), &mut pages);
    pages
}

/// The pages of docs that the site lacks.
fn unlisted(summary: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let names = pages().into_iter().map(|page| page.strip_prefix(&folder).unwrap().display().to_string());
    names.filter(|name| name != "SUMMARY.md" && !summary.contains(&format!("]({name})"))).collect()
}

#[test]
fn the_site_has_every_page() {
    let summary = std::fs::read_to_string([env!("CARGO_MANIFEST_DIR"), "/docs/SUMMARY.md"].concat()).unwrap();
    assert!(unlisted(&summary).is_empty(), "docs/SUMMARY.md lacks {:?}", unlisted(&summary));
    assert_eq!(unlisted(&summary.replace("](explain.md)", "]")), ["explain.md"]);
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
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !["| mechanism", "| input"].iter().any(|head| line.starts_with(head)));
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
fn every_row_of_the_pages_with_tests_has_its_test() {
    for page in ["/docs/conformance.md", "/docs/concepts/leniency.md"] {
        let page = std::fs::read_to_string([env!("CARGO_MANIFEST_DIR"), page].concat()).unwrap();
        let gaps = gaps(&page, &code());
        assert!(gaps.is_empty(), "{gaps:#?}");
    }
    assert_eq!(self::gaps("| a | b | c | |\n| a | b | c | `no_such_test` |", "").len(), 2);
}

/// The files of src that a text names and that do not exist; the page of presets names files of other projects.
fn missing_files(text: &str) -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = regex::Regex::new(r"`(src/[A-Za-z0-9_/]+\.rs)").unwrap();
    let named = path.captures_iter(text).map(|found| found[1].to_owned());
    named.filter(|name| !root.join(name).exists()).collect()
}

#[test]
fn each_source_file_that_a_document_names_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name));
    for page in pages().into_iter().chain(others) {
        let missing = missing_files(&std::fs::read_to_string(&page).unwrap());
        assert!(missing.is_empty(), "{} names {missing:?}", page.display());
    }
    assert_eq!(missing_files("`src/lib.rs` and `src/admission/state/model.rs`"), ["src/admission/state/model.rs"]);
}
