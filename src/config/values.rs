//! Durations, sizes, secrets, pins and addresses of keys as they are written. Pure.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::file::EncodingFile;

/// The longest duration that makes sense in a configuration: ten years.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// `500ms`, `30s`, `5m`, `24h`, `7d`: a whole number and one unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_number(text)?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(24 * 3600)?),
        _ => return None,
    };
    Some(duration).filter(|duration| *duration <= MAX_DURATION)
}

/// `512B`, `64KiB`, `1MiB`, `2GiB` in bytes: a whole number and one unit.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(scale)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// A secret out of what a file or variable holds. `None` where it does not follow its encoding.
pub fn decode_secret(raw: &[u8], encoding: EncodingFile) -> Option<Zeroizing<Vec<u8>>> {
    let line = raw.strip_suffix(b"\n").map_or(raw, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let decoded = match encoding {
        EncodingFile::Utf8 => line.to_vec(),
        EncodingFile::Hex => decode_hex(line)?,
        EncodingFile::Base64 => STANDARD.decode(line).ok()?,
        EncodingFile::Whsec => STANDARD.decode(line.strip_prefix(b"whsec_")?).ok()?,
    };
    Some(Zeroizing::new(decoded))
}

/// `sha256/` and the base64 of 32 bytes, with its padding: the hash of a pin (RFC 7469 §2.4).
pub fn parse_pin(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text.strip_prefix("sha256/")?).ok()?.try_into().ok()
}

/// An https address.
pub fn is_https(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}

/// An address that we fetch from: https, or http on loopback, without user and password.
pub fn is_https_or_loopback(url: &str) -> bool {
    // What is fetched is the text as it stands, by a stricter reader.
    let as_it_stands = url.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.authority().is_some());
    let Some(url) = url::Url::parse(url).ok().filter(|_| as_it_stands) else { return false };
    let plain = url.username().is_empty() && url.password().is_none();
    let loopback = || match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    plain && url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && loopback()))
}

/// Where the discovery document of an issuer is (OpenID Connect Discovery 1.0 §4): below its `iss`, which must be an
/// address that we fetch from, without query and fragment.
pub fn discovery_address(iss: &str) -> Option<String> {
    let fetchable = is_https_or_loopback(iss) && !iss.contains(['?', '#']);
    fetchable.then(|| format!("{}/.well-known/openid-configuration", iss.strip_suffix('/').unwrap_or(iss)))
}

fn decode_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
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
    fn keys_are_fetched_from_https_or_from_loopback() {
        for good in ["https://issuer.test/jwks?a=1", "https://10.0.0.1:8443", "http://127.0.0.2/", "http://[::1]:80/"] {
            assert!(is_https_or_loopback(good), "{good}");
        }
        for bad in
            ["http://issuer.test/", "https:issuer.test", "https:issuer.test/jwks", "//issuer.test/", "issuer.test"]
        {
            assert!(!is_https_or_loopback(bad), "{bad}");
        }
        for bad in ["https://a:b@issuer.test/", "http://127.0.0.1@issuer.test/", "ftp://127.0.0.1/", "file:///jwks", ""]
        {
            assert!(!is_https_or_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn a_discovery_document_stands_below_the_issuer() {
        let at = |iss: &str| discovery_address(iss).map(|url| url.replace("/.well-known/openid-configuration", "@"));
        assert_eq!(at("https://issuer.test").as_deref(), Some("https://issuer.test@"));
        assert_eq!(at("https://issuer.test/").as_deref(), Some("https://issuer.test@"));
        assert_eq!(at("https://issuer.test/realms/a/").as_deref(), Some("https://issuer.test/realms/a@"));
        assert_eq!(at("http://127.0.0.1:8080/a").as_deref(), Some("http://127.0.0.1:8080/a@"));
        for iss in ["http://issuer.test/", "https://issuer.test/?a", "https://issuer.test/#a", "acme", "none", ""] {
            assert_eq!(at(iss), None, "{iss}");
        }
    }

    /// One pin, one spelling: unused bits and other alphabets are typing errors.
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
    fn secrets_are_decoded_as_they_are_written() {
        let decoded = |raw: &str, encoding| decode_secret(raw.as_bytes(), encoding).map(|secret| secret.to_vec());
        assert_eq!(decoded("a b\r\n", EncodingFile::Utf8), Some(b"a b".to_vec()));
        assert_eq!(decoded("00fF\n", EncodingFile::Hex), Some(vec![0, 255]));
        assert_eq!(decoded("AP8=", EncodingFile::Base64), Some(vec![0, 255]));
        assert_eq!(decoded("whsec_AP8=", EncodingFile::Whsec), Some(vec![0, 255]));
        assert_eq!(decoded("AP8=", EncodingFile::Whsec), None);
        assert_eq!(decoded("0", EncodingFile::Hex), None);
    }
}
