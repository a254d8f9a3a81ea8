//! What each id went through: when it was forwarded, what the app answered, and what its sender had of that.
//!
//! Three things are faults: two forwards of an id at the same time, a forward after the app has said 2xx to an earlier
//! one, and a forward after a sender had that 2xx whole. The second is excused where the gateway could not know: it was
//! killed before a sender had the reply, or it said itself that the reply was late.

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
    slowest: Duration,
}

#[derive(Default)]
struct Entry {
    /// What happened, in order.
    log: Vec<String>,
    forwards: usize,
    /// The one that is on its way, by its number, and when it began.
    running: Option<(usize, Instant)>,
    /// 2xx by the app.
    done: usize,
    /// The gateway must know it.
    committed: bool,
    /// A sender had the whole 2xx.
    delivered: bool,
}

/// Over all ids.
#[derive(Debug, Default)]
pub struct Sums {
    pub ids: usize,
    pub forwards: usize,
    /// Ids that the app has done.
    pub done: usize,
    /// Ids that it has done more than once.
    pub twice: usize,
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    /// The app gets it; the number of this forward.
    pub fn begins(&self, id: &str) -> usize {
        let mut book = self.book();
        let entry = book.ids.entry(id.to_owned()).or_default();
        let wrong = match (entry.running.is_some(), entry.delivered, entry.committed) {
            (true, _, _) => Some("two at the same time"),
            (_, true, _) => Some("forwarded although a sender had its 2xx"),
            (_, _, true) => Some("forwarded after the app's 2xx"),
            (false, false, false) => None,
        };
        entry.forwards += 1;
        let number = entry.forwards;
        entry.log.push(format!("forward {number} begins"));
        entry.running = Some((number, Instant::now()));
        let fault = wrong.map(|wrong| format!("{id}: {wrong}: {:?}", entry.log));
        book.faults.extend(fault);
        number
    }

    /// The app says 2xx.
    pub fn does(&self, id: &str, number: usize) {
        self.ends(id, number, "the app says 200", |entry, in_time| {
            entry.done += 1;
            entry.committed |= in_time;
        });
    }

    /// The app fails, in a way that `what` tells.
    pub fn fails(&self, id: &str, number: usize, what: impl Debug) {
        self.ends(id, number, &format!("the app fails: {what:?}"), |_, _| ());
    }

    fn ends(&self, id: &str, number: usize, what: &str, change: impl FnOnce(&mut Entry, bool)) {
        let mut book = self.book();
        let entry = book.ids.get_mut(id).expect("it has begun");
        entry.log.push(format!("{what} to forward {number}"));
        let running = entry.running.filter(|(running, _)| *running == number);
        change(entry, running.is_some());
        if let Some((_, begun)) = running {
            entry.running = None;
            book.slowest = book.slowest.max(begun.elapsed());
        }
    }

    /// A sender heard this.
    pub fn heard(&self, id: &str, what: &str) {
        let mut book = self.book();
        let entry = book.ids.entry(id.to_owned()).or_default();
        entry.log.push(format!("a sender hears {what}"));
        match what {
            "200" => (entry.delivered, entry.committed) = (true, true),
            // Whatever the app says after this is too late.
            "504 upstream_timeout" => (entry.committed, entry.running) = (false, None),
            _ => {}
        }
    }

    /// The gateway was killed: what nobody has heard of may come again.
    pub fn killed(&self) {
        for entry in self.book().ids.values_mut() {
            entry.committed = entry.delivered;
            entry.running = None;
            entry.log.push("the gateway is killed".to_owned());
        }
    }

    /// The longest that the app took.
    pub fn slowest(&self) -> Duration {
        self.book().slowest
    }

    pub fn log(&self, id: &str) -> Vec<String> {
        self.book().ids.get(id).map(|entry| entry.log.clone()).unwrap_or_default()
    }

    /// Ids of which a sender has heard this.
    pub fn count(&self, heard: &str) -> usize {
        let line = format!("a sender hears {heard}");
        self.book().ids.values().filter(|entry| entry.log.contains(&line)).count()
    }

    /// Fails with all that went wrong.
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

    /// Each of so many ids was done, and once.
    pub fn each_once(&self, ids: usize) -> Sums {
        let sums = self.sums();
        let wrong = |entry: &&Entry| entry.done != 1;
        let example = self.book().ids.values().find(wrong).map(|entry| entry.log.clone());
        assert_eq!((sums.ids, sums.done, sums.twice), (ids, ids, 0), "such as {example:?}");
        sums
    }
}
