//! The wrappers with which file types say which of their parts are read on their own.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problems::Location;

/// The serde name by which a [`Section`] asks for its place.
pub(super) const LOCATED: &str = "$located";

/// The serde name by which a key is read whose value is a string or a mapping.
pub(super) const STRING_OR_MAPPING: &str = "$string_or_mapping";

/// The serde name by which a key is read whose value is a boolean or a mapping.
pub(super) const BOOL_OR_MAPPING: &str = "$bool_or_mapping";

/// The serde name by which a key is read whose value is a list or a mapping.
pub(super) const LIST_OR_MAPPING: &str = "$list_or_mapping";

/// An optional value with its place.
#[derive(Clone, Debug)]
pub struct Field<T> {
    /// The place, of an absent value too.
    pub at: Location,
    is_written: bool,
    /// `None` if it is absent, and after its problem was recorded.
    content: Option<T>,
}

impl<T> Field<T> {
    /// The value; `None` if it is absent or invalid.
    pub const fn value(&self) -> Option<&T> {
        self.content.as_ref()
    }

    /// The value, owned; `None` if it is absent or invalid.
    pub fn into_value(self) -> Option<T> {
        self.content
    }

    /// The field with another value in its place.
    #[must_use]
    pub fn with(&self, value: T) -> Self {
        Self { at: self.at, is_written: self.is_written, content: Some(value) }
    }

    /// Whether the file has the field, valid or not.
    pub const fn is_written(&self) -> bool {
        self.is_written
    }

    /// The place, if the file has the field, valid or not.
    pub fn written_at(&self) -> Option<Location> {
        self.is_written.then_some(self.at)
    }

    /// The result of `compile` if the file has the field, otherwise `Some(None)`; `None` if `compile` fails.
    pub fn if_written<V>(&self, compile: impl FnOnce(&Self) -> Option<V>) -> Option<Option<V>> {
        if self.is_written { compile(self).map(Some) } else { Some(None) }
    }

    /// A copy of the value; the type's default if it is absent or invalid.
    pub fn or_default(&self) -> T
    where
        T: Clone + Default,
    {
        self.value().cloned().unwrap_or_default()
    }
}

impl Field<String> {
    /// The text; `None` if it is absent or invalid.
    pub fn text(&self) -> Option<&str> {
        self.value().map(String::as_str)
    }
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self { at: Location::ROOT, is_written: false, content: None }
    }
}

/// A mapping or list with its place, which is empty where it is absent or invalid.
#[derive(Clone, Debug, Default)]
pub struct Section<T> {
    /// The place, of an absent value too.
    pub at: Location,
    /// Whether the file has it, valid or not.
    pub is_written: bool,
    content: T,
}

impl<T> Section<T> {
    /// The content, if the file has it.
    pub fn written(&self) -> Option<&T> {
        self.is_written.then_some(&self.content)
    }

    /// The place, if the file has it, valid or not.
    pub fn written_at(&self) -> Option<Location> {
        self.is_written.then_some(self.at)
    }
}

impl<T> Deref for Section<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

/// A list without the items that cannot be read, each of which is reported.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

impl<T> Deref for List<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct SectionVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SectionVisitor<T> {
    type Value = Section<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Section<T>, A::Error> {
        let is_written = parts.size_hint() != Some(0);
        let at = Location(parts.next_key()?.unwrap_or_default());
        // The second value is the absent one.
        let content = parts.next_value().or_else(|_| parts.next_value())?;
        Ok(Section { at, is_written, content })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LOCATED, SectionVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Section { at, is_written, content } = Section::<Option<T>>::deserialize(deserializer)?;
        Ok(Self { at, is_written, content })
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or_default());
        loop {
            match items.next_element() {
                Ok(Some(item)) => list.push(item),
                Ok(None) => return Ok(List(list)),
                // It has been recorded.
                Err(_) => {}
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct WordOrMappingVisitor<W, M, T> {
    form: &'static str,
    of_word: fn(W) -> T,
    of_mapping: fn(M) -> T,
}

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>, T> Visitor<'de> for WordOrMappingVisitor<W, M, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_some<D: Deserializer<'de>>(self, word: D) -> Result<T, D::Error> {
        W::deserialize(word).map(self.of_word)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, mapping: D) -> Result<T, D::Error> {
        M::deserialize(mapping).map(self.of_mapping)
    }
}

/// The type of the value that a key may have instead of a mapping.
#[derive(Clone, Copy, Debug)]
pub enum WordType {
    /// A string.
    String,
    /// `true` or `false`.
    Bool,
    /// A list, empty where the key is absent.
    List,
}

/// Reads a key whose value is a word or a mapping; `form` completes "expected …".
pub fn word_or_mapping<'de, D, W, M, T>(
    deserializer: D,
    (form, word): (&'static str, WordType),
    of_word: fn(W) -> T,
    of_mapping: fn(M) -> T,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    W: Deserialize<'de>,
    M: Deserialize<'de>,
{
    let name = match word {
        WordType::String => STRING_OR_MAPPING,
        WordType::Bool => BOOL_OR_MAPPING,
        WordType::List => LIST_OR_MAPPING,
    };
    deserializer.deserialize_newtype_struct(name, WordOrMappingVisitor { form, of_word, of_mapping })
}

/// Each has the schema of its content.
macro_rules! transparent_schema {
    ($($type:ident of $content:ty),*) => {
        $(impl<T: JsonSchema> JsonSchema for $type<T> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$content>::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                generator.subschema_for::<$content>()
            }

            /// A key may be left out unless it has the attribute `schemars(required)`.
            fn _schemars_private_is_option() -> bool {
                true
            }
        })*
    };
}

transparent_schema!(Field of T, Section of T, List of Vec<T>);
