//! The alternatives of a schema: `anyOf`, `oneOf` and `$ref` flattened into leaves, and the choice of the leaf that a
//! value was meant for.
//!
//! Reports a problem itself only if one message must name several alternatives. Called by the walk in `shape`.

use serde_json::{Map, Value as Json};

use super::{Fit, Walk, got, messages, one_of, unknown_field};
use crate::config::error::{FieldPath, Problems, Segment};

/// One alternative, without references.
#[derive(Debug, Clone)]
pub(super) struct Alternative<'a> {
    schema: &'a Json,
    /// The outermost `title`: the author's description of the expected form.
    pub(super) title: Option<&'a str>,
    /// The description of the referenced scalar type. A field's own description states its purpose, not its form.
    pub(super) description: Option<&'a str>,
}

/// The leaves of `schema`. A null among other alternatives is left out: it only means that the field is optional.
pub(super) fn alternatives<'a>(root: &'a Json, schema: &'a Json) -> Vec<Alternative<'a>> {
    let mut found = Vec::new();
    collect(root, Alternative { schema, title: None, description: None }, 0, &mut found);
    found
}

fn collect<'a>(root: &'a Json, mut at: Alternative<'a>, depth: usize, found: &mut Vec<Alternative<'a>>) {
    // Ends the recursion for a definition that refers only to itself, which no serde type produces.
    const MAX_REFERENCES: usize = 32;
    // The root's title is only the name of its type.
    if !std::ptr::eq(root, at.schema) {
        at.title = at.title.or_else(|| at.text("title"));
    }
    if depth > MAX_REFERENCES {
        return;
    }
    if let Some(target) = at.text("$ref").and_then(|reference| root.pointer(reference.strip_prefix('#')?)) {
        let description = at.description.or_else(|| target.get("description")?.as_str());
        return collect(root, Alternative { schema: target, description, ..at }, depth + 1, found);
    }
    let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|word| at.schema.get(word)?.as_array()) else {
        found.push(at);
        return;
    };
    let real: Vec<&Json> = branches.iter().filter(|branch| !is_null(branch)).collect();
    // A description of the whole choice does not describe one of several alternatives.
    let description = at.description.filter(|_| real.len() == 1);
    for branch in real {
        collect(root, Alternative { schema: branch, description, ..at }, depth + 1, found);
    }
}

fn is_null(schema: &Json) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

