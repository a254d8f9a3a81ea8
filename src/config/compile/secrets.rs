//! Secrets and public keys of signatures, static tokens and presets: the values in the file → [`Secret`]s.

use std::sync::Arc;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::compiler::{Compiler, RouteScope};
use crate::auth::secret::{Secret, SecretKey, SignatureAlgorithm};
use crate::auth::tenants::Secrets;
use crate::config::file::preset::KeyDerivation;
use crate::config::file::signature::SignatureYaml;
use crate::config::file::{AuthScheme, SecretEncoding, SecretYaml, SecretsYaml, TenantFolderYaml};
use crate::config::reader::{Field, Location, Section};
use crate::config::tenants::{SecretForm, TenantFolder};
use crate::route::TENANT;

/// Maximum number of secrets of one scheme: a current one, a next one, and more for tenants, distinguished by key id.
const MAX_SECRETS: usize = 64;

/// Why a key of a token has no `sender`.
pub(super) const OF_TOKEN: &str = "the issuer and the subject of a token are its sender; remove it";

/// The problem of tenants' keys for tokens.
pub(super) const TOKENS_OF_TENANTS: &str = "this scheme verifies tokens, and tenants may have secrets of signatures and of static tokens only; list the keys instead";

/// The problem of tenants' keys for other schemes.
pub(super) const TENANTS_OF_OTHERS: &str =
    "only `signature`, `static_token` and presets have a folder of tenants; list the keys instead";

/// The problem of tenants' secrets that the preset's key is only derived from.
pub(super) const DERIVED_OF_TENANTS: &str = "this provider signs with a key that is derived from the secret, which works for listed secrets only; list them instead";

impl<'a> Compiler<'a> {
    /// The secrets of one scheme, in the order of the file; each gets the route's next number.
    pub(super) fn secrets(
        &mut self,
        keys: &WrittenKeys<'_>,
        algorithm: Option<SignatureAlgorithm>,
        scope: &mut RouteScope<'_>,
    ) -> Option<Secrets> {
        let (files, (one, many)) = (keys.files(), keys.material.names());
        let at = keys.one.at;
        if keys.are_both_written() {
            self.problems.add(at, format!("cannot be combined with `{many}`; keep one of them"));
            return None;
        }
        if let Some(folder) = keys.folder() {
            return self.tenant_secrets(folder, keys.material, algorithm);
        }
        let is_reported = keys.several.is_some_and(|several| self.problems.has_within(several.at));
        if (files.is_empty() && !is_reported) || files.len() > MAX_SECRETS {
            self.missing(at, &format!("`{one}`, or a list of 1 to {MAX_SECRETS} `{many}`, any of which may match"));
            return None;
        }
        let secrets = files.iter().map(|(file, at)| self.signature_secret(file, keys.material, algorithm, *at, scope));
        let secrets: Vec<Secret> = secrets.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
        self.check_same_secret(&secrets, &files);
        Some(secrets.into())
    }

    /// The secrets of tenants: the handle in use if the same folder is read in the same way, or one that is filled before
    /// the configuration is used.
    fn tenant_secrets(
        &mut self,
        file: &Section<TenantFolderYaml>,
        material: KeyMaterial,
        algorithm: Option<SignatureAlgorithm>,
    ) -> Option<Secrets> {
        let dir = self.required(&file.dir, "a folder with one file for each tenant, such as secrets/{tenant}")?;
        let dir = dir.strip_suffix(TENANT).and_then(|dir| dir.strip_suffix('/')).unwrap_or(dir);
        if dir.is_empty() || dir.contains(['{', '}']) {
            self.problems
                .add(file.dir.at, "expected a folder such as secrets/{tenant}, where `{tenant}` is the last part");
            return None;
        }
        let form = match (material.shared(), algorithm) {
            (Some(default), _) => SecretForm::Shared(file.file_encoding.value().copied().unwrap_or(default)),
            (None, Some(algorithm)) => {
                self.unused(&[file.file_encoding.written_at()], "applies only to shared secrets; remove it");
                SecretForm::Public(algorithm)
            }
            (None, None) => {
                self.problems.add(file.at, TOKENS_OF_TENANTS);
                return None;
            }
        };
        let folder = TenantFolder::new(dir.to_owned(), form, file.max_tenants.get());
        let same = |known: &&Arc<TenantFolder>| known.is_same_as(&folder);
        if let Some(shared) = self.handles.tenants.iter().find(same) {
            return Some(Arc::clone(&shared.secrets).into());
        }
        let folder = match self.known.tenants.iter().find(same) {
            Some(known) => Arc::clone(known),
            None => {
                let folder = Arc::new(folder);
                self.unread_folders.push((self.problems.at(file.dir.at), Arc::clone(&folder)));
                folder
            }
        };
        self.handles.tenants.push(Arc::clone(&folder));
        Some(Arc::clone(&folder.secrets).into())
    }

