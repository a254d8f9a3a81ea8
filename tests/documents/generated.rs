//! Pages that are generated: a test compares each with its file, or writes it with `HOOKGATE_WRITE=1`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The sentence with which each generated page begins.
pub fn origin(source: &str) -> String {
    format!("This page is generated from {source} by `HOOKGATE_WRITE=1 cargo test --test integration documents`.\n\n")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference")
}

/// The page `name` in docs/reference.
pub fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_default()
}

fn is_writing() -> bool {
    std::env::var_os("HOOKGATE_WRITE").is_some()
}

/// Fails if the page `name` in docs/reference differs from `content`; with `HOOKGATE_WRITE=1` it writes the page.
pub fn assert_page(name: &str, content: &str) {
    if is_writing() {
        let path = folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Renamed, since other tests read the page meanwhile.
        let written = path.with_extension("new");
        std::fs::write(&written, content).unwrap();
        return std::fs::rename(&written, &path).unwrap();
    }
    let page = read(name);
    let differing = page.lines().zip(content.lines()).find(|(before, after)| before != after);
    assert!(
        page == content,
        "docs/reference/{name} differs from the code: HOOKGATE_WRITE=1 cargo test --test integration documents\n\
         {differing:#?}"
    );
}

/// A row of a table. A bar in a cell would end it, also in code.
pub fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |").replace("|  |", "| |")
}

/// The first two rows of a table.
pub fn heading(columns: &[&str]) -> String {
    row(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<String>>())
        + &format!("|{}\n", "---|".repeat(columns.len()))
}

/// The anchor that GitHub gives a heading.
pub fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The text as a sentence: with a capital and a full stop.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?', ':']) || text.is_empty() { "" } else { "." };
    first + letters.as_str() + end
}

/// Every page in docs/reference, by its path from there.
pub fn pages() -> BTreeSet<String> {
    let pages = super::pages().into_iter();
    pages.filter_map(|path| Some(path.strip_prefix(folder()).ok()?.display().to_string())).collect()
}

/// Explicit anchors of a page, in their order.
pub fn anchors(page: &str) -> Vec<String> {
    page.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Links of a page whose target does not exist.
fn dead_links(path: &Path, page: &str) -> Vec<String> {
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let targets = link.captures_iter(page).map(|found| found[1].to_owned());
    targets.filter(|target| !target.contains("://") && !exists(path, page, target)).collect()
}

fn exists(path: &Path, page: &str, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { path.to_owned() } else { path.parent().unwrap().join(file) };
    if anchor.is_empty() {
        return path.exists();
    }
    let page = if file.is_empty() { page.to_owned() } else { std::fs::read_to_string(path).unwrap_or_default() };
    let headings =
        page.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches(['#', ' '])));
    headings.chain(anchors(&page)).any(|known| known == anchor)
}

#[test]
fn every_link_of_a_document_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"];
    // While the reference is written, some pages are not there yet.
    let pages = super::pages().into_iter().chain(others.map(|name| root.join(name))).filter(|_| !is_writing());
    for path in pages {
        let dead = dead_links(&path, &std::fs::read_to_string(&path).unwrap());
        assert!(dead.is_empty(), "{}: {dead:?}", path.display());
    }
    let page =
        "# A `b.c`\n[a](#a-bc) [b](#d) [c](no-such-page.md) <a id=\"x.y\"></a>[x](#x.y) [w](https://example.com/#z)";
    assert_eq!(dead_links(&root.join("README.md"), page), ["#d", "no-such-page.md"]);
}

#[test]
fn tables_and_sentences_are_written_as_markdown() {
    assert_eq!(row(&["a|b".to_owned(), String::new(), String::new()]), "| a\\|b | | |\n");
    assert_eq!(heading(&["a", "b"]), "| a | b |\n|---|---|\n");
    assert_eq!(slug("`routes.limits`, `a_b`"), "routeslimits-a_b");
    assert_eq!(sentence("no route: `GET`"), "No route: `GET`.");
}
