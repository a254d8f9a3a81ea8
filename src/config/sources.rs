//! The inputs of a configuration, as bytes: the YAML, and each file and environment variable that it references.
//! The only part of the configuration that reads files and the environment.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::compiled::Handles;
use super::error::ConfigErrors;
use super::file::preset::ChallengeSwitch;
use super::file::store::StoreFile;
use super::file::{AuthFile, AuthScheme, GatewayFile, JwksFile, SecretFile};
use super::{revocation, yaml};
use crate::snapshot::ConfigHash;

/// Size limit of a file that a configuration references, except a revocation list.
const MAX_FILE: u64 = 4 << 20;

/// The bytes, or why they could not be read.
pub type SourceContent = Result<Zeroizing<Vec<u8>>, String>;

/// The inputs of a configuration.
pub struct Sources {
    /// Path of the YAML, as given.
    pub path: PathBuf,
    /// Text of the YAML.
    pub text: String,
    /// The files that the YAML references, by the paths written there.
    pub files: BTreeMap<String, SourceContent>,
    /// The environment variables that it references.
    pub variables: BTreeMap<String, SourceContent>,
    /// The revocation lists that it references and that no handle holds yet. They change on their own and are not part
    /// of the configuration's hash.
    pub revocations: BTreeMap<String, SourceContent>,
}

impl Sources {
    /// Reads all inputs, except the revocation lists that `known` handles keep up to date themselves.
    ///
    /// # Errors
    /// Only if the YAML itself cannot be read: [`super::compile()`] reports a missing file or variable, with the
    /// position of the field that names it.
    pub fn read(path: &Path, known: &Handles) -> Result<Self, ConfigErrors> {
        let bytes =
            read_file(path, MAX_FILE).map_err(|error| ConfigErrors::unreadable(path.display().to_string(), error))?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| ConfigErrors::unreadable(path.display().to_string(), "not UTF-8 text"))?;
        let named = Named::in_text(&text);
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = named.files.into_iter().map(|name| {
            let content = read_file(&folder.join(&name), MAX_FILE);
            (name, content)
        });
        let held = |name: &String| known.revocations.iter().any(|handle| handle.file == *name);
        let revocations = named.revocations.into_iter().filter(|name| !held(name)).map(|name| {
            let content = read_revocation(path, &name);
            (name, content)
        });
        let variables = named.variables.into_iter().map(|name| {
            let content = read_variable(&name);
            (name, content)
        });
        Ok(Self {
            path: path.to_owned(),
            files: files.collect(),
            variables: variables.collect(),
            revocations: revocations.collect(),
            text,
        })
    }

    /// The path of a file that the YAML references: a relative path starts at the directory of the YAML.
    pub fn resolve(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// A hash over all inputs except the revocation lists: equal hashes mean that the configuration has not changed.
    pub fn hash(&self) -> ConfigHash {
        hash([self.text.as_bytes()], self.files.iter().chain(&self.variables))
    }

    /// A hash over all inputs that were read: a rejected configuration is rejected again while this hash is the same.
    pub fn attempt(&self) -> ConfigHash {
        hash([&self.hash().0], self.revocations.iter())
    }

    /// The directories in which a file may change, including those of the `known` handles: an active revocation list is
    /// watched also while the YAML cannot be read.
    pub fn folders(&self, known: &Handles) -> Vec<PathBuf> {
        let base = self.path.parent().unwrap_or(Path::new(""));
        let lists = self.revocations.keys().chain(known.revocations.iter().map(|handle| &handle.file));
        let files = self.files.keys().chain(lists).filter_map(|name| self.resolve(name).parent().map(Path::to_owned));
        let mut folders: Vec<PathBuf> = files.chain([base.to_owned()]).map(or_here).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

fn or_here(folder: PathBuf) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
}

fn hash<'c>(first: [&[u8]; 1], named: impl Iterator<Item = (&'c String, &'c SourceContent)>) -> ConfigHash {
    let mut parts = Vec::from(first);
    for (name, content) in named {
        parts.push(name.as_bytes());
        parts.push(match content {
            Ok(bytes) => bytes,
            Err(error) => error.as_bytes(),
        });
    }
    ConfigHash::of(&parts)
}

/// The bytes of a revocation list that the configuration at `path` names.
pub fn read_revocation(path: &Path, name: &str) -> SourceContent {
    read_file(&path.parent().unwrap_or(Path::new("")).join(name), revocation::MAX_FILE)
}

fn read_file(path: &Path, max: u64) -> SourceContent {
    let size = std::fs::metadata(path).map_err(|error| describe(&error))?.len();
    if size > max {
        return Err(format!("larger than {} MiB", max >> 20));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(|error| describe(&error))
}

fn describe(error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        "not found".to_owned()
    } else if error.kind() == ErrorKind::PermissionDenied {
        "not readable: permission denied".to_owned()
    } else {
        error.to_string()
    }
}

