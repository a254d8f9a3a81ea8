//! Signing certificates: the keys of senders whose requests name a certificate by its URL (Amazon SNS, PayPal).
//!
//! The URL comes from an unauthenticated client. It only selects one of the provider's certificates: host and path are
//! those of the configuration, and the certificate has the provider's name. This module fetches nothing; `jwks` does, and
//! fills the handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use regex::Regex;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime as PkiTime};
use url::Url;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::secret::{KeyError, Secret, SecretKey, SignatureAlgorithm};
use super::sender::KeyDigest;
use crate::clock::UnixTime;

/// How long a certificate is used after its fetch: a provider that withdraws one removes its file.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// Maximum number of certificates of one source; a provider has one or two that are valid.
const MAX_CERTIFICATES: usize = 16;

/// Maximum number of certificates in one file.
const MAX_CHAIN: usize = 5;

/// The longest URL, in bytes; that of a subscription has a token of 320 characters.
const MAX_URL: usize = 2048;

/// Which certificates are fetched, and how. Equal sources share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSource {
    /// The preset's name, or `signature`; a log field and a metric label.
    pub name: Arc<str>,
    /// Hosts of the URLs, each with its port unless that is 443.
    pub hosts: Vec<String>,
    /// Pattern of the whole path of the URLs.
    pub path: String,
    /// DNS names of which the certificate must have one (RFC 6125 §6.4), without wildcards.
    pub subjects: Vec<String>,
    /// Certificates in DER form to one of which it must chain; none are required if this is empty.
    pub roots: Vec<Vec<u8>>,
    /// Algorithm of the signatures.
    pub algorithm: SignatureAlgorithm,
    /// PEM certificates that are trusted for the fetch instead of the public roots.
    pub ca: Option<Vec<u8>>,
    /// URL of the HTTP proxy, which tunnels TLS by CONNECT.
    pub proxy: Option<String>,
}

/// The handle of the certificates of one source.
pub struct SigningCertificates {
    /// How they are fetched.
    pub source: CertificateSource,
    path: Regex,
    fetched: ArcSwap<Vec<Arc<SigningCertificate>>>,
}

/// A certificate as fetched.
#[derive(Debug)]
pub struct SigningCertificate {
    url: String,
    /// Its key, as the only item: signatures are verified with a list of keys.
    key: Arc<[Secret]>,
    not_before: UnixTime,
    not_after: UnixTime,
    fetched: UnixTime,
}

/// Why a file has no certificate that may verify a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Another file.
    #[error("expected 1 to {MAX_CHAIN} certificates in PEM form")]
    Malformed,
    /// The certificate of another host or service.
    #[error("the certificate is not that of {0}")]
    Subject(String),
    /// It has expired, or is not valid yet.
    #[error("the certificate has expired, or is not valid yet")]
    Validity,
    /// No chain leads to `root_ca`.
    #[error("the certificate does not chain to `root_ca`")]
    Chain,
    /// The key is of another type, or an RSA key with fewer than 2048 bits.
    #[error("the key of the certificate cannot be used")]
    Key(#[from] KeyError),
}

impl SigningCertificates {
    /// A handle without certificates.
    ///
    /// # Errors
    /// The pattern of the path is no regular expression.
    pub fn new(source: CertificateSource) -> Result<Self, regex::Error> {
        let path = Regex::new(&format!("^(?:{})$", source.path))?;
        Ok(Self { source, path, fetched: ArcSwap::default() })
    }

    /// Whether this is the URL of a certificate: https, a host and a path of the source, and nothing else.
    pub fn allows(&self, url: &str) -> bool {
        self.on_host(url).is_some_and(|url| url.query().is_none() && self.path.is_match(url.path()))
    }

    /// The https URL, if it is on a host of the source. Any other spelling of such a URL is rejected: two programs could
    /// read it differently, and each one would be another certificate.
    pub fn on_host(&self, url: &str) -> Option<Url> {
        let parsed = Url::parse(url).ok()?;
        let is_plain = url.len() <= MAX_URL
            && parsed.as_str() == url
            && parsed.scheme() == "https"
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        let (host, port) = (parsed.host_str()?, parsed.port());
        let authority = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        (is_plain && self.source.hosts.contains(&authority)).then_some(parsed)
    }

    /// The certificate of this URL, if it has been fetched and is valid at `now`.
    pub fn find(&self, url: &str, now: UnixTime) -> Option<Arc<SigningCertificate>> {
        let fetched = self.fetched.load();
        fetched.iter().find(|certificate| certificate.url == url && certificate.is_usable(now)).map(Arc::clone)
    }

