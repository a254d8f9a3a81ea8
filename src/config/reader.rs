//! Reads a located tree into the file types with serde, and records every problem instead of stopping at the first.
//!
//! [`Reader`] is a serde `Deserializer`. A [`Field`] or a [`Section`] asks it for its place and takes what could be
//! read; errors are recorded at the place where they occur. Unknown fields are found by the names that serde's derive
//! passes on. The names of files and environment variables are collected on the way, so that their contents can be
//! read before the configuration is compiled.
//!
//! The file types need no attribute for it but must avoid serde's `flatten`, `untagged` and `tag`, which buffer values
//! and so lose their places: an enum that is chosen by `type` has the serde name [`TAGGED`].

mod field;
mod messages;
mod problems;

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};

use super::error::{Position, Segment};
use super::yaml::{Node, NodeValue};
pub use field::{Field, List, Section, word_or_mapping};
pub(crate) use messages::nearest;
pub use problems::{Location, Problems};

/// The serde name of an enum whose variant is chosen by the key `type` of its mapping.
pub const TAGGED: &str = "$tagged";

/// The key that chooses the variant of such an enum.
const TAG: &str = "type";

/// The serde name by which a [`Field`] asks for its place.
const FIELD: &str = "$field";

/// The serde name by which an item of a list is read on its own.
const ITEM: &str = "$item";

/// The serde name of the name of a file that is read with the configuration.
pub const FILE: &str = "$file";

/// The serde name of the name of an environment variable.
pub const VARIABLE: &str = "$variable";

/// The serde name of the name of a revocation list.
pub const REVOCATIONS: &str = "$revocations";

/// The files and environment variables that a configuration names.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Files.
    pub files: Vec<String>,
    /// Environment variables.
    pub variables: Vec<String>,
    /// Revocation lists.
    pub revocations: Vec<String>,
}

/// What was found while a tree was read.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The problems.
    pub problems: Problems,
    /// The names.
    pub named: Named,
}

/// Reads a document. Each part that cannot be read is reported and left out.
pub fn read<T: de::DeserializeOwned + Default>(node: &Node, report: Report) -> (T, Report) {
    read_at(node, Spot::Known(Location::ROOT), report)
}

/// Reads a document that stands for the value at `place`, where all its problems are reported.
pub fn read_in_place<T: de::DeserializeOwned + Default>(node: &Node, place: Location, report: Report) -> (T, Report) {
    read_at(node, Spot::Fixed(place), report)
}

fn read_at<T: de::DeserializeOwned + Default>(node: &Node, place: Spot<'_>, report: Report) -> (T, Report) {
    let report = RefCell::new(report);
    let reader = Reader { node: Some(node), place, is_tagged: false, report: &report };
    let value = reader.recorded(T::deserialize(reader)).unwrap_or_default();
    (value, report.into_inner())
}

/// An error of one value.
#[derive(Debug)]
enum ReadError {
    /// It has been recorded.
    Recorded,
    /// The whole message.
    Message(String),
    /// The expected form; the actual type is known to the [`Reader`].
    Expected(String),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recorded => f.write_str("recorded"),
            Self::Message(message) | Self::Expected(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }
}

/// The place of a value. It is entered into the list of places only where something needs it.
#[derive(Clone, Copy)]
enum Spot<'a> {
    Known(Location),
    Below(Location, Step<'a>),
    /// The place of this value and of all values below it.
    Fixed(Location),
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'static str),
    Key(&'a str),
    Index(usize),
}

/// A value, present or absent, to be deserialized.
#[derive(Clone, Copy)]
struct Reader<'a> {
    node: Option<&'a Node>,
    place: Spot<'a>,
    /// Whether the key `type` of this mapping has been read.
    is_tagged: bool,
    report: &'a RefCell<Report>,
}

