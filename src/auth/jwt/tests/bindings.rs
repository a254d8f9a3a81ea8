//! Tokens of one request: the whole scheme, with bindings and replay ids.

use http::Request;

use super::*;
use crate::auth::encoding::Encoding;
use crate::auth::jwt::binding::{BindingHash, BodyHash, HashPresence, UrlEquals, UrlHash};
use crate::auth::request::{UrlBase, UrlVariant};
use crate::auth::time::TimestampUnit;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn body_hash(presence: HashPresence) -> Bindings {
    let body = BodyHash { claim: pointer("h"), hash: BindingHash::Sha256, encoding: Encoding::Hex, presence };
    Bindings { body: Some(body), ..Bindings::default() }
}

fn url_hash(hash: BindingHash) -> Bindings {
    let variants = vec![UrlVariant::Slash];
    Bindings {
        url_hash: Some(UrlHash { claim: pointer("u"), hash, encoding: Encoding::Hex, variants }),
        ..Bindings::default()
    }
}

/// Verifies a token with these claims in a POST request to /a with the body `body`.
fn request(policy: &JwtPolicy, changes: &Value) -> Result<Grant, VerifyError> {
    let token = ED25519.token(Algorithm::EdDSA, HEADER, with(good_claims(), changes).to_string());
    let request = Request::post("/a").header("authorization", format!("Bearer {token}")).header("x-time", NOW - 7);
    let head = request.body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(b"body");
    policy.verify(&view, now(), &mut Explanation::off())
}

fn rejected(policy: &JwtPolicy, changes: &Value) -> Option<(Reason, bool)> {
    request(policy, changes).err().map(|error| match error {
        VerifyError::Rejected(rejection) => (rejection.reason, rejection.proven),
        VerifyError::NeedsBody => panic!("the body was read"),
    })
}

#[test]
fn a_token_of_another_body_is_rejected() {
    let policy = JwtPolicy { bindings: body_hash(HashPresence::Required), ..usual() };
    let hash = |body: &[u8]| json!({ "h": BindingHash::Sha256.written(body, Encoding::Hex) });
    assert_eq!(rejected(&policy, &hash(b"body")), None);
    assert_eq!(rejected(&policy, &hash(b"another")), Some((Reason::BodyMismatch, true)));
    assert_eq!(rejected(&policy, &json!({})), Some((Reason::MissingClaim, true)));
}

#[test]
fn a_hash_of_the_url_is_this_request_s_in_each_algorithm() {
    for hash in [BindingHash::Sha256, BindingHash::Sha384, BindingHash::Sha512] {
        let policy = JwtPolicy { bindings: url_hash(hash), ..usual() };
        let of = |url: &str| json!({ "u": hash.written(url.as_bytes(), Encoding::Hex) });
        for url in ["https://hooks.test/a", "https://hooks.test/a/"] {
            assert_eq!(rejected(&policy, &of(url)), None, "{url}");
        }
        for url in ["https://hooks.test/b", "https://other.test/a", ""] {
            assert_eq!(rejected(&policy, &of(url)), Some((Reason::UrlMismatch, true)), "{url}");
        }
    }
    let lengths = [BindingHash::Sha256, BindingHash::Sha384, BindingHash::Sha512];
    assert_eq!(lengths.map(|hash| hash.written(b"x", Encoding::Hex).len()), [64, 96, 128]);
}

/// A policy without an audience needs a binding that tells this endpoint from others.
#[test]
fn a_binding_ties_the_token_to_body_or_endpoint() {
    use HashPresence::{AbsentIfEmpty, Optional, Required, WithBody};
    for (presence, body, anything) in
        [(Required, true, true), (AbsentIfEmpty, true, false), (WithBody, true, false), (Optional, false, false)]
    {
        let bindings = body_hash(presence);
        assert_eq!((bindings.binds_body(), bindings.binds_anything()), (body, anything), "{presence:?}");
        assert!(!bindings.binds_url());
    }
    let equals = UrlEquals { claim: pointer("u"), query: true, variants: Vec::new() };
    for bindings in [url_hash(BindingHash::Sha256), Bindings { url: Some(equals), ..Bindings::default() }] {
        assert!(bindings.binds_url() && bindings.binds_anything() && !bindings.binds_body());
    }
    let qsh = Bindings { qsh: true, ..Bindings::default() };
    assert!(qsh.binds_anything() && !qsh.binds_url() && !qsh.binds_body());
    let none = Bindings { method: Some(pointer("m")), certificate: true, ..Bindings::default() };
    assert!(!none.binds_anything() && !none.binds_url() && !none.binds_body());
    let in_body = JwtPolicy { token: Locator::Body, ..usual() };
    let hashed = JwtPolicy { bindings: body_hash(Required), ..usual() };
    assert!(in_body.binds_body() && hashed.binds_body() && !usual().binds_body());
}

