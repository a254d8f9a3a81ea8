//! Reads a located tree into the file types with serde, and records every problem instead of stopping at the first.
//!
//! `Reader` is a serde `Deserializer`. A [`Field`] or a [`Section`] asks it for its place and takes what could be
//! read; errors are recorded at the place where they occur. Unknown fields are found by the names that serde's derive
//! passes on. The names of files and environment variables are collected on the way, so that their contents can be
//! read before the configuration is compiled.
//!
//! The file types need no attribute for it but must avoid serde's `flatten`, `untagged` and `tag`, which buffer values
//! and so lose their places: an enum that is chosen by `type` has the serde name [`TAGGED`].

mod access;
mod cursor;
mod deserializer;
mod field;
mod messages;
mod problems;

use std::cell::RefCell;

use serde::de;

use super::yaml::Node;
pub use cursor::{FILE, REVOCATIONS, TAGGED, VARIABLE};
use cursor::{Reader, Spot};
pub use field::{Field, List, Section, WordType, word_or_mapping};
pub(crate) use messages::nearest;
pub use problems::{Location, Named, Problems, Report};

/// Reads a document. Each part that cannot be read is reported and left out.
pub fn read<T: de::DeserializeOwned + Default>(node: &Node, mut report: Report) -> (T, Report) {
    report.problems.begin(node.position);
    read_at(node, Spot::Known(Location::ROOT), report)
}

/// Reads a document that stands for the value at `place`, where all its problems are reported.
pub fn read_in_place<T: de::DeserializeOwned + Default>(node: &Node, place: Location, report: Report) -> (T, Report) {
    read_at(node, Spot::Fixed(place), report)
}

fn read_at<T: de::DeserializeOwned + Default>(node: &Node, place: Spot<'_>, report: Report) -> (T, Report) {
    let report = RefCell::new(report);
    let reader = Reader { node: Some(node), place, is_tagged: false, report: &report };
    let value = reader.recorded(T::deserialize(reader)).unwrap_or_default();
    (value, report.into_inner())
}

#[cfg(test)]
mod tests;
