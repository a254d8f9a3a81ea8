//! On a terminal, the line of the YAML under each problem, with a caret below the field. In a pipe, problems stay one line
//! each, for scripts.
//!
//! A secret may have been written in place of its file, so that a line is shown with the values masked that could be one.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use crate::config::error::Position;
use crate::config::reader::nearest;
use crate::config::{ConfigErrors, Problem};

/// The longest part of a line that is shown, in characters.
const WIDTH: usize = 100;

/// The text in place of a masked value.
const MASK: &str = "***";

/// Keys whose value is a secret, or near to one.
const SECRET_KEYS: &[&str] = &[
    "secret",
    "secrets",
    "password",
    "passwd",
    "bearer",
    "token",
    "api_key",
    "private_key",
    "hash_key",
    "value",
    "credential",
];

/// Keys below them whose values are names.
const NAMES: &[&str] =
    &["env", "file", "dir", "id", "sender", "encoding", "file_encoding", "max_tenants", "header", "query"];

/// How problems are printed on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportStyle {
    /// One line each.
    Lines,
    /// With excerpts.
    Excerpts,
    /// With excerpts, in colours.
    Colours,
}

impl ReportStyle {
    /// The style for standard error: colours unless `NO_COLOR` is set (no-color.org) or the terminal has none.
    pub(super) fn of_standard_error() -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        match std::io::stderr().is_terminal() {
            false => Self::Lines,
            true if is_set("NO_COLOR") || env::var_os("TERM").is_none_or(|term| term == "dumb") => Self::Excerpts,
            true => Self::Colours,
        }
    }
}

/// Problems or warnings of a configuration, as they are printed. `kind` is `warning: ` or empty.
pub(super) fn problems(errors: &ConfigErrors, kind: &str, style: ReportStyle) -> String {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let all = errors.placed().map(|(file, problem)| {
        let text = texts.entry(file).or_insert_with(|| source(Path::new(file), style));
        report(file, text, &problem, kind, style)
    });
    all.collect::<Vec<_>>().join("\n")
}

/// The text of the file whose lines are shown, if any are.
fn source(file: &Path, style: ReportStyle) -> String {
    // A FIFO would be waited for.
    let is_shown = style != ReportStyle::Lines && file.metadata().is_ok_and(|found| found.is_file());
    if is_shown { fs::read_to_string(file).unwrap_or_default() } else { String::new() }
}

/// A problem with its line. `kind` is `warning: ` or empty.
fn report(file: &str, text: &str, problem: &Problem, kind: &str, style: ReportStyle) -> String {
    let Position { line, column } = problem.position;
    let place = format!("{file}:{line}:{column}:");
    let (bold, mark, plain) = match (style, kind) {
        (ReportStyle::Lines, _) => return format!("{place} {kind}{problem}"),
        (ReportStyle::Excerpts, _) => ("", "", ""),
        (ReportStyle::Colours, "") => ("\x1b[1m", "\x1b[1;31m", "\x1b[0m"),
        (ReportStyle::Colours, _) => ("\x1b[1m", "\x1b[1;33m", "\x1b[0m"),
    };
    let kind = if kind.is_empty() { String::new() } else { format!("{mark}{kind}{plain}") };
    let head = format!("{bold}{place}{plain} {kind}{problem}");
    let Some(excerpt) = excerpt(text, problem.position) else { return head };
    let gutter = " ".repeat(line.to_string().len());
    format!("{head}\n  {line} | {}\n  {gutter} | {mark}{}^{plain}", excerpt.0, " ".repeat(excerpt.1))
}

/// The masked line, and the column of the caret in it. `None` where there is nothing to show.
fn excerpt(text: &str, at: Position) -> Option<(String, usize)> {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    let line = lines.get(at.line.checked_sub(1)?)?;
    if line.trim().is_empty() {
        return None;
    }
    let above = lines.get(..at.line.saturating_sub(1)).unwrap_or_default();
    let (mut shown, mut caret) = (String::new(), 0);
    let mut column = 1;
    for (part, is_masked) in masked(line, is_in_secret(above, line)) {
        let length = part.chars().count();
        if column < at.column {
            caret = shown.chars().count() + if is_masked { 0 } else { (at.column - column).min(length) };
        }
        column += length;
        // A control character could change the terminal, and a tab would move the caret.
        let safe = |c: char| if c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) { ' ' } else { c };
        shown.extend(if is_masked { MASK.to_owned() } else { part.to_owned() }.chars().map(safe));
    }
    let start = if caret < WIDTH { 0 } else { caret - WIDTH / 2 };
    let window: String = shown.chars().skip(start).take(WIDTH).collect();
    Some((window.trim_end().to_owned(), caret - start))
}

