//! `hookgate report`: sums up an access log and the captured requests, such as those of a dry run: what was forwarded, what
//! would be rejected, by route and reason, and how to explain each example. It reads files only, and no configuration.

mod captures;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::arguments::OutputFormat;
use crate::telemetry::escaped;
use captures::{Captures, captures};
use summary::{LogSummary, ReasonCounts, RejectionKind, RouteCounts};

/// The longest line that is read, in bytes; a line of the log is shorter.
const LONGEST_LINE: u64 = 1 << 20;

/// The most clients and details that are shown for a reason.
const SHOWN: usize = 3;

/// Arguments of `hookgate report`.
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// Files with the access log, as JSON lines [default: standard input]
    #[arg(value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Folder with captured requests: `capture.dir` of the routes
    #[arg(long, value_name = "FOLDER")]
    captured: Option<PathBuf>,
    /// Configuration file for the command lines that the report prints; it is not read
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// The contents of the log and the captures.
struct LogReport {
    log: LogSummary,
    captures: Captures,
    config: Option<PathBuf>,
}

pub(super) fn report(arguments: &ReportArguments) -> anyhow::Result<()> {
    let mut log = LogSummary::default();
    for path in &arguments.logs {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        read(&mut log, file).with_context(|| format!("cannot read {}", path.display()))?;
    }
    if arguments.logs.is_empty() && stdin().is_terminal() {
        anyhow::ensure!(arguments.captured.is_some(), "name the files of the access log, or pipe it into the command");
    } else if arguments.logs.is_empty() {
        read(&mut log, stdin().lock()).context("cannot read standard input")?;
    }
    let LogSummary { requests, unread, .. } = &log;
    anyhow::ensure!(
        *requests > 0 || *unread == 0,
        "none of the {unread} lines is JSON: the report needs `log.format: json`, and the log of `hookgate run > FILE` has it"
    );
    let captures = arguments.captured.as_deref().map(captures).transpose()?.unwrap_or_default();
    let report = LogReport { log, captures, config: arguments.config.clone() };
    match arguments.format {
        OutputFormat::Text => print!("{}", report.text()),
        OutputFormat::Json => println!("{:#}", report.json()),
    }
    Ok(())
}

