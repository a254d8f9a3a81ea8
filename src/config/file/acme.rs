//! The schema of `tls.acme` of a listener.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::issuer::SecretYaml;
use super::number::Switch;
use super::scalar::{FileName, HostName, Parsed};
use crate::config::reader::{Field, List, Section};

/// `tls.acme` of a listener
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeYaml {
    /// DNS names, each of which gets a certificate of its own: 1 to 100, without `*`. The authority must reach this
    /// listener on port 443 of each name.
    #[schemars(required, length(min = 1, max = 100), example = json!(["hooks.example.com"]))]
    pub names: Section<List<Parsed<HostName>>>,
    /// Whether you agree to the terms of service of the authority, which are named in its directory. It must be `true`.
    #[schemars(required, extend("const" = true), example = true)]
    pub terms_of_service_agreed: Field<bool>,
    /// Folder with the account's key and the certificates; it is created with mode 0700 if it does not exist, and its files
    /// have mode 0600. Keep it over restarts: otherwise each start orders new certificates, until the authority's rate
    /// limits reject them.
    #[schemars(required, length(min = 1), example = &"/var/lib/hookgate/acme")]
    pub storage: Field<String>,
    /// The ACME server: `production` or `staging` of Let's Encrypt, or the https URL of another server's directory. Begin
    /// with `staging`: its certificates are trusted by no client, and its rate limits are generous.
    #[schemars(extend("default" = "production"), example = &"staging")]
    pub directory: Field<String>,
    /// E-mail addresses at which the authority reaches you.
    #[schemars(example = json!(["ops@example.com"]))]
    pub contacts: Section<List<String>>,
    /// PEM file with the root certificates to trust in the connection to a private ACME server, instead of the public
    /// ones.
    #[schemars(example = &"private-ca.crt")]
    pub root_ca: Field<Parsed<FileName>>,
    /// External account binding: the account at the authority, where that requires one, as ZeroSSL and Google Trust
    /// Services do.
    #[schemars(example = json!({ "key_id": "kid-1", "hmac_key": { "file": "secrets/eab" } }))]
    pub eab: Field<EabYaml>,
    /// Whether this process orders certificates. Of several replicas exactly one is the holder; the others need `false` and
    /// the same `storage`, from which they read the certificates each minute.
    #[schemars(example = false)]
    pub holder: Switch<true>,
}

/// `eab`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EabYaml {
    /// The key id that the authority has given you.
    #[schemars(required, length(min = 1), example = &"kid-1")]
    pub key_id: Field<String>,
    /// The HMAC key that belongs to it, in base64url as the authority shows it.
    #[schemars(required, example = json!({ "file": "secrets/eab" }))]
    pub hmac_key: Field<SecretYaml>,
}
