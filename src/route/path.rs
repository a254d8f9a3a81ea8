//! Validation of a request's path. Routes are matched by its decoded form; the upstream gets it as received.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Characters that code pages of Windows turn into `/` or `\`, and NFKC into themselves.
const BEST_FIT: &[char] = &['\u{2044}', '\u{2215}', '\u{2216}', '\u{a5}', '\u{20a9}'];

/// The upstream could read the path differently from hookgate; the cause, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousPath(pub &'static str);

/// Rejects paths that proxies and upstreams are known to read differently: those with dot segments, empty segments,
/// `\`, `;`, raw non-ASCII or control bytes, or percent-encodings that are broken, doubled, not UTF-8, or stand for one
/// of those, for a delimiter or for a look-alike of one (RFC 3986 §2.2, §3.3; Istio CVE-2021-31920, Oathkeeper
/// CVE-2026-33494).
///
/// Returns the path decoded, as an upstream reads it. Routes are matched by that form: otherwise `/%61dmin` would
/// bypass the route that protects `/admin`.
///
/// # Errors
/// [`AmbiguousPath`].
pub fn validate_path(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    let inside = path.strip_prefix('/').ok_or(AmbiguousPath("no `/` at the beginning"))?;
    let decoded = decode_strictly(inside)?;
    if has_look_alikes(&decoded) {
        return Err(AmbiguousPath("a look-alike of a delimiter"));
    }
    let segments = decoded.split('/');
    let last = segments.clone().count().saturating_sub(1);
    for (index, segment) in segments.enumerate() {
        // Only the last segment may be empty: `/hooks/` is a valid path, `/hooks//x` is ambiguous.
        if segment == "." || segment == ".." {
            return Err(AmbiguousPath("a dot segment"));
        }
        if segment.is_empty() && index != last {
            return Err(AmbiguousPath("an empty segment (`//`)"));
        }
    }
    Ok(if decoded == inside { Cow::Borrowed(path) } else { Cow::Owned(format!("/{decoded}")) })
}

/// Validates a path with encoded slashes, each read as `/`. Returns that reading, by which the route is found: a longer
/// prefix than in the other reading, in which `%2F` is part of a segment, or the same.
///
/// # Errors
/// [`AmbiguousPath`], if [`validate_path`] rejects that reading, the first slash is encoded, or there is no encoded slash.
pub fn validate_slashes(path: &str) -> Result<String, AmbiguousPath> {
    let slashed = path.replace("%2F", "/").replace("%2f", "/");
    if slashed == path || !path.starts_with('/') {
        return Err(AmbiguousPath("no encoded slash that could be a separator"));
    }
    validate_path(&slashed).map(Cow::into_owned)
}

/// Whether a character becomes a delimiter of paths where an application normalizes text (Unicode NFKC: U+FF0F is `/`,
/// U+2025 is `..`) or converts it to a legacy code page (best-fit mapping on Windows: U+2215 is `/`, U+00A5 is `\`).
fn has_look_alikes(path: &str) -> bool {
    if path.is_ascii() {
        return false;
    }
    let others: String = path.chars().filter(|character| !character.is_ascii()).collect();
    let normalized = ComposingNormalizerBorrowed::new_nfkc().normalize(&others);
    normalized.contains(['/', '\\', '.', '%', ';', '#', '?']) || normalized.contains(BEST_FIT)
}

fn decode_strictly(path: &str) -> Result<String, AmbiguousPath> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => decoded.push(decode_escape(bytes.next(), bytes.next())?),
            b'\\' | b';' | b'#' | b'?' | 0x00..=0x20 | 0x7f..=0xff => {
                return Err(AmbiguousPath("one of `\\ ; # ?`, or a byte that must be percent-encoded"));
            }
            plain => decoded.push(plain),
        }
    }
    String::from_utf8(decoded).map_err(|_| AmbiguousPath("percent-encoded bytes that are not UTF-8"))
}