    fn signature_secret(
        &mut self,
        file: &SecretYaml,
        material: KeyMaterial,
        algorithm: Option<SignatureAlgorithm>,
        at: Location,
        scope: &mut RouteScope<'_>,
    ) -> Option<Secret> {
        let key = match (material.shared(), algorithm) {
            (Some(default), _) => SecretKey::from_secret(self.secret_as(file, default, at)?),
            (None, Some(algorithm)) => SecretKey::from_public(self.public_text(file, at)?, algorithm),
            (None, None) => SecretKey::from_secret(self.public_text(file, at)?.to_vec().into()),
        };
        let key = self.check(at, key)?;
        if key.shared().is_some_and(|secret| secret.len() < 16) {
            self.warn(at, "is shorter than 16 bytes: it can be guessed from one signed request");
        }
        scope.secrets += 1;
        let sender = self.sender_name(&file.sender)?;
        Some(Secret { id: file.id.text().map(Into::into), sender, ..Secret::new(scope.secrets - 1, key) })
    }

    /// The bytes of a public key, root certificate or key set, in the form in which the provider shows it.
    pub(super) fn public_text(&mut self, file: &SecretYaml, at: Location) -> Option<&'a [u8]> {
        if file.encoding.is_written() {
            let problem = "applies only to shared secrets; the format of a public key is detected";
            self.problems.add(file.encoding.at, problem);
        }
        self.secret_bytes(file, at)
    }

    /// Reports keys of the wrong kind: a public key would be used as an HMAC secret, or a secret as a public key.
    /// The right key is then not reported as missing.
    pub(super) fn only_material(&mut self, written: &WrittenKeys<'_>, right: &WrittenKeys<'_>) {
        let (one, many) = right.material.names();
        if written.material.names() == (one, many) {
            return;
        }
        let several_at = written.several.and_then(Section::written_at);
        for (at, name) in [(written.one.written_at(), one), (several_at, many)] {
            let Some(at) = at else { continue };
            let problem = format!("this scheme is verified with a {}; use `{name}`", right.material.noun());
            self.problems.add(at, problem);
            self.problems.excuse(self.problems.path(right.one.at));
        }
    }

    /// The name under `sender`; `None` in a `Some` if there is none.
    fn sender_name(&mut self, field: &Field<String>) -> Option<Option<Arc<str>>> {
        field.if_written(|field| {
            let name = field.text()?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            let is_plain = (1..=64).contains(&name.len()) && name.bytes().all(plain);
            self.check(
                field.at,
                is_plain.then(|| name.into()).ok_or("expected 1 to 64 letters, digits, `-`, `_` or `.`"),
            )
        })
    }

    /// Reports a secret that occurs twice with different senders: only one of them would be found, or else an attacker
    /// could choose by the key id whose request a copy is.
    fn check_same_secret(&mut self, secrets: &[Secret], files: &[(&SecretYaml, Location)]) {
        for (index, (secret, (_, at))) in secrets.iter().zip(files).enumerate() {
            let same = secrets.iter().take(index).find(|other| other.digest == secret.digest);
            if same.is_some_and(|other| (&other.sender, &other.id) != (&secret.sender, &secret.id)) {
                self.problems.add(*at, "another sender or key id has the same secret; give each its own");
            }
        }
    }

    /// Reports senders of keys that would have no effect.
    pub(super) fn unused_senders(&mut self, files: &[(&SecretYaml, Location)], problem: &str) {
        files.iter().for_each(|(file, _)| self.unused(&[file.sender.written_at()], problem));
    }

    /// Reports the key id and the sender of a secret that has neither.
    pub(super) fn unused_names(&mut self, file: &SecretYaml, problem: &str) {
        self.unused(&[file.id.written_at(), file.sender.written_at()], problem);
    }

    /// Reports ids of keys that would have no effect.
    pub(super) fn unused_ids(&mut self, files: &[(&SecretYaml, Location)], problem: &str) {
        files.iter().for_each(|(file, _)| self.unused(&[file.id.written_at()], problem));
    }
}

