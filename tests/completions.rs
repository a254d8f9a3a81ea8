//! Completions and man pages, which packages take from the binary.

use std::process::{Command, Output};

use clap::CommandFactory;
use hookgate::cli::CommandLine;
use tempfile::TempDir;

fn hookgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookgate")).args(arguments).output().unwrap()
}

fn commands() -> Vec<String> {
    CommandLine::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

#[test]
fn the_completions_of_each_shell_have_each_command_and_option() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = String::from_utf8(hookgate(&["completions", shell]).stdout).unwrap();
        for word in commands().iter().map(String::as_str).chain(["allow-core-dumps"]) {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    assert_eq!(hookgate(&["completions", "tcsh"]).status.code(), Some(64));
}

#[test]
fn each_command_has_a_man_page() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("new/man1");
    let run = hookgate(&["man", dir.to_str().unwrap()]);
    assert!(run.status.success() && run.stdout.is_empty(), "{run:?}");
    for name in commands() {
        let page = std::fs::read_to_string(dir.join(format!("hookgate-{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH hookgate-{name} 1")), "{name}: {page}");
    }
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), commands().len() + 1);
    let page = std::fs::read(dir.join("hookgate.1")).unwrap();
    assert_eq!(hookgate(&["man"]).stdout, page);
    // A page that names the commit differs between two builds of one version.
    assert!(!String::from_utf8(page).unwrap().contains("commit"));
}
