//! `hookgate audit`: sends requests that a webhook endpoint must reject, and reports those that it accepts.
//!
//! It sends to one host, which the user names and owns, at most one request a second unless told otherwise, and follows
//! no redirect. A request with a valid credential is an event that the application may carry out: such requests need
//! `--allow-side-effects`.

mod arguments;
mod catalogue;
mod connection;
mod credential;
mod finding;
mod knowledge;
mod page;
mod passive;
mod probe;
mod probes;
mod report;
mod results;
mod run;
mod signer;
mod target;
mod timing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::arguments::OutputFormat;
pub use arguments::AuditArguments;
use finding::{AuditReport, Baseline};
use knowledge::Knowledge;
pub use page::markdown;
pub(super) use target::InvalidCommandLine;
use target::Target;

/// The endpoint has weaknesses; their number.
#[derive(Debug, thiserror::Error)]
#[error("weaknesses of severity {1} or above, and not accepted by a baseline: {0}")]
pub(super) struct WeaknessesFound(usize, &'static str);

pub(super) fn audit(arguments: &AuditArguments) -> anyhow::Result<()> {
    let timeout = Duration::from_secs(arguments.timeout);
    let resolve = |url: &str| {
        let target = Target::resolve(url, arguments.allow_private_address, arguments.cacert.as_deref(), timeout)?;
        anyhow::Ok(target.marked(!arguments.no_marker))
    };
    let target = resolve(&arguments.url)?;
    // A name that has no address here is no error: the application must not be reachable.
    let upstream = match arguments.upstream_direct.as_deref().map(resolve) {
        Some(Err(error)) if !error.is::<InvalidCommandLine>() => Some(Err(format!("{error:#}"))),
        other => other.transpose()?.map(Ok),
    };
    let known = Knowledge::new(arguments, &target).map_err(InvalidCommandLine)?;
    if arguments.timing.is_some() && probes::timing_pair(&known)?.is_none() {
        let why = "--timing needs the secret of a signature in a header: --preset with --secret, or --config";
        return Err(InvalidCommandLine(anyhow::anyhow!(why)).into());
    }
    if arguments.plan {
        let probes = probes::STAGES.map(|stage| probes::of(stage, &known, &target, arguments));
        let probes = probes.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
        report::plan(&target, &known, &probes, arguments.allow_side_effects);
        return Ok(());
    }
    let baseline = arguments.baseline.as_deref().map(|path| read_baseline(path, &target.url()));
    let baseline = baseline.transpose().map_err(InvalidCommandLine)?;
    open_outputs(arguments).map_err(InvalidCommandLine)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = runtime.block_on(async {
        let is_shown = arguments.format == OutputFormat::Text;
        let mut run = run::Run::new(&target, upstream.as_ref(), &known, arguments.rate, is_shown);
        run.perform(arguments).await?;
        run.report()
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

/// Fails before the first request if a report cannot be written at the end.
fn open_outputs(arguments: &AuditArguments) -> anyhow::Result<()> {
    for path in [&arguments.json, &arguments.sarif, &arguments.html].into_iter().flatten() {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
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

fn read_baseline(path: &Path, url: &str) -> anyhow::Result<Baseline> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let baseline: Baseline = serde_json::from_slice(&bytes)
        .with_context(|| format!("{}: expected a JSON report of an audit", path.display()))?;
    if baseline.url != url {
        anyhow::bail!("{}: the report is of {}, not of {url}", path.display(), baseline.url);
    }
    Ok(baseline)
}
