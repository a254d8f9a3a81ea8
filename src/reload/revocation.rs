//! Reloads revocation lists. A changed file takes effect independently of gateway.yaml and of all other files.
//!
//! If a file cannot be read or is invalid, the last valid list stays active: no revocation is lost. Called by
//! [`super::Reloader`] before it reads anything else.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::cause::Cause;
use crate::auth::revocation::{RevocationHandle, RevocationList};
use crate::config::revocation;
use crate::config::sources::{SourceContent, read_revocation};
use crate::metrics::Metrics;
use crate::metrics::Reloaded;
use crate::snapshot::ConfigHash;

/// The revocation lists of the active configuration.
#[derive(Default)]
pub(super) struct Revocations(Mutex<Vec<WatchedList>>);

/// A revocation list.
struct WatchedList {
    handle: Arc<RevocationHandle>,
    /// Hash of the rejected file that was logged last, so that it is not logged again until it changes.
    last_rejected: Option<ConfigHash>,
}

impl Revocations {
    /// Replaces the set of lists to reload.
    pub(super) fn replace_lists(&self, entries: &[Arc<RevocationHandle>], metrics: &Metrics) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|list| entries.iter().any(|handle| Arc::ptr_eq(handle, &list.handle)));
        for handle in entries {
            if !lists.iter().any(|list| Arc::ptr_eq(handle, &list.handle)) {
                metrics.revocation_known(&handle.file);
                metrics.revocation_activated(&handle.file, handle.entries());
                lists.push(WatchedList { handle: Arc::clone(handle), last_rejected: None });
            }
        }
    }

    /// Reads each file again. Paths are relative to `configuration`, the path of gateway.yaml.
    pub(super) fn refresh(&self, configuration: &Path, cause: Cause, metrics: &Metrics) {
        for list in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let content = read_revocation(configuration, &list.handle.file);
            list.settle(&content, cause, metrics);
        }
    }
}

impl WatchedList {
    /// Activates the content of a file, unless it is active already or, without SIGHUP, was rejected before.
    fn settle(&mut self, content: &SourceContent, cause: Cause, metrics: &Metrics) {
        let hash = hash(content);
        if content.is_ok() && hash.0 == self.handle.version() {
            self.last_rejected = None;
            metrics.revocation_activated(&self.handle.file, self.handle.entries());
            return;
        }
        if cause == Cause::Noticed && self.last_rejected == Some(hash) {
            return;
        }
        match read(&self.handle.file, content) {
            Ok(list) => self.replace(list, metrics),
            Err(problems) => self.reject(hash, &problems, metrics),
        }
    }

    fn replace(&mut self, list: RevocationList, metrics: &Metrics) {
        self.handle.replace(list);
        self.last_rejected = None;
        let (file, entries) = (&*self.handle.file, self.handle.entries());
        metrics.revocation_activated(file, entries);
        metrics.revocation_reloads(file, Reloaded::Applied).inc();
        tracing::info!(file, entries, "revocation list reloaded");
    }

    fn reject(&mut self, hash: ConfigHash, problems: &str, metrics: &Metrics) {
        let file = &*self.handle.file;
        self.last_rejected = Some(hash);
        metrics.revocation_last_reload_successful(file).set(0);
        metrics.revocation_reloads(file, Reloaded::Rejected).inc();
        tracing::error!(file, problems, "revocation list rejected; the old one stays active");
    }
}

fn read(file: &str, content: &SourceContent) -> Result<RevocationList, String> {
    let bytes = content.as_ref().map_err(|error| format!("file {file}: {error}"))?;
    revocation::read(file, bytes).map_err(|errors| revocation::problem_lines(&errors).join("; "))
}

/// The hash of a file, or of the error that it could not be read with; that of a file is the version of its list.
fn hash(content: &SourceContent) -> ConfigHash {
    match content {
        Ok(bytes) => ConfigHash::of(&[bytes]),
        Err(error) => ConfigHash::of(&[error.as_bytes()]),
    }
}