impl<'a> Reader<'a> {
    fn value(self) -> Option<&'a NodeValue> {
        self.node.map(|node| &node.value)
    }

    fn location(self) -> Location {
        let (parent, step) = match self.place {
            Spot::Known(location) | Spot::Fixed(location) => return location,
            Spot::Below(parent, step) => (parent, step),
        };
        let segment = match step {
            Step::Field(name) => Segment::Key(name.into()),
            Step::Key(key) => Segment::Key(key.to_owned().into()),
            Step::Index(index) => Segment::Index(index),
        };
        let position: Option<Position> = self.node.map(|node| node.position);
        self.report.borrow_mut().problems.place(parent, segment, position)
    }

    /// The same value, with its place entered.
    fn located(self) -> Self {
        let place = match self.place {
            Spot::Fixed(location) => Spot::Fixed(location),
            Spot::Known(_) | Spot::Below(..) => Spot::Known(self.location()),
        };
        Self { place, ..self }
    }

    /// A value below this one, whose place must be entered.
    fn below(self, step: Step<'a>, node: Option<&'a Node>) -> Self {
        let place = match self.place {
            Spot::Fixed(location) => Spot::Fixed(location),
            // Whatever is missing below a value that is absent or invalid is missing there.
            Spot::Known(location) if self.node.is_none() => Spot::Fixed(location),
            Spot::Known(location) | Spot::Below(location, _) => Spot::Below(location, step),
        };
        Self { node, place, is_tagged: false, ..self }
    }

    /// The value, or `None` after its error was recorded.
    fn recorded<T>(self, result: Result<T, ReadError>) -> Option<T> {
        let message = match result {
            Ok(value) => return Some(value),
            Err(ReadError::Recorded) => return None,
            Err(ReadError::Message(message)) => message,
            Err(ReadError::Expected(expected)) => messages::wrong_type(&expected, self.node),
        };
        let location = self.location();
        self.report.borrow_mut().problems.add(location, message);
        None
    }

    /// Reports each key that is none of the fields, and excuses the field that was probably meant: it must not be
    /// reported as missing.
    fn unknown(self, entries: &'a [(String, Node)], fields: &'static [&'static str]) {
        let mut known: Vec<&str> = fields.to_vec();
        known.extend(self.is_tagged.then_some(TAG));
        for (key, node) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let free = known.iter().copied().filter(|name| !entries.iter().any(|(key, _)| key == name));
            let location = self.below(Step::Key(key), Some(node)).location();
            let mut report = self.report.borrow_mut();
            let problems = &mut report.problems;
            let message = match messages::nearest(key, free) {
                Some(meant) => {
                    let parent = problems.path(location).parent().unwrap_or_default();
                    problems.excuse(parent.child(meant));
                    format!("unknown field, did you mean `{meant}`?")
                }
                None => format!("unknown field; {}", messages::known(&known)),
            };
            problems.add(location, message);
        }
    }

    fn choose<'de, V: Visitor<'de>>(
        self,
        variants: &'static [&'static str],
        is_tagged: bool,
        visitor: V,
    ) -> Result<V::Value, ReadError>
    where
        'a: 'de,
    {
        match self.value() {
            Some(NodeValue::Mapping(entries)) if is_tagged => {
                let tag = entries.iter().find(|(key, _)| key == TAG).map(|(_, node)| node);
                let at = self.located().below(Step::Field(TAG), tag);
                match tag.map(|node| &node.value) {
                    Some(NodeValue::String(text)) if variants.contains(&text.as_str()) => {
                        visitor.visit_enum(Variant { name: text, reader: Self { is_tagged: true, ..self } })
                    }
                    Some(NodeValue::String(text)) => at.fail(messages::wrong_option(variants, text)),
                    Some(_) => at.fail(messages::wrong_type(&messages::one_of(variants), tag)),
                    None => {
                        let location = at.location();
                        let message = format!("missing; expected {}", messages::one_of(variants));
                        self.report.borrow_mut().problems.add_follow_up(location, message);
                        Err(ReadError::Recorded)
                    }
                }
            }
            _ if is_tagged => Err(ReadError::Expected("a mapping".to_owned())),
            Some(NodeValue::String(text)) if variants.contains(&text.as_str()) => {
                visitor.visit_enum(StrDeserializer::<ReadError>::new(text))
            }
            Some(NodeValue::String(text)) => Err(ReadError::Message(messages::wrong_option(variants, text))),
            _ => Err(ReadError::Expected(messages::one_of(variants))),
        }
    }

    fn fail<T>(self, message: String) -> Result<T, ReadError> {
        let failed: Result<T, ReadError> = Err(ReadError::Message(message));
        self.recorded(failed).ok_or(ReadError::Recorded)
    }

    /// The text of a scalar whose form is described by its serde name.
    fn text(self, name: &'static str) -> Result<&'a str, ReadError> {
        let mut report = self.report.borrow_mut();
        let named = &mut report.named;
        let (expected, names) = match name {
            FILE => ("a string", Some(&mut named.files)),
            VARIABLE => ("a string", Some(&mut named.variables)),
            REVOCATIONS => ("a string", Some(&mut named.revocations)),
            form => (form, None),
        };
        let Some(NodeValue::String(text)) = self.value() else { return Err(ReadError::Expected(expected.to_owned())) };
        names.into_iter().for_each(|names| names.push(text.clone()));
        Ok(text)
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
        self.choose(variants, name == TAGGED, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The kind of a value, as the key of [`Parts`].
mod kind {
    pub(super) const ABSENT: u8 = 0;
    pub(super) const MAPPING: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const BOOL: u8 = 3;
    pub(super) const OTHER: u8 = 4;
}

/// What a [`Field`] gets: the kind of the value as a key; then as values its location, if it asked for it, the value,
/// and the value as if it were absent.
struct Parts<'a> {
    reader: Reader<'a>,
    gives_location: bool,
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

struct Items<'a> {
    reader: Reader<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        let item = self.reader.below(Step::Index(index), Some(node));
        item.recorded(seed.deserialize(item)).map(Some).ok_or(ReadError::Recorded)
    }
}

/// The entries of a mapping with free names.
struct Entries<'a> {
    reader: Reader<'a>,
    entries: std::slice::Iter<'a, (String, Node)>,
    value: Option<Reader<'a>>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some(self.reader.below(Step::Key(key), Some(node)));
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        take_value(&mut self.value, seed)
    }
}

/// The fields of a struct, absent ones too.
struct Fields<'a> {
    reader: Reader<'a>,
    entries: &'a [(String, Node)],
    names: std::slice::Iter<'static, &'static str>,
    value: Option<Reader<'a>>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(name) = self.names.next() else { return Ok(None) };
        let node = self.entries.iter().find(|(key, _)| key == name).map(|(_, node)| node);
        self.value = Some(self.reader.below(Step::Field(name), node));
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
struct Variant<'a> {
    name: &'a str,
    reader: Reader<'a>,
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

#[cfg(test)]
mod tests;
