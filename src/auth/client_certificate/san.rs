//! Subject alternative names (RFC 5280 §4.2.1.6) of certificates and of rules, in one canonical form: names are equal
//! if their texts are.

// Address types only; this module opens no socket.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;
use std::sync::Arc;

use x509_parser::extensions::GeneralName;

/// The longest SPIFFE id (SPIFFE-ID §2.3).
const MAX_SPIFFE_ID: usize = 2048;

/// The longest trust domain (SPIFFE-ID §2.1).
const MAX_TRUST_DOMAIN: usize = 255;

/// The tag of a URI in `GeneralName`.
const URI: u32 = 6;

/// A subject alternative name: `dns:…` in lower case, `uri:…`, `email:…`, `ip:…`, or `spiffe://…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct San(Arc<str>);

/// Why the text of a name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SanError {
    /// The prefix that states the kind of name is missing or unknown.
    #[error("expected spiffe://…, dns:…, uri:…, email:… or ip:…")]
    Kind,
    /// A character that a certificate cannot have in a name.
    #[error("expected visible ASCII without spaces; write an international domain name in its `xn--…` form")]
    Letters,
    /// A wildcard: names are compared for equality only.
    #[error("wildcards (`*`) are not supported here; list each name")]
    Star,
    /// The value of `dns:` is not a host name.
    #[error("expected a host name of letters, digits, `-`, `_` and single dots, such as dns:sender.example.com")]
    Dns,
    /// The value of `uri:` is not a URI.
    #[error("expected a URI with its scheme, such as uri:https://sender.example.com/")]
    Uri,
    /// A SPIFFE id under `uri:`, where the rules for SPIFFE ids would not be checked.
    #[error("a SPIFFE id must not have the prefix `uri:`")]
    SpiffeAsUri,
    /// The value of `email:` is not an email address.
    #[error("expected an email address, such as email:hooks@sender.example.com")]
    Email,
    /// The value of `ip:` is not an IP address.
    #[error("expected one IPv4 or IPv6 address, such as ip:192.0.2.1")]
    Ip,
    /// The text is not a SPIFFE id.
    #[error(
        "expected a SPIFFE id, such as spiffe://example.com/sender: the trust domain in lower case, then at least one \
         segment of letters, digits, `.`, `-` and `_`, which is not `.` or `..`"
    )]
    Spiffe,
}

impl San {
    /// Parses a name as it is written in a rule.
    ///
    /// # Errors
    /// [`SanError`], whose message states the expected form.
    pub fn parse(text: &str) -> Result<Self, SanError> {
        let (kind, name) = text.split_once(':').ok_or(SanError::Kind)?;
        if !["spiffe", "dns", "uri", "email", "ip"].contains(&kind) {
            return Err(SanError::Kind);
        }
        if !is_visible(name) {
            return Err(SanError::Letters);
        }
        if name.contains('*') {
            return Err(SanError::Star);
        }
        match kind {
            "dns" => is_host(name).then(|| Self::dns(name)).ok_or(SanError::Dns),
            "uri" => written_uri(name),
            "email" => is_email(name).then(|| Self::email(name)).ok_or(SanError::Email),
            "ip" => name.parse().map(Self::ip).map_err(|_| SanError::Ip),
            _ => is_spiffe_id(text).then(|| Self(text.into())).ok_or(SanError::Spiffe),
        }
    }

    /// A name in a certificate; `None` if it is of another kind, or not usable: programs that truncate a string at a
    /// NUL, or fold its case, read a different name (CVE-2025-66220 in Envoy).
    pub(super) fn of(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => is_visible(name).then(|| Self::dns(name)),
            GeneralName::URI(name) => is_visible(name).then(|| Self::uri(name)),
            GeneralName::RFC822Name(name) => is_visible(name).then(|| Self::email(name)),
            GeneralName::IPAddress(octets) => ip_of(octets).map(Self::ip),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        }
    }

    /// The SPIFFE id of a certificate with these names. A certificate with a second URI, even an invalid one, has no
    /// SPIFFE id: programs would choose differently (X509-SVID §2).
    pub(super) fn spiffe_id(names: &[GeneralName<'_>]) -> Option<Self> {
        let mut uris = names.iter().filter(|name| is_uri(name));
        match (uris.next()?, uris.next()) {
            (GeneralName::URI(id), None) if is_spiffe_id(id) => Some(Self((*id).into())),
            _ => None,
        }
    }

    /// The name with the prefix that states its kind.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    fn dns(name: &str) -> Self {
        Self(format!("dns:{}", name.to_ascii_lowercase()).into())
    }

    fn uri(name: &str) -> Self {
        Self(format!("uri:{name}").into())
    }

    fn email(name: &str) -> Self {
        Self(format!("email:{name}").into())
    }

    fn ip(address: IpAddr) -> Self {
        Self(format!("ip:{address}").into())
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_visible(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_uri(name: &GeneralName<'_>) -> bool {
    matches!(name, GeneralName::URI(_)) || matches!(name, GeneralName::Invalid(tag, _) if tag.0 == URI)
}

fn ip_of(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))).ok()
}

fn written_uri(name: &str) -> Result<San, SanError> {
    let (scheme, rest) = name.split_once(':').ok_or(SanError::Uri)?;
    if scheme.eq_ignore_ascii_case("spiffe") {
        return Err(SanError::SpiffeAsUri);
    }
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && !rest.is_empty()).then(|| San::uri(name)).ok_or(SanError::Uri)
}

fn is_host(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
}

fn is_email(name: &str) -> bool {
    name.rsplit_once('@').is_some_and(|(mailbox, host)| !mailbox.is_empty() && is_host(host))
}

/// Whether the text is a SPIFFE id (SPIFFE-ID §2). It is neither decoded nor case-folded, so that one id has one
/// spelling. An id without a path names a trust domain, not a client (X509-SVID §4.1).
pub fn is_spiffe_id(text: &str) -> bool {
    let id = text.strip_prefix("spiffe://").filter(|_| text.len() <= MAX_SPIFFE_ID);
    id.and_then(|id| id.split_once('/'))
        .is_some_and(|(domain, path)| is_trust_domain(domain) && path.split('/').all(is_segment))
}

/// Whether the text is the name of a trust domain (SPIFFE-ID §2.1).
pub fn is_trust_domain(domain: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    (1..=MAX_TRUST_DOMAIN).contains(&domain.len()) && domain.bytes().all(allowed)
}

fn is_segment(segment: &str) -> bool {
    let allowed = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    allowed && !matches!(segment, "" | "." | "..")
}
