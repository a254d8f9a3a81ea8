//! Parsing of a signature value. Exactly one spelling of it is accepted.

use crate::auth::encoding::Encoding;

/// Maximum number of signatures in one value: senders that rotate their secret send two or three.
const MAX_SIGNATURES: usize = 16;

/// Maximum number of parts in one value.
const MAX_PARTS: usize = 64;

/// Format of the value that carries the signature (`parse`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse {
    /// The whole value is the signature.
    Raw,
    /// The signature follows this prefix.
    Prefix(String),
    /// Key-value pairs: those with the key `key` are signatures, the others are parts.
    Pairs {
        /// Separator between pairs.
        separator: String,
        /// Separator between key and value.
        equals: String,
        /// Key of the signatures.
        key: String,
    },
    /// A list of items; those with `prefix` are signatures.
    List {
        /// Separator between items.
        separator: String,
        /// Prefix of each signature.
        prefix: String,
    },
    /// A list of fields; the one at `index` is the signature, and all are parts.
    Split {
        /// Separator between fields.
        separator: String,
        /// Index of the signature, from 0.
        index: usize,
        /// Separator between several such values; `None` if there is only one.
        list: Option<String>,
    },
    /// A list of fields; all from `index` on are signatures, those before it are parts.
    Rest {
        /// Separator between fields.
        separator: String,
        /// Index of the first signature, from 0.
        index: usize,
    },
}

/// A parsed signature value: its signatures and its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value<'a> {
    signatures: Vec<&'a str>,
    parts: Vec<(PartKey<'a>, &'a str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PartKey<'a> {
    Name(&'a str),
    Index(usize),
}

impl Parse {
    /// The prefix that tells the signatures of this scheme from others in a list.
    pub fn list_prefix(&self) -> Option<&str> {
        if let Self::List { prefix, .. } = self { Some(prefix) } else { None }
    }

    /// Whether both read one list, and no item of it has the prefixes of both.
    pub(in crate::auth) fn tells_apart(&self, other: &Self) -> bool {
        let (Self::List { separator, prefix }, Self::List { separator: others, prefix: another }) = (self, other)
        else {
            return false;
        };
        separator == others && !prefix.starts_with(another.as_str()) && !another.starts_with(prefix.as_str())
    }

    /// Parses a value. Returns several values, each with its own parts, only for [`Self::Split`] with `list`. Returns
    /// none if the value has another format, or too many pairs or signatures.
    pub fn read<'a>(&self, value: &'a str) -> Vec<Value<'a>> {
        let read = match self {
            Self::Raw => Some(Value::of_signature(value)),
            Self::Prefix(prefix) => value.strip_prefix(&**prefix).map(Value::of_signature),
            Self::Pairs { separator, equals, key } => read_pairs(value, separator, equals, key),
            Self::List { separator, prefix } => {
                let items = value.split(&**separator).map(str::trim).take(MAX_PARTS);
                let signatures = items.filter_map(|item| item.strip_prefix(&**prefix)).collect();
                Some(Value { signatures, parts: Vec::new() })
            }
            Self::Split { separator, index, list: None } => read_split(value, separator, *index),
            Self::Split { separator, index, list: Some(list) } => {
                let items = value.split(&**list).map(str::trim).take(MAX_SIGNATURES);
                return items.filter_map(|item| read_split(item, separator, *index)).collect();
            }
            Self::Rest { separator, index } => {
                let fields = value.split(&**separator).take(MAX_PARTS).enumerate();
                let (parts, signatures): (Vec<_>, Vec<_>) = fields.partition(|(at, _)| at < index);
                Some(Value {
                    signatures: signatures.into_iter().map(|(_, signature)| signature).collect(),
                    parts: parts.into_iter().map(|(at, field)| (PartKey::Index(at), field)).collect(),
                })
            }
        };
        let sane = |value: &Value<'_>| !value.signatures.is_empty() && value.signatures.len() <= MAX_SIGNATURES;
        read.filter(sane).into_iter().collect()
    }
}

fn read_pairs<'a>(value: &'a str, separator: &str, equals: &str, key: &str) -> Option<Value<'a>> {
    let mut read = Value::default();
    for pair in value.split(separator).map(str::trim).filter(|pair| !pair.is_empty()) {
        if read.parts.len() + read.signatures.len() >= MAX_PARTS {
            return None;
        }
        let (name, text) = pair.split_once(equals)?;
        if name == key {
            read.signatures.push(text);
        } else {
            read.parts.push((PartKey::Name(name), text));
        }
    }
    Some(read)
}

fn read_split<'a>(value: &'a str, separator: &str, index: usize) -> Option<Value<'a>> {
    let fields: Vec<&str> = value.split(separator).take(MAX_PARTS).collect();
    let signature = fields.get(index)?;
    let parts = fields.iter().enumerate().map(|(index, field)| (PartKey::Index(index), *field)).collect();
    Some(Value { signatures: vec![signature], parts })
}

impl<'a> Value<'a> {
    fn of_signature(signature: &'a str) -> Self {
        Self { signatures: vec![signature], parts: Vec::new() }
    }

    /// The part with this key or index; `None` if it is absent or occurs more than once.
    pub fn part(&self, key: &str) -> Option<&'a str> {
        let mut found = self.parts_named(key);
        let (first, second) = (found.next()?, found.next());
        // Of two parts with one key, the upstream's parser might use the other one.
        if second.is_some() { None } else { Some(first) }
    }

    /// Whether a part with this key or index is present, once or more often.
    pub(super) fn has_part(&self, key: &str) -> bool {
        self.parts_named(key).next().is_some()
    }

    fn parts_named(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let index = key.parse().ok();
        let named = self.parts.iter().filter(move |(name, _)| match name {
            PartKey::Name(name) => *name == key,
            PartKey::Index(place) => Some(*place) == index,
        });
        named.map(|(_, text)| *text)
    }

    /// The signatures as they are written.
    pub fn signatures(&self) -> &[&'a str] {
        &self.signatures
    }

    /// The decoded signatures; one that is not strictly encoded is left out.
    pub fn decoded(&self, encoding: Encoding) -> Vec<Vec<u8>> {
        self.signatures.iter().filter_map(|text| encoding.decode(text)).collect()
    }

    /// A value with these parts and without a signature, as input to signing.
    pub fn of_parts(parts: &'a [(String, String)]) -> Self {
        let parts = parts.iter().map(|(name, text)| match name.parse() {
            Ok(index) => (PartKey::Index(index), text.as_str()),
            Err(_) => (PartKey::Name(name.as_str()), text.as_str()),
        });
        Self { signatures: Vec::new(), parts: parts.collect() }
    }
}
