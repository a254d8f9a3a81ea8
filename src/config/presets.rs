//! The built-in provider presets: presets/*.yaml, embedded in the program, and their parser. No I/O.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::error::{ConfigErrors, Problem};
use super::file::preset::PresetYaml;
use super::reader::{self, Location, Report};
use super::yaml::{self, Node, NodeValue};
use include_dir::{Dir, File, include_dir};

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
pub fn find(name: &str) -> Option<PresetYaml> {
    read(text(name)?).ok()
}

/// Name and content of each preset, with its `${…}` placeholders.
pub fn all() -> impl Iterator<Item = (&'static str, PresetYaml)> {
    PRESETS.keys().filter_map(|name| Some((*name, find(name)?)))
}

/// Reads the text of a preset.
///
/// # Errors
/// Every problem of the text, for authors of presets.
pub fn read(text: &str) -> Result<PresetYaml, ConfigErrors> {
    let errors = |problems: Vec<Problem>| ConfigErrors::new("preset", problems);
    let (preset, report): (PresetYaml, Report) = reader::read(&yaml::read(text).map_err(errors)?, Report::default());
    if report.problems.is_empty() { Ok(preset) } else { Err(errors(report.problems.into_vec())) }
}

/// Reads the text of a preset with parameters instead of its `${…}` placeholders. Problems are reported at `place`, the
/// name of the preset in gateway.yaml.
pub fn fill(
    text: &str,
    parameters: &BTreeMap<String, String>,
    place: Location,
    report: Report,
) -> (PresetYaml, Report) {
    // A built-in preset is valid YAML, as a test checks.
    let mut document = yaml::read(text).unwrap_or_default();
    fill_in(&mut document, parameters);
    reader::read_in_place(&document, place, report)
}

fn fill_in(node: &mut Node, parameters: &BTreeMap<String, String>) {
    match &mut node.value {
        NodeValue::String(text) if text.contains("${") => {
            for (name, parameter) in parameters {
                *text = text.replace(&format!("${{{name}}}"), parameter);
            }
        }
        NodeValue::List(items) => items.iter_mut().for_each(|item| fill_in(item, parameters)),
        NodeValue::Mapping(entries) => entries.iter_mut().for_each(|(_, value)| fill_in(value, parameters)),
        NodeValue::String(_) | NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) => {}
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
            let preset = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let told = [&preset.title, &preset.retries, &preset.unsigned].iter().all(|text| !text.is_empty());
            assert!(told && !preset.source.is_empty() && text.starts_with("# Source"), "{name}");
            let schemes = [preset.signature.is_written(), preset.static_token.is_written(), preset.jwt.is_written()];
            assert_eq!(schemes.iter().filter(|scheme| **scheme).count(), 1, "{name}");
            for parameter in preset.parameters.keys() {
                assert!(text.contains(&format!("${{{parameter}}}")), "{name}: {parameter} is not used");
            }
        }
    }
}
