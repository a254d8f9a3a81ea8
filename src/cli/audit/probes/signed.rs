//! Probes that change a request with a valid credential, or send it again.

use http::Method;
use zeroize::Zeroizing;

use super::super::super::explain::trial::each_signature;
use super::super::super::sign::{Draft, random_id};
use super::super::credential::{is_context, is_event_id, parts, without_query_credentials};
use super::super::knowledge::{Knowledge, Source, now};
use super::super::probe::{Act, Probe};
use super::super::signer::RequestSigner;
use super::change::{changed_at, longest_part, scrambled, truncated, with, without};
use crate::auth::locator::Locator;
use crate::auth::secret::{Hash, Secret, SecretKey, SignatureAlgorithm};
use crate::auth::signature::{Parse, SignaturePolicy};

/// Seconds by which a timestamp is too old or too early, if the rules do not allow more.
const OUT_OF_RANGE: i64 = 3600;

/// Changes of one valid request that need no key.
pub(super) fn of_request(known: &Knowledge, good: &Draft) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for name in &known.credentials {
        let Some((_, value)) = good.headers.iter().find(|(header, _)| header == name) else { continue };
        probes.extend(of_header(known, good, name, value)?);
    }
    if let Some(probe) = unbound(known, good)? {
        probes.push(probe);
        probes.extend(uncovered_time(good)?);
    }
    if let Some(token) = bearer(good) {
        let sign = if good.target.contains('?') { '&' } else { '?' };
        let mut draft = without(good, |name| name == "authorization");
        draft.target = format!("{}{sign}access_token={token}", good.target);
        probes.push(Probe::reject("token-in-query", "the token as access_token in the query", draft).valid());
        let mut draft = good.clone();
        draft.headers.insert(0, ("authorization".to_owned(), format!("Bearer {}", random_id())));
        let name = "an invalid token in a first Authorization header, the valid one in a second";
        probes.push(Probe::reject("multiple-credentials", name, draft).valid());
    }
    for method in [Method::PUT, Method::GET] {
        let name = format!("the request with the method {method}");
        let base = Draft { method: method.clone(), ..known.blank.clone() };
        probes.push(Probe::changed("method-unbound", name, base, Draft { method, ..good.clone() }).valid());
    }
    Ok(probes)
}

/// Changes of one header with a credential.
fn of_header(known: &Knowledge, good: &Draft, name: &str, value: &str) -> anyhow::Result<Vec<Probe>> {
    // A captured request may have two credentials of which one is enough. A signer makes only those that are needed.
    let alone = match known.source {
        Source::Captured(_) => {
            let alone = without(good, |other| other != name && !is_context(other));
            Draft { target: without_query_credentials(&good.target), body: known.blank.body.clone(), ..alone }
        }
        Source::Signer(_) | Source::Nothing => good.clone(),
    };
    let header = |value: &str| with(&alone, &[(name, value)]);
    let malformed = if bearer(good).is_some() { "Bearer x" } else { "x" };
    let mut probes = vec![
        Probe::reject("signature-empty-accepted", format!("an empty {name}"), header("")?),
        Probe::reject("signature-presence-only", format!("a malformed {name}"), header(malformed)?),
    ];
    if let Some(changed) = scrambled(value) {
        let name = format!("{name} with another signature");
        probes.push(Probe::reject("signature-presence-only", name, header(&changed)?));
    }
    // The beginning of a signature says nothing without its body.
    let alone = Draft { body: good.body.clone(), ..alone.clone() };
    if let Some(cut) = truncated(value) {
        let draft = with(&alone, &[(name, &cut)])?;
        probes.push(Probe::reject("signature-truncated", format!("the beginning of {name}"), draft));
    }
    let older = name.strip_suffix("-256").filter(|older| known.is_credential(older));
    if let (Some(older), Source::Captured(_)) = (older, &known.source) {
        let draft = without(good, |other| other == name);
        probes.push(Probe::reject("signature-downgrade", format!("{older} alone, without {name}"), draft).valid());
    }
    Ok(probes)
}

