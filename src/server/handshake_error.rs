//! Why a TLS handshake with a client failed, as `hookgate_tls_handshakes_total` counts it, and its log line.

use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};

pub(super) use crate::metrics::HandshakeError;
use crate::telemetry;

/// The longest error text that is logged, in bytes: some contain names in the client's certificate.
const LONGEST_ERROR: usize = 256;

/// A failed TLS handshake.
#[derive(Debug)]
pub(super) struct HandshakeFailure {
    pub(super) reason: HandshakeError,
    /// The error of the TLS library.
    error: Option<String>,
}

impl From<HandshakeError> for HandshakeFailure {
    fn from(reason: HandshakeError) -> Self {
        Self { reason, error: None }
    }
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        Self::new(HandshakeError::of(&error), &error)
    }
}

impl HandshakeFailure {
    fn new(reason: HandshakeError, error: &io::Error) -> Self {
        let mut text = error.to_string();
        let end = (0..=LONGEST_ERROR.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        Self { reason, error: Some(text) }
    }

    /// The failed handshake with a client that wants a name without a certificate.
    pub(super) fn without_certificate(error: &io::Error) -> Self {
        Self::new(HandshakeError::NoCertificate, error)
    }

    /// Logs it, at a bounded rate. `server_name` is the SNI, which rustls reads only if it is a DNS name, so it has at
    /// most 253 bytes.
    pub(super) fn log(&self, listener: &str, client: SocketAddr, server_name: Option<&str>) {
        let (reason, error) = (self.reason.label(), self.error.as_deref());
        if !telemetry::may_log(reason) {
            return;
        }
        telemetry::unauthenticated(|| {
            tracing::info!(
                listener,
                client_address = %client.ip(),
                client_port = client.port(),
                server_name,
                reason,
                error,
                "TLS handshake failed"
            );
        });
    }
}

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
                // A self-signed certificate, which OpenSSL makes as that of a CA unless it is told otherwise.
                CertificateError::Other(OtherError(error)) if is_ca(error.as_ref()) => Self::UnknownCa,
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
                // Which of them a library sends for another host name is its own choice.
                AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnsupportedCertificate => Self::BadCertificate,
                _other => Self::Other,
            },
            _other => Self::Other,
        }
    }
}

fn is_ca(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    fn label(error: Error) -> &'static str {
        HandshakeError::of(&io::Error::new(io::ErrorKind::InvalidData, error)).label()
    }

    #[test]
    fn errors_of_rustls_have_their_reasons() {
        let certificate = Error::InvalidCertificate;
        let other = |error: webpki::Error| certificate(CertificateError::Other(OtherError(std::sync::Arc::new(error))));
        for (error, reason) in [
            (Error::NoCertificatesPresented, "no_client_certificate"),
            (certificate(CertificateError::UnknownIssuer), "unknown_ca"),
            (certificate(CertificateError::Expired), "certificate_expired"),
            (certificate(CertificateError::Revoked), "certificate_revoked"),
            (certificate(CertificateError::BadSignature), "unknown_ca"),
            (certificate(CertificateError::BadEncoding), "other"),
            (other(webpki::Error::CaUsedAsEndEntity), "unknown_ca"),
            (other(webpki::Error::EmptyEkuExtension), "other"),
            (Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled), "protocol_version"),
            (Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon), "other"),
            (Error::NoApplicationProtocol, "no_common_alpn"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "unknown_ca"),
            (Error::AlertReceived(AlertDescription::BadCertificate), "bad_certificate"),
            (Error::AlertReceived(AlertDescription::CertificateUnknown), "bad_certificate"),
            (Error::AlertReceived(AlertDescription::InternalError), "other"),
            (Error::DecryptError, "other"),
        ] {
            assert_eq!(label(error.clone()), reason, "{error:?}");
        }
        assert_eq!(HandshakeError::of(&io::ErrorKind::UnexpectedEof.into()).label(), "other");
    }
    /// Ten lines of each reason, with the client and the name that it requested, and no more of the error than 256 bytes.
    #[test]
    fn a_failed_handshake_is_logged_at_a_bounded_rate() {
        let error = Error::General("\u{e9}\n".repeat(200));
        let failure = HandshakeFailure {
            reason: HandshakeError::CertificateRevoked,
            ..io::Error::new(io::ErrorKind::InvalidData, error).into()
        };
        let mut file = tempfile::tempfile().unwrap();
        let output = std::sync::Mutex::new(file.try_clone().unwrap());
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(output).finish();
        tracing::subscriber::with_default(subscriber, || {
            (0..50).for_each(|_| failure.log("0.0.0.0:443", ([192, 0, 2, 1], 9).into(), Some("hooks.test")));
        });
        let mut lines = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut lines).unwrap();
        assert_eq!(lines.lines().count(), 10, "{lines}");
        let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        for (field, value) in
            [("client_address", "192.0.2.1"), ("server_name", "hooks.test"), ("reason", "certificate_revoked")]
        {
            assert_eq!(line[field], value, "{line}");
        }
        assert!((200..=256).contains(&line["error"].as_str().unwrap().len()), "{line}");
    }
}
