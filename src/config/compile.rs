//! File types → runtime types. Pure: parses bytes into a [`Config`], or returns every problem at once.
//!
//! Only this module knows both. A configuration whose meaning is not certain is rejected: no default here accepts more
//! requests than the file allows.

mod acme;
mod auth;
mod challenge;
mod compiler;
mod filter;
mod forgotten;
mod forward;
mod issuer;
mod jwt;
mod limits;
mod listener;
mod message_signature;
mod overlaps;
mod preset;
mod replay;
mod revocation;
mod route;
mod secrets;
mod senders;
mod signature;
mod signing_certificate;
mod store;
mod upstream;
mod websocket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::compiled::{Config, Drain, Handles, OfflineCheck, ProcessSettings};
use super::error::{ConfigErrors, Problem};
use super::reader::Location;
use super::sources::Sources;
use super::tenants::TenantFolder;
use crate::auth::Policy;
use crate::auth::issuer::Issuer;
use crate::route::Route;
use crate::route::table::RoutingTable;
use crate::settings::StoreSettings;
use crate::snapshot::Snapshot;
use compiler::Compiler;

/// Compiles a configuration that was read. `known` are the handles in use: an unchanged issuer keeps its handle, an
/// issuer of which only the timing changed keeps its keys until the next fetch, and a revocation list that is still
/// named keeps its handle.
///
/// # Errors
/// Every problem of shape and meaning, with its position.
pub fn compile(sources: &Sources, known: &Handles) -> Result<Config, ConfigErrors> {
    let mut compiler = compiler(sources, known)?;
    match compiler.gateway() {
        Some(config) if compiler.problems.is_empty() => Ok(config),
        Some(_) | None => Err(sources.errors(compiler.problems.into_vec())),
    }
}

/// Checks a configuration whose files were not read. Each secret is replaced by another one, so that what does not depend
/// on its value is checked.
///
/// # Errors
/// Every problem that does not depend on a file.
pub fn compile_offline(sources: &Sources) -> Result<OfflineCheck, ConfigErrors> {
    let known = Handles::default();
    let mut compiler = compiler(sources, &known)?;
    let complete = compiler.gateway();
    if !compiler.problems.is_empty() {
        return Err(sources.errors(compiler.problems.into_vec()));
    }
    let (folders, warnings) = match complete {
        Some(config) => (config.unread_folders, config.warnings),
        None => (compiler.unread_folders, compiler.warnings),
    };
    let folder = |(place, folder): (Problem, Arc<TenantFolder>)| Problem {
        message: format!("folder {}", folder.dir.escape_debug()),
        ..place
    };
    compiler.unread.extend(folders.into_iter().map(folder));
    let counts = (compiler.file.listeners.len(), compiler.file.routes.len());
    Ok(OfflineCheck { counts, unread: compiler.unread, warnings, included: sources.included_files.clone() })
}

fn compiler<'a>(sources: &'a Sources, known: &'a Handles) -> Result<Compiler<'a>, ConfigErrors> {
    let document = sources.document.as_ref();
    let (file, problems) = document.map_err(|problems| sources.errors(problems.clone()))?;
    Ok(Compiler::new(sources, known, file, problems.clone()))
}

