//! The sender's key with its key ID and certificate chain, and the values that a signed request needs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

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
            format!("cannot read {} (`hookgate dev-certs` creates one; --key names another)", self.key.display())
        })
    }
}

/// The key ID of `certs/issuer.key` from its JWK Set, `certs/issuer.jwks.json`.
pub(in crate::cli) fn kid_beside(key: &Path) -> Option<String> {
    let set: Value = serde_json::from_slice(&std::fs::read(key.with_extension("jwks.json")).ok()?).ok()?;
    set.pointer("/keys/0/kid")?.as_str().map(str::to_owned)
}
