//! Parsers for durations, sizes, rates, CIDR ranges, secrets, pins and URLs of key sets. No I/O.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::uri::Authority;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::auth::request::PublicUrl;
use crate::clock::UnixTime;
use crate::route::{Rate, WebOrigin};
use crate::settings::is_fetchable;

/// The longest duration that makes sense in a configuration: ten years.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The encoding of a shared secret
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretEncoding {
    /// The bytes as they are.
    #[default]
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64 with or without the prefix `whsec_` (Standard Webhooks).
    Whsec,
}

/// Units of durations that are written, in milliseconds, the largest first. A day is written as hours, like the other
/// settings.
const DURATIONS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of sizes in bytes, the largest first.
const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `500ms`, `30s`, `5m`, `24h`, `7d`: a whole number and one unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, scale) = split_number(text, DURATIONS.iter().chain(&[("d", 24 * 3_600_000)]))?;
    let duration = Duration::from_millis(number.checked_mul(scale)?);
    Some(duration).filter(|duration| *duration <= MAX_DURATION)
}

/// `512B`, `64KiB`, `1MiB`, `2GiB` in bytes: a whole number and one unit.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, scale) = split_number(text, SIZES)?;
    number.checked_mul(scale)
}

/// `100/s`, `30/m`, `5/h`: the count, and the number of seconds that it applies to.
pub fn parse_rate(text: &str) -> Option<(u32, u32)> {
    let (number, seconds) = split_number(text, &[("/s", 1), ("/m", 60), ("/h", 3600)])?;
    let count = u32::try_from(number).ok().filter(|count| (1..=Rate::MAX).contains(count))?;
    Some((count, seconds))
}

/// A duration in its largest whole unit: the opposite of [`parse_duration`].
pub fn write_duration(duration: Duration) -> String {
    write_number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATIONS)
}

/// A size in its largest whole unit: the opposite of [`parse_size`].
pub fn write_size(bytes: u64) -> String {
    write_number(bytes, SIZES)
}

fn write_number(number: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, scale)| number.is_multiple_of(*scale) && number >= *scale);
    let (unit, scale) = unit.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{unit}", number / scale)
}

/// The number, and the value of its unit.
fn split_number<'u, N: Copy + 'u>(text: &str, units: impl IntoIterator<Item = &'u (&'u str, N)>) -> Option<(u64, N)> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let (_, scale) = units.into_iter().find(|(name, _)| *name == unit)?;
    Some((number.parse().ok()?, *scale))
}

/// Why a text is not a CIDR range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANet {
    /// Neither an IP address nor an IP address with a prefix length.
    #[error("expected an IP address such as 192.0.2.7, or a CIDR range such as 203.0.113.0/24 or 2001:db8::/32")]
    Unreadable,
    /// A single address with a short prefix, which would accept the whole range.
    #[error("has host bits set; use {net} for the CIDR range, or {address} for this address alone")]
    HostBits {
        /// The CIDR range that contains the address.
        net: IpNet,
        /// The address before the `/`.
        address: IpAddr,
    },
    /// An IPv4 client is compared by its IPv4 address, so that this range would match no client.
    #[error("is IPv4-mapped IPv6; use {0}")]
    Mapped(IpNet),
}

/// Parses a host name without port and wildcard, into lower case.
pub fn parse_host(text: &str) -> Option<String> {
    let plain = Authority::try_from(text).is_ok_and(|authority| authority.host() == text);
    (plain && !text.ends_with('.') && !text.contains('*')).then(|| text.to_ascii_lowercase())
}

/// `203.0.113.0/24`, `2001:db8::/32`, or one address.
///
/// # Errors
/// [`NotANet`]: why the text is neither.
pub fn parse_net(text: &str) -> Result<IpNet, NotANet> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    // The parser of `ipnet` accepts 010.0.0.1, which other parsers read as octal.
    let address: IpAddr = address.parse().map_err(|_| NotANet::Unreadable)?;
    let net = match prefix {
        None => IpNet::from(address),
        Some(prefix) => {
            prefix_length(prefix).and_then(|length| IpNet::new(address, length).ok()).ok_or(NotANet::Unreadable)?
        }
    };
    if let Some(v4) = mapped(net) {
        return Err(NotANet::Mapped(v4));
    }
    if net.addr() != net.network() {
        return Err(NotANet::HostBits { net: net.trunc(), address });
    }
    Ok(net)
}

fn prefix_length(text: &str) -> Option<u8> {
    // Only one spelling is accepted: no sign, no leading zero.
    text.parse().ok().filter(|length: &u8| length.to_string() == text)
}

fn mapped(net: IpNet) -> Option<IpNet> {
    let length = net.prefix_len().checked_sub(96)?;
    match (net.addr(), net.addr().to_canonical()) {
        (IpAddr::V6(_), v4 @ IpAddr::V4(_)) => IpNet::new(v4, length).ok().map(|net| net.trunc()),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => None,
    }
}

