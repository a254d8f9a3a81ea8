//! The thread that writes the file: it collects changed ids into groups, writes each group in a transaction, and
//! notifies the callers. A failed write does not stop the thread: the file is opened again, and the ids that may have
//! been lost are written again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::super::kind::StoreError;
use super::super::memory::MemoryStore;
use super::super::state::EntryId;
use super::file::{EntryDatabase, FileChange};
use crate::settings::Durability;

/// Maximum number of ids per group.
const GROUP: usize = 4096;

/// Interval between two attempts to open a file that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// Maximum delay for ids that no caller waits for; they are written earlier with the next group.
const IDLE: Duration = Duration::from_secs(1);

/// Maximum number of ids that are written but not synced to disk; at that number the interval ends early.
const UNSYNCED: usize = 65_536;

/// State shared by the thread and the callers.
pub(super) struct WriterState {
    pub(super) memory: MemoryStore,
    /// Ids to be written that no caller waits for; no more than there were entries.
    pub(super) pending: Mutex<Vec<EntryId>>,
    pub(super) failing: AtomicBool,
    pub(super) transactions: AtomicU64,
    /// Simulates a full disk.
    #[cfg(test)]
    pub(super) broken: AtomicBool,
}

impl WriterState {
    pub(super) fn new(memory: MemoryStore) -> Self {
        Self {
            memory,
            pending: Mutex::default(),
            failing: AtomicBool::new(false),
            transactions: AtomicU64::new(0),
            #[cfg(test)]
            broken: AtomicBool::new(false),
        }
    }
}

/// An id that has changed, and the caller to notify once the file has it.
pub(super) struct Write {
    pub(super) id: EntryId,
    pub(super) done: Option<oneshot::Sender<Result<(), StoreError>>>,
}

/// State of the thread.
pub(super) struct Writer {
    path: PathBuf,
    durability: Durability,
    shared: Arc<WriterState>,
    /// The open file; `None` after a write failed.
    store: Option<EntryDatabase>,
    key: Zeroizing<[u8; 32]>,
    /// Ids that are written but not synced to disk.
    unsynced: Vec<EntryId>,
    /// End of the sync interval, or time of the next attempt to open the file.
    due: Option<Instant>,
}

impl Writer {
    pub(super) fn new(path: &Path, durability: Durability, shared: Arc<WriterState>, store: EntryDatabase) -> Self {
        let key = store.key.clone();
        Self { path: path.to_owned(), durability, shared, store: Some(store), key, unsynced: Vec::new(), due: None }
    }

