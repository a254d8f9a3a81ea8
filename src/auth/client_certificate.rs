//! Client certificates (mTLS): the certificate from the TLS handshake, and whether it is (still) trusted.
//!
//! The TLS layer verifies that the client holds the private key, and creates one [`ClientCertificate`] per connection; a
//! trusted proxy that terminates TLS verifies it instead, and states the certificate in a header.
//! Trust is checked again for each request: a connection outlives a reload, a resumed session skips the verification
//! (RFC 8446 §2.2), and revocation lists and certificates expire in the meantime.

mod san;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::certificate::X509Certificate;

use crate::clock::UnixTime;
pub use san::{San, SanError, is_spiffe_id, is_trust_domain};

/// The client certificate cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client certificate cannot be parsed")]
pub struct UnreadableCertificate;

/// A client certificate as presented in the TLS handshake. It is not necessarily trusted: [`ClientTrust::trusts`]
/// checks that.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    sha256: [u8; 32],
    fingerprint: Arc<str>,
    names: Vec<San>,
    spiffe_id: Option<San>,
    not_after: UnixTime,
}

impl ClientCertificate {
    /// Parses a chain in DER form, the leaf first. The TLS layer bounds its size (64 KiB per handshake message).
    ///
    /// # Errors
    /// [`UnreadableCertificate`] if there is no leaf, or it cannot be parsed.
    pub fn from_chain(chain: &[CertificateDer<'static>]) -> Result<Self, UnreadableCertificate> {
        let (leaf, intermediates) = chain.split_first().ok_or(UnreadableCertificate)?;
        let ([], fields) = x509_parser::parse_x509_certificate(leaf).map_err(|_| UnreadableCertificate)? else {
            return Err(UnreadableCertificate);
        };
        let (names, spiffe_id) = names(&fields);
        let sha256: [u8; 32] = digest(&SHA256, leaf).as_ref().try_into().map_err(|_| UnreadableCertificate)?;
        Ok(Self {
            sha256,
            fingerprint: format!("sha256:{}", hex::encode(sha256)).into(),
            names,
            spiffe_id,
            not_after: not_after(&fields),
            leaf: leaf.clone(),
            intermediates: intermediates.to_vec(),
        })
    }

    /// The usable subject alternative names; a SPIFFE id is among them as `uri:spiffe://…`.
    pub fn names(&self) -> &[San] {
        &self.names
    }

    /// The SPIFFE id, `spiffe://…`, if the certificate has one.
    pub fn spiffe_id(&self) -> Option<&San> {
        self.spiffe_id.as_ref()
    }

    /// SHA-256 of the leaf in DER form.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// `sha256:` and that hash in hexadecimal digits.
    pub(super) fn fingerprint(&self) -> Arc<str> {
        Arc::clone(&self.fingerprint)
    }

    /// When the leaf expires (`notAfter`).
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The value of the confirmation claim `x5t#S256` in a token that is bound to this certificate (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha256)
    }

    pub(super) fn bears(&self, name: &San) -> bool {
        self.spiffe_id.as_ref() == Some(name) || self.names.contains(name)
    }
}

/// The names in the subject alternative name extension. A duplicate or unreadable extension gives no names, and so
/// satisfies no rule for names.
fn names(fields: &X509Certificate<'_>) -> (Vec<San>, Option<San>) {
    let Ok(Some(extension)) = fields.subject_alternative_name() else { return (Vec::new(), None) };
    let names = &extension.value.general_names;
    (names.iter().filter_map(San::of).collect(), San::spiffe_id(names))
}

/// The `notAfter` time; a time before 1970 becomes 1970.
fn not_after(fields: &X509Certificate<'_>) -> UnixTime {
    let seconds = u64::try_from(fields.validity().not_after.timestamp()).unwrap_or(0);
    UnixTime::from_seconds(seconds).unwrap_or(UnixTime::MAX)
}

/// A listener's trust in client certificates: its roots and revocation lists (`client_ca`, `client_crl`).
#[derive(Clone, Debug)]
pub struct ClientTrust(Arc<dyn ClientCertVerifier>);

impl ClientTrust {
    /// Trust as this verifier decides it, in TLS handshakes and for later requests.
    pub fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self(verifier)
    }

    /// The verifier for the TLS handshakes of a listener.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0)
    }

    /// Whether the TLS handshake fails for a client without a certificate (`client_auth: required`).
    pub fn is_required(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    /// Whether the certificate is trusted at `now`, by its chain, validity periods and revocation lists.
    pub fn trusts(&self, certificate: &ClientCertificate, now: UnixTime) -> bool {
        let now = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.seconds()));
        // The rustls verifier for listeners without client authentication panics if it is called.
        self.0.offer_client_auth()
            && self.0.verify_client_cert(&certificate.leaf, &certificate.intermediates, now).is_ok()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
