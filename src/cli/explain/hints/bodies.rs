//! Candidates for the body as it was signed: each undoes a change that proxies, frameworks and editors make.

mod json;
mod tree;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use tree::split_end;

/// How many bytes are written for the candidates of one body. Those with the fewest changes come first.
const MAX_BYTES: usize = 256 << 20;

/// Candidates, each once: what was changed, with the body as it was before that.
pub(super) fn variants(body: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut seen = HashSet::from([hash(body)]);
    let mut written = 0_usize;
    let text = std::str::from_utf8(body).ok();
    let others = plain(body).into_iter().map(|(what, body)| (what.to_owned(), body));
    let bounded = others.chain(text.into_iter().flat_map(json::variants)).take_while(move |(_, variant)| {
        let before = written;
        written = written.saturating_add(variant.len());
        before < MAX_BYTES
    });
    bounded.filter(move |(_, variant)| seen.insert(hash(variant)))
}

fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

/// The changes that are not those of a JSON serializer alone.
fn plain(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut variants = vec![
        ("its final newline (LF) was removed", [body, b"\n"].concat()),
        ("its final newline (CRLF) was removed", [body, b"\r\n"].concat()),
        ("a final newline was added", split_end(body).0.to_vec()),
        ("its line endings were changed from CRLF to LF", replaced(body, b"\n", b"\r\n")),
        ("its line endings were changed from LF to CRLF", replaced(body, b"\r\n", b"\n")),
        ("its byte order mark was removed", [b"\xef\xbb\xbf", body].concat()),
    ];
    let latin: String = body.iter().copied().map(char::from).collect();
    variants.push(("it was re-encoded from UTF-8 to ISO-8859-1", latin.into_bytes()));
    if let Ok(text) = std::str::from_utf8(body) {
        let latin: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
        variants.extend(latin.map(|body| ("it was re-encoded from ISO-8859-1 to UTF-8", body)));
        let spaces = "its spaces were re-encoded: `+` and `%20` are the same in a form, and not in what is signed";
        variants.push((spaces, text.replace("%20", "+").into()));
        variants.push((spaces, text.replace('+', "%20").into()));
    }
    variants
}

/// The body with lines that end in `to` instead of `from`.
fn replaced(body: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let changed = lines.flat_map(|line| match line.strip_suffix(from) {
        Some(bare) => [bare, to].concat(),
        None => line.to_vec(),
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_replaced_at_the_ends_of_lines() {
        assert_eq!(replaced(b"a\nb\r\n", b"\n", b"\r\n"), b"a\r\nb\r\r\n");
        assert_eq!(split_end(b"a\r\n"), (&b"a"[..], &b"\r\n"[..]));
    }

    /// Each is verified with every secret: a body without anything to respell has few.
    #[test]
    fn no_candidate_occurs_twice_and_their_number_is_bounded() {
        for (body, most) in [
            ("{}", 40),
            ("{\"a\":1,\"b\":[2]}", 100),
            ("{ \"b\": \"\\u00e9/<\", \"a\": [1, {}] }\n", 1500),
            ("a=b", 10),
        ] {
            let all: Vec<_> = variants(body.as_bytes()).map(|(_, variant)| variant).collect();
            let distinct: HashSet<_> = all.iter().collect();
            assert!(distinct.len() == all.len() && all.len() <= most, "{body}: {}", all.len());
            assert!(!distinct.contains(&body.as_bytes().to_vec()), "{body}");
        }
    }
}
