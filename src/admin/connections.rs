//! The open connections of the admin listener. A new one is always accepted, so that connections that send nothing keep
//! out no probe: a pod whose probes fail is restarted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

const MAX_CONNECTIONS: usize = 64;

/// The open connections, the oldest first.
#[derive(Debug, Default)]
pub(super) struct OpenConnections(Vec<AdminConnection>);

/// An open connection.
#[derive(Debug)]
pub(super) struct AdminConnection {
    pub(super) address: IpAddr,
    /// Set once a request has arrived.
    pub(super) requested: Arc<AtomicBool>,
    pub(super) task: AbortHandle,
}

impl OpenConnections {
    /// Adds a connection, and ends another if there are too many.
    pub(super) fn add(&mut self, connection: AdminConnection) {
        self.0.retain(|open| !open.task.is_finished());
        if self.0.len() >= MAX_CONNECTIONS {
            self.0.remove(self.victim()).task.abort();
        }
        self.0.push(connection);
    }

    /// The oldest silent connection of the address that has the most of them. If none is silent, the oldest one: its client
    /// does not read.
    fn victim(&self) -> usize {
        let silent = |open: &AdminConnection| !open.requested.load(Ordering::Relaxed);
        let of = |address| self.0.iter().filter(|open| silent(open) && open.address == address).count();
        let oldest_last = self.0.iter().enumerate().rev().filter(|(_, open)| silent(open));
        oldest_last.max_by_key(|(_, open)| of(open.address)).map_or(0, |(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds a connection of 127.0.0.`last` that never ends by itself; returns whether it is still open.
    fn add(open: &mut OpenConnections, last: u8, requested: bool) -> impl Fn() -> bool + use<> {
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let requested = Arc::new(AtomicBool::new(requested));
        open.add(AdminConnection { address: [127, 0, 0, last].into(), requested, task: task.clone() });
        move || !task.is_finished()
    }

    /// After the aborted tasks have ended.
    async fn open_ones(connections: &[impl Fn() -> bool]) -> Vec<usize> {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        (0..connections.len()).filter(|index| connections[*index]()).collect()
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_of_the_busiest_address_gives_way() {
        let mut open = OpenConnections::default();
        let probe = add(&mut open, 1, false);
        let mut flood: Vec<_> = (0..10).map(|_| add(&mut open, 2, true)).collect();
        flood.extend((0..990).map(|_| add(&mut open, 2, false)));
        let expected: Vec<usize> = (0..10).chain(1000 - 53..1000).collect();
        assert_eq!(open_ones(&flood).await, expected);
        assert!(probe());
    }

    #[tokio::test]
    async fn without_a_silent_one_the_oldest_gives_way() {
        let mut open = OpenConnections::default();
        let slow: Vec<_> = (0..70).map(|_| add(&mut open, 2, true)).collect();
        assert_eq!(open_ones(&slow).await, (6..70).collect::<Vec<usize>>());
    }
}
