//! The file of `hookgate test`: requests with their expected outcomes. It is read as gateway.yaml is: strictly, and with
//! every problem at its line.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Policy, Reason};
use crate::cli::sign::needed;
use crate::config::file::Number;
use crate::config::reader::{self, Field, List, Problems, Report, Section};
use crate::config::yaml;
use crate::config::{Config, ConfigErrors};
use crate::metrics::Outcome;

/// The outcomes that a request can have without an upstream and a store.
const OUTCOMES: &[Outcome] =
    &[Outcome::Forwarded, Outcome::Rejected, Outcome::DryRunRejected, Outcome::Filtered, Outcome::ChallengeAnswered];

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CasesYaml {
    /// File with a JWKS: the keys of every issuer with a JWKS URL.
    pub(super) jwks: Field<String>,
    /// File with the private key that signs where a case names none.
    pub(super) key: Field<String>,
    pub(super) cases: Section<List<Section<CaseYaml>>>,
}

/// A request, and its expected outcome.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseYaml {
    pub(super) name: Field<String>,
    /// File with a captured request.
    pub(super) request: Field<String>,
    /// A request to generate instead.
    pub(super) sign: Section<SignYaml>,
    /// The time at which the request is received.
    pub(super) now: Field<String>,
    pub(super) client_address: Field<String>,
    pub(super) expect: Section<ExpectYaml>,
}

/// A request that is signed by the rules of a route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignYaml {
    pub(super) route: Field<String>,
    pub(super) body: Field<String>,
    pub(super) method: Field<String>,
    pub(super) url: Field<String>,
    pub(super) headers: Section<BTreeMap<String, Field<String>>>,
    pub(super) claims: Section<BTreeMap<String, Field<Value>>>,
    pub(super) key: Field<String>,
    pub(super) kid: Field<String>,
    /// The time at which it is signed.
    pub(super) now: Field<String>,
    /// Headers that are removed after it was signed.
    pub(super) remove_headers: Section<List<String>>,
    /// File with the body that is sent instead of the signed one.
    pub(super) sent_body: Field<String>,
}

/// An expected outcome: each key that is written must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectYaml {
    pub(super) outcome: Field<String>,
    pub(super) reason: Field<String>,
    pub(super) status: Field<Number<200, 599>>,
    pub(super) route: Field<String>,
}

/// A file that was read, and is not yet compared with a configuration.
pub(super) struct Cases {
    name: String,
    file: CasesYaml,
    report: Report,
}

impl Cases {
    /// Reads the file, and checks what does not depend on the configuration.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigErrors::unreadable(&*name, error.to_string()))?;
        match parse(&text) {
            Ok((file, report)) => Ok(Self { name, file, report }),
            Err(problems) => Err(ConfigErrors::new(name, problems)),
        }
    }

    /// The cases, if each names routes of the configuration, and for a generated request only keys that have an effect.
    pub(super) fn checked(self, config: &Config) -> Result<CasesYaml, ConfigErrors> {
        let Self { name, file, mut report } = self;
        for case in file.cases.iter() {
            check_names(case, config, &mut report.problems);
            if case.sign.is_written {
                check_effects(&case.sign, config, &mut report.problems);
            }
        }
        let problems = report.problems.into_vec();
        if problems.is_empty() { Ok(file) } else { Err(ConfigErrors::new(name, problems)) }
    }
}

/// Checks the names of routes.
fn check_names(case: &CaseYaml, config: &Config, problems: &mut Problems) {
    let names: Vec<&str> = config.snapshot.routes.routes().map(|route| &*route.name).collect();
    let is_none = case.expect.route.text() == Some("none");
    for field in [Some(&case.sign.route), Some(&case.expect.route).filter(|_| !is_none)].into_iter().flatten() {
        let Some(text) = field.text().filter(|text| !names.contains(text)) else { continue };
        let nearest = reader::nearest(text, names.iter().copied()).map(|name| format!("did you mean {name}?"));
        let nearest = nearest.unwrap_or_else(|| format!("the routes are {}", names.join(", ")));
        problems.add(field.at, format!("no route {text:?}; {nearest}"));
    }
    if case.sign.is_written && !case.sign.route.is_written() && names.len() > 1 {
        problems.add(case.sign.at, format!("expected a `route`, since there are several: {}", names.join(", ")));
    }
}

