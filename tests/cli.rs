//! The command line: how commands name their configuration file, and their exit codes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::configuration::{Configuration, Listener, Route, Store};

/// Valid configurations, distinguished by the names of their routes.
const FILES: [&str; 3] = ["gateway.yaml", "given.yaml", "variable.yaml"];

/// Runs hookgate in `folder`, with HOOKGATE_CONFIG set to `variable` or not at all.
fn hookgate(folder: &Path, variable: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.current_dir(folder).args(arguments).env_remove("HOOKGATE_CONFIG");
    if let Some(variable) = variable {
        command.env("HOOKGATE_CONFIG", variable);
    }
    command.output().unwrap()
}

/// A folder with [`FILES`]: the route of each is named after the file, and it is public.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in FILES {
        let name = file.strip_suffix(".yaml").unwrap();
        let route = Route::new(name).path(format!("/{name}")).upstream("http://127.0.0.1:1").auth("public");
        let listener = Listener::empty().address("127.0.0.1:8443").without_tls();
        let configuration = Configuration::empty().add_listener(listener).add_route(route);
        std::fs::write(folder.path().join(file), configuration.to_string()).unwrap();
        let message = format!("POST /{name} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        std::fs::write(folder.path().join(name), message).unwrap();
    }
    folder
}

/// The ways to name a configuration file, and the file that each reads.
const WAYS: [(Option<&str>, &[&str], &str); 7] = [
    (None, &[], "gateway"),
    (Some(""), &[], "gateway"),
    (Some("variable.yaml"), &[], "variable"),
    (None, &["given.yaml"], "given"),
    (Some("variable.yaml"), &["given.yaml"], "given"),
    (Some("variable.yaml"), &["-c", "given.yaml"], "given"),
    (Some("variable.yaml"), &["--config", "given.yaml"], "given"),
];

/// Only the expected file has the route of this name.
#[test]
fn explain_and_sign_read_the_file_that_is_named() {
    let folder = folder();
    for (variable, arguments, expected) in WAYS {
        for name in ["gateway", "given", "variable"] {
            let explained =
                hookgate(folder.path(), variable, &[&["explain"], arguments, &["--request", name]].concat());
            let code = if name == expected { 0 } else { 2 };
            assert_eq!(explained.status.code(), Some(code), "{variable:?} {arguments:?} {name}: {explained:?}");
        }
        let signed = hookgate(folder.path(), variable, &[&["sign"], arguments].concat());
        let line = String::from_utf8_lossy(&signed.stdout).into_owned();
        assert!(line.contains(&format!("/{expected}'")), "{variable:?} {arguments:?}: {line}");
    }
}

/// Every file is invalid, with an unknown field named after the file.
#[test]
fn check_and_run_read_the_file_that_is_named() {
    let folder = folder();
    for file in FILES {
        std::fs::write(folder.path().join(file), format!("name_of_{file}: 1\n")).unwrap();
    }
    for (variable, arguments, expected) in WAYS {
        for command in ["check", "run"] {
            let output = hookgate(folder.path(), variable, &[&[command], arguments].concat());
            assert_eq!(output.status.code(), Some(64), "{command} {variable:?} {arguments:?}: {output:?}");
            let problems = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(problems.contains(&format!("name_of_{expected}.yaml")), "{command} {arguments:?}: {problems}");
        }
    }
}

#[test]
fn a_file_that_is_named_twice_is_an_error_of_the_command_line() {
    let folder = folder();
    for command in [&["run"][..], &["check"], &["explain", "--request", "given"], &["sign"]] {
        let output = hookgate(folder.path(), None, &[command, &["given.yaml", "-c", "gateway.yaml"]].concat());
        assert_eq!(output.status.code(), Some(64), "{command:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"), "{command:?}: {output:?}");
    }
}

