//! Keys and tokens for the unit tests, generated when a test runs and never stored. They are signed directly with
//! aws-lc-rs, so that the code under test does not also sign, and from header and payload as text, so that a token that
//! no library would write can be signed too. Not part of the program.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, HeaderName};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use zeroize::Zeroizing;

use super::encoding::Encoding;
use super::issuer::Issuer;
use super::jwt::binding::Bindings;
use super::jwt::{Audience, DEFAULT_TYPES, JwtPolicy};
use super::keys::{Algorithm, KeySet, Keys};
use super::locator::{Locator, Scheme};
use super::secret::{Secret, SecretKey, SignatureAlgorithm};
use super::signature::{Component, Parse, SignaturePolicy, SignedTime};
use super::time::TimestampUnit;
use crate::clock::UnixTime;

/// The current time in all tests, in Unix seconds.
pub(super) const NOW: u64 = 1_800_000_000;

/// The issuer (`iss`) in the tests.
pub(super) const ISSUER: &str = "https://auth.example.com/";

/// The audience (`aud`) in the tests.
pub(super) const AUDIENCE: &str = "https://api.example.com/webhook";

pub(super) fn now() -> UnixTime {
    UnixTime::from_seconds(NOW).unwrap()
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key or a secret that signs tokens.
pub(super) enum Signer {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    P521(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<u8>),
}

/// One RSA key for all tests: generating one takes a tenth of a second.
pub(super) static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);
pub(super) static P256: LazyLock<Signer> = LazyLock::new(Signer::p256);
pub(super) static ED25519: LazyLock<Signer> = LazyLock::new(Signer::ed25519);

impl Signer {
    pub(super) fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(super) fn p521() -> Self {
        Self::P521(EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap())
    }

    pub(super) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => sign_rsa(pair, algorithm, message),
            Self::P256(pair) | Self::P384(pair) | Self::P521(pair) => {
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Secret(secret) => hmac(secret, algorithm, message),
        }
    }

    /// A token with this header and payload and a correct signature, even if header or payload is invalid.
    pub(super) fn token(&self, algorithm: Algorithm, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", b64(signature))
    }

    /// The public key as a JWK, without `kid` or `alg`.
    pub(super) fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": b64(n), "e": b64(e)})
            }
            Self::P256(pair) => ec_jwk("P-256", pair.public_key().as_ref()),
            Self::P384(pair) => ec_jwk("P-384", pair.public_key().as_ref()),
            Self::P521(pair) => ec_jwk("P-521", pair.public_key().as_ref()),
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())}),
            Self::Secret(secret) => json!({"kty": "oct", "k": b64(secret)}),
        }
    }

    /// The public key as DER `SubjectPublicKeyInfo`.
    pub(super) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::P256(pair) | Self::P384(pair) | Self::P521(pair) => {
                pair.public_key().as_der().unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Secret(_) => Vec::new(),
        }
    }

    /// The private key as DER, PKCS #8.
    pub(super) fn pkcs8(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.as_der().unwrap().as_ref().to_vec(),
            Self::P256(pair) | Self::P384(pair) | Self::P521(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Secret(_) => Vec::new(),
        }
    }
}

fn sign_rsa(pair: &RsaKeyPair, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// HMAC, also with a secret that hookgate would not load.
pub(super) fn hmac(secret: &[u8], algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let hash = match algorithm {
        Algorithm::HS384 => aws_lc_rs::hmac::HMAC_SHA384,
        Algorithm::HS512 => aws_lc_rs::hmac::HMAC_SHA512,
        _ => aws_lc_rs::hmac::HMAC_SHA256,
    };
    aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(hash, secret), message).as_ref().to_vec()
}

fn ec_jwk(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
}

/// Modulus and exponent, without the zero that DER puts before them.
fn rsa_numbers(pkcs1: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (_, key) = RSAPublicKey::from_der(pkcs1).unwrap();
    let bare = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
    (bare(key.modulus), bare(key.exponent))
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// `value` with the members of `changes`; a null removes a member.
pub(super) fn with(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        let members = value.as_object_mut().unwrap();
        members.remove(name);
        if !change.is_null() {
            members.insert(name.clone(), change.clone());
        }
    }
    value
}

/// Claims that satisfy every rule of the tests' policy.
pub(super) fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "acme", "jti": "1", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 60})
}

/// The JWT policy of most tests: this audience, the registered claims, the token in `Authorization: Bearer`.
pub(super) fn policy(issuers: Vec<Issuer>) -> JwtPolicy {
    JwtPolicy {
        issuers,
        audience: Audience::OneOf(vec![AUDIENCE.into()]),
        required_claims: vec!["iss".into(), "aud".into(), "exp".into()],
        claims: Vec::new(),
        allowed_types: DEFAULT_TYPES.iter().map(|typ| (*typ).to_owned()).collect(),
        max_age: None,
        max_lifetime: None,
        leeway: Duration::from_secs(30),
        token: Locator::Header { name: AUTHORIZATION, scheme: Some(Scheme::of_token("Bearer")) },
        bindings: Bindings::default(),
        time_claim: None,
        replay_id: None,
    }
}

/// The key set of these JWKs; panics if one of them is skipped.
pub(super) fn key_set(jwks: &[Value], algorithms: &[Algorithm]) -> KeySet {
    let (set, skipped) = KeySet::from_jwks(json!({ "keys": jwks }).to_string().as_bytes(), algorithms).unwrap();
    assert_eq!(skipped, []);
    set
}

pub(super) fn fixed(set: KeySet) -> Keys {
    Keys::Fixed(Arc::new(set))
}

/// A shared secret.
pub(super) fn secret() -> Secret {
    let key = SecretKey::from_secret(Zeroizing::new(b"secret".to_vec())).unwrap();
    Secret::new(0, key)
}

/// A policy for a signature that reads a header in each place where one can be.
pub(super) fn signature() -> SignaturePolicy {
    let component = |name| Component::parse(name).unwrap();
    let (max_age, max_future) = (Duration::from_secs(300), Duration::from_secs(60));
    let source = component("header:x-signed-at");
    SignaturePolicy {
        certificate: None,
        name: "signature".into(),
        places: vec![Locator::header_named(HeaderName::from_static("x-sig"))],
        parse: Parse::Raw,
        encoding: Encoding::Hex,
        algorithm: SignatureAlgorithm::Sha256,
        signed_payload: vec![component("header:x-id"), component("body")],
        join: String::new(),
        url_variants: Vec::new(),
        time: Some(SignedTime { source, unit: TimestampUnit::Seconds, max_age, max_future }),
        replay_id: None,
        key_id: Some(component("header:x-key")),
        required_headers: vec![(HeaderName::from_static("x-version"), "2".into())],
        required_parts: Vec::new(),
        required_json: None,
        body_hash: None,
        id: None,
        secrets: vec![secret()].into(),
        repeats: false,
    }
}
