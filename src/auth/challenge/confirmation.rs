//! The URL in a signed challenge whose fetch confirms a subscription (Amazon SNS). No I/O: `jwks` fetches it.
//!
//! The message is verified, and yet the URL must have the form that the provider's documents describe: with `any_of` other
//! senders have credentials of the route too.

use std::sync::Arc;

use super::lookup::{all_hold, find};
use crate::auth::claims::ClaimRule;
use crate::auth::locator::Locator;
use crate::auth::rejection::VerifyError;
use crate::auth::request::RequestView;
use crate::auth::signing_certificate::SigningCertificates;

/// Where a challenge has the URL, and what the URL must be.
#[derive(Clone, Debug)]
pub struct ConfirmationRule {
    /// The certificates of the provider: the URL is on one of their hosts.
    pub certificates: Arc<SigningCertificates>,
    /// Where the URL is.
    pub url: Locator,
    /// Where the name of the topic is.
    pub topic: Locator,
    /// Further conditions on the body.
    pub json: Vec<ClaimRule>,
    /// The query parameters of the URL, all of them.
    pub query: Vec<(String, QueryValue)>,
}

/// The value of a query parameter of the URL.
#[derive(Clone, Debug)]
pub enum QueryValue {
    /// This text.
    Text(String),
    /// The value at this place of the request.
    Located(Locator),
}

/// A URL to fetch.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// How the provider is reached.
    pub certificates: Arc<SigningCertificates>,
    /// The URL, which has a secret in its query.
    pub url: String,
    /// The name of the topic.
    pub topic: String,
}

impl ConfirmationRule {
    /// The URL to fetch; `None` if the request names none or another one.
    pub(super) fn find(&self, request: &RequestView<'_>) -> Result<Option<Confirmation>, VerifyError> {
        let (Some(url), Some(topic)) = (find(&self.url, request)?, find(&self.topic, request)?) else {
            return Ok(None);
        };
        if !all_hold(&self.json, request)? {
            return Ok(None);
        }
        let Some(parsed) = self.certificates.on_host(&url).filter(|parsed| parsed.path() == "/") else {
            return Ok(None);
        };
        let pairs: Vec<_> = parsed.query_pairs().collect();
        for (name, expected) in &self.query {
            let expected = match expected {
                QueryValue::Text(text) => Some(text.clone()),
                QueryValue::Located(place) => find(place, request)?,
            };
            // Each name is there, and there are as many pairs as names: none occurs twice.
            if !pairs.iter().any(|(found, value)| found == name && Some(&**value) == expected.as_deref()) {
                return Ok(None);
            }
        }
        let certificates = Arc::clone(&self.certificates);
        Ok((pairs.len() == self.query.len()).then_some(Confirmation { certificates, url, topic }))
    }
}
