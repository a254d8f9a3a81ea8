//! Claims of a correctly signed token: types, issuer, audience, times, rules.

use super::*;
use crate::auth::claims::{ClaimTest, Pointer};

/// mod_auth_openidc GHSA-wcvh-g65p-v576; jsonwebtoken accepts a token without `iss` by default.
#[test]
fn the_issuer_is_exact() {
    for iss in [
        "https://auth.example.com",
        "https://AUTH.example.com/",
        "https://auth.example.com//",
        "https://auth.example.com/x",
        "http://auth.example.com/",
        " https://auth.example.com/",
        "auth.example.com",
        "",
    ] {
        let token = ED25519.token(Algorithm::EdDSA, HEADER, with(good_claims(), &json!({ "iss": iss })).to_string());
        let rejection = verify(&usual(), &token).err().unwrap();
        assert_eq!((rejection.reason, rejection.proven), (Reason::InvalidIssuer, true), "{iss:?}");
    }
    assert_eq!(claims(&json!({"iss": null})), Err(Reason::MissingClaim));
    assert_eq!(claims(&json!({"iss": [ISSUER]})), Err(Reason::MalformedToken));
    let unrequired = JwtPolicy { required_claims: vec![], ..usual() };
    assert_eq!(claims_under(&unrequired, &json!({"iss": null})), Err(Reason::MissingClaim));
}

#[test]
fn an_issuer_written_none_is_not_compared_but_still_a_text() {
    let mut policy = usual();
    policy.required_claims.clear();
    policy.issuers[0].iss = IssuerClaim::Any;
    assert_eq!(claims_under(&policy, &json!({"iss": null})), Ok(()));
    assert_eq!(claims_under(&policy, &json!({"iss": "any"})), Ok(()));
    assert_eq!(claims_under(&policy, &json!({"iss": 7})), Err(Reason::MalformedToken));
}

#[test]
fn one_audience_is_ours_exactly() {
    for aud in [json!(AUDIENCE), json!([AUDIENCE]), json!(["other", AUDIENCE]), json!([AUDIENCE, AUDIENCE])] {
        assert_eq!(claims(&json!({ "aud": aud })), Ok(()), "{aud}");
    }
    for aud in [
        json!("https://api.example.com/webhook/"),
        json!("https://api.example.com/Webhook"),
        json!("https://api.example.com/web"),
        json!("https://api.example.com/webhooks"),
        json!(format!("{AUDIENCE} other")),
        json!(format!("{AUDIENCE},other")),
        json!("*"),
        json!(""),
        json!([]),
        json!(["https://api.example.com/", "webhook"]),
    ] {
        assert_eq!(claims(&json!({ "aud": aud })), Err(Reason::InvalidAudience), "{aud}");
    }
    assert_eq!(claims(&json!({"aud": null})), Err(Reason::MissingClaim));
}

/// Observed with jsonwebtoken: `aud: 5` and `iss: 7` are accepted.
#[test]
fn registered_claims_have_their_types() {
    let odd = [
        json!(5),
        json!(true),
        json!({}),
        json!({"a": AUDIENCE}),
        json!([5]),
        json!([[AUDIENCE]]),
        json!([AUDIENCE, 5]),
    ];
    for value in odd {
        for name in ["iss", "sub", "jti", "aud"] {
            assert_eq!(claims(&json!({ name: value })), Err(Reason::MalformedToken), "{name}: {value}");
        }
    }
    let many = |count| claims(&json!({"aud": vec![AUDIENCE; count]}));
    assert_eq!((many(64), many(65)), (Ok(()), Err(Reason::MalformedToken)));
}

