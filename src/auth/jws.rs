//! The compact serialization of a JWS (RFC 7515 §7.1): its parts, its header and its claims, independent of any policy.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::memchr_iter;
use serde_json::{Map, Value};

use super::json::parse_object;
use super::keys::{Algorithm, Key};
use super::quoted::quoted;
use super::rejection::Rejection;
use crate::reason::Reason;

/// The three parts of a JWS in compact serialization (RFC 7515 §7.1), still encoded.
pub(super) struct JwsParts<'t> {
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
    /// The JWS signing input: header, dot, payload (RFC 7515 §5.1).
    signed: &'t [u8],
}

impl<'t> JwsParts<'t> {
    /// Splits a token into exactly three non-empty parts: five parts are a JWE, and an empty third part is `alg: none`.
    /// The lookup of the token has already limited its size.
    pub(super) fn split(token: &'t str) -> Result<Self, Rejection> {
        let mut dots = memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(malformed(match memchr_iter(b'.', token.as_bytes()).count() {
                0 => "it has no dots: an opaque token, not a JWT",
                4 => "it has five parts: an encrypted token (JWE)",
                _other => "it does not have three parts",
            }));
        };
        let empty = || malformed("one of its parts is empty: an unsigned token has no signature");
        let part = |range: Range<usize>| token.get(range).filter(|part| !part.is_empty()).ok_or_else(empty);
        let (header, payload) = (part(0..first)?, part(first + 1..second)?);
        let signature = part(second + 1..token.len())?;
        Ok(Self { header, payload, signature, signed: part(0..second)?.as_bytes() })
    }

    /// The first of these keys under which the signature is valid, and its index.
    pub(super) fn signed_by<'k>(&self, candidates: &[(usize, &'k Key)]) -> Result<(usize, &'k Key), Reason> {
        let signature = decode(self.signature)?;
        let fits = |(_, key): &&(usize, &Key)| key.verify(self.signed, &signature).is_ok();
        candidates.iter().find(fits).copied().ok_or(Reason::InvalidSignature)
    }
}

/// Decodes canonical base64url without padding (RFC 7515 §2): no unused bits and no other characters, so that a token
/// has exactly one spelling.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::MalformedToken)
}

/// Algorithm and `kid` of a token, for the operator.
pub(super) fn header_text(algorithm: Algorithm, kid: Option<&str>) -> String {
    let kid = kid.map_or_else(|| "no kid".to_owned(), |kid| format!("kid {}", quoted(kid)));
    format!("alg {}, {kid}", algorithm.name())
}

/// The rejection of a token that breaks this rule.
pub(super) fn malformed(rule: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::detailed(Reason::MalformedToken, rule)
}

/// The rejection of a token without this claim.
pub(super) fn missing(claim: &str) -> Rejection {
    Rejection::detailed(Reason::MissingClaim, format!("the token has no `{claim}`"))
}

/// Decodes and parses a part of a token.
fn part(name: &str, encoded: &str) -> Result<Map<String, Value>, Rejection> {
    let bytes = decode(encoded).map_err(|_| {
        let padded = encoded.ends_with('=');
        let why = if padded { "padded base64, not base64url without padding" } else { "not canonical base64url" };
        malformed(format!("its {name} is {why} (RFC 7515 §2)"))
    })?;
    object(&bytes).map_err(|_| malformed(format!("its {name} is not one JSON object, or has a member twice")))
}

/// Parses a header or a payload.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Reason> {
    parse_object(bytes).map_err(|_| Reason::MalformedToken)
}

/// The header and the claims of a token, independent of any policy. `jwk`, `jku`, `x5u` and `x5c` in the header are
/// ignored, except `x5c` under a pinned root: keys come from the configuration (RFC 8725 §3.10, CVE-2026-27962).
pub(super) struct Token {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    pub(super) x5c: Option<Value>,
    pub(super) claims: Arc<Map<String, Value>>,
}

impl Token {
    pub(super) fn read(parts: &JwsParts<'_>) -> Result<Self, Rejection> {
        let mut header = part("header", parts.header)?;
        // `crit` names extensions that must be understood; none is supported (RFC 7515 §4.1.11). `b64` changes the
        // signing input, and `enc` and `zip` wrap content that was not signed.
        if let Some(name) = ["crit", "b64", "enc", "zip"].iter().find(|name| header.contains_key(**name)) {
            return Err(malformed(format!("its header has `{name}`, which is not supported")));
        }
        let text = |name| {
            let of_type = || malformed(format!("`{name}` in its header is not a string"));
            header.get(name).map(|value| value.as_str().ok_or_else(of_type)).transpose()
        };
        // A nested token (RFC 7519 §5.2).
        if text("cty")?.is_some_and(|cty| same_type(cty, "JWT")) {
            return Err(malformed("`cty` in its header is JWT: a token in a token is not supported"));
        }
        let (typ, kid) = (text("typ")?.map(str::to_owned), text("kid")?.map(str::to_owned));
        let written = text("alg")?.ok_or_else(|| malformed("its header has no `alg`"))?;
        let unknown =
            || Rejection::detailed(Reason::UnsupportedAlgorithm, format!("the token's alg is {}", quoted(written)));
        let algorithm = Algorithm::named(written).ok_or_else(unknown)?;
        let claims = Arc::new(part("payload", parts.payload)?);
        Ok(Self { algorithm, kid, typ, x5c: header.remove("x5c"), claims })
    }

    /// Checks `typ` against the allowed types; a token without `typ` passes.
    pub(super) fn is_of(&self, types: &[String]) -> Result<(), Rejection> {
        match &self.typ {
            Some(typ) if !types.iter().any(|allowed| same_type(typ, allowed)) => {
                Err(malformed(format!("its typ is {}; allowed_types are {}", quoted(typ), types.join(", "))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The certificates in `x5c`, read only if a root is pinned (RFC 7515 §4.1.6: base64, not base64url).
    pub(super) fn chain(&self) -> Result<Vec<Vec<u8>>, Reason> {
        let Some(Value::Array(written)) = &self.x5c else { return Err(Reason::UnknownKey) };
        let certificates = written.iter().map(|certificate| STANDARD.decode(certificate.as_str()?).ok());
        certificates.collect::<Option<_>>().ok_or(Reason::UnknownKey)
    }
}

/// Compares media types (RFC 7515 §4.1.9): case-insensitively, and `application/` may be omitted.
fn same_type(one: &str, other: &str) -> bool {
    bare_type(one).eq_ignore_ascii_case(bare_type(other))
}

fn bare_type(text: &str) -> &str {
    match text.split_once('/') {
        Some((application, bare)) if application.eq_ignore_ascii_case("application") => bare,
        _ => text,
    }
}

/// A member that must be a string, if it is present.
pub(super) fn optional_text<'j>(object: &'j Map<String, Value>, name: &str) -> Result<Option<&'j str>, Reason> {
    object.get(name).map(|value| value.as_str().ok_or(Reason::MalformedToken)).transpose()
}