/// Decodes a percent-encoding, which may stand for a letter or a space, but not for a byte with a meaning in paths.
fn decode_escape(high: Option<u8>, low: Option<u8>) -> Result<u8, AmbiguousPath> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let broken = AmbiguousPath("a broken percent-encoding");
    let (high, low) = (digit(high).ok_or(broken)?, digit(low).ok_or(broken)?);
    match u8::try_from(high * 16 + low).map_err(|_| broken)? {
        b'/' | b'\\' | b'.' | b'%' | b';' | b'#' | b'?' | 0x00..=0x1f | 0x7f => {
            Err(AmbiguousPath("a percent-encoded delimiter, dot or control character"))
        }
        byte => Ok(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_pass() {
        for path in [
            "/",
            "/webhook",
            "/hooks/",
            "/a-b_c~d/e.f/g..h",
            "/a%20b",
            "/%C3%A9",
            "/%E6%97%A5%E6%9C%AC",
            "/%EF%BC%9Aa",
            "/a:b@c!$&'()*+,=",
            "/%41",
        ] {
            assert!(validate_path(path).is_ok(), "{path}");
        }
    }

    /// Istio CVE-2021-31920, CVE-2021-39156, Oathkeeper CVE-2026-33494, Envoy CVE-2026-73511.
    #[test]
    fn ambiguous_paths_are_rejected() {
        let paths = [
            "",
            "*",
            "x",
            "/..",
            "/../a",
            "/a/../b",
            "/a/.",
            "/./a",
            "//",
            "//a",
            "/a//b",
            "/a\\b",
            "/a/%2e%2e/b",
            "/%2E",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/%252e",
            "/%25",
            "/%c0%ae",
            "/%u002e",
            "/%",
            "/%4",
            "/%zz",
            "/a;b",
            "/..;x/a",
            "/a%3Bb",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/a%23",
            "/a%3f",
            "/é",
            "/a b",
            "/%ff",
            // U+FF0F, U+FF3C, U+FF0E, U+2025, U+FF1B, U+FF1F, U+2215, U+2044, U+00A5 and U+2100, which become `/`, `\`, `.`,
            // `..`, `;`, `?`, `/`, `/`, `\` and `a/c`.
            "/a%EF%BC%8Fb",
            "/a%EF%BC%BCb",
            "/%EF%BC%8E%EF%BC%8E",
            "/%E2%80%A5",
            "/a%EF%BC%9Bb",
            "/a%EF%BC%9Fb",
            "/a%E2%88%95b",
            "/a%E2%81%84b",
            "/a%C2%A5b",
            "/%E2%84%80",
        ];
        for path in paths {
            assert!(validate_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn encoded_slashes_are_read_as_slashes() {
        for (path, read) in
            [("/a%2Fb", "/a/b"), ("/a%2fb/c%2F", "/a/b/c/"), ("/%61%2f%C3%A9", "/a/é"), ("/a%2Fb%20c..d", "/a/b c..d")]
        {
            assert_eq!(validate_slashes(path), Ok(read.to_owned()), "{path}");
            assert!(validate_path(path).is_err(), "{path}");
        }
        for path in [
            "/a",
            "/%2Fa",
            "/a%2F/b",
            "/a%2f%2Fb",
            "/a%2F..%2Fb",
            "/a%2F%2e%2e%2Fb",
            "/..%2fa",
            "/a%2F.",
            "/a%2Fb%5Cc",
            "/a%2Fb\\c",
            "/a%2F%252F",
            "/a%25%32%46b",
            "/a%2F;b",
            "/a%2F%3Fb",
            "/a%2F%00",
            "/a%2Fb%EF%BC%8Fc",
            "/%2",
            "%2Fa",
        ] {
            assert!(validate_slashes(path).is_err(), "{path}");
        }
    }

    proptest::proptest! {
        /// Both readings of an accepted path are paths that are accepted where they are written plainly.
        #[test]
        fn a_path_with_encoded_slashes_has_two_accepted_readings(path in "/([a%.;/]|%2[eEfF5]|%5[cC]){0,8}") {
            if let Ok(read) = validate_slashes(&path) {
                proptest::prop_assert!(validate_path(&read) == Ok(Cow::Borrowed(&*read)));
                let segment = path.replace("%2F", "_").replace("%2f", "_");
                proptest::prop_assert!(validate_path(&segment).is_ok());
            }
        }

        #[test]
        fn any_text_is_parsed_without_panic(path in ".*") {
            let _ = validate_path(&path);
        }

        /// An accepted path means the same to an upstream that decodes it once before it splits it.
        #[test]
        fn accepted_paths_have_one_meaning(path in "/[a-z%2eEfF./;]{0,12}") {
            if validate_path(&path).is_ok() {
                proptest::prop_assert!(!path.to_lowercase().contains("%2e") && !path.contains("/../"));
            }
        }
    }
}
