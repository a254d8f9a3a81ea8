//! The evaluation of one captured request: the gateway's checks in their order, the verdict, and the probable causes of
//! a rejection. `explain` prints it, `test` compares it with the expected outcome.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::hints;
use super::keys::KeySource;
use super::message::Captured;
use super::token;
use super::trial::Trial;
use crate::auth::Reason;
use crate::auth::explanation::{Explanation, Note};
use crate::cli::arguments::find_route;
use crate::clock::UnixTime;
use crate::config::Config;
use crate::failure::Failure;
use crate::metrics::Outcome;
use crate::proxy::websocket;
use crate::route::table::Unrouted;
use crate::route::{ChallengeStage, Route, validate_path, validate_slashes};

/// The checks in order, the verdict (an outcome, or the reason of a rejection) and the hints.
pub(in crate::cli) struct Findings {
    pub(in crate::cli) route: Option<Arc<Route>>,
    pub(in crate::cli) checks: Vec<Note>,
    pub(in crate::cli) verdict: Result<Outcome, Reason>,
    /// The reason of the rejection, also of one that a dry run does not enforce.
    pub(in crate::cli) reason: Option<Reason>,
    pub(in crate::cli) hints: Vec<String>,
}

/// The circumstances of a request, which are not in it.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Circumstances<'a> {
    /// The route to evaluate, instead of the one that matches.
    pub(in crate::cli) route: Option<&'a str>,
    /// The file at the URL of the certificate that the request names.
    pub(in crate::cli) certificate: Option<&'a [u8]>,
    pub(in crate::cli) client_address: Option<IpAddr>,
    pub(in crate::cli) now: UnixTime,
}

/// Evaluates a request; where the keys of its route are missing, they are fetched, and it is evaluated again.
pub(in crate::cli) fn find(
    config: &Config,
    captured: &Captured,
    circumstances: &Circumstances<'_>,
    keys: &KeySource,
) -> anyhow::Result<Findings> {
    let mut findings = evaluate(config, captured.clone(), circumstances)?;
    let lacks_keys = matches!(findings.reason, Some(Reason::JwksUnavailable | Reason::UnknownKey));
    let Some(route) = findings.route.clone() else { return Ok(findings) };
    if lacks_keys && keys.fetch(&route) {
        findings = evaluate(config, captured.clone(), circumstances)?;
    }
    findings.checks.splice(0..0, keys.notes(&route));
    if findings.reason == Some(Reason::UnknownKey) {
        findings.hints.extend(keys.skipped.iter().map(|key| format!("a key of the JWKS is not used: {key}")));
    }
    if findings.reason == Some(Reason::JwksUnavailable) {
        findings.hints.push(keys.hint().to_owned());
    }
    Ok(findings)
}

fn evaluate(
    config: &Config,
    captured: Captured,
    &Circumstances { route: name, certificate, client_address, now }: &Circumstances<'_>,
) -> anyhow::Result<Findings> {
    let mut findings =
        Findings { route: None, checks: Vec::new(), verdict: Ok(Outcome::Forwarded), reason: None, hints: Vec::new() };
    let came = captured.head.uri.path();
    let read = validate_path(came).map(|path| (path, false));
    let Ok((path, slashes)) = read.or_else(|_| validate_slashes(came).map(|path| (path.into(), true))) else {
        findings.note("path", "ambiguous: two programs could read it differently");
        return Ok(findings.rejected(Reason::AmbiguousPath));
    };
    let host = captured.host().to_owned();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).to_owned();
    let found = config.snapshot.routes.find(&host, &path, &captured.head.method);
    findings.note(
        "route",
        match &found {
            Ok(route) => format!("{} matches {} {path} on host {host:?}", route.name, captured.head.method),
            Err(Unrouted::NoRoute) => format!("no route matches {path} on host {host:?}"),
            Err(Unrouted::Ambiguous) => format!("an application could read {path} as the path of a stricter route"),
            Err(Unrouted::MethodNotAllowed(methods)) => {
                format!("{path} allows {methods:?}, not {}", captured.head.method)
            }
        },
    );
    if slashes && name.is_none() && !matches!(&found, Ok(route) if route.matches.encoded_slashes) {
        findings.note("path", "encoded slashes (`%2F`), which need match.allow_encoded_slashes");
        return Ok(findings.rejected(Reason::AmbiguousPath));
    }
    let route = match (name, found) {
        (Some(name), _) => find_route(config, Some(name))?,
        (None, Ok(route)) => Arc::clone(route),
        (None, Err(unrouted)) => {
            findings.hints = hints::of_target(config, &host, &path, &captured.head.method);
            return Ok(findings.rejected(Failure::Unrouted(unrouted).reason()));
        }
    };
    findings.route = Some(Arc::clone(&route));
    let tenant = route.matches.tenant(&path).map(str::to_owned);
    if let Err(reason) = before_authentication(&route, &captured, client_address, &mut findings) {
        return Ok(findings.rejected(reason));
    }
    let trial = Trial { route: &route, captured, now, tenant, attempts: Cell::default() };
    findings.checks.extend(certificate.and_then(|file| trial.give_certificate(file)));
    Ok(authenticate(config, &trial, findings))
}

