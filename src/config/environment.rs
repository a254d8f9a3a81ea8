//! Environment variables in gateway.yaml: `${NAME}` and `${NAME:-default}` in a scalar become the variable's value.
//!
//! They are replaced in the tree that the YAML parser has made, so that a value cannot add structure; keys stay as they
//! are. `$${` stands for `${` itself.

use std::collections::BTreeMap;

use super::error::{FieldPath, Position, Problem, Segment};
use super::files::SourceContent;
use super::yaml::{Node, NodeValue};

/// Reads an environment variable.
pub(super) type Lookup<'l> = dyn Fn(&str) -> SourceContent + 'l;

/// The error of [`Lookup`] for a variable that is not set.
pub(super) const NOT_SET: &str = "not set";

/// What has been replaced.
#[derive(Clone, Default)]
pub(super) struct Substituted {
    /// Every variable that was read, with its value.
    pub(super) variables: BTreeMap<String, SourceContent>,
    /// Problems of placeholders.
    pub(super) problems: Vec<Problem>,
    /// The placeholders of each scalar, by its position and its key or index.
    scalars: Vec<(Position, Segment, String)>,
    /// Scalars with `$NAME`, which is no placeholder. The name is not printed: it could be a part of a secret.
    bare: Vec<(Position, Segment)>,
}

impl Substituted {
    /// The problems, with the variables that their values were made of, and without those that follow from others.
    pub(super) fn explained(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let secrets: Vec<_> = problems.iter().filter(|problem| is_of_secret(problem)).cloned().collect();
        let explained = |problem| self.explained_alone(problem, &secrets);
        problems.into_iter().filter_map(explained).collect()
    }

    fn explained_alone(&self, mut problem: Problem, secrets: &[Problem]) -> Option<Problem> {
        // A secret is no text of gateway.yaml, whether the variable is set or not.
        if self.problems.contains(&problem) {
            return (!secrets.iter().any(|secret| secret.field == problem.field)).then_some(problem);
        }
        if !is_of_secret(&problem) && self.problems.iter().any(|known| known.field == problem.field) {
            return None;
        }
        let is_here = |(position, segment, _): &&(Position, Segment, String)| {
            *position == problem.position && problem.field.segments().last() == Some(segment)
        };
        let placeholders = self.scalars.iter().find(is_here).map(|(.., placeholders)| placeholders);
        let last = problem.field.segments().last();
        if self.bare.iter().any(|(position, segment)| *position == problem.position && last == Some(segment)) {
            let write = if is_of_secret(&problem) { "{ env: NAME }" } else { "${NAME}, with braces" };
            problem.message.push_str(&format!("; for an environment variable write {write}"));
        }
        if let (true, Some(name)) = (is_of_secret(&problem), placeholders.and_then(|text| only_name(text))) {
            problem.message =
                format!("expected {{env: NAME}} or {{file: path}}, never the value itself; write {{ env: {name} }}");
        } else if let Some(placeholders) = placeholders {
            problem.message = format!("{} (the value comes from {placeholders})", problem.message);
        }
        Some(problem)
    }
}

/// Whether a text stands where a secret belongs.
fn is_of_secret(problem: &Problem) -> bool {
    problem.message.contains("{env: NAME}")
}

/// The name in a text that is one placeholder without a default.
fn only_name(placeholders: &str) -> Option<&str> {
    let name = placeholders.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains('}')).then_some(name)
}

/// Replaces the placeholders in all scalars at and below `node`, whose field is `path`.
pub(super) fn substitute(node: &mut Node, path: &[Segment], lookup: &Lookup<'_>, substituted: &mut Substituted) {
    let below = |segment| [path, &[segment]].concat();
    match &mut node.value {
        NodeValue::String(text) if text.contains("${") => {
            let mut names = Vec::new();
            match expanded(text, lookup, substituted, &mut names) {
                Ok(value) => {
                    *text = value;
                    node.is_substituted = !names.is_empty();
                }
                Err(message) => {
                    let field: FieldPath = path.iter().cloned().collect();
                    substituted.problems.push(Problem { position: node.position, field, message });
                }
            }
            if let (Some(segment), false) = (path.last(), names.is_empty()) {
                let placeholders: Vec<String> = names.iter().map(|name| format!("${{{name}}}")).collect();
                substituted.scalars.push((node.position, segment.clone(), placeholders.join(" and ")));
            }
        }
        NodeValue::String(text) => {
            // `env` takes the name without `$`, and says so.
            let segment = path.last().filter(|segment| **segment != Segment::Key("env".into()));
            substituted.bare.extend(segment.filter(|_| has_bare_name(text)).map(|one| (node.position, one.clone())));
        }
        NodeValue::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &below(Segment::Index(index)), lookup, substituted);
            }
        }
        NodeValue::Mapping(entries) => {
            for (key, value) in entries {
                substitute(value, &below(Segment::Key(key.clone().into())), lookup, substituted);
            }
        }
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) => {}
    }
}

