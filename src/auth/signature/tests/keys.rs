//! Secrets and public keys under each algorithm.

use aws_lc_rs::rand::SystemRandom;

use super::*;

const ALL: &[SignatureAlgorithm] = &[
    SignatureAlgorithm::Hmac(Hash::Sha1),
    SignatureAlgorithm::Hmac(Hash::Sha256),
    SignatureAlgorithm::Hmac(Hash::Sha384),
    SignatureAlgorithm::Hmac(Hash::Sha512),
    SignatureAlgorithm::Sha256,
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::EcdsaP256,
    SignatureAlgorithm::RsaSha256,
    SignatureAlgorithm::RsaSha512,
    SignatureAlgorithm::RsaSha1,
];

fn verifies(key: &SecretKey, algorithm: SignatureAlgorithm, text: &str, signature: &[u8]) -> bool {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    key.verifies_any(algorithm, &[Cow::Borrowed(first), Cow::Borrowed(second)], &[signature.to_vec()])
}

#[test]
fn each_hash_makes_a_mac_of_its_own() {
    let key = secret(0, None, SECRET).key;
    let macs: Vec<_> = ALL.iter().map(|algorithm| key.mac(*algorithm, &[Cow::Borrowed(b"text")])).collect();
    let lengths: Vec<Option<usize>> = macs.iter().map(|mac| mac.as_ref().map(Vec::len)).collect();
    assert_eq!(lengths, [Some(20), Some(32), Some(48), Some(64), Some(32), None, None, None, None, None]);
    for (made_with, mac) in ALL.iter().zip(macs).filter_map(|(algorithm, mac)| Some((algorithm, mac?))) {
        for algorithm in ALL {
            assert_eq!(verifies(&key, *algorithm, "text", &mac), algorithm == made_with, "{algorithm:?}");
        }
        assert!(!verifies(&key, *made_with, "text", &mac[1..]) && !verifies(&key, *made_with, "texT", &mac));
    }
}

#[test]
fn an_empty_secret_is_no_secret() {
    assert_eq!(SecretKey::from_secret(Zeroizing::new(Vec::new())).unwrap_err(), KeyError::Empty);
}

/// A public key as DER `SubjectPublicKeyInfo`, its algorithm, and a function that signs with the private key.
pub(super) type Signs = (Vec<u8>, SignatureAlgorithm, Box<dyn Fn(&[u8]) -> Vec<u8>>);

pub(super) fn signers() -> Vec<Signs> {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let spki = |key: &dyn Fn() -> Vec<u8>| key();
    let ed25519_spki = spki(&|| aws_lc_rs::encoding::AsDer::as_der(ed25519.public_key()).unwrap().as_ref().to_vec());
    let p256_spki = spki(&|| aws_lc_rs::encoding::AsDer::as_der(p256.public_key()).unwrap().as_ref().to_vec());
    let rsa = |text: &[u8]| RSA.sign(crate::auth::keys::Algorithm::RS256, text);
    let rsa512 = |text: &[u8]| RSA.sign(crate::auth::keys::Algorithm::RS512, text);
    vec![
        (ed25519_spki, SignatureAlgorithm::Ed25519, Box::new(move |text| ed25519.sign(text).as_ref().to_vec())),
        (
            p256_spki,
            SignatureAlgorithm::EcdsaP256,
            Box::new(move |text| p256.sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec()),
        ),
        (RSA.spki(), SignatureAlgorithm::RsaSha256, Box::new(rsa)),
        (RSA.spki(), SignatureAlgorithm::RsaSha512, Box::new(rsa512)),
    ]
}

/// A public key has one algorithm, and its bytes are not a shared secret.
#[test]
fn a_public_key_verifies_its_own_signatures_and_no_macs() {
    for (spki, algorithm, sign) in signers() {
        let key = SecretKey::from_public(pem("PUBLIC KEY", &spki).as_bytes(), algorithm).unwrap();
        let good = sign(b"text");
        assert!(verifies(&key, algorithm, "text", &good), "{algorithm:?}");
        assert!(!verifies(&key, algorithm, "texT", &good) && !verifies(&key, algorithm, "text", &good[1..]));
        assert!(key.shared().is_none() && key.mac(algorithm, &[Cow::Borrowed(b"text")]).is_none());
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            let forged = secret(0, None, &spki).key.mac(SignatureAlgorithm::Hmac(hash), &[Cow::Borrowed(b"text")]);
            assert!(!verifies(&key, SignatureAlgorithm::Hmac(hash), "text", &forged.unwrap()));
        }
        let is_rsa = |algorithm| {
            use SignatureAlgorithm::{RsaSha1, RsaSha256, RsaSha512};
            matches!(algorithm, RsaSha1 | RsaSha256 | RsaSha512)
        };
        for other in ALL.iter().filter(|other| **other != algorithm) {
            if is_rsa(*other) && is_rsa(algorithm) {
                let key = SecretKey::from_public(pem("PUBLIC KEY", &spki).as_bytes(), *other).unwrap();
                assert!(!verifies(&key, *other, "text", &good), "{other:?}");
                continue;
            }
            assert!(SecretKey::from_public(pem("PUBLIC KEY", &spki).as_bytes(), *other).is_err(), "{other:?}");
        }
    }
}

#[test]
fn a_public_key_is_read_in_each_form_that_providers_publish() {
    let raw = match &*ED25519 {
        Signer::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        _ => panic!("not Ed25519"),
    };
    let (base64, hex) = (STANDARD.encode(&raw), Encoding::Hex.encode(&raw));
    let spki = ED25519.spki();
    let forms = [
        pem("PUBLIC KEY", &spki).into_bytes(),
        format!("\n {} \n", pem("PUBLIC KEY", &spki)).into_bytes(),
        spki.clone(),
        STANDARD.encode(&spki).into_bytes(),
        raw,
        base64.clone().into_bytes(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        format!("whpk_{base64}\n").into_bytes(),
    ];
    let good = ED25519.sign(crate::auth::keys::Algorithm::EdDSA, b"text");
    for form in forms {
        let key = SecretKey::from_public(&form, SignatureAlgorithm::Ed25519);
        let told = String::from_utf8_lossy(&form).into_owned();
        assert!(verifies(&key.unwrap_or_else(|_| panic!("{told}")), SignatureAlgorithm::Ed25519, "text", &good));
    }
}

#[test]
fn other_values_are_rejected_as_public_keys() {
    let read = |bytes: &[u8], algorithm| SecretKey::from_public(bytes, algorithm).unwrap_err();
    // Any client can forge signatures under the neutral element.
    let neutral = format!("01{}", "00".repeat(31));
    assert_eq!(read(neutral.as_bytes(), SignatureAlgorithm::Ed25519), KeyError::NotAPublicKey);
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let text = pem(label, &ED25519.pkcs8());
        assert_eq!(read(text.as_bytes(), SignatureAlgorithm::Ed25519), KeyError::PrivateKey, "{label}");
    }
    for text in ["", "whpk_", "AAAA", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(read(text.as_bytes(), SignatureAlgorithm::Ed25519), KeyError::NotAPublicKey, "{text}");
    }
}
