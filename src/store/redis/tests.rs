//! Tests of the Redis store against real servers.

mod failover;
mod server;

use std::time::Instant;

use bytes::Bytes;

use super::tail::{TailEntry, TailState};
use super::*;
use crate::clock::{Clock, SystemClock};
use crate::store::state::{self, EntryChange, EntryId, EntryState, Fingerprint, Owner, SenderId};
use server::{RedisServer, until};
use zeroize::Zeroizing;

/// A store whose connections run on another runtime than the calls, as in the gateway.
struct TestStore {
    redis: RedisStore,
    calls: tokio::runtime::Runtime,
    _connections: tokio::runtime::Runtime,
}

fn clock() -> Arc<StoreClock> {
    Arc::new(StoreClock::new(Arc::new(SystemClock)))
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new().unwrap())
}

fn settings(urls: Vec<String>) -> RedisSettings {
    RedisSettings {
        urls,
        cluster: false,
        ca: None,
        username: None,
        password: None,
        hash_key: None,
        // Long, since the machine may be busy.
        timeout: Duration::from_secs(1),
        prefix: "hg".into(),
        on_failover: OnFailover::Reject,
    }
}

impl TestStore {
    fn new(settings: &RedisSettings) -> Self {
        let connections = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let calls = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let redis = RedisStore::new(settings, clock(), metrics(), connections.handle().clone()).unwrap();
        Self { redis, calls, _connections: connections }
    }

    fn ready(settings: &RedisSettings) -> Self {
        let store = Self::new(settings);
        store.wait();
        store
    }

    fn of(server: &RedisServer) -> Self {
        Self::ready(&settings(vec![server.url()]))
    }

    fn wait(&self) {
        until("the store is available", || self.redis.is_available());
    }

    fn reserve(&self, request: &ReserveRequest) -> Result<ReserveResult, StoreError> {
        self.calls.block_on(self.redis.reserve(request, now()))
    }

    fn settle(&self, request: &ReserveRequest, settlement: &Settlement) -> Result<Settled, StoreError> {
        self.calls.block_on(self.redis.settle(request, settlement, now()))
    }

    fn write_again(&self, request: &ReserveRequest, state: TailState) {
        let (mut call, bucket, dialer) = (redis::pipe(), bucket(request), &self.redis.dialer);
        let entry = TailEntry { request: request.clone(), state, at: Instant::now() };
        assert!(dialer.add(&mut call, bucket, &entry));
        let node = self.redis.nodes.of(&self.redis.entry(request)).unwrap();
        let mut connection = node.live().unwrap().connection;
        self.calls.block_on(call.query_async::<()>(&mut connection)).unwrap();
    }

    fn commit(&self, request: &ReserveRequest) {
        assert_eq!(self.reserve(request), Ok(ReserveResult::Reserved));
        assert_eq!(self.settle(request, &Settlement::Commit(None)), Ok(Settled::Done));
    }
}

fn now() -> UnixTime {
    SystemClock.now()
}

/// A request to reserve id `n`, whose bucket is `n` mod 64.
fn request(n: u8) -> ReserveRequest {
    let (until, lease) = (now().plus(Duration::from_secs(600)), Duration::from_secs(60));
    let upstream_lease = Duration::from_secs(30);
    ReserveRequest { until, lease, upstream_lease, issued: Some(now()), ..ReserveRequest::sample(EntryId([n; 16])) }
}

const DONE: ReserveResult = ReserveResult::Committed { reply: None };

