//! Certificates that requests name, and the members that Amazon SNS signs.

use super::*;
use crate::auth::keys::Algorithm;
use crate::auth::rejection::{MissingKey, Rejection};
use crate::auth::signing_certificate::{CertificateSource, SigningCertificates};
use crate::auth::time::TimestampUnit;

const URL: &str = "https://keys.test/1.pem";

/// A policy for RSA-SHA256 over `json.lines:Message,Id,Subject?`, with a time in the body.
fn named() -> SignaturePolicy {
    let source = CertificateSource {
        name: "signature".into(),
        hosts: vec!["keys.test".into()],
        path: "/[0-9]\\.pem".into(),
        subjects: vec!["signer.test".into()],
        roots: Vec::new(),
        algorithm: SignatureAlgorithm::RsaSha256,
        ca: None,
        proxy: None,
    };
    let max_age = Duration::from_secs(300);
    let source_of_time = Component::parse("json:/Time").unwrap();
    SignaturePolicy {
        algorithm: SignatureAlgorithm::RsaSha256,
        encoding: Encoding::Base64,
        time: Some(SignedTime { source: source_of_time, unit: TimestampUnit::Seconds, max_age, max_future: max_age }),
        secrets: Vec::new().into(),
        certificate: Some(NamedCertificate {
            url: Locator::parse("json", "/Url").unwrap(),
            certificates: Arc::new(SigningCertificates::new(source).unwrap()),
        }),
        ..policy(&["json.lines:Message,Time,Subject?"])
    }
}

fn body(url: &str, age: u64) -> serde_json::Value {
    json!({"Message": "a\nb", "Time": (NOW - age).to_string(), "Url": url})
}

fn decided(policy: &SignaturePolicy, body: &serde_json::Value, signature: &str) -> Result<Grant, Rejection> {
    let head = head("/a", &[("x-sig", signature)]);
    let body = body.to_string();
    let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(body.as_bytes());
    policy.verify(&view, now(), &mut Explanation::off()).map_err(|error| match error {
        VerifyError::Rejected(rejection) => rejection,
        VerifyError::NeedsBody => panic!("the body was given"),
    })
}

fn signature(text: &str) -> String {
    STANDARD.encode(RSA.sign(Algorithm::RS256, text.as_bytes()))
}

/// The certificate with the key of `RSA`.
fn certificate() -> String {
    let key = rcgen::KeyPair::from_pem(&pem("PRIVATE KEY", &RSA.pkcs8())).unwrap();
    rcgen::CertificateParams::new(vec!["signer.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
}

#[test]
fn a_request_that_names_an_unknown_certificate_asks_for_it() {
    let policy = named();
    let genuine = signature(&format!("Message\na\nb\nTime\n{}\n", NOW - 5));
    let rejection = decided(&policy, &body(URL, 5), &genuine).unwrap_err();
    assert_eq!((rejection.reason, rejection.proven), (Reason::SigningCertificateUnavailable, false));
    let Some(MissingKey::OfCertificate(certificates, url)) = rejection.remote.as_deref() else {
        panic!("{rejection:?}")
    };
    assert_eq!(url, URL);
    certificates.add(url, certificate().as_bytes(), now()).unwrap();
    let grant = decided(&policy, &body(URL, 5), &genuine).unwrap();
    assert!(grant.secrets().is_empty() && grant.key.is_some());
    assert_eq!(decided(&policy, &body(URL, 6), &genuine).unwrap_err().reason, Reason::InvalidSignature);
}

/// A client who knows no topic, or replays an old request, causes no fetch.
#[test]
fn what_needs_no_signature_is_checked_before_a_certificate_is_fetched() {
    let genuine = signature("any");
    let policy = named();
    for (body, signature, expected) in [
        (body(URL, 301), genuine.as_str(), Reason::TimestampTooOld),
        (json!({"Message": "a", "Url": URL}), &genuine, Reason::MissingTimestamp),
        (body(URL, 5), "AAAA", Reason::InvalidSignature),
        (body("https://evil.test/1.pem", 5), &genuine, Reason::SigningCertificateNotAllowed),
        (body("https://keys.test/1.pem?a", 5), &genuine, Reason::SigningCertificateNotAllowed),
        (json!({"Message": "a", "Time": NOW.to_string()}), &genuine, Reason::SigningCertificateNotAllowed),
        (json!({"Message": "a", "Time": NOW.to_string(), "Url": 7}), &genuine, Reason::SigningCertificateNotAllowed),
    ] {
        let rejection = decided(&policy, &body, signature).unwrap_err();
        assert_eq!((rejection.reason, rejection.remote.is_none()), (expected, true), "{body}");
    }
    let required = SignaturePolicy {
        required_json: Some(vec![ClaimRule {
            pointer: Pointer::parse("/Topic").unwrap(),
            test: ClaimTest::Equals("ours".into()),
        }]),
        ..policy
    };
    let rejection = decided(&required, &body(URL, 5), &genuine).unwrap_err();
    assert_eq!((rejection.reason, rejection.remote.is_none()), (Reason::RequirementNotMet, true));
}

#[test]
fn members_are_signed_line_by_line() {
    let text = |names: &str, body: &[u8]| {
        let text = format!("json.lines:{names}");
        let component = Component::parse(&text).unwrap();
        let head = head("/a", &[]);
        let view = RequestView::new(&head, UrlBase::Host("hooks.test")).with_body(body);
        component.text(&view, &Value::of_parts(&[])).map(Cow::into_owned).map_err(|error| error.reason().unwrap())
    };
    let body = br#"{"b": "2", "a": "1\n\"x\"", "n": null, "i": 7, "e": "", "o": {}, "l": "1\n2", "r": "1\r2"}"#;
    assert_eq!(text("a,b", body).as_deref(), Ok("a\n1\n\"x\"\nb\n2\n"));
    assert_eq!(text("b,absent?,n?,e", body).as_deref(), Ok("b\n2\ne\n\n"));
    // Otherwise the text of one member could be read as other members.
    for (names, reason) in [
        ("b,a", Reason::InvalidSignature),
        ("b,l?", Reason::InvalidSignature),
        ("b,r", Reason::InvalidSignature),
        ("a,absent", Reason::MissingSignedComponent),
        ("a,n", Reason::InvalidSignature),
        ("a,i", Reason::InvalidSignature),
        ("a,o?", Reason::InvalidSignature),
    ] {
        assert_eq!(text(names, body), Err(reason), "{names}");
    }
    assert_eq!(text("a", b"[]"), Err(Reason::MalformedBody));
    assert_eq!(text("a", br#"{"a": "1", "a": "1"}"#), Err(Reason::MalformedBody));
    for bad in ["", "a,", "?", "a b", "a/b", "a,,b", "a??"] {
        assert_eq!(Component::parse(&format!("json.lines:{bad}")), None, "{bad}");
    }
    let signed = [Component::parse("json.lines:Message,Id,Subject?").unwrap()];
    for (component, expected) in
        [("json:/Id", true), ("json:/Subject", true), ("json:/Other", false), ("json:/Id/a", false)]
    {
        assert_eq!(Component::parse(component).unwrap().is_covered_by(&signed), expected, "{component}");
    }
}
