//! A gateway that is killed under load and started again on the same file.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::app::App;
use super::process::GatewayProcess;
use super::sender::{Dice, IN_FLIGHT, NOTHING, REPLAYED, Sender};
use super::size;
use crate::support::configuration::Store;
use crate::support::until;

const CLIENTS: usize = 8;

/// Successes before each kill.
const UNTIL_KILL: usize = 100;

/// Sends new ids until the gateway is gone. Returns the ids that were answered, and those that were not.
async fn send_until_killed(sender: Sender, gateway: SocketAddr, name: String) -> (Vec<String>, Vec<String>) {
    let (mut answered, mut unknown) = (Vec::new(), Vec::new());
    for number in 0.. {
        let id = format!("{name}-{number}");
        match &*sender.ask(gateway, &id).await {
            "200" => answered.push(id),
            "504 upstream_timeout" => unknown.push(id),
            NOTHING => {
                unknown.push(id);
                break;
            }
            other => panic!("got {other}"),
        }
    }
    (answered, unknown)
}

/// Asserts that these ids, which were answered with 200, are duplicates now.
async fn are_known(app: &App, gateway: SocketAddr, answered: &[String]) {
    let sender = Sender::new(&app.ledger);
    for id in answered {
        assert_eq!(sender.ask(gateway, id).await, REPLAYED, "{id}: {:?}", app.ledger.log(id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_answered_before_a_kill_are_known_after_it() {
    let kills = size(2, 20);
    let (app, folder) = (App::start().await, TempDir::new().unwrap());
    let store = Store::embedded(folder.path().join("state")).with("durability", "sync");
    let mut gateway = GatewayProcess::start(app.address, "200ms", store).await;
    let (mut answered, mut unknown) = (Vec::new(), Vec::new());
    for round in 0..kills {
        let sender = Sender::new(&app.ledger);
        let client = |number| send_until_killed(sender.clone(), gateway.plain, format!("r{round}c{number}"));
        let clients: JoinSet<_> = (0..CLIENTS).map(client).collect();
        until("some are answered", async || sender.tally.lock().unwrap().of("200") >= UNTIL_KILL).await;
        gateway.kill();
        let before = answered.len();
        for (of_one, unknown_of_one) in clients.join_all().await {
            answered.extend(of_one);
            unknown.extend(unknown_of_one);
        }
        app.ledger.killed();
        gateway.restart().await;
        are_known(&app, gateway.plain, &answered[before..]).await;
    }
    are_known(&app, gateway.plain, &answered).await;
    // Their reservations outlive the process and expire with their leases, after ten seconds or more.
    let (sender, waited_for) = (Sender::new(&app.ledger), size(0, unknown.len()));
    for id in &unknown[..waited_for] {
        sender.deliver(&[gateway.plain], id, &mut Dice::new(0)).await;
    }
    let (tally, sums) = (sender.tally.lock().unwrap(), app.ledger.sums());
    println!("{kills} kills: {} answered and known, {} unknown, {sums:?}, {tally:?}", answered.len(), unknown.len());
    tally.only(&["200", REPLAYED, IN_FLIGHT, "504 upstream_timeout"]);
    assert_eq!(sums.ids, answered.len() + unknown.len());
    assert!(sums.done >= answered.len() + waited_for, "an unknown id was not processed");
}
