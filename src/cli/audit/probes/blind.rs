//! Probes without a valid credential.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::json;

use super::super::super::sign::{Draft, random_id};
use super::super::knowledge::Knowledge;
use super::super::probe::{Act, Probe};
use super::token;

/// Headers in which webhook signatures are usual. `HEX` and `BASE64` stand for 32 random bytes, `TIME` for now.
const SIGNATURE_HEADERS: &[(&str, &[(&str, &str)])] = &[
    ("X-Hub-Signature-256", &[("x-hub-signature-256", "sha256=HEX"), ("x-github-event", "ping")]),
    ("Stripe-Signature", &[("stripe-signature", "t=TIME,v1=HEX")]),
    (
        "webhook-signature",
        &[("webhook-signature", "v1,BASE64"), ("webhook-id", "msg_audit"), ("webhook-timestamp", "TIME")],
    ),
    ("X-Shopify-Hmac-Sha256", &[("x-shopify-hmac-sha256", "BASE64")]),
    ("X-Slack-Signature", &[("x-slack-signature", "v0=HEX"), ("x-slack-request-timestamp", "TIME")]),
    ("X-Twilio-Signature", &[("x-twilio-signature", "BASE64")]),
    ("X-Signature", &[("x-signature", "HEX")]),
    ("X-Webhook-Signature", &[("x-webhook-signature", "HEX")]),
];

pub(super) fn probes(known: &Knowledge, now: u64) -> anyhow::Result<Vec<Probe>> {
    let blank = &known.blank;
    let mut probes = vec![Probe::reject("unauthenticated-accepted", "no credential", blank.clone())];
    probes.push(Probe::reject(
        "bearer-presence-only",
        "Authorization with a random bearer token",
        with(blank, &[("authorization", &format!("Bearer {}", random_id()))])?,
    ));
    for (name, headers) in SIGNATURE_HEADERS {
        let headers: Vec<(&str, String)> = headers.iter().map(|(name, value)| (*name, filled(value, now))).collect();
        let empty: Vec<(&str, &str)> = headers.iter().take(1).map(|(name, _)| (*name, "")).collect();
        let named: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        probes.push(Probe::reject("signature-presence-only", format!("{name} of random bytes"), with(blank, &named)?));
        probes.push(Probe::reject("signature-empty-accepted", format!("an empty {name}"), with(blank, &empty)?));
    }
    probes.extend(token::blind(blank, now)?);
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-authenticated-user", "admin"),
        ("x-original-url", "/"),
    ] {
        let draft = with(blank, &[(name, value)])?;
        probes.push(Probe::reject("forwarded-header-bypass", format!("{name}: {value} without a credential"), draft));
    }
    probes.push(Probe::reject(
        "method-override",
        "X-HTTP-Method-Override without a credential",
        Draft { method: Method::GET, ..with(blank, &[("x-http-method-override", "POST")])? },
    ));
    for path in variants(&blank.target) {
        let name = format!("the path as {path}, without a credential");
        let draft = Draft { target: path, ..blank.clone() };
        probes.push(Probe {
            act: Act::Elsewhere(Box::new(draft)),
            ..Probe::reject("path-variant-bypass", name, blank.clone())
        });
    }
    for (name, body) in [
        ("a body that is not JSON", &b"{\"hookgate-audit\":"[..]),
        ("a body of nested arrays", "[".repeat(2000).as_bytes()),
        ("a body that is not UTF-8", &b"\xff\xfe\xfd"[..]),
    ] {
        let draft = Draft { body: body.to_vec(), ..with(blank, &[("authorization", "Bearer a.b.c")])? };
        let act = Act::Malformed(Box::new(draft));
        probes.push(Probe { act, ..Probe::reject("server-error", name, blank.clone()) });
    }
    Ok(probes)
}

/// A copy of the request with these headers.
pub(super) fn with(draft: &Draft, headers: &[(&str, &str)]) -> anyhow::Result<Draft> {
    let mut draft = draft.clone();
    for (name, value) in headers {
        draft.set_header(&name.parse()?, *value);
    }
    Ok(draft)
}

fn filled(value: &str, now: u64) -> String {
    let hex = format!("{}{}", random_id(), random_id());
    let base64 = STANDARD.encode(hex::decode(&hex).unwrap_or_default());
    value.replace("HEX", &hex).replace("BASE64", &base64).replace("TIME", &now.to_string())
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

/// The claims of a token that names nobody.
pub(super) fn anonymous_claims(now: u64) -> serde_json::Value {
    json!({"sub": "hookgate-audit", "iat": now, "nbf": now, "exp": now + 300, "jti": random_id()})
}

pub(super) fn encode(part: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}
