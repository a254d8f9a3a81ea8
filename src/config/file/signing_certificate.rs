//! The schema of `certificate` of a signature: a certificate that requests name by its URL.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::scalar::{FileName, OneOrMany, Parsed};
use crate::auth::signature::Component;
use crate::config::reader::{Field, List, Section};

/// `certificate` of a signature: the key is that of a certificate, which the request names by its URL
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningCertificateYaml {
    /// Component with the URL, such as `header:NAME` or `json:/POINTER`. It need not be signed: another URL selects another
    /// certificate of the same name.
    #[schemars(required, example = &"json:/SigningCertURL")]
    pub url_from: Field<Parsed<Component>>,
    /// Hosts of the URL, exactly one of which it must have, with a port unless it is 443. The scheme is https. Each host
    /// must belong to the provider alone: with a pattern such as `sns.*.amazonaws.com` a bucket named `sns` would be one.
    #[schemars(required, length(min = 1, max = 16), example = json!(["sns.us-east-1.amazonaws.com"]))]
    pub hosts: Section<List<String>>,
    /// Regular expression for the whole path of the URL, which has no query.
    #[schemars(required, example = &"/SimpleNotificationService-[0-9a-f]+\\.pem")]
    pub path: Field<String>,
    /// The DNS name that the certificate must have, or several, any of which it may have. `*` is not allowed.
    #[schemars(required, example = &"sns.amazonaws.com")]
    pub subject: Field<OneOrMany<String>>,
    /// PEM file with root or issuing certificates, to one of which the certificate must chain, by the certificates in its
    /// file. Without it the host, which is authenticated by TLS, is trusted to have certificates of this name only.
    #[schemars(example = &"provider-ca.crt")]
    pub root_ca: Field<Parsed<FileName>>,
    /// PEM file with root certificates to trust for the fetch instead of the public ones.
    #[schemars(example = &"proxy-ca.crt")]
    pub ca: Field<Parsed<FileName>>,
    /// HTTP proxy through which certificates are fetched, by CONNECT. `HTTPS_PROXY` and other environment variables are not
    /// read.
    #[schemars(example = &"http://proxy.example.com:3128")]
    pub proxy: Field<String>,
}

/// `certificate` beside a preset: how its certificates are fetched
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateAccessYaml {
    /// PEM file with root or issuing certificates, to one of which the preset's certificate must chain, by the certificates
    /// in its file.
    #[schemars(example = &"provider-ca.crt")]
    pub root_ca: Field<Parsed<FileName>>,
    /// PEM file with root certificates to trust for the fetch instead of the public ones.
    #[schemars(example = &"proxy-ca.crt")]
    pub ca: Field<Parsed<FileName>>,
    /// HTTP proxy through which certificates are fetched, by CONNECT.
    #[schemars(example = &"http://proxy.example.com:3128")]
    pub proxy: Field<String>,
}
