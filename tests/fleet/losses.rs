//! Redis loses its last writes: servers are killed, promoted, suspended and restarted under load, also together with
//! gateways. A ledger counts the events that were doubled, lost, and rejected although the store was there again.
//! `tests/fleet.sh` runs it in its full size, also with another binary.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::app::App;
use super::process::GatewayProcess;
use super::redis::{Cluster, Persistence, RedisServer};
use super::sender::{Dice, NOTHING, Sender};
use super::size;
use crate::support::configuration::Store;
use crate::support::until;

const CLIENTS: usize = 12;
/// Paths of the route whose signature has a time, and of that whose signature has none.
const PATHS: [&str; 2] = ["/webhook", "/untimed"];
/// Writes of the last two seconds before a loss need not be durable.
const DURABLE: Duration = Duration::from_secs(2);
/// Time of a gateway to connect again to a server that is back.
const RECONNECT: Duration = Duration::from_secs(1);
/// The longest time that a sender with a time retries.
const RETRIES: Duration = Duration::from_secs(20);
/// Number of the latest ids that are sent once more after each loss.
const REPLAYS: usize = 300;

/// The first response to an event.
struct Attempt {
    at: Instant,
    heard: String,
    path: usize,
}

/// Two gateways with senders.
struct Fleet {
    app: App,
    gateways: [GatewayProcess; 2],
    sender: Sender,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    /// Ids whose sender got 200, with their paths.
    delivered: Arc<Mutex<Vec<(String, usize)>>>,
    /// Events whose senders have given up.
    given_up: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    load: JoinSet<()>,
    /// When the last loss began.
    losses: Vec<Instant>,
}

/// The counts of one loss.
#[derive(Debug, Default)]
struct Counts {
    sent: usize,
    /// First attempts that got 503 while the store was away.
    while_down: usize,
    /// And after it was back, with a time and without: genuine events that were rejected in vain.
    wrongly: [usize; 2],
    /// Seconds after which the last of these was rejected.
    until: f32,
    doubled: usize,
    doubled_durable: usize,
    lost: usize,
    given_up: usize,
}

