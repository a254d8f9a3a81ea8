//! The wrappers with which file types say which of their parts are read on their own.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problems::Location;

/// The serde name by which a [`Field`] asks for its place.
pub(super) const FIELD: &str = "$field";

/// The serde name by which an item of a list is read on its own.
pub(super) const ITEM: &str = "$item";

/// The kind of a value, as the key of `Parts`.
pub(super) mod kind {
    pub(in crate::config::reader) const ABSENT: u8 = 0;
    pub(in crate::config::reader) const MAPPING: u8 = 1;
    pub(in crate::config::reader) const STRING: u8 = 2;
    pub(in crate::config::reader) const BOOL: u8 = 3;
    pub(in crate::config::reader) const OTHER: u8 = 4;
}

/// An optional value with its place.
#[derive(Clone, Debug)]
pub struct Field<T> {
    /// The place, of an absent value too.
    pub at: Location,
    content: Content<T>,
}

#[derive(Clone, Debug)]
enum Content<T> {
    Absent,
    /// A problem has been recorded.
    Invalid,
    Valid(T),
}

impl<T> Field<T> {
    /// The value; `None` if it is absent or invalid.
    pub const fn value(&self) -> Option<&T> {
        match &self.content {
            Content::Valid(value) => Some(value),
            Content::Absent | Content::Invalid => None,
        }
    }

    /// The value, owned; `None` if it is absent or invalid.
    pub fn into_value(self) -> Option<T> {
        match self.content {
            Content::Valid(value) => Some(value),
            Content::Absent | Content::Invalid => None,
        }
    }

    /// Whether the file has the field, valid or not.
    pub const fn is_written(&self) -> bool {
        !matches!(self.content, Content::Absent)
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
        Self { at: Location::ROOT, content: Content::Absent }
    }
}

/// A mapping or list with its place, which is empty where it is absent or invalid.
#[derive(Clone, Debug)]
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
}

impl<T> Deref for Section<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T: Default> Default for Section<T> {
    fn default() -> Self {
        Self { at: Location::ROOT, is_written: false, content: T::default() }
    }
}

/// A list without the items that cannot be read, each of which is reported.
#[derive(Clone, Debug)]
pub struct List<T>(Vec<T>);

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

impl<T> From<List<T>> for Vec<T> {
    fn from(list: List<T>) -> Self {
        list.0
    }
}

impl<'f, T> IntoIterator for &'f List<T> {
    type Item = &'f T;
    type IntoIter = std::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
        let is_absent = parts.next_key::<u8>()? == Some(kind::ABSENT);
        let at = Location::of_index(parts.next_value()?);
        let content = match is_absent {
            true => Content::Absent,
            false => parts.next_value().map_or(Content::Invalid, Content::Valid),
        };
        Ok(Field { at, content })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(FIELD, FieldVisitor(PhantomData))
    }
}

struct SectionVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SectionVisitor<T> {
    type Value = Section<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Section<T>, A::Error> {
        let is_written = parts.next_key::<u8>()? != Some(kind::ABSENT);
        let at = Location::of_index(parts.next_value()?);
        // The second value is the absent one.
        let content = parts.next_value().or_else(|_| parts.next_value())?;
        Ok(Section { at, is_written, content })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(FIELD, SectionVisitor(PhantomData))
    }
}

/// An item of a list; `None` after its problem was recorded.
struct Item<T>(Option<T>);

struct ItemVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ItemVisitor<T> {
    type Value = Item<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Item<T>, A::Error> {
        Ok(Item(parts.next_value().ok()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ITEM, ItemVisitor(PhantomData))
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
        while let Some(Item(item)) = items.next_element()? {
            list.extend(item);
        }
        Ok(List(list))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// The word (a string or a boolean, by the type `W`) or the mapping that a key may have.
enum WordOrMapping<W, M> {
    Word(W),
    Mapping(M),
}

struct WordOrMappingVisitor<W, M> {
    form: &'static str,
    word: u8,
    read: PhantomData<(W, M)>,
}

impl<'de, W: Deserialize<'de>, M: Deserialize<'de>> Visitor<'de> for WordOrMappingVisitor<W, M> {
    type Value = WordOrMapping<W, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        match parts.next_key::<u8>()?.unwrap_or_default() {
            kind::MAPPING => parts.next_value().map(WordOrMapping::Mapping),
            word if word == self.word => parts.next_value().map(WordOrMapping::Word),
            _ => Err(de::Error::invalid_type(de::Unexpected::Option, &self)),
        }
    }
}

/// The type of the word that a key may have instead of a mapping.
#[derive(Clone, Copy, Debug)]
pub enum WordType {
    /// A string.
    String,
    /// `true` or `false`.
    Bool,
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
    let word = match word {
        WordType::String => kind::STRING,
        WordType::Bool => kind::BOOL,
    };
    let visitor = WordOrMappingVisitor { form, word, read: PhantomData };
    Ok(match deserializer.deserialize_newtype_struct(ITEM, visitor)? {
        WordOrMapping::Word(word) => of_word(word),
        WordOrMapping::Mapping(mapping) => of_mapping(mapping),
    })
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
