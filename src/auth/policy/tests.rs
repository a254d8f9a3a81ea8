//! Combinations of several schemes on one route, mostly of static tokens in one header each.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Request};
use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::auth::claims::Pointer;
use crate::auth::client_certificate::San;
use crate::auth::encoding::Encoding;
use crate::auth::issuer::Issuer;
use crate::auth::keys::{Algorithm, Keys, RemoteKeys, RemoteSource};
use crate::auth::locator::Locator;
use crate::auth::request::UrlBase;
use crate::auth::revocation::{RevocationHandle, RevocationList};
use crate::auth::secret::{Hash, Secret, SecretKey, SignatureAlgorithm};
use crate::auth::signature::{Component, Parse, SignaturePolicy};
use crate::auth::static_token::StaticTokenPolicy;
use crate::auth::testing::{ED25519, ISSUER, fixed, good_claims, key_set, now, policy, signature, with};
use crate::auth::{Rules, verify};

mod alternatives;

/// A policy for the static token `good` in this header; the secret has this index.
fn header(name: &'static str, index: usize) -> Policy {
    let place = Locator::Header { name: HeaderName::from_static(name), scheme: None };
    token(place, index)
}

fn token(place: Locator, index: usize) -> Policy {
    let key = SecretKey::from_secret(Zeroizing::new(b"good".to_vec())).unwrap();
    Policy::Token(Box::new(StaticTokenPolicy {
        name: "static_token".into(),
        place,
        secrets: vec![Secret::new(index, key)].into(),
    }))
}

/// A policy for the static token `good` in the form field `t` of the body.
fn in_body(index: usize) -> Policy {
    token(Locator::Form("t".into()), index)
}

fn jwt(keys: Keys) -> Policy {
    let issuer = Issuer {
        name: "acme".into(),
        preset: false,
        iss: crate::auth::issuer::IssuerClaim::Exact(ISSUER.into()),
        algorithms: vec![Algorithm::EdDSA],
        keys,
        token_cache: Arc::default(),
    };
    Policy::Jwt(Box::new(policy(vec![issuer])))
}

fn known() -> Keys {
    fixed(key_set(&[ED25519.jwk()], &[Algorithm::EdDSA]))
}

/// Keys that were never fetched.
fn unknown() -> Keys {
    let day = Duration::from_secs(24 * 3600);
    Keys::Remote(Arc::new(RemoteKeys::new(RemoteSource {
        issuer: "acme".into(),
        url: "https://a/".into(),
        discovery: None,
        ca: None,
        pins: vec![],
        access: crate::auth::keys::JwksAccess::default(),
        cache: None,
        algorithms: vec![Algorithm::EdDSA],
        refresh: day,
        max_stale: day,
        cooldown: day,
    })))
}

