//! `hookgate explain`: reports, check by check, whether the gateway would forward or reject a captured request, with
//! hints at the probable cause. It works offline: it reads the configuration and the request, and makes no connection.

mod hints;
mod message;
mod trial;

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use super::arguments::{ConfigArgument, OutputFormat, at, find_route};
use crate::auth::Policy;
use crate::auth::explanation::{Explanation, Note};
use crate::auth::keys::{KeySet, SkippedKey};
use crate::clock::UnixTime;
use crate::config::{self, Config, Handles};
use crate::failure::Failure;
use crate::metrics::Outcome;
use crate::proxy::websocket;
use crate::reason::Reason;
use crate::route::table::Unrouted;
use crate::route::{ChallengeStage, validate_path, validate_slashes};
use message::Captured;
pub(super) use message::read as read_message;
use trial::Trial;

/// Arguments of `hookgate explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Name of the route to evaluate [default: the route that matches the request]
    #[arg(long)]
    route: Option<String>,
    /// File with the captured request: a raw HTTP/1.1 message or a HAR file
    #[arg(long)]
    request: PathBuf,
    /// Time at which the request was received, in Unix seconds or RFC 3339 [default: now]
    #[arg(long)]
    now: Option<String>,
    /// File with a JWKS, used as the keys of every issuer with a JWKS URL
    #[arg(long)]
    jwks: Option<PathBuf>,
    /// PEM file with the certificate that the request names by its URL, as it is at that URL
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// The request would be rejected: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("the request would be rejected")]
pub(super) struct WouldReject;

/// The checks in order, the verdict (an outcome, or the reason of a rejection) and the hints.
struct Findings {
    checks: Vec<Note>,
    verdict: Result<Outcome, Reason>,
    hints: Vec<String>,
}

pub(super) fn explain(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.config.path(), &Handles::default())?;
    let bytes =
        std::fs::read(&arguments.request).with_context(|| format!("cannot read {}", arguments.request.display()))?;
    let captured = message::read(&bytes)?;
    let now = at(arguments.now.as_deref())?;
    let mut skipped = Vec::new();
    if let Some(path) = &arguments.jwks {
        let keys = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        skipped = give_keys(&config, &keys, now)?;
    }
    let certificate = match &arguments.certificate {
        None => None,
        Some(path) => Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
    };
    let mut findings = findings(&config, captured, (arguments.route.as_deref(), certificate.as_deref()), now)?;
    if findings.verdict == Err(Reason::UnknownKey) {
        findings.hints.extend(skipped.iter().map(|key| format!("a key of the JWKS is not used: {key}")));
    }
    match arguments.format {
        OutputFormat::Text => print!("{}", text(&findings)),
        OutputFormat::Json => println!("{:#}", as_json(&findings)),
    }
    if findings.verdict.is_ok() { Ok(()) } else { Err(WouldReject.into()) }
}

/// Gives every issuer with a JWKS URL the keys that a fetch would have brought. Returns those that were skipped.
fn give_keys(config: &Config, bytes: &[u8], now: UnixTime) -> anyhow::Result<Vec<SkippedKey>> {
    let mut all = Vec::new();
    for remote in &config.handles.remote_keys {
        let (set, skipped) = KeySet::from_jwks(bytes, &remote.source.algorithms)?;
        remote.replace(set, now);
        all.extend(skipped);
    }
    Ok(all)
}

fn findings(
    config: &Config,
    captured: Captured,
    (name, certificate): (Option<&str>, Option<&[u8]>),
    now: UnixTime,
) -> anyhow::Result<Findings> {
    let mut checks = Vec::new();
    let mut check = |check, found: String| checks.push(Note { check, found });
    let rejection = |reason, checks| Ok(Findings { checks, verdict: Err(reason), hints: Vec::new() });
    let came = captured.head.uri.path();
    let read = validate_path(came).map(|path| (path, false));
    let Ok((path, slashes)) = read.or_else(|_| validate_slashes(came).map(|path| (path.into(), true))) else {
        check("path", "ambiguous: two programs could read it differently".to_owned());
        return rejection(Reason::AmbiguousPath, checks);
    };
    let host = captured.host().to_owned();
    let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host).to_owned();
    let found = config.snapshot.routes.find(&host, &path, &captured.head.method);
    check(
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
        check("path", "encoded slashes (`%2F`), which need match.allow_encoded_slashes".to_owned());
        return rejection(Reason::AmbiguousPath, checks);
    }
    let route = match (name, found) {
        (Some(name), _) => find_route(config, Some(name))?,
        (None, Ok(route)) => std::sync::Arc::clone(route),
        (None, Err(unrouted)) => return rejection(Failure::Unrouted(unrouted).reason(), checks),
    };
    match websocket::requested(&captured.head, &route) {
        Ok(None) => {}
        Ok(Some(_)) => check("upgrade", "a WebSocket handshake, which the route forwards".to_owned()),
        Err(reason) => {
            check("upgrade", "asks for WebSocket".to_owned());
            return Ok(Findings {
                checks,
                verdict: Err(reason),
                hints: reason.hint().map(str::to_owned).into_iter().collect(),
            });
        }
    }
    let length = captured.body.len();
    check("body", format!("{length} bytes; at most {} are allowed", route.max_body));
    if u64::try_from(length).unwrap_or(u64::MAX) > route.max_body {
        return rejection(Reason::BodyTooLarge, checks);
    }
    let tenant = route.matches.tenant(&path).map(str::to_owned);
    let trial = Trial { route: &route, captured, now, tenant };
    checks.extend(certificate.and_then(|file| trial.give_certificate(file)));
    Ok(evaluated(config, &trial, checks))
}

