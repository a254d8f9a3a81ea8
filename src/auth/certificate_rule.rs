//! Verification of a client certificate (mTLS) by a route's rule. Called by [`super::verify`].

use std::sync::Arc;

use super::client_certificate::{ClientCertificate, San};
use super::explanation::Explanation;
use super::grant::Grant;
use super::rejection::VerifyError;
use super::request::RequestView;
use super::sender::{Holder, HolderKind};
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
        let name = self.name_of(client.certificate).filter(|_| trusted).ok_or(Reason::CertificateNotAllowed)?;
        let holder = Holder { kind: HolderKind::Certificate, name, key_id: None };
        Ok(Grant { holder: Some(holder), ..Grant::anonymous() })
    }

    /// Whether the rule is empty.
    pub const fn allows_every_certificate(&self) -> bool {
        self.sans.is_empty() && self.sha256.is_empty()
    }

    /// Whether the rule allows the certificate. Trust is not checked here.
    pub fn admits(&self, certificate: &ClientCertificate) -> bool {
        self.name_of(certificate).is_some()
    }

    /// The name by which the rule lists the certificate, which a renewed certificate has too; otherwise its fingerprint,
    /// if the rule lists that or allows every certificate.
    fn name_of(&self, certificate: &ClientCertificate) -> Option<Arc<str>> {
        let name = self.sans.iter().find(|name| certificate.bears(name)).map(San::shared);
        let allowed = self.allows_every_certificate() || self.sha256.contains(certificate.sha256());
        name.or_else(|| allowed.then(|| certificate.fingerprint()))
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
