//! The `hookgate` command: arguments → command → exit code.

use std::process::ExitCode;

use clap::Parser;
use hookgate::cli::{CommandLine, USAGE, error_text, exit_code};

// glibc's arenas keep memory after many connections have closed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match CommandLine::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed standard output or error does not change the exit code.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match arguments.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error_text(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}
