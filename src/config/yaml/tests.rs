//! The strict reader: accepted YAML, rejected YAML, and the positions of fields.

use serde_json::json;

use super::*;

fn rejections(text: &str) -> Vec<String> {
    let found = read(text).expect_err(text);
    crate::config::error::ConfigErrors::new("f", found).to_string().lines().map(str::to_owned).collect()
}

fn value(text: &str) -> Json {
    json_of(read(text).unwrap_or_else(|found| panic!("{text:?}: {found:?}")))
}

fn json_of(node: Node) -> Json {
    match node.value {
        NodeValue::Null => Json::Null,
        NodeValue::Bool(value) => value.into(),
        NodeValue::Number(number) => number.into(),
        NodeValue::String(text) => text.into(),
        NodeValue::List(items) => items.into_iter().map(json_of).collect(),
        NodeValue::Mapping(entries) => entries.into_iter().map(|(key, node)| (key, json_of(node))).collect(),
    }
}

#[test]
fn scalars_have_serde_yamls_types() {
    let text =
        "a: off\nb: yes\nc: 0o17\nd: 1_000\ne: 017\nf: 1e3\ng: ~\nh:\ni: \"1\"\nj: 2026-12-31\nk: 12:30\nl: 0x1f";
    let expected = json!({"a": "off", "b": "yes", "c": 15, "d": "1_000", "e": "017", "f": 1000.0, "g": null, "h": null,
        "i": "1", "j": "2026-12-31", "k": "12:30", "l": 31});
    assert_eq!(value(text), expected);
    assert_eq!(value("a: 18446744073709551615"), json!({"a": u64::MAX}));
    assert_eq!(value("a: 12345678901234567.5e0"), json!({"a": 12345678901234567.5}));
}

#[test]
fn an_empty_file_is_an_empty_object() {
    for text in ["", "\n", "# comment", "---\n", "\u{feff}", "null"] {
        assert_eq!(value(text), json!({}), "{text:?}");
    }
    assert_eq!(value("\u{feff}a: 1\r\nb: 2\r\n...\n"), json!({"a": 1, "b": 2}));
}

#[test]
fn every_duplicate_key_is_reported_with_the_line_of_the_first() {
    let found = rejections("a: 1\nr:\n  - {b: 1, c: 2, b: 3}\n'a': 2\na: 3\n");
    let expected = [
        "f:3:18: r[0].b: duplicate key, first on line 3",
        "f:4:1: a: duplicate key, first on line 1",
        "f:5:1: a: duplicate key, first on line 1",
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_rejected_construct_is_reported_at_once() {
    let found = rejections(
        "a: &x 1\nb: *x\nc:\n  <<: {d: 1}\ne: !foo {f: .inf}\n1: g\ntrue: h\ni: [-.Inf, .nan, 18446744073709551616]\n~: 1",
    );
    let expected = [
        "f:1:4: a: anchors (`&name`) are not allowed; write the value out where it is needed",
        "f:2:4: b: aliases (`*name`) are not allowed; write the value out",
        "f:4:3: c.<<: merge keys (`<<`) are not allowed; write the fields out",
        "f:5:4: e: tags (`!name`) are not allowed",
        "f:5:13: e.f: infinity and NaN are not allowed",
        "f:6:1: [\"1\"]: a key must be a string; quote it: \"1\"",
        "f:7:1: true: a key must be a string; quote it: \"true\"",
        "f:8:5: i[0]: infinity and NaN are not allowed",
        "f:8:12: i[1]: infinity and NaN are not allowed",
        "f:8:18: i[2]: number out of range; more than 64 bits",
        "f:9:1: [\"~\"]: a key must be a string; quote it: \"~\"",
    ];
    let expected = expected.map(|line| line.replace("c.<<", "c[\"<<\"]"));
    assert_eq!(found, expected);
}

#[test]
fn quotes_make_a_string_of_anything() {
    assert_eq!(value("'1': a\n\"<<\": b\n'.inf': '.inf'\n"), json!({"1": "a", "<<": "b", ".inf": ".inf"}));
}

#[test]
fn unsupported_yaml_ends_the_reading() {
    assert_eq!(rejections("a: 1\n---\nb: 2"), ["f:2:1: only one document is allowed in the file"]);
    assert_eq!(rejections("---\n---\n"), ["f:2:1: only one document is allowed in the file"]);
    assert_eq!(rejections("x:\n  ? [a]\n  : 1"), ["f:2:5: x: a key must be a string, not a mapping or list"]);
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(MAX_DEPTH)).is_ok());
    assert!(rejections(&deep(MAX_DEPTH + 1))[0].ends_with("nested deeper than 64 levels"));
    assert_eq!(rejections(&deep(100_000)), ["f:1:256: invalid YAML: nested deeper than 64 levels"]);
    assert_eq!(rejections(&"#".repeat(Bounds::CONFIGURATION.bytes + 1)), ["f:1:1: file is larger than 1048576 bytes"]);
    for text in ["a: b\nc: d\u{2028}e: f", "a: b\r\nc: d\u{2028}e: f", "a: b\rc: d\u{2028}e: f"] {
        assert_eq!(rejections(text), ["f:2:5: control character U+2028 is not allowed"], "{text:?}");
    }
}

#[test]
fn a_syntax_error_says_what_to_write() {
    let cases = [
        ("a:\n\t- b", "f:2:1: invalid YAML: the line is indented with a tab; use spaces"),
        ("\ta: b", "f:1:1: invalid YAML: the line is indented with a tab; use spaces"),
        ("a: @x", "f:1:4: invalid YAML: a value that starts with this character needs quotes"),
        ("a: b: c", "f:1:5: invalid YAML: unexpected `:`; indent the line like its neighbours, or quote the value"),
        ("a: 'x", "f:1:4: invalid YAML: unterminated quoted string"),
        ("a: [1, 2", "f:2:1: invalid YAML: this list or one before it lacks a `,` or the closing `]`"),
        ("a: {b: 2", "f:2:1: invalid YAML: this mapping or one before it lacks a `,` or the closing `}`"),
        ("- 1\n-2", "f:3:1: invalid YAML: expected `key: value`; a space must follow `:` and `-`"),
    ];
    for (text, line) in cases {
        assert_eq!(rejections(text), [line], "{text:?}");
    }
    assert_eq!(rejections("a: 1\na: 2\nb: @").len(), 2, "the duplicate before the syntax error is reported too");
}

#[test]
fn positions_are_those_of_keys_and_items() {
    let document = read("a:\n  - b: 1\n  -   c:\n        d: 2\n").unwrap();
    let mut found = Vec::new();
    positions(&document, &mut found);
    assert_eq!(found, [(1, 1), (1, 1), (2, 5), (2, 5), (3, 7), (3, 7), (4, 9)]);
}

fn positions(node: &Node, found: &mut Vec<(usize, usize)>) {
    found.push((node.position.line, node.position.column));
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(|item| positions(item, found)),
        NodeValue::Mapping(entries) => entries.iter().for_each(|(_, value)| positions(value, found)),
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::String(_) => {}
    }
}

#[test]
fn readings_that_differ_are_noticed() {
    let zipped = |other: &Json| zip(scan("a: [1, 2]", 10).unwrap(), other.clone());
    assert!(zipped(&json!({"a": [3, 4]})).is_some());
    for other in [json!({"a": [1]}), json!({"b": [1, 2]}), json!({"a": 1}), json!({"a": [1, [2, 3]]}), json!("a")] {
        assert!(zipped(&other).is_none(), "{other}");
    }
}