/// Checks that the route's credential has the claims and the key ID of a generated request.
fn check_effects(sign: &SignYaml, config: &Config, problems: &mut Problems) {
    let mut routes = config.snapshot.routes.routes();
    let Some(route) = routes.find(|route| sign.route.text().is_none_or(|name| *route.name == *name)) else { return };
    let leaves = needed(&route.rules.policy);
    let has_claims = leaves.iter().any(|leaf| matches!(leaf, Policy::Jwt(_)));
    let has_key_id = |leaf: &&Policy| matches!(leaf, Policy::Detached(_) | Policy::MessageSignature(_));
    let has_key_id = has_claims || leaves.iter().any(has_key_id);
    let unused = |what: &str| format!("has no effect: the request for the route {} has no {what}", route.name);
    if let Some(at) = sign.claims.written_at().filter(|_| !has_claims) {
        problems.add(at, unused("token with claims"));
    }
    if let Some(at) = sign.kid.written_at().filter(|_| !has_key_id) {
        problems.add(at, unused("token and no HTTP message signature"));
    }
}

fn parse(text: &str) -> Result<(CasesYaml, Report), Vec<crate::config::Problem>> {
    let document = yaml::read(text)?;
    let (file, mut report): (CasesYaml, Report) = reader::read(&document, Report::default());
    let problems = &mut report.problems;
    if file.cases.is_empty() {
        problems.add_unless_known(file.cases.at, "expected at least one case");
    }
    file.cases.iter().for_each(|case| check(case, problems));
    if problems.is_empty() { Ok((file, report)) } else { Err(report.problems.into_vec()) }
}

fn check(case: &Section<CaseYaml>, problems: &mut Problems) {
    if !case.name.is_written() {
        problems.add_unless_known(case.name.at, "a case needs a name");
    }
    if case.request.is_written() == case.sign.is_written {
        problems
            .add_unless_known(case.at, "expected exactly one of `request` (a file) and `sign` (a request to generate)");
    }
    if let Some(text) = case.client_address.text().filter(|text| text.parse::<IpAddr>().is_err()) {
        problems.add(case.client_address.at, format!("expected an IP address, got {text:?}"));
    }
    let expect = &case.expect;
    let is_empty = !expect.outcome.is_written()
        && !expect.reason.is_written()
        && !expect.status.is_written()
        && !expect.route.is_written();
    if is_empty {
        let message = "expected `outcome`, `reason`, `status` or `route`, such as { outcome: forwarded } or \
                       { reason: invalid_signature }";
        problems.add_unless_known(expect.at, message);
    }
    let outcomes: Vec<&str> = OUTCOMES.iter().map(|outcome| outcome.label()).collect();
    if let Some(text) = expect.outcome.text().filter(|text| !outcomes.contains(text)) {
        problems.add(expect.outcome.at, format!("expected one of {}, got {text:?}", outcomes.join(", ")));
    }
    let reasons = || Reason::ALL.iter().map(|reason| reason.word());
    if let Some(text) = expect.reason.text().filter(|text| !reasons().any(|word| word == *text)) {
        let nearest = reader::nearest(text, reasons()).map(|word| format!("; did you mean {word}?"));
        let nearest = nearest.unwrap_or_else(|| "; docs/reference/reasons.md lists them".to_owned());
        problems.add(expect.reason.at, format!("no reason {text:?}{nearest}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_the_file_has_its_place() {
        let text = "cases:\n  - name: a\n    request: a.http\n    sign: { route: r }\n    expect: { outcome: passed }\n  \
                    - name: b\n    request: b.http\n    client_address: here\n    expect: { reason: token_expire }\n  \
                    - request: c.http\n    expects: {}\n";
        let problems: Vec<String> =
            parse(text).err().unwrap().iter().map(|it| format!("{} {}", it.field, it.message)).collect();
        let problems = problems.join("\n");
        for problem in [
            "cases[0] expected exactly one of `request`",
            "cases[0].expect.outcome expected one of forwarded",
            "cases[1].client_address expected an IP address",
            "cases[1].expect.reason no reason \"token_expire\"; did you mean token_expired?",
            "cases[2].name a case needs a name",
            "cases[2].expects ",
        ] {
            assert!(problems.contains(problem), "{problem}: {problems}");
        }
    }
}
