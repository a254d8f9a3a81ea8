//! The messages of the reader: the expected form, the actual type, and the name that was probably meant.
//!
//! A message quotes a value only if a number or one of a list of options is expected; any other string could be a
//! secret in the wrong place.

use strsim::osa_distance;

use crate::config::hints;
use crate::config::values::parse_duration;
use crate::config::yaml::{Node, NodeValue};

/// The longest value that a message quotes.
const LONGEST_SHOWN: usize = 40;

/// A small mapping is described by its fields: `{env: NAME}` is easier to write than to look up.
const MOST_NAMED: usize = 4;

/// `expected a list or a string, got a number`, with the fix where it is clear.
pub(super) fn wrong_type(expected: &str, node: Option<&Node>) -> String {
    match node.map(|node| &node.value) {
        None => format!("missing; expected {expected}"),
        Some(NodeValue::Null) => format!("expected {expected}, got nothing; give a value or remove the line"),
        Some(value) => format!("expected {expected}, got {}{}", type_of(value), remedy(expected, value)),
    }
}

/// The value or the form to write in place of a value of another type, where it is clear.
fn remedy(expected: &str, value: &NodeValue) -> String {
    let is_bool = expected.contains("`true` or `false`");
    let is_list = expected.starts_with("a list");
    match value {
        NodeValue::String(text) if is_bool => {
            hints::write(hints::boolean(text).map(|value| format!("{value} without quotes")))
        }
        NodeValue::String(text) if expected.starts_with("a whole number") && text.parse::<u64>().is_ok() => {
            "; remove the quotes".to_owned()
        }
        NodeValue::String(_) if is_list => "; write it in brackets: [VALUE]".to_owned(),
        NodeValue::Mapping(_) if is_list => "; begin each item with `- `".to_owned(),
        NodeValue::List(_) if expected.starts_with("a mapping") => {
            "; remove the `-` or the brackets: write `NAME: VALUE`".to_owned()
        }
        NodeValue::Bool(true) if expected.starts_with("`disabled`, or { id") => {
            "; write { ttl: 4d }, or { id: { claim: jti } } for tokens".to_owned()
        }
        NodeValue::Number(number) if expected.starts_with("a duration") => {
            // The key may need one longer than zero.
            hints::duration(&number.to_string(), |hint| {
                parse_duration(hint).is_some_and(|duration| !duration.is_zero())
            })
        }
        NodeValue::Number(number) if expected.starts_with("a size") => hints::write(hints::size(&number.to_string())),
        NodeValue::Number(number) if expected.starts_with("a rate") => hints::write(hints::rate(&number.to_string())),
        NodeValue::Number(number) if expected.starts_with("an IP address and a port") => {
            hints::address(&number.to_string())
        }
        NodeValue::Null
        | NodeValue::Bool(_)
        | NodeValue::Number(_)
        | NodeValue::String(_)
        | NodeValue::List(_)
        | NodeValue::Mapping(_) => quotes(expected, value).to_owned(),
    }
}

/// The advice to quote a number or boolean where a string or this very text is an option: `1.2` for `"1.2"`.
fn quotes(expected: &str, value: &NodeValue) -> &'static str {
    let text = match value {
        NodeValue::Bool(value) => value.to_string(),
        NodeValue::Number(value) => value.to_string(),
        NodeValue::Null | NodeValue::String(_) | NodeValue::List(_) | NodeValue::Mapping(_) => return "",
    };
    let fits = ["a string", "a name", "a header name"].iter().any(|form| expected.starts_with(form))
        || expected.contains(&format!("`{text}`"));
    let is_bool = expected.contains("`true`");
    if fits && !is_bool { "; put it in quotes" } else { "" }
}

/// The message for a text that is none of the options.
pub(super) fn wrong_option(expected: &str, options: &[&str], given: &str) -> String {
    let shown = if given.chars().count() <= LONGEST_SHOWN {
        format!("`{}`", given.escape_debug())
    } else {
        "a string".to_owned()
    };
    let meant = nearest(given, options.iter().copied()).map(|meant| format!("; did you mean `{meant}`?"));
    format!("expected {expected}, got {shown}{}", meant.unwrap_or_default())
}

/// The type of a value, never its content.
const fn type_of(value: &NodeValue) -> &'static str {
    match value {
        NodeValue::Null => "nothing",
        NodeValue::Bool(_) => "a boolean",
        NodeValue::Number(_) => "a number",
        NodeValue::String(_) => "a string",
        NodeValue::List(_) => "a list",
        NodeValue::Mapping(_) => "a mapping",
    }
}

/// The form of a mapping with these fields. The serde name of a type is its form where it contains a space.
pub(super) fn mapping(name: &str, fields: &[&str]) -> String {
    match fields {
        _ if name.contains(' ') => name.to_owned(),
        [] => "a mapping".to_owned(),
        few if few.len() <= MOST_NAMED => format!("a mapping ({})", quoted(&sorted(few))),
        _many => "a mapping".to_owned(),
    }
}

/// The message for a text in place of a mapping with these fields: a URL or a path has its key.
pub(super) fn text_as_mapping(name: &str, fields: &[&str], text: &str) -> String {
    let key = match text {
        _ if text.contains("://") || text.starts_with("unix:") => "url",
        _ if text.starts_with('/') => "path",
        _ => "",
    };
    let remedy = if fields.contains(&key) { format!("; write {{ {key}: … }}") } else { String::new() };
    format!("expected {}, got a string{remedy}", mapping(name, fields))
}

/// `known fields are …`, for the message about an unknown field.
pub(super) fn known(fields: &[&str]) -> String {
    match fields {
        [] => "there are no fields here".to_owned(),
        [one] => format!("the only field here is `{one}`"),
        several => format!("known fields are {}", quoted(&sorted(several))),
    }
}

/// The places where a key belongs; an empty one is the top level. `None` if there are none.
pub(super) fn elsewhere(key: &str, homes: &[String]) -> Option<String> {
    let place = |home: &String| match home.as_str() {
        "" => "at the top level of the file".to_owned(),
        home => format!("under `{home}`"),
    };
    let places: Vec<String> = homes.iter().map(place).collect();
    (!places.is_empty()).then(|| format!("`{key}` belongs {}", places.join(" or ")))
}

/// `one of …`, or the sole option. The serde name of a type is its form where it contains a space.
pub(super) fn one_of(name: &str, options: &[&str]) -> String {
    match options {
        _ if name.contains(' ') => name.to_owned(),
        [_] => quoted(options),
        several => format!("one of {}", quoted(several)),
    }
}

fn sorted<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// Names in backquotes, separated by commas.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
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
