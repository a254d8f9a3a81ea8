//! JWK sets: each accepted key meets the rules, as a second implementation here reads them, and accepts no signature
//! that its owner has not made.
#![no_main]

use hookgate::auth::keys::{Algorithm, KeySet};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const ALL: [&str; 13] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
];

fuzz_target!(|input: &[u8]| {
    let [choice, jwks @ ..] = input else { return };
    // All algorithms, or one and its successor.
    let chosen = ALL.iter().cycle().skip(usize::from(*choice % 13)).take(if *choice < 128 { 13 } else { 2 });
    let allowed: Vec<Algorithm> = chosen.filter_map(|name| Algorithm::named(name)).collect();
    let Ok((set, skipped)) = KeySet::from_jwks(jwks, &allowed) else { return };
    let read: Value = serde_json::from_slice(jwks).expect("JSON");
    let members = read["keys"].as_array().expect("a list");
    assert!(set.len() + skipped.len() == members.len() && members.len() <= 100);
    let kept = members.iter().enumerate().filter(|(index, _)| skipped.iter().all(|key| key.index != *index));
    for (_, member) in kept {
        evaluate(member, &set, &allowed);
    }
});

fn evaluate(member: &Value, set: &KeySet, allowed: &[Algorithm]) {
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    assert!(private.iter().all(|name| member.get(name).is_none()), "{member}");
    assert!(member.get("use").is_none_or(|purpose| purpose == "sig"), "{member}");
    let operations = member.get("key_ops").map(|operations| operations.as_array().expect("a list"));
    assert!(operations.is_none_or(|operations| operations.iter().any(|one| one == "verify")), "{member}");
    let length = |name: &str| member[name].as_str().map(|text| text.len() * 3 / 4);
    let names: &[&str] = match (member["kty"].as_str(), member["crv"].as_str()) {
        (Some("RSA"), _) => {
            assert!(length("n").is_some_and(|bytes| (256..=1024).contains(&bytes)), "{member}");
            assert!(!["AQ", "Ag", ""].iter().any(|weak| member["e"] == *weak), "{member}");
            &ALL[..6]
        }
        (Some("EC"), Some("P-256")) => &ALL[6..7],
        (Some("EC"), Some("P-384")) => &ALL[7..8],
        (Some("EC"), Some("P-521")) => &ALL[8..9],
        (Some("OKP"), Some("Ed25519")) => &ALL[9..10],
        _ => panic!("{member}"),
    };
    let kid = member.get("kid").map(|kid| kid.as_str().expect("a text"));
    for algorithm in ALL.iter().filter_map(|name| Algorithm::named(name)) {
        let Ok(keys) = set.select(kid, algorithm) else { continue };
        assert!(allowed.contains(&algorithm) && algorithm.mac_length().is_none() && keys.len() == 1, "{member}");
        let fits = names.iter().any(|name| Algorithm::named(name) == Some(algorithm));
        // Keys of several algorithms may have the same `kid`.
        assert!(fits || kid.is_none() || set.len() > 1, "{member}");
        keys.iter().for_each(|(_, key)| nobody_signs(key, member));
    }
}

/// Zeros, ones, the neutral element: values that some verifiers accept as a signature of any message (CVE-2022-21449).
fn nobody_signs(key: &hookgate::auth::keys::Key, member: &Value) {
    assert!(key.secret.is_none());
    for (first, rest) in [(0, 0), (1, 0), (1, 1), (255, 255)] {
        for length in [64, 96, 132, 256, 384, 512, 1024] {
            let mut signature = vec![rest; length];
            signature[0] = first;
            for message in [&b"a"[..], b"b", b"c"] {
                assert!(key.verify(message, &signature).is_err(), "{member}");
            }
        }
    }
}
