//! Signing certificates, each fetched when the first request names it.
//!
//! The URL comes from an unauthenticated client, on a host and a path that the configuration names. So there is one fetch
//! of a URL at a time and none within the cooldown of a failed one, and few for each client and each source: a client
//! that invents URLs cannot have the gateway flood the provider, and uses up its own share first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::HttpClient;
use super::fetch::{FetchError, MAX_WAIT, fetch_once};
use crate::auth::keys::JwksAccess;
use crate::auth::signing_certificate::{CertificateError, SigningCertificates};
use crate::clock::{Clock, UnixTime};
use crate::metrics::{Metrics, OperationResult};
use crate::{telemetry, tls};

/// Time after a failed fetch within which its URL is not fetched again.
pub(super) const COOLDOWN: Duration = Duration::from_secs(30);

/// Maximum size of a file in bytes; a certificate has 2 KiB, and its chain a few more.
const MAX_SIZE: usize = 64 * 1024;

/// Fetches for the requests of one client within a cooldown.
const MAX_OF_CLIENT: usize = 2;

/// Fetches for the requests of one network (/24, /48) within a cooldown.
const MAX_OF_NETWORK: usize = 8;

/// Fetches of one source within a cooldown. The URL of a certificate that was fetched before needs none of them.
const MAX_OF_SOURCE: usize = 256;

/// Result of a request for a certificate.
#[derive(Clone, Debug)]
pub enum CertificateFetch {
    /// The certificate was fetched; verify again.
    Fetched,
    /// The file has no valid certificate of the provider, by this cause.
    NotAllowed(String),
    /// The fetch failed or took too long, or there were too many.
    Unavailable(String),
}

/// The certificates of the active configuration, and their fetches.
pub struct SigningCertificateFetches {
    sources: RwLock<Vec<Arc<SigningCertificates>>>,
    attempted: Mutex<CertificateAttempts>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    runtime: Handle,
}

/// The fetches that have not ended, or ended within the cooldown.
#[derive(Default)]
struct CertificateAttempts(Vec<CertificateAttempt>);

struct CertificateAttempt {
    certificates: Arc<SigningCertificates>,
    url: String,
    client: ClientNetworks,
    result: watch::Receiver<Option<EndedFetch>>,
}

/// The networks by which the fetches for a client are counted: of IPv6 that of 64 bits, which one client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClientNetworks {
    client: IpAddr,
    network: IpAddr,
}

impl From<IpAddr> for ClientNetworks {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let network = Ipv4Addr::from_bits(address.to_bits() & !0xff);
                Self { client: address.into(), network: network.into() }
            }
            IpAddr::V6(address) => {
                let first = |bits: u32| Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits)).into();
                Self { client: first(64), network: first(48) }
            }
        }
    }
}

#[derive(Clone, Debug)]
struct EndedFetch {
    at: Instant,
    fetch: CertificateFetch,
}

/// The state of the certificates of one source, for `/status` and the metrics.
#[derive(Clone, Debug)]
pub struct CertificateHealth {
    /// The preset's name, or `signature`.
    pub issuer: Arc<str>,
    /// The hosts of the URLs.
    pub hosts: Vec<String>,
    /// Number of certificates.
    pub certificates: usize,
    /// Time of the last successful fetch; `None` if there was none.
    pub last_success: Option<UnixTime>,
}

