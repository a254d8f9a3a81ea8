//! A JSON text of which single values are read by their pointers, so that what no rule looks at need not be readable:
//! senders cut text inside an emoji, nest deeply, and repeat members elsewhere. All tokens must be valid (RFC 8259), and
//! the way to a value unambiguous: of two members of one name, or of names that differ in case alone, which Go takes for
//! one, a reader could choose either. No I/O.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::json::parse_value;

/// Maximum nesting, of which Python's reader is the limit.
const MAX_NESTING: usize = 1000;

/// A value in a JSON text.
#[derive(Clone, Copy, Debug)]
pub struct JsonText<'b> {
    whole: &'b [u8],
    start: usize,
    end: usize,
}

/// Why a text or a value in it cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {at}")]
pub struct JsonError {
    /// Index of the byte.
    pub at: usize,
    /// The cause.
    pub what: &'static str,
}

const fn error(at: usize, what: &'static str) -> JsonError {
    JsonError { at, what }
}

impl<'b> JsonText<'b> {
    /// Checks every token of a text that is one JSON value.
    ///
    /// # Errors
    /// [`JsonError`] for anything else, and for invalid UTF-8 and more than 1,000 levels.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, JsonError> {
        if let Err(invalid) = std::str::from_utf8(bytes) {
            return Err(error(invalid.valid_up_to(), "not UTF-8"));
        }
        let scanner = Scanner(bytes);
        let start = scanner.space(0);
        let end = scanner.value(start)?;
        let rest = scanner.space(end);
        if rest < bytes.len() { Err(error(rest, "bytes after the end")) } else { Ok(Self { whole: bytes, start, end }) }
    }

    /// Its bytes in the whole text.
    pub(super) const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The value with this [`Self::range`] in a text that has been parsed.
    pub(super) const fn in_range(whole: &'b [u8], range: &Range<usize>) -> Self {
        Self { whole, start: range.start, end: range.end }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.first() == Some(b'{')
    }

    /// The items of an array; none of another value.
    pub fn items(self) -> impl Iterator<Item = Self> {
        self.children().filter(move |_| !self.is_object()).map(|(_, value)| value)
    }

    /// The value at these segments of a pointer.
    ///
    /// # Errors
    /// [`JsonError`] if the member of a segment is repeated, also in another case, or a name is not Unicode text.
    pub fn find(self, segments: &[String]) -> Result<Option<Self>, JsonError> {
        segments.iter().try_fold(Some(self), |found, segment| match found {
            Some(value) if value.is_object() => value.member(segment),
            Some(value) => Ok(index(segment).and_then(|index| value.items().nth(index))),
            None => Ok(None),
        })
    }

    /// The value itself, all of which must be unambiguous.
    ///
    /// # Errors
    /// [`JsonError`] for a lone surrogate, a repeated member, a number beyond the range, or more than 32 levels.
    pub fn value(self) -> Result<Value, JsonError> {
        let text = self.whole.get(self.start..self.end).unwrap_or_default();
        parse_value(text).map_err(|_| error(self.start, "a value that programs read differently"))
    }

    /// The text of a string.
    fn text(self) -> Result<Cow<'b, str>, JsonError> {
        let plain = self.whole.get(self.start + 1..self.end.saturating_sub(1)).unwrap_or_default();
        match std::str::from_utf8(plain) {
            Ok(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
            _ => Ok(Cow::Owned(self.value()?.as_str().unwrap_or_default().to_owned())),
        }
    }

    fn first(self) -> Option<u8> {
        self.whole.get(self.start).copied()
    }

    fn member(self, wanted: &str) -> Result<Option<Self>, JsonError> {
        let mut found = None;
        for (name, value) in self.children() {
            let text = name.text()?;
            if text != wanted && !is_same_but_for_case(&text, wanted) {
                continue;
            }
            if text != wanted || found.replace(value).is_some() {
                return Err(error(name.start, "a member that is repeated, or has its name in another case"));
            }
        }
        Ok(found)
    }

    /// The name and value of each member, or each item with an empty name; none of a scalar.
    fn children(self) -> impl Iterator<Item = (Self, Self)> {
        let scanner = Scanner(self.whole);
        let mut at = self.start + 1;
        std::iter::from_fn(move || {
            if !matches!(self.first(), Some(b'{' | b'[')) {
                return None;
            }
            at = scanner.space(at);
            match scanner.byte(at)? {
                b'}' | b']' => return None,
                b',' => at = scanner.space(at + 1),
                _ => {}
            }
            let start = at;
            let mut end = at;
            if self.is_object() {
                end = scanner.string(at).ok()?;
                at = scanner.name(at).ok()?;
            }
            let value = Self { whole: self.whole, start: at, end: scanner.value(at).ok()? };
            at = value.end;
            Some((Self { whole: self.whole, start, end }, value))
        })
    }
}

