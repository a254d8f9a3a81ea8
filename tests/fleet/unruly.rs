//! An upstream that fails one request in five, in each possible way, and senders that retry, once more than needed.

use std::sync::Mutex;

use tokio::task::JoinSet;

use super::app::{App, Mood};
use super::process::GatewayProcess;
use super::sender::{Dice, REPLAYED, Sender};
use super::size;
use crate::support::configuration::Store;

const MOODS: [Mood; 5] = [Mood::Says(404), Mood::Says(429), Mood::Says(500), Mood::Silent, Mood::Breaks];

/// Long enough for an upstream on a busy machine, and short enough to wait for a timeout.
const TIMEOUT: &str = "300ms";

const CLIENTS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_reaches_a_failing_upstream_and_none_after_its_success() {
    let ids = size(400, 10_000);
    let dice = Mutex::new(Dice::new(7));
    let app = App::moody(move || {
        let mut dice = dice.lock().unwrap();
        if dice.below(5) == 0 { *dice.pick(&MOODS) } else { Mood::Does }
    })
    .await;
    let gateway = GatewayProcess::start(app.address, TIMEOUT, Store::memory()).await;
    let sender = Sender::new(&app.ledger);
    let clients = (0..CLIENTS).map(|client| {
        let (sender, gateway) = (sender.clone(), gateway.plain);
        async move {
            for id in (client..ids).step_by(CLIENTS).map(|id| format!("e{id}")) {
                sender.deliver(&[gateway], &id, &mut Dice::new(0)).await;
                assert_eq!(sender.ask(gateway, &id).await, REPLAYED, "{id} sent once more");
            }
        }
    });
    clients.collect::<JoinSet<()>>().join_all().await;
    let (tally, sums) = (sender.tally.lock().unwrap(), app.ledger.sums());
    println!("a failing upstream: {sums:?}, {tally:?}");
    assert_eq!((sums.ids, sums.done), (ids, ids));
    assert!(sums.forwards > ids + ids / 8, "the upstream did not fail");
    for answer in ["404", "429", "500", "504 upstream_timeout"] {
        assert!(tally.of(answer) > 0, "no sender got {answer}");
    }
}
