//! Keys and certificates for development: a CA, a certificate for localhost, and an issuer that signs with RS256. They
//! are generated on this machine each time and are not fit for production.

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose};
use serde_json::{Value, json};

/// The certificate of a CA, and a server certificate that it signed with its private key, in PEM form.
pub(super) struct Certificates {
    pub(super) ca: String,
    pub(super) server: String,
    pub(super) server_key: String,
}

impl Certificates {
    /// Generates a CA and a server certificate for localhost, 127.0.0.1 and [::1].
    pub(super) fn generate() -> anyhow::Result<Self> {
        let ca_key = rcgen::KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "hookgate development CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;

        let server_key = rcgen::KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        // Some clients reject certificates that are valid for more than 825 days.
        let this_year = i32::from(jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).year());
        server.not_after = rcgen::date_time_ymd(this_year + 2, 1, 1);
        let server_certificate = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;
        Ok(Self { ca: ca_certificate.pem(), server: server_certificate.pem(), server_key: server_key.serialize_pem() })
    }
}

/// A development issuer, which signs tokens with RS256.
pub(super) struct DevIssuer {
    key: EncodingKey,
    /// The private key in PEM form (PKCS #8).
    pub(super) private_pem: String,
    public: Jwk,
    /// The key ID: the thumbprint of the public key (RFC 7638).
    pub(super) kid: String,
}

impl DevIssuer {
    /// Generates an issuer with an RSA key of 2048 bits.
    pub(super) fn generate() -> anyhow::Result<Self> {
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?;
        let private_pem = pair.serialize_pem();
        let key = EncodingKey::from_rsa_pem(private_pem.as_bytes())?;
        let public = Jwk::from_encoding_key(&key, Algorithm::RS256)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256)?;
        Ok(Self { key, private_pem, public, kid })
    }

    /// The issuer's JWK Set (RFC 7517), with the public key.
    pub(super) fn jwks(&self) -> anyhow::Result<Value> {
        let mut jwk = serde_json::to_value(&self.public)?;
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".to_owned(), self.kid.clone().into());
            members.insert("use".to_owned(), "sig".into());
            members.insert("alg".to_owned(), "RS256".into());
        }
        Ok(json!({ "keys": [jwk] }))
    }

    /// A signed JWT with these claims.
    pub(super) fn token(&self, claims: &Value) -> anyhow::Result<String> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::RS256) };
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}
