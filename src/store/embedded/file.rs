//! The file of the embedded store: a redb database, the format of its entries, and its errors.

use std::any::Any;
use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError,
};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::super::memory::MemoryEntry;
use super::super::state::{EntryId, EntryState, Fingerprint, Owner, SenderId};
use crate::clock::UnixTime;

const ENTRIES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("hookgate entries");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("hookgate");
const FORMAT: &str = "format";
const KEY: &str = "key";

/// Version of the file format; increased with each change of `encode`.
pub(super) const VERSION: u32 = 2;

/// Size of redb's page cache. Only writes need it, since `MemoryStore` answers all lookups.
const CACHE_BYTES: usize = 64 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Another process, or this one, has the file open.
    #[error("{0} is in use by another hookgate process: stop that process, or configure another file")]
    InUse(PathBuf),
    /// The content of the file is corrupted.
    #[error(
        "{path} is corrupted ({cause}): move the file away and restart hookgate; requests that were delivered before can \
         then be replayed until their credentials expire"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The error of redb, or of the decoder.
        cause: String,
    },
    /// The file was written by another program.
    #[error("{0} is not a file of hookgate's embedded store: configure another path; the file was not changed")]
    Foreign(PathBuf),
    /// The file has the format of another version of hookgate.
    #[error(
        "{path} has format {found}, but this version of hookgate reads format {VERSION}: run the version that wrote it, or \
         configure another file"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The format version of the file.
        found: u32,
    },
    /// The directory does not exist.
    #[error("the directory of {0} does not exist: create it, writable by the user that hookgate runs as")]
    NoFolder(PathBuf),
    /// The file cannot be read or written.
    #[error(
        "{path} cannot be read and written: {source}; hookgate's user must own the file, and the disk must not be full"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The system provides no random numbers for a key, no thread or no timer.
    #[error("{0} cannot be used: the system provides no {1}")]
    System(PathBuf, &'static str),
}

/// An open file, with the secret key stored in it.
pub(super) struct EntryDatabase {
    database: Database,
    pub(super) key: Zeroizing<[u8; 32]>,
}

/// A change to one id; `None` deletes it.
pub(super) type FileChange = (EntryId, Option<MemoryEntry>);

