//! The text that a person reads, taken from each kind of file.

/// A piece of text, and the line on which it begins, counted from 1.
pub struct Text {
    pub line: usize,
    pub text: String,
}

/// Comments, and outside of test modules string literals, of a Rust file.
pub fn of_rust(source: &str, literals: bool) -> Vec<Text> {
    let end_of_code = if literals { source.find("#[cfg(test)]\nmod ").unwrap_or(source.len()) } else { 0 };
    let (mut found, mut rest, mut line): (Vec<Text>, &str, usize) = (Vec::new(), source, 1);
    while !rest.is_empty() {
        let (length, text) = token(rest);
        let (token, after) = rest.split_at(length);
        let is_comment = token.starts_with("//") || token.starts_with("/*");
        if let Some(text) = text.filter(|_| is_comment || source.len() - rest.len() < end_of_code) {
            join(&mut found, Text { line, text: text.to_owned() }, is_comment);
        }
        line += token.matches('\n').count();
        rest = after;
    }
    found
}

/// Adds a comment to the one on the line before, so that a sentence of several lines is one text.
fn join(found: &mut Vec<Text>, text: Text, is_comment: bool) {
    match found.last_mut() {
        Some(last) if is_comment && last.line + last.text.matches('\n').count() + 1 == text.line => {
            last.text.push('\n');
            last.text.push_str(&text.text);
        }
        _ => found.push(text),
    }
}

/// The length of the next token, and its text if it is a comment or a string literal.
fn token(rest: &str) -> (usize, Option<&str>) {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        let end = rest.find('\n').unwrap_or(rest.len());
        return (end, Some(rest[..end].trim_start_matches(['/', '!'])));
    }
    if rest.starts_with("/*") {
        let end = to("*/", 2);
        return (end, Some(&rest[..end]));
    }
    let hashes = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes.filter(|hashes| rest[1 + hashes..].starts_with('"')) {
        let end = to(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        return (end, Some(&rest[2 + hashes..end - 1 - hashes]));
    }
    if rest.starts_with('"') {
        let end = end_of_literal(rest, '"');
        return (end, Some(&rest[1..end - 1]));
    }
    // A character literal, and not a lifetime.
    if rest.starts_with('\'') && (rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'')) {
        return (end_of_literal(rest, '\''), None);
    }
    // An identifier as a whole, so that its last letter is not taken for the `r` of a raw string.
    let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    (if word > 0 { word } else { rest.chars().next().map_or(1, char::len_utf8) }, None)
}

fn end_of_literal(rest: &str, quote: char) -> usize {
    let mut letters = rest.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// Comments that begin with `mark`, such as `# `, and the docstrings of Python.
pub fn of_script(source: &str, mark: &str) -> Vec<Text> {
    let mut found = Vec::new();
    let mut in_docstring = false;
    for (index, line) in source.lines().enumerate() {
        let quotes = line.matches("\"\"\"").count();
        let comment = line.split_once(mark).filter(|(before, _)| before.trim().is_empty() || before.ends_with(' '));
        if in_docstring || quotes > 0 {
            join(&mut found, Text { line: index + 1, text: line.replace("\"\"\"", "") }, true);
        } else if let Some((_, comment)) = comment {
            join(&mut found, Text { line: index + 1, text: comment.to_owned() }, true);
        }
        in_docstring ^= quotes == 1;
    }
    found
}

/// A page, paragraph by paragraph.
pub fn of_page(source: &str) -> Vec<Text> {
    let mut found: Vec<Text> = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let alone = line.trim().is_empty() || line.starts_with(['#', '|', '`']);
        let text = Text { line: index + 1, text: line.trim_start_matches('#').to_owned() };
        if alone { found.push(text) } else { join(&mut found, text, true) }
    }
    found
}

/// With single spaces in place of line breaks, so that a phrase of two words is found across them.
pub fn in_one_line(text: &str) -> String {
    text.replace("\\\n", " ").split_whitespace().collect::<Vec<&str>>().join(" ")
}

/// Without code spans: `names in backticks`.
pub fn without_code(text: &str) -> String {
    text.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "``" }).collect()
}

#[test]
fn texts_are_taken_from_each_kind_of_file() {
    let rust = "//! One\n//! text.\nfn f<'a>(c: char) { if c == '\"' { g(\"say \\\" so\", r#\"raw\"#) } } // end\n#[cfg(test)]\nmod tests { const A: &str = \"no\"; /* yes */ }";
    let texts: Vec<(usize, String)> = of_rust(rust, true).into_iter().map(|text| (text.line, text.text)).collect();
    let expected = [(1, " One\n text."), (3, "say \\\" so"), (3, "raw"), (3, " end"), (5, "/* yes */")];
    assert_eq!(texts, expected.map(|(line, text)| (line, text.to_owned())));
    let script = "#!/bin/sh\n# One\n# text.\nx=1 # more\n\"\"\"A docstring\nof two.\"\"\"\ny=2";
    let texts: Vec<String> = of_script(script, "# ").into_iter().map(|text| text.text).collect();
    assert_eq!(texts, ["One\ntext.\nmore\nA docstring\nof two."]);
    let lua: Vec<String> = of_script("-- One\nlocal x = 1 -- two", "-- ").into_iter().map(|text| text.text).collect();
    assert_eq!(lua, ["One\ntwo"]);
    assert_eq!(without_code("a `b` c"), "a `` c");
    assert_eq!(in_one_line("set \\\n   aside,\n taken\n back"), "set aside, taken back");
}
