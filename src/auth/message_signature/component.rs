//! The components that an HTTP Message Signature covers (RFC 9421 §2), and their values in a request.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, Version, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sfv::{BareItem, FieldType, Item, ListEntry, ListSerializer, Parser};

use crate::auth::request::RequestView;
use crate::auth::structured_field::{dictionary, item, list};
use crate::reason::Reason;

/// The characters that the serializer of a form escapes (the URL Standard's application/x-www-form-urlencoded percent-encode set).
const FORM_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The structured fields whose type is registered, which `sf` needs: all members count.
const DICTIONARIES: &[&str] = &[
    "accept-signature",
    "cdn-cache-control",
    "content-digest",
    "priority",
    "repr-digest",
    "signature",
    "signature-input",
    "want-content-digest",
    "want-repr-digest",
];

/// The registered lists.
const LISTS: &[&str] = &["accept-ch", "cache-status", "client-cert-chain", "proxy-status"];

/// The registered items.
const ITEMS: &[&str] = &["capsule-protocol", "client-cert", "idempotency-key"];

/// A component identifier (RFC 9421 §2): a header or a derived component, with its parameters.
#[derive(Clone, Debug)]
pub struct ComponentIdentifier {
    /// The identifier in the order of parameters that the signer chose: the order is signed too.
    serialized: String,
    source: ComponentSource,
}

/// Where the value of a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentSource {
    /// `@method`
    Method,
    /// `@target-uri`
    TargetUri,
    /// `@authority`
    Authority,
    /// `@scheme`
    Scheme,
    /// `@request-target`
    RequestTarget,
    /// `@path`
    Path,
    /// `@query`
    Query,
    /// `@query-param` with this name, encoded.
    QueryParameter(String),
    /// A header.
    Header(HeaderName, HeaderForm),
}

/// The form of a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// As received.
    AsIs,
    /// Serialized again as a structured field (`sf`).
    Structured,
    /// One member of a dictionary (`key`).
    Member(String),
    /// Each line as a byte sequence (`bs`).
    Bytes,
}

/// Why a component cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Not an item of a structured field.
    #[error("is not a component identifier, such as \"@method\" or \"content-digest\" (RFC 9421 section 2)")]
    Malformed,
    /// The name is not that of a header in lower case.
    #[error("is not the name of a header in lower case")]
    Name,
    /// A derived component that requests do not have.
    #[error(
        "is not a derived component of a request; those are @method, @target-uri, @authority, @scheme, \
             @request-target, @path, @query and @query-param;name=\"…\""
    )]
    Derived,
    /// `tr`
    #[error("has the parameter tr: trailers are not verified, since the request is decided before they arrive")]
    Trailer,
    /// `req`
    #[error("has the parameter req, which is for signatures of responses")]
    Request,
    /// Parameters that exclude each other.
    #[error("has the parameter bs together with sf or key")]
    Incompatible,
    /// `sf` for a header whose type is unknown.
    #[error("has the parameter sf, and the type of this header is not registered; key=\"…\" needs no type")]
    UnknownType,
    /// Another parameter.
    #[error("has an unknown parameter")]
    Parameter,
}

impl fmt::Display for ComponentIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.serialized)
    }
}

