//! Key sets: JWK → (kid, ONE algorithm, public key), and the handle behind which fetched keys live.
//!
//! Keys are judged once, when they are loaded: a weak, private, foreign or off-curve key is skipped and the
//! others serve, parsed once. Libraries verify; which key may verify what is decided here. Fetches nothing.

mod algorithm;
mod chain;
mod jwk;
mod remote;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::Refusal;
use crate::clock::UnixTime;
pub use algorithm::Algorithm;
pub use chain::{NotARoot, PinnedRoot};
pub use jwk::{SkippedKey, Unusable, is_small_order};
pub use remote::{Fetched, RemoteKeys, RemoteSource};

/// Keys in one set; the largest public ones have a dozen.
const MAX_KEYS: usize = 100;

/// One verification key; its algorithm is fixed when it is loaded (RFC 8725 §3.1).
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    algorithm: Algorithm,
    /// Bytes of a signature, where the algorithm or the modulus fixes them.
    signature_length: usize,
    verifier: Verifier,
    /// Its place among several shared secrets.
    secret: Option<usize>,
}

/// What verifies a key's signatures.
#[derive(Clone)]
enum Verifier {
    /// A shared secret.
    Shared(DecodingKey),
    /// A public key, by the cryptography beneath jsonwebtoken: that would parse it for each token, a fifth of the time
    /// that RS256 takes, and has no ES512.
    Public(ParsedPublicKey),
}

/// How a token's `kid` finds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyId {
    /// By this name.
    Named(String),
    /// A member of a set without a name: only for tokens without one.
    Unnamed,
    /// A key that was configured for the issuer: whatever the token calls it.
    Pinned,
}

impl fmt::Debug for Key {
    /// Without the key: a shared secret is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why there is no key set at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with a list `keys` (RFC 7517 §5).
    #[error("not a JSON Web Key Set: expected an object with a list `keys`")]
    NotAKeySet,
    /// More than we keep.
    #[error("more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// RFC 7518 §3.2: a secret shorter than the hash can be guessed.
    #[error("the secret is too short: this algorithm needs {0} bytes or more")]
    ShortSecret(usize),
    /// An algorithm of public keys.
    #[error("this algorithm has public keys, not a shared secret")]
    NotASharedSecret,
    /// The PEM holds a private key, which has no place at a verifier.
    #[error("a private key; write the public key's file instead")]
    PrivateKey,
    /// The PEM holds no public key that fits, or more than one key.
    #[error("expected one public key in PEM form (`BEGIN PUBLIC KEY`) for this algorithm")]
    NotAPublicKey,
    /// The one key cannot be used.
    #[error("the key cannot be used: {0}")]
    Unusable(#[from] Unusable),
}

/// The algorithm of this name, if it is supported.
pub fn algorithm_named(name: &str) -> Option<Algorithm> {
    Algorithm::named(name)
}

/// A shared-secret algorithm (HS256, HS384, HS512).
pub fn is_hmac(algorithm: Algorithm) -> bool {
    algorithm.mac_length().is_some()
}

impl KeySet {
    /// Reads a JWK Set. Of a key without `alg`, the first of `allowed` that fits it becomes its algorithm.
    ///
    /// # Errors
    /// Where it is no set; a key that cannot be used is skipped and told.
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

    /// A shared secret, whatever `kid` its tokens name.
    ///
    /// # Errors
    /// `ShortSecret`, which an empty one is too; `NotASharedSecret` for an algorithm of public keys.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeySetError> {
        Self::from_secrets(&[(secret, algorithm)])
    }

