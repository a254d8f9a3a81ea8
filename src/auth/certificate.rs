//! Client certificates: what a handshake has shown of one, whether it is (still) trusted, and a route's rule for it.
//!
//! That the client holds the private key was proven to the TLS layer, which makes a [`ClientCertificate`] once a
//! connection. Trust is looked at again for each request: a connection outlives a reload, a resumed session skips the
//! verification (RFC 8446 §2.2), and lists and certificates end meanwhile.

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
pub use san::{San, SanError};

/// The certificate's fields cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client's certificate cannot be read")]
pub struct UnreadableCertificate;

/// Not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the SHA-256 of a certificate in DER form: 64 hexadecimal digits, with or without colons between bytes"
)]
pub struct FingerprintError;

/// A client's certificate as the handshake showed it. Being one says nothing of trust: ask a [`ClientTrust`].
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    sha256: [u8; 32],
    names: Vec<San>,
    spiffe_id: Option<San>,
    not_after: UnixTime,
}

impl ClientCertificate {
    /// Reads a chain in DER form, the leaf first. The TLS layer bounds its size (64 KiB a handshake message).
    ///
    /// # Errors
    /// [`UnreadableCertificate`] where there is no leaf, or none that can be read.
    pub fn from_chain(chain: &[CertificateDer<'static>]) -> Result<Self, UnreadableCertificate> {
        let (leaf, intermediates) = chain.split_first().ok_or(UnreadableCertificate)?;
        let ([], fields) = x509_parser::parse_x509_certificate(leaf).map_err(|_| UnreadableCertificate)? else {
            return Err(UnreadableCertificate);
        };
        let (names, spiffe_id) = names(&fields);
        Ok(Self {
            sha256: sha256(leaf),
            names,
            spiffe_id,
            not_after: not_after(&fields),
            leaf: leaf.clone(),
            intermediates: intermediates.to_vec(),
        })
    }

    /// Its subject alternative names, as far as they are usable; a SPIFFE id stands among them as `uri:spiffe://…`.
    pub fn names(&self) -> &[San] {
        &self.names
    }

    /// Its SPIFFE id, `spiffe://…`.
    pub fn spiffe_id(&self) -> Option<&San> {
        self.spiffe_id.as_ref()
    }

    /// SHA-256 of the leaf in DER form.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// When the leaf ends.
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The confirmation `x5t#S256` of a token that is bound to this certificate (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha256)
    }

    fn bears(&self, name: &San) -> bool {
        self.spiffe_id.as_ref() == Some(name) || self.names.contains(name)
    }
}

/// A doubled or unreadable extension is none: without names a rule for names does not hold.
fn names(fields: &X509Certificate<'_>) -> (Vec<San>, Option<San>) {
    let Ok(Some(extension)) = fields.subject_alternative_name() else { return (Vec::new(), None) };
    let names = &extension.value.general_names;
    (names.iter().filter_map(San::of).collect(), San::spiffe_id(names))
}

/// What ended before 1970 ended then.
fn not_after(fields: &X509Certificate<'_>) -> UnixTime {
    let seconds = u64::try_from(fields.validity().not_after.timestamp()).unwrap_or(0);
    UnixTime::from_seconds(seconds).unwrap_or(UnixTime::MAX)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // SHA-256 has 32 bytes.
    hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Whom a listener trusts: its roots and its revocation lists (`client_ca`, `client_crl`).
#[derive(Clone, Debug)]
pub struct ClientTrust(Arc<dyn ClientCertVerifier>);

impl ClientTrust {
    /// What this verifier trusts, in handshakes and afterwards.
    pub fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self(verifier)
    }

    /// For the handshakes of a listener.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.0)
    }

    /// A client without a certificate gets no connection (`client_auth: required`).
    pub fn is_required(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    /// Whether the certificate is trusted at `now`: chain, ends, and every revocation list.
    pub fn trusts(&self, certificate: &ClientCertificate, now: UnixTime) -> bool {
        let now = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(now.seconds()));
        // rustls's verifier for no clients at all panics when it is asked.
        self.0.offer_client_auth()
            && self.0.verify_client_cert(&certificate.leaf, &certificate.intermediates, now).is_ok()
    }
}

/// Which trusted certificates a route admits (`auth.client_certificate`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRule {
    /// The certificate bears one of these names,
    pub sans: Vec<San>,
    /// or is one of these, by SHA-256 of its DER form.
    pub sha256: Vec<[u8; 32]>,
}

impl CertificateRule {
    /// Whether the certificate is one of those listed; with nothing listed, every one is. It asks for no trust.
    pub fn admits(&self, certificate: &ClientCertificate) -> bool {
        let any = self.sans.is_empty() && self.sha256.is_empty();
        any || self.sha256.contains(&certificate.sha256) || self.sans.iter().any(|name| certificate.bears(name))
    }
}

/// A SHA-256 in hexadecimal digits, `ab01…` or `AB:01:…` as OpenSSL prints it.
///
/// # Errors
/// [`FingerprintError`]
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], FingerprintError> {
    let text = text.as_bytes();
    let pairs: Vec<&[u8]> =
        if text.contains(&b':') { text.split(|byte| *byte == b':').collect() } else { text.chunks(2).collect() };
    let bytes: Option<Vec<u8>> = pairs.into_iter().map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(FingerprintError)
}

fn byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
