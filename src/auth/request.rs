//! What the decision may see of a request, and how it finds a thing in it: exactly one, or none, or a refusal.
//!
//! Two things of one name are refused and not chosen between, since the app could choose the other.

use std::borrow::Cow;
use std::sync::OnceLock;

use http::HeaderName;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::{Map, Value};

use super::certificate::{ClientCertificate, ClientTrust};
use super::claims::Pointer;
use super::json::parse_object;
use super::{Refusal, Stop};
use crate::clock::UnixTime;

/// Fields of a form, parameters of a query: more than any webhook has.
const MAX_PAIRS: usize = 1000;

/// What the decision may see of a request; it holds its credentials, and so has no `Debug`.
pub struct RequestView<'a> {
    /// Method, target and header fields as they came.
    pub head: &'a Parts,
    /// The whole body as it came; `None` while it has not been read.
    pub body: Option<&'a [u8]>,
    /// The address that senders know.
    pub url: UrlBase<'a>,
    /// The certificate that the client has shown, if it has.
    pub client: Option<Client<'a>>,
    json: OnceLock<Option<Map<String, Value>>>,
}

impl<'a> RequestView<'a> {
    /// A request whose body has not been read.
    pub const fn new(head: &'a Parts, url: UrlBase<'a>) -> Self {
        Self { head, body: None, url, client: None, json: OnceLock::new() }
    }

    /// The same from this client.
    #[must_use]
    pub fn with_client(self, client: Option<Client<'a>>) -> Self {
        Self { client, ..self }
    }

    /// The same with its body.
    #[must_use]
    pub fn with_body(self, body: &'a [u8]) -> Self {
        Self { body: Some(body), json: OnceLock::new(), ..self }
    }

    /// The body.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`] while it has not been read.
    pub fn body(&self) -> Result<&'a [u8], Stop> {
        self.body.ok_or(Stop::NeedsBody)
    }

    /// The body as one JSON object; `None` for anything else.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`].
    pub fn json(&self) -> Result<Option<&Map<String, Value>>, Stop> {
        let body = self.body()?;
        Ok(self.json.get_or_init(|| parse_object(body).ok()).as_ref())
    }

    /// The body as one JSON object, where nothing else will do.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`]; `MalformedBody` for anything else.
    pub fn json_object(&self) -> Result<&Map<String, Value>, Stop> {
        self.json()?.ok_or_else(|| Refusal::MalformedBody.into())
    }

    /// The value at a pointer into a JSON body.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`].
    pub fn json_value(&self, pointer: &Pointer) -> Result<Option<&Value>, Stop> {
        Ok(self.json()?.and_then(|object| pointer.find(object)))
    }

    /// A header field that is there once.
    ///
    /// # Errors
    /// `MultipleCredentials` for two, `MalformedCredential` for what is no ASCII text.
    pub fn header(&self, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
        let value = sole(self.head.headers.get_all(name).iter())?;
        value.map(|value| value.to_str().map_err(|_| Refusal::MalformedCredential)).transpose()
    }

    /// A query parameter, decoded, that is there once in any spelling.
    ///
    /// # Errors
    /// `MultipleCredentials` for two.
    pub fn query(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        find_pair(self.head.uri.query().unwrap_or_default().as_bytes(), name)
    }

    /// The pairs of a form body (`application/x-www-form-urlencoded`), decoded; `None` for another body.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`]; `MalformedBody` for more than a thousand.
    pub fn form(&self) -> Result<Option<Vec<Pair<'a>>>, Stop> {
        let body = self.body()?;
        if !self.is_form() {
            return Ok(None);
        }
        let pairs: Vec<_> = url::form_urlencoded::parse(body).take(MAX_PAIRS + 1).collect();
        if pairs.len() > MAX_PAIRS { Err(Refusal::MalformedBody.into()) } else { Ok(Some(pairs)) }
    }

    /// A field of a form body that is there once.
    ///
    /// # Errors
    /// [`Stop::NeedsBody`]; `MultipleCredentials` for two.
    pub fn form_field(&self, name: &str) -> Result<Option<Cow<'a, str>>, Stop> {
        let pairs = self.form()?.unwrap_or_default();
        let mut values = pairs.into_iter().filter(|(found, _)| found == name).map(|(_, value)| value);
        Ok(sole(&mut values)?)
    }

    fn is_form(&self) -> bool {
        let content_type = self.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    /// Path and query as they came.
    pub fn path_and_query(&self) -> &'a str {
        self.head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }
}

