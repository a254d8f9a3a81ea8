//! Keys in the wrong place, and files of other programs: where a key of gateway.yaml belongs, by its JSON Schema. The
//! caller gives the schema.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{FieldPath, Position, Problem, Segment};
use super::yaml::{Node, NodeValue};

/// The most places that a message names.
const MOST_NAMED: usize = 2;

/// Keys of which several places are as near, or that have another name there: where they are, as steps of a path, and the
/// place that is mostly meant. One with another name follows the place.
const MOSTLY_MEANT: &[(&str, &str)] = &[
    (".routes[].ttl", "routes[].replay_protection"),
    (".routes[].on_duplicate", "routes[].replay_protection"),
    (".routes[].commit_on", "routes[].replay_protection"),
    (".routes[].timeout", "routes[].upstream.timeouts` as `total"),
];

/// Keys of so many places that none can be meant, as steps of a path.
const COMMON: &[&str] = &[".name", ".id", ".file", ".type"];

/// The deepest place that is looked at: schemes contain schemes.
const DEEPEST: usize = 8;

/// Files of other programs: keys of the top level of which all are there, the name of the file, and advice.
const OTHERS: &[(&[&str], &str, &str)] = &[
    (&["services"], "a docker-compose file", ""),
    (&["static_resources"], "a configuration of Envoy", ""),
    (&["apiVersion", "kind"], "a Kubernetes manifest", "; give the text under `data` of the ConfigMap as a file"),
    (&["server"], "an nginx configuration", ""),
    (&["http", "entryPoints"], "a configuration of Traefik", ""),
    (&["http", "tls"], "a configuration of Traefik", ""),
];

/// The form of this program's file.
const OURS: &str = "gateway.yaml has `listeners`, `issuers` and `routes` at the top level";

/// The problem of a file that is one of another program, which explains all others.
pub(super) fn other_program(document: &Node) -> Option<Problem> {
    let NodeValue::Mapping(entries) = &document.value else { return None };
    let find = |key: &str| entries.iter().find(|(name, _)| name == key);
    if let Some((key, node)) = find("hookgate").filter(|_| entries.len() == 1) {
        let message =
            "the whole configuration is one level too deep; remove this key, and indent the rest less".to_owned();
        return Some(Problem { position: node.position, field: FieldPath::root().child(key), message });
    }
    if find("listeners").is_some() || find("routes").is_some() {
        return None;
    }
    let (keys, program, advice) = OTHERS.iter().find(|(keys, ..)| keys.iter().all(|key| find(key).is_some()))?;
    let (key, node) = find(keys.first()?)?;
    let message = format!("this is {program}, not one of hookgate{advice}: {OURS}");
    Some(Problem { position: node.position, field: FieldPath::root().child(key), message })
}

/// The message for a text that is not YAML because it is in the form of nginx or Caddy: a line that ends in ` {`.
pub(super) fn other_syntax(text: &str) -> Option<Problem> {
    let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let (number, first) = text.lines().enumerate().find(|(_, line)| is_code(line))?;
    let first = first.split(" #").next().unwrap_or_default().trim_end();
    let opens = first.ends_with('{') && !first.contains(':') && first != "{";
    let is_nginx = first.split_whitespace().next().is_some_and(|word| {
        ["server", "http", "events", "upstream", "stream", "user", "worker_processes", "location"].contains(&word)
    }) && (opens || first.ends_with(';'));
    let program = match (is_nginx, opens) {
        (true, _) => "an nginx configuration",
        (false, true) => "a Caddyfile",
        (false, false) => return None,
    };
    let message = format!("this is {program}, not one of hookgate: {OURS}");
    Some(Problem { position: Position { line: number + 1, column: 1 }, field: FieldPath::root(), message })
}

/// The problem of a document that has no keys.
pub(super) fn no_mapping(text: &str) -> Problem {
    let message = || format!("expected keys with values: {OURS}");
    let plain = || Problem { position: Position::START, field: FieldPath::root(), message: message() };
    other_syntax(text).unwrap_or_else(plain)
}

