//! Parsing and validation of one key: a JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2) or a public key in PEM form.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::algorithm::Algorithm;
use super::error::{KeySetError, Unusable};
use super::key::{Key, KeyId, Verifier};
use crate::auth::sender::KeyDigest;

/// Members of private and shared keys, which must stay secret (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE_MEMBERS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Accepted sizes of an RSA modulus in bits: a smaller one can be factored, a larger one can be used for denial of
/// service.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// base64url as issuers publish it: padding and unused bits are ignored, as Go, Python and Node ignore them. A key is
/// compared by its numbers, never by its text, so that it may have several spellings, unlike a token.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The values of `use` for verifying tokens: that of RFC 7517 §4.2, and that of a SPIFFE bundle (SPIFFE Trust Domain and
/// Bundle §4.2.2).
const FOR_SIGNATURES: &[&str] = &["sig", "jwt-svid"];

/// A key's `kid` for messages, truncated to 64 characters.
pub(super) fn kid(member: &Value) -> Option<String> {
    member.get("kid")?.as_str().map(|kid| kid.chars().take(64).collect())
}

/// Parses and validates one element of `keys`.
pub(super) fn read(member: &Value, allowed: &[Algorithm]) -> Result<Key, Unusable> {
    let jwk = member.as_object().ok_or(Unusable::NotAnObject)?;
    if PRIVATE_MEMBERS.iter().any(|name| present(jwk, name).is_some()) {
        return Err(Unusable::Private);
    }
    for_verifying(jwk)?;
    let material = Material::read(jwk)?;
    let algorithm = material.algorithm(text(jwk, "alg")?, allowed)?;
    let id = text(jwk, "kid")?.map_or(KeyId::Unnamed, |kid| KeyId::Named(kid.to_owned()));
    let issuer = present(jwk, "issuer").and_then(Value::as_str).map(Into::into);
    Ok(Key { issuer, ..material.key(id, algorithm)? })
}

/// Checks that `use` and `key_ops` permit verifying signatures (RFC 7517 §4.2, §4.3).
fn for_verifying(jwk: &Map<String, Value>) -> Result<(), Unusable> {
    if text(jwk, "use")?.is_some_and(|purpose| !FOR_SIGNATURES.contains(&purpose)) {
        return Err(Unusable::NotForVerifying);
    }
    match present(jwk, "key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(Unusable::NotForVerifying),
        Some(_) => Err(Unusable::Malformed("key_ops")),
    }
}

/// A member with a value; serializers write `null` for an absent one.
fn present<'j>(jwk: &'j Map<String, Value>, name: &str) -> Option<&'j Value> {
    jwk.get(name).filter(|value| !value.is_null())
}

