//! Loading of keys: accepted keys, skipped keys, and the selection of the key for a token.

use std::time::Duration;

use serde_json::{Value, json};

use super::key::KeyId;
use super::*;
use crate::auth::testing::{ED25519, NOW, P256, RSA, Signer, b64, key_set, now, pem, with};
use crate::reason::Reason;

mod numbers;

const ALL: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA];

/// Loads a set of one JWK with the algorithms `ALL`.
fn load(jwk: Value) -> Result<Algorithm, Unusable> {
    let (set, skipped) = KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes(), ALL).unwrap();
    match (set.keys.as_slice(), skipped.as_slice()) {
        ([key], []) => Ok(key.algorithm),
        ([], [skipped]) => Err(skipped.why),
        other => panic!("{other:?}"),
    }
}

fn rsa(changes: Value) -> Result<Algorithm, Unusable> {
    load(with(RSA.jwk(), &changes))
}

fn p256(changes: Value) -> Result<Algorithm, Unusable> {
    load(with(P256.jwk(), &changes))
}

fn ed25519(changes: Value) -> Result<Algorithm, Unusable> {
    load(with(ED25519.jwk(), &changes))
}

/// An odd number of this size in bits.
fn modulus(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] = 0xff >> (number.len() * 8 - bits);
    number
}

#[test]
fn good_keys_are_loaded_each_with_one_algorithm() {
    assert_eq!(rsa(json!({})), Ok(Algorithm::RS256));
    assert_eq!(rsa(json!({"alg": "PS256"})), Ok(Algorithm::PS256));
    assert_eq!(p256(json!({"use": "sig", "key_ops": ["verify"]})), Ok(Algorithm::ES256));
    assert_eq!(load(Signer::p384().jwk()), Ok(Algorithm::ES384));
    assert_eq!(load(Signer::p521().jwk()), Ok(Algorithm::ES512));
    assert_eq!(ed25519(json!({"alg": "Ed25519"})), Ok(Algorithm::EdDSA));
    assert_eq!(ed25519(json!({"alg": "EdDSA", "x5c": ["ignored"]})), Ok(Algorithm::EdDSA));
}

/// RFC 8725 §3.1: a key is unusable if its `alg` is not allowed for the issuer, or does not match its type.
#[test]
fn a_key_whose_alg_does_not_fit_is_skipped() {
    assert_eq!(rsa(json!({"alg": "RS512"})), Err(Unusable::NotAllowed("RS512")));
    for alg in ["ES256", "HS256", "none", "RSA-OAEP", "rs256", "", "EdDSA"] {
        assert_eq!(rsa(json!({ "alg": alg })), Err(Unusable::Algorithm), "{alg}");
    }
    assert_eq!(p256(json!({"alg": "ES384"})), Err(Unusable::Algorithm));
    assert_eq!(p256(json!({"alg": 5})), Err(Unusable::Malformed("alg")));
    let skipped = |signer: &Signer, allowed| {
        let (set, skipped) =
            KeySet::from_jwks(json!({"keys": [signer.jwk()]}).to_string().as_bytes(), &[allowed]).unwrap();
        assert!(set.is_empty());
        skipped[0].why
    };
    assert_eq!(skipped(&RSA, Algorithm::ES256), Unusable::NotAllowed("RSA (RS256 and others)"));
    assert_eq!(skipped(&Signer::p384(), Algorithm::ES256), Unusable::NotAllowed("ES384"));
}

/// Observed with jsonwebtoken: an `oct` key in a fetched JWKS verifies HS256.
#[test]
fn shared_and_private_keys_from_the_network_are_skipped() {
    assert_eq!(load(Signer::Secret(vec![7; 32]).jwk()), Err(Unusable::Private));
    assert_eq!(load(json!({"kty": "oct"})), Err(Unusable::Private));
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_eq!(rsa(json!({ member: "AQAB" })), Err(Unusable::Private), "{member}");
        assert_eq!(p256(json!({ member: 5 })), Err(Unusable::Private), "{member}");
    }
}

