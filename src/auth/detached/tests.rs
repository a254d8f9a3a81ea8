//! Detached signatures: each kind is accepted as its preset defines it, and nowhere else.

use std::time::Duration;

use http::Request;

use super::*;
use crate::auth::claims::Pointer;
use crate::auth::keys::{KeySet, Keys};
use crate::auth::request::UrlBase;
use crate::auth::testing::{ED25519, ISSUER, NOW, Signer, b64, fixed, good_claims, key_set, now, policy};
use crate::auth::time::TimestampUnit;

fn issuer() -> Issuer {
    let keys: Keys = fixed(key_set(&[ED25519.jwk()], &[Algorithm::EdDSA]));
    Issuer {
        name: "acme".into(),
        preset: false,
        iss: crate::auth::issuer::IssuerClaim::Any,
        algorithms: vec![Algorithm::EdDSA],
        keys,
        token_cache: Arc::default(),
    }
}

fn detached(payload: Payload) -> DetachedPolicy {
    let token = Locator::Header { name: HeaderName::from_static("x-jws"), scheme: None };
    DetachedPolicy { payload, token, issuer: issuer(), time: None, replay_id: false }
}

fn evaluate_by(policy: &DetachedPolicy, fields: &[(&str, &str)], body: &[u8]) -> Result<(), Reason> {
    let request = fields.iter().fold(Request::post("/hook"), |request, (name, value)| request.header(*name, *value));
    let head = request.body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("a")).with_body(body);
    policy.verify(&view, now(), &mut Explanation::off()).map(|_| ()).map_err(|error| error.reason().unwrap())
}

const GOOD: &str = r#"{"alg":"EdDSA","b64":false,"crit":["b64"]}"#;

fn made_by(signer: &Signer, header: &str, payload: &str) -> String {
    let signed = format!("{}.{payload}", b64(header));
    format!("{}..{}", b64(header), b64(signer.sign(Algorithm::EdDSA, signed.as_bytes())))
}

/// A detached JWS over the unencoded body (RFC 7797 §3).
fn unencoded(header: &str, body: &str) -> String {
    made_by(&ED25519, header, body)
}

fn evaluate(token: &str, body: &str) -> Result<(), Reason> {
    evaluate_by(&detached(Payload::Unencoded), &[("x-jws", token)], body.as_bytes())
}

#[test]
fn the_body_is_verified_byte_for_byte() {
    let good = unencoded(GOOD, "a body. with dots");
    assert_eq!(evaluate(&good, "a body. with dots"), Ok(()));
    for body in ["a body", "", "a body. with dots\n"] {
        assert_eq!(evaluate(&good, body), Err(Reason::InvalidSignature), "{body}");
    }
    let forged = made_by(&Signer::ed25519(), GOOD, "body");
    assert_eq!(evaluate(&forged, "body"), Err(Reason::InvalidSignature));
    // The encoded payload is a different signing input.
    assert_eq!(evaluate(&unencoded(GOOD, &b64("body")), "body"), Err(Reason::InvalidSignature));
    assert_eq!(evaluate_by(&detached(Payload::Unencoded), &[], b""), Err(Reason::MissingCredential));
}

