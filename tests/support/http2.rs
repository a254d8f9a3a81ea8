//! Hand-made HTTP/2 frames, for clients that break the protocol or inspect it.

use super::{PATIENCE, Wire};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame (RFC 9113 §6.5).
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Types of frames (RFC 9113 §6).
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const GOAWAY: u8 = 7;

/// A frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header as an HPACK literal without indexing or Huffman coding (RFC 7541 §6.2.2).
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

/// A string literal (RFC 7541 §5.2) with a length of up to 16 KiB.
fn text(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut coded = match length.checked_sub(127) {
        None => vec![u8::try_from(length).unwrap()],
        Some(rest) => vec![127, u8::try_from(rest % 128).unwrap() | 128, u8::try_from(rest / 128).unwrap()],
    };
    coded.extend(text.as_bytes());
    coded
}

/// The headers of `POST https://localhost/webhook`.
pub fn http2_fields(token: &str) -> Vec<u8> {
    // :method POST and :scheme https, by RFC 7541's static table.
    let [authority, path] = [literal(":authority", "localhost"), literal(":path", "/webhook")];
    [vec![0x83, 0x87], authority, path, literal("authorization", &format!("Bearer {token}"))].concat()
}

/// A HEADERS frame with these headers.
pub fn http2_head(token: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, 1, &http2_fields(token))
}

/// Reads frames until `last` is true for one. Returns the type and the flags of each.
pub async fn frames_until(wire: &mut Wire, last: impl Fn(u8, u8) -> bool) -> Vec<(u8, u8)> {
    use tokio::io::AsyncReadExt;
    let mut frames = Vec::new();
    while !frames.last().is_some_and(|(kind, flags)| last(*kind, *flags)) {
        let mut head = [0; 9];
        let read = tokio::time::timeout(PATIENCE, wire.0.read_exact(&mut head)).await;
        read.expect("no such frame").unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        wire.0.read_exact(&mut vec![0; length as usize]).await.unwrap();
        frames.push((head[3], head[4]));
    }
    frames
}