/// A client's certificate, and whom its listener trusts now; nobody, if a reload has taken that away.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// What it has shown in its handshake.
    pub certificate: &'a ClientCertificate,
    /// By the listener's settings in force.
    pub trust: Option<&'a ClientTrust>,
}

impl Client<'_> {
    /// Whether the certificate is trusted at this time, whatever the handshake thought of it.
    pub fn is_trusted(&self, now: UnixTime) -> bool {
        self.trust.is_some_and(|trust| trust.trusts(self.certificate, now))
    }
}

/// A name and its value, decoded.
pub type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

fn find_pair<'a>(encoded: &'a [u8], name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
    sole(url::form_urlencoded::parse(encoded).filter(|(found, _)| found == name).map(|(_, value)| value))
}

/// # Errors
/// `MultipleCredentials` for two.
pub fn sole<T>(mut values: impl Iterator<Item = T>) -> Result<Option<T>, Refusal> {
    let (first, second) = (values.next(), values.next());
    if second.is_some() { Err(Refusal::MultipleCredentials) } else { Ok(first) }
}

/// The address that senders know, up to the path.
#[derive(Clone, Copy, Debug)]
pub enum UrlBase<'a> {
    /// `public_url` of the route.
    Configured(&'a PublicUrl),
    /// https and the host as it came.
    Host(&'a str),
}

/// `public_url` of a route: scheme, host and port, and a path that a proxy before us takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https` or `http`.
    pub scheme: String,
    /// Host, and port where senders write one.
    pub authority: String,
    /// Without a slash at its end; empty, mostly.
    pub prefix: String,
}

/// In what senders differ from what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlVariant {
    /// The scheme's own port written out, and any port left out.
    Port,
    /// A slash at the end of the path.
    Slash,
}

impl UrlBase<'_> {
    /// The URL, and after it each way in which a sender may have written it.
    pub fn spellings(&self, path_and_query: &str, variants: &[UrlVariant]) -> Vec<String> {
        let (scheme, authority, prefix) = match self {
            Self::Configured(url) => (url.scheme.as_str(), url.authority.as_str(), url.prefix.as_str()),
            Self::Host(authority) => ("https", *authority, ""),
        };
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

/// The path with its query, and with or without a slash where that is a variant.
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
    fn two_of_one_name_are_refused_in_any_spelling() {
        let head = head("/?t=1&%74=2&u=a%20b", &[("x-s", "1"), ("x-s", "2"), ("x-t", "1")]);
        let view = RequestView::new(&head, UrlBase::Host("a"));
        assert_eq!(view.query("t"), Err(Refusal::MultipleCredentials));
        assert_eq!(view.query("u").unwrap().as_deref(), Some("a b"));
        assert_eq!(view.header(&HeaderName::from_static("x-s")), Err(Refusal::MultipleCredentials));
        assert_eq!(view.header(&HeaderName::from_static("x-t")), Ok(Some("1")));
        assert_eq!(view.header(&HeaderName::from_static("x-u")), Ok(None));
    }

    #[test]
    fn a_form_is_read_only_where_it_is_declared() {
        let form = head("/", &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
        let view = || RequestView::new(&form, UrlBase::Host("a"));
        assert_eq!(view().form_field("a").err(), Some(Stop::NeedsBody));
        assert_eq!(view().with_body(b"a=1%2B2&b=c").form_field("a").unwrap().as_deref(), Some("1+2"));
        assert_eq!(view().with_body(b"a=1&a=2").form_field("a").err(), Some(Refusal::MultipleCredentials.into()));
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
        let public = PublicUrl { scheme: "http".into(), authority: "p:80".into(), prefix: "/base".into() };
        assert_eq!(UrlBase::Configured(&public).spellings("/a", &[]), ["http://p:80/base/a"]);
    }
}
