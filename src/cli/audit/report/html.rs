//! The report as one HTML page without scripts.

use super::super::catalogue::Severity;
use super::super::finding::{AuditReport, Finding};

/// The style: light and dark, and for paper.
const STYLE: &str = include_str!("report.css");

/// The report as a page.
pub(in super::super) fn html(report: &AuditReport) -> String {
    let count =
        |severity| report.findings.iter().filter(|finding| finding.severity == severity && !finding.accepted).count();
    let tiles: String = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low]
        .map(|severity| {
            let word = severity.word();
            format!("<div class=\"tile {word}\"><b>{}</b> {word}</div>", count(severity))
        })
        .concat();
    let findings: String = report.findings.iter().map(finding).collect();
    let findings = if findings.is_empty() { "<p>No weakness was found.</p>".to_owned() } else { findings };
    let codes = |rules: &[&str]| rules.iter().map(|rule| format!("<code>{}</code> ", escape(rule))).collect::<String>();
    let unchecked: String = report
        .unchecked_by_reason()
        .iter()
        .map(|(reason, rules)| format!("<tr><td>{}</td><td class=\"rules\">{}</td></tr>", escape(reason), codes(rules)))
        .collect();
    let checked = codes(&report.checked.iter().map(String::as_str).collect::<Vec<_>>());
    let stopped = report
        .stopped
        .as_ref()
        .map(|why| format!("<p class=\"stopped\">The audit stopped: {}</p>", escape(why)))
        .unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><title>Webhook audit of {url}</title><style>{STYLE}</style></head><body><main>\
         <h1>Webhook audit</h1><p><code>{url}</code> at {address}<br>{time}, {requests} requests, depth {depth}, hookgate \
         {version}</p>{stopped}<section class=\"tiles\" aria-label=\"Number of findings\">{tiles}</section>\
         <h2>Findings</h2>{findings}<h2>Checked rules</h2><p class=\"rules\">{checked}</p>\
         <h2>Rules without a result</h2><table><thead><tr><th>reason</th><th>rules</th></tr></thead><tbody>{unchecked}</tbody></table>\
         </main></body></html>\n",
        url = escape(&report.url),
        address = escape(&report.address),
        time = escape(&report.time),
        requests = report.requests,
        depth = report.depth.word(),
        version = escape(&report.hookgate),
    )
}

fn finding(finding: &Finding) -> String {
    let evidence: String = finding
        .evidence
        .iter()
        .map(|evidence| {
            format!(
                "<h4>{}</h4><pre>{}</pre><pre class=\"response\">{}</pre>",
                escape(&evidence.probe),
                escape(&evidence.request),
                escape(&evidence.response)
            )
        })
        .collect();
    let fixes: String = [
        ("hookgate", &finding.fix.hookgate),
        ("FastAPI", &finding.fix.fastapi),
        ("Express", &finding.fix.express),
        ("Rails", &finding.fix.rails),
    ]
    .map(|(name, fix)| {
        format!(
            "<details{}><summary>{name}</summary><pre>{}</pre></details>",
            if name == "hookgate" { " open" } else { "" },
            escape(fix)
        )
    })
    .concat();
    let mappings = finding.mappings.words().join(" · ");
    let link = |url: &String| format!("<a href=\"{0}\">{0}</a><br>", escape(url));
    let references: String = finding.references.iter().map(link).collect();
    let accepted = if finding.accepted { " <em>accepted by the baseline</em>" } else { "" };
    format!(
        "<article><h3><span class=\"badge {word}\">{word}</span> {title}{accepted}</h3><p class=\"rule\"><code>{rule}</code> {mappings}</p>\
         <p>{why}</p>{evidence}<h4>How to fix it</h4>{fixes}<p class=\"rule\">{references}</p></article>",
        word = finding.severity.word(),
        title = escape(&finding.title),
        rule = escape(&finding.rule),
        mappings = escape(&mappings),
        why = escape(&finding.why),
    )
}

/// Text of a response or of a URL, which must not become markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
