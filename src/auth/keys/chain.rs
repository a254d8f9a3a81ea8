//! Keys that a token carries as a certificate chain (`x5c`, RFC 7515 §4.1.6). A key is used only if its certificate
//! chains to the configured root at the time of the request, and the certificates have the required extensions.

use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime as PkiTime};
use webpki::{EndEntityCert, KeyUsage};

use super::algorithm::Algorithm;
use super::key_set::KeySet;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// Maximum number of certificates in one token.
const MAX_CHAIN: usize = 5;

/// A root certificate, and the extensions that the certificates below it must have.
#[derive(Clone, Debug)]
pub struct PinnedRoot {
    root: CertificateDer<'static>,
    /// Object identifier of an extension that the leaf certificate must have.
    leaf: Option<String>,
    /// Object identifier of an extension that its issuing intermediate must have.
    intermediate: Option<String>,
}

/// The bytes are not a certificate that can be a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one root certificate, in PEM or DER form")]
pub struct NotARoot;

impl PinnedRoot {
    /// Pins a root certificate in DER form.
    ///
    /// # Errors
    /// [`NotARoot`].
    pub fn new(der: Vec<u8>, leaf: Option<String>, intermediate: Option<String>) -> Result<Self, NotARoot> {
        let root = CertificateDer::from(der);
        webpki::anchor_from_trusted_cert(&root).map_err(|_| NotARoot)?;
        Ok(Self { root, leaf, intermediate })
    }

    /// The key of the leaf certificate, if the chain leads to the root at `now`.
    ///
    /// # Errors
    /// `unknown_key`.
    pub fn key(&self, chain: &[Vec<u8>], algorithm: Algorithm, now: UnixTime) -> Result<KeySet, Reason> {
        self.evaluate(chain, algorithm, now).ok_or(Reason::UnknownKey)
    }

