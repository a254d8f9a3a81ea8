//! Changes of a request and of its credential.

use super::super::super::sign::Draft;
use super::super::credential::parts;

/// A copy of the request with these headers.
pub(super) fn with(draft: &Draft, headers: &[(&str, &str)]) -> anyhow::Result<Draft> {
    let mut draft = draft.clone();
    for (name, value) in headers {
        draft.set_header(&name.parse()?, *value);
    }
    Ok(draft)
}

/// The request without these headers.
pub(super) fn without(draft: &Draft, is_removed: impl Fn(&str) -> bool) -> Draft {
    let mut draft = draft.clone();
    draft.headers.retain(|(name, _)| !is_removed(name));
    draft
}

/// Shortest text that may be a signature.
const SHORTEST: usize = 16;

/// The part of a header's value that is most likely a signature.
pub(super) fn longest_part(value: &str) -> Option<&str> {
    parts(value).filter(|text| text.len() >= SHORTEST).max_by_key(|text| text.len())
}

/// The value with other signatures of the same form; `None` if it contains none.
pub(super) fn scrambled(value: &str) -> Option<String> {
    longest_part(value)?;
    let mut changed = value.to_owned();
    for part in parts(value).filter(|text| text.len() >= SHORTEST) {
        changed = changed.replace(part, &other(part));
    }
    Some(changed)
}

/// The value with half of one signature, and others of the same form for the rest; `None` if it contains none.
pub(super) fn truncated(value: &str) -> Option<String> {
    let longest = longest_part(value)?;
    // A multiple of four letters is valid base64, and an even number valid hex.
    let half = longest.get(..longest.len() / 8 * 4)?;
    let mut changed = value.to_owned();
    for part in parts(value).filter(|text| text.len() >= SHORTEST && *text != longest) {
        changed = changed.replace(part, &other(part));
    }
    Some(changed.replace(longest, half))
}

/// Another text of the same alphabet. The last letter stays: in base64 it may carry unused bits, which must be zero.
fn other(part: &str) -> String {
    let is_hex = part.chars().all(|c| c.is_ascii_hexdigit());
    let next = |c: char| match c {
        '0'..='8' | 'a'..='e' | 'A'..='E' => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        '9' => '0',
        'f'..='y' | 'F'..='Y' if !is_hex => char::from_u32(u32::from(c) + 1).unwrap_or(c),
        'f' => 'a',
        'F' => 'A',
        'z' => 'a',
        'Z' => 'A',
        _ => c,
    };
    let (start, last) = part.split_at(part.trim_end_matches('=').len().saturating_sub(1));
    start.chars().map(next).collect::<String>() + last
}

/// The text with another letter or digit at this byte.
pub(super) fn changed_at(text: &str, at: usize) -> Option<String> {
    let (before, rest) = text.split_at_checked(at)?;
    let mut rest = rest.chars();
    let other = if rest.next()? == 'a' { 'b' } else { 'a' };
    Some(format!("{before}{other}{}", rest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_of_a_header_is_changed() {
        let value = "t=1790000000,v1=0123456789abcdef01234567,v0=aaaaaaaaaaaaaaaabbbb";
        let changed = scrambled(value).unwrap();
        assert!(changed.starts_with("t=1790000000,v1="), "{changed}");
        assert!(!changed.contains("0123456789abcdef") && !changed.contains("aaaaaaaaaaaa"), "{changed}");
        let cut = truncated(value).unwrap();
        assert!(!cut.contains("aaaaaaaaaaaa") && cut.contains("v1=0123456789ab,"), "{cut}");
        assert_eq!(scrambled("t=1,v1=short"), None);
    }
}
