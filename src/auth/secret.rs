//! Secrets and public keys of signatures: computes MACs and verifies signatures, in constant time.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::keys::is_small_order;
use super::sender::{Holder, HolderKind, KeyDigest};

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// HMAC (RFC 2104) with this hash.
    Hmac(Hash),
    /// SHA-256 over a string that contains the secret.
    Sha256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, signature in DER form.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-1, for certificates alone.
    RsaSha1,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaSha512,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1: collisions are known, but no forgery of its HMAC is.
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// How many Ed25519 signatures of one request are verified under each key: as many as a sender makes that rotates its
/// keys.
const ED25519_SIGNATURES: usize = 3;

/// One of a route's secrets.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Index among the route's secrets; a label of the metric.
    pub index: usize,
    /// The key id, if signatures name their secret.
    pub id: Option<Arc<str>>,
    /// The sender to whom it belongs, if gateway.yaml names one.
    pub sender: Option<Arc<str>>,
    /// The tenant whose file it is.
    pub tenant: Option<Arc<str>>,
    /// The key material.
    pub key: SecretKey,
    /// The digest of `key`.
    pub digest: KeyDigest,
}

/// A shared secret or a public key.
#[derive(Clone)]
pub enum SecretKey {
    /// A secret shared with the sender.
    Shared(Zeroizing<Vec<u8>>),
    /// The sender's public key.
    Public(ParsedPublicKey),
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared(_) => "Shared(..)",
            Self::Public(_) => "Public(..)",
        })
    }
}

/// Why bytes cannot be used as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is empty: any client could sign with it.
    #[error("must not be empty: any client could sign with an empty secret")]
    Empty,
    /// Not a public key for this algorithm.
    #[error("expected the sender's public key for this algorithm, as PEM, DER, or its bytes in base64 or hex")]
    NotAPublicKey,
    /// The sender's private key.
    #[error("contains a private key; use the file with the public key instead")]
    PrivateKey,
}

impl Secret {
    /// A secret with this number, without a key id and a sender of its own.
    pub fn new(index: usize, key: SecretKey) -> Self {
        let digest = KeyDigest::of(key.bytes());
        Self { index, id: None, sender: None, tenant: None, key, digest }
    }

    /// The holder of this secret, given the name of its preset or scheme.
    pub fn holder(&self, scheme: &Arc<str>) -> Holder {
        match (&self.tenant, &self.sender) {
            (Some(tenant), _) => Holder::of_tenant(scheme, tenant),
            (None, Some(sender)) => Holder::named(sender),
            (None, None) => Holder { kind: HolderKind::Scheme, name: Arc::clone(scheme), key_id: self.id.clone() },
        }
    }

    pub(super) fn answers_to(&self, id: Option<&str>) -> bool {
        id.is_none() || self.id.as_deref() == id
    }
}

impl SecretKey {
    /// Makes a key from a shared secret.
    ///
    /// # Errors
    /// [`KeyError::Empty`].
    pub fn from_secret(secret: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        if secret.is_empty() { Err(KeyError::Empty) } else { Ok(Self::Shared(secret)) }
    }

