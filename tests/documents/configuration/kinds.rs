//! The types of values in words, as a person reads them.

use serde_json::Value;

use super::walk::{Kind, attribute};

/// With more fixed values than these, or longer ones, the cell points to the list below the table.
const MAX_LISTED: usize = 4;
const MAX_LISTED_LETTERS: usize = 44;

/// A scalar type: a notation of its own such as a duration, or the type of JSON with its bounds.
pub fn scalar(name: &str, layers: &[&Value]) -> String {
    match name {
        "string" => notation(layers).unwrap_or_else(|| "string".to_owned()),
        "integer" => format!("whole number{}", bounds_of_number(layers)),
        "number" => format!("number{}", bounds_of_number(layers)),
        _ => "any value".to_owned(),
    }
}

/// The notation that the schema's title or format names: `a duration such as 30s` is a duration.
fn notation(layers: &[&Value]) -> Option<String> {
    let title = attribute(layers, "title").and_then(Value::as_str).and_then(titled).map(|(name, _)| name);
    let format = attribute(layers, "format").and_then(Value::as_str);
    title.or_else(|| format.map(|words| words.replace(['-', '_'], " ")))
}

/// The name of a notation and its examples, of a title such as `an IP address and a port, such as "[::1]:443"`.
pub fn titled(title: &str) -> Option<(String, &str)> {
    let (name, examples) = title.split_once(" such as ").unwrap_or((title, ""));
    let name = name.strip_prefix("a ").or_else(|| name.strip_prefix("an "))?;
    Some((name.trim_end_matches(',').replace(" a ", " ").replace(" an ", " "), examples))
}

fn bounds_of_number(layers: &[&Value]) -> String {
    let bound = |name| attribute(layers, name).and_then(Value::as_u64);
    // schemars gives the largest number of the type, which is no limit that the file has.
    let largest = match attribute(layers, "format").and_then(Value::as_str) {
        Some("uint8") => Some(u64::from(u8::MAX)),
        Some("uint16") => Some(u64::from(u16::MAX)),
        Some("uint32") => Some(u64::from(u32::MAX)),
        _ => None,
    };
    // A number without a limit is an u32, too.
    let maximum = bound("maximum").filter(|maximum| Some(*maximum) != largest && *maximum < u64::from(u32::MAX));
    match (bound("minimum"), maximum) {
        (None | Some(0), None) => String::new(),
        (Some(minimum), None) => format!(", at least {minimum}"),
        (minimum, Some(maximum)) => format!(" from {} to {maximum}", minimum.unwrap_or_default()),
    }
}

/// ` (1 to 64)`, or nothing.
pub fn bounds_of_list(schema: &Value) -> String {
    match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (None, None) => String::new(),
        (Some(minimum), None) => format!(" (at least {minimum})"),
        (None, Some(maximum)) => format!(" (at most {maximum})"),
        (Some(minimum), Some(maximum)) => format!(" ({minimum} to {maximum})"),
    }
}

/// The forms of a value in one cell. `link` is the target for an object of this path.
pub fn in_words(kinds: &[Kind], link: &dyn Fn(&str) -> String) -> String {
    let mut forms: Vec<String> = Vec::new();
    forms.extend(fixed(kinds));
    forms.extend(kinds.iter().filter_map(|kind| match kind {
        Kind::Word(..) => None,
        Kind::Scalar(words) => Some(words.clone()),
        Kind::Boolean => Some("`true` or `false`".to_owned()),
        Kind::List(items, bounds) if items.is_empty() => Some(format!("list{bounds}")),
        Kind::List(items, bounds) => Some(format!("list of {}{bounds}", items_in_words(items, link))),
        Kind::Map(values) if values.is_empty() => Some("mapping of names to any values".to_owned()),
        Kind::Map(values) => Some(format!("mapping of names to {}", plural(&in_words(values, link)))),
        Kind::Object(path) => Some(format!("[mapping]({})", link(path))),
    }));
    forms.dedup();
    forms.join(" or ")
}

/// The items of a list: in the plural, unless one notation is itself a choice.
fn items_in_words(items: &[Kind], link: &dyn Fn(&str) -> String) -> String {
    match items {
        [Kind::Scalar(words)] if words.contains(" or ") => format!("items, each {words}"),
        _ => plural(&in_words(items, link)),
    }
}

