//! Parser of revocation list files: parses YAML into a [`RevocationList`], or returns every problem at once. No I/O.
//!
//! `compile` reads a list for the first time, `reload` whenever its file has changed.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::error::ConfigErrors;
use super::reader::{self, Field, List, Report};
use super::yaml;
use crate::auth::revocation::RevocationList;
use crate::auth::time::TimestampUnit;
use crate::clock::UnixTime;
use crate::snapshot::ConfigHash;

/// Size limit of a file, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Maximum number of entries in one file.
pub const MAX_ENTRIES: usize = 1_000_000;

/// The entries, plus the file's own mapping, three lists and time.
const BOUNDS: yaml::Bounds = yaml::Bounds { bytes: 64 << 20, values: MAX_ENTRIES + 5 };

/// Maximum number of reported problems: one mistake of the program that writes the file may cause a million.
const MAX_LINES: usize = 20;

/// The keys of a revocation list.
#[derive(Debug, Default, Deserialize)]
struct RevocationListYaml {
    /// Revoked token ids (claim `jti`).
    jti: Field<List<RevokedName>>,
    /// Revoked subjects (claim `sub`).
    sub: Field<List<RevokedName>>,
    /// Revoked key ids (`kid`).
    kid: Field<List<RevokedName>>,
    /// Tokens issued earlier are revoked, and tokens without a time of issue.
    issued_before: Field<IssuedBefore>,
}

/// A name that is not empty.
#[derive(Clone, Debug)]
struct RevokedName(String);

impl<'de> Deserialize<'de> for RevokedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.is_empty() {
            Err(de::Error::custom("must not be empty; set a name or remove it"))
        } else {
            Ok(Self(name))
        }
    }
}

/// A time of whole seconds.
#[derive(Clone, Copy, Debug)]
struct IssuedBefore(UnixTime);

struct IssuedBeforeVisitor;

const WHOLE_SECONDS: &str = "expected a time of whole seconds such as 2026-11-24T00:00:00Z, or Unix seconds";

impl Visitor<'_> for IssuedBeforeVisitor {
    type Value = IssuedBefore;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time such as 2026-11-24T00:00:00Z, or Unix seconds")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<IssuedBefore, E> {
        UnixTime::from_seconds(seconds).map(IssuedBefore).ok_or_else(|| E::custom(WHOLE_SECONDS))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<IssuedBefore, E> {
        // A fraction would be cut off, and tokens issued within that second would be accepted.
        let whole = Some(text).filter(|text| !text.contains(['.', ',']));
        let time = whole.and_then(|text| TimestampUnit::Rfc3339.read(text));
        time.map(IssuedBefore).ok_or_else(|| E::custom(WHOLE_SECONDS))
    }
}

impl<'de> Deserialize<'de> for IssuedBefore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IssuedBeforeVisitor)
    }
}

/// Reads a list; `file` is its name in problems.
///
/// # Errors
/// Every problem of YAML, shape and meaning, with its position.
pub fn read(file: &str, bytes: &[u8]) -> Result<RevocationList, ConfigErrors> {
    let text = std::str::from_utf8(bytes).map_err(|_| ConfigErrors::unreadable(file, "not UTF-8 text"))?;
    if is_blank(text) {
        let message = "the file is empty, perhaps while it is being written; use {} to revoke nothing";
        return Err(ConfigErrors::unreadable(file, message));
    }
    let document = yaml::read_within(text, &BOUNDS).map_err(|problems| ConfigErrors::new(file, problems))?;
    let (list, report): (RevocationListYaml, Report) = reader::read(&document, Report::default());
    if !report.problems.is_empty() {
        return Err(ConfigErrors::new(file, report.problems.into_vec()));
    }
    Ok(RevocationList {
        token_ids: names(list.jti),
        subjects: names(list.sub),
        key_ids: names(list.kid),
        issued_before: list.issued_before.value().map(|time| time.0),
        version: ConfigHash::of(&[bytes]).0,
    })
}

