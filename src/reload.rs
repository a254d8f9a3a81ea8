//! Reloads the configuration after a change on disk or SIGHUP: reads all files and swaps the active configuration, or
//! keeps it and logs the problems.
//!
//! Only a complete and valid configuration becomes active; no socket is rebound and no connection is closed.
//! Revocation lists and the secrets of tenants are reloaded first, and independently of the configuration.

pub mod cause;
mod changes;
pub mod dry_run;
mod revocation;
mod tenants;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::config::{Config, Drain, Handles, Problem, ProcessSettings, Sources, compile, read_new_folders};
use crate::metrics::ConfiguredNames;
pub use crate::metrics::Reloaded;
use crate::services::Services;
use crate::snapshot::ConfigHash;
use cause::Cause;
use changes::Inputs;
use revocation::Revocations;
use tenants::TenantFolders;

/// Polling interval for changes that file notifications miss (network file systems, a directory that was replaced).
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Time to wait after a change, since editors and ConfigMaps change several files in a row: one reload is enough.
const SETTLE: Duration = Duration::from_millis(100);

/// Reloads and activates configurations.
pub struct Reloader {
    path: Option<PathBuf>,
    process: ProcessSettings,
    services: Arc<Services>,
    revocations: Revocations,
    tenants: TenantFolders,
    /// Serializes reloads, so that files that were read earlier never replace a newer configuration.
    turn: Mutex<()>,
    state: Mutex<ReloaderState>,
}

struct ReloaderState {
    drain: Drain,
    handles: Handles,
    folders: Vec<PathBuf>,
    /// The inputs of the active configuration, once they have been read again.
    inputs: Option<Inputs>,
    /// Hash of the rejected configuration that was logged last, so that it is not logged again until it changes.
    last_rejected: Option<ConfigHash>,
}

impl Reloader {
    /// Creates the reloader of a process that runs with `config`, whose snapshot is already active. `path` is that of
    /// gateway.yaml; `None` for a configuration in memory (that of the demo), which is never reloaded.
    pub fn new(path: Option<PathBuf>, services: Arc<Services>, config: &Config) -> Self {
        let state = ReloaderState {
            drain: config.drain,
            handles: config.handles.clone(),
            folders: Vec::new(),
            inputs: None,
            last_rejected: None,
        };
        let reloader = Self {
            path,
            process: config.process.clone(),
            services,
            revocations: Revocations::default(),
            tenants: TenantFolders::default(),
            turn: Mutex::new(()),
            state: Mutex::new(state),
        };
        reloader.announce(config);
        reloader
    }

    /// The drain settings of the active configuration.
    pub fn drain(&self) -> Drain {
        self.state().drain
    }

