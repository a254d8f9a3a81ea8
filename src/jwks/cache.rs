//! The last valid key set on disk, so that tokens can be verified after a restart while the issuer is down.
//!
//! A process that can write this file decides which tokens pass. A file that another user could have written, or that
//! was fetched from another URL, is therefore ignored. Its key set is verified as a fetched one is, and keeps its age.
//! These functions block, and are not called on async threads.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use serde_json::{Value, json};

use super::fetch::FetchError;
use crate::auth::json::parse_object;
use crate::auth::keys::RemoteSource;
use crate::clock::UnixTime;

/// Maximum size of a file in bytes, large enough for the largest key set that is accepted.
const MAX_SIZE: u64 = 1 << 20;

/// Why a cache file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("the file cannot be read")]
    Unreadable(#[from] io::Error),
    #[error("not a regular file")]
    NotAFile,
    #[error("the file is owned by another user")]
    Owner,
    #[error("other users may read or write the file; its mode must be 0600")]
    Mode,
    #[error("the file is larger than {MAX_SIZE} bytes")]
    TooLarge,
    #[error("not a JWKS cache file of hookgate")]
    Malformed,
    #[error("cached for another URL, other CA certificates or other pins")]
    OtherSource,
    #[error("the time of the fetch is in the future")]
    Future,
    #[error("older than max_stale")]
    Stale,
    #[error("the cached keys cannot be used")]
    Keys(#[from] FetchError),
}

/// A key set as fetched, and the time of the fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cached {
    pub(super) body: Vec<u8>,
    pub(super) at: UnixTime,
}

/// Reads the cached key set; `None` if there is no file.
pub(super) fn read(path: &Path, source: &RemoteSource, now: UnixTime) -> Result<Option<Cached>, CacheError> {
    let Some(file) = open(path)? else { return Ok(None) };
    evaluate(&file.metadata()?, rustix::process::geteuid().as_raw())?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    parse(&bytes, source, now).map(Some)
}

fn open(path: &Path) -> Result<Option<File>, CacheError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(CacheError::NotAFile),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(open_itself(path)?))
}