    /// Runs until all senders of the queue are dropped.
    pub(super) fn run(mut self, timer: &Runtime, mut writes: mpsc::Receiver<Write>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let open = timer.block_on(self.next(&mut writes, &mut group));
            let ids = self.ids(&group);
            let written = self.write(ids, if open { self.durability } else { Durability::Sync });
            for done in group.drain(..).filter_map(|write| write.done) {
                // The caller may have stopped waiting.
                let _ = done.send(written);
            }
            if !open && (written.is_err() || (self.pending() == 0 && self.unsynced.is_empty())) {
                break;
            }
        }
        if let Some(store) = self.store.take() {
            store.close();
        }
    }

    /// Waits for writes, or until a sync or an attempt is due. `false`: the queue is closed.
    async fn next(&self, writes: &mut mpsc::Receiver<Write>, group: &mut Vec<Write>) -> bool {
        let idle = Instant::now() + IDLE;
        let until = self.due.map_or(idle, |due| due.min(idle));
        // A full group is waiting already.
        let until = if self.store.is_some() && self.pending() >= GROUP { Instant::now() } else { until };
        timeout_at(until, writes.recv_many(group, GROUP)).await.is_err() || !group.is_empty()
    }

    fn pending(&self) -> usize {
        self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The ids of the group, and at most `GROUP` ids that no caller waits for.
    fn ids(&self, group: &[Write]) -> Vec<EntryId> {
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = pending.len().saturating_sub(GROUP);
        let mut ids: Vec<EntryId> = pending.drain(rest..).chain(group.iter().map(|write| write.id)).collect();
        if pending.is_empty() {
            pending.shrink_to(GROUP);
        }
        drop(pending);
        // Sorted in the order of the B-tree and without duplicates: the write reads the current entry from memory.
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn write(&mut self, ids: Vec<EntryId>, durability: Durability) -> Result<(), StoreError> {
        let now = Instant::now();
        let due = self.due.is_some_and(|due| now >= due) || self.unsynced.len() >= UNSYNCED;
        let on_disk = match durability {
            Durability::Sync => redb::Durability::Immediate,
            Durability::Interval(_) if due => redb::Durability::Immediate,
            Durability::Interval(_) => redb::Durability::None,
        };
        let sync = matches!(on_disk, redb::Durability::Immediate);
        let nothing_to_sync = !sync || self.unsynced.is_empty();
        if ids.is_empty() && nothing_to_sync && self.store.is_some() {
            return Ok(());
        }
        self.reopen(now);
        let Some(store) = &self.store else {
            self.requeue(ids);
            return Err(StoreError::Unavailable);
        };
        let changes: Vec<FileChange> = ids.iter().map(|id| (*id, self.shared.memory.record(*id))).collect();
        if let Err(error) = self.apply(store, &changes, on_disk) {
            tracing::error!(path = %self.path.display(), error, "cannot write the embedded store");
            self.fail(ids, now);
            return Err(StoreError::Unavailable);
        }
        self.shared.transactions.fetch_add(1, Ordering::Relaxed);
        self.shared.failing.store(false, Ordering::Relaxed);
        match durability {
            Durability::Interval(interval) if !sync => {
                self.unsynced.extend(ids);
                self.due.get_or_insert(now + interval);
            }
            Durability::Interval(_) | Durability::Sync => {
                self.unsynced.clear();
                self.due = None;
            }
        }
        Ok(())
    }

    fn apply(&self, store: &EntryDatabase, changes: &[FileChange], on_disk: redb::Durability) -> Result<(), String> {
        #[cfg(test)]
        if self.shared.broken.load(Ordering::Relaxed) {
            return Err("no space left on device".to_owned());
        }
        store.apply(changes, on_disk)
    }

    /// After a failed write, redb works only with a file that is opened again, which lacks everything that was not
    /// synced.
    fn fail(&mut self, ids: Vec<EntryId>, now: Instant) {
        self.shared.failing.store(true, Ordering::Relaxed);
        self.due = Some(now + RETRY);
        if let Some(store) = self.store.take() {
            store.close();
        }
        let unsynced = std::mem::take(&mut self.unsynced);
        self.requeue(ids);
        self.requeue(unsynced);
    }

    fn requeue(&self, ids: Vec<EntryId>) {
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.extend(ids);
        // Without this, repeated failures would add the same ids again and again.
        pending.sort_unstable();
        pending.dedup();
    }

    fn reopen(&mut self, now: Instant) {
        if self.store.is_some() || self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + RETRY);
        match EntryDatabase::open(&self.path, &mut |_, _| {}) {
            // A file with another key is not the one that was opened at start.
            Ok(store) if store.key == self.key => {
                self.store = Some(store);
                self.due = None;
            }
            Ok(store) => {
                store.close();
                tracing::error!(path = %self.path.display(), "the embedded store's file was replaced by another one");
            }
            Err(error) => tracing::error!(error = %error, "cannot reopen the embedded store"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const INTERVAL: Durability = Durability::Interval(Duration::from_secs(3600));

    fn id(number: u8) -> EntryId {
        EntryId([number; 16])
    }

    fn writer(path: &Path) -> Writer {
        let shared = Arc::new(WriterState::new(MemoryStore::new(10)));
        Writer::new(path, INTERVAL, shared, EntryDatabase::open(path, &mut |_, _| {}).unwrap())
    }

    fn pending(writer: &Writer) -> Vec<EntryId> {
        writer.shared.pending.lock().unwrap().clone()
    }

    #[test]
    fn writes_are_synced_together_when_they_are_due() {
        let folder = TempDir::new().unwrap();
        let mut writer = writer(&folder.path().join("state"));
        for (number, transactions) in [(1, 1), (2, 2)] {
            writer.write(vec![id(number)], INTERVAL).unwrap();
            assert_eq!(writer.unsynced.len(), usize::from(number));
            assert!(writer.due.is_some_and(|due| due > Instant::now()));
            writer.write(Vec::new(), INTERVAL).unwrap();
            assert_eq!(writer.shared.transactions.load(Ordering::Relaxed), transactions, "nothing was due");
        }
        writer.due = Some(Instant::now());
        writer.write(Vec::new(), INTERVAL).unwrap();
        assert_eq!((writer.unsynced.len(), writer.due), (0, None));
        assert_eq!(writer.shared.transactions.load(Ordering::Relaxed), 3);
        writer.write(vec![id(3)], INTERVAL).unwrap();
        writer.write(vec![id(4)], Durability::Sync).unwrap();
        assert_eq!((writer.unsynced.len(), writer.due), (0, None));
    }

    #[test]
    fn very_many_writes_are_synced_early() {
        let folder = TempDir::new().unwrap();
        let mut writer = writer(&folder.path().join("state"));
        for (unsynced, left) in [(UNSYNCED - 1, UNSYNCED), (UNSYNCED, 0)] {
            writer.unsynced = vec![id(0); unsynced];
            writer.write(vec![id(1)], INTERVAL).unwrap();
            assert_eq!(writer.unsynced.len(), left);
        }
    }

    /// Everything that a crash could have lost is written again, once, after a pause.
    #[test]
    fn a_failed_write_is_repeated_with_all_that_was_not_synced() {
        let folder = TempDir::new().unwrap();
        let mut writer = writer(&folder.path().join("state"));
        writer.write(vec![id(2)], INTERVAL).unwrap();
        writer.shared.broken.store(true, Ordering::Relaxed);
        let before = Instant::now();
        for ids in [vec![id(1), id(3)], vec![id(3), id(4)]] {
            assert_eq!(writer.write(ids, INTERVAL), Err(StoreError::Unavailable));
        }
        assert_eq!((pending(&writer), writer.unsynced.len()), ([1, 2, 3, 4].map(id).to_vec(), 0));
        assert!(writer.shared.failing.load(Ordering::Relaxed) && writer.store.is_none());
        writer.shared.broken.store(false, Ordering::Relaxed);
        let due = writer.due.unwrap();
        assert!((before + RETRY..=Instant::now() + RETRY).contains(&due));
        writer.reopen(due - Duration::from_millis(1));
        assert!(writer.store.is_none(), "the pause is not over");
        writer.reopen(due);
        assert!(writer.store.is_some() && writer.due.is_none());
        writer.write(vec![id(1)], INTERVAL).unwrap();
        assert!(!writer.shared.failing.load(Ordering::Relaxed));
    }

    /// Its ids are hashed with another key.
    #[test]
    fn a_file_in_place_of_the_first_one_is_not_written() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state");
        let mut writer = writer(&path);
        writer.store.take().unwrap().close();
        std::fs::remove_file(&path).unwrap();
        EntryDatabase::open(&path, &mut |_, _| {}).unwrap().close();
        let now = Instant::now();
        writer.reopen(now);
        assert!(writer.store.is_none());
        assert_eq!(writer.due, Some(now + RETRY));
        // It was closed again.
        EntryDatabase::open(&path, &mut |_, _| {}).unwrap().close();
    }

    #[test]
    fn a_group_is_sorted_without_duplicates() {
        let folder = TempDir::new().unwrap();
        let writer = writer(&folder.path().join("state"));
        *writer.shared.pending.lock().unwrap() = vec![id(4), id(1), id(2)];
        let group = [3, 1].map(|number| Write { id: id(number), done: None });
        assert_eq!(writer.ids(&group), [id(1), id(2), id(3), id(4)]);
        assert!(pending(&writer).is_empty());
        *writer.shared.pending.lock().unwrap() = vec![id(5); GROUP + 1];
        assert_eq!((writer.ids(&[]), writer.pending()), (vec![id(5)], 1));
    }
}
