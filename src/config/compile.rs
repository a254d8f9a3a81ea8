//! File types → runtime types. Pure: parses bytes into a [`Config`], or returns every problem at once.
//!
//! Only this module knows both. A configuration whose meaning is not certain is rejected: no default here accepts more
//! requests than the file allows.

mod auth;
mod compiler;
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

use super::compiled::{Config, Drain, Handles, ProcessSettings};
use super::error::{ConfigErrors, FieldPath};
use super::file::{AdminFile, DrainFile, ErrorDetailFile, GatewayFile, LogFile};
use super::sources::Sources;
use super::yaml;
use crate::auth::Policy;
use crate::route::{ErrorForm, Route, RoutingTable};
use crate::settings::StoreSettings;
use crate::snapshot::{ErrorDetail, Snapshot};
use compiler::Compiler;
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
        client_crls: Vec::new(),
        route_shares_revocation: false,
        has_store: false,
        store_share: 0,
    };
    let config = compiler.gateway(&file);
    match config {
        Some(config) if compiler.problems.is_empty() => Ok(config),
        Some(_) | None => Err(ConfigErrors::new(&file_name, document.locate(&compiler.problems))),
    }
}

impl Compiler<'_> {
    fn gateway(&mut self, file: &GatewayFile) -> Option<Config> {
        let root = FieldPath::root();
        let trusted_proxies = self.trusted_proxies(file.trusted_proxies.as_deref(), &root.child("trusted_proxies"));
        let store = self.store(file.store.as_ref(), &root.child("store"));
        let users = file.routes.iter().flatten().filter(|route| replay::remembers(route)).count();
        self.has_store = file.store.is_some();
        self.store_share = store.as_ref().map_or(0, |store| store.capacity / users.max(1));
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
            error_detail: disclosure(file.error_detail),
            max_buffered_bytes: self.buffered_bodies,
            config_hash: self.sources.hash(),
        };
        Some(Config {
            snapshot: Arc::new(snapshot),
            process: process(file.workers, file.log.as_ref(), addresses, admin, store),
            drain,
            handles: std::mem::take(&mut self.handles),
            certificates: std::mem::take(&mut self.certificates),
            client_crls: std::mem::take(&mut self.client_crls),
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
                Policy::Jwt(_)
                | Policy::Detached(_)
                | Policy::Signature(_)
                | Policy::ClientCertificate(_)
                | Policy::Token(_)
                | Policy::AllOf(_)
                | Policy::AnyOf(_)
                | Policy::Public => false,
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

const fn disclosure(file: Option<ErrorDetailFile>) -> ErrorDetail {
    match file {
        None | Some(ErrorDetailFile::Standard) => ErrorDetail::Standard,
        Some(ErrorDetailFile::Opaque) => ErrorDetail::Opaque,
        Some(ErrorDetailFile::Detailed) => ErrorDetail::Detailed,
    }
}

fn process(
    workers: Option<u16>,
    log: Option<&LogFile>,
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    store: Option<StoreSettings>,
) -> ProcessSettings {
    ProcessSettings {
        workers: usize::from(workers.unwrap_or(0)),
        listeners,
        admin,
        log_format: log.and_then(|log| log.format).unwrap_or_default(),
        access_log: log.and_then(|log| log.access).unwrap_or(true),
        store,
    }
}
