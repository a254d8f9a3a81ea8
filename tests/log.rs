//! The log of a process.

mod causes;
mod people;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::documents::log::{ACCESS_FIELDS, COMMON_FIELDS};
use crate::fleet::process::free_address;
use crate::support::configuration::{Configuration, Listener, Route};
use crate::support::{Upstream, get_plain, until};

/// More lines than a pipe and the log queue hold.
const REQUESTS: usize = 20_000;

/// Starts a gateway in `folder`, with one public route whose upstream does not exist.
fn start(folder: &Path, address: SocketAddr, admin: SocketAddr) -> Child {
    start_before("127.0.0.1:9".parse().unwrap(), folder, address, admin)
}

fn start_before(upstream: SocketAddr, folder: &Path, address: SocketAddr, admin: SocketAddr) -> Child {
    start_with(folder, address, admin, [route_to(upstream)])
}

fn route_to(upstream: SocketAddr) -> Route {
    Route::new("all").path("/webhook").upstream(format!("http://{upstream}")).auth("public")
}

fn start_with(folder: &Path, address: SocketAddr, admin: SocketAddr, routes: impl IntoIterator<Item = Route>) -> Child {
    std::fs::write(folder.join("gateway.yaml"), configuration(address, admin, routes).to_string()).unwrap();
    run(folder, Stdio::null())
}

fn configuration(address: SocketAddr, admin: SocketAddr, routes: impl IntoIterator<Item = Route>) -> Configuration {
    let listener = Listener::empty().address(address.to_string()).without_tls();
    let config = Configuration::empty().workers(1).drain_delay("0s").admin(admin.to_string());
    routes.into_iter().fold(config.add_listener(listener), Configuration::add_route)
}

fn run(folder: &Path, errors: Stdio) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.args(["run", "--config", "gateway.yaml"]).current_dir(folder).env_remove("HOOKGATE_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap()
}

async fn connected(address: SocketAddr) -> TcpStream {
    let mut stream = None;
    until("the gateway listens", async || {
        stream = TcpStream::connect(address).await.ok();
        stream.is_some()
    })
    .await;
    stream.unwrap()
}

async fn stop(mut process: Child) {
    kill_process(Pid::from_child(&process), Signal::Term).unwrap();
    until("the gateway has ended", async || process.try_wait().unwrap().is_some()).await;
}

/// A log reader that stalls blocks neither requests nor the shutdown.
#[tokio::test]
async fn an_unread_log_stops_no_request() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let process = start(folder.path(), address, admin);
    let (mut reading, mut writing) = connected(address).await.into_split();
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
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("hookgate_log_lines_dropped_total{kind=\"unauthenticated\"} "))
        .unwrap();
    assert!(dropped.parse::<usize>().unwrap() > 100, "{dropped}");
    stop(process).await;
}

/// Resident memory of a process, in bytes.
fn resident(process: &Child) -> usize {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", process.id())).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Lines with the longest paths take no more memory than others: the queue is bounded in bytes, and paths are cut.
#[tokio::test]
async fn an_unread_log_of_long_paths_takes_little_memory() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let process = start(folder.path(), address, admin);
    let (mut reading, mut writing) = connected(address).await.into_split();
    let before = resident(&process);
    let asking = tokio::spawn(async move {
        let request = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n", "a".repeat(8000));
        for _ in 1..REQUESTS {
            writing.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        }
        writing.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        writing
    });
    let mut answers = String::new();
    timeout(Duration::from_secs(60), reading.read_to_string(&mut answers)).await.expect("responses stop").unwrap();
    let _open = asking.await.unwrap();
    let grown = resident(&process).saturating_sub(before);
    assert!(grown < 16 << 20, "{} KiB", grown >> 10);
    stop(process).await;
}

/// Unauthenticated clients cannot fill the log with lines about connections without a request, and cannot write a line
/// of their own through the path.
#[tokio::test]
async fn lines_about_connections_without_a_request_are_bounded_and_long_paths_cut() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let mut process = start(folder.path(), address, admin);
    let output = BufReader::new(process.stdout.take().unwrap());
    let lines = std::thread::spawn(move || output.lines().map(Result::unwrap).collect::<Vec<String>>());
    for _ in 0..50 {
        let mut stream = connected(address).await;
        stream.write_all(b"no request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let path = format!("/{}", "a".repeat(8000));
    let mut stream = connected(address).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    let counted = get_plain(admin, "/metrics").await.text();
    assert!(counted.contains("reason=\"ambiguous_framing\",route=\"\",status=\"400\"} 50"), "{counted}");
    stop(process).await;
    let lines = lines.join().unwrap();
    let framing = lines.iter().filter(|line| line.contains("ambiguous_framing")).count();
    assert!((1..=20).contains(&framing), "{framing}");
    let line = lines.iter().find(|line| line.contains("no_route")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["path"].as_str().unwrap(), &path[..512]);
    assert_eq!(line["detail"], "host \"localhost\": no route has this path");
    assert_eq!(line["path_rest"].as_str().unwrap().len(), 16);
}

/// A real line has every field of the reference that has a value, and no other.
#[tokio::test]
async fn the_access_log_has_the_fields_of_the_reference() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let mut process = start(folder.path(), address, admin);
    let output = BufReader::new(process.stdout.take().unwrap());
    let mut stream = connected(address).await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let head = format!("GET /webhook?a=b HTTP/1.1\r\nHost: localhost\r\ntraceparent: {traceparent}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    stop(process).await;
    let lines = output.lines().map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let line = lines.iter().find(|line| line["message"] == "request").unwrap().as_object().unwrap();
    let documented = COMMON_FIELDS.iter().chain(ACCESS_FIELDS).map(|(name, _)| *name);
    // None of these has a value for this request.
    let absent = ["filter", "issuer", "kid", "path_rest", "sender"];
    let expected: BTreeSet<&str> = documented.filter(|name| !absent.contains(name)).collect();
    assert_eq!(line.keys().map(String::as_str).collect::<BTreeSet<&str>>(), expected);
    assert_eq!((&line["outcome"], &line["reason"]), (&"error".into(), &"upstream_unreachable".into()));
}

/// The upstream's chunks end with trailers that the client gets, or does not ask for.
#[tokio::test]
async fn a_response_with_trailers_is_logged_as_complete() {
    let upstream = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: ETag\r\nContent-Length: 100\r\n\r\n5\r\nhello\r\n0\r\nETag: \"1\"\r\n\r\n",
    )
    .await;
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let mut process = start_before(upstream.address, folder.path(), address, admin);
    let output = BufReader::new(process.stdout.take().unwrap());
    for fields in ["Connection: close", "TE: trailers\r\nConnection: close, TE"] {
        let mut stream = connected(address).await;
        let head = format!("GET /webhook HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains("\r\nhello\r\n0\r\n"), "{answer}");
    }
    stop(process).await;
    let lines = output.lines().map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let lines: Vec<serde_json::Value> = lines.filter(|line| line["message"] == "request").collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((&line["complete"], &line["outcome"]), (&true.into(), &"forwarded".into()), "{line}");
    }
}
