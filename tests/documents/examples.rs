//! The documents agree with the program: generated pages are up to date, and examples load.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hookgate::cli::presets::markdown;
use hookgate::config::presets::{PRESETS, resolve};
use hookgate::config::{Config, Handles, Sources, compile};
use zeroize::Zeroizing;

use super::generated::{assert_page, origin};
use crate::support::schema::assert_valid;
use crate::support::{Issuer, certificate};
use crate::vectors::{Case, cases};

fn page(name: &str) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The text of each YAML code block.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("\n```yaml\n").skip(1);
    blocks.map(|block| format!("{}\n", block.split("\n```").next().unwrap())).collect()
}

/// A listener that requests client certificates, which some examples use.
const LISTENERS: &str = "listeners:
  - address: '127.0.0.1:0'
    tls: { certificates: [{ cert: server.crt, key: server.key }], client_ca: clients.crt, client_auth: optional }
";

const ISSUERS: &str = "issuers:
  acme:
    issuer: https://auth.example.com/
    algorithms: [RS256]
    jwks: { url: https://auth.example.com/keys }
";

const STORE: &str = "store: { type: memory }\n";

/// A whole configuration around fields of a route.
fn around(fields: &str) -> String {
    let others = [("match:", "match: { path: /webhook }"), ("upstream:", "upstream: { url: http://127.0.0.1:1 }")];
    let others = others.iter().filter(|(field, _)| !fields.starts_with(field)).map(|(_, line)| *line);
    let fields: String = others.chain(fields.lines()).map(|line| format!("    {line}\n")).collect();
    format!("{STORE}{ISSUERS}routes:\n  - name: example\n{fields}")
}

/// A whole configuration around an example, which is one, or has fields of a route or of the top level.
fn whole(block: &str) -> String {
    if block.contains("\nroutes:") {
        return block.to_owned();
    }
    let top = ["admin:", "drain:", "listeners:", "max_buffered_bytes:", "trusted_proxies:"];
    if top.iter().any(|key| block.starts_with(key)) {
        return around("auth: public") + block;
    }
    if block.starts_with("store:") {
        return around("auth: public").replace(STORE, block);
    }
    // Replay protection needs a scheme that identifies senders.
    let alone = block.starts_with("replay_protection:") || block.starts_with("idempotency:");
    let auth = if alone { "auth: { jwt: { issuer: acme, audience: a } }\n" } else { "" };
    let off = if block.starts_with("idempotency:") { "replay_protection: disabled\n" } else { "" };
    around(&format!("{auth}{off}{block}"))
}

fn load(yaml: &str, files: &BTreeMap<String, Vec<u8>>) -> Config {
    let listeners = if format!("\n{yaml}").contains("\nlisteners:") { "" } else { LISTENERS };
    let text = format!("{listeners}{yaml}");
    let (ca, certificate, key) = certificate(&["localhost"]);
    let named = regex::Regex::new(r"\b(ca|client_ca|cert|key): ([^\s,{}]+)").unwrap();
    let served = named.captures_iter(&text).map(|found| {
        let content = match &found[1] {
            "cert" => &certificate,
            "key" => &key,
            _ => &ca,
        };
        (found[2].to_owned(), content.clone().into_bytes())
    });
    let files = files.iter().map(|(name, content)| (name.clone(), content.clone())).chain(served);
    let files = files.map(|(name, content)| (name, Ok(Zeroizing::new(content))));
    let mut sources = Sources::in_memory(PathBuf::from("gateway.yaml"), text.clone(), files.collect());
    let list = Ok(Zeroizing::new(b"{}".to_vec()));
    sources.revocations = BTreeMap::from([("revoked.yaml".to_owned(), list)]);
    let config = compile(&sources, &Handles::default());
    let config = config.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_valid(&text);
    config
}

#[test]
fn the_page_of_presets_is_up_to_date() {
    assert_page("presets.md", &markdown());
}

/// Each name in code of a row is a preset or an alias of the linked one; each preset has a row.
#[test]
fn the_page_of_audit_rules_is_up_to_date() {
    let page = format!("# Audit rules\n\n{}{}", origin("`src/cli/audit/rules.yaml`"), hookgate::cli::audit::markdown());
    assert_page("audit-rules.md", &page);
}

#[test]
fn the_page_of_providers_names_presets_and_their_aliases() {
    let page = page("docs/presets.md");
    let rows = page.lines().filter(|line| line.contains("](reference/presets.md#"));
    let names: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
    let unknown: Vec<&&str> = names.iter().filter(|name| resolve(name).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let absent: Vec<&&str> = PRESETS.keys().filter(|name| !names.contains(*name)).collect();
    assert!(absent.is_empty(), "{absent:?}");
}

/// The secret files of a preset: the vectors have secrets of the right form.
fn secrets_of(preset: &str) -> BTreeMap<String, Vec<u8>> {
    let all = ["signatures.json", "tokens.json"].into_iter().flat_map(cases);
    let mut of_preset = all.filter(|(_, case, valid)| *valid && case.auth["preset"] == preset);
    let given =
        |case: Case| case.secrets.first().cloned().or_else(|| case.jwks.map(|set| set.to_string().into_bytes()));
    let secret = of_preset.find_map(|(_, case, _)| given(case));
    let named = secret.into_iter().map(|secret| (format!("secrets/{preset}"), secret));
    named.chain([(format!("secrets/{preset}-token"), b"the token that the provider sends".to_vec())]).collect()
}

#[test]
fn every_preset_loads_as_its_page_documents_it() {
    let blocks = blocks(&markdown());
    assert_eq!(blocks.len(), PRESETS.len());
    for (name, block) in PRESETS.keys().zip(blocks) {
        assert!(block.contains(&format!("preset: {name}\n")), "{name}");
        let files = secrets_of(name);
        assert_eq!(challenges(&load(&around(&block), &files)), 0, "{name}: off unless it is switched on");
        let answers = block.replace("# challenge: ", "challenge: ");
        assert_eq!(challenges(&load(&around(&answers), &files)) > 0, answers != block, "{name}");
    }
}

fn challenges(config: &Config) -> usize {
    config.snapshot.routes.find("any", "/webhook", &http::Method::POST).unwrap().challenges.len()
}

#[test]
fn every_example_loads() {
    // The page of presets has a test of its own.
    let apart = ["reference/presets.md"];
    let pages = super::pages().into_iter().filter(|path| !apart.iter().any(|name| path.ends_with(name)));
    let texts = pages.map(|path| std::fs::read_to_string(path).unwrap()).chain([page("README.md")]);
    let blocks: Vec<String> = texts.flat_map(|text| blocks(&text)).collect();
    let key_set = Issuer::rs256("rsa-1").jwks();
    for block in &blocks {
        let named = block.split("file: ").skip(1).map(|rest| rest.split([' ', '}', ',', '\n']).next().unwrap());
        // Each secret is another one.
        let numbered = named.enumerate();
        let secret = |index: usize| format!("0123456789abcdef0123456789ab{index:04x}");
        let content = |index, name: &str| if name.ends_with(".jwks.json") { key_set.clone() } else { secret(index) };
        let files = numbered.map(|(index, name)| (name.to_owned(), content(index, name).into_bytes())).collect();
        let config = load(&whole(block), &files);
        let has = |path: &&str| config.snapshot.routes.find("any", path, &http::Method::POST).is_ok();
        let found = ["/webhook", "/hooks/acme"].iter().any(has);
        assert!(found, "its route is not there: {block}");
    }
    assert!(blocks.len() > 1, "{}", blocks.len());
}
