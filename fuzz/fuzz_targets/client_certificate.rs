//! A client certificate that a trusted proxy states in a header (RFC 9440, X-Forwarded-Client-Cert of Envoy, percent-encoded
//! PEM of nginx and AWS): a certificate that is found is one that a plain search finds in the value, text that a client has
//! put into another field of the proxy's element changes nothing, and an element that a client has written before the
//! proxy's makes the header unreadable.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::auth::proxied_certificate::CertificateHeader;
use hookgate_fuzz::keys::CHAIN;
use hookgate_fuzz::{fill, percent_decode};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const XFCC: &str = "x-forwarded-client-cert";

/// The header of each form; the letters a to c select one.
const NAMES: [&str; 3] = ["client-cert", XFCC, "x-amzn-mtls-clientcert"];

/// Certificates of this run, in base64 and as percent-encoded PEM.
static VALUES: LazyLock<[(&str, String); 4]> = LazyLock::new(|| {
    let [leaf, middle, _] = CHAIN.x5c.clone();
    [("$LEAFPEM", escaped_pem(&leaf)), ("$MIDDLEPEM", escaped_pem(&middle)), ("$LEAF", leaf), ("$MIDDLE", middle)]
});

/// Values in which the leaf is found: a run in which no input could pass would find nothing.
const PASSING: [&str; 6] = [
    "a:$LEAF:",
    "a:$LEAF:\n:$MIDDLE:, :$MIDDLE:",
    "bHash=00;Cert=\"$LEAFPEM\";URI=spiffe://a/b",
    "bcert=$LEAFPEM;Chain=\"$LEAFPEM$MIDDLEPEM\"",
    "c$LEAFPEM",
    "c$LEAFPEM$MIDDLEPEM",
];

fuzz_target!(init: for input in PASSING {
    assert_eq!(read_input(input.as_bytes()), Some(Some(hash_of(&CHAIN.x5c[0]))), "{input}");
}, |input: &[u8]| {
    read_input(input);
    beside_the_client_s_text(input);
});

/// The SHA-256 of the certificate that is found; `None` for an input that is no header, or in which none is found.
fn read_input(input: &[u8]) -> Option<Option<Vec<u8>>> {
    let [letter, input @ ..] = input else { return None };
    let name = *NAMES.get(usize::from(letter.wrapping_sub(b'a')))?;
    let values = VALUES.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let [value, more] = [(); 2].map(|()| parts.next().map(|part| fill(part, &values)));
    let value = value.unwrap_or_default();
    let fields: Vec<(&str, &[u8])> = match (&more, name) {
        (None, _) => vec![(name, &value)],
        (Some(chain), "client-cert") => vec![(name, &value), ("client-cert-chain", chain)],
        (Some(second), _) => vec![(name, &value), (name, second)],
    };
    let found = read(name, &fields)?;
    if let Ok(Some(found)) = &found {
        assert!(fields.iter().filter(|(other, _)| *other == name).count() == 1, "a repeated header was read");
        assert!(certificates_in(name, &value).contains(found), "a certificate that is not in the value");
    }
    if let Ok(None) = found {
        assert!(matches!(value.trim_ascii(), b"" | b"::"), "a value was ignored");
    }
    Some(found.ok().flatten())
}

/// Puts the text into a field of an element as Envoy writes it, and before such an element.
fn beside_the_client_s_text(input: &[u8]) {
    // Envoy writes a subject in ASCII (RFC 2253).
    let Some(text) = std::str::from_utf8(input).ok().filter(|text| text.is_ascii()) else { return };
    let proxy_s = format!("Cert=\"{}\"", VALUES[0].1);
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    let within = format!("Hash=00;Subject=\"{quoted}\";{proxy_s};URI=");
    if let Some(found) = read(XFCC, &[(XFCC, within.as_bytes())]) {
        assert_eq!(found, Ok(Some(hash_of(&CHAIN.x5c[0]))), "text of the client changed the certificate");
    }
    let before = format!("{text},{proxy_s}");
    if let Some(found) = read(XFCC, &[(XFCC, before.as_bytes())]) {
        assert_eq!(found, Err(()), "an element of the client's was read");
    }
}

/// What the gateway reads; `None` where no HTTP parser could return these headers.
fn read(name: &str, fields: &[(&str, &[u8])]) -> Option<Result<Option<Vec<u8>>, ()>> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        // Parsers of HTTP remove whitespace around a value.
        let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
        headers.append(HeaderName::try_from(*name).expect("a name"), value);
    }
    let found = CertificateHeader::named(HeaderName::try_from(name).expect("a name")).read(&headers);
    Some(found.map(|found| found.map(|certificate| certificate.sha256().to_vec())).map_err(|_| ()))
}

/// The hashes of all certificates by a plain search, which knows nothing of fields or quotes.
fn certificates_in(name: &str, value: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(value.trim_ascii()).into_owned();
    if name == "client-cert" {
        return vec![hash_of(text.trim_matches(':'))];
    }
    let pem = String::from_utf8_lossy(&percent_decode(text.as_bytes())).into_owned();
    let begun = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let base64 = begun.filter_map(|rest| Some(rest.split_once("-----END CERTIFICATE-----")?.0));
    base64.map(|base64| hash_of(&base64.split_ascii_whitespace().collect::<String>())).collect()
}

fn hash_of(base64: &str) -> Vec<u8> {
    let der = STANDARD.decode(base64).unwrap_or_default();
    digest(&SHA256, &der).as_ref().to_vec()
}

/// PEM as nginx escapes it: all but letters and digits.
fn escaped_pem(base64: &str) -> String {
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("ASCII")).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let escape = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) };
    pem.chars().map(escape).collect()
}