    /// Parses a public key in any form that providers publish: PEM, DER, or the bytes in base64 or hex.
    ///
    /// # Errors
    /// [`KeyError::NotAPublicKey`], [`KeyError::PrivateKey`].
    pub fn from_public(written: &[u8], algorithm: SignatureAlgorithm) -> Result<Self, KeyError> {
        let parameters: &'static dyn VerificationAlgorithm = match algorithm {
            SignatureAlgorithm::Ed25519 => &ED25519,
            SignatureAlgorithm::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            SignatureAlgorithm::RsaSha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            SignatureAlgorithm::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
            SignatureAlgorithm::RsaSha512 => &RSA_PKCS1_2048_8192_SHA512,
            SignatureAlgorithm::Hmac(_) | SignatureAlgorithm::Sha256 => return Err(KeyError::NotAPublicKey),
        };
        let key = public_key_bytes(written)?;
        // The last 32 bytes: the raw key, which also ends a SubjectPublicKeyInfo.
        let bare = key.get(key.len().saturating_sub(32)..).unwrap_or_default();
        if algorithm == SignatureAlgorithm::Ed25519 && is_small_order(bare) {
            return Err(KeyError::NotAPublicKey);
        }
        ParsedPublicKey::new(parameters, &key).map(Self::Public).map_err(|_| KeyError::NotAPublicKey)
    }

    /// The bytes of the secret or the public key.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(secret) => secret,
            Self::Public(key) => key.as_ref(),
        }
    }

    /// The shared secret; `None` for a public key.
    pub fn shared(&self) -> Option<&[u8]> {
        match self {
            Self::Shared(secret) => Some(secret),
            Self::Public(_) => None,
        }
    }

    /// Whether the other key is the same one.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(mine), Self::Shared(theirs)) => constant_time::verify_slices_are_equal(mine, theirs).is_ok(),
            (Self::Public(mine), Self::Public(theirs)) => mine.as_ref() == theirs.as_ref(),
            (Self::Shared(_) | Self::Public(_), _) => false,
        }
    }

    /// Whether one of the signatures is valid under this key over the concatenated components of `text`. The text is
    /// hashed once for all of them, and not at all if none has the length of a signature: it may contain a large body of
    /// an unauthenticated client. Ed25519, which has no other form, hashes it for each signature, and so only the first
    /// [`ED25519_SIGNATURES`] count.
    pub(super) fn verifies_any(
        &self,
        algorithm: SignatureAlgorithm,
        text: &[Cow<'_, [u8]>],
        signatures: &[Vec<u8>],
    ) -> bool {
        let mut possible =
            signatures.iter().filter(|signature| algorithm.lengths().contains(&signature.len())).peekable();
        if possible.peek().is_none() {
            return false;
        }
        match (self, algorithm) {
            (Self::Public(key), SignatureAlgorithm::Ed25519) => {
                let text = text.concat();
                possible.take(ED25519_SIGNATURES).any(|signature| key.verify_sig(&text, signature).is_ok())
            }
            (Self::Public(key), _) => {
                let hash = hash_of(algorithm, text);
                possible.any(|signature| key.verify_digest_sig(&hash, signature).is_ok())
            }
            (Self::Shared(_), _) => self.mac(algorithm, text).is_some_and(|ours| {
                possible.any(|signature| constant_time::verify_slices_are_equal(&ours, signature).is_ok())
            }),
        }
    }

    /// The MAC over `text` under the shared secret; `None` for a public key or an asymmetric algorithm.
    pub fn mac(&self, algorithm: SignatureAlgorithm, text: &[Cow<'_, [u8]>]) -> Option<Vec<u8>> {
        let secret = self.shared()?;
        match algorithm {
            SignatureAlgorithm::Hmac(hash) => {
                #[cfg(test)]
                HASHED.set(HASHED.get() + 1);
                let mut context = hmac::Context::with_key(&hmac::Key::new(hash.algorithm(), secret));
                text.iter().for_each(|piece| context.update(piece));
                Some(context.sign().as_ref().to_vec())
            }
            SignatureAlgorithm::Sha256 => Some(hash_of(algorithm, text).as_ref().to_vec()),
            SignatureAlgorithm::Ed25519
            | SignatureAlgorithm::EcdsaP256
            | SignatureAlgorithm::RsaSha1
            | SignatureAlgorithm::RsaSha256
            | SignatureAlgorithm::RsaSha512 => None,
        }
    }
}

/// Compares texts with `shown`, whose hash is computed once. The hashes are compared, in constant time, so that timing
/// reveals neither content nor length.
pub(super) fn equal_to(shown: &[u8]) -> impl Fn(&[u8]) -> bool {
    let hash = |text: &[u8]| digest::digest(&digest::SHA256, text);
    let shown = hash(shown);
    move |text| constant_time::verify_slices_are_equal(hash(text).as_ref(), shown.as_ref()).is_ok()
}

/// The hash of `text` that this algorithm signs.
fn hash_of(algorithm: SignatureAlgorithm, text: &[Cow<'_, [u8]>]) -> digest::Digest {
    #[cfg(test)]
    HASHED.set(HASHED.get() + 1);
    let mut context = digest::Context::new(match algorithm {
        SignatureAlgorithm::RsaSha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SignatureAlgorithm::RsaSha512 => &digest::SHA512,
        SignatureAlgorithm::Hmac(_)
        | SignatureAlgorithm::Sha256
        | SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::EcdsaP256
        | SignatureAlgorithm::RsaSha256 => &digest::SHA256,
    });
    text.iter().for_each(|piece| context.update(piece));
    context.finish()
}

#[cfg(test)]
thread_local! {
    /// How many strings to sign this thread has hashed.
    pub(super) static HASHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl SignatureAlgorithm {
    /// Whether it has a public key instead of a shared secret.
    pub const fn is_asymmetric(self) -> bool {
        match self {
            Self::Hmac(_) | Self::Sha256 => false,
            Self::Ed25519 | Self::EcdsaP256 | Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => true,
        }
    }

    /// The lengths that a signature may have, in bytes.
    pub(super) fn lengths(self) -> RangeInclusive<usize> {
        match self {
            Self::Hmac(Hash::Sha1) => 20..=20,
            Self::Hmac(Hash::Sha256) | Self::Sha256 => 32..=32,
            Self::Hmac(Hash::Sha384) => 48..=48,
            Self::Hmac(Hash::Sha512) | Self::Ed25519 => 64..=64,
            // DER: two integers of at most 33 bytes.
            Self::EcdsaP256 => 8..=72,
            // As long as the modulus: 2048 to 8192 bits.
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 => 256..=1024,
        }
    }
}

impl Hash {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// Decodes PEM, base64 or hex, with or without the prefix `whpk_` of Standard Webhooks; any other input is taken as raw
/// bytes.
fn public_key_bytes(written: &[u8]) -> Result<Vec<u8>, KeyError> {
    let Ok(text) = std::str::from_utf8(written) else { return Ok(written.to_vec()) };
    let text = text.trim();
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::PrivateKey);
    }
    if text.contains("-----BEGIN ") {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NotAPublicKey)?;
        return Ok(key.to_vec());
    }
    let bare = text.strip_prefix("whpk_").unwrap_or(text);
    let decoded = hex::decode(bare).ok();
    let decoded = decoded.or_else(|| STANDARD.decode(bare).ok()).or_else(|| URL_SAFE_NO_PAD.decode(bare).ok());
    Ok(decoded.unwrap_or_else(|| written.to_vec()))
}
