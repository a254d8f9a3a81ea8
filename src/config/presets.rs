//! The built-in provider presets: presets/*.yaml, embedded in the program, and their parser. No I/O.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use include_dir::{Dir, File, include_dir};
use serde::Deserialize;
use serde_json::Value;

use super::file::preset::PresetFile;
use super::yaml;

/// The folder as it was at the build. build.rs starts a new one when a file is added.
static FOLDER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/presets");

/// Text of each preset by its name.
pub static PRESETS: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| FOLDER.files().filter_map(named).collect());

/// Name and text of `name.yaml`; `None` for a file that is not YAML.
fn named<'f>(file: &'f File<'_>) -> Option<(&'f str, &'f str)> {
    Some((file.path().to_str()?.strip_suffix(".yaml")?, file.contents_utf8()?))
}

/// The text of a preset; `None` if the name is unknown.
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS.get(name).copied()
}

/// A preset whose `${…}` placeholders are not filled in; `None` if the name is unknown.
pub fn find(name: &str) -> Option<PresetFile> {
    parse(text(name)?, &BTreeMap::new()).ok()
}

/// Name and content of each preset, with its `${…}` placeholders.
pub fn all() -> impl Iterator<Item = (&'static str, PresetFile)> {
    PRESETS.keys().filter_map(|name| Some((*name, find(name)?)))
}

/// Parses a preset and replaces its `${…}` placeholders by the given parameters.
///
/// # Errors
/// Every problem of the text, for authors of presets.
pub fn parse(text: &str, parameters: &BTreeMap<String, String>) -> Result<PresetFile, String> {
    let document = yaml::read(text).map_err(|problems| {
        let problems = problems.iter().map(|at| format!("{}: {}", at.position.line, at.message));
        problems.collect::<Vec<_>>().join("; ")
    })?;
    let mut value = document.value;
    fill(&mut value, parameters);
    PresetFile::deserialize(value).map_err(|error| error.to_string())
}

fn fill(value: &mut Value, parameters: &BTreeMap<String, String>) {
    match value {
        Value::String(text) if text.contains("${") => {
            for (name, parameter) in parameters {
                *text = text.replace(&format!("${{{name}}}"), parameter);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, parameters)),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, parameters)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_a_yaml_file_in_utf_8() {
        let presets = [
            ("a.yaml", "x".as_bytes()),
            ("a-b.yaml", b"y"),
            ("README.md", b"z"),
            ("c.yaml~", b""),
            ("d.yaml", b"\xff"),
        ];
        let files = presets.map(|(path, contents)| File::new(path, contents));
        assert_eq!(files.iter().filter_map(named).collect::<Vec<_>>(), [("a", "x"), ("a-b", "y")]);
        assert_eq!(FOLDER.files().count(), PRESETS.len());
    }

    #[test]
    fn each_is_well_formed_and_says_where_it_was_read() {
        for (name, text) in PRESETS.iter() {
            let preset = parse(text, &BTreeMap::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let told = [&preset.title, &preset.retries, &preset.unsigned].iter().all(|text| !text.is_empty());
            assert!(told && !preset.source.to_vec().is_empty() && text.starts_with("# Source"), "{name}");
            let schemes = [preset.signature.is_some(), preset.static_token.is_some(), preset.jwt.is_some()];
            assert_eq!(schemes.iter().filter(|scheme| **scheme).count(), 1, "{name}");
            for parameter in preset.parameters.keys() {
                assert!(text.contains(&format!("${{{parameter}}}")), "{name}: {parameter} is not used");
            }
        }
    }
}
