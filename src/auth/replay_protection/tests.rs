//! The source of the replay id in each scheme and combination, and whether its credentials end.

use std::sync::Arc;

use http::HeaderName;

use super::*;
use crate::auth::detached::{DetachedPolicy, Payload};
use crate::auth::issuer::Issuer;
use crate::auth::jwt::JwtPolicy;
use crate::auth::keys::{Algorithm, KeySet};
use crate::auth::locator::Locator;
use crate::auth::signature::SignaturePolicy;
use crate::auth::testing::{fixed, policy, signature};
use crate::auth::time::{TimestampRule, TimestampUnit};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn claim(name: &str) -> Pointer {
    Pointer::parse(name).unwrap()
}

fn time() -> TimestampRule {
    let source = Locator::header_named(HeaderName::from_static("x-time"));
    TimestampRule { source, unit: TimestampUnit::Seconds, max_age: seconds(300), max_future: seconds(60) }
}

fn jwt(required: &[&str]) -> JwtPolicy {
    JwtPolicy { required_claims: required.iter().map(|name| (*name).to_owned()).collect(), ..policy(Vec::new()) }
}

fn detached(time: Option<TimestampRule>) -> Policy {
    let (algorithms, keys) = (vec![Algorithm::EdDSA], fixed(KeySet::default()));
    let issuer = Issuer {
        name: "acme".into(),
        iss: crate::auth::issuer::IssuerClaim::Any,
        preset: false,
        algorithms,
        keys,
        token_cache: Arc::default(),
    };
    let token = Locator::header_named(HeaderName::from_static("x-jws"));
    Policy::Detached(Box::new(DetachedPolicy { payload: Payload::Unencoded, token, issuer, time, replay_id: false }))
}

fn signed() -> Policy {
    Policy::Signature(Box::new(signature()))
}

/// Whether the route has a `ttl`.
fn identify(policy: Policy, source: Option<&ReplayIdSource>, has_ttl: bool) -> Result<Policy, NoReplayId> {
    let mut policy = policy;
    policy.identify(source, has_ttl).map(|()| policy)
}

fn of_jwt(
    policy: JwtPolicy,
    source: Option<&ReplayIdSource>,
    has_ttl: bool,
) -> Result<Option<JwtReplayId>, NoReplayId> {
    match identify(Policy::Jwt(Box::new(policy)), source, has_ttl)? {
        Policy::Jwt(policy) => Ok(policy.replay_id),
        other => panic!("{other:?}"),
    }
}

