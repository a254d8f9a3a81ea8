//! One component of the string to sign: its name in the configuration, and its bytes in a request.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderName;

use super::json_lines::{JsonLines, text_of};
use super::parse::Value;
use crate::auth::encoding::{Encoding, crc32};
use crate::auth::locator::{LocatedValue, Locator};
use crate::auth::rejection::{Rejection, VerifyError};
use crate::auth::request::RequestView;
use crate::auth::secret::Secret;
use crate::reason::Reason;

/// Maximum number of headers that one value may list as signed.
const MAX_LISTED: usize = 32;

/// Percent-escapes that HubSpot decodes in the URL before it signs (listed in its v3 documentation).
const HUBSPOT_ESCAPES: &[(&str, &str)] = &[
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// One component of the string to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// `literal:…`: this text.
    Text(String),
    /// `body`: the body's bytes as received.
    Body,
    /// `body.sha256.…`: the body's SHA-256.
    BodyHash(Digest),
    /// `body.crc32`: the body's CRC-32 in decimal. An attacker can give any body any CRC: the body is not covered.
    BodyCrc32,
    /// `method`: the request method.
    Method,
    /// `url`: the public URL with its query.
    Url,
    /// `url.decoded`: the public URL with HubSpot's percent-escapes decoded.
    UrlDecoded,
    /// `path`: path and query as received.
    Path,
    /// `query.sorted`: the pairs of the query as received, sorted by name.
    QuerySorted,
    /// `query.pairs`: name and value of each query parameter, decoded, sorted by name, without separators.
    QueryPairs,
    /// `form.sorted`: name and value of each form field, decoded, sorted, without duplicates.
    FormSorted,
    /// `header:NAME`, `query:NAME`, `json:/pointer` or `form:FIELD`: the value there; `header?:NAME`, `query?:NAME` or
    /// `json?:/pointer` if it may be absent.
    Located(Locator, Presence),
    /// `json.lines:NAME,NAME?,…`: for each of these members of the body its name and its value, each followed by a line
    /// break (Amazon SNS); one with `?` may be absent.
    JsonLines(JsonLines),
    /// `query.lower:NAME`: the value of a query parameter in lower case (Mercado Pago's rule for ids).
    QueryLower(String),
    /// `part:KEY`: a part of the signature's value.
    Part(String),
    /// `headers:KEY`: the values of the headers that this part lists.
    ListedHeaders(String),
    /// `listed:HEADER,NAME,…`: the headers that this header lists, itself and each of these names among them, as
    /// `name:value`, joined by `;` (Contentful's rule).
    ListedBy(HeaderName, Vec<HeaderName>),
    /// `secret`: the shared secret.
    Secret,
}

/// Whether a component may be absent; an absent one is the empty string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The component must be present.
    Required,
    /// The component may be absent.
    Optional,
}

/// The inputs that vary between attempts at one signature.
#[derive(Clone, Copy, Debug)]
pub struct SigningVariant<'a> {
    /// The spelling of the URL.
    pub url: &'a UrlSpelling,
    /// How the body is represented.
    pub body: BodyForm,
    /// The secret, for senders that put it into the string to sign.
    pub secret: &'a Secret,
}

/// One spelling of the URL; empty if the URL is not signed.
#[derive(Clone, Debug, Default)]
pub struct UrlSpelling {
    url: String,
    path: String,
}

impl UrlSpelling {
    pub(super) fn of_url(url: String) -> Self {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned();
        Self { url, path }
    }

    pub(super) fn of_path(path: String) -> Self {
        Self { url: String::new(), path }
    }
}

/// How the body is represented in the string to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// By its bytes, or its form fields.
    AsItIs,
    /// By its hash in the URL, which has been compared with the body.
    ByItsHash,
}

/// The form in which a SHA-256 is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Its 32 bytes.
    Raw,
    /// Text in this encoding.
    Written(Encoding),
}

