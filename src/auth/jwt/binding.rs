//! Bindings: claims that tie a token to its request by body, URL, method or client certificate. A bound token cannot be
//! used with another request. Called by `jwt` after the signature and the claims.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::auth::claims::Pointer;
use crate::auth::encoding::Encoding;
use crate::auth::explanation::Explanation;
use crate::auth::jws::{malformed, missing};
use crate::auth::rejection::{Rejection, VerifyError};
use crate::auth::request::{RequestView, UrlVariant};
use crate::clock::UnixTime;
use crate::reason::Reason;

/// Every character but the unreserved ones (RFC 3986 §2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The bindings that a policy requires.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// A claim holds a hash of the body (`body_hash`).
    pub body: Option<BodyHash>,
    /// A claim holds a hash of the URL (`url_hash`).
    pub url_hash: Option<UrlHash>,
    /// A claim holds the URL itself (`url`).
    pub url: Option<UrlEquals>,
    /// The claim that holds the method.
    pub method: Option<Pointer>,
    /// The claim `qsh` holds Atlassian's hash of method, path and query.
    pub qsh: bool,
    /// The claim `cnf` holds the thumbprint of the client certificate (RFC 8705 §3.1).
    pub certificate: bool,
}

/// `body_hash`: the binding to the body.
#[derive(Clone, Debug)]
pub struct BodyHash {
    /// The claim that holds it.
    pub claim: Pointer,
    /// Hash algorithm.
    pub hash: BindingHash,
    /// Encoding of the hash.
    pub encoding: Encoding,
    /// When the hash must be present.
    pub presence: HashPresence,
}

/// `url_hash`: the binding to a hash of the URL.
#[derive(Clone, Debug)]
pub struct UrlHash {
    /// The claim that holds it.
    pub claim: Pointer,
    /// Hash algorithm.
    pub hash: BindingHash,
    /// Encoding of the hash.
    pub encoding: Encoding,
    /// Other spellings of the URL that senders may use.
    pub variants: Vec<UrlVariant>,
}

/// `url`: the binding to the URL itself.
#[derive(Clone, Debug)]
pub struct UrlEquals {
    /// The claim that holds it.
    pub claim: Pointer,
    /// Whether the claim includes the query (RFC 9449 §4.2 excludes it from `htu`).
    pub query: bool,
    /// Other spellings of the URL that senders may use.
    pub variants: Vec<UrlVariant>,
}

/// Hash algorithm of a binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "sha256"))]
pub enum BindingHash {
    /// SHA-256
    #[default]
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// When the body hash must be present. A hash that is present must match, except under `WithBody` with an empty body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "required"))]
pub enum HashPresence {
    /// Always.
    #[default]
    Required,
    /// Never: a token without the claim is accepted with any body.
    Optional,
    /// If the body is not empty; with an empty body the claim is not compared.
    WithBody,
    /// If the body is not empty; it must be absent if the body is empty.
    AbsentIfEmpty,
}

impl BindingHash {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }

    /// The encoded hash of `bytes`.
    pub fn written(self, bytes: &[u8], encoding: Encoding) -> String {
        encoding.encode(digest(self.algorithm(), bytes).as_ref())
    }

    /// Whether `says` is the hash of `bytes`. Hex matches in either case, base64 and base64url with or without padding:
    /// the claim is signed, so its issuer chooses the spelling.
    fn fits(self, bytes: &[u8], says: &str, encoding: Encoding) -> bool {
        let hash = digest(self.algorithm(), bytes);
        match encoding {
            Encoding::Hex | Encoding::HexUpper => encoding.encode(hash.as_ref()).eq_ignore_ascii_case(says),
            Encoding::Base64 => [STANDARD.encode(hash), STANDARD_NO_PAD.encode(hash)].iter().any(|ours| ours == says),
            Encoding::Base64Url => {
                [URL_SAFE.encode(hash), URL_SAFE_NO_PAD.encode(hash)].iter().any(|ours| ours == says)
            }
            Encoding::Base64OfHex => encoding.encode(hash.as_ref()) == says,
        }
    }
}

