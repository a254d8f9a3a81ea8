//! A JSON body as other serializers write it: every combination of whitespace, escapes, slashes, the order of members
//! and the final line break. Numbers keep their spelling: 1.0 and 1 are two values to many programs.

use super::tree::{JsonNode, end_of_string, read, split_end};

/// Whitespace between the tokens.
#[derive(Clone, Copy)]
struct Layout {
    comma: &'static str,
    colon: &'static str,
    /// The line break and the indent of one level.
    lines: Option<(&'static str, &'static str)>,
    /// The words for a sender that writes it.
    does: &'static str,
}

const fn in_one_line(comma: &'static str, colon: &'static str, does: &'static str) -> Layout {
    Layout { comma, colon, lines: None, does }
}

const fn indented(line: &'static str, indent: &'static str, does: &'static str) -> Layout {
    Layout { comma: ",", colon: ": ", lines: Some((line, indent)), does }
}

const LAYOUTS: &[Layout] = &[
    in_one_line(",", ":", "writes no whitespace"),
    in_one_line(", ", ": ", "writes a space after comma and colon"),
    in_one_line(",", ": ", "writes a space after the colon"),
    in_one_line(", ", ":", "writes a space after the comma"),
    indented("\n", "  ", "indents by two spaces"),
    indented("\n", "    ", "indents by four spaces"),
    indented("\n", "\t", "indents by a tab"),
    indented("\n", " ", "indents by one space"),
    indented("\n", "   ", "indents by three spaces"),
    indented("\n", "        ", "indents by eight spaces"),
    indented("\r\n", "  ", "indents by two spaces, with line breaks of CRLF"),
    indented("\r\n", "    ", "indents by four spaces, with line breaks of CRLF"),
];

/// The characters of strings that are written as `\u` escapes, besides those that must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    AsTheyAre,
    No,
    NonAscii,
    /// Of Go and of Ruby on Rails: those that HTML and JavaScript give a meaning.
    Html,
    /// Of Gson.
    Gson,
    /// Of .NET: also quotation marks, with digits in capitals.
    DotNet,
}

impl Escapes {
    const ALL: [Self; 6] = [Self::AsTheyAre, Self::No, Self::NonAscii, Self::Html, Self::Gson, Self::DotNet];

    const fn does(self) -> Option<&'static str> {
        match self {
            Self::AsTheyAre => None,
            Self::No => Some("writes no \\u escapes"),
            Self::NonAscii => Some("writes non-ASCII characters as \\u escapes"),
            Self::Html => Some("writes <, > and & as \\u escapes, as Go and Rails do"),
            Self::Gson => Some("writes <, >, &, = and ' as \\u escapes, as Gson does"),
            Self::DotNet => {
                Some("writes non-ASCII characters, <, >, &, +, ' and quotation marks as \\u escapes, as .NET does")
            }
        }
    }

    fn has(self, letter: char) -> bool {
        match self {
            Self::AsTheyAre | Self::No => false,
            Self::NonAscii => !letter.is_ascii(),
            Self::Html => matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
            Self::Gson => matches!(letter, '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}'),
            Self::DotNet => !letter.is_ascii() || matches!(letter, '<' | '>' | '&' | '+' | '\'' | '"' | '`' | '\u{7f}'),
        }
    }
}

/// How `/` is written in strings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    AsTheyAre,
    Plain,
    Escaped,
}

/// The spelling of another serializer.
#[derive(Clone, Copy)]
struct JsonSpelling {
    layout: Option<&'static Layout>,
    is_sorted: bool,
    escapes: Escapes,
    slashes: Slashes,
    /// The line break at the end, if it is another one.
    end: Option<&'static str>,
}

/// The body in other spellings, those with the fewest differences first; none if it is not JSON.
pub(super) fn variants(text: &str) -> impl Iterator<Item = (String, Vec<u8>)> {
    let (bare, end) = split_end(text.as_bytes());
    let bare = text.get(..bare.len()).unwrap_or_default();
    // The parser of serde_json bounds the depth.
    let is_json =
        serde_json::from_str::<serde_json::Value>(bare).is_ok_and(|value| value.is_object() || value.is_array());
    let root = is_json.then(|| read(bare)).flatten();
    let spellings = if root.is_some() { spellings(bare, end) } else { Vec::new() };
    let end = text.get(bare.len()..).unwrap_or_default();
    spellings.into_iter().filter_map(move |spelling| {
        let written = match spelling.layout {
            None => spelling.in_place(bare),
            Some(layout) => {
                let mut written = String::with_capacity(bare.len().saturating_mul(2));
                spelling.write(layout, root.as_ref()?, 0, &mut written);
                written
            }
        };
        Some((spelling.does(bare), (written + spelling.end.unwrap_or(end)).into_bytes()))
    })
}