/// A small and fast pseudorandom generator (xorshift) with reproducible results.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn it_answers_as_the_state_machine_does() {
    let server = RedisServer::start(&[]);
    let store = TestStore::of(&server);
    let (mut seed, mut states) = (0x9e37_79b9_7f4a_7c15, std::collections::HashMap::new());
    let (mut lapsed, mut forgotten) = (0, 0);
    for step in 0..4000_u32 {
        let n = u8::try_from(random(&mut seed) % 8).unwrap() + u8::try_from(step / 200).unwrap() * 8;
        let owner = Owner(random(&mut seed) % 3);
        let fingerprint = Fingerprint(random(&mut seed) % 5 / 4);
        let lease = if random(&mut seed).is_multiple_of(6) { 20 } else { 60_000 };
        let request = ReserveRequest { owner, fingerprint, lease: Duration::from_millis(lease), ..request(n) };
        // Leases of the model at time 2: one that ends at 1 has expired, and one that ends at 3 has not.
        let end = UnixTime::from_seconds(if lease == 20 { 1 } else { 3 }).unwrap();
        let at = UnixTime::from_seconds(2).unwrap();
        let found: Option<&EntryState> = states.get(&n);
        let next = match random(&mut seed) % 18 {
            kind @ 16.. => {
                let (state, latest) = if kind == 16 {
                    (TailState::InFlight, EntryState::InFlight { owner, lease: end, fingerprint })
                } else if random(&mut seed).is_multiple_of(2) {
                    (TailState::Released, EntryState::Released { fingerprint })
                } else {
                    (TailState::Committed(None), EntryState::Committed { fingerprint, reply: None })
                };
                store.write_again(&request, state);
                state::write_again(found, owner, &latest)
            }
            0..10 => {
                let (answer, next) = state::reserve(found, owner, fingerprint, end, at);
                assert_eq!(store.reserve(&request), Ok(answer), "step {step}");
                next
            }
            kind => {
                let reply = if kind == 10 { Some(Bytes::from_static(b"\0\xff +")) } else { None };
                let reply = if kind == 11 { Some(Bytes::new()) } else { reply };
                let settlement = match kind {
                    ..13 => Settlement::Commit(reply),
                    13 => Settlement::Forget,
                    _ => Settlement::Release,
                };
                let (settled, change) = state::settle(found, owner, fingerprint, &settlement);
                assert_eq!(store.settle(&request, &settlement), Ok(settled), "step {step}");
                match change {
                    EntryChange::Put(next) => Some(next),
                    EntryChange::Nothing => None,
                    EntryChange::Delete => {
                        states.remove(&n);
                        forgotten += 1;
                        None
                    }
                }
            }
        };
        if let Some(next) = next {
            if lease == 20 && matches!(next, EntryState::InFlight { .. }) {
                lapsed += 1;
                let end = milliseconds(&server) + 20;
                until("the lease ends", || milliseconds(&server) > end);
            }
            states.insert(n, next);
        }
    }
    assert!(lapsed > 50 && forgotten > 20, "{lapsed} {forgotten}");
}

fn milliseconds(server: &RedisServer) -> u64 {
    let time = server.cli(&["TIME"]);
    let (seconds, micros) = time.split_once('\n').unwrap();
    seconds.parse::<u64>().unwrap() * 1000 + micros.parse::<u64>().unwrap() / 1000
}