/// Another body under the same signature. Of a captured request it is not known whether it is signed at all.
fn unbound(known: &Knowledge, good: &Draft) -> anyhow::Result<Option<Probe>> {
    let draft = Draft { body: changed_body(&good.body), ..good.clone() };
    let name = "another body with the same signature";
    match &known.source {
        Source::Signer(signer) if signer.signature().is_some_and(SignaturePolicy::binds_body) => {
            // The right signature of the changed body.
            let mut unsigned = without(&draft, |name| known.is_credential(name));
            unsigned.target = signer.draft().target;
            let right = signer.sign(&signer.route, unsigned, 0)?;
            let probe = Probe::reject("signature-body-unbound", name, draft);
            Ok(Some(Probe { secrets: signatures(&right, known), ..probe }))
        }
        Source::Captured(_) => {
            let is_signature = |name: &String| ["sig", "hmac", "digest"].iter().any(|word| name.contains(word));
            let is_signed = known.credentials.iter().any(is_signature);
            Ok(is_signed.then(|| Probe::reject("signature-body-unbound", name, draft).valid()))
        }
        Source::Signer(_) | Source::Nothing => Ok(None),
    }
}

/// Requests that a key signs otherwise than the sender does.
pub(super) fn of_key(signer: &RequestSigner) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    let Some(policy) = signer.signature() else { return Ok(probes) };
    if matches!(policy.algorithm, SignatureAlgorithm::Hmac(_) | SignatureAlgorithm::Sha256) {
        for (rule, name, key) in [
            ("signature-wrong-key", "signed with another secret", random_id().into_bytes()),
            ("signature-empty-key", "signed with the empty secret", Vec::new()),
        ] {
            let secret = Secret::new(0, SecretKey::Shared(Zeroizing::new(key)));
            let draft = signer
                .by(|rules| each_signature(rules, |signature| signature.secrets = vec![secret.clone()].into()))?;
            probes.push(Probe::reject(rule, name, draft));
        }
        if let Some((name, draft)) = downgraded(signer, policy)? {
            probes.push(Probe::reject("signature-downgrade", name, draft).valid());
        }
    }
    if let Some(time) = &policy.time {
        let out_of = |allowed: std::time::Duration| OUT_OF_RANGE.max(2 * i64::try_from(allowed.as_secs()).unwrap_or(0));
        let (old, early) = (out_of(time.max_age), out_of(time.max_future));
        let name = format!("signed {old} s ago");
        probes.push(Probe::reject("timestamp-stale", name, signer.at(-old)?).valid());
        let name = format!("signed for a time in {early} s");
        probes.push(Probe::reject("timestamp-future", name, signer.at(early)?).valid());
    }
    Ok(probes)
}

/// Two requests of one event that differ in a character of the signature: the first, or one of the last. `None` if there is
/// no signature in a header.
pub(in super::super) fn timing_pair(known: &Knowledge) -> anyhow::Result<Option<[Draft; 2]>> {
    let Source::Signer(signer) = &known.source else { return Ok(None) };
    let good = signer.genuine()?;
    let signature = known.credentials.iter().find_map(|name| {
        let (_, value) = good.headers.iter().find(|(header, _)| header == name)?;
        let longest = longest_part(value)?;
        let start = value.rfind(longest)?;
        // The very last character of base64 may carry unused bits.
        let end = start + longest.trim_end_matches('=').len().checked_sub(2)?;
        Some((name.as_str(), changed_at(value, start)?, changed_at(value, end)?))
    });
    let Some((name, first, last)) = signature else { return Ok(None) };
    Ok(Some([with(&good, &[(name, &first)])?, with(&good, &[(name, &last)])?]))
}

/// Requests that are sent twice.
pub(super) fn repeats(known: &Knowledge) -> anyhow::Result<Vec<Probe>> {
    let Some(first) = known.good()? else { return Ok(Vec::new()) };
    let twice = |rule: &'static str, name: String, first: Draft, again: Draft| Probe {
        act: Act::Once { first: Box::new(first), again: Box::new(again) },
        ..Probe::reject(rule, name, known.blank.clone()).valid()
    };
    let name = match known.source {
        Source::Captured(_) => {
            "the captured request twice (if it was delivered before this audit, both were duplicates)"
        }
        Source::Signer(_) | Source::Nothing => "the same request twice",
    };
    let mut probes = vec![twice("replay-accepted", name.to_owned(), first.clone(), first)];
    let Some(good) = known.good()? else { return Ok(probes) };
    for name in ids(known, &good) {
        let again = with(&good, &[(name.as_str(), &random_id())])?;
        probes.push(twice("replay-changed-id", format!("the same request with another {name}"), good.clone(), again));
    }
    if let (Source::Signer(signer), false) = (&known.source, known.has_one_body()) {
        let probe = Probe {
            act: Act::Retry(Box::new(signer.genuine()?)),
            ..Probe::reject("retry-lost", "a request that broke off, sent again", known.blank.clone())
        };
        probes.push(probe.valid());
    }
    Ok(probes)
}

