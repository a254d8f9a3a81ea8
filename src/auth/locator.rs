//! The places of a request in which a value may be: how each is found, and under which key the configuration has it.
//!
//! A lookup finds exactly one value, or none, or rejects the request. Each scheme decides what a value is: a token must
//! be a `b64token` and the only credential; other values are decoded texts or JSON values.

use std::borrow::Cow;
use std::fmt;

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::request::Parts;
use memchr::memchr;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::claims::Pointer;
use super::request::{RequestView, sole};
use super::{Reason, VerifyError};

/// The query parameter of RFC 6750 §2.3.
const ACCESS_TOKEN: &str = "access_token";

/// The separators of query parameters, those that only some parsers know included.
const SEPARATORS: &[char] = &['&', ';'];

/// A place in which a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locator {
    /// A header; with a scheme, the value follows the scheme.
    Header {
        /// The name of the header.
        name: HeaderName,
        /// What precedes the value.
        scheme: Option<Scheme>,
    },
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// A field of a form body.
    Form(String),
    /// A member of a JSON body.
    Json(Pointer),
    /// The whole body.
    Body,
    /// A verified claim of a token.
    Claim(Pointer),
}

/// The text before a value in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// An authentication scheme, compared case-insensitively (RFC 9110 §11.1), and spaces.
    Word(String),
    /// A parameter such as `JWT=`, which directly precedes the value: `Digest: JWT=…` (Wix).
    Parameter(String),
}

/// A value in a request.
pub enum LocatedValue<'v> {
    /// Text, decoded where its place has an encoding.
    Text(Cow<'v, str>),
    /// A value of a JSON body or of a claim.
    Json(Cow<'v, Value>),
}

impl<'v> LocatedValue<'v> {
    /// The text, or the JSON string; `None` for another JSON value.
    pub fn into_text(self) -> Option<Cow<'v, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(Cow::Borrowed(value)) => value.as_str().map(Cow::Borrowed),
            Self::Json(Cow::Owned(Value::String(text))) => Some(Cow::Owned(text)),
            Self::Json(Cow::Owned(_)) => None,
        }
    }
}

impl Locator {
    /// A header without a scheme.
    pub const fn header_named(name: HeaderName) -> Self {
        Self::Header { name, scheme: None }
    }

    /// The place that `text` names under the configuration key `key`; `None` if it names none.
    pub fn parse(key: &str, text: &str) -> Option<Self> {
        match key {
            "header" => text.parse().ok().map(Self::header_named),
            "query" => Some(Self::Query(text.to_owned())),
            "cookie" => Some(Self::Cookie(text.to_owned())),
            "form" => Some(Self::Form(text.to_owned())),
            "json" => Pointer::parse(text).map(Self::Json),
            "body" => Some(Self::Body),
            "claim" => Pointer::parse(text).map(Self::Claim),
            _unknown => None,
        }
    }

    /// Describes the place that `text` names under the configuration key `key`.
    pub fn describe(key: &str, text: &str) -> String {
        match key {
            "form" => format!("form field `{text}`"),
            "json" => format!("body `{text}`"),
            "body" => "the whole body".to_owned(),
            other => format!("{other} `{text}`"),
        }
    }