impl PartialEq for ComponentIdentifier {
    /// The order of the parameters is not significant (RFC 9421 §2).
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl ComponentIdentifier {
    /// Parses an identifier as it is written in gateway.yaml: as in a signature, also without the quotes of the name.
    ///
    /// # Errors
    /// [`ComponentError`].
    pub fn parse(text: &str) -> Result<Self, ComponentError> {
        let quoted = match text.split_once(';') {
            _ if text.starts_with('"') => text.to_owned(),
            Some((name, parameters)) => format!("\"{name}\";{parameters}"),
            None => format!("\"{text}\""),
        };
        Self::of(&Parser::new(&quoted).parse::<Item>().map_err(|_| ComponentError::Malformed)?)
    }

    /// The identifier of an item in the list of covered components.
    ///
    /// # Errors
    /// [`ComponentError`].
    pub(super) fn of(item: &Item) -> Result<Self, ComponentError> {
        let BareItem::String(name) = &item.bare_item else { return Err(ComponentError::Malformed) };
        let (mut structured, mut bytes, mut key, mut query_name) = (false, false, None, None);
        for (parameter, value) in &item.params {
            match (parameter.as_str(), value) {
                ("sf", BareItem::Boolean(true)) => structured = true,
                ("bs", BareItem::Boolean(true)) => bytes = true,
                ("key", BareItem::String(text)) => key = Some(text.as_str().to_owned()),
                ("name", BareItem::String(text)) => query_name = Some(text.as_str().to_owned()),
                ("tr", _) => return Err(ComponentError::Trailer),
                ("req", _) => return Err(ComponentError::Request),
                _ => return Err(ComponentError::Parameter),
            }
        }
        let source = match (name.as_str().strip_prefix('@'), query_name) {
            (Some(_), _) if structured || bytes || key.is_some() => return Err(ComponentError::Parameter),
            (Some("query-param"), Some(query_name)) => ComponentSource::QueryParameter(query_name),
            (Some(derived), None) => derived_component(derived).ok_or(ComponentError::Derived)?,
            (None, None) => header_component(name.as_str(), structured, bytes, key)?,
            (_, Some(_)) => return Err(ComponentError::Parameter),
        };
        Ok(Self { serialized: item.serialize(), source })
    }

    /// Whether the components include this one, or others with the same content: an attacker can change no part of it.
    pub(super) fn is_covered_by(&self, components: &[Self]) -> bool {
        self.source.is_covered(&|wanted| components.iter().any(|component| component.source == *wanted))
    }

    /// Where the value comes from.
    pub const fn source(&self) -> &ComponentSource {
        &self.source
    }

    /// The component's value.
    ///
    /// # Errors
    /// `missing_signed_component` if it is absent; `multiple_credentials` for a repeated query parameter;
    /// `malformed_credential` for a value that cannot be read.
    pub(super) fn value<'v>(&self, request: &'v RequestView<'v>) -> Result<Cow<'v, str>, Reason> {
        let uri = &request.head.uri;
        let (scheme, authority, prefix) = request.url.parts();
        Ok(match &self.source {
            ComponentSource::Method => Cow::Borrowed(request.head.method.as_str()),
            ComponentSource::Scheme => Cow::Borrowed(scheme),
            ComponentSource::Authority => Cow::Owned(normal_authority(scheme, authority)),
            ComponentSource::TargetUri => {
                let authority = normal_authority(scheme, authority);
                Cow::Owned(format!("{scheme}://{authority}{prefix}{}", request.path_and_query()))
            }
            ComponentSource::RequestTarget => Cow::Owned(format!("{prefix}{}", request.path_and_query())),
            ComponentSource::Path => Cow::Owned(format!("{prefix}{}", uri.path())),
            ComponentSource::Query => Cow::Owned(format!("?{}", uri.query().unwrap_or_default())),
            ComponentSource::QueryParameter(name) => Cow::Owned(query_parameter(request, name)?),
            ComponentSource::Header(name, form) => Cow::Owned(header_value(request, name, form)?),
        })
    }
}

impl ComponentSource {
    /// Whether `has` is true for this source, or for others with the same content.
    pub(super) fn is_covered(&self, has: &dyn Fn(&Self) -> bool) -> bool {
        use ComponentSource::{Authority, Method, Path, Query, QueryParameter, RequestTarget, Scheme, TargetUri};
        let target = has(&TargetUri) || has(&RequestTarget);
        match self {
            Method => has(&Method),
            Scheme => has(&Scheme) || has(&TargetUri),
            Authority => has(&Authority) || has(&TargetUri),
            Path => has(&Path) || target,
            Query => has(&Query) || target,
            QueryParameter(_) => has(self) || has(&Query) || target,
            RequestTarget => target || (has(&Path) && has(&Query)),
            // The scheme is left out, since requests of both reach the same upstream.
            TargetUri => has(&TargetUri) || (has(&Authority) && (target || (has(&Path) && has(&Query)))),
            Self::Header(name, _) => {
                let forms = [HeaderForm::AsIs, HeaderForm::Structured, HeaderForm::Bytes];
                has(self) || forms.into_iter().any(|form| has(&Self::Header(name.clone(), form)))
            }
        }
    }
}

fn derived_component(name: &str) -> Option<ComponentSource> {
    Some(match name {
        "method" => ComponentSource::Method,
        "target-uri" => ComponentSource::TargetUri,
        "authority" => ComponentSource::Authority,
        "scheme" => ComponentSource::Scheme,
        "request-target" => ComponentSource::RequestTarget,
        "path" => ComponentSource::Path,
        "query" => ComponentSource::Query,
        _ => return None,
    })
}

fn header_component(
    name: &str,
    structured: bool,
    bytes: bool,
    key: Option<String>,
) -> Result<ComponentSource, ComponentError> {
    let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let header = HeaderName::try_from(name).ok().filter(|_| lower).ok_or(ComponentError::Name)?;
    let is_known = [DICTIONARIES, LISTS, ITEMS].iter().any(|names| names.contains(&name));
    let form = match (structured, bytes, key) {
        (true, true, _) | (_, true, Some(_)) => return Err(ComponentError::Incompatible),
        (_, false, Some(key)) => HeaderForm::Member(key),
        (true, false, None) if !is_known => return Err(ComponentError::UnknownType),
        (true, false, None) => HeaderForm::Structured,
        (false, true, None) => HeaderForm::Bytes,
        (false, false, None) => HeaderForm::AsIs,
    };
    Ok(ComponentSource::Header(header, form))
}

/// The host in lower case, without the default port of the scheme (RFC 9421 §2.2.3).
fn normal_authority(scheme: &str, authority: &str) -> String {
    let default = if scheme == "http" { ":80" } else { ":443" };
    authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase()
}

/// The value of the parameter with this encoded name, encoded (RFC 9421 §2.2.8). Bytes that are no UTF-8 are replaced
/// when a form is parsed, so that several values would look the same: they are rejected.
fn query_parameter(request: &RequestView<'_>, name: &str) -> Result<String, Reason> {
    let encoded = |text: &str| utf8_percent_encode(text, FORM_ESCAPES).to_string();
    let query = request.head.uri.query().unwrap_or_default();
    let mut found = url::form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| encoded(found) == name);
    let (name, value) = found.next().ok_or(Reason::MissingSignedComponent)?;
    if found.next().is_some() {
        return Err(Reason::MultipleCredentials);
    }
    let replaced = [&name, &value].iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER));
    if replaced { Err(Reason::MalformedCredential) } else { Ok(encoded(&value)) }
}