/// CVE-2026-25537: a time of the wrong type was treated as absent. In hookgate it is an error, required or not.
#[test]
fn times_are_numbers() {
    let lax = JwtPolicy { required_claims: vec![], ..usual() };
    let good = good_claims().to_string();
    for name in ["exp", "nbf", "iat"] {
        let number = good_claims()[name].to_string();
        for value in [
            format!("\"{number}\""),
            "null".into(),
            "true".into(),
            "[]".into(),
            format!("[{number}]"),
            "{}".into(),
            "-1".into(),
            "-0.5".into(),
            "253402300800".into(),
            "18446744073709551615".into(),
            "18446744073709551616".into(),
            "1e300".into(),
            "1e400".into(),
            "1800000000000".into(),
        ] {
            let text = good.replace(&format!("\"{name}\":{number}"), &format!("\"{name}\":{value}"));
            assert_ne!(text, good);
            let token = ED25519.token(Algorithm::EdDSA, HEADER, text);
            assert_eq!(evaluate(&lax, &token), Err(Reason::MalformedToken), "{name}: {value}");
        }
    }
}

/// A number may have an exponent or a fraction (RFC 7519 §2), which is rounded to the strict side.
#[test]
fn fractions_and_exponents_are_read_to_the_strict_side() {
    let at = |name: &str, value: &str| {
        let without = with(good_claims(), &json!({"exp": null, "nbf": null, "iat": null})).to_string();
        let lax = JwtPolicy { required_claims: vec![], ..usual() };
        let text = without.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        evaluate(&lax, &ED25519.token(Algorithm::EdDSA, HEADER, text))
    };
    assert_eq!(at("exp", "1.9e9"), Ok(()));
    assert_eq!(at("exp", "1.7e9"), Err(Reason::TokenExpired));
    assert_eq!((at("exp", "1799999971"), at("exp", "1799999970.9")), (Ok(()), Err(Reason::TokenExpired)));
    assert_eq!((at("nbf", "1800000030"), at("nbf", "1800000030.1")), (Ok(()), Err(Reason::TokenNotYetValid)));
    assert_eq!((at("iat", "1800000030"), at("iat", "1800000030.1")), (Ok(()), Err(Reason::TokenIssuedInFuture)));
}

/// RFC 7519 §4.1.4: the token is expired at `exp` itself; leeway shifts that second.
#[test]
fn times_hold_to_the_second() {
    let over = |exp: u64| claims(&json!({"exp": exp, "iat": null}));
    assert_eq!(
        (over(NOW - 29), over(NOW - 30), over(0)),
        (Ok(()), Err(Reason::TokenExpired), Err(Reason::TokenExpired))
    );
    let from = |nbf: u64| claims(&json!({ "nbf": nbf }));
    assert_eq!((from(NOW + 30), from(NOW + 31)), (Ok(()), Err(Reason::TokenNotYetValid)));
    let issued = |iat: u64| claims(&json!({"iat": iat, "exp": NOW + 600}));
    assert_eq!((issued(NOW + 30), issued(NOW + 31)), (Ok(()), Err(Reason::TokenIssuedInFuture)));
    let exact = JwtPolicy { leeway: seconds(0), ..usual() };
    assert_eq!(claims_under(&exact, &json!({"exp": NOW})), Err(Reason::TokenExpired));
    assert_eq!(claims_under(&exact, &json!({"exp": NOW + 1, "nbf": NOW, "iat": NOW})), Ok(()));
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let end = UnixTime::MAX.seconds();
    let endless =
        JwtPolicy { leeway: Duration::MAX, max_age: Some(Duration::MAX), max_lifetime: Some(Duration::MAX), ..usual() };
    assert_eq!(claims_under(&endless, &json!({"exp": end, "nbf": end, "iat": end})), Ok(()));
    assert_eq!(claims_under(&endless, &json!({"exp": 0, "nbf": 0, "iat": 0})), Ok(()));
    assert_eq!(claims(&json!({"exp": end})), Ok(()));
}

#[test]
fn a_token_that_ended_before_it_began_is_over() {
    assert_eq!(claims(&json!({"exp": NOW - 5, "iat": NOW})), Err(Reason::TokenExpired));
    assert_eq!(claims(&json!({"exp": NOW, "iat": NOW})), Ok(()));
}

