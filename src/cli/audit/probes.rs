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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;

    use super::*;
    use crate::auth::explanation::Explanation;
    use crate::auth::verify_explained;
    use crate::clock::{Clock, SystemClock};
    use crate::config::presets::all;
    use crate::route::Route;

    #[derive(clap::Parser)]
    struct AuditCommand {
        #[command(flatten)]
        audit: AuditArguments,
    }

    fn accepts(route: &Route, draft: &Draft) -> bool {
        let Ok(head) = draft.head() else { return false };
        let (view, now) = (draft.view(&head, route), SystemClock.now());
        verify_explained(&route.rules, &view, now, &mut Explanation::off()).is_ok()
    }

    /// The requests of a probe that must not be sent without leave if they are valid.
    fn requests(probe: &Probe) -> Vec<&Draft> {
        match &probe.act {
            Act::Reject(draft)
            | Act::Elsewhere(draft)
            | Act::Malformed(draft)
            | Act::Retry(draft)
            | Act::BodyLimit(draft)
            | Act::RejectionRate(draft) => vec![draft],
            Act::Once { first, again } => vec![first, again],
            Act::Changed { base, changed } => vec![base, changed],
            Act::Timing { .. } | Act::Connection(_) => Vec::new(),
        }
    }

    /// A secret in each form that a preset takes.
    const SECRETS: [&str; 4] = [
        "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "3031323334353637383961626364656630313233343536373839616263646566",
        "user:0123456789abcdef0123456789abcdef",
    ];

    /// The senders of every preset that signs with a shared secret, as the command line gives them.
    #[test]
    fn no_request_without_leave_is_valid_for_any_preset() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("secret");
        let (mut signed, mut rejected) = (0, Vec::new());
        for (name, _) in all().filter(|(_, preset)| preset.secret.is_some()) {
            let url = "http://127.0.0.1:8000/webhook?token=t0ken-t0ken-t0ken";
            let secret = file.to_str().unwrap();
            let command = [
                "audit",
                url,
                "--i-own-this",
                "--allow-private-address",
                "--preset",
                name,
                "--secret",
                secret,
                "--rate",
                "100",
            ];
            let arguments = AuditCommand::parse_from(command).audit;
            let target = Target::resolve(url, true, None, std::time::Duration::from_secs(1)).unwrap();
            let known = SECRETS.iter().find_map(|secret| {
                std::fs::write(&file, secret).unwrap();
                Knowledge::new(&arguments, &target).ok()
            });
            let Some(known) = known else {
                rejected.push(name);
                continue;
            };
            let Source::Signer(signer) = &known.source else { unreachable!("{name}") };
            assert!(accepts(&signer.route, &signer.genuine().unwrap()), "{name}: the control is not valid");
            assert!(!accepts(&signer.route, &known.blank), "{name}: the request without a credential is valid");
            for stage in STAGES {
                for probe in of(stage, &known, &target, &arguments).unwrap() {
                    let valid = requests(&probe).into_iter().any(|draft| accepts(&signer.route, draft));
                    assert!(!valid || probe.side_effects, "{name}: {}: {} is valid", probe.rule, probe.name);
                }
            }
            signed += 1;
        }
        // The others need parameters, or a listener with TLS.
        assert!(signed > 100, "{signed} presets, not {rejected:?}");
    }

    #[test]
    fn no_request_without_leave_has_a_part_of_a_captured_credential() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("request.http");
        let (first, second) = ("0123456789abcdef".repeat(4), "fedcba9876543210".repeat(2));
        let headers = [
            format!("X-Hub-Signature-256: sha256={first}\r\nX-Hub-Signature: sha1={second}"),
            format!("X-Api-Key: {first}\r\nX-Csrf-Token: {second}\r\nUser-Agent: Sender/1.0"),
            format!("Stripe-Signature: t=1790000000,v1={first},v0={second}"),
            format!("Authorization: Basic {second}\r\nX-Gitlab-Token: {first}"),
            format!("authorization: bearer {first}.{first}.{second}\r\nCookie: session={second}"),
        ];
        let url = "http://127.0.0.1:8000/webhook";
        let target = Target::resolve(url, true, None, std::time::Duration::from_secs(1)).unwrap();
        for headers in headers {
            let message = format!("POST /webhook HTTP/1.1\r\nHost: a\r\n{headers}\r\nContent-Length: 2\r\n\r\n{{}}");
            std::fs::write(&file, message).unwrap();
            let file: PathBuf = file.clone();
            let command = ["audit", url, "--i-own-this", "--request", file.to_str().unwrap(), "--rate", "100"];
            let arguments = AuditCommand::parse_from(command).audit;
            let known = Knowledge::new(&arguments, &target).unwrap();
            for stage in STAGES {
                for probe in of(stage, &known, &target, &arguments).unwrap().iter().filter(|probe| !probe.side_effects)
                {
                    for draft in requests(probe) {
                        let text = format!("{draft:?}");
                        assert!(!text.contains(&first) && !text.contains(&second), "{headers}: {}: {text}", probe.name);
                    }
                }
            }
        }
    }
}
