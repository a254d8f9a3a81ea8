//! The commands. Each takes its arguments, does its work and says in its exit code how it went:
//! 0 done, 1 could not start or failed, 64 configuration.

mod certs;
mod check;
mod demo;
mod dev;
mod run;
mod sign;

use crate::config::ConfigErrors;

/// Exit code for a configuration with problems (`EX_USAGE` of sysexits.h).
const CONFIGURATION: u8 = 64;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the gateway: SIGTERM drains, SIGHUP reloads
    Run(run::Arguments),
    /// Read a configuration and say everything that is wrong with it
    Check(check::Arguments),
    /// Print the JSON Schema of gateway.yaml, for editors
    Schema,
    /// Show it all on one machine: a weak app, the gateway before it, and the classic attacks
    Demo(demo::Arguments),
    /// Make a development CA, a certificate for localhost and a development issuer
    Certs(certs::Arguments),
    /// Make a request that passes a route, as a curl line
    Sign(sign::Arguments),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done; [`exit_code`] has its number.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Run(arguments) => run::run(&arguments),
            Self::Check(arguments) => check::check(&arguments),
            Self::Schema => {
                println!("{:#}", crate::config::schema());
                Ok(())
            }
            Self::Demo(arguments) => demo::demo(&arguments),
            Self::Certs(arguments) => certs::certs(&arguments),
            Self::Sign(arguments) => sign::sign(&arguments),
        }
    }
}

/// The process's exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigErrors>() || error.is::<check::Told>() { CONFIGURATION } else { 1 }
}