/// The combinations that can differ from the text.
fn spellings(text: &str, end: &[u8]) -> Vec<JsonSpelling> {
    let is_escapable = |letter: char| Escapes::Gson.has(letter) || Escapes::DotNet.has(letter) && letter != '"';
    let has_escapes = text.contains(is_escapable) || text.contains('\\');
    let escapes = if has_escapes { &Escapes::ALL[..] } else { &[Escapes::AsTheyAre] };
    let slashes = [Slashes::AsTheyAre, Slashes::Plain, Slashes::Escaped];
    let slashes = if text.contains('/') { &slashes[..] } else { &[Slashes::AsTheyAre] };
    let ends = ["", "\n", "\r\n"].into_iter().filter(|other| other.as_bytes() != end).map(Some);
    let ends: Vec<_> = std::iter::once(None).chain(ends).collect();
    let mut all = Vec::new();
    for layout in std::iter::once(None).chain(LAYOUTS.iter().map(Some)) {
        for is_sorted in [false, true].into_iter().filter(|is_sorted| !is_sorted || layout.is_some()) {
            for escapes in escapes.iter().copied() {
                for slashes in slashes.iter().copied() {
                    let with = |end| JsonSpelling { layout, is_sorted, escapes, slashes, end };
                    all.extend(ends.iter().copied().map(with));
                }
            }
        }
    }
    all.sort_by_key(JsonSpelling::differences);
    all
}

impl JsonSpelling {
    fn differences(&self) -> usize {
        let differs = [
            self.layout.is_some(),
            self.is_sorted,
            self.escapes != Escapes::AsTheyAre,
            self.slashes != Slashes::AsTheyAre,
            self.end.is_some(),
        ];
        differs.into_iter().filter(|differs| *differs).count()
    }

    /// The difference from `text`, which another serializer wrote.
    fn does(&self, text: &str) -> String {
        let slashes = match self.slashes {
            Slashes::Escaped => Some("escapes slashes"),
            Slashes::Plain if text.contains("\\/") => Some("does not escape slashes"),
            Slashes::AsTheyAre | Slashes::Plain => None,
        };
        let end = self.end.map(|end| match end {
            "" => "ends the body without a line break",
            "\n" => "ends the body with a line break (LF)",
            _crlf => "ends the body with a line break (CRLF)",
        });
        let sorts = self.is_sorted.then_some("sorts the members by name");
        let all = [self.layout.map(|layout| layout.does), sorts, self.escapes.does(), slashes, end];
        let all: Vec<&str> = all.into_iter().flatten().collect();
        let all = match all.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{}, and {last}", rest.join(", ")),
            _one => all.concat(),
        };
        format!("it was re-serialized; its sender {all}")
    }

    /// The text with its own whitespace.
    fn in_place(&self, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, string)) = rest.find('"').and_then(|at| rest.split_at_checked(at)) {
            let (string, after) = string.split_at_checked(end_of_string(string)).unwrap_or((string, ""));
            written.push_str(before);
            self.string(string, &mut written);
            rest = after;
        }
        written + rest
    }

    fn write(&self, layout: &Layout, node: &JsonNode<'_>, depth: usize, written: &mut String) {
        match node {
            JsonNode::Scalar(text) if text.starts_with('"') => self.string(text, written),
            JsonNode::Scalar(text) => written.push_str(text),
            JsonNode::List(items) => {
                layout.items(("[", "]"), items.iter(), depth, written, |item, written| {
                    self.write(layout, item, depth + 1, written);
                });
            }
            JsonNode::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if self.is_sorted {
                    members.sort_by_cached_key(|(name, _)| decoded(name));
                }
                layout.items(("{", "}"), members.into_iter(), depth, written, |(name, value), written| {
                    self.string(name, written);
                    written.push_str(layout.colon);
                    self.write(layout, value, depth + 1, written);
                });
            }
        }
    }

    /// A string with its quotation marks.
    fn string(&self, literal: &str, written: &mut String) {
        let decoded = if self.escapes == Escapes::AsTheyAre { None } else { decoded(literal) };
        let Some(decoded) = decoded else { return self.literal(literal, written) };
        let slash = if self.slashes == Slashes::Escaped { "\\/" } else { "/" };
        written.push('"');
        for letter in decoded.chars() {
            match letter {
                '/' => written.push_str(slash),
                letter if self.escapes.has(letter) => self.escape(letter, written),
                '"' => written.push_str("\\\""),
                '\\' => written.push_str("\\\\"),
                '\n' => written.push_str("\\n"),
                '\r' => written.push_str("\\r"),
                '\t' => written.push_str("\\t"),
                '\u{8}' => written.push_str("\\b"),
                '\u{c}' => written.push_str("\\f"),
                letter if letter.is_ascii_control() && letter != '\u{7f}' => self.escape(letter, written),
                letter => written.push(letter),
            }
        }
        written.push('"');
    }

    /// A string with its own escapes, except for those of slashes.
    fn literal(&self, literal: &str, written: &mut String) {
        let mut letters = literal.chars();
        while let Some(letter) = letters.next() {
            let next = if letter == '\\' { letters.next() } else { None };
            if letter != '/' && next != Some('/') {
                written.extend(std::iter::once(letter).chain(next));
                continue;
            }
            let is_escaped = match self.slashes {
                Slashes::AsTheyAre => next.is_some(),
                Slashes::Plain => false,
                Slashes::Escaped => true,
            };
            written.push_str(if is_escaped { "\\/" } else { "/" });
        }
    }

    /// Writes `\uXXXX`, of which a character beyond the basic plane has two (UTF-16).
    fn escape(&self, letter: char, written: &mut String) {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let is_upper = self.escapes == Escapes::DotNet;
            written.push_str(&if is_upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
        }
    }
}

