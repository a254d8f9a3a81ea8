//! The compact serialization of a JWS (RFC 7515 §7.1): its parts, its header and its claims, independent of any policy.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::memchr_iter;
use serde_json::{Map, Value};

use super::json::parse_object;
use super::keys::{Algorithm, Key};
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
    pub(super) fn split(token: &'t str) -> Result<Self, Reason> {
        let mut dots = memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Reason::MalformedToken);
        };
        let part = |range: Range<usize>| token.get(range).filter(|part| !part.is_empty()).ok_or(Reason::MalformedToken);
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
    pub(super) fn read(parts: &JwsParts<'_>) -> Result<Self, Reason> {
        let mut header = object(&decode(parts.header)?)?;
        // `crit` names extensions that must be understood; none is supported (RFC 7515 §4.1.11). `b64` changes the
        // signing input, and `enc` and `zip` wrap content that was not signed.
        if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
            return Err(Reason::MalformedToken);
        }
        // A nested token (RFC 7519 §5.2).
        if optional_text(&header, "cty")?.is_some_and(|cty| same_type(cty, "JWT")) {
            return Err(Reason::MalformedToken);
        }
        let owned = |name| Ok(optional_text(&header, name)?.map(str::to_owned));
        let (typ, kid) = (owned("typ")?, owned("kid")?);
        let algorithm = optional_text(&header, "alg")?.ok_or(Reason::MalformedToken)?;
        let algorithm = Algorithm::named(algorithm).ok_or(Reason::UnsupportedAlgorithm)?;
        let claims = Arc::new(object(&decode(parts.payload)?)?);
        Ok(Self { algorithm, kid, typ, x5c: header.remove("x5c"), claims })
    }

    /// Checks `typ` against the allowed types; a token without `typ` passes.
    pub(super) fn is_of(&self, types: &[String]) -> Result<(), Reason> {
        let other = self.typ.as_ref().is_some_and(|typ| !types.iter().any(|allowed| same_type(typ, allowed)));
        if other { Err(Reason::MalformedToken) } else { Ok(()) }
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
    object.get(name).map(text).transpose()
}

/// A claim or a parameter that must be a string.
pub(super) fn text(claim: &Value) -> Result<&str, Reason> {
    claim.as_str().ok_or(Reason::MalformedToken)
}
