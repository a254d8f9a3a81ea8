//! Validates a configuration value against the JSON Schema of its serde types and reports every problem at once.
//!
//! serde stops at its first error; this walk does not. Invalid parts are removed from the value, so that serde accepts
//! the rest and the compile step can check it further. A list keeps its indices: an invalid item is replaced by `{}`
//! if the schema accepts that, otherwise the whole list is removed. The walk supports the keywords that schemars 1.2
//! writes for the file types, ignores others (serde decides in the end) and contains no field names. Called by the
//! config loader between `yaml` and serde.

mod alternatives;
mod messages;

use serde_json::{Map, Value as Json};

use super::error::{FieldPath, Problems, Segment};
use alternatives::Alternative;
pub(crate) use messages::nearest;
use messages::{expected, known, one_of};

/// Reports every problem of `value` to `problems`, and prunes the value so that the rest deserialises into the types
/// from which schemars made `schema` (a root schema), provided that each of their fields is optional.
///
/// A null is rejected unless the schema accepts any value: schemars writes `Option` as nullable, yet `client_ca:` with
/// its value forgotten must not silently mean that clients are asked for no certificate.
pub fn check(schema: &Json, value: &mut Json, problems: &mut Problems) {
    let walk = Walk { root: schema };
    if walk.visit(schema, value, &mut FieldPath::root(), problems) == Fit::Prune {
        *value = Json::Object(Map::new());
    }
}

/// The result of a visit to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The value deserialises, possibly after parts of it were removed.
    Keep,
    /// The value must be removed.
    Prune,
}

/// A walk over a value, with the root schema for its `$defs`.
#[derive(Clone, Copy)]
struct Walk<'a> {
    root: &'a Json,
}

impl<'a> Walk<'a> {
    fn visit(self, schema: &'a Json, value: &mut Json, path: &mut FieldPath, problems: &mut Problems) -> Fit {
        let alternatives = alternatives::alternatives(self.root, schema);
        if alternatives.iter().any(Alternative::takes_anything) {
            return Fit::Keep;
        }
        let fitting: Vec<&Alternative<'a>> =
            alternatives.iter().filter(|alternative| alternative.admits(value)).collect();
        match fitting.as_slice() {
            [] => {
                problems.add(path, messages::wrong_type(&alternatives, value));
                Fit::Prune
            }
            [alternative] => self.visit_leaf(alternative, value, path, problems),
            several => self.choose(several, value, path, problems),
        }
    }

