//! One verification key: its algorithm, its material, and the tokens that it may verify.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::algorithm::Algorithm;
use super::error::KeySetError;
use crate::auth::sender::KeyDigest;
use crate::reason::Reason;

/// One verification key; its algorithm is fixed when it is loaded (RFC 8725 §3.1).
#[derive(Clone)]
pub struct Key {
    pub(super) id: KeyId,
    pub(super) algorithm: Algorithm,
    /// Length of a signature in bytes, which the algorithm or the modulus determines.
    pub(super) signature_length: usize,
    pub(super) verifier: Verifier,
    /// Index among the secrets of its scheme; `None` for a public key of an issuer.
    pub secret: Option<usize>,
    /// The sender to whom it belongs, if gateway.yaml names one.
    pub sender: Option<Arc<str>>,
    /// The member `issuer` of its JWK, by which Microsoft limits a key to one tenant.
    pub(in crate::auth) issuer: Option<Arc<str>>,
    /// The digest of the key material.
    pub digest: KeyDigest,
}

/// The key material that verifies signatures.
#[derive(Clone)]
pub(super) enum Verifier {
    /// A shared secret.
    Shared(DecodingKey),
    /// A public key, parsed by aws-lc-rs, the library under jsonwebtoken. jsonwebtoken would parse the key for each
    /// token, which takes a fifth of the time of an RS256 verification, and does not support ES512.
    Public(ParsedPublicKey),
}

/// How a token's `kid` selects a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyId {
    /// A key with this `kid`.
    Named(String),
    /// A key of a set without a `kid`: used for tokens without `kid`, and for any token if the whole set is without.
    Unnamed,
    /// A key that was configured for the issuer: used for any `kid`.
    Pinned,
}

impl fmt::Debug for Key {
    /// Omits the key material, which may be a shared secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl KeyId {
    pub(super) fn answers_to(&self, kid: Option<&str>) -> bool {
        match (self, kid) {
            (Self::Pinned, _) | (Self::Named(_) | Self::Unnamed, None) => true,
            (Self::Named(name), Some(kid)) => name == kid,
            (Self::Unnamed, Some(_)) => false,
        }
    }
}

impl Key {
    pub(super) fn shared(secret: &[u8], algorithm: Algorithm, index: usize) -> Result<Self, KeySetError> {
        let signature_length = algorithm.mac_length().ok_or(KeySetError::NotASharedSecret)?;
        let verifier = Verifier::Shared(DecodingKey::from_secret(secret));
        let digest = KeyDigest::of(secret);
        let secret = Some(index);
        Ok(Self {
            id: KeyId::Pinned,
            algorithm,
            signature_length,
            verifier,
            secret,
            sender: None,
            issuer: None,
            digest,
        })
    }

    /// The key's `kid`, if it has one.
    pub fn name(&self) -> Option<&str> {
        match &self.id {
            KeyId::Named(name) => Some(name),
            KeyId::Unnamed | KeyId::Pinned => None,
        }
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Verifies the raw bytes of a signature over `message`.
    ///
    /// # Errors
    /// `invalid_signature`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Reason> {
        // Exact length: no DER instead of fixed width, no padded halves. Neither half may be zero (CVE-2022-21449).
        if signature.len() != self.signature_length || !self.halves_are_sane(signature) {
            return Err(Reason::InvalidSignature);
        }
        match &self.verifier {
            Verifier::Shared(secret) => self.verify_mac(secret, message, signature),
            Verifier::Public(key) => key.verify_sig(message, signature).map_err(|_| Reason::InvalidSignature),
        }
    }

    fn verify_mac(&self, secret: &DecodingKey, message: &[u8], signature: &[u8]) -> Result<(), Reason> {
        let algorithm = self.algorithm.in_library().ok_or(Reason::InvalidSignature)?;
        // Not `crypto::verify`, whose cryptography is that of the process-wide provider.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, secret);
        let verifier = verifier.map_err(|_| Reason::InvalidSignature)?;
        verifier.verify(message, &signature.to_vec()).map_err(|_| Reason::InvalidSignature)
    }

    pub(super) fn halves_are_sane(&self, signature: &[u8]) -> bool {
        if self.algorithm.family() != AlgorithmFamily::Ec {
            return true;
        }
        let (r, s) = signature.split_at(signature.len() / 2);
        r.iter().any(|byte| *byte != 0) && s.iter().any(|byte| *byte != 0)
    }
}
