//! TLS: certificates by server name, versions, client certificates, and the listener without TLS.

use std::sync::Arc;

use hookgate::reload::Reloaded;
use hookgate::tls::client_config;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::configuration::Listener;
use crate::support::{Authority, Client, Gateway, Setup, Upstream, certificate, replace};

/// The leaf certificate that is served for a server name, or the error of the handshake.
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
async fn certificates_are_chosen_by_name_and_the_first_is_the_default() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let (ca, certificate, key) = certificate(&["*.hooks.test", "hooks.test"]);
    replace(&gateway.path("hooks.pem"), &format!("{certificate}{key}"));
    let certificates = json!([{"cert": "server.crt", "key": "server.key"}, {"cert": "hooks.pem", "key": "hooks.pem"}]);
    edit(&gateway, |listener| listener.certificates(certificates));
    gateway.running().reload();
    let first = served(&gateway, "localhost", &gateway.ca, BOTH).await.unwrap();
    let second = served(&gateway, "hooks.test", &ca, BOTH).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(served(&gateway, "A.hooks.test", &ca, BOTH).await.unwrap(), second);
    // The first certificate is served, which does not contain this name.
    assert!(served(&gateway, "other.test", &gateway.ca, BOTH).await.is_err());
}

#[tokio::test]
async fn the_lowest_version_is_configured() {
    let upstream = Upstream::echo().await;
    let old = &[&rustls::version::TLS12];
    let gateway = Gateway::before(&upstream);
    assert!(served(&gateway, "localhost", &gateway.ca, old).await.is_ok());
    edit(&gateway, |listener| listener.min_version("1.3"));
    gateway.running().reload();
    assert!(served(&gateway, "localhost", &gateway.ca, old).await.is_err());
    assert!(served(&gateway, "localhost", &gateway.ca, BOTH).await.is_ok());
}

#[tokio::test]
async fn a_listener_without_tls_must_be_explicit_and_forwards_its_scheme() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).listener(Listener::without_tls).start();
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

fn edit(gateway: &Gateway, change: impl FnOnce(Listener) -> Listener) {
    gateway.edit(|configuration| configuration.listener(change));
}

/// Writes files, changes the listener, and reloads.
fn change(gateway: &Gateway, files: &[(&str, &str)], change: impl FnOnce(Listener) -> Listener) {
    for (name, content) in files {
        replace(&gateway.path(name), content);
    }
    edit(gateway, change);
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
}

/// Whether a new client can connect and gets a response to its genuine token.
async fn connects(gateway: &Gateway, client: Client) -> bool {
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    client.try_send(request, "{}").await.is_ok_and(|answer| answer.status == 200)
}

async fn failed_handshakes(gateway: &Gateway) -> f64 {
    failed(gateway, "").await
}

/// The number of TLS handshakes that failed for this reason; for any reason, if it is empty.
async fn failed(gateway: &Gateway, reason: &str) -> f64 {
    let reason = if reason.is_empty() { String::new() } else { format!(",reason=\"{reason}\"") };
    let labels = format!("{{listener=\"{}\",result=\"error\"{reason}}}", gateway.address());
    gateway.metric(&format!("hookgate_tls_handshakes_total{labels}")).await.unwrap_or_default()
}

#[tokio::test]
async fn a_client_certificate_is_required_where_its_ca_is_configured() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = Gateway::before(&upstream);
    let client = authority.client("sender.test", 7);
    assert!(connects(&gateway, gateway.client()).await);
    let ca = [("clients.crt", authority.pem.as_str())];
    let changes: [fn(Listener) -> Listener; 2] =
        [|listener| listener.client_ca("clients.crt"), |listener| listener.client_auth("required")];
    for written in changes {
        change(&gateway, &ca, written);
        let before = failed_handshakes(&gateway).await;
        assert!(!connects(&gateway, gateway.client()).await);
        assert!(!connects(&gateway, gateway.client_http2()).await);
        assert!(!connects(&gateway, gateway.client_showing(&Authority::new("clients").client("sender.test", 7))).await);
        assert!(failed_handshakes(&gateway).await >= before + 3.0);
        assert!(failed(&gateway, "no_client_certificate").await >= 2.0 && failed(&gateway, "unknown_ca").await >= 1.0);
        assert!(connects(&gateway, gateway.client_showing(&client)).await);
    }
}

#[tokio::test]
async fn an_optional_certificate_may_be_absent_and_not_wrong() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = Gateway::before(&upstream);
    let ca = [("clients.crt", authority.pem.as_str())];
    change(&gateway, &ca, |listener| listener.client_ca("clients.crt").client_auth("optional"));
    assert!(connects(&gateway, gateway.client()).await);
    assert!(connects(&gateway, gateway.client_showing(&authority.client("sender.test", 7))).await);
    for untrusted in [Authority::new("others"), Authority::new("clients")] {
        assert!(!connects(&gateway, gateway.client_showing(&untrusted.client("sender.test", 7))).await);
    }
}

#[tokio::test]
async fn new_roots_count_from_the_next_handshake_on() {
    let (upstream, old, new) = (Upstream::echo().await, Authority::new("old"), Authority::new("new"));
    let gateway = Gateway::before(&upstream);
    let (first, second) = (old.client("sender.test", 7), new.client("sender.test", 7));
    change(&gateway, &[("clients.crt", &old.pem)], |listener| listener.client_ca("clients.crt"));
    assert!(connects(&gateway, gateway.client_showing(&first)).await);
    assert!(!connects(&gateway, gateway.client_showing(&second)).await);
    change(&gateway, &[("clients.crt", &[old.pem.as_str(), &new.pem].concat())], |listener| listener);
    assert!(connects(&gateway, gateway.client_showing(&first)).await);
    assert!(connects(&gateway, gateway.client_showing(&second)).await);
    change(&gateway, &[("clients.crt", &new.pem)], |listener| listener);
    assert!(!connects(&gateway, gateway.client_showing(&first)).await);
    assert!(connects(&gateway, gateway.client_showing(&second)).await);
}

#[tokio::test]
async fn a_revoked_certificate_connects_no_more_and_without_an_active_list_none_does() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = Gateway::before(&upstream);
    let (first, second) = (authority.client("a.test", 7), authority.client("b.test", 8));
    let both = async || {
        let first = connects(&gateway, gateway.client_showing(&first)).await;
        (first, connects(&gateway, gateway.client_showing(&second)).await)
    };
    change(&gateway, &[("clients.crt", &authority.pem)], |listener| listener.client_ca("clients.crt"));
    assert_eq!(both().await, (true, true));
    let list = [("clients.crl", authority.list(4000, &[7]))];
    change(&gateway, &[(list[0].0, &list[0].1)], |listener| listener.client_crl("clients.crl"));
    assert_eq!(both().await, (false, true));
    // From here on only the file changes.
    for (content, expected) in [
        (authority.list(4000, &[7, 8]), (false, false)),
        (authority.list(4000, &[]), (true, true)),
        (authority.list(2021, &[]), (false, false)),
    ] {
        replace(&gateway.path("clients.crl"), &content);
        assert_ne!(gateway.running().reload(), Reloaded::Rejected);
        assert_eq!(both().await, expected);
    }
}
