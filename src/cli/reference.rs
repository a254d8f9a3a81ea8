//! Completions for shells and man pages, both from the definition of the command line, and the facts of the build for
//! `hookgate --version`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Command;
use clap::builder::Resettable;
use clap_complete::Shell;

/// The output of `hookgate --version` after the name; build.rs finds the facts.
pub(super) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:  ",
    env!("HOOKGATE_BUILD_COMMIT"),
    "\ntarget:  ",
    env!("HOOKGATE_BUILD_TARGET"),
    "\nprofile: ",
    env!("HOOKGATE_BUILD_PROFILE"),
    "\nTLS:     ",
    env!("HOOKGATE_BUILD_TLS"),
);

/// Arguments of `hookgate completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArguments {
    /// The shell that reads them
    shell: Shell,
}

/// Arguments of `hookgate man`.
#[derive(Debug, clap::Args)]
pub struct ManArguments {
    /// Directory for the pages of all commands, created if it does not exist; otherwise the page hookgate(1) is printed
    dir: Option<PathBuf>,
}

pub(super) fn completions(arguments: &CompletionsArguments, mut command_line: Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command_line, "hookgate", &mut script);
    // One write with an error instead of a panic: a reader such as `head` closes the pipe early.
    std::io::stdout().write_all(&script)?;
    Ok(())
}

pub(super) fn man(arguments: &ManArguments, command_line: Command) -> anyhow::Result<()> {
    // All builds of a version have the same pages: these name neither commit nor target.
    let command_line = command_line.long_version(Resettable::Reset).disable_help_subcommand(true);
    let Some(dir) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command_line).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
        return Ok(());
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot create directory {}", dir.display()))?;
    clap_mangen::generate_to(command_line, dir)
        .with_context(|| format!("cannot write the pages into {}", dir.display()))
}
