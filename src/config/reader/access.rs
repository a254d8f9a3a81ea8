//! The parts of a value, as serde asks for them.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::cursor::{PathStep, ReadError, Reader};
use super::field::kind;
use crate::config::yaml::{Node, NodeValue};

/// What a [`Field`] gets: the kind of the value as a key; then as values its location, if it asked for it, the value,
/// and the value as if it were absent.
pub(super) struct Parts<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) gives_location: bool,
}

impl<'de> MapAccess<'de> for Parts<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let kind = match self.reader.value() {
            None => kind::ABSENT,
            Some(NodeValue::Mapping(_)) => kind::MAPPING,
            Some(NodeValue::String(_)) => kind::STRING,
            Some(NodeValue::Bool(_)) => kind::BOOL,
            Some(NodeValue::Null | NodeValue::Number(_) | NodeValue::List(_)) => kind::OTHER,
        };
        seed.deserialize(kind.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        if std::mem::take(&mut self.gives_location) {
            return seed.deserialize(self.reader.location().index().into_deserializer());
        }
        let reader = self.reader;
        self.reader.node = None;
        reader.recorded(seed.deserialize(reader)).ok_or(ReadError::Recorded)
    }
}

pub(super) struct Items<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let item = self.reader.below(PathStep::Index(index), Some(node));
        item.recorded(seed.deserialize(item)).map(Some).ok_or(ReadError::Recorded)
    }
}

/// The entries of a mapping with free names.
pub(super) struct Entries<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) entries: std::slice::Iter<'a, (String, Node)>,
    pub(super) value: Option<Reader<'a>>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some(self.reader.below(PathStep::Key(key), Some(node)));
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        take_value(&mut self.value, seed)
    }
}

/// The fields of a struct, absent ones too.
pub(super) struct Fields<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) entries: &'a [(String, Node)],
    pub(super) names: std::slice::Iter<'static, &'static str>,
    pub(super) value: Option<Reader<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(name) = self.names.next() else { return Ok(None) };
        let node = self.entries.iter().find(|(key, _)| key == name).map(|(_, node)| node);
        self.value = Some(self.reader.below(PathStep::Field(name), node));
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        take_value(&mut self.value, seed)
    }
}

fn take_value<'de, T: DeserializeSeed<'de>>(value: &mut Option<Reader<'de>>, seed: T) -> Result<T::Value, ReadError> {
    let reader = value.take().ok_or(ReadError::Recorded)?;
    reader.recorded(seed.deserialize(reader)).ok_or(ReadError::Recorded)
}

/// The chosen variant of a tagged enum, whose fields stand beside the tag.
pub(super) struct Variant<'a> {
    pub(super) name: &'a str,
    pub(super) reader: Reader<'a>,
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = ReadError;
    type Variant = Reader<'de>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Reader<'de>), ReadError> {
        Ok((seed.deserialize(StrDeserializer::<ReadError>::new(self.name))?, self.reader))
    }
}

impl<'de> de::VariantAccess<'de> for Reader<'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(ReadError::Expected("a mapping".to_owned()))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_struct("", fields, visitor)
    }
}
