//! The schema of `filter` of a route.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::number::{Number, Switch};
use super::scalar::PlaceKey;
use crate::config::reader::Field;

/// An entry of `filter`: exactly one of header, json, form and claim, and exactly one of is and is_not
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterRuleYaml {
    /// The rule's name in the access log and in metrics, unique in its route: 1 to 64 letters, digits, `-`, `_` and `.`.
    #[schemars(required, regex(pattern = "^[A-Za-z0-9_.-]{1,64}$"), example = &"pings")]
    pub name: Field<String>,
    /// Name of a header. Exactly one of `header`, `json`, `form` and `claim` is required.
    #[schemars(example = &"X-GitHub-Event")]
    pub header: Field<String>,
    /// JSON pointer into the body. The body is buffered.
    #[schemars(example = &"/type")]
    pub json: Field<String>,
    /// Field of a form body. The body is buffered.
    #[schemars(example = &"event")]
    pub form: Field<String>,
    /// Name of a claim of the JWT, or a JSON pointer to one.
    #[schemars(example = &"event_type")]
    pub claim: Field<String>,
    /// Events with this value are filtered: a value, or an operator as under `claims` of `jwt`, except `exists`. Exactly one
    /// of `is` and `is_not` is required.
    #[schemars(example = json!("ping"))]
    pub is: Field<Value>,
    /// Events with another value are filtered. One without a value, or with one of another type, is forwarded.
    #[schemars(example = json!({ "one_of": ["payment.succeeded", "payment.failed"] }))]
    pub is_not: Field<Value>,
    /// HTTP status of the response, which has no body: 200, or 202. If absent, it is 202 for security event tokens, otherwise
    /// 200.
    #[schemars(example = 202)]
    pub status: Field<Number<200, 202>>,
    /// `true` is required if the credential does not sign the field. An attacker who changes such a field makes
    /// the gateway acknowledge an event that the upstream never gets.
    #[schemars(example = true)]
    pub allow_unsigned: Switch<false>,
    /// Whether matching events are filtered, or only counted and logged.
    #[schemars(example = &"dry_run")]
    pub mode: Field<FilterModeYaml>,
}

impl FilterRuleYaml {
    /// The keys of which exactly one says which field is compared, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 4] {
        [
            PlaceKey::of("header", &self.header),
            PlaceKey::of("json", &self.json),
            PlaceKey::of("form", &self.form),
            PlaceKey::of("claim", &self.claim),
        ]
    }
}

/// Whether a rule is enforced
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "enforce"))]
pub enum FilterModeYaml {
    /// Matching events are acknowledged and not forwarded.
    #[default]
    Enforce,
    /// Dry run: matching events are forwarded; the access log and metrics show that they would be filtered.
    DryRun,
}
