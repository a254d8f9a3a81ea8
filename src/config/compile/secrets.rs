//! Secrets and public keys of signatures, static tokens and presets: the values in the file → [`Secret`]s.

use zeroize::Zeroizing;

use super::compiler::Compiler;
use crate::auth::signature::{Secret, SecretKey, SignatureAlgorithm};
use crate::config::error::FieldPath;
use crate::config::file::signature::SignatureFile;
use crate::config::file::{AuthScheme, EncodingFile, SecretFile};

/// Maximum number of secrets of one scheme: a current one, a next one, and more for tenants, distinguished by key id.
const MAX_SECRETS: usize = 64;

impl Compiler<'_> {
    /// The secrets of one scheme, in the order of the file; each gets the route's next number.
    pub(super) fn secrets(
        &mut self,
        keys: &WrittenKeys<'_>,
        algorithm: Option<SignatureAlgorithm>,
        path: &FieldPath,
    ) -> Option<Vec<Secret>> {
        let files = keys.files(path);
        if files.is_empty() || files.len() > MAX_SECRETS || (keys.one.is_some() && keys.several.is_some()) {
            let (one, many) = keys.material.names();
            self.missing(path, &format!("`{one}`, or a list of 1 to {MAX_SECRETS} `{many}`, any of which may match"));
            return None;
        }
        let secrets: Vec<Option<Secret>> =
            files.into_iter().map(|(file, at)| self.signature_secret(file, keys.material, algorithm, &at)).collect();
        secrets.into_iter().collect()
    }

    fn signature_secret(
        &mut self,
        file: &SecretFile,
        material: KeyMaterial,
        algorithm: Option<SignatureAlgorithm>,
        path: &FieldPath,
    ) -> Option<Secret> {
        let key = match (material.shared(), algorithm) {
            (Some(default), _) => SecretKey::from_secret(self.secret_as(file, default, path)?),
            (None, Some(algorithm)) => SecretKey::from_public(&self.public_text(file, path)?, algorithm),
            (None, None) => SecretKey::from_secret(self.public_text(file, path)?),
        };
        let key = key.map_err(|error| self.problems.add(path, error.to_string())).ok()?;
        if key.shared().is_some_and(|secret| secret.len() < 16) {
            self.warnings.push(format!("{path}: is shorter than 16 bytes: it can be guessed from one signed request"));
        }
        Some(Secret { index: self.next_secret(), id: file.id.clone(), key })
    }

    /// The bytes of a public key, root certificate or key set, in the form in which the provider shows it.
    pub(super) fn public_text(&mut self, file: &SecretFile, path: &FieldPath) -> Option<Zeroizing<Vec<u8>>> {
        if file.encoding.is_some() {
            self.problems
                .add(&path.child("encoding"), "applies only to shared secrets; the format of a public key is detected");
        }
        self.secret_bytes(file, path)
    }

    /// Reports keys of the wrong kind: a public key would be used as an HMAC secret, or a secret as a public key.
    pub(super) fn only_material(&mut self, wrong: &WrittenKeys<'_>, material: KeyMaterial, path: &FieldPath) {
        let (one, many) = material.names();
        let (wrong_one, wrong_many) = wrong.material.names();
        for (name, right, written) in
            [(wrong_one, one, wrong.one.is_some()), (wrong_many, many, wrong.several.is_some())]
        {
            if written {
                let problem = format!("this scheme is verified with a {}; use `{right}`", material.noun());
                self.problems.add(&path.child(name), problem);
                self.problems.excuse(&path.child(one));
            }
        }
    }

    fn next_secret(&mut self) -> usize {
        let index = self.route_secrets;
        self.route_secrets += 1;
        index
    }
}

/// The key material with which a scheme is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyMaterial {
    /// A shared secret, in this encoding unless its file says otherwise.
    Shared(EncodingFile),
    /// A public key: PEM, DER, or its bytes in base64 or hex.
    PublicKey,
    /// A root certificate: PEM or DER.
    RootCa,
}

impl KeyMaterial {
    /// The keys under which one and several are written.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Shared(_) => ("secret", "secrets"),
            Self::PublicKey => ("public_key", "public_keys"),
            Self::RootCa => ("root_ca", "root_ca"),
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Shared(_) => "shared secret",
            Self::PublicKey => "public key",
            Self::RootCa => "root certificate",
        }
    }

    /// The encoding of a shared secret.
    pub(super) const fn shared(self) -> Option<EncodingFile> {
        match self {
            Self::Shared(encoding) => Some(encoding),
            Self::PublicKey | Self::RootCa => None,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Shared(_) => Self::PublicKey,
            Self::PublicKey | Self::RootCa => Self::Shared(EncodingFile::Utf8),
        }
    }
}

/// The keys of one scheme as they are written in the file.
#[derive(Clone, Copy)]
pub(super) struct WrittenKeys<'f> {
    pub(super) one: Option<&'f SecretFile>,
    pub(super) several: Option<&'f [SecretFile]>,
    pub(super) material: KeyMaterial,
}

impl<'f> WrittenKeys<'f> {
    pub(super) fn of_signature(file: &'f SignatureFile, material: KeyMaterial) -> Self {
        let (one, several) = match material {
            KeyMaterial::Shared(_) => (&file.secret, &file.secrets),
            KeyMaterial::PublicKey | KeyMaterial::RootCa => (&file.public_key, &file.public_keys),
        };
        Self { one: one.as_ref(), several: several.as_deref(), material }
    }

    /// The keys that are written together with a `preset`.
    pub(super) fn of_scheme(file: &'f AuthScheme, material: KeyMaterial) -> Self {
        let (one, several) = match material {
            KeyMaterial::Shared(_) => (&file.secret, &file.secrets),
            KeyMaterial::PublicKey => (&file.public_key, &file.public_keys),
            KeyMaterial::RootCa => (&file.root_ca, &None),
        };
        Self { one: one.as_ref(), several: several.as_deref(), material }
    }

    pub(super) const fn is_written(&self) -> bool {
        self.one.is_some() || self.several.is_some()
    }

    /// Each key with its field.
    pub(super) fn files(&self, path: &FieldPath) -> Vec<(&'f SecretFile, FieldPath)> {
        let (one, many) = self.material.names();
        let at = path.child(many);
        let several = self.several.into_iter().flatten().enumerate().map(|(index, file)| (file, at.index(index)));
        self.one.map(|file| (file, path.child(one))).into_iter().chain(several).collect()
    }
}

pub(super) const fn material_of(algorithm: SignatureAlgorithm) -> KeyMaterial {
    match algorithm {
        SignatureAlgorithm::Hmac(_) | SignatureAlgorithm::Sha256 => KeyMaterial::Shared(EncodingFile::Utf8),
        SignatureAlgorithm::Ed25519 | SignatureAlgorithm::EcdsaP256 | SignatureAlgorithm::RsaSha256 => {
            KeyMaterial::PublicKey
        }
    }
}