/// The checks of the address, the upgrade and the size.
fn before_authentication(
    route: &Route,
    captured: &Captured,
    client_address: Option<IpAddr>,
    findings: &mut Findings,
) -> Result<(), Reason> {
    match client_address {
        _ if route.allowed_ips.is_none() => {}
        None => findings.note("allowed_ips", "not checked: pass the client's address with --client-address"),
        Some(address) if route.admits(address) => findings.note("allowed_ips", format!("{address} is in a range")),
        Some(address) => {
            findings.note("allowed_ips", format!("{address} is in none of the ranges"));
            return Err(Reason::IpNotAllowed);
        }
    }
    match websocket::requested(&captured.head, route) {
        Ok(None) => {}
        Ok(Some(_)) => findings.note("upgrade", "a WebSocket handshake, which the route forwards"),
        Err(reason) => {
            findings.note("upgrade", "asks for WebSocket");
            findings.hints.extend(reason.hint().map(str::to_owned));
            return Err(reason);
        }
    }
    let length = captured.body.len();
    findings.note("body", format!("{length} bytes; at most {} are allowed", route.max_body));
    let is_too_large = u64::try_from(length).unwrap_or(u64::MAX) > route.max_body;
    if is_too_large { Err(Reason::BodyTooLarge) } else { Ok(()) }
}

fn authenticate(config: &Config, trial: &Trial<'_>, mut findings: Findings) -> Findings {
    if let Some(answer) = trial.answer(ChallengeStage::Unauthenticated) {
        findings.checks.push(answer);
        return Findings { verdict: Ok(Outcome::ChallengeAnswered), ..findings };
    }
    findings.checks.extend(token::notes(trial));
    let mut explanation = Explanation::on();
    let result = trial.verdict(&mut explanation);
    findings.checks.extend(explanation.into_vec());
    let reason = match result {
        Ok(grant) => {
            let answer = trial.answer(ChallengeStage::Authenticated);
            if answer.is_some() {
                findings.verdict = Ok(Outcome::ChallengeAnswered);
            } else {
                for rule in trial.filtered(&grant) {
                    let is_enforced = !trial.only_observes(rule);
                    let end = if is_enforced { "filtered by" } else { "filtered, if it were no dry run, by" };
                    findings.note("filter", format!("would be {end} rule {}", rule.name));
                    findings.verdict = if is_enforced { Ok(Outcome::Filtered) } else { findings.verdict };
                }
            }
            findings.checks.extend(answer);
            return findings;
        }
        Err(reason) => reason,
    };
    let mismatches = token::mismatches(config, trial);
    findings.checks.extend(mismatches.iter().map(token::Mismatch::note));
    findings.hints = hints::find(config, trial, reason, &mismatches);
    if trial.route.observes(trial.now) {
        findings.hints.push("the route is in dry run: the request is forwarded, and counted as rejected".to_owned());
        return Findings { verdict: Ok(Outcome::DryRunRejected), reason: Some(reason), ..findings };
    }
    if reason == Reason::SigningCertificateUnavailable {
        let hint = "the request names its certificate by URL, and explain fetches nothing that a request names: download \
                    that file and pass it with --certificate";
        findings.hints.push(hint.to_owned());
    }
    findings.rejected(reason)
}

impl Findings {
    fn note(&mut self, check: &'static str, found: impl Into<String>) {
        self.checks.push(Note { check, found: found.into() });
    }

    fn rejected(self, reason: Reason) -> Self {
        Self { verdict: Err(reason), reason: Some(reason), ..self }
    }

    /// An outcome, such as `forwarded` or `rejected`.
    pub(in crate::cli) fn outcome(&self) -> &'static str {
        self.verdict.map_or("rejected", Outcome::label)
    }

    pub(in crate::cli) fn as_json(&self) -> Value {
        let checks: Vec<_> = self.checks.iter().map(|note| json!({"check": note.check, "found": note.found})).collect();
        json!({
            "route": self.route.as_ref().map(|route| &*route.name),
            "verdict": self.outcome(),
            "reason": self.reason.map(Reason::word),
            "checks": checks,
            "hints": self.hints,
        })
    }
}
