//! The keys of one issuer: loading of a set, and the selection of the keys that may verify a token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use std::sync::Arc;

use super::algorithm::Algorithm;
use super::error::{KeySetError, MAX_KEYS, SkippedKey, Unusable};
use super::jwk;
use super::key::{Key, KeyId, Verifier};
use crate::auth::json::parse_object;
use crate::auth::quoted::quoted;
use crate::reason::Reason;

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    pub(super) keys: Vec<Key>,
}

impl KeySet {
    /// Parses a JWK Set. A key without `alg` gets the first of `allowed` that fits its type. Returns the keys, and
    /// those that were skipped because they cannot be used.
    ///
    /// # Errors
    /// `NotAKeySet`, `PemInsteadOfKeySet`, `TooManyKeys`.
    pub fn from_jwks(bytes: &[u8], allowed: &[Algorithm]) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeySetError::PemInsteadOfKeySet);
        }
        let set = parse_object(bytes).map_err(|_| KeySetError::NotAKeySet)?;
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
    pub fn add_secret(
        &mut self,
        secret: &[u8],
        algorithm: Algorithm,
        index: usize,
        sender: Option<&Arc<str>>,
    ) -> Result<(), KeySetError> {
        if secret.is_empty() {
            return Err(KeySetError::ShortSecret(1));
        }
        self.keys.push(Key { sender: sender.cloned(), ..Key::shared(secret, algorithm, index)? });
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

    /// The candidate keys for a token, each with its index; never empty. That is the key with the token's `kid`, or, if
    /// the token or the whole set is without `kid`, the only key for its algorithm; of pinned keys, all for its
    /// algorithm. A key without `kid` among others with one serves no token with `kid`, which may be that of a newer key.
    ///
    /// # Errors
    /// `unknown_key`; `unsupported_algorithm` if the key with this `kid` is for another algorithm than the token's.
    pub fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Vec<(usize, &Key)>, Reason> {
        let kid = kid.filter(|_| !self.is_without_kids());
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

    /// Why [`Self::select`] finds no key for a token: the `kid` is unknown, or it is missing on one of both sides.
    pub fn unknown_key(&self, kid: Option<&str>, algorithm: Algorithm) -> String {
        let name = algorithm.name();
        let fitting = self.keys.iter().filter(|key| key.algorithm == algorithm).count();
        match kid {
            _ if fitting == 0 => format!("no key of the issuer is for {name}"),
            None => format!("the token has no kid, and {fitting} keys of the issuer are for {name}"),
            Some(_) if self.is_without_kids() => {
                format!("the token has a kid, and none of the {fitting} keys of the issuer for {name} has one")
            }
            Some(kid) => format!("no key of the issuer has the kid {}", quoted(kid)),
        }
    }

    fn is_without_kids(&self) -> bool {
        self.keys.iter().all(|key| key.id == KeyId::Unnamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::testing::{ED25519, key_set};

    #[test]
    fn a_set_has_a_bounded_number_of_secrets() {
        let secret = (&[7; 32][..], Algorithm::HS256);
        assert_eq!(KeySet::from_secrets(&[secret; MAX_KEYS]).unwrap().len(), MAX_KEYS);
        assert!(matches!(KeySet::from_secrets(&[secret; MAX_KEYS + 1]), Err(KeySetError::TooManyKeys)));
    }

    #[test]
    fn a_provider_s_secret_may_be_short_but_not_empty() {
        let mut set = key_set(&[ED25519.jwk()], &[Algorithm::EdDSA]);
        assert!(matches!(set.add_secret(b"", Algorithm::HS256, 0, None), Err(KeySetError::ShortSecret(1))));
        assert!(matches!(set.add_secret(b"s", Algorithm::ES256, 0, None), Err(KeySetError::NotASharedSecret)));
        for (index, (secret, algorithm)) in [(b"1", Algorithm::HS512), (b"2", Algorithm::HS256)].iter().enumerate() {
            set.add_secret(*secret, *algorithm, index, None).unwrap();
        }
        assert_eq!(set.len(), 3);
        assert_eq!(set.shared_secret(Algorithm::HS256), Some(&b"2"[..]));
        assert_eq!(set.shared_secret(Algorithm::HS384), None);
        assert_eq!(set.shared_secret(Algorithm::EdDSA), None);
    }

    /// Several keys without `kid` are not duplicates of each other: none has a name that a token could mean.
    #[test]
    fn keys_without_a_kid_are_all_kept() {
        let set = key_set(&[ED25519.jwk(), ED25519.jwk()], &[Algorithm::EdDSA]);
        assert_eq!((set.len(), set.is_empty(), KeySet::default().is_empty()), (2, false, true));
        assert!(set.select(None, Algorithm::EdDSA).is_err());
    }

    /// A key of a fetched set beside a pinned one is not chosen by accident.
    #[test]
    fn of_pinned_and_fetched_keys_none_is_chosen_without_a_kid() {
        let mut set = KeySet::from_spki(&ED25519.spki(), Algorithm::EdDSA).unwrap();
        set.extend(key_set(&[ED25519.jwk()], &[Algorithm::EdDSA]));
        assert!(set.select(None, Algorithm::EdDSA).is_err());
    }
}