impl Fleet {
    async fn start(store: Store) -> Self {
        let app = App::start().await;
        let store = store.timeout("500ms");
        let gateways = [
            GatewayProcess::start(app.address, "1s", store.clone()).await,
            GatewayProcess::start(app.address, "1s", store).await,
        ];
        let sender = Sender::new(&app.ledger);
        let (attempts, delivered, given_up, stop) = Default::default();
        let mut fleet = Self {
            app,
            gateways,
            sender,
            attempts,
            delivered,
            given_up,
            stop,
            load: JoinSet::new(),
            losses: Vec::new(),
        };
        // The store is reached before the load begins.
        let probe = fleet.addresses();
        until("both gateways reach the store", async || {
            let asked = [fleet.sender.ask(probe[0], "probe").await, fleet.sender.ask(probe[1], "probe").await];
            asked.iter().all(|heard| !heard.starts_with("503") && heard != NOTHING)
        })
        .await;
        for client in 0..CLIENTS {
            let task = fleet.client(client);
            fleet.load.spawn(task);
        }
        fleet
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.gateways[0].plain, self.gateways[1].plain]
    }

    /// Sends new events until the fleet stops. Senders with a time retry; those without never do, like GitHub.
    fn client(&self, client: usize) -> impl Future<Output = ()> + Send + 'static {
        let (sender, gateways, stop) = (self.sender.clone(), self.addresses(), Arc::clone(&self.stop));
        let (attempts, delivered) = (Arc::clone(&self.attempts), Arc::clone(&self.delivered));
        let given_up = Arc::clone(&self.given_up);
        async move {
            let (mut dice, path) = (Dice::new(client as u64), client % 2);
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (id, begun) = (format!("c{client}-{number}"), Instant::now());
                let (mut first, mut tries) = (None, 0);
                loop {
                    let heard = sender.ask_at(*dice.pick(&gateways), PATHS[path], &id).await;
                    if heard == "200" || heard.starts_with("409 duplicate_request") {
                        first.get_or_insert(heard);
                        delivered.lock().unwrap().push((id, path));
                        break;
                    }
                    // A gateway that is gone is not a response.
                    if heard != NOTHING {
                        first.get_or_insert(heard);
                        tries += 1;
                    }
                    if (path == 1 && tries > 0) || begun.elapsed() > RETRIES || stop.load(Ordering::Relaxed) {
                        given_up.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
                let heard = first.unwrap_or_else(|| NOTHING.to_owned());
                attempts.lock().unwrap().push(Attempt { at: begun, heard, path });
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Sends the latest ids once more; none may be forwarded.
    async fn replay(&self) {
        let latest: Vec<_> = self.delivered.lock().unwrap().iter().rev().take(REPLAYS).cloned().collect();
        let gateways = self.addresses();
        let replays = (0..4).map(|part| {
            let (sender, latest) = (self.sender.clone(), latest.clone());
            async move {
                for (number, (id, path)) in latest.iter().enumerate().filter(|(number, _)| number % 4 == part) {
                    sender.ask_at(gateways[number / 4 % 2], PATHS[*path], id).await;
                }
            }
        });
        replays.collect::<JoinSet<()>>().join_all().await;
    }

    /// Counts what happened since `begun`; the store was back at `back`.
    fn counts(&self, begun: Instant, back: Instant, doubled_before: usize) -> Counts {
        let attempts = self.attempts.lock().unwrap();
        let mut counts = Counts::default();
        for attempt in attempts.iter().filter(|attempt| attempt.at >= begun) {
            counts.sent += 1;
            if !attempt.heard.starts_with("503") {
                continue;
            }
            if attempt.at < back + RECONNECT {
                counts.while_down += 1;
            } else {
                counts.wrongly[attempt.path] += 1;
            }
            if attempt.at >= back {
                counts.until = counts.until.max((attempt.at - back).as_secs_f32());
            }
        }
        for (delivered, _) in &self.app.ledger.doubled()[doubled_before..] {
            counts.doubled += 1;
            counts.doubled_durable += usize::from(self.losses.iter().all(|loss| {
                // Durable before this loss, or after it.
                *delivered + DURABLE < *loss || delivered > loss
            }));
        }
        counts.lost = self.app.ledger.lost();
        counts.given_up = self.given_up.swap(0, Ordering::Relaxed);
        counts
    }

    /// Runs one loss. `event` returns once the store is back.
    async fn lose(&mut self, settle: Duration, event: impl AsyncFnOnce(&mut [GatewayProcess; 2])) -> Counts {
        let doubled = self.app.ledger.doubled().len();
        let begun = Instant::now();
        sleep(DURABLE + Duration::from_secs(1)).await;
        self.losses.push(Instant::now());
        event(&mut self.gateways).await;
        let back = Instant::now();
        self.replay().await;
        sleep(settle.saturating_sub(back.elapsed())).await;
        self.replay().await;
        self.counts(begun, back, doubled)
    }

    async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.load.join_next().await {
            ended.unwrap();
        }
    }
}

fn print_header() {
    println!(
        "| loss | sent | 503, store away | wrongly rejected, with time | without time | last one after | doubled | of \
         these durable | lost | given up |\n|---|---|---|---|---|---|---|---|---|---|"
    );
}

fn print_row(name: &str, counts: &Counts) {
    let Counts { sent, while_down, wrongly: [timed, untimed], until, doubled, doubled_durable, lost, given_up } =
        counts;
    println!(
        "| {name} | {sent} | {while_down} | {timed} | {untimed} | {until:.1} s | {doubled} | {doubled_durable} | {lost} | \
         {given_up} |"
    );
}

/// Asserts that nothing durable was doubled, nothing lost, and that new events pass again.
fn well(counts: &Counts) {
    if std::env::var_os("HOOKGATE_BINARY").is_none() {
        assert_eq!((counts.doubled_durable, counts.lost), (0, 0), "{counts:?}");
        assert!(counts.until < 13.0, "{counts:?}");
    }
}

/// A way to restart a single server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    Term,
    /// SIGKILL, and a power cut takes the writes of the last second that the disk did not have.
    PowerCut,
}

async fn restart(persistence: Persistence, how: Restart) -> Counts {
    let mut server = RedisServer::with(persistence).await;
    let mut fleet = Fleet::start(Store::redis(server.address)).await;
    let counts = fleet
        .lose(Duration::from_secs(9), async |_| match how {
            Restart::Term => {
                server.stop().await;
                server.restart().await;
            }
            Restart::PowerCut => {
                let before = server.file_size();
                sleep(Duration::from_secs(1)).await;
                let unwritten = if persistence == Persistence::Always { 0 } else { server.file_size() - before };
                server.kill();
                server.cut_file(unwritten);
                server.restart().await;
            }
        })
        .await;
    fleet.stop().await;
    print_row(&format!("{persistence:?}, {how:?}"), &counts);
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_rejects_only_until_the_gateways_have_written_again() {
    print_header();
    for persistence in [Persistence::Always, Persistence::EverySecond, Persistence::Nothing] {
        for how in [Restart::Term, Restart::PowerCut] {
            if size(0, 1) == 1 || (persistence, how) == (Persistence::EverySecond, Restart::PowerCut) {
                let counts = restart(persistence, how).await;
                well(&counts);
                assert!(counts.doubled == 0 || std::env::var_os("HOOKGATE_BINARY").is_some(), "{counts:?}");
            }
        }
    }
}

/// A loss in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClusterLoss {
    KillMaster,
    KillGateway,
    /// The master is cut off, and comes back after its replica was promoted.
    SuspendMaster,
    KillMasterAndGateway,
    SuspendGateway,
    KillMasterSuspendGateway,
    RestartMaster,
}

