//! Replay ids: an id from the signed part of a request, and the time until which its credential is valid.
//!
//! Only data that a signature covers may be an id: an attacker who replays a request can change everything else
//! (PageSpace#2199). Each scheme extracts the id if the route has replay protection; `store` stores it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::clock::UnixTime;

/// The replay id of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayId {
    /// The namespace of the id: the issuer's name, or the preset's. An issuer cannot use up the ids of another one.
    pub issuer: Arc<str>,
    /// The kind of id: `claim`, `piece` or `hash`.
    pub kind: &'static str,
    /// The bytes of the id.
    pub id: Vec<u8>,
    /// The last second in which its credential may be valid; `None` if it does not expire.
    pub until: Option<UnixTime>,
    /// The earliest time at which its credential could be used, clock skew included; `None` if the credential does not
    /// state a time.
    pub issued: Option<UnixTime>,
}

/// SHA-256 of the signed data, never of the signature: in some schemes one signature has more than one encoding.
pub(super) fn hash_of(signed: &[u8]) -> Vec<u8> {
    digest(&SHA256, signed).as_ref().to_vec()
}
