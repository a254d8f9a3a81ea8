//! The JSON Schema of gateway.yaml accepts what the gateway accepts, and rejects what the gateway rejects for its shape.

mod broken;
mod examples;
mod files;

use std::path::{Path, PathBuf};

/// The files with this extension in a folder of the repository, sorted.
fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}
