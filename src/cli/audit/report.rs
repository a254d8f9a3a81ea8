//! The forms of a report: text for a terminal, SARIF and HTML.

mod html;
mod sarif;

use super::super::sign::Draft;
use super::credential::{masked_target, masked_value};
use super::finding::{AuditReport, Outcome};
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
pub(super) fn plan(target: &Target, known: &Knowledge, probes: &[Probe], allow_side_effects: bool) {
    println!(
        "{} checks of {} ({}), depth {}, after requests that show whether the endpoint answers. Some take two requests, \
         rejection-rate-unlimited takes 50",
        probes.len(),
        target.url(),
        target.address,
        known.depth().word()
    );
    for probe in probes {
        let note = match (probe.side_effects, allow_side_effects) {
            (false, _) => "",
            (true, true) => "  (valid credential)",
            (true, false) => "  (left out: needs --allow-side-effects)",
        };
        println!("  {:<28} {}{note}", probe.rule, probe.name);
    }
}

/// The request line and the headers, without credentials; of the body its length alone.
pub(super) fn masked(draft: &Draft) -> String {
    let mut text = format!("{} {}\n", draft.method, masked_target(&draft.target));
    for (name, value) in &draft.headers {
        text.push_str(&format!("{name}: {}\n", printable(&masked_value(name, value))));
    }
    text.push_str(&format!("({} bytes)", draft.body.len()));
    text
}

/// Status and beginning of the body, without the texts of `hidden`.
pub(super) fn described(answer: &Answer, hidden: &[String]) -> String {
    let mut body = String::from_utf8_lossy(&answer.body).into_owned();
    for secret in hidden {
        body = body.replace(secret.as_str(), "[masked]");
    }
    let body: String = printable(&without_long_words(&body)).chars().take(SHOWN).collect();
    format!("{} {body}", answer.status).trim_end().to_owned()
}

/// Characters of base64 or hex in a row, with a digit, that may be a signature.
const LONG_WORD: usize = 32;

/// The text with `[masked]` for each text that may be a signature: an endpoint may show the right one for any request.
fn without_long_words(text: &str) -> String {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-');
    let mut shown = String::new();
    for piece in text.split_inclusive(|c| !is_letter(c)) {
        let word = piece.trim_end_matches(|c| !is_letter(c));
        let is_secret = word.len() >= LONG_WORD && word.chars().any(|c| c.is_ascii_digit());
        shown.push_str(if is_secret { "[masked]" } else { word });
        shown.push_str(piece.get(word.len()..).unwrap_or_default());
    }
    shown
}

/// The text without control characters, with which a response could write to a terminal, and without characters that change
/// the direction of text or are not shown (Unicode general category Cf).
fn printable(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_may_be_a_signature_is_not_shown() {
        let hex = "0123456789abcdef".repeat(4);
        let base64 = "MDEyMzQ1Njc4OWFi/Y2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let text = format!(r#"{{"expected":"sha256={hex}","also":"{base64}","é":"kept","id":"evt_1"}}"#);
        let shown = r#"{"expected":"sha256=[masked]","also":"[masked]=","é":"kept","id":"evt_1"}"#;
        assert_eq!(without_long_words(&text), shown);
        assert_eq!(
            without_long_words("/app/node_modules/express/lib/router.js"),
            "/app/node_modules/express/lib/router.js"
        );
    }
}
