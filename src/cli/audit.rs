//! `hookgate audit`: sends requests that a webhook endpoint must reject, and reports those that it accepts.
//!
//! It sends to one host, which the user names and owns, at most one request a second unless told otherwise, and follows
//! no redirect. A request with a valid credential is an event that the application may carry out: such requests need
//! `--allow-side-effects`.

mod arguments;
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
pub use arguments::AuditArguments;
use finding::{AuditReport, Baseline};
use knowledge::Knowledge;
pub use page::markdown;
use probe::Probe;
use target::Target;

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
