//! A certificate authority for clients, with its revocation list.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, RevokedCertParams, SanType, SerialNumber};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub struct Authority {
    pub pem: String,
    params: CertificateParams,
    key: KeyPair,
}

/// A client's certificate and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Certificate and key in PEM form.
    pub fn pem(&self) -> (String, String) {
        let pem = |label: &str, der: &[u8]| {
            let lines = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
            format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
        };
        (pem("CERTIFICATE", &self.certificate), pem("PRIVATE KEY", self.key.secret_der()))
    }

    /// SHA-256 of the certificate.
    pub fn sha256(&self) -> Vec<u8> {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.certificate).as_ref().to_vec()
    }
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { pem: params.self_signed(&key).unwrap().pem(), params, key }
    }

    /// A client with one DNS name.
    pub fn client(&self, name: &str, serial: u64) -> Identity {
        self.client_named(SanType::DnsName(name.try_into().unwrap()), serial)
    }

    /// A client with one name of any kind.
    pub fn client_named(&self, name: SanType, serial: u64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.serial_number = Some(serial.into());
        let certificate = params.signed_by(&key, &self.issuer()).unwrap().der().clone();
        Identity { certificate, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }

    /// A revocation list in PEM form, valid until the beginning of the year `until`.
    pub fn list(&self, until: i32, revoked: &[u64]) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> rcgen::Issuer<'_, &KeyPair> {
        rcgen::Issuer::from_params(&self.params, &self.key)
    }
}
