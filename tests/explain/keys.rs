//! Keys of every kind, generated when a test runs.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::config::file::preset::X5cYaml;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    P256,
    P521,
    Ed25519,
}

pub struct Pair {
    kind: Kind,
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Pair {
    pub fn generate(kind: Kind) -> Self {
        let (private, public) = match kind {
            Kind::Rsa => {
                let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
                let private = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap().as_ref().to_vec();
                (private, AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap().as_ref().to_vec())
            }
            Kind::P256 => ecdsa(&EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Kind::P521 => ecdsa(&EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap()),
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let private = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
                (private, AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap().as_ref().to_vec())
            }
        };
        Self { kind, private, public }
    }

    pub fn private_pem(&self) -> String {
        pem("PRIVATE KEY", &self.private)
    }

    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public)
    }

    pub fn jwks(&self) -> String {
        let pem = self.private_pem();
        let (key, algorithm) = match self.kind {
            Kind::Rsa => (EncodingKey::from_rsa_pem(pem.as_bytes()), Algorithm::RS256),
            Kind::P256 => (EncodingKey::from_ec_pem(pem.as_bytes()), Algorithm::ES256),
            Kind::Ed25519 => (EncodingKey::from_ed_pem(pem.as_bytes()), Algorithm::EdDSA),
            Kind::P521 => panic!("the library has no P-521"),
        };
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key.unwrap(), algorithm).unwrap()).unwrap();
        jwk.as_object_mut().unwrap().remove("kid");
        serde_json::json!({ "keys": [jwk] }).to_string()
    }
}

fn ecdsa(pair: &EcdsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let private = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
    (private, AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap().as_ref().to_vec())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A root certificate, and the chain from it down to the key.
pub struct Chain {
    pub root: String,
    pub chain: String,
}

pub fn chain(pair: &Pair, extensions: &X5cYaml) -> Chain {
    let authority = |extension: Option<&String>| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.custom_extensions.extend(extension.map(|oid| marker(oid)));
        (params, rcgen::KeyPair::generate().unwrap())
    };
    let (root, root_key) = authority(None);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(root, root_key);
    let (middle, middle_key) = authority(extensions.intermediate.as_ref());
    let middle_pem = middle.signed_by(&middle_key, &root).unwrap().pem();
    let middle = Issuer::new(middle, middle_key);
    let mut leaf = CertificateParams::default();
    leaf.custom_extensions.extend(extensions.leaf.as_ref().map(|oid| marker(oid)));
    let key = rcgen::KeyPair::from_pem(&pair.private_pem()).unwrap();
    let leaf_pem = leaf.signed_by(&key, &middle).unwrap().pem();
    Chain { chain: format!("{leaf_pem}{middle_pem}{root_pem}"), root: root_pem }
}

fn marker(oid: &str) -> CustomExtension {
    let arcs: Vec<u64> = oid.split('.').map(|arc| arc.parse().unwrap()).collect();
    CustomExtension::from_oid_content(&arcs, vec![5, 0])
}
