//! File types → runtime types. Pure: parses bytes into a [`Config`], or returns every problem at once.
//!
//! Only this module knows both. A configuration whose meaning is not certain is rejected: no default here accepts more
//! requests than the file allows.

mod auth;
mod forward;
mod issuer;
mod jwt;
mod limits;
mod listener;
mod preset;
mod replay;
mod revocation;
mod route;
mod secrets;
mod signature;
mod store;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigErrors, FieldPath, Problems};
use super::file::{AdminFile, DrainFile, DurationText, ErrorDetailFile, GatewayFile, LogFile, SizeText};
use super::sources::SourceContent;
use super::values::{parse_duration, parse_size};
use super::{Config, Drain, Handles, ProcessSettings, Sources, yaml};
use crate::auth::Policy;
use crate::auth::challenge::ChallengeRule;
use crate::clock::UnixTime;
use crate::route::{ErrorForm, Route, RoutingTable};
use crate::settings::StoreSettings;
use crate::snapshot::{Disclosure, Snapshot};
use issuer::IssuerKeys;

/// Default of `max_buffered_bytes`: memory for bodies that are buffered until they are verified.
const BUFFERED_BODIES: u64 = 64 << 20;

/// Compiles a configuration that was read. `known` are the handles in use: an unchanged issuer keeps its handle, an
/// issuer of which only the timing changed keeps its keys until the next fetch, and a revocation list that is still
/// named keeps its handle.
///
/// # Errors
/// Every problem of shape and meaning, with its position.
pub fn compile(sources: &Sources, known: &Handles) -> Result<Config, ConfigErrors> {
    let file_name = sources.path.display().to_string();
    let document = yaml::read(&sources.text).map_err(|problems| ConfigErrors::new(&file_name, problems))?;
    let (file, problems) = GatewayFile::read(document.value.clone());
    let mut compiler = Compiler {
        sources,
        known,
        problems,
        warnings: Vec::new(),
        handles: Handles::default(),
        certificates: Vec::new(),
        asks_clients: false,
        trusts_proxies: false,
        buffered_bodies: BUFFERED_BODIES,
        shares_limits: false,
        route_secrets: 0,
        route_challenges: Vec::new(),
        route_errors: ErrorForm::default(),
        route_largest_body: None,
        revocation_lists: Vec::new(),
        route_shares_revocation: false,
        has_state: false,
        state_share: 0,
    };
    let config = compiler.gateway(&file);
    match config {
        Some(config) if compiler.problems.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors::new(&file_name, document.locate(&compiler.problems))),
    }
}

/// Walks the file and collects problems and warnings.
struct Compiler<'a> {
    sources: &'a Sources,
    known: &'a Handles,
    problems: Problems,
    warnings: Vec<String>,
    handles: Handles,
    certificates: Vec<(String, UnixTime)>,
    /// Whether a listener requests client certificates.
    asks_clients: bool,
    /// Whether `trusted_proxies` names any.
    trusts_proxies: bool,
    /// `max_buffered_bytes`: bytes of all bodies that may be buffered until they are verified.
    buffered_bodies: u64,
    /// Whether the store is one in which replicas share rate limits.
    shares_limits: bool,
    /// Number of secrets of the current route so far.
    route_secrets: usize,
    /// Endpoint verification challenges of the current route so far.
    route_challenges: Vec<ChallengeRule>,
    /// Format of the current route's error responses.
    route_errors: ErrorForm,
    /// Preset of the current route, its largest body, and whether its sender never retries.
    route_largest_body: Option<(String, String, bool)>,
    revocation_lists: Vec<(String, UnixTime)>,
    /// Whether the current route has revocations in the shared store.
    route_shares_revocation: bool,
    /// Whether there is a `store`, valid or not.
    has_state: bool,
    /// Number of store entries that one route may have.
    state_share: usize,
}

