//! The alternatives of a schema: `anyOf`, `oneOf` and `$ref` flattened into leaves. Called by `shape` and `messages`.

use std::mem::discriminant;

use serde_json::{Map, Value as Json};

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
        let like_an_option = || self.options().iter().any(|option| discriminant(*option) == discriminant(value));
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
