//! Verification of tokens: every mechanism in the tables of docs/conformance.md that concerns tokens.

use serde_json::json;

use super::*;
use crate::auth::SignatureCheck;
use crate::auth::issuer::IssuerClaim;
use crate::auth::keys::{Algorithm, KeySet, Keys};
use crate::auth::testing::{
    AUDIENCE, ED25519, ISSUER, NOW, P256, RSA, Signer, b64, fixed, good_claims, hmac, key_set, now, pem, policy, with,
};

mod bindings;
mod claims;
mod form;
mod signature;

const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT","kid":"1"}"#;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn issuer(name: &str, iss: &str, keys: Keys, algorithms: &[Algorithm]) -> Issuer {
    Issuer {
        name: name.into(),
        preset: false,
        iss: IssuerClaim::Exact(iss.into()),
        algorithms: algorithms.to_vec(),
        keys,
        token_cache: Arc::default(),
    }
}

/// A policy of one issuer with one key whose `kid` is `1`.
fn only(signer: &Signer, algorithm: Algorithm) -> JwtPolicy {
    let keys = key_set(&[with(signer.jwk(), &json!({"kid": "1"}))], &[algorithm]);
    policy(vec![issuer("acme", ISSUER, fixed(keys), &[algorithm])])
}

/// The policy of most tests: one Ed25519 key, the fastest algorithm, with the `kid` `1`.
fn usual() -> JwtPolicy {
    only(&ED25519, Algorithm::EdDSA)
}

fn verify(policy: &JwtPolicy, token: &str) -> Result<Grant, Rejection> {
    let verified = policy.verify_token(token, None, now(), &mut Explanation::off());
    verified.map(|(_, grant)| grant).map_err(|error| match error {
        VerifyError::Rejected(rejection) => rejection,
        VerifyError::NeedsBody => panic!("a token alone has no body"),
    })
}

fn evaluate(policy: &JwtPolicy, token: &str) -> Result<(), Reason> {
    verify(policy, token).map(|_| ()).map_err(|rejection| rejection.reason)
}

/// Verifies a correctly signed token with this header under the usual policy.
fn header(text: impl AsRef<[u8]>) -> Result<(), Reason> {
    evaluate(&usual(), &ED25519.token(Algorithm::EdDSA, text, good_claims().to_string()))
}

/// Verifies a correctly signed token with this payload under the usual policy.
fn payload(text: impl AsRef<[u8]>) -> Result<(), Reason> {
    evaluate(&usual(), &ED25519.token(Algorithm::EdDSA, HEADER, text))
}

/// Verifies a correctly signed token with these changes to its claims.
fn claims_under(policy: &JwtPolicy, changes: &Value) -> Result<(), Reason> {
    evaluate(policy, &ED25519.token(Algorithm::EdDSA, HEADER, with(good_claims(), changes).to_string()))
}

fn claims(changes: &Value) -> Result<(), Reason> {
    claims_under(&usual(), changes)
}

fn good() -> String {
    ED25519.token(Algorithm::EdDSA, HEADER, good_claims().to_string())
}

#[test]
fn a_good_token_is_good() {
    let verified = verify(&usual(), &good()).ok().unwrap();
    assert_eq!((verified.issuer.as_deref(), verified.kid.as_deref()), (Some("acme"), Some("1")));
    assert_eq!(Value::Object((*verified.claims).clone()), good_claims());
}

/// RFC 8725 §2.1 onwards: a rejection is `proven` only if the signature had been verified.
#[test]
fn only_claims_under_a_verified_signature_are_proven() {
    let rejection = |token: &str| {
        let rejection = verify(&usual(), token).err().unwrap();
        (rejection.reason, rejection.proven, rejection.issuer.as_deref() == Some("acme"))
    };
    let expired = with(good_claims(), &json!({"exp": NOW - 60})).to_string();
    assert_eq!(rejection("garbage"), (Reason::MalformedToken, false, false));
    let forged = Signer::ed25519().token(Algorithm::EdDSA, HEADER, &expired);
    assert_eq!(rejection(&forged), (Reason::InvalidSignature, false, true));
    assert_eq!(rejection(&ED25519.token(Algorithm::EdDSA, HEADER, &expired)), (Reason::TokenExpired, true, true));
}

#[test]
fn a_policy_without_issuers_or_audiences_accepts_no_token() {
    assert_eq!(evaluate(&policy(vec![]), &good()), Err(Reason::InvalidIssuer));
    let nobody = JwtPolicy { audience: Audience::OneOf(vec![]), ..usual() };
    assert_eq!(evaluate(&nobody, &good()), Err(Reason::InvalidAudience));
    assert_eq!(claims_under(&nobody, &json!({"aud": null})), Err(Reason::MissingClaim));
    let unrequired = JwtPolicy { required_claims: vec![], ..nobody };
    assert_eq!(claims_under(&unrequired, &json!({"aud": []})), Err(Reason::InvalidAudience));
    assert_eq!(claims_under(&unrequired, &json!({"aud": ""})), Err(Reason::InvalidAudience));
}