impl Layout {
    fn items<T>(
        &self,
        (begin, end): (&str, &str),
        items: impl ExactSizeIterator<Item = T>,
        depth: usize,
        written: &mut String,
        write: impl Fn(T, &mut String),
    ) {
        let line = |depth: usize, written: &mut String| {
            if let Some((line, indent)) = self.lines {
                written.push_str(line);
                (0..depth).for_each(|_| written.push_str(indent));
            }
        };
        let is_empty = items.len() == 0;
        written.push_str(begin);
        for (index, item) in items.enumerate() {
            if index > 0 {
                written.push_str(self.comma);
            }
            line(depth + 1, written);
            write(item, written);
        }
        if !is_empty {
            line(depth, written);
        }
        written.push_str(end);
    }
}

/// The text of a string literal; `None` for half of a surrogate pair.
fn decoded(literal: &str) -> Option<String> {
    serde_json::from_str(literal).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layouts and escapes are those of the serializers that they are named after.
    #[test]
    fn spellings_are_those_of_the_usual_serializers() {
        let text = r#"{ "b" : [1, {"x":"y, \"z\": {"}], "a":{}, "d":[ ], "c":"é😀</'\u00fc" }"#;
        let all: Vec<String> = variants(text).map(|(_, written)| String::from_utf8(written).unwrap()).collect();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!(all.iter().all(|written| serde_json::from_str::<serde_json::Value>(written).unwrap() == value));
        for expected in [
            r#"{"b":[1,{"x":"y, \"z\": {"}],"a":{},"d":[],"c":"é😀</'\u00fc"}"#,
            // JSON.stringify, json.dumps of Python, json_encode of PHP, encoding/json of Go, Gson, System.Text.Json
            r#"{"b":[1,{"x":"y, \"z\": {"}],"a":{},"d":[],"c":"é😀</'ü"}"#,
            r#"{"b": [1, {"x": "y, \"z\": {"}], "a": {}, "d": [], "c": "\u00e9\ud83d\ude00</'\u00fc"}"#,
            r#"{"b":[1,{"x":"y, \"z\": {"}],"a":{},"d":[],"c":"\u00e9\ud83d\ude00<\/'\u00fc"}"#,
            "{\"b\":[1,{\"x\":\"y, \\\"z\\\": {\"}],\"a\":{},\"d\":[],\"c\":\"é😀\\u003c/'ü\"}\n",
            r#"{"b":[1,{"x":"y, \"z\": {"}],"a":{},"d":[],"c":"é😀\u003c/\u0027ü"}"#,
            r#"{"b":[1,{"x":"y, \u0022z\u0022: {"}],"a":{},"d":[],"c":"\u00E9\uD83D\uDE00\u003C/\u0027\u00FC"}"#,
            r#"{"a":{},"b":[1,{"x":"y, \"z\": {"}],"c":"é😀</'ü","d":[]}"#,
            &serde_json::to_string_pretty(&value).unwrap(),
        ] {
            assert!(all.iter().any(|written| written == expected), "{expected}");
        }
        assert_eq!(variants("a=b").count() + variants("\"a\"").count(), 0);
    }

    #[test]
    fn slashes_are_respelled_and_backslashes_are_not() {
        let written = |slashes| {
            let spelling =
                JsonSpelling { layout: None, is_sorted: false, escapes: Escapes::AsTheyAre, slashes, end: None };
            spelling.in_place(r#"["a/b\/c\\/d",1/2]"#)
        };
        assert_eq!(written(Slashes::Plain), r#"["a/b/c\\/d",1/2]"#);
        assert_eq!(written(Slashes::Escaped), r#"["a\/b\/c\\\/d",1/2]"#);
        assert_eq!(written(Slashes::AsTheyAre), r#"["a/b\/c\\/d",1/2]"#);
    }
}