fn read_variable(name: &str) -> SourceContent {
    match std::env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value.into_bytes())),
        Err(std::env::VarError::NotPresent) => Err("not set".to_owned()),
        Err(std::env::VarError::NotUnicode(_)) => Err("not UTF-8 text".to_owned()),
    }
}

/// Every file and variable that a configuration references.
#[derive(Default)]
struct Named {
    files: Vec<String>,
    variables: Vec<String>,
    revocations: Vec<String>,
}

impl Named {
    /// Problems are ignored here; `compile` reports them.
    fn in_text(text: &str) -> Self {
        let mut named = Self::default();
        if let Ok(document) = yaml::read(text) {
            named.in_file(&GatewayFile::read(document.value).0);
        }
        named
    }

    fn in_file(&mut self, file: &GatewayFile) {
        for listener in file.listeners.iter().flatten() {
            if let Some(tls) = &listener.tls {
                let pairs = tls.certificates.iter().flatten().flat_map(|pair| pair.cert.iter().chain(&pair.key));
                self.files.extend(pairs.chain(&tls.client_ca).chain(&tls.client_crl).cloned());
            }
        }
        for route in file.routes.iter().flatten() {
            if let Some(AuthFile::Scheme(scheme)) = &route.auth {
                self.in_scheme(scheme);
            }
            self.files.extend(route.upstream.iter().filter_map(|upstream| upstream.ca.clone()));
        }
        if let Some(StoreFile::Redis(redis)) = &file.store {
            self.files.extend(redis.tls.iter().flat_map(|tls| &tls.ca).cloned());
            redis.password.iter().for_each(|secret| self.in_secret(secret));
        }
        for issuer in file.issuers.iter().flat_map(BTreeMap::values) {
            issuer.jwks.iter().for_each(|jwks| self.in_jwks(jwks));
            self.files.extend(issuer.public_key.iter().flat_map(|key| &key.file).cloned());
            issuer.secret.iter().chain(issuer.secrets.iter().flatten()).for_each(|secret| self.in_secret(secret));
        }
        for route in file.routes.iter().flatten() {
            self.revocations.extend(route.revocation.iter().filter_map(|revocation| revocation.file.clone()));
        }
    }

    fn in_scheme(&mut self, scheme: &AuthScheme) {
        scheme.all_of.iter().chain(&scheme.any_of).flatten().for_each(|below| self.in_scheme(below));
        scheme.jwks.iter().for_each(|jwks| self.in_jwks(jwks));
        let given = [&scheme.secret, &scheme.public_key, &scheme.root_ca].into_iter().flatten();
        let given = given.chain([&scheme.secrets, &scheme.public_keys].into_iter().flatten().flatten());
        let signature = scheme.signature.iter().flat_map(|file| {
            let one = file.secret.iter().chain(&file.public_key);
            one.chain([&file.secrets, &file.public_keys].into_iter().flatten().flatten())
        });
        let token = scheme.static_token.iter().flat_map(|file| file.secret.iter().chain(file.secrets.iter().flatten()));
        let challenge = scheme.challenge.iter().filter_map(|switch| match switch {
            ChallengeSwitch::Switch(_) => None,
            ChallengeSwitch::Token(file) => file.token.as_ref(),
        });
        given.chain(signature).chain(token).chain(challenge).for_each(|secret| self.in_secret(secret));
    }

    fn in_jwks(&mut self, jwks: &JwksFile) {
        self.files.extend(jwks.file.iter().chain(&jwks.ca).cloned());
    }

    fn in_secret(&mut self, secret: &SecretFile) {
        self.files.extend(secret.file.iter().cloned());
        self.variables.extend(secret.env.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::revocation::{RevocationHandle, RevocationList};

    fn sources(list: &str) -> Sources {
        let list = ("new/list.yaml".to_owned(), Ok(Zeroizing::new(list.as_bytes().to_vec())));
        let (files, variables, revocations) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::from([list]));
        Sources { path: PathBuf::from("conf/gateway.yaml"), text: "routes: [".into(), files, variables, revocations }
    }

    /// The YAML cannot be parsed, and the active list is watched all the same.
    #[test]
    fn folders_of_active_lists_are_watched_even_if_the_yaml_is_invalid() {
        let handle = RevocationHandle::new("lists/old.yaml".into(), RevocationList::default());
        let known = Handles { revocations: vec![Arc::new(handle)], ..Handles::default() };
        let folders: Vec<PathBuf> = ["conf", "conf/lists", "conf/new"].map(PathBuf::from).into();
        assert_eq!(sources("").folders(&known), folders);
    }

    #[test]
    fn a_list_says_which_attempt_this_is_and_not_which_configuration() {
        let (one, other) = (sources("jti: [a]"), sources("jti: [b]"));
        assert_eq!(one.hash(), other.hash());
        assert_ne!(one.attempt(), other.attempt());
    }
}
