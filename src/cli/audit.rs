//! `hookgate audit`: sends requests that a webhook endpoint must reject, and reports those that it accepts.
//!
//! It sends to one host, which the user names and owns, at most one request a second unless told otherwise, and follows
//! no redirect. A request with a valid credential is an event that the application may carry out: such requests need
//! `--allow-side-effects`.

mod catalogue;
mod connection;
mod finding;
mod knowledge;
mod page;
mod passive;
mod probe;
mod probes;
mod report;
mod results;
mod run;
mod target;
mod timing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::arguments::OutputFormat;
use catalogue::Severity;
use finding::{AuditReport, Baseline};
use knowledge::Knowledge;
pub use page::markdown;
use probe::Probe;
use target::Target;

/// Arguments of `hookgate audit`.
#[derive(Debug, clap::Args)]
pub struct AuditArguments {
    /// URL of the webhook endpoint
    url: String,
    /// Confirm that the endpoint is yours, or that its owner has allowed this audit
    #[arg(long, required = true)]
    i_own_this: bool,
    /// Send requests with a valid credential too: the application may carry out their events
    #[arg(long)]
    allow_side_effects: bool,
    /// Allow an address that is not public, such as localhost
    #[arg(long)]
    allow_private_address: bool,
    /// A captured request that the endpoint accepts: an HTTP/1.1 message or a HAR file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "config"])]
    request: Option<PathBuf>,
    /// Sign as this provider does; `hookgate presets` lists them
    #[arg(long, conflicts_with = "config")]
    preset: Option<String>,
    /// File with the secret of the preset
    #[arg(long, value_name = "FILE", requires = "preset")]
    secret: Option<PathBuf>,
    /// Environment variable with the secret of the preset
    #[arg(long, value_name = "NAME", requires = "preset", conflicts_with = "secret")]
    secret_env: Option<String>,
    /// Sign as the sender of a route in this configuration does
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Name of the route; required if there are several
    #[arg(long, requires = "config")]
    route: Option<String>,
    /// File with the sender's private key in PEM form, for a route with tokens
    #[arg(long, default_value = "certs/issuer.key")]
    key: PathBuf,
    /// Key ID [default: that of the first key in KEY.jwks.json next to KEY.key, if the file exists]
    #[arg(long)]
    kid: Option<String>,
    /// File with the body of the event that is sent: the most harmless one
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Header to add to each request; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// URL of the application itself, which must not be reachable from here
    #[arg(long, value_name = "URL")]
    upstream_direct: Option<String>,
    /// File with the CA certificates to trust [default: the public ones]
    #[arg(long)]
    cacert: Option<PathBuf>,
    /// Compare the time of rejections too, by this many requests of each of two kinds; needs the secret
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    timing: Option<u32>,
    /// Requests a second
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Seconds to wait for a response
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    /// Omit the header hookgate-audit, which marks each request
    #[arg(long)]
    no_marker: bool,
    /// Print the requests that would be sent, and send none
    #[arg(long)]
    plan: bool,
    /// Output format on standard output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
    /// Write the report as SARIF 2.1.0, for code scanning
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as JSON, which is also the format of a baseline
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Accept the findings of this earlier report
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Lowest severity of a finding for which the exit code is 2
    #[arg(long, value_enum, default_value_t = Severity::Low)]
    fail_on: Severity,
}

/// The endpoint has weaknesses; their number.
#[derive(Debug, thiserror::Error)]
#[error("weaknesses of severity {1} or above, and not accepted by a baseline: {0}")]
pub(super) struct WeaknessesFound(usize, &'static str);

pub(super) fn audit(arguments: &AuditArguments) -> anyhow::Result<()> {
    let timeout = Duration::from_secs(arguments.timeout);
    let resolve =
        |url: &str| Target::resolve(url, arguments.allow_private_address, arguments.cacert.as_deref(), timeout);
    let mut target = resolve(&arguments.url)?;
    target.marked = !arguments.no_marker;
    let upstream = arguments.upstream_direct.as_deref().map(resolve).transpose()?;
    let known = Knowledge::new(arguments, &target)?;
    let baseline = arguments.baseline.as_deref().map(read_baseline).transpose()?;
    let mut probes = probes::all(&known, &target, upstream.is_some(), arguments)?;
    let left_out = leave_out(&mut probes, arguments.allow_side_effects);
    if arguments.plan {
        report::plan(&target, &known, &probes, &left_out);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = runtime.block_on(async {
        let is_shown = arguments.format == OutputFormat::Text;
        let mut run = run::Run::new(&target, upstream.as_ref(), &known, arguments.rate, is_shown);
        run.perform(&probes, arguments.allow_side_effects).await?;
        run.report(left_out)
    })?;
    if let Some(baseline) = baseline {
        for finding in &mut report.findings {
            finding.accepted = baseline.findings.iter().any(|accepted| accepted.rule == finding.rule);
        }
    }
    write(arguments, &report)?;
    if let Some(why) = &report.stopped {
        anyhow::bail!("the audit stopped: {why}");
    }
    let new = report.findings.iter().filter(|finding| !finding.accepted && finding.severity >= arguments.fail_on);
    match new.count() {
        0 => Ok(()),
        found => Err(WeaknessesFound(found, arguments.fail_on.word()).into()),
    }
}

/// The JSON Schema of a report.
pub(super) fn schema() -> serde_json::Value {
    schemars::schema_for!(AuditReport).to_value()
}

/// Removes the probes with a valid credential unless these are allowed, and returns their rules.
fn leave_out(probes: &mut Vec<Probe>, allow_side_effects: bool) -> Vec<&'static str> {
    let mut left_out = Vec::new();
    probes.retain(|probe| {
        let stays = allow_side_effects || !probe.side_effects;
        if !stays && !left_out.contains(&probe.rule) {
            left_out.push(probe.rule);
        }
        stays
    });
    left_out
}

fn write(arguments: &AuditArguments, report: &AuditReport) -> anyhow::Result<()> {
    let save = |path: &Option<PathBuf>, text: String| match path {
        Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display())),
        None => Ok(()),
    };
    save(&arguments.json, format!("{:#}\n", serde_json::to_value(report)?))?;
    save(&arguments.sarif, format!("{:#}\n", report::sarif(report)))?;
    save(&arguments.html, report::html(report))?;
    match arguments.format {
        OutputFormat::Json => println!("{:#}", serde_json::to_value(report)?),
        OutputFormat::Text => println!("{}", report::text(report)),
    }
    Ok(())
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{}: expected a JSON report of an audit", path.display()))
}
