//! The content of a file that is opened again, and the files that are taken.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// The hashes of ids cannot be guessed, so that no client chooses values that collide.
#[test]
fn each_file_has_a_random_key_of_its_own() {
    let folder = TempDir::new().unwrap();
    let [one, two] = ["one", "two"].map(|name| *open(&folder.path().join(name)).key());
    assert!(one != two && one != [0; 32] && two != [0; 32]);
}

/// More changes than one group has.
#[tokio::test]
async fn a_close_writes_all_changes_that_no_caller_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let store = EmbeddedStore::open(&path, INTERVAL, 100_000, at(1)).unwrap();
    for number in 0..5000_u64 {
        let id = EntryId([number.to_be_bytes(), number.to_le_bytes()].concat().try_into().unwrap());
        store.reserve(&ReserveRequest { id, ..request(1) }, at(1)).await.unwrap();
    }
    store.sweep(at(101));
    drop(store);
    assert_eq!(open(&path).entries(), 0);
}

#[tokio::test]
async fn a_close_ends_although_the_disk_is_full() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder.path().join("state"));
    store.reserve(&request(1), at(1)).await.unwrap();
    store.shared.broken.store(true, Ordering::Relaxed);
    store.sweep(at(101));
    drop(store);
}

/// A copy whose credential is valid for longer than the first one's could be replayed after a restart.
#[tokio::test]
async fn a_copy_extends_the_entry_in_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let store = open(&path);
    fill(&store).await;
    assert_eq!(store.reserve(&ReserveRequest { until: at(200), ..other(1) }, at(2)).await, Ok(committed()));
    drop(store);
    let store = EmbeddedStore::open(&path, Durability::Sync, 1000, at(200)).unwrap();
    assert_eq!(store.reserve(&other(1), at(200)).await, Ok(committed()));
}

/// The request may still be in flight, and its copy would be a second one.
#[tokio::test]
async fn a_lease_outlives_its_credential_in_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    open(&path).reserve(&request(1), at(95)).await.unwrap();
    let entries = |now| EmbeddedStore::open(&path, Durability::Sync, 1000, at(now)).unwrap().entries();
    assert_eq!((entries(101), entries(105), entries(106)), (1, 1, 0));
}

#[test]
fn a_file_that_others_could_read_is_closed_to_them() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    drop(open(&path));
    for mode in [0o644, 0o660, 0o601] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        drop(open(&path));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{mode:o}");
    }
}

/// Another user of a shared directory could place either.
#[test]
fn neither_a_link_nor_a_pipe_is_taken() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = TempDir::new().unwrap();
    let [link, pipe, target] = ["link", "pipe", "target"].map(|name| folder.path().join(name));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(matches!(reason(&link), EmbeddedError::Io { .. }), "{}", reason(&link));
    assert!(!target.exists());
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(matches!(reason(&pipe), EmbeddedError::Foreign(_)), "{}", reason(&pipe));
}

/// The process may have died between the creation of the file and that of its tables.
#[test]
fn a_database_without_tables_is_a_new_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    drop(redb::Database::create(&path).unwrap());
    assert_eq!(open(&path).entries(), 0);
}

#[test]
fn a_file_without_its_format_is_corrupt() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    drop(open(&path));
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("hookgate");
    transaction.open_table(meta).unwrap().remove("format").unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(reason(&path), EmbeddedError::Corrupt { .. }), "{}", reason(&path));
}
