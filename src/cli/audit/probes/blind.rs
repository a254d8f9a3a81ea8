//! Probes without a valid credential.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;

use super::super::super::sign::{Draft, random_id};
use super::super::credential::masked_target;
use super::super::knowledge::{Knowledge, now};
use super::super::probe::{Act, Probe};
use super::change::{scrambled, with};
use super::token;

/// Headers in which webhook signatures are usual. `HEX` and `BASE64` stand for 32 random bytes, `TIME` for now.
const SIGNATURE_HEADERS: &[(&str, &[(&str, &str)])] = &[
    ("X-Hub-Signature-256", &[("x-hub-signature-256", "sha256=HEX")]),
    ("Stripe-Signature", &[("stripe-signature", "t=TIME,v1=HEX")]),
    ("webhook-signature", &[("webhook-signature", "v1,BASE64"), ("webhook-timestamp", "TIME")]),
    ("X-Shopify-Hmac-Sha256", &[("x-shopify-hmac-sha256", "BASE64")]),
    ("X-Slack-Signature", &[("x-slack-signature", "v0=HEX"), ("x-slack-request-timestamp", "TIME")]),
    ("X-Twilio-Signature", &[("x-twilio-signature", "BASE64")]),
    ("X-Signature", &[("x-signature", "HEX")]),
    ("X-Webhook-Signature", &[("x-webhook-signature", "HEX")]),
];

/// Headers that say which event a request carries, as providers send them; receivers ask for them before a signature.
const EVENT_HEADERS: &[(&str, &str)] = &[
    ("x-github-event", "ping"),
    ("x-github-delivery", "ID"),
    ("x-gitlab-event", "Push Hook"),
    ("x-shopify-topic", "test/event"),
    ("webhook-id", "ID"),
];

pub(super) fn probes(known: &Knowledge) -> anyhow::Result<Vec<Probe>> {
    let blank = &known.blank;
    let event = event(blank)?;
    let mut probes = vec![
        Probe::reject("unauthenticated-accepted", "no credential", blank.clone()),
        Probe::reject("unauthenticated-accepted", "no credential, with the headers of an event", event.clone()),
    ];
    probes.push(Probe::reject(
        "bearer-presence-only",
        "Authorization with a random bearer token",
        with(blank, &[("authorization", &format!("Bearer {}", random_id()))])?,
    ));
    for (name, headers) in SIGNATURE_HEADERS {
        let headers: Vec<(&str, String)> = headers.iter().map(|(name, value)| (*name, filled(value))).collect();
        let empty: Vec<(&str, &str)> = headers.iter().take(1).map(|(name, _)| (*name, "")).collect();
        let named: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        probes.push(Probe::reject("signature-presence-only", format!("{name} of random bytes"), with(&event, &named)?));
        probes.push(Probe::reject("signature-empty-accepted", format!("an empty {name}"), with(&event, &empty)?));
    }
    probes.extend(token::blind(blank)?);
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-authenticated-user", "admin"),
        ("x-original-url", "/"),
    ] {
        let draft = with(blank, &[(name, value)])?;
        probes.push(Probe::reject("forwarded-header-bypass", format!("{name}: {value} without a credential"), draft));
    }
    for (method, overriding) in [(Method::GET, "POST"), (Method::POST, "PUT"), (Method::POST, "GET")] {
        let name = format!("{method} with X-HTTP-Method-Override: {overriding}, without a credential");
        // The method itself may be served without one, as a health check or a web page.
        let acts = if method == Method::GET { Method::GET } else { overriding.parse()? };
        let base = Draft { method: acts, ..blank.clone() };
        let changed = Draft { method, ..with(blank, &[("x-http-method-override", overriding)])? };
        probes.push(Probe::changed("method-override", name, base, changed));
    }
    for path in variants(&blank.target) {
        let name = format!("the path as {}, without a credential", masked_target(&path));
        let draft = Draft { target: path, ..blank.clone() };
        probes.push(Probe {
            act: Act::Elsewhere(Box::new(draft)),
            ..Probe::reject("path-variant-bypass", name, blank.clone())
        });
    }
    probes.extend(malformed(known, &event)?);
    Ok(probes)
}