const LOSSES: [ClusterLoss; 7] = [
    ClusterLoss::KillMaster,
    ClusterLoss::KillGateway,
    ClusterLoss::SuspendMaster,
    ClusterLoss::KillMasterAndGateway,
    ClusterLoss::SuspendGateway,
    ClusterLoss::KillMasterSuspendGateway,
    ClusterLoss::RestartMaster,
];

/// From here on, the replica of the master receives no writes, for a second.
async fn lag(master: &RedisServer, replica: &RedisServer) {
    replica.pause();
    master.say("CLIENT KILL TYPE replica");
    sleep(Duration::from_secs(1)).await;
}

async fn is_promoted(cluster: &Cluster, replica: usize) {
    let node = &cluster.0[replica];
    until("the replica is promoted", async || {
        node.say("ROLE").contains("master") && node.say("CLUSTER INFO").contains("cluster_state:ok")
    })
    .await;
}

async fn lose_in_cluster(
    cluster: &mut Cluster,
    gateways: &mut [GatewayProcess; 2],
    loss: ClusterLoss,
    master: usize,
    replica: usize,
) {
    use ClusterLoss::{
        KillGateway, KillMaster, KillMasterAndGateway, KillMasterSuspendGateway, RestartMaster, SuspendGateway,
        SuspendMaster,
    };
    match loss {
        KillMaster | KillMasterAndGateway | KillMasterSuspendGateway | SuspendMaster => {
            lag(&cluster.0[master], &cluster.0[replica]).await;
            if loss == SuspendMaster {
                cluster.0[master].pause();
            } else {
                cluster.0[master].kill();
            }
            match loss {
                KillMasterAndGateway => gateways[0].kill(),
                KillMasterSuspendGateway => gateways[1].signal(Signal::Stop),
                KillMaster | SuspendMaster | KillGateway | SuspendGateway | RestartMaster => (),
            }
            cluster.0[replica].resume();
            is_promoted(cluster, replica).await;
            match loss {
                KillMasterAndGateway => gateways[0].restart().await,
                KillMasterSuspendGateway => gateways[1].signal(Signal::Cont),
                SuspendMaster => cluster.0[master].resume(),
                KillMaster | KillGateway | SuspendGateway | RestartMaster => (),
            }
        }
        KillGateway => {
            gateways[0].kill();
            gateways[0].restart().await;
        }
        SuspendGateway => {
            gateways[1].signal(Signal::Stop);
            sleep(Duration::from_secs(3)).await;
            gateways[1].signal(Signal::Cont);
        }
        RestartMaster => {
            cluster.0[master].kill();
            cluster.0[master].restart().await;
            cluster.is_whole().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_masters_and_gateways_doubles_nothing_durable() {
    let rounds = size(1, 20);
    let mut cluster = Cluster::with(Persistence::EverySecond, true).await;
    let store = Store::redis(cluster.0[0].address).with("cluster", true).url(cluster.urls());
    let (mut fleet, mut dice) = (Fleet::start(store).await, Dice::new(1));
    print_header();
    let mut total = Counts::default();
    for round in 0..rounds {
        let loss = LOSSES[round % LOSSES.len()];
        let master = *dice.pick(&cluster.masters());
        let replica = cluster.replica_of(master);
        let counts = fleet
            .lose(Duration::from_secs(12), async |gateways| {
                lose_in_cluster(&mut cluster, gateways, loss, master, replica).await;
            })
            .await;
        print_row(&format!("{}: {loss:?}", round + 1), &counts);
        total.sent += counts.sent;
        total.while_down += counts.while_down;
        (0..2).for_each(|path| total.wrongly[path] += counts.wrongly[path]);
        total.until = total.until.max(counts.until);
        total.doubled += counts.doubled;
        total.doubled_durable += counts.doubled_durable;
        total.lost = counts.lost;
        total.given_up += counts.given_up;
        well(&counts);
        if matches!(
            loss,
            ClusterLoss::KillMaster | ClusterLoss::KillMasterAndGateway | ClusterLoss::KillMasterSuspendGateway
        ) {
            cluster.0[master].restart().await;
        }
        cluster.is_replicated().await;
    }
    fleet.stop().await;
    print_row("all", &total);
}
