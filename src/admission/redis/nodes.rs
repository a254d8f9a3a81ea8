//! Which server holds which bucket: always the same one, or as a cluster says. The library's own cluster client holds
//! a lock over all nodes while it dials one; here a dead node costs only its own ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::node::{Address, Dialer, Node, NodeError, PAUSE};

/// Between two looks at a cluster's map, unless something asks for one.
const REFRESH: Duration = Duration::from_secs(5);
const SLOTS: u16 = 16_384;

/// First slot, last slot, master.
type Range = (u16, u16, Address);

#[derive(Default)]
struct Map {
    ranges: Vec<(u16, u16, Arc<Node>)>,
    nodes: HashMap<Address, Arc<Node>>,
}

/// All servers.
pub(super) struct Nodes {
    map: Arc<ArcSwap<Map>>,
    stale: Arc<Notify>,
    task: Option<AbortHandle>,
}

impl Nodes {
    /// One server for all.
    pub(super) fn single(address: Address, dialer: &Arc<Dialer>) -> Self {
        let map = Map::default().next(vec![(0, SLOTS - 1, address)], dialer);
        Self { map: Arc::new(ArcSwap::from_pointee(map)), stale: Arc::default(), task: None }
    }

    /// Those that `seeds` tell of.
    pub(super) fn cluster(seeds: Vec<Address>, dialer: &Arc<Dialer>) -> Self {
        let map = Arc::new(ArcSwap::from_pointee(Map::default()));
        let stale = Arc::new(Notify::new());
        let task = dialer.runtime.spawn(follow(Arc::clone(&map), Arc::clone(&stale), seeds, Arc::clone(dialer)));
        Self { map, stale, task: Some(task.abort_handle()) }
    }

    /// Who holds this key.
    pub(super) fn of(&self, key: &str) -> Option<Arc<Node>> {
        let slot = slot(key);
        let map = self.map.load();
        map.ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot)).map(|(.., node)| Arc::clone(node))
    }

    /// The node that an answer of MOVED names, if it is known.
    pub(super) fn at(&self, address: &str) -> Option<Arc<Node>> {
        let (host, port) = address.rsplit_once(':')?;
        let address = (host.to_owned(), port.parse().ok()?);
        self.map.load().nodes.get(&address).cloned()
    }

    /// The map may no longer be true.
    pub(super) fn doubt(&self) {
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

impl Map {
    /// With the nodes that were there already.
    fn next(&self, ranges: Vec<Range>, dialer: &Arc<Dialer>) -> Self {
        let mut next = Self::default();
        for (from, to, address) in ranges {
            let known = next.nodes.get(&address).or_else(|| self.nodes.get(&address)).cloned();
            let node = known.unwrap_or_else(|| Node::start(address.clone(), dialer));
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

    fn says(&self, ranges: &[Range]) -> bool {
        let same = |((from, to, node), range): (&(u16, u16, Arc<Node>), &Range)| {
            (*from, *to, &node.address) == (range.0, range.1, &range.2)
        };
        self.ranges.len() == ranges.len() && self.ranges.iter().zip(ranges).all(same)
    }
}

async fn follow(map: Arc<ArcSwap<Map>>, stale: Arc<Notify>, seeds: Vec<Address>, dialer: Arc<Dialer>) {
    loop {
        let current = map.load_full();
        match ask(&current, &seeds, &dialer).await {
            Some(ranges) if !current.says(&ranges) => map.store(Arc::new(current.next(ranges, &dialer))),
            Some(_) => (),
            None => tracing::debug!("no node of the shared store's cluster tells its map"),
        }
        sleep(PAUSE).await;
        let wait = if map.load().ranges.is_empty() { PAUSE } else { REFRESH };
        let _ = timeout(wait, stale.notified()).await;
    }
}

async fn ask(map: &Map, seeds: &[Address], dialer: &Dialer) -> Option<Vec<Range>> {
    for node in map.nodes.values() {
        let Some(mut live) = node.live() else { continue };
        if let Ok(Ok(ranges)) = timeout(dialer.patience(), read(&mut live.connection, &node.address)).await {
            return Some(ranges);
        }
    }
    for seed in seeds {
        let asked = async {
            let mut connection = dialer.dial(seed).await?;
            Ok::<_, NodeError>(read(&mut connection, seed).await?)
        };
        if let Ok(Ok(ranges)) = timeout(dialer.patience(), asked).await {
            return Some(ranges);
        }
    }
    None
}

async fn read(connection: &mut MultiplexedConnection, asked: &Address) -> Result<Vec<Range>, RedisError> {
    let answer: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
    let mut ranges: Vec<Range> = answer.into_iter().filter_map(|entry| range(entry, asked)).collect();
    ranges.sort_unstable();
    Ok(ranges)
}

fn range(entry: Vec<Value>, asked: &Address) -> Option<Range> {
    let mut entry = entry.into_iter();
    let from = redis::from_redis_value(entry.next()?).ok()?;
    let to = redis::from_redis_value(entry.next()?).ok()?;
    let Value::Array(master) = entry.next()? else { return None };
    let mut master = master.into_iter();
    let host: Option<String> = redis::from_redis_value(master.next()?).ok()?;
    let port = redis::from_redis_value(master.next()?).ok()?;
    // A node that does not know its own name is at the one that was asked.
    let host = host.filter(|host| !host.is_empty() && host != "?").unwrap_or_else(|| asked.0.clone());
    Some((from, to, (host, port)))
}

/// CRC-16/XMODEM of the hash tag, as the cluster specification has it.
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
        // The specification's own example, and what CLUSTER KEYSLOT answers.
        assert_eq!(super::slot("123456789"), 0x31c3);
        assert_eq!(super::slot("a{foo}b"), 12182);
        assert_eq!(super::slot("foo"), 12182);
    }
}
