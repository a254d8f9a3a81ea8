//! The captured requests of a command line: files, and the files in folders, each with the time of its capture.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;

use super::message::milliseconds;

/// Ends of the names of captured requests; a folder may have other files.
const CAPTURES: &[&str] = &["http", "har"];

/// How deep folders are read: `capture` has one folder for each route.
const MAX_DEPTH: usize = 4;

/// Number of files that are read at most.
const MAX_FILES: usize = 10_000;

/// The files of these paths, of a folder all captures in it, by their names.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { add_folder(path, MAX_DEPTH, &mut files)? } else { files.push(path.clone()) }
    }
    Ok(files)
}

fn add_folder(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let unreadable = || format!("cannot read {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>().with_context(unreadable)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().with_context(unreadable)?);
        if kind.is_dir() && depth > 0 {
            add_folder(&path, depth - 1, files)?;
        } else if kind.is_file() && path.extension().and_then(OsStr::to_str).is_some_and(|end| CAPTURES.contains(&end))
        {
            anyhow::ensure!(files.len() < MAX_FILES, "more than {MAX_FILES} requests; name fewer files");
            files.push(path);
        }
    }
    Ok(())
}

/// The file with the latest capture: by the time in its name, or else by that of its last change.
pub(super) fn newest(files: Vec<PathBuf>) -> Option<PathBuf> {
    let changed = |path: &Path| path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok();
    let time = |path: &Path| milliseconds(path).or_else(|| u64::try_from(changed(path)?.as_millis()).ok());
    // Of two files with the same time, the first by name.
    files.into_iter().enumerate().max_by_key(|(at, path)| (time(path), Reverse(*at))).map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_captures_of_a_folder_are_found_and_the_newest_chosen() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("r")).unwrap();
        let names = ["r/1800000000000-a-b.http", "r/1800000000001-a-c.http", "r/notes.txt", "1700000000000-a-d.har"];
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "x").unwrap());
        let found = files(&[folder.path().to_owned()]).unwrap();
        let expected = [names[3], names[0], names[1]].map(|name| folder.path().join(name));
        assert_eq!(found, expected);
        assert_eq!(newest(found), Some(folder.path().join(names[1])));
    }
}