    /// The value, if it is present. A claim is in no request: see [`Self::find_with_claims`].
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`], `multiple_credentials` for two or more values, `malformed_credential` for a header
    /// that is not ASCII, or `malformed_body` for a form of more than 1,000 fields and for a JSON body in which programs
    /// could find different values.
    pub fn find<'v>(&self, request: &'v RequestView<'v>) -> Result<Option<LocatedValue<'v>>, VerifyError> {
        let text = match self {
            Self::Header { name, scheme } => {
                let value = request.header(name)?;
                value.and_then(|value| after(scheme.as_ref(), value)).map(Cow::Borrowed)
            }
            Self::Query(name) => request.query(name)?,
            Self::Cookie(name) => in_cookie(request.head, name)?.map(Cow::Borrowed),
            Self::Form(name) => request.form_field(name)?,
            Self::Json(pointer) => return Ok(request.json_value(pointer)?.map(Cow::Owned).map(LocatedValue::Json)),
            Self::Body => {
                let text = std::str::from_utf8(request.body()?).ok();
                text.filter(|text| !text.is_empty()).map(Cow::Borrowed)
            }
            Self::Claim(_) => None,
        };
        Ok(text.map(LocatedValue::Text))
    }

    /// Like [`Self::find`], with the verified claims of the request's token.
    ///
    /// # Errors
    /// Those of [`Self::find`].
    pub fn find_with_claims<'v>(
        &self,
        request: &'v RequestView<'v>,
        claims: &'v Map<String, Value>,
    ) -> Result<Option<LocatedValue<'v>>, VerifyError> {
        if let Self::Claim(pointer) = self {
            return Ok(pointer.find(claims).map(Cow::Borrowed).map(LocatedValue::Json));
        }
        self.find(request)
    }

    /// The token in this place, which must be the only credential and a `b64token` (RFC 6750 §2.1). A proxy and an
    /// upstream could each choose a different one of two credentials.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`], `missing_credential`, `multiple_credentials` or `malformed_credential`. The size of a
    /// token is bounded by that of all headers, or of the body.
    pub fn find_token<'v>(&self, request: &'v RequestView<'v>) -> Result<Cow<'v, str>, VerifyError> {
        let head = request.head;
        let token = match self {
            Self::Header { name, scheme } => token_in_header(head, name, scheme.as_ref())?,
            Self::Query(name) => token_in_query(head, name)?,
            Self::Cookie(name) => in_cookie(head, name)?.ok_or(Reason::MissingCredential)?,
            Self::Form(_) | Self::Json(_) | Self::Body | Self::Claim(_) => return self.token_in_body(request),
        };
        let well_formed = !token.is_empty() && is_all_b64token(token);
        if well_formed { Ok(Cow::Borrowed(token)) } else { Err(Reason::MalformedCredential.into()) }
    }

    fn token_in_body<'v>(&self, request: &'v RequestView<'v>) -> Result<Cow<'v, str>, VerifyError> {
        let token = self.find(request)?.and_then(LocatedValue::into_text).ok_or(Reason::MissingCredential)?;
        match is_all_b64token(&token) {
            true => Ok(token),
            // Any other body is a missing token, not a malformed one.
            false if *self == Self::Body => Err(Reason::MissingCredential.into()),
            false => Err(Reason::MalformedCredential.into()),
        }
    }

    /// The header that carries the value, if the place is a header.
    pub const fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Query(_) | Self::Cookie(_) | Self::Form(_) | Self::Json(_) | Self::Body | Self::Claim(_) => None,
        }
    }

    /// Whether the value is in the body.
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Json(_) | Self::Body)
    }

    /// Whether the body is not the JSON object or the form in which the value would be.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`], or `malformed_body` for a form of more than 1,000 fields.
    pub fn is_unreadable(&self, request: &RequestView<'_>) -> Result<bool, VerifyError> {
        Ok(match self {
            Self::Json(_) => request.json()?.is_none(),
            Self::Form(_) => request.form()?.is_none(),
            Self::Header { .. } | Self::Query(_) | Self::Cookie(_) | Self::Body | Self::Claim(_) => false,
        })
    }
}

impl fmt::Display for Locator {
    /// Names the place in a sentence: "header `x-signature`".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, .. } => write!(f, "header `{name}`"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Cookie(name) => write!(f, "cookie `{name}`"),
            Self::Form(name) => write!(f, "form field `{name}`"),
            Self::Json(pointer) => write!(f, "member `{pointer}` of a JSON body"),
            Self::Body => f.write_str("token as the whole body"),
            Self::Claim(pointer) => write!(f, "claim `{pointer}`"),
        }
    }
}

impl Scheme {
    /// The scheme of a token: one that ends in `=` is a parameter.
    pub fn of_token(text: &str) -> Self {
        if text.ends_with('=') { Self::Parameter(text.to_owned()) } else { Self::Word(text.to_owned()) }
    }

    /// The scheme as it is written.
    pub fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Parameter(text) => text,
        }
    }

    /// The value of a header that has this scheme.
    pub fn prepend_to(&self, value: &str) -> String {
        match self {
            Self::Word(scheme) => format!("{scheme} {value}"),
            Self::Parameter(parameter) => format!("{parameter}{value}"),
        }
    }
}

