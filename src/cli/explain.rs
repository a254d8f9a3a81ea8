//! `hookgate explain`: reports, check by check, whether the gateway would forward or reject a captured request, with
//! hints at the probable cause. Of several requests it prints a summary by cause. It needs no running gateway, and makes
//! no connection except for the keys of an issuer with a JWKS URL, and none with `--offline`.

pub(super) mod findings;
mod hints;
mod input;
pub(super) mod keys;
pub(super) mod message;
mod summary;
mod token;
pub(super) mod trial;

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::arguments::{OutputFormat, UsageError, at, config_path};
use crate::auth::explanation::Note;
use crate::auth::time::TimestampUnit;
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::{self, Handles};
use crate::metrics::Outcome;
use findings::{Circumstances, Findings};
use keys::KeySource;
use message::Captured;
use summary::Evaluated;

/// Arguments of `hookgate explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    /// Configuration file, which ends in .yaml or .yml; every other argument is a captured request, or a folder with such
    /// files (*.http, *.har) [env: HOOKGATE_CONFIG] [default: gateway.yaml]
    #[arg(value_name = "CONFIG, REQUEST")]
    paths: Vec<PathBuf>,
    /// Configuration file, as an option instead of the argument CONFIG
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Captured request: an HTTP/1.1 message, the output of curl -v or a HAR file; or a folder with such files (*.http,
    /// *.har); may be repeated
    #[arg(long)]
    request: Vec<PathBuf>,
    /// Evaluate only the newest of the captured requests
    #[arg(long)]
    newest: bool,
    /// File with the body of the request, instead of the one in the captured request
    #[arg(long)]
    body: Option<PathBuf>,
    /// Name of the route to evaluate [default: the route that matches the request]
    #[arg(long)]
    route: Option<String>,
    /// Time at which the request was received, in Unix seconds or RFC 3339 [default: that of the capture, or now]
    #[arg(long)]
    now: Option<String>,
    /// IP address of the client, which is compared with `allowed_ips`
    #[arg(long, value_name = "IP")]
    client_address: Option<IpAddr>,
    /// File with a JWKS, used as the keys of every issuer with a JWKS URL; nothing is fetched then
    #[arg(long)]
    jwks: Option<PathBuf>,
    /// Fetch no keys: use those that the gateway has cached on disk (`jwks.cache`), or those of --jwks
    #[arg(long)]
    offline: bool,
    /// PEM file with the certificate that the request names by its URL, as it is at that URL
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// A request would be rejected: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WouldReject(&'static str);

/// A captured request, and the time at which it is evaluated.
struct Case {
    path: PathBuf,
    captured: anyhow::Result<Captured>,
    now: UnixTime,
    /// Where the time is from.
    source: &'static str,
}

pub(super) fn explain(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let (config, requests) = arguments.paths()?;
    let config = config::load(&config, &Handles::default())?;
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let body = arguments.body.as_ref().map(read).transpose()?;
    let certificate = arguments.certificate.as_ref().map(read).transpose()?;
    let mut files = input::files(&requests)?;
    if arguments.newest {
        files = input::newest(files).into_iter().collect();
    }
    if files.is_empty() {
        bail!(
            "no captured requests (*.http, *.har) in {}",
            requests.first().map(|path| path.display()).context("no path")?
        );
    }
    let cases: Vec<Case> =
        files.into_iter().map(|path| arguments.case(path, body.as_deref())).collect::<anyhow::Result<_>>()?;
    let latest = cases.iter().map(|case| case.now).max().context("no request")?;
    let keys =
        KeySource::prepare(&config, (arguments.jwks.as_deref(), arguments.offline.then_some(keys::OFFLINE)), latest)?;
    let is_one = cases.len() == 1;
    let evaluated = cases.into_iter().map(|case| {
        let circumstances = Circumstances {
            route: arguments.route.as_deref(),
            certificate: certificate.as_deref(),
            client_address: arguments.client_address,
            now: case.now,
        };
        let found = case.captured.and_then(|captured| findings::find(&config, &captured, &circumstances, &keys));
        let found = found.map(|mut found| {
            let time = TimestampUnit::Rfc3339.write(case.now.seconds());
            found.checks.insert(0, Note { check: "time", found: format!("{time}, {}", case.source) });
            found
        });
        Evaluated { path: case.path, found }
    });
    let mut evaluated: Vec<Evaluated> = evaluated.collect();
    if is_one && let Some(Evaluated { found, .. }) = evaluated.pop() {
        let findings = found?;
        match arguments.format {
            OutputFormat::Text => print!("{}", text(&findings)),
            OutputFormat::Json => println!("{:#}", findings.as_json()),
        }
        return if findings.verdict.is_ok() {
            Ok(())
        } else {
            Err(WouldReject("the request would be rejected").into())
        };
    }
    match arguments.format {
        OutputFormat::Text => print!("{}", summary::text(&evaluated)),
        OutputFormat::Json => println!("{:#}", summary::as_json(&evaluated)),
    }
    if evaluated.iter().any(|evaluated| evaluated.found.is_err()) {
        bail!("a request could not be read");
    }
    let all_pass = evaluated.iter().all(|evaluated| evaluated.found.as_ref().is_ok_and(|found| found.verdict.is_ok()));
    if all_pass { Ok(()) } else { Err(WouldReject("requests would be rejected").into()) }
}

impl ExplainArguments {
    /// The configuration and the requests.
    fn paths(&self) -> anyhow::Result<(PathBuf, Vec<PathBuf>)> {
        let is_yaml = |path: &&PathBuf| matches!(path.extension().and_then(OsStr::to_str), Some("yaml" | "yml"));
        let named = self.paths.first().filter(is_yaml);
        if named.is_some() && self.config.is_some() {
            return Err(
                UsageError("the argument CONFIG cannot be used with --config: name one configuration file").into()
            );
        }
        let given = named.or(self.config.as_ref());
        let others = self.paths.iter().skip(usize::from(named.is_some()));
        let requests: Vec<PathBuf> = self.request.iter().chain(others).cloned().collect();
        if requests.is_empty() {
            let message = "name a captured request: hookgate explain gateway.yaml request.http; a route with `capture` \
                           stores them, and hookgate sign --format http writes one";
            return Err(UsageError(message).into());
        }
        Ok((config_path(given.map(|path| path.as_path())), requests))
    }

    fn case(&self, path: PathBuf, body: Option<&[u8]>) -> anyhow::Result<Case> {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
        let captured = bytes.and_then(|bytes| message::read(&bytes, body));
        let stated = captured.as_ref().ok().and_then(|captured| message::time(&path, captured));
        let (now, source) = match (&self.now, stated) {
            (Some(_), _) => (at(self.now.as_deref())?, "from --now"),
            (None, Some(time)) => (time, "at which the request was captured"),
            (None, None) => (SystemClock.now(), "now: the file states no time; --now sets another one"),
        };
        Ok(Case { path, captured, now, source })
    }
}

/// The text in one line of a terminal: a signed payload may have several lines. Text that is printable already is left as
/// it is, with its backslashes, so that a copy of it has the same signature.
fn printable(text: &str) -> String {
    let is_printable = |c: char| matches!(c, '\\' | '"' | '\'') || c.escape_debug().count() == 1;
    if text.chars().all(is_printable) {
        return text.to_owned();
    }
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

fn text(findings: &Findings) -> String {
    let mut text = String::new();
    for Note { check, found } in &findings.checks {
        let found = printable(found);
        text.push_str(&format!("  {check:<20} {found}\n"));
    }
    match (findings.verdict, findings.reason) {
        (Ok(outcome), Some(reason)) => {
            text.push_str(&format!("\nIt would be {}, and without it rejected: {}\n", done(outcome), reason.word()));
        }
        (Ok(outcome), None) => text.push_str(&format!("\nIt would be {}.\n", done(outcome))),
        (Err(reason), _) => text.push_str(&format!("\nIt would be rejected: {}\n", reason.word())),
    }
    for hint in &findings.hints {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    text
}

/// The participle for an outcome, after "It would be".
const fn done(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ChallengeAnswered => "answered by the gateway",
        Outcome::DryRunRejected => "forwarded in dry run",
        Outcome::Filtered => "filtered: acknowledged by the gateway, and not forwarded",
        Outcome::Forwarded
        | Outcome::Rejected
        | Outcome::PreflightAnswered
        | Outcome::DuplicateAnswered
        | Outcome::UpstreamIncomplete
        | Outcome::Error => "forwarded",
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn printable_text_can_be_copied_and_other_text_is_escaped() {
        for text in [r#"{"name":"Zo\u00eb","it's":"ë"}"#, ""] {
            assert_eq!(printable(text), text);
        }
        assert_eq!(printable("a\"\n\\u00eb\u{1b}"), r#"a"\n\\u00eb\u{1b}"#);
    }
}