/// Decodes the contents of a file or environment variable, without one line break at the end. `None` if they are not
/// valid in the encoding.
pub fn decode_secret(raw: &[u8], encoding: SecretEncoding) -> Option<Zeroizing<Vec<u8>>> {
    let line = raw.strip_suffix(b"\n").map_or(raw, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let base64 = |text| STANDARD.decode(text).ok().map(Zeroizing::new);
    match encoding {
        SecretEncoding::Utf8 => Some(Zeroizing::new(line.to_vec())),
        SecretEncoding::Hex => decode_hex(line),
        SecretEncoding::Base64 => base64(line),
        SecretEncoding::Whsec => base64(line.strip_prefix(b"whsec_").unwrap_or(line)),
    }
}

/// The problem of a shared secret that is a key file.
pub const KEY_FILE: &str = "holds a key or certificate in PEM or JWK form, not a shared secret: with a public key as the \
                            secret every client could sign; use `public_key` or `jwks`, or the shared secret itself";

/// Whether the text is a key or certificate in PEM form (RFC 7468), or a JSON Web Key or key set (RFC 7517).
pub fn is_key_file(text: &[u8]) -> bool {
    let has = |part: &str| memchr::memmem::find(text, part.as_bytes()).is_some();
    has("-----BEGIN ") || text.trim_ascii_start().starts_with(b"{") && has("\"kty\"")
}

/// The secret without a byte order mark, and without quotes and white space around it; `None` if it has none of these.
pub fn cleaned_secret(raw: &[u8]) -> Option<&[u8]> {
    let line = raw.strip_suffix(b"\n").map_or(raw, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    let unquoted = [b"\"", b"'"].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    let text = unquoted.unwrap_or(text);
    (text.len() < line.len() && !text.is_empty()).then_some(text)
}

/// Whether the text is a line of an environment file, as `WEBHOOK_SECRET=…`: a name in capitals with a `_`. Secrets in
/// base64 end in `=` or `==`.
pub fn is_assignment(raw: &[u8]) -> bool {
    let raw = raw.strip_prefix(b"export ").unwrap_or(raw);
    let (name, value) = raw.split_at(raw.iter().position(|byte| *byte == b'=').unwrap_or_default());
    let is_name = name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    is_name && name.contains(&b'_') && !value.trim_ascii_end().iter().all(|byte| *byte == b'=')
}

/// A method in capitals that a route may match: not CONNECT and TRACE.
pub fn parse_method(name: &str) -> Option<Method> {
    let method = Method::from_bytes(name.as_bytes()).ok()?;
    let is_upper = !name.bytes().any(|byte| byte.is_ascii_lowercase());
    (is_upper && method != Method::CONNECT && method != Method::TRACE).then_some(method)
}

/// The URL under which senders know a route: no user, query and fragment.
pub fn parse_public_url(text: &str) -> Option<PublicUrl> {
    let uri: http::Uri = text.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "https" | "http"))?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let prefix = uri.path().trim_end_matches('/');
    (uri.query().is_none() && !text.contains('#')).then(|| PublicUrl {
        scheme: scheme.to_owned(),
        authority: authority.as_str().to_owned(),
        prefix: prefix.to_owned(),
    })
}

/// An origin in the one form in which browsers send it (RFC 6454 §6.2).
pub fn parse_origin(text: &str) -> Option<WebOrigin> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    (url.origin().ascii_serialization() == text).then(|| WebOrigin(text.to_owned()))
}

/// The end of a day in UTC, such as 2026-12-31.
pub fn end_of_day(day: &str) -> Option<UnixTime> {
    let begins: jiff::Timestamp = if day.len() == 10 { format!("{day}T00:00:00Z").parse().ok()? } else { return None };
    Some(UnixTime::from_seconds(u64::try_from(begins.as_second()).ok()?)?.plus(Duration::from_secs(24 * 3600)))
}

/// `sha256/` and the base64 of 32 bytes, with padding: the hash of a pinned public key (RFC 7469 §2.4).
pub fn parse_pin(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.strip_prefix("sha256/")?).ok()?.try_into().ok()
}

/// URL of an issuer's discovery document (OpenID Connect Discovery 1.0 §4): below its `iss`, which must be a URL that
/// hookgate may fetch from, without query and fragment.
pub fn discovery_address(iss: &str, insecure_http: bool) -> Option<String> {
    let fetchable = is_fetchable(iss, insecure_http) && !iss.contains(['?', '#', '{']);
    fetchable.then(|| format!("{}/.well-known/openid-configuration", iss.strip_suffix('/').unwrap_or(iss)))
}

