//! Arguments of several commands: the configuration file (`hookgate check gateway.yaml`, `-c gateway.yaml`, or
//! HOOKGATE_CONFIG), the route, the time and the output format.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::auth::time::TimestampUnit;
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::Config;
use crate::route::Route;

/// Environment variable with the path of the configuration file, for command lines that name none.
const VARIABLE: &str = "HOOKGATE_CONFIG";

/// Path that is used if neither the command line nor the environment names one.
const DEFAULT: &str = "gateway.yaml";

/// The arguments that name the configuration file. clap's `env` attribute is not used: clap would count the variable as
/// an argument that was given, and report it as a conflict with the other one.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ConfigArgument {
    /// Configuration file [env: HOOKGATE_CONFIG] [default: gateway.yaml]
    #[arg(value_name = "CONFIG", conflicts_with = "config")]
    positional: Option<PathBuf>,
    /// Configuration file, as an option instead of the argument CONFIG
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigArgument {
    /// The path from the command line, or else HOOKGATE_CONFIG unless it is empty, or else gateway.yaml.
    pub(super) fn path(&self) -> PathBuf {
        config_path(self.positional.as_deref().or(self.config.as_deref()))
    }
}

/// The given path, or else HOOKGATE_CONFIG unless it is empty, or else gateway.yaml.
pub(super) fn config_path(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| fallback(env::var_os(VARIABLE).as_deref()), Path::to_owned)
}

/// A command line that clap's rules do not find to be wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) &'static str);

fn fallback(variable: Option<&OsStr>) -> PathBuf {
    Path::new(variable.filter(|path| !path.is_empty()).unwrap_or(OsStr::new(DEFAULT))).to_path_buf()
}

/// The route with the given name or, without a name, the only route.
pub(super) fn find_route(config: &Config, name: Option<&str>) -> anyhow::Result<Arc<Route>> {
    let mut routes = config.snapshot.routes.routes();
    match name {
        Some(name) => {
            let found = routes.find(|route| &*route.name == name);
            found.cloned().with_context(|| format!("no route {name:?}"))
        }
        None => match (routes.next(), routes.next()) {
            (Some(only), None) => Ok(Arc::clone(only)),
            _none_or_several => anyhow::bail!("there are several routes; name one with --route"),
        },
    }
}

/// The time given on the command line (Unix seconds or RFC 3339), or the current time.
pub(super) fn at(written: Option<&str>) -> anyhow::Result<UnixTime> {
    let Some(written) = written else { return Ok(SystemClock.now()) };
    let time = TimestampUnit::Seconds.read(written).or_else(|| TimestampUnit::Rfc3339.read(written));
    time.with_context(|| format!("--now {written}: expected Unix seconds, or a time such as 2026-11-24T08:00:00Z"))
}

/// Output format of `check` and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputFormat {
    /// Plain text, for people
    Text,
    /// JSON, for scripts
    Json,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        config: ConfigArgument,
    }

    #[test]
    fn the_argument_and_both_spellings_of_the_option_name_the_file() {
        for line in [&["check", "a.yaml"][..], &["check", "-c", "a.yaml"], &["check", "--config", "a.yaml"]] {
            assert_eq!(Arguments::parse_from(line).config.path(), Path::new("a.yaml"), "{line:?}");
        }
        let both = Arguments::try_parse_from(["check", "a.yaml", "-c", "b.yaml"]);
        assert_eq!(both.err().map(|error| error.kind()), Some(clap::error::ErrorKind::ArgumentConflict));
    }

    #[test]
    fn the_environment_comes_before_the_default() {
        assert_eq!(fallback(Some(OsStr::new("b.yaml"))), Path::new("b.yaml"));
        assert_eq!(fallback(Some(OsStr::new(""))), Path::new("gateway.yaml"));
        assert_eq!(fallback(None), Path::new("gateway.yaml"));
    }
}
