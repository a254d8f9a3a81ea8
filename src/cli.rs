//! The commands and their exit codes: 0 success, 1 failure, 2 `explain` found that a request would be rejected or `test`
//! that a case is not as expected, 64 an error in the command line or in the configuration.

mod arguments;
pub mod audit;
mod certs;
mod check;
mod demo;
mod dev;
mod excerpt;
mod explain;
mod init;
mod online;
pub mod presets;
mod reference;
mod report;
mod run;
mod sign;
mod test;

use clap::CommandFactory;

use crate::config::ConfigErrors;

/// Exit code for an invalid command line or configuration (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;

/// Exit code of `explain` for a request that would be rejected, and of `test` for an unexpected outcome.
const REFUSED: u8 = 2;

/// The end of `hookgate --help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0   success
  1   the command failed, or the gateway could not start
  2   explain: a request would be rejected; test: a case is not as expected
  64  the command line or the configuration is invalid";

const EXIT_CODES_OF_CHECK: &str = "\
Exit codes:
  0   the configuration is valid; warnings do not change the exit code
  1   --online: the configuration is valid, and a server cannot be used
  64  the command line or the configuration is invalid";

const EXIT_CODES_OF_EXPLAIN: &str = "\
Exit codes:
  0   every request would be forwarded, if only because the route is in dry run, or its challenge would be answered
  1   a file cannot be read or is not in the expected format
  2   a request would be rejected
  64  the command line or the configuration is invalid";

const EXIT_CODES_OF_AUDIT: &str = "\
Exit codes:
  0   no weakness was found, or the baseline accepts each
  1   the audit failed, or the valid request was rejected
  2   weaknesses were found
  64  the command line or the configuration is invalid";
const EXIT_CODES_OF_TEST: &str = "\
Exit codes:
  0   every case is as expected
  2   a case is not as expected, or its request could not be read or signed
  64  the command line, the configuration or the file of cases is invalid";

const EXIT_CODES_OF_RUN: &str = "\
Exit codes:
  0   stopped by SIGTERM or SIGINT
  1   the gateway could not start
  64  the command line or the configuration is invalid";

const EXIT_CODES_OF_DEMO: &str = "\
Exit codes:
  0   every row of the table is as expected
  1   a row is not as expected, or the demo could not start
  64  the command line is invalid";

const EXIT_CODES_OF_INIT: &str = "\
Exit codes:
  0   the files are written, or printed
  1   a file exists, or cannot be read or written
  64  the command line is invalid, or lacks an argument and there is no terminal to ask on";

/// Reverse-proxy authentication gateway for webhooks: forwards only requests that it has verified as authentic and
/// fresh.
#[derive(clap::Parser)]
#[command(name = "hookgate", version, long_version = reference::VERSION, after_help = EXIT_CODES)]
pub struct CommandLine {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The command to run.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the gateway; SIGTERM drains and stops it, Ctrl-C stops it, SIGHUP reloads the configuration
    #[command(after_help = EXIT_CODES_OF_RUN)]
    Run(run::RunArguments),
    /// Write a gateway.yaml with its secret files and certificates, by questions or by arguments
    #[command(after_help = EXIT_CODES_OF_INIT)]
    Init(init::InitArguments),
    /// Validate a configuration and report every problem with its line
    #[command(after_help = EXIT_CODES_OF_CHECK)]
    Check(check::CheckArguments),
    /// List the presets for webhook providers, or print one in full
    Presets(presets::PresetsArguments),
    /// Print the JSON Schema of gateway.yaml, for editors, or of the report of an audit
    Schema(SchemaArguments),
    /// Run a demo on this machine: a vulnerable upstream, the gateway in front of it, and the classic attacks
    #[command(after_help = EXIT_CODES_OF_DEMO)]
    Demo(demo::DemoArguments),
    /// Generate a development CA, a certificate for localhost and the key of a development issuer
    DevCerts(certs::DevCertsArguments),
    /// Explain whether the gateway would forward or reject captured requests, and why
    #[command(after_help = EXIT_CODES_OF_EXPLAIN)]
    Explain(explain::ExplainArguments),
    /// Audit a webhook endpoint that you own: send requests that it must reject, and report those that it accepts
    #[command(after_help = EXIT_CODES_OF_AUDIT)]
    Audit(Box<audit::AuditArguments>),
    /// Sum up an access log, such as that of a dry run: what would be rejected, by route and reason, with captured examples
    Report(report::ReportArguments),
    /// Compare the outcomes of captured or generated requests with the expected ones, for a pipeline
    #[command(after_help = EXIT_CODES_OF_TEST)]
    Test(test::TestArguments),
    /// Generate a request that passes the authentication of a route, as a curl command line
    Sign(sign::SignArguments),
    /// Print the completions of a shell
    Completions(reference::CompletionsArguments),
    /// Print the man page, or write the pages of all commands into a directory
    Man(reference::ManArguments),
}

