//! The places of a file's values, and the collector of problems that reading and compiling write to.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::error::{FieldPath, Position, Problem, Segment};

/// A place in a file, of a value that is present or absent: an index into the places of [`Problems`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location(pub(super) u32);

impl Location {
    /// The whole document.
    pub const ROOT: Self = Self(0);
}

#[derive(Clone, Debug)]
struct Place {
    parent: Location,
    segment: Segment,
    position: Position,
}

/// Collects every problem of one load, and reports each mistake only once.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The position of the root.
    start: Option<Position>,
    /// Shared, because every compilation of one file starts with a copy. The root is not among them.
    places: Arc<Vec<Place>>,
    found: Vec<Problem>,
    /// The fields of the problems that have been indexed, and those that are excused. Ordered, so that the fields under
    /// one follow it.
    known: BTreeSet<FieldPath>,
    /// The number of problems that have been indexed, which is done when a field is looked up.
    indexed: usize,
}

impl Problems {
    /// Sets the position of the root.
    pub(super) const fn begin(&mut self, start: Position) {
        self.start = Some(start);
    }

    /// Adds the place of a value below `parent`; an absent value has the position of its parent.
    pub(super) fn place(&mut self, parent: Location, segment: Segment, position: Option<Position>) -> Location {
        let position = position.unwrap_or_else(|| self.position(parent));
        let places = Arc::make_mut(&mut self.places);
        places.push(Place { parent, segment, position });
        Location(u32::try_from(places.len()).unwrap_or(u32::MAX))
    }

    /// Adds the place of an entry that a mapping with free names lacks.
    pub fn absent_entry(&mut self, parent: Location, key: &str) -> Location {
        self.place(parent, Segment::Key(key.to_owned().into()), None)
    }

    fn find(&self, at: Location) -> Option<&Place> {
        self.places.get(usize::try_from(at.0).ok()?.checked_sub(1)?)
    }

    fn position(&self, at: Location) -> Position {
        self.find(at).map_or(self.start.unwrap_or(Position::START), |place| place.position)
    }

    /// The field at this place.
    pub fn path(&self, at: Location) -> FieldPath {
        let mut segments = Vec::new();
        let mut at = at;
        while let Some(place) = self.find(at) {
            segments.push(place.segment.clone());
            at = place.parent;
        }
        segments.into_iter().rev().collect()
    }

    /// A problem at this place, whose message is not known yet.
    pub fn at(&self, at: Location) -> Problem {
        Problem { position: self.position(at), field: self.path(at), message: String::new() }
    }

    /// Records a problem.
    pub fn add(&mut self, at: Location, message: impl Into<String>) {
        self.found.push(Problem { message: message.into(), ..self.at(at) });
    }

    /// Records a problem of a value that is not read.
    pub(in crate::config) fn add_problem(&mut self, problem: Problem) {
        self.found.push(problem);
    }

    /// Records a problem unless one is known at, under or above this place, which then explains this one.
    pub fn add_follow_up(&mut self, at: Location, message: impl Into<String>) {
        if !self.has_under(at) {
            self.add(at, message);
        }
    }

    /// Records a problem of a value that would have no effect here, unless one is known at this place.
    pub fn add_unless_known(&mut self, at: Location, message: impl Into<String>) {
        let path = self.path(at);
        if !self.known().contains(&path) {
            self.add(at, message);
        }
    }

    /// Marks a field as explained by another field's problem: the one that a misspelt field was meant to be.
    pub(in crate::config) fn excuse(&mut self, field: FieldPath) {
        self.known.insert(field);
    }

    /// Whether something was recorded or excused at, under or above this place.
    pub fn has_under(&mut self, at: Location) -> bool {
        if self.has_within(at) {
            return true;
        }
        let mut above = self.path(at).parent();
        while let Some(path) = above {
            if self.known.contains(&path) {
                return true;
            }
            above = path.parent();
        }
        false
    }

    /// Whether something was recorded or excused at or under this place.
    pub fn has_within(&mut self, at: Location) -> bool {
        let path = self.path(at);
        self.known().range(&path..).next().is_some_and(|known| path.contains(known))
    }

    fn known(&mut self) -> &BTreeSet<FieldPath> {
        let new = self.found.get(self.indexed..).unwrap_or_default();
        self.known.extend(new.iter().map(|problem| problem.field.clone()));
        self.indexed = self.found.len();
        &self.known
    }

    /// Whether there is no problem; excused fields do not count.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The problems, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}

/// The files and environment variables that a configuration names.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Files.
    pub files: BTreeSet<String>,
    /// Environment variables.
    pub variables: BTreeSet<String>,
    /// Revocation lists.
    pub revocations: BTreeSet<String>,
}

/// The results of reading a tree, besides its values.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The problems.
    pub problems: Problems,
    /// The names.
    pub named: Named,
    /// The places where a key belongs that is unknown at this one.
    pub homes: Option<fn(&FieldPath) -> Vec<String>>,
}
