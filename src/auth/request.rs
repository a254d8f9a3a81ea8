//! The view of a request for the decision. A lookup finds exactly one value, or none, or rejects the request.
//!
//! Two values of one name are rejected, since the upstream could choose the other one.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use http::HeaderName;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::claims::Pointer;
use super::client_certificate::{ClientCertificate, ClientTrust};
use super::json_text::{JsonError, JsonText};
use super::rejection::VerifyError;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// The maximum number of fields in a form body, more than any webhook has.
const MAX_PAIRS: usize = 1000;

/// The parts of a request that the decision reads. It holds credentials and therefore does not implement `Debug`.
pub struct RequestView<'a> {
    /// Method, target and headers as received.
    pub head: &'a Parts,
    /// The whole body as received; `None` until it has been read.
    pub body: Option<&'a [u8]>,
    /// The base of the URL that senders use.
    pub url: UrlBase<'a>,
    /// The client certificate, if the client has presented one.
    pub client: Option<PresentedCertificate<'a>>,
    /// The tenant that the path names, if the route's path has `{tenant}`.
    pub tenant: Option<&'a str>,
    /// The place of the JSON value in the body. A text with its lifetime would make that of the view invariant.
    json: OnceLock<Result<Range<usize>, JsonError>>,
    /// The first error of a value in it.
    ambiguity: OnceLock<JsonError>,
}

impl<'a> RequestView<'a> {
    /// A request whose body has not been read.
    pub const fn new(head: &'a Parts, url: UrlBase<'a>) -> Self {
        Self { head, body: None, url, client: None, tenant: None, json: OnceLock::new(), ambiguity: OnceLock::new() }
    }

    /// Sets the client certificate.
    #[must_use]
    pub fn with_client(self, client: Option<PresentedCertificate<'a>>) -> Self {
        Self { client, ..self }
    }

    /// Sets the tenant.
    #[must_use]
    pub fn with_tenant(self, tenant: Option<&'a str>) -> Self {
        Self { tenant, ..self }
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), json: OnceLock::new(), ambiguity: OnceLock::new(), ..self }
    }

    /// The body.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`] while it has not been read.
    pub fn body(&self) -> Result<&'a [u8], VerifyError> {
        self.body.ok_or(VerifyError::NeedsBody)
    }

    /// The body as one JSON object; `None` for anything else.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`] while the body has not been read.
    pub fn json(&self) -> Result<Option<JsonText<'a>>, VerifyError> {
        Ok(self.any_json()?.filter(|text| text.is_object()))
    }

    /// The body as one JSON value; `None` for anything else.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`] while the body has not been read.
    pub fn any_json(&self) -> Result<Option<JsonText<'a>>, VerifyError> {
        let body = self.body()?;
        let range = self.json.get_or_init(|| JsonText::parse(body).map(JsonText::range)).as_ref().ok();
        Ok(range.map(|range| JsonText::in_range(body, range)))
    }

    /// The value at a pointer into a body that is one JSON object.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`] while the body has not been read, `malformed_body` if programs could find different
    /// values there.
    pub fn json_value(&self, pointer: &Pointer) -> Result<Option<Value>, VerifyError> {
        let Some(text) = self.json()? else { return Ok(None) };
        let found = pointer.find_in_text(text).and_then(|found| found.map(JsonText::value).transpose());
        self.unambiguous(found)
    }

    /// Turns an error of a value in the body into `malformed_body`, and keeps it for `explain`.
    ///
    /// # Errors
    /// `malformed_body`.
    pub fn unambiguous<T>(&self, found: Result<T, JsonError>) -> Result<T, VerifyError> {
        found.map_err(|error| {
            self.ambiguity.get_or_init(|| error);
            Reason::MalformedBody.into()
        })
    }

    /// Why the body, or a value in it, could not be read as JSON, if a rule has tried.
    pub fn json_error(&self) -> Option<JsonError> {
        self.ambiguity.get().copied().or_else(|| self.json.get()?.as_ref().err().copied())
    }

    /// The value of a header, which may be present at most once.
    ///
    /// # Errors
    /// `multiple_credentials` for a repeated header, `malformed_credential` for a value that is not ASCII.
    pub fn header(&self, name: &HeaderName) -> Result<Option<&'a str>, Reason> {
        let value = sole(self.head.headers.get_all(name).iter())?;
        value.map(|value| value.to_str().map_err(|_| Reason::MalformedCredential)).transpose()
    }

    /// The decoded value of a query parameter, which may be present at most once in any spelling of its name.
    ///
    /// # Errors
    /// `multiple_credentials` for a repeated parameter.
    pub fn query(&self, name: &str) -> Result<Option<Cow<'a, str>>, Reason> {
        let query = self.head.uri.query().unwrap_or_default();
        sole_named(url::form_urlencoded::parse(query.as_bytes()), name)
    }

    /// The pairs of a form body (`application/x-www-form-urlencoded`), decoded; `None` for another body.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`], or `malformed_body` for more than 1,000 pairs.
    pub fn form(&self) -> Result<Option<Vec<Pair<'a>>>, VerifyError> {
        let body = self.body()?;
        if !self.is_form() {
            return Ok(None);
        }
        let pairs: Vec<_> = url::form_urlencoded::parse(body).take(MAX_PAIRS + 1).collect();
        if pairs.len() > MAX_PAIRS { Err(Reason::MalformedBody.into()) } else { Ok(Some(pairs)) }
    }

    /// The value of a form field, which may be present at most once.
    ///
    /// # Errors
    /// [`VerifyError::NeedsBody`], or `multiple_credentials` for a repeated field.
    pub fn form_field(&self, name: &str) -> Result<Option<Cow<'a, str>>, VerifyError> {
        Ok(sole_named(self.form()?.unwrap_or_default().into_iter(), name)?)
    }

    /// Whether the body is declared to be a form.
    pub fn is_form(&self) -> bool {
        let content_type = self.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Path and query as received.
    pub fn path_and_query(&self) -> &'a str {
        self.head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }
}