    fn evaluate(&self, chain: &[Vec<u8>], algorithm: Algorithm, now: UnixTime) -> Option<KeySet> {
        let [leaf, intermediate, ..] = chain else { return None };
        if chain.len() > MAX_CHAIN
            || !has(leaf, self.leaf.as_deref())
            || !has(intermediate, self.intermediate.as_deref())
        {
            return None;
        }
        let above: Vec<CertificateDer<'_>> =
            chain.iter().skip(1).map(|der| CertificateDer::from(der.as_slice())).collect();
        let end_entity = CertificateDer::from(leaf.as_slice());
        let end_entity = EndEntityCert::try_from(&end_entity).ok()?;
        let anchors: [TrustAnchor<'_>; 1] = [webpki::anchor_from_trusted_cert(&self.root).ok()?];
        let at = PkiTime::since_unix_epoch(Duration::from_secs(now.seconds()));
        let algorithms = default_provider().signature_verification_algorithms.all;
        // An extended key usage, if present, must be server authentication: certificates for code signing have others.
        end_entity.verify_for_usage(algorithms, &anchors, &above, at, KeyUsage::server_auth(), None, None).ok()?;
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
        KeySet::from_spki(leaf.public_key().raw, algorithm).ok()
    }
}

fn has(certificate: &[u8], extension: Option<&str>) -> bool {
    let Some(wanted) = extension else { return true };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    certificate.extensions().iter().any(|extension| extension.oid.to_id_string() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::client_certificate::testing::{NOW, TestAuthority, leaf};
    use rcgen::{CertificateParams, CustomExtension};

    const LEAF: &[u64] = &[1, 2, 840, 113635, 100, 6, 11, 1];
    const INTERMEDIATE: &[u64] = &[1, 2, 840, 113635, 100, 6, 2, 1];

    fn written(oid: &[u64]) -> Option<String> {
        Some(oid.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
    }

    fn marked(mut params: CertificateParams, oid: &[u64]) -> CertificateParams {
        params.custom_extensions = vec![CustomExtension::from_oid_content(oid, vec![5, 0])];
        params
    }

    /// A root, and its chain: leaf, intermediate, root.
    fn chain(leaf: &CertificateParams, intermediate: &[u64]) -> (TestAuthority, Vec<Vec<u8>>) {
        let root = TestAuthority::new("root");
        let below = root.below_with("intermediate", 2, |params| marked(params, intermediate));
        let chain = [below.sign(leaf).0, below.certificate.clone(), root.certificate.clone()];
        let chain = chain.iter().map(|certificate| certificate.der().to_vec()).collect();
        (root, chain)
    }

    fn pinned(root: &TestAuthority) -> PinnedRoot {
        PinnedRoot::new(root.certificate.der().to_vec(), written(LEAF), written(INTERMEDIATE)).unwrap()
    }

    fn key(root: &TestAuthority, chain: &[Vec<u8>], algorithm: Algorithm, now: u64) -> Result<usize, Reason> {
        let now = UnixTime::from_seconds(now).unwrap();
        pinned(root).key(chain, algorithm, now).map(|keys| keys.len())
    }

    const REFUSED: Result<usize, Reason> = Err(Reason::UnknownKey);

    #[test]
    fn a_chain_leads_to_the_pinned_root_or_nowhere() {
        let (root, chain) = chain(&marked(leaf(vec![]), LEAF), INTERMEDIATE);
        assert_eq!(key(&root, &chain, Algorithm::ES256, NOW), Ok(1));
        assert_eq!(key(&root, &chain[..2], Algorithm::ES256, NOW), Ok(1));
        // Another root with the same name, and another root although the token carries its own.
        for other in [TestAuthority::new("root"), TestAuthority::new("other")] {
            assert_eq!(key(&other, &chain, Algorithm::ES256, NOW), REFUSED);
        }
        let reversed: Vec<Vec<u8>> = chain.iter().rev().cloned().collect();
        assert_eq!(key(&root, &reversed, Algorithm::ES256, NOW), REFUSED);
    }

    /// A leaf without an intermediate is rejected, even if the root signed it: no intermediate attests its purpose.
    #[test]
    fn a_chain_has_its_links_and_not_very_many() {
        let (root, chain) = chain(&marked(leaf(vec![]), LEAF), INTERMEDIATE);
        let (alone, _) = root.sign(&marked(leaf(vec![]), LEAF));
        let alone = alone.der().to_vec();
        for short in [&[][..], std::slice::from_ref(&alone), &chain[..1]] {
            assert_eq!(key(&root, short, Algorithm::ES256, NOW), REFUSED);
        }
        assert_eq!(key(&root, &[alone, root.certificate.der().to_vec()], Algorithm::ES256, NOW), REFUSED);
        let six = [&chain[..], &chain[..]].concat();
        assert_eq!(key(&root, &six, Algorithm::ES256, NOW), REFUSED);
        assert_eq!(key(&root, &[b"no".to_vec(), b"certificate".to_vec()], Algorithm::ES256, NOW), REFUSED);
    }

    /// The time is that of the request, not of the system clock.
    #[test]
    fn a_chain_is_good_at_the_time_of_the_request() {
        let mut params = marked(leaf(vec![]), LEAF);
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
        let (root, chain) = chain(&params, INTERMEDIATE);
        let (begins, ends) = (1_767_225_600, 1_798_761_600);
        for (now, expected) in [(begins - 1, REFUSED), (begins, Ok(1)), (ends - 1, Ok(1)), (ends + 1, REFUSED)] {
            assert_eq!(key(&root, &chain, Algorithm::ES256, now), expected, "{now}");
        }
    }

    /// Without the extensions, any other certificate of the same authority could sign.
    #[test]
    fn both_certificates_carry_their_owner_s_extension() {
        for (leaf_oid, intermediate) in [(LEAF, &[1, 2, 3][..]), (&[1, 2, 3], INTERMEDIATE), (INTERMEDIATE, LEAF)] {
            let (root, chain) = chain(&marked(leaf(vec![]), leaf_oid), intermediate);
            assert_eq!(key(&root, &chain, Algorithm::ES256, NOW), REFUSED);
        }
        let (root, chain) = chain(&leaf(vec![]), INTERMEDIATE);
        assert_eq!(key(&root, &chain, Algorithm::ES256, NOW), REFUSED);
        let anyone = PinnedRoot::new(root.certificate.der().to_vec(), None, None).unwrap();
        assert!(anyone.key(&chain, Algorithm::ES256, UnixTime::from_seconds(NOW).unwrap()).is_ok());
    }

    #[test]
    fn a_leaf_s_key_serves_its_own_algorithm() {
        let (root, chain) = chain(&marked(leaf(vec![]), LEAF), INTERMEDIATE);
        for other in [Algorithm::ES384, Algorithm::RS256, Algorithm::EdDSA, Algorithm::HS256] {
            assert_eq!(key(&root, &chain, other, NOW), REFUSED, "{other:?}");
        }
    }

    #[test]
    fn a_root_is_a_certificate() {
        assert_eq!(PinnedRoot::new(b"no certificate".to_vec(), None, None).unwrap_err(), NotARoot);
    }
}
