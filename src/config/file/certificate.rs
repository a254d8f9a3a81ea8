//! The schema of a certificate of the gateway, for its clients or for an upstream.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{FileName, Parsed};
use crate::config::reader::Field;

/// A certificate and its private key
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateYaml {
    /// PEM file: the certificate, then its intermediates.
    #[schemars(required, example = &"server.crt")]
    pub cert: Field<Parsed<FileName>>,
    /// PEM file: the private key of the certificate (PKCS#8, PKCS#1 or SEC1, not encrypted). It may be the same file as
    /// `cert`.
    #[schemars(required, example = &"server.key")]
    pub key: Field<Parsed<FileName>>,
}
