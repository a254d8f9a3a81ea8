//! The rules of the audit: `rules.yaml`, embedded in the program.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::config::{reader, yaml};

/// Text of the rules.
const TEXT: &str = include_str!("rules.yaml");

/// Every rule, in the order of the file.
pub(super) static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    // A test checks that the file is valid.
    let document = yaml::read(TEXT).unwrap_or_default();
    let (rules, _report): (RuleList, _) = reader::read(&document, reader::Report::default());
    rules.rules
});

/// The rules, as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleList {
    rules: Vec<Rule>,
}

/// A weakness that the audit looks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The id, such as `timestamp-stale`.
    pub(super) id: String,
    /// The least that the audit must know.
    pub(super) needs: Depth,
    /// The argument without which the rule is not tried.
    #[serde(default)]
    pub(super) option: Option<String>,
    /// How bad the weakness is.
    pub(super) severity: Severity,
    /// The weakness in a sentence.
    pub(super) title: String,
    /// What an attacker can do.
    pub(super) why: String,
    /// How to remove the weakness.
    pub(super) fix: Fix,
    /// Entries of public catalogues that describe the weakness.
    pub(super) mappings: Mappings,
    /// URLs of the facts.
    pub(super) source: Vec<String>,
}

/// How to remove a weakness, in three frameworks and in gateway.yaml.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fix {
    /// In FastAPI.
    pub(super) fastapi: String,
    /// In Express.
    pub(super) express: String,
    /// In Rails.
    pub(super) rails: String,
    /// In gateway.yaml.
    pub(super) hookgate: String,
}

/// Entries of public catalogues.
#[derive(Clone, Debug, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mappings {
    /// OWASP API Security Top 10 2023, such as `API2:2023`.
    #[serde(default)]
    pub(super) owasp: Vec<String>,
    /// Numbers of the Common Weakness Enumeration.
    #[serde(default)]
    pub(super) cwe: Vec<u32>,
    /// Requirements of PCI DSS 4.0.1.
    #[serde(default)]
    pub(super) pci: Vec<String>,
}

/// How much the audit knows, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Depth {
    /// The URL alone.
    Blind,
    /// A captured request that the endpoint accepted.
    Captured,
    /// The key of the sender.
    Key,
}

impl Depth {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Captured => "captured",
            Self::Key => "key",
        }
    }

    /// The arguments that give this knowledge.
    const fn arguments(self) -> &'static str {
        match self {
            Self::Blind => "the URL",
            Self::Captured => "a captured request (--request)",
            Self::Key => "the key of the sender (--config, or --preset with --secret)",
        }
    }
}

/// Severity of a finding, from the lowest.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    clap::ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// A weakness that helps other attacks
    Low,
    /// A weakness with further conditions
    Medium,
    /// An attacker with a captured request or a token of another service gets in
    High,
    /// An attacker without anything gets in
    Critical,
}

impl Mappings {
    /// The entries, each with the name of its catalogue.
    pub(super) fn words(&self) -> Vec<String> {
        let owasp = self.owasp.iter().map(|risk| format!("OWASP {risk}"));
        let cwe = self.cwe.iter().map(|number| format!("CWE-{number}"));
        let pci = self.pci.iter().map(|requirement| format!("PCI DSS {requirement}"));
        owasp.chain(cwe).chain(pci).collect()
    }
}

impl Rule {
    /// Why an audit of this depth has no result for the rule.
    pub(super) fn missing(&self, depth: Depth) -> String {
        match &self.option {
            _ if self.needs > depth => format!("needs {}", self.needs.arguments()),
            Some(option) => format!("needs {option}"),
            None => "the endpoint has no such credential or connection".to_owned(),
        }
    }
}

impl Severity {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// The rule with this id. A test checks that every id in the code has a rule.
pub(super) fn rule(id: &str) -> anyhow::Result<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).ok_or_else(|| anyhow::anyhow!("no audit rule {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_valid_and_has_each_rule_once() {
        let document = yaml::read(TEXT).expect("YAML");
        let (list, report): (RuleList, _) = reader::read(&document, reader::Report::default());
        assert_eq!(report.problems.into_vec(), []);
        let mut ids: Vec<&str> = list.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert!(ids.len() > 40, "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), list.rules.len());
    }
}
