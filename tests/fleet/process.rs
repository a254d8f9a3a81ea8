//! Processes that end with their test, and the gateway as such a process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use super::sender::SECRET;
use crate::support::configuration::{Configuration, Listener, ReplayProtection, Route, Signature, Store, Timestamp};
use crate::support::{certificate, until};

/// Below the ephemeral ports of the system, so that a restarted server finds its port free.
const PORTS: std::ops::Range<u16> = 12_000..31_000;

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

pub fn free_address() -> SocketAddr {
    let spread = u16::try_from(std::process::id() % 500).unwrap() * 37;
    loop {
        let next = (NEXT_PORT.fetch_add(1, Ordering::Relaxed) + spread) % (PORTS.end - PORTS.start);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", PORTS.start + next)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// A process that is killed when this is dropped.
pub struct Process(Child);

impl Process {
    /// Starts a process; its output goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> std::io::Result<Self> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().map(Self)
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for the end of the process.
    pub async fn ends(&mut self) {
        until("the process ends", async || self.0.try_wait().unwrap().is_some()).await;
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits until the process listens on `address`.
    pub async fn listens(&mut self, address: SocketAddr, log: &Path) {
        until("the process listens", async || {
            let ended = self.0.try_wait().unwrap();
            assert!(ended.is_none(), "ended with {ended:?}: {}", std::fs::read_to_string(log).unwrap());
            TcpStream::connect(address).is_ok()
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A `hookgate run` process.
pub struct GatewayProcess {
    /// The listener for HTTP/1.1 without TLS.
    pub plain: SocketAddr,
    /// The listener with TLS, for HTTP/2.
    pub tls: SocketAddr,
    pub ca: String,
    folder: TempDir,
    process: Process,
}

/// A route whose signature has a time, and one whose signature has none, behind both listeners.
fn configuration(plain: SocketAddr, tls: SocketAddr, route: Route, store: Store) -> Configuration {
    let listener = |address: SocketAddr| {
        let listener = Listener::empty().address(address.to_string());
        listener.max_connections(20_000).max_connections_per_ip(20_000)
    };
    let signature = Signature::hmac("X-Signature", &["header:X-Id", "header:X-Time", "body"]).join(".");
    let untimed = Signature::hmac("X-Signature", &["header:X-Id", "header:X-Time", "body"]).join(".");
    let signature = signature.timestamp(Timestamp::in_header("X-Time").max_age("5m"));
    let replay = ReplayProtection::for_at_least("1h").id(json!({"header": "X-Id"})).on_duplicate("reject");
    let other = route.clone().name("untimed").path("/untimed").methods(["POST"]).auth(untimed);
    let certificates = json!([{"cert": "server.crt", "key": "server.key"}]);
    Configuration::empty()
        .access_log(false)
        .workers(1)
        .store(store)
        .add_listener(listener(plain).without_tls())
        .add_listener(listener(tls).certificates(certificates))
        .add_route(route.path("/webhook").methods(["POST"]).auth(signature).replay_protection(replay.clone()))
        .add_route(other.replay_protection(replay))
}

impl GatewayProcess {
    /// Starts a gateway in front of `app`, whose total timeout is `timeout`.
    pub async fn start(app: SocketAddr, timeout: &str, store: Store) -> Self {
        let folder = TempDir::new().unwrap();
        let (plain, tls) = (free_address(), free_address());
        let (ca, certificate, key) = certificate(&["localhost"]);
        let route = Route::new("webhook").upstream(format!("http://{app}")).upstream_total(timeout);
        let config = configuration(plain, tls, route, store).to_string();
        let files =
            [("gateway.yaml", config.as_str()), ("server.crt", &certificate), ("server.key", &key), ("secret", SECRET)];
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let process = run(folder.path());
        let mut gateway = Self { plain, tls, ca, folder, process };
        gateway.process.listens(plain, &gateway.folder.path().join("log")).await;
        gateway
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Starts the gateway again with the same files and addresses.
    pub async fn restart(&mut self) {
        self.process = run(self.folder.path());
        self.process.listens(self.plain, &self.folder.path().join("log")).await;
    }
}

fn run(folder: &Path) -> Process {
    let binary = std::env::var("HOOKGATE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_hookgate").to_owned());
    let mut command = Command::new(binary);
    Process::start(command.current_dir(folder).arg("run"), &folder.join("log")).unwrap()
}
