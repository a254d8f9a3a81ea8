//! Policies of an `any_of` that read the same credential.

use super::*;
use crate::auth::encoding::Encoding;
use crate::auth::jwt::Audience;
use crate::auth::jwt::binding::{BindingHash, BodyHash, HashPresence};
use crate::auth::testing::AUDIENCE;

/// Two issuers, two audiences or two secrets for the same header: the one credential satisfies one of them.
#[test]
fn policies_that_read_the_same_credential_are_alternatives_for_it() {
    let of = |aud: &str| {
        let Policy::Jwt(mut policy) = jwt(known()) else { panic!("a JWT") };
        policy.audience = Audience::OneOf(vec![aud.into()]);
        Policy::Jwt(policy)
    };
    let secret = |text: &str, index| {
        let Policy::Token(mut policy) = header("x-a", index) else { panic!("no static token") };
        let key = SecretKey::from_secret(Zeroizing::new(text.as_bytes().to_vec())).unwrap();
        policy.secrets = vec![Secret::new(index, key)].into();
        Policy::Token(policy)
    };
    let token = bearer();
    let bearer = ("authorization", token.as_str());
    for policies in [vec![of("b"), of(AUDIENCE), header("x-b", 1)], vec![header("x-b", 1), of(AUDIENCE), of("b")]] {
        let any = Policy::AnyOf(policies);
        assert!(outcome(&any, &[bearer]).is_ok());
        // Another credential is still verified.
        assert_eq!(outcome(&any, &[bearer, ("x-b", "bad")]), BAD);
        assert_eq!(outcome(&any, &[("x-b", "good")]), Ok(vec![1]));
        assert_eq!(outcome(&any, &[("authorization", "Bearer a.b.c")]), Err(Reason::MalformedToken));
    }
    let none = Policy::AnyOf(vec![jwt(unknown()), of("b"), header("x-b", 1)]);
    // The signature shows for which policy the token was made; no fetch for another one can change the result.
    assert_eq!(outcome(&none, &[bearer]), Err(Reason::InvalidAudience));
    assert_eq!(outcome(&none, &[bearer, ("x-b", "good")]), Err(Reason::InvalidAudience));
    let secrets = Policy::AnyOf(vec![secret("one", 0), secret("two", 1)]);
    assert_eq!(
        (outcome(&secrets, &[("x-a", "one")]), outcome(&secrets, &[("x-a", "two")])),
        (Ok(vec![0]), Ok(vec![1]))
    );
    assert_eq!((outcome(&secrets, &[("x-a", "three")]), outcome(&secrets, &[])), (BAD, MISSING));
}

/// The result is the same before and after the body is read: the first policy that accepts the credential counts.
#[test]
fn an_alternative_that_needs_the_body_comes_in_its_turn() {
    let Policy::Jwt(mut bound) = jwt(known()) else { panic!("a JWT") };
    bound.bindings.body = Some(BodyHash {
        claim: Pointer::parse("hash").unwrap(),
        hash: BindingHash::Sha256,
        encoding: Encoding::Hex,
        presence: HashPresence::Required,
    });
    let bound = Policy::Jwt(bound);
    let token = bearer();
    let bearer = [("authorization", token.as_str())];
    let first = Policy::AnyOf(vec![jwt(known()), bound.clone()]);
    assert!(evaluate(&first, &bearer, None).is_ok() && evaluate(&first, &bearer, Some(b"")).is_ok());
    let second = Policy::AnyOf(vec![Policy::AllOf(vec![bound.clone()]), jwt(known())]);
    assert_eq!(evaluate(&second, &bearer, Some(b"")).err(), Some(Reason::MissingClaim.into()));
    let second = Policy::AnyOf(vec![bound, jwt(known())]);
    assert!(evaluate(&second, &bearer, Some(b"")).is_ok());
}