impl Bindings {
    /// Whether the body is covered by the token: a hash of it is required, at least if the body is not empty.
    pub fn binds_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.presence != HashPresence::Optional)
    }

    /// Whether a binding can distinguish a token that was issued for another receiver. A hash cannot that may be absent,
    /// also if only with an empty body: a token without it would be accepted with such a body.
    pub fn binds_anything(&self) -> bool {
        let required = self.body.as_ref().is_some_and(|body| body.presence == HashPresence::Required);
        required || self.qsh || self.binds_url()
    }

    /// Whether the token names its URL, with the host.
    pub fn binds_url(&self) -> bool {
        self.url_hash.is_some() || self.url.is_some()
    }

    /// Checks every binding against the request.
    ///
    /// # Errors
    /// `certificate_mismatch`, `method_mismatch`, `url_mismatch`, `body_mismatch`; `missing_claim` for a required claim
    /// that is absent; `malformed_token` for a claim of the wrong type; [`VerifyError::NeedsBody`].
    pub fn check(
        &self,
        claims: &Map<String, Value>,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<(), VerifyError> {
        if self.certificate {
            evaluate(
                "client certificate",
                certificate_fits(claims, request, now)?,
                Reason::CertificateMismatch,
                explanation,
            )?;
        }
        if let Some(claim) = &self.method {
            let fits = required_text(claims, claim)? == request.head.method.as_str();
            evaluate("method", fits, Reason::MethodMismatch, explanation)?;
        }
        if let Some(url) = &self.url {
            evaluate("URL", url.fits(claims, request)?, Reason::UrlMismatch, explanation)?;
        }
        if let Some(url) = &self.url_hash {
            evaluate("URL hash", url.fits(claims, request)?, Reason::UrlMismatch, explanation)?;
        }
        if self.qsh {
            evaluate("qsh", qsh_fits(claims, request)?, Reason::UrlMismatch, explanation)?;
        }
        match &self.body {
            Some(body) => evaluate("body hash", body.fits(claims, request)?, Reason::BodyMismatch, explanation),
            None => Ok(()),
        }
    }
}

fn evaluate(what: &'static str, fits: bool, reason: Reason, explanation: &mut Explanation) -> Result<(), VerifyError> {
    explanation.add(what, || if fits { "matches the request" } else { "does not match the request" }.into());
    if fits { Ok(()) } else { Err(reason.into()) }
}

fn required_text<'c>(claims: &'c Map<String, Value>, claim: &Pointer) -> Result<&'c str, Rejection> {
    text(claim.find(claims), &claim.to_string())
}

/// A claim that must be there and a text.
fn text<'c>(found: Option<&'c Value>, claim: &str) -> Result<&'c str, Rejection> {
    let not_text = || malformed(format!("`{claim}`, which binds the token to its request, is not a text"));
    found.ok_or_else(|| missing(claim))?.as_str().ok_or_else(not_text)
}

impl BodyHash {
    fn fits(&self, claims: &Map<String, Value>, request: &RequestView<'_>) -> Result<bool, VerifyError> {
        let found = self.claim.find(claims);
        let says = found.map(|found| text(Some(found), &self.claim.to_string())).transpose()?;
        let body = request.body()?;
        match (says, self.presence, body.is_empty()) {
            (Some(_), HashPresence::AbsentIfEmpty, true) => Ok(false),
            // In a GET request, Vonage puts a hash of the query there.
            (Some(_), HashPresence::WithBody, true) => Ok(true),
            (Some(says), _, _) => Ok(self.hash.fits(body, says, self.encoding)),
            (None, HashPresence::Optional, _) | (None, HashPresence::WithBody | HashPresence::AbsentIfEmpty, true) => {
                Ok(true)
            }
            (None, HashPresence::Required, _) | (None, HashPresence::WithBody | HashPresence::AbsentIfEmpty, false) => {
                Err(missing(&self.claim.to_string()).into())
            }
        }
    }
}

impl UrlHash {
    fn fits(&self, claims: &Map<String, Value>, request: &RequestView<'_>) -> Result<bool, Rejection> {
        let says = required_text(claims, &self.claim)?;
        let spellings = request.url.spellings(request.path_and_query(), &self.variants);
        Ok(spellings.iter().any(|url| self.hash.fits(url.as_bytes(), says, self.encoding)))
    }
}

