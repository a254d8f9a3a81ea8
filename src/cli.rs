//! The commands. Each takes its arguments, does its work and says in its exit code how it went:
//! 0 done, 1 could not start or failed, 2 `explain`: would be refused, 64 command line or configuration.

mod certs;
mod check;
mod demo;
mod dev;
mod explain;
pub mod presets;
mod run;
mod sign;

use std::sync::Arc;

use anyhow::Context;

use crate::auth::time::TimestampUnit;
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::{Config, ConfigErrors};
use crate::route::Route;

/// Exit code for a command line, or a configuration, with problems (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;

/// Exit code of `explain` for a request that would be refused.
const REFUSED: u8 = 2;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the gateway: SIGTERM drains, SIGHUP reloads
    Run(run::Arguments),
    /// Read a configuration and say everything that is wrong with it
    Check(check::Arguments),
    /// List the providers that are known, or print one in full
    Presets(presets::Arguments),
    /// Print the JSON Schema of gateway.yaml, for editors
    Schema,
    /// Show it all on one machine: a weak app, the gateway before it, and the classic attacks
    Demo(demo::Arguments),
    /// Make a development CA, a certificate for localhost and a development issuer
    Certs(certs::Arguments),
    /// Say what the gateway would say of a captured request, and why
    Explain(explain::Arguments),
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
            Self::Presets(arguments) => presets::presets(&arguments),
            Self::Schema => {
                println!("{:#}", crate::config::schema());
                Ok(())
            }
            Self::Demo(arguments) => demo::demo(&arguments),
            Self::Certs(arguments) => certs::certs(&arguments),
            Self::Explain(arguments) => explain::explain(&arguments),
            Self::Sign(arguments) => sign::sign(&arguments),
        }
    }
}

/// The route of this name; without a name the only one.
fn find_route(config: &Config, name: Option<&str>) -> anyhow::Result<Arc<Route>> {
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

/// A time of the command line, or now.
fn at(written: Option<&str>) -> anyhow::Result<UnixTime> {
    let Some(written) = written else { return Ok(SystemClock.now()) };
    let time = TimestampUnit::Seconds.read(written).or_else(|| TimestampUnit::Rfc3339.read(written));
    time.with_context(|| format!("--now {written}: expected Unix seconds, or a time such as 2026-11-24T08:00:00Z"))
}

/// How `check` and `explain` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For scripts
    Json,
}

/// The process's exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigErrors>() || error.is::<check::Told>() {
        USAGE
    } else if error.is::<explain::WouldRefuse>() {
        REFUSED
    } else {
        1
    }
}
