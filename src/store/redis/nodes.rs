//! The map from hash slots to servers: one server for all slots, or the slot map of a cluster.
//!
//! The cluster client of redis-rs is not used: when all its connections go stale at once, its retries are used up on
//! stale connections before the reconnects in the background run, and commands fail (redis-rs#2277). Here each node has
//! a task that probes and reconnects its connection, and a dead node affects only its own ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::dialer::{Dialer, NodeError, RedisAddress};
use super::node::{PAUSE, RedisNode};

/// Interval between two refreshes of the cluster's slot map, if no error triggers one earlier.
const REFRESH: Duration = Duration::from_secs(5);
const SLOTS: u16 = 16_384;

/// First slot, last slot, address of the master.
type SlotRange = (u16, u16, RedisAddress);

#[derive(Default)]
struct SlotMap {
    ranges: Vec<(u16, u16, Arc<RedisNode>)>,
    nodes: HashMap<RedisAddress, Arc<RedisNode>>,
}

/// The servers of the store, with the current slot map.
pub(super) struct Nodes {
    map: Arc<ArcSwap<SlotMap>>,
    stale: Arc<Notify>,
    task: Option<AbortHandle>,
}

impl Nodes {
    /// A single server for all slots.
    pub(super) fn single(address: RedisAddress, dialer: &Arc<Dialer>) -> Self {
        let map = SlotMap::default().next(vec![(0, SLOTS - 1, address)], dialer);
        Self { map: Arc::new(ArcSwap::from_pointee(map)), stale: Arc::default(), task: None }
    }

    /// The nodes of the cluster that the `seeds` belong to.
    pub(super) fn cluster(seeds: Vec<RedisAddress>, dialer: &Arc<Dialer>) -> Self {
        let map = Arc::new(ArcSwap::from_pointee(SlotMap::default()));
        let stale = Arc::new(Notify::new());
        let task = dialer.runtime.spawn(follow(Arc::clone(&map), Arc::clone(&stale), seeds, Arc::clone(dialer)));
        Self { map, stale, task: Some(task.abort_handle()) }
    }

    /// The server of this key; `None` while the slot map does not assign its slot.
    pub(super) fn of(&self, key: &str) -> Option<Arc<RedisNode>> {
        let slot = slot(key);
        let map = self.map.load();
        map.ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot)).map(|(.., node)| Arc::clone(node))
    }

    /// The node that a MOVED redirection names, if it is known.
    pub(super) fn at(&self, address: &str) -> Option<Arc<RedisNode>> {
        let (host, port) = address.rsplit_once(':')?;
        let address = (host.to_owned(), port.parse().ok()?);
        self.map.load().nodes.get(&address).cloned()
    }

    /// Triggers a refresh of the slot map, which may be stale.
    pub(super) fn mark_stale(&self) {
        self.stale.notify_one();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        for node in self.map.load().nodes.values() {
            node.stop();
        }
    }
}

impl SlotMap {
    /// The next map. It reuses the nodes that are known already, and stops those that are gone.
    fn next(&self, ranges: Vec<SlotRange>, dialer: &Arc<Dialer>) -> Self {
        let mut next = Self::default();
        for (from, to, address) in ranges {
            let known = next.nodes.get(&address).or_else(|| self.nodes.get(&address)).cloned();
            let node = known.unwrap_or_else(|| RedisNode::start(address.clone(), dialer));
            next.nodes.insert(address, Arc::clone(&node));
            next.ranges.push((from, to, node));
        }
        for (address, node) in &self.nodes {
            if !next.nodes.contains_key(address) {
                node.stop();
            }
        }
        next
    }

    fn matches(&self, ranges: &[SlotRange]) -> bool {
        let same = |((from, to, node), range): (&(u16, u16, Arc<RedisNode>), &SlotRange)| {
            (*from, *to, &node.address) == (range.0, range.1, &range.2)
        };
        self.ranges.len() == ranges.len() && self.ranges.iter().zip(ranges).all(same)
    }
}

async fn follow(map: Arc<ArcSwap<SlotMap>>, stale: Arc<Notify>, seeds: Vec<RedisAddress>, dialer: Arc<Dialer>) {
    loop {
        let current = map.load_full();
        match fetch_slot_map(&current, &seeds, &dialer).await {
            Some(ranges) if !current.matches(&ranges) => map.store(Arc::new(current.next(ranges, &dialer))),
            Some(_) => (),
            None => tracing::debug!("no node of the Redis cluster returned the slot map"),
        }
        sleep(PAUSE).await;
        let wait = if map.load().ranges.is_empty() { PAUSE } else { REFRESH };
        let _ = timeout(wait, stale.notified()).await;
    }
}

async fn fetch_slot_map(map: &SlotMap, seeds: &[RedisAddress], dialer: &Dialer) -> Option<Vec<SlotRange>> {
    for node in map.nodes.values() {
        let Some(mut live) = node.live() else { continue };
        if let Ok(Ok(ranges)) = timeout(dialer.patience(), read(&mut live.connection, &node.address)).await {
            return Some(ranges);
        }
    }
    for seed in seeds {
        let slot_map = async {
            let mut connection = dialer.dial(seed).await?;
            Ok::<_, NodeError>(read(&mut connection, seed).await?)
        };
        if let Ok(Ok(ranges)) = timeout(dialer.patience(), slot_map).await {
            return Some(ranges);
        }
    }
    None
}

async fn read(connection: &mut MultiplexedConnection, queried: &RedisAddress) -> Result<Vec<SlotRange>, RedisError> {
    let answer: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
    let mut ranges: Vec<SlotRange> = answer.into_iter().filter_map(|entry| range(entry, queried)).collect();
    ranges.sort_unstable();
    Ok(ranges)
}

fn range(entry: Vec<Value>, queried: &RedisAddress) -> Option<SlotRange> {
    let mut entry = entry.into_iter();
    let from = redis::from_redis_value(entry.next()?).ok()?;
    let to = redis::from_redis_value(entry.next()?).ok()?;
    let Value::Array(master) = entry.next()? else { return None };
    let mut master = master.into_iter();
    let host: Option<String> = redis::from_redis_value(master.next()?).ok()?;
    let port = redis::from_redis_value(master.next()?).ok()?;
    // A node that does not know its own host has the host of the node that was queried.
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| queried.0.clone());
    Some((from, to, (host, port)))
}

/// The hash slot of a key: CRC-16/XMODEM of its hash tag, or else of the key (Redis cluster specification).
fn slot(key: &str) -> u16 {
    let tagged = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let name = tagged.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = name.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_slot_is_that_of_the_hash_tag() {
        // The example of the specification, and responses of CLUSTER KEYSLOT.
        assert_eq!(super::slot("123456789"), 0x31c3);
        assert_eq!(super::slot("a{foo}b"), 12182);
        assert_eq!(super::slot("foo"), 12182);
    }
}
