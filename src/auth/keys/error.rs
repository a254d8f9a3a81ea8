//! Why a key, or a key set, cannot be loaded.

use std::fmt;

/// Maximum number of keys in one set; the largest public sets have a dozen.
pub(super) const MAX_KEYS: usize = 100;

/// Why a key set cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys` (RFC 7517 §5).
    #[error("not a JSON Web Key Set: expected an object with an array `keys`")]
    NotAKeySet,
    /// A key in PEM form.
    #[error("a key in PEM form, not a JSON Web Key Set: write `public_key: {{ file: … }}` instead of `jwks`")]
    PemInsteadOfKeySet,
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

/// A key that was skipped when its set was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Index in `keys`.
    pub index: usize,
    /// The key's `kid`, truncated to 64 characters, if it has one.
    pub kid: Option<String>,
    /// Why the key was skipped.
    pub why: Unusable,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "keys[{}] (kid {kid:?}): {}", self.index, self.why),
            None => write!(f, "keys[{}]: {}", self.index, self.why),
        }
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not an object.
    #[error("not an object")]
    NotAnObject,
    /// A member that is missing, or has the wrong type, encoding or length.
    #[error("`{0}` is missing, or has the wrong type, encoding or length")]
    Malformed(&'static str),
    /// A private or shared key in a set that any client can read.
    #[error("contains private members: any client that fetches it could sign")]
    Private,
    /// The key type or curve is not supported.
    #[error("a key type or curve that is not supported")]
    UnsupportedType,
    /// `use` or `key_ops` exclude verifying signatures.
    #[error("not for verifying signatures (use, key_ops)")]
    NotForVerifying,
    /// The issuer's algorithms do not include the one of this key.
    #[error("it is for {0}, which `algorithms` of the issuer does not list")]
    NotAllowed(&'static str),
    /// The `alg` is unknown, or not one of this key type.
    #[error("its `alg` is not one of its key type")]
    Algorithm,
    /// An RSA key of unsafe size, or with an unsafe exponent.
    #[error("an RSA key with fewer than 2048 or more than 8192 bits, an even modulus, or an unsafe exponent")]
    WeakRsa,
    /// The library rejects the key, in most cases because the point is not on the curve.
    #[error("not a valid public key")]
    Invalid,
    /// An earlier key in the set has the same `kid` and algorithm.
    #[error("duplicate kid: an earlier key has the same kid and algorithm")]
    Doubled,
}
