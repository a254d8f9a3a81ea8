//! The configuration file of a command line: `hookgate check gateway.yaml`, `-c gateway.yaml`, or HOOKGATE_CONFIG.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Environment variable with the path of the configuration file, for command lines that name none.
const VARIABLE: &str = "HOOKGATE_CONFIG";

/// Path that is used if neither the command line nor the environment names one.
const DEFAULT: &str = "gateway.yaml";

/// The arguments that name the configuration file. clap's `env` attribute is not used: clap would count the variable as
/// an argument that was given, and report it as a conflict with the other one.
#[derive(Debug, clap::Args)]
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
        let given = self.positional.as_ref().or(self.config.as_ref());
        given.cloned().unwrap_or_else(|| fallback(env::var_os(VARIABLE).as_deref()))
    }
}

fn fallback(variable: Option<&OsStr>) -> PathBuf {
    Path::new(variable.filter(|path| !path.is_empty()).unwrap_or(OsStr::new(DEFAULT))).to_path_buf()
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
