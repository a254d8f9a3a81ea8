//! Reloads the secrets of tenants. A changed file takes effect independently of gateway.yaml and of all other files.
//!
//! Only files that have changed are read. If a file cannot be used, its last secret stays active, and so do all other
//! files. Called by [`super::Reloader`] before it reads anything else.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::cause::Cause;
use crate::config::tenants::TenantFolder;
use crate::metrics::Metrics;

/// The folders of the active configuration.
#[derive(Default)]
pub(super) struct TenantFolders(Mutex<Vec<WatchedFolder>>);

/// A folder with the secrets of tenants.
struct WatchedFolder {
    folder: Arc<TenantFolder>,
    /// The problem of the folder as a whole that was logged last.
    problem: Option<String>,
}

impl TenantFolders {
    /// Replaces the set of folders to reload.
    pub(super) fn replace_folders(&self, entries: &[Arc<TenantFolder>], metrics: &Metrics) {
        let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        folders.retain(|watched| entries.iter().any(|folder| Arc::ptr_eq(folder, &watched.folder)));
        for folder in entries {
            if !folders.iter().any(|watched| Arc::ptr_eq(folder, &watched.folder)) {
                metrics.tenants(&folder.dir).set(count(folder));
                folders.push(WatchedFolder { folder: Arc::clone(folder), problem: None });
            }
        }
    }

    /// Reads the changed files of each folder. Paths are relative to `configuration`, the path of gateway.yaml.
    pub(super) fn refresh(&self, configuration: &Path, cause: Cause, metrics: &Metrics) {
        for watched in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            watched.refresh(configuration, cause, metrics);
        }
    }
}

impl WatchedFolder {
    /// Logs each problem once, and again for each SIGHUP.
    fn refresh(&mut self, configuration: &Path, cause: Cause, metrics: &Metrics) {
        let folder = &*self.folder.dir;
        let refreshed = match self.folder.refresh(configuration) {
            Ok(refreshed) => refreshed,
            Err(problem) => {
                metrics.tenants_last_reload_successful(folder).set(0);
                if cause == Cause::Asked || self.problem.as_ref() != Some(&problem) {
                    tracing::error!(folder, problem, "secrets of tenants not read; the old ones stay active");
                }
                self.problem = Some(problem);
                return;
            }
        };
        self.problem = None;
        let is_successful = refreshed.problems.is_empty();
        metrics.tenants_last_reload_successful(folder).set(is_successful.into());
        let problems = if cause == Cause::Asked { refreshed.problems } else { refreshed.new_problems };
        for problem in problems {
            tracing::error!(folder, problem, "secret of a tenant rejected; all others stay active");
        }
        if refreshed.changed {
            let tenants = count(&self.folder);
            metrics.tenants(folder).set(tenants);
            tracing::info!(folder, tenants, "secrets of tenants reloaded");
        }
    }
}

fn count(folder: &TenantFolder) -> i64 {
    i64::try_from(folder.secrets.len()).unwrap_or(i64::MAX)
}
