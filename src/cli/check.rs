//! `hookgate check`: the load path of `run`, without binding anything.

use std::path::PathBuf;

use super::Format;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, ConfigErrors, Handles};

/// `hookgate check`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(long, default_value = "gateway.yaml")]
    config: PathBuf,
    /// How problems are printed: `file:line:column: field: problem`, a line each, on standard error, or a list of
    /// objects on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// The problems were printed already.
#[derive(Debug, thiserror::Error)]
#[error("problems in the configuration: {0}")]
pub(super) struct Told(usize);

pub(super) fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let result = config::load(&arguments.config, &Handles::default());
    match (result, arguments.format) {
        (Ok(config), format) => {
            if format == Format::Json {
                println!("[]");
            }
            for warning in config.warnings_at(SystemClock.now()) {
                eprintln!("{}: warning: {warning}", arguments.config.display());
            }
            Ok(())
        }
        (Err(errors), Format::Text) => Err(errors.into()),
        (Err(errors), Format::Json) => tell_json(&errors),
    }
}

fn tell_json(errors: &ConfigErrors) -> anyhow::Result<()> {
    println!("{:#}", errors.to_json());
    Err(Told(errors.problems().len()).into())
}
