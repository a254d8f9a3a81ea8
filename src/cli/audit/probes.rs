//! The probes, in their order.

mod blind;
mod change;
mod signed;
mod token;

use super::super::sign::Draft;
use super::arguments::AuditArguments;
use super::knowledge::{Knowledge, Source};
use super::probe::{Act, Check, Probe};
use super::target::Target;
pub(super) use signed::timing_pair;

/// Requests a second from which 50 rejections in a row are tried: a limit of some in a second is not reached by fewer.
const RATE_OF_MANY: u32 = 20;

/// A group of probes, made just before they are sent: a signature is valid for some minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connection,
    Blind,
    Changed,
    Signed,
    Tokens,
    Repeated,
    Timing,
    Limits,
}

/// The stages in their order.
pub(super) const STAGES: [Stage; 8] = [
    Stage::Connection,
    Stage::Blind,
    Stage::Changed,
    Stage::Signed,
    Stage::Tokens,
    Stage::Repeated,
    Stage::Timing,
    Stage::Limits,
];

/// The probes of a stage that this knowledge allows.
pub(super) fn of(
    stage: Stage,
    known: &Knowledge,
    target: &Target,
    arguments: &AuditArguments,
) -> anyhow::Result<Vec<Probe>> {
    let signer = match &known.source {
        Source::Signer(signer) => Some(signer),
        Source::Captured(_) | Source::Nothing => None,
    };
    Ok(match (stage, signer) {
        (Stage::Connection, _) => connection(target, arguments.upstream_direct.is_some()),
        (Stage::Blind, _) => blind::probes(known)?,
        (Stage::Changed, _) => match known.good()? {
            Some(good) => signed::of_request(known, &good)?,
            None => Vec::new(),
        },
        (Stage::Signed, Some(signer)) => signed::of_key(signer)?,
        (Stage::Tokens, Some(signer)) => token::of_key(signer)?,
        (Stage::Signed | Stage::Tokens, None) => Vec::new(),
        (Stage::Repeated, _) => signed::repeats(known)?,
        (Stage::Timing, _) => timing(known, arguments)?,
        (Stage::Limits, _) => limits(known, arguments)?,
    })
}

fn connection(target: &Target, has_upstream: bool) -> Vec<Probe> {
    let mut probes = Vec::new();
    if target.is_tls {
        probes.extend([
            Probe::connection("tls-certificate-invalid", "the certificate is verified", Check::Certificate),
            Probe::connection("tls-certificate-expiring", "the end of the certificate is read", Check::CertificateDays),
            Probe::connection("tls-old-version", "a handshake with TLS 1.0 and 1.1", Check::OldTls),
        ]);
    }
    // Loopback needs no TLS.
    if !target.is_loopback() || target.is_tls {
        probes.push(Probe::connection("plain-http", "a request without TLS", Check::PlainHttp));
    }
    if has_upstream {
        probes.push(Probe::connection("upstream-exposed", "a request to the upstream itself", Check::UpstreamDirect));
    }
    probes
}

fn timing(known: &Knowledge, arguments: &AuditArguments) -> anyhow::Result<Vec<Probe>> {
    let (Some(samples), Some([draft, _])) = (arguments.timing, timing_pair(known)?) else { return Ok(Vec::new()) };
    let name = format!("{samples} times a signature whose first or last character is wrong");
    Ok(vec![Probe { act: Act::Timing { samples }, ..Probe::reject("timing-oracle", name, draft) }])
}

fn limits(known: &Knowledge, arguments: &AuditArguments) -> anyhow::Result<Vec<Probe>> {
    let invalid = blind::invalid(known)?;
    let limit = |rule, name: &str, act: fn(Box<Draft>) -> Act| Probe {
        act: act(Box::new(invalid.clone())),
        ..Probe::reject(rule, name, known.blank.clone())
    };
    let mut probes = vec![limit("body-limit-missing", "a body of 1 GiB is announced", Act::BodyLimit)];
    if arguments.rate >= RATE_OF_MANY {
        let name = "50 requests with an invalid credential";
        probes.push(limit("rejection-rate-unlimited", name, Act::RejectionRate));
    }
    Ok(probes)
}