/// Requests whose body or credential is not well-formed.
fn malformed(known: &Knowledge, event: &Draft) -> anyhow::Result<Vec<Probe>> {
    let invalid = invalid(known)?;
    let probe = |name: &str, draft: Draft| Probe {
        act: Act::Malformed(Box::new(draft)),
        ..Probe::reject("server-error", name, known.blank.clone())
    };
    let nested = "[".repeat(2000);
    let bodies: [(&str, &[u8]); 5] = [
        ("a body that is not JSON", b"{\"id\":"),
        ("a body of nested arrays", nested.as_bytes()),
        ("a body that is not UTF-8", b"\xff\xfe\xfd"),
        ("an array as the body", b"[]"),
        ("null as the body", b"null"),
    ];
    let mut probes = Vec::new();
    for (name, body) in bodies {
        probes.push(probe(name, Draft { body: body.to_vec(), ..event.clone() }));
        let name = format!("{name}, with an invalid credential");
        probes.push(probe(&name, Draft { body: body.to_vec(), ..invalid.clone() }));
    }
    let mut letters = invalid;
    for (_, value) in letters.headers.iter_mut().filter(|(name, _)| is_credential(known, name)) {
        let (start, _) = value.split_at_checked(value.len() / 2).unwrap_or_default();
        *value = format!("{start}é");
    }
    probes.push(probe("a credential with a letter beyond ASCII", letters));
    Ok(probes)
}

fn is_credential(known: &Knowledge, name: &str) -> bool {
    let is_usual =
        SIGNATURE_HEADERS.iter().any(|(usual, _)| usual.eq_ignore_ascii_case(name)) || name == "authorization";
    if known.credentials.is_empty() { is_usual } else { known.is_credential(name) }
}

/// A request with an invalid credential: that of the sender, or else all usual ones, with other bytes.
pub(super) fn invalid(known: &Knowledge) -> anyhow::Result<Draft> {
    let mut draft = event(&known.blank)?;
    let Some(good) = known.good()?.filter(|_| !known.credentials.is_empty()) else {
        for (name, value) in SIGNATURE_HEADERS.iter().flat_map(|(_, headers)| *headers) {
            draft.set_header(&name.parse()?, filled(value));
        }
        draft.set_header(&http::header::AUTHORIZATION, "Bearer a.b.c");
        return Ok(draft);
    };
    for (name, value) in good.headers.iter().filter(|(name, _)| known.is_credential(name)) {
        draft.set_header(&name.parse()?, scrambled(value).unwrap_or_else(random_id));
    }
    Ok(draft)
}

/// The request with the headers of an event that it lacks.
fn event(blank: &Draft) -> anyhow::Result<Draft> {
    let mut draft = blank.clone();
    for (name, value) in EVENT_HEADERS {
        let name = name.parse()?;
        if !draft.has_header(&name) {
            draft.set_header(&name, value.replace("ID", &random_id()));
        }
    }
    Ok(draft)
}

fn filled(value: &str) -> String {
    let hex = format!("{}{}", random_id(), random_id());
    let base64 = STANDARD.encode(hex::decode(&hex).unwrap_or_default());
    value.replace("HEX", &hex).replace("BASE64", &base64).replace("TIME", &now().to_string())
}

/// Spellings of a path that applications take for the same one.
fn variants(target: &str) -> Vec<String> {
    let (path, query) =
        target.split_once('?').map_or((target, String::new()), |(path, query)| (path, format!("?{query}")));
    let Some(rest) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) else { return Vec::new() };
    let mut paths = vec![
        format!("//{rest}"),
        format!("/./{rest}"),
        format!("/x/../{rest}"),
        format!("{path};a=b"),
        format!("{path}%20"),
        format!("{path}%00"),
    ];
    paths.push(path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned));
    paths.extend([path.to_uppercase(), encoded_first(rest)]);
    paths.retain(|variant| variant != path);
    paths.into_iter().map(|path| path + &query).collect()
}

/// The path with its first letter percent-encoded.
fn encoded_first(rest: &str) -> String {
    let mut letters = rest.chars();
    match letters.next() {
        Some(first) if first.is_ascii() => format!("/%{:02x}{}", u32::from(first), letters.as_str()),
        Some(_) | None => format!("/{rest}"),
    }
}
