//! The keys of issuers with a JWKS URL: those of `--jwks`, those in the gateway's cache on disk, and, where these do
//! not suffice, fetched ones. A URL is one of gateway.yaml, never of a request.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::auth::Policy;
use crate::auth::explanation::Note;
use crate::auth::keys::{KeySet, Keys, RemoteKeys, SkippedKey};
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::Config;
use crate::jwks;
use crate::route::Route;

/// The advice of `explain` where no key is fetched.
pub(super) const OFFLINE: &str =
    "the issuer has a JWKS URL, and nothing is fetched: pass the JWKS with --jwks, or leave out --offline";

/// The keys for one run of a command.
pub(in crate::cli) struct KeySource {
    /// The advice for missing keys, if no key is fetched.
    offline: Option<&'static str>,
    /// The time at which keys are said to have been fetched: no request is evaluated at a later one.
    at: UnixTime,
    /// Keys of the JWKS that are not used.
    pub(super) skipped: Vec<SkippedKey>,
    /// Sets that were fetched, or could not be.
    tried: RefCell<Vec<Arc<RemoteKeys>>>,
    /// A finding about each set.
    notes: RefCell<Vec<(Arc<RemoteKeys>, Note)>>,
}

impl KeySource {
    /// Gives each issuer with a JWKS URL the keys in this file, or else those in its cache. `latest` is the latest time at
    /// which a request is evaluated. With a file, or with `offline`, the advice for missing keys, nothing is fetched.
    pub(in crate::cli) fn prepare(
        config: &Config,
        (file, offline): (Option<&Path>, Option<&'static str>),
        latest: UnixTime,
    ) -> anyhow::Result<Self> {
        let at = SystemClock.now().max(latest);
        let mut source = Self {
            offline: offline.or(file.map(|_| OFFLINE)),
            at,
            skipped: Vec::new(),
            tried: RefCell::default(),
            notes: RefCell::default(),
        };
        let bytes = file.map(|path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display())));
        let bytes = bytes.transpose()?;
        for remote in &config.handles.remote_keys {
            if let Some(bytes) = &bytes {
                let (set, skipped) = KeySet::from_jwks(bytes, &remote.source.algorithms)?;
                remote.replace(set, at);
                source.skipped.extend(skipped);
            } else if let Ok(Some((set, fetched))) = jwks::cached(remote, SystemClock.now()) {
                let age = SystemClock.now().since(fetched).as_secs();
                source.note(remote, format!("{} of the cache, fetched {age} s ago", set.len()));
                remote.replace(set, at);
            }
        }
        Ok(source)
    }

    /// Fetches the key sets of a route that were not fetched yet; returns whether there was one.
    pub(super) fn fetch(&self, route: &Route) -> bool {
        if self.offline.is_some() {
            return false;
        }
        let mut fetched_any = false;
        for remote in remote_keys(&route.rules.policy) {
            if self.tried.borrow().iter().any(|tried| Arc::ptr_eq(tried, &remote)) {
                continue;
            }
            self.tried.borrow_mut().push(Arc::clone(&remote));
            match fetch(&remote) {
                Ok(set) => {
                    self.note(&remote, format!("{} fetched from {}", set.len(), remote.source.url));
                    remote.replace(set, self.at);
                }
                Err(error) => self.note(&remote, format!("none: {error}")),
            }
            fetched_any = true;
        }
        fetched_any
    }

    fn note(&self, remote: &Arc<RemoteKeys>, found: String) {
        let note = Note { check: "keys", found: format!("of {}: {found}", remote.source.issuer) };
        let mut notes = self.notes.borrow_mut();
        notes.retain(|(other, _)| !Arc::ptr_eq(other, remote));
        notes.push((Arc::clone(remote), note));
    }

    /// Where the keys of a route come from.
    pub(super) fn notes(&self, route: &Route) -> Vec<Note> {
        let of_route = remote_keys(&route.rules.policy);
        let notes = self.notes.borrow();
        let notes = notes.iter().filter(|(remote, _)| of_route.iter().any(|keys| Arc::ptr_eq(keys, remote)));
        notes.map(|(_, note)| note.clone()).collect()
    }

    /// The advice for keys that are not available.
    pub(super) fn hint(&self) -> &'static str {
        self.offline.unwrap_or("the keys of the issuer cannot be fetched from here: pass the JWKS with --jwks")
    }
}

/// The fetched key sets of a policy.
fn remote_keys(policy: &Policy) -> Vec<Arc<RemoteKeys>> {
    fn add(keys: &Keys, found: &mut Vec<Arc<RemoteKeys>>) {
        match keys {
            Keys::Remote(remote) => found.push(Arc::clone(remote)),
            Keys::OfTenants(all) => all.values().for_each(|keys| add(keys, found)),
            Keys::Fixed(_) | Keys::Chain(_) => {}
        }
    }
    let mut found = Vec::new();
    for leaf in policy.leaves() {
        match leaf {
            Policy::Jwt(policy) => policy.issuers.iter().for_each(|issuer| add(&issuer.keys, &mut found)),
            Policy::Detached(policy) => add(&policy.issuer.keys, &mut found),
            Policy::MessageSignature(policy) => add(&policy.issuer.keys, &mut found),
            Policy::Signature(_)
            | Policy::ClientCertificate(_)
            | Policy::Token(_)
            | Policy::AllOf(_)
            | Policy::AnyOf(_)
            | Policy::Public => {}
        }
    }
    found
}
/// Fetches a key set, and blocks until then.
fn fetch(keys: &RemoteKeys) -> Result<KeySet, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(jwks::fetch_once(keys))
}