/// Where a key that is unknown at `path` belongs, as `routes[].match`; the nearest places first, at most two. An empty
/// text is the top level.
pub(super) fn homes(schema: &Value, path: &FieldPath) -> Vec<String> {
    let steps: Vec<String> = path.segments().iter().map(step).collect();
    if let Some((_, home)) = MOSTLY_MEANT.iter().find(|(place, _)| *place == steps.concat()) {
        return vec![(*home).to_owned()];
    }
    let Some((key, parents)) = steps.split_last().filter(|(key, _)| !COMMON.contains(&key.as_str())) else {
        return Vec::new();
    };
    let mut found = BTreeSet::new();
    walk(schema, schema, key, &mut Vec::new(), &mut found);
    // The keys of tokens are those of their issuer.
    let of_issuers = |home: &Vec<String>| home.first().is_some_and(|first| first == ".issuers");
    if parents.iter().any(|step| step == ".jwt") && found.iter().any(of_issuers) {
        found.retain(of_issuers);
    }
    let common = |home: &Vec<String>| home.iter().zip(parents).take_while(|(one, other)| one == other).count();
    let nearest = found.iter().map(common).max();
    let mut homes: Vec<&Vec<String>> = found.iter().filter(|home| Some(common(home)) == nearest).collect();
    let is_rare = |home: &&Vec<String>| !home.iter().any(|step| step == "[]");
    homes.sort_by_key(|home| (is_rare(home), home.len()));
    let Some(first) = homes.first().copied() else { return Vec::new() };
    // A place below the first one, or as near as it, would not help.
    let others = homes.iter().copied().skip(1).filter(|home| nearest == Some(0) && !home.starts_with(first));
    let shown = std::iter::once(first).chain(others).take(MOST_NAMED);
    shown.map(|home| home.concat().trim_start_matches('.').to_owned()).collect()
}

/// A step of a path; all items of a list are the same.
fn step(segment: &Segment) -> String {
    match segment {
        Segment::Key(key) => format!(".{key}"),
        Segment::Index(_) => "[]".to_owned(),
    }
}

/// Finds the mappings that have the key.
fn walk(schema: &Value, at: &Value, key: &str, path: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    if path.len() > DEEPEST {
        return;
    }
    let reference = at.get("$ref").and_then(Value::as_str).and_then(|name| schema.pointer(name.strip_prefix('#')?));
    let alternatives = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| at.get(word)?.as_array()).flatten();
    for same in reference.into_iter().chain(alternatives) {
        walk(schema, same, key, path, found);
    }
    let mut below = |step: String, at: &Value| {
        path.push(step);
        walk(schema, at, key, path, found);
        path.pop();
    };
    if let Some(items) = at.get("items") {
        below("[]".to_owned(), items);
    }
    if let Some(values) = at.get("additionalProperties").filter(|values| values.is_object()) {
        below(".NAME".to_owned(), values);
    }
    let Some(fields) = at.get("properties").and_then(Value::as_object) else { return };
    for (name, field) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "all_of" | "any_of")) {
        below(format!(".{name}"), field);
    }
    if fields.contains_key(key.trim_start_matches('.')) {
        found.insert(path.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes_of(keys: &[&str]) -> Vec<String> {
        let segment = |key: &&str| key.parse().map_or(Segment::Key((*key).to_owned().into()), Segment::Index);
        homes(crate::config::schema(), &keys.iter().map(segment).collect())
    }

    #[test]
    fn a_key_has_its_nearest_places() {
        assert_eq!(homes_of(&["routes", "0", "methods"]), ["routes[].match"]);
        assert_eq!(homes_of(&["tls"]), ["listeners[]", "store"]);
        assert_eq!(homes_of(&["listeners", "0", "tls", "cert"]), ["listeners[].tls.certificates[]"]);
        assert_eq!(homes_of(&["routes", "0", "jwt"]), ["routes[].auth"]);
        assert_eq!(homes_of(&["routes", "0", "store"]), [""]);
        assert_eq!(homes_of(&["listeners", "0", "limits", "rate"]), ["routes[].limits"]);
        assert_eq!(homes_of(&["routes", "0", "path"]), ["routes[].match"]);
        assert_eq!(homes_of(&["routes", "0", "ttl"]), ["routes[].replay_protection"]);
        assert_eq!(homes_of(&["routes", "0", "timeout"]), ["routes[].upstream.timeouts` as `total"]);
        for unknown in [&["routes", "0", "colour"][..], &["log", "file"], &[]] {
            assert_eq!(homes_of(unknown), [""; 0]);
        }
        assert_eq!(homes_of(&["routes", "0", "auth", "jwt", "jwks"]), ["issuers.NAME"]);
    }

    #[test]
    fn files_of_other_programs_are_recognized() {
        let program = |text: &str| other_syntax(text).map(|problem| (problem.position.line, problem.message));
        for (text, line, name) in [
            ("# a\nserver {\n  listen 80;\n}\n", 2, "nginx"),
            ("user nginx;\nhttp {\n}\n", 1, "nginx"),
            ("example.com {\n  reverse_proxy :8000\n}\n", 1, "Caddyfile"),
        ] {
            let (found, message) = program(text).unwrap();
            assert!(found == line && message.contains(name), "{message}");
        }
        for text in ["{\n", "listeners: {\n", "a: b\n", "", "# {"] {
            assert_eq!(program(text), None, "{text}");
        }
    }
}
