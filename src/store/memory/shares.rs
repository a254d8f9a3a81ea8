//! The entries of each sender within the share of its route. Senders have numbers, so that an entry need not contain
//! their names.
//!
//! A sender may have as many entries as are free in its route's share (the dynamic threshold of switch buffers, Choudhury
//! and Hahne 1998): `n` senders that take all they can have 1/(n+1) of it each, and as much stays free for others, so
//! that no entry has to be evicted for a new sender. The bytes of stored responses are shared likewise.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::state::SenderId;

/// The highest number of a sender: an entry has 30 bits for it.
const MAX_NUMBER: u32 = (1 << 30) - 1;

/// The senders that have entries, and their numbers.
#[derive(Default)]
pub(super) struct Shares {
    numbers: HashMap<SenderId, u32>,
    rows: Vec<Option<SenderRow>>,
    free: Vec<u32>,
    routes: HashMap<Arc<str>, Arc<RouteRow>>,
}

struct SenderRow {
    sender: SenderId,
    route: Arc<RouteRow>,
    entries: AtomicUsize,
    reply_bytes: AtomicUsize,
}

struct RouteRow {
    name: Arc<str>,
    entries: AtomicUsize,
}

/// The sender and the route for which an entry is counted, and their limits.
#[derive(Clone, Copy)]
pub(super) struct ShareRequest<'a> {
    pub(super) route: &'a Arc<str>,
    pub(super) sender: SenderId,
    /// Maximum number of entries of the route.
    pub(super) share: usize,
    /// Whether the sender may use up the share of the route.
    pub(super) whole: bool,
}

/// Result of taking one entry from the share of a sender.
pub(super) enum ShareClaim {
    /// The entry is counted; the number of the sender.
    Claimed(u32),
    /// The share is used up, or no number is free.
    Full,
    /// The sender has no number yet.
    Unknown,
}

impl Shares {
    pub(super) fn claim(&self, request: &ShareRequest<'_>) -> ShareClaim {
        let Some(number) = self.numbers.get(&request.sender) else { return ShareClaim::Unknown };
        let Some(row) = self.row(*number) else { return ShareClaim::Full };
        let Some(total) = add(&row.route.entries, 1, request.share) else { return ShareClaim::Full };
        let most = if request.whole { usize::MAX } else { (request.share - total).saturating_add(1) };
        if add(&row.entries, 1, most).is_some() {
            return ShareClaim::Claimed(*number);
        }
        row.route.entries.fetch_sub(1, Ordering::Relaxed);
        ShareClaim::Full
    }

    /// The name of the route and the id of the sender with this number.
    pub(super) fn names(&self, number: u32) -> Option<(Arc<str>, SenderId)> {
        self.row(number).map(|row| (Arc::clone(&row.route.name), row.sender))
    }

    /// Gives the sender a number, and takes one entry.
    pub(super) fn register(&mut self, request: &ShareRequest<'_>) -> ShareClaim {
        if !self.numbers.contains_key(&request.sender) {
            let next = u32::try_from(self.rows.len()).ok().filter(|number| *number <= MAX_NUMBER);
            let Some(number) = self.free.pop().or(next) else { return ShareClaim::Full };
            let row = || RouteRow { name: Arc::clone(request.route), entries: AtomicUsize::new(0) };
            let route = self.routes.entry(Arc::clone(request.route)).or_insert_with(|| Arc::new(row()));
            let (sender, route) = (request.sender, Arc::clone(route));
            let row = Some(SenderRow { sender, route, entries: AtomicUsize::new(0), reply_bytes: AtomicUsize::new(0) });
            match usize::try_from(number).ok().and_then(|at| self.rows.get_mut(at)) {
                Some(free) => *free = row,
                None => self.rows.push(row),
            }
            self.numbers.insert(sender, number);
        }
        let claim = self.claim(request);
        if !matches!(claim, ShareClaim::Claimed(_))
            && let Some(number) = self.numbers.get(&request.sender)
        {
            self.remove_unused(*number);
        }
        claim
    }

    /// Releases one entry; `true` if the sender has none left, and [`Self::remove_unused`] is to be called.
    pub(super) fn release(&self, number: u32) -> bool {
        let Some(row) = self.row(number) else { return false };
        row.route.entries.fetch_sub(1, Ordering::Relaxed);
        row.entries.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Frees the number of a sender without entries, so that senders that are gone take no memory.
    pub(super) fn remove_unused(&mut self, number: u32) {
        let Some(slot) = usize::try_from(number).ok().and_then(|at| self.rows.get_mut(at)) else { return };
        let Some(row) = slot.take_if(|row| row.entries.load(Ordering::Relaxed) == 0) else { return };
        self.numbers.remove(&row.sender);
        self.free.push(number);
        // This row and the map have the last two references.
        if Arc::strong_count(&row.route) == 2 {
            self.routes.remove(&row.route.name);
        }
        if self.numbers.is_empty() {
            *self = Self::default();
        }
    }

    /// Takes bytes for a stored response of this sender, of which all senders together may have `most`; `used` are those
    /// of all.
    pub(super) fn add_reply(&self, number: u32, length: usize, used: &AtomicUsize, most: usize) -> bool {
        let Some(row) = self.row(number) else { return false };
        let Some(total) = add(used, length, most) else { return false };
        if add(&row.reply_bytes, length, (most - total).saturating_add(length)).is_some() {
            return true;
        }
        used.fetch_sub(length, Ordering::Relaxed);
        false
    }

    pub(super) fn remove_reply(&self, number: u32, length: usize, used: &AtomicUsize) {
        used.fetch_sub(length, Ordering::Relaxed);
        if let Some(row) = self.row(number) {
            row.reply_bytes.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// The number of senders and of routes.
    #[cfg(test)]
    pub(super) fn rows(&self) -> (usize, usize) {
        (self.numbers.len(), self.routes.len())
    }

    fn row(&self, number: u32) -> Option<&SenderRow> {
        self.rows.get(usize::try_from(number).ok()?)?.as_ref()
    }
}

/// Adds `more` to `count` unless the sum exceeds `bound`. Returns the sum if it was added.
pub(super) fn add(count: &AtomicUsize, more: usize, bound: usize) -> Option<usize> {
    let sum = |count: usize| count.checked_add(more).filter(|sum| *sum <= bound);
    let before = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).ok()?;
    before.checked_add(more)
}