impl SigningCertificateFetches {
    pub(super) fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>, runtime: Handle) -> Self {
        Self { sources: RwLock::default(), attempted: Mutex::default(), clock, metrics, runtime }
    }

    /// Replaces the list of sources of certificates.
    pub fn replace_sources(&self, wanted: &[Arc<SigningCertificates>]) {
        for certificates in wanted {
            self.metrics.certificates_known(&certificates.source.name);
        }
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = wanted.to_vec();
    }

    /// The state of each source of certificates.
    pub fn health(&self) -> Vec<CertificateHealth> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let health = sources.iter().map(|certificates| {
            let (count, last_success) = certificates.held();
            let source = &certificates.source;
            let (name, hosts) = (Arc::clone(&source.name), source.hosts.clone());
            CertificateHealth { issuer: name, hosts, certificates: count, last_success }
        });
        health.collect()
    }

    /// Fetches the certificate at this URL for a request of this client: one fetch for all that wait for it.
    pub async fn fetch(
        self: &Arc<Self>,
        certificates: &Arc<SigningCertificates>,
        url: &str,
        client: IpAddr,
    ) -> CertificateFetch {
        let Some(mut result) = self.attempt(certificates, url, client.into()) else {
            return CertificateFetch::Unavailable("too many fetches of certificates".to_owned());
        };
        let ended = result.wait_for(Option::is_some);
        match tokio::time::timeout(MAX_WAIT, ended).await {
            Ok(Ok(ended)) => ended.as_ref().map(|ended| ended.fetch.clone()),
            Ok(Err(_)) | Err(_) => None,
        }
        .unwrap_or_else(|| CertificateFetch::Unavailable(format!("timeout after {} s", MAX_WAIT.as_secs())))
    }

    /// The result of the fetch of this URL that is under way or failed within the cooldown, or else of a new one; `None`
    /// if there may be no other fetch.
    fn attempt(
        self: &Arc<Self>,
        certificates: &Arc<SigningCertificates>,
        url: &str,
        client: ClientNetworks,
    ) -> Option<watch::Receiver<Option<EndedFetch>>> {
        let mut attempts = self.attempted.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.0.retain(CertificateAttempt::counts);
        let ours = |attempt: &&CertificateAttempt| Arc::ptr_eq(&attempt.certificates, certificates);
        let same = attempts.0.iter().filter(ours).find(|attempt| attempt.url == url && !attempt.succeeded());
        if let Some(same) = same {
            return Some(same.result.clone());
        }
        // Another request's fetch has ended since this one was decided.
        if certificates.find(url, self.clock.now()).is_some() {
            let ended = EndedFetch { at: Instant::now(), fetch: CertificateFetch::Fetched };
            return Some(watch::channel(Some(ended)).1);
        }
        if !certificates.knows(url) && attempts.is_full(certificates, client) {
            return None;
        }
        let (sender, result) = watch::channel(None);
        let attempt = CertificateAttempt {
            certificates: Arc::clone(certificates),
            url: url.to_owned(),
            client,
            result: result.clone(),
        };
        let (fetches, certificates, url) = (Arc::clone(self), Arc::clone(certificates), url.to_owned());
        attempts.0.push(attempt);
        drop(attempts);
        self.runtime.spawn(async move {
            let fetch = fetches.fetched(&certificates, &url).await;
            // No request may be waiting for it any more.
            let _ = sender.send(Some(EndedFetch { at: Instant::now(), fetch }));
        });
        Some(result)
    }

    async fn fetched(&self, certificates: &SigningCertificates, url: &str) -> CertificateFetch {
        let issuer = &*certificates.source.name;
        let count = |result| self.metrics.certificate_fetches(issuer, result).inc();
        let file = match client(certificates) {
            Ok(client) => fetch_once(&client, url, MAX_SIZE).await,
            Err(error) => Err(error),
        };
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                count(OperationResult::Error);
                let error = telemetry::chain(&error);
                tracing::warn!(issuer, url, error, "could not fetch the signing certificate");
                return CertificateFetch::Unavailable(error);
            }
        };
        match certificates.add(url, &file, self.clock.now()) {
            Ok(()) => {
                count(OperationResult::Success);
                tracing::info!(issuer, url, "fetched a signing certificate");
                CertificateFetch::Fetched
            }
            Err(error) => {
                count(OperationResult::Error);
                let is_malformed = error == CertificateError::Malformed;
                let error = telemetry::chain(&error);
                tracing::warn!(issuer, url, error, "the signing certificate cannot be used");
                // Another file, such as the error page of a proxy, says nothing about the certificate.
                if is_malformed { CertificateFetch::Unavailable(error) } else { CertificateFetch::NotAllowed(error) }
            }
        }
    }
}

impl CertificateAttempts {
    /// Whether this client, its network or the source has no fetch left.
    fn is_full(&self, certificates: &Arc<SigningCertificates>, client: ClientNetworks) -> bool {
        let count = |of: &dyn Fn(&CertificateAttempt) -> bool| self.0.iter().filter(|attempt| of(attempt)).count();
        count(&|attempt| attempt.client.client == client.client) >= MAX_OF_CLIENT
            || count(&|attempt| attempt.client.network == client.network) >= MAX_OF_NETWORK
            || count(&|attempt| Arc::ptr_eq(&attempt.certificates, certificates)) >= MAX_OF_SOURCE
    }
}

impl CertificateAttempt {
    /// Whether the fetch has not ended, or ended within the cooldown.
    fn counts(&self) -> bool {
        match &*self.result.borrow() {
            None => self.result.has_changed().is_ok(),
            Some(EndedFetch { at, .. }) => at.elapsed() < COOLDOWN,
        }
    }

    fn succeeded(&self) -> bool {
        matches!(&*self.result.borrow(), Some(EndedFetch { fetch: CertificateFetch::Fetched, .. }))
    }
}

/// The client for the hosts of one source.
pub(super) fn client(certificates: &SigningCertificates) -> Result<HttpClient, FetchError> {
    let source = &certificates.source;
    let config = tls::client_config(source.ca.as_deref()).map_err(|error| FetchError::Ca(Arc::new(error)))?;
    let access = JwksAccess { proxy: source.proxy.clone(), ..JwksAccess::default() };
    HttpClient::new(config, &access).ok_or(FetchError::Address)
}
