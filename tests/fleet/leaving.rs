//! Clients that send a request and disconnect at any time: each event is processed or may be retried, and none is
//! forwarded twice.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::app::App;
use super::process::GatewayProcess;
use super::redis::RedisServer;
use super::sender::{Dice, IN_FLIGHT, REPLAYED, Sender, sign};
use super::size;
use crate::support::Client;
use crate::support::configuration::Store;

const CLIENTS: usize = 8;

/// The longest that a client stays connected, in microseconds: about the time of an exchange on a busy machine.
const STAYS: usize = 30_000;

/// The time until a client disconnects: zero in half of the cases.
fn deadline(dice: &mut Dice) -> Duration {
    let stays = dice.below(2) * dice.below(STAYS);
    Duration::from_micros(stays.try_into().unwrap())
}

/// Sends a request over HTTP/1.1 and closes the connection after `deadline`.
async fn send_and_close(gateway: SocketAddr, id: &str, deadline: Duration) {
    let (request, body) = sign(http::Request::post("/webhook"), id);
    let mut text = format!("POST /webhook HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in request.headers_ref().unwrap() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.unwrap();
    let _ = tokio::time::timeout(deadline, stream.read(&mut [0; 1024])).await;
}

/// Sends a request over HTTP/2; the stream is reset if there is no response after `deadline`.
async fn send_and_reset(client: &Client, id: &str, deadline: Duration) {
    let (request, body) = sign(client.request("/webhook"), id);
    let _ = tokio::time::timeout(deadline, client.try_send(request, body)).await;
}

/// Sends each id of one client and disconnects, over either protocol.
async fn send_and_leave(gateway: SocketAddr, http2: Client, ids: Vec<String>, mut dice: Dice) {
    for id in ids {
        let deadline = deadline(&mut dice);
        match dice.below(2) {
            0 => send_and_close(gateway, &id, deadline).await,
            _ => send_and_reset(&http2, &id, deadline).await,
        }
    }
}

/// Clients send all ids and disconnect; then each id is sent again until it is processed.
async fn send_disconnect_and_retry(ids: usize, store: Store) {
    let app = App::start().await;
    let described = Value::from(store.clone());
    let gateway = GatewayProcess::start(app.address, "2s", store).await;
    let (sender, plain) = (Sender::new(&app.ledger), gateway.plain);
    let of_client = |client: usize| (client..ids).step_by(CLIENTS).map(|id| format!("e{id}")).collect::<Vec<_>>();
    let http2 = Client::http2(gateway.tls, &gateway.ca);
    let leaving =
        (0..CLIENTS).map(|client| send_and_leave(plain, http2.clone(), of_client(client), Dice::new(client as u64)));
    leaving.collect::<JoinSet<()>>().join_all().await;
    let seen = app.ledger.sums();
    let asking = (0..CLIENTS).map(|client| {
        let (sender, ids) = (sender.clone(), of_client(client));
        async move {
            for id in ids {
                sender.deliver(&[plain], &id, &mut Dice::new(0)).await;
            }
        }
    });
    asking.collect::<JoinSet<()>>().join_all().await;
    let (tally, sums) = (sender.tally.lock().unwrap(), app.ledger.sums());
    let blocked = app.ledger.count("409 duplicate_in_flight");
    println!(
        "clients that disconnect, {described}: before the retries {seen:?}, in the end {sums:?}, {blocked} blocked for a while, {tally:?}"
    );
    tally.only(&["200", REPLAYED, IN_FLIGHT]);
    assert_eq!(app.ledger.each_once(ids).forwards, ids);
    assert!(tally.of(REPLAYED) > 0, "no request of a disconnected client was processed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_disconnecting_clients_are_processed_once() {
    send_disconnect_and_retry(size(300, 10_000), Store::memory()).await;
}

/// Here a client may also disconnect while the gateway waits for its store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_disconnecting_clients_are_processed_once_with_redis() {
    let server = RedisServer::start().await;
    let store = Store::redis(server.address).timeout("2s");
    send_disconnect_and_retry(size(300, 10_000), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_disconnecting_clients_are_processed_once_with_a_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    send_disconnect_and_retry(size(300, 10_000), Store::embedded(path)).await;
}
