//! A value as a person writes it in YAML, in one line.

use serde_json::Value;

/// The value in flow style.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<String>>().join(", ")),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{}: {}", flow(&name.as_str().into()), flow(value)));
            format!("{{ {} }}", members.collect::<Vec<String>>().join(", "))
        }
    }
}

/// Whether the text is a string without quotes, in a list or mapping too, and to YAML 1.1 as well.
fn is_plain(text: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"];
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/' || letter == '.');
    let ends = text.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/' || letter == '*');
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=@$*:?".contains(letter);
    let is_number = text.parse::<f64>().is_ok() || text.starts_with("0x");
    // 12:30:45 is a number to YAML 1.1, and 2026-12-31 a date, which is a string here.
    let is_sexagesimal = text.contains(':') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    let is_word = words.contains(&text.to_ascii_lowercase().as_str());
    begins && ends && text.chars().all(inside) && !is_number && !is_sexagesimal && !is_word
}

#[test]
fn every_value_reads_back() {
    let values = serde_json::json!({
        "plain": "30s", "route": "/hooks/*", "date": "2026-12-31", "number": 1000, "like a number": "1.2", "no": false,
        "word": "off", "address": "[::1]:8443", "net": "2001:db8::/32", "list": ["2xx", 409], "empty": "", "quoted": "a \"b\" \\c",
        "host": "0.0.0.0:8443", "claim": { "jti": { "one_of": ["a", ", "] } }, "none": {}, "comma": "a,b", "hash": "a #b",
    });
    let text = format!("value: {}\n", flow(&values));
    let read: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(read["value"], values, "{text}");
    assert!(text.contains("plain: 30s,") && text.contains("word: \"off\""), "{text}");
}
