//! Reads YAML strictly, and records the position of each field.
//!
//! Two passes: `saphyr-parser`'s events give positions, and let this module reject constructs that a gateway's
//! configuration must not contain (duplicate keys, anchors, aliases, merge keys, tags, second documents, keys that are
//! not strings, deep nesting); `serde_yaml` then gives the values, and alone decides the type of a scalar.
//! The module contains no field names and opens no file. Called by the config loader, and for other YAML files.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use super::error::{FieldPath, Position, Problem, Segment};

/// Limits of a document, which is in memory three times: as text, as positions and as values.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Maximum length of the text, in bytes.
    pub bytes: usize,
    /// Maximum number of mappings, lists and scalars that are not keys.
    pub values: usize,
}

impl Bounds {
    /// Limits of a configuration; a text this short limits the number of its values too.
    pub const CONFIGURATION: Self = Self { bytes: 1 << 20, values: 1 << 20 };
}

/// Maximum nesting of mappings and lists.
pub const MAX_DEPTH: usize = 64;

/// A value with its position.
#[derive(Debug)]
pub struct Node {
    /// The start of the entry's key, of the list's item, or of the document.
    pub position: Position,
    /// The value.
    pub value: NodeValue,
    /// Whether the value comes from the environment: its type is then that of the field.
    pub is_substituted: bool,
}

impl Node {
    /// A value of the file.
    pub const fn new(position: Position, value: NodeValue) -> Self {
        Self { position, value, is_substituted: false }
    }

    /// Whether it has keys.
    pub const fn is_mapping(&self) -> bool {
        matches!(self.value, NodeValue::Mapping(_))
    }
}

/// A value of a document.
#[derive(Debug)]
pub enum NodeValue {
    /// `null`, or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number of at most 64 bits.
    Number(serde_json::Number),
    /// A string.
    String(String),
    /// The items of a list.
    List(Vec<Node>),
    /// The entries of a mapping, sorted by key.
    Mapping(Vec<(String, Node)>),
}

impl Default for Node {
    fn default() -> Self {
        Self::new(Position::START, NodeValue::Mapping(Vec::new()))
    }
}

/// The position of a value and of all values in it.
struct Positions {
    position: Position,
    children: BTreeMap<Segment, Positions>,
}

/// Reads a configuration; an empty file is an empty mapping. On failure reports every problem of its YAML, in the order
/// of the text.
pub fn read(text: &str) -> Result<Node, Vec<Problem>> {
    read_within(text, &Bounds::CONFIGURATION)
}

#[cfg(test)]
thread_local! {
    /// The number of documents that this thread has read.
    pub(super) static DOCUMENTS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Reads one document; like [`read()`], with other limits.
pub fn read_within(text: &str, bounds: &Bounds) -> Result<Node, Vec<Problem>> {
    #[cfg(test)]
    DOCUMENTS.set(DOCUMENTS.get() + 1);
    if text.len() > bounds.bytes {
        return Err(vec![whole(Position::START, format!("file is larger than {} bytes", bounds.bytes))]);
    }
    // libyaml reads a byte order mark as an indentation of one, and the second line as a second document.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    reject_control_characters(text)?;
    let positions = scan(text, bounds.values)?;
    let mut value: Json = serde_yaml::from_str(text).map_err(|error| vec![second_pass_error(text, &error)])?;
    if value.is_null() {
        value = Json::Object(serde_json::Map::new());
    }
    // Fail closed: the checks were made on the first reading, and the values come from the second.
    zip(positions, value).ok_or_else(|| {
        let message = "ambiguous YAML: two parsers read it differently; write it in a simpler form";
        vec![whole(Position::START, message)]
    })
}

/// Rejects control characters, which confuse terminals that show the file, and Unicode line breaks, about which the
/// parsers disagree.
fn reject_control_characters(text: &str) -> Result<(), Vec<Problem>> {
    let bad = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    let Some((before, found)) = text.char_indices().find(|(_, c)| bad(*c)).map(|(at, c)| (text.split_at(at).0, c))
    else {
        return Ok(());
    };
    // A line ends with \n, \r\n or \r, as for saphyr-parser.
    let before = before.replace("\r\n", "\n");
    let line = before.matches(['\n', '\r']).count() + 1;
    let column = before.rsplit(['\n', '\r']).next().unwrap_or_default().chars().count() + 1;
    Err(vec![whole(Position { line, column }, format!("control character U+{:04X} is not allowed", u32::from(found)))])
}

/// The first pass: positions, and constructs that are not allowed.
fn scan(text: &str, max_values: usize) -> Result<Positions, Vec<Problem>> {
    let mut scan = Scan { stack: Vec::new(), root: None, found: Vec::new(), values: 0, is_over: false };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => scan.event(event, position_of(&span.start)),
            Err(error) => {
                scan.found.push(syntax(text, position_of(error.marker()), error.info()));
                break;
            }
        }
        if scan.values > max_values {
            scan.found.push(whole(Position::START, format!("contains more than {max_values} values")));
            break;
        }
        if scan.is_over {
            break;
        }
    }
    if scan.found.is_empty() {
        Ok(scan.root.unwrap_or_else(|| Positions::at(Position::START)))
    } else {
        Err(scan.found)
    }
}

