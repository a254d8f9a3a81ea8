//! The signed timestamp: both limits, each unit, each source.

use super::*;
use crate::auth::grant::hash_of;
use crate::auth::time::TimestampUnit;

fn timed(source: &str, unit: TimestampUnit) -> SignaturePolicy {
    let source = Component::parse(source).unwrap();
    let (max_age, max_future) = (Duration::from_secs(300), Duration::from_secs(60));
    let mut policy = policy(&["body"]);
    policy.signed_payload.insert(0, source.clone());
    policy.time = Some(SignedTime { source, unit, max_age, max_future });
    policy
}

/// Verifies a valid signature with this time in a header.
fn at(unit: TimestampUnit, time: &str) -> Result<usize, Reason> {
    let fields = [("x-time", time), ("x-sig", &mac(format!("{time}.body")))];
    evaluate(&timed("header:x-time", unit), &fields, b"body")
}

#[test]
fn the_window_has_two_sides_in_every_unit() {
    use TimestampUnit::{Microseconds, Milliseconds, Rfc3339, Seconds, SecondsOrMilliseconds, Utc};
    let written = |unit: TimestampUnit, seconds: u64| match unit {
        Seconds => seconds.to_string(),
        Milliseconds => format!("{seconds}000"),
        Microseconds => format!("{seconds}000000"),
        SecondsOrMilliseconds | Utc => unreachable!(),
        Rfc3339 => jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string(),
    };
    for unit in [Seconds, Milliseconds, Microseconds, Rfc3339] {
        for (time, expected) in [
            (NOW - 301, Err(Reason::TimestampTooOld)),
            (NOW - 300, Ok(0)),
            (NOW, Ok(0)),
            (NOW + 60, Ok(0)),
            (NOW + 61, Err(Reason::TimestampInFuture)),
        ] {
            assert_eq!(at(unit, &written(unit, time)), expected, "{unit:?} {time}");
        }
    }
    assert_eq!(at(Seconds, &written(Milliseconds, NOW)), Err(Reason::MalformedTimestamp));
    assert_eq!(at(Milliseconds, &written(Seconds, NOW)), Err(Reason::TimestampTooOld));
    assert_eq!(at(Rfc3339, &written(Seconds, NOW)), Err(Reason::MalformedTimestamp));
}

/// Kong's standard-webhooks code skipped the check if the header was absent (windmill GHSA-q9g3-q6fj-hc2x).
#[test]
fn a_time_that_is_gone_doubled_or_unreadable_is_missing() {
    let policy = timed("header:x-time", TimestampUnit::Seconds);
    let (now, good) = (NOW.to_string(), mac(format!("{NOW}.body")));
    let sig = ("x-sig", good.as_str());
    let malformed = Err(Reason::MalformedTimestamp);
    assert_eq!(evaluate(&policy, &[sig, ("x-time", &now)], b"body"), Ok(0));
    assert_eq!(evaluate(&policy, &[sig], b"body"), Err(Reason::MissingTimestamp));
    assert_eq!(evaluate(&policy, &[sig, ("x-time", &now), ("x-time", &now)], b"body"), malformed);
    for time in ["", "soon", "-1", "1.8e9", "1800000000.0", "+1800000000", "99999999999999999999999"] {
        assert_eq!(at(TimestampUnit::Seconds, time), malformed, "{time}");
    }
}

/// An attacker who replaces the time invalidates the signature.
#[test]
fn a_changed_time_breaks_the_signature() {
    let policy = timed("header:x-time", TimestampUnit::Seconds);
    let (now, old) = (NOW.to_string(), mac(format!("{}.body", NOW - 1000)));
    assert_eq!(evaluate(&policy, &[("x-sig", &old), ("x-time", &now)], b"body"), BAD);
}

#[test]
fn a_time_stands_in_a_part_the_json_or_the_form() {
    let stale = Err(Reason::TimestampTooOld);
    let mut policy = timed("part:t", TimestampUnit::Seconds);
    policy.parse = pairs("v1");
    for (time, expected) in [(NOW, Ok(0)), (NOW - 301, stale)] {
        let value = format!("t={time},v1={}", mac(format!("{time}.body")));
        assert_eq!(evaluate(&policy, &[("x-sig", &value)], b"body"), expected);
    }
    let policy = timed("json:/t", TimestampUnit::Milliseconds);
    for (time, expected) in [(NOW, Ok(0)), (NOW - 301, stale)] {
        let body = format!("{{\"t\":{time}000}}");
        assert_eq!(evaluate(&policy, &[("x-sig", &mac(format!("{time}000.{body}")))], body.as_bytes()), expected);
    }
    let policy = timed("form:t", TimestampUnit::Seconds);
    for (time, expected) in [(NOW, Ok(0)), (NOW - 301, stale)] {
        let body = format!("t={time}");
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(evaluate(&policy, &[("x-sig", &mac(format!("{time}.{body}"))), form], body.as_bytes()), expected);
    }
    assert_eq!(evaluate(&policy, &[("x-sig", &mac(".t="))], b"t="), Err(Reason::MalformedBody));
}

