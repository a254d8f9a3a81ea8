//! Cost of the stores of `hookgate::store`: memory and time of 10 million live ids, and reserve + commit per second
//! for each store. `cargo bench --bench store`; `-- pairs` skips the 10 million ids.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookgate::clock::UnixTime;
use hookgate::settings::Durability;
use hookgate::store::EntryKind;
use hookgate::store::embedded::EmbeddedStore;
use hookgate::store::kind::{ReserveRequest, Store};
use hookgate::store::memory::MemoryStore;
use hookgate::store::state::{EntryId, Fingerprint, Owner, SenderId, Settlement};

// As in src/main.rs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IDS: u64 = 10_000_000;
const UNTIL: u64 = 1000;

fn main() {
    if !std::env::args().any(|argument| argument == "pairs") {
        for threads in [1, 4] {
            millions(threads);
        }
    }
    for tasks in [1, 8, 64] {
        pairs(tasks);
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap_or(UnixTime::MAX)
}

/// SplitMix64 of the number: as evenly distributed as an HMAC.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn request(number: u64, route: &Arc<str>) -> ReserveRequest {
    let first = mixed(number.wrapping_mul(2)).to_le_bytes();
    let second = mixed(number.wrapping_mul(2).wrapping_add(1)).to_le_bytes();
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().zip(first.into_iter().chain(second)) {
        *place = byte;
    }
    ReserveRequest {
        kind: EntryKind::Replay,
        id: EntryId(id),
        fingerprint: Fingerprint(number),
        owner: Owner(number),
        route: Arc::clone(route),
        share: usize::MAX,
        sender: SenderId([1; 16]),
        whole: true,
        until: at(UNTIL),
        lease: Duration::from_secs(10),
        upstream_lease: Duration::from_secs(10),
        issued: None,
    }
}

/// Resident memory in bytes, from pages of 4 KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}

/// Memory above `before` once the allocator has returned the pages that it keeps for a while: it does so as other
/// memory is allocated, which a gateway does all the time.
fn settled(before: u64) -> u64 {
    let mut left = u64::MAX;
    for _ in 0..100 {
        drop(std::hint::black_box(vec![1_u8; 8 << 20]));
        std::thread::sleep(std::time::Duration::from_millis(10));
        left = left.min(resident().saturating_sub(before));
    }
    left
}

fn millions(threads: u64) {
    let memory = MemoryStore::new(usize::MAX);
    let before = resident();
    let started = Instant::now();
    let mut times: Vec<u32> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(worker(&memory, thread, threads))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    let elapsed = started.elapsed();
    times.sort_unstable();
    let sampled = times.len();
    let part = |of: usize| times.get((sampled.saturating_sub(1)) * of / 1000).copied().unwrap_or_default();
    let (median, slow, slowest) = (part(500), part(990), part(1000));
    drop(times);
    let held = resident().saturating_sub(before);
    println!(
        "{threads} threads: {} ids in {elapsed:.2?}, {:.0} reserve+commit/s, {:.1} bytes an entry; reserve p50 {median} ns, p99 {slow} ns, max {slowest} ns",
        memory.entries(),
        IDS as f64 / elapsed.as_secs_f64(),
        held as f64 / IDS as f64,
    );
    let idle = Instant::now();
    memory.sweep(at(UNTIL));
    let idle = idle.elapsed();
    let started = Instant::now();
    memory.sweep(at(UNTIL + 1));
    let all = started.elapsed();
    let left = settled(before);
    println!(
        "  sweep: {idle:.2?} with nothing ended, {all:.2?} for all; {} entries and {} MiB more than at start are left",
        memory.entries(),
        left >> 20
    );
}

/// Reserves and commits its part of the ids; returns the time of each 16th reservation in nanoseconds.
fn worker(memory: &MemoryStore, thread: u64, threads: u64) -> impl FnOnce() -> Vec<u32> + Send + '_ {
    move || {
        let route = Arc::from("orders");
        let mut times = Vec::new();
        for number in (thread..IDS).step_by(usize::try_from(threads).unwrap_or(1)) {
            let request = request(number, &route);
            let started = Instant::now();
            let _ = memory.reserve(&request, at(1));
            if (number / threads).is_multiple_of(16) {
                times.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
            }
            memory.settle(&request, &Settlement::Commit(None), at(1));
        }
        times
    }
}

fn pairs(tasks: u64) {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build() else { return };
    let rate = runtime.block_on(run(tasks, Arc::new(MemoryStore::new(usize::MAX))));
    println!("{tasks} tasks, memory: {rate:.0} pairs/s");
    for durability in [Durability::Sync, Durability::Interval(Duration::from_secs(1))] {
        let path = std::env::temp_dir().join(format!("hookgate-bench-{}", std::process::id()));
        let store = match EmbeddedStore::open(&path, durability, usize::MAX, at(1)) {
            Ok(store) => Arc::new(store),
            Err(error) => return println!("{error}"),
        };
        let rate = runtime.block_on(run(tasks, store));
        println!("{tasks} tasks, {durability:?}: {rate:.0} pairs/s");
        let _ = std::fs::remove_file(&path);
    }
}

/// Pairs of reserve and commit per second, over two seconds.
async fn run(tasks: u64, store: Arc<dyn Store>) -> f64 {
    let started = Instant::now();
    let worker = |task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (route, commit) = (Arc::from("orders"), Settlement::Commit(None));
            let mut done = 0_u64;
            while started.elapsed() < Duration::from_secs(2) {
                let request = request((task << 40) | done, &route);
                let reserved = store.reserve(&request, at(1)).await.is_ok();
                if reserved && store.settle(&request, &commit, at(1)).await.is_ok() {
                    done += 1;
                }
            }
            done
        })
    };
    let tasks: Vec<_> = (0..tasks).map(worker).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap_or_default();
    }
    done as f64 / started.elapsed().as_secs_f64()
}
