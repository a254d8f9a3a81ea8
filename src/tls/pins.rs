//! Public-key pins (RFC 7469 §2.4): the chain must verify as usual, and contain a pinned key.
//!
//! Pins protect against a certificate authority that certifies an attacker. The attacker can send any certificates
//! together with their own, so a pinned certificate among those sent is not enough: the leaf must chain to it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, VerifierBuilderError};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

/// Verifies the chain with webpki, and then that the leaf has a pinned key or chains to a certificate that has one.
#[derive(Debug)]
pub(super) struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    /// Each pin is the SHA-256 of a `SubjectPublicKeyInfo`.
    pins: Vec<[u8; 32]>,
}

#[derive(Debug, thiserror::Error)]
#[error("no key of the certificate chain is pinned")]
struct NotPinned;

impl Pinned {
    pub(super) fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
        pins: &[[u8; 32]],
    ) -> Result<Self, VerifierBuilderError> {
        Ok(Self { usual: webpki(roots, &provider)?, provider, pins: pins.to_vec() })
    }

    fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
        let hash = digest(&SHA256, &parsed.subject_public_key_info());
        self.pins.iter().any(|pin| pin == hash.as_ref())
    }

    /// A verifier whose trust anchors are the pinned certificates among those sent; the leaf must chain to one of them.
    fn anchors(&self, sent: &[CertificateDer<'_>]) -> Option<Arc<WebPkiServerVerifier>> {
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(sent.iter().filter(|one| self.has(one)).map(|one| one.clone().into_owned()));
        webpki(anchors, &self.provider).ok()
    }
}

/// The webpki verifier for these roots; an error if there is no root.
fn webpki(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(leaf, sent, name, ocsp, now)?;
        if self.has(leaf) {
            return Ok(verified);
        }
        let not_pinned = || Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NotPinned))));
        let anchors = self.anchors(sent).ok_or_else(not_pinned)?;
        anchors.verify_server_cert(leaf, sent, name, ocsp, now).map_err(|_| not_pinned())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData};

    use super::*;

    /// A certificate authority.
    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        certificate: CertificateDer<'static>,
        pin: [u8; 32],
    }

    fn authority(name: &str, above: Option<&Authority>) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = match above {
            Some(above) => params.signed_by(&key, &above.issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        Authority { certificate: certificate.der().clone(), pin: pin(&key), issuer: Issuer::new(params, key) }
    }

    /// The pin of a key, as computed by `openssl pkey -pubout -outform der | openssl dgst -sha256`.
    fn pin(key: &KeyPair) -> [u8; 32] {
        digest(&SHA256, &key.subject_public_key_info()).as_ref().try_into().unwrap()
    }

    fn leaf(above: &Authority) -> (CertificateDer<'static>, [u8; 32]) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["issuer.test".to_owned()]).unwrap();
        (params.signed_by(&key, &above.issuer).unwrap().der().clone(), pin(&key))
    }

    /// Whether a chain passes, given the root that is trusted and the pins.
    fn passes(root: &Authority, pins: &[[u8; 32]], chain: &[&CertificateDer<'static>], name: &str) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(root.certificate.clone()).unwrap();
        let verifier = Pinned::new(roots, Arc::new(super::super::provider()), pins).unwrap();
        let chain: Vec<_> = chain.iter().map(|one| (*one).clone()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn one_pinned_key_of_the_chain_is_enough_and_none_is_not() {
        let root = authority("root", None);
        let middle = authority("middle", Some(&root));
        let (leaf, leaf_pin) = leaf(&middle);
        let chain = [&leaf, &middle.certificate, &root.certificate];
        for good in [leaf_pin, middle.pin, root.pin] {
            assert!(passes(&root, &[[0; 32], good], &chain, "issuer.test"));
        }
        assert!(!passes(&root, &[[0; 32]], &chain, "issuer.test"));
        // The root was not sent.
        assert!(!passes(&root, &[root.pin], &chain[..2], "issuer.test"));
    }

    #[test]
    fn a_pin_takes_nothing_from_the_usual_verification() {
        let (root, other) = (authority("root", None), authority("other", None));
        let (leaf, pin) = leaf(&root);
        assert!(passes(&root, &[pin], &[&leaf], "issuer.test"));
        assert!(!passes(&root, &[pin], &[&leaf], "mallory.test"));
        assert!(!passes(&other, &[pin], &[&leaf], "issuer.test"));
        assert!(!passes(&other, &[root.pin], &[&leaf, &root.certificate], "issuer.test"));
    }

    /// A trusted authority was deceived; the genuine certificates are public, and an attacker can send them too.
    #[test]
    fn a_pinned_certificate_that_is_only_sent_along_does_not_count() {
        let root = authority("root", None);
        let (good, bad) = (authority("good", Some(&root)), authority("bad", Some(&root)));
        let (genuine, genuine_pin) = leaf(&good);
        let (forged, _) = leaf(&bad);
        let pins = [genuine_pin, good.pin];
        assert!(passes(&root, &pins, &[&genuine, &good.certificate], "issuer.test"));
        for along in [&genuine, &good.certificate] {
            assert!(!passes(&root, &pins, &[&forged, &bad.certificate, along], "issuer.test"));
            assert!(!passes(&root, &pins, &[&forged, along, &bad.certificate], "issuer.test"));
        }
    }
}
