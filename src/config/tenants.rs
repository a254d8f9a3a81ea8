//! The folder with the secrets of tenants: one file a tenant, or several during a rotation. Reads the files that have
//! changed, and replaces the secrets that requests are verified with.
//!
//! A file that cannot be used is reported by its name, and all others stay active; a file that could be used before keeps
//! its last secret. The folder as a whole is an error only if it cannot be listed or has too many tenants. Called when a
//! configuration is loaded, and by `reload`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::files::{describe, read_file};
use super::values::{KEY_FILE, SecretEncoding, decode_secret, is_key_file};
use crate::auth::secret::{Secret, SecretKey, SignatureAlgorithm};
use crate::auth::sender::KeyDigest;
use crate::auth::tenants::{TenantSecrets, is_tenant_name};

/// Size limit of a file, in bytes.
pub const MAX_SECRET_FILE: u64 = 2 << 10;

/// Maximum number of files of one tenant: the current secret, the next one, and files that are being replaced.
pub const MAX_TENANT_FILES: usize = 4;

/// Files of one tenant beyond which the folder is not listed to its end.
const MAX_NAMES: usize = 16;

const SURPLUS: &str = "a tenant has at most 4 files, and this one comes after the fourth";

/// A folder with the secrets of tenants, which outlives reloads.
#[derive(Debug)]
pub struct TenantFolder {
    /// The folder, as named in gateway.yaml: log field and metric label.
    pub dir: String,
    /// The form of its files.
    pub form: SecretForm,
    /// Maximum number of tenants.
    pub max_tenants: usize,
    /// The secrets that requests are verified with.
    pub secrets: Arc<TenantSecrets>,
    /// The files as they were read last, by their names.
    files: Mutex<BTreeMap<String, FileState>>,
}

/// The form of a secret in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// A shared secret in this encoding.
    Shared(SecretEncoding),
    /// A public key for this algorithm.
    Public(SignatureAlgorithm),
}

/// A file as it was read last.
#[derive(Debug, Default)]
struct FileState {
    stamp: Option<FileStamp>,
    /// The secret of the file that is active.
    digest: Option<KeyDigest>,
    problem: Option<String>,
}

/// Device, inode, size and times of change of a file: one of them changes with its content.
type FileStamp = (u64, u64, u64, i64, i64, i64, i64);

/// The result of reading a folder.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Whether the active secrets were replaced.
    pub changed: bool,
    /// The files that cannot be used, each in one line.
    pub problems: Vec<String>,
    /// Those of them that were not reported before.
    pub new_problems: Vec<String>,
}

impl TenantFolder {
    /// A folder that has not been read.
    pub fn new(dir: String, form: SecretForm, max_tenants: usize) -> Self {
        Self { dir, form, max_tenants, secrets: Arc::new(TenantSecrets::empty()), files: Mutex::default() }
    }

