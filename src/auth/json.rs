//! A strict parser for untrusted JSON: tokens, key sets and single values of request bodies (`json_text`). It parses with serde_json and rejects input
//! that two parsers could read differently: duplicate members (RFC 8725 §2.4, RFC 7519 §4), also when a name is written
//! with escapes, and unbounded nesting.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The maximum nesting depth; tokens have three or four levels.
const MAX_DEPTH: u8 = 32;

/// The input is not JSON, not an object, or ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a single, unambiguous JSON object")]
pub struct MalformedJson;

/// Parses exactly one JSON object.
///
/// # Errors
/// [`MalformedJson`] for anything else, and for invalid UTF-8, comments, NaN, trailing commas or bytes after
/// the end (all by serde_json).
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, MalformedJson> {
    match parse_value(bytes)? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(MalformedJson),
    }
}

/// Parses exactly one JSON value.
///
/// # Errors
/// Those of [`parse_object`].
pub(super) fn parse_value(bytes: &[u8]) -> Result<Value, MalformedJson> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(MAX_DEPTH).deserialize(&mut deserializer).map_err(|_| MalformedJson)?;
    deserializer.end().map_err(|_| MalformedJson)?;
    Ok(value)
}

/// A parser of values with this number of levels left.
#[derive(Clone, Copy)]
struct Strict(u8);

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        // serde_json has unescaped the name, so that `"\u0069ss"` equals `"iss"`.
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(deeper)?;
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read() {
        let object = parse_object(br#" {"a": [1, -2, 1.5, null, true, "x"], "b": {"a": 1}} "#).unwrap();
        assert_eq!(Value::Object(object), serde_json::json!({"a": [1, -2, 1.5, null, true, "x"], "b": {"a": 1}}));
    }

    #[test]
    fn ambiguous_json_is_rejected() {
        let texts: &[&[u8]] = &[
            b"",
            b"[]",
            b"1",
            b"null",
            b"{",
            br#"{"a":1,}"#,
            br#"{"a":1} x"#,
            br#"{"a":1}{}"#,
            br#"{"a":1}//"#,
            br#"{"a":NaN}"#,
            br#"{"a":1e400}"#,
            br#"{"a":Infinity}"#,
            br#"{'a':1}"#,
            br#"{a:1}"#,
            br#"{"a":01}"#,
            br#"{"iss":1,"iss":1}"#,
            br#"{"iss":1,"\u0069ss":2}"#,
            br#"{"x":{"a":1,"a":2}}"#,
            b"{\"a\":\"\xff\"}",
            b"\xef\xbb\xbf{}",
            br#"{"a":"\ud800"}"#,
            b"{\"a\":\"\n\"}",
            b"{}\0",
        ];
        for text in texts {
            assert_eq!(parse_object(text), Err(MalformedJson), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_object(nested(31).as_bytes()).is_ok());
        assert!(parse_object(nested(32).as_bytes()).is_err());
        assert!(parse_object(nested(100_000).as_bytes()).is_err());
    }
}