fn evaluated(config: &Config, trial: &Trial<'_>, mut checks: Vec<Note>) -> Findings {
    if let Some(answer) = trial.answer(ChallengeStage::Unauthenticated) {
        checks.push(answer);
        return Findings { checks, verdict: Ok(Outcome::ChallengeAnswered), hints: Vec::new() };
    }
    let mut explanation = Explanation::on();
    let result = trial.verdict(&mut explanation);
    checks.extend(explanation.into_vec());
    match result {
        Ok(grant) => {
            let answer = trial.answer(ChallengeStage::Authenticated);
            let mut verdict = if answer.is_some() { Outcome::ChallengeAnswered } else { Outcome::Forwarded };
            if answer.is_none() {
                for rule in trial.filtered(&grant) {
                    let is_enforced = !trial.only_observes(rule);
                    let end = if is_enforced { "filtered by" } else { "filtered, if it were no dry run, by" };
                    checks.push(Note { check: "filter", found: format!("would be {end} rule {}", rule.name) });
                    verdict = if is_enforced { Outcome::Filtered } else { verdict };
                }
            }
            checks.extend(answer);
            Findings { checks, verdict: Ok(verdict), hints: Vec::new() }
        }
        Err(reason) => {
            let mut hints = hints::find(config, trial, reason);
            if trial.route.observes(trial.now) {
                hints.push("the route is in dry run: the request is forwarded, and counted as rejected".to_owned());
                return Findings { checks, verdict: Ok(Outcome::DryRunRejected), hints };
            }
            if fetches_keys(&trial.route.rules.policy) && reason == Reason::JwksUnavailable {
                hints.push(
                    "the issuer has a JWKS URL, and explain fetches nothing: pass the JWKS with --jwks".to_owned(),
                );
            }
            if reason == Reason::SigningCertificateUnavailable {
                let hint = "the request names its certificate by URL, and explain fetches nothing: download that file and \
                            pass it with --certificate";
                hints.push(hint.to_owned());
            }
            Findings { checks, verdict: Err(reason), hints }
        }
    }
}

fn fetches_keys(policy: &Policy) -> bool {
    policy.leaves().iter().any(|leaf| match leaf {
        Policy::Jwt(policy) => policy.issuers.iter().any(|issuer| issuer.keys.are_fetched()),
        Policy::Detached(policy) => policy.issuer.keys.are_fetched(),
        Policy::MessageSignature(policy) => policy.issuer.keys.are_fetched(),
        Policy::Signature(_)
        | Policy::ClientCertificate(_)
        | Policy::Token(_)
        | Policy::AllOf(_)
        | Policy::AnyOf(_)
        | Policy::Public => false,
    })
}

fn text(findings: &Findings) -> String {
    let mut text = String::new();
    for Note { check, found } in &findings.checks {
        // A signed payload may have several lines.
        let found = found.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
        text.push_str(&format!("  {check:<20} {found}\n"));
    }
    match findings.verdict {
        Ok(outcome) => text.push_str(&format!("\nIt would be {}.\n", done(outcome))),
        Err(reason) => text.push_str(&format!("\nIt would be rejected: {}\n", reason.word())),
    }
    for hint in &findings.hints {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    text
}

/// The participle for an outcome, after "It would be".
const fn done(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ChallengeAnswered => "answered by the gateway",
        Outcome::DryRunRejected => "forwarded in dry run",
        Outcome::Filtered => "filtered: acknowledged by the gateway, and not forwarded",
        Outcome::Forwarded
        | Outcome::Rejected
        | Outcome::PreflightAnswered
        | Outcome::DuplicateAnswered
        | Outcome::UpstreamIncomplete
        | Outcome::Error => "forwarded",
    }
}

fn as_json(findings: &Findings) -> serde_json::Value {
    let checks: Vec<_> = findings.checks.iter().map(|note| json!({"check": note.check, "found": note.found})).collect();
    json!({
        "verdict": findings.verdict.map_or("rejected", Outcome::label),
        "reason": findings.verdict.err().map(Reason::word),
        "checks": checks,
        "hints": findings.hints,
    })
}
