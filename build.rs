//! Passes the facts of the build that `hookgate --version` prints to the compiler. The same sources, commit and target give the
//! same facts: no time, no name of a machine, no path.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    // A preset was added: include_dir lets the compiler follow changes of the files it found, not the folder.
    println!("cargo::rerun-if-changed=presets");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=HOOKGATE_COMMIT");

    let linking = if variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|one| one == "crt-static") {
        "static"
    } else {
        "dynamic"
    };
    fact("TARGET", &format!("{} ({linking})", variable("TARGET")));
    // OUT_DIR is target/PROFILE/build/hookgate-HASH/out, and no variable has the name of the profile.
    let profile = PathBuf::from(variable("OUT_DIR"));
    let profile = profile.iter().rev().nth(3).and_then(|name| name.to_str()).unwrap_or("unknown");
    fact("PROFILE", profile);
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    fact(
        "TLS",
        &["rustls", "aws-lc-rs", "aws-lc-sys"].map(|name| format!("{name} {}", locked(&lock, name))).join(", "),
    );
    fact("COMMIT", &commit().unwrap_or_else(|| "unknown".to_owned()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn fact(name: &str, value: &str) {
    println!("cargo::rustc-env=HOOKGATE_BUILD_{name}={value}");
}

/// The version of a package in Cargo.lock.
fn locked<'a>(lock: &'a str, name: &str) -> &'a str {
    let entry = lock.split_once(&format!("name = \"{name}\"\nversion = \""));
    entry.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}

/// The commit from HOOKGATE_COMMIT, for builds without the repository, or from git, with `-dirty` where files differ from it. Git
/// is asked when a source has changed, not for each commit, which would compile the crate again.
fn commit() -> Option<String> {
    if let Some(commit) = env::var("HOOKGATE_COMMIT").ok().filter(|commit| !commit.is_empty()) {
        return Some(commit);
    }
    // Sources inside of another repository have no commit of that.
    if !Path::new(".git").exists() {
        return None;
    }
    println!("cargo::rerun-if-changed=src");
    let describe = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    let output = Command::new("git").args(describe).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
