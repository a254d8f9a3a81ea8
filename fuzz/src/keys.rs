//! Keys of a run, and their signatures. They are generated when the run begins: the author of an input cannot have
//! known them.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A shared secret of 64 characters.
pub static SECRET: LazyLock<String> = LazyLock::new(|| {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("random bytes");
    hex(&bytes)
});

/// One key of each family that tokens are signed with.
pub struct Signers {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

/// The keys of this run.
pub static SIGNERS: LazyLock<Signers> = LazyLock::new(|| Signers {
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"),
    ed: Ed25519KeyPair::generate().expect("a key"),
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"),
});

/// Name (`alg`), `iss` and, where there is one, `kid` of each signer.
pub const NAMES: [(&str, &str, Option<&str>); 4] = [
    ("ES256", "https://set.example/", Some("ec")),
    ("EdDSA", "https://set.example/", Some("ed")),
    ("RS256", "https://pem.example/", None),
    ("HS256", "https://shared.example/", None),
];

impl Signers {
    /// `issuers` of a configuration: a JWK set of two keys, a public key in a file `pem`, and a secret in a file
    /// `secret`.
    pub fn issuers(&self) -> Value {
        json!({
            "set": {"issuer": NAMES[0].1, "algorithms": ["ES256", "EdDSA"], "jwks": {"inline": self.jwks()}},
            "pem": {"issuer": NAMES[2].1, "algorithms": ["RS256"], "public_key": {"file": "pem"}},
            "shared": {"issuer": NAMES[3].1, "algorithms": ["HS256"], "secret": {"file": "secret"}},
        })
    }

    /// The JWK set of two keys.
    pub fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"keys": [
            {"kid": "ec", "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)},
            {"kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": base64url(self.ed.public_key().as_ref())},
        ]})
    }

    /// Content of the file `pem`.
    pub fn pem(&self) -> String {
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(self.rsa.public_key()).expect("a public key");
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    /// Signature of the signer at this index of [`NAMES`].
    pub fn sign(&self, signer: usize, text: &[u8]) -> Vec<u8> {
        match signer {
            0 => self.ec.sign(&SystemRandom::new(), text).expect("a signature").as_ref().to_vec(),
            1 => self.ed.sign(text).as_ref().to_vec(),
            2 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                let random = SystemRandom::new();
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).expect("a signature");
                signature
            }
            _ => mac(SECRET.as_bytes(), text),
        }
    }

    /// The public part of each key, which an attacker knows: the HMAC secret of an algorithm confusion.
    pub fn public(&self, signer: usize) -> Vec<u8> {
        match signer {
            0 => self.ec.public_key().as_ref().to_vec(),
            1 => self.ed.public_key().as_ref().to_vec(),
            2 => self.pem().into_bytes(),
            _ => Vec::new(),
        }
    }
}

/// A token of header and payload, both as they are, and a signature.
pub fn token(header: &[u8], payload: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", base64url(header), base64url(payload));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", base64url(&signature))
}

/// HMAC-SHA256.
pub fn mac(secret: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text).as_ref().to_vec()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A certificate chain as in App Store Server Notifications.
pub struct Chain {
    /// The root certificate as PEM, for the configuration.
    pub root: String,
    /// The signer's certificate, its issuer's and the root, as in `x5c`.
    pub x5c: [String; 3],
    key: EcdsaKeyPair,
}

/// The chain of this run.
pub static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let [root_key, middle_key, leaf_key] = [(); 3].map(|()| rcgen::KeyPair::generate().expect("a key"));
    let root = certificate("root", rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), &[]);
    let root_certificate = root.self_signed(&root_key).expect("a root");
    let root_issuer = rcgen::Issuer::from_params(&root, &root_key);
    let extension = [1, 2, 840, 113_635, 100, 6, 2, 1];
    let middle = certificate("middle", rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), &extension);
    let middle_certificate = middle.signed_by(&middle_key, &root_issuer).expect("a certificate");
    let leaf = certificate("leaf", rcgen::IsCa::NoCa, &[1, 2, 840, 113_635, 100, 6, 11, 1]);
    let issuer = rcgen::Issuer::from_params(&middle, &middle_key);
    let leaf_certificate = leaf.signed_by(&leaf_key, &issuer).expect("a certificate");
    let x5c = [leaf_certificate, middle_certificate, root_certificate.clone()].map(|one| base64(one.der()));
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &leaf_key.serialize_der()).expect("a key");
    Chain { root: root_certificate.pem(), x5c, key }
});

impl Chain {
    /// ES256 signature with the key of the first certificate.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.key.sign(&SystemRandom::new(), text).expect("a signature").as_ref().to_vec()
    }
}

/// Files of TLS as PEM.
pub struct TlsFiles {
    /// A server's certificate.
    pub server: String,
    /// Its private key.
    pub key: String,
    /// The root certificate of clients.
    pub clients: String,
    /// Its revocation list.
    pub list: String,
}

/// The files of this run.
pub static TLS: LazyLock<TlsFiles> = LazyLock::new(|| {
    let [root_key, key] = [(); 2].map(|()| rcgen::KeyPair::generate().expect("a key"));
    let mut root = certificate("clients", rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), &[]);
    root.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&rcgen::Issuer::from_params(&root, &root_key)).expect("a list").pem().expect("PEM");
    let server = rcgen::CertificateParams::new(["hooks.example.com".to_owned()]).expect("a name");
    let server = server.self_signed(&key).expect("a certificate").pem();
    let clients = root.self_signed(&root_key).expect("a root").pem();
    TlsFiles { server, key: key.serialize_pem(), clients, list }
});

fn certificate(name: &str, is_ca: rcgen::IsCa, extension: &[u64]) -> rcgen::CertificateParams {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = is_ca;
    if !extension.is_empty() {
        params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(extension, vec![5, 0]));
    }
    params
}
