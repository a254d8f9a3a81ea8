//! The `hookgate` command: arguments → command → exit code.

use std::process::ExitCode;

use clap::Parser;
use hookgate::cli::{Command, exit_code};

// glibc's arenas keep memory after many connections have closed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lets through only webhooks that are proven authentic and fresh.
#[derive(Parser)]
#[command(name = "hookgate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}
