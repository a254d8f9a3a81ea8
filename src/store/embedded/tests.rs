use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::super::state::{Fingerprint, Owner};
use super::*;

mod restart;

const INTERVAL: Durability = Durability::Interval(Duration::from_millis(50));

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

fn request(number: u8) -> ReserveRequest {
    ReserveRequest { owner: Owner(u64::from(number)), ..ReserveRequest::sample(EntryId([number; 16])) }
}

fn other(number: u8) -> ReserveRequest {
    ReserveRequest { owner: Owner(1000), ..request(number) }
}

fn commit() -> Settlement {
    Settlement::Commit(Some(Bytes::from_static(b"response")))
}

fn committed() -> ReserveResult {
    ReserveResult::Committed { reply: Some(Bytes::from_static(b"response")) }
}

fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, Durability::Sync, 100_000, at(1)).unwrap()
}

fn reason(path: &Path) -> EmbeddedError {
    EmbeddedStore::open(path, Durability::Sync, 1000, at(1)).err().expect("it opened")
}

/// Commits id 1, leaves 2 in flight, and releases 3.
async fn fill(store: &EmbeddedStore) {
    for number in 1..=3 {
        assert_eq!(store.reserve(&request(number), at(1)).await, Ok(ReserveResult::Reserved));
    }
    assert_eq!(store.settle(&request(3), &Settlement::Release, at(1)).await, Ok(Settled::Done));
    assert_eq!(store.settle(&request(1), &commit(), at(1)).await, Ok(Settled::Done));
}

async fn is_filled(store: &EmbeddedStore) {
    assert_eq!(store.entries(), 3);
    assert_eq!(store.reserve(&other(1), at(2)).await, Ok(committed()));
    assert_eq!(store.reserve(&other(2), at(2)).await, Ok(ReserveResult::InFlight));
    let changed = ReserveRequest { fingerprint: Fingerprint(8), ..other(3) };
    assert_eq!(store.reserve(&changed, at(2)).await, Ok(ReserveResult::Mismatch));
    // The lease has expired: the same request may be retried.
    assert_eq!(store.reserve(&other(2), at(12)).await, Ok(ReserveResult::Reserved));
}

#[tokio::test]
async fn everything_is_there_after_a_close() {
    for durability in [Durability::Sync, INTERVAL] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state");
        let store = EmbeddedStore::open(&path, durability, 1000, at(1)).unwrap();
        let key = *store.key();
        fill(&store).await;
        drop(store);
        let store = open(&path);
        assert_eq!(*store.key(), key);
        is_filled(&store).await;
    }
}

#[tokio::test]
async fn acknowledged_commits_are_there_without_a_close() {
    let folder = TempDir::new().unwrap();
    let (path, copy) = (folder.path().join("state"), folder.path().join("copy"));
    let store = open(&path);
    store.reserve(&request(2), at(1)).await.unwrap();
    store.reserve(&request(1), at(1)).await.unwrap();
    store.settle(&request(1), &commit(), at(1)).await.unwrap();
    std::fs::copy(&path, &copy).unwrap();
    let store = open(&copy);
    assert_eq!(store.reserve(&other(1), at(2)).await, Ok(committed()));
    assert_eq!(store.reserve(&other(2), at(2)).await, Ok(ReserveResult::InFlight));
}

#[tokio::test]
async fn an_interval_reaches_the_disk_without_a_close() {
    let folder = TempDir::new().unwrap();
    let (path, copy) = (folder.path().join("state"), folder.path().join("copy"));
    let store = EmbeddedStore::open(&path, INTERVAL, 1000, at(1)).unwrap();
    store.reserve(&request(1), at(1)).await.unwrap();
    store.settle(&request(1), &commit(), at(1)).await.unwrap();
    // The thread uses the real clock, so that the test waits for the change of the file.
    for _ in 0..200 {
        std::fs::copy(&path, &copy).unwrap();
        if EmbeddedStore::open(&copy, Durability::Sync, 1000, at(1)).is_ok_and(|store| store.entries() == 1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came");
}

#[tokio::test]
async fn expired_entries_are_removed_from_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let store = open(&path);
    fill(&store).await;
    store.sweep(at(101));
    assert_eq!(store.entries(), 0);
    drop(store);
    assert_eq!(open(&path).entries(), 0);
}

#[tokio::test]
async fn entries_expired_while_closed_are_skipped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    fill(&open(&path)).await;
    let later = |now| EmbeddedStore::open(&path, Durability::Sync, 1000, at(now)).unwrap().entries();
    assert_eq!(later(100), 3);
    assert_eq!(later(101), 0);
    // The expired entries were also deleted from the file.
    assert_eq!(later(100), 0);
}

