//! Verification of a detached JWS: its payload is the request itself and is not sent twice (RFC 7515 appendix F). Two
//! kinds are supported, each by a preset: the unencoded body (RFC 7797, `b64: false`), and TrueLayer's method, path,
//! headers and body.
//!
//! Only these presets accept `b64` or `crit`. Called by [`super::verify`].

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use serde_json::{Map, Value, json};

use super::explanation::Explanation;
use super::grant::{Grant, ReplayId, hash_of};
use super::issuer::Issuer;
use super::jws::{decode, header_text, object, optional_text};
use super::keys::Algorithm;
use super::locator::Locator;
use super::rejection::{MissingKey, Rejection, VerifyError};
use super::request::{RequestView, UrlVariant, target_spellings};
use super::time::TimestampRule;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// Maximum number of headers that one signature may list.
const MAX_LISTED: usize = 32;

/// The detached JWS scheme of a preset.
#[derive(Clone, Debug)]
pub struct DetachedPolicy {
    /// The signed payload.
    pub payload: Payload,
    /// Where the request carries the JWS.
    pub token: Locator,
    /// The accepted issuer.
    pub issuer: Issuer,
    /// The signed timestamp: a parameter of the JWS header, or a signed HTTP header.
    pub time: Option<TimestampRule>,
    /// Whether the route needs a replay id, which is the hash of the signing input.
    pub replay_id: bool,
}

/// The payload of a detached JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The unencoded body.
    Unencoded,
    /// `METHOD PATH`, one line for each header listed in `tl_headers`, the body (docs.truelayer.com).
    TrueLayer,
}

/// The JWS header.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
    parameters: Map<String, Value>,
}

impl DetachedPolicy {
    /// Verifies the detached JWS of one request.
    ///
    /// # Errors
    /// Those of a JWT; `missing_timestamp` if the time is not signed.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let token = self.token.find_token(request)?;
        let (encoded, signature) = split(&token).ok_or(Reason::MalformedToken)?;
        let header = self.payload.header(encoded)?;
        explanation.add("header", || header_text(header.algorithm, header.kid.as_deref()));
        let reject = |reason| Rejection { issuer: Some(Arc::clone(&self.issuer.name)), ..Rejection::from(reason) };
        if !self.issuer.algorithms.contains(&header.algorithm) {
            return Err(reject(Reason::UnsupportedAlgorithm).into());
        }
        let undecided = |reason| Rejection { remote: MissingKey::of(&self.issuer.keys), ..reject(reason) };
        let keys = self.issuer.keys.current(now).ok_or_else(|| undecided(Reason::JwksUnavailable))?;
        let (kid, algorithm) = (header.kid.as_deref(), header.algorithm);
        let keys = keys.select(kid, algorithm).map_err(|reason| {
            let detail = (reason == Reason::UnknownKey).then(|| keys.unknown_key(kid, algorithm).into());
            Rejection { detail, ..undecided(reason) }
        })?;
        let bytes = decode(signature).map_err(reject)?;
        let signer = |text: &[u8]| keys.iter().map(|(_, key)| *key).find(|key| key.verify(text, &bytes).is_ok());
        let texts = self.payload.texts(encoded, &header, request)?;
        let Some((text, key)) = texts.iter().find_map(|text| Some((text, signer(text)?))) else {
            explanation.add("signature", || "does not match this request".into());
            return Err(reject(Reason::InvalidSignature).into());
        };
        explanation.add("signature", || "valid".into());
        let mut validity = None;
        if let Some(time) = &self.time {
            let signed = self.payload.signed_values(&header, request)?;
            let checked = time.check(request, &signed, now, explanation);
            validity = Some(checked.map_err(|error| error.proven(&self.issuer.name))?);
        }
        let replay_id = self.replay_id.then(|| ReplayId {
            kind: "hash",
            id: hash_of(text),
            text: None,
            until: validity.map(|(_, last)| last.plus(Duration::from_secs(1))),
            issued: validity.map(|(first, _)| first),
        });
        Ok(Grant {
            issuer: Some(Arc::clone(&self.issuer.name)),
            kid: header.kid,
            replay_id,
            holder: Some(self.issuer.holder(key, &Map::new())),
            key: self.issuer.unnamed(key),
            ..Grant::anonymous()
        })
    }
}