/// The part of a header value after the scheme; `None` for another scheme, which is another credential.
fn after<'h>(scheme: Option<&Scheme>, value: &'h str) -> Option<&'h str> {
    match scheme {
        None => Some(value),
        Some(Scheme::Parameter(parameter)) => value.strip_prefix(parameter),
        // One or more spaces (RFC 9110 §11.4, RFC 6750 §2.1).
        Some(Scheme::Word(scheme)) => {
            let (_, rest) = value.split_once(' ').filter(|(found, _)| found.eq_ignore_ascii_case(scheme))?;
            Some(rest.trim_start_matches(' '))
        }
    }
}

fn token_in_header<'h>(head: &'h Parts, name: &HeaderName, scheme: Option<&Scheme>) -> Result<&'h str, Reason> {
    let bearer = name == AUTHORIZATION;
    let value = sole(head.headers.get_all(name).iter())?.ok_or(Reason::MissingCredential)?;
    let value = std::str::from_utf8(value.as_bytes()).ok().filter(|value| value.is_ascii());
    let value = value.ok_or(Reason::MalformedCredential)?;
    // RFC 6750 §2: a client must not use two methods in one request.
    if bearer && parameters(head, ACCESS_TOKEN, SEPARATORS).next().is_some() {
        return Err(Reason::MultipleCredentials);
    }
    // A proxy may join headers of one name with commas (RFC 9110 §5.2).
    if memchr(b',', value.as_bytes()).is_some() {
        return Err(Reason::MultipleCredentials);
    }
    after(scheme, value).ok_or_else(|| match scheme {
        Some(Scheme::Word(scheme)) if value.eq_ignore_ascii_case(scheme) => Reason::MalformedCredential,
        // Another scheme is another credential, not a malformed token (RFC 6750 §3.1).
        Some(Scheme::Word(_) | Scheme::Parameter(_)) | None => Reason::MissingCredential,
    })
}

/// The query parameter whose name is not percent-encoded. An encoded spelling of the name never carries the credential
/// and counts as a second one: the upstream would decode it, and could use a token that was not verified.
fn token_in_query<'h>(head: &'h Parts, name: &str) -> Result<&'h str, Reason> {
    let (found, value) = sole(parameters(head, name, &['&']))?.ok_or(Reason::MissingCredential)?;
    // A parser that also splits at `;` must find no other one.
    sole(parameters(head, name, SEPARATORS))?;
    if found == name { Ok(value) } else { Err(Reason::MissingCredential) }
}

/// The raw names and values of the query parameters whose decoded name is `name`.
fn parameters<'h>(
    head: &'h Parts,
    name: &str,
    separators: &'static [char],
) -> impl Iterator<Item = (&'h str, &'h str)> {
    let pairs = head.uri.query().unwrap_or_default().split(separators);
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    // A stray `%` stands for itself, as web frameworks decode it.
    pairs.filter(move |(found, _)| percent_decode_str(found).eq(name.bytes()))
}

/// The cookie, which may be present at most once.
fn in_cookie<'h>(head: &'h Parts, name: &str) -> Result<Option<&'h str>, Reason> {
    let mut found = None;
    for field in head.headers.get_all(COOKIE) {
        // Skipping an unreadable header would hide its cookies from this check, but not from the upstream.
        let field = field.to_str().map_err(|_| Reason::MalformedCredential)?;
        let values = field
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(cookie, _)| cookie.trim_end() == name);
        // Some parsers also split at spaces and commas.
        let loose = field.split([';', ',', ' ', '\t']).filter_map(|pair| pair.split_once('='));
        if loose.filter(|(cookie, _)| *cookie == name).count() > 1 {
            return Err(Reason::MultipleCredentials);
        }
        for (_, value) in values {
            if found.replace(value).is_some() {
                return Err(Reason::MultipleCredentials);
            }
        }
    }
    Ok(found)
}

/// Checks every byte without an early exit, so that the compiler can vectorize the loop.
fn is_all_b64token(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
    text.bytes().fold(true, |all, byte| all & allowed(byte))
}

#[cfg(test)]
mod tests;