#[test]
fn concurrent_commits_share_transactions() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(&folder.path().join("state")));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let before = store.transactions();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    store.reserve(&request(number), at(1)).await.unwrap();
                    store.settle(&request(number), &commit(), at(1)).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let transactions = store.transactions() - before;
    assert!(transactions < 200, "{transactions}");
}

#[tokio::test]
async fn a_failed_write_is_logged_and_retried() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let store = open(&path);
    store.reserve(&request(1), at(1)).await.unwrap();
    store.shared.broken.store(true, Ordering::Relaxed);
    assert_eq!(store.settle(&request(1), &commit(), at(1)).await, Err(StoreError::Unavailable));
    assert_eq!(store.reserve(&request(2), at(1)).await, Err(StoreError::Unavailable));
    // Memory has the commit, although the file does not.
    assert_eq!(store.reserve(&other(1), at(1)).await, Ok(committed()));
    store.shared.broken.store(false, Ordering::Relaxed);
    while store.settle(&request(1), &commit(), at(1)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The reservation that failed holds nothing, for any owner.
    assert_eq!(store.reserve(&other(2), at(1)).await, Ok(ReserveResult::Reserved));
    drop(store);
    let store = open(&path);
    assert_eq!(store.reserve(&other(1), at(1)).await, Ok(committed()));
    assert_eq!(store.reserve(&request(2), at(1)).await, Ok(ReserveResult::InFlight));
}

#[test]
fn a_second_open_finds_it_in_use() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let _first = open(&path);
    let rejection = reason(&path);
    assert!(matches!(rejection, EmbeddedError::InUse(_)), "{rejection}");
    assert!(rejection.to_string().contains("is in use"), "{rejection}");
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    drop(open(&path));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(reason(&folder.path().join("none/state")), EmbeddedError::NoFolder(_)));
}

#[test]
fn other_files_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let (text, database) = (folder.path().join("text"), folder.path().join("database"));
    std::fs::write(&text, "a text of another one".repeat(1000)).unwrap();
    assert!(matches!(reason(&text), EmbeddedError::Foreign(_)), "{}", reason(&text));
    assert_eq!(std::fs::read(&text).unwrap().len(), 21_000);

    let theirs = redb::Database::create(&database).unwrap();
    let transaction = theirs.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(theirs);
    assert!(matches!(reason(&database), EmbeddedError::Foreign(_)), "{}", reason(&database));
}

#[test]
fn a_later_format_is_reported() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    drop(open(&path));
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("hookgate");
    transaction.open_table(meta).unwrap().insert("format", 3_u32.to_le_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let rejection = reason(&path);
    assert!(matches!(rejection, EmbeddedError::Version { found: 3, .. }), "{rejection}");
}

/// A file with some entries, changed by `damage`.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let store = open(&path);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(fill(&store));
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn damage_is_an_error_with_the_path() {
    let cuts: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(100),
        |bytes| bytes.truncate(5000),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes[64..320].fill(0xff),
        |bytes| bytes[4096..].fill(0xa5),
    ];
    for cut in cuts {
        let (_folder, path) = damaged(cut);
        let rejection = reason(&path);
        assert!(rejection.to_string().contains(&path.display().to_string()), "{rejection}");
        assert!(matches!(rejection, EmbeddedError::Corrupt { .. } | EmbeddedError::Foreign(_)), "{rejection}");
    }
}

#[test]
fn damage_anywhere_never_ends_the_program() {
    for page in 0..24_usize {
        let (_folder, path) = damaged(|bytes| {
            let end = bytes.len().min((page + 1) * 4096);
            let start = (page * 4096 + 16).min(end);
            bytes[start..end].fill(0x5a);
        });
        // Unused pages may contain any bytes.
        if let Ok(store) = EmbeddedStore::open(&path, Durability::Sync, 1000, at(1)) {
            assert_eq!(store.entries(), 3, "page {page}");
        }
    }
}
