//! Changes of a request and of its credential.

use std::borrow::Cow;

use super::super::super::sign::Draft;

/// A copy of the request with these headers.
pub(super) fn with(draft: &Draft, headers: &[(&str, &str)]) -> anyhow::Result<Draft> {
    let mut draft = draft.clone();
    for (name, value) in headers {
        draft.set_header(&name.parse()?, *value);
    }
    Ok(draft)
}

/// The parts of a header's value that may be a signature.
pub(super) fn segments(value: &str) -> impl Iterator<Item = &str> {
    let is_border = |c: char| matches!(c, ',' | ';' | ' ' | '.' | '"');
    value.split(is_border).map(|part| {
        part.split_once('=').map_or(part, |(key, rest)| {
            if rest.len() > 2 {
                rest
            } else {
                let _ = key;
                part
            }
        })
    })
}

/// The part of a header's value that is most likely a signature.
pub(super) fn longest_segment(value: &str) -> Option<&str> {
    segments(value).filter(|text| text.len() >= 16).max_by_key(|text| text.len())
}

/// The value with another signature of the same form; `None` if it contains none.
pub(super) fn scrambled(value: &str) -> Option<String> {
    let longest = longest_segment(value)?;
    let is_hex = longest.chars().all(|c| c.is_ascii_hexdigit());
    let other = |c: char| match c {
        '0'..='8' | 'a'..='e' | 'A'..='E' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        '9' => '0',
        'f'..='y' | 'F'..='Y' if !is_hex => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        'f' => 'a',
        'F' => 'A',
        'z' => 'a',
        'Z' => 'A',
        _ => c,
    };
    // The last letter of base64 may carry unused bits, which must stay zero.
    let end = longest.trim_end_matches('=').len().saturating_sub(1);
    let (start, rest) = longest.split_at(end);
    let changed: Cow<'_, str> = start.chars().map(other).collect::<String>().into();
    let at = value.rfind(longest)?;
    let (before, after) = value.split_at(at);
    Some(format!("{before}{changed}{rest}{}", after.strip_prefix(longest)?))
}

/// The value with half of its signature; `None` if it contains none.
pub(super) fn truncated(value: &str) -> Option<String> {
    let longest = longest_segment(value)?;
    // A multiple of four letters is valid base64, and an even number valid hex.
    let half = longest.get(..longest.len() / 8 * 4)?;
    let at = value.rfind(longest)?;
    let (before, after) = value.split_at(at);
    Some(format!("{before}{half}{}", after.strip_prefix(longest)?))
}

/// The text with another letter or digit at this byte.
pub(super) fn changed_at(text: &str, at: usize) -> Option<String> {
    let (before, rest) = text.split_at_checked(at)?;
    let mut rest = rest.chars();
    let other = if rest.next()? == 'a' { 'b' } else { 'a' };
    Some(format!("{before}{other}{}", rest.as_str()))
}
