//! The objects of gateway.yaml and their keys, as the JSON Schema has them.
//!
//! Reads every spelling that a schema may have: references, alternatives, nullable types, lists and maps. List indexes
//! and free names have no part in a path. An object inside of itself (`all_of`) is not read again.

use serde_json::Value;

/// An object that the file may have, with one row for each of its keys.
#[derive(Debug)]
pub struct Object {
    /// Dotted path from the top; empty for the file itself.
    pub path: String,
    pub description: String,
    pub keys: Vec<Key>,
    /// Where the schema defines it: objects with one definition are one section.
    pub definition: Vec<*const Value>,
}

#[derive(Debug)]
pub struct Key {
    pub name: String,
    pub description: String,
    /// Values of a tagged object with which the key exists; empty if it always does.
    pub only_with: String,
    pub kinds: Vec<Kind>,
    pub is_required: bool,
    pub default: Option<Value>,
    pub needs_restart: bool,
    pub example: Option<Value>,
}

/// A form that a value may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fixed value as written in YAML, and its description.
    Word(String, String),
    /// A scalar, in words.
    Scalar(String),
    Boolean,
    /// A list of values of these forms, and its bounds in words.
    List(Vec<Kind>, String),
    /// Free names and their values.
    Map(Vec<Kind>),
    /// An object, by its path.
    Object(String),
}

/// Every object, each before the objects inside of it.
pub fn objects(schema: &Value) -> Vec<Object> {
    let mut walk = Walk { root: schema, found: Vec::new(), open: Vec::new() };
    let layers = walk.layers(schema);
    walk.object("", &[layers], false);
    walk.found
}

/// A schema, and then each schema that it only refers to. Attributes of an earlier one take precedence.
type Layers<'a> = Vec<&'a Value>;

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Object>,
    /// The objects that are being read, and their paths.
    open: Vec<(Vec<*const Value>, String)>,
}

