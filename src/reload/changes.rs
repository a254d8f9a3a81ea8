//! The changes of a reload, in short, for the log: files and environment variables, and the routes that are new or
//! gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Sources;
use crate::config::sources::SourceContent;
use crate::route::table::RoutingTable;
use crate::snapshot::ConfigHash;

/// The most names that the line has; the others are counted.
const NAMES: usize = 10;

/// The inputs of a configuration by their names, each with the hash of its content.
#[derive(Clone)]
pub(super) struct Inputs(BTreeMap<String, ConfigHash>);

impl Inputs {
    pub(super) fn of(sources: &Sources) -> Self {
        let hash = |content: &SourceContent| match content {
            Ok(bytes) => ConfigHash::of(&[bytes]),
            Err(error) => ConfigHash::of(&[b"error", error.as_bytes()]),
        };
        let named = sources.files.iter().map(|(name, content)| (name.clone(), hash(content)));
        let variables = sources.variables.iter().map(|(name, content)| (format!("${name}"), hash(content)));
        let yaml = sources.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self(named.chain(variables).chain([(yaml, ConfigHash::of(&[sources.yaml_hash().as_bytes()]))]).collect())
    }

    /// The names of the inputs that differ, or are in one of both only.
    pub(super) fn changed(&self, former: &Self) -> String {
        let names: BTreeSet<&String> = self.0.keys().chain(former.0.keys()).collect();
        names_in_short(names.into_iter().filter(|name| self.0.get(*name) != former.0.get(*name)))
    }
}

/// The routes that are new, and those that are gone.
pub(super) fn routes(former: &RoutingTable, present: &RoutingTable) -> (Option<String>, Option<String>) {
    let names = |table: &RoutingTable| table.routes().map(|route| route.name.to_string()).collect::<BTreeSet<_>>();
    let (former, present) = (names(former), names(present));
    let differing = |some: &BTreeSet<String>, others| {
        Some(names_in_short(some.difference(others))).filter(|names| !names.is_empty())
    };
    (differing(&present, &former), differing(&former, &present))
}

fn names_in_short<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let shown = names.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_inputs_are_named() {
        let inputs = |named: &[(&str, u8)]| {
            Inputs(named.iter().map(|(name, content)| ((*name).to_owned(), ConfigHash::of(&[&[*content]]))).collect())
        };
        let former = inputs(&[("gateway.yaml", 1), ("secrets/a", 1), ("secrets/b", 1)]);
        let present = inputs(&[("gateway.yaml", 1), ("secrets/a", 2), ("secrets/c", 1)]);
        assert_eq!(present.changed(&former), "secrets/a, secrets/b, secrets/c");
        assert_eq!(present.changed(&present), "");
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (0..13).map(|number| format!("r{number:02}")).collect();
        assert!(names_in_short(names.iter()).ends_with(", r09 and 3 more"));
    }
}
