//! Two gateways with one Redis or one cluster, which is killed, paused and restarted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::app::App;
use super::process::GatewayProcess;
use super::redis::{Cluster, RedisServer};
use super::sender::{Dice, IN_FLIGHT, REPLAYED, Sender, UNAVAILABLE};
use super::size;
use crate::support::configuration::Store;
use crate::support::until;

const CLIENTS: usize = 8;

/// The largest distance of two clients in the sequence of ids.
const STRETCH: usize = 20;

/// The responses where each id is processed once and the store may fail.
const EXPECTED: [&str; 4] = ["200", REPLAYED, IN_FLIGHT, UNAVAILABLE];

/// The timeout of a store operation.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);

/// Long enough that every response of the upstream arrives in time.
const APP_TIMEOUT: &str = "10s";

async fn two_gateways(app: &App, store: Store) -> [GatewayProcess; 2] {
    [
        GatewayProcess::start(app.address, APP_TIMEOUT, store.clone()).await,
        GatewayProcess::start(app.address, APP_TIMEOUT, store).await,
    ]
}

fn over(address: SocketAddr) -> Store {
    Store::redis(address).timeout(format!("{}ms", STORE_TIMEOUT.as_millis()))
}

async fn finish(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Each client sends each id to either gateway until it is processed. Only stretches of the sequence are shuffled, so
/// that clients send the same id at the same time.
fn send_all(sender: &Sender, gateways: [SocketAddr; 2], ids: usize) -> JoinSet<()> {
    let clients = (0..CLIENTS).map(|client| {
        let sender = sender.clone();
        async move {
            let mut dice = Dice::new(client as u64);
            let mut order: Vec<usize> = (0..ids).collect();
            order.chunks_mut(STRETCH).for_each(|stretch| dice.shuffle(stretch));
            for id in order {
                sender.deliver(&gateways, &format!("e{id}"), &mut dice).await;
            }
        }
    });
    clients.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_over_one_redis_pass_each_id_once() {
    let ids = size(500, 10_000);
    let (server, app) = (RedisServer::start().await, App::start().await);
    let gateways = two_gateways(&app, over(server.address)).await;
    let sender = Sender::new(&app.ledger);
    finish(send_all(&sender, [gateways[0].plain, gateways[1].plain], ids)).await;
    let tally = sender.tally.lock().unwrap();
    println!("one redis, two gateways: {:?}, {tally:?}", app.ledger.sums());
    tally.only(&EXPECTED);
    assert_eq!((app.ledger.each_once(ids).forwards, tally.of("200")), (ids, ids));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_a_master_for_a_while_passes_nothing_twice() {
    let ids = size(500, 10_000);
    let (mut cluster, app) = (Cluster::start().await, App::start().await);
    let store = over(cluster.0[0].address).with("cluster", true).url(cluster.urls());
    let gateways = two_gateways(&app, store).await;
    let sender = Sender::new(&app.ledger);
    let load = send_all(&sender, [gateways[0].plain, gateways[1].plain], ids);
    let heard = |what: &str| sender.tally.lock().unwrap().of(what);
    let masters = size(1, 3);
    for master in 0..masters {
        let (processed, unavailable) = (heard("200"), heard(UNAVAILABLE));
        until("more ids are processed", async || heard("200") > processed + ids / 20).await;
        cluster.0[master].kill();
        until("some requests get 503", async || heard(UNAVAILABLE) > unavailable + 20).await;
        cluster.0[master].restart().await;
        cluster.is_whole().await;
    }
    finish(load).await;
    let tally = sender.tally.lock().unwrap();
    println!("a cluster, {masters} masters killed and restarted: {:?}, {tally:?}", app.ledger.sums());
    tally.only(&EXPECTED);
    app.ledger.each_once(ids);
}

/// Starts pairs of clients that send the same new ids until they are stopped.
fn send_on(sender: &Sender, gateways: [SocketAddr; 2], stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let clients = (0..CLIENTS).map(|client| {
        let (sender, stop) = (sender.clone(), Arc::clone(stop));
        async move {
            let mut dice = Dice::new(client as u64);
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                sender.deliver(&gateways, &format!("c{}-{number}", client / 2), &mut dice).await;
            }
        }
    });
    clients.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_hangs_and_comes_back_passes_nothing_twice() {
    let rounds = size(1, 10);
    let (mut server, app) = (RedisServer::start().await, App::start().await);
    let gateways = two_gateways(&app, over(server.address)).await;
    let (sender, stop) = (Sender::new(&app.ledger), Arc::default());
    let heard = |what: &str| sender.tally.lock().unwrap().of(what);
    let more = async |what: &str, count: usize| {
        let before = heard(what);
        until(&format!("there are more {what}"), async || heard(what) >= before + count).await;
    };
    let load = send_on(&sender, [gateways[0].plain, gateways[1].plain], &stop);
    for _ in 0..rounds {
        more("200", 50).await;
        server.pause();
        more(UNAVAILABLE, 20).await;
        server.resume();
        more("200", 50).await;
        server.kill();
        more(UNAVAILABLE, 20).await;
        server.restart().await;
        more("200", 50).await;
    }
    stop.store(true, Ordering::Relaxed);
    finish(load).await;
    let (tally, sums, app_takes) = (sender.tally.lock().unwrap(), app.ledger.sums(), app.ledger.slowest());
    println!("a redis paused and killed {rounds} times: {sums:?}, {tally:?}, the upstream took at most {app_takes:?}");
    tally.only(&EXPECTED);
    app.ledger.each_once(sums.ids);
    assert!(tally.slowest <= app_takes + STORE_TIMEOUT + Duration::from_secs(1), "one took {:?}", tally.slowest);
}
