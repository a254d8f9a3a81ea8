//! The certificate that a request names by its URL, whose key verifies the signature.

use std::sync::Arc;

use crate::auth::explanation::Explanation;
use crate::auth::locator::{LocatedValue, Locator};
use crate::auth::quoted::quoted;
use crate::auth::rejection::{MissingKey, Rejection, VerifyError};
use crate::auth::request::RequestView;
use crate::auth::signing_certificate::SigningCertificates;
use crate::auth::tenants::Candidates;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// The certificate of a signature: its URL in the request, and the handle that has it once it was fetched.
#[derive(Clone, Debug)]
pub struct NamedCertificate {
    /// Where the request has the URL.
    pub url: Locator,
    /// The certificates that have been fetched.
    pub certificates: Arc<SigningCertificates>,
}

impl NamedCertificate {
    /// The key of the certificate. `check` has the rules that are checked after a signature otherwise.
    ///
    /// # Errors
    /// `signing_certificate_not_allowed`; `signing_certificate_unavailable` with the certificate to fetch, if all rules
    /// hold that need no signature: an unauthenticated client who cannot meet them causes no fetch.
    pub(super) fn key(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
        check: impl FnOnce(&mut Explanation) -> Result<(), VerifyError>,
    ) -> Result<Candidates<'static>, VerifyError> {
        let found = self.url.find(request)?.and_then(LocatedValue::into_text);
        let rejected = |detail: String| Rejection::detailed(Reason::SigningCertificateNotAllowed, detail);
        let url = found.ok_or_else(|| rejected("the request names no certificate".to_owned()))?;
        explanation.add("certificate", || url.clone().into_owned());
        if !self.certificates.allows(&url) {
            return Err(rejected(format!("not the URL of a certificate of this route: {}", quoted(&url))).into());
        }
        if let Some(certificate) = self.certificates.find(&url, now) {
            return Ok(Candidates::OfCertificate(certificate.key()));
        }
        check(explanation)?;
        let missing = MissingKey::OfCertificate(Arc::clone(&self.certificates), url.into_owned());
        Err(Rejection { remote: Some(Box::new(missing)), ..Reason::SigningCertificateUnavailable.into() }.into())
    }
}