    /// Whether it is the same folder, read in the same way.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (&self.dir, self.form, self.max_tenants) == (&other.dir, other.form, other.max_tenants)
    }

    /// Reads each file that has changed, and replaces the secrets if one did. The name of the folder is relative to
    /// `configuration`, the path of gateway.yaml.
    ///
    /// # Errors
    /// The folder cannot be listed, or has too many tenants; the active secrets stay.
    pub fn refresh(&self, configuration: &Path) -> Result<Refreshed, String> {
        let folder = configuration.with_file_name(&self.dir);
        let names = self.names(&folder).map_err(|problem| format!("folder {}: {problem}", self.dir.escape_debug()))?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, unusable) = (files.len(), unusable(&names));
        files.retain(|name, file| names.contains(name) && (file.digest.is_none() || !unusable.contains_key(name)));
        let removed = files.len() < number;
        let changed: Vec<_> = names.into_iter().filter_map(|name| changed(&folder, name, &files)).collect();
        let (mut read, mut new_problems) = (HashMap::new(), Vec::new());
        if !changed.is_empty() {
            let active = files.iter().filter_map(|(name, file)| Some((file.digest?, tenant_of(name).to_owned())));
            let mut owners: HashMap<KeyDigest, String> = active.collect();
            for (name, stamp) in changed {
                let secret = unusable.get(&name).map_or_else(|| self.read(&folder, &name), |why| Err(why.clone()));
                let secret = secret.and_then(|secret| unshared(secret, &name, &mut owners));
                let state = files.entry(name.clone()).or_default();
                state.stamp = stamp;
                match secret {
                    Ok(secret) => {
                        (state.digest, state.problem) = (Some(secret.digest), None);
                        read.insert(name, secret);
                    }
                    Err(problem) if state.problem.as_ref() == Some(&problem) => {}
                    Err(problem) => {
                        new_problems.push(self.line(&name, &problem));
                        state.problem = Some(problem);
                    }
                }
            }
        }
        let changed = removed || !read.is_empty();
        if changed {
            self.secrets.replace(self.by_tenant(&files, read));
        }
        let problems = files.iter().filter_map(|(name, file)| Some(self.line(name, file.problem.as_ref()?)));
        Ok(Refreshed { changed, problems: problems.collect(), new_problems })
    }

    fn line(&self, name: &str, problem: &str) -> String {
        format!("{}/{}: {problem}", self.dir.escape_debug(), name.escape_debug())
    }

    /// The names of the files. Those that begin with a dot are ignored: `..data` and its folders of a Kubernetes volume,
    /// and files that an editor has open.
    fn names(&self, folder: &Path) -> Result<BTreeSet<String>, String> {
        let mut names = BTreeSet::new();
        let mut tenants = BTreeSet::new();
        for entry in std::fs::read_dir(folder).map_err(|error| describe(&error))? {
            let name = entry.map_err(|error| describe(&error))?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            tenants.insert(tenant_of(&name).to_owned());
            names.insert(name);
            if tenants.len() > self.max_tenants || names.len() > self.max_tenants.saturating_mul(MAX_NAMES) {
                return Err(format!("has more than {} tenants; raise `max_tenants`", self.max_tenants));
            }
        }
        Ok(names)
    }

    /// The secret in one file.
    fn read(&self, folder: &Path, name: &str) -> Result<Secret, String> {
        let tenant = tenant_of(name);
        let further = name.strip_prefix(tenant).and_then(|rest| rest.strip_prefix('.'));
        if !is_tenant_name(tenant) || further.is_some_and(|label| !is_tenant_name(label)) {
            return Err(
                "expected a tenant's name of 1 to 64 letters in lower case, digits, `-` and `_`, or such a name, \
                        a dot and another one, such as acme.next"
                    .to_owned(),
            );
        }
        // The files of a Kubernetes volume are links, but inside of the folder.
        let resolved = |path: &Path| path.canonicalize().map_err(|error| describe(&error));
        let path = resolved(&folder.join(name))?;
        if !path.starts_with(resolved(folder)?) {
            return Err("is a link to a file outside of the folder".to_owned());
        }
        let raw = read_file(&path, MAX_SECRET_FILE)?;
        let key = match self.form {
            SecretForm::Shared(_) if is_key_file(&raw) => return Err(KEY_FILE.to_owned()),
            SecretForm::Shared(encoding) => {
                let secret = decode_secret(&raw, encoding).ok_or("the secret is not valid in this encoding")?;
                SecretKey::from_secret(secret)
            }
            SecretForm::Public(algorithm) => SecretKey::from_public(&raw, algorithm),
        };
        let key = key.map_err(|error| error.to_string())?;
        Ok(Secret { tenant: Some(tenant.into()), ..Secret::new(0, key) })
    }

    /// The active secrets by tenant: those just read, and of all other files the ones that were active before.
    fn by_tenant(
        &self,
        files: &BTreeMap<String, FileState>,
        mut read: HashMap<String, Secret>,
    ) -> HashMap<Arc<str>, Arc<[Secret]>> {
        let mut tenants: BTreeMap<&str, (bool, Vec<Secret>)> = BTreeMap::new();
        for (name, file) in files {
            let Some(digest) = file.digest else { continue };
            let tenant = tenant_of(name);
            let known = || self.secrets.get(tenant)?.iter().find(|secret| secret.digest == digest).cloned();
            let new = read.remove(name);
            let (is_changed, secrets) = tenants.entry(tenant).or_default();
            *is_changed |= new.is_some();
            if let Some(secret) = new.or_else(known) {
                secrets.push(Secret { index: secrets.len(), ..secret });
            }
        }
        let shared = tenants.into_iter().map(|(tenant, (is_changed, secrets))| {
            // The secrets of a tenant without a change are not stored twice while a request still uses the old map.
            let known = self.secrets.get(tenant).filter(|known| !is_changed && known.len() == secrets.len());
            (Arc::from(tenant), known.unwrap_or_else(|| secrets.into()))
        });
        shared.collect()
    }
}

/// The files that are not used, with any content: those of a tenant without its main file, which has been removed,
/// and those beyond the number that a tenant may have, since a forged request is verified with each of them.
fn unusable(names: &BTreeSet<String>) -> HashMap<String, String> {
    let (mut counts, mut unusable) = (HashMap::<&str, usize>::new(), HashMap::new());
    for name in names {
        let tenant = tenant_of(name);
        let count = counts.entry(tenant).or_default();
        *count += 1;
        if !names.contains(tenant) {
            let tenant = tenant.escape_debug();
            unusable.insert(
                name.clone(),
                format!("there is no file {tenant}, so that the tenant has no secret; remove this one"),
            );
        } else if *count > MAX_TENANT_FILES {
            unusable.insert(name.clone(), SURPLUS.to_owned());
        }
    }
    unusable
}

/// The name and the stamp of a file, if it has changed since it was read, or could not be used.
fn changed(folder: &Path, name: String, files: &BTreeMap<String, FileState>) -> Option<(String, Option<FileStamp>)> {
    let stamp = std::fs::metadata(folder.join(&name)).ok().map(|metadata| stamp(&metadata));
    let is_known = |file: &FileState| file.problem.is_none() && file.stamp == stamp && stamp.is_some();
    (!files.get(&name).is_some_and(is_known)).then_some((name, stamp))
}

/// The name of the tenant whose file this is.
fn tenant_of(file: &str) -> &str {
    file.split_once('.').map_or(file, |(tenant, _)| tenant)
}

/// Rejects the secret of another tenant: a request of one would pass for the other.
fn unshared(secret: Secret, name: &str, owners: &mut HashMap<KeyDigest, String>) -> Result<Secret, String> {
    let tenant = tenant_of(name);
    match owners.insert(secret.digest, tenant.to_owned()) {
        Some(other) if other != tenant => {
            let problem = format!("has the same secret as tenant {other}; give each tenant its own");
            owners.insert(secret.digest, other);
            Err(problem)
        }
        Some(_) | None => Ok(secret),
    }
}

fn stamp(metadata: &Metadata) -> FileStamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}
