//! Certificate authorities, their certificates and revocation lists, for tests.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, SanType,
    SerialNumber,
};

use super::ClientCertificate;

/// The current time in tests: 2026-11-24T00:00:00Z.
pub(crate) const NOW: u64 = 1_795_478_400;

pub(crate) struct TestAuthority {
    pub(crate) certificate: Certificate,
    params: CertificateParams,
    key: KeyPair,
}

impl TestAuthority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority(name, 1);
        Self { certificate: params.self_signed(&key).unwrap(), params, key }
    }

    /// An authority certified by this one.
    pub(crate) fn below(&self, name: &str, serial: u64) -> Self {
        self.below_with(name, serial, |params| params)
    }

    /// Like [`Self::below`], with its certificate's parameters modified by `change`.
    pub(crate) fn below_with(
        &self,
        name: &str,
        serial: u64,
        change: impl FnOnce(CertificateParams) -> CertificateParams,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = change(authority(name, serial));
        Self { certificate: params.signed_by(&key, &self.issuer()).unwrap(), params, key }
    }

    /// Signs a leaf certificate; returns it with its key.
    pub(crate) fn sign(&self, params: &CertificateParams) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer()).unwrap(), key)
    }

    /// A client certificate as a TLS handshake would present it.
    pub(crate) fn client(&self, params: &CertificateParams) -> ClientCertificate {
        ClientCertificate::from_chain(&[self.sign(params).0.der().clone()]).unwrap()
    }

    /// A revocation list in PEM form, valid from the start of `years.start` to the start of `years.end`.
    pub(crate) fn list(&self, years: std::ops::Range<i32>, revoked: &[u64]) -> String {
        let revoked = revoked.iter().map(|serial| rcgen::RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(years.start, 1, 1),
            next_update: rcgen::date_time_ymd(years.end, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn authority(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(serial.into());
    params
}

/// The parameters of a leaf with these names.
pub(crate) fn leaf(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.serial_number = Some(7.into());
    params
}

/// The parameters of a leaf whose names are raw bytes, each with its `GeneralName` tag (RFC 5280 §4.2.1.6).
pub(crate) fn leaf_of_bytes(names: &[(u8, &[u8])]) -> CertificateParams {
    let name = |(tag, bytes): &(u8, &[u8])| [&[0x80 | tag, u8::try_from(bytes.len()).unwrap()], *bytes].concat();
    let names: Vec<u8> = names.iter().flat_map(name).collect();
    let sequence = [&[0x30, u8::try_from(names.len()).unwrap()], names.as_slice()].concat();
    let mut params = leaf(Vec::new());
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], sequence)];
    params
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(crate) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}
