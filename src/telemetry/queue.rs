//! The queue of log lines between the threads that log and the one that writes. Bounded in bytes, since an
//! unauthenticated client decides how long its path is; tracing-appender bounds the number of lines only.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::LogLineKind;

/// Maximum bytes of lines that wait to be written, with the overhead of each.
pub const QUEUE_BYTES: usize = 4 << 20;

/// Bytes that the queue uses for a line in addition to its text.
const ENTRY: usize = 64;

/// Bytes of lines that are written at once.
const BATCH: usize = 64 * 1024;

thread_local! {
    /// The kind of the line that this thread logs.
    static KIND: Cell<LogLineKind> = const { Cell::new(LogLineKind::Other) };
}

/// Marks the lines that `write` logs as those of an unauthenticated client, which are dropped first. The level and the
/// target of a line are constants, so they cannot tell.
pub fn unauthenticated(write: impl FnOnce()) {
    KIND.set(LogLineKind::Unauthenticated);
    write();
    KIND.set(LogLineKind::Other);
}

/// A queue of log lines; a clone is the same queue.
#[derive(Clone, Debug, Default)]
pub(super) struct LineQueue(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    /// Lines with their numbers, which are those of the order in which they are written.
    unauthenticated: VecDeque<(u64, Box<[u8]>)>,
    other: VecDeque<(u64, Box<[u8]>)>,
    next: u64,
    bytes: usize,
    writer_waits: bool,
    closed: bool,
}

impl LineQueue {
    /// Writes the lines until the queue is closed and empty.
    pub(super) fn write_to(&self, mut output: impl Write) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.next_batch(&mut batch) {
            // The log is lost if its reader has gone; the gateway continues.
            let _ = output.write_all(&batch).and_then(|()| output.flush());
            batch.clear();
            batch.shrink_to(BATCH);
        }
    }

    /// Lets [`Self::write_to`] end after the lines that wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.0.1.notify_one();
    }

    fn next_batch(&self, batch: &mut Vec<u8>) -> bool {
        let mut lines = self.lock();
        while lines.bytes == 0 {
            if lines.closed {
                return false;
            }
            lines.writer_waits = true;
            lines = self.0.1.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        while batch.len() < BATCH
            && let Some(line) = lines.pop()
        {
            batch.extend_from_slice(&line);
        }
        true
    }

    fn push(&self, kind: LogLineKind, line: &[u8]) {
        let mut lines = self.lock();
        lines.push(kind, line);
        // Waking a thread is a system call, which most lines can do without.
        if std::mem::take(&mut lines.writer_waits) {
            drop(lines);
            self.0.1.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Adds a line, or drops and counts it if the queue is full: first those of unauthenticated clients, so that a flood
    /// of them loses no line of a forwarded request.
    fn push(&mut self, kind: LogLineKind, line: &[u8]) {
        let size = line.len() + ENTRY;
        while kind == LogLineKind::Other
            && self.bytes + size > QUEUE_BYTES
            && let Some((_, dropped)) = self.unauthenticated.pop_front()
        {
            self.bytes -= dropped.len() + ENTRY;
            LogLineKind::Unauthenticated.count_dropped();
        }
        if self.bytes + size > QUEUE_BYTES {
            return kind.count_dropped();
        }
        self.bytes += size;
        let lines = match kind {
            LogLineKind::Unauthenticated => &mut self.unauthenticated,
            LogLineKind::Other => &mut self.other,
        };
        lines.push_back((self.next, line.into()));
        self.next += 1;
    }

    fn pop(&mut self) -> Option<Box<[u8]>> {
        let number = |lines: &VecDeque<(u64, Box<[u8]>)>| lines.front().map_or(u64::MAX, |(number, _)| *number);
        let first = if number(&self.other) < number(&self.unauthenticated) {
            &mut self.other
        } else {
            &mut self.unauthenticated
        };
        let (_, line) = first.pop_front()?;
        self.bytes -= line.len() + ENTRY;
        Some(line)
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

/// tracing-subscriber writes each line at once.
impl Write for &LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(KIND.get(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(queue: &LineQueue) -> Vec<u8> {
        queue.close();
        let mut output = Vec::new();
        queue.write_to(&mut output);
        output
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let queue = LineQueue::default();
        for (kind, line) in
            [(LogLineKind::Other, "1\n"), (LogLineKind::Unauthenticated, "2\n"), (LogLineKind::Other, "3\n")]
        {
            queue.push(kind, line.as_bytes());
        }
        assert_eq!(written(&queue), b"1\n2\n3\n");
    }

    #[test]
    fn waiting_lines_are_bounded_in_bytes() {
        let queue = LineQueue::default();
        for _ in 0..3 * (QUEUE_BYTES >> 13) {
            queue.push(LogLineKind::Unauthenticated, &[b'x'; 8192]);
        }
        let bytes = queue.lock().bytes;
        assert!(bytes <= QUEUE_BYTES && bytes > QUEUE_BYTES - 2 * 8192, "{bytes}");
    }

    /// In both orders: the flood comes first, or the forwarded requests.
    #[test]
    fn lines_of_unauthenticated_clients_are_dropped_first() {
        let queue = LineQueue::default();
        let flood =
            || (0..2 * (QUEUE_BYTES >> 10)).for_each(|_| queue.push(LogLineKind::Unauthenticated, &[b'x'; 1024]));
        queue.push(LogLineKind::Other, b"before\n");
        flood();
        (0..1000).for_each(|_| queue.push(LogLineKind::Other, b"after\n"));
        flood();
        let output = String::from_utf8(written(&queue)).unwrap();
        assert_eq!((output.matches("before\n").count(), output.matches("after\n").count()), (1, 1000));
        assert!(output.len() <= QUEUE_BYTES);
    }
}
