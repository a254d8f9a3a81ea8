//! The rejection of a request whose credential is absent or cannot be read: its reason, and where the credential would be.

use super::Policy;
use crate::auth::locator::Locator;
use crate::auth::rejection::{Rejection, VerifyError};
use crate::auth::request::RequestView;
use crate::reason::Reason;

impl Policy {
    /// Turns `missing_credential` into `malformed_body` if the credential can only be in a JSON body, and the request
    /// has a body that is not a JSON object; and into `invalid_signature` if there is a list without a signature of the
    /// only scheme.
    pub(in crate::auth) fn unread(&self, request: &RequestView<'_>, error: VerifyError) -> VerifyError {
        let places = self.places();
        let is_signature = matches!(self, Self::Signature(_)) && error.reason() == Some(Reason::MissingCredential);
        if is_signature && places.iter().any(|place| place.find(request).is_ok_and(|found| found.is_some())) {
            return error.with_reason(Reason::InvalidSignature);
        }
        let in_json = !places.is_empty() && places.iter().all(|place| matches!(place, Locator::Json(_)));
        let missing = error.reason() == Some(Reason::MissingCredential);
        let has_body = request.body.is_some_and(|body| !body.is_empty());
        let unreadable = missing && in_json && has_body && matches!(request.json(), Ok(None));
        if unreadable { Reason::MalformedBody.into() } else { error }
    }

    /// Adds to `missing_credential` where the credential would be. It is formatted for the rejection of the whole
    /// policy alone: without a credential of one alternative, another one may accept the request.
    pub(in crate::auth) fn missing(&self, request: &RequestView<'_>, error: VerifyError) -> VerifyError {
        let VerifyError::Rejected(rejection) = error else { return error };
        if rejection.reason != Reason::MissingCredential || rejection.detail.is_some() {
            return rejection.into();
        }
        let places = self.leaves().into_iter().flat_map(Self::places).map(|place| match place {
            Locator::Header { name, scheme: Some(scheme) } if request.head.headers.contains_key(name) => {
                format!("the header `{name}` has not the scheme `{}`", scheme.text())
            }
            Locator::Header { .. }
            | Locator::Query(_)
            | Locator::Cookie(_)
            | Locator::Form(_)
            | Locator::Json(_)
            | Locator::Body
            | Locator::Claim(_) => format!("no {place}"),
        });
        let places: Vec<String> = places.collect();
        if places.is_empty() {
            rejection.into()
        } else {
            Rejection { detail: Some(places.join("; ").into()), ..rejection }.into()
        }
    }
}
