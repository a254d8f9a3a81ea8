//! Reads a single value of a body a second time, with serde_json, which skips all other values unread.
//!
//! The gateway accepts what it does not use: text that is cut inside an emoji, deep nesting, repeated members elsewhere
//! (docs/concepts/leniency.md). So a comparison must not require that the whole body can be read.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The value at this path of member names and array indexes. Null if it is absent, repeated or unreadable, if a name on
/// the way is repeated in another case, or if the body is not one JSON text.
pub fn used_value(body: &[u8], path: &[&str]) -> Value {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let found = At(path).deserialize(&mut reader).ok().flatten();
    let is_whole = reader.end().is_ok() && std::str::from_utf8(body).is_ok();
    found.filter(|_| is_whole).unwrap_or_default()
}

/// Whether the body is one JSON object, of which no value need be readable.
pub fn is_object(body: &[u8]) -> bool {
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok() && std::str::from_utf8(body).is_ok();
    is_json && body.trim_ascii_start().starts_with(b"{")
}

/// The rest of a path.
struct At<'p>(&'p [&'p str]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() { Value::deserialize(deserializer).map(Some) } else { deserializer.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (wanted, rest) = self.0.split_first().expect("a path");
        let (mut found, mut same) = (None, 0);
        while let Some(Name(name)) = members.next_key()? {
            same += usize::from(name.eq_ignore_ascii_case(wanted.as_bytes()));
            if name == wanted.as_bytes() {
                found = members.next_value_seed(At(rest))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.filter(|_| same == 1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (wanted, rest) = self.0.split_first().expect("a path");
        let wanted: Option<usize> = wanted.parse().ok();
        let mut found = None;
        for index in 0.. {
            let more = if Some(index) == wanted {
                items.next_element_seed(At(rest))?.map(|value| found = value)
            } else {
                items.next_element::<IgnoredAny>()?.map(|_| ())
            };
            if more.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A member's name, which may contain a lone surrogate.
struct Name(Vec<u8>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
                Ok(Name(name.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_used_value_is_read_whatever_is_beside_it() {
        let deep = "[".repeat(600) + &"]".repeat(600);
        for beside in [r#""abc\ud83d""#, "1e999", r#"{"a":1,"a":2}"#, deep.as_str()] {
            let body = format!(r#"{{"x":{beside},"\ud83d":1,"items":[{beside},{{"id":7,"x":{beside}}}]}}"#);
            assert_eq!(used_value(body.as_bytes(), &["items", "1", "id"]), 7, "{body}");
            assert!(is_object(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn a_value_with_two_readings_is_none() {
        for body in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"A":1}"#, r#"{"a":1}x"#, r#"{"a":"\ud83d"}"#, r#"{"a":1"#, "1", r#""a""#]
        {
            assert_eq!(used_value(body.as_bytes(), &["a"]), Value::Null, "{body}");
        }
        assert_eq!(used_value(b"{\"a\":1,\"b\":\"\xff\"}", &["a"]), Value::Null);
        assert!(!is_object(b"[1]") && !is_object(b"{} {}") && !is_object(b"{\"a\":\"\xff\"}"));
    }
}