impl Digest {
    fn of(self, body: &[u8]) -> Vec<u8> {
        let hash = digest(&SHA256, body);
        match self {
            Self::Raw => hash.as_ref().to_vec(),
            Self::Written(encoding) => encoding.encode(hash.as_ref()).into_bytes(),
        }
    }

    /// The SHA-256 of `body` in lower-case hex.
    pub fn hex_sha256(body: &[u8]) -> String {
        Encoding::Hex.encode(digest(&SHA256, body).as_ref())
    }
}

impl Component {
    /// Parses the name of a component; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        let simple = match text {
            "body" => Self::Body,
            "body.sha256.raw" => Self::BodyHash(Digest::Raw),
            "body.sha256.hex" => Self::BodyHash(Digest::Written(Encoding::Hex)),
            "body.sha256.base64" => Self::BodyHash(Digest::Written(Encoding::Base64)),
            "body.sha256.base64url" => Self::BodyHash(Digest::Written(Encoding::Base64Url)),
            "body.crc32" => Self::BodyCrc32,
            "method" => Self::Method,
            "url" => Self::Url,
            "url.decoded" => Self::UrlDecoded,
            "path" => Self::Path,
            "query.sorted" => Self::QuerySorted,
            "query.pairs" => Self::QueryPairs,
            "form.sorted" => Self::FormSorted,
            "secret" => Self::Secret,
            _ => return Self::named(text),
        };
        Some(simple)
    }

    fn named(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty())?;
        Some(match kind {
            "literal" => Self::Text(name.to_owned()),
            "header" | "query" | "json" | "form" => Self::Located(Locator::parse(kind, name)?, Presence::Required),
            "header?" | "query?" | "json?" => {
                Self::Located(Locator::parse(kind.trim_end_matches('?'), name)?, Presence::Optional)
            }
            "json.lines" => Self::JsonLines(JsonLines::parse(name)?),
            "query.lower" => Self::QueryLower(name.to_owned()),
            "part" => Self::Part(name.to_owned()),
            "headers" => Self::ListedHeaders(name.to_owned()),
            "listed" => {
                let mut names = name.split(',').map(|name| name.trim().parse().ok());
                Self::ListedBy(names.next()??, names.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// The component's bytes in the string to sign.
    pub(super) fn bytes<'a>(
        &'a self,
        request: &'a RequestView<'a>,
        value: &Value<'a>,
        ways: &SigningVariant<'a>,
    ) -> Result<Cow<'a, [u8]>, VerifyError> {
        Ok(match self {
            Self::Body => Cow::Borrowed(request.body()?),
            Self::BodyHash(digest) => Cow::Owned(digest.of(request.body()?)),
            Self::BodyCrc32 => Cow::Owned(crc32(request.body()?).to_string().into_bytes()),
            Self::Url => Cow::Borrowed(ways.url.url.as_bytes()),
            Self::UrlDecoded => Cow::Owned(decoded(&ways.url.url).into_bytes()),
            Self::Path => Cow::Borrowed(ways.url.path.as_bytes()),
            Self::FormSorted if ways.body == BodyForm::ByItsHash => Cow::Borrowed(&[]),
            Self::Secret => Cow::Borrowed(ways.secret.key.shared().unwrap_or_default()),
            Self::Text(_)
            | Self::Method
            | Self::QuerySorted
            | Self::QueryPairs
            | Self::FormSorted
            | Self::Located(..)
            | Self::JsonLines(_)
            | Self::QueryLower(_)
            | Self::Part(_)
            | Self::ListedHeaders(_)
            | Self::ListedBy(..) => bytes_of(self.text(request, value)?),
        })
    }

    /// The component's text, for those that have one without body bytes, URL or secret.
    ///
    /// # Errors
    /// `missing_signed_component` if it is absent; `invalid_signature` if it occurs twice or has no text;
    /// `malformed_body` if the body is not a JSON object or a form.
    pub(super) fn text<'a>(
        &'a self,
        request: &'a RequestView<'a>,
        value: &Value<'a>,
    ) -> Result<Cow<'a, str>, VerifyError> {
        let missing = || VerifyError::from(Reason::MissingSignedComponent);
        match self {
            Self::Text(text) => Ok(Cow::Borrowed(text)),
            Self::Method => Ok(Cow::Borrowed(request.head.method.as_str())),
            Self::QuerySorted => Ok(Cow::Owned(sorted_query(request.head.uri.query().unwrap_or_default()))),
            Self::QueryPairs => Ok(Cow::Owned(query_pairs(request.head.uri.query().unwrap_or_default()))),
            Self::FormSorted => sorted_form(request).map(Cow::Owned),
            Self::Located(locator, presence) => {
                let found = locator.find(request)?;
                let present = found.is_some();
                let is_null = |found: &LocatedValue<'_>| matches!(found, LocatedValue::Json(json) if json.is_null());
                // An array, an object or a fraction is not absent: an attacker could add it.
                let text = if found.as_ref().is_none_or(is_null) { presence.empty() } else { found.and_then(text_of) };
                match text {
                    Some(text) => Ok(text),
                    None if present => Err(Reason::InvalidSignature.into()),
                    None if locator.is_unreadable(request)? => Err(Reason::MalformedBody.into()),
                    None => Err(Rejection::detailed(Reason::MissingSignedComponent, format!("no {locator}")).into()),
                }
            }
            Self::JsonLines(lines) => lines.text(request).map(Cow::Owned),
            Self::QueryLower(name) => Ok(Cow::Owned(request.query(name)?.ok_or_else(missing)?.to_ascii_lowercase())),
            Self::Part(key) => part(value, key).map(Cow::Borrowed),
            Self::ListedHeaders(key) => listed(request, part(value, key)?).map(Cow::Owned),
            Self::ListedBy(list, names) => listed_by(request, list, names).map(Cow::Owned),
            Self::Body
            | Self::BodyHash(_)
            | Self::BodyCrc32
            | Self::Url
            | Self::UrlDecoded
            | Self::Path
            | Self::Secret => Err(missing()),
        }
    }

    /// Whether it depends on the signature's value.
    pub(super) fn is_of_value(&self) -> bool {
        self.part_name().is_some()
    }

    /// The part of the signature's value that it reads.
    pub(super) fn part_name(&self) -> Option<&str> {
        if let Self::Part(name) | Self::ListedHeaders(name) = self { Some(name) } else { None }
    }

    pub(super) fn is_url(&self) -> bool {
        matches!(self, Self::Url | Self::UrlDecoded)
    }

    pub(super) fn is_whole_body(&self) -> bool {
        matches!(self, Self::Body | Self::BodyHash(_) | Self::FormSorted)
    }

    /// Whether it joins several values, so that bytes can be moved from one to the next.
    pub(super) const fn has_inner_borders(&self) -> bool {
        matches!(self, Self::ListedHeaders(_) | Self::ListedBy(..) | Self::JsonLines(_))
    }

    /// Whether all of its values have one length.
    pub const fn has_fixed_length(&self) -> bool {
        matches!(self, Self::Text(_) | Self::BodyHash(_) | Self::Secret)
    }

    /// Whether the component can only be computed once the body has been read.
    pub(super) fn needs_body(&self) -> bool {
        let in_body = matches!(self, Self::Located(locator, _) if locator.is_in_body());
        in_body || self.is_whole_body() || matches!(self, Self::BodyCrc32 | Self::JsonLines(_))
    }

    /// The headers that it always reads.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let one = if let Self::Located(locator, _) = self { locator.header() } else { None };
        let (list, names) =
            if let Self::ListedBy(list, names) = self { (Some(list), &**names) } else { (None, &[][..]) };
        one.into_iter().chain(list).chain(names)
    }

    /// Whether a signature over `components` covers this component as well, so that an attacker cannot change it.
    pub fn is_covered_by(&self, components: &[Self]) -> bool {
        let Self::Located(locator, _) = self else { return components.contains(self) };
        components.iter().any(|component| {
            if let Self::Located(signed, _) = component {
                return signed == locator;
            }
            if let Self::JsonLines(lines) = component {
                return lines.contain(locator);
            }
            // `form.sorted` and `query.pairs` have no separators: bytes could be moved from one value to another.
            match locator {
                Locator::Header { name, .. } => component.headers().any(|signed| signed == name),
                Locator::Query(_) => matches!(component, Self::Url | Self::Path | Self::QuerySorted),
                Locator::Form(_) | Locator::Json(_) | Locator::Body | Locator::Cookie(_) | Locator::Claim(_) => {
                    locator.is_in_body() && matches!(component, Self::Body | Self::BodyHash(_))
                }
            }
        })
    }
}

