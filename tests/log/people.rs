//! The log for people: text on a terminal, the lines of a start and of a shutdown, errors of the start.

use std::os::unix::process::CommandExt;

use serde_json::{Value, json};

use super::*;
use crate::support::replace;

/// Starts the gateway of `folder` on a terminal, which `script` (bsdutils, essential in Debian) provides.
fn start_on_a_terminal(folder: &Path, no_color: &str) -> Child {
    let mut command = Command::new("script");
    let run = format!("exec {} run", env!("CARGO_BIN_EXE_hookgate"));
    command.args(["-qefc", &run, "/dev/null"]).current_dir(folder).env_remove("HOOKGATE_LOG");
    command.env("NO_COLOR", no_color).env("HOOKGATE_CONFIG", "gateway.yaml");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap()
}

/// The next line that contains `text`.
fn line_with(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) -> String {
    let found = lines.map(Result::unwrap).find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no line has {text}"))
}

async fn get(address: SocketAddr, path: &str) {
    let mut stream = connected(address).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    timeout(Duration::from_secs(60), stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

/// The default: text on a terminal. [`super::the_access_log_has_the_fields_of_the_reference`] has JSON elsewhere.
#[tokio::test]
async fn a_terminal_gets_short_lines_in_colour() {
    let escapes = regex::Regex::new("\x1b\\[[0-9]*m").unwrap();
    let expected = r#"^\d\d:\d\d:\d\dZ 404 no_route +GET  /nowhere +- +\d+\.\dms +127\.0\.0\.1 request_id=[0-9a-f]{32} host "localhost": no route has this path\r?$"#;
    let expected = regex::Regex::new(expected).unwrap();
    for (no_color, has_colour) in [("", true), ("1", false)] {
        let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
        let config = configuration(address, admin, [route_to(free_address())]);
        std::fs::write(folder.path().join("gateway.yaml"), config.to_string()).unwrap();
        let mut process = start_on_a_terminal(folder.path(), no_color);
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        get(address, "/nowhere").await;
        let line = line_with(&mut lines, "/nowhere");
        assert_eq!(line.contains('\x1b'), has_colour, "{line}");
        let plain = escapes.replace_all(&line, "");
        assert!(expected.is_match(&plain), "{plain:?}");
        stop(process).await;
    }
}

#[tokio::test]
async fn the_start_says_what_listens_and_what_guards_each_route() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let mut process = start(folder.path(), address, admin);
    let output = BufReader::new(process.stdout.take().unwrap());
    connected(address).await;
    stop(process).await;
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let line = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap();
    let starting = line("starting");
    assert_eq!(
        (&starting["version"], &starting["config"]),
        (&env!("CARGO_PKG_VERSION").into(), &"gateway.yaml".into())
    );
    let listening = line("listening");
    assert_eq!((&listening["address"], &listening["tls"]), (&address.to_string().into(), &false.into()));
    assert_eq!(line("listening for admin requests")["address"], admin.to_string());
    let route = line("route");
    assert_eq!((&route["route"], &route["matches"]), (&"all".into(), &"/webhook".into()));
    assert_eq!(
        (&route["upstream"], &route["checks"]),
        (&"http://127.0.0.1:9".into(), &"public (no authentication)".into())
    );
    assert_eq!(line("draining")["delay_s"], 0);
}

/// Starts a gateway whose drain is so long that only an end without it is seen within a test.
fn start_with_a_long_drain(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> Child {
    let config = configuration(address, free_address(), [route_to(upstream)]);
    let config = config.with("drain", json!({"delay": "600s", "timeout": "600s"}));
    std::fs::write(folder.join("gateway.yaml"), config.to_string()).unwrap();
    run(folder, Stdio::null())
}

fn interrupt(process: &Child) {
    kill_process(Pid::from_child(process), Signal::Int).unwrap();
}

/// Ctrl-C ends a gateway at once whose connections are idle, although its drain is long.
#[tokio::test]
async fn an_interrupt_with_nothing_in_flight_skips_the_delay() {
    let upstream = Upstream::echo().await;
    let (address, folder) = (free_address(), TempDir::new().unwrap());
    let mut process = start_with_a_long_drain(folder.path(), address, upstream.address);
    let mut idle = connected(address).await;
    idle.write_all(b"GET /webhook HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    interrupt(&process);
    until("the gateway has ended", async || process.try_wait().unwrap().is_some()).await;
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

/// A request in flight is waited for, which the log says, and a second Ctrl-C ends the wait.
#[tokio::test]
async fn a_second_interrupt_ends_the_wait_for_a_request() {
    let upstream = Upstream::silent().await;
    let (address, folder) = (free_address(), TempDir::new().unwrap());
    let mut process = start_with_a_long_drain(folder.path(), address, upstream.address);
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut waiting = connected(address).await;
    waiting.write_all(b"GET /webhook HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until("the request is in flight", async || upstream.connections() > 0).await;
    interrupt(&process);
    let line =
        tokio::task::spawn_blocking(move || line_with(&mut lines, "waiting for requests in flight")).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["open_connections"], 1);
    assert!(process.try_wait().unwrap().is_none());
    interrupt(&process);
    until("the gateway has ended", async || process.try_wait().unwrap().is_some()).await;
}

/// Of the listener and of the admin listener.
#[tokio::test]
async fn a_port_in_use_names_the_process_that_has_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    for (address, admin, field) in
        [(taken.0, free_address(), "listeners[0].address"), (free_address(), taken.0, "admin.address")]
    {
        let folder = TempDir::new().unwrap();
        let config = configuration(address, admin, [route_to(free_address())]);
        std::fs::write(folder.path().join("gateway.yaml"), config.to_string()).unwrap();
        let output = run(folder.path(), Stdio::piped()).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!(": {field}: cannot listen on {}: Address already in use", taken.0);
        let (place, _) = error.split_once(&expected).unwrap_or_else(|| panic!("{error}"));
        let numbers: Vec<usize> =
            place.strip_prefix("gateway.yaml:").unwrap().split(':').map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 2, "{error}");
        assert!(error.contains(&format!("(pid {}) listens there", std::process::id())), "{error}");
    }
}

/// `hookgate presets | head -1`: the reader has gone before the first byte.
#[test]
fn a_broken_pipe_is_no_panic() {
    for arguments in [&["presets"][..], &["schema"], &["presets", "stripe"], &["demo", "--once"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        let output = command.args(arguments).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(141), ""));
    }
}

#[tokio::test]
async fn a_reload_says_what_has_changed() {
    let (address, admin, folder) = (free_address(), free_address(), TempDir::new().unwrap());
    let mut process = start(folder.path(), address, admin);
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    connected(address).await;
    let ready = async || get_plain(admin, "/metrics").await.text().contains("config_last_reload_successful 1");
    until("the configuration is read again", ready).await;
    let config = configuration(address, admin, [route_to(free_address()).name("renamed")]);
    replace(&folder.path().join("gateway.yaml"), &config.to_string());
    let line = tokio::task::spawn_blocking(move || line_with(&mut lines, "configuration reloaded")).await.unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["added"], &line["removed"]), (&"renamed".into(), &"all".into()), "{line}");
    stop(process).await;
}
