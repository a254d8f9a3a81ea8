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