/// Opens the file without following a symbolic link or waiting for a pipe: either may have replaced the file meanwhile.
fn open_itself(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Checks type, owner, mode and size of the open file, which cannot be replaced any more.
fn evaluate(metadata: &Metadata, owner: u32) -> Result<(), CacheError> {
    if !metadata.is_file() {
        return Err(CacheError::NotAFile);
    }
    if metadata.uid() != owner {
        return Err(CacheError::Owner);
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(CacheError::Mode);
    }
    if metadata.len() > MAX_SIZE { Err(CacheError::TooLarge) } else { Ok(()) }
}

fn parse(bytes: &[u8], source: &RemoteSource, now: UnixTime) -> Result<Cached, CacheError> {
    let file = parse_object(bytes).map_err(|_| CacheError::Malformed)?;
    if file.get("bound_to") != Some(&bound_to(source)) {
        return Err(CacheError::OtherSource);
    }
    let seconds = file.get("fetched_at").and_then(Value::as_u64);
    let at = seconds.and_then(UnixTime::from_seconds).ok_or(CacheError::Malformed)?;
    if at > now {
        return Err(CacheError::Future);
    }
    if now.since(at) > source.max_stale {
        return Err(CacheError::Stale);
    }
    let keys = file.get("keys").and_then(Value::as_str).ok_or(CacheError::Malformed)?;
    Ok(Cached { body: STANDARD.decode(keys).map_err(|_| CacheError::Malformed)?, at })
}

/// The settings that identify the source of the keys. After a change of any of them the cached keys are not used.
fn bound_to(source: &RemoteSource) -> Value {
    let mut trust = Context::new(&SHA256);
    source.pins.iter().for_each(|pin| trust.update(pin));
    trust.update(source.ca.as_deref().unwrap_or_default());
    json!({ "url": source.url, "issuer": source.discovery, "trust": STANDARD.encode(trust.finish()) })
}

/// Replaces the cached set atomically.
pub(super) fn write(path: &Path, source: &RemoteSource, body: &[u8], at: UnixTime) -> io::Result<()> {
    let file = json!({ "bound_to": bound_to(source), "fetched_at": at.seconds(), "keys": STANDARD.encode(body) });
    let beside = path.with_file_name(temporary_name(path)?);
    let written = write_new(&beside, file.to_string().as_bytes()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The temporary file may not exist. One that cannot be removed does no harm.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A random name, so that two writers never use the same temporary file.
fn temporary_name(path: &Path) -> io::Result<String> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let mut random = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no entropy"))?;
    Ok(format!(".{name}.{}", hex::encode(random)))
}

/// Creates a file, and fails if a file or a symbolic link of that name exists (`O_EXCL`).
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
    file.write_all(bytes)?;
    // Synced before it is renamed: otherwise a power cut could leave an empty file instead of the valid one.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    fn source() -> RemoteSource {
        RemoteSource { max_stale: Duration::from_secs(3600), ..crate::jwks::tests::source() }
    }

    /// A directory with a cache file.
    fn written() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("acme.json");
        write(&path, &source(), b"{\"keys\":[]} \n", at(NOW)).unwrap();
        (folder, path)
    }

    fn rejection(path: &Path, now: u64) -> String {
        read(path, &source(), at(now)).unwrap_err().to_string()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_cached_set_is_read_as_it_was_written() {
        let (folder, path) = written();
        let expected = Cached { body: b"{\"keys\":[]} \n".to_vec(), at: at(NOW) };
        assert_eq!(read(&path, &source(), at(NOW)).unwrap(), Some(expected));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        write(&path, &source(), b"later", at(NOW + 1)).unwrap();
        assert_eq!(read(&path, &source(), at(NOW + 1)).unwrap().unwrap().body, b"later");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(read(&folder.path().join("none"), &source(), at(NOW)).unwrap(), None);
    }

    #[test]
    fn a_cache_ages_from_its_fetch_and_comes_from_the_past() {
        let (_folder, path) = written();
        assert!(read(&path, &source(), at(NOW + 3600)).is_ok());
        assert_eq!(rejection(&path, NOW + 3601), "older than max_stale");
        assert_eq!(rejection(&path, NOW - 1), "the time of the fetch is in the future");
    }

    /// A user who could write the file could sign tokens as the issuer.
    #[test]
    fn a_file_writable_by_others_is_rejected() {
        let (_folder, path) = written();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o777] {
            set_mode(&path, mode);
            let expected = "other users may read or write the file; its mode must be 0600";
            assert_eq!(rejection(&path, NOW), expected, "{mode:o}");
        }
        set_mode(&path, 0o600);
        let metadata = fs::metadata(&path).unwrap();
        assert!(matches!(evaluate(&metadata, metadata.uid()), Ok(())));
        assert!(matches!(evaluate(&metadata, metadata.uid() + 1), Err(CacheError::Owner)));
    }

    #[test]
    fn links_folders_and_huge_files_are_rejected() {
        let (folder, path) = written();
        let link = folder.path().join("link.json");
        symlink(&path, &link).unwrap();
        assert_eq!(rejection(&link, NOW), "not a regular file");
        assert_eq!(rejection(folder.path(), NOW), "not a regular file");
        assert!(open_itself(&path).is_ok() && open_itself(&link).is_err());
        File::options().write(true).open(&path).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert_eq!(rejection(&path, NOW), "the file is larger than 1048576 bytes");
    }

    #[test]
    fn a_cache_is_for_its_own_address_roots_and_pins() {
        let (_folder, path) = written();
        let others = [
            RemoteSource { url: "https://issuer.test/2".into(), ..source() },
            RemoteSource { discovery: Some("https://issuer.test/".into()), ..source() },
            RemoteSource { pins: vec![[1; 32]], ..source() },
            RemoteSource { ca: Some(b"another".to_vec()), ..source() },
        ];
        for other in others {
            assert!(matches!(read(&path, &other, at(NOW)), Err(CacheError::OtherSource)), "{other:?}");
        }
    }

    #[test]
    fn other_content_is_rejected() {
        let (_folder, path) = written();
        let good = fs::read_to_string(&path).unwrap();
        let half = good.get(..good.len() / 2).unwrap().to_owned();
        let changed = |old: &str, new: &str| good.replace(old, new);
        for text in [
            String::new(),
            half,
            "[]".to_owned(),
            changed("\"keys\":\"", "\"keys\":\"!"),
            changed("\"keys\"", "\"kees\""),
            changed(&NOW.to_string(), "-1"),
            changed(&NOW.to_string(), "\"1\""),
            changed(&NOW.to_string(), "99999999999999"),
            changed("}", "},\"keys\":\"\""),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(rejection(&path, NOW), "not a JWKS cache file of hookgate", "{text}");
        }
    }

    /// An attacker may place a symbolic link at the path of the file: the link is replaced, never followed.
    #[test]
    fn writing_follows_no_link_and_leaves_nothing_behind() {
        let folder = TempDir::new().unwrap();
        let (path, victim) = (folder.path().join("acme.json"), folder.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, &path).unwrap();
        write(&path, &source(), b"{}", at(NOW)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert!(write_new(&victim, b"x").is_err());
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(write(&folder.path().join("folder"), &source(), b"{}", at(NOW)).is_err());
        assert!(write(&folder.path().join("gone/acme.json"), &source(), b"{}", at(NOW)).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
