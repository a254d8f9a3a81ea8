//! Tests of events that may lose ids: promotions, restarts, a cluster that loses a node.

use super::server::{RedisServer, until};
use super::*;

fn store(server: &RedisServer, on_failover: OnFailover) -> TestStore {
    TestStore::ready(&RedisSettings { on_failover, ..settings(vec![server.url()]) })
}

fn issued(n: u8, issued: Option<UnixTime>) -> ReserveRequest {
    ReserveRequest { issued, ..request(n) }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

/// Another request with this id, as an attacker or a sender that retries would send it.
fn again(request: &ReserveRequest) -> ReserveRequest {
    ReserveRequest { owner: Owner(1000), ..request.clone() }
}

/// Waits for the result of a reservation; until the recovery ends it is rejected.
#[track_caller]
fn becomes(store: &TestStore, request: &ReserveRequest, expected: &ReserveResult) {
    until("the recovery ends", || match store.reserve(request) {
        Err(StoreError::Unavailable) => false,
        result => {
            assert_eq!(result.as_ref(), Ok(expected));
            true
        }
    });
}

/// Waits until new events pass, with or without a time.
#[track_caller]
fn recovers(store: &TestStore, n: u8) {
    becomes(store, &issued(n, None), &ReserveResult::Reserved);
    becomes(store, &issued(n + 1, Some(now())), &ReserveResult::Reserved);
}

/// A master whose replica has received nothing since `lag` was called, and takes its place.
struct Promotion {
    master: RedisServer,
    replica: RedisServer,
}

impl Promotion {
    fn start() -> Self {
        let (master, replica) = (RedisServer::start(&[]), RedisServer::start(&[]));
        replica.cli(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        until("the replica follows", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
        Self { master, replica }
    }

    /// From here on the replica receives no writes. The last one before is that of `request`.
    fn lag(&self, store: &TestStore, request: &ReserveRequest) {
        until("the replica has it", || self.replica.cli(&["EXISTS", &store.redis.entry(request)]) == "1");
        self.master.cli(&["CONFIG", "SET", "repl-timeout", "600"]);
        // Without a replica buffer the master would send the rest when the replica wakes up.
        self.replica.cli(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Kills the master; the replica takes over its port.
    fn promote(&mut self, stores: &[&TestStore]) {
        self.master.kill();
        let down = |store: &&TestStore| !store.redis.is_available();
        until("the loss is noticed", || stores.iter().all(down));
        self.replica.cli(&["CONFIG", "SET", "port", &self.master.port.to_string()]);
        stores.iter().for_each(|store| store.wait());
    }
}

#[test]
fn living_gateways_write_what_a_promotion_has_lost_again() {
    let mut servers = Promotion::start();
    let (one, other) = (store(&servers.master, OnFailover::Reject), store(&servers.master, OnFailover::Reject));
    one.commit(&request(9));
    servers.lag(&one, &request(9));
    one.commit(&issued(1, None));
    other.commit(&request(2));
    let (in_flight, released) = (request(3), request(4));
    assert_eq!(one.reserve(&in_flight), Ok(ReserveResult::Reserved));
    assert_eq!(other.reserve(&released), Ok(ReserveResult::Reserved));
    assert_eq!(other.settle(&released, &Settlement::Release), Ok(Settled::Done));
    servers.promote(&[&one, &other]);
    recovers(&one, 100);
    for n in [9, 1, 2] {
        assert_eq!(other.reserve(&again(&request(n))), Ok(DONE), "{n}");
    }
    assert_eq!(other.reserve(&again(&in_flight)), Ok(ReserveResult::InFlight));
    let changed = ReserveRequest { fingerprint: Fingerprint(8), ..again(&released) };
    becomes(&one, &changed, &ReserveResult::Mismatch);
    assert_eq!(one.settle(&in_flight, &Settlement::Commit(None)), Ok(Settled::Done));
    // Nothing is lost, so that nothing is rejected, not even credentials from long ago.
    becomes(&one, &issued(60, Some(at(1))), &ReserveResult::Reserved);
    // A gateway that starts now learns of the event by the epoch.
    let fresh = store(&servers.master, OnFailover::Reject);
    becomes(&fresh, &issued(61, Some(at(1))), &ReserveResult::Reserved);
}

#[test]
fn what_a_gateway_that_died_too_has_committed_is_rejected() {
    let mut servers = Promotion::start();
    let dead = store(&servers.master, OnFailover::Reject);
    let (strict, lax) = (store(&servers.master, OnFailover::Reject), store(&servers.master, OnFailover::Allow));
    strict.commit(&request(9));
    servers.lag(&strict, &request(9));
    let lost = request(1);
    dead.commit(&lost);
    drop(dead);
    servers.promote(&[&strict, &lax]);
    // During the recovery nothing is known.
    assert_eq!(strict.reserve(&issued(2, None)), Err(StoreError::Unavailable));
    becomes(&strict, &issued(2, None), &ReserveResult::Reserved);
    let later = now().plus(Duration::from_secs(120));
    assert_eq!(strict.reserve(&again(&lost)), Err(StoreError::Unavailable));
    assert_eq!(strict.reserve(&again(&request(9))), Ok(DONE));
    strict.commit(&issued(77, Some(later)));
    assert_eq!(lax.reserve(&again(&lost)), Ok(ReserveResult::Reserved));
}

#[test]
fn a_replica_is_not_used() {
    let servers = Promotion::start();
    let store = TestStore::new(&settings(vec![servers.replica.url()]));
    until("it is looked at", || servers.replica.cli(&["INFO", "commandstats"]).contains("cmdstat_info"));
    until("it is looked at again", || !servers.replica.cli(&["CLIENT", "LIST"]).contains("cmd=info"));
    assert!(!servers.replica.cli(&["INFO", "commandstats"]).contains("cmdstat_evalsha"));
    assert!(!store.redis.is_available());
}

#[test]
fn a_master_that_comes_back_empty_is_filled_again() {
    let mut server = RedisServer::start(&[]);
    let store = store(&server, OnFailover::Reject);
    store.commit(&request(1));
    let before = now();
    server.kill();
    until("it is noticed", || !store.redis.is_available());
    server.run();
    store.wait();
    assert_eq!(store.reserve(&issued(2, Some(before))), Err(StoreError::Unavailable));
    recovers(&store, 100);
    assert_eq!(store.reserve(&again(&request(1))), Ok(DONE));
    // The ids of gateways that have ended are lost: those of credentials from before this gateway started.
    assert_eq!(store.reserve(&issued(60, Some(at(1)))), Err(StoreError::Unavailable));
}

#[test]
fn an_emptied_database_that_another_gateway_has_initialised_has_lost_ids() {
    let server = RedisServer::start(&[]);
    let old = store(&server, OnFailover::Reject);
    let request = ReserveRequest { issued: Some(now()), ..request(1) };
    old.commit(&request);
    server.cli(&["FLUSHALL"]);
    let fresh = store(&server, OnFailover::Reject);
    until("the loss is noticed", || fresh.reserve(&issued(40, Some(at(1)))) == Err(StoreError::Unavailable));
    recovers(&fresh, 100);
    assert_eq!(fresh.reserve(&again(&request)), Ok(DONE));
    assert_eq!(old.reserve(&again(&request)), Ok(DONE));
}

#[test]
fn a_server_whose_clock_is_set_gets_the_tail_again() {
    let server = RedisServer::start(&[]);
    let store = store(&server, OnFailover::Reject);
    store.commit(&request(1));
    let bucket = bucket(&request(1));
    let [_, gateways] = store.redis.dialer.epochs.keys(bucket);
    // As if the clock had been set forward by an hour: the id has expired, and all times are an hour ago.
    let hour = Duration::from_secs(3600);
    let node = store.redis.nodes.of(&gateways).unwrap();
    let live = node.live().unwrap();
    let set_back = || {
        let beat = milliseconds(&server) - 3_600_000;
        server.cli(&["HSET", &gateways, &store.redis.dialer.gateway, &format!("{beat} 1 {beat} 0")]);
        server.cli(&["DEL", &store.redis.entry(&request(1))]);
    };
    live.last_beat.lock().unwrap().as_mut().unwrap().set_back(hour);
    set_back();
    let result = store.reserve(&again(&request(1)));
    assert!(matches!(result, Err(StoreError::Unavailable) | Ok(ReserveResult::Committed { .. })), "{result:?}");
    until("the tail is written again", || store.reserve(&again(&request(1))) == Ok(DONE));
    recovers(&store, 100);
}

#[test]
fn a_master_that_writes_before_it_answers_loses_nothing() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (one, other) = (store(&server, OnFailover::Reject), store(&server, OnFailover::Reject));
    let old = now();
    one.commit(&issued(1, Some(old)));
    server.kill();
    until("it is noticed", || !one.redis.is_available() && !other.redis.is_available());
    server.run();
    one.wait();
    other.wait();
    for store in [&one, &other] {
        assert_eq!(store.reserve(&request(1)), Ok(DONE));
    }
    one.commit(&issued(2, Some(old)));
    other.commit(&issued(3, None));
}

#[test]
fn a_master_that_writes_now_and_then_gets_its_last_seconds_again() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let store = store(&server, OnFailover::Reject);
    store.commit(&request(9));
    let size = || std::fs::metadata(server.path().join("appendonlydir/appendonly.aof.1.incr.aof")).unwrap().len();
    until("it is on disk", || server.cli(&["INFO", "persistence"]).contains("aof_pending_bio_fsync:0"));
    let durable = size();
    let before = now();
    store.commit(&issued(1, None));
    server.kill();
    until("it is noticed", || !store.redis.is_available());
    // A power cut takes the bytes that the operating system had not written.
    let file =
        std::fs::OpenOptions::new().write(true).open(server.path().join("appendonlydir/appendonly.aof.1.incr.aof"));
    file.unwrap().set_len(durable).unwrap();
    server.run();
    store.wait();
    assert_eq!(store.reserve(&issued(2, Some(before))), Err(StoreError::Unavailable));
    recovers(&store, 100);
    assert_eq!(store.reserve(&again(&request(1))), Ok(DONE));
    becomes(&store, &issued(60, Some(at(1))), &ReserveResult::Reserved);
}

#[test]
fn a_cluster_loses_only_the_slots_of_the_dead_node() {
    let cluster =
        ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000"];
    let mut servers: Vec<RedisServer> = (0..3).map(|_| RedisServer::start(&cluster)).collect();
    for (server, (from, to)) in servers.iter().zip([("0", "5000"), ("5001", "11000"), ("11001", "16383")]) {
        server.cli(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
        server.cli(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port.to_string()]);
    }
    let whole = |server: &RedisServer| {
        let info = server.cli(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("slots_ok:16384") && info.contains("known_nodes:3")
    };
    until("the cluster is whole", || servers.iter().all(whole));
    let settings = RedisSettings {
        cluster: true,
        on_failover: OnFailover::Allow,
        ..settings(servers[..2].iter().map(RedisServer::url).collect())
    };
    let store = TestStore::ready(&settings);
    (0..64).for_each(|n| store.commit(&request(n)));
    let dead: Vec<bool> = (0..64).map(|n| port(&store, n) == servers[2].port).collect();
    assert!(dead.iter().any(|dead| *dead) && dead.iter().any(|dead| !*dead));
    servers[2].kill();
    until("it is noticed", || !store.redis.is_available());
    for _ in 0..20 {
        for (n, dead) in dead.iter().enumerate() {
            let expected = if *dead { Err(StoreError::Unavailable) } else { Ok(DONE) };
            assert_eq!(store.reserve(&request(u8::try_from(n).unwrap())), expected, "{n}");
        }
    }
    servers[2].run();
    store.wait();
    let again =
        |n: u8| matches!(store.reserve(&request(n)), Ok(ReserveResult::Reserved | ReserveResult::Committed { .. }));
    until("all answer", || (0..64).all(again));
}

#[test]
fn a_cluster_whose_connections_are_all_stale_fails_no_call() {
    let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
    let servers: Vec<RedisServer> = (0..3).map(|_| RedisServer::start(&cluster)).collect();
    for (server, (from, to)) in servers.iter().zip([("0", "5000"), ("5001", "11000"), ("11001", "16383")]) {
        server.cli(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
        server.cli(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port.to_string()]);
    }
    until("the cluster is whole", || {
        servers.iter().all(|server| server.cli(&["CLUSTER", "INFO"]).contains("slots_ok:16384"))
    });
    let urls = servers.iter().map(RedisServer::url).collect();
    let store = TestStore::ready(&RedisSettings { cluster: true, timeout: Duration::from_secs(2), ..settings(urls) });
    for round in 0..3 {
        let close = || servers.iter().for_each(|server| drop(server.cli(&["CLIENT", "KILL", "TYPE", "normal"])));
        std::thread::scope(|scope| {
            let closing = scope.spawn(close);
            let mut n = 0;
            while n < 64 || !closing.is_finished() {
                let request = ReserveRequest { owner: Owner(round), ..request(n % 64) };
                let result = store.reserve(&request);
                let expected = if round == 0 { ReserveResult::Reserved } else { ReserveResult::InFlight };
                assert_eq!(result, Ok(expected), "{round} {n}");
                n = if n == u8::MAX { 64 } else { n + 1 };
            }
        });
    }
}

#[test]
fn the_lease_of_a_gateway_that_died_leaves_out_its_body() {
    let server = RedisServer::start(&[]);
    let (dead, living) = (store(&server, OnFailover::Reject), store(&server, OnFailover::Reject));
    let lease = Duration::from_secs(3600);
    let brief = |n| ReserveRequest { lease, upstream_lease: Duration::from_secs(2), ..request(n) };
    assert_eq!(dead.reserve(&brief(1)), Ok(ReserveResult::Reserved));
    assert_eq!(living.reserve(&brief(2)), Ok(ReserveResult::Reserved));
    drop(dead);
    assert_eq!(living.reserve(&again(&brief(1))), Ok(ReserveResult::InFlight));
    until("the lease ends", || living.reserve(&again(&brief(1))) == Ok(ReserveResult::Reserved));
    let other = store(&server, OnFailover::Reject);
    assert_eq!(other.reserve(&again(&brief(2))), Ok(ReserveResult::InFlight));
}

fn port(store: &TestStore, n: u8) -> u16 {
    store.redis.nodes.of(&store.redis.entry(&request(n))).unwrap().address.1
}

#[test]
fn a_slot_that_has_moved_is_found() {
    let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
    let servers: Vec<RedisServer> = (0..2).map(|_| RedisServer::start(&cluster)).collect();
    servers[0].cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "8000"]);
    servers[1].cli(&["CLUSTER", "ADDSLOTSRANGE", "8001", "16383"]);
    servers[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &servers[1].port.to_string()]);
    until("the cluster is whole", || {
        servers.iter().all(|server| server.cli(&["CLUSTER", "INFO"]).contains("slots_ok:16384"))
    });
    let settings = RedisSettings { cluster: true, ..settings(vec![servers[0].url()]) };
    let store = TestStore::ready(&settings);
    let n = (0..64).find(|n| port(&store, *n) == servers[0].port).unwrap();
    let slot = servers[0].cli(&["CLUSTER", "KEYSLOT", &store.redis.entry(&request(n))]);
    let [epoch, gateways] = store.redis.dialer.epochs.keys(n.into());
    let id = servers[1].cli(&["CLUSTER", "MYID"]);
    for server in servers.iter().rev() {
        // Each heartbeat writes the keys again.
        until("the slot moves", || {
            servers[0].cli(&["DEL", &epoch, &gateways]);
            server.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]) == "OK"
        });
    }
    // The slot moved without its keys, so that it looks emptied and rejects. The test checks that its new node was
    // queried.
    let _ = store.reserve(&request(n));
    assert_eq!(servers[1].cli(&["EXISTS", &epoch]), "1");
    until("the map is new", || port(&store, n) == servers[1].port);
}
