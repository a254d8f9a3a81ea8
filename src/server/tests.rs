use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::*;
use crate::auth::client_certificate::testing::{TestAuthority, dns, leaf};
use crate::proxy::tests::unauthenticated_client;
use crate::tls::{Certificate, ClientAuth, MinVersion, client_trust, server_config};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A listener for clients with a certificate of this authority, and for clients without a certificate.
fn listener(authority: &TestAuthority) -> Arc<ServerConfig> {
    let (certificate, key) = authority.sign(&leaf(vec![dns("hooks.test")]));
    let certificate = Certificate::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let trust = client_trust(authority.certificate.pem().as_bytes(), None, ClientAuth::Optional).unwrap();
    server_config(vec![certificate], &[], MinVersion::Tls12, Some(&trust)).unwrap()
}

fn trusting(authority: &TestAuthority, version: &'static SupportedProtocolVersion) -> RootsTrusted {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    builder.with_root_certificates(roots)
}

type RootsTrusted = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn showing(authority: &TestAuthority, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let (certificate, key) = authority.sign(&leaf(vec![dns("sender.test")]));
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(trusting(authority, version).with_client_auth_cert(vec![certificate.der().clone()], key).unwrap())
}

/// The connection after a TLS handshake, and the kind of handshake.
fn connect(client: &Arc<ClientConfig>, listener: &Arc<ServerConfig>) -> (ConnectionInfo, HandshakeKind) {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from("HOOKS.test").unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(listener)).unwrap();
    while client.wants_write() || server.wants_write() {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        client.write_tls(&mut there).unwrap();
        server.read_tls(&mut there.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        server.write_tls(&mut back).unwrap();
        client.read_tls(&mut back.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    (with_tls(unauthenticated_client(), &server).unwrap(), server.handshake_kind().unwrap())
}

/// A resumed handshake verifies no certificate, so each request must have the certificate to verify it again.
#[test]
fn a_resumed_session_brings_its_certificate_and_its_name() {
    let authority = TestAuthority::new("a");
    for version in VERSIONS {
        let (listener, client) = (listener(&authority), showing(&authority, version));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (connection, seen) = connect(&client, &listener);
            assert_eq!(seen, kind, "{version:?}");
            assert_eq!(connection.client_certificate.unwrap().names()[0].as_str(), "dns:sender.test");
            assert_eq!(connection.server_name.as_deref(), Some("hooks.test"));
        }
    }
}

#[test]
fn no_session_outlives_the_settings_it_began_under() {
    let authority = TestAuthority::new("a");
    for version in VERSIONS {
        let client = showing(&authority, version);
        for _ in 0..2 {
            assert_eq!(connect(&client, &listener(&authority)).1, HandshakeKind::Full, "{version:?}");
        }
    }
}

#[test]
fn a_client_without_a_certificate_has_none_resumed_or_not() {
    let authority = TestAuthority::new("a");
    for version in VERSIONS {
        let (listener, client) = (listener(&authority), Arc::new(trusting(&authority, version).with_no_client_auth()));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (connection, seen) = connect(&client, &listener);
            assert!(connection.client_certificate.is_none() && seen == kind, "{version:?} {seen:?}");
        }
    }
}
