//! Redis servers that persist each write, and can be killed, paused and restarted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, free_address};
use crate::support::until;

pub struct RedisServer {
    pub address: SocketAddr,
    bus: Option<SocketAddr>,
    folder: TempDir,
    process: Process,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with_bus(None).await
    }

    async fn with_bus(bus: Option<SocketAddr>) -> Self {
        let (address, folder) = (free_address(), TempDir::new().unwrap());
        let process = run(address, bus, &folder);
        let server = Self { address, bus, folder, process };
        server.answers().await;
        server
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub async fn restart(&mut self) {
        self.process = run(self.address, self.bus, &self.folder);
        self.answers().await;
    }

    pub fn pause(&self) {
        self.process.signal(Signal::Stop);
    }

    pub fn resume(&self) {
        self.process.signal(Signal::Cont);
    }

    /// The response to a command, empty if there is none.
    pub fn say(&self, command: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        ask().unwrap_or_default()
    }

    async fn answers(&self) {
        until("redis answers", async || self.say("PING").starts_with("+PONG")).await;
    }
}

fn run(address: SocketAddr, bus: Option<SocketAddr>, folder: &TempDir) -> Process {
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    if let Some(bus) = bus {
        command.args(["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]);
        command.args(["--cluster-port", &bus.port().to_string(), "--cluster-node-timeout", "1000"]);
        command.args(["--cluster-require-full-coverage", "no"]);
    }
    Process::start(&mut command, &folder.path().join("log"))
        .expect("redis-server does not start; apt-get install redis-server")
}

/// Three masters without replicas.
pub struct Cluster(pub Vec<RedisServer>);

const RANGES: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

impl Cluster {
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for range in RANGES {
            let node = RedisServer::with_bus(Some(free_address())).await;
            assert!(node.say(&format!("CLUSTER ADDSLOTSRANGE {range}")).starts_with("+OK"));
            nodes.push(node);
        }
        // With equal epochs the nodes would have to resolve the conflict first.
        for (epoch, node) in nodes.iter().enumerate() {
            assert!(node.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", epoch + 1)).starts_with("+OK"));
        }
        for node in &nodes[1..] {
            let (other, bus) = (node.address, node.bus.unwrap().port());
            let met = nodes[0].say(&format!("CLUSTER MEET {} {} {bus}", other.ip(), other.port()));
            assert!(met.starts_with("+OK"), "{met}");
        }
        let cluster = Self(nodes);
        cluster.is_whole().await;
        cluster
    }

    /// Waits until all nodes report a complete cluster.
    pub async fn is_whole(&self) {
        let well = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"];
        until("the cluster is whole", async || {
            self.0.iter().all(|node| {
                let said = node.say("CLUSTER INFO");
                well.iter().all(|line| said.contains(line))
            })
        })
        .await;
    }

    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(|node| format!("redis://{}", node.address)).collect()
    }
}
