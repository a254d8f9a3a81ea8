//! A value of the tree, present or absent, with its place: where serde's calls come to, and where problems are recorded.

use std::cell::RefCell;

use serde::de;

use super::messages;
use super::problems::{Location, Report};
use crate::config::error::Segment;
use crate::config::yaml::{Node, NodeValue};

/// The key that chooses the variant of an enum whose serde name is [`TAGGED`].
pub(super) const TAG: &str = "type";

/// The serde name of an enum whose variant is chosen by the key `type` of its mapping.
pub const TAGGED: &str = "$tagged";

/// The serde name of the name of a file that is read with the configuration.
pub const FILE: &str = "$file";

/// The serde name of the name of an environment variable.
pub const VARIABLE: &str = "$variable";

/// The serde name of the name of a revocation list.
pub const REVOCATIONS: &str = "$revocations";

/// An error of one value.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It has been recorded.
    #[error("recorded")]
    Recorded,
    /// The whole message.
    #[error("{0}")]
    Message(String),
    /// The expected form; the actual type is known to the [`Reader`].
    #[error("{0}")]
    Expected(String),
}

impl de::Error for ReadError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }
}

/// The place of a value. It is entered into the list of places only where something needs it.
#[derive(Clone, Copy)]
pub(super) enum Spot<'a> {
    Known(Location),
    Below(Location, PathStep<'a>),
    /// The place of this value and of all values below it.
    Fixed(Location),
}

#[derive(Clone, Copy)]
pub(super) enum PathStep<'a> {
    Field(&'static str),
    Key(&'a str),
    Index(usize),
}

/// A value, present or absent, to be deserialized.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) node: Option<&'a Node>,
    pub(super) place: Spot<'a>,
    /// Whether the key `type` of this mapping has been read.
    pub(super) is_tagged: bool,
    pub(super) report: &'a RefCell<Report>,
}

impl<'a> Reader<'a> {
    pub(super) fn value(self) -> Option<&'a NodeValue> {
        self.node.map(|node| &node.value)
    }

    pub(super) fn location(self) -> Location {
        let (parent, step) = match self.place {
            Spot::Known(location) | Spot::Fixed(location) => return location,
            Spot::Below(parent, step) => (parent, step),
        };
        let segment = match step {
            PathStep::Field(name) => Segment::Key(name.into()),
            PathStep::Key(key) => Segment::Key(key.to_owned().into()),
            PathStep::Index(index) => Segment::Index(index),
        };
        let position = self.node.map(|node| node.position);
        self.report.borrow_mut().problems.place(parent, segment, position)
    }

    /// The same value, with its place entered.
    pub(super) fn located(self) -> Self {
        let place = match self.place {
            Spot::Fixed(location) => Spot::Fixed(location),
            Spot::Known(_) | Spot::Below(..) => Spot::Known(self.location()),
        };
        Self { place, ..self }
    }

    /// A value below this one, whose place must be entered.
    pub(super) fn below(self, step: PathStep<'a>, node: Option<&'a Node>) -> Self {
        let place = match self.place {
            Spot::Fixed(location) => Spot::Fixed(location),
            // Nothing below a value that is absent or invalid has a place of its own.
            Spot::Known(location) if self.node.is_none() => Spot::Fixed(location),
            Spot::Known(location) | Spot::Below(location, _) => Spot::Below(location, step),
        };
        Self { node, place, is_tagged: false, ..self }
    }

    /// The value; its error is recorded.
    pub(super) fn recorded<T>(self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        let message = match result {
            Ok(_) | Err(ReadError::Recorded) => return result,
            Err(ReadError::Message(message)) => message,
            Err(ReadError::Expected(expected)) => messages::wrong_type(&expected, self.node),
        };
        let location = self.location();
        self.report.borrow_mut().problems.add(location, message);
        Err(ReadError::Recorded)
    }

    /// Reports each key that is none of the fields, and excuses the field that was probably meant: it must not be
    /// reported as missing.
    pub(super) fn unknown(self, entries: &'a [(String, Node)], fields: &'static [&'static str]) {
        let mut known: Vec<&str> = fields.to_vec();
        known.extend(self.is_tagged.then_some(TAG));
        // Of two names that are equally near, the first is suggested.
        known.sort_unstable();
        let is_free = |name: &&str| !entries.iter().any(|(key, _)| key == name);
        let free: Vec<&str> = known.iter().copied().filter(is_free).collect();
        for (key, node) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let location = self.below(PathStep::Key(key), Some(node)).location();
            let mut report = self.report.borrow_mut();
            let (homes, problems) = (report.homes, &mut report.problems);
            let message = match messages::nearest(key, free.iter().copied()) {
                Some(meant) => {
                    let parent = problems.path(location).parent().unwrap_or_default();
                    problems.excuse(parent.child(meant));
                    format!("unknown field, did you mean `{meant}`?")
                }
                None => {
                    let homes = homes.map(|homes| homes(&problems.path(location))).unwrap_or_default();
                    // Written below a key without a value, and not indented.
                    let is_empty = |home: &&str| {
                        entries.iter().any(|(key, node)| key == home && matches!(node.value, NodeValue::Null))
                    };
                    let parent = homes.first().and_then(|home| home.rsplit('.').next()).filter(is_empty);
                    let advice = match parent {
                        Some(parent) => format!("indent it more than `{parent}`, to which it belongs"),
                        None => messages::elsewhere(key, &homes).unwrap_or_else(|| messages::known(&known)),
                    };
                    format!("unknown field; {advice}")
                }
            };
            problems.add(location, message);
        }
    }

    /// The text of a scalar whose form is described by its serde name.
    pub(super) fn text(self, name: &'static str) -> Result<&'a str, ReadError> {
        let mut report = self.report.borrow_mut();
        let named = &mut report.named;
        let (expected, names) = match name {
            FILE => ("a string", Some(&mut named.files)),
            VARIABLE => ("a string", Some(&mut named.variables)),
            REVOCATIONS => ("a string", Some(&mut named.revocations)),
            form => (form, None),
        };
        let Some(NodeValue::String(text)) = self.value() else { return Err(ReadError::Expected(expected.to_owned())) };
        if let Some(names) = names {
            names.insert(text.clone());
        }
        Ok(text)
    }
}
