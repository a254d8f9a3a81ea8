//! A listener's trust in client certificates: builds a [`ClientTrust`] from PEM roots and revocation lists (CRLs).

use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use schemars::JsonSchema;
use serde::Deserialize;

use super::roots::{TlsError, provider, roots};
use crate::auth::client_certificate::ClientTrust;
use crate::clock::UnixTime;

/// Whether clients must present a certificate. A client with an invalid certificate fails the TLS handshake either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "required"))]
pub enum ClientAuth {
    /// The TLS handshake fails without a certificate.
    #[default]
    Required,
    /// The TLS handshake succeeds without a certificate; each route decides whether it requires one.
    Optional,
}

/// The certificate revocation lists of a file, at least one.
#[derive(Clone, Debug)]
pub struct RevocationLists {
    newest_first: Vec<CertificateRevocationListDer<'static>>,
    /// The earliest expiry (`nextUpdate`) of the lists; from then on all certificates of that list's issuer are
    /// rejected.
    pub expires: UnixTime,
}

impl RevocationLists {
    /// Parses every list.
    ///
    /// # Errors
    /// [`TlsError::NoList`], and [`TlsError::UnreadableList`] if any of them is corrupted.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let all = all.map_err(|_| TlsError::UnreadableList)?;
        let mut lists = Vec::new();
        for list in all {
            let (issued, expires) = times(&list)?;
            lists.push((issued, expires, list));
        }
        let expires = lists.iter().map(|(_, expires, _)| *expires).min().ok_or(TlsError::NoList)?;
        // Of two lists of one issuer the first is used: a new list that is appended to the old one must not be ignored.
        lists.sort_by_key(|(issued, _, _)| std::cmp::Reverse(*issued));
        Ok(Self { newest_first: lists.into_iter().map(|(_, _, list)| list).collect(), expires })
    }
}

/// When a list was issued (`thisUpdate`), and when the next one is due (`nextUpdate`).
fn times(list: &CertificateRevocationListDer<'_>) -> Result<(i64, UnixTime), TlsError> {
    let (_, list) = x509_parser::parse_x509_crl(list).map_err(|_| TlsError::UnreadableList)?;
    let next = list.next_update().ok_or(TlsError::UnreadableList)?.timestamp();
    let expires =
        u64::try_from(next).map_or(UnixTime::default(), |next| UnixTime::from_seconds(next).unwrap_or(UnixTime::MAX));
    Ok((list.last_update().timestamp(), expires))
}

/// Trust in certificates that chain to the roots. With revocation lists, every certificate of the chain below its root
/// must be covered by a list that has not expired, and must not be in it: a missing or expired list rejects the
/// certificate, as in nginx and Envoy.
///
/// # Errors
/// [`TlsError`]: no usable root, or an unsupported list (an indirect or delta CRL).
pub fn client_trust(ca: &[u8], lists: Option<RevocationLists>, auth: ClientAuth) -> Result<ClientTrust, TlsError> {
    let lists = lists.map(|lists| lists.newest_first).unwrap_or_default();
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), Arc::new(provider()))
        .with_crls(lists)
        .enforce_revocation_expiration();
    let builder = match auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    match builder.build() {
        Ok(verifier) => Ok(ClientTrust::new(verifier)),
        Err(VerifierBuilderError::InvalidCrl(_)) => Err(TlsError::UnreadableList),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