impl Compiler<'_> {
    fn gateway(&mut self, file: &GatewayFile) -> Option<Config> {
        let root = FieldPath::root();
        let trusted_proxies = self.trusted_proxies(file.trusted_proxies.as_deref(), &root.child("trusted_proxies"));
        let state = self.store(file.store.as_ref(), &root.child("store"));
        let users = file.routes.iter().flatten().filter(|route| replay::remembers(route)).count();
        self.has_state = file.store.is_some();
        self.state_share = state.as_ref().map_or(0, |state| state.capacity / users.max(1));
        self.buffered_bodies =
            self.size(file.max_buffered_bytes.as_ref(), &root.child("max_buffered_bytes"), BUFFERED_BODIES);
        self.shares_limits = limits::are_shared(file.store.as_ref());
        let drain = self.drain(file.drain.as_ref(), &root.child("drain"));
        let admin = self.admin(file.admin.as_ref(), &root.child("admin"));
        let listeners = self.listeners(file.listeners.as_deref(), &root.child("listeners"));
        let issuers = self.issuers(file.issuers.as_ref(), &root.child("issuers"));
        let routes = self.routes(file.routes.as_deref(), &issuers, &root.child("routes"));
        let (addresses, settings): (Vec<SocketAddr>, Vec<_>) = listeners?.into_iter().unzip();
        self.distinct(&addresses, admin, &root);
        let snapshot = Snapshot {
            routes: routes?,
            listeners: settings,
            trusted_proxies,
            disclosure: disclosure(file.error_detail),
            buffered_bodies: self.buffered_bodies,
            version: self.sources.hash(),
        };
        Some(Config {
            snapshot: Arc::new(snapshot),
            process: process(file.workers, file.log.as_ref(), addresses, admin, state),
            drain,
            handles: std::mem::take(&mut self.handles),
            certificates: std::mem::take(&mut self.certificates),
            revocation_lists: std::mem::take(&mut self.revocation_lists),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// Reports a duplicate address: the second bind would fail, and the process would not start. Port 0 is a different
    /// port each time.
    fn distinct(&mut self, listeners: &[SocketAddr], admin: Option<SocketAddr>, root: &FieldPath) {
        for (index, address) in listeners.iter().enumerate().filter(|(_, address)| address.port() != 0) {
            if listeners.iter().take(index).any(|earlier| earlier == address) {
                let path = root.child("listeners").index(index).child("address");
                self.problems.add(&path, "duplicate address: an earlier listener uses it");
            }
            if admin == Some(*address) {
                self.problems.add(&root.child("admin").child("address"), "duplicate address: a listener uses it");
            }
        }
    }

    fn drain(&mut self, file: Option<&DrainFile>, path: &FieldPath) -> Drain {
        let mut drain = Drain::default();
        if let Some(file) = file {
            drain.delay = self.duration(file.delay.as_ref(), &path.child("delay"), drain.delay);
            drain.timeout = self.duration(file.timeout.as_ref(), &path.child("timeout"), drain.timeout);
        }
        drain
    }

    fn admin(&mut self, file: Option<&AdminFile>, path: &FieldPath) -> Option<SocketAddr> {
        self.address(file?.address.as_deref(), &path.child("address"))
    }

    fn routes(
        &mut self,
        files: Option<&[super::file::RouteFile]>,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<RoutingTable> {
        let Some(files) = files.filter(|files| !files.is_empty()) else {
            self.problems.add_follow_up(path, "at least one route is needed, with name, match, upstream and auth");
            return None;
        };
        let mut names: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut routes = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let path = path.index(index);
            let Some(route) = self.route(file, issuers, &path) else {
                // Without this route, a less specific route would match its requests.
                if self.problems.is_empty() {
                    self.problems.add(&path, "cannot be used as it is written");
                }
                continue;
            };
            if let Some(first) = names.insert(Arc::clone(&route.name), index) {
                self.problems
                    .add(&path.child("name"), format!("duplicate name: routes[{first}] uses it; choose another"));
            }
            routes.push(Arc::new(route));
        }
        self.check_shared_challenges(&routes, path);
        self.table(routes, &names, path)
    }

    /// The response to an endpoint verification challenge signs text of the client's choice. If another route accepts
    /// bodies of any form signed with the same secret, an attacker could use that signature there.
    fn check_shared_challenges(&mut self, routes: &[Arc<Route>], path: &FieldPath) {
        let signers = routes.iter().flat_map(|route| &route.challenges).filter_map(|one| one.secret.as_ref()?.shared());
        let signers: Vec<&[u8]> = signers.collect();
        for (index, route) in routes.iter().enumerate() {
            let open = route.rules.policy.leaves().into_iter().any(|leaf| match leaf {
                Policy::Signature(policy) if policy.required_json.is_none() => {
                    let shared = policy.secrets.iter().filter_map(|secret| secret.key.shared());
                    shared.into_iter().any(|secret| signers.contains(&secret))
                }
                _ => false,
            });
            if open {
                let message = "a challenge response of another route is signed with this secret: use another secret, \
                               or set `challenge` here too, so that bodies must be JSON objects";
                self.problems.add(&path.index(index).child("auth"), message);
            }
        }
    }

    fn table(
        &mut self,
        routes: Vec<Arc<Route>>,
        names: &BTreeMap<Arc<str>, usize>,
        path: &FieldPath,
    ) -> Option<RoutingTable> {
        match RoutingTable::new(routes) {
            Ok(table) => Some(table),
            Err(overlaps) => {
                for overlap in overlaps {
                    let index = names.get(&overlap.1).copied().unwrap_or_default();
                    let message = format!(
                        "matches requests that route `{}` matches too; make host, path or methods differ",
                        overlap.0
                    );
                    self.problems.add(&path.index(index).child("match"), message);
                }
                None
            }
        }
    }
}

/// Helpers for every part of the compiler.
impl Compiler<'_> {
    fn missing(&mut self, path: &FieldPath, what: &str) {
        self.problems.add_follow_up(path, format!("missing; expected {what}"));
    }

    /// A duration, which may be zero.
    fn duration(&mut self, text: Option<&DurationText>, path: &FieldPath, default: Duration) -> Duration {
        self.optional_duration(text, path).unwrap_or(default)
    }

    fn optional_duration(&mut self, text: Option<&DurationText>, path: &FieldPath) -> Option<Duration> {
        let parsed = parse_duration(&text?.0);
        if parsed.is_none() {
            self.problems.add(path, "expected a duration: a whole number and ms, s, m, h or d, such as 30s");
        }
        parsed
    }

    /// An optional duration that must not be zero, because zero would reject every request.
    fn optional_deadline(&mut self, text: Option<&DurationText>, path: &FieldPath) -> Option<Duration> {
        text.map(|_| self.deadline(text, path, Duration::MAX))
    }

    /// A duration that must not be zero, because zero would time out every request.
    fn deadline(&mut self, text: Option<&DurationText>, path: &FieldPath, default: Duration) -> Duration {
        let duration = self.duration(text, path, default);
        if duration.is_zero() {
            self.problems.add(path, "must be longer than zero");
        }
        duration
    }

    fn size(&mut self, text: Option<&SizeText>, path: &FieldPath, default: u64) -> u64 {
        let Some(text) = text else { return default };
        parse_size(&text.0).unwrap_or_else(|| {
            self.problems.add(path, "expected a size: a whole number and B, KiB, MiB or GiB, such as 1MiB");
            default
        })
    }

    fn count<N: Default + PartialEq + Copy>(&mut self, number: Option<N>, path: &FieldPath, default: N) -> N {
        if number == Some(N::default()) {
            self.problems.add(path, "must be 1 or more");
        }
        number.unwrap_or(default)
    }

    fn address(&mut self, text: Option<&str>, path: &FieldPath) -> Option<SocketAddr> {
        let Some(text) = text else {
            self.missing(path, "an address and a port, such as \"0.0.0.0:8443\"");
            return None;
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problems.add(path, "expected an IP address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"");
        }
        parsed
    }

    /// The contents of the file that is named at `path`.
    fn file(&mut self, name: Option<&String>, path: &FieldPath) -> Option<&[u8]> {
        let Some(name) = name else {
            self.missing(path, "the path of a file");
            return None;
        };
        content(self.sources.files.get(name), &mut self.problems, path, &format!("file {name}"))
    }

    fn variable(&mut self, name: &str, path: &FieldPath) -> Option<&[u8]> {
        content(self.sources.variables.get(name), &mut self.problems, path, &format!("environment variable {name}"))
    }
}

fn content<'s>(
    content: Option<&'s SourceContent>,
    problems: &mut Problems,
    path: &FieldPath,
    what: &str,
) -> Option<&'s [u8]> {
    match content {
        Some(Ok(bytes)) => Some(bytes.as_slice()),
        Some(Err(error)) => {
            problems.add(path, format!("{what}: {error}"));
            None
        }
        None => {
            problems.add(path, format!("{what}: was not read"));
            None
        }
    }
}

const fn disclosure(file: Option<ErrorDetailFile>) -> Disclosure {
    match file {
        None | Some(ErrorDetailFile::Standard) => Disclosure::Standard,
        Some(ErrorDetailFile::Opaque) => Disclosure::Opaque,
        Some(ErrorDetailFile::Detailed) => Disclosure::Detailed,
    }
}

fn process(
    workers: Option<u16>,
    log: Option<&LogFile>,
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    state: Option<StoreSettings>,
) -> ProcessSettings {
    ProcessSettings {
        workers: usize::from(workers.unwrap_or(0)),
        listeners,
        admin,
        log_format: log.and_then(|log| log.format).unwrap_or_default(),
        access_log: log.and_then(|log| log.access).unwrap_or(true),
        state,
    }
}