/// A client certificate and its listener's current trust settings.
#[derive(Clone, Copy, Debug)]
pub struct PresentedCertificate<'a> {
    /// The certificate from the TLS handshake.
    pub certificate: &'a ClientCertificate,
    /// The listener's active trust settings; `None` if a reload has removed them, so that no certificate is trusted.
    pub trust: Option<&'a ClientTrust>,
}

impl PresentedCertificate<'_> {
    /// Whether the certificate is trusted at `now`, regardless of the result of the TLS handshake.
    pub fn is_trusted(&self, now: UnixTime) -> bool {
        self.trust.is_some_and(|trust| trust.trusts(self.certificate, now))
    }
}

/// A name and its value, decoded.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

fn sole_named<'a>(pairs: impl Iterator<Item = Pair<'a>>, name: &str) -> Result<Option<Cow<'a, str>>, Reason> {
    sole(pairs.filter(|(found, _)| found == name).map(|(_, value)| value))
}

/// The only value, or `None` if there is no value.
///
/// # Errors
/// `multiple_credentials` for two or more values.
pub fn sole<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Reason> {
    let (first, second) = (values.next(), values.next());
    if second.is_some() { Err(Reason::MultipleCredentials) } else { Ok(first) }
}

/// The URL that senders use, up to the path.
#[derive(Clone, Copy, Debug)]
pub enum UrlBase<'a> {
    /// `public_url` of the route.
    Configured(&'a PublicUrl),
    /// `https` and the request's host as received.
    Host(&'a str),
}

/// `public_url` of a route: scheme, host and port, and a path prefix that a proxy in front of hookgate strips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https` or `http`.
    pub scheme: String,
    /// The host, with the port if senders write one.
    pub authority: String,
    /// The path prefix, without a trailing slash; usually empty.
    pub prefix: String,
}

/// A difference between the URL that senders sign and the URL that hookgate receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UrlVariant {
    /// The scheme's default port is added, or a port is left out.
    Port,
    /// A trailing slash of the path is added or left out.
    Slash,
}

impl UrlBase<'_> {
    /// Scheme, authority and path prefix.
    pub const fn parts(&self) -> (&str, &str, &str) {
        match self {
            Self::Configured(url) => (url.scheme.as_str(), url.authority.as_str(), url.prefix.as_str()),
            Self::Host(authority) => ("https", authority, ""),
        }
    }

    /// The URL, followed by its other spellings under `variants`.
    pub fn spellings(&self, path_and_query: &str, variants: &[UrlVariant]) -> Vec<String> {
        let (scheme, authority, prefix) = self.parts();
        let mut authorities = vec![authority.to_owned()];
        if variants.contains(&UrlVariant::Port) {
            authorities.extend(port_variants(scheme, authority));
        }
        let targets = target_spellings(path_and_query, variants);
        let urls = authorities
            .iter()
            .flat_map(|authority| targets.iter().map(move |target| format!("{scheme}://{authority}{prefix}{target}")));
        urls.collect()
    }
}

