//! Builds rustls configurations from PEM bytes. This module reads no file; `config`, `jwks`, `store` and `sign` call
//! it.

mod clients;
mod pins;
mod roots;

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroize;

use crate::auth::client_certificate::ClientTrust;
use crate::clock::UnixTime;
pub use clients::{ClientAuth, RevocationLists, client_trust};
pub use roots::TlsError;
use roots::{certificates, provider, roots_of};

/// A certificate chain and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
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
    let time = |seconds: i64| UnixTime::from_seconds(u64::try_from(seconds).unwrap_or(0)).unwrap_or(UnixTime::MAX);
    let validity = leaf.validity();
    Ok((names, time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None }
}

/// The minimum TLS version of a listener, in quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("default" = "1.2"))]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    Tls13,
}

/// The TLS configuration of a listener: certificates by SNI (the first one if no name matches), ALPN for HTTP/2 and
/// HTTP/1.1, and the trust in client certificates, if clients are asked for one. Each configuration has its own session
/// store, so that no session outlives the settings under which it began: a resumed session does not present its
/// certificate again.
///
/// # Errors
/// [`TlsError::Rustls`]; no failure is known with these settings.
pub fn server_config(
    certificates: Vec<Certificate>,
    min: MinVersion,
    clients: Option<&ClientTrust>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&rustls::SupportedProtocolVersion] = match min {
        MinVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(clients.map_or_else(WebPkiClientVerifier::no_client_auth, ClientTrust::verifier))
        .with_cert_resolver(Arc::new(BySni(certificates)));
    // Some clients offer `http/1.0` alone (curl --http1.0), which nginx takes too.
    config.alpn_protocols = ["h2", "http/1.1", "http/1.0"].map(|protocol| protocol.as_bytes().to_vec()).to_vec();
    // Early data (0-RTT) is disabled: an attacker who has recorded it can replay it (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The TLS configuration of hookgate's own requests, with the given roots or the public ones.
///
/// # Errors
/// [`TlsError`] if `ca` has no usable certificate.
pub fn client_config(ca: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots_of(ca)?).with_no_client_auth())
}

/// Like [`client_config`], and this certificate is presented to a server that requests one.
///
/// # Errors
/// [`TlsError`] if `ca` has no usable certificate.
pub fn client_config_presenting(ca: Option<&[u8]>, identity: &Certificate) -> Result<ClientConfig, TlsError> {
    let mut config = client_config(ca)?;
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key)));
    Ok(config)
}

/// Like [`client_config`], and a key of the chain that a server presents must also be among `pins`, each the SHA-256 of
/// a `SubjectPublicKeyInfo` (RFC 7469 §2.4). Empty `pins` require no key.
///
/// # Errors
/// [`TlsError`] if `ca` has no usable certificate.
pub fn pinned_client_config(ca: Option<&[u8]>, pins: &[[u8; 32]]) -> Result<ClientConfig, TlsError> {
    let mut config = client_config(ca)?;
    if !pins.is_empty() {
        let verifier = pins::Pinned::new(roots_of(ca)?, Arc::clone(config.crypto_provider()), pins)?;
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
    }
    Ok(config)
}

#[derive(Debug)]
struct BySni(Vec<Certificate>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name().map(str::to_ascii_lowercase);
        let fitting = wanted.and_then(|wanted| {
            let names = |certificate: &&Certificate| certificate.names.iter().any(|name| covers(name, &wanted));
            self.0.iter().find(names)
        });
        fitting.or_else(|| self.0.first()).map(|certificate| Arc::clone(&certificate.key))
    }
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