/// Adds the lines of a log, whose bytes may be no UTF-8.
fn read(log: &mut LogSummary, input: impl Read) -> std::io::Result<()> {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    while input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        log.add(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

impl LogReport {
    /// The routes of the log and of the captures.
    fn routes(&self) -> impl Iterator<Item = (&String, RouteView<'_>)> {
        let names: BTreeSet<&String> = self.log.routes.keys().chain(self.captures.keys()).collect();
        names
            .into_iter()
            .map(|name| (name, RouteView { counts: self.log.routes.get(name), captures: self.captures.get(name) }))
    }

    fn text(&self) -> String {
        let mut text = self.introduction();
        for (name, route) in self.routes() {
            let name = if name.is_empty() { "(no route)".to_owned() } else { escaped(name) };
            let of = |kind| route.counts.map_or(0, |counts| counts.rejections(kind));
            let (would, rejected) = (of(RejectionKind::WouldBeRejected), of(RejectionKind::Rejected));
            let forwarded = route.counts.map_or(0, |counts| counts.forwarded);
            // Writing into a `String` cannot fail.
            let _ = write!(text, "\n{name}: {forwarded} forwarded, {would} would be rejected, {rejected} rejected");
            for (outcome, count) in route.counts.iter().flat_map(|counts| &counts.others) {
                let _ = write!(text, ", {count} {}", escaped(outcome));
            }
            text.push('\n');
            route.reasons().for_each(|((kind, reason), counts, captures)| {
                text.push_str(&self.reason_text(*kind, reason, counts, captures));
            });
        }
        text
    }

    fn introduction(&self) -> String {
        let LogSummary { requests, unread, period, .. } = &self.log;
        let mut text = counted(*requests, "request");
        if let (Some(first), Some(last)) = (&period.first, &period.last) {
            let _ = write!(text, " from {} to {}", escaped(first), escaped(last));
        }
        text.push('\n');
        if *unread > 0 {
            let lines = counted(*unread, "line");
            let _ = writeln!(text, "skipped {lines} without JSON: the report needs `log.format: json`");
        }
        text
    }

    fn reason_text(
        &self,
        kind: RejectionKind,
        reason: &str,
        counts: Option<&ReasonCounts>,
        captures: &[PathBuf],
    ) -> String {
        let requests = counts.map_or_else(|| "captured".to_owned(), |counts| counts.requests.to_string());
        let mut text = format!("  {requests:>8} {:<17} {}\n", kind.words(), escaped(reason));
        let mut line = |line: String| text.push_str(&format!("             {line}\n"));
        if let Some(counts) = counts {
            let top = counts.clients.top(SHOWN);
            let top: Vec<String> = top.iter().map(|(client, count)| format!("{} ({count})", escaped(client))).collect();
            let more = counts.clients.distinct().saturating_sub(top.len());
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let clients = counted(counts.clients.distinct(), "client");
            line(format!("{clients}: {}{more}", top.join(", ")));
            counts
                .details
                .top(SHOWN)
                .iter()
                .for_each(|(detail, count)| line(format!("{}: {}", counted(*count, "time"), escaped(detail))));
        }
        captures.iter().for_each(|capture| line(self.explain(capture)));
        text
    }

    /// The command line that explains a captured request, at the time in its name.
    fn explain(&self, capture: &Path) -> String {
        let config = self.config.iter().map(|path| format!("--config {} ", word(path)));
        let config: String = config.collect();
        format!("hookgate explain {config}--request {}", word(capture))
    }

    fn json(&self) -> serde_json::Value {
        let routes = self.routes().map(|(name, route)| {
            let reasons = route.reasons().map(|((kind, reason), counts, captures)| {
                let top = |tally: Option<&summary::Tally>| -> BTreeMap<String, u64> {
                    let top = tally.map(|tally| tally.top(SHOWN)).unwrap_or_default();
                    top.into_iter().map(|(text, count)| (text.to_owned(), count)).collect()
                };
                let captured =
                    captures.iter().map(|capture| json!({"file": capture, "explain": self.explain(capture)}));
                json!({
                    "outcome": kind.outcome(),
                    "reason": reason,
                    "requests": counts.map_or(0, |counts| counts.requests),
                    "distinct_clients": counts.map_or(0, |counts| counts.clients.distinct()),
                    "top_clients": top(counts.map(|counts| &counts.clients)),
                    "top_details": top(counts.map(|counts| &counts.details)),
                    "first": counts.and_then(|counts| counts.period.first.as_deref()),
                    "last": counts.and_then(|counts| counts.period.last.as_deref()),
                    "captured": captured.collect::<Vec<_>>(),
                })
            });
            let of = |kind| route.counts.map_or(0, |counts| counts.rejections(kind));
            json!({
                "route": name,
                "forwarded": route.counts.map_or(0, |counts| counts.forwarded),
                "would_be_rejected": of(RejectionKind::WouldBeRejected),
                "rejected": of(RejectionKind::Rejected),
                "other_outcomes": route.counts.map(|counts| &counts.others),
                "reasons": reasons.collect::<Vec<_>>(),
            })
        });
        json!({
            "requests": self.log.requests,
            "skipped_lines": self.log.unread,
            "first": self.log.period.first,
            "last": self.log.period.last,
            "routes": routes.collect::<Vec<_>>(),
        })
    }
}

/// A route in the log, in the captures, or in both.
struct RouteView<'r> {
    counts: Option<&'r RouteCounts>,
    captures: Option<&'r BTreeMap<(RejectionKind, String), Vec<PathBuf>>>,
}

impl<'r> RouteView<'r> {
    fn reasons(
        &self,
    ) -> impl Iterator<Item = (&'r (RejectionKind, String), Option<&'r ReasonCounts>, &'r [PathBuf])> + use<'_, 'r>
    {
        let counted = self.counts.iter().flat_map(|counts| counts.reasons.keys());
        let captured = self.captures.iter().flat_map(|captures| captures.keys());
        let mut keys: Vec<_> = counted.chain(captured).collect::<BTreeSet<_>>().into_iter().collect();
        let counts = |key| self.counts.and_then(|counts| counts.reasons.get(key));
        keys.sort_by_key(|key| (key.0, std::cmp::Reverse(counts(key).map_or(0, |counts| counts.requests))));
        keys.into_iter().map(move |key| {
            let captures = self.captures.and_then(|captures| captures.get(key)).map(Vec::as_slice);
            (key, self.counts.and_then(|counts| counts.reasons.get(key)), captures.unwrap_or_default())
        })
    }
}

impl RejectionKind {
    const fn words(self) -> &'static str {
        match self {
            Self::WouldBeRejected => "would be rejected",
            Self::Rejected => "rejected",
        }
    }

    /// The outcome in the log.
    const fn outcome(self) -> &'static str {
        match self {
            Self::WouldBeRejected => "dry_run_rejected",
            Self::Rejected => "rejected",
        }
    }
}

/// `1 client` or `2 clients`.
fn counted(number: impl std::fmt::Display, noun: &str) -> String {
    let number = number.to_string();
    let ending = if number == "1" { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// A path as a word of a command line.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
