//! Certificates from ACME servers (RFC 8555): obtains those of the configured names, and renews them in the background.
//!
//! One task looks at each name in turn, so that there is one order at a time and a reload leaves none behind. A failure
//! changes nothing: the certificate in use stays. The names come from gateway.yaml alone, never from a handshake, so that
//! no client can cause an order.

mod client;
mod order;
mod schedule;
mod storage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, UnixTime};
use crate::metrics::{Metrics, OperationResult};
use crate::telemetry;
use crate::tls::Certificate;
use crate::tls::acme::AcmeName;
use order::{LONGEST_ORDER, OrderError};
use schedule::{OrderAttempt, renewal};
use storage::{Storage, StorageLock};

/// Time between two looks at the names; the clock may be set, and another process may renew.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The names of the active configuration, and their certificates.
pub struct Acme {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    names: RwLock<Vec<Arc<ManagedName>>>,
    locks: Mutex<BTreeMap<Storage, StorageLock>>,
    changed: Notify,
    /// The operator has asked for a reload, and so for an attempt without a pause.
    asked: AtomicBool,
}

/// A name with what is known about its certificate.
struct ManagedName {
    acme: Arc<AcmeName>,
    storage: Storage,
    state: Mutex<NameState>,
}

#[derive(Default)]
struct NameState {
    last: Option<OrderAttempt>,
    error: Option<String>,
}

/// The state of a name, for `/status` and `/readyz`.
#[derive(Debug)]
pub struct NameHealth {
    /// The name.
    pub name: String,
    /// When its certificate expires; `None` if it has none.
    pub expires: Option<UnixTime>,
    /// Why the last attempt failed, or why the storage cannot be used.
    pub error: Option<String>,
    /// When the next attempt is due; `None` in a process that only reads certificates.
    pub next_attempt: Option<UnixTime>,
}

