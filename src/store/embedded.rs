//! The embedded store: `MemoryStore` with a durable file. Memory answers all calls, and the file mirrors it: for each
//! id that has changed, one thread writes its current entry in memory, many ids in one transaction. The order in which
//! changes reach the thread therefore does not matter, and after a failed write it is enough to know which ids to write
//! again.

mod file;
mod writer;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

pub use self::file::EmbeddedError;
use self::file::EntryDatabase;
use self::writer::{Write, Writer, WriterState};
use super::kind::{ReserveRequest, Store, StoreError, StoreFuture};
use super::memory::{MemoryEntry, MemoryStore};
use super::state::{EntryId, EntryState, ReserveResult, Settled, Settlement};
use crate::clock::UnixTime;
use crate::settings::Durability;

/// Length of the queue to the thread; a caller waits while the queue is full.
const QUEUE: usize = 4096;

/// The embedded store of this machine.
pub struct EmbeddedStore {
    shared: Arc<WriterState>,
    durability: Durability,
    key: Zeroizing<[u8; 32]>,
    /// `None` only while the store is dropped.
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// Reads the whole file, or creates it. Entries that have not expired are kept even beyond `capacity`.
    pub fn open(path: &Path, durability: Durability, capacity: usize, now: UnixTime) -> Result<Self, EmbeddedError> {
        let shared = Arc::new(WriterState::new(MemoryStore::reporting_removed(capacity)));
        let mut expired = Vec::new();
        let store = EntryDatabase::open(path, &mut |id, record| {
            if is_live(&record, now) {
                shared.memory.restore(id, record);
            } else {
                expired.push(id);
            }
        })?;
        shared.write_later(expired);
        let (queue, writes) = mpsc::channel(QUEUE);
        let key = store.key.clone();
        let writer = Writer::new(path, durability, Arc::clone(&shared), store);
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let none = |what| move |_| EmbeddedError::System(path.to_owned(), what);
        let timer = timer.map_err(none("timer"))?;
        let thread = std::thread::Builder::new().name("store".to_owned());
        let thread = thread.spawn(move || writer.run(&timer, writes)).map_err(none("thread"))?;
        Ok(Self { shared, durability, key, queue: Some(queue), thread: Some(thread) })
    }

    /// A random secret in the file, the key for hashes of ids.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    #[cfg(test)]
    fn entries(&self) -> usize {
        self.shared.memory.entries()
    }

    /// Number of transactions so far.
    #[cfg(test)]
    fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    async fn write(&self, id: EntryId) -> Result<(), StoreError> {
        let Some(queue) = &self.queue else { return Err(StoreError::Unavailable) };
        // While writes fail, every caller waits, also with an interval.
        let waits = match self.durability {
            Durability::Sync => true,
            Durability::Interval(_) => self.shared.failing.load(Ordering::Relaxed),
        };
        if !waits {
            return queue.send(Write { id, done: None }).await.map_err(|_| StoreError::Unavailable);
        }
        let (done, written) = oneshot::channel();
        queue.send(Write { id, done: Some(done) }).await.map_err(|_| StoreError::Unavailable)?;
        // There is no result if the thread has exited.
        written.await.unwrap_or(Err(StoreError::Unavailable))
    }
}

impl Store for EmbeddedStore {
    /// With `sync`, `Reserved` is returned once the file has it, so that the lease survives a crash.
    fn reserve<'a>(&'a self, request: &'a ReserveRequest, now: UnixTime) -> StoreFuture<'a, ReserveResult> {
        StoreFuture::Pending(Box::pin(async move {
            let result = self.shared.memory.reserve(request, now)?;
            if result == ReserveResult::Reserved && self.write(request.id).await.is_err() {
                // The request is not forwarded. The file may have the reservation all the same; the writer writes the
                // id again.
                self.shared.memory.settle(request, &Settlement::Release, now);
                self.shared.write_later([request.id]);
                return Err(StoreError::Unavailable);
            }
            if result != ReserveResult::Reserved {
                // The expiry may have been extended.
                self.shared.write_later([request.id]);
            }
            Ok(result)
        }))
    }

    /// `Unavailable`: a commit is in memory but not in the file.
    fn settle<'a>(
        &'a self,
        request: &'a ReserveRequest,
        settlement: &'a Settlement,
        now: UnixTime,
    ) -> StoreFuture<'a, Settled> {
        StoreFuture::Pending(Box::pin(async move {
            let settled = self.shared.memory.settle(request, settlement, now);
            match (settled, settlement) {
                // Written even if memory had the commit already, since the first write may have failed.
                (Settled::Done, Settlement::Commit(_)) => self.write(request.id).await?,
                // Not awaited: if a crash loses the release, the lease expires instead.
                (Settled::Done, Settlement::Release | Settlement::Forget) => self.shared.write_later([request.id]),
                (Settled::Lost, _) => {}
            }
            Ok(settled)
        }))
    }

    fn usage(&self) -> Option<(usize, usize)> {
        self.shared.memory.usage()
    }

    /// Removes expired entries from memory, and then from the file.
    fn sweep(&self, now: UnixTime) {
        self.shared.write_later(self.shared.memory.sweep(now));
    }
}

impl Drop for EmbeddedStore {
    /// Writes all pending changes, and waits for the thread to exit.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_live(record: &MemoryEntry, now: UnixTime) -> bool {
    let leased = match &record.state {
        EntryState::InFlight { lease, .. } => *lease >= now,
        EntryState::Released { .. } | EntryState::Committed { .. } => false,
    };
    record.until >= now || leased
}

impl WriterState {
    /// Schedules ids for the next transaction without waiting for it.
    fn write_later(&self, ids: impl IntoIterator<Item = EntryId>) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }
}

#[cfg(test)]
mod tests;
