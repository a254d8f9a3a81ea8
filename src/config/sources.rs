//! Everything that a configuration is made of, as bytes: the YAML, each file and each variable that it names.
//! The only part of the configuration that touches files and the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::ConfigErrors;
use super::file::{GatewayFile, SecretFile};
use super::yaml;
use crate::snapshot::ConfigHash;

/// The largest file that a configuration may name.
const MAX_FILE: u64 = 4 << 20;

/// Bytes, or why there are none.
pub type Content = Result<Zeroizing<Vec<u8>>, String>;

/// What a configuration is made of.
pub struct Sources {
    /// The YAML's own path, as it was given.
    pub path: PathBuf,
    /// The YAML.
    pub text: String,
    /// The files it names, as they are named there.
    pub files: BTreeMap<String, Content>,
    /// The variables it names.
    pub variables: BTreeMap<String, Content>,
}

impl Sources {
    /// Reads all of it.
    ///
    /// # Errors
    /// Only if the YAML itself cannot be read: what it names may be missing, which [`super::compile()`] tells
    /// with its place.
    pub fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let bytes = read_file(path).map_err(|error| ConfigErrors::unreadable(path.display().to_string(), error))?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| ConfigErrors::unreadable(path.display().to_string(), "not UTF-8 text"))?;
        let named = Named::in_text(&text);
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = named.files.into_iter().map(|name| {
            let content = read_file(&folder.join(&name));
            (name, content)
        });
        let variables = named.variables.into_iter().map(|name| {
            let content = read_variable(&name);
            (name, content)
        });
        Ok(Self { path: path.to_owned(), files: files.collect(), variables: variables.collect(), text })
    }

    /// Where a relative path leads: beside the YAML.
    pub fn resolve(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// A hash over all of it; equal hashes mean that nothing changed.
    pub fn hash(&self) -> ConfigHash {
        let mut parts = vec![self.text.as_bytes()];
        for (name, content) in self.files.iter().chain(&self.variables) {
            parts.push(name.as_bytes());
            parts.push(match content {
                Ok(bytes) => bytes,
                Err(error) => error.as_bytes(),
            });
        }
        ConfigHash::of(&parts)
    }

    /// The folders in which something may change.
    pub fn folders(&self) -> Vec<PathBuf> {
        let base = self.path.parent().unwrap_or(Path::new(""));
        let files = self.files.keys().filter_map(|name| self.resolve(name).parent().map(Path::to_owned));
        let mut folders: Vec<PathBuf> = files.chain([base.to_owned()]).map(or_here).collect();
        folders.sort();
        folders.dedup();
        folders
    }
}

fn or_here(folder: PathBuf) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
}

fn read_file(path: &Path) -> Content {
    let size = std::fs::metadata(path).map_err(|error| describe(&error))?.len();
    if size > MAX_FILE {
        return Err(format!("larger than {} MiB", MAX_FILE >> 20));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(|error| describe(&error))
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "not found".to_owned(),
        std::io::ErrorKind::PermissionDenied => "not readable: permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn read_variable(name: &str) -> Content {
    match std::env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value.into_bytes())),
        Err(std::env::VarError::NotPresent) => Err("not set".to_owned()),
        Err(std::env::VarError::NotUnicode(_)) => Err("not UTF-8 text".to_owned()),
    }
}

/// Every file and variable that a configuration names.
#[derive(Default)]
struct Named {
    files: Vec<String>,
    variables: Vec<String>,
}

impl Named {
    /// What is found wrong on the way is said by `compile`.
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
        for issuer in file.issuers.iter().flat_map(BTreeMap::values) {
            let jwks = issuer.jwks.iter().flat_map(|jwks| jwks.file.iter().chain(&jwks.ca));
            self.files.extend(jwks.chain(issuer.pem.iter().flat_map(|pem| &pem.file)).cloned());
            issuer.secret.iter().chain(issuer.secrets.iter().flatten()).for_each(|secret| self.in_secret(secret));
        }
    }

    fn in_secret(&mut self, secret: &SecretFile) {
        self.files.extend(secret.file.iter().cloned());
        self.variables.extend(secret.env.iter().cloned());
    }
}
