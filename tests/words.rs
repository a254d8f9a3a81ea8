//! Names and words of everything that a person reads: keys as the schema has them, no former name, and the field's own
//! terms. `HOOKGATE_WORDS=folder` reads another checkout; `--nocapture` prints the number of findings of each rule.

mod phrases;
mod tables;
mod text;

use std::path::{Path, PathBuf};

use hookgate::config::renames::{METRICS, REASONS, RENAMES};
use regex::Regex;
use text::Text;

/// What is read: sources, documents, manifests and scripts.
const FOLDERS: &[&str] = &[
    ".ci",
    "bench",
    "benches",
    "certs",
    "deploy",
    "docs",
    "examples",
    "fuzz/fuzz_targets",
    "fuzz/src",
    "presets",
    "site",
    "src",
    "tests",
];

/// The table of former names and its page, the history, and the rules themselves.
const EXEMPT: &[&str] =
    &["src/config/renames.rs", "docs/reference/former-names.md", "CHANGELOG.md", "tests/words.rs", "tests/words/"];

fn root() -> PathBuf {
    std::env::var_os("HOOKGATE_WORDS").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Path from the root, and content, of each file that a person reads.
fn files() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>, deep: bool) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap()) {
            let (path, name) = (entry.path(), entry.file_name());
            if !path.is_dir() {
                found.push(path);
            } else if deep
                && !["node_modules", "target", "build", "__pycache__"].iter().any(|skipped| name == **skipped)
            {
                walk(&path, found, deep);
            }
        }
    }
    let (root, mut paths) = (root(), Vec::new());
    walk(&root, &mut paths, false);
    FOLDERS.iter().for_each(|folder| walk(&root.join(folder), &mut paths, true));
    let kinds = ["rs", "md", "yaml", "yml", "toml", "sh", "py", "lua", "service", "conf", "cfg", "sysusers"];
    let kind = |path: &PathBuf| path.extension().is_some_and(|kind| kinds.iter().any(|known| kind == *known));
    let mut files = Vec::new();
    for path in paths.into_iter().filter(|path| kind(path) || path.ends_with(".ci/run") || path.ends_with("Dockerfile"))
    {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if !EXEMPT.iter().any(|exempt| name.starts_with(exempt)) {
            files.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    files.sort();
    files
}

/// The texts of a file; presets and alerts are texts as a whole.
fn texts(name: &str, content: &str) -> Vec<Text> {
    let is_test = name.contains("/tests") || name.starts_with("tests/") || name.contains("testing");
    match name.rsplit('.').next().unwrap() {
        "rs" => text::of_rust(content, !is_test && name.starts_with("src/")),
        "md" => text::of_page(content),
        _ if name.starts_with("presets/") || name.contains("alerts") => text::of_page(content),
        "lua" => text::of_script(content, "-- "),
        _ => text::of_script(content, "# "),
    }
}

/// Prints the number of findings, and fails with the first of them.
fn none(rule: &str, findings: &[String]) {
    println!("{rule}: {}", findings.len());
    let shown: Vec<&String> = findings.iter().take(40).collect();
    assert!(findings.is_empty(), "{rule}: {} findings, among them {shown:#?}", findings.len());
}

/// Findings of `rule` in the texts of all files, each with its place.
fn in_texts(rule: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, content) in files() {
        for Text { line, text } in texts(&name, &content) {
            findings.extend(rule(&name, &text).into_iter().map(|found| format!("{name}:{line}: {found}")));
        }
    }
    findings
}

#[test]
fn every_phrase_is_the_field_s() {
    let rules = phrases::rules();
    let findings = in_texts(|name, text| {
        let text = text::in_one_line(&text::without_code(text));
        let found = rules.iter().flat_map(|rule| rule.find_iter(&text)).map(|found| found.as_str().to_owned());
        let phrases = found.filter(|found| !phrases::is_allowed(name, &text, found));
        phrases.chain(phrases::headless(&text)).collect()
    });
    none("home-made phrases", &findings);
}

