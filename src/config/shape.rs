//! Checks a configuration value against the JSON Schema of its serde types and reports every problem at once.
//!
//! serde stops at its first error; this walk does not. What is wrong is taken out of the value, so that serde accepts
//! the rest and the compile step can go on checking it. A list keeps its indices: an item is replaced by `{}` where
//! that fits, else the whole list goes. It reads what schemars 1.2 writes for the file types, ignores other keywords
//! (serde is the last judge) and never knows a field's name. Called by the config loader between `yaml` and serde.

mod branches;
mod wording;

use serde_json::{Map, Value as Json};

use super::error::{FieldPath, Problems, Segment};
use branches::Leaf;
pub(crate) use wording::nearest;
use wording::{expected, got, known, one_of};

/// Reports to `problems` all that is wrong with `value`, and prunes it so that the rest deserialises into the types
/// that `schema` (a root schema by schemars) was made of, given that each field of theirs may be missing.
///
/// A null is refused except where the schema takes any value: schemars writes `Option` as nullable, yet `client_ca:`
/// with its value forgotten must not silently mean that no client certificate is asked for.
pub fn check(schema: &Json, value: &mut Json, problems: &mut Problems) {
    let walk = Walk { root: schema };
    if walk.visit(schema, value, &mut FieldPath::root(), problems) == Fit::Prune {
        *value = Json::Object(Map::new());
    }
}

/// What becomes of a value after its visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// It deserialises, maybe after pruning below.
    Keep,
    /// It must go.
    Prune,
}

/// The root schema, for its `$defs`.
#[derive(Clone, Copy)]
struct Walk<'a> {
    root: &'a Json,
}

impl<'a> Walk<'a> {
    fn visit(self, schema: &'a Json, value: &mut Json, path: &mut FieldPath, problems: &mut Problems) -> Fit {
        let leaves = branches::leaves(self.root, schema);
        if leaves.iter().any(Leaf::takes_anything) {
            return Fit::Keep;
        }
        let fitting: Vec<&Leaf<'a>> = leaves.iter().filter(|leaf| leaf.admits(value)).collect();
        match fitting.as_slice() {
            [] => {
                problems.add(path, wording::wrong_type(&leaves, value));
                Fit::Prune
            }
            [leaf] => self.visit_leaf(leaf, value, path, problems),
            several => self.choose(several, value, path, problems),
        }
    }

    /// `value` has the leaf's type.
    fn visit_leaf(self, leaf: &Leaf<'a>, value: &mut Json, path: &mut FieldPath, problems: &mut Problems) -> Fit {
        let options = leaf.options();
        if !options.is_empty() && !options.contains(&&*value) {
            problems.add(path, wording::wrong_option(&options, value));
            return Fit::Prune;
        }
        match value {
            Json::Object(map) => self.visit_object(leaf, map, path, problems),
            Json::Array(items) => self.visit_array(leaf, items, path, problems),
            Json::Number(_) if !leaf.in_range(value) => {
                problems.add(path, format!("expected {}, got {value}", expected(std::slice::from_ref(leaf))));
                Fit::Prune
            }
            Json::String(text) if !leaf.fits_length(text.chars().count()) => {
                let length = leaf.length("Length");
                problems.add(path, format!("expected a string of {length} characters, got {}", text.chars().count()));
                Fit::Prune
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Fit::Keep,
        }
    }

    fn visit_object(
        self,
        leaf: &Leaf<'a>,
        map: &mut Map<String, Json>,
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        let missing: Vec<&str> = leaf.required().into_iter().filter(|name| !map.contains_key(*name)).collect();
        let keys: Vec<String> = map.keys().cloned().collect();
        for key in keys {
            let fit = match leaf.field(&key) {
                None => unknown_field(&key, &leaf.field_names(), map, path, problems),
                Some(schema) => {
                    let Some(child) = map.get_mut(&key) else { continue };
                    path.push(Segment::Key(key.clone()));
                    let fit = self.visit(schema, child, path, problems);
                    path.pop();
                    fit
                }
            };
            if fit == Fit::Prune {
                map.remove(&key);
            }
        }
        for name in missing {
            let leaves = leaf.field(name).map(|schema| branches::leaves(self.root, schema)).unwrap_or_default();
            problems.add_follow_up(&path.child(name), format!("missing; expected {}", expected(&leaves)));
        }
        // Also where a required field was there but wrong: that was told above.
        let complete = leaf.required().into_iter().all(|name| map.contains_key(name));
        if complete { Fit::Keep } else { Fit::Prune }
    }

    fn visit_array(self, leaf: &Leaf<'a>, items: &mut [Json], path: &mut FieldPath, problems: &mut Problems) -> Fit {
        let mut fit = Fit::Keep;
        if !leaf.fits_items(items.len()) {
            problems.add(path, format!("expected {} items, got {}", leaf.length("Items"), items.len()));
            fit = Fit::Prune;
        }
        for index in 0..items.len() {
            path.push(Segment::Index(index));
            if leaf.is_set() && repeats(items, index) {
                problems.add(path, "this item is in the list already");
                fit = Fit::Prune;
            }
            if let (Some(schema), Some(item)) = (leaf.item(index), items.get_mut(index))
                && self.visit(schema, item, path, problems) == Fit::Prune
            {
                fit = self.stand_in(schema, item, fit);
            }
            path.pop();
        }
        fit
    }

    /// Puts `{}` in a wrong item's place if the types take it, so that the items after it keep their indices.
    fn stand_in(self, schema: &'a Json, item: &mut Json, fit: Fit) -> Fit {
        *item = Json::Object(Map::new());
        let mut ignored = Problems::default();
        let stands = self.visit(schema, item, &mut FieldPath::root(), &mut ignored) == Fit::Keep && ignored.is_empty();
        if stands { fit } else { Fit::Prune }
    }
}

fn repeats(items: &[Json], index: usize) -> bool {
    let (before, rest) = items.split_at_checked(index).unwrap_or_default();
    rest.first().is_some_and(|item| before.contains(item))
}

/// Also excuses the field that was meant: it must not be reported as missing.
fn unknown_field(
    key: &str,
    names: &[&str],
    present: &Map<String, Json>,
    path: &FieldPath,
    problems: &mut Problems,
) -> Fit {
    let free = names.iter().copied().filter(|name| !present.contains_key(*name));
    let message = match nearest(key, free) {
        Some(meant) => {
            problems.excuse(&path.child(meant));
            format!("unknown field, did you mean `{meant}`?")
        }
        None => format!("unknown field; {}", known(names)),
    };
    problems.add(&path.child(key), message);
    Fit::Prune
}

#[cfg(test)]
mod tests;
