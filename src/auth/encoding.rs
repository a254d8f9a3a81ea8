//! Text encodings of bytes, for signatures and hashes. Exactly one spelling of each is accepted.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Deserialize;

/// Encoding of a signature or a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal in lower case.
    Hex,
    /// Hexadecimal in capitals, as .NET and Elixir write it.
    #[serde(rename = "hex_upper")]
    HexUpper,
    /// Base64.
    Base64,
    /// Base64 for URLs and file names (RFC 4648 §5).
    Base64Url,
    /// Base64 of the hexadecimal text in lower case.
    #[serde(rename = "base64_of_hex")]
    Base64OfHex,
}

impl Encoding {
    /// Decodes strictly: hex in one case, base64 without unused bits and with exactly the padding that belongs to it.
    /// One signature therefore has one spelling (most SDKs compare text, to which two spellings are two signatures).
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex if text.bytes().any(|byte| byte.is_ascii_uppercase()) => None,
            Self::HexUpper if text.bytes().any(|byte| byte.is_ascii_lowercase()) => None,
            Self::Hex | Self::HexUpper => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text).ok(),
            Self::Base64OfHex => Self::Hex.decode(std::str::from_utf8(&STANDARD.decode(text).ok()?).ok()?),
        }
    }

    /// Encodes bytes in the one spelling that [`Self::decode`] accepts.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::HexUpper => hex::encode_upper(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
            Self::Base64OfHex => STANDARD.encode(hex::encode(bytes)),
        }
    }
}

/// CRC-32 as in zlib and PNG (RFC 1952 §8), by half bytes.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];
    let step = |crc: u32, half: u8| {
        let [low, ..] = crc.to_le_bytes();
        TABLE.get(usize::from((low ^ half) & 15)).copied().unwrap_or_default() ^ (crc >> 4)
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| step(step(crc, *byte), byte >> 4))
}
