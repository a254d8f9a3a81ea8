//! `hookgate check`: loads a configuration as `run` does, without binding a socket.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::arguments::{ConfigArgument, OutputFormat};
use super::excerpt::{ReportStyle, problems};
use super::online;
use crate::app::memory::{memory_line, memory_terms, memory_warning, process_limit};
use crate::clock::{Clock, SystemClock};
use crate::config::values::parse_size;
use crate::config::{self, Config, ConfigErrors, Handles, Problem};

/// Arguments of `hookgate check`.
#[derive(Debug, clap::Args)]
pub struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Output format: lines `file:line:column: field: problem` on standard error, or a JSON array of objects on
    /// standard output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
    /// Print the memory that the gateway needs when every limit of the configuration is reached at once, and warn if that
    /// is more than this limit of its container, such as 512MiB [default: warn above the limit of this process's control
    /// group]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
    /// Check the YAML alone, without the secrets, certificates and other files that it names, and list these as not checked
    #[arg(long, conflicts_with = "online")]
    offline: bool,
    /// Also resolve and connect: fetch the keys of each issuer, and open a connection with its TLS handshake to each
    /// upstream, for at most 10 seconds
    #[arg(long)]
    online: bool,
}

fn size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).ok_or("expected a size such as 512MiB")
}

/// An invalid configuration whose problems were already printed; the number of problems.
#[derive(Debug, thiserror::Error)]
#[error("problems in the configuration: {0}")]
pub(super) struct AlreadyReported(usize);

/// A valid configuration, with servers to which no connection is possible; their number.
#[derive(Debug, thiserror::Error)]
#[error("servers that cannot be used: {0}")]
struct Unreachable(usize);

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The number of listeners and routes, and a line for each route.
fn summary(path: &Path, config: &Config) -> String {
    let mut routes: Vec<_> = config.snapshot.routes.routes().map(|route| format!("\n  {}", route.summary())).collect();
    routes.sort();
    let listeners = count(config.process.listeners.len(), "listener");
    format!("{}: ok, {listeners}, {}{}", path.display(), count(routes.len(), "route"), routes.concat())
}

/// Each with its position, and on a terminal with its line.
fn print_warnings(warnings: &ConfigErrors) {
    if !warnings.problems().is_empty() {
        eprintln!("{}", problems(warnings, "warning: ", ReportStyle::of_standard_error()));
    }
}

/// Warns of each file with a secret that every user of the machine can read. In a volume of Kubernetes and in /run/secrets of
/// a container, other users are not expected.
fn readable_by_all(config: &Config) -> Vec<Problem> {
    let is_readable = |path: &Path| path.metadata().is_ok_and(|found| found.mode() & 0o004 != 0);
    let is_mounted = |path: &Path| path.starts_with("/run/secrets") || path.with_file_name("..data").exists();
    let files = config.secret_files.iter().filter(|(_, path)| is_readable(path) && !is_mounted(path));
    let message = "every user of this machine can read the file; set its mode to 0600, for the user of hookgate";
    let mut warnings: Vec<Problem> =
        files.map(|(place, _)| Problem { message: message.to_owned(), ..place.clone() }).collect();
    warnings.dedup();
    warnings
}

/// Checks the YAML without its files.
fn check_offline(path: &Path, format: OutputFormat) -> anyhow::Result<()> {
    let checked = match config::check_offline(path) {
        Ok(checked) => checked,
        Err(errors) => return rejected(errors, format),
    };
    let (file, (listeners, routes)) = (path.display().to_string(), checked.counts);
    match format {
        OutputFormat::Json => println!("[]"),
        OutputFormat::Text => {
            println!("{file}: ok without its files, {}, {}", count(listeners, "listener"), count(routes, "route"));
            let unread = ConfigErrors::new(&*file, checked.unread).with_included(checked.included.clone());
            if !unread.problems().is_empty() {
                println!("{}", problems(&unread, "not checked: ", ReportStyle::Lines));
            }
        }
    }
    print_warnings(&ConfigErrors::new(file, checked.warnings).with_included(checked.included));
    Ok(())
}

/// Connects to the servers, and prints the result for each.
fn check_online(path: &Path, config: &Config, format: OutputFormat) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for result in online::probe(&config.servers)? {
        match (result, format) {
            (Ok(found), OutputFormat::Text) => println!("{}", config.errors(path, vec![found])),
            (Ok(_), OutputFormat::Json) => {}
            (Err(problem), _) => failed.push(problem),
        }
    }
    let count = failed.len();
    let errors = config.errors(path, failed);
    match format {
        OutputFormat::Json => println!("{:#}", errors.to_json()),
        OutputFormat::Text if count > 0 => eprintln!("{}", problems(&errors, "", ReportStyle::of_standard_error())),
        OutputFormat::Text => {}
    }
    if count == 0 { Ok(()) } else { Err(Unreachable(count).into()) }
}

/// The result for an invalid configuration, whose problems the caller or, in JSON, this prints.
fn rejected(errors: ConfigErrors, format: OutputFormat) -> anyhow::Result<()> {
    match format {
        OutputFormat::Text => Err(errors.into()),
        OutputFormat::Json => {
            println!("{:#}", errors.to_json());
            Err(AlreadyReported(errors.problems().len()).into())
        }
    }
}

pub(super) fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let path = arguments.config.path();
    if arguments.offline {
        return check_offline(&path, arguments.format);
    }
    let result = config::load(&path, &Handles::default()).and_then(|mut config| {
        let rejected = std::mem::take(&mut config.rejected_files);
        if rejected.is_empty() { Ok(config) } else { Err(config.errors(&path, rejected)) }
    });
    let (config, format) = match result {
        Ok(config) => (config, arguments.format),
        Err(errors) => return rejected(errors, arguments.format),
    };
    let memory = memory_terms(&config);
    match (format, arguments.memory_limit) {
        (OutputFormat::Json, _) => {}
        (OutputFormat::Text, None) => println!("{}", summary(&path, &config)),
        (OutputFormat::Text, Some(_)) => println!("{}\n{}", summary(&path, &config), memory_line(&memory)),
    }
    let warnings = [config.warnings_at(SystemClock.now()), readable_by_all(&config)].concat();
    print_warnings(&config.errors(&path, warnings));
    if let Some(warning) = memory_warning(&memory, arguments.memory_limit.or_else(process_limit)) {
        eprintln!("{}: warning: {warning}", path.display());
    }
    match (arguments.online, format) {
        (true, _) => check_online(&path, &config, format),
        (false, OutputFormat::Json) => {
            println!("[]");
            Ok(())
        }
        (false, OutputFormat::Text) => Ok(()),
    }
}
