//! The results of an audit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue::{Depth, Fix, Mappings, Rule, Severity};
use super::timing::TimingComparison;

/// The report of one audit.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AuditReport {
    /// Version of this format.
    pub(super) format: u32,
    /// Version of hookgate.
    pub(super) hookgate: String,
    /// The URL of the endpoint.
    pub(super) url: String,
    /// The address to which its host was resolved.
    pub(super) address: String,
    /// Start of the audit (RFC 3339).
    pub(super) time: String,
    /// How much the audit knew.
    pub(super) depth: Depth,
    /// Number of requests that were sent.
    pub(super) requests: usize,
    /// Why the audit stopped before its end.
    pub(super) stopped: Option<String>,
    /// The times of rejections, if they were compared.
    pub(super) timing: Option<TimingComparison>,
    /// The weaknesses that were found, the worst first.
    pub(super) findings: Vec<Finding>,
    /// The rules that were checked.
    pub(super) checked: Vec<String>,
    /// The rules that could not be decided, or were not checked, with the reason.
    pub(super) unchecked: Vec<Unchecked>,
}

/// A weakness that was found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Finding {
    /// The rule that the endpoint breaks.
    pub(super) rule: String,
    /// How bad the weakness is.
    pub(super) severity: Severity,
    /// The weakness in a sentence.
    pub(super) title: String,
    /// What an attacker can do.
    pub(super) why: String,
    /// The requests that show it.
    pub(super) evidence: Vec<Evidence>,
    /// How to remove the weakness.
    pub(super) fix: Fix,
    /// Entries of public catalogues.
    pub(super) mappings: Mappings,
    /// URLs of the facts.
    pub(super) references: Vec<String>,
    /// Whether the baseline accepts this finding.
    pub(super) accepted: bool,
}

/// A request, with its credential masked, and the response.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Evidence {
    /// What was sent, in words.
    pub(super) probe: String,
    /// The request line and the headers.
    pub(super) request: String,
    /// Status and beginning of the body.
    pub(super) response: String,
}

/// The result of one probe.
pub(super) enum Outcome {
    /// The endpoint did as it should.
    Held,
    /// The endpoint has the weakness.
    Weak(Evidence),
    /// Neither could be shown, and why.
    Undecided(String),
}

/// A rule without a result.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Unchecked {
    /// The id of the rule.
    pub(super) rule: String,
    /// Why there is no result.
    pub(super) reason: String,
}

/// An earlier report, whose findings are accepted.
#[derive(Debug, Deserialize)]
pub(super) struct Baseline {
    pub(super) url: String,
    pub(super) findings: Vec<BaselineFinding>,
}

/// The id of an accepted finding.
#[derive(Debug, Deserialize)]
pub(super) struct BaselineFinding {
    pub(super) rule: String,
}

impl AuditReport {
    /// The reasons for which rules have no result, each with its rules.
    pub(super) fn unchecked_by_reason(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for unchecked in &self.unchecked {
            reasons.entry(&unchecked.reason).or_default().push(&unchecked.rule);
        }
        reasons
    }
}

impl Finding {
    pub(super) fn new(rule: &Rule, evidence: Vec<Evidence>, preset: Option<&str>) -> Self {
        let mut fix = rule.fix.clone();
        if let Some(preset) = preset {
            let variable = preset.to_ascii_uppercase().replace('-', "_");
            let with_preset = format!("preset: {preset}, secret: {{ env: {variable}_SECRET }}");
            fix.hookgate = fix.hookgate.replace("preset: stripe, secret: { env: STRIPE_SECRET }", &with_preset);
        }

        Self {
            rule: rule.id.clone(),
            severity: rule.severity,
            title: rule.title.clone(),
            why: rule.why.clone(),
            evidence,
            fix,
            mappings: rule.mappings.clone(),
            references: rule.source.clone(),
            accepted: false,
        }
    }
}
