//! Revocation of otherwise valid tokens, tested through the whole decision.

use std::sync::Arc;

use http::Request;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::*;
use crate::auth::issuer::Issuer;
use crate::auth::keys::{Algorithm, KeySet, Keys};
use crate::auth::request::UrlBase;
use crate::auth::sender::{Holder, HolderKind};
use crate::auth::testing::{ED25519, ISSUER, NOW, fixed, good_claims, key_set, now, pem, policy, with};
use crate::auth::{Policy, Reason, RequestView, Rules, VerifyError, verify};

/// The rules of a route with one issuer, these keys and this revocation list.
fn route(keys: Keys, list: RevocationList) -> Rules {
    let mut policy = policy(vec![Issuer {
        name: "acme".into(),
        preset: false,
        iss: crate::auth::issuer::IssuerClaim::Exact(ISSUER.into()),
        algorithms: vec![Algorithm::EdDSA],
        keys,
        token_cache: Arc::default(),
    }]);
    policy.required_claims = vec![];
    let handle = RevocationHandle::new("revoked.yaml".into(), list);
    Rules::new(Policy::Jwt(Box::new(policy)), Some(Arc::new(handle)), None)
}

fn named_key() -> Keys {
    fixed(key_set(&[with(ED25519.jwk(), &json!({"kid": "k1"}))], &[Algorithm::EdDSA]))
}

fn set(names: &[&str]) -> HashSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn decide(rules: &Rules, header: &str, changes: &Value) -> Option<(Reason, bool)> {
    let token = ED25519.token(Algorithm::EdDSA, header, with(good_claims(), changes).to_string());
    let request = Request::post("/").header(AUTHORIZATION, format!("Bearer {token}"));
    let head = request.body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
    match verify(rules, &view, now()) {
        Err(VerifyError::Rejected(rejection)) => Some((rejection.reason, rejection.proven)),
        Ok(_) | Err(VerifyError::NeedsBody) => None,
    }
}

const WITH_KID: &str = r#"{"alg":"EdDSA","kid":"k1"}"#;
const WITHOUT_KID: &str = r#"{"alg":"EdDSA"}"#;
const REVOKED: Option<(Reason, bool)> = Some((Reason::Revoked, true));

#[test]
fn each_field_revokes_what_it_names_and_nothing_else() {
    let ids = route(named_key(), RevocationList { token_ids: set(&["1", "7"]), ..RevocationList::default() });
    assert_eq!(decide(&ids, WITH_KID, &json!({})), REVOKED);
    for passes in [json!({"jti": "2"}), json!({"jti": null}), json!({"jti": "1 "}), json!({"jti": "2", "sub": "1"})] {
        assert_eq!(decide(&ids, WITH_KID, &passes), None, "{passes}");
    }
    let subjects = route(named_key(), RevocationList { subjects: set(&["acme"]), ..RevocationList::default() });
    assert_eq!(decide(&subjects, WITH_KID, &json!({})), REVOKED);
    for passes in [json!({"sub": "ACME"}), json!({"sub": null}), json!({"sub": "x", "jti": "acme"})] {
        assert_eq!(decide(&subjects, WITH_KID, &passes), None, "{passes}");
    }
    let keys = route(named_key(), RevocationList { key_ids: set(&["k1"]), ..RevocationList::default() });
    assert_eq!(decide(&keys, WITH_KID, &json!({})), REVOKED);
    let others = route(named_key(), RevocationList { key_ids: set(&["k2"]), ..RevocationList::default() });
    assert_eq!(decide(&others, WITH_KID, &json!({"jti": "k2", "sub": "k2"})), None);
}

/// Otherwise the holder of a revoked key could evade the revocation by leaving out the `kid`.
#[test]
fn a_revoked_key_is_known_without_its_name() {
    let list = || RevocationList { key_ids: set(&["k1"]), ..RevocationList::default() };
    assert_eq!(decide(&route(named_key(), list()), WITHOUT_KID, &json!({})), REVOKED);
    let pinned = || {
        Keys::Fixed(Arc::new(
            KeySet::from_pem(pem("PUBLIC KEY", &ED25519.spki()).as_bytes(), Algorithm::EdDSA).unwrap(),
        ))
    };
    assert_eq!(decide(&route(pinned(), list()), WITH_KID, &json!({})), REVOKED);
    assert_eq!(decide(&route(pinned(), list()), WITHOUT_KID, &json!({})), None);
}

