//! The pages of the first steps: their files and commands, in the order of the page, in an empty folder and in one shell.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use regex::Regex;
use tempfile::TempDir;

use crate::fleet::process::free_address;
use crate::support::Upstream;

/// Commands that need a network, or another machine's programs: the application is one of the test.
const NOT_RUN: [&str; 6] = ["cargo ", "git ", "python3 ", "pip ", "uvicorn ", "docker "];

/// The line with the exit status of a command.
const STATUS: &str = "the exit status is ";

#[derive(Debug, PartialEq)]
enum Step {
    /// A block of YAML or Python under a text that names the file.
    File(String, String),
    Command(String),
    /// Lines that the commands before it print, among others.
    Output(Vec<String>),
}

fn steps(page: &str) -> Vec<Step> {
    let name = Regex::new(r"`([a-z]+\.(?:yaml|py))`").unwrap();
    let (mut steps, mut named) = (Vec::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block: Vec<String> =
                lines.by_ref().take_while(|line| !line.starts_with("```")).map(str::to_owned).collect();
            match named.take() {
                _ if kind == "text" => steps.push(Step::Output(block)),
                Some(name) if kind == "yaml" || kind == "python" => {
                    steps.push(Step::File(name, block.join("\n") + "\n"));
                }
                _ => {}
            }
        } else if let Some(command) = line.strip_prefix("    ") {
            steps.push(Step::Command(command.to_owned()));
        } else if let Some(found) = name.captures_iter(line).last() {
            named = Some(found[1].to_owned());
        }
    }
    steps
}

/// A shell with the gateway that one of its commands has started; it ends with both.
struct Shell {
    bash: Child,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap().display().to_string();
        let mut command = Command::new("bash");
        command.current_dir(folder).env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
        command.env_remove("HOOKGATE_CONFIG").env_remove("HOOKGATE_LOG");
        let mut bash = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(bash.stdout.take().unwrap());
        let mut shell = Self { bash, output };
        shell.write("umask 022; exec 2>&1");
        shell
    }

    fn write(&mut self, line: &str) {
        writeln!(self.bash.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The exit status of a command, and what it prints.
    fn run(&mut self, line: &str) -> (String, String) {
        self.write(&format!("{{ {line}\n}} </dev/null; echo; echo {STATUS}$?"));
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the shell has ended: {printed}");
            if let Some(status) = line.strip_prefix(STATUS) {
                return (status.trim().to_owned(), printed);
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.write("kill -9 %1; exit");
        let _ended = self.bash.wait();
    }
}

/// Whether the lines are among those printed, in this order; `…` stands for any text, and so does a request id.
fn is_printed(expected: &[String], printed: &str) -> bool {
    let id = Regex::new("[0-9a-f]{32}").unwrap();
    let mut printed = printed.lines();
    // The application of the test echoes.
    expected.iter().filter(|line| !line.is_empty() && !line.contains("received")).all(|line| {
        let pattern = regex::escape(&id.replace(line, "…")).replace('…', ".*");
        let pattern = Regex::new(&format!("^{pattern}$")).unwrap();
        printed.any(|line| pattern.is_match(line.trim_end()))
    })
}

/// Does every step, and returns the log of the gateway and everything that was printed.
fn walk(page: &str, folder: &Path, port: u16) -> (String, String) {
    let steps = steps(page);
    let mut shell = Shell::start(folder);
    let (mut printed, mut all) = (String::new(), String::new());
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::File(name, content) => {
                let (status, _) = shell.run(&format!("cat > {name} <<'END OF FILE'\n{content}END OF FILE"));
                assert_eq!(status, "0", "{name}");
            }
            Step::Command(line) if NOT_RUN.iter().any(|program| line.starts_with(program)) => {}
            Step::Command(line) if line == "hookgate run" => {
                // The page of the generated file has no port that a test could replace.
                shell.write(&format!(
                    "sed -i s/127.0.0.1:9901/127.0.0.1:0/ gateway.yaml; {line} > {}/log 2>&1 &",
                    folder.display()
                ));
                while TcpStream::connect(("127.0.0.1", port)).is_err() {
                    std::thread::yield_now();
                    let running = shell.run("jobs -r").1;
                    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                    assert!(running.contains("hookgate run"), "{log}");
                }
            }
            Step::Command(line) => {
                let (status, output) = shell.run(line);
                let next = steps.iter().skip(index).find(|step| !matches!(step, Step::Command(_)));
                let may_fail = matches!(next, Some(Step::Output(lines)) if lines.concat().contains("not accepted"));
                assert!(status == "0" || may_fail, "{line}: {status}: {output}");
                printed.push_str(&output);
            }
            // An example of the log, for one.
            Step::Output(_) if printed.is_empty() => {}
            Step::Output(expected) => {
                assert!(is_printed(expected, &printed), "expected {expected:#?}, got {printed}");
                all.push_str(&std::mem::take(&mut printed));
            }
        }
    }
    // The log is complete once the gateway has ended.
    shell.run("kill %1; wait");
    (std::fs::read_to_string(folder.join("log")).unwrap_or_default(), all + &printed)
}

