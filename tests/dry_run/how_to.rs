//! docs/how-to/dry-run.md as printed: its gateway.yaml, its command lines and the report.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::fleet::process::free_address;
use crate::support::{Upstream, until};

const PAGE: &str = include_str!("../../docs/how-to/dry-run.md");

/// A shell in `folder` that finds this hookgate.
fn shell(folder: &Path, line: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("PATH", path).env_remove("HOOKGATE_CONFIG");
    command.env_remove("HOOKGATE_LOG").stdin(Stdio::null());
    command
}

/// Waits for the command while the test's upstream responds.
async fn output(folder: &Path, line: &str) -> Output {
    let mut command = shell(folder, line);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The first block of the page after this fence.
fn block(fence: &str) -> &'static str {
    PAGE.split_once(fence).unwrap().1.split_once("```").unwrap().0.trim_start_matches('\n')
}

/// Whether the output is that of the page, in which `…` stands for any text.
fn is_as_printed(found: &str) -> bool {
    let expected = regex::escape(block("```text")).replace('…', "[^\n]+");
    regex::Regex::new(&format!("^{expected}$")).unwrap().is_match(found)
}

async fn stop(mut gateway: Child) {
    kill_process(Pid::from_child(&gateway), Signal::Term).unwrap();
    kill_process(Pid::from_child(&gateway), Signal::Term).unwrap();
    until("the gateway has ended", async || gateway.try_wait().unwrap().is_some()).await;
}

#[tokio::test]
async fn the_loop_of_the_page_works_as_printed() {
    if Command::new("curl").arg("--version").output().is_err() {
        return println!("SKIPPED: curl is not installed");
    }
    let (upstream, address, folder) = (Upstream::echo().await, free_address(), TempDir::new().unwrap());
    let folder = folder.path();
    let here = |text: &str| text.replace("127.0.0.1:8080", &address.to_string());
    let yaml = here(block("```yaml")).replace("127.0.0.1:8000", &upstream.address.to_string());
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let yaml = yaml.replace("2026-12-31", &tomorrow.strftime("%Y-%m-%d").to_string());
    std::fs::write(folder.join("gateway.yaml"), yaml).unwrap();
    let commands: Vec<String> = PAGE.lines().filter_map(|line| line.strip_prefix("    ")).map(here).collect();
    let starting = |with: &'static str| commands.iter().filter(move |line| line.starts_with(with));
    assert!(output(folder, starting("mkdir").next().unwrap()).await.status.success());
    let run = starting("hookgate run").next().unwrap();
    let gateway = shell(folder, &format!("exec {run}")).spawn().unwrap();
    until("the gateway listens", async || std::net::TcpStream::connect(address).is_ok()).await;
    for line in starting("hookgate sign").chain(starting("curl")) {
        let sent = output(folder, line).await;
        assert!(sent.status.success(), "{line}: {sent:?}");
    }
    assert_eq!(upstream.seen().len(), 3);

    let report = starting("hookgate report").next().unwrap();
    let mut found = String::new();
    until("the report is as printed", async || {
        found = String::from_utf8(output(folder, report).await.stdout).unwrap();
        is_as_printed(&found) || found.matches(".http").count() > 2
    })
    .await;
    assert!(is_as_printed(&found), "{found}");
    let explains: Vec<&str> =
        found.lines().map(str::trim).filter(|line| line.starts_with("hookgate explain")).collect();
    for line in explains {
        let explained = output(folder, line).await;
        assert!(String::from_utf8_lossy(&explained.stdout).contains("dry run"), "{line}: {explained:?}");
    }

    let enforce = starting("sed").next().unwrap();
    assert!(output(folder, enforce).await.status.success());
    let unsigned = starting("curl").next().unwrap();
    until("the policy is enforced", async || {
        String::from_utf8(output(folder, unsigned).await.stdout).unwrap().contains("\"status\":401")
    })
    .await;
    stop(gateway).await;
}
