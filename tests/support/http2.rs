//! HTTP/2 frames by hand, for clients that misbehave or look closely.

use super::{PATIENCE, Wire};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame (RFC 9113 §6.5).
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// HEADERS of `POST https://localhost/webhook`, without Huffman coding, by RFC 7541's static table.
pub fn http2_head(token: &str, flags: u8) -> Vec<u8> {
    let literal = |index: u8, value: &str| {
        assert!(value.len() >= 127 || index > 0);
        let mut field = vec![index];
        let length = value.len();
        if length < 127 {
            field.push(u8::try_from(length).unwrap());
        } else {
            let rest = length - 127;
            field.extend([127, u8::try_from(rest % 128).unwrap() | 128, u8::try_from(rest / 128).unwrap()]);
        }
        field.extend(value.as_bytes());
        field
    };
    // :method POST (3), :scheme https (7), :authority (1), :path (4), authorization (23 = 15 + 8).
    let mut block = vec![0x83, 0x87];
    block.extend(literal(0x01, "localhost"));
    block.extend(literal(0x04, "/webhook"));
    let mut authorization = literal(0x0f, &format!("Bearer {token}"));
    authorization.splice(0..1, [0x0f, 8]);
    block.extend(authorization);
    frame(1, flags, 1, &block)
}

/// The frames that come, each with its type and flags, until one is `(kind, flags)`.
pub async fn frames_until(wire: &mut Wire, kind: u8, flags: u8) -> Vec<(u8, u8)> {
    use tokio::io::AsyncReadExt;
    let mut frames = Vec::new();
    while frames.last() != Some(&(kind, flags)) {
        let mut head = [0; 9];
        let read = tokio::time::timeout(PATIENCE, wire.0.read_exact(&mut head)).await;
        read.expect("no such frame").unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        wire.0.read_exact(&mut vec![0; length as usize]).await.unwrap();
        frames.push((head[3], head[4]));
    }
    frames
}
