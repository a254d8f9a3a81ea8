//! Finds exactly one token in a request, only in the location that the route configures.
//!
//! A request with two credentials is rejected: a proxy and an upstream could each choose a different one.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::request::Parts;
use memchr::memchr;

use super::claims::Pointer;
use super::request::{RequestView, sole};
use super::{Reason, VerifyError};

/// The longest token, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

/// The query parameter of RFC 6750 §2.3.
const ACCESS_TOKEN: &str = "access_token";

/// Where a route looks for the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenLocation {
    /// A header; with a scheme, the token follows the scheme and one space.
    Header {
        /// The name of the header.
        name: HeaderName,
        /// The authentication scheme, compared case-insensitively (RFC 9110 §11.1). One that ends in `=`, such as
        /// `JWT=`, directly precedes the token.
        scheme: Option<String>,
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
}

impl TokenLocation {
    /// The token at this location, in the headers, the URL or the body.
    ///
    /// # Errors
    /// Those of [`Self::find`], and [`VerifyError::NeedsBody`]. A token in the body is bounded by the body's size limit.
    pub fn find_in<'a>(&self, request: &RequestView<'a>) -> Result<Cow<'a, str>, VerifyError> {
        let token = match self {
            Self::Header { .. } | Self::Query(_) | Self::Cookie(_) => {
                return Ok(Cow::Borrowed(self.find(request.head)?));
            }
            Self::Form(name) => request.form_field(name)?,
            Self::Json(pointer) => {
                request.json_value(pointer)?.and_then(|value| value.as_str()).map(|text| Cow::Owned(text.to_owned()))
            }
            // Any other body is a missing token, not a malformed one.
            Self::Body => whole(request.body()?).map(Cow::Borrowed),
        };
        let token = token.ok_or(Reason::MissingCredential)?;
        if is_all_b64token(&token) { Ok(token) } else { Err(Reason::MalformedCredential.into()) }
    }

    /// The header that carries the token, if the location is a header.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Query(_) | Self::Cookie(_) | Self::Form(_) | Self::Json(_) | Self::Body => None,
        }
    }

    /// Whether the token is in the body.
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Form(_) | Self::Json(_) | Self::Body)
    }

    /// The token in the request's headers or URL.
    ///
    /// # Errors
    /// `missing_credential`, `multiple_credentials`, `malformed_credential` for a value that is not a `b64token` (RFC
    /// 6750 §2.1), or `token_too_large`.
    pub fn find<'h>(&self, head: &'h Parts) -> Result<&'h str, Reason> {
        let token = match self {
            Self::Header { name, scheme } => in_header(head, name, scheme.as_deref())?,
            Self::Query(name) => in_query(head, name)?,
            Self::Cookie(name) => in_cookie(head, name)?,
            Self::Form(_) | Self::Json(_) | Self::Body => return Err(Reason::MissingCredential),
        };
        if token.len() > MAX_TOKEN {
            return Err(Reason::TokenTooLarge);
        }
        if token.is_empty() || !is_all_b64token(token) { Err(Reason::MalformedCredential) } else { Ok(token) }
    }
}

fn whole(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|body| !body.is_empty() && is_all_b64token(body))
}

fn in_header<'h>(head: &'h Parts, name: &HeaderName, scheme: Option<&str>) -> Result<&'h str, Reason> {
    let bearer = name == AUTHORIZATION;
    let value = sole(head.headers.get_all(name).iter())?.ok_or(Reason::MissingCredential)?;
    let value = std::str::from_utf8(value.as_bytes()).ok().filter(|value| value.is_ascii());
    let value = value.ok_or(Reason::MalformedCredential)?;
    // RFC 6750 §2: a client must not use two methods in one request.
    if bearer && parameters(head, ACCESS_TOKEN).next().is_some() {
        return Err(Reason::MultipleCredentials);
    }
    // A proxy may join headers of one name with commas (RFC 9110 §5.2).
    if memchr(b',', value.as_bytes()).is_some() {
        return Err(Reason::MultipleCredentials);
    }
    let Some(scheme) = scheme else { return Ok(value) };
    if scheme.ends_with('=') {
        // A parameter instead of a scheme: `Digest: JWT=…` (Wix).
        return value.strip_prefix(scheme).ok_or(Reason::MissingCredential);
    }
    match value.split_once(' ') {
        Some((found, token)) if found.eq_ignore_ascii_case(scheme) => Ok(token),
        None if value.eq_ignore_ascii_case(scheme) => Err(Reason::MalformedCredential),
        // Another scheme is another credential, not a malformed token (RFC 6750 §3.1).
        Some(_) | None => Err(Reason::MissingCredential),
    }
}

/// The query parameter whose name is not percent-encoded. An encoded spelling of the name never carries the credential
/// and counts as a second one: the upstream would decode it, and could use a token that was not verified.
fn in_query<'h>(head: &'h Parts, name: &str) -> Result<&'h str, Reason> {
    let (found, value) = sole(parameters_parted(head, name, &['&']))?.ok_or(Reason::MissingCredential)?;
    // A parser that also splits at `;` must find no other one.
    sole(parameters(head, name))?;
    if found == name { Ok(value) } else { Err(Reason::MissingCredential) }
}

/// The raw names and values of the query parameters whose decoded name is `name`, split at `&` and, as some parsers do,
/// at `;`.
fn parameters<'h>(head: &'h Parts, name: &str) -> impl Iterator<Item = (&'h str, &'h str)> {
    parameters_parted(head, name, &['&', ';'])
}

fn parameters_parted<'h>(
    head: &'h Parts,
    name: &str,
    signs: &'static [char],
) -> impl Iterator<Item = (&'h str, &'h str)> {
    let pairs = head.uri.query().unwrap_or_default().split(signs);
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).filter(move |(found, _)| decodes_to(found, name))
}

/// Whether `written`, percent-decoded, is `name` (RFC 3986 §2.1). A stray `%` stands for itself, as web frameworks
/// decode it.
fn decodes_to(written: &str, name: &str) -> bool {
    let mut rest = written.as_bytes();
    let mut wanted = name.bytes();
    while let Some((byte, after)) = next_byte(rest) {
        if wanted.next() != Some(byte) {
            return false;
        }
        rest = after;
    }
    wanted.next().is_none()
}

fn next_byte(written: &[u8]) -> Option<(u8, &[u8])> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match written {
        [b'%', high, low, rest @ ..] => match hex(*high).zip(hex(*low)) {
            Some((high, low)) => Some((high * 16 + low, rest)),
            None => written.split_first().map(|(first, rest)| (*first, rest)),
        },
        [first, rest @ ..] => Some((*first, rest)),
        [] => None,
    }
}

fn in_cookie<'h>(head: &'h Parts, name: &str) -> Result<&'h str, Reason> {
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
    found.ok_or(Reason::MissingCredential)
}

/// Checks every byte without an early exit, so that the compiler can vectorize the loop.
fn is_all_b64token(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & is_b64token(byte))
}

const fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests;