    /// Reads, compiles and activates the configuration. Blocks on file access. The result does not cover revocation
    /// lists.
    pub fn reload(&self, cause: Cause) -> Reloaded {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            self.revocations.refresh(path, cause, &self.services.metrics);
            self.tenants.refresh(path, cause, &self.services.metrics);
        }
        let result = self.try_reload(cause);
        if cause == Cause::Asked {
            self.services.acme.retry();
        }
        if cause == Cause::Asked || result != Reloaded::Unchanged {
            self.services.metrics.config_reloads(result).inc();
        }
        result
    }

    fn try_reload(&self, cause: Cause) -> Reloaded {
        let Some(path) = &self.path else { return Reloaded::Unchanged };
        let known = Handles { read_at: self.services.clock.now(), ..self.state().handles.clone() };
        let sources = match Sources::read(path, &known) {
            Ok(sources) => sources,
            Err(errors) => return self.unreadable(&errors.to_string(), cause),
        };
        self.state().folders = sources.folders(&known);
        let hash = sources.hash();
        if hash == self.services.snapshot.load().config_hash {
            let mut state = self.state();
            state.last_rejected = None;
            state.inputs.get_or_insert_with(|| Inputs::of(&sources));
            drop(state);
            self.services.metrics.config_last_reload_successful().set(1);
            return Reloaded::Unchanged;
        }
        let attempt = sources.attempt();
        if cause == Cause::Noticed && self.state().last_rejected == Some(attempt) {
            return Reloaded::Unchanged;
        }
        self.apply(path, &sources, &known, attempt, cause)
    }

    /// Logs the problem once, and again for each SIGHUP.
    fn unreadable(&self, problem: &str, cause: Cause) -> Reloaded {
        let hash = ConfigHash::of(&[problem.as_bytes()]);
        if cause == Cause::Noticed && self.state().last_rejected == Some(hash) {
            return Reloaded::Unchanged;
        }
        self.reject(hash, problem.lines())
    }

    fn apply(&self, path: &Path, sources: &Sources, known: &Handles, attempt: ConfigHash, cause: Cause) -> Reloaded {
        let mut config = match compile(sources, known) {
            Ok(config) => config,
            Err(errors) => return self.reject(attempt, errors.to_string().lines()),
        };
        let fixed = self.process.differences(&config.process);
        if !fixed.is_empty() {
            let problems = fixed.iter().map(|field| format!("{field}: a change needs a restart"));
            return self.reject(attempt, problems.collect::<Vec<_>>().iter().map(String::as_str));
        }
        // Not part of the attempt: the folder may be complete at the next one.
        if let Err(errors) = read_new_folders(path, &mut config) {
            return self.unreadable(&errors.to_string(), cause);
        }
        self.announce(&config);
        let mut state = self.state();
        state.drain = config.drain;
        state.handles = config.handles;
        state.last_rejected = None;
        let inputs = Inputs::of(sources);
        let changed = state.inputs.replace(inputs.clone()).map(|former| inputs.changed(&former));
        drop(state);
        let version = config.snapshot.config_hash;
        let former = self.services.snapshot.swap(config.snapshot);
        let (added, removed) = changes::routes(&former.routes, &self.services.snapshot.load().routes);
        tracing::info!(%version, changed, added, removed, "configuration reloaded");
        Reloaded::Applied
    }

    /// Updates the remote keys, the watched revocation lists and the metrics; logs the warnings.
    fn announce(&self, config: &Config) {
        let (routes, handles) = (|| config.snapshot.routes.routes(), &config.handles);
        let issuers = handles.remote_keys.iter().map(|keys| &keys.source.issuer);
        let issuers = issuers.chain(handles.signing_certificates.iter().map(|certificates| &certificates.source.name));
        self.services.metrics.configure(ConfiguredNames {
            routes: routes().map(|route| Arc::clone(&route.name)).collect(),
            issuers: issuers.map(Arc::clone).collect(),
            secrets: routes().map(|route| (Arc::clone(&route.name), route.rules.policy.listed_secrets())).collect(),
            tenant_folders: config.handles.tenants.iter().map(|folder| folder.dir.clone()).collect(),
            revocation_files: config.handles.revocations.iter().map(|list| list.file.clone()).collect(),
        });
        self.services.jwks.replace_sources(&config.handles.remote_keys);
        self.services.jwks.certificates.replace_sources(&config.handles.signing_certificates);
        self.tenants.replace_folders(&config.handles.tenants, &self.services.metrics);
        self.revocations.replace_lists(&config.handles.revocations, &self.services.metrics);
        self.services
            .metrics
            .certificates(config.certificates.iter().map(|(name, validity)| (name.as_str(), *validity)));
        self.services.acme.replace_names(&config.handles.acme);
        self.services.metrics.dry_runs(routes().filter_map(|route| Some((&*route.name, route.dry_run_until?))));
        self.services.metrics.config_activated(self.services.clock.now());
        for Problem { message: problem, .. } in &config.rejected_files {
            tracing::error!(problem, "secret of a tenant rejected; all others stay active");
        }
        for warning in config.warnings_at(self.services.clock.now()) {
            tracing::warn!(warning = config.shown(&warning), "configuration");
        }
    }

    fn reject<'p>(&self, hash: ConfigHash, problems: impl Iterator<Item = &'p str>) -> Reloaded {
        for problem in problems {
            tracing::error!(problem, "configuration rejected; the old one stays active");
        }
        self.services.metrics.config_last_reload_successful().set(0);
        self.state().last_rejected = Some(hash);
        Reloaded::Rejected
    }

    fn state(&self) -> std::sync::MutexGuard<'_, ReloaderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reloads at the start, after a file has changed and every few seconds; never returns.
pub async fn watch(reloader: Arc<Reloader>) {
    let (changed, mut changes) = mpsc::channel(1);
    // A sender is kept here too: without a watcher the channel would be closed, and every wait would end at once.
    let mut watch = FolderWatch::new(changed.clone());
    loop {
        let again = Arc::clone(&reloader);
        // The files may be on a slow disk, and the control thread also answers health probes.
        let reload = tokio::task::spawn_blocking(move || again.reload(Cause::Noticed));
        if let Err(panicked) = reload.await {
            tracing::error!(error = %panicked, "reload failed");
        }
        watch.follow(&reloader.state().folders);
        let _either = tokio::time::timeout(LOOK_EVERY, changes.recv()).await;
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
    }
}

/// Watches directories, since a watch on a file ends when the `..data` link of a ConfigMap is swapped.
struct FolderWatch {
    watcher: Option<RecommendedWatcher>,
    folders: Vec<PathBuf>,
}

impl FolderWatch {
    fn new(changed: mpsc::Sender<()>) -> Self {
        let on_event = move |event: notify::Result<notify::Event>| {
            // Reading the files causes access events too.
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _already_told = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "file change notifications are not available; polling every few seconds instead");
        }
        Self { watcher: watcher.ok(), folders: Vec::new() }
    }

    fn follow(&mut self, folders: &[PathBuf]) {
        let Some(watcher) = self.watcher.as_mut().filter(|_| self.folders != folders) else { return };
        for folder in &self.folders {
            let _may_be_gone = watcher.unwatch(folder);
        }
        for folder in folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "directory not watched; polling every few seconds");
            }
        }
        self.folders = folders.to_vec();
    }
}
