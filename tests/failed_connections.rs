//! Connections that fail before they become a request are counted and logged.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::configuration::Listener;
use crate::support::http2::{GOAWAY, PREFACE, SETTINGS, frame, frames_until};
use crate::support::{Authority, Gateway, Setup, Upstream, until};

/// The number of requests without a route that failed for this reason, with this status.
async fn counted(gateway: &Gateway, outcome: &str, reason: &str, status: u16) -> Option<f64> {
    let labels = format!("outcome=\"{outcome}\",reason=\"{reason}\",route=\"\",status=\"{status}\"");
    gateway.metric(&format!("hookgate_requests_total{{{labels}}}")).await
}

async fn failed_handshakes(gateway: &Gateway, reason: &str) -> Option<f64> {
    gateway.metric(&format!("hookgate_tls_handshakes_total{{reason=\"{reason}\",result=\"error\"}}")).await
}

#[tokio::test]
async fn an_error_response_without_a_request_is_counted_as_a_request_of_no_route() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).listener(|listener| listener.headers("100ms")).start();
    let mut plain = TcpStream::connect(gateway.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    plain.read_to_end(&mut Vec::new()).await.unwrap();
    until("plain HTTP is counted", async || counted(&gateway, "rejected", "tls_required", 400).await == Some(1.0))
        .await;
    assert_eq!(failed_handshakes(&gateway, "plain_http").await, Some(1.0));
    let no_url = gateway.wire().await.write("GET ::: HTTP/1.1\r\nHost: localhost\r\n\r\n").await.rest().await;
    assert!(no_url.starts_with("HTTP/1.1 400 Bad Request\r\n") && no_url.contains("invalid_target"), "{no_url}");
    until("it is counted", async || counted(&gateway, "rejected", "invalid_target", 400).await == Some(1.0)).await;
    let slow = gateway.wire().await.write("GET / HTTP/1.1\r\nHost: lo").await.rest().await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    assert_eq!(counted(&gateway, "error", "request_timeout", 408).await, Some(1.0));
    let long = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(70 * 1024));
    let long = gateway.wire().await.write(long).await.rest().await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    assert_eq!(counted(&gateway, "rejected", "headers_too_large", 431).await, Some(1.0));
}

#[tokio::test]
async fn an_http2_client_that_breaks_the_protocol_is_counted() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let errors = async || gateway.metric("hookgate_http2_connection_errors_total").await;
    // A client that ends its connection breaks nothing.
    gateway.client_http2().post(&gateway.token()).await;
    let mut wire = gateway.wire_http2().await;
    // DATA on the connection itself (RFC 9113 §6.1).
    wire.write([PREFACE, SETTINGS, &frame(0, 0, 0, b"x")].concat()).await;
    frames_until(&mut wire, |kind, _| kind == GOAWAY).await;
    drop(wire);
    until("the error is counted", async || errors().await == Some(1.0)).await;
}

/// A certificate that is its own CA, as `openssl req -x509` makes it, and one that is not.
fn self_signed(is_ca: IsCa) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["sender.test".to_owned()]).unwrap();
    params.is_ca = is_ca;
    let certificate = params.self_signed(&key).unwrap().der().clone();
    (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// Fails a handshake.
async fn shake(
    gateway: &Gateway,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[u8],
    identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(gateway.ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::clone(hookgate::tls::client_config(None).unwrap().crypto_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config.with_client_auth_cert(vec![certificate], key).unwrap(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    // In TLS 1.3 the client learns of the rejection with its first read.
    if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        assert!(stream.read(&mut [0]).await.is_err());
    }
}

#[tokio::test]
async fn failed_handshakes_are_counted_by_reason() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let listener = |listener: Listener| listener.client_ca("clients.crt").min_version("1.3").tls_handshake("300ms");
    let gateway = Setup::new(upstream.address).file("clients.crt", &authority.pem).listener(listener).start();
    let both = &[&TLS12, &TLS13];
    shake(&gateway, both, b"h2", None).await;
    shake(&gateway, both, b"h2", Some(self_signed(IsCa::NoCa))).await;
    shake(&gateway, both, b"h2", Some(self_signed(IsCa::Ca(BasicConstraints::Unconstrained)))).await;
    shake(&gateway, &[&TLS12], b"h2", None).await;
    shake(&gateway, both, b"ftp", None).await;
    let mut silent = TcpStream::connect(gateway.address()).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    TcpStream::connect(gateway.address()).await.unwrap().write_all(&[22, 3, 1, 0, 1, 99]).await.unwrap();
    let reasons = [
        ("no_client_certificate", 1.0),
        ("unknown_ca", 2.0),
        ("protocol_version", 1.0),
        ("no_common_alpn", 1.0),
        ("timeout", 1.0),
        ("other", 1.0),
    ];
    for (reason, expected) in reasons {
        until(reason, async || failed_handshakes(&gateway, reason).await == Some(expected)).await;
    }
}
