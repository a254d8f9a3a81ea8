//! Redis servers and clusters that can be killed, paused and restarted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, free_address};
use crate::support::until;

/// The writes that a server keeps over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Each write before the server responds.
    Always,
    /// All but the last second.
    EverySecond,
    Nothing,
}

impl Persistence {
    const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Always => ["--appendonly", "yes", "--appendfsync", "always"],
            Self::EverySecond => ["--appendonly", "yes", "--appendfsync", "everysec"],
            Self::Nothing => ["--appendonly", "no", "--appendfsync", "everysec"],
        }
    }
}

pub struct RedisServer {
    pub address: SocketAddr,
    bus: Option<SocketAddr>,
    persistence: Persistence,
    folder: TempDir,
    process: Process,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with(Persistence::Always).await
    }

    pub async fn with(persistence: Persistence) -> Self {
        Self::with_bus(None, persistence).await
    }

    async fn with_bus(bus: Option<SocketAddr>, persistence: Persistence) -> Self {
        let (address, folder) = (free_address(), TempDir::new().unwrap());
        let process = run(address, bus, persistence, &folder);
        let server = Self { address, bus, persistence, folder, process };
        server.answers().await;
        server
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub async fn restart(&mut self) {
        self.process = run(self.address, self.bus, self.persistence, &self.folder);
        self.answers().await;
    }

    /// Ends the server with SIGTERM, so that it writes what it keeps.
    pub async fn stop(&mut self) {
        self.process.signal(Signal::Term);
        self.process.ends().await;
    }

    /// Loses the newest `bytes` of the append-only file, which a power cut would have cut off.
    pub fn cut_file(&self, bytes: u64) {
        let folder = self.folder.path().join("appendonlydir");
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().ends_with(".incr.aof") {
                let length = file.metadata().unwrap().len().saturating_sub(bytes);
                std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(length).unwrap();
            }
        }
    }

    /// Size of the append-only file.
    pub fn file_size(&self) -> u64 {
        let folder = self.folder.path().join("appendonlydir");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files
            .filter(|file| file.file_name().to_string_lossy().ends_with(".incr.aof"))
            .map(|file| file.metadata().unwrap().len())
            .sum()
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

fn run(address: SocketAddr, bus: Option<SocketAddr>, persistence: Persistence, folder: &TempDir) -> Process {
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path()).args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", ""]).args(persistence.arguments());
    if let Some(bus) = bus {
        command.args(["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]);
        command.args(["--cluster-port", &bus.port().to_string(), "--cluster-node-timeout", "1000"]);
        command.args(["--cluster-require-full-coverage", "no"]);
    }
    Process::start(&mut command, &folder.path().join("log"))
        .expect("redis-server does not start; apt-get install redis-server")
}

/// Three masters, and after them their replicas, if there are any.
pub struct Cluster(pub Vec<RedisServer>);

const RANGES: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

impl Cluster {
    pub async fn start() -> Self {
        Self::with(Persistence::Always, false).await
    }

    /// Starts three masters, each with a replica if `replicas`.
    pub async fn with(persistence: Persistence, replicas: bool) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..if replicas { 6 } else { 3 } {
            nodes.push(RedisServer::with_bus(Some(free_address()), persistence).await);
        }
        for (range, node) in RANGES.iter().zip(&nodes) {
            assert!(node.say(&format!("CLUSTER ADDSLOTSRANGE {range}")).starts_with("+OK"));
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
        for replica in 3..cluster.0.len() {
            let master = cluster.0[replica - 3].say("CLUSTER MYID");
            let master = master.lines().nth(1).unwrap().to_owned();
            until("the replica follows", async || {
                cluster.0[replica].say(&format!("CLUSTER REPLICATE {master}")).starts_with("+OK")
            })
            .await;
        }
        cluster.is_replicated().await;
        cluster
    }

    /// Waits until all nodes report a complete cluster.
    pub async fn is_whole(&self) {
        let known = format!("cluster_known_nodes:{}", self.0.len());
        let well = ["cluster_state:ok", "cluster_slots_ok:16384", &known];
        until("the cluster is whole", async || {
            self.0.iter().all(|node| {
                let said = node.say("CLUSTER INFO");
                well.iter().all(|line| said.contains(line))
            })
        })
        .await;
    }

    /// Waits until each replica follows its master.
    pub async fn is_replicated(&self) {
        self.is_whole().await;
        let follows = |node: &RedisServer| {
            let said = node.say("INFO replication");
            said.contains("role:master") || said.contains("master_link_status:up")
        };
        until("the replicas follow", async || self.0.iter().all(follows) && self.masters().len() == 3).await;
    }

    /// Indices of the nodes that are masters with slots.
    pub fn masters(&self) -> Vec<usize> {
        let is_master = |index: &usize| self.0[*index].say("ROLE").contains("master");
        (0..self.0.len()).filter(is_master).collect()
    }

    /// Index of the replica of a master.
    pub fn replica_of(&self, master: usize) -> usize {
        let port = format!("master_port:{}\r", self.0[master].address.port());
        (0..self.0.len())
            .find(|index| self.0[*index].say("INFO replication").contains(&port))
            .expect("it has a replica")
    }

    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(|node| format!("redis://{}", node.address)).collect()
    }
}