impl EntryDatabase {
    /// Opens or creates the file, and calls `each` for all its entries.
    pub(super) fn open(path: &Path, each: &mut dyn FnMut(EntryId, MemoryEntry)) -> Result<Self, EmbeddedError> {
        let file = open(path)?;
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let store = Self::database(path, file)?;
            store.read(path, each)?;
            Ok(store)
        }));
        // redb panics on some damage that its checksums do not cover.
        opened.unwrap_or_else(|panic| Err(corrupt(path, &panic_text(&*panic))))
    }

    fn database(path: &Path, file: File) -> Result<Self, EmbeddedError> {
        let failed = |error: DatabaseError| unusable(path, error);
        let length = file.metadata().map_err(|source| io(path, source))?.len();
        let backend = FileBackend::new(file).map_err(failed)?;
        // All entries are read at start anyway. Without the check, redb would trust pages that another program changed.
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(failed)?;
        let key = match stored_key(path, &database)? {
            Some(key) => key,
            // A file of hookgate always has a key, since all tables are created in one transaction. A database with
            // other tables belongs to another program.
            None if length == 0 || empty(path, &database)? => new(path, &database)?,
            None => return Err(EmbeddedError::Foreign(path.to_owned())),
        };
        Ok(Self { database, key })
    }

    fn read(&self, path: &Path, each: &mut dyn FnMut(EntryId, MemoryEntry)) -> Result<(), EmbeddedError> {
        let failed = |error: redb::Error| damaged(path, error);
        let transaction = self.database.begin_read().map_err(|error| failed(error.into()))?;
        let table = transaction.open_table(ENTRIES).map_err(|error| failed(error.into()))?;
        for entry in table.iter().map_err(|error| failed(error.into()))? {
            let (id, value) = entry.map_err(|error| failed(error.into()))?;
            let record = decode(value.value()).ok_or_else(|| corrupt(path, "an entry cannot be decoded"))?;
            each(EntryId(*id.value()), record);
        }
        Ok(())
    }

    /// Writes the changes in one transaction. After an error the file must be opened again, since redb accepts no
    /// further writes.
    pub(super) fn apply(&self, changes: &[FileChange], durability: Durability) -> Result<(), String> {
        let written = catch_unwind(AssertUnwindSafe(|| self.try_apply(changes, durability)));
        match written {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(panic) => Err(panic_text(&*panic)),
        }
    }

    fn try_apply(&self, changes: &[FileChange], durability: Durability) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(ENTRIES)?;
            for (id, record) in changes {
                match record {
                    Some(record) => drop(table.insert(&id.0, encode(record).as_slice())?),
                    None => drop(table.remove(&id.0)?),
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// Closes the file. redb writes then, and may panic if the file is gone.
    pub(super) fn close(self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }
}

fn open(path: &Path) -> Result<File, EmbeddedError> {
    // The file contains a secret: its mode is 0600, and a symbolic link, as another user may have placed, is not
    // followed.
    let no_links = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_links)
        .open(path)
        .map_err(|source| {
            let no_folder = matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
            if no_folder { EmbeddedError::NoFolder(path.to_owned()) } else { io(path, source) }
        })?;
    let metadata = file.metadata().map_err(|source| io(path, source))?;
    if !metadata.is_file() {
        return Err(EmbeddedError::Foreign(path.to_owned()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(|source| io(path, source))?;
    }
    Ok(file)
}

/// The key in the file; `None` if the file has no table of hookgate.
fn stored_key(path: &Path, database: &Database) -> Result<Option<Zeroizing<[u8; 32]>>, EmbeddedError> {
    let failed = |error: redb::Error| damaged(path, error);
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    let value = |name| table.get(name).map_err(|error| failed(error.into()));
    let format = value(FORMAT)?.and_then(|format| Some(u32::from_le_bytes(format.value().try_into().ok()?)));
    match format {
        Some(VERSION) => {}
        Some(found) => return Err(EmbeddedError::Version { path: path.to_owned(), found }),
        None => return Err(corrupt(path, "the format version is missing")),
    }
    let key = value(KEY)?.and_then(|key| key.value().try_into().ok());
    key.map(Zeroizing::new).map(Some).ok_or_else(|| corrupt(path, "the key is missing"))
}

fn empty(path: &Path, database: &Database) -> Result<bool, EmbeddedError> {
    let transaction = database.begin_read().map_err(|error| damaged(path, error.into()))?;
    let mut tables = transaction.list_tables().map_err(|error| damaged(path, error.into()))?;
    Ok(tables.next().is_none())
}

fn new(path: &Path, database: &Database) -> Result<Zeroizing<[u8; 32]>, EmbeddedError> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| EmbeddedError::System(path.to_owned(), "random numbers"))?;
    let make = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(FORMAT, VERSION.to_le_bytes().as_slice())?;
            meta.insert(KEY, key.as_slice())?;
            transaction.open_table(ENTRIES)?;
        }
        Ok(transaction.commit()?)
    };
    make().map_err(|error| damaged(path, error))?;
    Ok(key)
}

fn encode(record: &MemoryEntry) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let (tag, fingerprint) = match &record.state {
        EntryState::InFlight { fingerprint, .. } => (1, fingerprint),
        EntryState::Released { fingerprint } => (2, fingerprint),
        EntryState::Committed { fingerprint, reply: None } => (3, fingerprint),
        EntryState::Committed { fingerprint, reply: Some(_) } => (4, fingerprint),
    };
    out.push(tag);
    out.extend(record.until.seconds().to_le_bytes());
    out.extend(fingerprint.0.to_le_bytes());
    out.extend(record.sender.0);
    // Route names are short; a truncated name would only count as another route.
    let name = record.route.get(..usize::from(u16::MAX)).unwrap_or(&record.route);
    let length = u16::try_from(name.len()).unwrap_or_default();
    out.extend(length.to_le_bytes());
    out.extend(name.as_bytes().iter().take(usize::from(length)));
    match &record.state {
        EntryState::InFlight { owner, lease, .. } => {
            out.extend(owner.0.to_le_bytes());
            out.extend(lease.seconds().to_le_bytes());
        }
        EntryState::Committed { reply: Some(reply), .. } => out.extend_from_slice(reply),
        EntryState::Released { .. } | EntryState::Committed { reply: None, .. } => {}
    }
    out
}

