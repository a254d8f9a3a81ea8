//! Parsing, coverage, canonical form and keys of HTTP Message Signatures. The messages of the RFC itself are in
//! tests/message_signatures.rs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http::request::Parts;
use serde_json::Value;

use super::*;
use crate::auth::issuer::IssuerClaim;
use crate::auth::keys::{JwksAccess, KeySet, RemoteKeys, RemoteSource};
use crate::auth::request::{PublicUrl, UrlBase};
use crate::auth::testing::{ED25519, NOW, P256, fixed, key_set, now, with};

mod components;
mod replay;

const BODY: &[u8] = b"{}";

fn issuer(keys: Keys) -> Issuer {
    let algorithms = vec![Algorithm::EdDSA, Algorithm::ES256, Algorithm::PS512];
    Issuer { name: "acme".into(), preset: false, iss: IssuerClaim::Any, algorithms, keys, token_cache: Arc::default() }
}

/// The keys `ed` and `p256` of one issuer.
fn keys() -> Keys {
    let named = |signer: &crate::auth::testing::Signer, kid: &str| with(signer.jwk(), &serde_json::json!({"kid": kid}));
    fixed(key_set(&[named(&ED25519, "ed"), named(&P256, "p256")], &[Algorithm::EdDSA, Algorithm::ES256]))
}

fn policy() -> MessageSignaturePolicy {
    MessageSignaturePolicy {
        name: "http_message_signature".into(),
        places: MessageSignaturePolicy::headers_of_signatures(),
        issuer: issuer(keys()),
        label: None,
        tag: None,
        required: ["@method", "@target-uri"].iter().map(|text| ComponentIdentifier::parse(text).unwrap()).collect(),
        requires_digest: true,
        required_parameters: vec![SignatureParameter::Created],
        max_age: Duration::from_secs(300),
        leeway: Duration::from_secs(30),
        replay_id: None,
    }
}

fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
    let request = fields.iter().fold(Request::post(target), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

/// The headers of a request to /a?b=c, signed with Ed25519 over these components and parameters under each label.
fn signed(inputs: &[(&str, &str)], fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let digest = content_digest::written(BODY);
    let mut fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.push(("content-digest".to_owned(), digest));
    let inputs: Vec<String> = inputs.iter().map(|(label, input)| format!("{label}={input}")).collect();
    fields.push(("signature-input".to_owned(), inputs.join(", ")));
    let borrowed: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let head = head("/a?b=c", &borrowed);
    let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
    let signatures = inputs.iter().map(|input| {
        let label = input.split('=').next().unwrap();
        // A base that cannot be built has no valid signature.
        let base = base_to_sign(&view, label).unwrap_or_default();
        let signer = if input.contains("p256") { &P256 } else { &ED25519 };
        let algorithm = if input.contains("p256") { Algorithm::ES256 } else { Algorithm::EdDSA };
        format!("{label}=:{}:", STANDARD.encode(signer.sign(algorithm, base.as_bytes())))
    });
    let signatures = signatures.collect::<Vec<_>>().join(", ");
    fields.push(("signature".to_owned(), signatures));
    fields
}

fn verified(
    policy: &MessageSignaturePolicy,
    fields: &[(String, String)],
    body: Option<&[u8]>,
) -> Result<Grant, VerifyError> {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let head = head("/a?b=c", &fields);
    let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
    let view = match body {
        Some(body) => view.with_body(body),
        None => view,
    };
    policy.verify(&view, now(), &mut Explanation::off())
}

/// The reason of the rejection of a request with one signature, whose components and parameters are `input`.
fn evaluate(policy: &MessageSignaturePolicy, input: &str) -> Result<(), Reason> {
    let fields = signed(&[("sig1", input)], &[("x-id", "7")]);
    verified(policy, &fields, Some(BODY)).map(|_| ()).map_err(|error| error.reason().unwrap())
}

/// All that is required, created now, with further parameters.
fn usual(parameters: &str) -> String {
    format!("(\"@method\" \"@target-uri\" \"content-digest\");created={NOW}{parameters}")
}

#[test]
fn the_key_id_selects_the_key_and_the_key_its_algorithm() {
    let evaluate = |parameters: &str| evaluate(&policy(), &usual(parameters));
    assert_eq!(evaluate(";keyid=\"ed\""), Ok(()));
    assert_eq!(evaluate(";keyid=\"p256\""), Ok(()));
    assert_eq!(evaluate(";keyid=\"ed\";alg=\"ed25519\""), Ok(()));
    assert_eq!(evaluate(";keyid=\"p256\";alg=\"ecdsa-p256-sha256\""), Ok(()));
    // RFC 9421 §7.3.6: the message alone never chooses the algorithm.
    for other in ["ecdsa-p256-sha256", "hmac-sha256", "rsa-pss-sha512", "EdDSA", "Ed25519", "none", ""] {
        assert_eq!(evaluate(&format!(";keyid=\"ed\";alg=\"{other}\"")), Err(Reason::UnsupportedAlgorithm), "{other}");
    }
    assert_eq!(evaluate(";keyid=\"other\""), Err(Reason::UnknownKey));
    // Two keys, and nothing that selects one of them.
    assert_eq!(evaluate(""), Err(Reason::UnknownKey));
    assert_eq!(evaluate(";alg=\"ed25519\""), Ok(()));
}

#[test]
fn registered_names_are_those_of_the_registry() {
    let names: Vec<_> = Algorithm::ALL.iter().filter_map(|algorithm| registered_name(*algorithm)).collect();
    let registry =
        ["hmac-sha256", "rsa-v1_5-sha256", "rsa-pss-sha512", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"];
    assert_eq!(names, registry);
}

#[test]
fn unknown_keys_of_a_fetched_set_can_be_fetched() {
    let source = RemoteSource {
        issuer: "acme".into(),
        url: "https://a.test/".into(),
        discovery: None,
        access: JwksAccess::default(),
        ca: None,
        pins: Vec::new(),
        cache: None,
        algorithms: vec![Algorithm::EdDSA],
        refresh: Duration::from_secs(1),
        max_stale: Duration::from_secs(1),
        cooldown: Duration::from_secs(1),
    };
    let remote = Arc::new(RemoteKeys::new(source));
    let policy = MessageSignaturePolicy { issuer: issuer(Keys::Remote(Arc::clone(&remote))), ..policy() };
    let fields = signed(&[("sig1", &usual(";keyid=\"ed\""))], &[]);
    let rejection = |reason| match verified(&policy, &fields, Some(BODY)) {
        Err(VerifyError::Rejected(rejection)) => rejection.reason == reason && rejection.remote.is_some(),
        _ => false,
    };
    assert!(rejection(Reason::JwksUnavailable));
    remote.replace(KeySet::default(), now());
    assert!(rejection(Reason::UnknownKey));
}

/// An attacker can change the rest of the request.
#[test]
fn a_signature_covers_at_least_what_the_route_requires() {
    let evaluate = |components: &str| evaluate(&policy(), &format!("({components});created={NOW};keyid=\"ed\""));
    for enough in [
        r#""@method" "@target-uri" "content-digest""#,
        r#""content-digest" "@authority" "@path" "@query" "@method""#,
        r#""@method" "@authority" "@request-target" "content-digest" "x-id""#,
        r#""@method" "@target-uri" "content-digest";sf"#,
        r#""@method" "@target-uri" "content-digest";bs"#,
    ] {
        assert_eq!(evaluate(enough), Ok(()), "{enough}");
    }
    for too_little in [
        "",
        r#""@target-uri" "content-digest""#,
        r#""@method" "content-digest""#,
        r#""@method" "@authority" "content-digest""#,
        r#""@method" "@authority" "@path" "content-digest""#,
        r#""@method" "@path" "@query" "content-digest""#,
        r#""@method" "@request-target" "content-digest""#,
        r#""@method" "@scheme" "@path" "@query" "content-digest""#,
        r#""@method" "@authority" "@path" "@query-param";name="b" "content-digest""#,
        r#""@method" "@target-uri""#,
        // One member of the digests leaves the others open.
        r#""@method" "@target-uri" "content-digest";key="sha-256""#,
    ] {
        assert_eq!(evaluate(too_little), Err(Reason::MissingSignedComponent), "{too_little}");
    }
}

#[test]
fn times_bound_a_signature_on_both_sides() {
    let at = |created: i64, more: &str| {
        let created = NOW as i64 + created;
        evaluate(
            &policy(),
            &format!("(\"@method\" \"@target-uri\" \"content-digest\");created={created}{more};keyid=\"ed\""),
        )
    };
    assert_eq!((at(0, ""), at(30, ""), at(-330, "")), (Ok(()), Ok(()), Ok(())));
    assert_eq!((at(31, ""), at(-331, "")), (Err(Reason::TimestampInFuture), Err(Reason::TimestampTooOld)));
    let expires = |offset: i64| format!(";expires={}", NOW as i64 + offset);
    assert_eq!((at(-60, &expires(60)), at(-60, &expires(-30))), (Ok(()), Ok(())));
    assert_eq!(at(-60, &expires(-31)), Err(Reason::TimestampTooOld));
    // It was never valid, at any leeway.
    assert_eq!(at(0, &expires(-1)), Err(Reason::TimestampTooOld));
    assert_eq!(at(-400, &expires(600)), Err(Reason::TimestampTooOld));
    // Without `created`, the end may not be further away than a new signature's.
    let by_end = MessageSignaturePolicy { required_parameters: vec![SignatureParameter::Expires], ..policy() };
    let until = |offset: i64| {
        let covered = "(\"@method\" \"@target-uri\" \"content-digest\")";
        evaluate(&by_end, &format!("{covered}{};keyid=\"ed\"", expires(offset)))
    };
    assert_eq!((until(300), until(301)), (Ok(()), Err(Reason::TimestampInFuture)));
    assert_eq!((until(-30), until(-31)), (Ok(()), Err(Reason::TimestampTooOld)));
}

#[test]
fn parameters_have_their_types_and_the_required_ones_are_there() {
    let policy = MessageSignaturePolicy {
        required_parameters: vec![SignatureParameter::Created, SignatureParameter::Nonce, SignatureParameter::Keyid],
        ..policy()
    };
    let covered = r#"("@method" "@target-uri" "content-digest")"#;
    let evaluate = |parameters: &str| evaluate(&policy, &format!("{covered}{parameters}"));
    assert_eq!(evaluate(&format!(";created={NOW};nonce=\"n\";keyid=\"ed\"")), Ok(()));
    assert_eq!(evaluate(";nonce=\"n\";keyid=\"ed\""), Err(Reason::MissingTimestamp));
    assert_eq!(evaluate(&format!(";created={NOW};keyid=\"ed\"")), Err(Reason::RequirementNotMet));
    assert_eq!(evaluate(&format!(";created={NOW};nonce=\"n\"")), Err(Reason::RequirementNotMet));
    for time in [format!("\"{NOW}\""), format!("{NOW}.0"), "-1".to_owned(), format!("@{NOW}"), format!("{NOW}000")] {
        let parameters = format!(";created={time};nonce=\"n\";keyid=\"ed\"");
        assert_eq!(evaluate(&parameters), Err(Reason::MalformedTimestamp), "{time}");
    }
    let usual = format!(";created={NOW};nonce=\"n\";keyid=\"ed\"");
    for (text, other) in [("nonce=\"n\"", "nonce=n"), ("nonce=\"n\"", "nonce"), ("keyid=\"ed\"", "keyid=:AAAA:")] {
        assert_eq!(evaluate(&usual.replace(text, other)), Err(Reason::MalformedCredential), "{other}");
    }
    for other in [";alg=1", ";tag=?1", ";tag=hooks"] {
        assert_eq!(evaluate(&format!("{usual}{other}")), Err(Reason::MalformedCredential), "{other}");
    }
}

/// A forged request is rejected before its body is read, and a genuine one is read only then.
#[test]
fn the_body_is_read_after_the_signature_was_verified() {
    let fields = signed(&[("sig1", &usual(";keyid=\"ed\""))], &[]);
    assert_eq!(verified(&policy(), &fields, None).err(), Some(VerifyError::NeedsBody));
    let mut forged = fields.clone();
    forged.last_mut().unwrap().1 = format!("sig1=:{}:", STANDARD.encode([7; 64]));
    assert_eq!(verified(&policy(), &forged, None).err(), Some(Reason::InvalidSignature.into()));
    assert!(verified(&policy(), &fields, Some(BODY)).is_ok());
    let Err(VerifyError::Rejected(rejection)) = verified(&policy(), &fields, Some(b"{ }")) else { panic!("granted") };
    assert_eq!((rejection.reason, rejection.proven), (Reason::BodyMismatch, true));
}

#[test]
fn a_request_without_a_body_needs_no_digest() {
    let uncovered = format!("(\"@method\" \"@target-uri\");created={NOW};keyid=\"ed\"");
    let fields = signed(&[("sig1", &uncovered)], &[]);
    let reason = |body: Option<&[u8]>| verified(&policy(), &fields, body).err();
    assert_eq!(reason(Some(b"")), None);
    assert_eq!(reason(None), Some(VerifyError::NeedsBody));
    assert_eq!(reason(Some(b" ")), Some(Reason::MissingSignedComponent.into()));
    // A digest that is covered counts for an empty body too.
    let fields = signed(&[("sig1", &usual(";keyid=\"ed\""))], &[]);
    assert_eq!(verified(&policy(), &fields, Some(b"")).err(), Some(Reason::BodyMismatch.into()));
}

#[test]
fn label_and_tag_choose_among_several_signatures() {
    let (good, tagged) = (usual(";keyid=\"ed\""), usual(";keyid=\"ed\";tag=\"hooks\""));
    let other = usual(";keyid=\"of-a-proxy\";tag=\"proxy\"");
    let evaluate = |policy: &MessageSignaturePolicy, inputs: &[(&str, &str)]| {
        verified(policy, &signed(inputs, &[]), Some(BODY)).map(|_| ()).map_err(|error| error.reason().unwrap())
    };
    let by_tag = MessageSignaturePolicy { tag: Some("hooks".to_owned()), ..policy() };
    let by_label = MessageSignaturePolicy { label: Some("sig1".to_owned()), ..policy() };
    assert_eq!(evaluate(&policy(), &[("a", &other), ("b", &good)]), Ok(()));
    assert_eq!(evaluate(&by_tag, &[("a", &other), ("b", &tagged)]), Ok(()));
    assert_eq!(evaluate(&by_tag, &[("a", &other), ("b", &good)]), Err(Reason::MissingCredential));
    assert_eq!(evaluate(&by_label, &[("sig1", &good), ("a", &other)]), Ok(()));
    assert_eq!(evaluate(&by_label, &[("a", &good)]), Err(Reason::MissingCredential));
    // Each costs a verification.
    let many = |count| (0..count).map(|number| format!("s{number}")).collect::<Vec<_>>();
    let inputs = |labels: &[String]| -> Vec<(String, String)> {
        labels.iter().map(|label| (label.clone(), other.clone())).chain([("sig1".to_owned(), good.clone())]).collect()
    };
    for (count, expected) in [(2, Ok(())), (3, Err(Reason::MultipleCredentials)), (8, Err(Reason::MalformedCredential))]
    {
        let inputs = inputs(&many(count));
        let inputs: Vec<(&str, &str)> = inputs.iter().map(|(label, input)| (&**label, &**input)).collect();
        assert_eq!(evaluate(&policy(), &inputs), expected, "{count}");
    }
    let inputs = inputs(&many(7));
    let inputs: Vec<(&str, &str)> = inputs.iter().map(|(label, input)| (&**label, &**input)).collect();
    assert_eq!(evaluate(&by_label, &inputs), Ok(()));
}

#[test]
fn headers_that_are_no_signatures_are_rejected() {
    let input = usual(";keyid=\"ed\"");
    let evaluate = |fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        verified(&policy(), &fields, Some(BODY)).map(|_| ()).map_err(|error| error.reason().unwrap())
    };
    // Another scheme may have its own header of this name.
    assert_eq!(evaluate(&[("signature", "sig1=:AAAA:")]), Err(Reason::MissingCredential));
    assert_eq!(evaluate(&[]), Err(Reason::MissingCredential));
    assert_eq!(evaluate(&[("signature-input", ""), ("signature", "")]), Err(Reason::MissingCredential));
    let sig1 = format!("sig1={input}");
    let twice = format!("{sig1}, {sig1}");
    // A parser that takes the first of two parameters would read another time, key or component.
    let doubled = [";created=1", ";keyid=\"ed\"", ";x;x"].map(|parameters| format!("{sig1}{parameters}"));
    let component = sig1.replacen("\"content-digest\"", "\"content-digest\";sf;sf", 1);
    for (inputs, signature) in [
        ("sig1", "sig1=:AAAA:"),
        ("sig1=1", "sig1=:AAAA:"),
        ("sig1=(a b);created=1", "sig1=:AAAA:"),
        ("sig1=(", "sig1=:AAAA:"),
        ("Sig1=()", "Sig1=:AAAA:"),
        (&*twice, "sig1=:AAAA:"),
        (&*doubled[0], "sig1=:AAAA:"),
        (&*doubled[1], "sig1=:AAAA:"),
        (&*doubled[2], "sig1=:AAAA:"),
        (&*component, "sig1=:AAAA:"),
        (&*sig1, ""),
        (&*sig1, "sig2=:AAAA:"),
        (&*sig1, "sig1=\"AAAA\""),
        (&*sig1, "sig1=(:AAAA:)"),
        (&*sig1, "sig1=:AAAA:;a;a"),
        (&*sig1, "sig1=:AAAA:, sig1=:AAAA:"),
        (&*sig1, "keyId=\"rsa\",algorithm=\"rsa-sha256\",signature=\"AAAA\""),
    ] {
        let fields = [("signature-input", inputs), ("signature", signature)];
        assert_eq!(evaluate(&fields), Err(Reason::MalformedCredential), "{inputs} {signature}");
    }
}

/// RFC 9421 B.2.1: the signature is valid, although a route that requires nothing cannot be configured.
#[test]
fn the_minimal_signature_of_the_rfc_is_valid() {
    let file: Value = serde_json::from_str(include_str!("../../../tests/vectors/rfc9421.json")).unwrap();
    let vector =
        file["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == "b21-covers-nothing").unwrap();
    let algorithms = [Algorithm::PS512, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let keys = key_set(file["keys"].as_array().unwrap(), &algorithms);
    let policy = MessageSignaturePolicy {
        issuer: issuer(fixed(keys)),
        required: Vec::new(),
        requires_digest: false,
        ..policy()
    };
    let headers = vector["request"]["headers"].as_array().unwrap().iter();
    let headers: Vec<_> = headers.map(|line| (line[0].as_str().unwrap(), line[1].as_str().unwrap())).collect();
    let head = head("/foo?param=Value&Pet=dog", &headers);
    let at = UnixTime::from_seconds(vector["now"].as_u64().unwrap()).unwrap();
    let mut explanation = Explanation::on();
    policy.verify(&RequestView::new(&head, UrlBase::Host("example.com")), at, &mut explanation).unwrap();
    let base = vector["base"].as_str().unwrap();
    assert!(explanation.into_vec().iter().any(|note| note.check == "signature base" && note.found == base));
}
