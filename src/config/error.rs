//! Problems of a configuration file, each with its position and field path, and the error of a failed load.
//!
//! A message never contains a value that could be a secret; every check must keep to this. Nothing here reads files.
//! `check` and `run` print a [`ConfigErrors`].

use std::borrow::Cow;
use std::fmt;

use serde_json::json;

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// An entry of a mapping.
    Key(Cow<'static, str>),
    /// An item of a list, counted from 0.
    Index(usize),
}

/// Path of a value in the file's tree, displayed as `routes[0].auth.jwt.issuer` or `claims["/a/b"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

impl FieldPath {
    /// The whole document; displayed as an empty string.
    pub fn root() -> Self {
        Self::default()
    }

    /// The entry `key` of the mapping at this path.
    pub fn child(&self, key: &str) -> Self {
        self.0.iter().cloned().chain([Segment::Key(key.to_owned().into())]).collect()
    }

    /// The mapping or list that contains this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, rest)| Self(rest.to_vec()))
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The same field of another route, if it is one of a route.
    #[must_use]
    pub fn with_route(&self, change: impl Fn(usize) -> usize) -> Self {
        let mut segments = self.0.clone();
        if let [Segment::Key(key), Segment::Index(index), ..] = segments.as_mut_slice()
            && key == "routes"
        {
            *index = change(*index);
        }
        Self(segments)
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                // Debug escapes quotes and control characters, so a key cannot forge a line of output.
                Segment::Key(key) if !is_plain(key) => write!(f, "[{key:?}]")?,
                Segment::Key(key) if at == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// A position in a text; lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl Position {
    /// The first character; also stands for a file as a whole.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A problem with its position in the text. A problem of another file (a certificate, a key) has the position of the
/// field that names that file, and its message says which file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The start of the field, or of its nearest ancestor in the file.
    pub position: Position,
    /// The field; the root for the file as a whole.
    pub field: FieldPath,
    /// The problem, and what to write instead.
    pub message: String,
}

/// Without its position: `routes[0].name: expected …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.segments() {
            [] => f.write_str(&self.message),
            _field => write!(f, "{}: {}", self.field, self.message),
        }
    }
}

/// The included files, whose lines are numbered on from those of gateway.yaml.
#[derive(Debug, Clone, Default)]
pub struct IncludedFiles(pub Vec<IncludedFile>);

/// An included file.
#[derive(Debug, Clone)]
pub struct IncludedFile {
    /// The file, as it is named to the user.
    pub name: String,
    /// The number of lines before its first line.
    pub lines_before: usize,
    /// The number of routes before its first route.
    pub routes_before: usize,
}

impl IncludedFiles {
    /// The file of a problem, which is `main` unless it is included, and the problem with its position and field there.
    pub fn placed<'f>(&'f self, main: &'f str, problem: &Problem) -> (&'f str, Problem) {
        let Some(file) = self.0.iter().rfind(|file| file.lines_before < problem.position.line) else {
            return (main, problem.clone());
        };
        let line = problem.position.line.saturating_sub(file.lines_before);
        let placed = Problem {
            position: Position { line, ..problem.position },
            field: problem.field.with_route(|index| index.saturating_sub(file.routes_before)),
            message: problem.message.clone(),
        };
        (&file.name, placed)
    }

    /// `routes[0]`, and its file if there are several.
    pub fn route(&self, index: usize) -> String {
        match self.0.iter().rfind(|file| file.routes_before <= index) {
            Some(file) => format!("routes[{}] of {}", index.saturating_sub(file.routes_before), file.name),
            None if self.0.is_empty() => format!("routes[{index}]"),
            None => format!("routes[{index}] of the file that includes this one"),
        }
    }
}

/// Every problem of one file and the files that it includes, sorted by position. Displayed as one line each:
/// `gateway.yaml:12:9: routes[0].name: expected …`.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ConfigErrors {
    file: String,
    problems: Vec<Problem>,
    included: IncludedFiles,
}

impl ConfigErrors {
    /// The error for `file` (as the user named it).
    pub fn new(file: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.position, &a.field, &a.message).cmp(&(b.position, &b.field, &b.message)));
        problems.dedup();
        Self { file: file.into(), problems, included: IncludedFiles::default() }
    }

    /// The same problems, of which some are in these files.
    #[must_use]
    pub fn with_included(self, included: IncludedFiles) -> Self {
        Self { included, ..self }
    }

    /// Each problem with its file, and with its position and field in this file.
    pub fn placed(&self) -> impl Iterator<Item = (&str, Problem)> {
        self.problems.iter().map(|problem| self.included.placed(&self.file, problem))
    }

    /// The error for a file that could not be read at all.
    pub fn unreadable(file: impl Into<String>, message: impl Into<String>) -> Self {
        let whole = Problem { position: Position::START, field: FieldPath::root(), message: message.into() };
        Self::new(file, vec![whole])
    }

    /// The problems, sorted by position.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For `--format json`: an array of objects with `file`, `line`, `column`, `field`, `message`.
    pub fn to_json(&self) -> serde_json::Value {
        let one = |(file, at): (&str, Problem)| {
            json!({
                "file": file, "line": at.position.line, "column": at.position.column,
                "field": at.field.to_string(), "message": at.message,
            })
        };
        self.placed().map(one).collect()
    }

    fn lines(&self) -> String {
        let line = |(file, at): (&str, Problem)| {
            let Position { line, column } = at.position;
            format!("{file}:{line}:{column}: {at}")
        };
        self.placed().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> FieldPath {
        let route = FieldPath(vec![Segment::Key("routes".into()), Segment::Index(0)]);
        route.child("auth").child("jwt").child("issuer")
    }

    #[test]
    fn paths_are_printed_so_that_they_can_be_read_back() {
        assert_eq!(issuer().to_string(), "routes[0].auth.jwt.issuer");
        let odd = FieldPath::root().child("claims").child("/a/b").child("x");
        assert_eq!(odd.to_string(), r#"claims["/a/b"].x"#);
        for (key, shown) in [("a.b", r#"["a.b"]"#), ("", r#"[""]"#), ("a\nb", r#"["a\nb"]"#), ("X-Sig", "X-Sig")] {
            assert_eq!(FieldPath::root().child(key).to_string(), shown);
        }
        assert_eq!(issuer().parent().unwrap().to_string(), "routes[0].auth.jwt");
        assert_eq!(FieldPath::root().parent(), None);
    }

    #[test]
    fn errors_are_sorted_and_printed_one_a_line() {
        let at = |line, column, field, message: &str| Problem {
            position: Position { line, column },
            field,
            message: message.to_owned(),
        };
        let late = at(12, 9, issuer(), "expected a string, got a number");
        let errors = ConfigErrors::new("gateway.yaml", vec![late, at(2, 1, FieldPath::root(), "bad")]);
        let text = "gateway.yaml:2:1: bad\n\
                    gateway.yaml:12:9: routes[0].auth.jwt.issuer: expected a string, got a number";
        assert_eq!(errors.to_string(), text);
        let json = errors.to_json();
        assert_eq!(json[1]["field"], "routes[0].auth.jwt.issuer");
        assert_eq!(json[1]["line"], 12);
        assert_eq!(json.as_array().unwrap().len(), 2);
    }
}