/// Whether a line that belongs to a key of secrets above it may contain one.
fn is_in_secret(above: &[&str], line: &str) -> bool {
    let indentation = |line: &str| line.len() - line.trim_start_matches([' ', '-', '\t']).len();
    let mut depth = indentation(line);
    for parent in above.iter().rev().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        if indentation(parent) >= depth && !(indentation(parent) == depth && line.trim_start().starts_with('-')) {
            continue;
        }
        depth = indentation(parent);
        if let Some((key, _)) = parent.trim_start_matches([' ', '-', '\t']).split_once(':')
            && is_secret_key(key)
        {
            return true;
        }
    }
    false
}

/// The parts of a line, in order; those that may be secrets are true.
fn masked(line: &str, is_in_secret: bool) -> Vec<(&str, bool)> {
    let mut parts = Vec::new();
    let mut key = "";
    let mut rest = line;
    // The brackets that are open below a key of secrets.
    let mut depth = 0_usize;
    while !rest.is_empty() {
        let (token, after) = rest.split_at(token_length(rest));
        rest = after;
        let bare = token.trim_matches(['"', '\'']);
        let is_key = rest.strip_prefix(':').is_some_and(|after| after.is_empty() || after.starts_with([' ', '\t']));
        match token {
            _ if token.starts_with(|c: char| c.is_whitespace()) || matches!(token, ":" | "-" | ",") => {
                parts.push((token, false))
            }
            "{" | "[" => {
                depth += usize::from(depth > 0 || is_secret_key(key));
                parts.push((token, false));
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                parts.push((token, false));
            }
            _ if token.starts_with('#') => parts.push((token, looks_secret(token))),
            _ if is_key => {
                key = bare;
                parts.push((token, false));
            }
            _ => {
                let is_name = NAMES.contains(&key) && !looks_secret(bare);
                let below = depth > 0 || is_in_secret || is_secret_key(key);
                parts.push((token, (below && !is_name) || looks_secret(bare)));
            }
        }
    }
    parts
}

/// The length of a bracket, a comma, a colon, spaces, a comment, a quoted text or a word with its following words.
fn token_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, first)) = chars.next() else { return 0 };
    let end = |found: Option<(usize, char)>| found.map_or(text.len(), |(at, _)| at);
    match first {
        '{' | '}' | '[' | ']' | ',' | ':' => 1,
        '#' => text.len(),
        '"' | '\'' => chars.find(|(_, c)| *c == first).map_or(text.len(), |(at, _)| at + 1),
        c if c.is_whitespace() => end(chars.find(|(_, c)| !c.is_whitespace())),
        '-' if text.len() == 1 || text.starts_with("- ") => 1,
        _ => {
            // A plain value ends before `: `, ` #`, and in a list or mapping before a comma or a bracket.
            let stops = chars.find(|(at, c)| {
                let next = text.get(at + c.len_utf8()..).and_then(|rest| rest.chars().next());
                matches!(c, ',' | '}' | ']')
                    || (*c == ':' && next.is_none_or(char::is_whitespace))
                    || (c.is_whitespace() && next == Some('#'))
            });
            text.split_at(end(stops)).0.trim_end().len().max(first.len_utf8())
        }
    }
}

/// Whether the value of a key may be a secret: `secret`, `client_secret`, `WEBHOOK_TOKEN`, `secert`.
fn is_secret_key(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'']).to_lowercase().replace('-', "_");
    let is_other = ["token_from", "static_token", "token_expired", "public_key", "public_keys"].contains(&key.as_str());
    let has = |name: &str| match name {
        "value" | "token" | "credential" => key.ends_with(name),
        _ => key.contains(name),
    };
    let is_misspelt = nearest(&key, ["secret", "secrets", "password"].into_iter()).is_some();
    !is_other && (is_misspelt || SECRET_KEYS.iter().any(|name| has(name)))
}

