//! Names whose certificates come from an ACME server (RFC 8555), and the answers to its TLS-ALPN-01 challenges
//! (RFC 8737). [`crate::acme`] fills them; handshakes only read them.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::roots::{TlsError, provider};

/// The ALPN protocol of a challenge.
const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// `tls.acme` of a listener, except its names.
#[derive(Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// URL of the server's directory.
    pub directory: String,
    /// URLs by which the server reaches the operator, such as `mailto:ops@example.com`.
    pub contacts: Vec<String>,
    /// Folder with the account and the certificates.
    pub storage: PathBuf,
    /// Roots for the connection to the server, in PEM; `None` for the public ones.
    pub root_ca: Option<Vec<u8>>,
    /// The account at the authority to which the ACME account is bound (RFC 8555 §7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// Whether this process orders certificates. If not, it only reads them from `storage`.
    pub holder: bool,
}

/// The account at the authority to which an ACME account is bound.
#[derive(PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key id that the authority has assigned.
    pub key_id: String,
    /// The key of the MAC.
    pub key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A name of `tls.acme`, with its certificate once there is one. It outlives a reload.
#[derive(Debug)]
pub struct AcmeName {
    /// The DNS name, in lower case.
    pub name: String,
    /// How its certificate is obtained.
    pub settings: Arc<AcmeSettings>,
    certificate: ArcSwapOption<Certificate>,
    challenge: ArcSwapOption<ServerConfig>,
}

impl AcmeName {
    /// A name without a certificate.
    pub fn new(name: String, settings: Arc<AcmeSettings>) -> Self {
        Self { name, settings, certificate: ArcSwapOption::empty(), challenge: ArcSwapOption::empty() }
    }

    /// The certificate in use.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.load_full()
    }

    /// Uses a certificate for the handshakes that begin from now on.
    pub fn activate(&self, certificate: Certificate) {
        self.certificate.store(Some(Arc::new(certificate)));
    }

    /// Answers the server's connections with this configuration, or with none any more.
    pub fn answer_challenge(&self, with: Option<Arc<ServerConfig>>) {
        self.challenge.store(with);
    }
}

/// The TLS configuration for a connection of an ACME server: its name is in `names`, and has a challenge in progress.
/// Such a connection offers `acme-tls/1` and no other protocol (RFC 8737 §3).
pub fn challenge_for(names: &[Arc<AcmeName>], hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
    let mut offered = hello.alpn()?;
    if offered.next() != Some(CHALLENGE_PROTOCOL) || offered.next().is_some() {
        return None;
    }
    let wanted = hello.server_name()?;
    names.iter().find(|name| name.name.eq_ignore_ascii_case(wanted))?.challenge.load_full()
}

/// The TLS configuration with the certificate of a challenge. It asks for no client certificate and issues no session
/// tickets.
///
/// # Errors
/// [`TlsError::Rustls`] if the key cannot be used.
pub fn challenge_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions()?;
    // `with_single_cert` would read the certificate, and reject its critical extension.
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?;
    let key = Arc::new(CertifiedKey::new(vec![certificate], signing));
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![CHALLENGE_PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