/// Commits id `n` of a bucket with a response of 80,000 bytes, and returns whether it was stored.
fn is_stored(store: &TestStore, sender: u8, n: u8) -> bool {
    let mut id = [sender; 16];
    (id[0], id[15]) = (0, n);
    let request = ReserveRequest { id: EntryId(id), sender: SenderId([sender; 16]), ..request(0) };
    assert_eq!(store.reserve(&request), Ok(ReserveResult::Reserved));
    let reply = Settlement::Commit(Some(Bytes::from(vec![b'a'; 80_000])));
    assert_eq!(store.settle(&request, &reply), Ok(Settled::Done));
    match store.reserve(&request) {
        Ok(ReserveResult::Committed { reply }) => reply.is_some(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sender_stores_responses_within_its_quota_alone() {
    let server = RedisServer::start(&[]);
    let store = TestStore::of(&server);
    let stored = |sender| (0..20).filter(|n| is_stored(&store, sender, *n)).count();
    // A bucket has room for 256 KiB of each sender, and for a fourth response after two minutes.
    assert_eq!((stored(1), stored(2)), (3, 3));
    // The quota is a rate: it expires with the responses.
    let left = server.cli(&["PTTL", &format!("{{hg:00}}:v2:replies:{}", "01".repeat(16))]).parse::<u64>().unwrap();
    assert!((1..=600_000).contains(&left), "{left}");
}

#[test]
fn an_entry_lives_as_long_as_it_was_ever_asked_to() {
    let server = RedisServer::start(&[]);
    let store = TestStore::of(&server);
    let long = request(5);
    let left = || server.cli(&["PTTL", &store.redis.entry(&long)]).parse::<u64>().unwrap();
    store.commit(&ReserveRequest { until: now(), lease: Duration::from_secs(900), ..long.clone() });
    assert!(left() > 800_000);
    let key = server.cli(&["KEYS", "*:0505*"]);
    assert_eq!(key, "{hg:05}:v2:05050505050505050505050505050505");
    assert_eq!(store.reserve(&long), Ok(DONE));
    let other = request(6);
    let left = || server.cli(&["PTTL", &store.redis.entry(&other)]).parse::<u64>().unwrap();
    assert_eq!(store.reserve(&other), Ok(ReserveResult::Reserved));
    store.settle(&ReserveRequest { until: now(), ..other.clone() }, &Settlement::Release).unwrap();
    assert!((590_000..=600_000).contains(&left()));
}

#[test]
fn it_is_down_at_once_and_back_by_itself() {
    let mut server = RedisServer::prepared(&[]);
    let store = TestStore::new(&settings(vec![server.url()]));
    assert_eq!(store.reserve(&request(1)), Err(StoreError::Unavailable));
    server.run();
    store.wait();
    store.commit(&request(1));
    server.kill();
    until("it is noticed", || store.reserve(&request(2)) == Err(StoreError::Unavailable));
    let begun = Instant::now();
    assert_eq!(store.reserve(&request(2)), Err(StoreError::Unavailable));
    assert!(begun.elapsed() < Duration::from_millis(200));
    server.run();
    let back = Instant::now();
    store.wait();
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    // A retry that is signed after the event may have a lost id as well.
    let later = ReserveRequest { issued: Some(now().plus(Duration::from_secs(5))), ..request(3) };
    assert_eq!(store.reserve(&later), Err(StoreError::Unavailable));
    until("the recovery ends", || store.reserve(&later) == Ok(ReserveResult::Reserved));
}

#[test]
fn a_server_that_hangs_costs_one_deadline() {
    let server = RedisServer::start(&[]);
    let timeout = Duration::from_millis(300);
    let store = TestStore::ready(&RedisSettings { timeout, ..settings(vec![server.url()]) });
    server.signal("STOP");
    let begun = Instant::now();
    assert_eq!(store.reserve(&request(1)), Err(StoreError::Unavailable));
    let first = begun.elapsed();
    assert_eq!(store.reserve(&request(2)), Err(StoreError::Unavailable));
    let second = begun.elapsed() - first;
    server.signal("CONT");
    assert!(first < Duration::from_millis(600) && second < Duration::from_millis(100), "{first:?} {second:?}");
    store.wait();
    store.commit(&request(3));
    // The first call may have run when the server woke up; its owner settles it.
    assert_eq!(store.settle(&request(1), &Settlement::Release), Ok(Settled::Done));
    assert_eq!(store.settle(&request(1), &Settlement::Release), Ok(Settled::Done));
}

#[test]
fn a_store_that_evicts_is_not_used() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let store = TestStore::new(&settings(vec![server.url()]));
    until("it has looked", || server.cli(&["INFO", "commandstats"]).contains("cmdstat_info"));
    until("it has hung up", || !server.cli(&["CLIENT", "LIST"]).contains("cmd=info"));
    assert_eq!(store.reserve(&request(1)), Err(StoreError::Unavailable));
    assert!(!server.cli(&["INFO", "commandstats"]).contains("cmdstat_evalsha"));
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    store.wait();
    store.commit(&request(1));
}

#[test]
fn a_full_store_says_so() {
    let server = RedisServer::start(&[]);
    let store = TestStore::of(&server);
    store.commit(&request(1));
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(store.reserve(&request(2)), Err(StoreError::Full));
    assert_eq!(store.reserve(&request(1)), Ok(DONE));
    // Also once the heartbeats are missing.
    until("a heartbeat fails", || store.redis.dialer.full.load(Ordering::Relaxed));
    let [_, gateways] = store.redis.dialer.epochs.keys(2);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    server.cli(&["HSET", &gateways, &store.redis.dialer.gateway, "1 1 1 0"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    until("a heartbeat fails again", || store.reserve(&request(2)) == Err(StoreError::Full));
    assert!(store.redis.is_available());
}

#[test]
fn it_logs_in() {
    let server = RedisServer::start(&["--requirepass", "secret", "--user", "gate", "on", ">other", "~*", "+@all"]);
    let login = |username: Option<&str>, password: &str| RedisSettings {
        username: username.map(Into::into),
        password: Some(Zeroizing::new(password.into())),
        ..settings(vec![server.url()])
    };
    TestStore::ready(&login(None, "secret")).commit(&request(1));
    TestStore::ready(&login(Some("gate"), "other")).commit(&request(2));
    let wrong = TestStore::new(&login(None, "wrong"));
    until("it has tried", || cli_with_password(&server, &["ACL", "LOG"]).contains("auth"));
    assert!(!wrong.redis.is_available());
}

fn cli_with_password(server: &RedisServer, arguments: &[&str]) -> String {
    server.cli(&[&["--no-auth-warning", "-a", "secret"], arguments].concat())
}

#[test]
fn it_speaks_tls_to_servers_that_it_trusts() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut server = RedisServer::prepared(&[
        "--tls-port",
        "--tls-cert-file",
        "c.pem",
        "--tls-key-file",
        "k.pem",
        "--tls-ca-cert-file",
        "c.pem",
        "--tls-auth-clients",
        "no",
    ]);
    std::fs::write(server.path().join("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(server.path().join("k.pem"), made.signing_key.serialize_pem()).unwrap();
    server.spawn();
    let url = vec![format!("rediss://localhost:{}", server.port)];
    let ca = Some(made.cert.pem().into_bytes());
    TestStore::ready(&RedisSettings { ca, ..settings(url.clone()) }).commit(&request(1));
    let strict = TestStore::new(&settings(url));
    assert_eq!(strict.reserve(&request(2)), Err(StoreError::Unavailable));
    let bad = RedisSettings { ca: Some(b"none".to_vec()), ..settings(vec!["rediss://localhost:1".into()]) };
    let runtime = strict.calls.handle().clone();
    assert!(matches!(RedisStore::new(&bad, clock(), metrics(), runtime.clone()), Err(RedisStartError::Ca(_))));
    assert!(matches!(
        RedisStore::new(&settings(vec!["http://a".into()]), clock(), metrics(), runtime),
        Err(RedisStartError::Url(_))
    ));
}

#[test]
fn a_rate_is_shared() {
    let server = RedisServer::start(&[]);
    let (one, other) = (TestStore::of(&server), TestStore::of(&server));
    let take =
        |store: &TestStore, key| store.calls.block_on(store.redis.take(key, Duration::from_secs(100), 2)).unwrap();
    assert_eq!((take(&one, "a {b}"), take(&other, "a {b}")), (None, None));
    let wait = take(&one, "a {b}").unwrap();
    assert!(wait > Duration::from_secs(60) && wait <= Duration::from_secs(100), "{wait:?}");
    assert_eq!(take(&one, "c"), None);
    let brief = || one.calls.block_on(one.redis.take("d", Duration::from_millis(50), 1)).unwrap();
    assert_eq!(brief(), None);
    until("the next is due", || brief().is_none());
}

#[test]
fn revocations_are_seen() {
    let server = RedisServer::start(&[]);
    let store = TestStore::of(&server);
    let revoked = |jti, sub, kid| store.calls.block_on(store.redis.revoked([jti, sub, kid]));
    let none = Revoked { named: false, issued_before: None };
    assert_eq!(revoked(Some("j"), Some("s"), None), Ok(none));
    server.cli(&["SADD", "{hg:revoked}:sub", "s"]);
    server.cli(&["SADD", "{hg:revoked}:kid", "k"]);
    assert_eq!(revoked(Some("s"), None, Some("s")), Ok(none));
    assert_eq!(revoked(Some("j"), Some("s"), None), Ok(Revoked { named: true, issued_before: None }));
    assert_eq!(revoked(None, None, Some("k")), Ok(Revoked { named: true, issued_before: None }));
    server.cli(&["SET", "{hg:revoked}:issued_before", "1700000000"]);
    let before = UnixTime::from_seconds(1_700_000_000);
    assert_eq!(revoked(None, None, None), Ok(Revoked { named: false, issued_before: before }));
    server.cli(&["SET", "{hg:revoked}:issued_before", "yesterday"]);
    assert_eq!(revoked(None, None, None), Err(StoreError::Unavailable));
}
