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

/// The preset that each other name stands for.
static ALIASES: LazyLock<BTreeMap<String, &str>> = LazyLock::new(|| {
    all().flat_map(|(name, preset)| preset.aliases.0.into_iter().map(move |alias| (alias, name))).collect()
});

/// Name and text of `name.yaml`; `None` for a file that is not YAML.
fn named<'f>(file: &'f File<'_>) -> Option<(&'f str, &'f str)> {
    Some((file.path().to_str()?.strip_suffix(".yaml")?, file.contents_utf8()?))
}

/// The name of the preset that has this name or alias; `None` if the name is unknown.
pub fn resolve(name: &str) -> Option<&'static str> {
    PRESETS.get_key_value(name).map(|(own, _)| *own).or_else(|| ALIASES.get(name).copied())
}

/// All names, with the aliases.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.keys().copied().chain(ALIASES.keys().map(String::as_str))
}

/// The text of a preset, by its name or an alias; `None` if the name is unknown.
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS.get(resolve(name)?).copied()
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
    parameters: &BTreeMap<String, Vec<String>>,
    place: Location,
    report: Report,
) -> (PresetYaml, Report) {
    // A built-in preset is valid YAML, as a test checks.
    let mut document = yaml::read(text).unwrap_or_default();
    fill_in(&mut document, parameters);
    reader::read_in_place(&document, place, report)
}

/// Replaces each placeholder by its parameter. An item that is the placeholder of a list becomes the items of that list.
fn fill_in(node: &mut Node, parameters: &BTreeMap<String, Vec<String>>) {
    match &mut node.value {
        NodeValue::String(text) if text.contains("${") => {
            for (name, parameter) in parameters {
                *text = text.replace(&format!("${{{name}}}"), &parameter.join(" "));
            }
        }
        NodeValue::List(items) => {
            for (name, parameter) in parameters.iter().filter(|(_, parameter)| parameter.len() > 1) {
                expand(items, &format!("${{{name}}}"), parameter);
            }
            items.iter_mut().for_each(|item| fill_in(item, parameters));
        }
        NodeValue::Mapping(entries) => entries.iter_mut().for_each(|(_, value)| fill_in(value, parameters)),
        NodeValue::String(_) | NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) => {}
    }
}

fn expand(items: &mut Vec<Node>, placeholder: &str, values: &[String]) {
    let is_placeholder = |item: &Node| matches!(&item.value, NodeValue::String(text) if text == placeholder);
    if let Some(at) = items.iter().position(is_placeholder)
        && let Some(position) = items.get(at).map(|item| item.position)
    {
        let copies = values.iter().map(|value| Node::new(position, NodeValue::String(value.clone())));
        items.splice(at..=at, copies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signature::Component;
    use crate::config::file::preset::{EvidenceKind, RedeliveryYaml};

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

    /// An alias that is a preset, too, would hide it, and one of two presets would depend on their order.
    #[test]
    fn a_name_is_that_of_one_preset() {
        let mut seen = std::collections::BTreeSet::new();
        for (name, preset) in all() {
            assert!(seen.insert(name.to_owned()), "{name}");
            for alias in &*preset.aliases {
                let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
                assert!(seen.insert(alias.clone()) && alias.chars().all(plain), "{name}: {alias}");
                assert_eq!((resolve(alias), text(alias)), (Some(name), text(name)));
            }
        }
        assert_eq!((resolve("whatsapp"), resolve("clerk")), (Some("meta"), Some("svix")));
        assert!(resolve("whats-app").is_none() && names().count() == seen.len());
    }

    /// The kinds of evidence other than our own name where they can be read; a source of our own would be none.
    #[test]
    fn evidence_says_where_it_can_be_read() {
        for (name, preset) in all() {
            let evidence = preset.evidence.as_ref().unwrap_or_else(|| panic!("{name} has no `evidence`"));
            let least = match evidence.kind {
                EvidenceKind::Sdk | EvidenceKind::Documents => 1,
                EvidenceKind::Receivers => 2,
                EvidenceKind::Own => 0,
            };
            assert!(evidence.source.len() >= least, "{name}: expected {least} sources of its evidence");
            assert!(evidence.kind != EvidenceKind::Own || evidence.source.is_empty(), "{name}");
            let dotted = |source: &String| source.contains('.') && !source.contains(' ');
            assert!(evidence.source.iter().all(dotted), "{name}: expected URLs");
        }
    }

    /// An attacker can move bytes over the border of two signed parts of any length; a line feed is in no header and URL.
    #[test]
    fn movable_borders_are_named_as_unsigned() {
        for (name, preset) in all() {
            let Some(signature) = preset.signature.value() else { continue };
            let time = signature.timestamp.value().and_then(|time| {
                let place = time.places().into_iter().find_map(|place| Some((place.key, place.text?)));
                place.and_then(|(key, text)| Component::parse(&format!("{key}:{text}")))
            });
            let parts = signature.signed_payload.iter().map(|component| &**component);
            let parts: Vec<_> = parts.filter(|component| !matches!(component, Component::Text(_))).collect();
            let is_free = |part: &Component| !part.has_fixed_length() && Some(part) != time.as_ref();
            let is_movable = parts.windows(2).any(|pair| pair.iter().all(|part| is_free(part)));
            let is_named = preset.unsigned.contains("border");
            assert!(!is_movable || signature.join.or_default() == "\n" || is_named, "{name}: {}", preset.unsigned);
        }
    }

    #[test]
    fn each_is_well_formed_and_says_where_it_was_read() {
        for (name, text) in PRESETS.iter() {
            let preset = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let told = [&preset.title, &preset.retries, &preset.unsigned].iter().all(|text| !text.is_empty());
            assert!(told && !preset.source.is_empty() && text.starts_with("# Source"), "{name}");
            let is_undocumented = preset.redelivery.is_none();
            assert_eq!(is_undocumented, preset.retries.starts_with("not documented"), "{name}: {}", preset.retries);
            let is_automatic = preset.redelivery == Some(RedeliveryYaml::Automatic);
            assert!(is_automatic || preset.retry_window.is_none(), "{name} has a window and no retries");
            let schemes = [preset.signature.is_written(), preset.static_token.is_written(), preset.jwt.is_written()];
            assert_eq!(schemes.iter().filter(|scheme| **scheme).count(), 1, "{name}");
            for parameter in preset.parameters.keys() {
                assert!(text.contains(&format!("${{{parameter}}}")), "{name}: {parameter} is not used");
            }
        }
    }
}