impl Presence {
    fn empty(self) -> Option<Cow<'static, str>> {
        (self == Self::Optional).then_some(Cow::Borrowed(""))
    }
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn decoded(url: &str) -> String {
    HUBSPOT_ESCAPES.iter().fold(url.to_owned(), |url, (escaped, plain)| {
        url.replace(escaped, plain).replace(&escaped.to_ascii_lowercase(), plain)
    })
}

fn sorted_query(query: &str) -> String {
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_by_key(|pair| pair.split_once('=').map_or(*pair, |(name, _)| name));
    pairs.join("&")
}

/// Zoho's rule: as [`sorted_query`], decoded and without separators.
fn query_pairs(query: &str) -> String {
    let mut pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    pairs.iter().fold(String::new(), |text, (name, value)| text + name + value)
}

/// Twilio's rule. A body that is not a form would be unsigned: it is rejected unless it is empty.
fn sorted_form(request: &RequestView<'_>) -> Result<String, VerifyError> {
    let Some(mut pairs) = request.form()? else {
        return if request.body()?.is_empty() { Ok(String::new()) } else { Err(Reason::MalformedBody.into()) };
    };
    pairs.sort();
    pairs.dedup();
    Ok(pairs.iter().fold(String::new(), |text, (name, value)| text + name + value))
}

