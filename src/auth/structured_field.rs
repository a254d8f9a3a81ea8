//! Structured fields (RFC 8941, RFC 9651) of a request: the values of all lines of a header as one dictionary or list.

use http::HeaderName;
use sfv::visitor::{DictionaryVisitor, EntryVisitor};
use sfv::{Dictionary, KeyRef, List, Parser};

use super::request::RequestView;
use crate::reason::Reason;

/// The largest structured field that is parsed, all lines of it together, in bytes: signatures and digests are far
/// smaller.
const MAX_SIZE: usize = 16 * 1024;

/// Two members of a dictionary have the same key.
#[derive(Debug, thiserror::Error)]
#[error("two members have the same key")]
struct DoubledKey;

/// A dictionary without doubled keys. A parser has to take the last of two members, but not every one does, so that the
/// upstream could read the other one.
struct UniqueKeys<'d>(&'d mut Dictionary);

impl<'de> DictionaryVisitor<'de> for UniqueKeys<'_> {
    type Out = ();
    type Error = DoubledKey;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, DoubledKey> {
        if self.0.contains_key(key) {
            return Err(DoubledKey);
        }
        DictionaryVisitor::entry(&mut *self.0, key).map_err(|never| match never {})
    }

    fn finish(self) -> Result<(), DoubledKey> {
        Ok(())
    }
}

/// The header as a dictionary; `None` if the request does not have it.
///
/// # Errors
/// `malformed_credential` for a header that is no dictionary, has a key twice, or is larger than 16 KiB.
pub(super) fn dictionary(request: &RequestView<'_>, name: &HeaderName) -> Result<Option<Dictionary>, Reason> {
    let Some(lines) = lines(request, name)? else { return Ok(None) };
    let mut members = Dictionary::new();
    for line in lines {
        let parsed = Parser::new(line).parse_dictionary_with_visitor(UniqueKeys(&mut members));
        parsed.map_err(|_| Reason::MalformedCredential)?;
    }
    Ok(Some(members))
}

/// The header as a list; `None` if the request does not have it.
///
/// # Errors
/// `malformed_credential` for a header that is no list, or is larger than 16 KiB.
pub(super) fn list(request: &RequestView<'_>, name: &HeaderName) -> Result<Option<List>, Reason> {
    let Some(lines) = lines(request, name)? else { return Ok(None) };
    let mut members = List::new();
    for line in lines {
        let parsed = Parser::new(line).parse_list_with_visitor(&mut members);
        parsed.map_err(|_| Reason::MalformedCredential)?;
    }
    Ok(Some(members))
}

/// The header as an item; `None` if the request does not have it.
///
/// # Errors
/// `malformed_credential` for a header that is no item, has several lines, or is larger than 16 KiB.
pub(super) fn item(request: &RequestView<'_>, name: &HeaderName) -> Result<Option<sfv::Item>, Reason> {
    match lines(request, name)?.as_deref() {
        None => Ok(None),
        Some([line]) => Parser::new(*line).parse().map(Some).map_err(|_| Reason::MalformedCredential),
        Some(_several) => Err(Reason::MalformedCredential),
    }
}

/// The lines of a header; `None` if there are none.
fn lines<'r>(request: &RequestView<'r>, name: &HeaderName) -> Result<Option<Vec<&'r [u8]>>, Reason> {
    let lines: Vec<&[u8]> = request.head.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    let size: usize = lines.iter().map(|line| line.len()).sum();
    if size > MAX_SIZE { Err(Reason::MalformedCredential) } else { Ok(Some(lines).filter(|lines| !lines.is_empty())) }
}
