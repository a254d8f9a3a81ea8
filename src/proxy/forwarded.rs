//! Who has sent a request, where proxies in front are trusted to tell: X-Forwarded-For, or in its place Forwarded
//! (RFC 7239), read from the right. Each proxy adds at the right who has sent it the request, so that what stands left
//! of the first address that is no trusted proxy's was written by strangers, and is not looked at.
//!
//! From any other peer these fields are never read; [`super::headers`] removes them in any case. Called by the gateway.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::IpNet;

use super::Peer;
use super::headers::{FORWARDED_FOR, FORWARDED_PROTO, REQUEST_ID};
use crate::route::within;

/// More proxies than anybody has in a row; who stands left of them is not looked for.
const MOST_PROXIES: usize = 16;

/// Longer than the ids that proxies make.
const LONGEST_ID: usize = 64;

/// What trusted proxies have told of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The proxies that it came through after its client, in this order: the last one has connected to us.
    pub via: Vec<IpAddr>,
    /// X-Request-Id.
    pub request_id: Option<String>,
    /// X-Forwarded-For and Forwarded name two clients, of which one may be a stranger's invention.
    pub contradictory: bool,
}

/// An address with its text, which each request of a connection tells to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    socket: SocketAddr,
    text: Arc<str>,
}

impl From<SocketAddr> for ClientAddress {
    fn from(socket: SocketAddr) -> Self {
        Self { socket, text: socket.ip().to_canonical().to_string().into() }
    }
}

impl std::ops::Deref for ClientAddress {
    type Target = SocketAddr;

    fn deref(&self) -> &SocketAddr {
        &self.socket
    }
}

impl ClientAddress {
    /// Without a port, and IPv4 as such.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Who has sent a request that came over this connection: its peer, or whom the proxies name that are trusted.
pub fn sender<'p>(peer: &'p Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Cow<'p, Peer> {
    if !peer.named || !within(trusted, peer.address.ip()) {
        return Cow::Borrowed(peer);
    }
    let plain = chain(headers, &FORWARDED_FOR, address, trusted);
    let standard = chain(headers, &FORWARDED, for_of_element, trusted);
    let contradictory = matches!((&plain, &standard), (Some(one), Some(other)) if one.first() != other.first());
    let chain = plain.or(standard).unwrap_or_default();
    let mut sender = peer.clone();
    if let Some((client, proxies)) = chain.split_first() {
        // Nobody says from which port.
        sender.address = SocketAddr::new(*client, 0).into();
        sender.told.via = proxies.iter().copied().chain([peer.address.ip().to_canonical()]).collect();
    }
    sender.secure = is_secure(headers).unwrap_or(peer.secure);
    sender.told.request_id = request_id(headers);
    sender.told.contradictory = contradictory;
    Cow::Owned(sender)
}

/// The client, and the trusted proxies after it, out of the entries of a field: nobody if the last entry is no address,
/// and `None` where there is no such field.
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

/// Parts of a text, the last one first. A separator in a quoted text is none (RFC 9110 §5.6.4). From this side a quote
/// that a stranger has opened and never closed swallows nothing of what proxies have added after it.
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

/// An odd number of backslashes before it: each pair of them is one that is escaped itself.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// `203.0.113.7` or `2001:db8::7`, and as some proxies write it with a port: `203.0.113.7:4711`, `[2001:db8::7]:4711`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inside.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical());
    }
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).map(|address| address.to_canonical())
}

/// The one `for` of an element such as `for="[2001:db8::7]:4711";proto=https`; `unknown` and names that hide the
/// address (RFC 7239 §6) are none.
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

/// The scheme that the client has spoken, where that is told once and is one of ours.
fn is_secure(headers: &HeaderMap) -> Option<bool> {
    match only(headers, &FORWARDED_PROTO)? {
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

/// An id that can stand in a log line, a reply and the name of a file.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let id = only(headers, &REQUEST_ID)?;
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next().map(HeaderValue::to_str)?, values.next()) else { return None };
    value.ok()
}

#[cfg(test)]
mod tests;