impl Compiler<'_> {
    fn gateway(&mut self) -> Option<Config> {
        let file = self.file;
        if file.include.value().is_some() && self.sources.included.is_empty() {
            self.warn(file.include.at, "matches no file");
        }
        let trusted_proxies = self.trusted_proxies();
        let store = self.store(&file.store);
        let addresses = self.addresses();
        let listeners = self.listeners();
        let issuers = self.issuers();
        let routes = self.routes(&issuers, store.as_ref());
        let snapshot = Snapshot {
            routes: routes?,
            listeners: listeners?,
            trusted_proxies,
            error_detail: file.error_detail.or_default(),
            max_buffered_bytes: file.max_buffered_bytes.get(),
            config_hash: self.sources.hash(),
            yaml_hash: self.sources.yaml_hash(),
        };
        let (listeners, admin) = addresses?;
        let process = ProcessSettings {
            workers: file.workers.get(),
            listeners,
            admin,
            admin_hosts: file.admin.hosts.iter().map(|host| host.0.clone()).collect(),
            log_format: file.log.format.or_default(),
            access_log: file.log.access.get(),
            store,
        };
        Some(Config {
            snapshot: Arc::new(snapshot),
            process,
            drain: Drain { delay: file.drain.delay.get(), timeout: file.drain.timeout.get() },
            handles: std::mem::take(&mut self.handles),
            certificates: std::mem::take(&mut self.certificates),
            timed_warnings: std::mem::take(&mut self.timed_warnings),
            unread_folders: std::mem::take(&mut self.unread_folders),
            rejected_files: Vec::new(),
            included: self.sources.included_files.clone(),
            servers: std::mem::take(&mut self.servers),
            secret_files: std::mem::take(&mut self.secret_files),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// The addresses of the listeners and of the admin listener. Reports duplicates: the second bind would fail, and the
    /// process would not start. Port 0 is a different port each time.
    fn addresses(&mut self) -> Option<(Vec<SocketAddr>, Option<SocketAddr>)> {
        let mut seen: Vec<SocketAddr> = Vec::new();
        let mut complete = true;
        for listener in self.file.listeners.iter() {
            match self.required(&listener.address, ADDRESS).map(|address| **address) {
                Some(address) if address.port() != 0 && seen.contains(&address) => {
                    self.problems.add(listener.address.at, "duplicate address: an earlier listener uses it");
                }
                Some(address) => seen.push(address),
                None => complete = false,
            }
        }
        let admin = &self.file.admin;
        if !admin.is_written {
            return complete.then_some((seen, None));
        }
        let address = **self.required(&admin.address, ADDRESS)?;
        if address.port() != 0 && seen.contains(&address) {
            self.problems.add(admin.address.at, "duplicate address: a listener uses it");
        }
        if address.ip().is_unspecified() && !admin.hosts.is_written {
            let warning = "every machine that reaches this port can read metrics and status; use 127.0.0.1, or write in \
                           `hosts` the names by which they do, [] for IP addresses alone";
            self.warn(admin.address.at, warning);
        }
        complete.then_some((seen, Some(address)))
    }

    fn routes(&mut self, issuers: &BTreeMap<String, Issuer>, store: Option<&StoreSettings>) -> Option<RoutingTable> {
        let files = &self.file.routes;
        if files.is_empty() {
            let needed = "at least one route is needed, with name, match, upstream and auth";
            match self.file.include.value() {
                Some(pattern) => {
                    let none = format!("{}: no file matches, and this file has no routes: {needed}", pattern.text);
                    self.problems.add_follow_up(self.file.include.at, none);
                }
                None => self.problems.add_follow_up(files.at, needed),
            }
            return None;
        }
        let users = files.iter().filter(|route| replay::uses_store(route)).count();
        let share = store.map_or(0, |store| store.capacity / users.max(1));
        let mut names: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut routes = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let Some(route) = self.route(file, issuers, share) else {
                // Without this route, a less specific route would match its requests.
                if self.problems.is_empty() && !self.sources.is_offline {
                    self.problems.add(file.at, "cannot be used as it is written");
                }
                continue;
            };
            if let Some(first) = names.insert(Arc::clone(&route.name), index) {
                self.problems.add(
                    file.name.at,
                    format!("duplicate name: {} uses it; choose another", self.sources.included_files.route(first)),
                );
            }
            routes.push((file.auth.at, route));
        }
        forward::share_claim_headers(&mut routes);
        let routes: Vec<_> = routes.into_iter().map(|(at, route)| (at, Arc::new(route))).collect();
        self.check_shared_challenges(&routes);
        for (at, route) in &routes {
            self.warn_of_shared_names(route, *at);
            self.warn_of_moved_signatures(route, *at);
        }
        self.warn_of_shared_credentials(&routes);
        self.table(routes, &names)
    }

    /// The response to an endpoint verification challenge signs text of the client's choice. If another route accepts
    /// bodies of any form signed with the same secret, an attacker could use that signature there.
    fn check_shared_challenges(&mut self, routes: &[(Location, Arc<Route>)]) {
        let challenges = routes.iter().flat_map(|(_, route)| &route.challenges);
        let signers: Vec<&[u8]> = challenges.filter_map(|one| one.secret.as_ref()?.shared()).collect();
        for (at, route) in routes {
            let open = route.rules.policy.leaves().into_iter().any(|leaf| {
                let Policy::Signature(policy) = leaf else { return false };
                let mut shared = policy.secrets.iter().filter_map(|secret| secret.key.shared());
                policy.required_json.is_none() && shared.any(|secret| signers.contains(&secret))
            });
            if open {
                let message = "a challenge response of another route is signed with this secret: use another secret, \
                               or set `challenge` here too, so that bodies must be JSON objects";
                self.problems.add(*at, message);
            }
        }
    }

    fn table(
        &mut self,
        routes: Vec<(Location, Arc<Route>)>,
        names: &BTreeMap<Arc<str>, usize>,
    ) -> Option<RoutingTable> {
        let routes: Vec<_> = routes.into_iter().map(|(_, route)| route).collect();
        self.warn_of_bypasses(&routes, names);
        self.check_encoded_slashes(&routes, names);
        self.warn_of_hosts(&routes, names);
        self.warn_of_hidden(&routes, names);
        let overlaps = match RoutingTable::new(routes) {
            Ok(table) => return Some(table),
            Err(overlaps) => overlaps,
        };
        for overlap in overlaps {
            let second = names.get(&overlap.1).and_then(|index| self.file.routes.get(*index));
            let at = second.map_or(self.file.routes.at, |route| route.matches.at);
            let other = if overlap.0 == overlap.1 {
                "the other route of this name".to_owned()
            } else {
                format!("route `{}`", overlap.0)
            };
            let message = format!("matches requests that {other} matches too; make host, path or methods differ");
            self.problems.add(at, message);
        }
        None
    }
}

const ADDRESS: &str = "an address and a port, such as \"0.0.0.0:8443\"";
