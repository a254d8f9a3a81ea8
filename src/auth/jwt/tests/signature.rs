//! Selection of key and algorithm for a token, and the format of a signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

const BAD: Result<(), Reason> = Err(Reason::InvalidSignature);
const UNSUPPORTED: Result<(), Reason> = Err(Reason::UnsupportedAlgorithm);

const EVERY: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

fn named(algorithm: Algorithm) -> String {
    format!(r#"{{"alg":"{algorithm:?}","kid":"1"}}"#)
}

fn signed(signer: &Signer, algorithm: Algorithm) -> String {
    signer.token(algorithm, named(algorithm), good_claims().to_string())
}

/// Verifies a valid token of this key after a change to its signature.
fn resigned(signer: &Signer, algorithm: Algorithm, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<(), Reason> {
    let token = signed(signer, algorithm);
    let (message, _) = token.rsplit_once('.').unwrap();
    let signature = change(signer.sign(algorithm, message.as_bytes()));
    evaluate(&only(signer, algorithm), &format!("{message}.{}", b64(signature)))
}

#[test]
fn every_algorithm_verifies_its_own_and_no_other() {
    let (p384, p521) = (Signer::p384(), Signer::p521());
    for algorithm in EVERY.iter().copied() {
        let signer = match algorithm {
            Algorithm::ES256 => &*P256,
            Algorithm::ES384 => &p384,
            Algorithm::ES512 => &p521,
            Algorithm::EdDSA => &*ED25519,
            _ => &*RSA,
        };
        let policy = only(signer, algorithm);
        assert_eq!(evaluate(&policy, &signed(signer, algorithm)), Ok(()), "{algorithm:?}");
        for other in EVERY.iter().copied().filter(|other| *other != algorithm) {
            let token = signer.token(algorithm, named(other), good_claims().to_string());
            assert_eq!(evaluate(&policy, &token), UNSUPPORTED, "{algorithm:?} as {other:?}");
        }
    }
    for (algorithm, length) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        let set = KeySet::from_secret(&vec![7; length], algorithm).unwrap();
        let policy = policy(vec![issuer("acme", ISSUER, fixed(set), &[algorithm])]);
        assert_eq!(evaluate(&policy, &signed(&Signer::Secret(vec![7; length]), algorithm)), Ok(()), "{algorithm:?}");
        assert_eq!(evaluate(&policy, &signed(&Signer::Secret(vec![8; length]), algorithm)), BAD, "{algorithm:?}");
    }
}

/// CVE-2026-107720, and the `alg: none` attack of 2015 (RFC 8725 §2.1).
#[test]
fn none_is_no_algorithm_in_any_case() {
    for alg in ["none", "None", "NONE", "nOnE", "", "null"] {
        let message = format!("{}.{}", b64(format!(r#"{{"alg":"{alg}"}}"#)), b64(good_claims().to_string()));
        assert_eq!(evaluate(&usual(), &format!("{message}.")), Err(Reason::MalformedToken), "{alg}");
        for signature in ["AA", "bm9uZQ", &b64([0; 64])] {
            assert_eq!(evaluate(&usual(), &format!("{message}.{signature}")), UNSUPPORTED, "{alg}");
        }
    }
}

/// CVE-2026-22817: the public key, which every client has, used as an HMAC secret.
#[test]
fn a_public_key_is_never_a_secret() {
    let n = b64_bytes(RSA.jwk()["n"].as_str().unwrap());
    let text = pem("PUBLIC KEY", &RSA.spki());
    let secrets = [text.trim_end().as_bytes().to_vec(), text.into_bytes(), RSA.spki(), n, RSA.jwk().to_string().into()];
    // Also if the operator allowed both algorithms for one issuer.
    let lax = policy(vec![issuer(
        "acme",
        ISSUER,
        fixed(key_set(&[with(RSA.jwk(), &json!({"kid": "1"}))], &[Algorithm::RS256, Algorithm::HS256])),
        &[Algorithm::RS256, Algorithm::HS256],
    )]);
    for secret in secrets {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(&Signer::Secret(secret.clone()), algorithm);
            assert_eq!(evaluate(&only(&RSA, Algorithm::RS256), &token), UNSUPPORTED, "{algorithm:?}");
            assert_eq!(evaluate(&lax, &token), UNSUPPORTED, "{algorithm:?}");
        }
    }
}

fn b64_bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// CVE-2026-102266: an unset environment variable as the secret.
#[test]
fn an_empty_secret_signs_nothing() {
    assert!(KeySet::from_secret(b"", Algorithm::HS256).is_err());
    let set = KeySet::from_secret(&[7; 32], Algorithm::HS256).unwrap();
    let policy = policy(vec![issuer("acme", ISSUER, fixed(set), &[Algorithm::HS256])]);
    assert_eq!(evaluate(&policy, &signed(&Signer::Secret(vec![]), Algorithm::HS256)), BAD);
}

#[test]
fn a_truncated_mac_is_rejected() {
    let secret = Signer::Secret(vec![7; 32]);
    let set = KeySet::from_secret(&[7; 32], Algorithm::HS256).unwrap();
    let policy = policy(vec![issuer("acme", ISSUER, fixed(set), &[Algorithm::HS256])]);
    let message = format!("{}.{}", b64(named(Algorithm::HS256)), b64(good_claims().to_string()));
    let mac = hmac(&[7; 32], Algorithm::HS256, message.as_bytes());
    assert_eq!(evaluate(&policy, &signed(&secret, Algorithm::HS256)), Ok(()));
    for length in [1, 16, 31] {
        assert_eq!(evaluate(&policy, &format!("{message}.{}", b64(&mac[..length]))), BAD, "{length}");
    }
}

/// During a rotation the old and the new secret are valid, and no other.
#[test]
fn any_of_several_secrets_may_have_signed() {
    let secrets: [&[u8]; 2] = [&[1; 32], &[2; 32]];
    let set = KeySet::from_secrets(&secrets.map(|secret| (secret, Algorithm::HS256))).unwrap();
    let policy = policy(vec![issuer("acme", ISSUER, fixed(set), &[Algorithm::HS256])]);
    let verified = |secret: u8| {
        let token = signed(&Signer::Secret(vec![secret; 32]), Algorithm::HS256);
        verify(&policy, &token).map(|verified| verified.secrets[0]).map_err(|rejection| rejection.reason)
    };
    assert_eq!((verified(1), verified(2), verified(3)), (Ok(0), Ok(1), Err(Reason::InvalidSignature)));
}

/// Observed with another gateway: the key's type determined the algorithm, and the header's `alg` was ignored.
#[test]
fn kid_of_an_ec_key_with_rs256_is_rejected() {
    let both = &[Algorithm::RS256, Algorithm::ES256];
    let jwks = [with(RSA.jwk(), &json!({"kid": "r"})), with(P256.jwk(), &json!({"kid": "e"}))];
    let policy = policy(vec![issuer("acme", ISSUER, fixed(key_set(&jwks, both)), both)]);
    let rsa = |kid: &str| {
        RSA.token(Algorithm::RS256, format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#), good_claims().to_string())
    };
    assert_eq!((evaluate(&policy, &rsa("r")), evaluate(&policy, &rsa("e"))), (Ok(()), UNSUPPORTED));
    let ec = P256.token(Algorithm::ES256, r#"{"alg":"ES256","kid":"r"}"#, good_claims().to_string());
    assert_eq!(evaluate(&policy, &ec), UNSUPPORTED);
}

/// CVE-2026-27962: a token that contains its own key, or a URL of it.
#[test]
fn keys_in_the_header_are_ignored() {
    let mallory = Signer::ed25519();
    let mut jwk = mallory.jwk();
    for (name, kid) in [("jwk", "1"), ("jwk", "mallory")] {
        jwk = with(jwk, &json!({"kid": kid}));
        let header = json!({"alg": "EdDSA", "kid": kid, name: jwk});
        let expected = if kid == "1" { BAD } else { Err(Reason::UnknownKey) };
        assert_eq!(
            evaluate(&usual(), &mallory.token(Algorithm::EdDSA, header.to_string(), good_claims().to_string())),
            expected
        );
    }
    let elsewhere =
        json!({"jku": "https://evil.example/", "x5u": "https://evil.example/", "x5c": ["MII="], "jwk": jwk});
    let header = with(json!({"alg": "EdDSA", "kid": "1"}), &elsewhere).to_string();
    assert_eq!(evaluate(&usual(), &mallory.token(Algorithm::EdDSA, &header, good_claims().to_string())), BAD);
    assert_eq!(evaluate(&usual(), &ED25519.token(Algorithm::EdDSA, &header, good_claims().to_string())), Ok(()));
}

/// CVE-2022-21449: r = s = 0 was valid for every message and key. Values that reduce to zero are tested too.
#[test]
fn an_ecdsa_signature_of_zeros_is_rejected() {
    let (p384, p521) = (Signer::p384(), Signer::p521());
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let curves = [(&*P256, Algorithm::ES256, 32), (&p384, Algorithm::ES384, 48), (&p521, Algorithm::ES512, 66)];
    for (signer, algorithm, half) in curves {
        assert_eq!(resigned(signer, algorithm, |_| vec![0; 2 * half]), BAD);
        assert_eq!(resigned(signer, algorithm, |good| [&vec![0; half], &good[half..]].concat()), BAD);
        assert_eq!(resigned(signer, algorithm, |good| [&good[..half], &vec![0; half]].concat()), BAD);
    }
    assert_eq!(resigned(&P256, Algorithm::ES256, |_| [order.clone(), order.clone()].concat()), BAD);
    assert_eq!(resigned(&ED25519, Algorithm::EdDSA, |_| vec![0; 64]), BAD);
    assert_eq!(resigned(&RSA, Algorithm::RS256, |_| vec![0; 256]), BAD);
}

/// RFC 7518 §3.4: r and s have fixed width; the DER encoding of X.509 would be a second spelling.
#[test]
fn a_der_ecdsa_signature_is_rejected() {
    let integer = |number: &[u8]| {
        let bare: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if bare[0] >= 0x80 { vec![0] } else { vec![] };
        [vec![2, u8::try_from(sign.len() + bare.len()).unwrap()], sign, bare].concat()
    };
    let der = |good: Vec<u8>| {
        let (r, s) = good.split_at(good.len() / 2);
        let numbers = [integer(r), integer(s)].concat();
        let long: &[u8] = if numbers.len() > 127 { &[0x81] } else { &[] };
        [&[0x30], long, &[u8::try_from(numbers.len()).unwrap()], &numbers].concat()
    };
    for (signer, algorithm) in [(&*P256, Algorithm::ES256), (&Signer::p521(), Algorithm::ES512)] {
        assert_eq!(resigned(signer, algorithm, |good| good), Ok(()));
        assert_eq!(resigned(signer, algorithm, der), BAD, "{algorithm:?}");
    }
}

/// jsonwebtoken does not support ES512, so its checks of the other algorithms do not cover it.
#[test]
fn every_change_of_one_bit_of_an_es512_signature_is_rejected() {
    let signer = Signer::p521();
    let policy = only(&signer, Algorithm::ES512);
    let token = signed(&signer, Algorithm::ES512);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = b64_bytes(signature);
    assert_eq!((evaluate(&policy, &token), signature.len()), (Ok(()), 132));
    for bit in 0..signature.len() * 8 {
        let mut changed = signature.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(evaluate(&policy, &format!("{message}.{}", b64(changed))), BAD, "{bit}");
    }
    let other = with(good_claims(), &json!({"sub": "mallory"})).to_string();
    let message = format!("{}.{}", b64(named(Algorithm::ES512)), b64(other));
    assert_eq!(evaluate(&policy, &format!("{message}.{}", b64(signature))), BAD);
}

/// RFC 9864 §2.2: `Ed25519` is another name for `EdDSA`, in a token and in a key.
#[test]
fn ed25519_is_eddsa_and_esp256_is_nothing() {
    let signed = |signer: &Signer, algorithm, alg: &str| {
        signer.token(algorithm, format!(r#"{{"alg":"{alg}","kid":"1"}}"#), good_claims().to_string())
    };
    let jwk = with(ED25519.jwk(), &json!({"kid": "1", "alg": "Ed25519"}));
    let keys = fixed(key_set(&[jwk], &[Algorithm::EdDSA]));
    for policy in [usual(), policy(vec![issuer("acme", ISSUER, keys, &[Algorithm::EdDSA])])] {
        assert_eq!(evaluate(&policy, &signed(&ED25519, Algorithm::EdDSA, "Ed25519")), Ok(()));
        assert_eq!(evaluate(&policy, &signed(&ED25519, Algorithm::EdDSA, "EdDSA")), Ok(()));
        assert_eq!(evaluate(&policy, &signed(&ED25519, Algorithm::EdDSA, "Ed448")), UNSUPPORTED);
    }
    let policy = only(&P256, Algorithm::ES256);
    assert_eq!(evaluate(&policy, &signed(&P256, Algorithm::ES256, "ESP256")), UNSUPPORTED);
}

#[test]
fn a_signature_has_exactly_its_length() {
    let padded = |good: Vec<u8>| [&[0][..], &good[..32], &[0], &good[32..]].concat();
    assert_eq!(resigned(&P256, Algorithm::ES256, padded), BAD);
    let p521 = Signer::p521();
    let signers = [
        (&*P256, Algorithm::ES256),
        (&p521, Algorithm::ES512),
        (&*ED25519, Algorithm::EdDSA),
        (&*RSA, Algorithm::RS256),
    ];
    for (signer, algorithm) in signers {
        assert_eq!(resigned(signer, algorithm, |good| [&[0], good.as_slice()].concat()), BAD, "{algorithm:?}");
        assert_eq!(resigned(signer, algorithm, |good| [good.as_slice(), &[0]].concat()), BAD, "{algorithm:?}");
        assert_eq!(resigned(signer, algorithm, |good| good[1..].to_vec()), BAD, "{algorithm:?}");
        assert_eq!(resigned(signer, algorithm, |good| [good.clone(), good].concat()), BAD, "{algorithm:?}");
    }
}

/// A set whose keys were all skipped verifies no token.
#[test]
fn a_set_of_skipped_keys_verifies_nothing() {
    let weak = json!({"keys": [with(RSA.jwk(), &json!({"kid": "1", "e": "AQ"}))]}).to_string();
    let (set, skipped) = KeySet::from_jwks(weak.as_bytes(), &[Algorithm::RS256]).unwrap();
    assert_eq!(skipped.len(), 1);
    let policy = policy(vec![issuer("acme", ISSUER, fixed(set), &[Algorithm::RS256])]);
    assert_eq!(evaluate(&policy, &signed(&RSA, Algorithm::RS256)), Err(Reason::UnknownKey));
}

/// agentgateway: the keys of all issuers were in one map, so that one issuer's `kid` could replace another's.
#[test]
fn a_kid_belongs_to_its_issuer() {
    let (ours, theirs) = (Signer::ed25519(), Signer::ed25519());
    let keys = |signer: &Signer| fixed(key_set(&[with(signer.jwk(), &json!({"kid": "1"}))], &[Algorithm::EdDSA]));
    let policy = policy(vec![
        issuer("ours", "https://ours/", keys(&ours), &[Algorithm::EdDSA]),
        issuer("theirs", "https://theirs/", keys(&theirs), &[Algorithm::EdDSA]),
    ]);
    let token = |signer: &Signer, iss: &str| {
        signer.token(Algorithm::EdDSA, HEADER, with(good_claims(), &json!({ "iss": iss })).to_string())
    };
    assert_eq!(
        verify(&policy, &token(&ours, "https://ours/")).map(|good| good.issuer.unwrap().to_string()).ok().as_deref(),
        Some("ours")
    );
    assert_eq!(
        verify(&policy, &token(&theirs, "https://theirs/"))
            .map(|good| good.issuer.unwrap().to_string())
            .ok()
            .as_deref(),
        Some("theirs")
    );
    assert_eq!(evaluate(&policy, &token(&theirs, "https://ours/")), BAD);
    assert_eq!(evaluate(&policy, &token(&ours, "https://theirs/")), BAD);
    for nobody in ["https://ours", "https://OURS/", "", "https://ours/ "] {
        assert_eq!(evaluate(&policy, &token(&ours, nobody)), Err(Reason::InvalidIssuer), "{nobody:?}");
    }
    let without = |iss: Value| ours.token(Algorithm::EdDSA, HEADER, with(good_claims(), &iss).to_string());
    assert_eq!(evaluate(&policy, &without(json!({"iss": null}))), Err(Reason::MissingClaim));
    assert_eq!(evaluate(&policy, &without(json!({"iss": ["https://ours/"]}))), Err(Reason::MalformedToken));
}

/// Each issuer has its own allowed algorithms.
#[test]
fn an_algorithm_is_allowed_for_its_issuer_only() {
    let jwk = |signer: &Signer| fixed(key_set(&[signer.jwk()], &[Algorithm::EdDSA, Algorithm::ES256]));
    let policy = policy(vec![
        issuer("a", "a", jwk(&ED25519), &[Algorithm::ES256]),
        issuer("b", "b", jwk(&P256), &[Algorithm::EdDSA]),
    ]);
    let token =
        ED25519.token(Algorithm::EdDSA, r#"{"alg":"EdDSA"}"#, with(good_claims(), &json!({"iss": "a"})).to_string());
    assert_eq!(evaluate(&policy, &token), UNSUPPORTED);
}

/// A token that cannot be verified without a fetch is rejected with the handle of the key set: the caller may fetch and
/// verify again. There is never a fallback key (Istio CVE-2026-31837).
#[test]
fn an_unknown_key_is_reported_to_its_handle() {
    use crate::auth::keys::{RemoteKeys, RemoteSource};
    let source = RemoteSource {
        issuer: "acme".into(),
        url: "https://auth.example.com/jwks".into(),
        discovery: None,
        ca: None,
        pins: Vec::new(),
        access: crate::auth::keys::JwksAccess::default(),
        cache: None,
        algorithms: vec![Algorithm::EdDSA],
        refresh: seconds(600),
        max_stale: seconds(3600),
        cooldown: seconds(30),
    };
    let remote = Arc::new(RemoteKeys::new(source));
    let policy = policy(vec![issuer("acme", ISSUER, Keys::Remote(Arc::clone(&remote)), &[Algorithm::EdDSA])]);
    let rejection = |token: &str| {
        let rejection = verify(&policy, token).err().unwrap();
        (rejection.reason, rejection.proven, rejection.remote.is_some())
    };
    assert_eq!(rejection(&good()), (Reason::JwksUnavailable, false, true));
    let jwk = with(ED25519.jwk(), &json!({"kid": "1"}));
    remote
        .replace(key_set(std::slice::from_ref(&jwk), &[Algorithm::EdDSA]), UnixTime::from_seconds(NOW - 3601).unwrap());
    assert_eq!(rejection(&good()), (Reason::JwksUnavailable, false, true));
    remote.replace(key_set(&[jwk], &[Algorithm::EdDSA]), now());
    assert_eq!(evaluate(&policy, &good()), Ok(()));
    let unknown = ED25519.token(Algorithm::EdDSA, r#"{"alg":"EdDSA","kid":"2"}"#, good_claims().to_string());
    assert_eq!(rejection(&unknown), (Reason::UnknownKey, false, true));
    // A key without `kid` may have been replaced by another one without.
    let unnamed = |kid: &str| {
        let header = format!(r#"{{"alg":"EdDSA"{kid}}}"#);
        rejection(&Signer::ed25519().token(Algorithm::EdDSA, header, good_claims().to_string()))
    };
    assert_eq!(unnamed(""), (Reason::InvalidSignature, false, true));
    let before = remote.fetched().unwrap().keys.clone();
    remote.replace(key_set(&[ED25519.jwk()], &[Algorithm::EdDSA]), now());
    assert_eq!(unnamed(r#","kid":"3""#), (Reason::InvalidSignature, false, true));
    assert_eq!(evaluate(&policy, &good()), Ok(()));
    remote.replace((*before).clone(), now());
    // A rejection that a fetch cannot resolve has no handle, so that an unauthenticated client cannot cause a fetch.
    let forged = Signer::ed25519().token(Algorithm::EdDSA, HEADER, good_claims().to_string());
    assert_eq!(rejection(&forged), (Reason::InvalidSignature, false, false));
    let other = RSA.token(Algorithm::RS256, r#"{"alg":"RS256","kid":"1"}"#, good_claims().to_string());
    let mut both = policy.clone();
    both.issuers[0].algorithms.push(Algorithm::RS256);
    let unfit = verify(&both, &other).err().unwrap();
    assert_eq!((unfit.reason, unfit.proven, unfit.remote.is_some()), (Reason::UnsupportedAlgorithm, false, false));
    let rs256 = RSA.token(Algorithm::RS256, named(Algorithm::RS256), good_claims().to_string());
    assert_eq!(rejection(&rs256), (Reason::UnsupportedAlgorithm, false, false));
}

/// Oathkeeper CVE-2026-33496: a cached token belongs to the key set that verified it, and its claims are checked on
/// every request.
#[test]
fn a_cached_token_is_verified_again_and_by_its_own_keys() {
    let policy = usual();
    let token = ED25519.token(Algorithm::EdDSA, HEADER, good_claims().to_string());
    let signed = |policy: &JwtPolicy, token: &str| verify(policy, token).ok().and_then(|verified| verified.signed);
    let three = [(); 3].map(|()| signed(&policy, &token));
    assert_eq!(three, [Some(SignatureCheck::Verified), Some(SignatureCheck::Verified), Some(SignatureCheck::Cached)]);
    // The same token under a changed policy of the route.
    let known = |change: fn(&mut JwtPolicy)| {
        let mut changed = policy.clone();
        change(&mut changed);
        evaluate(&changed, &token)
    };
    assert_eq!(known(|_| {}), Ok(()));
    assert_eq!(known(|policy| policy.allowed_types = vec!["secevent+jwt".into()]), Err(Reason::MalformedToken));
    assert_eq!(known(|policy| policy.audience = Audience::OneOf(vec!["other".into()])), Err(Reason::InvalidAudience));
    assert_eq!(known(|policy| policy.issuers[0].iss = IssuerClaim::Exact("other".into())), Err(Reason::InvalidIssuer));
    assert_eq!(known(|policy| policy.issuers[0].algorithms.clear()), Err(Reason::UnsupportedAlgorithm));
    let late = UnixTime::from_seconds(NOW + 100_000).unwrap();
    let expired = policy.verify_token(&token, None, late, &mut Explanation::off()).map(|_| ());
    assert_eq!(expired.map_err(|error| error.reason()), Err(Some(Reason::TokenExpired)));
    // After a key rotation: the issuer's cache is the same, but the new keys did not sign the token.
    let mut rotated = policy.clone();
    rotated.issuers[0].keys = only(&Signer::ed25519(), Algorithm::EdDSA).issuers[0].keys.clone();
    assert_eq!(evaluate(&rotated, &token), Err(Reason::InvalidSignature));
    // Another issuer with the same keys has its own cache, and a changed signature makes another token.
    assert_eq!(signed(&usual(), &token), Some(SignatureCheck::Verified));
    let (signed_text, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed_text}.{}", signature.chars().rev().collect::<String>());
    assert!(evaluate(&policy, &forged).is_err());
    assert_eq!(signed(&policy, &token), Some(SignatureCheck::Cached));
}