    /// Checks a value that has the leaf's type.
    fn visit_leaf(
        self,
        alternative: &Alternative<'a>,
        value: &mut Json,
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        let options = alternative.options();
        if !options.is_empty() && !options.contains(&&*value) {
            problems.add(path, messages::wrong_option(&options, value));
            return Fit::Prune;
        }
        match value {
            Json::Object(map) => self.visit_object(alternative, map, path, problems),
            Json::Array(items) => self.visit_array(alternative, items, path, problems),
            Json::Number(_) if !alternative.in_range(value) => {
                problems.add(path, format!("expected {}, got {value}", expected(std::slice::from_ref(alternative))));
                Fit::Prune
            }
            Json::String(text) if !alternative.fits_length(text.chars().count()) => {
                let length = alternative.length("Length");
                problems.add(path, format!("expected a string of {length} characters, got {}", text.chars().count()));
                Fit::Prune
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Fit::Keep,
        }
    }

    fn visit_object(
        self,
        alternative: &Alternative<'a>,
        map: &mut Map<String, Json>,
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        let missing: Vec<&str> = alternative.required().into_iter().filter(|name| !map.contains_key(*name)).collect();
        let keys: Vec<String> = map.keys().cloned().collect();
        for key in keys {
            let fit = match alternative.field(&key) {
                None => unknown_field(&key, &alternative.field_names(), map, path, problems),
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
            let alternatives =
                alternative.field(name).map(|schema| alternatives::alternatives(self.root, schema)).unwrap_or_default();
            problems.add_follow_up(&path.child(name), format!("missing; expected {}", expected(&alternatives)));
        }
        // An invalid required field has been reported and removed above, and is missing now too.
        let complete = alternative.required().into_iter().all(|name| map.contains_key(name));
        if complete { Fit::Keep } else { Fit::Prune }
    }

    fn visit_array(
        self,
        alternative: &Alternative<'a>,
        items: &mut [Json],
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        let mut fit = Fit::Keep;
        if !alternative.fits_items(items.len()) {
            problems.add(path, format!("expected {} items, got {}", alternative.length("Items"), items.len()));
            fit = Fit::Prune;
        }
        for index in 0..items.len() {
            path.push(Segment::Index(index));
            if alternative.is_set() && repeats(items, index) {
                problems.add(path, "duplicate item");
                fit = Fit::Prune;
            }
            if let (Some(schema), Some(item)) = (alternative.item(index), items.get_mut(index))
                && self.visit(schema, item, path, problems) == Fit::Prune
            {
                fit = self.stand_in(schema, item, fit);
            }
            path.pop();
        }
        fit
    }

    /// Replaces an invalid item by `{}` if the types accept that, so that the items after it keep their indices.
    fn stand_in(self, schema: &'a Json, item: &mut Json, fit: Fit) -> Fit {
        *item = Json::Object(Map::new());
        let mut ignored = Problems::default();
        let stands = self.visit(schema, item, &mut FieldPath::root(), &mut ignored) == Fit::Keep && ignored.is_empty();
        if stands { fit } else { Fit::Prune }
    }

    /// Checks a value against two or more `alternatives`, all of the value's type.
    fn choose(
        self,
        alternatives: &[&Alternative<'a>],
        value: &mut Json,
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        if let Json::Object(map) = &*value {
            if let Some(tag) = tag(alternatives) {
                return self.choose_by_tag(tag, alternatives, value, path, problems);
            }
            if alternatives.iter().all(|alternative| alternative.sole_key().is_some()) {
                let named =
                    |alternative: &&&Alternative<'a>| alternative.sole_key().is_some_and(|key| map.contains_key(key));
                let present: Vec<&Alternative<'a>> = alternatives.iter().filter(named).copied().collect();
                return match present.as_slice() {
                    [alternative] => self.visit_leaf(alternative, value, path, problems),
                    _ => reject_keys(alternatives, map, path, problems),
                };
            }
        }
        if alternatives.iter().all(|alternative| !alternative.options().is_empty()) {
            let options: Vec<&Json> = alternatives.iter().flat_map(|alternative| alternative.options()).collect();
            if options.contains(&&*value) {
                return Fit::Keep;
            }
            problems.add(path, messages::wrong_option(&options, value));
            return Fit::Prune;
        }
        self.choose_closest(alternatives, value, path, problems)
    }

    fn choose_by_tag(
        self,
        tag: &'a str,
        alternatives: &[&Alternative<'a>],
        value: &mut Json,
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        let chosen = value
            .get(tag)
            .map(|given| alternatives.iter().find(|alternative| alternative.constant(tag) == Some(given)));
        if let Some(Some(alternative)) = chosen {
            return self.visit_leaf(alternative, value, path, problems);
        }
        let options: Vec<&Json> = alternatives.iter().filter_map(|alternative| alternative.constant(tag)).collect();
        let message = match value.get(tag) {
            Some(given) => messages::wrong_option(&options, given),
            None => format!("missing; expected {}", one_of(&options)),
        };
        path.push(Segment::Key(tag.to_owned()));
        problems.add_follow_up(path, message);
        path.pop();
        Fit::Prune
    }

    /// Checks a copy of the value against each leaf and keeps the one with the fewest problems; the first wins a tie,
    /// as with serde's untagged enums.
    fn choose_closest(
        self,
        alternatives: &[&Alternative<'a>],
        value: &mut Json,
        path: &mut FieldPath,
        problems: &mut Problems,
    ) -> Fit {
        let mut best: Option<(Json, Problems, Fit)> = None;
        for alternative in alternatives {
            let (mut copy, mut found) = (value.clone(), Problems::default());
            let fit = self.visit_leaf(alternative, &mut copy, path, &mut found);
            if best.as_ref().is_none_or(|(_, least, _)| found.len() < least.len()) {
                best = Some((copy, found, fit));
            }
        }
        let Some((copy, found, fit)) = best else { return Fit::Keep };
        *value = copy;
        problems.append(found);
        fit
    }
}

fn repeats(items: &[Json], index: usize) -> bool {
    let (before, rest) = items.split_at_checked(index).unwrap_or_default();
    rest.first().is_some_and(|item| before.contains(item))
}

/// Reports an unknown field. Also excuses the field that was probably meant, which must not be reported as missing.
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

/// The field that is a constant in every alternative, as in an internally tagged enum.
fn tag<'a>(alternatives: &[&Alternative<'a>]) -> Option<&'a str> {
    let names = alternatives.first()?.field_names();
    names.into_iter().find(|name| alternatives.iter().all(|alternative| alternative.constant(name).is_some()))
}

/// Reports a value of an externally tagged enum that has none or several of its keys.
fn reject_keys(
    alternatives: &[&Alternative<'_>],
    map: &Map<String, Json>,
    path: &FieldPath,
    problems: &mut Problems,
) -> Fit {
    let names: Vec<&str> = alternatives.iter().filter_map(|alternative| alternative.sole_key()).collect();
    let given: Vec<&str> = names.iter().copied().filter(|name| map.contains_key(*name)).collect();
    if given.len() > 1 {
        problems.add(path, format!("expected only one of {}", messages::quoted(&given)));
    }
    if map.is_empty() {
        problems.add(path, format!("expected a mapping with one of {}", messages::quoted(&names)));
    }
    for key in map.keys().filter(|key| !names.contains(&key.as_str())) {
        unknown_field(key, &names, map, path, problems);
    }
    Fit::Prune
}

#[cfg(test)]
mod tests;
