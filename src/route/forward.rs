//! `forward` of a route: the changes to the request that its upstream gets.

use std::borrow::Cow;

use http::HeaderName;

use crate::auth::claims::Pointer;

/// Headers of clients without which the request would be another one: always forwarded.
pub const NEEDED_BY_HTTP: &[&str] = &["host", "content-length", "content-type", "content-encoding"];

/// `forward` of a route.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// Whether the credential is removed from the request (`credential: remove`).
    pub remove_credential: bool,
    /// Claims that are forwarded, each with the header that carries it to the upstream (`claims_to_headers`).
    pub claims: Vec<(Pointer, HeaderName)>,
    /// The header that carries the decision to the upstream (`verdict`).
    pub verdict: Option<HeaderName>,
    /// The headers that carry claims or the decision on this route or on another one with the same upstream, which reads them
    /// regardless of the route: clients may not set them.
    pub claim_headers: Vec<HeaderName>,
    /// Further headers of clients that are removed (`remove`).
    pub remove: Vec<HeaderPattern>,
    /// The only headers of clients that are forwarded (`allow`); `None` forwards all others too.
    pub allow: Option<Vec<HeaderPattern>>,
}

/// A header, or all headers with a prefix: `x-internal-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderPattern {
    /// The header with this name, in lower case.
    Name(String),
    /// The headers whose names begin with this text, in lower case.
    Prefix(String),
}

impl HeaderPattern {
    /// Parses a name, or a prefix that ends in `*`. Only letters, digits and `-` are allowed: other spellings of a name
    /// are removed with it.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (name, is_prefix) = lower.strip_suffix('*').map_or((lower.as_str(), false), |prefix| (prefix, true));
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let name = plain.then(|| name.to_owned())?;
        Some(if is_prefix { Self::Prefix(name) } else { Self::Name(name) })
    }

    /// Whether the pattern matches this name, which is in lower case.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix),
        }
    }
}

impl Forward {
    /// Whether the header of a client with this normal form is removed (`remove`).
    pub fn removes(&self, normal: &str) -> bool {
        self.remove.iter().any(|pattern| pattern.matches(normal))
    }

    /// Whether the header of a client with this name may be forwarded (`allow`).
    pub fn allows(&self, name: &str) -> bool {
        let is_named = |allow: &Vec<HeaderPattern>| allow.iter().any(|pattern| pattern.matches(name));
        self.allow.as_ref().is_none_or(is_named) || NEEDED_BY_HTTP.contains(&name)
    }
}

/// The normal form of a header name. WSGI, Rack and CGI turn each of these characters into `_`, which makes
/// `X_Hookgate_Sub` equal to `X-Hookgate-Sub` (oauth2-proxy CVE-2025-64484, Traefik CVE-2026-54763).
pub fn normal_form(name: &str) -> Cow<'_, str> {
    if !name.bytes().fold(false, |found, byte| found | (!byte.is_ascii_alphanumeric() && byte != b'-')) {
        return Cow::Borrowed(name);
    }
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}