impl Acme {
    /// Without names until the first configuration.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let (names, locks, changed) = (RwLock::default(), Mutex::default(), Notify::new());
        Self { clock, metrics, names, locks, changed, asked: AtomicBool::new(false) }
    }

    /// Replaces the names. Those that stay keep their state, and the certificates of new ones are read from the storage, so
    /// that they are served before the first connection. Blocks on file access.
    pub fn replace_names(&self, wanted: &[Arc<AcmeName>]) {
        let known = self.list();
        let names = wanted.iter().map(|acme| {
            let same = known.iter().find(|one| Arc::ptr_eq(&one.acme, acme));
            same.cloned().unwrap_or_else(|| self.read_name(acme))
        });
        let names: Vec<_> = names.collect();
        self.locks().retain(|storage, _| names.iter().any(|name| name.storage == *storage));
        for name in &names {
            let validity = name.acme.certificate().map(|certificate| [certificate.begins, certificate.expires]);
            self.metrics.certificate(&name.acme.name, validity.unwrap_or_default());
        }
        if !names.is_empty() {
            OperationResult::ALL.iter().for_each(|result| self.metrics.acme_orders(*result).inc_by(0));
        }
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        self.changed.notify_one();
    }

    /// Tries again at once what has failed: an operator who has fixed the cause need not wait.
    pub fn retry(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// The state of each name.
    pub fn health(&self) -> Vec<NameHealth> {
        let now = self.clock.now();
        let health = |name: &Arc<ManagedName>| {
            let next_attempt = name.acme.settings.holder.then(|| name.due(now, false));
            let expires = name.acme.certificate().map(|certificate| certificate.expires);
            let error = name.state().error.clone();
            NameHealth { name: name.acme.name.clone(), expires, error, next_attempt }
        };
        self.list().iter().map(health).collect()
    }

    /// Obtains and renews certificates as long as the process runs.
    pub async fn run(self: Arc<Self>) {
        loop {
            let asked = self.asked.swap(false, Ordering::Relaxed);
            let names = self.list();
            for name in &names {
                // In a thread of its own, since file access blocks and the control thread answers probes.
                let (acme, name) = (Arc::clone(&self), Arc::clone(name));
                let runtime = tokio::runtime::Handle::current();
                let look = tokio::task::spawn_blocking(move || runtime.block_on(acme.look_at(&name, asked)));
                if let Err(error) = look.await {
                    tracing::error!(%error, "the thread for ACME panicked");
                }
            }
            if names.is_empty() {
                self.changed.notified().await;
            } else {
                let _either = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await;
            }
        }
    }

    /// A name that was not known before, with its certificate and its last order from the storage.
    fn read_name(&self, acme: &Arc<AcmeName>) -> Arc<ManagedName> {
        let storage = Storage::new(&acme.settings.storage, &acme.settings.directory);
        let name = ManagedName { acme: Arc::clone(acme), storage, state: Mutex::default() };
        self.read_certificate(&name);
        // A file that cannot be read is as good as none: at worst there is one order too many.
        let last = name.storage.read(&name.attempt_file()).ok().flatten();
        name.state().last = last.and_then(|text| parse_attempt(&text));
        Arc::new(name)
    }

    async fn look_at(&self, name: &ManagedName, asked: bool) {
        if !name.acme.settings.holder {
            return self.read_certificate(name);
        }
        if !self.locks().contains_key(&name.storage) {
            // Another process may have renewed until now.
            self.read_certificate(name);
            match name.storage.lock() {
                Ok(lock) => drop(self.locks().insert(name.storage.clone(), lock)),
                Err(error) => return name.fail(telemetry::chain(&error)),
            }
        }
        let now = self.clock.now();
        if name.due(now, asked) <= now {
            self.obtain(name, now).await;
        }
    }

    /// Uses the certificate of the storage, if it is another one than that in use. One that cannot be used is ignored.
    fn read_certificate(&self, name: &ManagedName) {
        let pem = match name.storage.read(&name.certificate_file()) {
            Ok(Some(pem)) => pem,
            Ok(None) => return,
            Err(error) => return name.fail(telemetry::chain(&error)),
        };
        match Certificate::from_pem(&pem, &pem).map_err(OrderError::from).and_then(|found| name.validated(found)) {
            Ok(found) => {
                let used = name.acme.certificate().map(|used| used.fingerprint());
                if used != Some(found.fingerprint()) {
                    self.activate(name, found);
                }
                name.state().error = None;
            }
            Err(error) => name.fail(format!("{}: {}", name.certificate_file(), telemetry::chain(&error))),
        }
    }

    async fn obtain(&self, name: &ManagedName, now: UnixTime) {
        let failures = name.state().last.map_or(0, |last| last.failures).saturating_add(1);
        name.state().last = Some(OrderAttempt { at: now, failures, ordered: false });
        let order =
            tokio::time::timeout(LONGEST_ORDER, self.order(name, OrderAttempt { at: now, failures, ordered: true }));
        let result = order.await.unwrap_or(Err(OrderError::Timeout));
        let counted = if result.is_ok() { OperationResult::Success } else { OperationResult::Error };
        self.metrics.acme_orders(counted).inc();
        match result {
            Ok(()) => {
                let mut state = name.state();
                state.error = None;
                state.last = Some(OrderAttempt { at: now, failures: 0, ordered: true });
            }
            Err(error) => name.fail(telemetry::chain(&error)),
        }
    }

    /// Orders a certificate, stores it and uses it. The attempt is stored before the order, so that a process that is
    /// restarted again and again does not use up the authority's rate limits; without a storage there is no order.
    async fn order(&self, name: &ManagedName, attempt: OrderAttempt) -> Result<(), OrderError> {
        let account = order::account(&name.acme.settings, &name.storage).await?;
        name.storage.write(&name.attempt_file(), write_attempt(attempt).as_bytes())?;
        name.state().last = Some(attempt);
        let pem = order::certificate(&account, &name.acme).await?;
        let certificate = name.validated(Certificate::from_pem(pem.as_bytes(), pem.as_bytes())?)?;
        if certificate.expires <= self.clock.now() {
            return Err(OrderError::Certificate);
        }
        self.activate(name, certificate);
        name.storage.write(&name.certificate_file(), pem.as_bytes())?;
        let succeeded = OrderAttempt { failures: 0, ..attempt };
        Ok(name.storage.write(&name.attempt_file(), write_attempt(succeeded).as_bytes())?)
    }

    fn activate(&self, name: &ManagedName, certificate: Certificate) {
        let expires = certificate.expires;
        self.metrics.certificate(&name.acme.name, [certificate.begins, expires]);
        tracing::info!(name = name.acme.name, expires = expires.seconds(), "certificate in use");
        name.acme.activate(certificate);
    }

    fn list(&self) -> Vec<Arc<ManagedName>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn locks(&self) -> MutexGuard<'_, BTreeMap<Storage, StorageLock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ManagedName {
    fn state(&self) -> MutexGuard<'_, NameState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file with the key and the chain, in one, so that they always match.
    fn certificate_file(&self) -> String {
        format!("{}.pem", self.acme.name)
    }

    fn attempt_file(&self) -> String {
        format!("{}.attempt", self.acme.name)
    }

    /// When the next attempt is due. An operator who has `asked` need not wait for the pause after a failure. An attempt in
    /// the future is one before the clock was set, and does not count.
    fn due(&self, now: UnixTime, asked: bool) -> UnixTime {
        let renewal = self.acme.certificate().map_or(UnixTime::default(), |certificate| renewal(&certificate));
        let last = self.state().last.filter(|last| last.at <= now && !asked);
        last.map_or(renewal, |last| last.next().max(renewal))
    }

    fn validated(&self, certificate: Certificate) -> Result<Certificate, OrderError> {
        if certificate.is_for(&self.acme.name) { Ok(certificate) } else { Err(OrderError::Certificate) }
    }

    /// Logs a problem, once as long as it stays the same.
    fn fail(&self, error: String) {
        let mut state = self.state();
        let has_certificate = self.acme.certificate().is_some();
        let is_known = state.error.as_ref() == Some(&error);
        if !is_known || state.last.is_some_and(|last| last.ordered) {
            let next_attempt = state.last.map(|last| last.next().seconds());
            tracing::error!(name = self.acme.name, error, has_certificate, next_attempt, "no new certificate");
        }
        state.error = Some(error);
    }
}

/// `TIME FAILURES` of an order.
fn write_attempt(attempt: OrderAttempt) -> String {
    format!("{} {}\n", attempt.at.seconds(), attempt.failures)
}

fn parse_attempt(text: &[u8]) -> Option<OrderAttempt> {
    let (at, failures) = std::str::from_utf8(text).ok()?.trim_end().split_once(' ')?;
    let at = UnixTime::from_seconds(at.parse().ok()?)?;
    Some(OrderAttempt { at, failures: failures.parse().ok()?, ordered: true })
}
