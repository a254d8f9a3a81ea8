//! Endpoint verification challenges: the requests by which a provider verifies the endpoint, and the responses to them,
//! as a preset describes them. No I/O.
//!
//! A response echoes a value from an unauthenticated client, and some responses contain a MAC of it under the route's
//! secret. The challenge value therefore has a strict alphabet and length, and no browser renders the response as a
//! page. A value that is signed cannot be a body that the provider would sign: otherwise X's CRC (challenge-response
//! check) would be a signing oracle.

mod confirmation;
mod lookup;

use std::borrow::Cow;

pub use confirmation::{Confirmation, ConfirmationRule, QueryValue};
use http::{HeaderName, Method};
use lookup::{all_hold, find};
use serde_json::Value;

use super::claims::ClaimRule;
use super::encoding::Encoding;
use super::locator::Locator;
use super::rejection::VerifyError;
use super::request::RequestView;
use super::secret::{Hash, SecretKey, SignatureAlgorithm, equal_to};

/// The longest challenge value that is only echoed, in bytes.
const MAX_CHALLENGE: usize = 512;

/// The longest challenge value that is signed, in bytes.
const MAX_SIGNED_CHALLENGE: usize = 128;

/// An endpoint verification challenge and the response to it.
#[derive(Clone, Debug)]
pub struct ChallengeRule {
    /// The method of the request.
    pub method: Method,
    /// Whether the request must be authenticated before it is answered.
    pub signed: bool,
    /// The query parameters that the request must have, with their values.
    pub query: Vec<(String, ExpectedValue)>,
    /// Conditions on the request's JSON body.
    pub json: Vec<ClaimRule>,
    /// The headers that the request must have, with their values.
    pub headers: Vec<(HeaderName, String)>,
    /// Where the challenge value is, if there is one.
    pub challenge: Option<Locator>,
    /// The body of the response.
    pub answer: ResponseTemplate,
    /// The additional headers of the response.
    pub answer_headers: Vec<(HeaderName, String)>,
    /// The secret for the MAC of the challenge value, if the response contains one.
    pub secret: Option<SecretKey>,
    /// The URL that is fetched before the response, if there is one.
    pub confirmation: Option<Box<ConfirmationRule>>,
}

/// The required value of a query parameter.
#[derive(Clone, Debug)]
pub enum ExpectedValue {
    /// This string.
    Text(String),
    /// This secret, compared in constant time.
    Secret(SecretKey),
}

/// The template of a response body, in which `$challenge`, `$hmac.hex` and `$hmac.base64` are replaced.
#[derive(Clone, Debug)]
pub enum ResponseTemplate {
    /// A `text/plain` body.
    Text(String),
    /// An `application/json` body, with replacements in all of its strings.
    Json(Value),
}

/// The response to an endpoint verification challenge.
#[derive(Clone, Debug)]
pub struct ChallengeResponse {
    /// `text/plain` or `application/json`.
    pub content_type: &'static str,
    /// The response body.
    pub body: String,
    /// The additional response headers.
    pub headers: Vec<(HeaderName, String)>,
    /// The URL to fetch first. Boxed, since hardly any challenge has one.
    pub confirmation: Option<Box<Confirmation>>,
}

impl ChallengeRule {
    /// The response, if the request is this challenge.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`] if the body must be read to decide, or a rejection if the challenge value is
    /// ambiguous.
    pub fn answer(&self, request: &RequestView<'_>) -> Result<Option<ChallengeResponse>, VerifyError> {
        if request.head.method != self.method || !self.head_fits(request) {
            return Ok(None);
        }
        if !self.json.is_empty() && !all_hold(&self.json, request)? {
            return Ok(None);
        }
        let challenge = match &self.challenge {
            None => String::new(),
            Some(place) => match find(place, request)?.filter(|challenge| self.is_proper(challenge)) {
                Some(challenge) => challenge,
                None => return Ok(None),
            },
        };
        let confirmation = match &self.confirmation {
            None => None,
            Some(rule) => match rule.find(request)? {
                Some(confirmation) => Some(Box::new(confirmation)),
                None => return Ok(None),
            },
        };
        Ok(Some(ChallengeResponse { confirmation, ..self.fill(&challenge) }))
    }

    fn head_fits(&self, request: &RequestView<'_>) -> bool {
        let query = self
            .query
            .iter()
            .all(|(name, expected)| request.query(name).ok().flatten().is_some_and(|value| expected.is(&value)));
        query && self.headers.iter().all(|(name, value)| request.header(name) == Ok(Some(value.as_str())))
    }

