//! How a signature stands in its value, and how its bytes are written. Everything in one spelling only.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Signatures in one value: senders that rotate put two or three there.
const MAX_SIGNATURES: usize = 16;

/// Parts of one value.
const MAX_PARTS: usize = 64;

/// How a signature stands in its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse {
    /// It is the value.
    Raw,
    /// After this text.
    Prefix(String),
    /// As the value of `key` among pairs; the others are parts.
    Pairs {
        /// Between pairs.
        separator: String,
        /// Between key and value.
        equals: String,
        /// Of the signatures.
        key: String,
    },
    /// Items, of which those with `prefix` are signatures.
    List {
        /// Between items.
        separator: String,
        /// Before each signature.
        prefix: String,
    },
    /// Fields, of which the one at `index` is the signature; all are parts.
    Split {
        /// Between fields.
        separator: String,
        /// From 0.
        index: usize,
        /// Between several such values.
        list: Option<String>,
    },
}

/// A value, taken apart.
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

/// How a signature's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, in lower case.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64url without padding.
    Base64Url,
}

impl Parse {
    /// What stands in a value: several only where it lists several, each with parts of its own. Empty where it has
    /// another form, or very many parts.
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

    /// A part that is there once, by its key or its place.
    pub fn part(&self, key: &str) -> Option<&'a str> {
        let mut found = self.parts_named(key);
        let (first, second) = (found.next()?, found.next());
        // Of two, the app's reader might take the other one.
        if second.is_some() { None } else { Some(first) }
    }

    /// Whether a part is there, once or more often.
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

    /// The signatures' bytes; what is not written properly is none.
    pub fn decoded(&self, encoding: Encoding) -> Vec<Vec<u8>> {
        self.signatures.iter().filter_map(|text| encoding.decode(text)).collect()
    }

    /// A value of these parts and no signature, to make one.
    pub fn of_parts(parts: &'a [(String, String)]) -> Self {
        let parts = parts.iter().map(|(name, text)| match name.parse() {
            Ok(index) => (PartKey::Index(index), text.as_str()),
            Err(_) => (PartKey::Name(name.as_str()), text.as_str()),
        });
        Self { signatures: Vec::new(), parts: parts.collect() }
    }
}

impl Encoding {
    /// Strictly: hex in lower case, base64 without unused bits and with padding exactly where it belongs, so that one
    /// signature has one spelling (a text comparison, as most SDKs have it, sees two in any other).
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex if text.bytes().any(|byte| byte.is_ascii_uppercase()) => None,
            Self::Hex => decode_hex(text),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text).ok(),
        }
    }

    /// The one spelling.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

/// Two digits a byte, in either case.
pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}