/// The log of a page's gateway, and the output of its commands.
async fn outcome(page: &str) -> (String, String) {
    let (upstream, address, folder) = (Upstream::echo().await, free_address(), TempDir::new().unwrap());
    let page = page.replace("8443", &address.port().to_string()).replace("8000", &upstream.address.port().to_string());
    // The application responds on this thread.
    tokio::task::spawn_blocking(move || {
        std::fs::create_dir(folder.path().join("here")).unwrap();
        walk(&page, &folder.path().join("here"), address.port())
    })
    .await
    .unwrap()
}

fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if !found {
        println!("SKIPPED: curl is not installed");
    }
    found
}

#[tokio::test]
async fn the_readme_leads_from_nothing_to_a_protected_application() {
    let page = include_str!("../../README.md").split_once("\n## Protect an application\n").unwrap().1;
    let (log, printed) = outcome(page.split_once("\n## ").unwrap().0).await;
    assert!(
        printed.contains("gateway.yaml: ok") && printed.contains("200 OK") && log.contains("forwarded"),
        "{printed}"
    );
    assert!(!printed.contains("warning"), "{printed}");
}

#[tokio::test]
async fn the_first_tutorial_works_as_printed() {
    let page = include_str!("../../docs/tutorials/stripe-fastapi.md").split_once("\n## 6.").unwrap().0;
    if has_curl() {
        let (log, printed) = outcome(page).await;
        for reason in ["missing_credential", "duplicate_answered", "invalid_signature"] {
            assert!(log.contains(reason), "{reason}: {log}");
        }
        assert!(!printed.contains("warning"), "{printed}");
    }
}

#[tokio::test]
async fn the_tutorial_of_tokens_works_as_printed() {
    let page = include_str!("../../docs/tutorials/jwt-issuer.md").split_once("\n## 4.").unwrap().0;
    if has_curl() {
        let (log, _) = outcome(page).await;
        assert!(log.contains("duplicate_request") && log.contains("invalid_audience"), "{log}");
    }
}

#[test]
fn a_page_is_files_commands_and_outputs() {
    let page =
        "Text.\n\n    one\n\n`gateway.yaml`:\n\n```yaml\na: b\n```\n\n```text\n200 …\n```\n\n```yaml\nc: d\n```\n";
    let file = Step::File("gateway.yaml".to_owned(), "a: b\n".to_owned());
    assert_eq!(steps(page), [Step::Command("one".to_owned()), file, Step::Output(vec!["200 …".to_owned()])]);
    let expected = ["200 …".to_owned(), "end".to_owned()];
    assert!(is_printed(&expected, "a\n200 OK\nb\nend\n") && !is_printed(&expected, "end\n200 OK\n"));
}