struct Scan {
    stack: Vec<Frame>,
    root: Option<Positions>,
    found: Vec<Problem>,
    /// Number of values so far.
    values: usize,
    /// Whether the rest of the text cannot be checked.
    is_over: bool,
}

/// An open mapping or list.
struct Frame {
    node: Positions,
    is_mapping: bool,
    /// The key whose value comes next.
    key: Option<(String, Position)>,
}

impl Scan {
    fn event(&mut self, event: Event<'_>, at: Position) {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => self.stop(at, "only one document is allowed in the file"),
            Event::Alias(_) => {
                self.report(at, "aliases (`*name`) are not allowed; write the value out");
                self.scalar(String::new(), ScalarStyle::SingleQuoted, at);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.reject_properties(anchor, tag.is_some(), at);
                self.scalar(text.into_owned(), style, at);
            }
            Event::MappingStart(anchor, tag) => {
                self.reject_properties(anchor, tag.is_some(), at);
                self.open(Frame { node: Positions::at(at), is_mapping: true, key: None });
            }
            Event::SequenceStart(anchor, tag) => {
                self.reject_properties(anchor, tag.is_some(), at);
                self.open(Frame { node: Positions::at(at), is_mapping: false, key: None });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(frame) = self.stack.pop() {
                    self.attach(frame.node);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
    }

    fn reject_properties(&mut self, anchor: usize, has_tag: bool, at: Position) {
        if anchor != 0 {
            self.report(at, "anchors (`&name`) are not allowed; write the value out where it is needed");
        }
        if has_tag {
            self.report(at, "tags (`!name`) are not allowed");
        }
    }

    fn open(&mut self, frame: Frame) {
        if self.at_key() {
            self.stop(frame.node.position, "a key must be a string, not a mapping or list");
        } else if self.stack.len() >= MAX_DEPTH {
            self.stop(frame.node.position, format!("nested deeper than {MAX_DEPTH} levels"));
        } else {
            self.stack.push(frame);
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, at: Position) {
        let is_plain = style == ScalarStyle::Plain;
        if self.at_key() {
            return self.key(text, is_plain, at);
        }
        if let Some(message) = is_plain.then(|| rejected_value(&text)).flatten() {
            self.report(at, message);
        }
        self.attach(Positions::at(at));
    }

    fn key(&mut self, text: String, is_plain: bool, at: Position) {
        let Some(frame) = self.stack.last_mut() else { return };
        let first = frame.node.children.get(&Segment::Key(text.clone().into())).map(|node| node.position.line);
        frame.key = Some((text.clone(), at));
        if let Some(line) = first {
            self.report(at, format!("duplicate key, first on line {line}"));
        }
        if is_plain && text == "<<" {
            self.report(at, "merge keys (`<<`) are not allowed; write the fields out");
        }
        if is_plain && may_be_typed(&text) && !matches!(serde_yaml::from_str(&text), Ok(Yaml::String(_))) {
            self.report(at, format!("a key must be a string; quote it: {text:?}"));
        }
    }

    fn attach(&mut self, mut node: Positions) {
        self.values = self.values.saturating_add(1);
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        let segment = match frame.key.take() {
            Some((key, position)) => {
                node.position = position;
                Segment::Key(key.into())
            }
            None => Segment::Index(frame.node.children.len()),
        };
        // The first of two equal keys is kept, because the messages about duplicates name its line.
        frame.node.children.entry(segment).or_insert(node);
    }

    fn at_key(&self) -> bool {
        self.stack.last().is_some_and(|frame| frame.is_mapping && frame.key.is_none())
    }

    fn stop(&mut self, position: Position, message: impl Into<String>) {
        self.report(position, message);
        self.is_over = true;
    }

    fn report(&mut self, position: Position, message: impl Into<String>) {
        self.found.push(Problem { position, field: self.path(), message: message.into() });
    }

    fn path(&self) -> FieldPath {
        let step = |frame: &Frame| match &frame.key {
            Some((key, _)) => Some(Segment::Key(key.clone().into())),
            None => (!frame.is_mapping).then_some(Segment::Index(frame.node.children.len())),
        };
        self.stack.iter().filter_map(step).collect()
    }
}

/// The message for a number that JSON cannot represent: serde_yaml would silently read infinity and not-a-number as
/// null, and fail without a path on a number of more than 64 bits.
fn rejected_value(text: &str) -> Option<&'static str> {
    let bare = text.trim_start_matches(['+', '-']);
    if bare.len() == 4
        && bare.starts_with('.')
        && matches!(serde_yaml::from_str(text), Ok(Yaml::Number(n)) if !n.as_f64().is_some_and(f64::is_finite))
    {
        return Some("infinity and NaN are not allowed");
    }
    let long = bare.len() > 16 && bare.starts_with(|c: char| c.is_ascii_digit());
    (long && serde_yaml::from_str::<Json>(text).is_err()).then_some("number out of range; more than 64 bits")
}

/// Whether serde_yaml may read the key as something other than a string; saves a parser run for every other key.
fn may_be_typed(key: &str) -> bool {
    let words = ["", "null", "true", "false"];
    key.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | '~'))
        || words.iter().any(|word| key.eq_ignore_ascii_case(word))
}

