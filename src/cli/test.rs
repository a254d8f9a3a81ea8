//! `hookgate test`: evaluates captured or generated requests by gateway.yaml and compares each outcome with the expected
//! one, for a pipeline that tests a configuration. It makes no connection.

mod cases;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::arguments::{OutputFormat, at, config_path};
use super::explain::findings::{self, Circumstances, Findings};
use super::explain::keys::KeySource;
use super::explain::message::{self, Captured};
use super::sign::{SignRequest, signed};
use crate::auth::Reason;
use crate::clock::{Clock, SystemClock, UnixTime};
use crate::config::{self, Config, Handles};
use crate::failure;
use cases::{CaseYaml, Cases, CasesYaml, ExpectYaml, SignYaml};

/// The advice for missing keys.
const NO_KEYS: &str =
    "the issuer has a JWKS URL, and nothing is fetched: name a file with its JWKS under `jwks` of the file of cases";

/// Options of `explain` and `sign` that their hints and errors name, and what a file of cases has instead.
const OPTIONS: &[(&str, &str)] = &[
    ("--now", "`now`"),
    ("--client-address", "`client_address`"),
    ("--route", "`route`"),
    ("--url", "`url`"),
    ("--header", "`headers`"),
    ("--key", "`key`"),
    ("--jwks", "`jwks`"),
    ("--certificate", "`hookgate explain --certificate`"),
    ("--body", "`hookgate explain --body`"),
];

/// Arguments of `hookgate test`.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// File with the requests and their expected outcomes
    #[arg(value_name = "CASES")]
    cases: PathBuf,
    /// Configuration file [env: HOOKGATE_CONFIG] [default: gateway.yaml]
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// A case is not as expected: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} cases are not as expected")]
pub(super) struct Unexpected(usize, usize);

/// The result of a case.
struct Tested<'c> {
    name: &'c str,
    expected: &'c ExpectYaml,
    found: anyhow::Result<Findings>,
}

pub(super) fn test(arguments: &TestArguments) -> anyhow::Result<()> {
    let cases = Cases::read(&arguments.cases)?;
    let config = config::load(&config_path(arguments.config.as_deref()), &Handles::default())?;
    let file = cases.checked(&config)?;
    let base = Base { folder: &arguments.cases, file: &file };
    let requests: Vec<_> = file.cases.iter().map(|case| base.request(&config, case)).collect();
    let latest = requests.iter().flatten().map(|(_, now)| *now).max().unwrap_or_else(|| SystemClock.now());
    let jwks = file.jwks.text().map(|name| base.path(name));
    let keys = KeySource::prepare(&config, (jwks.as_deref(), Some(NO_KEYS)), latest)?;
    let tested = file.cases.iter().zip(requests).map(|(case, request)| Tested {
        name: case.name.text().unwrap_or_default(),
        expected: &case.expect,
        found: request.and_then(|(captured, now)| {
            let client_address = case.client_address.text().and_then(|text| text.parse::<IpAddr>().ok());
            let circumstances = Circumstances { route: None, certificate: None, client_address, now };
            let mut found = findings::find(&config, &captured, &circumstances, &keys)?;
            found.hints = found.hints.iter().map(|hint| with_keys(hint)).collect();
            Ok(found)
        }),
    });
    let tested: Vec<Tested<'_>> = tested.collect();
    let failed = tested.iter().filter(|one| !one.is_as_expected()).count();
    match arguments.format {
        OutputFormat::Text => print!("{}", text(&tested, failed)),
        OutputFormat::Json => {
            let cases: Vec<Value> = tested.iter().map(Tested::as_json).collect();
            println!("{:#}", json!({ "cases": cases, "failed": failed }));
        }
    }
    if failed == 0 { Ok(()) } else { Err(Unexpected(failed, tested.len()).into()) }
}

/// The file of cases, from whose folder its paths start.
struct Base<'c> {
    folder: &'c Path,
    file: &'c CasesYaml,
}