impl UrlEquals {
    fn fits(&self, claims: &Map<String, Value>, request: &RequestView<'_>) -> Result<bool, Rejection> {
        let says = required_text(claims, &self.claim)?;
        Ok(self.spellings(request).iter().any(|url| url == says))
    }

    /// The values that the claim may have.
    pub fn spellings(&self, request: &RequestView<'_>) -> Vec<String> {
        let target = if self.query { request.path_and_query() } else { request.head.uri.path() };
        request.url.spellings(target, &self.variants)
    }
}

/// Whether the thumbprint in the token is that of this connection's client certificate, and the certificate is still
/// trusted (RFC 8705 §3.1).
fn certificate_fits(claims: &Map<String, Value>, request: &RequestView<'_>, now: UnixTime) -> Result<bool, Rejection> {
    let confirmation = claims.get("cnf").ok_or_else(|| missing("cnf"))?;
    let confirmation = confirmation.as_object().ok_or_else(|| malformed("`cnf` is not an object"))?;
    let says = text(confirmation.get("x5t#S256"), "cnf/x5t#S256")?;
    Ok(request.client.is_some_and(|client| client.certificate.thumbprint() == says && client.is_trusted(now)))
}

fn qsh_fits(claims: &Map<String, Value>, request: &RequestView<'_>) -> Result<bool, Rejection> {
    let says = text(claims.get("qsh"), "qsh")?;
    Ok(BindingHash::Sha256.fits(canonical_request(request).as_bytes(), says, Encoding::Hex))
}

