//! Tests of the whole decision, from request headers to a grant or a rejection.

use std::collections::HashSet;
use std::time::Duration;

use http::Request;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::claims::Pointer;
use crate::auth::encoding::Encoding;
use crate::auth::issuer::Issuer;
use crate::auth::jwt::binding::{BindingHash, BodyHash, HashPresence};
use crate::auth::keys::Algorithm;
use crate::auth::locator::Locator;
use crate::auth::request::UrlBase;
use crate::auth::static_token::StaticTokenPolicy;
use crate::auth::testing::{ED25519, ISSUER, NOW, fixed, good_claims, key_set, now, policy, secret, signature, with};
use crate::auth::time::TimestampUnit;

fn jwt() -> Policy {
    Policy::Jwt(Box::new(policy(vec![Issuer {
        name: "acme".into(),
        preset: false,
        iss: crate::auth::issuer::IssuerClaim::Exact(ISSUER.into()),
        algorithms: vec![Algorithm::EdDSA],
        keys: fixed(key_set(&[ED25519.jwk()], &[Algorithm::EdDSA])),
        token_cache: Arc::default(),
    }])))
}

fn timed(source: Locator) -> Option<TimestampRule> {
    let (max_age, max_future) = (Duration::from_secs(300), Duration::from_secs(60));
    Some(TimestampRule { source, unit: TimestampUnit::Seconds, max_age, max_future })
}

fn in_header() -> Option<TimestampRule> {
    timed(Locator::header_named(HeaderName::from_static("x-time")))
}

fn decide(rules: &Rules, fields: &[(&str, &str)]) -> Result<Grant, (Reason, bool)> {
    let request = fields.iter().fold(Request::post("/webhook"), |request, (name, value)| request.header(*name, *value));
    let head = request.body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
    verify(rules, &view, now()).map_err(|error| match error {
        VerifyError::Rejected(rejection) => (rejection.reason, rejection.proven),
        VerifyError::NeedsBody => panic!("no rule here reads the body"),
    })
}

