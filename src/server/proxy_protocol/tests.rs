use tokio::io::{AsyncWriteExt, duplex};

use super::*;

/// A header of version 2 with this command, family and addresses.
fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, addresses].concat()
}

const FOUR: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0xdc, 0x04, 0x01, 0xbb];

/// Addresses of a connection from 2001:db8::7, port 56324.
fn six() -> Vec<u8> {
    let from: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    [&from.octets()[..], &[0; 16], &[0xdc, 0x04, 0x01, 0xbb]].concat()
}

/// A type-length-value (§2.2): NOOP with this number of bytes.
fn value(length: u16) -> Vec<u8> {
    [&[4][..], &length.to_be_bytes(), &vec![0; usize::from(length)]].concat()
}

fn from(address: &str) -> ProxiedSource {
    ProxiedSource::Address(address.parse().unwrap())
}

/// Reads a header that is followed by other bytes, which must all be left in the stream; once in one piece, once byte
/// by byte.
async fn taken(header: &[u8]) -> Option<ProxiedSource> {
    let after = b"\x16\x03\x01 and so on";
    let mut results = Vec::new();
    for piece in [header.len() + after.len(), 1] {
        let (mut client, mut server) = duplex(piece);
        let bytes = [header, after].concat();
        let sending = tokio::spawn(async move {
            let _refused = client.write_all(&bytes).await;
        });
        let source = read(&mut server).await.ok();
        if source.is_some() {
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, after, "{:?}", String::from_utf8_lossy(header));
        }
        drop(server);
        sending.await.unwrap();
        results.push(source);
    }
    assert_eq!(results[0], results[1]);
    results[0]
}

#[tokio::test]
async fn both_versions_name_the_client_and_leave_the_rest() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LONGEST_LINE - 16));
    let with_values = [&FOUR[..], &value(0), &value(LONGEST as u16 - 16 - 12 - 6)].concat();
    for (header, expected) in [
        (&b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n"[..], from("203.0.113.7:56324")),
        (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", from("0.0.0.0:0")),
        (b"PROXY TCP6 2001:db8::7 ::1 56324 443\r\n", from("[2001:db8::7]:56324")),
        (b"PROXY UNKNOWN\r\n", ProxiedSource::Unnamed),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ProxiedSource::Unnamed),
        (longest.as_bytes(), ProxiedSource::Unnamed),
        (&version_2(PROXY, 0x11, &FOUR), from("203.0.113.7:56324")),
        (&version_2(PROXY, 0x21, &six()), from("[2001:db8::7]:56324")),
        (&version_2(PROXY, 0x11, &with_values), from("203.0.113.7:56324")),
        (&version_2(PROXY, 0x21, &[six(), value(9)].concat()), from("[2001:db8::7]:56324")),
        (&version_2(PROXY, 0x00, &[]), ProxiedSource::Unnamed),
        (&version_2(PROXY, 0x00, &value(40)), ProxiedSource::Unnamed),
        (&version_2(LOCAL, 0x00, &[]), ProxiedSource::Unnamed),
        (&version_2(LOCAL, 0x11, &FOUR), ProxiedSource::Unnamed),
    ] {
        assert_eq!(taken(header).await, Some(expected), "{:?}", String::from_utf8_lossy(header));
    }
}

#[tokio::test]
async fn other_bytes_are_rejected() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LONGEST_LINE - 15));
    let too_large = version_2(PROXY, 0x11, &[&FOUR[..], &value(LONGEST as u16 - 16 - 12 - 2)].concat());
    let other_signature = [&b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c"[..], &FOUR].concat();
    for header in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello that is long enough",
        b"proxy TCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\n",
        b"PROXY  TCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443 \r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324\r\n",
        b"PROXY TCP4 203.0.113.07 10.0.0.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 056324 443\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 +56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 65536\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 56324 443\r\n",
        b"PROXY TCP6 203.0.113.7 10.0.0.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 ::1 56324 443\r\n",
        b"PROXY UDP4 203.0.113.7 10.0.0.1 56324 443\r\n",
        b"PROXY UNKNOWN\xff\r\n",
        b"PROXY \r\nTCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
        too_long.as_bytes(),
        &too_large,
        &other_signature,
        &version_2(0x11, 0x11, &FOUR),
        &version_2(0x22, 0x11, &FOUR),
        &version_2(PROXY, 0x11, &FOUR[..11]),
        &version_2(PROXY, 0x21, &six()[..35]),
        &version_2(PROXY, 0x12, &FOUR),
        &version_2(PROXY, 0x31, &[0; 216]),
        &version_2(PROXY, 0x41, &FOUR),
    ] {
        assert_eq!(taken(header).await, None, "{:?}", String::from_utf8_lossy(header));
    }
}

/// The parser stops as soon as no valid header is possible, and the end of the stream does not complete a header.
#[tokio::test]
async fn an_incomplete_header_is_none() {
    for whole in [&b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n"[..], &version_2(PROXY, 0x21, &six())] {
        for length in 0..whole.len() {
            let mut stream = &whole[..length];
            assert_eq!(read(&mut stream).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
    }
    assert_eq!(step(b"\r\n\r\n\0\r\nQUIX"), Err(NotAHeader));
    assert_eq!(step(b"PROXX"), Err(NotAHeader));
    assert_eq!(step(b"\x16"), Err(NotAHeader));
}
