//! Spellings of a configured secret that differ from the sender's: more in its file than the secret, an encoding, or a
//! prefix. And texts that are no secret at all.

use crate::auth::encoding::Encoding;
use crate::config::file::SecretEncoding;
use crate::config::file::preset::PresetSecretYaml;

/// A secret in another spelling, and the hint if the sender's is that one.
type SecretSpelling = (Vec<u8>, String);

/// Number of lines of a secret's file that are tried alone.
const MAX_LINES: usize = 8;

/// Number of things around a secret that are taken away, one after the other.
const MAX_STEPS: usize = 8;

/// The longest name before `=`.
const MAX_NAME: usize = 64;

/// Prefixes that providers give their secrets as a part of them.
const PREFIXES: &[&str] = &["whsec_", "wsk_"];

pub(super) const ENCODINGS: &[(SecretEncoding, &str)] =
    &[(SecretEncoding::Hex, "hex"), (SecretEncoding::Base64, "base64"), (SecretEncoding::Whsec, "whsec")];

/// Takes one thing away that is around a secret; `None` if it is not there.
type PeelSecret = fn(&[u8]) -> Option<&[u8]>;

const STEPS: &[(&str, PeelSecret)] = &[
    ("a byte order mark", |text| text.strip_prefix(b"\xef\xbb\xbf")),
    ("spaces or line breaks", |text| Some(text.trim_ascii()).filter(|bare| bare.len() < text.len())),
    ("quotes", |text| [b"\"", b"'"].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))),
    ("the word `export`", |text| text.strip_prefix(b"export ")),
    ("a name and `=`", |text| after_name(text, b'=')),
    ("a name and `:`", |text| after_name(text, b':')),
    ("a comma", |text| text.strip_suffix(b",")),
];

/// The text after a name, as in `WEBHOOK_SECRET=…` or `secret: …`.
fn after_name(text: &[u8], separator: u8) -> Option<&[u8]> {
    let (name, rest) = text.split_at_checked(text.iter().position(|byte| *byte == separator)?)?;
    let name = name.trim_ascii();
    let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
    let is_name = name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && name.len() <= MAX_NAME
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    rest.get(1..).filter(|rest| is_name && !rest.is_empty())
}

/// The secret without what is around it in its file, from the least that is taken away.
pub(super) fn alone(raw: &[u8]) -> Vec<SecretSpelling> {
    let mut all = peeled(raw, None);
    let lines = raw.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.enumerate().filter(|(_, line)| !line.is_empty()).take(MAX_LINES).collect();
    if lines.len() > 1 {
        for (index, line) in lines {
            let number = index + 1;
            all.push((line.to_vec(), several(number)));
            all.extend(peeled(line, Some(number)));
        }
    }
    for (text, hint) in std::iter::once((raw.to_vec(), None)).chain(all.clone().into_iter().map(|(t, h)| (t, Some(h))))
    {
        if let Some(text) = text.strip_prefix(b"whsec_").filter(|text| !text.is_empty()) {
            let and = hint.map(|hint| format!("{hint}; and ")).unwrap_or_default();
            let without = "the sender uses the secret without its prefix `whsec_`: remove it from the file";
            all.push((text.to_vec(), format!("{and}{without}")));
        }
    }
    all
}

fn several(number: usize) -> String {
    format!(
        "the secret's file has several lines, and line {number} is the secret: write one alone, and others under `secrets`"
    )
}

/// The text after each step that takes something away.
fn peeled(text: &[u8], line: Option<usize>) -> Vec<SecretSpelling> {
    let (mut rest, mut all, mut around) = (text, Vec::new(), Vec::new());
    for _ in 0..MAX_STEPS {
        let Some((what, bare)) = STEPS.iter().find_map(|(what, step)| Some((*what, step(rest)?))) else { break };
        rest = bare;
        if !around.contains(&what) {
            around.push(what);
        }
        let list = around.join(" and ");
        let hint = match line {
            None => format!(
                "the secret's file has {list} around the secret, and the sender does not: write the secret alone"
            ),
            Some(number) => format!("{}; without {list}", several(number)),
        };
        all.push((rest.to_vec(), hint));
    }
    all
}