fn bearer(changes: &serde_json::Value) -> String {
    let claims = with(good_claims(), changes).to_string();
    format!("Bearer {}", ED25519.token(Algorithm::EdDSA, r#"{"alg":"EdDSA"}"#, claims))
}

/// The operator sees which header it is; the value is not shown.
#[test]
fn a_credential_that_cannot_be_read_has_a_detail() {
    let rules = Rules::new(jwt(), None, None);
    let detail = |values: &[HeaderValue]| {
        let request = values.iter().fold(Request::post("/"), |request, value| request.header(AUTHORIZATION, value));
        let head = request.body(()).unwrap().into_parts().0;
        match verify(&rules, &RequestView::new(&head, UrlBase::Host("hooks.test")), now()) {
            Err(VerifyError::Rejected(rejection)) => (rejection.reason.word(), rejection.detail.unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    };
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
    for (values, expected) in [
        (vec![value("Bearer é")], ("malformed_credential", "the header `authorization` is not in visible ASCII")),
        (
            vec![value("Bearer a!b")],
            (
                "malformed_credential",
                "the token in header `authorization` is empty, or has characters that no token has (RFC 6750 §2.1)",
            ),
        ),
        (
            vec![value("Bearer a"), value("Bearer b")],
            ("multiple_credentials", "the header `authorization` occurs more than once"),
        ),
        (
            vec![value("Bearer a, Bearer b")],
            ("multiple_credentials", "the header `authorization` has a comma, as two values that a proxy joins"),
        ),
    ] {
        let (reason, detail) = detail(&values);
        assert_eq!((reason, &*detail), expected);
    }
}

#[test]
fn a_good_token_is_granted_with_its_claims() {
    let grant = decide(&Rules::new(jwt(), None, None), &[("authorization", &bearer(&json!({})))]).unwrap();
    assert_eq!((grant.issuer().map(|name| &**name), grant.kid(), grant.subject()), (Some("acme"), None, Some("acme")));
    assert_eq!(grant.claims().get("jti"), Some(&json!("1")));
}

#[test]
fn a_public_route_grants_every_client_without_an_identity() {
    let public = Rules::new(Policy::Public, None, None);
    for fields in [&[][..], &[("authorization", "Bearer x")]] {
        let grant = decide(&public, fields).unwrap();
        assert!(grant.issuer().is_none() && grant.kid().is_none() && grant.subject().is_none());
        assert!(grant.claims().is_empty());
    }
}

#[test]
fn no_credential_is_no_grant() {
    let rules = Rules::new(jwt(), None, None);
    assert_eq!(decide(&rules, &[]).err(), Some((Reason::MissingCredential, false)));
    let (good, other) = (bearer(&json!({})), bearer(&json!({"jti": "2"})));
    let both = [("authorization", good.as_str()), ("authorization", other.as_str())];
    assert_eq!(decide(&rules, &both).err(), Some((Reason::MultipleCredentials, false)));
}

/// The timestamp is required in addition to the credential and checked after it: an optional one would not protect.
#[test]
fn a_timestamp_is_required_next_to_the_credential() {
    let rules = Rules::new(jwt(), None, in_header());
    let (good, fresh) = (bearer(&json!({})), NOW.to_string());
    let decide =
        |token: &str, time: &[(&str, &str)]| decide(&rules, &[&[("authorization", token)], time].concat()).err();
    assert_eq!(decide(&good, &[("x-time", &fresh)]), None);
    assert_eq!(decide(&good, &[]), Some((Reason::MissingTimestamp, true)));
    assert_eq!(decide(&good, &[("x-time", "1")]), Some((Reason::TimestampTooOld, true)));
    assert_eq!(decide(&good, &[("x-time", "1900000000")]), Some((Reason::TimestampInFuture, true)));
    assert_eq!(decide("Bearer x", &[("x-time", &fresh)]), Some((Reason::MalformedToken, false)));
}

#[test]
fn on_a_public_route_a_bad_timestamp_proves_nothing() {
    let rules = Rules::new(Policy::Public, None, in_header());
    assert_eq!(decide(&rules, &[]).err(), Some((Reason::MissingTimestamp, false)));
    assert!(decide(&rules, &[("x-time", &NOW.to_string())]).is_ok());
}

#[test]
fn a_timestamp_may_be_a_verified_claim() {
    let claim = Locator::Claim(Pointer::parse("/event/time").unwrap());
    let rules = Rules::new(jwt(), None, timed(claim));
    let at = |time: serde_json::Value| {
        decide(&rules, &[("authorization", &bearer(&json!({"event": {"time": time}})))]).err()
    };
    assert_eq!((at(json!(NOW)), at(json!(NOW.to_string()))), (None, None));
    assert_eq!(at(json!(NOW - 301)), Some((Reason::TimestampTooOld, true)));
    assert_eq!(at(json!(true)), Some((Reason::MalformedTimestamp, true)));
}

fn hash_of_the_body() -> Policy {
    let Policy::Jwt(mut policy) = jwt() else { panic!("a JWT") };
    policy.bindings.body = Some(BodyHash {
        claim: Pointer::parse("h").unwrap(),
        hash: BindingHash::Sha256,
        encoding: Encoding::Hex,
        presence: HashPresence::Required,
    });
    Policy::Jwt(policy)
}

/// The body of a request with an old timestamp in its headers is not read.
#[test]
fn a_timestamp_in_a_header_is_checked_before_the_body_is_read() {
    let hash = BindingHash::Sha256.written(b"body", Encoding::Hex);
    let token = bearer(&json!({"h": hash, "t": NOW}));
    let decide = |timestamp: Option<TimestampRule>, time: u64| {
        let request = Request::post("/").header("authorization", &token).header("x-time", time.to_string());
        let head = request.body(()).unwrap().into_parts().0;
        let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
        verify(&Rules::new(hash_of_the_body(), None, timestamp), &view, now()).err()
    };
    assert_eq!(decide(in_header(), NOW), Some(VerifyError::NeedsBody));
    assert_eq!(decide(in_header(), NOW - 301), Some(Reason::TimestampTooOld.into()));
    let claim = timed(Locator::Claim(Pointer::parse("t").unwrap()));
    assert_eq!(decide(claim, NOW), Some(VerifyError::NeedsBody), "the claims are known only after the body");
}

/// The upstream could read another spelling of one of these headers instead of the verified one.
#[test]
fn the_headers_of_every_rule_are_known() {
    let name = HeaderName::from_static;
    let token = StaticTokenPolicy {
        name: "static_token".into(),
        place: Locator::header_named(name("x-token")),
        secrets: vec![secret()].into(),
    };
    let policy = Policy::AllOf(vec![
        Policy::AnyOf(vec![jwt(), Policy::Token(Box::new(token))]),
        Policy::Signature(Box::new(signature())),
    ]);
    let rules = Rules::new(policy, None, in_header());
    for expected in ["authorization", "x-token", "x-sig", "x-id", "x-signed-at", "x-key", "x-version", "x-time"] {
        assert!(rules.headers().contains(&name(expected)), "{expected}");
    }
    assert!(!rules.headers().contains(&name("x-other")));
}

#[test]
fn every_rejection_has_its_reason() {
    let words: HashSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    assert!(words.iter().all(|word| word.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())));
}

proptest! {
    /// No bytes in the `Authorization` header cause a panic or a grant.
    #[test]
    fn no_header_value_passes_or_panics(value in any::<Vec<u8>>(), scheme in any::<bool>()) {
        let value = if scheme { [b"Bearer ", value.as_slice()].concat() } else { value };
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let head = Request::post("/webhook").header(AUTHORIZATION, value).body(()).unwrap().into_parts().0;
            let rules = Rules::new(jwt(), None, None);
            let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
            prop_assert!(verify(&rules, &view, now()).is_err());
        }
    }

    #[test]
    fn no_timestamp_panics(value in "\\PC{0,40}|[0-9]{0,25}|[-0-9T:Z+.]{0,32}") {
        for unit in [TimestampUnit::Seconds, TimestampUnit::Milliseconds, TimestampUnit::Microseconds, TimestampUnit::Rfc3339] {
            let _ = unit.read(&value);
        }
    }
}
