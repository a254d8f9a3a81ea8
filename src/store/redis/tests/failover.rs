//! Tests of events that may lose ids: promotions, restarts, a cluster that loses a node.

use super::server::{RedisServer, cli, until};
use super::*;

fn store(server: &RedisServer, on_failover: OnFailover) -> TestStore {
    TestStore::ready(&RedisSettings { on_failover, ..settings(vec![server.url()]) })
}

fn issued(n: u8, issued: Option<UnixTime>) -> ReserveRequest {
    ReserveRequest { issued, ..request(n) }
}

/// Credentials issued until `old` are rejected, for every id and every bucket; later ones pass.
fn rejects_tokens_issued_before(store: &TestStore, old: UnixTime) {
    let later = now().plus(Duration::from_secs(120));
    for n in [1, 2, 64, 200] {
        assert_eq!(store.reserve(&issued(n, Some(old))), Err(StoreError::Unavailable), "{n}");
        assert_eq!(store.reserve(&issued(n, None)), Err(StoreError::Unavailable), "{n}");
    }
    store.commit(&issued(77, Some(later)));
    // This credential expires now, so that none from before the event could still be valid.
    let brief = ReserveRequest { until: now().plus(Duration::from_secs(0)), ..issued(78, None) };
    assert_eq!(store.calls.block_on(store.redis.reserve(&brief, now())), Ok(ReserveResult::Reserved));
}

#[test]
fn a_promotion_rejects_ids_that_it_may_have_lost() {
    let mut master = RedisServer::start(&[]);
    let replica = RedisServer::start(&[]);
    let (strict, lax) = (store(&master, OnFailover::Reject), store(&master, OnFailover::Allow));
    strict.commit(&request(9));
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    until("the replica follows", || replica.cli(&["INFO", "replication"]).contains("master_link_status:up"));
    until("the replica has the first", || replica.cli(&["EXISTS", &strict.redis.entry(&request(9))]) == "1");
    // From here on the replica receives no writes.
    replica.signal("STOP");
    strict.commit(&request(1));
    master.kill();
    // Each gateway notices on its own; only after that does a look at the replica tell anything.
    until("the loss is noticed", || !strict.redis.is_available() && !lax.redis.is_available());
    replica.signal("CONT");
    // The writes of the master are still in the socket of the replica.
    until("the replica sees it", || replica.cli(&["INFO", "replication"]).contains("master_link_status:down"));
    replica.cli(&["DEL", &strict.redis.entry(&request(1))]);
    replica.cli(&["CONFIG", "SET", "replica-read-only", "no"]);
    replica.cli(&["DEL", &strict.redis.entry(&request(1))]);
    let port = master.port.to_string();
    replica.cli(&["CONFIG", "SET", "port", &port]);
    // A replica is checked but not used, not even to update an epoch.
    cli(master.port, &["CONFIG", "RESETSTAT"]);
    let calls = || cli(master.port, &["INFO", "commandstats"]);
    let mut asked = 0;
    until("it is looked at", || {
        asked += 1;
        let stats = calls();
        let info = stats.split_once("cmdstat_info:calls=").and_then(|(_, rest)| rest.split_once(','));
        info.is_some_and(|(count, _)| count.parse::<u32>().unwrap() > asked)
    });
    assert!(!calls().contains("cmdstat_evalsha") && !strict.redis.is_available());
    let old = now();
    cli(master.port, &["REPLICAOF", "NO", "ONE"]);
    strict.wait();
    lax.wait();
    assert_eq!(strict.reserve(&issued(1, Some(old))), Err(StoreError::Unavailable));
    assert_eq!(strict.reserve(&request(9)), Ok(DONE));
    rejects_tokens_issued_before(&strict, old);
    assert_eq!(lax.reserve(&issued(1, Some(old))), Ok(ReserveResult::Reserved));
    assert_eq!(lax.reserve(&issued(2, None)), Ok(ReserveResult::Reserved));
    // A gateway that starts now learns of the event by the epoch.
    rejects_nothing_new(&TestStore::ready(&settings(vec![format!("redis://127.0.0.1:{port}")])));
}

fn rejects_nothing_new(store: &TestStore) {
    assert_eq!(store.reserve(&issued(3, Some(UnixTime::default()))), Err(StoreError::Unavailable));
    store.commit(&issued(3, Some(now().plus(Duration::from_secs(120)))));
}

#[test]
fn a_master_that_comes_back_empty_has_lost_ids() {
    let mut server = RedisServer::start(&[]);
    let store = store(&server, OnFailover::Reject);
    store.commit(&request(1));
    let old = now();
    server.kill();
    until("it is noticed", || !store.redis.is_available());
    server.run();
    store.wait();
    rejects_tokens_issued_before(&store, old);
}

#[test]
fn an_emptied_database_that_another_gateway_has_initialised_has_lost_ids() {
    let server = RedisServer::start(&[]);
    let old = store(&server, OnFailover::Reject);
    let request = ReserveRequest { issued: Some(now()), ..request(1) };
    old.commit(&request);
    server.cli(&["FLUSHALL"]);
    let fresh = store(&server, OnFailover::Reject);
    assert_eq!(fresh.reserve(&ReserveRequest { owner: Owner(5), ..super::request(40) }), Ok(ReserveResult::Reserved));
    assert_eq!(old.reserve(&request), Err(StoreError::Unavailable));
    let touched =
        || fresh.reserve(&ReserveRequest { id: EntryId([50; 16]), ..request.clone() }) == Err(StoreError::Unavailable);
    until("the others hear of it", touched);
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
fn a_master_that_writes_now_and_then_may_have_lost_ids() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let store = store(&server, OnFailover::Reject);
    let old = now();
    store.commit(&issued(1, Some(old)));
    until("it is on disk", || server.cli(&["INFO", "persistence"]).contains("aof_pending_bio_fsync:0"));
    server.kill();
    until("it is noticed", || !store.redis.is_available());
    server.run();
    store.wait();
    assert_eq!(store.reserve(&issued(2, Some(old))), Err(StoreError::Unavailable));
    store.commit(&issued(3, Some(now().plus(Duration::from_secs(120)))));
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
    let dead: Vec<bool> = (0..64).map(|n| at(&store, n) == servers[2].port).collect();
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

fn at(store: &TestStore, n: u8) -> u16 {
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
    let n = (0..64).find(|n| at(&store, *n) == servers[0].port).unwrap();
    let slot = servers[0].cli(&["CLUSTER", "KEYSLOT", &store.redis.entry(&request(n))]);
    let epoch = store.redis.dialer.epochs.key(n.into());
    servers[0].cli(&["DEL", &epoch]);
    let id = servers[1].cli(&["CLUSTER", "MYID"]);
    for server in servers.iter().rev() {
        assert_eq!(server.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]), "OK");
    }
    // The slot moved without its keys, so that it looks emptied and rejects. The test checks that its new node was
    // queried.
    let _ = store.reserve(&request(n));
    assert_eq!(servers[1].cli(&["EXISTS", &epoch]), "1");
    until("the map is new", || at(&store, n) == servers[1].port);
}
