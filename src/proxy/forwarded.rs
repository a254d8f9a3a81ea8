//! Client address of a request behind trusted proxies, from X-Forwarded-For or, in its place, Forwarded (RFC 7239),
//! read from the right. Each proxy appends the address that it received the request from. Entries left of the first
//! address that is not a trusted proxy may be forged by an attacker, and are not read.
//!
//! From any other client these headers are never read; [`super::headers`] removes them in any case. Called by the
//! gateway.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::IpNet;

use super::connection_info::ConnectionInfo;
use super::headers::{FORWARDED_FOR, FORWARDED_PROTO, REQUEST_ID};
use crate::route::within;
use crate::snapshot::Snapshot;

/// Maximum number of entries that are read; a client further to the left is not found.
const MOST_PROXIES: usize = 16;

/// Longest X-Request-Id that is accepted, in bytes; the ids of common proxies are shorter.
const LONGEST_ID: usize = 64;

/// The client of a request on this connection: the connected one, or the one that trusted proxies name.
pub fn resolve_client<'c>(
    connection: &'c ConnectionInfo,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> Cow<'c, ConnectionInfo> {
    if !connection.named || !within(trusted, connection.address.ip()) {
        return Cow::Borrowed(connection);
    }
    let plain = chain(headers, &FORWARDED_FOR, address, trusted);
    let standard = chain(headers, &FORWARDED, for_of_element, trusted);
    let contradictory = matches!((&plain, &standard), (Some(one), Some(other)) if one.first() != other.first());
    let chain = plain.or(standard).unwrap_or_default();
    let mut resolved = connection.clone();
    if let Some((client, proxies)) = chain.split_first() {
        // The client's port is not known.
        resolved.address = SocketAddr::new(*client, 0).into();
        resolved.forwarded.via = proxies.iter().copied().chain([connection.address.ip().to_canonical()]).collect();
    }
    resolved.secure = is_secure(headers).unwrap_or(connection.secure);
    resolved.forwarded.request_id = request_id(headers);
    resolved.forwarded.contradictory = contradictory;
    Cow::Owned(resolved)
}

/// Adds the certificate that a trusted proxy states in the header of its listener. The proxy's own connection has no
/// certificate of the client, and no server name that the client has chosen.
pub fn resolve_certificate<'c>(
    connection: &ConnectionInfo,
    resolved: Cow<'c, ConnectionInfo>,
    headers: &HeaderMap,
    snapshot: &Snapshot,
) -> Cow<'c, ConnectionInfo> {
    let listener = snapshot.listeners.get(connection.listener);
    let Some(header) = listener.and_then(|listener| listener.certificate_header.as_ref()) else { return resolved };
    if !connection.named || !within(&snapshot.trusted_proxies, connection.address.ip()) {
        return resolved;
    }
    let (certificate, mut resolved) = (header.read(headers), resolved.into_owned());
    resolved.server_name = None;
    resolved.forwarded.malformed_certificate = certificate.is_err();
    resolved.client_certificate = certificate.ok().flatten().map(Arc::new);
    Cow::Owned(resolved)
}

/// The client and the trusted proxies after it, from the entries of a header. Empty if the last entry is not an
/// address; `None` if the header is absent.
fn chain(
    headers: &HeaderMap,
    field: &HeaderName,
    address: fn(&[u8]) -> Option<IpAddr>,
    trusted: &[IpNet],
) -> Option<Vec<IpAddr>> {
    let values = headers.get_all(field);
    values.iter().next()?;
    let entries = values.iter().rev().flat_map(|value| FromTheRight { rest: Some(value.as_bytes()), separator: b',' });
    let mut chain = Vec::new();
    for entry in entries.take(MOST_PROXIES) {
        let Some(address) = address(entry) else { break };
        chain.push(address);
        if !within(trusted, address) {
            break;
        }
    }
    chain.reverse();
    Some(chain)
}

/// Splits a text at a separator, last part first. A separator in a quoted string does not split (RFC 9110 §5.6.4). Read
/// from the right, a quote that an attacker has opened and never closed cannot swallow entries that proxies append
/// after it.
struct FromTheRight<'t> {
    rest: Option<&'t [u8]>,
    separator: u8,
}

impl<'t> Iterator for FromTheRight<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<&'t [u8]> {
        let rest = self.rest.take()?;
        let Some(at) = last_unquoted(rest, self.separator) else { return Some(rest) };
        let (before, part) = rest.split_at_checked(at)?;
        self.rest = Some(before);
        part.get(1..)
    }
}

fn last_unquoted(text: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' if !is_escaped(text, at) => quoted = !quoted,
            byte if *byte == separator && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether an odd number of backslashes precedes `at`: each pair is one escaped backslash.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Parses `203.0.113.7` or `2001:db8::7`, or with a port as some proxies write it: `203.0.113.7:4711`,
/// `[2001:db8::7]:4711`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical());
    }
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).map(|address| address.to_canonical())
}

/// Address of the only `for` in an element such as `for="[2001:db8::7]:4711";proto=https`. `unknown` and obfuscated
/// identifiers (RFC 7239 §6) are not addresses.
fn for_of_element(element: &[u8]) -> Option<IpAddr> {
    let pairs = FromTheRight { rest: Some(element), separator: b';' }.filter_map(name_and_value);
    let mut nodes = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(b"for"));
    let ((_, node), None) = (nodes.next()?, nodes.next()) else { return None };
    address(node.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(node))
}

fn name_and_value(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == b'=')?)?;
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

/// Whether the client used https, if X-Forwarded-Proto occurs once and is `https` or `http`.
fn is_secure(headers: &HeaderMap) -> Option<bool> {
    match only(headers, &FORWARDED_PROTO)? {
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

/// X-Request-Id, if it is safe in a log line, a response and a file name.
fn request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let id = only(headers, &REQUEST_ID)?;
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)).then(|| id.into())
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next().map(HeaderValue::to_str)?, values.next()) else { return None };
    value.ok()
}

#[cfg(test)]
mod tests;
