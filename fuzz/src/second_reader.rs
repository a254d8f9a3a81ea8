//! Reads YAML a second time, with saphyr, and compares its tree with that of the configuration's reader.
//!
//! The configuration's values come from serde_yaml, thus from libyaml; saphyr has a parser of its own, which the
//! configuration's reader uses for positions only, and its own resolution of scalars by the core schema of YAML 1.2.

use hookgate::config::yaml::{Node, NodeValue};
use saphyr::{Scalar, ScalarStyle, Yaml, YamlLoader};
use saphyr_parser::Parser;
use serde_json::Number;

/// Panics where the second reader rejects `text`, or reads another tree than `node`.
pub fn assert_same_tree(text: &str, node: &Node) {
    let mut loader = YamlLoader::<Yaml<'_>>::default();
    // Keeps the style of each scalar, so that this module can say which differences are known.
    loader.early_parse(false);
    Parser::new_from_iter(text.chars()).load(&mut loader, true).expect("the second reader takes it");
    assert!(loader.error().is_none(), "the second reader rejects it: {:?}", loader.error());
    match (loader.into_documents().as_slice(), &node.value) {
        // A file without values is an empty mapping (docs/reference/configuration).
        ([], NodeValue::Mapping(entries)) if entries.is_empty() => {}
        ([Yaml::Representation(null, ScalarStyle::Plain, None)], NodeValue::Mapping(entries))
            if entries.is_empty() && scalar(null, ScalarStyle::Plain) == Scalar::Null => {}
        ([document], _) => Comparison { is_last_line_open: !text.ends_with(['\n', '\r']) }.same(node, document),
        (documents, _) => panic!("the second reader finds {} documents", documents.len()),
    }
}

struct Comparison {
    /// Whether the text ends without a line break.
    is_last_line_open: bool,
}

impl Comparison {
    fn same(&self, node: &Node, other: &Yaml<'_>) {
        match (&node.value, other) {
            (NodeValue::List(items), Yaml::Sequence(others)) => {
                assert_eq!(items.len(), others.len(), "items of the list at {:?}", node.position);
                items.iter().zip(others).for_each(|(item, other)| self.same(item, other));
            }
            (NodeValue::Mapping(entries), Yaml::Mapping(others)) => {
                assert_eq!(entries.len(), others.len(), "entries of the mapping at {:?}", node.position);
                let find = |name: &str| others.iter().find(|(key, _)| self.is_key(key, name)).expect("the key");
                entries.iter().for_each(|(key, value)| self.same(value, find(key).1));
            }
            (value, Yaml::Representation(text, style, None)) => {
                let other = scalar(text, *style);
                assert!(
                    is_same_scalar(value, &other) || self.is_known_difference(text, *style, value, &other),
                    "{text:?} at {:?} is {value:?}, and {other:?} to the second reader",
                    node.position
                );
            }
            (value, other) => panic!("{:?} is {value:?}, and {other:?} to the second reader", node.position),
        }
    }

    /// Whether this is the key `name`, which must be a string to the second reader too.
    fn is_key(&self, key: &Yaml<'_>, name: &str) -> bool {
        let Yaml::Representation(text, style, None) = key else { panic!("{key:?} is a key") };
        let (value, other) = (NodeValue::String(name.to_owned()), scalar(text, *style));
        text == name && (is_same_scalar(&value, &other) || self.is_known_difference(text, *style, &value, &other))
    }

    /// The differences between serde_yaml and the second reader that are accepted.
    fn is_known_difference(&self, text: &str, style: ScalarStyle, value: &NodeValue, other: &Scalar<'_>) -> bool {
        match style {
            ScalarStyle::Plain => is_known_difference_of_numbers(text, value, other),
            // A block scalar that ends with the text and without a line break: the second reader adds one, although the
            // end of the text is enough (b-chomped-last in YAML 1.2).
            ScalarStyle::Literal | ScalarStyle::Folded => {
                let added = |value: &str| matches!(other, Scalar::String(other) if *other == format!("{value}\n"));
                self.is_last_line_open && matches!(value, NodeValue::String(value) if added(value))
            }
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => false,
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Scalar<'_> {
    Scalar::parse_from_cow_and_metadata(text.into(), style, None).expect("no tag")
}

fn is_same_scalar(value: &NodeValue, other: &Scalar<'_>) -> bool {
    match (value, other) {
        (NodeValue::Null, Scalar::Null) => true,
        (NodeValue::Bool(value), Scalar::Boolean(other)) => value == other,
        (NodeValue::Number(value), Scalar::Integer(other)) => *value == Number::from(*other),
        (NodeValue::Number(value), Scalar::FloatingPoint(other)) => {
            value.is_f64() && value.as_f64().map(f64::to_bits) == Some(other.to_bits())
        }
        (NodeValue::String(value), Scalar::String(other)) => value == other,
        (_, _) => false,
    }
}

fn is_known_difference_of_numbers(text: &str, value: &NodeValue, other: &Scalar<'_>) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let is_large = |value: &Number| value.as_u64().is_some_and(|value| value > i64::MAX as u64);
    match (value, other) {
        (NodeValue::String(value), Scalar::Integer(_) | Scalar::FloatingPoint(_)) if value == text => {
            // Too large for a float, `1e999` is text rather than infinity, which a configuration must not contain.
            let is_infinite = matches!(other, Scalar::FloatingPoint(other) if other.is_infinite());
            // `017` is text, so that its value does not depend on the reader: 17 or 15.
            is_infinite || digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
        }
        // The second reader's integers have 63 bits and a sign, those of serde_yaml 64 bits.
        (NodeValue::Number(value), Scalar::FloatingPoint(other)) => {
            is_large(value) && value.as_f64() == Some(other.into_inner())
        }
        (NodeValue::Number(value), Scalar::String(_)) => {
            let has_prefix = digits.starts_with("0x") || digits.starts_with("0o");
            // The core schema has no binary numbers and no sign before a prefix, but serde_yaml has both.
            digits.starts_with("0b") || has_prefix && (is_large(value) || digits.len() < text.len())
        }
        (_, _) => false,
    }
}