/// An optional member that must be a string.
fn text<'j>(jwk: &'j Map<String, Value>, name: &'static str) -> Result<Option<&'j str>, Unusable> {
    present(jwk, name).map(|value| value.as_str().ok_or(Unusable::Malformed(name))).transpose()
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, Unusable> {
    let written = text(jwk, name)?.ok_or(Unusable::Malformed(name))?;
    LENIENT.decode(written).map_err(|_| Unusable::Malformed(name))
}

/// The number without leading zero bytes, which Java's `BigInteger` writes before a number whose first bit is set.
fn number(mut bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.split_off(zeros)
}

/// The number in exactly `length` bytes; `None` if it is larger.
fn fixed(bytes: Vec<u8>, length: usize) -> Option<Vec<u8>> {
    let number = number(bytes);
    let zeros = length.checked_sub(number.len())?;
    Some([vec![0; zeros], number].concat())
}

/// A validated public key.
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec { curve: &'static Curve, key: ParsedPublicKey },
    Ed25519(ParsedPublicKey),
}

/// A curve for ECDSA.
struct Curve {
    /// The value of `crv` (RFC 7518 §6.2.1.1).
    name: &'static str,
    algorithm: Algorithm,
    /// Length of a coordinate in bytes.
    coordinate: usize,
    verification: &'static dyn VerificationAlgorithm,
}

static CURVES: [Curve; 3] = [
    Curve { name: "P-256", algorithm: Algorithm::ES256, coordinate: 32, verification: &ECDSA_P256_SHA256_FIXED },
    Curve { name: "P-384", algorithm: Algorithm::ES384, coordinate: 48, verification: &ECDSA_P384_SHA384_FIXED },
    // 521 bits.
    Curve { name: "P-521", algorithm: Algorithm::ES512, coordinate: 66, verification: &ECDSA_P521_SHA512_FIXED },
];

impl Material {
    fn read(jwk: &Map<String, Value>) -> Result<Self, Unusable> {
        match (text(jwk, "kty")?.ok_or(Unusable::Malformed("kty"))?, text(jwk, "crv")?) {
            ("RSA", _) => Self::rsa(bytes(jwk, "n")?, bytes(jwk, "e")?),
            ("EC", Some(name)) => {
                let curve = CURVES.iter().find(|curve| curve.name == name).ok_or(Unusable::UnsupportedType)?;
                Self::ec(curve, bytes(jwk, "x")?, bytes(jwk, "y")?)
            }
            ("OKP", Some("Ed25519")) => Self::ed25519(&bytes(jwk, "x")?),
            ("oct", _) => Err(Unusable::Private),
            (_, _) => Err(Unusable::UnsupportedType),
        }
    }

    fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, Unusable> {
        let (n, e) = (number(n), number(e));
        let leading = n.first().map_or(0, |first| first.leading_zeros());
        let bits = n.len() * 8 - usize::try_from(leading).unwrap_or(0);
        // Odd, at least 3, at most 5 bytes (the library's limit). With exponent 1, any value is a valid signature.
        let odd = e.last().is_some_and(|last| last % 2 == 1);
        let sane_exponent = odd && e.as_slice() != [1] && e.len() <= 5;
        // An even modulus has the factor 2.
        let even = n.last().is_some_and(|last| last % 2 == 0);
        if even || !RSA_BITS.contains(&bits) || !sane_exponent {
            return Err(Unusable::WeakRsa);
        }
        Ok(Self::Rsa { n, e })
    }

    /// RFC 7518 §6.2.1.2 requires the full size of a coordinate; some issuers write it without its leading zeros, or
    /// with one more.
    fn ec(curve: &'static Curve, x: Vec<u8>, y: Vec<u8>) -> Result<Self, Unusable> {
        let x = fixed(x, curve.coordinate).ok_or(Unusable::Malformed("x"))?;
        let y = fixed(y, curve.coordinate).ok_or(Unusable::Malformed("y"))?;
        Ok(Self::Ec { curve, key: parse(curve.verification, &[&[4], x.as_slice(), &y].concat())? })
    }

    fn ed25519(x: &[u8]) -> Result<Self, Unusable> {
        if x.len() != 32 {
            return Err(Unusable::Malformed("x"));
        }
        if is_small_order(x) {
            return Err(Unusable::Invalid);
        }
        parse(&ED25519, x).map(Self::Ed25519)
    }

    /// The key's only algorithm: its `alg`, or else the first of `allowed` that fits its type.
    fn algorithm(&self, says: Option<&str>, allowed: &[Algorithm]) -> Result<Algorithm, Unusable> {
        let fits = |algorithm: &Algorithm| match self {
            Self::Rsa { .. } => algorithm.family() == AlgorithmFamily::Rsa,
            Self::Ec { curve, .. } => *algorithm == curve.algorithm,
            Self::Ed25519(_) => *algorithm == Algorithm::EdDSA,
        };
        let Some(name) = says else {
            let kind = match self {
                Self::Rsa { .. } => "RSA (RS256 and others)",
                Self::Ec { curve, .. } => curve.algorithm.name(),
                Self::Ed25519(_) => Algorithm::EdDSA.name(),
            };
            return allowed.iter().copied().find(fits).ok_or(Unusable::NotAllowed(kind));
        };
        let named = Algorithm::named(name).filter(fits).ok_or(Unusable::Algorithm)?;
        if allowed.contains(&named) { Ok(named) } else { Err(Unusable::NotAllowed(named.name())) }
    }

    fn key(self, id: KeyId, algorithm: Algorithm) -> Result<Key, Unusable> {
        let (key, signature_length) = match self {
            Self::Rsa { n, e } => {
                let padding = algorithm.rsa().ok_or(Unusable::Algorithm)?;
                let key = RsaPublicKeyComponents { n: &n, e: &e }.to_parsed_public_key(padding);
                (key.map_err(|_| Unusable::Invalid)?, n.len())
            }
            Self::Ec { curve, key } => (key, 2 * curve.coordinate),
            Self::Ed25519(key) => (key, 64),
        };
        let digest = KeyDigest::of(key.as_ref());
        let verifier = Verifier::Public(key);
        Ok(Key { id, algorithm, signature_length, verifier, secret: None, sender: None, issuer: None, digest })
    }
}

/// The points of order 1, 2, 4 and 8 in every encoding, without the sign bit: any client can forge signatures under
/// such a key. The table is that of libsodium's `ge25519_has_small_order`; RFC 8032 §8.9 describes the cofactor.
const SMALL_ORDER: &[&str] = &[
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// Whether an Ed25519 key has small order, so that any client can forge signatures under it.
pub fn is_small_order(key: &[u8]) -> bool {
    let Some((last, rest)) = key.split_last() else { return true };
    let bare: Vec<u8> = rest.iter().copied().chain([last & 0x7f]).collect();
    SMALL_ORDER.contains(&hex::encode(bare).as_str())
}

fn parse(algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> Result<ParsedPublicKey, Unusable> {
    ParsedPublicKey::new(algorithm, key).map_err(|_| Unusable::Invalid)
}

/// Parses and validates one public key in PEM form.
pub(super) fn from_pem(pem: &[u8], algorithm: Algorithm) -> Result<Key, KeySetError> {
    sole_public_key(&String::from_utf8_lossy(pem))?;
    let content = |key: jsonwebtoken::errors::Result<DecodingKey>| {
        let key = key.map_err(|_| KeySetError::NotAPublicKey)?;
        key.try_get_as_bytes().map(<[u8]>::to_vec).map_err(|_| KeySetError::NotAPublicKey)
    };
    let material = match algorithm.family() {
        AlgorithmFamily::Rsa => rsa_from_pkcs1(&content(DecodingKey::from_rsa_pem(pem))?)?,
        AlgorithmFamily::Ec => ec_from_point(&content(DecodingKey::from_ec_pem(pem))?, algorithm)?,
        AlgorithmFamily::Ed => Material::ed25519(&content(DecodingKey::from_ed_pem(pem))?)?,
        AlgorithmFamily::Hmac => return Err(KeySetError::NotAPublicKey),
    };
    Ok(material.key(KeyId::Pinned, algorithm)?)
}

/// Checks that the PEM holds exactly one public key. The library reads only the first block, and accepts certificates
/// without checking their validity.
fn sole_public_key(text: &str) -> Result<(), KeySetError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(KeySetError::PrivateKey);
    }
    let mut labels = text.split("-----BEGIN ").skip(1);
    match (labels.next(), labels.next()) {
        (Some(block), None) if block.starts_with("PUBLIC KEY-----") || block.starts_with("RSA PUBLIC KEY-----") => {
            Ok(())
        }
        (Some(_) | None, _) => Err(KeySetError::NotAPublicKey),
    }
}

/// Parses an uncompressed point: the byte 4, then both coordinates (SEC 1 §2.3.3).
fn ec_from_point(point: &[u8], algorithm: Algorithm) -> Result<Material, KeySetError> {
    let curve = CURVES.iter().find(|curve| curve.algorithm == algorithm).ok_or(KeySetError::NotAPublicKey)?;
    let both = point.strip_prefix(&[4]).filter(|both| both.len() == 2 * curve.coordinate);
    let (x, y) = both.ok_or(KeySetError::NotAPublicKey)?.split_at(curve.coordinate);
    Ok(Material::ec(curve, x.to_vec(), y.to_vec())?)
}

/// Parses PKCS#1: a sequence of modulus and exponent (RFC 8017 §A.1.1). The library parses the key as well, but does
/// not return the numbers that are validated here.
fn rsa_from_pkcs1(der: &[u8]) -> Result<Material, KeySetError> {
    parse(&RSA_PKCS1_2048_8192_SHA256, der).map_err(|_| Unusable::WeakRsa)?;
    let (_, key) = RSAPublicKey::from_der(der).map_err(|_| KeySetError::NotAPublicKey)?;
    Ok(Material::rsa(key.modulus.to_vec(), key.exponent.to_vec())?)
}