/// The path with its query, followed by the spelling with or without a trailing slash if `variants` has that.
pub fn target_spellings(path_and_query: &str, variants: &[UrlVariant]) -> Vec<String> {
    let mut targets = vec![path_and_query.to_owned()];
    if variants.contains(&UrlVariant::Slash) {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (path_and_query, String::new()),
        };
        targets.push(match path.strip_suffix('/') {
            Some(bare) => format!("{bare}{query}"),
            None => format!("{path}/{query}"),
        });
    }
    targets
}

fn port_variants(scheme: &str, authority: &str) -> Vec<String> {
    let own = if scheme == "http" { "80" } else { "443" };
    let without_port = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    match without_port {
        Some((host, _)) => vec![host.to_owned()],
        None => vec![format!("{authority}:{own}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let request = fields.iter().fold(Request::post(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn two_of_one_name_are_rejected_in_any_spelling() {
        let head = head("/?t=1&%74=2&u=a%20b", &[("x-s", "1"), ("x-s", "2"), ("x-t", "1")]);
        let view = RequestView::new(&head, UrlBase::Host("a"));
        assert_eq!(view.query("t"), Err(Reason::MultipleCredentials));
        assert_eq!(view.query("u").unwrap().as_deref(), Some("a b"));
        assert_eq!(view.header(&HeaderName::from_static("x-s")), Err(Reason::MultipleCredentials));
        assert_eq!(view.header(&HeaderName::from_static("x-t")), Ok(Some("1")));
        assert_eq!(view.header(&HeaderName::from_static("x-u")), Ok(None));
    }

    #[test]
    fn a_form_is_read_only_where_it_is_declared() {
        let form = head("/", &[("content-type", "Application/X-WWW-form-urlencoded ; charset=utf-8")]);
        let view = || RequestView::new(&form, UrlBase::Host("a"));
        assert_eq!(view().form_field("a").err(), Some(VerifyError::NeedsBody));
        assert_eq!(view().with_body(b"a=1%2B2&b=c").form_field("a").unwrap().as_deref(), Some("1+2"));
        assert_eq!(view().with_body(b"a=1&a=2").form_field("a").err(), Some(Reason::MultipleCredentials.into()));
        let fields = |count| {
            view().with_body(vec!["a=1"; count].join("&").as_bytes()).form().map(|form| form.map(|form| form.len()))
        };
        assert_eq!((fields(1000), fields(1001)), (Ok(Some(1000)), Err(Reason::MalformedBody.into())));
        let json = head("/", &[("content-type", "application/json")]);
        let view = RequestView::new(&json, UrlBase::Host("a")).with_body(b"a=1");
        assert_eq!(view.form().unwrap(), None);
    }

    #[test]
    fn urls_have_the_spellings_of_their_variants() {
        let spell = |authority, variants: &[UrlVariant]| UrlBase::Host(authority).spellings("/a?b=c", variants);
        assert_eq!(spell("h", &[]), ["https://h/a?b=c"]);
        assert_eq!(spell("h", &[UrlVariant::Port]), ["https://h/a?b=c", "https://h:443/a?b=c"]);
        assert_eq!(spell("h:1", &[UrlVariant::Port]), ["https://h:1/a?b=c", "https://h/a?b=c"]);
        assert_eq!(spell("[::1]", &[UrlVariant::Port]).last().unwrap(), "https://[::1]:443/a?b=c");
        assert_eq!(spell("h", &[UrlVariant::Slash]), ["https://h/a?b=c", "https://h/a/?b=c"]);
        assert_eq!(target_spellings("/a/", &[UrlVariant::Slash]), ["/a/", "/a"]);
        assert_eq!(target_spellings("/a?b=?", &[UrlVariant::Slash]), ["/a?b=?", "/a/?b=?"]);
        let public = PublicUrl { scheme: "http".into(), authority: "p:80".into(), prefix: "/base".into() };
        assert_eq!(UrlBase::Configured(&public).spellings("/a", &[]), ["http://p:80/base/a"]);
        assert_eq!(port_variants("http", "p"), ["p:80"]);
        assert_eq!(port_variants("https", "[::1]:444"), ["[::1]"]);
    }
}
