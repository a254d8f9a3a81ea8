//! Root certificates from PEM bytes, the errors of such bytes, and the cryptography that rustls uses.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Why PEM bytes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the file.
    #[error("no certificate in PEM form")]
    NoCertificate,
    /// No private key in the file.
    #[error("no private key in PEM form (PKCS#8, PKCS#1 or SEC1, unencrypted)")]
    NoKey(#[source] rustls::pki_types::pem::Error),
    /// The key does not match the certificate.
    #[error("the key is not the key of this certificate")]
    OtherKey,
    /// An error from rustls.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// An error from building the verifier.
    #[error(transparent)]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The certificate cannot be parsed.
    #[error("the certificate cannot be parsed")]
    Unreadable,
    /// No revocation list in the file: without a list, revoked certificates would be trusted.
    #[error("no certificate revocation list in PEM form")]
    NoList,
    /// A revocation list that cannot be used.
    #[error("a certificate revocation list cannot be used; it must be complete and have a nextUpdate (RFC 5280 §5.1)")]
    UnreadableList,
}

/// The given roots, or the public ones.
pub(super) fn roots_of(ca: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    match ca {
        None => Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }),
        Some(pem) => roots(pem),
    }
}

pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

pub(super) fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(TlsError::NoCertificate)
}