fn decode(value: &[u8]) -> Option<MemoryEntry> {
    let (&tag, value) = value.split_first()?;
    let (until, value) = number(value)?;
    let (fingerprint, value) = number(value)?;
    let (sender, value) = value.split_first_chunk()?;
    let (length, value) = value.split_first_chunk()?;
    let (name, rest) = value.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let fingerprint = Fingerprint(fingerprint);
    let state = match tag {
        1 => {
            let (owner, rest) = number(rest)?;
            let (lease, rest) = number(rest)?;
            rest.is_empty().then_some(())?;
            EntryState::InFlight { owner: Owner(owner), lease: UnixTime::from_seconds(lease)?, fingerprint }
        }
        2 if rest.is_empty() => EntryState::Released { fingerprint },
        3 if rest.is_empty() => EntryState::Committed { fingerprint, reply: None },
        4 => EntryState::Committed { fingerprint, reply: Some(Bytes::copy_from_slice(rest)) },
        _ => return None,
    };
    let route = Arc::from(std::str::from_utf8(name).ok()?);
    Some(MemoryEntry { route, sender: SenderId(*sender), until: UnixTime::from_seconds(until)?, state })
}

fn number(value: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = value.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other error of redb is reported alike")]
fn unusable(path: &Path, error: DatabaseError) -> EmbeddedError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            EmbeddedError::InUse(path.to_owned())
        }
        // redb's error for a file that is not a redb database.
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() == ErrorKind::InvalidData => {
            EmbeddedError::Foreign(path.to_owned())
        }
        error => damaged(path, error.into()),
    }
}

fn damaged(path: &Path, error: redb::Error) -> EmbeddedError {
    if let redb::Error::Io(source) = error {
        // A truncated file is damage, not an I/O error of the disk.
        let truncated = source.kind() == ErrorKind::UnexpectedEof;
        return if truncated { corrupt(path, &redb::Error::Io(source).to_string()) } else { io(path, source) };
    }
    corrupt(path, &error.to_string())
}

fn corrupt(path: &Path, cause: &str) -> EmbeddedError {
    EmbeddedError::Corrupt { path: path.to_owned(), cause: cause.to_owned() }
}

fn io(path: &Path, source: std::io::Error) -> EmbeddedError {
    EmbeddedError::Io { path: path.to_owned(), source }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "redb panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: EntryState) -> MemoryEntry {
        MemoryEntry { route: Arc::from("orders"), until: UnixTime::from_seconds(100).unwrap(), state }
    }

    fn states() -> [EntryState; 5] {
        let fingerprint = Fingerprint(7);
        let lease = UnixTime::from_seconds(50).unwrap();
        let committed =
            |reply: Option<&'static [u8]>| EntryState::Committed { fingerprint, reply: reply.map(Bytes::from_static) };
        [
            EntryState::InFlight { owner: Owner(9), lease, fingerprint },
            EntryState::Released { fingerprint },
            committed(None),
            committed(Some(b"")),
            committed(Some(b"response")),
        ]
    }

    #[test]
    fn every_entry_is_read_as_it_was_written() {
        for state in states() {
            let written = encode(&entry(state.clone()));
            assert_eq!(decode(&written), Some(entry(state)));
        }
    }

    /// A damaged entry is an error, and not another entry.
    #[test]
    fn other_bytes_are_no_entry() {
        for state in states() {
            let written = encode(&entry(state.clone()));
            let longer = [&written[..], &[0]].concat();
            let response = matches!(state, EntryState::Committed { reply: Some(_), .. });
            assert_eq!(decode(&longer).is_some(), response, "{state:?}");
            let shortest = written.len() - if response { 0 } else { 1 };
            (0..shortest.min(25)).for_each(|end| assert_eq!(decode(&written[..end]), None, "{state:?} {end}"));
            for tag in [0, 5, 255] {
                assert_eq!(decode(&[&[tag], &written[1..]].concat()), None, "{tag}");
            }
        }
    }
}