#[test]
fn exit_codes_are_those_that_help_states() {
    let folder = folder();
    let status = |arguments: &[&str]| hookgate(folder.path(), None, arguments).status.code();
    assert_eq!(status(&["--help"]), Some(0));
    assert_eq!(status(&["no-such-command"]), Some(64));
    assert_eq!(status(&["check", "--no-such-option"]), Some(64));
    assert_eq!(status(&["check", "given.yaml"]), Some(0));
    assert_eq!(status(&["check", "no-such-file.yaml"]), Some(64));
    assert_eq!(status(&["explain", "--request", "no-such-file"]), Some(1));
    assert_eq!(status(&["explain", "--request", "given"]), Some(2));
    assert_eq!(status(&["presets", "no-such-preset"]), Some(1));
    let help = String::from_utf8(hookgate(folder.path(), None, &["--help"]).stdout).unwrap();
    for line in ["0   success", "1   the command failed", "2   explain: ", "64  the command line"] {
        assert!(help.contains(line), "{help}");
    }
}

/// Files appear in the default directory; existing ones are kept unless `--force` is given.
#[test]
fn dev_certs_writes_its_files_once() {
    let folder = folder();
    let run = |arguments: &[&str]| hookgate(folder.path(), None, &[&["dev-certs"], arguments].concat());
    assert_eq!(run(&[]).status.code(), Some(0));
    for file in ["ca.crt", "server.crt", "server.key", "issuer.jwks.json", "issuer.key"] {
        assert!(folder.path().join("certs").join(file).exists(), "{file}");
    }
    let again = run(&[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists; --force overwrites it"), "{again:?}");
    assert_eq!(run(&["--force"]).status.code(), Some(0));
}

/// The lines of the documents and of the CI script that call a command: `hookgate demo --once`.
fn documented_calls() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts = crate::documents::pages()
        .into_iter()
        .chain(["README.md", ".ci/run", "deploy/Dockerfile"].map(|name| root.join(name)));
    let call = regex::Regex::new(r"(?:hookgate|cargo run [^\n]*--) ([a-z-]+)((?: [^\n`|]*)?)").unwrap();
    let option = regex::Regex::new(r"(?:^|\s)(--[a-z-]+)").unwrap();
    let mut calls = Vec::new();
    for text in texts.filter_map(|path| std::fs::read_to_string(path).ok()) {
        let text = text.replace("\\\n", " ");
        for found in call.captures_iter(&text) {
            let options = option.captures_iter(&found[2]).map(|option| option[1].to_owned());
            calls.push((found[1].to_owned(), options.collect()));
        }
    }
    calls
}

#[test]
fn every_option_in_the_documents_exists() {
    let folder = folder();
    let mut checked = 0;
    for (name, options) in documented_calls().iter().filter(|(_, options)| !options.is_empty()) {
        let help = hookgate(folder.path(), None, &[name, "--help"]);
        if !help.status.success() {
            continue;
        }
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for option in options {
            assert!(help.contains(option), "hookgate {name} has no {option}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked} options found");
}

/// Whether a running gateway may write a core dump.
fn may_dump_core(folder: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    let mut running = command.current_dir(folder).arg("run").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(running.stdout.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("listening")), "it ended");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_whitespace().nth(1) != Some("0")
}

/// A core dump contains all secrets. The hard limit is compared, which the shell may have lowered already.
#[test]
fn core_dumps_are_disabled_unless_they_are_allowed() {
    let folder = folder();
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let configuration = Configuration::read(&text).listener(|listener| listener.address("127.0.0.1:0"));
    std::fs::write(folder.path().join("gateway.yaml"), configuration.to_string()).unwrap();
    assert!(!may_dump_core(folder.path(), &[]));
    let (_, hard) = rlimit::Resource::CORE.get().unwrap();
    assert_eq!(may_dump_core(folder.path(), &["--allow-core-dumps"]), hard > 0);
}

/// A start that failed after its first runtime was made ended with a panic, which hid the reason.
#[test]
fn a_store_that_cannot_be_opened_ends_the_start_with_its_reason() {
    let folder = folder();
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let configuration = Configuration::read(&text).store(Store::embedded("missing/store.redb"));
    let configuration = configuration.listener(|listener| listener.address("127.0.0.1:0"));
    std::fs::write(folder.path().join("gateway.yaml"), configuration.to_string()).unwrap();
    let run = hookgate(folder.path(), None, &["run"]);
    let printed = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(printed.contains("store: ") && !printed.contains("panic"), "{printed}");
}
