//! The numbers of a key: the ways in which issuers write them, and those that are no key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

/// Java's `BigInteger` writes a zero byte before a number whose first bit is set (Jenkins, Firebase), other programs
/// leave out the leading zeros of a coordinate or pad base64. Envoy, Go, Python or Node accept each of these.
#[test]
fn a_number_may_be_written_in_several_ways() {
    let numbers = |jwk: &Value, names: &[&str], change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let changes = names.iter().map(|name| ((*name).to_owned(), Value::from(b64(change(bytes(name))))));
        with(jwk.clone(), &Value::Object(changes.collect()))
    };
    let zeros = |count| move |bytes: Vec<u8>| [vec![0; count], bytes].concat();
    for count in [1, 2, 9] {
        assert_verifies(&RSA, Algorithm::RS256, numbers(&RSA.jwk(), &["n", "e"], &zeros(count)));
        assert_verifies(&P256, Algorithm::ES256, numbers(&P256.jwk(), &["x", "y"], &zeros(count)));
    }
    for (signer, algorithm, name) in [(&*RSA, Algorithm::RS256, "n"), (&*P256, Algorithm::ES256, "x")] {
        let mut padded = signer.jwk()[name].as_str().unwrap().to_owned();
        padded.push_str(&"=".repeat(padded.len().next_multiple_of(4) - padded.len()));
        assert_verifies(signer, algorithm, with(signer.jwk(), &json!({ name: padded })));
    }
    // One key in 128 has a coordinate with a leading zero.
    let short = |signer: &Signer| ["x", "y"].iter().any(|name| signer.jwk()[*name].as_str().unwrap().starts_with("AA"));
    let signer = std::iter::repeat_with(Signer::p256).find(short).unwrap();
    let bare = numbers(&signer.jwk(), &["x", "y"], &|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect());
    assert_ne!(bare, signer.jwk());
    assert_verifies(&signer, Algorithm::ES256, bare);
}

/// Checks that the set of this key has it, and that it verifies what its owner has signed.
fn assert_verifies(signer: &Signer, algorithm: Algorithm, jwk: Value) {
    let set = key_set(&[jwk], ALL);
    let key = set.select(None, algorithm).unwrap()[0].1;
    assert_eq!(key.verify(b"m", &signer.sign(algorithm, b"m")), Ok(()));
}

/// Serializers write `null` for what a key does not have, and a SPIFFE bundle has a `use` of its own.
#[test]
fn absent_members_may_be_null() {
    let null = json!({"kid": null, "alg": null, "use": null, "key_ops": null, "d": null, "k": null, "x5c": ["MIIB"]});
    for (signer, algorithm) in [(&*RSA, Algorithm::RS256), (&*P256, Algorithm::ES256), (&*ED25519, Algorithm::EdDSA)] {
        let mut jwk = signer.jwk();
        jwk.as_object_mut().unwrap().extend(null.as_object().unwrap().clone());
        assert_verifies(signer, algorithm, jwk);
    }
    assert_eq!(rsa(json!({"use": "jwt-svid"})), Ok(Algorithm::RS256));
    assert_eq!(rsa(json!({"use": "x509-svid"})), Err(Unusable::NotForVerifying));
}

#[test]
fn key_numbers_are_base64url() {
    let n = RSA.jwk()["n"].as_str().unwrap().to_owned();
    for n in [format!("{n}\n"), format!(" {n}"), format!("{n}===="), n.replacen('A', "+", 1), n.replacen('A', "", 3)] {
        assert!(n == RSA.jwk()["n"] || rsa(json!({ "n": n })).is_err(), "{n}");
    }
    for n in [json!(5), json!(["a"])] {
        assert_eq!(rsa(json!({ "n": n })), Err(Unusable::Malformed("n")));
    }
    assert_eq!(rsa(json!({"e": null})), Err(Unusable::Malformed("e")));
    assert_eq!(rsa(json!({"e": "AQABA"})), Err(Unusable::Malformed("e")));
}

/// A point off the curve has no use for the key's owner, and gives an attacker a small group.
#[test]
fn off_curve_points_are_skipped() {
    for (x, y) in [([1; 32], [1; 32]), ([0; 32], [0; 32]), ([0xff; 32], [0xff; 32])] {
        assert_eq!(p256(json!({"x": b64(x), "y": b64(y)})), Err(Unusable::Invalid));
    }
    // A valid P-384 point labelled as P-256, and vice versa.
    assert_eq!(load(with(Signer::p384().jwk(), &json!({"crv": "P-256"}))), Err(Unusable::Malformed("x")));
    assert_eq!(p256(json!({"crv": "P-384"})), Err(Unusable::Invalid));
    assert_eq!(p256(json!({"crv": "P-521"})), Err(Unusable::Invalid));
    let p521 = |x: &[u8]| load(with(Signer::p521().jwk(), &json!({"x": b64(x), "y": b64([1; 66])})));
    let invalid = Err(Unusable::Invalid);
    assert_eq!((p521(&[1; 65]), p521(&[0; 67]), p521(&[1; 67])), (invalid, invalid, Err(Unusable::Malformed("x"))));
    assert_eq!(p256(json!({"x": b64([1; 31])})), invalid);
    assert_eq!(p256(json!({"x": b64([1; 33])})), Err(Unusable::Malformed("x")));
}
