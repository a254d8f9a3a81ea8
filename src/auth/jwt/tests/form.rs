//! Format of a token: parts, encoding, JSON, header.

use proptest::prelude::*;

use super::*;

const MALFORMED: Result<(), Reason> = Err(Reason::MalformedToken);

/// CVE-2026-107720: a token without three non-empty parts is no JWS, or is unsigned.
#[test]
fn a_token_has_exactly_three_parts_and_none_is_empty() {
    let good = good();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        signed.into(),
        format!("{signed}."),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
    ] {
        assert_eq!(evaluate(&usual(), &token), MALFORMED, "{token}");
    }
}

/// CVE-2026-102266: the JSON serializations of RFC 7515 §7.2 allow unprotected headers and several signatures.
#[test]
fn the_json_serialisation_is_rejected() {
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    let flat = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]});
    let general = json!({"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]});
    for form in [flat, general] {
        assert_eq!(evaluate(&usual(), &form.to_string()), MALFORMED);
        assert_eq!(evaluate(&usual(), &b64(form.to_string())), MALFORMED);
    }
}

/// GHSA-pm7g-w2cf-q238: any client can encrypt an unsigned token to the receiver's public key.
#[test]
fn an_encrypted_token_is_rejected() {
    let jwe = b64(r#"{"alg":"RSA-OAEP","enc":"A256GCM","cty":"JWT"}"#);
    assert_eq!(evaluate(&usual(), &format!("{jwe}.a2V5.aXY.dGV4dA.dGFn")), MALFORMED);
    for member in [r#""enc":"A256GCM""#, r#""zip":"DEF""#, r#""enc":null"#] {
        assert_eq!(header(format!(r#"{{"alg":"EdDSA",{member}}}"#)), MALFORMED, "{member}");
    }
}

/// RFC 7519 §5.2 and the same advisory: a nested token.
#[test]
fn a_nested_token_is_rejected() {
    for cty in ["JWT", "jwt", "application/jwt", "Application/JWT"] {
        assert_eq!(header(format!(r#"{{"alg":"EdDSA","kid":"1","cty":"{cty}"}}"#)), MALFORMED, "{cty}");
    }
    for cty in ["json", "text/jwt"] {
        assert_eq!(header(format!(r#"{{"alg":"EdDSA","kid":"1","cty":"{cty}"}}"#)), Ok(()), "{cty}");
    }
    assert_eq!(header(r#"{"alg":"EdDSA","cty":5}"#), MALFORMED);
    assert_eq!(payload(format!("\"{}\"", good())), MALFORMED);
}

/// CVE-2026-32597, CVE-2026-35042; observed with jsonwebtoken: `crit` is ignored (RFC 7515 §4.1.11).
#[test]
fn critical_extensions_are_rejected_known_or_not() {
    for crit in [r#"["exp"]"#, r#"["x"]"#, "[]", "null", r#"["b64"]"#, "\"exp\""] {
        assert_eq!(header(format!(r#"{{"alg":"EdDSA","kid":"1","crit":{crit},"exp":1}}"#)), MALFORMED, "{crit}");
    }
}

/// RFC 7797: with `b64: false` the signing input contains the unencoded payload.
#[test]
fn an_unencoded_payload_is_rejected() {
    for b64 in ["false", "true", "null", "0"] {
        assert_eq!(header(format!(r#"{{"alg":"EdDSA","kid":"1","b64":{b64}}}"#)), MALFORMED, "{b64}");
    }
}

/// RFC 8725 §3.11: an ID token, a logout token or a DPoP proof is not an access token.
#[test]
fn typ_is_one_of_the_allowed_types() {
    let typ = |typ: &str| header(format!(r#"{{"alg":"EdDSA","kid":"1","typ":{typ}}}"#));
    for good in [r#""JWT""#, r#""jwt""#, r#""at+jwt""#, r#""application/at+JWT""#] {
        assert_eq!(typ(good), Ok(()), "{good}");
    }
    assert_eq!(header(r#"{"alg":"EdDSA","kid":"1"}"#), Ok(()));
    for bad in [
        r#""dpop+jwt""#,
        r#""logout+jwt""#,
        r#""application/application/jwt""#,
        r#"" JWT""#,
        r#""""#,
        "null",
        "5",
        r#"["JWT"]"#,
    ] {
        assert_eq!(typ(bad), MALFORMED, "{bad}");
    }
}

#[test]
fn header_members_have_their_types() {
    for text in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":5}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"kid":"1"}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":"EdDSA","kid":null}"#,
        r#"{"alg":"EdDSA","kid":["1"]}"#,
    ] {
        assert_eq!(header(text), MALFORMED, "{text}");
    }
}

/// Observed with jsonwebtoken: the last of two equal members wins; in other parsers the first does (RFC 8725 §2.4).
#[test]
fn duplicate_members_are_rejected_also_by_escapes() {
    for text in [r#"{"alg":"EdDSA","kid":"1","kid":"1"}"#, r#"{"alg":"EdDSA","\u0061lg":"none"}"#] {
        assert_eq!(header(text), MALFORMED, "{text}");
    }
    let good = good_claims().to_string();
    let also = |member: &str| payload(good.replacen('{', &format!("{{{member},"), 1));
    assert_eq!(also(r#""other":1"#), Ok(()));
    for member in [
        r#""iss":"https://auth.example.com/""#,
        r#""\u0069ss":"x""#,
        r#""role":"a","role":"b""#,
        r#""role":"a","rol\u0065":"b""#,
        r#""deep":[{"a":1,"a":1}]"#,
    ] {
        assert_eq!(also(member), MALFORMED, "{member}");
    }
}

/// Observed with several libraries: the upstream may read JSON differently from a lenient parser that accepts it.
#[test]
fn json_is_strict() {
    let good = good_claims().to_string();
    assert_eq!(payload(format!(" {good}\n")), Ok(()));
    let with_member = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    for text in [
        format!("{good}x"),
        format!("{good}{{}}"),
        format!("{good}\0"),
        format!("{good}//"),
        format!("/**/{good}"),
        good.replace('}', ",}"),
        with_member(r#""n":NaN"#),
        with_member(r#""n":-Infinity"#),
        with_member(r#""n":01"#),
        with_member(r#""n":0x10"#),
        with_member("n:1"),
        with_member("'n':1"),
        with_member(r#""n":"\x41""#),
        with_member(r#""n":"\ud800""#),
        with_member("\"n\":\"\n\""),
        format!("\u{feff}{good}"),
    ] {
        assert_eq!(payload(&text), MALFORMED, "{text}");
    }
}

#[test]
fn invalid_utf_8_is_rejected() {
    let good = good_claims().to_string();
    for bytes in [&b"\xff"[..], b"\xc0\xae", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"] {
        let member = [b"{\"n\":\"", bytes, b"\","].concat();
        assert_eq!(payload([&member, &good.as_bytes()[1..]].concat()), MALFORMED, "{bytes:?}");
        assert_eq!(header([b"{\"alg\":\"EdDSA\",\"x\":\"", bytes, b"\"}"].concat()), MALFORMED, "{bytes:?}");
    }
}

#[test]
fn deep_nesting_is_rejected() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let claim = |depth| payload(good_claims().to_string().replacen('{', &format!("{{\"n\":{},", nested(depth)), 1));
    assert_eq!((claim(31), claim(32), claim(2500)), (Ok(()), MALFORMED, MALFORMED));
}

/// CVE-2026-107723: a header or payload that is not a JSON object.
#[test]
fn header_and_payload_are_objects() {
    for text in ["", "[]", "1", "null", "true", "\"x\"", "[{}]", r#"[{"alg":"EdDSA"}]"#] {
        assert_eq!(payload(text), MALFORMED, "{text}");
        assert_eq!(header(text), MALFORMED, "{text}");
    }
}

/// Observed with a library: a token with a second spelling bypasses a revocation list or a replay check.
#[test]
fn base64url_has_one_spelling() {
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    for place in 0..3 {
        let written = parts[place];
        for other in [
            format!("{written}="),
            format!("{written}=="),
            format!("{written}\n"),
            format!(" {written}"),
            format!("{}\r\n{}", &written[..4], &written[4..]),
            format!("{}%{}", &written[..4], &written[5..]),
            format!("{}+{}", &written[..4], &written[5..]),
            format!("{}/{}", &written[..4], &written[5..]),
        ] {
            let mut parts = parts.clone();
            parts[place] = &other;
            assert_eq!(evaluate(&usual(), &parts.join(".")), MALFORMED, "{other:?}");
        }
    }
}

/// The last character of 64 encoded bytes has four unused bits; header and payload have some too, depending on length.
#[test]
fn unused_bits_are_zero() {
    let good = good();
    let last = good.chars().next_back().unwrap();
    assert!("AQgw".contains(last));
    for letter in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).filter(|other| *other != last) {
        let other = format!("{}{letter}", &good[..good.len() - 1]);
        let expected = if "AQgw".contains(letter) { Err(Reason::InvalidSignature) } else { MALFORMED };
        assert_eq!(evaluate(&usual(), &other), expected, "{letter}");
    }
    let (text, spelled) = (r#"{"alg":"EdDSA","kid":"1"} "#, b64(r#"{"alg":"EdDSA","kid":"1"} "#));
    assert_eq!(text.len() % 3, 2);
    let respelled = format!("{}B.{}", &spelled[..spelled.len() - 1], b64(good_claims().to_string()));
    let signature = ED25519.sign(Algorithm::EdDSA, respelled.as_bytes());
    assert_eq!(evaluate(&usual(), &format!("{respelled}.{}", b64(signature))), MALFORMED);
}

/// Flips every bit, for each type of key: no byte of a token goes unchecked.
#[test]
fn every_change_of_one_bit_is_rejected() {
    let secret = Signer::Secret(vec![7; 32]);
    let shared = KeySet::from_secret(&[7; 32], Algorithm::HS256).unwrap();
    let policies = [
        (&*ED25519, Algorithm::EdDSA, usual()),
        (&*P256, Algorithm::ES256, only(&P256, Algorithm::ES256)),
        (&*RSA, Algorithm::RS256, only(&RSA, Algorithm::RS256)),
        (&secret, Algorithm::HS256, policy(vec![issuer("acme", ISSUER, fixed(shared), &[Algorithm::HS256])])),
    ];
    for (signer, algorithm, policy) in policies {
        let header = format!(r#"{{"alg":"{algorithm:?}","typ":"JWT","kid":"1"}}"#);
        let token = signer.token(algorithm, header, good_claims().to_string());
        assert_eq!(evaluate(&policy, &token), Ok(()), "{algorithm:?}");
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // `credential` rejects a token that is not ASCII before it is verified.
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(evaluate(&policy, &changed).is_err(), "{algorithm:?}: bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_passes_or_panics(text in ".{0,200}") {
        prop_assert!(evaluate(&usual(), &text).is_err());
    }

    #[test]
    fn no_three_parts_pass_or_panic(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
        let token = [b64(header), b64(payload), b64(signature)].join(".");
        prop_assert!(evaluate(&usual(), &token).is_err());
    }

    /// The tokens are correctly signed, so that every later step is reached.
    #[test]
    fn no_signed_bytes_panic(header_bytes in any::<Vec<u8>>(), payload_bytes in any::<Vec<u8>>()) {
        prop_assert!(header(header_bytes).is_err());
        prop_assert!(payload(payload_bytes).is_err());
    }

    #[test]
    fn no_signed_claim_panics(name in "iss|aud|exp|nbf|iat|sub|jti|x", json in "[-0-9.eE]{1,24}|\\PC{0,12}") {
        let text = good_claims().to_string().replacen('{', &format!("{{\"{name}\":{json},"), 1);
        prop_assert!(payload(text).is_err() || name == "x");
        let alone = with(good_claims(), &json!({ name.as_str(): null })).to_string();
        let _ = payload(alone.replacen('{', &format!("{{\"{name}\":{json},"), 1));
    }

    #[test]
    fn any_replaced_byte_is_rejected(place in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let mut bytes = good().into_bytes();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        prop_assert!(evaluate(&usual(), std::str::from_utf8(&bytes).unwrap()).is_err());
    }
}
