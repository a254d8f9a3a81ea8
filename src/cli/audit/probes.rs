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

/// Requests a second from which 50 rejections in a row are tried.
const RATE_OF_MANY: u32 = 10;

/// All probes that this knowledge allows.
pub(super) fn all(
    known: &Knowledge,
    target: &Target,
    has_upstream: bool,
    arguments: &AuditArguments,
) -> anyhow::Result<Vec<Probe>> {
    let mut probes = connection(target, has_upstream);
    probes.extend(blind::probes(known, known.now)?);
    if let Some(good) = known.good()? {
        probes.extend(signed::of_request(known, &good)?);
        if let Source::Signer(signer) = &known.source {
            probes.extend(signed::of_key(signer)?);
            probes.extend(token::of_key(signer)?);
            if let Some(samples) = arguments.timing {
                probes.extend(signed::timing(known, signer, samples)?);
            }
        }
        probes.extend(signed::repeats(known)?);
    }
    let invalid = blind::invalid(known, known.now)?;
    let limit = |rule, name: &str, act: fn(Box<Draft>) -> Act| Probe {
        act: act(Box::new(invalid.clone())),
        ..Probe::reject(rule, name, known.blank.clone())
    };
    probes.push(limit("body-limit-missing", "a body of 1 GiB is announced", Act::BodyLimit));
    if arguments.rate >= RATE_OF_MANY {
        let name = "50 requests with an invalid credential";
        probes.push(limit("rejection-rate-unlimited", name, Act::RejectionRate));
    }
    Ok(probes)
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