impl<'a> Alternative<'a> {
    pub(super) fn text(&self, word: &str) -> Option<&'a str> {
        self.schema.get(word)?.as_str()
    }

    pub(super) fn list(&self, word: &str) -> &'a [Json] {
        self.schema.get(word).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn types(&self) -> Vec<&'a str> {
        let types = match self.schema.get("type") {
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            Some(Json::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        };
        types.into_iter().filter(|kind| *kind != "null").collect()
    }

    /// The allowed values (`enum`, `const`), if they are listed.
    pub(super) fn options(&self) -> Vec<&'a Json> {
        self.list("enum").iter().chain(self.schema.get("const")).filter(|option| !option.is_null()).collect()
    }

    pub(super) fn takes_anything(&self) -> bool {
        let constrained = ["type", "enum", "const"].iter().any(|word| self.schema.get(word).is_some());
        !constrained && self.schema != &Json::Bool(false)
    }

    pub(super) fn admits(&self, value: &Json) -> bool {
        let types = self.types();
        let like_an_option = || self.options().iter().any(|option| got(option) == got(value));
        if types.is_empty() { like_an_option() } else { types.iter().any(|kind| is_of_type(value, kind)) }
    }

    /// `minimum` and `maximum`, and the bounds of the integer type, which schemars leaves to `format`.
    pub(super) fn bounds(&self) -> (Option<i128>, Option<i128>) {
        let bound = |word: &str| integer(self.schema.get(word)?);
        let (low, high) = match self.text("format") {
            Some("int8") => (i8::MIN.into(), i8::MAX.into()),
            Some("int16") => (i16::MIN.into(), i16::MAX.into()),
            Some("int32") => (i32::MIN.into(), i32::MAX.into()),
            Some("int64" | "int") => (i64::MIN.into(), i64::MAX.into()),
            Some("uint32") => (0, u32::MAX.into()),
            Some("uint64" | "uint") => (0, u64::MAX.into()),
            _ => (i128::MIN, i128::MAX),
        };
        let some = |bound: i128| (bound != i128::MIN && bound != i128::MAX).then_some(bound);
        (bound("minimum").or(some(low)), bound("maximum").or(some(high)))
    }

    pub(super) fn in_range(&self, value: &Json) -> bool {
        if let Some(number) = integer(value) {
            let (low, high) = self.bounds();
            return low.is_none_or(|low| low <= number) && high.is_none_or(|high| number <= high);
        }
        let bound = |word: &str| self.schema.get(word).and_then(Json::as_f64);
        let Some(number) = value.as_f64() else { return true };
        bound("minimum").is_none_or(|low| low <= number) && bound("maximum").is_none_or(|high| number <= high)
    }

    pub(super) fn fits_length(&self, length: usize) -> bool {
        self.fits("Length", length)
    }

    pub(super) fn fits_items(&self, length: usize) -> bool {
        self.fits("Items", length)
    }

    /// The allowed length in words; `what` is the end of the keyword: `Length` or `Items`.
    pub(super) fn length(&self, what: &str) -> String {
        match (self.count("min", what), self.count("max", what)) {
            (Some(low), Some(high)) if low == high => low.to_string(),
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!("at least {low}"),
            (None, Some(high)) => format!("at most {high}"),
            (None, None) => "any number of".to_owned(),
        }
    }

    fn fits(&self, what: &str, length: usize) -> bool {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.count("min", what).is_none_or(|low| low <= length)
            && self.count("max", what).is_none_or(|high| length <= high)
    }

    fn count(&self, end: &str, what: &str) -> Option<u64> {
        self.schema.get(format!("{end}{what}"))?.as_u64()
    }

    pub(super) fn is_set(&self) -> bool {
        self.schema.get("uniqueItems").is_some_and(|unique| unique == true)
    }

    pub(super) fn item(&self, index: usize) -> Option<&'a Json> {
        self.list("prefixItems").get(index).or_else(|| self.schema.get("items"))
    }

    pub(super) fn required(&self) -> Vec<&'a str> {
        self.list("required").iter().filter_map(Json::as_str).collect()
    }

    pub(super) fn field_names(&self) -> Vec<&'a str> {
        let fields = self.schema.get("properties").and_then(Json::as_object);
        fields.into_iter().flat_map(Map::keys).map(String::as_str).collect()
    }

    /// The schema of the entry `key`; `None` if such an entry is not allowed.
    pub(super) fn field(&self, key: &str) -> Option<&'a Json> {
        const ANYTHING: &Json = &Json::Bool(true);
        let own = self.schema.get("properties").and_then(|fields| fields.get(key));
        own.or_else(|| match self.schema.get("additionalProperties") {
            Some(Json::Bool(false)) => None,
            Some(schema) => Some(schema),
            None => Some(ANYTHING),
        })
    }

    /// The one key of a variant of an externally tagged enum.
    pub(super) fn sole_key(&self) -> Option<&'a str> {
        let closed = self.schema.get("additionalProperties").is_some_and(|more| more == false);
        let names = self.field_names();
        // A constant is the tag of an internally tagged variant without fields.
        let name = names.first().copied().filter(|name| self.constant(name).is_none())?;
        (closed && names.len() == 1 && self.required() == names).then_some(name)
    }

    pub(super) fn constant(&self, field: &str) -> Option<&'a Json> {
        self.schema.get("properties")?.get(field)?.get("const")
    }
}

fn integer(value: &Json) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

fn is_of_type(value: &Json, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        // serde does not accept 1.0 as an integer.
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

impl<'a> Walk<'a> {
    /// Checks a value against two or more `alternatives`, all of the value's type.
    pub(super) fn choose(
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
