//! Key sets: each JWK becomes a `kid`, exactly one algorithm and a public key. Also the handle that holds fetched keys.
//!
//! Keys are validated and parsed once, when they are loaded. A weak, private, unsupported or off-curve key is skipped,
//! and the others are used. Libraries verify signatures; this module decides which key may verify which token. It
//! fetches nothing.

mod algorithm;
mod chain;
mod jwk;
mod remote;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::Reason;
use crate::clock::UnixTime;
pub use algorithm::Algorithm;
pub use chain::{NotARoot, PinnedRoot};
pub use jwk::{SkippedKey, Unusable, is_small_order};
pub use remote::{Fetched, RemoteKeys, RemoteSource};

/// Maximum number of keys in one set; the largest public sets have a dozen.
const MAX_KEYS: usize = 100;

/// One verification key; its algorithm is fixed when it is loaded (RFC 8725 §3.1).
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    algorithm: Algorithm,
    /// Length of a signature in bytes, which the algorithm or the modulus determines.
    signature_length: usize,
    verifier: Verifier,
    /// Index among the shared secrets; `None` for a public key.
    secret: Option<usize>,
}

/// The key material that verifies signatures.
#[derive(Clone)]
enum Verifier {
    /// A shared secret.
    Shared(DecodingKey),
    /// A public key, parsed by aws-lc-rs, the library under jsonwebtoken. jsonwebtoken would parse the key for each
    /// token, which takes a fifth of the time of an RS256 verification, and does not support ES512.
    Public(ParsedPublicKey),
}

