//! A compiled configuration: the snapshot for requests, the settings of the process, and the state that outlives a
//! reload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigErrors, IncludedFiles, Problem};
use super::tenants::TenantFolder;
use crate::auth::keys::RemoteKeys;
use crate::auth::revocation::RevocationHandle;
use crate::auth::signing_certificate::SigningCertificates;
use crate::clock::UnixTime;
use crate::route::Endpoint;
use crate::route::duplicates::Widened;
use crate::settings::{LogFormat, StoreSettings};
use crate::snapshot::Snapshot;
use crate::tls::acme::AcmeName;

/// A compiled configuration.
#[derive(Debug)]
pub struct Config {
    /// The part with which requests are handled.
    pub snapshot: Arc<Snapshot>,
    /// Settings that only a restart can change.
    pub process: ProcessSettings,
    /// Graceful shutdown after SIGTERM.
    pub drain: Drain,
    /// State that outlives a reload.
    pub handles: Handles,
    /// Each certificate that the gateway presents: its file, and from and until when it is valid.
    pub certificates: Vec<(String, [UnixTime; 2])>,
    /// Warnings that depend on the time.
    pub timed_warnings: Vec<TimedWarning>,
    /// Folders with the secrets of tenants that are to be read before the configuration is used, each with the place of
    /// its problem.
    pub unread_folders: Vec<(Problem, Arc<TenantFolder>)>,
    /// The files of tenants that cannot be used. All others are active: `check` reports them as errors, and the gateway
    /// starts.
    pub rejected_files: Vec<Problem>,
    /// The included files, in which problems may be.
    pub included: IncludedFiles,
    /// The servers that it names, each with the place of its URL.
    pub servers: Vec<(Problem, NamedServer)>,
    /// The files with secrets and private keys, each with its place.
    pub secret_files: Vec<(Problem, PathBuf)>,
    /// Warnings that do not depend on the time; see [`Config::warnings_at`].
    pub warnings: Vec<Problem>,
}

/// A server to which the gateway connects.
#[derive(Clone, Debug)]
pub enum NamedServer {
    /// That of a key set or discovery document.
    KeySet(Arc<RemoteKeys>),
    /// An endpoint of an upstream.
    Upstream(Arc<Endpoint>),
}

/// A configuration that was checked without the files that it names.
#[derive(Debug)]
pub struct OfflineCheck {
    /// The number of listeners and of routes.
    pub counts: (usize, usize),
    /// The files and variables that were not read, each with its place.
    pub unread: Vec<Problem>,
    /// The warnings that need none of them.
    pub warnings: Vec<Problem>,
    /// The included files.
    pub included: IncludedFiles,
}

/// A warning that applies from one time until another.
#[derive(Clone, Debug)]
pub struct TimedWarning {
    /// The warning and its place.
    pub problem: Problem,
    /// The first time.
    pub from: UnixTime,
    /// The first time after it.
    pub until: UnixTime,
}

impl Config {
    /// A warning as the log has it: with its file if that is an included one.
    pub fn shown(&self, warning: &Problem) -> String {
        match self.included.placed("", warning) {
            ("", warning) => warning.to_string(),
            (file, warning) => format!("{file}: {warning}"),
        }
    }

    /// Problems or warnings of the configuration at `path`, with the files in which they are.
    pub fn errors(&self, path: &Path, problems: Vec<Problem>) -> ConfigErrors {
        ConfigErrors::new(path.display().to_string(), problems).with_included(self.included.clone())
    }

    /// All warnings at `now`, in the order of the file: valid but unsafe settings, and what has expired or will soon.
    pub fn warnings_at(&self, now: UnixTime) -> Vec<Problem> {
        let timed = self.timed_warnings.iter().filter(|warning| warning.from <= now && now < warning.until);
        let mut all: Vec<Problem> =
            self.warnings.iter().chain(timed.map(|warning| &warning.problem)).cloned().collect();
        all.sort_by_key(|warning| warning.position);
        all
    }
}

/// State that outlives a reload. `compile` receives the handles in use, so that a reload keeps fetched keys,
/// revocations and connections.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    /// Key sets that are fetched.
    pub remote_keys: Vec<Arc<RemoteKeys>>,
    /// Certificates that requests name by their URLs.
    pub signing_certificates: Vec<Arc<SigningCertificates>>,
    /// Revocation lists, each read from its file.
    pub revocations: Vec<Arc<RevocationHandle>>,
    /// Folders with the secrets of tenants.
    pub tenants: Vec<Arc<TenantFolder>>,
    /// Names whose certificates come from an ACME server.
    pub acme: Vec<Arc<AcmeName>>,
    /// Endpoints of upstreams; each worker has a connection pool for them.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// For each route with `replay_protection`: how long its credentials stay valid, and any extension by a reload.
    pub windows: BTreeMap<Arc<str>, Window>,
    /// The time at which the configuration is read, from which an extended window applies.
    pub read_at: UnixTime,
}

/// How long the credentials of a route stay valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The sum of all durations that bound the credentials (max age, leeway).
    pub length: Duration,
    /// Set if a reload extended it.
    pub widened: Option<Widened>,
}

/// Settings that only a restart can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Number of worker threads; 0 means one per core.
    pub workers: usize,
    /// Addresses, in the order of `listeners`.
    pub listeners: Vec<SocketAddr>,
    /// Address of the admin listener; `None` if there is none.
    pub admin: Option<SocketAddr>,
    /// Host names of the admin listener.
    pub admin_hosts: Vec<String>,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Whether the access log is written: one line per request.
    pub access_log: bool,
    /// The store for replay ids, idempotency keys, shared rates and shared revocations, if there is one.
    pub store: Option<StoreSettings>,
}

impl ProcessSettings {
    /// The fields in which `other` differs, which a reload cannot apply.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("workers", self.workers != other.workers),
            ("listeners[].address", self.listeners != other.listeners),
            ("admin.address", self.admin != other.admin),
            ("admin.hosts", self.admin_hosts != other.admin_hosts),
            ("log.format", self.log_format != other.log_format),
            ("log.access", self.access_log != other.access_log),
            ("store", self.store != other.store),
        ];
        fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }
}

/// Graceful shutdown after SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Time in which the process is not ready but still accepts connections; every response closes its connection.
    pub delay: Duration,
    /// Time after `delay` in which requests in flight may finish.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), timeout: Duration::from_secs(30) }
    }
}
