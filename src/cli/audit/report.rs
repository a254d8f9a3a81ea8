//! The forms of a report: text for a terminal, SARIF and HTML.

mod html;
mod sarif;

use super::super::sign::Draft;
use super::connection::Outcome;
use super::finding::AuditReport;
use super::knowledge::Knowledge;
use super::probe::Probe;
use super::target::{Answer, Target};
pub(super) use html::html;
pub(super) use sarif::sarif;

/// Characters of a response that a report shows.
const SHOWN: usize = 200;

/// One line about a probe.
pub(super) fn line(probe: &Probe, outcome: &Outcome) -> String {
    let (mark, more) = match outcome {
        Outcome::Held => ("ok", String::new()),
        Outcome::Weak(evidence) => ("WEAK", format!("  {}", evidence.response.lines().next().unwrap_or_default())),
        Outcome::Undecided(why) => ("?", format!("  {why}")),
    };
    format!("{mark:<5} {:<28} {}{more}", probe.rule, probe.name)
}

/// The end of the output on a terminal.
pub(super) fn text(report: &AuditReport) -> String {
    let mut text = format!("\n{} requests to {} ({})\n", report.requests, report.url, report.address);
    for finding in &report.findings {
        let accepted = if finding.accepted { " (accepted by the baseline)" } else { "" };
        text.push_str(&format!(
            "\n{}  {}{accepted}\n  {}\n  {}\n",
            finding.severity.word().to_uppercase(),
            finding.rule,
            finding.title,
            finding.why
        ));
        for evidence in &finding.evidence {
            text.push_str(&format!(
                "  sent: {}\n  got:  {}\n",
                evidence.probe,
                evidence.response.lines().next().unwrap_or_default()
            ));
        }
        text.push_str(&format!("  in hookgate:\n{}", indented(&finding.fix.hookgate)));
    }
    for (reason, rules) in report.unchecked_by_reason() {
        text.push_str(&format!("\nNo result ({reason}):\n  {}\n", rules.join(" ")));
    }
    if let Some(timing) = &report.timing {
        text.push_str(&format!("\nTime of rejections: {}\n", timing.text()));
    }
    text.push_str(&format!("\n{} rules checked, {} broken", report.checked.len(), report.findings.len()));
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// The requests that would be sent.
pub(super) fn plan(target: &Target, known: &Knowledge, probes: &[Probe], left_out: &[&str]) {
    println!(
        "{} requests or checks against {}{} ({}), depth {}",
        probes.len(),
        target.origin,
        target.path,
        target.address,
        known.depth().word()
    );
    for probe in probes {
        let event = if probe.side_effects { "  (valid credential)" } else { "" };
        println!("  {:<28} {}{event}", probe.rule, probe.name);
    }
    for rule in left_out {
        println!("  {rule:<28} left out: --allow-side-effects");
    }
}

/// The request line and the headers, with the credentials masked; of the body its length alone.
pub(super) fn masked(draft: &Draft, credentials: &[String]) -> String {
    let mut text = format!(
        "{} {}\n",
        draft.method,
        draft
            .target
            .split_once("access_token=")
            .map_or(draft.target.clone(), |(start, _)| format!("{start}access_token=…"))
    );
    for (name, value) in &draft.headers {
        let is_credential = credentials.contains(&name.to_ascii_lowercase()) || name == "authorization";
        let value = if is_credential { mask(value) } else { printable(value) };
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(&format!("({} bytes)", draft.body.len()));
    text
}

/// The beginning of a credential.
fn mask(value: &str) -> String {
    let start: String = value.chars().take(12).collect();
    if start.len() < value.len() { format!("{}…", printable(&start)) } else { printable(&start) }
}

/// Status and beginning of the body, without the texts of `hidden`.
pub(super) fn described(answer: &Answer, hidden: &[&str]) -> String {
    let mut body = String::from_utf8_lossy(&answer.body).into_owned();
    for secret in hidden {
        body = body.replace(secret, "[masked]");
    }
    let body: String = printable(&body).chars().take(SHOWN).collect();
    format!("{} {body}", answer.status).trim_end().to_owned()
}

/// The text without control characters, with which a response could write to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
