//! Builds rustls configurations from PEM bytes. This module reads no file; `config`, `jwks`, `store` and `sign` call
//! it.

pub mod acme;
mod certificate;
mod clients;
mod pins;
mod roots;

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::client_certificate::ClientTrust;
use acme::AcmeName;
pub use certificate::{Certificate, covers};
pub use clients::{ClientAuth, RevocationLists, client_trust};
pub use roots::TlsError;
use roots::{provider, roots_of};

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

/// The TLS configuration of a listener: certificates by SNI, from files and of ACME names, ALPN for HTTP/2 and HTTP/1.1,
/// and the trust in client certificates, if clients are asked for one. Each configuration has its own session store, so
/// that no session outlives the settings under which it began: a resumed session does not present its certificate again.
///
/// # Errors
/// [`TlsError::Rustls`]; no failure is known with these settings.
pub fn server_config(
    certificates: Vec<Certificate>,
    acme: &[Arc<AcmeName>],
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
        .with_cert_resolver(Arc::new(BySni { certificates, acme: acme.to_vec() }));
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

/// The certificates of a listener.
#[derive(Debug)]
struct BySni {
    /// Those from files.
    certificates: Vec<Certificate>,
    acme: Vec<Arc<AcmeName>>,
}

impl BySni {
    /// The key for a server name: that of the ACME name, else of the first file with the name. Other clients get the
    /// default, the first file or, without files, the first ACME name; but not a client that wants an ACME name which has
    /// no certificate yet: it would reject another one.
    fn select(&self, wanted: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let wanted = wanted.map(str::to_ascii_lowercase);
        let named = self.acme.iter().find(|acme| Some(&acme.name) == wanted.as_ref());
        if let Some(certificate) = named.and_then(|acme| acme.certificate()) {
            return Some(Arc::clone(&certificate.key));
        }
        let fitting = wanted.and_then(|wanted| self.certificates.iter().find(|one| one.is_for(&wanted)));
        match (fitting.or_else(|| self.certificates.first().filter(|_| named.is_none())), named) {
            (Some(certificate), _) => Some(Arc::clone(&certificate.key)),
            (None, None) => Some(Arc::clone(&self.acme.first()?.certificate()?.key)),
            (None, Some(_)) => None,
        }
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.select(hello.server_name())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{CertificateParams, KeyPair};

    use super::acme::AcmeSettings;
    use super::*;

    fn certificate(name: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn acme_name(name: &str) -> Arc<AcmeName> {
        let settings = AcmeSettings {
            directory: "https://ca.test/".to_owned(),
            contacts: Vec::new(),
            storage: PathBuf::new(),
            root_ca: None,
            external_account: None,
            holder: true,
        };
        Arc::new(AcmeName::new(name.to_owned(), Arc::new(settings)))
    }

    /// Of a name without its own certificate, the certificate of another name is of no use.
    #[test]
    fn an_acme_name_has_its_own_certificate_or_a_file_that_covers_it() {
        let (first, second) = (acme_name("a.example"), acme_name("b.other"));
        let (file, wildcard) = (certificate("file.example"), certificate("*.other"));
        let keys = [&file, &wildcard].map(|one| Arc::clone(&one.key));
        let acme = vec![Arc::clone(&first), Arc::clone(&second)];
        let both = BySni { certificates: vec![file, wildcard], acme: acme.clone() };
        let alone = BySni { certificates: Vec::new(), acme };
        let is =
            |found: Option<Arc<CertifiedKey>>, key: &Arc<CertifiedKey>| found.is_some_and(|one| Arc::ptr_eq(&one, key));
        assert!(both.select(Some("a.example")).is_none() && alone.select(Some("a.example")).is_none());
        assert!(is(both.select(Some("b.other")), &keys[1]) && alone.select(Some("b.other")).is_none());
        for other in [None, Some("unknown.example")] {
            assert!(is(both.select(other), &keys[0]) && alone.select(other).is_none());
        }
        first.activate(certificate("a.example"));
        second.activate(certificate("b.other"));
        let [a, b] = [&first, &second].map(|name| Arc::clone(&name.certificate().unwrap().key));
        for names in [&both, &alone] {
            assert!(is(names.select(Some("A.example")), &a) && is(names.select(Some("b.other")), &b));
        }
        assert!(is(both.select(None), &keys[0]) && is(alone.select(None), &a));
    }
}
