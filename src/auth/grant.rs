//! The proof that a request was accepted: the identity that its credentials prove, and the merge of several.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value};

use super::rejection::Rejection;
use super::sender::{Holder, Identity, KeyDigest, Sender};
use crate::clock::UnixTime;

/// Proof that [`super::verify`] accepted a request, with the identity that its credentials prove. Only `auth` builds
/// one.
#[derive(Debug)]
pub struct Grant {
    pub(super) issuer: Option<Arc<str>>,
    pub(super) kid: Option<String>,
    pub(super) claims: Arc<Map<String, Value>>,
    pub(super) secrets: Vec<usize>,
    pub(super) signed: Option<SignatureCheck>,
    pub(super) replay_id: Option<ReplayId>,
    /// The holder of the credential; `None` in a grant without one, or merged from those of several credentials.
    pub(super) holder: Option<Holder>,
    /// The key that verified the credential, unless the name of the holder is unique in gateway.yaml.
    pub(super) key: Option<KeyDigest>,
    /// The grants of the request's other credentials: the upstream may read those too.
    pub(super) others: Vec<Grant>,
}

impl Grant {
    /// A grant without identity.
    pub(super) fn anonymous() -> Self {
        Self {
            issuer: None,
            kid: None,
            claims: Arc::default(),
            secrets: Vec::new(),
            signed: None,
            replay_id: None,
            holder: None,
            key: None,
            others: Vec::new(),
        }
    }

    /// The issuer's name in gateway.yaml, or the preset's; `None` if the policy has no issuer, as on a public route.
    pub fn issuer(&self) -> Option<&Arc<str>> {
        self.issuer.as_ref()
    }

    /// The key id (`kid`) in the token, or else that of the key that verified it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The verified claims of the token; empty if there is no token.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The `sub` claim, if it is a string.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// The sender of the request, by all of its credentials.
    pub fn sender(&self) -> Sender<'_> {
        Sender::of(self.each().filter_map(Self::identity))
    }

    fn identity(&self) -> Option<Identity<'_>> {
        self.holder.as_ref().map(|holder| Identity { holder, subject: self.subject() })
    }

    /// The replay ids of all credentials that were present, if the route uses replay protection, each with the sender by
    /// its own credential: an attacker could add another credential to a copied request. All of them count:
    /// otherwise an attacker could replay a request with one credential left out and count as a new sender.
    pub fn replay_ids(&self) -> impl Iterator<Item = CredentialId<'_>> {
        self.each().filter_map(|grant| {
            let (sender, subject) = (Sender::of(grant.identity()), grant.subject());
            Some(CredentialId { replay_id: grant.replay_id.as_ref()?, sender, key: grant.key, subject })
        })
    }

    /// How the token's signature was verified: by the key, or by an earlier verification that is still cached.
    pub fn signed(&self) -> Option<SignatureCheck> {
        self.signed
    }

    /// The indices of the route's secrets that verified the request.
    pub fn secrets(&self) -> &[usize] {
        &self.secrets
    }

    /// Merges two grants: the identity of `self`, completed from `other`, and the secrets of both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.issuer = self.issuer.or_else(|| other.issuer.clone());
        self.kid = self.kid.or_else(|| other.kid.clone());
        if self.claims.is_empty() {
            self.claims = Arc::clone(&other.claims);
        }
        self.secrets.extend(&other.secrets);
        self.beside(other)
    }

    /// Keeps the identity of `self`; `other` is added to the grants of other credentials.
    pub(super) fn beside(mut self, mut other: Self) -> Self {
        self.others.append(&mut other.others);
        self.others.push(other);
        self
    }

    /// This grant and those of the other credentials.
    pub(super) fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }
}

/// The replay id of a credential, and what identifies the credential.
#[derive(Debug)]
pub struct CredentialId<'g> {
    /// The replay id.
    pub replay_id: &'g ReplayId,
    /// The sender by this credential alone.
    pub sender: Sender<'g>,
    /// The key that verified the credential; `None` if the sender's name identifies it on every route.
    pub key: Option<KeyDigest>,
    /// The subject of a token.
    pub subject: Option<&'g str>,
}

/// The replay id of a request: an id from its signed part, and the time until which its credential is valid. Only data
/// that a signature covers may be an id: an attacker who replays a request can change everything else (PageSpace#2199).
/// Each scheme extracts the id if the route has replay protection; `store` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayId {
    /// The kind of id: `claim`, `piece` (a signed component), `nonce` (of a message signature) or `hash`. Its bytes are
    /// hashed into stored ids, so that they never change.
    pub kind: &'static str,
    /// The bytes of the id.
    pub id: Vec<u8>,
    /// The hash of the string to sign, if bytes can be moved between the id and what is signed beside it: a copy with
    /// another border has another id, but the same text. It cannot be the id, since a retry has a new time.
    pub text: Option<Vec<u8>>,
    /// A time at which its credential is no longer valid; `None` if it does not expire.
    pub until: Option<UnixTime>,
    /// The earliest time at which its credential could be used, clock skew included; `None` if the credential does not
    /// state a time.
    pub issued: Option<UnixTime>,
}

impl ReplayId {
    /// The ids to record, each with its kind and its end. The string to sign comes first: a copy with a moved border must
    /// not use up an id that another event may have. It is kept as long as the id: a copy whose time comes from another part
    /// of the text is valid for longer than the request.
    pub fn recorded(&self, longest: Option<UnixTime>) -> impl Iterator<Item = (&'static str, &[u8], Option<UnixTime>)> {
        let until = self.until.max(longest);
        let text = self.text.iter().map(move |text| ("hash", text.as_slice(), until));
        text.chain([(self.kind, self.id.as_slice(), until)])
    }
}

/// SHA-256 of the signed data, never of the signature: in some schemes one signature has more than one encoding.
pub(super) fn hash_of(signed: &[u8]) -> Vec<u8> {
    hash_of_pieces(&[Cow::Borrowed(signed)])
}

/// [`hash_of`] the concatenated pieces.
pub(super) fn hash_of_pieces(signed: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    signed.iter().for_each(|piece| context.update(piece));
    context.finish().as_ref().to_vec()
}

/// How a token's signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// By a signature verification now.
    Verified,
    /// By a cache hit: an earlier verification with the same keys.
    Cached,
}

/// The verdict on a request that may be forwarded.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "almost every request has a grant, and a box would be an allocation")]
pub enum Permit {
    /// The policy granted the request.
    Granted(Grant),
    /// The request would have been rejected, but the route is in dry-run mode: it is forwarded without any identity.
    Observed(Rejection),
}
