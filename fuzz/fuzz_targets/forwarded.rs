//! X-Forwarded-For and Forwarded: entries that proxies append are read the same, regardless of the text that an
//! attacker has written before them; an untrusted peer's are not read; and without quotes the result is that of a plain
//! second implementation.
#![no_main]

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use hookgate::proxy::connection_info::{ConnectionInfo, ForwardedInfo};
use hookgate::proxy::forwarded::resolve_client;
use hookgate::snapshot::ListenerLimits;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;

static TRUSTED: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| vec!["10.0.0.0/8".parse().expect("a net"), "2001:db8:f::/48".parse().expect("a net")]);

static PROXY: LazyLock<ConnectionInfo> = LazyLock::new(|| peer("10.0.0.1:1"));

static UNTRUSTED: LazyLock<ConnectionInfo> = LazyLock::new(|| peer("192.0.2.1:1"));

const CLIENTS: [&str; 2] = ["203.0.113.7", "2001:db8::7"];

const PROXIES: [&str; 3] = ["10.0.0.4", "2001:db8:f::3", "10.0.0.2"];

fn peer(address: &str) -> ConnectionInfo {
    ConnectionInfo {
        progress: Arc::default(),
        address: address.parse::<SocketAddr>().expect("an address").into(),
        named: true,
        secure: false,
        forwarded: ForwardedInfo::default(),
        listener: 0,
        client_certificate: None,
        server_name: None,
        limits: Arc::new(ListenerLimits::default()),
    }
}

fuzz_target!(|input: &[u8]| {
    let [mode, more @ ..] = input else { return };
    let (standard, parted, client, hops) = (mode & 1 == 1, mode & 2 == 2, mode >> 2 & 1, usize::from(mode >> 3) % 4);
    let mut parts = more.splitn(2, |byte| *byte == b'\n');
    let (written, host) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let field = if standard { "forwarded" } else { "x-forwarded-for" };
    let Some(alone) = headers(field, &[written]) else { return };

    assert!(matches!(resolve_client(&UNTRUSTED, &alone, &TRUSTED), Cow::Borrowed(_)));
    assert!(matches!(resolve_client(&PROXY, &alone, &[]), Cow::Borrowed(_)));
    let resolved = resolve_client(&PROXY, &alone, &TRUSTED);
    assert!(resolved.forwarded.via.iter().all(|proxy| trusted(*proxy)) && !resolved.forwarded.contradictory);
    if !standard && !written.contains(&b'"') {
        assert_eq!(*resolved.address, plainly(written), "{:?}", String::from_utf8_lossy(written));
    }

    let client = CLIENTS[usize::from(client)];
    let added = if standard { elements(client, hops, host) } else { list(client, hops) };
    let joined = [written, b", ", &added].concat();
    let values: &[&[u8]] = if parted { &[written, &added] } else { &[&joined] };
    let Some(whole) = headers(field, values) else { return };
    let resolved = resolve_client(&PROXY, &whole, &TRUSTED);
    assert_eq!(resolved.address.ip().to_string(), client, "{:?}", String::from_utf8_lossy(&joined));
    let via: Vec<_> = resolved.forwarded.via.iter().map(ToString::to_string).collect();
    assert_eq!(via, [&PROXIES[..hops], &["10.0.0.1"]].concat());
});

fn headers(field: &'static str, values: &[&[u8]]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(field, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

fn trusted(address: IpAddr) -> bool {
    TRUSTED.iter().any(|net| net.contains(&address))
}

fn list(client: &str, hops: usize) -> Vec<u8> {
    [&[client], &PROXIES[..hops]].concat().join(", ").into_bytes()
}

/// Elements as proxies write them, which quote the host of the request unchanged.
fn elements(client: &str, hops: usize, host: &[u8]) -> Vec<u8> {
    let quoted = host.iter().flat_map(|byte| if b"\"\\".contains(byte) { vec![b'\\', *byte] } else { vec![*byte] });
    let quoted: Vec<u8> = quoted.collect();
    let nodes = [&[client], &PROXIES[..hops]].concat();
    let element = |node: &&str| {
        let node = if node.contains(':') { format!("\"[{node}]:4711\"") } else { (*node).to_owned() };
        [b"for=", node.as_bytes(), b";host=\"", &quoted, b"\";proto=https"].concat()
    };
    nodes.iter().map(element).collect::<Vec<_>>().join(&b","[..])
}

/// A second implementation for a header without quotes.
fn plainly(written: &[u8]) -> SocketAddr {
    let mut found = *PROXY.address;
    for entry in written.split(|byte| *byte == b',').rev().take(16) {
        let entry = std::str::from_utf8(entry).unwrap_or_default().trim_matches([' ', '\t']);
        let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let address = match bare {
            Some(six) => six.parse().ok().map(IpAddr::V6),
            None => entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|both| both.ip())),
        };
        let Some(address) = address.map(|address| address.to_canonical()) else { break };
        found = SocketAddr::new(address, 0);
        if !trusted(address) {
            break;
        }
    }
    found
}
