//! A durable file beside `Memory`. Memory decides and answers; the file mirrors it: for each id that has changed, one
//! thread writes what memory knows at that moment, many ids in one transaction. So the order in which changes reach the
//! thread does not matter, and after a failed write it is enough to know which ids to write again.

mod file;
mod writer;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

pub use self::file::EmbeddedError;
use self::file::Store;
use self::writer::{Shared, Write, Writer};
use super::memory::{Memory, Record};
use super::state::{Answer, EntryId, Settled, Settlement, State};
use super::store::{Ask, StoreError};
use crate::clock::UnixTime;
use crate::config::state::Durability;

/// Writes on their way to the thread; who comes then waits for a place.
const QUEUE: usize = 4096;

/// Entries of this machine.
pub struct Embedded {
    shared: Arc<Shared>,
    durability: Durability,
    key: Zeroizing<[u8; 32]>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Reads the whole file, or makes one. Entries that live are kept even beyond `capacity`.
    pub fn open(path: &Path, durability: Durability, capacity: usize, now: UnixTime) -> Result<Self, EmbeddedError> {
        let shared = Arc::new(Shared::new(Memory::telling(capacity)));
        let mut ended = Vec::new();
        let store = Store::open(path, &mut |id, record| {
            if lives(&record, now) {
                shared.memory.restore(id, record);
            } else {
                ended.push(id);
            }
        })?;
        shared.later(ended);
        let (queue, writes) = mpsc::channel(QUEUE);
        let key = store.key.clone();
        let writer = Writer::new(path, durability, Arc::clone(&shared), store);
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let none = |what| move |_| EmbeddedError::System(path.to_owned(), what);
        let timer = timer.map_err(none("timer"))?;
        let thread = std::thread::Builder::new().name("admission".to_owned());
        let thread = thread.spawn(move || writer.run(&timer, writes)).map_err(none("thread"))?;
        Ok(Self { shared, durability, key, queue: Some(queue), thread: Some(thread) })
    }

    /// Asks for an id. `Reserved` is in the file first (`sync`), so that its lease holds whatever happens.
    pub async fn reserve(&self, ask: &Ask, now: UnixTime) -> Result<Answer, StoreError> {
        let answer = self.shared.memory.reserve(ask, now)?;
        if answer == Answer::Reserved && self.write(ask.id).await.is_err() {
            // Nobody will forward it. The file may have it all the same; the writer tries this id again.
            self.shared.memory.settle(ask, &Settlement::Release, now);
            self.shared.later([ask.id]);
            return Err(StoreError::Unavailable);
        }
        if answer != Answer::Reserved {
            // It may have to be remembered for longer.
            self.shared.later([ask.id]);
        }
        Ok(answer)
    }

    /// Ends a reservation. `Unavailable`: a commit is in memory and not in the file; say it again.
    pub async fn settle(&self, ask: &Ask, settlement: &Settlement, now: UnixTime) -> Result<Settled, StoreError> {
        let settled = self.shared.memory.settle(ask, settlement, now);
        match (settled, settlement) {
            // Also when memory knew it already: the first time it may not have reached the file.
            (Settled::Done, Settlement::Commit(_)) => self.write(ask.id).await?,
            // Lost with a crash, its lease ends instead.
            (Settled::Done, Settlement::Release | Settlement::Forget) => self.shared.later([ask.id]),
            (Settled::Lost, _) => {}
        }
        Ok(settled)
    }

    /// Entries held, those that have ended and are not swept yet among them.
    pub fn entries(&self) -> usize {
        self.shared.memory.entries()
    }

    /// Forgets what has ended; the file follows.
    pub fn sweep(&self, now: UnixTime) {
        self.shared.later(self.shared.memory.sweep(now));
    }

    /// A random secret that is kept in the file, for keyed hashes of ids.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Transactions so far.
    #[cfg(test)]
    fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    async fn write(&self, id: EntryId) -> Result<(), StoreError> {
        let Some(queue) = &self.queue else { return Err(StoreError::Unavailable) };
        // While writes fail, nobody is promised an interval.
        let waits = match self.durability {
            Durability::Sync => true,
            Durability::Interval(_) => self.shared.failing.load(Ordering::Relaxed),
        };
        if !waits {
            return queue.send(Write { id, done: None }).await.map_err(|_| StoreError::Unavailable);
        }
        let (done, written) = oneshot::channel();
        queue.send(Write { id, done: Some(done) }).await.map_err(|_| StoreError::Unavailable)?;
        // Not answered at all if the thread has ended.
        written.await.unwrap_or(Err(StoreError::Unavailable))
    }
}

impl Drop for Embedded {
    /// Writes what is left, and waits for that.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lives(record: &Record, now: UnixTime) -> bool {
    let leased = match &record.state {
        State::InFlight { lease, .. } => *lease >= now,
        State::Released { .. } | State::Committed { .. } => false,
    };
    record.until >= now || leased
}

impl Shared {
    /// To be written with the next group, and not waited for.
    fn later(&self, ids: impl IntoIterator<Item = EntryId>) {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }
}

#[cfg(test)]
mod tests;
