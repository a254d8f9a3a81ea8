//! tokens rs256|es256 KEY.pkcs8.der KID ISSUER AUDIENCE COUNT [good|bad|expired] > FILE
//!
//! Writes one JWT a line, each with a unique `jti`. `bad` flips bits in the middle of each signature.

use aws_lc_rs::{rand::SystemRandom, signature};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use std::io::{BufWriter, Write};
use std::time::{SystemTime, UNIX_EPOCH};

const LIFETIME: u64 = 10 * 365 * 86400;

enum Key {
    Rsa(signature::RsaKeyPair),
    Ecdsa(signature::EcdsaKeyPair),
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [algorithm, key, kid, issuer, audience, count, rest @ ..] = arguments.as_slice() else {
        panic!("tokens rs256|es256 KEY.pkcs8.der KID ISSUER AUDIENCE COUNT [good|bad|expired]");
    };
    let key = read_key(algorithm, key);
    let kind = rest.first().map_or("good", String::as_str);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let (issued, expires) = if kind == "expired" { (now - 7200, now - 3600) } else { (now, now + LIFETIME) };
    let header =
        BASE64URL.encode(format!(r#"{{"alg":"{}","typ":"JWT","kid":"{kid}"}}"#, algorithm.to_ascii_uppercase()));
    let mut out = BufWriter::new(std::io::stdout().lock());
    for number in 0..count.parse::<u64>().expect("a count") {
        // Claims similar to those of identity providers.
        let claims = format!(
            r#"{{"iss":"{issuer}","sub":"auth0|user-{number:08}","aud":"{audience}","iat":{issued},"nbf":{issued},"exp":{expires},"azp":"client-7f3a91","jti":"{algorithm}-{:016x}","scope":"openid profile orders:read orders:write","tenant":"acme"}}"#,
            number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        );
        let signed = format!("{header}.{}", BASE64URL.encode(claims));
        let mut signature = sign(&key, signed.as_bytes());
        if kind == "bad" {
            let middle = signature.len() / 2 + 5;
            signature[middle] ^= 0x5a;
        }
        writeln!(out, "{signed}.{}", BASE64URL.encode(signature)).expect("standard output");
    }
}

fn read_key(algorithm: &str, file: &str) -> Key {
    let der = std::fs::read(file).expect("a key file");
    match algorithm {
        "rs256" => Key::Rsa(signature::RsaKeyPair::from_pkcs8(&der).expect("an RSA key")),
        "es256" => Key::Ecdsa(
            signature::EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &der)
                .expect("a P-256 key"),
        ),
        other => panic!("unsupported algorithm: {other}"),
    }
}

fn sign(key: &Key, text: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match key {
        Key::Rsa(key) => {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&signature::RSA_PKCS1_SHA256, &random, text, &mut signature).expect("a signature");
            signature
        }
        Key::Ecdsa(key) => key.sign(&random, text).expect("a signature").as_ref().to_vec(),
    }
}
