use rcgen::{CertificateParams, IsCa};

use super::*;
use crate::auth::client_certificate::testing::{NOW, TestAuthority, dns, leaf};

const URL: &str = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem";

fn source() -> CertificateSource {
    CertificateSource {
        name: "aws-sns".into(),
        hosts: vec!["sns.us-east-1.amazonaws.com".into(), "127.0.0.1:8443".into()],
        path: "/SimpleNotificationService-[0-9a-f]+\\.pem|/any".into(),
        subjects: vec!["sns.amazonaws.com".into()],
        roots: Vec::new(),
        algorithm: SignatureAlgorithm::EcdsaP256,
        ca: None,
        proxy: None,
    }
}

fn certificates() -> SigningCertificates {
    SigningCertificates::new(source()).unwrap()
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

/// A certificate of a provider, valid for the year 2026.
fn params(name: &str) -> CertificateParams {
    let mut params = leaf(vec![dns("other.test"), dns(name)]);
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
    params
}

fn file(params: &CertificateParams) -> String {
    TestAuthority::new("any").sign(params).0.pem()
}

fn added(file: &str) -> Result<(), CertificateError> {
    certificates().add(URL, file.as_bytes(), at(NOW))
}

/// S3 has names such as `sns.s3-us-west-2.amazonaws.com` for a bucket `sns`, which one pattern for regions matches.
#[test]
fn a_url_is_on_a_host_and_a_path_of_the_source_in_one_spelling() {
    let certificates = certificates();
    for good in [URL, "https://127.0.0.1:8443/any", "https://sns.us-east-1.amazonaws.com/any"] {
        assert!(certificates.allows(good), "{good}");
    }
    for bad in [
        "http://sns.us-east-1.amazonaws.com/any",
        "https://sns.us-east-1.amazonaws.com:443/any",
        "https://sns.us-east-1.amazonaws.com:8443/any",
        "https://SNS.us-east-1.amazonaws.com/any",
        "https://sns.us-east-1.amazonaws.com./any",
        "https://sns.s3-us-west-2.amazonaws.com/any",
        "https://sns.us-east-1.amazonaws.com.evil.test/any",
        "https://evil.test/https://sns.us-east-1.amazonaws.com/any",
        "https://sns.us-east-1.amazonaws.com@evil.test/any",
        "https://user@sns.us-east-1.amazonaws.com/any",
        "https://:password@sns.us-east-1.amazonaws.com/any",
        "https://sns.us-east-1.amazonaws.com/any?a=1",
        "https://sns.us-east-1.amazonaws.com/any?",
        "https://sns.us-east-1.amazonaws.com/any#a",
        "https://sns.us-east-1.amazonaws.com/any/",
        "https://sns.us-east-1.amazonaws.com/an%79",
        "https://sns.us-east-1.amazonaws.com/x/../any",
        "https://sns.us-east-1.amazonaws.com\\any",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem.exe",
        " https://sns.us-east-1.amazonaws.com/any",
        "https://sns.us-east-1.amazonaws.com/any\n",
        "https://127.0.0.1/any",
        "https://2130706433:8443/any",
        "//sns.us-east-1.amazonaws.com/any",
        "file:///any",
        "",
    ] {
        assert!(!certificates.allows(bad), "{bad}");
    }
    assert!(certificates.on_host("https://127.0.0.1:8443/?Action=ConfirmSubscription").is_some());
    assert!(certificates.on_host(&format!("https://127.0.0.1:8443/?{}", "a".repeat(MAX_URL))).is_none());
}

#[test]
fn a_certificate_is_that_of_the_provider_s_name() {
    assert_eq!(added(&file(&params("sns.amazonaws.com"))), Ok(()));
    assert_eq!(added(&file(&params("SNS.amazonaws.com"))), Ok(()));
    let other = CertificateError::Subject("sns.amazonaws.com".into());
    for name in ["evil.test", "*.amazonaws.com", "sns.amazonaws.com.evil.test", "amazonaws.com"] {
        assert_eq!(added(&file(&params(name))), Err(other.clone()), "{name}");
    }
    // The common name is not compared (RFC 6125 §6.4.4).
    let mut named = leaf(Vec::new());
    named.distinguished_name.push(rcgen::DnType::CommonName, "sns.amazonaws.com");
    assert_eq!(added(&file(&named)), Err(other));
}

/// The time is that of the request: a certificate that was fetched while it was valid is not used for longer.
#[test]
fn a_certificate_is_used_while_it_is_valid_and_for_a_day() {
    let file = file(&params("sns.amazonaws.com"));
    let (begins, ends) = (1_767_225_600, 1_798_761_600);
    for (now, expected) in [(begins - 1, false), (begins, true), (ends, true), (ends + 1, false)] {
        let added = certificates().add(URL, file.as_bytes(), at(now));
        assert_eq!(added, if expected { Ok(()) } else { Err(CertificateError::Validity) }, "{now}");
    }
    for fetched in [NOW, ends - 10] {
        let certificates = certificates();
        certificates.add(URL, file.as_bytes(), at(fetched)).unwrap();
        let last = (fetched + 24 * 3600).min(ends);
        for (now, expected) in [(fetched - 1, true), (fetched, true), (last, true), (last + 1, false)] {
            assert_eq!(certificates.find(URL, at(now)).is_some(), expected, "{fetched} {now}");
        }
        assert!(certificates.find("https://127.0.0.1:8443/any", at(fetched)).is_none());
        assert_eq!(certificates.held(), (1, Some(at(fetched))));
    }
}

#[test]
fn with_a_root_ca_the_certificate_chains_to_it() {
    let root = TestAuthority::new("root");
    let below = root.below("intermediate", 2);
    let leaf = below.sign(&params("sns.amazonaws.com")).0.pem();
    let whole = format!("{leaf}{}", below.certificate.pem());
    let chained = |anchor: &TestAuthority, file: &str| {
        let roots = vec![anchor.certificate.der().to_vec()];
        let certificates = SigningCertificates::new(CertificateSource { roots, ..source() }).unwrap();
        certificates.add(URL, file.as_bytes(), at(NOW))
    };
    assert_eq!(chained(&root, &whole), Ok(()));
    // An issuing certificate can be the anchor of a file without it, as that of Amazon SNS is.
    assert_eq!(chained(&below, &leaf), Ok(()));
    assert_eq!(chained(&root, &leaf), Err(CertificateError::Chain));
    for other in [TestAuthority::new("root"), TestAuthority::new("other")] {
        assert_eq!(chained(&other, &whole), Err(CertificateError::Chain));
        assert_eq!(chained(&root, &format!("{leaf}{}", other.certificate.pem())), Err(CertificateError::Chain));
    }
    let mut authority = params("sns.amazonaws.com");
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(chained(&root, &root.sign(&authority).0.pem()), Err(CertificateError::Chain));
}

#[test]
fn other_files_and_keys_are_rejected() {
    let good = file(&params("sns.amazonaws.com"));
    let half = good.get(..good.len() / 2).unwrap();
    for bad in ["", "<html>", half, &good.repeat(MAX_CHAIN + 1), &good.replace("CERTIFICATE", "PUBLIC KEY")] {
        assert_eq!(added(bad), Err(CertificateError::Malformed), "{bad}");
    }
    let der = pem_of(b"no certificate");
    assert_eq!(added(&der), Err(CertificateError::Malformed));
    let of_rsa = SigningCertificates::new(CertificateSource { algorithm: SignatureAlgorithm::RsaSha256, ..source() });
    assert_eq!(of_rsa.unwrap().add(URL, good.as_bytes(), at(NOW)), Err(KeyError::NotAPublicKey.into()));
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// A client names URLs: those that it invents push no other one out as long as their files are no certificates.
#[test]
fn few_certificates_are_kept_and_a_new_one_of_a_url_replaces_the_old_one() {
    let certificates = certificates();
    let file = file(&params("sns.amazonaws.com"));
    let url = |index: usize| format!("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{index:x}.pem");
    for index in 0..=MAX_CERTIFICATES {
        certificates.add(&url(index), file.as_bytes(), at(NOW)).unwrap();
        certificates.add(&url(index), file.as_bytes(), at(NOW)).unwrap();
        assert!(certificates.add(&url(1), b"", at(NOW)).is_err());
    }
    assert_eq!(certificates.held().0, MAX_CERTIFICATES);
    assert!(certificates.find(&url(0), at(NOW)).is_none() && certificates.find(&url(1), at(NOW)).is_some());
    let named: Vec<_> = (1..=2).map(|index| certificates.find(&url(index), at(NOW)).unwrap().key()).collect();
    assert!(matches!(named.as_slice(), [one, other] if one[0].digest == other[0].digest));
}