/// Atlassian's canonical request: `METHOD&path&query`. The query omits `jwt`; its names and values are decoded,
/// percent-encoded as in RFC 3986 and sorted, and the values of one name are joined by commas
/// (developer.atlassian.com, "Understanding JWT for Connect apps"; atlassian-jwt's url_utils).
pub fn canonical_request(request: &RequestView<'_>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, &RESERVED).to_string();
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(request.head.uri.query().unwrap_or_default().as_bytes()) {
        if name != "jwt" {
            parameters.entry(encoded(&name)).or_default().push(encoded(&value));
        }
    }
    let pairs = parameters.into_iter().map(|(name, mut values)| {
        values.sort();
        format!("{name}={}", values.join(","))
    });
    let path = match request.head.uri.path().trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let query = pairs.collect::<Vec<_>>().join("&");
    format!("{}&{}&{query}", request.head.method.as_str().to_ascii_uppercase(), path.replace('&', "%26"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::request::UrlBase;
    use http::Request;
    use serde_json::json;

    fn check(bindings: &Bindings, claims: Value, method: &str, uri: &str, body: &[u8]) -> Result<(), Reason> {
        let head = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(body);
        let checked = bindings.check(claims.as_object().unwrap(), &view, UnixTime::MAX, &mut Explanation::off());
        checked.map_err(|error| error.reason().unwrap())
    }

    fn body(presence: HashPresence, encoding: Encoding) -> Bindings {
        let claim = Pointer::parse("h").unwrap();
        Bindings {
            body: Some(BodyHash { claim, hash: BindingHash::Sha256, encoding, presence }),
            ..Bindings::default()
        }
    }

    #[test]
    fn a_hash_is_there_when_it_must_be_and_fits() {
        use HashPresence::{AbsentIfEmpty, Optional, Required, WithBody};
        let hash = |body: &[u8]| BindingHash::Sha256.written(body, Encoding::Hex);
        let run = |presence, claims, sent: &[u8]| check(&body(presence, Encoding::Hex), claims, "POST", "/", sent);
        for presence in [Required, Optional, WithBody, AbsentIfEmpty] {
            assert_eq!(run(presence, json!({"h": hash(b"x")}), b"x"), Ok(()));
            assert_eq!(run(presence, json!({"h": hash(b"x")}), b"y"), Err(Reason::BodyMismatch));
            assert_eq!(run(presence, json!({"h": 5}), b"x"), Err(Reason::MalformedToken));
        }
        let with_body = [Required, Optional, WithBody, AbsentIfEmpty].map(|presence| run(presence, json!({}), b"x"));
        let missing = Err(Reason::MissingClaim);
        assert_eq!(with_body, [missing, Ok(()), missing, missing]);
        let empty = [Required, Optional, WithBody, AbsentIfEmpty].map(|presence| run(presence, json!({}), b""));
        assert_eq!(empty, [missing, Ok(()), Ok(()), Ok(())]);
        assert_eq!(run(WithBody, json!({"h": hash(b"another thing")}), b""), Ok(()));
        assert_eq!(run(AbsentIfEmpty, json!({"h": hash(b"")}), b""), Err(Reason::BodyMismatch));
    }

    #[test]
    fn a_hash_is_written_in_its_encoding() {
        for encoding in [Encoding::Base64, Encoding::Base64Url] {
            let hash = BindingHash::Sha256.written(b"?>", encoding);
            for says in [hash.trim_end_matches('=').to_owned(), format!("{}=", hash.trim_end_matches('='))] {
                let bindings = body(HashPresence::Required, encoding);
                assert_eq!(check(&bindings, json!({ "h": says }), "POST", "/", b"?>"), Ok(()), "{says}");
                let other = check(&bindings, json!({ "h": says }), "POST", "/", b"?<");
                assert_eq!(other, Err(Reason::BodyMismatch), "{says}");
            }
        }
        let hex = BindingHash::Sha256.written(b"x", Encoding::Hex);
        let upper = json!({ "h": hex.to_ascii_uppercase() });
        assert_eq!(check(&body(HashPresence::Required, Encoding::Hex), upper, "POST", "/", b"x"), Ok(()));
        let bindings = body(HashPresence::Required, Encoding::Base64);
        assert_eq!(check(&bindings, json!({ "h": hex }), "POST", "/", b"x"), Err(Reason::BodyMismatch));
    }

    #[test]
    fn url_and_method_are_this_request_s() {
        let claim = |name| Pointer::parse(name).unwrap();
        let url = |query| Bindings {
            url: Some(UrlEquals { claim: claim("htu"), query, variants: vec![] }),
            method: Some(claim("htm")),
            ..Bindings::default()
        };
        let claims = |htu: &str| json!({"htu": htu, "htm": "POST"});
        let run = |query, htu: &str, method| check(&url(query), claims(htu), method, "/a?b=c", b"");
        assert_eq!(run(true, "https://hooks.test/a?b=c", "POST"), Ok(()));
        assert_eq!(run(false, "https://hooks.test/a", "POST"), Ok(()));
        assert_eq!(run(true, "https://hooks.test/a", "POST"), Err(Reason::UrlMismatch));
        assert_eq!(run(false, "https://hooks.test/A", "POST"), Err(Reason::UrlMismatch));
        assert_eq!(run(false, "https://hooks.test/a", "PUT"), Err(Reason::MethodMismatch));
        assert_eq!(check(&url(true), json!({}), "POST", "/a", b""), Err(Reason::MissingClaim));
        let slash = || UrlEquals { claim: claim("htu"), query: true, variants: vec![UrlVariant::Slash] };
        let slash = Bindings { url: Some(slash()), ..Bindings::default() };
        for htu in ["https://hooks.test/a?b=c", "https://hooks.test/a/?b=c"] {
            assert_eq!(check(&slash, claims(htu), "POST", "/a?b=c", b""), Ok(()), "{htu}");
        }
    }

    /// From atlassian-jwt's documentation of the canonical request.
    #[test]
    fn qsh_is_atlassian_s() {
        let canonical = |uri: &str| {
            let head = Request::get(uri).body(()).unwrap().into_parts().0;
            canonical_request(&RequestView::new(&head, UrlBase::Host("a")))
        };
        assert_eq!(
            canonical("/path/to/service?zee_last=param&repeated=parameter%201&first=param&repeated=parameter+2&jwt=x"),
            "GET&/path/to/service&first=param&repeated=parameter%201,parameter%202&zee_last=param"
        );
        assert_eq!(canonical("/a/?b=2&b=1"), "GET&/a&b=1,2");
        assert_eq!(canonical("/"), "GET&/&");
        let bindings = Bindings { qsh: true, ..Bindings::default() };
        let qsh = BindingHash::Sha256.written(b"POST&/a&b=c", Encoding::Hex);
        assert_eq!(check(&bindings, json!({ "qsh": qsh }), "POST", "/a?b=c&jwt=z", b""), Ok(()));
        assert_eq!(check(&bindings, json!({ "qsh": qsh }), "POST", "/a?b=d", b""), Err(Reason::UrlMismatch));
    }
}
