//! Secrets and public keys of signatures, and what they make or verify. In constant time.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::parse::decode_hex;
use crate::auth::keys::is_small_order;

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// HMAC (RFC 2104) with this hash.
    Hmac(Hash),
    /// SHA-256 over a text that holds the secret.
    Sha256,
    /// RFC 8032.
    Ed25519,
    /// P-256 with SHA-256, in DER form.
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1: collisions are known, forged MACs are not.
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// One of a route's secrets.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its place among the route's secrets: label of the metric.
    pub index: usize,
    /// Its name, where the signature names one.
    pub id: Option<String>,
    /// The secret.
    pub key: SecretKey,
}

/// A shared secret or a public key.
#[derive(Clone)]
pub enum SecretKey {
    /// Shared with the sender.
    Shared(Zeroizing<Vec<u8>>),
    /// The sender's.
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

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// With it, anybody can sign.
    #[error("is empty; a signature by an empty secret is nobody's")]
    Empty,
    /// Not a key of this algorithm.
    #[error("expected the sender's public key for this algorithm: PEM, DER, or its bytes in base64 or hex")]
    NotAPublicKey,
    /// The owner's key.
    #[error("holds a private key; write the public key's file instead")]
    PrivateKey,
}

impl Secret {
    pub(super) fn answers_to(&self, id: Option<&str>) -> bool {
        id.is_none() || self.id.as_deref() == id
    }
}

impl SecretKey {
    /// A shared secret.
    ///
    /// # Errors
    /// `Empty`.
    pub fn from_secret(secret: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        if secret.is_empty() { Err(KeyError::Empty) } else { Ok(Self::Shared(secret)) }
    }

    /// A public key, in whichever form a provider shows it.
    ///
    /// # Errors
    /// `NotAPublicKey`, `PrivateKey`.
    pub fn from_public(written: &[u8], algorithm: SignatureAlgorithm) -> Result<Self, KeyError> {
        let parameters: &'static dyn VerificationAlgorithm = match algorithm {
            SignatureAlgorithm::Ed25519 => &ED25519,
            SignatureAlgorithm::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            SignatureAlgorithm::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
            SignatureAlgorithm::Hmac(_) | SignatureAlgorithm::Sha256 => return Err(KeyError::NotAPublicKey),
        };
        let key = public_key_bytes(written)?;
        // The bare key, or the end of its SubjectPublicKeyInfo.
        let bare = key.get(key.len().saturating_sub(32)..).unwrap_or_default();
        if algorithm == SignatureAlgorithm::Ed25519 && is_small_order(bare) {
            return Err(KeyError::NotAPublicKey);
        }
        ParsedPublicKey::new(parameters, &key).map(Self::Public).map_err(|_| KeyError::NotAPublicKey)
    }

    /// The shared secret, if it is one.
    pub fn shared(&self) -> Option<&[u8]> {
        match self {
            Self::Shared(secret) => Some(secret),
            Self::Public(_) => None,
        }
    }

    /// Whether `signature` was made with this key over the pieces of `text`, one after the other.
    pub(super) fn verifies(&self, algorithm: SignatureAlgorithm, text: &[Cow<'_, [u8]>], signature: &[u8]) -> bool {
        match (self, algorithm) {
            (Self::Public(key), _) => key.verify_sig(&text.concat(), signature).is_ok(),
            (Self::Shared(_), _) => self
                .mac(algorithm, text)
                .is_some_and(|ours| constant_time::verify_slices_are_equal(&ours, signature).is_ok()),
        }
    }

    /// The signature that a shared secret makes; `None` for an algorithm of public keys.
    pub fn mac(&self, algorithm: SignatureAlgorithm, text: &[Cow<'_, [u8]>]) -> Option<Vec<u8>> {
        let secret = self.shared()?;
        match algorithm {
            SignatureAlgorithm::Hmac(hash) => {
                let mut context = hmac::Context::with_key(&hmac::Key::new(hash.algorithm(), secret));
                text.iter().for_each(|piece| context.update(piece));
                Some(context.sign().as_ref().to_vec())
            }
            SignatureAlgorithm::Sha256 => {
                let mut context = digest::Context::new(&digest::SHA256);
                text.iter().for_each(|piece| context.update(piece));
                Some(context.finish().as_ref().to_vec())
            }
            SignatureAlgorithm::Ed25519 | SignatureAlgorithm::EcdsaP256 | SignatureAlgorithm::RsaSha256 => None,
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

/// PEM, or the bytes in base64 or hex, with or without Standard Webhooks' `whpk_`; else they stand for themselves.
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
    let decoded = decode_hex(bare).or_else(|| STANDARD.decode(bare).ok()).or_else(|| URL_SAFE_NO_PAD.decode(bare).ok());
    Ok(decoded.unwrap_or_else(|| written.to_vec()))
}