/// Headers that look like the id of an event and that the signature does not cover. Of a captured request it is not known
/// which headers are signed: a copy with another signed id is rejected.
fn ids(known: &Knowledge, good: &Draft) -> Vec<String> {
    let policy = match &known.source {
        Source::Signer(signer) => signer.signature(),
        Source::Captured(_) | Source::Nothing => None,
    };
    let covered = |name: &str| policy.is_some_and(|policy| name.parse().is_ok_and(|name| policy.signs_header(&name)));
    let names = good.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    names.filter(|name| is_event_id(name) && is_context(name) && !covered(name)).collect()
}

/// A request that is signed by an older scheme of the same provider.
fn downgraded(signer: &RequestSigner, policy: &SignaturePolicy) -> anyhow::Result<Option<(String, Draft)>> {
    match &policy.parse {
        Parse::Pairs { key, .. } if key == "v1" => {
            let draft = signer.by(|rules| each_signature(rules, |signature| as_v0(&mut signature.parse)))?;
            Ok(Some(("the signature as v0".to_owned(), draft)))
        }
        Parse::Prefix(prefix) if prefix == "sha256=" => {
            let draft = signer.by(|rules| each_signature(rules, as_sha1))?;
            Ok(Some(("signed with HMAC-SHA-1".to_owned(), draft)))
        }
        Parse::Pairs { .. }
        | Parse::Prefix(_)
        | Parse::Raw
        | Parse::List { .. }
        | Parse::Split { .. }
        | Parse::Rest { .. } => Ok(None),
    }
}

fn as_v0(parse: &mut Parse) {
    if let Parse::Pairs { key, .. } = parse {
        *key = "v0".into();
    }
}

fn as_sha1(signature: &mut SignaturePolicy) {
    signature.algorithm = SignatureAlgorithm::Hmac(Hash::Sha1);
    signature.parse = Parse::Prefix("sha1=".into());
    for place in &mut signature.places {
        if let Locator::Header { name, .. } = place
            && let Some(older) = name.as_str().strip_suffix("-256").and_then(|older| older.parse().ok())
        {
            *name = older;
        }
    }
}

/// Copies with another timestamp in a header. The copy is rejected if the timestamp is signed.
fn uncovered_time(good: &Draft) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    let is_place = |name: &str| !is_context(name) || name.contains("timestamp");
    for (name, value) in good.headers.iter().filter(|(name, _)| is_place(name)) {
        let Some(time) = digits(value).find(|text| is_time(text, now())) else { continue };
        let Ok(number) = time.parse::<u64>() else { continue };
        let changed = value.replacen(time, &(number - 1).to_string(), 1);
        let draft = with(good, &[(name.as_str(), &changed)])?;
        probes.push(Probe::reject("timestamp-uncovered", format!("{name} with another time"), draft).valid());
    }
    Ok(probes)
}

fn digits(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|text| text.chars().all(|c| c.is_ascii_digit()))
}

/// Whether a number is a Unix time of this week, in seconds or milliseconds.
fn is_time(text: &str, now: u64) -> bool {
    let seconds = match text.len() {
        10 => text.parse::<u64>(),
        13 => text.parse::<u64>().map(|milliseconds| milliseconds / 1000),
        _ => return false,
    };
    seconds.is_ok_and(|seconds| seconds.abs_diff(now) < 7 * 24 * 3600)
}

/// Another JSON object, or another text.
fn changed_body(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(mut members)) => {
            members.insert("hookgate_audit".to_owned(), "changed".into());
            serde_json::Value::Object(members).to_string().into_bytes()
        }
        Ok(_) | Err(_) => [body, b"&hookgate_audit=changed"].concat(),
    }
}

/// Texts of 16 bytes and more in the headers of the credential.
fn signatures(draft: &Draft, known: &Knowledge) -> Vec<String> {
    let values = draft.headers.iter().filter(|(name, _)| known.is_credential(name)).map(|(_, value)| value);
    values.flat_map(|value| parts(value)).filter(|text| text.len() >= 16).map(str::to_owned).collect()
}

/// The bearer token of a request (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1).
fn bearer(draft: &Draft) -> Option<&str> {
    let (_, value) = draft.headers.iter().find(|(name, _)| name == "authorization")?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
