//! `jwks.pins`: the key of the issuer's certificate is one of the configured ones.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::configuration::Jwks;
use crate::support::key_server::{KeyServer, ok};
use crate::support::{Gateway, Issuer, Setup, Upstream, certificate, until};

/// The pin of a certificate's key.
fn pin(pem: &str) -> String {
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let parsed = rustls::server::ParsedCertificate::try_from(&certificate).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &parsed.subject_public_key_info());
    format!("sha256/{}", STANDARD.encode(hash))
}

/// A gateway that fetches from this server, with this CA and these pins.
fn gateway(server: &KeyServer, upstream: &Upstream, issuer: &Issuer, ca: &str, pins: &[String]) -> Gateway {
    let jwks = Jwks::url(&format!("{}/jwks.json", server.url())).ca("issuer.crt").pins(pins);
    Setup::new(upstream.address).jwks(jwks).issuer(issuer.clone()).file("issuer.crt", ca).start()
}

#[tokio::test]
async fn keys_come_over_a_connection_with_a_pinned_key_only() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let (ca, leaf, key) = certificate(&["localhost"]);
    let server = KeyServer::start_tls(&format!("{leaf}{ca}"), &key, ok(&issuer.jwks())).await;
    let (_, other, _) = certificate(&["localhost"]);
    for good in [pin(&leaf), pin(&ca)] {
        let gateway = gateway(&server, &upstream, &issuer, &ca, &[pin(&other), good]);
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    }
    let gateway = gateway(&server, &upstream, &issuer, &ca, &[pin(&other)]);
    until("the fetch has failed", async || gateway.admin("/readyz").await.status == 200).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (503, "jwks_unavailable".into()));
}

/// An attacker with a certificate of the same CA may send the pinned one as well, which proves nothing.
#[tokio::test]
async fn a_pinned_certificate_outside_the_chain_proves_nothing() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let (ca, leaf, key) = certificate(&["localhost"]);
    let (_, pinned, _) = certificate(&["localhost"]);
    let server = KeyServer::start_tls(&format!("{leaf}{pinned}"), &key, ok(&issuer.jwks())).await;
    let gateway = gateway(&server, &upstream, &issuer, &ca, &[pin(&pinned)]);
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (503, "jwks_unavailable".into()));
    assert!(server.fetches() > 0);
}
