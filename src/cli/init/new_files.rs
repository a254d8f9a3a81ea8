//! New files that are written all or none, and never over an existing one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use zeroize::Zeroizing;

/// The mode of a file that every user may read.
pub(super) const PUBLIC: u32 = 0o644;

/// The mode of a file that only the owner may read.
pub(super) const PRIVATE: u32 = 0o600;

/// The mode of a folder that is created: others need not know which secrets there are.
const FOLDER: u32 = 0o700;

/// Mode and content of each new file, by its name in the configuration.
pub(super) type NewContents = BTreeMap<String, (u32, Zeroizing<Vec<u8>>)>;

/// A file that does not exist yet.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// Writes the files under temporary names, then gives each its own. A gateway that watches the folder never sees half a
/// file, and after a failure none of them exists. The last file is the last to appear.
pub(super) fn write_all(files: &[NewFile]) -> anyhow::Result<()> {
    check_absent(files.iter().map(|file| &file.path))?;
    let mut written = UnfinishedFiles::default();
    for file in files {
        let temporary = temporary(&file.path);
        let cannot = || format!("cannot write {}", file.path.display());
        if let Some(folder) = file.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(FOLDER).create(folder).with_context(cannot)?;
        }
        let mut new =
            OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&temporary).with_context(cannot)?;
        written.temporary.push(temporary);
        new.write_all(&file.content).and_then(|()| new.sync_all()).with_context(cannot)?;
    }
    for file in files {
        // Unlike a rename, a link never replaces a file that another process has created in the meantime.
        fs::hard_link(temporary(&file.path), &file.path)
            .with_context(|| format!("cannot write {}", file.path.display()))?;
        written.own.push(file.path.clone());
    }
    written.own.clear();
    Ok(())
}

/// # Errors
/// Files that exist already, which are all named.
pub(super) fn check_absent<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> anyhow::Result<()> {
    let existing = paths.into_iter().filter(|path| path.symlink_metadata().is_ok());
    let existing: Vec<String> = existing.map(|path| path.display().to_string()).collect();
    if !existing.is_empty() {
        anyhow::bail!("{} already exists; nothing was written", existing.join(", "));
    }
    Ok(())
}

/// The name of an existing file for the configuration, where relative paths start at the configuration's folder.
pub(super) fn named(path: &str, config: &Path) -> Result<String, String> {
    let is_here = config.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let file = std::fs::File::open(path);
    file.map_err(|error| error.to_string())?;
    let full = if is_here { Ok(path.into()) } else { std::path::absolute(path) };
    let full = full.map_err(|error| error.to_string())?;
    full.to_str().map(str::to_owned).ok_or_else(|| "expected a path in UTF-8".to_owned())
}

pub(super) fn add(new: &mut NewContents, name: &str, mode: u32, content: impl Into<Vec<u8>>) {
    new.insert(name.to_owned(), (mode, Zeroizing::new(content.into())));
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

/// The files that exist so far; removes them when dropped.
#[derive(Default)]
struct UnfinishedFiles {
    temporary: Vec<PathBuf>,
    own: Vec<PathBuf>,
}

impl Drop for UnfinishedFiles {
    fn drop(&mut self) {
        for path in self.temporary.iter().chain(&self.own) {
            let _may_be_gone = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(path: PathBuf, mode: u32) -> NewFile {
        NewFile { path, mode, content: Zeroizing::new(b"content".to_vec()) }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_secret_is_readable_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write_all(&[file(path("secrets/stripe"), PRIVATE), file(path("gateway.yaml"), PUBLIC)]).unwrap();
        let mode = |name: &str| fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("secrets"), mode("secrets/stripe")), (0o700, 0o600));
        assert_eq!(names(folder.path()), ["gateway.yaml", "secrets"]);
        assert_eq!(names(&path("secrets")), ["stripe"]);
    }

    /// The second file cannot be written, because its folder is a file.
    #[test]
    fn a_failure_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("certs"), "").unwrap();
        let files = [file(path("one"), PRIVATE), file(path("certs/server.key"), PRIVATE)];
        assert!(write_all(&files).unwrap_err().to_string().contains("certs/server.key"));
        assert_eq!(names(folder.path()), ["certs"]);
    }

    /// A dangling link is a file too: what it points to must not be written.
    #[test]
    fn every_existing_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "old").unwrap();
        std::os::unix::fs::symlink("nowhere", path("two")).unwrap();
        let error = write_all(&["one", "two", "three"].map(|name| file(path(name), PUBLIC))).unwrap_err().to_string();
        assert!(error.contains("one, ") && error.contains("two already exists") && !error.contains("three"), "{error}");
        assert_eq!((fs::read_to_string(path("one")).unwrap().as_str(), path("three").exists()), ("old", false));
    }
}