#[test]
fn max_age_needs_iat_and_bounds_it() {
    let young = JwtPolicy { max_age: Some(seconds(300)), ..usual() };
    let at = |iat: Value| claims_under(&young, &json!({ "iat": iat }));
    assert_eq!(at(json!(NOW - 330)), Ok(()));
    assert_eq!(at(json!(NOW - 331)), Err(Reason::TokenTooOld));
    assert_eq!(at(json!(null)), Err(Reason::MissingClaim));
}

#[test]
fn max_lifetime_needs_both_ends_and_has_no_leeway() {
    let short = JwtPolicy { max_lifetime: Some(seconds(60)), required_claims: vec![], ..usual() };
    let lives = |iat: Value, exp: Value| claims_under(&short, &json!({"iat": iat, "exp": exp}));
    assert_eq!(lives(json!(NOW), json!(NOW + 60)), Ok(()));
    assert_eq!(lives(json!(NOW), json!(NOW + 61)), Err(Reason::TokenLifetimeTooLong));
    assert_eq!(lives(json!(null), json!(NOW + 60)), Err(Reason::MissingClaim));
    assert_eq!(lives(json!(NOW), json!(null)), Err(Reason::MissingClaim));
}

/// Observed with jsonwebtoken: a token without `exp` never expires unless `exp` is required.
#[test]
fn required_claims_are_there_and_say_something() {
    for name in ["iss", "aud", "exp"] {
        assert_eq!(claims(&json!({ name: null })), Err(Reason::MissingClaim), "{name}");
    }
    let tenant = JwtPolicy { required_claims: vec!["tenant".into()], ..usual() };
    let text = |member: &str| good_claims().to_string().replacen('{', &format!("{{{member},"), 1);
    let evaluate = |member: &str| evaluate(&tenant, &ED25519.token(Algorithm::EdDSA, HEADER, text(member)));
    assert_eq!(evaluate(r#""tenant":"a""#), Ok(()));
    assert_eq!(evaluate(r#""tenant":null"#), Err(Reason::MissingClaim));
    assert_eq!(evaluate(r#""Tenant":"a""#), Err(Reason::MissingClaim));
}

#[test]
fn a_failed_claim_rule_forbids_and_reports_whether_it_is_a_scope() {
    let rule =
        |name: &str| ClaimRule { pointer: Pointer::parse(name).unwrap(), test: ClaimTest::Equals(json!("webhook")) };
    let scoped = JwtPolicy { claims: vec![rule("event_scope")], ..usual() };
    assert_eq!(claims_under(&scoped, &json!({"event_scope": "webhook"})), Ok(()));
    let rejected = |policy: &JwtPolicy, changes: &Value| {
        let token = ED25519.token(Algorithm::EdDSA, HEADER, with(good_claims(), changes).to_string());
        let rejection = verify(policy, &token).err().unwrap();
        (rejection.reason, rejection.insufficient_scope)
    };
    for value in [json!("x"), json!(["webhook"]), json!(null)] {
        assert_eq!(rejected(&scoped, &json!({ "event_scope": value })), (Reason::ClaimMismatch, true));
    }
    let roles = JwtPolicy { claims: vec![rule("event_scope"), rule("/user/role")], ..usual() };
    let role = |role: &str| json!({"event_scope": "webhook", "user": {"role": role}});
    assert_eq!(claims_under(&roles, &role("webhook")), Ok(()));
    assert_eq!(rejected(&roles, &role("x")), (Reason::ClaimMismatch, false));
}

/// 401 comes before 403: a client that is not authenticated must not learn which permissions are missing.
#[test]
fn rules_come_last() {
    let rule = ClaimRule { pointer: Pointer::parse("a").unwrap(), test: ClaimTest::Exists(true) };
    let policy = JwtPolicy { claims: vec![rule], ..usual() };
    assert_eq!(claims_under(&policy, &json!({"exp": NOW - 60})), Err(Reason::TokenExpired));
    assert_eq!(claims_under(&policy, &json!({"aud": "x"})), Err(Reason::InvalidAudience));
    assert_eq!(claims_under(&policy, &json!({})), Err(Reason::ClaimMismatch));
}

/// The policy of an issuer with this `iss`, whose key has this member `issuer`.
fn of_issuer(iss: IssuerClaim, key_issuer: Option<&str>) -> JwtPolicy {
    let jwk = with(ED25519.jwk(), &json!({ "kid": "1", "issuer": key_issuer }));
    let mut policy =
        policy(vec![issuer("acme", ISSUER, fixed(key_set(&[jwk], &[Algorithm::EdDSA])), &[Algorithm::EdDSA])]);
    policy.issuers[0].iss = iss;
    policy.required_claims = vec!["aud".into(), "exp".into()];
    policy
}

/// Microsoft Entra has one key set for all tenants, of which any customer can make one.
#[test]
fn of_an_issuer_template_only_the_listed_tenants_are_accepted() {
    let template = "https://login.test/{tenantid}/v2.0";
    let tenants = || IssuerClaim::Tenants(template.into(), vec!["one".into(), "two".into()]);
    let of = |key_issuer, iss: &str| claims_under(&of_issuer(tenants(), key_issuer), &json!({ "iss": iss }));
    let (one, two) = ("https://login.test/one/v2.0", "https://login.test/two/v2.0");
    for key_issuer in [None, Some(template)] {
        assert_eq!((of(key_issuer, one), of(key_issuer, two)), (Ok(()), Ok(())));
    }
    // A key of one tenant signs for that one alone.
    assert_eq!((of(Some(one), one), of(Some(one), two)), (Ok(()), Err(Reason::InvalidIssuer)));
    for other in [
        "https://login.test/three/v2.0",
        "https://login.test//v2.0",
        template,
        "https://login.test/one",
        "https://login.test/one/v2.0/",
        "https://login.test/one/two/v2.0",
        "one",
        "https://login.test/one/v2.0x",
    ] {
        assert_eq!(of(None, other), Err(Reason::InvalidIssuer), "{other}");
    }
    assert_eq!(claims_under(&of_issuer(tenants(), None), &json!({"iss": null})), Err(Reason::MissingClaim));
    let sender = |iss: &str| {
        let token = ED25519.token(Algorithm::EdDSA, HEADER, with(good_claims(), &json!({ "iss": iss })).to_string());
        verify(&of_issuer(tenants(), None), &token).ok().unwrap().sender().text().unwrap()
    };
    assert_eq!((sender(one), sender(two)), ("acme/one/acme".to_owned(), "acme/two/acme".to_owned()));
}

/// SPIFFE JWT-SVID §3: a JWT-SVID has no `iss`; its subject is in the trust domain of the keys.
#[test]
fn the_subject_of_a_jwt_svid_is_in_the_trust_domain() {
    let policy = of_issuer(IssuerClaim::TrustDomain("spiffe://prod.test".into()), None);
    let of = |sub: &str| claims_under(&policy, &json!({ "iss": null, "sub": sub }));
    assert_eq!(of("spiffe://prod.test/billing"), Ok(()));
    let long = format!("spiffe://prod.test/{}", "a".repeat(2048));
    for other in [
        "spiffe://prod.test",
        "spiffe://prod.test.evil/x",
        "spiffe://dev.test/x",
        "SPIFFE://prod.test/x",
        "x",
        // SPIFFE-ID §2.2: programs that resolve or decode a path would read the id of another workload.
        "spiffe://prod.test/",
        "spiffe://prod.test//a",
        "spiffe://prod.test/a/",
        "spiffe://prod.test/./a",
        "spiffe://prod.test/../a",
        "spiffe://prod.test/%61",
        "spiffe://prod.test/a?b",
        "spiffe://prod.test/a#b",
        "spiffe://prod.test/a b",
        &long,
    ] {
        assert_eq!(of(other), Err(Reason::InvalidIssuer), "{other}");
    }
    assert_eq!(claims_under(&policy, &json!({"iss": "https://any/", "sub": "spiffe://prod.test/a"})), Ok(()));
    assert_eq!(claims_under(&policy, &json!({"iss": null, "sub": null})), Err(Reason::MissingClaim));
}

/// The operator must see which claim, rule or algorithm it is; of the values only `iss`, `aud` and `kid` are told.
#[test]
fn a_rejection_names_what_is_wrong() {
    let mut policy = usual();
    policy.required_claims.push("jti".into());
    policy.claims.push(ClaimRule { pointer: Pointer::parse("role").unwrap(), test: ClaimTest::Equals(json!("a")) });
    let detail = |changes: Value| {
        let token = ED25519.token(Algorithm::EdDSA, HEADER, with(good_claims(), &changes).to_string());
        verify(&policy, &token).err().unwrap().detail.unwrap().into_owned()
    };
    let secret = "s3cret";
    for (changes, told) in [
        (json!({"jti": null}), "the token has no `jti`"),
        (
            json!({"jti": secret, "role": secret}),
            "the claim /role does not satisfy `{ equals: \"a\" }`: it has another value",
        ),
        (json!({}), "the token has no claim /role, for which the rule is `{ equals: \"a\" }`"),
        (
            json!({"iss": "https://auth.example.com"}),
            "expected iss \"https://auth.example.com/\", got \"https://auth.example.com\"",
        ),
        (json!({"aud": ["x\n", "y"]}), "expected aud \"https://api.example.com/webhook\", got \"x\\n\", \"y\""),
        (json!({"aud": []}), "expected aud \"https://api.example.com/webhook\", got none"),
        (json!({"exp": "soon"}), "`exp` must be a number of seconds (RFC 7519 §4.1), and is a text"),
    ] {
        assert_eq!(detail(changes.clone()), told, "{changes}");
        assert!(!detail(changes).contains(secret));
    }
    let long = "x".repeat(7000);
    assert!(detail(json!({ "iss": long })).len() < 300 && detail(json!({ "aud": vec![long; 64] })).len() < 1000);
    assert!(!detail(json!({ "iss": good() })).contains("eyJ"));
}

#[test]
fn a_rejection_before_the_signature_names_the_rule_of_the_format() {
    let told = |token: &str| verify(&usual(), token).err().unwrap().detail.unwrap().into_owned();
    let signed = |header: &str| ED25519.token(Algorithm::EdDSA, header, good_claims().to_string());
    for (token, rule) in [
        ("opaque".to_owned(), "it has no dots: an opaque token, not a JWT"),
        ("a.b.c.d.e".to_owned(), "it has five parts: an encrypted token (JWE)"),
        ("a.b".to_owned(), "it does not have three parts"),
        ("a.b.".to_owned(), "one of its parts is empty: an unsigned token has no signature"),
        (
            "eyJhIjoxfQ==.e30.c2ln".to_owned(),
            "its header is padded base64, not base64url without padding (RFC 7515 §2)",
        ),
        (signed(r#"{"alg":"EdDSA","crit":[]}"#), "its header has `crit`, which is not supported"),
        (signed(r#"{"alg":"EdDSA","typ":"x"}"#), "its typ is \"x\"; allowed_types are JWT, at+jwt"),
        (signed(r#"{"alg":"none"}"#), "the token's alg is \"none\""),
        (signed(r#"{"alg":"RS256"}"#), "the token's alg is RS256; allowed are EdDSA"),
        (signed(r#"{"alg":"EdDSA","kid":"2"}"#), "no key of the issuer has the kid \"2\""),
    ] {
        assert_eq!(told(&token), rule, "{token}");
    }
    let claims = with(good_claims(), &json!({"iss": "https://other/"})).to_string();
    let other = Signer::ed25519().token(Algorithm::EdDSA, HEADER, claims);
    let expected = "alg EdDSA, kid \"1\"; expected iss \"https://auth.example.com/\", got \"https://other/\"";
    assert_eq!(told(&other), expected);
}