/// Former keys as dotted paths and as YAML, in documents, comments and manifests.
#[test]
fn no_key_has_its_former_name() {
    let rules: Vec<Regex> = RENAMES.iter().filter_map(former_key).collect();
    assert!(rules.len() > 40, "{}", rules.len());
    let findings = in_texts(|_, text| {
        rules.iter().flat_map(|rule| rule.find_iter(text)).map(|found| found.as_str().to_owned()).collect()
    });
    none("former keys", &findings);
}

/// `limits.head_size`, or a word that no key has any more; `None` where the former name is still a word of the field.
fn former_key(rename: &hookgate::config::renames::Rename) -> Option<Regex> {
    let parts: Vec<&str> = rename.old.split('.').filter(|part| *part != "**").collect();
    let (key, parent) = (*parts.last()?, parts.len().checked_sub(2).map(|at| parts[at]));
    let pattern = match (rename.value, parent) {
        (Some(value), _) => format!("{}: {}", regex::escape(key), regex::escape(value)),
        (None, _) if phrases::UNIQUE_KEYS.contains(&key) => regex::escape(key),
        (None, Some(parent)) if !parent.contains('*') => format!("{}\\.{}", regex::escape(parent), regex::escape(key)),
        (None, _) => return None,
    };
    Some(Regex::new(&format!(r"(?:^|\W){pattern}(?:[^\w:]|: |:$|$)")).unwrap())
}

#[test]
fn a_former_key_is_found_as_a_word_in_a_path_and_in_yaml() {
    let rules: Vec<Regex> = RENAMES.iter().filter_map(former_key).collect();
    let found = |text: &str| rules.iter().any(|rule| rule.is_match(text));
    let former = ["`limits.head_size`", "`routes[0].limits.body`", "`observe_until`", "`issuers.a.jwks.refresh`"];
    for text in former.into_iter().chain(["`auth.token`", "mode: observe", "`state.kind`", "connect_timeout: 1s"]) {
        assert!(found(text), "{text}");
    }
    for text in ["`limits.max_body_size`", "the body", "`routes[0].auth.static_token`", "mode: enforce"] {
        assert!(!found(text), "{text}");
    }
}

#[test]
fn no_reason_and_no_metric_has_its_former_name() {
    let token = |name: &&str| Regex::new(&format!(r"(?:^|\W){name}(?:\W|$)")).unwrap();
    let quoted = |name: &&str| Regex::new(&format!("(?:`|reason=\"){name}(?:`|\")")).unwrap();
    let (words, tokens): (Vec<&str>, Vec<&str>) =
        REASONS.iter().map(|(old, _)| *old).partition(|old| phrases::ORDINARY_REASONS.contains(old));
    let names = tokens.iter().chain(METRICS.iter().map(|(old, _)| old)).map(token);
    let rules: Vec<Regex> = names.chain(words.iter().map(quoted)).collect();
    // The result of an operation of the store has this word still.
    let is_result = |name: &str, found: &str| name == "docs/reference/metrics.md" && found == "`in_flight`";
    let findings = in_texts(|name, text| {
        let found = rules.iter().flat_map(|rule| rule.find_iter(text)).map(|found| found.as_str().to_owned());
        found.filter(|found| !is_result(name, found)).collect()
    });
    none("former reasons and metrics", &findings);
}

#[test]
fn every_yaml_block_and_key_table_agrees_with_the_schema() {
    let (mut findings, mut blocks, mut keys) = (Vec::new(), 0, 0);
    for (name, content) in files().iter().filter(|(name, _)| name.ends_with(".md")) {
        for (line, block) in tables::yaml_blocks(content) {
            blocks += 1;
            findings.extend(tables::unknown_keys(&block).into_iter().map(|found| format!("{name}:{line}: {found}")));
        }
        for (line, key) in tables::keys(content) {
            keys += 1;
            if !tables::is_known(&key) {
                findings.push(format!("{name}:{line}: no key `{key}`"));
            }
        }
    }
    for name in ["gateway.yaml", "bench/peers/hookgate.yaml"] {
        let content = std::fs::read_to_string(root().join(name)).unwrap();
        findings.extend(tables::unknown_keys(&content).into_iter().map(|found| format!("{name}: {found}")));
    }
    println!("{blocks} blocks, {keys} keys");
    none("unknown keys", &findings);
    assert!(blocks > 90 && keys > 150, "{blocks} blocks, {keys} keys");
}