/// Allocates once: a vector that grows would leave parts of the secret in freed memory.
fn decode_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut decoded = Zeroizing::new(vec![0; text.len() / 2]);
    hex::decode_to_slice(text, &mut decoded).ok()?;
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("24h"), Some(Duration::from_secs(86_400)));
        for text in ["", "5", "s", "-5s", "5 s", "1h30m", "1.5h", "99999999999999999999s", "400000000s", "5S"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("1MiB"), Some(1 << 20));
        assert_eq!(parse_size("512B"), Some(512));
        for text in ["1MB", "1", "MiB", "99999999999999999999GiB", "99999999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn rates_have_a_time() {
        let read = ["100/s", "30/m", "1/h", "1000000/s"].map(parse_rate);
        assert_eq!(read, [Some((100, 1)), Some((30, 60)), Some((1, 3600)), Some((1_000_000, 1))]);
        for text in ["", "100", "/s", "0/s", "-1/s", "1.5/s", "1 /s", "1/d", "1/sec", "1/ s", "1000001/s", "1/S"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn a_discovery_document_stands_below_the_issuer() {
        let at =
            |iss: &str| discovery_address(iss, false).map(|url| url.replace("/.well-known/openid-configuration", "@"));
        assert_eq!(at("https://issuer.test").as_deref(), Some("https://issuer.test@"));
        assert_eq!(at("https://issuer.test/").as_deref(), Some("https://issuer.test@"));
        assert_eq!(at("https://issuer.test/realms/a/").as_deref(), Some("https://issuer.test/realms/a@"));
        assert_eq!(at("http://127.0.0.1:8080/a").as_deref(), Some("http://127.0.0.1:8080/a@"));
        for iss in [
            "http://issuer.test/",
            "https://issuer.test/?a",
            "https://issuer.test/#a",
            "https://a/{tenantid}",
            "acme",
            "none",
            "",
        ] {
            assert_eq!(at(iss), None, "{iss}");
        }
    }

    /// A pin has one spelling: unused bits and other alphabets are typing errors.
    #[test]
    fn pins_are_the_canonical_base64_of_32_bytes() {
        let written = |base64: &str| parse_pin(&format!("sha256/{base64}"));
        assert_eq!(
            written(&format!("{}E=", "A".repeat(42))),
            Some([[0; 31].as_slice(), &[1]].concat().try_into().unwrap())
        );
        let bad = ["", "AAAA", &"A".repeat(43), &format!("{}B=", "A".repeat(42)), &format!("{}==", "A".repeat(42))];
        for base64 in
            bad.into_iter().chain([format!("{}_8=", "A".repeat(41)).as_str(), &format!(" {}A=", "A".repeat(42))])
        {
            assert_eq!(written(base64), None, "{base64}");
        }
        assert_eq!(parse_pin(&format!("{}A=", "A".repeat(42))), None);
        assert_eq!(parse_pin(&format!("sha1/{}A=", "A".repeat(42))), None);
    }

    #[test]
    fn cidr_ranges_have_one_spelling() {
        let read = |text: &str| parse_net(text).map(|net| net.to_string()).map_err(|why| why.to_string());
        for (text, net) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(read(text), Ok(net.to_owned()));
        }
        for text in
            ["", "/", "10", "10.0.0/8", "010.0.0.0/8", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/33", " ::1", "::/129"]
        {
            assert_eq!(parse_net(text), Err(NotANet::Unreadable), "{text}");
        }
        let host_bits =
            "has host bits set; use 203.0.113.0/24 for the CIDR range, or 203.0.113.5 for this address alone";
        assert_eq!(read("203.0.113.5/24"), Err(host_bits.to_owned()));
        for (text, v4) in [("::ffff:192.0.2.7", "192.0.2.7/32"), ("::ffff:10.0.0.0/104", "10.0.0.0/8")] {
            assert_eq!(read(text), Err(format!("is IPv4-mapped IPv6; use {v4}")));
        }
    }

    #[test]
    fn secrets_are_decoded_as_they_are_written() {
        let decoded = |raw: &str, encoding| decode_secret(raw.as_bytes(), encoding).map(|secret| secret.to_vec());
        assert_eq!(decoded("a b\r\n", SecretEncoding::Utf8), Some(b"a b".to_vec()));
        assert_eq!(decoded("00fF\n", SecretEncoding::Hex), Some(vec![0, 255]));
        assert_eq!(decoded("AP8=", SecretEncoding::Base64), Some(vec![0, 255]));
        assert_eq!(decoded("whsec_AP8=", SecretEncoding::Whsec), Some(vec![0, 255]));
        assert_eq!(decoded("AP8=", SecretEncoding::Whsec), Some(vec![0, 255]));
        assert_eq!(decoded("whpk_AP8=", SecretEncoding::Whsec), None);
        assert_eq!(decoded("0", SecretEncoding::Hex), None);
    }
}