impl<'a> Walk<'a> {
    fn layers(&self, schema: &'a Value) -> Layers<'a> {
        let mut layers = vec![schema];
        while let Some(next) = self.only_meaning(layers[layers.len() - 1]) {
            layers.push(next);
        }
        layers
    }

    /// The schema that stands for this one, if it is a reference or has a single alternative.
    fn only_meaning(&self, schema: &'a Value) -> Option<&'a Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            return Some(self.root.pointer(&reference[1..]).unwrap_or_else(|| panic!("no {reference}")));
        }
        match alternatives(schema).as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The alternatives of a schema, without those that are alternatives themselves.
    fn members(&self, layers: Layers<'a>) -> Vec<Layers<'a>> {
        match alternatives(layers[layers.len() - 1]) {
            none if none.is_empty() => vec![layers],
            several => several.into_iter().flat_map(|member| self.members(self.layers(member))).collect(),
        }
    }

    fn kinds(&mut self, layers: Layers<'a>, path: &str, restart: bool) -> Vec<Kind> {
        let (objects, others): (Vec<_>, Vec<_>) =
            self.members(layers).into_iter().partition(|member| properties(member[member.len() - 1]).is_some());
        let mut kinds: Vec<Kind> = others.iter().flat_map(|member| self.plain_kinds(member, path, restart)).collect();
        if !objects.is_empty() {
            kinds.push(self.object(path, &objects, restart));
        }
        kinds
    }

    /// The forms of a schema that is no object.
    fn plain_kinds(&mut self, layers: &Layers<'a>, path: &str, restart: bool) -> Vec<Kind> {
        let schema = layers[layers.len() - 1];
        let description = layers.iter().rev().find_map(|layer| layer["description"].as_str()).unwrap_or_default();
        if let Some(value) = schema.get("const") {
            return vec![Kind::Word(super::yaml::flow(value), one_line(description))];
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.iter().map(|value| Kind::Word(super::yaml::flow(value), String::new())).collect();
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
            one => vec![one.as_str().unwrap_or("any")],
        };
        types.into_iter().map(|name| self.kind_of_type(name, layers, path, restart)).collect()
    }

    fn kind_of_type(&mut self, name: &str, layers: &Layers<'a>, path: &str, restart: bool) -> Kind {
        let schema = layers[layers.len() - 1];
        let mut inner = |schema: Option<&'a Value>| match schema.filter(|schema| schema.is_object()) {
            Some(schema) => self.kinds(self.layers(schema), path, restart),
            None => Vec::new(),
        };
        match name {
            "array" => Kind::List(inner(schema.get("items")), super::kinds::bounds_of_list(schema)),
            "object" => Kind::Map(inner(schema.get("additionalProperties"))),
            "boolean" => Kind::Boolean,
            name => Kind::Scalar(super::kinds::scalar(name, layers)),
        }
    }

    /// Reads an object. Several variants, such as the types of the store, become one, with the keys of all.
    fn object(&mut self, path: &str, variants: &[Layers<'a>], restart: bool) -> Kind {
        let definition: Vec<*const Value> =
            variants.iter().map(|layers| std::ptr::from_ref(layers[layers.len() - 1])).collect();
        if let Some((_, above)) = self.open.iter().find(|(open, _)| *open == definition) {
            return Kind::Object(above.clone());
        }
        self.open.push((definition.clone(), path.to_owned()));
        let description = variants.iter().find_map(|layers| attribute(layers, "description")?.as_str());
        let description = description.map(one_line).unwrap_or_default();
        let at = self.found.len();
        self.found.push(Object { path: path.to_owned(), description, keys: Vec::new(), definition });
        let schemas: Vec<&Value> = variants.iter().map(|layers| layers[layers.len() - 1]).collect();
        let mut keys: Vec<Key> =
            names(&schemas).into_iter().map(|name| self.key(path, name, &schemas, restart)).collect();
        // The sort is stable: required keys come first, in the order of the schema.
        keys.sort_by_key(|key| !key.is_required);
        self.found[at].keys = keys;
        self.open.pop();
        Kind::Object(path.to_owned())
    }

    fn key(&mut self, object: &str, name: &'a str, variants: &[&'a Value], restart: bool) -> Key {
        let having: Vec<&Value> =
            variants.iter().copied().filter(|schema| schema["properties"].get(name).is_some()).collect();
        let tag = tag(variants);
        let of = if tag == Some(name) { &having[..] } else { &having[..1] };
        let path = if object.is_empty() { name.to_owned() } else { format!("{object}.{name}") };
        let layers = self.layers(&having[0]["properties"][name]);
        let needs_restart = restart || attribute(&layers, "x-restart").is_some_and(|value| *value == true);
        let kinds = of.iter().flat_map(|schema| {
            // A tag's words mean what their variants mean.
            let kinds = self.kinds(self.layers(&schema["properties"][name]), &path, needs_restart);
            let meaning = schema["description"].as_str().filter(|_| tag == Some(name)).map(one_line);
            kinds.into_iter().map(move |kind| match (kind, &meaning) {
                (Kind::Word(word, _), Some(meaning)) => Kind::Word(word, meaning.clone()),
                (kind, _) => kind,
            })
        });
        let kinds: Vec<Kind> = kinds.collect();
        let description = attribute(&layers, "description").and_then(Value::as_str).map(one_line).unwrap_or_default();
        if let Some(inside) = self.found.iter_mut().find(|inside| inside.path == path && !description.is_empty()) {
            // The key says more of its object than a definition that several keys may have.
            inside.description.clone_from(&description);
        }
        let all_variants = having.len() == variants.len();
        let examples = attribute(&layers, "examples").and_then(Value::as_array);
        Key {
            name: name.to_owned(),
            description,
            only_with: tag.filter(|_| !all_variants).map(|tag| only_with(tag, &having)).unwrap_or_default(),
            kinds,
            is_required: (all_variants || tag.is_some()) && having.iter().all(|schema| requires(schema, name)),
            default: attribute(&layers, "default").cloned(),
            needs_restart,
            example: examples.and_then(|examples| examples.first()).cloned(),
        }
    }
}

/// The alternatives of a schema, except null.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let lists = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|word| schema[word].as_array());
    // With properties beside them, alternatives only say which of the keys belong together.
    let own = properties(schema).is_none();
    lists.flatten().filter(|member| own && member["type"] != "null").collect()
}

fn properties(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema["properties"].as_object().filter(|properties| !properties.is_empty())
}

/// The first value of an attribute that is set and not null.
pub fn attribute<'a>(layers: &[&'a Value], name: &str) -> Option<&'a Value> {
    layers.iter().filter_map(|layer| layer.get(name)).find(|value| !value.is_null())
}

fn requires(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|one| one == name))
}

/// The names of the keys of all variants, each once.
fn names<'a>(variants: &[&'a Value]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in variants.iter().filter_map(|schema| properties(schema)).flat_map(serde_json::Map::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// The key that distinguishes several variants: a constant in each.
fn tag<'a>(variants: &[&'a Value]) -> Option<&'a str> {
    let constant = |schema: &Value, name: &str| schema["properties"][name].get("const").is_some();
    let mut names = names(variants).into_iter();
    names.find(|name| variants.len() > 1 && variants.iter().all(|schema| constant(schema, name)))
}

fn only_with(tag: &str, having: &[&Value]) -> String {
    let values = having.iter().map(|schema| super::yaml::flow(&schema["properties"][tag]["const"]));
    let values: Vec<String> = values.map(|value| format!("`{tag}: {value}`")).collect();
    format!("Only with {}.", values.join(" or "))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}
