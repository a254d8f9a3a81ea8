//! The log of a process.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fleet::process::free_address;
use crate::support::configuration::{Configuration, Listener, Route};
use crate::support::{get_plain, until};

/// More lines than a pipe and the log queue hold.
const REQUESTS: usize = 12_000;

/// A log reader that stalls blocks neither requests nor the shutdown.
#[tokio::test]
async fn an_unread_log_stops_no_request() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let route = Route::new("all").path("/webhook").upstream("http://127.0.0.1:9").auth("public");
    let listener = Listener::empty().address(address.to_string()).without_tls();
    let config = Configuration::empty().workers(1).drain_delay("0s").admin(admin.to_string());
    let config = config.add_listener(listener).add_route(route);
    std::fs::write(folder.path().join("gateway.yaml"), config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.args(["run", "--config", "gateway.yaml"]).current_dir(folder.path());
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stream = None;
    until("the gateway listens", async || {
        stream = TcpStream::connect(address).await.ok();
        stream.is_some()
    })
    .await;
    let (mut reading, mut writing) = stream.unwrap().into_split();
    let asking = tokio::spawn(async move {
        let request = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n";
        let all = format!("{request}\r\n").repeat(REQUESTS - 1) + request + "Connection: close\r\n\r\n";
        writing.write_all(all.as_bytes()).await.unwrap();
        writing
    });
    let mut answers = String::new();
    let answered = timeout(Duration::from_secs(60), reading.read_to_string(&mut answers)).await;
    answered.expect("responses stop").unwrap();
    let _open = asking.await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 404").count(), REQUESTS);
    let metrics = get_plain(admin, "/metrics").await.text();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("hookgate_log_lines_dropped_total ")).unwrap();
    assert!(dropped.parse::<usize>().unwrap() > 100, "{dropped}");
    kill_process(Pid::from_child(&process), Signal::Term).unwrap();
    until("the gateway has ended", async || process.try_wait().unwrap().is_some()).await;
}
