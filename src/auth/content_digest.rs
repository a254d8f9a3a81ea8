//! Digests of the body in `Content-Digest` and `Repr-Digest` (RFC 9530).
//!
//! Only digests with sha-256 and sha-512 prove anything. The others are ignored, as RFC 9530 §5 asks: the registry keeps
//! them for old senders, and each can be forged.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA512, digest};
use http::HeaderName;
use sfv::{BareItem, Dictionary, ListEntry};

use super::request::RequestView;
use super::structured_field::dictionary;
use crate::reason::Reason;

/// `Content-Digest`: the digest of the body.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// `Repr-Digest`: the digest of the representation, which is the body unless `Content-Range` says that it is a part.
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The algorithms, by their names in the registry (RFC 9530 §7.2).
static ALGORITHMS: [(&str, &Algorithm); 2] = [("sha-256", &SHA256), ("sha-512", &SHA512)];

/// Whether the header is one of the two with digests.
pub fn is_digest(name: &HeaderName) -> bool {
    *name == CONTENT_DIGEST || *name == REPR_DIGEST
}

/// Compares the body with each digest in the header that proves something.
///
/// # Errors
/// `malformed_credential` for a header that is no dictionary of byte sequences or has no digest that proves something,
/// and for a `Repr-Digest` of a part; `body_mismatch` if one of the digests is not that of the body.
pub fn check(name: &HeaderName, request: &RequestView<'_>, body: &[u8]) -> Result<(), Reason> {
    let is_part = *name == REPR_DIGEST && request.head.headers.contains_key(http::header::CONTENT_RANGE);
    let digests = dictionary(request, name)?.filter(|_| !is_part).ok_or(Reason::MalformedCredential)?;
    let mut compared = 0;
    for (algorithm, hash) in ALGORITHMS {
        let Some(theirs) = digests.get(algorithm) else { continue };
        let ListEntry::Item(sfv::Item { bare_item: BareItem::ByteSequence(theirs), .. }) = theirs else {
            return Err(Reason::MalformedCredential);
        };
        if digest(hash, body).as_ref() != theirs.as_slice() {
            return Err(Reason::BodyMismatch);
        }
        compared += 1;
    }
    if compared == 0 { Err(Reason::MalformedCredential) } else { Ok(()) }
}

/// The header's value for a body, with sha-256.
pub fn written(body: &[u8]) -> String {
    let item = sfv::Item::new(digest(&SHA256, body).as_ref());
    let digests = Dictionary::from_iter([(sfv::key_ref("sha-256").to_owned(), item.into())]);
    sfv::FieldType::serialize(&digests).unwrap_or_default()
}

#[cfg(test)]
mod tests;
