//! Verification of a client certificate (mTLS) by a route's rule. Called by [`super::verify`].

use super::client_certificate::{ClientCertificate, San};
use super::explanation::Explanation;
use super::grant::Grant;
use super::rejection::VerifyError;
use super::request::RequestView;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// The text is not a certificate fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the SHA-256 of a certificate in DER form: 64 hexadecimal digits, with or without colons between bytes"
)]
pub struct FingerprintError;

/// The trusted certificates that a route allows (`auth.client_certificate`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRule {
    /// Subject alternative names, one of which allows the certificate.
    pub sans: Vec<San>,
    /// SHA-256 fingerprints of certificates in DER form, one of which allows the certificate.
    pub sha256: Vec<[u8; 32]>,
}

impl CertificateRule {
    /// Verifies the client certificate of one request.
    ///
    /// # Errors
    /// `missing_credential`, `certificate_not_allowed`.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let client = request.client.ok_or(Reason::MissingCredential)?;
        let trusted = client.is_trusted(now);
        explanation.add("client certificate", || {
            if trusted { "is trusted" } else { "is not trusted, or no longer trusted" }.into()
        });
        if trusted && self.admits(client.certificate) {
            Ok(Grant::anonymous())
        } else {
            Err(Reason::CertificateNotAllowed.into())
        }
    }

    /// Whether the rule is empty.
    pub const fn allows_every_certificate(&self) -> bool {
        self.sans.is_empty() && self.sha256.is_empty()
    }

    /// Whether the rule lists the certificate by name or fingerprint; an empty rule allows every certificate. Trust is
    /// not checked here.
    pub fn admits(&self, certificate: &ClientCertificate) -> bool {
        self.allows_every_certificate()
            || self.sha256.contains(certificate.sha256())
            || self.sans.iter().any(|name| certificate.bears(name))
    }
}

/// Parses a SHA-256 fingerprint in hexadecimal digits, `ab01…` or `AB:01:…` as OpenSSL prints it.
///
/// # Errors
/// [`FingerprintError`] for any other text.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], FingerprintError> {
    if text.contains(':') && text.split(':').any(|pair| pair.len() != 2) {
        return Err(FingerprintError);
    }
    let mut fingerprint = [0; 32];
    hex::decode_to_slice(text.replace(':', ""), &mut fingerprint).map_err(|_| FingerprintError)?;
    Ok(fingerprint)
}