/// Splits a detached JWS into header and signature; the payload between the dots is empty.
fn split(token: &str) -> Option<(&str, &str)> {
    let (header, signature) = token.split_once("..")?;
    let plain = !header.is_empty() && !signature.is_empty() && !header.contains('.') && !signature.contains('.');
    plain.then_some((header, signature))
}

impl Payload {
    fn header(self, encoded: &str) -> Result<Header, Reason> {
        let parameters = object(&decode(encoded)?)?;
        let extensions = match self {
            Self::Unencoded => {
                parameters.get("crit") == Some(&json!(["b64"])) && parameters.get("b64") == Some(&json!(false))
            }
            Self::TrueLayer => {
                !["crit", "b64"].iter().any(|name| parameters.contains_key(*name))
                    && parameters.get("tl_version") == Some(&json!("2"))
            }
        };
        if !extensions || ["enc", "zip"].iter().any(|name| parameters.contains_key(*name)) {
            return Err(Reason::MalformedToken);
        }
        let algorithm = optional_text(&parameters, "alg")?.ok_or(Reason::MalformedToken)?;
        let algorithm = Algorithm::named(algorithm).ok_or(Reason::UnsupportedAlgorithm)?;
        let kid = optional_text(&parameters, "kid")?.map(str::to_owned);
        Ok(Header { algorithm, kid, parameters })
    }

    /// The possible signing inputs. TrueLayer's own verifiers also ignore one trailing slash of the path.
    fn texts(self, encoded: &str, header: &Header, request: &RequestView<'_>) -> Result<Vec<Vec<u8>>, VerifyError> {
        let input = |payload: &[u8]| [encoded.as_bytes(), b".", payload].concat();
        match self {
            Self::Unencoded => Ok(vec![input(request.body()?)]),
            Self::TrueLayer => {
                let mut listed = String::new();
                for (name, value) in listed_headers(header, request)? {
                    listed.push_str(&format!("{name}: {value}\n"));
                }
                let body = request.body()?;
                let paths = target_spellings(request.head.uri.path(), &[UrlVariant::Slash]);
                let texts = paths.iter().map(|path| {
                    let head = format!("{} {path}\n{listed}", request.head.method);
                    input(URL_SAFE_NO_PAD.encode([head.as_bytes(), body].concat()).as_bytes())
                });
                Ok(texts.collect())
            }
        }
    }

    /// The signed values among which the time is looked up.
    fn signed_values(self, header: &Header, request: &RequestView<'_>) -> Result<Map<String, Value>, Reason> {
        match self {
            Self::Unencoded => Ok(header.parameters.clone()),
            Self::TrueLayer => {
                let listed = listed_headers(header, request)?;
                Ok(listed.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into())).collect())
            }
        }
    }
}

/// Name, as listed in `tl_headers`, and value of each signed header.
fn listed_headers<'h>(header: &'h Header, request: &RequestView<'h>) -> Result<Vec<(&'h str, &'h str)>, Reason> {
    let names = optional_text(&header.parameters, "tl_headers")?.unwrap_or_default();
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).take(MAX_LISTED + 1).collect();
    if names.len() > MAX_LISTED {
        return Err(Reason::MalformedToken);
    }
    let values = names.into_iter().map(|name| {
        let field: HeaderName = name.parse().map_err(|_| Reason::MalformedToken)?;
        Ok((name, request.header(&field)?.ok_or(Reason::MissingSignedComponent)?))
    });
    values.collect()
}

#[cfg(test)]
mod tests;
