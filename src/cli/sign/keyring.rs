//! The sender's key with its key ID and certificate chain, and the values that a signed request needs.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::Value;

use crate::auth::keys::Algorithm;

/// The sender's key with its metadata, the claims from the command line, and the time in Unix seconds.
pub(in crate::cli) struct Keyring {
    pub(in crate::cli) key: PathBuf,
    pub(in crate::cli) kid: Option<String>,
    pub(in crate::cli) chain: Option<Vec<u8>>,
    pub(in crate::cli) claims: Vec<(String, Value)>,
    pub(in crate::cli) now: u64,
}

impl Keyring {
    pub(in crate::cli) fn private_key(&self) -> anyhow::Result<Vec<u8>> {
        std::fs::read(&self.key).with_context(|| {
            format!(
                "cannot read {} (`hookgate dev-certs` creates the key of the development issuer; for another issuer, --key \
                 names the file with its private key)",
                self.key.display()
            )
        })
    }

    /// Why the file holds no key for this algorithm, and how to convert it. The library says only that it is invalid.
    pub(super) fn unusable(&self, pem: &[u8], algorithm: Algorithm, problem: &anyhow::Error) -> anyhow::Error {
        let (file, text) = (self.key.display(), String::from_utf8_lossy(pem));
        let is = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
        if is("EC PRIVATE KEY") {
            let command =
                format!("openssl pkcs8 -topk8 -nocrypt -in {file} -out {}", self.key.with_extension("pkcs8").display());
            anyhow!("{file}: an EC key in SEC 1 form (`BEGIN EC PRIVATE KEY`), not PKCS #8; convert it: {command}")
        } else if is("ENCRYPTED PRIVATE KEY") {
            let command = format!("openssl pkcs8 -in {file} -out {}", self.key.with_extension("pkcs8").display());
            anyhow!("{file}: an encrypted key; decrypt it: {command}")
        } else if is("PUBLIC KEY") || is("RSA PUBLIC KEY") || is("CERTIFICATE") {
            anyhow!(
                "{file}: a public key or a certificate; only the private key of the sender can sign: name its file with --key"
            )
        } else {
            anyhow!("{file}: no private key in PEM form for {}: {problem:#}", algorithm.name())
        }
    }
}

/// The key ID of `certs/issuer.key` from its JWK Set, `certs/issuer.jwks.json`.
pub(in crate::cli) fn kid_beside(key: &Path) -> Option<String> {
    let set: Value = serde_json::from_slice(&std::fs::read(key.with_extension("jwks.json")).ok()?).ok()?;
    set.pointer("/keys/0/kid")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_key_is_named_with_the_command_that_converts_it() {
        let keys = Keyring { key: "k.pem".into(), kid: None, chain: None, claims: Vec::new(), now: 0 };
        let told =
            |pem: &str| keys.unusable(pem.as_bytes(), Algorithm::ES256, &anyhow!("InvalidKeyFormat")).to_string();
        // `openssl ecparam -genkey` writes the curve before the key.
        let sec1 = "-----BEGIN EC PARAMETERS-----\nBg==\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n";
        assert!(
            told(sec1).ends_with("convert it: openssl pkcs8 -topk8 -nocrypt -in k.pem -out k.pkcs8"),
            "{}",
            told(sec1)
        );
        for (pem, expected) in [
            ("-----BEGIN PUBLIC KEY-----", "k.pem: a public key or a certificate; only the private key"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "decrypt it: openssl pkcs8 -in k.pem -out k.pkcs8"),
            ("{}", "k.pem: no private key in PEM form for ES256: InvalidKeyFormat"),
        ] {
            assert!(told(pem).contains(expected), "{}", told(pem));
        }
    }
}
