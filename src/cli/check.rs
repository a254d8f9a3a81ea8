//! `hookgate check`: loads a configuration as `run` does, without binding a socket.

use std::path::Path;

use super::arguments::{ConfigArgument, OutputFormat};
use crate::app::memory::{memory_line, memory_terms, memory_warning, process_limit};
use crate::clock::{Clock, SystemClock};
use crate::config::values::parse_size;
use crate::config::{self, Config, ConfigErrors, Handles};

/// Arguments of `hookgate check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Output format: lines `file:line:column: field: problem` on standard error, or a JSON array of objects on
    /// standard output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
    /// Memory limit of the gateway, such as 512MiB, to which the memory that it may need is compared [default: the limit
    /// of this process's control group]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
}

fn size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).ok_or("expected a size such as 512MiB")
}

/// An invalid configuration whose problems were already printed; the number of problems.
#[derive(Debug, thiserror::Error)]
#[error("problems in the configuration: {0}")]
pub(super) struct AlreadyReported(usize);

/// The number of listeners and routes, and a line for each route.
fn summary(path: &Path, config: &Config) -> String {
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let mut routes: Vec<_> = config.snapshot.routes.routes().map(|route| format!("\n  {}", route.summary())).collect();
    routes.sort();
    let listeners = count(config.process.listeners.len(), "listener");
    format!("{}: ok, {listeners}, {}{}", path.display(), count(routes.len(), "route"), routes.concat())
}

pub(super) fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let path = arguments.config.path();
    let result = config::load(&path, &Handles::default()).and_then(|mut config| {
        let rejected = std::mem::take(&mut config.rejected_files);
        if rejected.is_empty() { Ok(config) } else { Err(ConfigErrors::new(path.display().to_string(), rejected)) }
    });
    match (result, arguments.format) {
        (Ok(config), format) => {
            let memory = memory_terms(&config);
            match format {
                OutputFormat::Json => println!("[]"),
                OutputFormat::Text => println!("{}\n{}", summary(&path, &config), memory_line(&memory)),
            }
            let memory = memory_warning(&memory, arguments.memory_limit.or_else(process_limit));
            for warning in config.warnings_at(SystemClock.now()).into_iter().chain(memory) {
                eprintln!("{}: warning: {warning}", path.display());
            }
            Ok(())
        }
        (Err(errors), OutputFormat::Text) => Err(errors.into()),
        (Err(errors), OutputFormat::Json) => {
            println!("{:#}", errors.to_json());
            Err(AlreadyReported(errors.problems().len()).into())
        }
    }
}