/// Observed with jsonwebtoken: `use: enc` and `key_ops: [encrypt]` are ignored.
#[test]
fn keys_for_encryption_are_skipped() {
    for changes in [
        json!({"use": "enc"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": []}),
        json!({"use": "SIG"}),
        json!({"use": "sig", "key_ops": ["encrypt"]}),
    ] {
        assert_eq!(rsa(changes.clone()), Err(Unusable::NotForVerifying), "{changes}");
    }
    assert_eq!(rsa(json!({"key_ops": "verify"})), Err(Unusable::Malformed("key_ops")));
}

/// Observed with jsonwebtoken: a 512-bit modulus verifies. A huge modulus wastes CPU time.
#[test]
fn rsa_moduli_of_unsafe_size_are_skipped() {
    for bits in [512, 1024, 2040, 2047, 8193, 16384] {
        assert_eq!(rsa(json!({"n": b64(modulus(bits))})), Err(Unusable::WeakRsa), "{bits}");
    }
    for bits in [2048, 2049, 4096, 8192] {
        assert_eq!(rsa(json!({"n": b64(modulus(bits))})), Ok(Algorithm::RS256), "{bits}");
    }
    let mut even = modulus(2048);
    even[255] = 0xfe;
    assert_eq!(rsa(json!({"n": b64(even)})), Err(Unusable::WeakRsa));
}

/// With exponent 1 the signature equals the padded message, so that any client can sign.
#[test]
fn unsafe_rsa_exponents_are_skipped() {
    for e in [&[1][..], &[0], &[2], &[1, 0, 0], &[0, 1], &[1, 0, 0, 0, 0, 1], &[0, 1, 0, 0, 0, 0, 1], &[]] {
        assert_eq!(rsa(json!({"e": b64(e)})), Err(Unusable::WeakRsa), "{e:?}");
    }
    assert_eq!(rsa(json!({"e": "Aw"})), Ok(Algorithm::RS256));
}

#[test]
fn unknown_types_and_curves_are_skipped() {
    for crv in ["secp256k1", "P-512", "p-256", "Ed25519", ""] {
        assert_eq!(p256(json!({ "crv": crv })), Err(Unusable::UnsupportedType), "{crv}");
    }
    for crv in ["Ed448", "X25519", "P-256"] {
        assert_eq!(ed25519(json!({ "crv": crv })), Err(Unusable::UnsupportedType), "{crv}");
    }
    assert_eq!(ed25519(json!({"x": b64([1; 31])})), Err(Unusable::Malformed("x")));
    assert_eq!(load(json!({"kty": "AKP"})), Err(Unusable::UnsupportedType));
    assert_eq!(load(json!({})), Err(Unusable::Malformed("kty")));
}

/// Observed with jsonwebtoken: one `use: 5` fails the whole set.
#[test]
fn one_bad_key_does_not_kill_the_set() {
    let keys = json!({"keys": [
        5, null, [], {}, {"kty": 5}, {"kid": "bad", "kty": "EC", "crv": "P-256"}, with(RSA.jwk(), &json!({"use": 5})),
        with(RSA.jwk(), &json!({"kid": 5})), with(P256.jwk(), &json!({"kid": "good"})),
    ]});
    let (set, skipped) = KeySet::from_jwks(keys.to_string().as_bytes(), ALL).unwrap();
    assert!(set.select(Some("good"), Algorithm::ES256).is_ok());
    assert_eq!((set.len(), skipped.len()), (1, 8));
    assert_eq!(skipped[5], SkippedKey { index: 5, kid: Some("bad".into()), why: Unusable::Malformed("x") });
    let text = "keys[5] (kid \"bad\"): `x` is missing, or has the wrong type, encoding or length";
    assert_eq!(skipped[5].to_string(), text);
}

#[test]
fn other_documents_are_no_key_set() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":5}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[]} x"#,
        r#"{"keys":[{"kid":"a","kid":"b"}]}"#,
        r#"{"Keys":[]}"#,
    ] {
        assert_eq!(KeySet::from_jwks(text.as_bytes(), ALL).err(), Some(KeySetError::NotAKeySet), "{text}");
    }
    let many = |count: usize| json!({"keys": vec![json!({}); count]}).to_string();
    assert!(KeySet::from_jwks(many(100).as_bytes(), ALL).is_ok());
    assert_eq!(KeySet::from_jwks(many(101).as_bytes(), ALL).err(), Some(KeySetError::TooManyKeys));
    assert_eq!(KeySet::from_jwks(br#"{"keys":[],"more":1}"#, ALL).map(|(set, _)| set.len()), Ok(0));
}

/// A client that can add a key to a set must not take over the `kid` of another key.
#[test]
fn of_two_keys_with_one_name_and_algorithm_the_first_serves() {
    let named = |signer: &Signer| with(signer.jwk(), &json!({"kid": "1"}));
    let second = Signer::p256();
    let keys = json!({"keys": [named(&P256), named(&second), named(&ED25519)]});
    let (set, skipped) = KeySet::from_jwks(keys.to_string().as_bytes(), ALL).unwrap();
    assert_eq!(skipped, [SkippedKey { index: 1, kid: Some("1".into()), why: Unusable::Doubled }]);
    let verified = |signer: &Signer| {
        let signature = signer.sign(Algorithm::ES256, b"m");
        set.select(Some("1"), Algorithm::ES256).unwrap()[0].1.verify(b"m", &signature)
    };
    assert_eq!((verified(&P256), verified(&second)), (Ok(()), Err(Reason::InvalidSignature)));
    assert!(set.select(Some("1"), Algorithm::EdDSA).is_ok());
}

#[test]
fn a_token_gets_the_key_that_it_names_or_the_only_one_that_fits() {
    let set =
        key_set(&[with(RSA.jwk(), &json!({"kid": "r"})), with(P256.jwk(), &json!({"kid": "e"})), ED25519.jwk()], ALL);
    let named = |(_, key): &(usize, &Key)| key.id.clone();
    let select = |kid, algorithm| set.select(kid, algorithm).map(|keys| keys.iter().map(named).collect::<Vec<_>>());
    let name = |name: &str| KeyId::Named(name.to_owned());
    assert_eq!(select(Some("r"), Algorithm::RS256), Ok(vec![name("r")]));
    assert_eq!(select(Some("e"), Algorithm::RS256), Err(Reason::UnsupportedAlgorithm));
    assert_eq!(select(Some("r"), Algorithm::RS512), Err(Reason::UnsupportedAlgorithm));
    for kid in ["R", "r ", "", "x"] {
        assert_eq!(select(Some(kid), Algorithm::RS256), Err(Reason::UnknownKey), "{kid:?}");
    }
    // Beside keys with a `kid`, the one without may be older than the one that the token names.
    assert_eq!(select(Some("x"), Algorithm::EdDSA), Err(Reason::UnknownKey));
    assert_eq!(select(None, Algorithm::EdDSA), Ok(vec![KeyId::Unnamed]));
    assert_eq!(select(None, Algorithm::PS256), Err(Reason::UnknownKey));
}

/// Firebase's emulators, and many sets written by hand, have a single key without `kid`.
#[test]
fn in_a_set_without_kids_the_only_key_that_fits_serves_every_token() {
    let set = key_set(&[RSA.jwk(), P256.jwk(), Signer::p256().jwk()], ALL);
    for kid in [None, Some("any")] {
        assert_eq!(set.select(kid, Algorithm::RS256).map(|keys| keys.len()), Ok(1));
        assert_eq!(set.select(kid, Algorithm::ES256).err(), Some(Reason::UnknownKey));
        assert_eq!(set.select(kid, Algorithm::EdDSA).err(), Some(Reason::UnknownKey));
    }
    let named = key_set(&[with(RSA.jwk(), &json!({"kid": "r"})), with(Signer::rsa().jwk(), &json!({"kid": "s"}))], ALL);
    for (set, kid, algorithm, why) in [
        (
            &set,
            Some("any"),
            Algorithm::ES256,
            "the token has a kid, and none of the 2 keys of the issuer for ES256 has one",
        ),
        (&set, None, Algorithm::ES256, "the token has no kid, and 2 keys of the issuer are for ES256"),
        (&set, None, Algorithm::EdDSA, "no key of the issuer is for EdDSA"),
        (&named, None, Algorithm::RS256, "the token has no kid, and 2 keys of the issuer are for RS256"),
        (&named, Some("t\n"), Algorithm::RS256, r#"no key of the issuer has the kid "t\n""#),
    ] {
        assert_eq!(set.select(kid, algorithm).err(), Some(Reason::UnknownKey), "{why}");
        assert_eq!(set.unknown_key(kid, algorithm), why);
    }
}

/// Found by fuzzing: the neutral element verifies R = 1, S = 0 over any message, with either sign bit.
#[test]
fn ed25519_keys_of_small_order_are_skipped() {
    let ends = |first, middle, last| [&[first][..], &[middle; 30], &[last]].concat();
    for x in [ends(1, 0, 0), ends(1, 0, 0x80), ends(0, 0, 0), ends(0xec, 0xff, 0x7f), ends(0xed, 0xff, 0xff)] {
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": b64(&x)}]}).to_string();
        let (set, skipped) = KeySet::from_jwks(set.as_bytes(), ALL).unwrap();
        assert_eq!((set.len(), skipped[0].why), (0, Unusable::Invalid), "{x:?}");
    }
}

#[test]
fn without_kid_two_fitting_keys_are_no_choice() {
    let set = key_set(&[P256.jwk(), with(Signer::p256().jwk(), &json!({"kid": "2"}))], ALL);
    assert_eq!(set.select(None, Algorithm::ES256).err(), Some(Reason::UnknownKey));
    assert_eq!(KeySet::default().select(None, Algorithm::ES256).err(), Some(Reason::UnknownKey));
}

/// RFC 7518 §3.2, and CVE-2026-102266: any client can sign with an empty secret.
#[test]
fn secrets_shorter_than_the_hash_are_rejected() {
    for (algorithm, length) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        for short in [0, 1, length - 1] {
            let error = KeySet::from_secret(&vec![7; short], algorithm).err();
            assert_eq!(error, Some(KeySetError::ShortSecret(length)), "{algorithm:?} {short}");
        }
        assert!(KeySet::from_secret(&vec![7; length], algorithm).is_ok());
    }
    assert_eq!(KeySet::from_secret(&[7; 64], Algorithm::RS256).err(), Some(KeySetError::NotASharedSecret));
}

/// Each shared secret is tried with its own algorithm; the token's `kid` is ignored.
#[test]
fn of_several_secrets_all_that_fit_are_tried() {
    let (long, short) = (vec![7; 64], vec![8; 32]);
    let secrets = [(&*long, Algorithm::HS256), (&*long, Algorithm::HS512), (&*short, Algorithm::HS256)];
    let set = KeySet::from_secrets(&secrets).unwrap();
    for kid in [None, Some("any")] {
        let places =
            |algorithm| set.select(kid, algorithm).unwrap().iter().map(|(_, key)| key.secret).collect::<Vec<_>>();
        assert_eq!(places(Algorithm::HS256), [Some(0), Some(2)]);
        assert_eq!(places(Algorithm::HS512), [Some(1)]);
    }
    assert_eq!(set.select(Some("x"), Algorithm::HS384).err(), Some(Reason::UnsupportedAlgorithm));
    assert_eq!(set.select(None, Algorithm::HS384).err(), Some(Reason::UnknownKey));
    let one_short = KeySet::from_secrets(&[(&*long, Algorithm::HS256), (&[8; 31], Algorithm::HS256)]);
    assert_eq!(one_short.err(), Some(KeySetError::ShortSecret(32)));
    assert_eq!(KeySet::from_secrets(&vec![secrets[0]; 101]).err(), Some(KeySetError::TooManyKeys));
}

#[test]
fn a_public_key_in_pem_form_is_pinned() {
    let (p384, p521) = (Signer::p384(), Signer::p521());
    let signers: [(&Signer, Algorithm); 6] = [
        (&RSA, Algorithm::RS256),
        (&RSA, Algorithm::PS512),
        (&P256, Algorithm::ES256),
        (&p384, Algorithm::ES384),
        (&p521, Algorithm::ES512),
        (&ED25519, Algorithm::EdDSA),
    ];
    for (signer, algorithm) in signers {
        let set = KeySet::from_pem(pem("PUBLIC KEY", &signer.spki()).as_bytes(), algorithm).unwrap();
        let signature = signer.sign(algorithm, b"m");
        for kid in [None, Some("any")] {
            let key = set.select(kid, algorithm).unwrap()[0].1;
            assert_eq!(key.verify(b"m", &signature), Ok(()), "{algorithm:?}");
            assert_eq!(key.verify(b"n", &signature), Err(Reason::InvalidSignature));
        }
    }
}

#[test]
fn a_private_key_in_pem_form_is_rejected_by_name() {
    let label = |kind: &str| format!("{kind}PRIVATE KEY");
    for (signer, algorithm) in [(&*RSA, Algorithm::RS256), (&*P256, Algorithm::ES256), (&*ED25519, Algorithm::EdDSA)] {
        for kind in ["", "RSA ", "EC ", "ENCRYPTED "] {
            let text = pem(&label(kind), &signer.pkcs8());
            assert_eq!(KeySet::from_pem(text.as_bytes(), algorithm).err(), Some(KeySetError::PrivateKey));
        }
        let both = pem("PUBLIC KEY", &signer.spki()) + &pem("PRIVATE KEY", &signer.pkcs8());
        assert_eq!(KeySet::from_pem(both.as_bytes(), algorithm).err(), Some(KeySetError::PrivateKey));
    }
}

/// A certificate's validity would not be checked; of two keys only the first would be used.
#[test]
fn a_pem_file_holds_one_public_key_and_nothing_else() {
    let rejection = |text: &str, algorithm| KeySet::from_pem(text.as_bytes(), algorithm).err();
    let (rsa, p256) = (pem("PUBLIC KEY", &RSA.spki()), pem("PUBLIC KEY", &P256.spki()));
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&pair).unwrap().pem();
    for text in ["", "no pem", &certificate, &format!("{p256}{p256}"), &rsa, &p256.replace("PUBLIC", "RSA PUBLIC")] {
        assert_eq!(rejection(text, Algorithm::ES256), Some(KeySetError::NotAPublicKey), "{text}");
    }
    assert_eq!(rejection(&p256, Algorithm::RS256), Some(KeySetError::NotAPublicKey));
    assert_eq!(rejection(&p256, Algorithm::ES384), Some(KeySetError::NotAPublicKey));
    assert_eq!(rejection(&p256, Algorithm::ES512), Some(KeySetError::NotAPublicKey));
    assert!(rejection(&p256, Algorithm::EdDSA).is_some());
    assert_eq!(rejection(&rsa, Algorithm::HS256), Some(KeySetError::NotAPublicKey));
}

#[test]
fn a_weak_rsa_key_in_pem_form_is_rejected() {
    // PKCS #1 (RFC 8017 §A.1.1), encoded by hand: the library does not encode some of these keys.
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] >= 0x80 { &[0] } else { &[] };
        der(2, &[sign, number].concat())
    };
    let pkcs1 = |n: &[u8], e: &[u8]| pem("RSA PUBLIC KEY", &der(0x30, &[integer(n), integer(e)].concat()));
    let rejection = |n: &[u8], e: &[u8]| KeySet::from_pem(pkcs1(n, e).as_bytes(), Algorithm::RS256).err();
    assert_eq!(rejection(&modulus(2048), &[1, 0, 1]), None);
    for (bits, e) in [(512, &[1, 0, 1][..]), (1024, &[1, 0, 1]), (2048, &[1]), (2048, &[2])] {
        let rejection = rejection(&modulus(bits), e);
        assert_eq!(rejection, Some(KeySetError::Unusable(Unusable::WeakRsa)), "{bits} {e:?}");
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..=127 => [&[tag, length[1]], content].concat(),
        128..=255 => [&[tag, 0x81, length[1]], content].concat(),
        _ => [&[tag, 0x82, length[0], length[1]], content].concat(),
    }
}