fn names(names: Field<List<RevokedName>>) -> HashSet<String> {
    names.into_value().into_iter().flat_map(|names| names.0).map(|name| name.0).collect()
}

/// The first problems, one line each, and the number of further problems.
pub fn problem_lines(errors: &ConfigErrors) -> Vec<String> {
    let mut lines: Vec<String> = errors.to_string().lines().take(MAX_LINES).map(str::to_owned).collect();
    let more = errors.problems().len().saturating_sub(MAX_LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Whether the file has no content: a program that truncates the file before it writes it would otherwise revoke
/// nothing in between.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read("r.yaml", text.as_bytes()).map_or_else(|errors| problem_lines(&errors), |_| Vec::new())
    }

    #[test]
    fn every_field_is_read() {
        let text = "jti: [a, \"1\"]\nsub:\n  - b\nkid: [c]\nissued_before: 2027-01-15T08:00:00Z\n";
        let list = read("r.yaml", text.as_bytes()).unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        assert_eq!((&list.token_ids, &list.subjects, &list.key_ids), (&set(&["a", "1"]), &set(&["b"]), &set(&["c"])));
        assert_eq!((list.entries(), list.issued_before.map(UnixTime::seconds)), (4, Some(1_800_000_000)));
        let seconds = read("r.yaml", b"issued_before: 1800000000").unwrap();
        assert_eq!(seconds.issued_before, list.issued_before);
        assert_ne!(seconds.version, list.version);
        assert_eq!(read("r.yaml", b"{}").unwrap().entries(), 0);
    }

    #[test]
    fn every_problem_has_its_position() {
        for (text, expected) in [
            ("jit: [a]", "r.yaml:1:1: jit: unknown field, did you mean `jti`?"),
            ("jti: [a]\njti: [b]", "r.yaml:2:1: jti: duplicate key, first on line 1"),
            ("jti:\n  - a\n  - \"\"", "r.yaml:3:5: jti[1]: must not be empty"),
            ("sub: [1]", "r.yaml:1:7: sub[0]: expected a string, got a number"),
            ("sub: a", "r.yaml:1:1: sub: expected a list, got a string"),
            ("kid:", "r.yaml:1:1: kid: expected a list, got nothing"),
            ("issued_before: 1800000000000", "r.yaml:1:1: issued_before: expected a time of whole seconds"),
            ("issued_before: 2027-01-15", "r.yaml:1:1: issued_before: expected a time of whole seconds"),
            ("issued_before: 2027-01-15T08:00:00.5Z", "r.yaml:1:1: issued_before: expected a time of whole seconds"),
            ("issued_before: -1", "r.yaml:1:1: issued_before: expected a time such as"),
            ("- a", "r.yaml:1:1: expected a mapping"),
            ("jti: [a", "r.yaml:"),
            ("", "r.yaml:1:1: the file is empty, perhaps while it is being written"),
            ("# revoked\n\n", "r.yaml:1:1: the file is empty"),
        ] {
            let told = problems(text);
            assert!(told.len() == 1 && told[0].starts_with(expected), "{text:?}: {told:#?}");
        }
        assert_eq!(read("r.yaml", b"jti: [\xff]").unwrap_err().to_string(), "r.yaml:1:1: not UTF-8 text");
        assert_eq!(problems("jit: [a]\nsub: [\"\"]").len(), 2);
    }

    #[test]
    fn a_million_problems_are_reported_in_a_few_lines() {
        let told = problems(&format!("jti: [{}]", "'',".repeat(100)));
        assert_eq!((told.len(), told.last().map(String::as_str)), (21, Some("and 80 more")));
    }

    #[test]
    fn names_have_a_number() {
        let told = problems(&format!("jti: [{}]", "a,".repeat(MAX_ENTRIES + 10)));
        assert!(told.len() == 1 && told[0].contains("more than 1000005 values"), "{told:#?}");
    }
}
