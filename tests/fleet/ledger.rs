//! The history of each id: when it was forwarded, the response of the upstream, and the response that its sender got.
//!
//! Three things are faults: two forwards of an id at the same time, a forward after a 2xx of the upstream to an earlier
//! one, and a forward after a sender got that 2xx complete. The second is excused where the gateway could not know: it
//! was killed before a sender got the response, or it reported a timeout itself.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    ids: HashMap<String, Entry>,
    faults: Vec<String>,
    /// Times at which a sender got the 2xx of an id, and at which the id was forwarded again.
    doubled: Vec<(Instant, Instant)>,
    slowest: Duration,
}

#[derive(Default)]
struct Entry {
    /// The events in their order.
    log: Vec<String>,
    forwards: usize,
    /// The number and the start of the forward in flight.
    running: Option<(usize, Instant)>,
    /// The number of 2xx responses of the upstream.
    done: usize,
    /// Whether the gateway must have committed the id.
    committed: bool,
    /// Whether a sender got the complete 2xx, and when.
    delivered: bool,
    delivered_at: Option<Instant>,
}

/// Totals over all ids.
#[derive(Debug, Default)]
pub struct Sums {
    pub ids: usize,
    pub forwards: usize,
    /// Ids that the upstream has processed.
    pub done: usize,
    /// Ids that the upstream has processed more than once.
    pub twice: usize,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// Records that the upstream got the id. Returns the number of this forward.
    pub fn begins(&self, id: &str) -> usize {
        let mut book = self.book();
        let entry = book.ids.entry(id.to_owned()).or_default();
        let wrong = match (entry.running.is_some(), entry.delivered, entry.committed) {
            (true, _, _) => Some("two at the same time"),
            (_, true, _) => Some("forwarded although a sender got its 2xx"),
            (_, _, true) => Some("forwarded after the 2xx of the upstream"),
            (false, false, false) => None,
        };
        entry.forwards += 1;
        let number = entry.forwards;
        entry.log.push(format!("forward {number} begins"));
        entry.running = Some((number, Instant::now()));
        let doubled = entry.delivered_at.map(|at| (at, Instant::now()));
        let fault = wrong.map(|wrong| format!("{id}: {wrong}: {:?}", entry.log));
        book.faults.extend(fault);
        book.doubled.extend(doubled);
        number
    }

    /// Records a 2xx of the upstream.
    pub fn does(&self, id: &str, number: usize) {
        self.ends(id, number, "the upstream responds 200", |entry, in_time| {
            entry.done += 1;
            entry.committed |= in_time;
        });
    }

    /// Records a failure of the upstream; `what` describes it.
    pub fn fails(&self, id: &str, number: usize, what: impl Debug) {
        self.ends(id, number, &format!("the upstream fails: {what:?}"), |_, _| ());
    }

    fn ends(&self, id: &str, number: usize, what: &str, change: impl FnOnce(&mut Entry, bool)) {
        let mut book = self.book();
        let entry = book.ids.get_mut(id).expect("the forward has begun");
        entry.log.push(format!("{what} to forward {number}"));
        let running = entry.running.filter(|(running, _)| *running == number);
        change(entry, running.is_some());
        if let Some((_, begun)) = running {
            entry.running = None;
            book.slowest = book.slowest.max(begun.elapsed());
        }
    }

    /// Records the response that a sender got.
    pub fn heard(&self, id: &str, what: &str) {
        let mut book = self.book();
        let entry = book.ids.entry(id.to_owned()).or_default();
        entry.log.push(format!("a sender gets {what}"));
        match what {
            "200" => {
                (entry.delivered, entry.committed) = (true, true);
                entry.delivered_at.get_or_insert_with(Instant::now);
            }
            // A later response of the upstream is too late.
            "504 upstream_timeout" => (entry.committed, entry.running) = (false, None),
            _ => {}
        }
    }

    /// Records that the gateway was killed: ids without a response to their sender may be forwarded again.
    pub fn killed(&self) {
        for entry in self.book().ids.values_mut() {
            entry.committed = entry.delivered;
            entry.running = None;
            entry.log.push("the gateway is killed".to_owned());
        }
    }

    /// The longest processing time of the upstream.
    pub fn slowest(&self) -> Duration {
        self.book().slowest
    }

    pub fn log(&self, id: &str) -> Vec<String> {
        self.book().ids.get(id).map(|entry| entry.log.clone()).unwrap_or_default()
    }

    /// The number of ids for which a sender got this response.
    pub fn count(&self, heard: &str) -> usize {
        let line = format!("a sender gets {heard}");
        self.book().ids.values().filter(|entry| entry.log.contains(&line)).count()
    }

    /// For each forward of an id after a sender got its 2xx: the times of both.
    pub fn doubled(&self) -> Vec<(Instant, Instant)> {
        self.book().doubled.clone()
    }

    /// Number of ids whose sender was told that they are processed, but were not.
    pub fn lost(&self) -> usize {
        let told = ["a sender gets 200", "a sender gets 409 duplicate_request"];
        let lost = |entry: &&Entry| entry.done == 0 && entry.log.iter().any(|line| told.contains(&line.as_str()));
        self.book().ids.values().filter(lost).count()
    }

    /// The totals. Panics if there was a fault.
    pub fn sums(&self) -> Sums {
        let book = self.book();
        assert!(
            book.faults.is_empty(),
            "{} faults: {:#?}",
            book.faults.len(),
            &book.faults[..book.faults.len().min(20)]
        );
        let mut sums = Sums { ids: book.ids.len(), ..Sums::default() };
        for entry in book.ids.values() {
            sums.forwards += entry.forwards;
            sums.done += usize::from(entry.done > 0);
            sums.twice += usize::from(entry.done > 1);
        }
        sums
    }

    /// Asserts that there are `ids` ids and that each was processed exactly once.
    pub fn each_once(&self, ids: usize) -> Sums {
        let sums = self.sums();
        let wrong = |entry: &&Entry| entry.done != 1;
        let example = self.book().ids.values().find(wrong).map(|entry| entry.log.clone());
        assert_eq!((sums.ids, sums.done, sums.twice), (ids, ids, 0), "such as {example:?}");
        sums
    }
}