/// CVE-2022-21449. The library rejects zeros today; hookgate does not rely on it.
#[test]
fn neither_half_of_an_ecdsa_signature_is_zero() {
    let set = key_set(&[P256.jwk(), ED25519.jwk()], ALL);
    let sane = |algorithm, halves: [u8; 2]| {
        set.select(None, algorithm).unwrap()[0].1.halves_are_sane(&halves.map(|half| [0, half]).concat())
    };
    assert!(sane(Algorithm::ES256, [1, 1]) && sane(Algorithm::EdDSA, [0, 1]));
    assert!(!sane(Algorithm::ES256, [0, 1]) && !sane(Algorithm::ES256, [1, 0]) && !sane(Algorithm::ES256, [0, 0]));
}

#[test]
fn debug_output_contains_no_secret() {
    let set = KeySet::from_secret(b"a-secret-of-thirty-two-bytes-or-more", Algorithm::HS256).unwrap();
    let shown = format!("{set:?} {:?}", set.keys);
    assert!(shown.contains("HS256") && !shown.contains("secret-of") && !shown.contains("97, 45"), "{shown}");
}

fn source(max_stale: u64) -> RemoteSource {
    RemoteSource {
        issuer: "acme".into(),
        url: "https://auth.example.com/jwks".into(),
        discovery: None,
        ca: None,
        pins: Vec::new(),
        access: crate::auth::keys::JwksAccess::default(),
        cache: None,
        algorithms: ALL.to_vec(),
        refresh: Duration::from_secs(600),
        max_stale: Duration::from_secs(max_stale),
        cooldown: Duration::from_secs(30),
    }
}