/// A time in a body with an invalid signature is not evaluated.
#[test]
fn a_time_in_the_body_is_verified_after_the_signature() {
    let policy = timed("json:/t", TimestampUnit::Seconds);
    assert_eq!(evaluate(&policy, &[("x-sig", "00")], br#"{"t":1}"#), BAD);
    let head = head("/a", &[("x-sig", &mac("another text"))]);
    let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
    assert_eq!(policy.verify(&view, now(), &mut Explanation::off()).err(), Some(VerifyError::NeedsBody));
}

/// Each of several values has its own time, and each must be recent: a fresh one does not renew a stale one.
#[test]
fn each_of_several_values_is_in_time() {
    let mut policy = timed("part:t", TimestampUnit::Seconds);
    policy.parse = pairs("v1");
    policy.places = ["x-one", "x-two"].map(|name| Locator::header_named(HeaderName::from_static(name))).to_vec();
    let value = |time: u64| format!("t={time},v1={}", mac(format!("{time}.body")));
    let evaluate = |one: u64, two: u64| evaluate(&policy, &[("x-one", &value(one)), ("x-two", &value(two))], b"body");
    assert_eq!(evaluate(NOW, NOW - 1), Ok(0));
    assert_eq!(evaluate(NOW, NOW - 301), Err(Reason::TimestampTooOld));
    assert_eq!(evaluate(NOW - 301, NOW), Err(Reason::TimestampTooOld));
}

/// Only signed data identifies an event, and a route without replay protection has no id.
#[test]
fn a_replay_id_is_the_signed_component_or_the_hash() {
    let id = |replay_id: Option<SignatureReplayId>| {
        let policy = SignaturePolicy { replay_id, ..policy(&["header:x-id", "body"]) };
        let head = head("/a", &[("x-sig", &mac("7.body")), ("x-id", "7")]);
        let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(b"body");
        policy.verify(&view, now(), &mut Explanation::off()).unwrap().replay_id.map(|id| (id.kind, id.id, id.text))
    };
    let component = Component::parse("header:x-id").unwrap();
    assert_eq!(id(None), None);
    assert_eq!(
        id(Some(SignatureReplayId::Component(component))),
        Some(("piece", b"7".to_vec(), Some(hash_of(b"7.body"))))
    );
    assert_eq!(id(Some(SignatureReplayId::Hash)), Some(("hash", hash_of(b"7.body"), None)));
}

/// Only where the text can be split in another way is it recorded beside the id, since that is another entry of the store.
#[test]
fn a_text_with_one_split_is_not_recorded() {
    let text = |components: &[&str], source: &str, fields: &[(&str, &str)], body: &str, signed: &str| {
        let replay_id = Some(SignatureReplayId::Component(Component::parse(source).unwrap()));
        let time = timed("header:x-time", TimestampUnit::Seconds).time;
        let policy = SignaturePolicy { replay_id, time, ..policy(components) };
        let (now_text, signature) = (NOW.to_string(), mac(signed));
        let fields = [&[("x-sig", &*signature), ("x-time", &*now_text)], fields].concat();
        let head = head("/a", &fields);
        let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(body.as_bytes());
        policy.verify(&view, now(), &mut Explanation::off()).unwrap().replay_id.unwrap().text
    };
    let (json, id) = ("{\"id\":\"7\"}", [("x-id", "7")]);
    let one = text(&["literal:v1", "header:x-time", "body"], "json:/id", &[], json, &format!("v1.{NOW}.{json}"));
    assert_eq!(one, None);
    let hash = Digest::hex_sha256(json.as_bytes());
    let hashed = ["header:x-time", "header:x-id", "body.sha256.hex"];
    assert_eq!(text(&hashed, "header:x-id", &id, json, &format!("{NOW}.7.{hash}")), None);
    let two = format!("{NOW}.7.{json}");
    let parts = ["header:x-time", "header:x-id", "body"];
    assert_eq!(text(&parts, "header:x-id", &id, json, &two), Some(hash_of(two.as_bytes())));
}

/// The id is stored for as long as any of the signatures could be replayed.
#[test]
fn a_replay_id_lasts_as_long_as_its_latest_signature() {
    let mut policy = timed("part:t", TimestampUnit::Seconds);
    policy.parse = pairs("v1");
    policy.replay_id = Some(SignatureReplayId::Hash);
    policy.places = ["x-one", "x-two"].map(|name| Locator::header_named(HeaderName::from_static(name))).to_vec();
    let value = |time: u64| format!("t={time},v1={}", mac(format!("{time}.body")));
    for (one, two) in [(NOW, NOW - 100), (NOW - 100, NOW)] {
        let head = head("/a", &[("x-one", &value(one)), ("x-two", &value(two))]);
        let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(b"body");
        let grant = policy.verify(&view, now(), &mut Explanation::off()).unwrap();
        let id = grant.replay_id.unwrap();
        assert_eq!(id.until.map(UnixTime::seconds), Some(NOW + 301), "{one} {two}");
        assert_eq!(id.issued.map(UnixTime::seconds), Some(NOW - 160), "{one} {two}");
    }
}