/// Texts that the sender may use instead of the secret.
pub(super) fn of_sender(raw: &[u8]) -> Vec<SecretSpelling> {
    let as_text = "the sender uses the secret as text: set `encoding: utf8`";
    let prefixed = "the sender uses the secret as text, with its prefix `whsec_`: set `encoding: utf8`";
    let base64 = Encoding::Base64.encode(raw);
    let mut all: Vec<SecretSpelling> = vec![
        (Encoding::Hex.encode(raw).into_bytes(), as_text.to_owned()),
        (Encoding::HexUpper.encode(raw).into_bytes(), as_text.to_owned()),
        (base64.clone().into_bytes(), as_text.to_owned()),
        (format!("whsec_{base64}").into_bytes(), prefixed.to_owned()),
    ];
    all.extend(PREFIXES.iter().map(|prefix| {
        let hint = format!("the secret lacks its prefix `{prefix}`, which is a part of it: write the whole secret");
        ([prefix.as_bytes(), raw].concat(), hint)
    }));
    let around: [(&str, &str, &str); 7] = [
        ("", "\n", "the trailing newline of its file"),
        ("", "\r\n", "the trailing line break (CRLF) of its file"),
        ("\"", "\"", "quotes around it"),
        ("'", "'", "quotes around it"),
        ("\u{feff}", "", "a byte order mark before it"),
        ("", " ", "a space after it"),
        (" ", "", "a space before it"),
    ];
    all.extend(around.into_iter().map(|(before, after, what)| {
        let text = [before.as_bytes(), raw, after.as_bytes()].concat();
        (text, format!("the sender uses the secret with {what}"))
    }));
    all
}

/// Beginnings of texts that are known to be something else.
const OTHERS: &[(&str, &str)] = &[
    ("sk_", "an API key"),
    ("rk_", "a restricted API key"),
    ("pk_", "a publishable key"),
    ("we_", "the id of a webhook endpoint"),
    ("evt_", "the id of an event"),
    ("acct_", "the id of an account"),
    ("http://", "a URL"),
    ("https://", "a URL"),
    ("sha256=", "a signature"),
];

/// The kind of a text that cannot be the secret of this preset; `None` if it may be one. The text itself is not shown.
pub(super) fn other_kind(text: &str, preset: Option<(&str, &PresetSecretYaml)>) -> Option<String> {
    let text = text.trim().trim_matches(['"', '\'']);
    let is_placeholder = text.starts_with("${") && text.ends_with('}')
        || text.starts_with("{{") && text.ends_with("}}")
        || text.starts_with('<') && text.ends_with('>')
        || text.strip_prefix('$').is_some_and(|name| {
            name.contains(|letter: char| letter.is_ascii_uppercase())
                && name.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
        });
    if is_placeholder {
        let hint = "the configured secret is a placeholder, such as `${NAME}`, and a secret's file is not expanded: write \
                    the secret itself, or { env: NAME } in gateway.yaml";
        return Some(hint.to_owned());
    }
    let expected = preset.and_then(|(name, secret)| Some((name, secret, secret.begins_with.as_deref()?)));
    let other = OTHERS.iter().find(|(begin, _)| text.starts_with(begin));
    match (other, expected) {
        (_, Some((_, _, begin))) if text.starts_with(begin) => None,
        (Some((begin, what)), Some((name, secret, expected))) => Some(format!(
            "the configured secret begins with `{begin}`, as {what} does, and not with `{expected}`: the secret of {name} is \
             {}",
            secret.what
        )),
        (None, Some((name, secret, expected))) => Some(format!(
            "the configured secret does not begin with `{expected}`, as each of {name} does: it is {}",
            secret.what
        )),
        (Some((begin @ ("http://" | "https://" | "sha256="), what)), None) => {
            Some(format!("the configured secret begins with `{begin}`, as {what} does"))
        }
        (_, None) => None,
    }
}
