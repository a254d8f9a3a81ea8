use super::*;
use crate::auth::client_certificate::ClientCertificate;
use crate::auth::client_certificate::testing::{NOW, TestAuthority, dns, leaf};

/// The serial number of each leaf.
const LEAF: u64 = 7;

fn trust(authority: &TestAuthority, lists: &str) -> ClientTrust {
    let lists = RevocationLists::from_pem(lists.as_bytes()).unwrap();
    client_trust(authority.certificate.pem().as_bytes(), Some(lists), ClientAuth::Required).unwrap()
}

fn trusted(trust: &ClientTrust, client: &ClientCertificate) -> bool {
    trust.trusts(client, UnixTime::from_seconds(NOW).unwrap())
}

#[test]
fn a_list_rejects_the_certificates_that_it_names() {
    let authority = TestAuthority::new("a");
    let client = authority.client(&leaf(vec![dns("a.test")]));
    assert!(trusted(&trust(&authority, &authority.list(2026..2030, &[LEAF + 1])), &client));
    assert!(!trusted(&trust(&authority, &authority.list(2026..2030, &[LEAF])), &client));
}

#[test]
fn an_expired_list_rejects_every_certificate() {
    let authority = TestAuthority::new("a");
    let client = authority.client(&leaf(vec![dns("a.test")]));
    let ended = trust(&authority, &authority.list(2024..2026, &[]));
    assert!(!trusted(&ended, &client));
    assert!(ended.trusts(&client, UnixTime::from_seconds(NOW - 366 * 86_400).unwrap()));
}

#[test]
fn a_certificate_that_no_list_covers_is_rejected() {
    let (authority, other) = (TestAuthority::new("a"), TestAuthority::new("b"));
    let client = authority.client(&leaf(vec![dns("a.test")]));
    assert!(!trusted(&trust(&authority, &other.list(2026..2030, &[])), &client));
    // A list with the issuer's name but without its signature is not the issuer's.
    assert!(!trusted(&trust(&authority, &TestAuthority::new("a").list(2026..2030, &[])), &client));
}

#[test]
fn lists_count_for_the_whole_chain() {
    let root = TestAuthority::new("root");
    let between = root.below("between", 2);
    let (leaf, _) = between.sign(&leaf(vec![dns("a.test")]));
    let client = ClientCertificate::from_chain(&[leaf.der().clone(), between.certificate.der().clone()]).unwrap();
    let own = between.list(2026..2030, &[]);
    assert!(trusted(&trust(&root, &[own.clone(), root.list(2026..2030, &[])].concat()), &client));
    assert!(!trusted(&trust(&root, &[own.clone(), root.list(2026..2030, &[2])].concat()), &client));
    assert!(!trusted(&trust(&root, &own), &client));
}

#[test]
fn the_newest_list_of_an_issuer_counts() {
    let authority = TestAuthority::new("a");
    let client = authority.client(&leaf(vec![dns("a.test")]));
    let (old, new) = (authority.list(2025..2030, &[]), authority.list(2026..2031, &[LEAF]));
    for lists in [[old.clone(), new.clone()].concat(), [new, old].concat()] {
        assert!(!trusted(&trust(&authority, &lists), &client));
        let read = RevocationLists::from_pem(lists.as_bytes()).unwrap();
        assert_eq!(read.expires.seconds(), 1_893_456_000);
    }
}

#[test]
fn lists_that_are_not_there_or_damaged_are_errors() {
    let authority = TestAuthority::new("a");
    let list = authority.list(2026..2030, &[]);
    let error = |pem: &str| RevocationLists::from_pem(pem.as_bytes()).unwrap_err();
    assert!(matches!(error(&authority.certificate.pem()), TlsError::NoList));
    assert!(matches!(error(""), TlsError::NoList));
    assert!(matches!(error(&[&list, &list[..list.len() / 2]].concat()), TlsError::UnreadableList));
    let other = authority.certificate.pem().replace("CERTIFICATE", "X509 CRL");
    assert!(matches!(error(&[&list, other.as_str()].concat()), TlsError::UnreadableList));
}

#[test]
fn roots_must_be_there() {
    let none = client_trust(b"", None, ClientAuth::Optional);
    assert!(matches!(none, Err(TlsError::NoCertificate)));
    let pem = TestAuthority::new("a").certificate.pem();
    for (auth, required) in [(ClientAuth::Required, true), (ClientAuth::Optional, false)] {
        assert_eq!(client_trust(pem.as_bytes(), None, auth).unwrap().is_required(), required);
    }
}
