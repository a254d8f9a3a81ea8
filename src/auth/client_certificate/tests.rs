use rcgen::SanType;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use serde_json::json;

use super::testing::{NOW, TestAuthority, dns, leaf, leaf_of_bytes, uri};
use super::*;
use crate::auth::certificate_rule::{CertificateRule, FingerprintError, parse_fingerprint};
use crate::auth::explanation::Explanation;
use crate::auth::jwt::binding::Bindings;
use crate::auth::request::{PresentedCertificate, RequestView, UrlBase};
use crate::reason::Reason;

const DNS: u8 = 2;
const URI: u8 = 6;

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

fn texts(certificate: &ClientCertificate) -> Vec<&str> {
    certificate.names().iter().map(San::as_str).collect()
}

fn admits(names: &[&str], certificate: &ClientCertificate) -> bool {
    let sans = names.iter().map(|name| San::parse(name).unwrap()).collect();
    CertificateRule { sans, sha256: Vec::new() }.admits(certificate)
}

fn trust(authority: &TestAuthority) -> ClientTrust {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientTrust::new(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
}

#[test]
fn names_have_one_spelling() {
    let client = TestAuthority::new("a").client(&leaf(vec![
        dns("Sender.Example.COM"),
        uri("https://Sender.example/X"),
        SanType::Rfc822Name("Hooks@sender.example".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
        SanType::IpAddress("2001:DB8::1".parse().unwrap()),
    ]));
    let names = [
        "dns:sender.example.com",
        "uri:https://Sender.example/X",
        "email:Hooks@sender.example",
        "ip:192.0.2.1",
        "ip:2001:db8::1",
    ];
    assert_eq!(texts(&client), names);
    assert_eq!(client.spiffe_id(), None);
    for name in ["dns:SENDER.example.com", "ip:2001:db8:0::1", names[1], names[2], names[3]] {
        assert!(admits(&[name], &client), "{name}");
    }
    for other in ["dns:example.com", "uri:https://sender.example/X", "email:hooks@sender.example", "ip:192.0.2.2"] {
        assert!(!admits(&[other], &client), "{other}");
    }
}

/// A wildcard in a certificate stands for server names, and for no client.
#[test]
fn a_star_in_a_certificate_covers_nothing() {
    let client = TestAuthority::new("a").client(&leaf(vec![dns("*.example.com")]));
    assert!(!admits(&["dns:a.example.com"], &client));
}

#[test]
fn a_name_with_a_nul_or_beyond_ascii_is_not_usable() {
    let bytes: [&[u8]; 5] = [b"good.test\0.evil.test", b"good.test\0", "gööd.test".as_bytes(), b"good.test\xff", b""];
    for name in bytes {
        for tag in [DNS, URI, 1] {
            let client = TestAuthority::new("a").client(&leaf_of_bytes(&[(tag, name)]));
            assert!(texts(&client).is_empty(), "{name:?}");
            assert!(!admits(&["dns:good.test"], &client));
        }
    }
    let client =
        TestAuthority::new("a").client(&leaf_of_bytes(&[(DNS, b"bad\0"), (DNS, b"good.test"), (7, &[1, 2, 3])]));
    assert_eq!(texts(&client), ["dns:good.test"]);
}

#[test]
fn a_spiffe_id_is_the_only_uri() {
    let authority = TestAuthority::new("a");
    let id = "spiffe://example.com/Sender";
    let client = authority.client(&leaf(vec![dns("sender.test"), uri(id)]));
    assert_eq!(client.spiffe_id().map(San::as_str), Some(id));
    assert!(admits(&[id], &client) && !admits(&["spiffe://example.com/sender"], &client));
    let unreadable = authority.client(&leaf_of_bytes(&[(DNS, b"\xff"), (URI, id.as_bytes())]));
    assert_eq!(unreadable.spiffe_id().map(San::as_str), Some(id), "a name of another kind is no second URI");
    let two = authority.client(&leaf(vec![uri(id), uri("spiffe://example.com/other")]));
    let broken: [&[u8]; 3] = [b"", b"\xff", b"x:\0"];
    let broken = broken.map(|other| authority.client(&leaf_of_bytes(&[(URI, id.as_bytes()), (URI, other)])));
    for client in [&two].into_iter().chain(&broken) {
        assert_eq!(client.spiffe_id(), None);
        assert!(!admits(&[id], client));
    }
}

#[test]
fn other_uris_are_no_spiffe_ids() {
    let long = format!("spiffe://example.com/{}", "a".repeat(2028));
    let id = |text: &str| TestAuthority::new("a").client(&leaf(vec![uri(text)])).spiffe_id().is_some();
    assert!(id(&long[..2048]) && id("spiffe://a/b") && id("spiffe://a_b-1.c/B/c.-_"));
    let wrong = [
        &long,
        "SPIFFE://a/b",
        "spiffe:a/b",
        "spiffe://a",
        "spiffe:///b",
        "spiffe://a/",
        "spiffe://a/b/",
        "spiffe://a//b",
        "spiffe://A/b",
        "spiffe://a:1/b",
        "spiffe://u@a/b",
        "spiffe://a/b?c",
        "spiffe://a/b#c",
        "spiffe://a/%62",
        "spiffe://a/./b",
        "spiffe://a/..",
        "https://a/b",
    ];
    for text in wrong {
        assert!(!id(text), "{text}");
    }
}

#[test]
fn errors_of_configured_names_are_specific() {
    let wrong = [
        ("sender.example.com", SanError::Kind),
        ("DNS:sender.example.com", SanError::Kind),
        ("https://sender.example.com", SanError::Kind),
        ("dns:sénder.example.com", SanError::Letters),
        ("dns:a b", SanError::Letters),
        ("dns:", SanError::Letters),
        ("dns:*.example.com", SanError::Star),
        ("spiffe://example.com/*", SanError::Star),
        ("dns:example.com.", SanError::Dns),
        ("dns:example..com", SanError::Dns),
        ("dns:example.com:443", SanError::Dns),
        ("uri:sender", SanError::Uri),
        ("uri:1:x", SanError::Uri),
        ("uri:+x:y", SanError::Uri),
        ("uri:a/b:c", SanError::Uri),
        ("uri:https:", SanError::Uri),
        ("uri:Spiffe://example.com/sender", SanError::SpiffeAsUri),
        ("email:sender.example.com", SanError::Email),
        ("email:@example.com", SanError::Email),
        ("email:hooks@", SanError::Email),
        ("email:hooks@example..com", SanError::Email),
        ("ip:192.0.2.1/32", SanError::Ip),
        ("ip:192.0.2.01", SanError::Ip),
        ("spiffe:x", SanError::Spiffe),
        ("spiffe://example.com", SanError::Spiffe),
    ];
    for (text, error) in wrong {
        assert_eq!(San::parse(text), Err(error), "{text}");
    }
}

#[test]
fn configured_names_may_have_every_character_of_their_kind() {
    for text in ["dns:a-b_c.example.com", "uri:urn:example:sender", "uri:h2+x-y.z:1", "email:\"a@b\"@example.com"] {
        assert_eq!(San::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn fingerprints_are_hexadecimal_with_or_without_colons() {
    let plain = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
    let pairs: Vec<&str> = plain.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let colons = pairs.join(":");
    assert_eq!(parse_fingerprint(plain).unwrap()[..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!(parse_fingerprint(&colons), parse_fingerprint(plain));
    let wrong = [
        "",
        ":",
        &plain[2..],
        &colons[..94],
        &format!("{colons}:"),
        &plain.replace('0', "g"),
        &format!("+1{}", &plain[2..]),
    ];
    for text in wrong {
        assert_eq!(parse_fingerprint(text), Err(FingerprintError), "{text}");
    }
    assert!(parse_fingerprint(&format!("0:1{}", &colons[2..])).is_err());
}

#[test]
fn a_rule_accepts_the_names_that_it_lists() {
    let authority = TestAuthority::new("a");
    let (client, other) = (authority.client(&leaf(vec![dns("a.test")])), authority.client(&leaf(vec![dns("b.test")])));
    assert!(CertificateRule::default().admits(&client));
    let by_hash = CertificateRule { sans: Vec::new(), sha256: vec![[0; 32], *client.sha256()] };
    assert!(by_hash.admits(&client) && !by_hash.admits(&other));
    let either = CertificateRule { sans: vec![San::parse("dns:b.test").unwrap()], sha256: by_hash.sha256.clone() };
    assert!(either.admits(&client) && either.admits(&other));
    assert!(!either.admits(&authority.client(&leaf(vec![dns("c.test")]))));
    assert!(!admits(&["dns:a.test"], &authority.client(&leaf(Vec::new()))));
}

#[test]
fn a_rule_grants_only_a_certificate_that_is_listed_and_trusted_now() {
    let (authority, other) = (TestAuthority::new("a"), TestAuthority::new("a"));
    let rule = CertificateRule { sans: vec![San::parse("dns:a.test").unwrap()], sha256: Vec::new() };
    let head = http::Request::post("/").body(()).unwrap().into_parts().0;
    let verify = |certificate: Option<&ClientCertificate>, trust: Option<&ClientTrust>| {
        let client = certificate.map(|certificate| PresentedCertificate { certificate, trust });
        let view = RequestView::new(&head, UrlBase::Host("a")).with_client(client);
        rule.verify(&view, at(NOW), &mut Explanation::off()).map(|_| ()).map_err(|error| error.reason().unwrap())
    };
    let [listed, unlisted] = ["a.test", "b.test"].map(|name| authority.client(&leaf(vec![dns(name)])));
    let foreign = other.client(&leaf(vec![dns("a.test")]));
    let (trust, not_allowed) = (trust(&authority), Err(Reason::CertificateNotAllowed));
    assert_eq!(verify(Some(&listed), Some(&trust)), Ok(()));
    assert_eq!(verify(Some(&unlisted), Some(&trust)), not_allowed);
    assert_eq!(verify(Some(&foreign), Some(&trust)), not_allowed);
    assert_eq!(verify(Some(&listed), None), not_allowed, "a reload has removed `client_ca`");
    assert_eq!(verify(None, Some(&trust)), Err(Reason::MissingCredential));
}

/// RFC 8705 §3.1. A token that was stolen from its sender is of no use without the sender's private key.
#[test]
fn a_bound_token_is_valid_with_its_own_trusted_certificate_alone() {
    let authority = TestAuthority::new("a");
    let bindings = Bindings { certificate: true, ..Bindings::default() };
    let head = http::Request::post("/").body(()).unwrap().into_parts().0;
    let check = |claims: serde_json::Value, certificate: Option<&ClientCertificate>, trust: Option<&ClientTrust>| {
        let client = certificate.map(|certificate| PresentedCertificate { certificate, trust });
        let view = RequestView::new(&head, UrlBase::Host("a")).with_client(client);
        let checked = bindings.check(claims.as_object().unwrap(), &view, at(NOW), &mut Explanation::off());
        checked.map_err(|error| error.reason().unwrap())
    };
    let [own, other] = ["a.test", "a.test"].map(|name| authority.client(&leaf(vec![dns(name)])));
    let bound = || json!({"cnf": {"x5t#S256": own.thumbprint()}});
    let (trust, mismatch) = (trust(&authority), Err(Reason::CertificateMismatch));
    assert_eq!(check(bound(), Some(&own), Some(&trust)), Ok(()));
    assert_eq!(check(bound(), Some(&other), Some(&trust)), mismatch);
    assert_eq!(check(bound(), Some(&own), None), mismatch);
    assert_eq!(check(bound(), None, None), mismatch);
    for unbound in [json!({}), json!({"cnf": {}})] {
        assert_eq!(check(unbound, Some(&own), Some(&trust)), Err(Reason::MissingClaim));
    }
    assert_eq!(check(json!({"cnf": "x"}), Some(&own), Some(&trust)), Err(Reason::MalformedToken));
}

#[test]
fn the_sender_is_the_name_that_the_rule_lists_or_else_the_fingerprint() {
    let authority = TestAuthority::new("a");
    let names = || leaf(vec![dns("other.test"), dns("a.test")]);
    let (client, renewed) = (authority.client(&names()), authority.client(&names()));
    let trust = trust(&authority);
    let sender = |rule: &CertificateRule, certificate: &ClientCertificate| {
        let head = http::Request::post("/").body(()).unwrap().into_parts().0;
        let client = PresentedCertificate { certificate, trust: Some(&trust) };
        let view = RequestView::new(&head, UrlBase::Host("a")).with_client(Some(client));
        rule.verify(&view, at(NOW), &mut Explanation::off()).unwrap().sender().text().unwrap()
    };
    let by_name = CertificateRule { sans: vec![San::parse("dns:a.test").unwrap()], sha256: vec![*client.sha256()] };
    assert_eq!([&client, &renewed].map(|one| sender(&by_name, one)), ["dns:a.test", "dns:a.test"]);
    let any = CertificateRule::default();
    assert_eq!(sender(&any, &client), format!("sha256:{}", hex::encode(client.sha256())));
    assert_ne!(sender(&any, &client), sender(&any, &renewed));
}

#[test]
fn trust_is_looked_at_with_the_time_that_is_handed_in() {
    let authority = TestAuthority::new("a");
    let mut params = leaf(vec![dns("a.test")]);
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 11, 24), rcgen::date_time_ymd(2027, 1, 1));
    let client = authority.client(&params);
    let (trust, end) = (trust(&authority), 1_798_761_600);
    assert!(trust.trusts(&client, at(NOW)) && trust.trusts(&client, at(end)));
    assert!(!trust.trusts(&client, at(NOW - 1)) && !trust.trusts(&client, at(end + 1)));
    assert_eq!(client.not_after(), at(end));
}

#[test]
fn a_certificate_of_another_ca_or_purpose_is_not_trusted() {
    let (authority, other) = (TestAuthority::new("a"), TestAuthority::new("a"));
    let mut server = leaf(vec![dns("a.test")]);
    let trust = trust(&authority);
    assert!(trust.trusts(&authority.client(&server), at(NOW)));
    assert!(!trust.trusts(&other.client(&server), at(NOW)));
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    assert!(!trust.trusts(&authority.client(&server), at(NOW)));
}

#[test]
fn trust_depends_on_the_presented_chain() {
    let root = TestAuthority::new("root");
    let between = root.below("between", 2);
    let leaf = between.sign(&leaf(vec![dns("a.test")])).0.der().clone();
    let chain = [leaf.clone(), between.certificate.der().clone()];
    let trusted = |chain: &[_]| trust(&root).trusts(&ClientCertificate::from_chain(chain).unwrap(), at(NOW));
    assert!(trusted(&chain));
    assert!(!trusted(&[leaf]));
}

#[test]
fn a_listener_without_client_ca_trusts_no_certificate() {
    let client = TestAuthority::new("a").client(&leaf(Vec::new()));
    let nobody = ClientTrust::new(WebPkiClientVerifier::no_client_auth());
    assert!(!nobody.trusts(&client, at(NOW)) && !nobody.is_required());
}

#[test]
fn unreadable_bytes_are_no_certificate() {
    let (leaf, _) = TestAuthority::new("a").sign(&leaf(Vec::new()));
    let longer = CertificateDer::from([leaf.der().as_ref(), &[0]].concat());
    for chain in [vec![], vec![CertificateDer::from(vec![0x30, 0])], vec![longer]] {
        assert_eq!(ClientCertificate::from_chain(&chain).map(|_| ()), Err(UnreadableCertificate));
    }
}

/// The example of RFC 8705, Appendix A.
#[test]
fn the_thumbprint_is_that_of_the_rfc() {
    let pem = b"-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----";
    let client = ClientCertificate::from_chain(&[CertificateDer::from_pem_slice(pem).unwrap()]).unwrap();
    assert_eq!(client.thumbprint(), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
}
