//! Checks of TLS, of plain HTTP, and of limits.

use std::time::Duration;

use anyhow::Context;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::sign::Draft;
use super::credential::masked_target;
use super::finding::{Evidence, Outcome};
use super::probe::Check;
use super::report::masked;
use super::target::Target;

/// Days before the end of a certificate from which it is reported.
const DAYS_LEFT: i64 = 14;

/// Length of the body that is announced, and not sent.
const ANNOUNCED: u64 = 1 << 30;

/// How long a server may take to reject the head of a request.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn check(
    check: Check,
    name: &str,
    target: &Target,
    upstream: Option<&Result<Target, String>>,
    blank: &Draft,
) -> anyhow::Result<Outcome> {
    let weak =
        |request: String, response: String| Outcome::Weak(Evidence { probe: name.to_owned(), request, response });
    let handshake = || format!("TLS handshake with {}", target.authority);
    Ok(match check {
        Check::Certificate => match target.certificate().await {
            Ok(_) => Outcome::Held,
            Err(error) if is_of_certificate(&error) => weak(handshake(), format!("{error:#}")),
            Err(error) => Outcome::Undecided(format!("{error:#}")),
        },
        Check::CertificateDays => {
            let der = target.certificate().await?;
            let (_, certificate) = X509Certificate::from_der(&der).ok().context("the certificate cannot be parsed")?;
            let end = certificate.validity().not_after.timestamp();
            let days = (end - jiff::Timestamp::now().as_second()) / (24 * 3600);
            if days < DAYS_LEFT {
                weak(handshake(), format!("the certificate ends in {days} days"))
            } else {
                Outcome::Held
            }
        }
        Check::OldTls => {
            for (version, word) in [(2, "TLS 1.1"), (1, "TLS 1.0")] {
                let reply = target.raw(target.address.port(), &client_hello(&target.host, version)).await?;
                // A handshake record (22) with a ServerHello (2) of this version; an alert is record 21.
                if matches!(reply.as_slice(), [22, 3, _, _, _, 2, _, _, _, 3, chosen, ..] if *chosen == version) {
                    return Ok(weak(format!("ClientHello of {word}"), format!("ServerHello of {word}")));
                }
            }
            Outcome::Held
        }
        Check::PlainHttp => plain_http(target, blank, weak).await?,
        Check::UpstreamDirect => match upstream.context("no --upstream-direct")? {
            Err(why) => Outcome::Undecided(why.clone()),
            // A rejection shows too that the port is open.
            Ok(upstream) if upstream.is_reachable().await => {
                let draft = Draft { target: upstream.path.clone(), host: upstream.authority.clone(), ..blank.clone() };
                let response = match upstream.send(&draft).await {
                    Ok(answer) => answer.status.to_string(),
                    Err(error) => format!("a connection, and then: {error:#}"),
                };
                weak(format!("POST {}", upstream.url()), response)
            }
            Ok(_) => Outcome::Held,
        },
    })
}

/// Whether a handshake failed for the certificate of the server.
pub(super) fn is_of_certificate(error: &anyhow::Error) -> bool {
    let of_tls = |cause: &(dyn std::error::Error + 'static)| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(inner.or_else(|| cause.downcast_ref()), Some(rustls::Error::InvalidCertificate(_)))
    };
    error.chain().any(of_tls)
}

/// Announces a body that is not sent. A server with a limit responds to the head; one without waits for the body.
pub(super) async fn body_limit(name: &str, target: &Target, draft: &Draft) -> anyhow::Result<Outcome> {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", draft.method, draft.target, draft.host);
    draft.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str(&format!("content-length: {ANNOUNCED}\r\n{}\r\n", target.marker_line()));
    if target.answers_head(head.as_bytes(), PATIENCE).await? {
        return Ok(Outcome::Held);
    }
    let response = format!("no response in {} s: the server waits for the body", PATIENCE.as_secs());
    let request = format!("{}\ncontent-length: {ANNOUNCED}", masked(draft));
    Ok(Outcome::Weak(Evidence { probe: name.to_owned(), request, response }))
}

/// A request without TLS to port 80, or to the port of the endpoint. A redirect is right; a response of the application
/// is not, since a sender would show its credential on the way.
async fn plain_http(
    target: &Target,
    blank: &Draft,
    weak: impl Fn(String, String) -> Outcome,
) -> anyhow::Result<Outcome> {
    if !target.is_tls {
        return Ok(weak(format!("POST {}", target.url()), "the endpoint has no TLS".to_owned()));
    }
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n{}\r\n{{}}",
        blank.target,
        target.host,
        target.marker_line()
    );
    for port in [80, target.address.port()] {
        // A closed port is right.
        let Ok(reply) = target.raw(port, head.as_bytes()).await else { continue };
        let line = first_line(&reply);
        let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        if matches!(status, Some(200..=299 | 401 | 403 | 422)) {
            return Ok(weak(format!("POST http://{}:{port}{}", target.host, masked_target(&blank.target)), line));
        }
    }
    Ok(Outcome::Held)
}

fn first_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect()
}

/// A ClientHello of TLS 1.0 (`minor` 1) or 1.1 (`minor` 2), RFC 4346 §7.4.1.2, with the server name (RFC 6066 §3).
fn client_hello(host: &str, minor: u8) -> Vec<u8> {
    let suites: &[u16] = &[0xc014, 0xc013, 0xc00a, 0xc009, 0x0035, 0x002f, 0x000a];
    let mut hello = vec![3, minor];
    let mut random = [0_u8; 32];
    let _ = aws_lc_rs::rand::fill(&mut random);
    hello.extend(random);
    // No session id, the suites, no compression.
    hello.push(0);
    hello.extend(prefixed(suites.iter().flat_map(|suite| suite.to_be_bytes()).collect()));
    hello.extend([1, 0]);
    let mut extensions = Vec::new();
    if host.parse::<std::net::IpAddr>().is_err() {
        let name = [vec![0], prefixed(host.as_bytes().to_vec())].concat();
        extensions.extend([vec![0, 0], prefixed(prefixed(name))].concat());
    }
    // supported_groups: secp256r1, secp384r1; ec_point_formats: uncompressed.
    extensions.extend([0, 10, 0, 6, 0, 4, 0, 23, 0, 24, 0, 11, 0, 2, 1, 0]);
    hello.extend(prefixed(extensions));
    let mut handshake = vec![1, 0];
    handshake.extend(prefixed(hello));
    let mut record = vec![22, 3, 1];
    record.extend(prefixed(handshake));
    record
}

/// The bytes after their length in two bytes.
fn prefixed(bytes: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().to_vec(), bytes].concat()
}
