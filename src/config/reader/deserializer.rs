//! [`Reader`] as a serde deserializer.

use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Visitor};

use super::access::{Entries, Fields, Items, Parts, Variant};
use super::cursor::{PathStep, ReadError, Reader, TAG, TAGGED};
use super::field::{FIELD, ITEM};
use super::messages;
use crate::config::yaml::NodeValue;

impl<'a> Reader<'a> {
    fn choose_by_tag<'de, V: Visitor<'de>>(
        self,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError>
    where
        'a: 'de,
    {
        let Some(NodeValue::Mapping(entries)) = self.value() else {
            return Err(ReadError::Expected("a mapping".to_owned()));
        };
        let tag = entries.iter().find(|(key, _)| key == TAG).map(|(_, node)| node);
        let at = self.located().below(PathStep::Field(TAG), tag);
        let expected = messages::one_of("", variants);
        match tag.map(|node| &node.value) {
            Some(NodeValue::String(text)) if variants.contains(&text.as_str()) => {
                visitor.visit_enum(Variant { name: text, reader: Self { is_tagged: true, ..self } })
            }
            Some(NodeValue::String(text)) => at.fail(messages::wrong_option(&expected, variants, text)),
            Some(_) => at.fail(messages::wrong_type(&expected, tag)),
            None => {
                let location = at.location();
                self.report.borrow_mut().problems.add_follow_up(location, format!("missing; expected {expected}"));
                Err(ReadError::Recorded)
            }
        }
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
            _ => Err(ReadError::Expected("`true` or `false`".to_owned())),
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
            FIELD => visitor.visit_map(Parts { reader: self.located(), gives_location: true }),
            ITEM => visitor.visit_map(Parts { reader: self, gives_location: false }),
            form => visitor.visit_newtype_struct(StrDeserializer::new(self.text(form)?)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value() {
            None => visitor.visit_seq(Items { reader: self, items: [].iter().enumerate() }),
            Some(NodeValue::List(items)) => {
                visitor.visit_seq(Items { reader: self.located(), items: items.iter().enumerate() })
            }
            Some(_) => Err(ReadError::Expected("a list".to_owned())),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let entries = match self.value() {
            None => [].as_slice(),
            Some(NodeValue::Mapping(entries)) => entries,
            Some(_) => return Err(ReadError::Expected("a mapping".to_owned())),
        };
        visitor.visit_map(Entries { reader: self.located(), entries: entries.iter(), value: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let entries = match self.value() {
            None => [].as_slice(),
            Some(NodeValue::Mapping(entries)) => entries,
            Some(_) => return Err(ReadError::Expected(messages::mapping(name, fields))),
        };
        let reader = self.located();
        reader.unknown(entries, fields);
        visitor.visit_map(Fields { reader, entries, names: fields.iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let expected = messages::one_of(name, variants);
        match self.value() {
            _ if name == TAGGED => self.choose_by_tag(variants, visitor),
            Some(NodeValue::String(text)) if variants.contains(&text.as_str()) => {
                visitor.visit_enum(StrDeserializer::<ReadError>::new(text))
            }
            Some(NodeValue::String(text)) => Err(ReadError::Message(messages::wrong_option(&expected, variants, text))),
            _ => Err(ReadError::Expected(expected)),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}