/// The fixed values, if there are some.
fn fixed(kinds: &[Kind]) -> Option<String> {
    let words = kinds.iter().filter_map(|kind| match kind {
        Kind::Word(word, _) => Some(format!("`{word}`")),
        Kind::Scalar(_) | Kind::Boolean | Kind::List(..) | Kind::Map(_) | Kind::Object(_) => None,
    });
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        few if few.len() <= MAX_LISTED && few.join(", ").len() <= MAX_LISTED_LETTERS => {
            Some(format!("one of {}", few.join(", ")))
        }
        _ => Some("one of the values below".to_owned()),
    }
}

/// The fixed values of a key and their descriptions, of the items of a list too.
pub fn words(kinds: &[Kind]) -> Vec<(String, String)> {
    let words = kinds.iter().flat_map(|kind| match kind {
        Kind::Word(word, description) => vec![(word.clone(), description.clone())],
        Kind::List(items, _) => words(items),
        Kind::Scalar(_) | Kind::Boolean | Kind::Map(_) | Kind::Object(_) => Vec::new(),
    });
    words.collect()
}

/// More than one of a form: `string` → `strings`, `[mapping](#a)` → `[mappings](#a)`.
fn plural(form: &str) -> String {
    let one = |form: &str| {
        if let Some(values) = form.strip_prefix("one of ") {
            return values.to_owned();
        }
        if form.starts_with('`') {
            return form.to_owned();
        }
        let nouns = ["whole number", "number", "string", "[mapping", "mapping", "list", "any value"];
        match nouns.iter().find(|noun| form.starts_with(**noun)) {
            Some(noun) => format!("{noun}s{}", &form[noun.len()..]),
            None => match form.split_once(" in ") {
                Some((noun, rest)) => format!("{noun}s in {rest}"),
                None => format!("{form}s"),
            },
        }
    };
    form.split(" or ").map(one).collect::<Vec<String>>().join(" or ")
}

#[test]
fn types_are_written_in_words() {
    let link = |path: &str| format!("#{path}");
    let scalar = |words: &str| Kind::Scalar(words.to_owned());
    let word = |word: &str| Kind::Word(word.to_owned(), String::new());
    let list = |items: Vec<Kind>| Kind::List(items, String::new());
    let cases = [
        (vec![scalar("duration")], "duration"),
        (vec![scalar("string"), list(vec![scalar("string")])], "string or list of strings"),
        (
            vec![list(vec![scalar("whole number from 1 to 9"), scalar("string")])],
            "list of whole numbers from 1 to 9 or strings",
        ),
        (vec![list(vec![word("port"), word("slash")])], "list of `port`, `slash`"),
        (vec![word("disabled"), Kind::Object("a.b".to_owned())], "`disabled` or [mapping](#a.b)"),
        (vec![Kind::Map(vec![Kind::Object("a".to_owned())])], "mapping of names to [mappings](#a)"),
        (["a", "b", "c", "d", "e"].map(word).to_vec(), "one of the values below"),
        (vec![Kind::Boolean], "`true` or `false`"),
        (vec![list(vec![scalar("IP address or CIDR range")])], "list of items, each IP address or CIDR range"),
        (vec![list(vec![scalar("SHA-256 fingerprint in hex")])], "list of SHA-256 fingerprints in hex"),
    ];
    for (kinds, expected) in cases {
        assert_eq!(in_words(&kinds, &link), expected);
    }
    for (title, expected) in [
        ("a duration such as 30s", Some(("duration", "30s"))),
        ("an IP address and a port, such as \"[::1]:443\"", Some(("IP address and port", "\"[::1]:443\""))),
        ("a SHA-256 fingerprint in hex", Some(("SHA-256 fingerprint in hex", ""))),
        ("{ jwt: … }", None),
    ] {
        assert_eq!(titled(title), expected.map(|(name, examples)| (name.to_owned(), examples)));
    }
    let number = serde_json::json!({ "format": "uint16", "minimum": 0, "maximum": 65535 });
    assert_eq!(self::scalar("integer", &[&number]), "whole number");
    let number = serde_json::json!({ "format": "uint", "minimum": 1, "maximum": 1000 });
    assert_eq!(self::scalar("integer", &[&number]), "whole number from 1 to 1000");
}