/// Whether the text has a variable as a shell reads it without braces: `$NAME`, in capitals.
fn has_bare_name(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// The text with the values of its placeholders, whose names are added to `names`.
fn expanded(
    text: &str,
    lookup: &Lookup<'_>,
    substituted: &mut Substituted,
    names: &mut Vec<String>,
) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = after;
            continue;
        }
        value.push_str(before);
        let expected = "expected ${NAME} or ${NAME:-default}; write $${ for the characters ${ themselves";
        let (inner, after) = after.split_once('}').ok_or(expected)?;
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, text)| (name, Some(text)));
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty();
        if !is_name {
            return Err(expected.to_owned());
        }
        names.push(name.to_owned());
        value.push_str(&variable(name, default, lookup, substituted)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

/// The value of a variable. The default is for one that is not set or empty, as in a shell.
fn variable(
    name: &str,
    default: Option<&str>,
    lookup: &Lookup<'_>,
    substituted: &mut Substituted,
) -> Result<String, String> {
    let content = substituted.variables.entry(name.to_owned()).or_insert_with(|| lookup(name));
    let given = content.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    match (given, default) {
        (Ok(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Ok(value), _) if value.chars().any(char::is_control) => {
            Err(format!("environment variable {name} contains a control character, such as a line break"))
        }
        (Ok(value), _) => Ok(value),
        (Err(error), Some(default)) if error == NOT_SET => Ok(default.to_owned()),
        (Err(error), _) => {
            Err(format!("environment variable {name} is {error}; set it, or write a default: ${{{name}:-default}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::config::yaml;

    fn lookup(name: &str) -> SourceContent {
        let value = match name {
            "HOST" => "hooks.example.com",
            "EMPTY" => "",
            "YAML" => "${HOST}: [a, b] # c",
            "LINES" => "a\nb",
            _ => return Err(NOT_SET.to_owned()),
        };
        Ok(Zeroizing::new(value.as_bytes().to_vec()))
    }

    fn value(text: &str) -> Result<String, String> {
        let mut node = yaml::read(&format!("{{ key: {text:?} }}")).unwrap();
        let mut substituted = Substituted::default();
        substitute(&mut node, &[], &lookup, &mut substituted);
        match substituted.problems.pop() {
            Some(problem) => {
                assert_eq!(
                    (problem.position, problem.field.to_string().as_str()),
                    (Position { line: 1, column: 3 }, "key")
                );
                Err(problem.message)
            }
            None => match node.value {
                NodeValue::Mapping(entries) => match &entries[0].1.value {
                    NodeValue::String(text) => Ok(text.clone()),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            },
        }
    }

    #[test]
    fn placeholders_become_values() {
        for (text, expected) in [
            ("https://${HOST}:${PORT:-8443}/", "https://hooks.example.com:8443/"),
            ("${EMPTY:-none}${EMPTY}", "none"),
            ("${GONE:-}", ""),
            ("$${HOST} $5 ^a$ {tenant} $", "${HOST} $5 ^a$ {tenant} $"),
            // A value is neither YAML nor replaced once more.
            ("${YAML}", "${HOST}: [a, b] # c"),
        ] {
            assert_eq!(value(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_placeholder_without_a_value_is_a_problem() {
        for (text, expected) in [
            ("${GONE}", "environment variable GONE is not set; set it, or write a default: ${GONE:-default}"),
            ("${LINES}", "environment variable LINES contains a control character, such as a line break"),
        ] {
            assert_eq!(value(text).unwrap_err(), expected);
        }
        for text in ["${HOST", "${}", "${1A}", "${A-b}", "a ${ b }"] {
            assert!(value(text).unwrap_err().contains("expected ${NAME} or ${NAME:-default}"), "{text}");
        }
    }
}
