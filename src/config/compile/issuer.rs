//! `issuers`: algorithms, and the source of the keys.

mod jwks;

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::compiler::Compiler;
use crate::auth::issuer::Issuer;
use crate::auth::keys::{Algorithm, KeySet, Keys};
use crate::config::error::FieldPath;
use crate::config::file::{EncodingFile, IssuerFile, PublicKeyFile, SecretFile};
use crate::config::values::decode_secret;

/// Maximum number of secrets of one issuer: a rotation needs two, and a forged token is verified with each.
const MAX_SECRETS: usize = 10;

/// An issuer that routes may refer to.
pub(super) struct IssuerKeys {
    /// The issuer, as token verification needs it.
    pub(super) issuer: Issuer,
}

impl Compiler<'_> {
    pub(super) fn issuers(
        &mut self,
        files: Option<&BTreeMap<String, IssuerFile>>,
        path: &FieldPath,
    ) -> BTreeMap<String, IssuerKeys> {
        let mut issuers = BTreeMap::new();
        for (name, file) in files.into_iter().flatten() {
            if let Some(issuer) = self.issuer(name, file, &path.child(name)) {
                issuers.insert(name.clone(), issuer);
            }
        }
        issuers
    }

    fn issuer(&mut self, name: &str, file: &IssuerFile, path: &FieldPath) -> Option<IssuerKeys> {
        let iss = self.iss(file, &path.child("issuer"));
        let algorithms = self.algorithms(file, &path.child("algorithms"));
        let keys = match (&file.jwks, &file.public_key, &file.secret, &file.secrets) {
            (Some(jwks), None, None, None) => self.jwks(name, file, jwks, &algorithms, path),
            (None, Some(key), None, None) => self.public_key(key, &algorithms, path),
            (None, None, Some(secret), None) => self.shared_secret(secret, &algorithms, path),
            (None, None, None, Some(secrets)) => self.shared_secrets(secrets, &algorithms, path),
            (None, None, None, None) => {
                self.missing(
                    path,
                    "one of jwks, public_key, secret and secrets: tokens cannot be verified without a key",
                );
                None
            }
            _several => {
                self.problems.add(path, "has more than one of jwks, public_key, secret and secrets; keep one");
                None
            }
        };
        Some(IssuerKeys {
            issuer: Issuer { name: name.into(), iss: iss?, algorithms, keys: keys?, token_cache: Arc::default() },
        })
    }

    /// The `iss` to compare; `Some(None)` if the file says `none`.
    fn iss(&mut self, file: &IssuerFile, path: &FieldPath) -> Option<Option<String>> {
        match file.issuer.as_deref() {
            None => {
                self.missing(path, "the exact `iss` of its tokens");
                None
            }
            Some("") => {
                self.problems.add(path, "must not be empty; set the exact `iss` of its tokens");
                None
            }
            Some("none") if file.jwks.is_some() => {
                self.problems.add(
                    path,
                    "`none` is allowed only together with public_key or secrets: a key set may contain keys of other parties",
                );
                None
            }
            Some("none") => Some(None),
            Some(iss) => Some(Some(iss.to_owned())),
        }
    }

    fn algorithms(&mut self, file: &IssuerFile, path: &FieldPath) -> Vec<Algorithm> {
        let names = file.algorithms.as_deref().unwrap_or_default();
        if names.is_empty() {
            self.missing(path, "the signature algorithms that its tokens may use, such as [RS256]");
        }
        let mut algorithms = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match Algorithm::named(name) {
                Some(algorithm) => algorithms.push(algorithm),
                None => self.problems.add(
                    &path.index(index),
                    "unknown algorithm; expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA \
                     (Ed25519), HS256, HS384 or HS512",
                ),
            }
        }
        // A public key used as a shared secret is the classic algorithm confusion (RFC 8725 §3.1).
        let shared = algorithms.iter().any(|algorithm| algorithm.mac_length().is_some());
        let has_secret = file.secret.is_some() || file.secrets.is_some();
        if shared && !has_secret {
            self.problems.add(
                path,
                "HS256, HS384 and HS512 need `secret` or `secrets`; they cannot be used with jwks or public_key",
            );
        }
        if has_secret && algorithms.iter().any(|algorithm| algorithm.mac_length().is_none()) {
            self.problems.add(path, "a shared secret works only with HS256, HS384 or HS512; remove the others");
        }
        algorithms
    }

    fn public_key(&mut self, file: &PublicKeyFile, algorithms: &[Algorithm], path: &FieldPath) -> Option<Keys> {
        let at = path.child("public_key").child("file");
        let bytes = self.file(file.file.as_ref(), &at)?.to_vec();
        let algorithm = self.only(algorithms, &path.child("algorithms"))?;
        let set = KeySet::from_pem(&bytes, algorithm).map_err(|error| self.problems.add(&at, error.to_string()));
        Some(Keys::Fixed(Arc::new(set.ok()?)))
    }

    fn shared_secret(&mut self, file: &SecretFile, algorithms: &[Algorithm], path: &FieldPath) -> Option<Keys> {
        let at = path.child("secret");
        let secret = self.secret(file, &at)?;
        let algorithm = self.only(algorithms, &path.child("algorithms"))?;
        let set = KeySet::from_secret(&secret, algorithm).map_err(|error| self.problems.add(&at, error.to_string()));
        Some(Keys::Fixed(Arc::new(set.ok()?)))
    }

    /// Several secrets, any of which may have signed a token. Each problem is reported at its secret.
    fn shared_secrets(&mut self, files: &[SecretFile], algorithms: &[Algorithm], path: &FieldPath) -> Option<Keys> {
        let at = path.child("secrets");
        if files.is_empty() || files.len() > MAX_SECRETS {
            self.problems
                .add(&at, format!("expected 1 to {MAX_SECRETS} secrets: each token is tried with every one of them"));
        }
        let places = files.iter().enumerate();
        let secrets: Vec<_> = places.map(|(index, file)| self.secret(file, &at.index(index))).collect();
        let algorithm = self.only(algorithms, &path.child("algorithms"))?;
        for (index, secret) in secrets.iter().enumerate() {
            if let Some(Err(error)) = secret.as_ref().map(|secret| KeySet::from_secret(secret, algorithm)) {
                self.problems.add(&at.index(index), error.to_string());
            }
        }
        let pairs: Vec<_> = secrets.iter().flatten().map(|secret| (secret.as_slice(), algorithm)).collect();
        Some(Keys::Fixed(Arc::new(KeySet::from_secrets(&pairs).ok()?)))
    }

    /// The algorithm of a single key, which must be the only one (RFC 8725 §3.1).
    fn only(&mut self, algorithms: &[Algorithm], path: &FieldPath) -> Option<Algorithm> {
        match algorithms {
            [algorithm] => Some(*algorithm),
            [] => None,
            _several => {
                self.problems.add(path, "one key has one algorithm; keep only that one");
                None
            }
        }
    }

    fn secret(&mut self, file: &SecretFile, path: &FieldPath) -> Option<Zeroizing<Vec<u8>>> {
        self.secret_as(file, EncodingFile::default(), path)
    }

    /// A secret, decoded with its own `encoding` or else with `default`.
    pub(super) fn secret_as(
        &mut self,
        file: &SecretFile,
        default: EncodingFile,
        path: &FieldPath,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let raw = self.secret_bytes(file, path)?;
        let secret = decode_secret(&raw, file.encoding.unwrap_or(default));
        if secret.is_none() {
            let at = if file.encoding.is_some() { &path.child("encoding") } else { path };
            self.problems.add(at, "the secret is not valid in this encoding");
        }
        secret
    }

    /// The contents of the file or environment variable.
    pub(super) fn secret_bytes(&mut self, file: &SecretFile, path: &FieldPath) -> Option<Zeroizing<Vec<u8>>> {
        let raw = match (&file.env, &file.file) {
            (Some(name), None) => self.variable(name, &path.child("env")),
            (None, Some(name)) => self.file(Some(name), &path.child("file")),
            _none_or_both => {
                self.missing(path, "either {env: NAME} or {file: path}");
                return None;
            }
        };
        raw.map(|raw| Zeroizing::new(raw.to_vec()))
    }
}
