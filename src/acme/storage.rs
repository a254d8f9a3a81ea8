//! The folder with the account and the certificates of one ACME server.
//!
//! A program that can read it has the private keys; one that can write it decides what is served. A file that another user
//! could have read or written is therefore not used. These functions block, and are not called on async threads.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Maximum size of a file in bytes; a chain has a few KiB.
const MAX_SIZE: u64 = 1 << 20;

/// The mode bits of other users.
const OTHERS: u32 = 0o077;

/// Why a file of the folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub(super) struct StorageError {
    path: PathBuf,
    problem: StorageProblem,
}

#[derive(Debug, thiserror::Error)]
enum StorageProblem {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a regular file")]
    NotAFile,
    #[error("is owned by another user")]
    Owner,
    #[error("other users have access to it; its mode must be 0600, and 0700 of the folder")]
    Mode,
    #[error("is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("another process holds this storage: of several replicas, set `holder: false` in all but one")]
    Held,
}

/// The folder of one server within `storage`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Storage {
    folder: PathBuf,
}

/// The right to order certificates, of one process at a time; it ends with the process.
#[derive(Debug)]
pub(super) struct StorageLock {
    _file: File,
}

impl Storage {
    /// The server's URL is part of the path, so that certificates of a staging server are not used in production.
    pub(super) fn new(storage: &Path, directory: &str) -> Self {
        let host =
            url::Url::parse(directory).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let plain = |byte: char| if byte.is_ascii_alphanumeric() || byte == '.' { byte } else { '-' };
        let host: String = host.chars().map(plain).collect();
        let hash = hex::encode(digest(&SHA256, directory.as_bytes()).as_ref().split_at(4).0);
        Self { folder: storage.join(format!("{host}-{hash}")) }
    }

    /// The contents of a file; `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        let path = self.folder.join(name);
        read(&path).map_err(|problem| StorageError { path, problem })
    }

    /// Replaces a file atomically.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let (path, beside) = (self.folder.join(name), self.folder.join(format!(".{name}.new")));
        let written = self.prepare().and_then(|()| {
            // Only the holder of the lock writes: the file is left from a crash.
            let _ = fs::remove_file(&beside);
            let mut file = private().write(true).create_new(true).open(&beside)?;
            file.write_all(bytes)?;
            // Synced before it is renamed: otherwise a power cut could leave an empty file instead of the valid one.
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(())
        });
        written.map_err(|problem| StorageError { path, problem })
    }

    /// Takes the lock, which no other process may hold.
    pub(super) fn lock(&self) -> Result<StorageLock, StorageError> {
        let path = self.folder.join("lock");
        let locked = self.prepare().and_then(|()| {
            let file = private().write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) => Ok(StorageLock { _file: file }),
                Err(fs::TryLockError::WouldBlock) => Err(StorageProblem::Held),
                Err(fs::TryLockError::Error(error)) => Err(error.into()),
            }
        });
        locked.map_err(|problem| StorageError { path, problem })
    }

    /// Creates the folder if it does not exist.
    fn prepare(&self) -> Result<(), StorageProblem> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        evaluate(&fs::symlink_metadata(&self.folder)?)
    }
}

/// A file that is created with mode 0600, and that is no symbolic link.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StorageProblem> {
    let file = match private().read(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(StorageProblem::NotAFile);
    }
    evaluate(&metadata)?;
    if metadata.len() > MAX_SIZE {
        return Err(StorageProblem::TooLarge);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whether this user alone has access.
fn evaluate(metadata: &fs::Metadata) -> Result<(), StorageProblem> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(StorageProblem::Owner);
    }
    if metadata.mode() & OTHERS == 0 { Ok(()) } else { Err(StorageProblem::Mode) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn storage() -> (tempfile::TempDir, Storage) {
        let folder = tempfile::TempDir::new().unwrap();
        let storage = Storage::new(&folder.path().join("a/b"), "https://ca.test:14000/dir");
        (folder, storage)
    }

    #[test]
    fn files_are_private_and_replaced_as_a_whole() {
        let (_folder, storage) = storage();
        assert_eq!(storage.read("a").unwrap(), None);
        for text in [b"one", b"two"] {
            storage.write("a", text).unwrap();
            assert_eq!(storage.read("a").unwrap().unwrap().as_slice(), text);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&storage.folder), mode(&storage.folder.join("a"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&storage.folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_or_folder_of_which_others_have_a_part_is_not_used() {
        let (_folder, storage) = storage();
        storage.write("a", b"one").unwrap();
        let path = storage.folder.join("a");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(storage.read("a").unwrap_err().to_string().contains("0600"));
        symlink(&path, storage.folder.join("link")).unwrap();
        assert!(storage.read("link").is_err());
        fs::set_permissions(&storage.folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(storage.write("b", b"").unwrap_err().to_string().contains("0700"));
    }

    #[test]
    fn one_process_at_a_time_holds_the_storage() {
        let (_folder, storage) = storage();
        let held = storage.lock().unwrap();
        assert!(storage.lock().unwrap_err().to_string().contains("`holder: false`"));
        drop(held);
        assert!(storage.lock().is_ok());
    }

    #[test]
    fn each_server_has_its_own_folder() {
        let folder = |url: &str| Storage::new(Path::new("s"), url).folder.display().to_string();
        assert!(folder("https://ca.test:14000/dir").starts_with("s/ca.test-"));
        assert_ne!(folder("https://ca.test:14000/dir"), folder("https://ca.test:14000/other"));
        assert_ne!(folder("https://ca.test/dir"), folder("https://ca.test:14000/dir"));
    }
}
