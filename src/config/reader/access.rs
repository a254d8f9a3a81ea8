//! The parts of a value, as serde asks for them.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::cursor::{ReadError, Reader};

/// A mapping of one entry, for a [`Section`](super::Section): the value's location as its key, then the value, then the
/// value as if it were absent. The size is 0 if it is absent.
pub(super) struct Located<'a>(pub(super) Reader<'a>);

impl<'de> MapAccess<'de> for Located<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        seed.deserialize(self.0.location().0.into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let reader = self.0;
        self.0.node = None;
        reader.recorded(seed.deserialize(reader))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(usize::from(self.0.node.is_some()))
    }
}

/// The items of a list.
pub(super) struct Items<I>(pub(super) I);

impl<'de, I: Iterator<Item = Reader<'de>>> SeqAccess<'de> for Items<I> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.0.next() else { return Ok(None) };
        item.recorded(seed.deserialize(item)).map(Some)
    }
}

/// The entries of a mapping with free names; or the fields of a struct, absent ones too.
pub(super) struct Entries<'a, I> {
    entries: I,
    value: Option<Reader<'a>>,
}

impl<I> Entries<'_, I> {
    pub(super) const fn new(entries: I) -> Self {
        Self { entries, value: None }
    }
}

impl<'de, I: Iterator<Item = (&'de str, Reader<'de>)>> MapAccess<'de> for Entries<'de, I> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let reader = self.value.take().ok_or(ReadError::Recorded)?;
        reader.recorded(seed.deserialize(reader))
    }
}