fn of_signature(
    policy: SignaturePolicy,
    source: Option<&ReplayIdSource>,
) -> Result<Option<SignatureReplayId>, NoReplayId> {
    match identify(Policy::Signature(Box::new(policy)), source, false)? {
        Policy::Signature(policy) => Ok(policy.replay_id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_has_its_jti_if_each_must_have_one() {
    let (chosen, hash) = (ReplayIdSource::Claim(claim("event")), ReplayIdSource::Hash);
    let (jti, event) = (JwtReplayId::Claim(claim("jti")), JwtReplayId::Claim(claim("event")));
    assert_eq!(of_jwt(jwt(&["exp", "jti"]), None, false), Ok(Some(jti)));
    assert_eq!(of_jwt(jwt(&["exp"]), None, false), Err(NoReplayId::NoId));
    assert_eq!(of_jwt(jwt(&["exp"]), Some(&chosen), false), Ok(Some(event)));
    assert_eq!(of_jwt(jwt(&["exp"]), Some(&hash), false), Ok(Some(JwtReplayId::Hash)));
    let component = ReplayIdSource::Component(Component::Body);
    assert_eq!(of_jwt(jwt(&["exp", "jti"]), Some(&component), false), Err(NoReplayId::NoId));
    let in_body = JwtPolicy { token: Locator::Body, ..jwt(&["exp"]) };
    assert_eq!(of_jwt(in_body, None, false), Ok(Some(JwtReplayId::Hash)));
}

/// An id of a credential that never expires would have to be stored for ever.
#[test]
fn a_credential_ends_by_itself_or_by_the_ttl() {
    let endless = || jwt(&["jti"]);
    assert_eq!(of_jwt(endless(), None, false), Err(NoReplayId::Endless));
    for (policy, has_ttl) in [
        (endless(), true),
        (jwt(&["jti", "exp"]), true),
        (JwtPolicy { max_age: Some(seconds(60)), ..endless() }, false),
        (JwtPolicy { time_claim: Some(time()), ..endless() }, false),
    ] {
        assert!(of_jwt(policy, None, has_ttl).is_ok());
    }
    assert!(identify(detached(Some(time())), None, false).is_ok() && identify(detached(None), None, true).is_ok());
    assert_eq!(identify(detached(None), None, false).err(), Some(NoReplayId::Endless));
    assert_eq!(of_signature(SignaturePolicy { time: None, ..signature() }, None), Err(NoReplayId::Endless));
}

#[test]
fn a_detached_signature_has_the_hash_alone() {
    for source in [None, Some(&ReplayIdSource::Hash)] {
        let identified = identify(detached(Some(time())), source, false).unwrap();
        assert!(matches!(identified, Policy::Detached(policy) if policy.replay_id));
    }
    for source in [ReplayIdSource::Claim(claim("jti")), ReplayIdSource::Component(Component::Body)] {
        assert_eq!(identify(detached(Some(time())), Some(&source), false).err(), Some(NoReplayId::NoId));
    }
}

/// An attacker can change everything that is not signed, and send an event again under a new id.
#[test]
fn a_signature_has_the_hash_or_a_signed_component() {
    let component = |name| Component::parse(name).unwrap();
    let (id, other) = (component("header:x-id"), component("header:x-other"));
    let chosen = || Ok(Some(SignatureReplayId::Component(id.clone())));
    assert_eq!(of_signature(signature(), None), Ok(Some(SignatureReplayId::Hash)));
    assert_eq!(of_signature(signature(), Some(&ReplayIdSource::Hash)), Ok(Some(SignatureReplayId::Hash)));
    assert_eq!(of_signature(SignaturePolicy { id: Some(id.clone()), ..signature() }, None), chosen());
    // ClickUp's `spaceUpdated`: two events with one body.
    let repeats = || SignaturePolicy { repeats: true, ..signature() };
    assert_eq!(of_signature(repeats(), None), Err(NoReplayId::Repeats));
    assert_eq!(of_signature(repeats(), Some(&ReplayIdSource::Hash)), Ok(Some(SignatureReplayId::Hash)));
    assert_eq!(of_signature(SignaturePolicy { id: Some(id.clone()), ..repeats() }, None), chosen());
    assert_eq!(of_signature(signature(), Some(&ReplayIdSource::Component(id.clone()))), chosen());
    assert_eq!(of_signature(signature(), Some(&ReplayIdSource::Component(other))), Err(NoReplayId::Unsigned));
    assert_eq!(of_signature(signature(), Some(&ReplayIdSource::Claim(claim("jti")))), Err(NoReplayId::NoId));
}

/// Of an `any_of`, an attacker chooses the alternative; of an `all_of`, each request has every credential.
#[test]
fn each_alternative_has_an_id_and_one_of_all_is_enough() {
    let endless = || Policy::Jwt(Box::new(jwt(&["jti"])));
    let reason = |policy| identify(policy, None, false).err();
    assert_eq!(reason(Policy::AllOf(vec![Policy::Public, signed()])), None);
    assert_eq!(reason(Policy::AllOf(vec![Policy::Public, endless(), Policy::Public])), Some(NoReplayId::Endless));
    assert_eq!(reason(Policy::AllOf(vec![endless(), signed()])), None);
    assert_eq!(reason(Policy::AllOf(vec![Policy::Public])), Some(NoReplayId::NoId));
    assert_eq!(reason(Policy::AnyOf(vec![signed(), detached(Some(time()))])), None);
    assert_eq!(reason(Policy::AnyOf(vec![signed(), Policy::Public])), Some(NoReplayId::NoId));
    assert_eq!(reason(Policy::ClientCertificate(Box::default())), Some(NoReplayId::NoId));
}

#[test]
fn a_window_grows_with_each_duration() {
    let aged = || JwtPolicy { max_age: Some(seconds(60)), time_claim: Some(time()), ..jwt(&[]) };
    let window = |policy: JwtPolicy| Policy::Jwt(Box::new(policy)).window();
    assert_eq!(window(aged()), seconds(30 + 60 + 300));
    assert!(window(JwtPolicy { max_age: None, ..aged() }) > seconds(24 * 3600));
    assert!(window(JwtPolicy { time_claim: None, ..aged() }) > seconds(24 * 3600));
    assert_eq!((signed().window(), detached(Some(time())).window()), (seconds(300), seconds(300)));
    let all = Policy::AllOf(vec![signed(), Policy::AnyOf(vec![detached(Some(time())), Policy::Public])]);
    assert_eq!((all.window(), detached(None).window()), (seconds(600), Duration::ZERO));
}