/// The value of a header (RFC 9421 §2.1): all of its lines, without the spaces around them. The parser of requests
/// accepts no folded line, which this would have to unfold.
fn header_value(request: &RequestView<'_>, name: &HeaderName, form: &HeaderForm) -> Result<String, Reason> {
    let lines: Vec<&[u8]> =
        request.head.headers.get_all(name).iter().map(|line| line.as_bytes().trim_ascii()).collect();
    if lines.is_empty() {
        return Err(Reason::MissingSignedComponent);
    }
    match form {
        HeaderForm::AsIs => {
            let lines = lines.iter().map(|line| std::str::from_utf8(line).ok().filter(|line| line.is_ascii()));
            let lines: Option<Vec<&str>> = lines.collect();
            // HTTP/2 splits Cookie into lines that belong together with a semicolon (RFC 9113 §8.2.3).
            let is_split = *name == header::COOKIE && request.head.version == Version::HTTP_2;
            lines.map(|lines| lines.join(if is_split { "; " } else { ", " })).ok_or(Reason::MalformedCredential)
        }
        HeaderForm::Bytes => {
            let lines: Vec<String> = lines.iter().map(|line| format!(":{}:", STANDARD.encode(line))).collect();
            Ok(lines.join(", "))
        }
        HeaderForm::Structured => structured(request, name),
        HeaderForm::Member(key) => {
            let members = dictionary(request, name)?.unwrap_or_default();
            members.get(key.as_str()).map(serialized).ok_or(Reason::MissingSignedComponent)
        }
    }
}

/// The header, serialized by the rules of its registered type; an empty one has no serialization.
fn structured(request: &RequestView<'_>, name: &HeaderName) -> Result<String, Reason> {
    let text = if LISTS.contains(&name.as_str()) {
        list(request, name)?.and_then(|list| list.serialize())
    } else if ITEMS.contains(&name.as_str()) {
        item(request, name)?.map(|item| item.serialize())
    } else {
        dictionary(request, name)?.and_then(|members| members.serialize())
    };
    text.ok_or(Reason::MalformedCredential)
}

/// The value of one member of a dictionary.
pub(super) fn serialized(member: &ListEntry) -> String {
    let mut serializer = ListSerializer::new();
    serializer.members([member]);
    serializer.finish().unwrap_or_default()
}