/// Arguments of `hookgate schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArguments {
    /// Document that the schema describes
    #[arg(value_enum, default_value_t = SchemaOf::Gateway)]
    of: SchemaOf,
}

/// A document with a JSON Schema.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SchemaOf {
    /// gateway.yaml
    Gateway,
    /// The report of `hookgate audit --json`
    Audit,
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The error that stopped the command; [`exit_code`] maps it to an exit code.
    pub fn run(self) -> anyhow::Result<()> {
        // For the commands that sign: jsonwebtoken chooses by itself only as long as one backend is compiled in, and
        // panics otherwise. Verification names its provider. An error says that one is installed already.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let is_run = matches!(self, Self::Run(_));
        if !is_run {
            end_on_broken_pipe();
        }
        let done = match self {
            Self::Run(arguments) => run::run(&arguments),
            Self::Init(arguments) => init::init(&arguments),
            Self::Check(arguments) => check::check(&arguments),
            Self::Presets(arguments) => presets::presets(&arguments),
            Self::Schema(arguments) => {
                match arguments.of {
                    SchemaOf::Gateway => println!("{:#}", crate::config::schema()),
                    SchemaOf::Audit => println!("{:#}", audit::schema()),
                }
                Ok(())
            }
            Self::Demo(arguments) => demo::demo(&arguments),
            Self::DevCerts(arguments) => certs::certs(&arguments),
            Self::Explain(arguments) => explain::explain(&arguments),
            Self::Audit(arguments) => audit::audit(&arguments),
            Self::Report(arguments) => report::report(&arguments),
            Self::Sign(arguments) => sign::sign(&arguments),
            Self::Test(arguments) => test::test(&arguments),
            Self::Completions(arguments) => reference::completions(&arguments, CommandLine::command()),
            Self::Man(arguments) => reference::man(&arguments, CommandLine::command()),
        };
        let io_error = done.as_ref().err().and_then(|error| error.downcast_ref::<std::io::Error>());
        if !is_run && io_error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            std::process::exit(BROKEN_PIPE);
        }
        done
    }
}

/// The error as it is printed on standard error.
pub fn error_text(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ConfigErrors>() {
        Some(errors) => excerpt::problems(errors, "", excerpt::ReportStyle::of_standard_error()),
        None => format!("{error:#}"),
    }
}

/// The exit code of a program that SIGPIPE ends, as shells report it.
const BROKEN_PIPE: i32 = 141;

/// Ends a command whose output nothing reads any more, as in `hookgate presets | head -1`. Rust ignores SIGPIPE, and
/// `println` panics instead; to restore the signal's default takes unsafe code. `run` writes its log in another way: it goes
/// on without a reader. Commands that write to the output themselves return the error.
fn end_on_broken_pipe() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to std") && text.contains("os error 32") {
            std::process::exit(BROKEN_PIPE);
        }
        before(panic);
    }));
}

/// The exit code of the process for an error.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let is_of_command_line = error.is::<arguments::UsageError>()
        || error.is::<init::IncompleteArguments>()
        || error.is::<audit::InvalidCommandLine>();
    if is_of_command_line || error.is::<ConfigErrors>() || error.is::<check::AlreadyReported>() {
        USAGE
    } else if error.is::<explain::WouldReject>()
        || error.is::<test::Unexpected>()
        || error.is::<audit::WeaknessesFound>()
    {
        REFUSED
    } else {
        1
    }
}