/// RFC 7797 §6: a receiver that does not support `b64` must reject the token, so `crit` must list it.
#[test]
fn b64_is_false_and_critical_and_nothing_else_is() {
    for header in [
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","b64":false}"#,
        r#"{"alg":"EdDSA","crit":["b64"]}"#,
        r#"{"alg":"EdDSA","b64":true,"crit":["b64"]}"#,
        r#"{"alg":"EdDSA","b64":"false","crit":["b64"]}"#,
        r#"{"alg":"EdDSA","b64":false,"crit":["b64","exp"]}"#,
        r#"{"alg":"EdDSA","b64":false,"crit":["b64","b64"]}"#,
        r#"{"alg":"EdDSA","b64":false,"crit":[]}"#,
        r#"{"alg":"EdDSA","b64":false,"crit":"b64"}"#,
        r#"{"alg":"EdDSA","b64":false,"crit":["b64"],"zip":"DEF"}"#,
        r#"{"alg":"EdDSA","b64":false,"b64":false,"crit":["b64"]}"#,
        r#"{"b64":false,"crit":["b64"]}"#,
    ] {
        assert_eq!(evaluate(&unencoded(header, "body"), "body"), Err(Reason::MalformedToken), "{header}");
    }
    for alg in ["none", "HS256", "ES256", "eddsa"] {
        let header = format!(r#"{{"alg":"{alg}","b64":false,"crit":["b64"]}}"#);
        assert_eq!(evaluate(&unencoded(&header, "body"), "body"), Err(Reason::UnsupportedAlgorithm), "{alg}");
    }
    let named = r#"{"alg":"EdDSA","kid":"other","b64":false,"crit":["b64"]}"#;
    // The set has one key, without `kid`.
    assert_eq!(evaluate(&unencoded(named, "body"), "body"), Ok(()));
}

#[test]
fn a_detached_signature_has_nothing_between_its_dots() {
    let good = unencoded(GOOD, "body");
    let (header, signature) = good.split_once("..").unwrap();
    for token in [
        format!("{header}.{}.{signature}", b64("body")),
        format!("{header}...{signature}"),
        format!("{header}.{signature}"),
        format!("..{signature}"),
        format!("{header}.."),
        format!("{good}."),
        format!("{header}..{signature}..{signature}"),
    ] {
        assert_eq!(evaluate(&token, "body"), Err(Reason::MalformedToken), "{token}");
    }
}

/// A route with `auth.jwt` accepts neither the `b64` parameter nor the detached form, even with a valid signature.
#[test]
fn routes_of_tokens_take_no_detached_signature() {
    let mut issuer = issuer();
    issuer.iss = crate::auth::issuer::IssuerClaim::Exact(ISSUER.into());
    let policy = policy(vec![issuer]);
    let evaluate = |token: &str| {
        policy.verify_token(token, None, now(), &mut Explanation::off()).err().and_then(|error| error.reason())
    };
    let claims = good_claims().to_string();
    let with_payload = |header: &str| ED25519.token(Algorithm::EdDSA, header, &claims);
    assert_eq!(evaluate(&with_payload(r#"{"alg":"EdDSA"}"#)), None);
    for header in [GOOD, r#"{"alg":"EdDSA","b64":true,"crit":["b64"]}"#, r#"{"alg":"EdDSA","b64":true}"#] {
        assert_eq!(evaluate(&with_payload(header)), Some(Reason::MalformedToken), "{header}");
    }
    assert_eq!(evaluate(&unencoded(GOOD, &claims)), Some(Reason::MalformedToken));
}

/// A JWS over TrueLayer's payload: method and path, the listed headers, the body.
fn truelayer(header: &str, text: &str) -> String {
    made_by(&ED25519, header, &b64(text))
}

const LISTS: &str = r#"{"alg":"EdDSA","tl_version":"2","tl_headers":"X-Time,X-Id"}"#;

#[test]
fn truelayer_signs_method_path_listed_headers_and_body() {
    let policy = detached(Payload::TrueLayer);
    let evaluate =
        |token: &str, fields: &[(&str, &str)]| evaluate_by(&policy, &[&[("x-jws", token)], fields].concat(), b"body");
    let (time, id) = (("x-time", "1"), ("x-id", "7"));
    let good = truelayer(LISTS, "POST /hook\nX-Time: 1\nX-Id: 7\nbody");
    assert_eq!(evaluate(&good, &[time, id]), Ok(()));
    assert_eq!(evaluate(&truelayer(LISTS, "POST /hook/\nX-Time: 1\nX-Id: 7\nbody"), &[time, id]), Ok(()));
    assert_eq!(evaluate(&good, &[time]), Err(Reason::MissingSignedComponent));
    assert_eq!(evaluate(&good, &[time, ("x-id", "8")]), Err(Reason::InvalidSignature));
    assert_eq!(evaluate(&good, &[time, id, id]), Err(Reason::MultipleCredentials));
    for text in ["PUT /hook\nX-Time: 1\nX-Id: 7\nbody", "POST /hook\nX-Id: 7\nX-Time: 1\nbody", "POST /hook\nbody"] {
        assert_eq!(evaluate(&truelayer(LISTS, text), &[time, id]), Err(Reason::InvalidSignature), "{text}");
    }
    for header in [
        r#"{"alg":"EdDSA","tl_headers":""}"#,
        r#"{"alg":"EdDSA","tl_version":"1"}"#,
        r#"{"alg":"EdDSA","tl_version":2}"#,
        r#"{"alg":"EdDSA","tl_version":"2","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","tl_version":"2","crit":[]}"#,
    ] {
        assert_eq!(evaluate(&truelayer(header, "POST /hook\nbody"), &[]), Err(Reason::MalformedToken), "{header}");
    }
    let none = r#"{"alg":"EdDSA","tl_version":"2","tl_headers":""}"#;
    assert_eq!(evaluate(&truelayer(none, "POST /hook\nbody"), &[]), Ok(()));
    for (count, expected) in [(32, Ok(())), (33, Err(Reason::MalformedToken))] {
        let many = format!(r#"{{"alg":"EdDSA","tl_version":"2","tl_headers":"{}"}}"#, vec!["X-Id"; count].join(","));
        let text = format!("POST /hook\n{}body", "X-Id: 7\n".repeat(count));
        assert_eq!(evaluate(&truelayer(&many, &text), &[id]), expected, "{count}");
    }
}

/// A provider that rotates its key publishes both for a while.
#[test]
fn any_of_several_pinned_keys_may_have_signed() {
    let pinned = |signer: &Signer| KeySet::from_spki(&signer.spki(), Algorithm::EdDSA).unwrap();
    let mut keys = pinned(&Signer::ed25519());
    keys.extend(pinned(&ED25519));
    let mut policy = detached(Payload::Unencoded);
    policy.issuer.keys = fixed(keys);
    assert_eq!(evaluate_by(&policy, &[("x-jws", &unencoded(GOOD, "body"))], b"body"), Ok(()));
}

/// A time header that is sent but not listed was not signed.
#[test]
fn a_time_next_to_the_signature_is_signed() {
    let source = Locator::Claim(Pointer::parse("x-time").unwrap());
    let (max_age, max_future) = (Duration::from_secs(300), Duration::from_secs(60));
    let mut policy = detached(Payload::TrueLayer);
    policy.time = Some(TimestampRule { source, unit: TimestampUnit::Seconds, max_age, max_future });
    let evaluate = |header: &str, time: u64, text: String| {
        evaluate_by(&policy, &[("x-jws", &truelayer(header, &text)), ("x-time", &time.to_string()), ("x-id", "7")], b"")
    };
    let signed = |time: u64| evaluate(LISTS, time, format!("POST /hook\nX-Time: {time}\nX-Id: 7\n"));
    assert_eq!((signed(NOW), signed(NOW - 300), signed(NOW + 60)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(signed(NOW - 301), Err(Reason::TimestampTooOld));
    assert_eq!(signed(NOW + 61), Err(Reason::TimestampInFuture));
    let without = r#"{"alg":"EdDSA","tl_version":"2","tl_headers":"X-Id"}"#;
    assert_eq!(evaluate(without, NOW, "POST /hook\nX-Id: 7\n".to_owned()), Err(Reason::MissingTimestamp));
}

/// The id is stored until the signed time is too old, and the policy is one of several in a route.
#[test]
fn a_replay_id_is_the_hash_of_the_signed_text() {
    let source = Locator::Claim(Pointer::parse("at").unwrap());
    let (max_age, max_future) = (Duration::from_secs(300), Duration::from_secs(60));
    let time = Some(TimestampRule { source, unit: TimestampUnit::Seconds, max_age, max_future });
    let policy = DetachedPolicy { replay_id: true, time, ..detached(Payload::Unencoded) };
    let header = format!(r#"{{"alg":"EdDSA","b64":false,"crit":["b64"],"at":{NOW}}}"#);
    let head = Request::post("/").header("x-jws", unencoded(&header, "body")).body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("a")).with_body(b"body");
    let policy = crate::auth::Policy::Detached(Box::new(policy));
    let grant = policy.evaluate(&view, now(), &mut Explanation::off()).unwrap();
    let id = grant.replay_id.unwrap();
    assert_eq!((id.kind, id.id), ("hash", hash_of(format!("{}.body", b64(&header)).as_bytes())));
    assert_eq!(id.until.map(UnixTime::seconds), Some(NOW + 301));
    assert_eq!(id.issued.map(UnixTime::seconds), Some(NOW - 60));
    assert_eq!(policy.places(), [Locator::header_named(HeaderName::from_static("x-jws"))]);
}