/// The text of a part of the signature's value.
fn part<'a>(value: &Value<'a>, key: &str) -> Result<&'a str, VerifyError> {
    value.part(key).ok_or_else(|| {
        let (reason, what) = if value.has_part(key) {
            (Reason::InvalidSignature, "twice the part")
        } else {
            (Reason::MissingSignedComponent, "no part")
        };
        Rejection::detailed(reason, format!("the signature's value has {what} `{key}`")).into()
    })
}

fn listed(request: &RequestView<'_>, names: &str) -> Result<String, VerifyError> {
    let names: Vec<&str> = names.split_ascii_whitespace().take(MAX_LISTED + 1).collect();
    if names.len() > MAX_LISTED {
        return Err(Reason::InvalidSignature.into());
    }
    let values = names.iter().map(|name| {
        let name: HeaderName = name.parse().map_err(|_| Reason::InvalidSignature)?;
        request.header(&name)?.ok_or(Reason::MissingSignedComponent)
    });
    let values: Result<Vec<&str>, Reason> = values.collect();
    Ok(values?.join("."))
}

fn listed_by(request: &RequestView<'_>, list: &HeaderName, names: &[HeaderName]) -> Result<String, VerifyError> {
    let listed = request.header(list)?.ok_or(Reason::MissingSignedComponent)?;
    let listed: Vec<HeaderName> = listed
        .split(',')
        .take(MAX_LISTED + 1)
        .map(|name| name.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| Reason::InvalidSignature)?;
    // An attacker could change what the sender did not list, and the list itself.
    if listed.len() > MAX_LISTED || !std::iter::once(list).chain(names).all(|name| listed.contains(name)) {
        return Err(Reason::InvalidSignature.into());
    }
    let pairs = listed.iter().map(|name| {
        let value = request.header(name)?.ok_or(Reason::MissingSignedComponent)?;
        Ok(format!("{name}:{}", value.trim()))
    });
    Ok(pairs.collect::<Result<Vec<String>, Reason>>()?.join(";"))
}
