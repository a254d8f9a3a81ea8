//! `filter` of a route.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;

use super::auth::{covers, has_jwt};
use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::claims::ClaimTest;
use crate::auth::locator::Locator;
use crate::config::file::{FilterModeYaml, FilterRuleYaml};
use crate::config::reader::{Field, List, Section};
use crate::route::filter::FilterRule;

/// Maximum number of rules of a route: each is compared with every event, and is a label of a metric.
const MAX_RULES: usize = 32;

impl Compiler<'_> {
    pub(super) fn filter(
        &mut self,
        files: &Section<List<Section<FilterRuleYaml>>>,
        policy: Option<&Policy>,
    ) -> Vec<FilterRule> {
        self.not_empty(files, "must not be empty; add a rule or remove the key");
        if files.len() > MAX_RULES {
            self.problems.add(files.at, format!("expected at most {MAX_RULES} rules; combine some with `one_of`"));
        }
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut rules = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let rule = self.filter_rule(file, policy);
            if let Some(first) = file.name.text().and_then(|name| names.insert(name.to_owned(), index)) {
                self.problems.add(file.name.at, format!("duplicate name: filter[{first}] has it; choose another"));
            }
            rules.extend(rule);
        }
        rules
    }

    fn filter_rule(&mut self, file: &Section<FilterRuleYaml>, policy: Option<&Policy>) -> Option<FilterRule> {
        let name = self.filter_name(&file.name);
        let source = self.filter_source(file, policy);
        let keys = [("is", file.is.is_written()), ("is_not", file.is_not.is_written())];
        let only = self.only_one(file.at, &keys, ("exactly one of is and is_not", "has both is and is_not; keep one"));
        let is_inverted = only == Some("is_not");
        let test =
            only.and_then(|_| self.filter_test(if is_inverted { &file.is_not } else { &file.is }, source.as_ref()));
        let status = file.status.number::<u16>();
        if status == Some(201) {
            self.problems.add(file.status.at, "expected 200 or 202");
        }
        Some(FilterRule {
            name: name?.into(),
            source: source?,
            test: test?,
            is_inverted,
            status: status.and_then(|status| StatusCode::from_u16(status).ok()),
            observes: file.mode.or_default() == FilterModeYaml::DryRun,
        })
    }

    fn filter_name(&mut self, field: &Field<String>) -> Option<String> {
        let name = self.required(field, "a name for the log and metrics")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_plain = (1..=64).contains(&name.len()) && name.bytes().all(plain);
        self.check(field.at, is_plain.then(|| name.clone()).ok_or("expected 1 to 64 letters, digits, `-`, `_` or `.`"))
    }

    /// The field that is compared. One that is not signed needs the operator's consent: an attacker can change it.
    fn filter_source(&mut self, file: &Section<FilterRuleYaml>, policy: Option<&Policy>) -> Option<Locator> {
        let key = self.only_key(&file.places(), file.at)?;
        if key.0 == "claim" && policy.is_some_and(|policy| !has_jwt(policy)) {
            self.problems.add(key.2, "without a JWT there are no claims; use header, json or form");
        }
        let source = self.locator_under(key)?;
        let is_signed = policy.is_none_or(|policy| covers(policy, &source));
        if !is_signed && !file.allow_unsigned.get() {
            let problem =
                "set `allow_unsigned: true`: no signature covers this field, so that an attacker can change it";
            self.problems.add_follow_up(file.allow_unsigned.at, problem);
        } else if is_signed && policy.is_some() {
            let problem = "the credential signs this field; remove it";
            self.unused(&[file.allow_unsigned.written_at()], problem);
        }
        Some(source)
    }

    fn filter_test(&mut self, field: &Field<Value>, source: Option<&Locator>) -> Option<ClaimTest> {
        let test = self.claim_test(field)?;
        let is_text = |value: &Value| value.is_string();
        let fits_text = match &test {
            ClaimTest::Equals(value) | ClaimTest::Contains(value) => is_text(value),
            ClaimTest::OneOf(values) | ClaimTest::ContainsAny(values) => values.iter().all(is_text),
            ClaimTest::Prefix(_) | ClaimTest::Matches(_) => true,
            ClaimTest::Exists(_) => {
                self.problems.add(field.at, "`exists` has no effect: an event without the field is always forwarded");
                return None;
            }
        };
        if !fits_text && matches!(source, Some(Locator::Header { .. } | Locator::Form(_))) {
            self.problems.add(field.at, "a header or form field is text: put the value in quotes");
        }
        Some(test)
    }
}
