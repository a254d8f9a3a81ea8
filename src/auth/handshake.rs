//! Questions that a provider asks about the endpoint, and their answers: pure, out of what a preset describes.
//!
//! An answer repeats what a stranger sent, and some sign it with the route's secret. So a challenge has a strict
//! alphabet and length, and the answer is one that no browser takes for a page. What would make a MAC is never
//! something that the provider could have signed as a body (X's CRC would be a signing oracle otherwise).

use std::borrow::Cow;

use http::{HeaderName, Method};
use serde_json::{Map, Value};

use super::Stop;
use super::claims::ClaimRule;
use super::request::RequestView;
use super::signature::{Encoding, Hash, Piece, SecretKey, SignatureAlgorithm};
use super::token::same;

/// Bytes of a challenge that is only repeated.
const MAX_CHALLENGE: usize = 512;

/// Bytes of one that is signed.
const MAX_SIGNED_CHALLENGE: usize = 128;

/// A question and its answer.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Its method.
    pub method: Method,
    /// Whether the request itself must have been granted first.
    pub signed: bool,
    /// Query parameters that it has.
    pub query: Vec<(String, Expected)>,
    /// What its body says.
    pub json: Vec<ClaimRule>,
    /// Headers that it has.
    pub headers: Vec<(HeaderName, String)>,
    /// Where the challenge stands.
    pub challenge: Option<Challenge>,
    /// What is answered.
    pub answer: Template,
    /// Headers of the answer.
    pub answer_headers: Vec<(HeaderName, String)>,
    /// What signs a challenge, if one is signed.
    pub secret: Option<SecretKey>,
}

/// What a query parameter must be.
#[derive(Clone, Debug)]
pub enum Expected {
    /// This text.
    Text(String),
    /// This secret.
    Secret(SecretKey),
}

/// Where a challenge stands.
#[derive(Clone, Debug)]
pub enum Challenge {
    /// In a query parameter.
    Query(String),
    /// In a header or the body.
    Piece(Piece),
}

/// The answer, in which `$challenge`, `$hmac.hex` and `$hmac.base64` are filled in.
#[derive(Clone, Debug)]
pub enum Template {
    /// text/plain
    Text(String),
    /// application/json
    Json(Value),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `text/plain` or `application/json`.
    pub content_type: &'static str,
    /// Its body.
    pub body: String,
    /// Its headers.
    pub headers: Vec<(HeaderName, String)>,
}

impl Handshake {
    /// The answer, if the request is this question.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`] where the body must be looked at to know.
    pub fn answer(&self, request: &RequestView<'_>) -> Result<Option<Answer>, Stop> {
        if request.head.method != self.method || !self.head_fits(request) {
            return Ok(None);
        }
        if !self.json.is_empty() {
            // A list is looked into as the object {"": […]} would be.
            let Some(body) = body_object(request)? else { return Ok(None) };
            if !self.json.iter().all(|rule| rule.holds(&body)) {
                return Ok(None);
            }
        }
        let challenge = match &self.challenge {
            None => String::new(),
            Some(place) => match place.find(request)?.filter(|challenge| self.is_proper(challenge)) {
                Some(challenge) => challenge,
                None => return Ok(None),
            },
        };
        Ok(Some(self.fill(&challenge)))
    }

    fn head_fits(&self, request: &RequestView<'_>) -> bool {
        let query = self
            .query
            .iter()
            .all(|(name, expected)| request.query(name).ok().flatten().is_some_and(|value| expected.is(&value)));
        query && self.headers.iter().all(|(name, value)| request.header(name) == Ok(Some(value.as_str())))
    }

    /// A signed one has letters, digits, `-` and `_` alone: no body and no text that a provider signs looks so.
    fn is_proper(&self, challenge: &str) -> bool {
        let (longest, more): (usize, &[u8]) =
            if self.signs() { (MAX_SIGNED_CHALLENGE, b"-_") } else { (MAX_CHALLENGE, b"-_.~+/=: ") };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        !challenge.is_empty() && challenge.len() <= longest && challenge.bytes().all(plain)
    }

    fn signs(&self) -> bool {
        self.secret.is_some()
    }

    fn fill(&self, challenge: &str) -> Answer {
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
            Template::Text(text) => ("text/plain; charset=utf-8", fill(text)),
            Template::Json(value) => ("application/json", filled(value, &fill).to_string()),
        };
        let headers = self.answer_headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        Answer { content_type, body, headers }
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

fn body_object(request: &RequestView<'_>) -> Result<Option<Map<String, Value>>, Stop> {
    if let Some(object) = request.json()? {
        return Ok(Some(object.clone()));
    }
    // Azure sends a list of one event.
    let wrapped = [b"{\"\":", request.body()?, b"}"].concat();
    let Ok(mut object) = super::json::parse_object(&wrapped) else { return Ok(None) };
    match object.remove("") {
        Some(Value::Array(items)) if items.len() == 1 && object.is_empty() => {
            Ok(Some(items.into_iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()))
        }
        _ => Ok(None),
    }
}

impl Challenge {
    fn find(&self, request: &RequestView<'_>) -> Result<Option<String>, Stop> {
        match self {
            Self::Query(name) => Ok(request.query(name)?.map(Cow::into_owned)),
            Self::Piece(Piece::Json(pointer, _)) => {
                let body = body_object(request)?;
                Ok(body.and_then(|body| pointer.find(&body)?.as_str().map(str::to_owned)))
            }
            Self::Piece(Piece::Header(name, _)) => Ok(request.header(name)?.map(str::to_owned)),
            Self::Piece(_) => Ok(None),
        }
    }
}

impl Expected {
    fn is(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Secret(secret) => secret.shared().is_some_and(|secret| same(secret, value.as_bytes())),
        }
    }
}