#[test]
fn tokens_issued_before_or_without_a_time_are_revoked() {
    let bound = UnixTime::from_seconds(NOW - 10);
    let rules = route(named_key(), RevocationList { issued_before: bound, ..RevocationList::default() });
    for (issued, expected) in [
        (json!(NOW - 10), None),
        (json!(NOW), None),
        (json!(NOW - 11), REVOKED),
        (json!(NOW as f64 - 10.5), REVOKED),
        (json!(0), REVOKED),
        (Value::Null, REVOKED),
    ] {
        assert_eq!(decide(&rules, WITH_KID, &json!({"iat": issued})), expected, "{issued}");
    }
}

/// `issued_before` revokes tokens: a signature beside the token, which has no issue time, is not one.
#[test]
fn a_credential_without_a_token_is_not_older_than_a_bound() {
    let list = RevocationList { issued_before: UnixTime::from_seconds(NOW), ..RevocationList::default() };
    let handle = RevocationHandle::new("revoked.yaml".into(), list);
    assert!(!handle.revokes(&Grant::anonymous()));
}

/// A token without claims, such as a detached JWS, can be revoked by its key; one without `kid` by its claims.
#[test]
fn a_grant_is_revocable_by_key_or_claims() {
    let grant = |kid: Option<&str>, claims: Value| {
        let Value::Object(claims) = claims else { panic!("claims") };
        let holder = Holder { kind: HolderKind::Issuer, name: "acme".into(), key_id: None };
        Grant { kid: kid.map(str::to_owned), claims: Arc::new(claims), holder: Some(holder), ..Grant::anonymous() }
    };
    let named = grant(Some("k"), json!({}));
    let all = Grant::anonymous().beside(named).beside(grant(None, json!({"sub": "acme", "jti": "1"})));
    let found: Vec<_> = all.revocables().map(|one| (one.token_id, one.subject, one.key_id)).collect();
    assert_eq!(found, [(None, None, Some("k")), (Some("1"), Some("acme"), None)]);
}

#[test]
fn the_entries_of_a_list_are_counted() {
    let (token_ids, subjects, key_ids) = (set(&["1", "2", "3"]), set(&["a", "b"]), set(&["k"]));
    let list = RevocationList { token_ids, subjects, key_ids, ..RevocationList::default() };
    assert_eq!(RevocationHandle::new("revoked.yaml".into(), list).entries(), 6);
}

/// An invalid token is rejected for that reason first: an unauthenticated client does not learn the list's entries.
#[test]
fn only_a_good_token_is_called_revoked() {
    let list =
        RevocationList { token_ids: set(&["1"]), issued_before: Some(UnixTime::MAX), ..RevocationList::default() };
    let rules = route(named_key(), list);
    assert_eq!(decide(&rules, WITH_KID, &json!({"exp": NOW - 60})), Some((Reason::TokenExpired, true)));
    assert_eq!(decide(&rules, WITH_KID, &json!({"aud": "x"})), Some((Reason::InvalidAudience, true)));
    assert_eq!(decide(&rules, r#"{"alg":"EdDSA","kid":"k2"}"#, &json!({})), Some((Reason::UnknownKey, false)));
}

#[test]
fn a_list_is_replaced_behind_its_handle() {
    let rules = route(named_key(), RevocationList::default());
    assert_eq!(decide(&rules, WITH_KID, &json!({})), None);
    let list = RevocationList { token_ids: set(&["1"]), version: [1; 32], ..RevocationList::default() };
    let handle = rules.revocation.as_ref().unwrap();
    handle.replace(list);
    assert_eq!((handle.entries(), handle.version()), (1, [1; 32]));
    assert_eq!(decide(&rules, WITH_KID, &json!({})), REVOKED);
}