/// How a token's `kid` selects a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyId {
    /// A key with this `kid`.
    Named(String),
    /// A key of a set without a `kid`: used only for tokens without `kid`.
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

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why a key set cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys` (RFC 7517 §5).
    #[error("not a JSON Web Key Set: expected an object with an array `keys`")]
    NotAKeySet,
    /// More keys than the maximum.
    #[error("more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// The secret is shorter than the hash, so that it can be guessed (RFC 7518 §3.2).
    #[error("the secret is too short: this algorithm needs {0} bytes or more")]
    ShortSecret(usize),
    /// A shared secret for an algorithm that uses public keys.
    #[error("this algorithm uses a public key, not a shared secret")]
    NotASharedSecret,
    /// The PEM holds a private key, which a verifier must not have.
    #[error("contains a private key; use the file with the public key instead")]
    PrivateKey,
    /// The PEM holds no public key for this algorithm, or more than one key.
    #[error("expected one public key in PEM form (`BEGIN PUBLIC KEY`) for this algorithm")]
    NotAPublicKey,
    /// The single key cannot be used.
    #[error("the key cannot be used: {0}")]
    Unusable(#[from] Unusable),
}

/// The supported algorithm with this name.
pub fn algorithm_named(name: &str) -> Option<Algorithm> {
    Algorithm::named(name)
}

/// Whether the algorithm uses a shared secret (HS256, HS384, HS512).
pub fn is_hmac(algorithm: Algorithm) -> bool {
    algorithm.mac_length().is_some()
}

impl KeySet {
    /// Parses a JWK Set. A key without `alg` gets the first of `allowed` that fits its type. Returns the keys, and
    /// those that were skipped because they cannot be used.
    ///
    /// # Errors
    /// `NotAKeySet`, `TooManyKeys`.
    pub fn from_jwks(bytes: &[u8], allowed: &[Algorithm]) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        let set = super::json::parse_object(bytes).map_err(|_| KeySetError::NotAKeySet)?;
        let Some(serde_json::Value::Array(members)) = set.get("keys") else { return Err(KeySetError::NotAKeySet) };
        if members.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let (mut keys, mut skipped): (Vec<Key>, Vec<SkippedKey>) = (Vec::new(), Vec::new());
        for (index, member) in members.iter().enumerate() {
            let read = jwk::read(member, allowed).and_then(|key| {
                let doubled = keys.iter().any(|other| other.id == key.id && other.algorithm == key.algorithm);
                if doubled && key.id != KeyId::Unnamed { Err(Unusable::Doubled) } else { Ok(key) }
            });
            match read {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(SkippedKey { index, kid: jwk::kid(member), why }),
            }
        }
        Ok((Self { keys }, skipped))
    }

    /// A key set of one shared secret, used for any `kid`.
    ///
    /// # Errors
    /// `ShortSecret`, also for an empty secret; `NotASharedSecret` for an algorithm that uses public keys.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeySetError> {
        Self::from_secrets(&[(secret, algorithm)])
    }

    /// A key set of several shared secrets, for example during a rotation; a token signed with any of them is valid.
    ///
    /// # Errors
    /// Those of [`Self::from_secret`]; `TooManyKeys`.
    pub fn from_secrets(secrets: &[(&[u8], Algorithm)]) -> Result<Self, KeySetError> {
        if secrets.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let keys = secrets.iter().enumerate().map(|(index, (secret, algorithm))| {
            let key = Key::shared(secret, *algorithm, index)?;
            // RFC 7518 §3.2: at least as long as the hash.
            if secret.len() < key.signature_length {
                Err(KeySetError::ShortSecret(key.signature_length))
            } else {
                Ok(key)
            }
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Adds a shared secret that a provider chose. Any length but zero is accepted, since the provider determines it.
    ///
    /// # Errors
    /// `ShortSecret` for an empty secret; `NotASharedSecret` for an algorithm that uses public keys.
    pub fn add_secret(&mut self, secret: &[u8], algorithm: Algorithm, index: usize) -> Result<(), KeySetError> {
        if secret.is_empty() {
            return Err(KeySetError::ShortSecret(1));
        }
        self.keys.push(Key::shared(secret, algorithm, index)?);
        Ok(())
    }

    /// A key set of one public key in PEM form, used for any `kid`.
    ///
    /// # Errors
    /// `PrivateKey`, `NotAPublicKey`; `Unusable` for a key that a JWK set would skip.
    pub fn from_pem(pem: &[u8], algorithm: Algorithm) -> Result<Self, KeySetError> {
        Ok(Self { keys: vec![jwk::from_pem(pem, algorithm)?] })
    }

    /// A key set of one public key as DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// Those of [`Self::from_pem`].
    pub fn from_spki(der: &[u8], algorithm: Algorithm) -> Result<Self, KeySetError> {
        let lines = STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
        Self::from_pem(pem.as_bytes(), algorithm)
    }

    /// The first shared secret for this algorithm, with which `hookgate sign` signs.
    pub fn shared_secret(&self, algorithm: Algorithm) -> Option<&[u8]> {
        let key = self.keys.iter().find(|key| key.secret.is_some() && key.algorithm == algorithm)?;
        if let Verifier::Shared(secret) = &key.verifier { secret.try_get_as_bytes().ok() } else { None }
    }

    /// Adds the keys of another set, for example during a rotation.
    pub fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key at this index.
    pub fn get(&self, place: usize) -> Option<&Key> {
        self.keys.get(place)
    }

    /// The candidate keys for a token, each with its index; never empty. That is the key with the token's `kid`, or,
    /// for a token without `kid`, the only key for its algorithm; of pinned keys, all for its algorithm.
    ///
    /// # Errors
    /// `unknown_key`; `unsupported_algorithm` if the key with this `kid` is for another algorithm than the token's.
    pub fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Vec<(usize, &Key)>, Reason> {
        let mut answering = self.keys.iter().enumerate().filter(|(_, key)| key.id.answers_to(kid)).peekable();
        if answering.peek().is_none() {
            return Err(Reason::UnknownKey);
        }
        let fitting: Vec<_> = answering.filter(|(_, key)| key.algorithm == algorithm).collect();
        // A fetched set with two candidates is ambiguous: its owner selects a key by `kid`.
        let pinned = fitting.iter().all(|(_, key)| key.id == KeyId::Pinned);
        match (fitting.len(), kid) {
            (0, Some(_)) => Err(Reason::UnsupportedAlgorithm),
            (0, None) => Err(Reason::UnknownKey),
            (count, _) if count == 1 || pinned => Ok(fitting),
            (_several, _) => Err(Reason::UnknownKey),
        }
    }
}

impl KeyId {
    fn answers_to(&self, kid: Option<&str>) -> bool {
        match (self, kid) {
            (Self::Pinned, _) | (Self::Named(_) | Self::Unnamed, None) => true,
            (Self::Named(name), Some(kid)) => name == kid,
            (Self::Unnamed, Some(_)) => false,
        }
    }
}

impl Key {
    fn shared(secret: &[u8], algorithm: Algorithm, index: usize) -> Result<Self, KeySetError> {
        let signature_length = algorithm.mac_length().ok_or(KeySetError::NotASharedSecret)?;
        let verifier = Verifier::Shared(DecodingKey::from_secret(secret));
        Ok(Self { id: KeyId::Pinned, algorithm, signature_length, verifier, secret: Some(index) })
    }

    /// Index among the shared secrets; `None` for a public key.
    pub fn secret(&self) -> Option<usize> {
        self.secret
    }

    /// The key's `kid`, if it has one.
    pub fn name(&self) -> Option<&str> {
        match &self.id {
            KeyId::Named(name) => Some(name),
            KeyId::Unnamed | KeyId::Pinned => None,
        }
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

    fn halves_are_sane(&self, signature: &[u8]) -> bool {
        if self.algorithm.family() != AlgorithmFamily::Ec {
            return true;
        }
        let (r, s) = signature.split_at(signature.len() / 2);
        r.iter().any(|byte| *byte != 0) && s.iter().any(|byte| *byte != 0)
    }
}

/// Source of an issuer's keys.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Loaded with the configuration: inline, a file, a PEM public key or a shared secret.
    Fixed(Arc<KeySet>),
    /// Fetched over HTTP; the keys survive a reload.
    Remote(Arc<RemoteKeys>),
    /// Taken from the token's certificates, if they chain to this root.
    Chain(Arc<PinnedRoot>),
}

impl Keys {
    /// The active keys; `None` if none have been fetched, or they are older than `max_stale`. Always `None` for
    /// [`Self::Chain`].
    pub fn current(&self, now: UnixTime) -> Option<Arc<KeySet>> {
        match self {
            Self::Fixed(keys) => Some(Arc::clone(keys)),
            Self::Remote(remote) => remote.current(now).map(|fetched| Arc::clone(&fetched.keys)),
            Self::Chain(_) => None,
        }
    }

    /// The handle of fetched keys; `None` for keys that are not fetched.
    pub fn remote(&self) -> Option<Arc<RemoteKeys>> {
        match self {
            Self::Fixed(_) | Self::Chain(_) => None,
            Self::Remote(remote) => Some(Arc::clone(remote)),
        }
    }
}

#[cfg(test)]
mod tests;
