//! Messages of the shape check: the expected form, the actual type, and the name that was probably meant.
//!
//! A message quotes a value only if a number or one of a list of options is expected; any other string could be a
//! secret in the wrong place. Called by `shape`.

use serde_json::Value as Json;
use strsim::osa_distance;

use super::alternatives::Alternative;

/// `expected a list or a string, got a number`, with the fix where it is clear.
pub(super) fn wrong_type(alternatives: &[Alternative<'_>], value: &Json) -> String {
    let mut message = format!("expected {}, got {}", expected(alternatives), got(value));
    if value.is_null() {
        message.push_str("; give a value or remove the line");
    } else if wants_quotes(alternatives, value) {
        message.push_str("; put it in quotes");
    }
    message
}

/// The message for a value of the options' type that is none of them.
pub(super) fn wrong_option(options: &[&Json], value: &Json) -> String {
    const LONGEST_SHOWN: usize = 40;
    let names: Vec<&str> = options.iter().filter_map(|option| option.as_str()).collect();
    let given = match value {
        Json::String(text) if text.chars().count() <= LONGEST_SHOWN => format!("`{}`", text.escape_debug()),
        Json::Number(_) | Json::Bool(_) => format!("`{value}`"),
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => got(value).to_owned(),
    };
    let meant = value.as_str().and_then(|text| nearest(text, names.into_iter()));
    let hint = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    format!("expected {}, got {given}{hint}", one_of(options))
}

/// The forms that the alternatives accept, in words.
pub(super) fn expected(alternatives: &[Alternative<'_>]) -> String {
    let mut words: Vec<String> = Vec::new();
    let options: Vec<&Json> = alternatives.iter().flat_map(Alternative::options).collect();
    let keys: Vec<&str> = alternatives
        .iter()
        .filter(|alternative| alternative.title.is_none())
        .filter_map(Alternative::sole_key)
        .collect();
    for alternative in alternatives {
        let word = match alternative.title {
            Some(title) => title.to_owned(),
            None if !alternative.options().is_empty() => one_of(&options),
            None if alternative.sole_key().is_some() && keys.len() > 1 => {
                format!("a mapping with one of {}", quoted(&keys))
            }
            None => form(alternative),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.split_last() {
        None => "a value".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
    }
}

fn form(alternative: &Alternative<'_>) -> String {
    let words: Vec<String> = alternative.types().into_iter().map(|kind| form_of(alternative, kind)).collect();
    if words.is_empty() { "nothing here".to_owned() } else { words.join(" or ") }
}

fn form_of(alternative: &Alternative<'_>, kind: &str) -> String {
    match (kind, alternative.sole_key()) {
        ("object", Some(key)) => return format!("a mapping with `{key}`"),
        ("object", None) => return mapping(alternative),
        ("array", _) => return "a list".to_owned(),
        _ => {}
    }
    if let Some(description) = alternative.description {
        return first_sentence(description);
    }
    let noun = match kind {
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => format!("a whole number{}", range(alternative)),
        "number" => format!("a number{}", range(alternative)),
        _ => "a string".to_owned(),
    };
    let examples: Vec<&Json> = alternative.list("examples").iter().collect();
    if examples.is_empty() { noun } else { format!("{noun} such as {}", list(&examples)) }
}

/// A small mapping is described by its fields: `{env: NAME}` is easier to write than to look up.
fn mapping(alternative: &Alternative<'_>) -> String {
    const MOST_NAMED: usize = 4;
    let names = alternative.field_names();
    let is_variant = names.iter().any(|name| alternative.constant(name).is_some());
    if names.is_empty() || names.len() > MOST_NAMED || is_variant {
        return "a mapping".to_owned();
    }
    format!("a mapping ({})", quoted(&names))
}

fn range(alternative: &Alternative<'_>) -> String {
    match alternative.bounds() {
        (Some(low), Some(high)) if high < i64::MAX.into() => format!(" from {low} to {high}"),
        (Some(low), _) if low > i64::MIN.into() => format!(" of at least {low}"),
        (_, Some(high)) if high < i64::MAX.into() => format!(" of at most {high}"),
        _ => String::new(),
    }
}

/// The first sentence of a doc comment, without its capital letter and full stop: a message continues with it.
fn first_sentence(description: &str) -> String {
    let sentence = description.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let sentence = sentence.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned();
    let mut chars = sentence.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(std::iter::once(second)).chain(chars).collect()
        }
        _ => sentence,
    }
}

/// The type of a value, never its content.
pub(super) fn got(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}

/// Whether YAML read a number or boolean where a string was meant: `1.2` for the option `"1.2"`.
fn wants_quotes(alternatives: &[Alternative<'_>], value: &Json) -> bool {
    let text = value.to_string();
    let free = |alternative: &Alternative<'_>| {
        alternative.types() == ["string"]
            && alternative.title.or(alternative.description).is_none()
            && alternative.list("examples").is_empty()
            && alternative.options().is_empty()
    };
    let listed =
        |alternative: &Alternative<'_>| alternative.options().iter().any(|option| option.as_str() == Some(&text));
    matches!(value, Json::Number(_) | Json::Bool(_))
        && alternatives.iter().any(|alternative| free(alternative) || listed(alternative))
}

/// `known fields are …`, for the message about an unknown field.
pub(super) fn known(names: &[&str]) -> String {
    match names {
        [] => "there are no fields here".to_owned(),
        [one] => format!("the only field here is `{one}`"),
        several => format!("known fields are {}", quoted(several)),
    }
}

/// `one of …`, or the sole option.
pub(super) fn one_of(options: &[&Json]) -> String {
    if options.len() == 1 { list(options) } else { format!("one of {}", list(options)) }
}

fn list(values: &[&Json]) -> String {
    let plain = |value: &&Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let names: Vec<String> = values.iter().map(plain).collect();
    quoted(&names)
}

/// Names in backquotes, separated by commas.
pub(super) fn quoted(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The name that a misspelt one was probably meant to be. Two swapped neighbours, the most common typing error in a
/// short name, count as one error.
pub(crate) fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    /// No known name is longer; bounds the work.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let given = plain(given);
    let (distance, name) =
        names.map(|name| (osa_distance(&given, &plain(name)), name)).min_by_key(|(away, _)| *away)?;
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    (distance <= allowed && distance < name.chars().count()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let names = ["timeout", "url", "urls", "max_age", "ca"];
        for (given, meant) in [
            ("timout", Some("timeout")),
            ("time_out", Some("timeout")),
            ("max-age", Some("max_age")),
            ("maxAge", Some("max_age")),
            ("uri", Some("url")),
            ("ulr", Some("url")),
            ("itmeotu", Some("timeout")),
            ("mitoeut", None),
            ("ca_file", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, names.into_iter()), meant, "{given}");
        }
    }
}