fn bearer() -> String {
    format!("Bearer {}", ED25519.token(Algorithm::EdDSA, r#"{"alg":"EdDSA"}"#, good_claims().to_string()))
}

fn evaluate(policy: &Policy, fields: &[(&str, &str)], body: Option<&[u8]>) -> Result<Grant, VerifyError> {
    let request = Request::post("/").header("content-type", "application/x-www-form-urlencoded");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let head = request.body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("a"));
    let view = if let Some(body) = body { view.with_body(body) } else { view };
    policy.evaluate(&view, now(), &mut Explanation::off())
}

/// The indices of the secrets that were used, or the rejection.
fn outcome(policy: &Policy, fields: &[(&str, &str)]) -> Result<Vec<usize>, Reason> {
    evaluate(policy, fields, Some(b"")).map(|grant| grant.secrets).map_err(|error| error.reason().unwrap())
}

const MISSING: Result<Vec<usize>, Reason> = Err(Reason::MissingCredential);
const BAD: Result<Vec<usize>, Reason> = Err(Reason::InvalidStaticToken);

#[test]
fn all_of_grants_what_each_has_proven() {
    let all = Policy::AllOf(vec![header("x-a", 0), jwt(known()), header("x-b", 1)]);
    let (a, b, token) = (("x-a", "good"), ("x-b", "good"), bearer());
    let bearer = ("authorization", token.as_str());
    let grant = evaluate(&all, &[a, b, bearer], None).unwrap();
    assert_eq!((grant.secrets(), grant.subject(), grant.issuer().is_some()), (&[0, 1][..], Some("acme"), true));
    for some in [&[][..], &[a], &[a, b], &[b, bearer], &[a, bearer]] {
        assert_eq!(outcome(&all, some), MISSING, "{some:?}");
    }
    assert_eq!(outcome(&all, &[a, bearer, ("x-b", "bad")]), BAD);
}

#[test]
fn the_sender_is_that_of_all_credentials() {
    let named = |name, index, sender: Option<&str>| {
        let Policy::Token(mut policy) = header(name, index) else { panic!("no static token") };
        policy.secrets[0].sender = sender.map(Into::into);
        Policy::Token(policy)
    };
    let schemes = || vec![named("x-a", 0, Some("a")), jwt(known()), named("x-b", 1, None), named("x-c", 2, Some("a"))];
    let (token, good) = (bearer(), |name| (name, "good"));
    let bearer = ("authorization", token.as_str());
    let sender = |policy: &Policy, fields: &[(&str, &str)]| {
        evaluate(policy, fields, None).unwrap().sender().text().unwrap_or_default()
    };
    let all = [good("x-a"), bearer, good("x-b"), good("x-c")];
    for policy in [Policy::AllOf(schemes()), Policy::AnyOf(schemes())] {
        assert_eq!(sender(&policy, &all), "a + acme/acme + static_token");
    }
    assert_eq!(sender(&Policy::AnyOf(schemes()), &[bearer]), "acme/acme");
    assert_eq!(sender(&Policy::Public, &[]), "");
}

#[test]
fn rotating_secrets_are_one_sender_and_named_ones_several() {
    let of = |names: &[(Option<&str>, Option<&str>)]| {
        let Policy::Token(mut policy) = header("x-a", 0) else { panic!("no static token") };
        let secret = policy.secrets[0].clone();
        let secrets = names.iter().map(|(id, sender)| Secret {
            id: id.map(Into::into),
            sender: sender.map(Into::into),
            ..secret.clone()
        });
        policy.secrets = secrets.collect();
        Policy::Token(policy)
    };
    let one = [
        of(&[(None, None), (None, None)]),
        of(&[(Some("1"), Some("a")), (Some("2"), Some("a"))]),
        Policy::AllOf(vec![of(&[(None, None)]), Policy::ClientCertificate(Box::new(named_certificate()))]),
    ];
    let several = [
        of(&[(Some("1"), None), (Some("2"), None)]),
        of(&[(None, Some("a")), (None, None)]),
        of(&[(None, Some("a")), (None, Some("b"))]),
        jwt(known()),
        Policy::ClientCertificate(Box::default()),
        Policy::AnyOf(vec![of(&[(None, None)]), of(&[(None, None)])]),
    ];
    assert!(one.iter().all(Policy::has_one_sender));
    assert!(!several.iter().any(Policy::has_one_sender));
}

fn named_certificate() -> CertificateRule {
    CertificateRule { sans: vec![San::parse("dns:a.test").unwrap()], sha256: Vec::new() }
}

/// The body of a request that is rejected by its headers is not read.
#[test]
fn all_of_rejects_before_it_reads() {
    let all = Policy::AllOf(vec![in_body(0), header("x-a", 1)]);
    let evaluate =
        |fields: &[(&str, &str)], body: Option<&[u8]>| evaluate(&all, fields, body).map(|grant| grant.secrets);
    assert_eq!(evaluate(&[("x-a", "bad")], None), Err(Reason::InvalidStaticToken.into()));
    assert_eq!(evaluate(&[], None), Err(Reason::MissingCredential.into()));
    assert_eq!(evaluate(&[("x-a", "good")], None), Err(VerifyError::NeedsBody));
    assert_eq!(evaluate(&[("x-a", "good")], Some(b"t=good")), Ok(vec![0, 1]));
    assert_eq!(evaluate(&[("x-a", "good")], Some(b"t=bad")), Err(Reason::InvalidStaticToken.into()));
}

#[test]
fn any_of_wants_one_and_each_that_is_there() {
    let any = Policy::AnyOf(vec![header("x-a", 0), header("x-b", 1), header("x-c", 2)]);
    let (a, b, c) = (("x-a", "good"), ("x-b", "good"), ("x-c", "good"));
    assert_eq!(outcome(&any, &[]), MISSING);
    assert_eq!((outcome(&any, &[a]), outcome(&any, &[b])), (Ok(vec![0]), Ok(vec![1])));
    // The first grant wins.
    assert_eq!((outcome(&any, &[c, b]), outcome(&any, &[c, b, a])), (Ok(vec![1]), Ok(vec![0])));
    for bad in ["x-a", "x-b", "x-c"] {
        let others: Vec<_> = [a, b, c].into_iter().filter(|(name, _)| *name != bad).collect();
        assert_eq!(outcome(&any, &[&others[..], &[(bad, "bad")]].concat()), BAD, "{bad}");
        assert_eq!(outcome(&any, &[(bad, "bad")]), BAD, "{bad}");
    }
    let doubled = [a, b, b];
    assert_eq!(outcome(&any, &doubled), Err(Reason::MultipleCredentials));
}

#[test]
fn any_of_waits_for_schemes_that_need_the_body() {
    let any = Policy::AnyOf(vec![header("x-a", 0), in_body(1)]);
    let evaluate =
        |fields: &[(&str, &str)], body: Option<&[u8]>| evaluate(&any, fields, body).map(|grant| grant.secrets);
    let good = [("x-a", "good")];
    assert_eq!(evaluate(&good, None), Err(VerifyError::NeedsBody));
    assert_eq!(evaluate(&[("x-a", "bad")], None), Err(Reason::InvalidStaticToken.into()));
    assert_eq!(evaluate(&good, Some(b"t=bad")), Err(Reason::InvalidStaticToken.into()));
    assert_eq!((evaluate(&good, Some(b"")), evaluate(&[], Some(b"t=good"))), (Ok(vec![0]), Ok(vec![1])));
}

/// The response is 503, so that the sender retries: no other grant or rejection replaces the decision on a token that
/// cannot be verified.
#[test]
fn unavailable_comes_before_rejected() {
    let token = bearer();
    let bearer = ("authorization", token.as_str());
    for policies in [vec![jwt(unknown()), header("x-a", 0)], vec![header("x-a", 0), jwt(unknown())]] {
        let any = Policy::AnyOf(policies);
        for fields in [&[bearer][..], &[bearer, ("x-a", "good")], &[bearer, ("x-a", "bad")]] {
            assert_eq!(outcome(&any, fields), Err(Reason::JwksUnavailable), "{fields:?}");
        }
        assert_eq!((outcome(&any, &[("x-a", "good")]), outcome(&any, &[("x-a", "bad")])), (Ok(vec![0]), BAD));
    }
}

/// The keys of such a token may be fetched, after which another rejection is no longer the first one.
#[test]
fn a_token_of_an_unknown_remote_key_comes_before_rejected() {
    let Keys::Remote(remote) = unknown() else { panic!("remote keys") };
    let named = with(ED25519.jwk(), &json!({"kid": "1"}));
    remote.replace(key_set(&[named], &[Algorithm::EdDSA]), now());
    let token = ED25519.token(Algorithm::EdDSA, r#"{"alg":"EdDSA","kid":"2"}"#, good_claims().to_string());
    let fields = [("authorization", format!("Bearer {token}")), ("x-a", "bad".to_owned())];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    let keys = Keys::Remote(remote);
    for policies in [vec![jwt(keys.clone()), header("x-a", 0)], vec![header("x-a", 0), jwt(keys.clone())]] {
        assert_eq!(outcome(&Policy::AnyOf(policies), &fields), Err(Reason::UnknownKey));
    }
}

/// A credential that counted twice would have its replay id reserved twice.
#[test]
fn each_credential_of_any_of_counts_once() {
    let any = Policy::AnyOf(vec![header("x-a", 0), Policy::AllOf(vec![header("x-b", 1), header("x-c", 2)])]);
    let grants = |fields: &[(&str, &str)]| evaluate(&any, fields, None).unwrap().each().count();
    let (a, b, c) = (("x-a", "good"), ("x-b", "good"), ("x-c", "good"));
    assert_eq!((grants(&[a]), grants(&[a, b])), (1, 2));
    // An `all_of` has a grant without identity beside those of its policies.
    assert_eq!((grants(&[b, c]), grants(&[a, b, c])), (3, 4));
}

#[test]
fn a_policy_binds_the_body_if_every_request_that_passes_does() {
    let bound = || {
        let Policy::Jwt(mut policy) = jwt(known()) else { panic!("a JWT") };
        policy.token = Locator::Json(Pointer::parse("/token").unwrap());
        Policy::Jwt(policy)
    };
    assert!(Policy::Signature(Box::new(signature())).binds_body());
    assert!(bound().binds_body() && Policy::AllOf(vec![bound(), header("x-a", 0)]).binds_body());
    assert!(Policy::AnyOf(vec![bound(), bound()]).binds_body());
    let all = Policy::AllOf(vec![jwt(known()), header("x-a", 0)]);
    let any = Policy::AnyOf(vec![bound(), header("x-a", 0)]);
    for policy in [Policy::Public, jwt(known()), header("x-a", 0), all, any] {
        assert!(!policy.binds_body(), "{:?}", policy.kind());
    }
}

/// A certificate is valid only for the host name of its connection, which such a route must compare.
#[test]
fn a_policy_looks_at_certificates_if_one_of_its_schemes_does() {
    let bound = || {
        let Policy::Jwt(mut policy) = jwt(known()) else { panic!("a JWT") };
        policy.bindings.certificate = true;
        Policy::Jwt(policy)
    };
    let rule = || Policy::ClientCertificate(Box::default());
    for policy in [rule(), bound(), Policy::AnyOf(vec![header("x-a", 0), Policy::AllOf(vec![Policy::Public, rule()])])]
    {
        assert!(policy.looks_at_certificates(), "{:?}", policy.kind());
    }
    let without = Policy::AllOf(vec![jwt(known()), Policy::Signature(Box::new(signature()))]);
    for policy in [Policy::Public, jwt(known()), header("x-a", 0), without] {
        assert!(!policy.looks_at_certificates(), "{:?}", policy.kind());
    }
}

#[test]
fn every_scheme_is_evaluated() {
    for policy in [Policy::Signature(Box::new(signature())), Policy::ClientCertificate(Box::default())] {
        assert_eq!(outcome(&policy, &[]), MISSING, "{:?}", policy.kind());
    }
}

/// The order of the policies in the alternative does not matter.
#[test]
fn an_invalid_credential_is_rejected_though_another_of_its_branch_is_missing() {
    for order in [["x-a", "x-b"], ["x-b", "x-a"]] {
        let branch = Policy::AllOf(order.map(|name| header(name, 0)).to_vec());
        let any = Policy::AnyOf(vec![branch, header("x-c", 2)]);
        assert_eq!(outcome(&any, &[("x-a", "bad"), ("x-c", "good")]), BAD, "{order:?}");
        assert_eq!(outcome(&any, &[("x-a", "good"), ("x-c", "good")]), Ok(vec![2]));
        assert_eq!(outcome(&any, &[("x-a", "good")]), MISSING);
    }
    let half = Policy::AllOf(vec![header("x-a", 0), in_body(1)]);
    let any = Policy::AnyOf(vec![half, header("x-c", 2)]);
    assert_eq!(evaluate(&any, &[("x-c", "good")], None).err(), Some(VerifyError::NeedsBody));
    assert_eq!(evaluate(&any, &[("x-c", "good")], Some(b"t=bad")).err(), Some(Reason::InvalidStaticToken.into()));
}

#[test]
fn combinators_nest() {
    let inner = Policy::AnyOf(vec![header("x-a", 0), header("x-b", 1)]);
    let all = Policy::AllOf(vec![inner, header("x-c", 2)]);
    assert_eq!(outcome(&all, &[("x-b", "good"), ("x-c", "good")]), Ok(vec![1, 2]));
    assert_eq!(outcome(&all, &[("x-a", "good"), ("x-b", "bad"), ("x-c", "good")]), BAD);
    assert_eq!((outcome(&all, &[("x-a", "good")]), outcome(&all, &[("x-c", "good")])), (MISSING, MISSING));
    let nobody = Policy::AnyOf(vec![]);
    assert_eq!(outcome(&nobody, &[("x-a", "good")]), MISSING);
}

/// A revocation list applies to every token of a request: a revoked second token must not pass together with the first.
#[test]
fn of_several_tokens_none_is_revoked() {
    let in_header = |name: &'static str| {
        let Policy::Jwt(mut policy) = jwt(known()) else { panic!("a JWT") };
        policy.token = Locator::Header { name: HeaderName::from_static(name), scheme: None };
        Policy::Jwt(policy)
    };
    let token = |id: &str| {
        let claims = with(good_claims(), &json!({ "jti": id })).to_string();
        ED25519.token(Algorithm::EdDSA, r#"{"alg":"EdDSA"}"#, claims)
    };
    let (one, two) = (token("1"), token("2"));
    let both = || vec![in_header("x-one"), in_header("x-two")];
    let half = Policy::AllOf(vec![in_header("x-two"), header("x-b", 0)]);
    for policy in [
        Policy::AllOf(both()),
        Policy::AnyOf(both()),
        Policy::AllOf(vec![header("x-a", 0), Policy::AnyOf(both())]),
        Policy::AnyOf(vec![half, in_header("x-one")]),
    ] {
        for (revoked, rejection) in [("1", true), ("2", true), ("3", false)] {
            let list = RevocationList { token_ids: [revoked.to_owned()].into(), ..RevocationList::default() };
            let handle = RevocationHandle::new("revoked.yaml".into(), list);
            let rules = Rules::new(policy.clone(), Some(Arc::new(handle)), None);
            let head = Request::post("/").header("x-one", &one).header("x-two", &two).header("x-a", "good");
            let head = head.body(()).unwrap().into_parts().0;
            let error = verify(&rules, &RequestView::new(&head, UrlBase::Host("a")), now()).err();
            assert_eq!(error.and_then(|error| error.reason()), rejection.then_some(Reason::Revoked), "{revoked}");
        }
    }
}

/// An unreadable JSON body is an error if it must carry the only credential, and is ignored if it may carry another
/// one.
#[test]
fn a_body_with_the_only_credential_must_be_json() {
    let in_json = || token(Locator::Json(Pointer::parse("/t").unwrap()), 1);
    let decide = |policy: Policy, fields: &[(&str, &str)], body: &[u8]| {
        let request = fields.iter().fold(Request::post("/"), |request, (name, value)| request.header(*name, *value));
        let head = request.body(()).unwrap().into_parts().0;
        let view = RequestView::new(&head, UrlBase::Host("a")).with_body(body);
        let decided = verify(&Rules::new(policy, None, None), &view, now());
        decided.map(|grant| grant.secrets).map_err(|error| error.reason().unwrap())
    };
    assert_eq!(decide(in_json(), &[], br#"{"t":"good"}"#), Ok(vec![1]));
    assert_eq!(decide(in_json(), &[], br#"{"t":"good""#), Err(Reason::MalformedBody));
    for nothing in [&b""[..], b"{}"] {
        assert_eq!(decide(in_json(), &[], nothing), MISSING);
    }
    assert_eq!(decide(header("x-a", 0), &[], b"no JSON"), MISSING);
    let any = || Policy::AnyOf(vec![header("x-a", 0), in_json()]);
    assert_eq!(decide(any(), &[("x-a", "good")], b"no JSON"), Ok(vec![0]));
    assert_eq!(decide(any(), &[], b"no JSON"), MISSING);
}

/// Standard Webhooks has one header for both of its algorithms: a list without a signature of one version is no
/// credential of its alternative, and one with an invalid signature is.
#[test]
fn each_version_in_a_list_of_signatures_is_a_credential_of_its_own() {
    use base64::Engine;
    let versioned = |prefix: &str, algorithm, secret| {
        Policy::Signature(Box::new(SignaturePolicy {
            parse: Parse::List { separator: " ".into(), prefix: prefix.into() },
            encoding: Encoding::Base64,
            algorithm,
            signed_payload: vec![Component::Body],
            time: None,
            key_id: None,
            required_headers: Vec::new(),
            secrets: vec![secret].into(),
            ..signature()
        }))
    };
    let hmac = SignatureAlgorithm::Hmac(Hash::Sha256);
    let shared = || SecretKey::from_secret(Zeroizing::new(b"good".to_vec())).unwrap();
    let public = SecretKey::from_public(&ED25519.spki(), SignatureAlgorithm::Ed25519).unwrap();
    let any = Policy::AnyOf(vec![
        versioned("v1,", hmac, Secret::new(0, shared())),
        versioned("v1a,", SignatureAlgorithm::Ed25519, Secret::new(1, public)),
    ]);
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let v1 = format!("v1,{}", encode(&shared().mac(hmac, &[(&b"body"[..]).into()]).unwrap()));
    let v1a = format!("v1a,{}", encode(&ED25519.sign(Algorithm::EdDSA, b"body")));
    let (forged_v1, forged_v1a) = (format!("v1,{}", encode(&[7; 32])), format!("v1a,{}", encode(&[7; 64])));
    let outcome = |signatures: &[&str]| {
        let evaluated = evaluate(&any, &[("x-sig", &signatures.join(" "))], Some(b"body"));
        evaluated
            .map(|grant| grant.each().flat_map(|one| one.secrets.clone()).collect())
            .map_err(|error| error.reason().unwrap())
    };
    assert_eq!(outcome(&[&v1]), Ok(vec![0]));
    assert_eq!(outcome(&[&v1a]), Ok(vec![1]));
    assert_eq!(outcome(&[&v1a, &v1, &forged_v1]), Ok(vec![0, 1]));
    let bad: Result<Vec<usize>, Reason> = Err(Reason::InvalidSignature);
    assert_eq!((outcome(&[&v1, &forged_v1a]), outcome(&[&v1a, &forged_v1])), (bad.clone(), bad.clone()));
    assert_eq!((outcome(&[&forged_v1]), outcome(&["v2,AAAA"])), (bad, MISSING));
}