/// The values with their positions; `None` if the two readings differ.
fn zip(positions: Positions, value: Json) -> Option<Node> {
    let Positions { position, mut children } = positions;
    let mut child = |segment, value| zip(children.remove(&segment)?, value);
    let value = match value {
        Json::Null => NodeValue::Null,
        Json::Bool(value) => NodeValue::Bool(value),
        Json::Number(number) => NodeValue::Number(number),
        Json::String(text) => NodeValue::String(text),
        Json::Array(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| child(Segment::Index(index), item));
            NodeValue::List(items.collect::<Option<_>>()?)
        }
        Json::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let node = child(Segment::Key(key.clone().into()), value)?;
                Some((key, node))
            });
            NodeValue::Mapping(entries.collect::<Option<_>>()?)
        }
    };
    children.is_empty().then_some(Node::new(position, value))
}

/// Rarely reached: only for a text that libyaml rejects and the first pass accepts.
fn second_pass_error(text: &str, error: &serde_yaml::Error) -> Problem {
    let position = error.location().map_or(Position::START, |at| Position { line: at.line(), column: at.column() });
    syntax(text, position, &error.to_string())
}

/// A syntax error with the fix for a common mistake, otherwise with the parser's own message.
fn syntax(text: &str, position: Position, parser_says: &str) -> Problem {
    const HELP: [(&str, &str); 12] = [
        ("unknown anchor", "a value that starts with `*` needs quotes"),
        (
            "block collection",
            "indent this line like its neighbours: with spaces, and each item of a list with its `- `",
        ),
        ("parsing a block mapping", "indent this line like its neighbours, with spaces"),
        ("cannot start any token", "a value that starts with this character needs quotes"),
        ("unexpected character", "a value that starts with this character needs quotes"),
        ("mapping values are not allowed", "unexpected `:`; indent the line like its neighbours, or quote the value"),
        ("scanning a quoted scalar, found unexpected end", "unterminated quoted string"),
        ("unknown escape", "unknown escape in double quotes; use single quotes for literal backslashes"),
        ("parsing a flow sequence", "this list or one before it lacks a `,` or the closing `]`"),
        ("parsing a flow mapping", "this mapping or one before it lacks a `,` or the closing `}`"),
        // saphyr reads ahead of its events, so its own limit may be reached before `MAX_DEPTH`.
        ("recursion limit", "nested deeper than 64 levels"),
        ("simple key", "expected `key: value`; a space must follow `:` and `-`"),
    ];
    if let Some(tab) = indented_with_tab(text, position.line, parser_says) {
        return whole(tab, "invalid YAML: the line is indented with a tab; use spaces");
    }
    let line = text.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
    if line.contains(": [::") || line.contains(": [fe80") {
        return whole(position, "invalid YAML: `[` begins a list; put the address in quotes: \"[::]:8443\"");
    }
    let help = HELP.iter().find(|(fragment, _)| parser_says.contains(fragment)).map(|(_, help)| *help);
    whole(position, format!("invalid YAML: {}", help.unwrap_or(parser_says)))
}

/// The tab in the indentation of the line, or of the next one: the parser finds it where it expects the end of a value.
fn indented_with_tab(text: &str, line: usize, parser_says: &str) -> Option<Position> {
    let lines = if parser_says.contains("tab") { line..line.saturating_add(2) } else { line..line.saturating_add(1) };
    lines.into_iter().find_map(|line| {
        let text = text.lines().nth(line.saturating_sub(1))?;
        let tab = text.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t')?;
        Some(Position { line, column: tab.saturating_add(1) })
    })
}

fn whole(position: Position, message: impl Into<String>) -> Problem {
    Problem { position, field: FieldPath::root(), message: message.into() }
}

fn position_of(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

impl Positions {
    fn at(position: Position) -> Self {
        Self { position, children: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests;
