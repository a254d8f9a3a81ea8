//! PROXY headers: the result is the same in one piece and in many, no header is longer than allowed, and a plain second
//! implementation reads the same.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hookgate::server::proxy_protocol::{ProxiedSource, Step, step};
use libfuzzer_sys::fuzz_target;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

// A run in which no input could pass would find nothing.
fuzz_target!(init: {
    let line = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\nmore";
    assert_eq!(taken(line, line.len()), Some((ProxiedSource::Address("203.0.113.7:56324".parse().unwrap()), line.len() - 4)));
}, |input: &[u8]| {
    let [piece, bytes @ ..] = input else { return };
    let whole = taken(bytes, bytes.len());
    assert_eq!(whole, taken(bytes, 1 + usize::from(piece % 16)));
    let Some((source, length)) = whole else { return };
    let header = &bytes[..length];
    let again = if header.starts_with(SIGNATURE) { version_2(header) } else { version_1(header) };
    assert_eq!(source, again);
});

/// Reads pieces of at most `piece` bytes, as a stream returns them; returns the source and the length of the header.
fn taken(bytes: &[u8], piece: usize) -> Option<(ProxiedSource, usize)> {
    let mut length = 0;
    loop {
        match step(&bytes[..length]).ok()? {
            Step::Done(source) => return Some((source, length)),
            Step::Read(more) => {
                let some = more.min(piece).min(bytes.len() - length);
                assert!(more > 0 && length + more <= 536, "{more} after {length}");
                if some == 0 {
                    return None;
                }
                length += some;
            }
        }
    }
}

fn version_1(header: &[u8]) -> ProxiedSource {
    assert!(header.len() <= 107 && header.iter().filter(|byte| **byte == b'\n').count() == 1);
    let line = std::str::from_utf8(header).expect("text").strip_suffix("\r\n").expect("an end");
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    assert_eq!(words[0], "PROXY");
    if words[1] == "UNKNOWN" {
        return ProxiedSource::Unnamed;
    }
    let (source, destination): (IpAddr, IpAddr) = (words[2].parse().unwrap(), words[3].parse().unwrap());
    assert!(words.len() == 6 && source.is_ipv4() == destination.is_ipv4());
    assert_eq!(words[1], if source.is_ipv4() { "TCP4" } else { "TCP6" });
    let ports = [words[4], words[5]].map(|word| word.parse::<u16>().unwrap());
    assert_eq!(line, format!("PROXY {} {} {} {} {}", words[1], words[2], words[3], ports[0], ports[1]));
    ProxiedSource::Address(SocketAddr::new(source, ports[0]))
}

fn version_2(header: &[u8]) -> ProxiedSource {
    assert_eq!(header.len(), 16 + usize::from(header[14]) * 256 + usize::from(header[15]));
    let address: (IpAddr, usize) = match (header[12], header[13]) {
        (0x20, _) | (0x21, 0) => return ProxiedSource::Unnamed,
        (0x21, 0x11) => (Ipv4Addr::from_bits(u32::from_be_bytes(header[16..20].try_into().unwrap())).into(), 24),
        (0x21, 0x21) => (Ipv6Addr::from_bits(u128::from_be_bytes(header[16..32].try_into().unwrap())).into(), 48),
        other => panic!("{other:?} is none of ours"),
    };
    let port = u16::from_be_bytes([header[address.1], header[address.1 + 1]]);
    ProxiedSource::Address(SocketAddr::new(address.0, port))
}
