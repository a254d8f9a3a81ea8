//! SARIF 2.1.0 (OASIS), as code scanning reads it.

use serde_json::{Value, json};

use super::super::catalogue::{RULES, Severity};
use super::super::finding::{AuditReport, Finding};

/// The report as a SARIF log with one run.
pub(in super::super) fn sarif(report: &AuditReport) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.why},
                "helpUri": rule.source.first(),
                "help": {"text": help(&rule.fix.hookgate)},
                "defaultConfiguration": {"level": level(rule.severity)},
                "properties": {
                    "security-severity": score(rule.severity),
                    "tags": tags(&rule.mappings.owasp, &rule.mappings.cwe),
                },
            })
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "hookgate audit",
                "semanticVersion": report.hookgate,
                "rules": rules,
            }},
            "results": report.findings.iter().map(|finding| result(report, finding)).collect::<Vec<_>>(),
            "invocations": [{"executionSuccessful": report.stopped.is_none(), "startTimeUtc": report.time}],
        }],
    })
}

fn result(report: &AuditReport, finding: &Finding) -> Value {
    let shown = finding.evidence.iter().map(|evidence| format!("{}: {}", evidence.probe, evidence.response));
    let text = std::iter::once(finding.title.clone()).chain(shown).collect::<Vec<_>>().join("\n");
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": {"text": escaped(&text)},
        "locations": [{
            // Code scanning takes a path in the repository and a line. An endpoint has none, so this one names it.
            "physicalLocation": {"artifactLocation": {"uri": location(&report.url)}, "region": {"startLine": 1}},
            "logicalLocations": [{"fullyQualifiedName": report.url, "kind": "resource"}],
        }],
        "partialFingerprints": {"endpointRule/v1": format!("{}#{}", report.url, finding.rule)},
    });
    if finding.accepted
        && let Some(members) = result.as_object_mut()
    {
        members.insert("suppressions".to_owned(), json!([{"kind": "external"}]));
    }
    result
}

/// The endpoint as a relative URI: https://hooks.example.com:8443/webhook as webhook-audit/hooks.example.com/webhook.
fn location(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    let plain = |text: &str| text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect::<String>();
    format!("webhook-audit/{}/{}", plain(host), plain(path.split('?').next().unwrap_or_default()))
}

/// Text of a response is no placeholder and no link (SARIF 2.1.0 §3.11.5 and §3.11.6).
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace('{', "{{").replace('}', "}}")
}

fn help(fix: &str) -> String {
    format!("With hookgate in front of the application:\n{fix}")
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// A score in the ranges of code scanning: critical from 9.0, high from 7.0, medium from 4.0.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.5",
    }
}

fn tags(owasp: &[String], cwe: &[u32]) -> Vec<String> {
    let cwe = cwe.iter().map(|number| format!("external/cwe/cwe-{number:03}"));
    std::iter::once("security".to_owned()).chain(owasp.iter().cloned()).chain(cwe).collect()
}
