//! `include`: files with further routes, which are read as if their routes stood in gateway.yaml.
//!
//! The lines of the files are numbered on from those of gateway.yaml, so that a position says in which file it is;
//! [`IncludedFiles`] turns it back into a line of that file.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::environment::{Lookup, Substituted, substitute};
use super::error::{FieldPath, IncludedFile, IncludedFiles, Position, Problem, Segment};
use super::file::IncludePattern;
use super::files::{SourceContent, describe, read_file};
use super::yaml::{self, Node, NodeValue};

/// Size limit of an included file, as of gateway.yaml.
const MAX_FILE: u64 = 4 << 20;

/// Maximum number of included files.
const MAX_FILES: usize = 10_000;

/// The key of gateway.yaml.
const INCLUDE: &str = "include";

/// The only key of an included file.
const ROUTES: &str = "routes";

/// Content of each included file, by its path as gateway.yaml names it.
pub(super) type Contents = BTreeMap<String, SourceContent>;

/// The value of `include` and its place; `None` if it is absent or of another type.
pub(super) fn pattern(document: &Node) -> Option<(&str, Problem)> {
    let NodeValue::Mapping(entries) = &document.value else { return None };
    let (_, node) = entries.iter().find(|(key, _)| key == INCLUDE)?;
    let NodeValue::String(text) = &node.value else { return None };
    let place = Problem { position: node.position, field: FieldPath::root().child(INCLUDE), message: String::new() };
    Some((text, place))
}

/// Reads the files that the pattern matches; none if there is no such folder.
///
/// # Errors
/// Why the folder cannot be listed.
pub(super) fn read(path: &Path, pattern: &IncludePattern) -> Result<Contents, String> {
    let folder = path.with_file_name(&pattern.folder);
    let cannot = |error: &std::io::Error| format!("folder {}: {}", pattern.folder.escape_debug(), describe(error));
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contents::new()),
        entries => entries.map_err(|error| cannot(&error))?,
    };
    let mut contents = Contents::new();
    for entry in entries {
        let name = entry.map_err(|error| cannot(&error))?.file_name();
        let Some(name) = name.to_str().filter(|name| pattern.matches(name)) else { continue };
        contents.insert(format!("{}/{name}", pattern.folder), read_file(&folder.join(name), MAX_FILE));
        if contents.len() > MAX_FILES {
            return Err(format!("more than {MAX_FILES} files match"));
        }
    }
    Ok(contents)
}

/// Appends the routes of the files to those of the document, whose text has `lines` lines, and reports every problem of
/// the files.
pub(super) fn merge(
    document: &mut Node,
    mut lines: usize,
    path: &Path,
    contents: &Contents,
    (lookup, substituted): (&Lookup<'_>, &mut Substituted),
) -> (IncludedFiles, Vec<Problem>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    if contents.is_empty() {
        return Default::default();
    }
    let Some(routes) = routes_of(document) else { return Default::default() };
    for (name, content) in contents {
        let file = IncludedFile {
            name: path.with_file_name(name).display().to_string(),
            lines_before: lines,
            routes_before: routes.len(),
        };
        let shift = |position: Position| Position { line: position.line.saturating_add(file.lines_before), ..position };
        let text = content
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|bytes| std::str::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned()));
        let document = text.as_ref().map_err(|error| vec![whole(error)]).and_then(|text| yaml::read(text));
        let found = match document {
            Ok(document) => routes_alone(document, routes),
            Err(found) => found,
        };
        for node in routes.iter_mut().skip(file.routes_before) {
            move_down(node, file.lines_before);
        }
        problems.extend(found.into_iter().map(|problem| Problem {
            position: shift(problem.position),
            field: problem.field.with_route(|index| index.saturating_add(file.routes_before)),
            ..problem
        }));
        for (index, node) in routes.iter_mut().enumerate().skip(file.routes_before) {
            substitute(node, &[Segment::Key(ROUTES.into()), Segment::Index(index)], lookup, substituted);
        }
        lines = lines.saturating_add(text.map_or(0, |text| text.lines().count()) + 1);
        files.push(file);
    }
    (IncludedFiles(files), problems)
}

/// The routes of gateway.yaml, which it may lack; `None` if they are no list.
fn routes_of(document: &mut Node) -> Option<&mut Vec<Node>> {
    let position = document.position;
    let NodeValue::Mapping(entries) = &mut document.value else { return None };
    let at = entries.partition_point(|(key, _)| key.as_str() < ROUTES);
    if entries.get(at).is_none_or(|(key, _)| key != ROUTES) {
        entries.insert(at, (ROUTES.to_owned(), Node::new(position, NodeValue::List(Vec::new()))));
    }
    match entries.get_mut(at).map(|(_, node)| &mut node.value) {
        Some(NodeValue::List(routes)) => Some(routes),
        _ => None,
    }
}

/// Appends the routes of an included file, and reports everything else in it.
fn routes_alone(document: Node, routes: &mut Vec<Node>) -> Vec<Problem> {
    let NodeValue::Mapping(entries) = document.value else { return vec![whole("expected `routes:` and a list")] };
    let mut problems = Vec::new();
    let mut is_found = false;
    for (key, node) in entries {
        let field = FieldPath::root().child(&key);
        let problem = |message: &str| Problem { position: node.position, field, message: message.to_owned() };
        match (key.as_str(), node.value) {
            (ROUTES, NodeValue::List(items)) => {
                routes.extend(items);
                is_found = true;
            }
            (ROUTES, _) => {
                problems.push(problem("expected a list of routes"));
                is_found = true;
            }
            (INCLUDE, _) => problems.push(problem("an included file cannot include others; remove it")),
            _ => problems.push(problem("an included file has `routes` only; move this key to gateway.yaml")),
        }
    }
    if !is_found && problems.is_empty() {
        problems.push(whole("expected `routes:` and a list of routes"));
    }
    problems
}

fn move_down(node: &mut Node, lines: usize) {
    node.position.line = node.position.line.saturating_add(lines);
    match &mut node.value {
        NodeValue::List(items) => items.iter_mut().for_each(|item| move_down(item, lines)),
        NodeValue::Mapping(entries) => entries.iter_mut().for_each(|(_, value)| move_down(value, lines)),
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::String(_) => {}
    }
}

fn whole(message: &str) -> Problem {
    Problem { position: Position::START, field: FieldPath::root(), message: message.to_owned() }
}
