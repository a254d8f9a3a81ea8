//! `hookgate check`: loads a configuration as `run` does, without binding a socket.

use super::arguments::{ConfigArgument, OutputFormat};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Handles};

/// Arguments of `hookgate check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Output format: lines `file:line:column: field: problem` on standard error, or a JSON array of objects on
    /// standard output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// An invalid configuration whose problems were already printed; the number of problems.
#[derive(Debug, thiserror::Error)]
#[error("problems in the configuration: {0}")]
pub(super) struct AlreadyReported(usize);

pub(super) fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let path = arguments.config.path();
    let result = config::load(&path, &Handles::default());
    match (result, arguments.format) {
        (Ok(config), format) => {
            if format == OutputFormat::Json {
                println!("[]");
            }
            for warning in config.warnings_at(SystemClock.now()) {
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