/// Whether a text has the form of a secret: a known prefix, a password in a URL, a PEM block, or a long word of letters and
/// digits.
fn looks_secret(text: &str) -> bool {
    let prefixes = ["whsec_", "sk_", "ghp_", "shpss_", "xox", "eyJ"];
    let has_prefix = |word: &str| prefixes.iter().any(|prefix| word.starts_with(prefix));
    let is_marked = ["Bearer ", "Basic ", "-----BEGIN"].iter().any(|mark| text.contains(mark));
    let has_password =
        text.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')));
    let is_random = |word: &str| {
        let of = |class: fn(&u8) -> bool| word.bytes().filter(class).count();
        word.len() >= 20
            && of(u8::is_ascii_digit) >= 3
            && of(u8::is_ascii_alphabetic) >= 3
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-'))
    };
    is_marked || has_password || text.split_whitespace().any(|word| has_prefix(word) || is_random(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::FieldPath;

    fn shown(text: &str, line: usize, column: usize) -> String {
        let problem =
            Problem { position: Position { line, column }, field: FieldPath::root().child("a"), message: "bad".into() };
        report("g.yaml", text, &problem, "", ReportStyle::Excerpts)
    }

    #[test]
    fn the_caret_is_under_the_field() {
        let text = "listeners:\n  - limits: { max_conections: 5 }\n";
        let expected = "g.yaml:2:15: a: bad\n  2 |   - limits: { max_conections: 5 }\n    |               ^";
        assert_eq!(shown(text, 2, 15), expected);
        // A tab is one character wide, and an empty line or one beyond the end is not shown.
        assert_eq!(shown("a:\n\tb: 1\n", 2, 2), "g.yaml:2:2: a: bad\n  2 |  b: 1\n    |  ^");
        assert_eq!(shown("\n", 1, 1), "g.yaml:1:1: a: bad");
        assert_eq!(shown("a", 9, 1), "g.yaml:9:1: a: bad");
        assert_eq!(shown("a: \x1b[31m\u{202e}", 1, 1), "g.yaml:1:1: a: bad\n  1 | a:  [31m\n    | ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}key: 1{}", " ".repeat(300), " x".repeat(300));
        let (line, caret) = excerpt(&text, Position { line: 1, column: 301 }).unwrap();
        assert!(line.chars().skip(caret).collect::<String>().starts_with("key: 1") && line.chars().count() <= WIDTH);
    }

    #[test]
    fn colours_are_those_of_errors_and_warnings() {
        let problem = Problem { position: Position::START, field: FieldPath::root(), message: "bad".into() };
        let printed = |kind, style| report("g", "a: 1", &problem, kind, style);
        assert_eq!(printed("warning: ", ReportStyle::Lines), "g:1:1: warning: bad");
        assert!(printed("", ReportStyle::Colours).contains("\x1b[1;31m^\x1b[0m"));
        assert!(printed("warning: ", ReportStyle::Colours).contains("\x1b[1;33mwarning: \x1b[0mbad"));
    }

    #[test]
    fn secrets_in_place_of_their_files_are_masked() {
        for (text, expected) in [
            ("auth: { preset: github, secret: hunter2 }", "auth: { preset: github, secret: *** }"),
            ("secret: hunter2 # of the test", "secret: *** # of the test"),
            ("secret: 'hunter2, too'", "secret: ***"),
            ("secret: hunter2, too", "secret: ***, ***"),
            ("secert: hunter2", "secert: ***"),
            ("queue: task_queue_of_orders", "queue: task_queue_of_orders"),
            ("client_secret: hunter2", "client_secret: ***"),
            ("secret: { value: hunter2, file: x }", "secret: { value: ***, file: x }"),
            ("secrets: [ hunter2, { file: new.txt } ]", "secrets: [ ***, { file: new.txt } ]"),
            ("- secret: { env: whsec_aGVsbG8 }", "- secret: { env: *** }"),
            ("url: redis://user:hunter2@host/0", "url: ***"),
            ("name: sk_live_4242", "name: ***"),
            ("x: 0123456789abcdef0123456789abcdef", "x: ***"),
            ("token: hunter2", "token: ***"),
            ("{\"secret\": \"hunter2\"}", "{\"secret\": ***}"),
            ("match: { path: /hooks/github, methods: [POST] }", "match: { path: /hooks/github, methods: [POST] }"),
            (
                "tls: { certificates: [ { cert: a.crt, key: a.key } ] }",
                "tls: { certificates: [ { cert: a.crt, key: a.key } ] }",
            ),
            (
                "auth: { preset: github, secret: { file: github.secret } }",
                "auth: { preset: github, secret: { file: github.secret } }",
            ),
        ] {
            assert_eq!(excerpt(text, Position::START).unwrap().0, expected, "{text}");
        }
        for below in [
            "secrets:\n  - hunter2",
            "secret:\n  hunter2",
            "secret: |\n  a\n  hunter2",
            "secret:\n  value: hunter2",
            "secrets:\n- hunter2",
        ] {
            let line = below.lines().count();
            let (found, _) = excerpt(below, Position { line, column: 1 }).unwrap();
            assert!(!found.contains("hunter2"), "{below}: {found}");
        }
        // The caret stays under a field behind a mask.
        assert_eq!(
            shown("{ secret: hunter2, x: 1 }", 1, 20),
            "g.yaml:1:20: a: bad\n  1 | { secret: ***, x: 1 }\n    |                ^"
        );
    }
}