/// Parses an array index (RFC 6901 §4): digits without leading zeros.
pub(super) fn index(segment: &str) -> Option<usize> {
    let plain = segment.bytes().all(|byte| byte.is_ascii_digit()) && (segment == "0" || !segment.starts_with('0'));
    if plain { segment.parse().ok() } else { None }
}

/// Compares as Go's reader does: also `ſ` is `s`, and the Kelvin sign `k`.
fn is_same_but_for_case(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    let folded =
        |text: &str| text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>();
    folded(one) == folded(other)
}

/// Finds the end of tokens and values (RFC 8259), without recursion.
#[derive(Clone, Copy)]
struct Scanner<'b>(&'b [u8]);

impl Scanner<'_> {
    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    /// The first byte from `at` on that is no space.
    fn space(self, mut at: usize) -> usize {
        while matches!(self.byte(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    /// The end of the value that begins at `at`.
    fn value(self, mut at: usize) -> Result<usize, JsonError> {
        // For each open container, whether it is an object.
        let mut open: Vec<bool> = Vec::new();
        loop {
            at = match self.byte(at) {
                Some(begin @ (b'{' | b'[')) => {
                    let next = self.space(at + 1);
                    let is_object = begin == b'{';
                    if self.byte(next) == Some(if is_object { b'}' } else { b']' }) {
                        next + 1
                    } else {
                        if open.len() == MAX_NESTING {
                            return Err(error(at, "nested too deeply"));
                        }
                        open.push(is_object);
                        at = if is_object { self.name(next)? } else { next };
                        continue;
                    }
                }
                Some(b'"') => self.string(at)?,
                Some(b'-' | b'0'..=b'9') => self.number(at)?,
                _ => self.word(at)?,
            };
            // A value has ended; so may have those around it.
            loop {
                let Some(is_object) = open.last().copied() else { return Ok(at) };
                let next = self.space(at);
                match self.byte(next) {
                    Some(b',') => {
                        let next = self.space(next + 1);
                        at = if is_object { self.name(next)? } else { next };
                        break;
                    }
                    Some(b'}') if is_object => at = next + 1,
                    Some(b']') if !is_object => at = next + 1,
                    _ => return Err(error(next, "not JSON")),
                }
                open.pop();
            }
        }
    }

    /// The beginning of the value after the name at `at`.
    fn name(self, at: usize) -> Result<usize, JsonError> {
        let colon = self.space(self.string(at)?);
        if self.byte(colon) == Some(b':') { Ok(self.space(colon + 1)) } else { Err(error(colon, "not JSON")) }
    }

    fn string(self, at: usize) -> Result<usize, JsonError> {
        if self.byte(at) != Some(b'"') {
            return Err(error(at, "not JSON"));
        }
        let mut at = at + 1;
        loop {
            at += match self.byte(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => match self.byte(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                    Some(b'u') if (2..6).all(|digit| self.byte(at + digit).is_some_and(|b| b.is_ascii_hexdigit())) => 6,
                    _ => return Err(error(at, "not JSON")),
                },
                Some(0x20..) => 1,
                _ => return Err(error(at, "not JSON")),
            };
        }
    }

    fn number(self, at: usize) -> Result<usize, JsonError> {
        let whole = if self.byte(at) == Some(b'-') { at + 1 } else { at };
        let mut end = if self.byte(whole) == Some(b'0') { whole + 1 } else { self.digits(whole)? };
        if self.byte(end) == Some(b'.') {
            end = self.digits(end + 1)?;
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            end = self.digits(end + 1 + sign)?;
        }
        Ok(end)
    }

    /// The end of at least one digit.
    fn digits(self, at: usize) -> Result<usize, JsonError> {
        let mut end = at;
        while self.byte(end).is_some_and(|byte| byte.is_ascii_digit()) {
            end += 1;
        }
        if end == at { Err(error(at, "not JSON")) } else { Ok(end) }
    }

    fn word(self, at: usize) -> Result<usize, JsonError> {
        let rest = self.0.get(at..).unwrap_or_default();
        let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word));
        word.map(|word| at + word.len()).ok_or(error(at, "not JSON"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The value at a pointer, or why there is none.
    fn at(text: &str, pointer: &str) -> Result<Option<Value>, JsonError> {
        let segments: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
        JsonText::parse(text.as_bytes())?.find(&segments)?.map(JsonText::value).transpose()
    }

    #[test]
    fn a_value_is_found_beside_what_cannot_be_read() {
        let deep = format!("{}1{}", "[".repeat(900), "]".repeat(900));
        for beside in [r#""abc\ud83d""#, "1e999", r#"{"a":1,"a":2}"#, &deep, r#"{"\udc00":1}"#, "-0.0E+7", "[ ]", "{ }"]
        {
            let text =
                format!(" {{ \"x\" : {beside} , \"id\" : [ {{}}, {{\"v\":17,\"w\":{beside}}} ],\"y\":{beside} }}\n");
            assert_eq!(at(&text, "/id/1/v"), Ok(Some(json!(17))), "{beside}");
            assert_eq!((at(&text, "/id/2"), at(&text, "/none"), at(&text, "/id/v")), (Ok(None), Ok(None), Ok(None)));
        }
    }

    /// Readers take the first, the last or, in Go, the last in any case; the app could use another value than the gateway.
    #[test]
    fn a_repeated_member_on_the_way_is_no_value() {
        for (text, pointer, byte) in [
            (r#"{"id":1,"id":1}"#, "/id", 8),
            (r#"{"id":1,"\u0069d":2}"#, "/id", 8),
            (r#"{"id":1,"ID":2}"#, "/id", 8),
            (r#"{"ID":2}"#, "/id", 1),
            (r#"{"data":{},"data":{"id":1}}"#, "/data/id", 11),
            (r#"{"data":{"id":1,"Id":2}}"#, "/data/id", 16),
            ("{\"\u{17f}ub\":1}", "/sub", 1),
            ("{\"\u{212a}id\":1}", "/kid", 1),
            (r#"{"id\ud800":1}"#, "/id", 1),
            (r#"{"id":"abc\ud83d"}"#, "/id", 6),
            (r#"{"id":{"a":1,"a":2}}"#, "/id", 6),
            (r#"{"id":1e999}"#, "/id", 6),
        ] {
            assert_eq!(at(text, pointer).map_err(|error| error.at), Err(byte), "{text}");
        }
        assert_eq!(at(r#"{"other":1,"other":2,"id":3}"#, "/id"), Ok(Some(json!(3))));
    }

    /// Recorded by tests/vectors/make_json_readers.py: what is found here, every other reader that accepts the text finds.
    #[test]
    fn a_value_is_the_one_that_python_node_ruby_and_php_find() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/json_readers.json");
        let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let is_same =
            |ours: &Value, theirs: &Value| ours == theirs || ours.as_f64().is_some_and(|n| theirs.as_f64() == Some(n));
        let (mut found, mut rejected) = (0, 0);
        for row in &rows {
            let (text, pointer) = (row["text"].as_str().unwrap(), row["pointer"].as_str().unwrap());
            let Ok(ours) = at(text, pointer) else {
                rejected += 1;
                continue;
            };
            found += 1;
            for theirs in
                ["python", "node", "ruby", "php"].map(|reader| &row[reader]).into_iter().filter(|it| *it != "error")
            {
                match &ours {
                    None => assert_eq!(theirs, "absent", "{row}"),
                    Some(ours) => assert!(is_same(ours, &theirs["value"]), "{row}"),
                }
            }
        }
        assert!(found >= 20 && rejected >= 20, "{found} found, {rejected} rejected");
    }

    #[test]
    fn every_token_is_valid() {
        let texts: &[&[u8]] = &[
            b"",
            b" ",
            b"{",
            b"[1",
            b"{\"a\":1,}",
            b"[1,]",
            b"[,1]",
            b"{\"a\" 1}",
            b"{a:1}",
            b"{'a':1}",
            b"{\"a\":1} x",
            b"{}{}",
            b"{}//",
            b"NaN",
            b"[Infinity]",
            b"[-]",
            b"[01]",
            b"[1.]",
            b"[.5]",
            b"[1e]",
            b"[+1]",
            b"[0x1]",
            b"\"a",
            b"\"\\x\"",
            b"\"\\u12g4\"",
            b"\"\n\"",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            b"{}\0",
            b"[tru]",
            b"[nul",
            b"{1:2}",
            b"[1}",
            b"{\"a\":1]",
            b"]",
            b"\x0b1",
        ];
        for text in texts {
            assert!(JsonText::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
            assert!(serde_json::from_slice::<Value>(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(JsonText::parse(nested(1000).as_bytes()).is_ok());
        assert_eq!(JsonText::parse(nested(1001).as_bytes()).unwrap_err(), error(1000, "nested too deeply"));
        assert!(JsonText::parse("[".repeat(1_000_000).as_bytes()).is_err());
    }
}
