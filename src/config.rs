//! gateway.yaml → runtime types. [`load`] reads bytes; [`compile()`] is pure and says everything that is wrong.
//!
//! `hookgate check`, the start and every reload come through here; there is no second way.

pub mod compile;
pub mod error;
pub mod file;
pub mod presets;
pub mod renames;
pub mod revocation;
pub mod shape;
pub mod sources;
pub mod state;
pub mod values;
pub mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::auth::keys::RemoteKeys;
use crate::auth::revocation::RevocationHandle;
use crate::clock::UnixTime;
use crate::route::Endpoint;
use crate::route::admission::Widened;
use crate::snapshot::Snapshot;
pub use compile::compile;
pub use error::ConfigErrors;
pub use sources::Sources;

/// A configuration, ready to run.
#[derive(Debug)]
pub struct Config {
    /// What requests see.
    pub snapshot: Arc<Snapshot>,
    /// What only a restart can change.
    pub process: ProcessSettings,
    /// What SIGTERM does.
    pub drain: Drain,
    /// What is kept fresh beside it.
    pub handles: Handles,
    /// File and end of each served certificate.
    pub certificates: Vec<(String, UnixTime)>,
    /// Place and end of each `client_crl`.
    pub revocation_lists: Vec<(String, UnixTime)>,
    /// What is allowed and unwise, a line each; see [`Config::warnings_at`].
    pub warnings: Vec<String>,
}

impl Config {
    /// What is allowed and unwise, and what is so only by the time: a line each.
    pub fn warnings_at(&self, now: UnixTime) -> Vec<String> {
        let ended = self.revocation_lists.iter().filter(|(_, expires)| *expires <= now);
        let ended = ended.map(|(place, _)| {
            format!("{place}: a revocation list has ended; clients of its issuer are refused until it is renewed")
        });
        self.warnings.iter().cloned().chain(ended).collect()
    }
}

/// What has a life of its own while configurations come and go. [`compile()`] is given the handles in use, so that a
/// reload forgets neither keys nor revocations nor connections.
#[derive(Clone, Debug, Default)]
pub struct Handles {
    /// Key sets, filled by fetching.
    pub remote_keys: Vec<Arc<RemoteKeys>>,
    /// Revocation lists, each filled from its file.
    pub revocations: Vec<Arc<RevocationHandle>>,
    /// Where apps listen: each worker keeps connections to them.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// How long the credentials of each route with `replay` stay good, and since when it is longer than it was.
    pub windows: BTreeMap<Arc<str>, Window>,
    /// The time of the reading, which is when a window that it widens grows.
    pub read_at: UnixTime,
}

/// How long the credentials of a route stay good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// All its bounds together.
    pub length: Duration,
    /// A reload has made it longer.
    pub widened: Option<Widened>,
}

/// What only a restart can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Worker threads; 0 is one a core.
    pub workers: usize,
    /// In the order of `listeners`.
    pub listeners: Vec<SocketAddr>,
    /// Where the admin listener is, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The form of log lines.
    pub log_format: file::LogFormat,
    /// One line a request.
    pub access_log: bool,
    /// Where ids, keys and shared limits are kept, if anywhere.
    pub state: Option<state::StateSettings>,
}

impl ProcessSettings {
    /// The fields in which `other` differs: a reload cannot carry them out.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let fields = [
            ("workers", self.workers != other.workers),
            ("listeners[].address", self.listeners != other.listeners),
            ("admin.address", self.admin != other.admin),
            ("log.format", self.log_format != other.log_format),
            ("log.access", self.access_log != other.access_log),
            ("store", self.state != other.state),
        ];
        fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
    }
}

/// What SIGTERM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Unready, still accepting, every reply ends its connection.
    pub delay: Duration,
    /// What is under way may take so long after that.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), timeout: Duration::from_secs(30) }
    }
}

/// Reads and compiles a configuration. `known` are the handles in use, which keep what they hold.
///
/// # Errors
/// Every problem, each with its place.
pub fn load(path: &Path, known: &Handles) -> Result<Config, ConfigErrors> {
    compile(&Sources::read(path, known)?, known)
}

/// The JSON Schema of gateway.yaml (draft 2020-12).
pub fn schema() -> &'static serde_json::Value {
    // Made once: each look for a change reads by it.
    static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| schemars::schema_for!(file::GatewayFile).to_value());
    &SCHEMA
}