    /// Whether the certificate of this URL was fetched before.
    pub fn knows(&self, url: &str) -> bool {
        self.fetched.load().iter().any(|certificate| certificate.url == url)
    }

    /// The number of certificates, and the last time at which one was fetched.
    pub fn held(&self) -> (usize, Option<UnixTime>) {
        let fetched = self.fetched.load();
        (fetched.len(), fetched.iter().map(|certificate| certificate.fetched).max())
    }

    /// Adds the certificate in the file that was fetched from a URL.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn add(&self, url: &str, file: &[u8], now: UnixTime) -> Result<(), CertificateError> {
        let added = Arc::new(self.read(url, file, now)?);
        self.fetched.rcu(|fetched| {
            let others = fetched.iter().filter(|other| other.url != added.url && other.is_usable(now));
            let mut all: Vec<_> = others.map(Arc::clone).collect();
            all.drain(..all.len().saturating_sub(MAX_CERTIFICATES - 1));
            all.push(Arc::clone(&added));
            all
        });
        Ok(())
    }

    fn read(&self, url: &str, file: &[u8], now: UnixTime) -> Result<SigningCertificate, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file).take(MAX_CHAIN + 1).collect();
        let chain = chain.map_err(|_| CertificateError::Malformed)?;
        let [leaf, above @ ..] = chain.as_slice() else { return Err(CertificateError::Malformed) };
        let Ok(([], fields)) = x509_parser::parse_x509_certificate(leaf) else {
            return Err(CertificateError::Malformed);
        };
        if chain.len() > MAX_CHAIN {
            return Err(CertificateError::Malformed);
        }
        if !self.source.subjects.iter().any(|subject| has_name(&fields, subject)) {
            return Err(CertificateError::Subject(self.source.subjects.join(" or ")));
        }
        let seconds = |time: i64| u64::try_from(time).ok().and_then(UnixTime::from_seconds);
        let (not_before, not_after) = (fields.validity().not_before, fields.validity().not_after);
        let key = SecretKey::from_public(fields.public_key().raw, self.source.algorithm)?;
        // The name in the certificate is the sender, whose keys change.
        let digest = KeyDigest::of(self.source.subjects.join(" ").as_bytes());
        let certificate = SigningCertificate {
            url: url.to_owned(),
            key: [Secret { digest, ..Secret::new(0, key) }].into(),
            not_before: seconds(not_before.timestamp()).unwrap_or_default(),
            not_after: seconds(not_after.timestamp()).unwrap_or_default(),
            fetched: now,
        };
        if !certificate.is_usable(now) {
            return Err(CertificateError::Validity);
        }
        if self.source.roots.is_empty() || self.is_below_a_root(leaf, above, now) {
            Ok(certificate)
        } else {
            Err(CertificateError::Chain)
        }
    }

    fn is_below_a_root(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let roots: Vec<_> = self.source.roots.iter().map(|root| CertificateDer::from(root.as_slice())).collect();
        let anchors: Vec<TrustAnchor<'_>> =
            roots.iter().filter_map(|root| webpki::anchor_from_trusted_cert(root).ok()).collect();
        let at = PkiTime::since_unix_epoch(Duration::from_secs(now.seconds()));
        let algorithms = default_provider().signature_verification_algorithms.all;
        EndEntityCert::try_from(leaf).is_ok_and(|leaf| {
            // Both providers sign with the key of a certificate for TLS servers.
            leaf.verify_for_usage(algorithms, &anchors, above, at, KeyUsage::server_auth(), None, None).is_ok()
        })
    }
}

impl fmt::Debug for SigningCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningCertificates").field("source", &self.source).finish_non_exhaustive()
    }
}

impl SigningCertificate {
    /// Its key, as a list of one.
    pub(super) fn key(&self) -> Arc<[Secret]> {
        Arc::clone(&self.key)
    }

    fn is_usable(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after && now.since(self.fetched) <= MAX_AGE
    }
}

/// Whether the certificate has this DNS name. A name with a wildcard is not that of a signer.
fn has_name(fields: &X509Certificate<'_>, subject: &str) -> bool {
    let Ok(Some(extension)) = fields.subject_alternative_name() else { return false };
    let mut names = extension.value.general_names.iter();
    names.any(|name| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(subject)))
}

#[cfg(test)]
mod tests;