    /// Whether the challenge value has the allowed length and alphabet. One that is signed consists of letters, digits,
    /// `-` and `_` alone: no body and no string to sign of a provider has that form.
    fn is_proper(&self, challenge: &str) -> bool {
        let (longest, more): (usize, &[u8]) =
            if self.secret.is_some() { (MAX_SIGNED_CHALLENGE, b"-_") } else { (MAX_CHALLENGE, b"-_.~+/=: ") };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        !challenge.is_empty() && challenge.len() <= longest && challenge.bytes().all(plain)
    }

    fn fill(&self, challenge: &str) -> ChallengeResponse {
        let mac = self.secret.as_ref().and_then(|secret| {
            secret.mac(SignatureAlgorithm::Hmac(Hash::Sha256), &[Cow::Borrowed(challenge.as_bytes())])
        });
        let mac = mac.unwrap_or_default();
        let fill = |text: &str| {
            text.replace("$hmac.hex", &Encoding::Hex.encode(&mac))
                .replace("$hmac.base64", &Encoding::Base64.encode(&mac))
                .replace("$challenge", challenge)
        };
        let (content_type, body) = match &self.answer {
            ResponseTemplate::Text(text) => ("text/plain; charset=utf-8", fill(text)),
            ResponseTemplate::Json(value) => ("application/json", filled(value, &fill).to_string()),
        };
        let headers = self.answer_headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        ChallengeResponse { content_type, body, headers, confirmation: None }
    }
}

fn filled(value: &Value, fill: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text)),
        Value::Array(items) => items.iter().map(|item| filled(item, fill)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), filled(value, fill))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

impl ExpectedValue {
    fn is(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Secret(secret) => secret.shared().is_some_and(equal_to(value.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::{ClaimTest, Pointer};
    use crate::auth::request::UrlBase;
    use http::Request;
    use serde_json::json;

    fn rule() -> ChallengeRule {
        let equals = |name, value: &str| {
            let test = ClaimTest::Equals(value.into());
            ClaimRule { pointer: Pointer::parse(name).unwrap(), test }
        };
        ChallengeRule {
            method: Method::POST,
            signed: false,
            query: vec![
                ("mode".into(), ExpectedValue::Text("on".into())),
                ("v".into(), ExpectedValue::Text("1".into())),
            ],
            json: vec![equals("type", "verify"), equals("of", "endpoint")],
            headers: vec![
                (HeaderName::from_static("x-kind"), "verify".into()),
                (HeaderName::from_static("x-v"), "1".into()),
            ],
            challenge: Some(Locator::Json(Pointer::parse("/c").unwrap())),
            answer: ResponseTemplate::Text("$challenge".into()),
            answer_headers: Vec::new(),
            secret: None,
            confirmation: None,
        }
    }

    fn answer(method: &str, uri: &str, fields: &[(&str, &str)], body: &str) -> Option<String> {
        let request = Request::builder().method(method).uri(uri);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let head = request.body(()).unwrap().into_parts().0;
        let view = RequestView::new(&head, UrlBase::Host("a")).with_body(body.as_bytes());
        rule().answer(&view).unwrap().map(|response| response.body)
    }

    /// Every other request is an event, which must be verified: its sender gets no response from the gateway.
    #[test]
    fn a_challenge_meets_every_condition() {
        let (uri, body) = ("/?mode=on&v=1", r#"{"type":"verify","of":"endpoint","c":"abc"}"#);
        let (kind, version) = (("x-kind", "verify"), ("x-v", "1"));
        let fields = [kind, version];
        assert_eq!(answer("POST", uri, &fields, body).as_deref(), Some("abc"));
        assert_eq!(answer("PUT", uri, &fields, body), None);
        for uri in ["/?mode=on", "/?v=1", "/?mode=off&v=1", "/?mode=on&v=2", "/?mode=on&mode=on&v=1"] {
            assert_eq!(answer("POST", uri, &fields, body), None, "{uri}");
        }
        for fields in [&[kind][..], &[version], &[kind, ("x-v", "2")], &[("x-kind", "event"), version]] {
            assert_eq!(answer("POST", uri, fields, body), None, "{fields:?}");
        }
        for changed in [json!({"type": "event"}), json!({"of": "account"}), json!({"c": ""}), json!({"c": "<b>"})] {
            let body = crate::auth::testing::with(serde_json::from_str(body).unwrap(), &changed).to_string();
            assert_eq!(answer("POST", uri, &fields, &body), None, "{body}");
        }
        assert_eq!(answer("POST", uri, &fields, "abc"), None);
    }
}
