//! Structured fields (RFC 8941, RFC 9651) of a request: the values of all lines of a header as one dictionary or list.

use std::collections::HashSet;

use http::HeaderName;
use sfv::visitor::{DictionaryVisitor, EntryVisitor, InnerListVisitor, ItemVisitor, ListVisitor, ParameterVisitor};
use sfv::{BareItemFromInput, Dictionary, KeyRef, List, Parser};

use super::request::RequestView;
use crate::reason::Reason;

/// The largest structured field that is parsed, all lines of it together, in bytes: signatures and digests are far
/// smaller.
const MAX_SIZE: usize = 16 * 1024;

/// Two members of a dictionary, or two parameters of a value, have the same key.
#[derive(Debug, thiserror::Error)]
#[error("two members or parameters have the same key")]
struct DoubledKey;

/// Rejects doubled keys of a dictionary and of parameters. A parser has to take the last of two (RFC 9651 §4.2), but not
/// every one does, so that the upstream could read the other one.
#[derive(Default)]
struct UniqueKeys<'de>(HashSet<&'de str>);

impl<'de> UniqueKeys<'de> {
    fn add(&mut self, key: &'de KeyRef) -> Result<(), DoubledKey> {
        if self.0.insert(key.as_str()) { Ok(()) } else { Err(DoubledKey) }
    }
}

impl<'de> DictionaryVisitor<'de> for &mut UniqueKeys<'de> {
    type Out = ();
    type Error = DoubledKey;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, DoubledKey> {
        self.add(key).map(|()| UniqueKeys::default())
    }

    fn finish(self) -> Result<(), DoubledKey> {
        Ok(())
    }
}

impl<'de> ListVisitor<'de> for UniqueKeys<'de> {
    type Out = ();
    type Error = DoubledKey;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, DoubledKey> {
        Ok(UniqueKeys::default())
    }

    fn finish(self) -> Result<(), DoubledKey> {
        Ok(())
    }
}

impl<'de> EntryVisitor<'de> for UniqueKeys<'de> {
    type Error = DoubledKey;

    fn item(self) -> Result<impl ItemVisitor<'de>, DoubledKey> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, DoubledKey> {
        Ok(self)
    }
}

impl<'de> InnerListVisitor<'de> for UniqueKeys<'de> {
    type Error = DoubledKey;

    fn item(&mut self) -> Result<impl ItemVisitor<'de>, DoubledKey> {
        Ok(UniqueKeys::default())
    }

    fn finish(self) -> Result<impl ParameterVisitor<'de>, DoubledKey> {
        Ok(self)
    }
}

impl<'de> ItemVisitor<'de> for UniqueKeys<'de> {
    type Out = ();
    type Error = DoubledKey;

    fn bare_item(self, _: BareItemFromInput<'de>) -> Result<impl ParameterVisitor<'de, Out = ()>, DoubledKey> {
        Ok(self)
    }
}

impl<'de> ParameterVisitor<'de> for UniqueKeys<'de> {
    type Out = ();
    type Error = DoubledKey;

    fn parameter(&mut self, key: &'de KeyRef, _: BareItemFromInput<'de>) -> Result<(), DoubledKey> {
        self.add(key)
    }

    fn finish(self) -> Result<(), DoubledKey> {
        Ok(())
    }
}

/// The header as a dictionary; `None` if the request does not have it.
///
/// # Errors
/// `malformed_credential` for a header that is no dictionary, has a key or a parameter twice, or is larger than 16 KiB.
pub(super) fn dictionary(request: &RequestView<'_>, name: &HeaderName) -> Result<Option<Dictionary>, Reason> {
    let Some(lines) = lines(request, name)? else { return Ok(None) };
    let (mut members, mut keys) = (Dictionary::new(), UniqueKeys::default());
    for line in lines {
        let checked = Parser::new(line).parse_dictionary_with_visitor(&mut keys);
        let parsed = checked.and_then(|()| Parser::new(line).parse_dictionary_with_visitor(&mut members));
        parsed.map_err(|_| Reason::MalformedCredential)?;
    }
    Ok(Some(members))
}

/// The header as a list; `None` if the request does not have it.
///
/// # Errors
/// `malformed_credential` for a header that is no list, has a parameter twice, or is larger than 16 KiB.
pub(super) fn list(request: &RequestView<'_>, name: &HeaderName) -> Result<Option<List>, Reason> {
    let Some(lines) = lines(request, name)? else { return Ok(None) };
    let mut members = List::new();
    for line in lines {
        let checked = Parser::new(line).parse_list_with_visitor(UniqueKeys::default());
        let parsed = checked.and_then(|()| Parser::new(line).parse_list_with_visitor(&mut members));
        parsed.map_err(|_| Reason::MalformedCredential)?;
    }
    Ok(Some(members))
}

/// The header as an item; `None` if the request does not have it.
///
/// # Errors
/// `malformed_credential` for a header that is no item, has several lines or a parameter twice, or is larger than 16 KiB.
pub(super) fn item(request: &RequestView<'_>, name: &HeaderName) -> Result<Option<sfv::Item>, Reason> {
    match lines(request, name)?.as_deref() {
        None => Ok(None),
        Some([line]) => {
            let checked = Parser::new(*line).parse_item_with_visitor(UniqueKeys::default());
            let parsed = checked.and_then(|()| Parser::new(*line).parse());
            parsed.map(Some).map_err(|_| Reason::MalformedCredential)
        }
        Some(_several) => Err(Reason::MalformedCredential),
    }
}

/// The lines of a header; `None` if there are none.
fn lines<'r>(request: &RequestView<'r>, name: &HeaderName) -> Result<Option<Vec<&'r [u8]>>, Reason> {
    let lines: Vec<&[u8]> = request.head.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    let size: usize = lines.iter().map(|line| line.len()).sum();
    if size > MAX_SIZE { Err(Reason::MalformedCredential) } else { Ok(Some(lines).filter(|lines| !lines.is_empty())) }
}
