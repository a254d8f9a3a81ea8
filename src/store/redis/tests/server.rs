//! Redis servers on free ports, each in its own temporary directory.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A `redis-server` process, which is killed when dropped.
pub(super) struct RedisServer {
    pub(super) port: u16,
    pub(super) directory: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

pub(super) fn free_port() -> u16 {
    // The port of the cluster bus is 10,000 higher.
    std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
        .find(|port| *port < 50_000)
        .unwrap()
}

impl RedisServer {
    pub(super) fn start(arguments: &[&str]) -> Self {
        let mut server = Self::prepared(arguments);
        server.run();
        server
    }

    pub(super) fn prepared(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { port: free_port(), directory: TempDir::new().unwrap(), arguments, process: None }
    }

    /// Starts the server and waits until it responds.
    pub(super) fn run(&mut self) {
        self.spawn();
        until("the server answers", || self.cli(&["PING"]).contains("PONG") || self.cli(&["PING"]).contains("NOAUTH"));
    }

    pub(super) fn spawn(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        command.args(["--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "local"]);
        if !self.arguments.iter().any(|argument| argument == "--tls-port") {
            command.args(["--port", &port]);
        } else {
            command.args(["--port", "0", "--tls-port", &port]);
        }
        let arguments = self.arguments.iter().filter(|argument| *argument != "--tls-port");
        command.args(arguments).current_dir(self.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Sends the signal STOP or CONT.
    pub(super) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub(super) fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn cli(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until a condition holds; panics with `what` after a minute.
#[track_caller]
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
