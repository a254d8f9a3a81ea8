//! The sections of the reference: an object, or several places of the file with one and the same object.

use serde_json::Value;

use super::walk::{Key, Object, objects};
use super::{PAGES, slug};

/// Stands for the paths of all secrets and keys in the list of pages.
pub const SECRETS: &str = "(secrets)";

/// Keys whose objects are secrets or public keys.
const NAMES_OF_SECRETS: &[&str] = &["secret", "secrets", "public_key", "public_keys", "root_ca"];

/// A heading with more places than these is the list of their last names.
const MAX_PLACES: usize = 3;

pub struct Section {
    /// The places, each a dotted path, and whether a change there needs a restart.
    places: Vec<(String, Vec<bool>)>,
    pub description: String,
    pub keys: Vec<Key>,
    pub file: &'static str,
}

/// The sections in the order of the schema. Of several places of an object, the shortest path gives the section its page.
pub fn sections(schema: &Value) -> Vec<Section> {
    let mut groups: Vec<Vec<Object>> = Vec::new();
    for object in objects(schema) {
        match groups.iter_mut().find(|group| group[0].definition == object.definition) {
            Some(group) => group.push(object),
            None => groups.push(vec![object]),
        }
    }
    groups.into_iter().map(section).collect()
}

fn section(mut objects: Vec<Object>) -> Section {
    objects.sort_by_key(|object| object.path.matches('.').count());
    let places =
        objects.iter().map(|object| (object.path.clone(), object.keys.iter().map(|key| key.needs_restart).collect()));
    let places: Vec<(String, Vec<bool>)> = places.collect();
    let first = objects.swap_remove(0);
    let file = if is_secret(&first) { page_of(SECRETS) } else { page_of(&first.path) };
    // With several places, the description of one is not that of the others.
    let description = if places.len() == 1 { first.description } else { String::new() };
    Section { places, description, keys: first.keys, file }
}

fn is_secret(object: &Object) -> bool {
    let name = object.path.rsplit('.').next().unwrap_or_default();
    NAMES_OF_SECRETS.contains(&name) || object.keys.iter().any(|key| key.name == "env")
}

/// The page of an object: the one with the longest path that contains it.
pub fn page_of(path: &str) -> &'static str {
    let contains = |above: &str| above.is_empty() || path == above || path.starts_with(&format!("{above}."));
    let pages = PAGES.iter().filter(|(above, ..)| contains(above));
    pages.max_by_key(|(above, ..)| above.len()).map(|(_, file, _)| *file).unwrap()
}

impl Section {
    pub fn heading(&self) -> String {
        let paths: Vec<&str> = self.places.iter().map(|(path, _)| path.as_str()).collect();
        match paths.as_slice() {
            [""] => "Top level".to_owned(),
            few if few.len() <= MAX_PLACES => {
                let paths: Vec<String> = few.iter().map(|path| format!("`{path}`")).collect();
                format!("Keys of {}", paths.join(", "))
            }
            many => {
                let mut names: Vec<String> = Vec::new();
                for name in many.iter().map(|path| format!("`{}`", path.rsplit('.').next().unwrap())) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                format!("Keys of {}", names.join(", "))
            }
        }
    }

    /// Links to the keys whose values these objects are, if there are several, and the anchors of all but the first:
    /// in the rows they would be the largest part of the page's source.
    pub fn places(&self, all: &[Section]) -> String {
        if self.places.len() == 1 {
            return String::new();
        }
        let mut list = "The value of each of these keys:\n\n".to_owned();
        for (index, (path, _)) in self.places.iter().enumerate() {
            let anchor = |key: &Key| format!("<a id=\"{path}.{}\"></a>", key.name);
            let anchors: String = self.keys.iter().filter(|_| index > 0).map(anchor).collect();
            list.push_str(&format!("- {anchors}[`{path}`]({})\n", self.to_key(path, all)));
        }
        list + "\n"
    }

    fn to_key(&self, path: &str, all: &[Section]) -> String {
        let (object, _) = path.rsplit_once('.').unwrap_or(("", path));
        let file = all.iter().find(|section| section.has(object)).map_or("", |section| section.file);
        if file == self.file { format!("#{path}") } else { format!("{file}#{path}") }
    }

    fn has(&self, object: &str) -> bool {
        self.places.iter().any(|(path, _)| path == object)
    }

    /// The target of a link to the object with this path.
    pub fn link(&self, object: &str, all: &[Section]) -> String {
        let target = all.iter().find(|section| section.has(object)).unwrap();
        let file = if target.file == self.file { "" } else { target.file };
        format!("{file}#{}", slug(&target.heading()))
    }

    fn paths(&self, key: &str) -> Vec<String> {
        let path = |object: &String| if object.is_empty() { key.to_owned() } else { format!("{object}.{key}") };
        self.places.iter().map(|(object, _)| path(object)).collect()
    }

    /// The path of a key, or its name where it has several paths.
    pub fn shown(&self, key: &str) -> String {
        match self.paths(key).as_slice() {
            [path] => format!("`{path}`"),
            _ => format!("`{key}`"),
        }
    }

    /// The first cell: an anchor, and a link to it.
    pub fn anchored(&self, key: &str) -> String {
        let path = &self.paths(key)[0];
        format!("<a id=\"{path}\"></a>[{}](#{path})", self.shown(key))
    }

    /// The cell that says whether a change of the key needs a restart: everywhere, or in some places.
    pub fn restart(&self, key: &str) -> String {
        let at = self.keys.iter().position(|one| one.name == key).unwrap();
        let (needing, others): (Vec<_>, Vec<_>) = self.places.iter().partition(|(_, restart)| restart[at]);
        match (needing.is_empty(), others.is_empty()) {
            (true, _) => String::new(),
            (false, true) => "yes".to_owned(),
            (false, false) => {
                let paths: Vec<String> = needing.iter().map(|(path, _)| format!("`{path}`")).collect();
                format!("for {}", paths.join(", "))
            }
        }
    }
}

/// The first sentences of a text, and the others.
pub fn sentences(text: &str, number: usize) -> (String, String) {
    let text = text.split_whitespace().collect::<Vec<&str>>().join(" ");
    let ends = text.match_indices(". ").map(|(at, _)| at + 1);
    let begins = |at: &usize| text[at + 1..].starts_with(|letter: char| letter.is_uppercase() || letter == '`');
    match ends.filter(begins).nth(number - 1) {
        Some(at) => (text[..at].to_owned(), text[at + 1..].to_owned()),
        None => (text, String::new()),
    }
}

#[test]
fn an_object_is_on_the_page_of_the_longest_path() {
    for (path, file) in [
        ("", "index.md"),
        ("log", "index.md"),
        ("routes.limits.per_issuer", "routes.md"),
        ("routes.auth.static_token", "authentication.md"),
        ("routes.auth.jwt", "jwt.md"),
        ("routes.authority", "routes.md"),
        (SECRETS, "secrets.md"),
    ] {
        assert_eq!(page_of(path), file, "{path}");
    }
    let split = sentences("One, e.g. this. `b` is two. Three.", 2);
    assert_eq!(split, ("One, e.g. this. `b` is two.".to_owned(), "Three.".to_owned()));
}
