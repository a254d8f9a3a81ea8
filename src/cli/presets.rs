//! `hookgate presets`: lists the built-in presets for providers, or prints one in full. Reads no files.

pub(super) mod page;

use std::io::Write;

use anyhow::bail;

use super::init::template;
use crate::config::file::preset::PresetYaml;
use crate::config::presets::{PRESETS, all, names, text};
use crate::config::reader::nearest;
pub use page::markdown;

/// Maximum number of names that are suggested for an unknown one.
const MAX_SUGGESTED: usize = 5;

/// Arguments of `hookgate presets`.
#[derive(Debug, clap::Args)]
pub struct PresetsArguments {
    /// Name of a preset, whose file is printed unchanged
    name: Option<String>,
    /// Print a whole gateway.yaml for the preset instead, with replay protection where its requests have an id
    #[arg(long, requires = "name")]
    example: bool,
    /// Print the page docs/reference/presets.md
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

pub(super) fn presets(arguments: &PresetsArguments) -> anyhow::Result<()> {
    let shown = match &arguments.name {
        _ if arguments.markdown => markdown(),
        None => table(),
        Some(name) => match (template::find(name), text(name)) {
            (Some((name, preset)), _) if arguments.example => template::example(name, preset),
            (Some(_), Some(text)) => text.to_owned(),
            (None, _) | (_, None) => bail!(unknown(name)),
        },
    };
    // One write with an error instead of a panic: a reader such as `head` closes the pipe early.
    std::io::stdout().write_all(shown.as_bytes())?;
    Ok(())
}

/// One line for each preset: its name and title.
fn table() -> String {
    let width = PRESETS.keys().map(|name| name.len()).max().unwrap_or_default();
    let also = |preset: &PresetYaml| match preset.aliases.is_empty() {
        true => String::new(),
        false => format!(" (also {})", preset.aliases.join(", ")),
    };
    all().map(|(name, preset)| format!("{name:width$}  {}{}\n", preset.title, also(&preset))).collect()
}

/// The message for a name that no preset has.
pub(super) fn unknown(given: &str) -> String {
    format!("no preset `{given}`; {}", suggestion(given))
}

fn suggestion(given: &str) -> String {
    let near = near(given);
    let rest = "`hookgate presets` lists them";
    if near.is_empty() { rest.to_owned() } else { format!("did you mean {}? {rest}", near.join(", ")) }
}

/// The presets whose name or title contains the word; if there are none, the name with the most similar spelling.
fn near(given: &str) -> Vec<&'static str> {
    let given = given.to_lowercase();
    let alike = |(name, preset): &(&str, PresetYaml)| {
        let within = given.len() > 1 && (name.contains(&given) || preset.title.to_lowercase().contains(&given));
        within || (name.len() > 2 && given.contains(name))
    };
    let found: Vec<&str> = all().filter(alike).map(|(name, _)| name).take(MAX_SUGGESTED).collect();
    if found.is_empty() { nearest(&given, names()).into_iter().collect() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_its_line() {
        let table = table();
        assert_eq!(table.lines().count(), PRESETS.len());
        assert!(table.lines().any(|line| line.split_once("  ").unwrap().1.trim() == "Stripe"), "{table}");
    }

    #[test]
    fn an_unknown_name_leads_to_its_neighbours() {
        assert_eq!(near("strpe"), ["stripe"]);
        assert_eq!(near("HubSpot"), ["hubspot-v1", "hubspot-v2", "hubspot-v3"]);
        assert_eq!(near("twitter"), ["x"]);
        assert_eq!(near("github-webhooks"), ["github"]);
        assert_eq!((near("no such thing"), near(""), near("q").len()), (vec![], vec![], 0));
        assert_eq!(suggestion("strpe"), "did you mean stripe? `hookgate presets` lists them");
    }
}