    /// Shared secrets of which any may have signed, as while one takes another's place.
    ///
    /// # Errors
    /// As with one; `TooManyKeys`.
    pub fn from_secrets(secrets: &[(&[u8], Algorithm)]) -> Result<Self, KeySetError> {
        if secrets.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let keys = secrets.iter().enumerate().map(|(index, (secret, algorithm))| {
            let key = Key::shared(secret, *algorithm, index)?;
            // RFC 7518 §3.2: as long as the hash at least.
            if secret.len() < key.signature_length {
                Err(KeySetError::ShortSecret(key.signature_length))
            } else {
                Ok(key)
            }
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Adds a shared secret that was chosen by a provider, so that its length is not ours to judge.
    ///
    /// # Errors
    /// `ShortSecret` for an empty one; `NotASharedSecret`.
    pub fn add_secret(&mut self, secret: &[u8], algorithm: Algorithm, index: usize) -> Result<(), KeySetError> {
        if secret.is_empty() {
            return Err(KeySetError::ShortSecret(1));
        }
        self.keys.push(Key::shared(secret, algorithm, index)?);
        Ok(())
    }

    /// One public key in PEM form, whatever `kid` its tokens name.
    ///
    /// # Errors
    /// Where it is none, or one that we would skip in a set.
    pub fn from_pem(pem: &[u8], algorithm: Algorithm) -> Result<Self, KeySetError> {
        Ok(Self { keys: vec![jwk::from_pem(pem, algorithm)?] })
    }

    /// One public key as DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_spki(der: &[u8], algorithm: Algorithm) -> Result<Self, KeySetError> {
        let lines = STANDARD.encode(der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
        Self::from_pem(pem.as_bytes(), algorithm)
    }

    /// The first shared secret of this algorithm, to sign with it for development.
    pub fn shared_secret(&self, algorithm: Algorithm) -> Option<&[u8]> {
        let key = self.keys.iter().find(|key| key.secret.is_some() && key.algorithm == algorithm)?;
        if let Verifier::Shared(secret) = &key.verifier { secret.try_get_as_bytes().ok() } else { None }
    }

    /// Takes over the keys of another set, as while one takes another's place.
    pub fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// How many keys serve.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key in this place.
    pub fn get(&self, place: usize) -> Option<&Key> {
        self.keys.get(place)
    }

    /// The keys that may have signed a token, each with its place. Never none: the one that its `kid`
    /// names, or without one the only key that fits its algorithm; of pinned keys, all that fit.
    ///
    /// # Errors
    /// `UnknownKey`; `UnsupportedAlgorithm` where the named key is for another algorithm than the token's.
    pub fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Vec<(usize, &Key)>, Refusal> {
        let mut answering = self.keys.iter().enumerate().filter(|(_, key)| key.id.answers_to(kid)).peekable();
        if answering.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let fitting: Vec<_> = answering.filter(|(_, key)| key.algorithm == algorithm).collect();
        // Of keys that somebody else may add to, two are no choice: their owner says which by `kid`.
        let pinned = fitting.iter().all(|(_, key)| key.id == KeyId::Pinned);
        match (fitting.len(), kid) {
            (0, Some(_)) => Err(Refusal::UnsupportedAlgorithm),
            (0, None) => Err(Refusal::UnknownKey),
            (count, _) if count == 1 || pinned => Ok(fitting),
            (_several, _) => Err(Refusal::UnknownKey),
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

    /// Which of the secrets it is, if it is one.
    pub fn secret(&self) -> Option<usize> {
        self.secret
    }

    /// Its `kid`, where it has one.
    pub fn name(&self) -> Option<&str> {
        match &self.id {
            KeyId::Named(name) => Some(name),
            KeyId::Unnamed | KeyId::Pinned => None,
        }
    }

    /// Verifies the raw bytes of a signature over `message`.
    ///
    /// # Errors
    /// `InvalidSignature`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        // Exactly so long: no DER for fixed width, no padded halves. And neither half zero (CVE-2022-21449).
        if signature.len() != self.signature_length || !self.halves_are_sane(signature) {
            return Err(Refusal::InvalidSignature);
        }
        match &self.verifier {
            Verifier::Shared(secret) => self.verify_mac(secret, message, signature),
            Verifier::Public(key) => key.verify_sig(message, signature).map_err(|_| Refusal::InvalidSignature),
        }
    }

    fn verify_mac(&self, secret: &DecodingKey, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let algorithm = self.algorithm.in_library().ok_or(Refusal::InvalidSignature)?;
        let written = URL_SAFE_NO_PAD.encode(signature);
        match jsonwebtoken::crypto::verify(&written, message, secret, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::InvalidSignature),
        }
    }

    fn halves_are_sane(&self, signature: &[u8]) -> bool {
        if self.algorithm.family() != AlgorithmFamily::Ec {
            return true;
        }
        let (r, s) = signature.split_at(signature.len() / 2);
        r.iter().any(|byte| *byte != 0) && s.iter().any(|byte| *byte != 0)
    }
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Read with the configuration: inline, a file, a PEM public key or a shared secret.
    Fixed(Arc<KeySet>),
    /// Fetched; outlives a reload.
    Remote(Arc<RemoteKeys>),
    /// The token's own, if they lead to this root.
    Chain(Arc<PinnedRoot>),
}

impl Keys {
    /// The keys in force; `None` while there are none, or none that is fresh enough.
    pub fn current(&self, now: UnixTime) -> Option<Arc<KeySet>> {
        match self {
            Self::Fixed(keys) => Some(Arc::clone(keys)),
            Self::Remote(remote) => remote.current(now).map(|fetched| Arc::clone(&fetched.keys)),
            Self::Chain(_) => None,
        }
    }

    /// The handle, where a fetch could help.
    pub fn remote(&self) -> Option<Arc<RemoteKeys>> {
        match self {
            Self::Fixed(_) | Self::Chain(_) => None,
            Self::Remote(remote) => Some(Arc::clone(remote)),
        }
    }
}

#[cfg(test)]
mod tests;