impl Base<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.with_file_name(name)
    }

    /// The request of a case, and the time at which it is evaluated.
    fn request(&self, config: &Config, case: &CaseYaml) -> anyhow::Result<(Captured, UnixTime)> {
        let now = case.now.text().map(|text| at(Some(text))).transpose()?;
        if let Some(name) = case.request.text() {
            let path = self.path(name);
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let captured = message::read(&bytes, None).with_context(|| path.display().to_string())?;
            let stated = message::time(&path, &captured);
            return Ok((captured, now.or(stated).unwrap_or_else(|| SystemClock.now())));
        }
        let now = now.unwrap_or_else(|| SystemClock.now());
        Ok((self.signed(config, &case.sign, now)?, now))
    }

    fn signed(&self, config: &Config, sign: &SignYaml, now: UnixTime) -> anyhow::Result<Captured> {
        let named = |field: &Option<&str>| field.map(|name| self.path(name));
        let request = SignRequest {
            route: sign.route.text().map(str::to_owned),
            body: named(&sign.body.text()),
            method: sign.method.text().map(str::to_owned),
            url: sign.url.text().map(str::to_owned),
            headers: sign
                .headers
                .iter()
                .filter_map(|(name, value)| Some(format!("{name}: {}", value.text()?)))
                .collect(),
            claims: sign.claims.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.value()?))).collect(),
            key: named(&sign.key.text().or(self.file.key.text())).unwrap_or_else(|| self.path("certs/issuer.key")),
            kid: sign.kid.text().map(str::to_owned),
            now: sign.now.text().map_or_else(|| now.seconds().to_string(), str::to_owned),
        };
        let sent_body = named(&sign.sent_body.text());
        let read = |path: PathBuf| std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
        let sent_body = sent_body.map(read).transpose()?;
        let mut captured = message::read(&signed(config, request)?, sent_body.as_deref())?;
        sign.remove_headers.iter().for_each(|name| captured.remove_header(name));
        Ok(captured)
    }
}

impl Tested<'_> {
    /// The status of the response to a rejected request; `None` where it is the upstream's or that of a challenge.
    fn status(&self) -> Option<u16> {
        let found = self.found.as_ref().ok()?;
        let reason = found.verdict.err()?;
        let of_route = found.route.as_ref().and_then(|route| route.status_overrides.get(&reason).copied());
        Some(of_route.unwrap_or_else(|| failure::status(reason)).as_u16())
    }

    /// Each expected value that differs, with the one that was found.
    fn differences(&self) -> Vec<String> {
        let found = match &self.found {
            Ok(found) => found,
            Err(error) => return vec![with_keys(&format!("{error:#}"))],
        };
        let reason = found.reason.map_or("none", Reason::word);
        let route = found.route.as_ref().map_or("none", |route| &*route.name);
        let status = self.status().map_or_else(|| "none".to_owned(), |status| status.to_string());
        let expected_status = self.expected.status.number::<u16>().map(|status| status.to_string());
        let pairs = [
            ("outcome", self.expected.outcome.text(), found.outcome()),
            ("reason", self.expected.reason.text(), reason),
            ("status", expected_status.as_deref(), &*status),
            ("route", self.expected.route.text(), route),
        ];
        let differ = pairs.into_iter().filter_map(|(name, expected, found)| {
            let expected = expected.filter(|expected| *expected != found)?;
            Some(format!("expected {name} {expected}, got {found}"))
        });
        differ.collect()
    }

    fn is_as_expected(&self) -> bool {
        self.differences().is_empty()
    }

    /// The outcome and the reason, in words.
    fn outcome(&self) -> String {
        match &self.found {
            Ok(found) => match found.reason {
                Some(reason) => format!("{} {}", found.outcome(), reason.word()),
                None => found.outcome().to_owned(),
            },
            Err(_) => "no request".to_owned(),
        }
    }

    fn as_json(&self) -> Value {
        let mut value = match &self.found {
            Ok(found) => found.as_json(),
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        if let Some(members) = value.as_object_mut() {
            members.insert("name".to_owned(), self.name.into());
            members.insert("passed".to_owned(), self.is_as_expected().into());
            members.insert("differences".to_owned(), self.differences().into());
            members.insert("status".to_owned(), self.status().into());
        }
        value
    }
}

/// The text with keys of a file of cases instead of options that this command does not have.
fn with_keys(text: &str) -> String {
    OPTIONS.iter().fold(text.to_owned(), |text, (option, key)| text.replace(option, key))
}

fn text(tested: &[Tested<'_>], failed: usize) -> String {
    let width = tested.iter().map(|one| one.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for one in tested {
        let differences = one.differences();
        let mark = if differences.is_empty() { "ok  " } else { "FAIL" };
        text.push_str(&format!("{mark}  {:<width$}  {}\n", one.name, one.outcome()));
        for difference in &differences {
            text.push_str(&format!("      {difference}\n"));
        }
        let hints = one.found.as_ref().map(|found| found.hints.as_slice()).unwrap_or_default();
        for hint in hints.iter().filter(|_| !differences.is_empty()) {
            text.push_str(&format!("      hint: {hint}\n"));
        }
    }
    text.push_str(&format!("\n{} cases: {} as expected, {failed} not\n", tested.len(), tested.len() - failed));
    text
}