/// Istio CVE-2026-31837: there is no fallback key when a fetch fails.
#[test]
fn fetched_keys_serve_until_they_are_stale_and_then_there_are_none() {
    let remote = Arc::new(RemoteKeys::new(source(100)));
    let keys = Keys::Remote(Arc::clone(&remote));
    assert!(keys.current(now()).is_none() && remote.fetched().is_none());
    remote.replace(key_set(&[P256.jwk()], ALL), now());
    let at = |offset| keys.current(UnixTime::from_seconds(NOW + offset).unwrap()).map(|keys| keys.len());
    assert_eq!((at(0), at(100), at(101)), (Some(1), Some(1), None));
    assert!(remote.fetched().is_some());
}

#[test]
fn a_reload_keeps_keys_and_their_age() {
    let old = RemoteKeys::new(source(100));
    old.replace(key_set(&[P256.jwk()], ALL), now());
    let new = RemoteKeys::adopt(source(50), &old);
    assert_eq!(new.fetched().map(|fetched| (fetched.keys.len(), fetched.at)), Some((1, now())));
    assert!(new.current(UnixTime::from_seconds(NOW + 51).unwrap()).is_none());
    old.replace(KeySet::default(), now());
    assert_eq!(new.fetched().map(|fetched| fetched.keys.len()), Some(1));
}
