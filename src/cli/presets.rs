//! `hookgate presets`: the providers that are known, or one of them in full. Reads nothing but what is built in.

mod page;

use std::io::Write;

use anyhow::bail;

use crate::config::file::preset::PresetFile;
use crate::config::presets::{PRESETS, find, text};
use crate::config::shape::nearest;
pub use page::markdown;

/// Names that are suggested for one that is unknown.
const MAX_SUGGESTED: usize = 5;

/// `hookgate presets`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One of them: the file that describes it, as it is
    name: Option<String>,
    /// The page docs/presets.md
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

pub(super) fn presets(arguments: &Arguments) -> anyhow::Result<()> {
    let shown = match &arguments.name {
        _ if arguments.markdown => markdown(),
        None => table(),
        Some(name) => match text(name) {
            Some(text) => text.to_owned(),
            None => bail!("no preset `{name}`; {}", suggestion(name)),
        },
    };
    // At once: a reader that has seen enough, as `head` has, closes the pipe.
    std::io::stdout().write_all(shown.as_bytes())?;
    Ok(())
}

fn known() -> impl Iterator<Item = (&'static str, PresetFile)> {
    PRESETS.iter().filter_map(|(name, _)| Some((*name, find(name)?)))
}

/// A name and its title a line.
fn table() -> String {
    let width = PRESETS.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    known().map(|(name, preset)| format!("{name:width$}  {}\n", preset.title)).collect()
}

fn suggestion(given: &str) -> String {
    let near = near(given);
    let rest = "`hookgate presets` lists all";
    if near.is_empty() { rest.to_owned() } else { format!("did you mean {}? {rest}", near.join(", ")) }
}

/// Those whose name or title has the word in it; else the one that was probably meant.
fn near(given: &str) -> Vec<&'static str> {
    let given = given.to_lowercase();
    let alike = |(name, preset): &(&str, PresetFile)| {
        let within = given.len() > 1 && (name.contains(&given) || preset.title.to_lowercase().contains(&given));
        within || (name.len() > 2 && given.contains(name))
    };
    let found: Vec<&str> = known().filter(alike).map(|(name, _)| name).take(MAX_SUGGESTED).collect();
    let names = PRESETS.iter().map(|(name, _)| *name);
    if found.is_empty() { nearest(&given, names).into_iter().collect() } else { found }
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
        assert_eq!(suggestion("strpe"), "did you mean stripe? `hookgate presets` lists all");
    }
}
