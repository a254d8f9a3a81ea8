//! [`Reader`] as a serde deserializer.

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Visitor};

use super::access::{Entries, Items, Located};
use super::cursor::{PathStep, ReadError, Reader, TAG, TAGGED};
use super::field::{BOOL_OR_MAPPING, LIST_OR_MAPPING, LOCATED, STRING_OR_MAPPING};
use super::messages;
use crate::config::yaml::{Node, NodeValue};

impl<'a> Reader<'a> {
    /// The entries of a mapping, none if it is absent; `None` for another type.
    fn entries(self) -> Option<&'a [(String, Node)]> {
        match self.value() {
            None => Some(&[]),
            Some(NodeValue::Mapping(entries)) => Some(entries),
            Some(_) => None,
        }
    }

    /// The text, which must be one of the options.
    fn option(self, expected: String, options: &[&str]) -> Result<&'a str, ReadError> {
        match self.value() {
            Some(NodeValue::String(text)) if options.contains(&text.as_str()) => Ok(text),
            Some(NodeValue::String(text)) => Err(ReadError::Message(messages::wrong_option(&expected, options, text))),
            _ => Err(ReadError::Expected(expected)),
        }
    }

    /// The text, if it comes from the environment.
    fn substituted(self) -> Option<&'a str> {
        match (self.value(), self.node.is_some_and(|node| node.is_substituted)) {
            (Some(NodeValue::String(text)), true) => Some(text),
            _ => None,
        }
    }

    fn choose_by_tag<V: Visitor<'a>>(self, variants: &[&str], visitor: V) -> Result<V::Value, ReadError> {
        let entries = self.entries().ok_or_else(|| ReadError::Expected("a mapping".to_owned()))?;
        let tag = entries.iter().find(|(key, _)| key == TAG).map(|(_, node)| node);
        let at = self.located().below(PathStep::Field(TAG), tag);
        let expected = messages::one_of("", variants);
        if tag.is_none() {
            let location = at.location();
            self.report.borrow_mut().problems.add_follow_up(location, format!("missing; expected {expected}"));
            return Err(ReadError::Recorded);
        }
        let name = at.recorded(at.option(expected, variants))?;
        let variant = std::iter::once((name, Self { is_tagged: true, ..self }));
        visitor.visit_enum(MapAccessDeserializer::new(Entries::new(variant)))
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value() {
            None | Some(NodeValue::Null) => visitor.visit_unit(),
            Some(NodeValue::Bool(value)) => visitor.visit_bool(*value),
            Some(NodeValue::Number(number)) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Some(NodeValue::String(text)) => visitor.visit_borrowed_str(text),
            Some(NodeValue::List(_)) => self.deserialize_seq(visitor),
            Some(NodeValue::Mapping(_)) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value() {
            Some(NodeValue::Bool(value)) => visitor.visit_bool(*value),
            _ => match self.substituted() {
                Some("true") => visitor.visit_bool(true),
                Some("false") => visitor.visit_bool(false),
                _ => Err(ReadError::Expected("`true` or `false`".to_owned())),
            },
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.substituted().and_then(|text| text.parse().ok()) {
            Some(number) => visitor.visit_u64(number),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(self.text("a string")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.node.is_none() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match name {
            LOCATED => visitor.visit_map(Located(self.located())),
            STRING_OR_MAPPING | BOOL_OR_MAPPING | LIST_OR_MAPPING => match self.value() {
                Some(NodeValue::Mapping(_)) => visitor.visit_newtype_struct(self),
                Some(NodeValue::String(_)) if name == STRING_OR_MAPPING => visitor.visit_some(self),
                Some(NodeValue::Bool(_)) if name == BOOL_OR_MAPPING => visitor.visit_some(self),
                Some(NodeValue::List(_)) | None if name == LIST_OR_MAPPING => visitor.visit_some(self),
                // Reported as a wrong type, with the visitor's form.
                _ => visitor.visit_unit(),
            },
            form => visitor.visit_newtype_struct(StrDeserializer::new(self.text(form)?)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let items = match self.value() {
            None => [].as_slice(),
            Some(NodeValue::List(items)) => items,
            Some(_) => return Err(ReadError::Expected("a list".to_owned())),
        };
        let reader = self.located();
        let item = |(index, node)| reader.below(PathStep::Index(index), Some(node));
        visitor.visit_seq(Items(items.iter().enumerate().map(item)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let entries = self.entries().ok_or_else(|| ReadError::Expected("a mapping".to_owned()))?;
        let reader = self.located();
        let entry = |(key, node): &'de (String, Node)| (key.as_str(), reader.below(PathStep::Key(key), Some(node)));
        visitor.visit_map(Entries::new(entries.iter().map(entry)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let entries = self.entries().ok_or_else(|| match self.value() {
            Some(NodeValue::String(text)) => ReadError::Message(messages::text_as_mapping(name, fields, text)),
            _ => ReadError::Expected(messages::mapping(name, fields)),
        })?;
        let reader = self.located();
        reader.unknown(entries, fields);
        let field = |name: &&'static str| {
            let node = entries.iter().find(|(key, _)| key == name).map(|(_, node)| node);
            (*name, reader.below(PathStep::Field(name), node))
        };
        visitor.visit_map(Entries::new(fields.iter().map(field)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == TAGGED {
            return self.choose_by_tag(variants, visitor);
        }
        let name = self.option(messages::one_of(name, variants), variants)?;
        visitor.visit_enum(StrDeserializer::<ReadError>::new(name))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}