/// The key material with which a scheme is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyMaterial {
    /// A shared secret, in this encoding unless its file says otherwise.
    Shared(SecretEncoding),
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
    pub(super) const fn shared(self) -> Option<SecretEncoding> {
        match self {
            Self::Shared(encoding) => Some(encoding),
            Self::PublicKey | Self::RootCa => None,
        }
    }
}

/// The keys of one scheme as they are written in the file.
#[derive(Clone, Copy)]
pub(super) struct WrittenKeys<'f> {
    pub(super) one: &'f Field<SecretYaml>,
    /// `None` for a root certificate, of which there is only one.
    pub(super) several: Option<&'f Section<SecretsYaml>>,
    pub(super) material: KeyMaterial,
}

impl<'f> WrittenKeys<'f> {
    pub(super) const fn of_signature(file: &'f SignatureYaml, material: KeyMaterial) -> Self {
        let (one, several) = match material {
            KeyMaterial::Shared(_) => (&file.secret, Some(&file.secrets)),
            KeyMaterial::PublicKey | KeyMaterial::RootCa => (&file.public_key, Some(&file.public_keys)),
        };
        Self { one, several, material }
    }

    /// The keys that are written together with a `preset`.
    pub(super) const fn of_scheme(file: &'f AuthScheme, material: KeyMaterial) -> Self {
        let (one, several) = match material {
            KeyMaterial::Shared(_) => (&file.secret, Some(&file.secrets)),
            KeyMaterial::PublicKey => (&file.public_key, Some(&file.public_keys)),
            KeyMaterial::RootCa => (&file.root_ca, None),
        };
        Self { one, several, material }
    }

    pub(super) fn is_written(&self) -> bool {
        self.one.is_written() || self.several.is_some_and(|several| several.is_written)
    }

    pub(super) fn are_both_written(&self) -> bool {
        self.one.is_written() && self.several.is_some_and(|several| several.is_written)
    }

    /// The folder with the keys of tenants.
    pub(super) fn folder(&self) -> Option<&'f Section<TenantFolderYaml>> {
        self.several?.folder()
    }

    /// Each key with its place.
    pub(super) fn files(&self) -> Vec<(&'f SecretYaml, Location)> {
        let one = self.one.value().map(|file| (file, self.one.at));
        let several = self.several.into_iter().flat_map(|several| several.list()).map(|file| (&**file, file.at));
        one.into_iter().chain(several).collect()
    }
}

pub(super) const fn material_of(algorithm: SignatureAlgorithm) -> KeyMaterial {
    match algorithm {
        SignatureAlgorithm::Hmac(_) | SignatureAlgorithm::Sha256 => KeyMaterial::Shared(SecretEncoding::Utf8),
        SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::EcdsaP256
        | SignatureAlgorithm::RsaSha1
        | SignatureAlgorithm::RsaSha256
        | SignatureAlgorithm::RsaSha512 => KeyMaterial::PublicKey,
    }
}

/// The key that a provider makes of the secret.
pub(super) fn derived(key: &SecretKey, derivation: KeyDerivation) -> SecretKey {
    let algorithm = match derivation {
        KeyDerivation::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        KeyDerivation::Sha256 => &digest::SHA256,
    };
    SecretKey::Shared(Zeroizing::new(digest::digest(algorithm, key.bytes()).as_ref().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example `abc`.
    #[test]
    fn a_key_may_be_the_hash_of_the_secret() {
        let key = SecretKey::from_secret(Zeroizing::new(b"abc".to_vec())).unwrap();
        let hex = |derivation| hex::encode(derived(&key, derivation).bytes());
        assert_eq!(hex(KeyDerivation::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(hex(KeyDerivation::Sha256).starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
