//! Why a TLS handshake with a client failed, as `hookgate_tls_handshakes_total` counts it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

pub(super) use crate::metrics::HandshakeError;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls may add errors; each of them is `other` until it has a word"
)]
impl HandshakeError {
    /// The reason in an error of [`tokio_rustls::TlsAcceptor::accept`].
    pub(super) fn of(error: &io::Error) -> Self {
        let error = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match error {
            Some(Error::NoCertificatesPresented) => Self::NoClientCertificate,
            Some(Error::NoApplicationProtocol) => Self::NoCommonAlpn,
            Some(Error::InvalidCertificate(error)) => match error {
                // rustls gives `BadSignature` where the authority's name is known and its key is another.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::CertificateExpired,
                CertificateError::Revoked => Self::CertificateRevoked,
                _other => Self::Other,
            },
            Some(Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            )) => Self::ProtocolVersion,
            // The alert of a client that ends the handshake (RFC 8446 §6.2).
            Some(Error::AlertReceived(alert)) => match *alert {
                AlertDescription::UnknownCA => Self::UnknownCa,
                AlertDescription::CertificateExpired => Self::CertificateExpired,
                AlertDescription::CertificateRevoked => Self::CertificateRevoked,
                AlertDescription::ProtocolVersion => Self::ProtocolVersion,
                AlertDescription::NoApplicationProtocol => Self::NoCommonAlpn,
                _other => Self::Other,
            },
            _other => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(error: Error) -> &'static str {
        HandshakeError::of(&io::Error::new(io::ErrorKind::InvalidData, error)).label()
    }

    #[test]
    fn errors_of_rustls_have_their_reasons() {
        let certificate = Error::InvalidCertificate;
        for (error, reason) in [
            (Error::NoCertificatesPresented, "no_client_certificate"),
            (certificate(CertificateError::UnknownIssuer), "unknown_ca"),
            (certificate(CertificateError::Expired), "certificate_expired"),
            (certificate(CertificateError::Revoked), "certificate_revoked"),
            (certificate(CertificateError::BadSignature), "unknown_ca"),
            (certificate(CertificateError::BadEncoding), "other"),
            (Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled), "protocol_version"),
            (Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), "other"),
            (Error::NoApplicationProtocol, "no_common_alpn"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "unknown_ca"),
            (Error::AlertReceived(AlertDescription::BadCertificate), "other"),
            (Error::DecryptError, "other"),
        ] {
            assert_eq!(label(error.clone()), reason, "{error:?}");
        }
        assert_eq!(HandshakeError::of(&io::ErrorKind::UnexpectedEof.into()).label(), "other");
    }
}
