//! Parsing, encoding and verification of signatures.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::request::Parts;
use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::auth::claims::{ClaimTest, Pointer};
use crate::auth::request::UrlBase;
use crate::auth::secret::{HASHED, Hash, KeyError, SecretKey};
use crate::auth::testing::{ED25519, NOW, RSA, Signer, now, pem};

mod certificate;
mod forms;
mod keys;
mod text;
mod times;

const SECRET: &[u8] = b"the secret of a sender";

fn secret(index: usize, id: Option<&str>, bytes: &[u8]) -> Secret {
    let key = SecretKey::from_secret(Zeroizing::new(bytes.to_vec())).unwrap();
    Secret { id: id.map(Into::into), ..Secret::new(index, key) }
}

/// A policy for HMAC-SHA256 in hex over these components, as the whole value of `X-Sig`.
fn policy(components: &[&str]) -> SignaturePolicy {
    SignaturePolicy {
        name: "signature".into(),
        places: vec![Locator::header_named(HeaderName::from_static("x-sig"))],
        parse: Parse::Raw,
        encoding: Encoding::Hex,
        algorithm: SignatureAlgorithm::Hmac(Hash::Sha256),
        signed_payload: components.iter().map(|component| Component::parse(component).unwrap()).collect(),
        join: ".".into(),
        url_variants: Vec::new(),
        time: None,
        replay_id: None,
        key_id: None,
        required_headers: Vec::new(),
        required_parts: Vec::new(),
        required_json: None,
        body_hash: None,
        id: None,
        secrets: vec![secret(0, None, SECRET)].into(),
        certificate: None,
        repeats: false,
    }
}

/// HMAC-SHA256 with this secret, in hex.
fn mac_by(secret: &[u8], text: impl AsRef<[u8]>) -> String {
    let key = SecretKey::from_secret(Zeroizing::new(secret.to_vec())).unwrap();
    let mac = key.mac(SignatureAlgorithm::Hmac(Hash::Sha256), &[Cow::Borrowed(text.as_ref())]);
    Encoding::Hex.encode(&mac.unwrap())
}

fn mac(text: impl AsRef<[u8]>) -> String {
    mac_by(SECRET, text)
}

fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
    let request = fields.iter().fold(Request::post(target), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

/// Verifies a POST request to `target`. Returns the index of the secret that signed it, or the reason of the rejection.
fn evaluate_at(policy: &SignaturePolicy, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Result<usize, Reason> {
    let head = head(target, fields);
    let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(body);
    let evaluated = policy.verify(&view, now(), &mut Explanation::off());
    evaluated.map(|grant| grant.secrets[0]).map_err(|error| error.reason().unwrap())
}

fn evaluate(policy: &SignaturePolicy, fields: &[(&str, &str)], body: &[u8]) -> Result<usize, Reason> {
    evaluate_at(policy, "/a", fields, body)
}

const BAD: Result<usize, Reason> = Err(Reason::InvalidSignature);

#[test]
fn a_signature_is_good_for_its_body_alone() {
    let policy = policy(&["body"]);
    let good = mac("body");
    assert_eq!(evaluate(&policy, &[("x-sig", &good)], b"body"), Ok(0));
    for body in [&b""[..], b"Body", b"body ", b"bod"] {
        assert_eq!(evaluate(&policy, &[("x-sig", &good)], body), BAD);
    }
    assert_eq!(evaluate(&policy, &[("x-sig", &mac_by(b"another", "body"))], b"body"), BAD);
    assert_eq!(evaluate(&policy, &[], b"body"), Err(Reason::MissingCredential));
    assert_eq!(evaluate(&policy, &[("x-sig", &good), ("x-sig", &good)], b"body"), Err(Reason::MultipleCredentials));
    for shorter in ["", &good[..62], &good[..1]] {
        assert_eq!(evaluate(&policy, &[("x-sig", shorter)], b"body"), BAD, "{shorter:?}");
    }
}

/// The number of strings to sign that are hashed for a request with these signatures, and its result.
fn hashed(policy: &SignaturePolicy, signatures: &[String]) -> (usize, Result<usize, Reason>) {
    let before = HASHED.get();
    let evaluated = evaluate(policy, &[("x-sig", &signatures.join(","))], b"body");
    (HASHED.get() - before, evaluated)
}

/// An unauthenticated client may send sixteen signatures and a large body to a route with many secrets.
#[test]
fn a_string_to_sign_is_hashed_once_for_each_secret() {
    let secrets: Vec<Secret> = (0..10).map(|index| secret(index, None, format!("secret {index}").as_bytes())).collect();
    let forged: Vec<String> = (0..15).map(|number| mac_by(b"forged", [number])).collect();
    let good = |index: usize| mac_by(format!("secret {index}").as_bytes(), "body");
    let list = Parse::List { separator: ",".into(), prefix: String::new() };
    for parse in [list, Parse::Split { separator: ":".into(), index: 0, list: Some(",".into()) }] {
        let policy = SignaturePolicy { parse, secrets: secrets.clone().into(), ..policy(&["body"]) };
        assert_eq!(hashed(&policy, &forged), (10, BAD));
        assert_eq!(hashed(&policy, &[&forged[..], &[good(9)]].concat()), (10, Ok(9)));
        // Another one of them may be that of a later secret.
        assert_eq!(hashed(&policy, &[&[good(2)], &forged[..]].concat()), (10, Ok(2)));
        assert_eq!(hashed(&policy, &[good(2)]), (3, Ok(2)));
        assert_eq!(hashed(&policy, &[good(5), good(2)]).0, 6);
        let of_another_length = forged.iter().map(|forged| forged[2..].to_owned()).collect::<Vec<_>>();
        assert_eq!(hashed(&policy, &of_another_length), (0, BAD));
    }
    for (_, algorithm, sign) in keys::signers() {
        let keys = keys::signers().into_iter().map(|(public, ..)| public);
        let key = keys.filter_map(|public| SecretKey::from_public(&public, algorithm).ok()).next().unwrap();
        let policy = SignaturePolicy {
            parse: Parse::List { separator: ",".into(), prefix: String::new() },
            algorithm,
            secrets: vec![Secret::new(0, key)].into(),
            ..policy(&["body"])
        };
        // Another key has made them.
        let forged = [b"1", b"2", b"3"].map(|text| Encoding::Hex.encode(&sign(text)));
        let expected = if algorithm == SignatureAlgorithm::Ed25519 { 0 } else { 1 };
        assert_eq!(hashed(&policy, &forged), (expected, BAD), "{algorithm:?}");
    }
}

#[test]
fn a_signature_of_another_length_is_rejected_before_the_body_is_read() {
    let policy = policy(&["body"]);
    let without_body = |signature: &str| {
        let head = head("/", &[("x-sig", signature)]);
        policy.verify(&RequestView::new(&head, UrlBase::Host("a")), now(), &mut Explanation::off()).unwrap_err()
    };
    let good = mac("body");
    assert_eq!(without_body(&good), VerifyError::NeedsBody);
    for bad in ["", "00", &good[2..], &format!("{good}00"), &good.to_uppercase()] {
        assert_eq!(without_body(bad), Reason::InvalidSignature.into(), "{bad}");
    }
}

/// Most SDKs compare text, so that to them a second spelling is a different signature.
#[test]
fn a_signature_has_one_spelling() {
    let written = |text: &str| Encoding::Hex.decode(text);
    assert_eq!(written("00ff"), Some(vec![0, 255]));
    for text in ["00FF", "0fF0", "0", "00f", "0x00", " 00", "00 ", "00:ff", "gg", "ß0"] {
        assert_eq!(written(text), None, "{text}");
    }
    assert_eq!(Encoding::Base64.decode("+/8="), Some(vec![251, 255]));
    // Missing or extra padding, unused bits, the other alphabet, whitespace.
    for text in ["+/8", "+/8==", "+/9=", "-_8=", " +/8=", "+/8=\n", "+/8=+/8="] {
        assert_eq!(Encoding::Base64.decode(text), None, "{text}");
    }
    assert_eq!(Encoding::Base64Url.decode("-_8"), Some(vec![251, 255]));
    for text in ["-_8=", "-_9", "+/8", "-_8 "] {
        assert_eq!(Encoding::Base64Url.decode(text), None, "{text}");
    }
    let policy = policy(&["body"]);
    assert_eq!(evaluate(&policy, &[("x-sig", &mac("body").to_uppercase())], b"body"), BAD);
}

fn signatures(parse: &Parse, value: &str) -> Vec<Vec<u8>> {
    parse.read(value).iter().flat_map(|value| value.decoded(Encoding::Hex)).collect()
}

fn pairs(key: &str) -> Parse {
    Parse::Pairs { separator: ",".into(), equals: "=".into(), key: key.into() }
}

fn split(list: Option<&str>) -> Parse {
    Parse::Split { separator: ":".into(), index: 1, list: list.map(str::to_owned) }
}

/// .NET's BitConverter and Elixir write capitals. One signature has one spelling in each encoding.
#[test]
fn hex_is_in_the_case_of_its_encoding() {
    let (mut policy, lower) = (policy(&["body"]), mac("body"));
    let of_hex = STANDARD.encode(&lower);
    let spellings = [lower.clone(), lower.to_uppercase(), of_hex];
    for (encoding, own) in [(Encoding::Hex, 0), (Encoding::HexUpper, 1), (Encoding::Base64OfHex, 2)] {
        policy.encoding = encoding;
        for (index, spelling) in spellings.iter().enumerate() {
            let expected = if index == own { Ok(0) } else { BAD };
            assert_eq!(evaluate(&policy, &[("x-sig", spelling)], b"body"), expected, "{encoding:?} {spelling}");
        }
        assert_eq!(encoding.encode(&encoding.decode(&spellings[own]).unwrap()), spellings[own]);
    }
    policy.encoding = Encoding::HexUpper;
    let mixed = format!("{}{}", &lower[..32], lower[32..].to_uppercase());
    assert_eq!(evaluate(&policy, &[("x-sig", &mixed)], b"body"), BAD);
}

#[test]
fn each_value_is_read_with_parts_of_its_own() {
    let mut policy = policy(&["part:0", "body"]);
    policy.parse = split(Some(","));
    let (a, b) = (mac("a.body"), mac("b.body"));
    assert_eq!(evaluate(&policy, &[("x-sig", &format!("a:00,b:{b}"))], b"body"), Ok(0));
    assert_eq!(evaluate(&policy, &[("x-sig", &format!("a:{b},b:{a}"))], b"body"), BAD);
}

#[test]
fn a_signature_stands_where_it_is_looked_for() {
    let mut policy = policy(&["literal:x"]);
    let good = mac("x");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let (json, doubled) = (json!({"a": {"s": good}}).to_string(), format!("s={good}&s={good}"));
    policy.places = vec![Locator::Query("s".into())];
    assert_eq!(evaluate_at(&policy, &format!("/a?s={good}"), &[("x-sig", "00")], b""), Ok(0));
    assert_eq!(evaluate_at(&policy, &format!("/a?s={good}&%73=00"), &[], b""), Err(Reason::MultipleCredentials));
    policy.places = vec![Locator::Json(Pointer::parse("/a/s").unwrap())];
    assert_eq!(evaluate(&policy, &[], json.as_bytes()), Ok(0));
    assert_eq!(evaluate(&policy, &[], br#"{"a":{"s":5}}"#), Err(Reason::MissingCredential));
    policy.places = vec![Locator::Form("s".into())];
    assert_eq!(evaluate(&policy, &[form], format!("s={good}").as_bytes()), Ok(0));
    assert_eq!(evaluate(&policy, &[form], doubled.as_bytes()), Err(Reason::MultipleCredentials));
    assert_eq!(evaluate(&policy, &[], format!("s={good}").as_bytes()), Err(Reason::MissingCredential));
    // Of several headers, each one present is tried.
    policy.places = ["x-one", "x-two"].map(|name| Locator::header_named(HeaderName::from_static(name))).to_vec();
    assert_eq!(evaluate(&policy, &[("x-one", "00"), ("x-two", &good)], b""), Ok(0));
    assert_eq!(evaluate(&policy, &[("x-one", "00")], b""), BAD);
}

#[test]
fn required_components_are_present() {
    let mut policy = policy(&["body"]);
    let body = br#"{"type":"a"}"#;
    let good = mac(body);
    let evaluate = |policy: &SignaturePolicy, more: &[(&str, &str)], body: &[u8]| {
        let good = mac(body);
        evaluate(policy, &[&[("x-sig", good.as_str())], more].concat(), body)
    };
    policy.required_headers = vec![(HeaderName::from_static("x-version"), "2".into())];
    assert_eq!(evaluate(&policy, &[("x-version", "2")], body), Ok(0));
    let unmet = Err(Reason::RequirementNotMet);
    for other in [&[][..], &[("x-version", "1")], &[("x-version", "2 ,1")]] {
        assert_eq!(evaluate(&policy, other, body), unmet);
    }
    assert_eq!(evaluate(&policy, &[("x-version", "2"), ("x-version", "1")], body), Err(Reason::MultipleCredentials));
    policy.required_headers.clear();
    let test = ClaimTest::Equals(json!("a"));
    policy.required_json = Some(vec![ClaimRule { pointer: Pointer::parse("/type").unwrap(), test }]);
    assert_eq!(evaluate(&policy, &[], body), Ok(0));
    for other in [&b"{}"[..], br#"{"type":"b"}"#] {
        assert_eq!(evaluate(&policy, &[], other), unmet);
    }
    let present = ClaimRule { pointer: Pointer::parse("/id").unwrap(), test: ClaimTest::Exists(true) };
    policy.required_json.as_mut().unwrap().push(present);
    assert_eq!((evaluate(&policy, &[], body), evaluate(&policy, &[], br#"{"id":1}"#)), (unmet, unmet));
    assert_eq!(evaluate(&policy, &[], br#"{"type":"a","id":1}"#), Ok(0));
    for other in [&br#"{"type":"a","type":"a"}"#[..], b"[]", b"a", b""] {
        assert_eq!(evaluate(&policy, &[], other), Err(Reason::MalformedBody));
    }
    policy.required_json = None;
    (policy.parse, policy.required_parts) = (pairs("v1"), vec![("v".into(), "2".into())]);
    let evaluate = |value: String| super::tests::evaluate(&policy, &[("x-sig", &value)], body);
    assert_eq!(evaluate(format!("v=2,v1={good}")), Ok(0));
    for value in [format!("v=1,v1={good}"), format!("v1={good}"), format!("v=2,v=2,v1={good}")] {
        assert_eq!(evaluate(value.clone()), unmet, "{value}");
    }
    for value in ["v=2", "v=2,v1=00"] {
        assert_eq!(evaluate(value.to_owned()), BAD, "{value}");
    }
}

#[test]
fn any_of_several_secrets_may_have_signed_and_is_named() {
    let mut policy = policy(&["body"]);
    policy.secrets = vec![secret(3, None, b"the next"), secret(4, None, SECRET)].into();
    assert_eq!(evaluate(&policy, &[("x-sig", &mac("body"))], b"body"), Ok(4));
    assert_eq!(evaluate(&policy, &[("x-sig", &mac_by(b"the next", "body"))], b"body"), Ok(3));
    assert_eq!(evaluate(&policy, &[("x-sig", &mac_by(b"the last", "body"))], b"body"), BAD);
    policy.secrets.clear();
    assert_eq!(evaluate(&policy, &[("x-sig", &mac("body"))], b"body"), BAD);
}

/// A tenant's secret is valid only with the tenant's own key id.
#[test]
fn a_named_secret_serves_its_name_alone() {
    let mut policy = policy(&["body"]);
    policy.parse = pairs("v1");
    policy.key_id = Component::parse("part:key");
    policy.secrets = vec![secret(0, Some("a"), b"secret a"), secret(1, Some("b"), b"secret b")].into();
    let evaluate = |key: &str, secret: &[u8]| {
        let value = format!("{key}v1={}", mac_by(secret, "body"));
        super::tests::evaluate(&policy, &[("x-sig", &value)], b"body")
    };
    assert_eq!((evaluate("key=a,", b"secret a"), evaluate("key=b,", b"secret b")), (Ok(0), Ok(1)));
    for key in ["key=a,", "key=c,", "key=,", "", "key=B,", "key=b,key=b,"] {
        assert_eq!(evaluate(key, b"secret b"), BAD, "{key}");
    }
    policy.key_id = Component::parse("header:x-key");
    let value = format!("v1={}", mac_by(b"secret b", "body"));
    let evaluate = |keys: &[(&str, &str)]| {
        super::tests::evaluate(&policy, &[&[("x-sig", value.as_str())], keys].concat(), b"body")
    };
    assert_eq!((evaluate(&[("x-key", "b")]), evaluate(&[])), (Ok(1), BAD));
    assert_eq!(evaluate(&[("x-key", "b"), ("x-key", "b")]), Err(Reason::MultipleCredentials));
}

/// Every check that does not need the body runs before the body is read.
#[test]
fn the_headers_are_verified_without_the_body() {
    let policy = policy(&["body"]);
    let evaluate = |fields: &[(&str, &str)]| {
        let head = head("/a", fields);
        let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
        policy.verify(&view, now(), &mut Explanation::off()).unwrap_err()
    };
    let good = mac("body");
    assert_eq!(evaluate(&[("x-sig", &good)]), VerifyError::NeedsBody);
    assert_eq!(evaluate(&[]), Reason::MissingCredential.into());
    assert_eq!(evaluate(&[("x-sig", &good), ("x-sig", &good)]), Reason::MultipleCredentials.into());
}

#[test]
fn explanations_never_contain_the_secret() {
    let mut policy = policy(&["secret", "body"]);
    policy.algorithm = SignatureAlgorithm::Sha256;
    let (head, mut explanation) = (head("/a", &[("x-sig", &"00".repeat(32))]), Explanation::on());
    let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(b"body");
    assert!(policy.verify(&view, now(), &mut explanation).is_err());
    let told: String = explanation.into_vec().into_iter().map(|note| note.found).collect();
    assert!(told.contains("<secret>.body") && !told.contains("the secret of"), "{told}");
    assert!(!format!("{policy:?}").contains("the secret of"));
}

/// As text, the end of the secret and the byte after it are one letter, and the secret would not be found.
#[test]
fn explanations_contain_no_part_of_a_binary_secret() {
    let bytes = b"\x80KEY\xc3";
    let secret = Secret::new(0, SecretKey::from_secret(bytes.to_vec().into()).unwrap());
    let text = [&bytes[..], b"\xa9.body ", bytes].map(Cow::Borrowed);
    assert_eq!(shown(&text, &secret), "<secret>\u{fffd}.body <secret>");
}
