//! The results of the probes, by rule.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{Depth, RULES, rule};
use super::finding::{Evidence, Finding, Unchecked};

/// Requests that a finding shows.
const SHOWN: usize = 5;

/// The results of the probes, by rule.
#[derive(Default)]
pub(super) struct Results {
    evidence: BTreeMap<&'static str, Vec<Evidence>>,
    checked: BTreeSet<&'static str>,
    undecided: BTreeMap<&'static str, String>,
}

impl Results {
    /// The endpoint did as the rule demands.
    pub(super) fn held(&mut self, rule: &'static str) {
        self.checked.insert(rule);
    }

    /// The endpoint broke the rule.
    pub(super) fn weak(&mut self, rule: &'static str, evidence: Evidence) {
        self.checked.insert(rule);
        let known = self.evidence.entry(rule).or_default();
        if known.len() < SHOWN && known.iter().all(|shown| shown.probe != evidence.probe) {
            known.push(evidence);
        }
    }

    /// Whether the endpoint broke the rule.
    pub(super) fn is_weak(&self, rule: &str) -> bool {
        self.evidence.contains_key(rule)
    }

    /// A probe gave no result. The first reason counts, and none if another probe of the rule gave a result.
    pub(super) fn undecided(&mut self, rule: &'static str, why: &str) {
        self.undecided.entry(rule).or_insert_with(|| why.to_owned());
    }

    /// The rules that were checked.
    pub(super) fn checked(&self) -> Vec<String> {
        self.checked.iter().map(|&id| id.to_owned()).collect()
    }

    /// The rules without a result, with the reason.
    pub(super) fn unchecked(&self, depth: Depth) -> Vec<Unchecked> {
        let rules = RULES.iter().filter(|rule| !self.checked.contains(rule.id.as_str()));
        let unchecked = rules.map(|rule| Unchecked {
            rule: rule.id.clone(),
            reason: self.undecided.get(rule.id.as_str()).cloned().unwrap_or_else(|| rule.missing(depth)),
        });
        unchecked.collect()
    }

    /// The findings, the worst first. Their fixes name the preset, if it is known.
    pub(super) fn findings(self, preset: Option<&str>) -> anyhow::Result<Vec<Finding>> {
        let findings = self.evidence.into_iter().map(|(id, evidence)| Ok(Finding::new(rule(id)?, evidence, preset)));
        let mut findings = findings.collect::<anyhow::Result<Vec<Finding>>>()?;
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.rule.cmp(&b.rule)));
        Ok(findings)
    }
}