fn id(policy: &JwtPolicy, changes: &Value) -> Result<Option<ReplayId>, Reason> {
    request(policy, changes).map(|grant| grant.replay_id).map_err(|error| error.reason().unwrap())
}

fn by_claim(name: &str) -> JwtPolicy {
    JwtPolicy { replay_id: Some(JwtReplayId::Claim(pointer(name))), required_claims: Vec::new(), ..usual() }
}

#[test]
fn a_claim_is_an_id_if_it_is_a_text_or_a_number() {
    assert_eq!(id(&usual(), &json!({})), Ok(None));
    let bytes = |claim: Value| id(&by_claim("n"), &json!({ "n": claim })).map(|id| id.map(|id| (id.kind, id.id)));
    assert_eq!(bytes(json!("a")), Ok(Some(("claim", b"a".to_vec()))));
    assert_eq!(bytes(json!(17)), Ok(Some(("claim", b"17".to_vec()))));
    for other in [json!(""), json!(true), json!(["a"]), json!({})] {
        assert_eq!(bytes(other.clone()), Err(Reason::MalformedToken), "{other}");
    }
    assert_eq!(id(&by_claim("n"), &json!({})), Err(Reason::MissingClaim));
}

/// The hash covers header and payload, and not the signature, which has several valid values in some algorithms.
#[test]
fn a_hash_is_that_of_header_and_payload() {
    let policy = JwtPolicy { replay_id: Some(JwtReplayId::Hash), ..usual() };
    let signed = format!("{}.{}", b64(HEADER), b64(good_claims().to_string()));
    let found = id(&policy, &json!({})).unwrap().unwrap();
    assert_eq!((found.kind, found.id), ("hash", hash_of(signed.as_bytes())));
    assert_ne!(id(&policy, &json!({"jti": "1"})), id(&policy, &json!({"jti": "2"})));
}

/// The id is stored until the token is certainly rejected for its age, by whichever rule ends first.
#[test]
fn an_id_lasts_from_the_first_to_the_last_second_of_its_token() {
    let times = |policy: &JwtPolicy, changes: Value| {
        let id = id(policy, &changes).unwrap().unwrap();
        (id.issued.map(|first| first.seconds() as i64 - NOW as i64), id.until.map(|end| end.seconds() - NOW))
    };
    let policy = by_claim("jti");
    assert_eq!(policy.leeway, seconds(30));
    assert_eq!(times(&policy, json!({})), (Some(-40), Some(91)));
    assert_eq!(times(&policy, json!({"nbf": NOW + 5})), (Some(-25), Some(91)));
    assert_eq!(times(&policy, json!({"nbf": null, "iat": null, "exp": null})), (None, None));
    let aged = JwtPolicy { max_age: Some(seconds(20)), ..policy.clone() };
    assert_eq!(times(&aged, json!({})), (Some(-40), Some(41)));
    assert_eq!(times(&aged, json!({"exp": NOW - 5})), (Some(-40), Some(26)));
    let source = Locator::header_named(http::HeaderName::from_static("x-time"));
    let (max_age, max_future) = (seconds(10), seconds(2));
    let time = TimestampRule { source, unit: TimestampUnit::Seconds, max_age, max_future };
    let timed = JwtPolicy { time_claim: Some(time), ..policy };
    assert_eq!(times(&timed, json!({})), (Some(-9), Some(4)));
}
