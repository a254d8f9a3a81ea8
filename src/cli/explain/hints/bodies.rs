//! Candidates for the body as it was signed: each undoes a change that proxies, frameworks and editors make.

/// Descriptions of a change, each with the body as it was before that change.
pub(super) fn variants(body: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut variants = vec![
        ("its final newline (LF) was removed", [body, b"\n"].concat()),
        ("its final newline (CRLF) was removed", [body, b"\r\n"].concat()),
        ("a final newline was added", trimmed(body)),
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
        let escaped = escape_unicode(text);
        variants.push((
            "it was re-serialized; its sender writes non-ASCII characters as \\u escapes",
            escaped.clone().into(),
        ));
        variants.push(("it was re-serialized; its sender escapes slashes", text.replace('/', "\\/").into()));
        variants.push(("it was re-serialized; its sender does not escape slashes", text.replace("\\/", "/").into()));
        for (what, style) in [
            (
                "it was re-serialized with whitespace; its sender writes none",
                Style { comma: ",", colon: ":", indent: None },
            ),
            (
                "it was re-serialized; its sender writes a space after comma and colon",
                Style { comma: ", ", colon: ": ", indent: None },
            ),
            (
                "it was re-serialized in one line; its sender indents by two spaces",
                Style { comma: ",", colon: ": ", indent: Some(2) },
            ),
            (
                "it was re-serialized in one line; its sender indents by four spaces",
                Style { comma: ",", colon: ": ", indent: Some(4) },
            ),
        ] {
            for text in [style.write(text), style.write(&escaped)] {
                variants.push((what, format!("{text}\n").into()));
                variants.push((what, text.into()));
            }
        }
    }
    variants.retain(|(_, variant)| variant != body);
    variants
}

fn trimmed(body: &[u8]) -> Vec<u8> {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body).to_vec()
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

/// Writes non-ASCII characters as `\uXXXX` (UTF-16), as JSON serializers of many languages do by default.
fn escape_unicode(text: &str) -> String {
    let escape = |letter: char| {
        let mut units = [0; 2];
        letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    };
    text.chars().map(|letter| if letter.is_ascii() { letter.to_string() } else { escape(letter) }).collect()
}

/// Whitespace of JSON. The order of members and the spelling of strings and numbers do not change.
#[derive(Clone, Copy)]
struct Style {
    comma: &'static str,
    colon: &'static str,
    indent: Option<usize>,
}

impl Style {
    fn write(self, text: &str) -> String {
        let mut written = String::with_capacity(text.len() * 2);
        let (mut in_text, mut escaped, mut depth) = (false, false, 0_usize);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if in_text {
                written.push(letter);
                in_text = escaped || letter != '"';
                escaped = !escaped && letter == '\\';
                continue;
            }
            match letter {
                letter if letter.is_ascii_whitespace() => {}
                '"' => {
                    in_text = true;
                    written.push(letter);
                }
                '{' | '[' => {
                    written.push(letter);
                    while letters.next_if(char::is_ascii_whitespace).is_some() {}
                    if letters.peek().is_some_and(|next| !matches!(next, '}' | ']')) {
                        depth += 1;
                        self.line(&mut written, depth);
                    } else if let Some(end) = letters.next() {
                        written.push(end);
                    }
                }
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    self.line(&mut written, depth);
                    written.push(letter);
                }
                ',' => {
                    written.push_str(self.comma);
                    self.line(&mut written, depth);
                }
                ':' => written.push_str(self.colon),
                other => written.push(other),
            }
        }
        written
    }

    fn line(self, written: &mut String, depth: usize) {
        if let Some(indent) = self.indent {
            written.push('\n');
            written.push_str(&" ".repeat(indent * depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_usual_writers() {
        let text = r#"{ "a" : [1, {"b":"x, \"y\": {"}], "c":{}, "d":[ ] }"#;
        let write = |comma, colon, indent| Style { comma, colon, indent }.write(text);
        assert_eq!(write(",", ":", None), r#"{"a":[1,{"b":"x, \"y\": {"}],"c":{},"d":[]}"#);
        assert_eq!(write(", ", ": ", None), r#"{"a": [1, {"b": "x, \"y\": {"}], "c": {}, "d": []}"#);
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(write(",", ": ", Some(2)), serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn letters_are_escaped_as_utf_16() {
        assert_eq!(escape_unicode("aé😀"), "a\\u00e9\\ud83d\\ude00");
        assert_eq!(replaced(b"a\nb\r\n", b"\n", b"\r\n"), b"a\r\nb\r\r\n");
    }
}
