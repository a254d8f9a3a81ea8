//! A certificate chain with its private key, from PEM bytes.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroize;

use super::roots::{TlsError, certificates};
use crate::clock::UnixTime;

/// A certificate chain and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    /// When the leaf begins to be valid (`notBefore`).
    pub begins: UnixTime,
    /// When the leaf expires (`notAfter`).
    pub expires: UnixTime,
}

impl Certificate {
    /// Parses a certificate chain (leaf first) and its private key, and checks that they match.
    ///
    /// # Errors
    /// [`TlsError`]. Files that are read in the middle of a rotation do not match.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain)?;
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
        let (names, begins, expires) = read_leaf(leaf)?;
        let mut key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::NoKey)?;
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
        key.zeroize();
        let key = CertifiedKey::new(chain, signing?);
        key.keys_match().map_err(|_| TlsError::OtherKey)?;
        Ok(Self { key: Arc::new(key), names, begins, expires })
    }

    /// SHA-256 of the chain. The key is that of the leaf, so that another key is another chain.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        self.key.cert.iter().for_each(|certificate| hash.update(certificate));
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hash.finish().as_ref());
        fingerprint
    }

    /// Whether the leaf has this name, which is in lower case.
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| covers(own, name))
    }

    /// The DNS names of the leaf, in lower case.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

fn read_leaf(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, UnixTime, UnixTime), TlsError> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|_| TlsError::Unreadable)?;
    let names = leaf.subject_alternative_name().ok().flatten().map_or_else(Vec::new, |extension| {
        let names = extension.value.general_names.iter();
        names.filter_map(dns_name).collect()
    });
    let time = |seconds| UnixTime::from_seconds(u64::try_from(seconds).unwrap_or(0)).unwrap_or(UnixTime::MAX);
    let validity = leaf.validity();
    Ok((names, time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }
}

/// Whether a name in a certificate matches the requested name. A wildcard stands for the whole leftmost label (RFC 6125
/// §6.4.3).
pub fn covers(name: &str, wanted: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => wanted.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        None => name == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_covers_one_label() {
        assert!(covers("a.example", "a.example"));
        assert!(covers("*.example.com", "a.example.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", ".example.com"));
    }
}
