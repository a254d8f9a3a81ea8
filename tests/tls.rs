//! How connections are made: certificates by name, versions, and the listener without TLS.

use std::sync::Arc;

use hookgate::tls::client_config;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Gateway, Setup, Upstream, certificate, replace};

/// The leaf that is served under a name, or why there was no connection.
async fn served(
    gateway: &Gateway,
    name: &str,
    ca: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<Vec<u8>> {
    let roots = client_config(Some(ca.as_bytes())).unwrap();
    let mut trusted = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::pem::PemObject::pem_slice_iter(ca.as_bytes()) {
        trusted.add(certificate.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(roots.crypto_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn certificates_are_chosen_by_name_and_the_first_serves_the_rest() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let (ca, certificate, key) = certificate(&["*.hooks.test", "hooks.test"]);
    replace(&gateway.path("hooks.pem"), &format!("{certificate}{key}"));
    gateway.edit("key: server.key }", "key: server.key }, { cert: hooks.pem, key: hooks.pem }");
    gateway.running().reload();
    let first = served(&gateway, "localhost", &gateway.ca, BOTH).await.unwrap();
    let second = served(&gateway, "hooks.test", &ca, BOTH).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(served(&gateway, "A.hooks.test", &ca, BOTH).await.unwrap(), second);
    // The first one is served, which does not bear this name.
    assert!(served(&gateway, "other.test", &gateway.ca, BOTH).await.is_err());
}

#[tokio::test]
async fn the_lowest_version_is_configured() {
    let upstream = Upstream::echo().await;
    let old = &[&rustls::version::TLS12];
    let gateway = Gateway::before(&upstream);
    assert!(served(&gateway, "localhost", &gateway.ca, old).await.is_ok());
    gateway.edit("tls: { ", "tls: { min_version: \"1.3\", ");
    gateway.running().reload();
    assert!(served(&gateway, "localhost", &gateway.ca, old).await.is_err());
    assert!(served(&gateway, "localhost", &gateway.ca, BOTH).await.is_ok());
}

#[tokio::test]
async fn a_listener_without_tls_must_be_written_out_and_says_so_to_the_app() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let upstream = Upstream::echo().await;
    let tls = "tls: { certificates: [ { cert: server.crt, key: server.key } ] }";
    let gateway = Setup::new(upstream.address).with(tls, "plaintext: true").start();
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let request = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        gateway.token()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.only().header("x-forwarded-proto"), Some("http"));
}
