//! The schema of `auth.jwt`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::scalar::{DurationText, OneOrMany, UnitFile};
use super::signature::{SignatureEncodingFile, UrlVariantFile};

/// `jwt`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtFile {
    /// A name under `issuers`, or several.
    pub issuer: Option<OneOrMany>,
    /// The exact `aud`, or several, one of which the token must have.
    pub audience: Option<OneOrMany>,
    /// Claims that a token must have; iss, aud and exp are always required.
    pub required_claims: Option<Vec<String>>,
    /// Claim name or JSON pointer → value, or {one_of|contains|prefix|matches|exists: …}.
    pub claims: Option<BTreeMap<String, Value>>,
    /// Allowed values of the header parameter `typ`, if a token has one; JWT and at+jwt if absent.
    pub allowed_types: Option<Vec<String>>,
    /// Maximum age of a token: now − iat.
    pub max_age: Option<DurationText>,
    /// Maximum lifetime of a token: exp − iat.
    pub max_lifetime: Option<DurationText>,
    /// Clock skew that is tolerated between the issuer and hookgate.
    pub leeway: Option<DurationText>,
    /// Where the token is; `Authorization: Bearer` if absent.
    pub token_from: Option<TokenFile>,
    /// The claim with a hash of the body.
    pub body_hash: Option<BodyHashFile>,
    /// The claim with a hash of the URL.
    pub url_hash: Option<UrlHashFile>,
    /// The claim with the URL.
    pub url: Option<UrlClaimFile>,
    /// The claim with the method.
    pub method: Option<MethodClaimFile>,
    /// Atlassian's hash of method, path and query, in the claim `qsh`.
    pub qsh: Option<bool>,
    /// A claim other than `iat` with the time of issue.
    pub time_claim: Option<TimeClaimFile>,
    /// Whether the token is bound to the client's certificate (`cnf`, RFC 8705).
    pub bound_certificate: Option<bool>,
}

/// `body_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BodyHashFile {
    /// Name of the claim, or a JSON pointer.
    pub claim: Option<String>,
    /// Hash algorithm; sha256 if absent.
    pub algorithm: Option<HashFile>,
    /// Encoding of the hash; hex if absent. Both base64 encodings are accepted with and without padding.
    pub encoding: Option<SignatureEncodingFile>,
    /// When the claim must be present; required if absent.
    pub presence: Option<HashPresenceFile>,
}

/// `url_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlHashFile {
    /// Name of the claim, or a JSON pointer.
    pub claim: Option<String>,
    /// Hash algorithm; sha256 if absent.
    pub algorithm: Option<HashFile>,
    /// Encoding of the hash; hex if absent.
    pub encoding: Option<SignatureEncodingFile>,
    /// Parts of the URL in which senders differ: port, trailing slash.
    pub variants: Option<Vec<UrlVariantFile>>,
}

/// `url`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlClaimFile {
    /// Name of the claim, or a JSON pointer.
    pub claim: Option<String>,
    /// Whether the claim holds the query too; true if absent, except for `htu` (RFC 9449).
    pub query: Option<bool>,
    /// Parts of the URL in which senders differ: port, trailing slash.
    pub variants: Option<Vec<UrlVariantFile>>,
}

/// `method`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MethodClaimFile {
    /// Name of the claim, or a JSON pointer.
    pub claim: Option<String>,
}

/// `time_claim` of a JWT
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeClaimFile {
    /// Name of the claim, or a JSON pointer.
    pub claim: Option<String>,
    /// Unit or format of the time; default: s.
    pub unit: Option<UnitFile>,
    /// Maximum age; 5m if absent.
    pub max_age: Option<DurationText>,
}

/// A hash algorithm
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashFile {
    /// SHA-256
    #[default]
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// When the hash of a body must be present
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashPresenceFile {
    /// Always.
    #[default]
    Required,
    /// Never: a body without its hash is accepted.
    Optional,
    /// With a body that is not empty.
    WithBody,
    /// With a body that is not empty; it must be absent with an empty body.
    AbsentIfEmpty,
}

/// Where the token is: exactly one of header, query, cookie, form, json and body
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenFile {
    /// Name of a header.
    pub header: Option<String>,
    /// Authentication scheme before the token in that header, followed by a space unless it ends in `=`; `none` for no
    /// scheme.
    pub scheme: Option<String>,
    /// Name of a query parameter.
    pub query: Option<String>,
    /// Name of a cookie.
    pub cookie: Option<String>,
    /// Field of a form body.
    pub form: Option<String>,
    /// JSON pointer into the body.
    pub json: Option<String>,
    /// `true`: the body is the token.
    pub body: Option<bool>,
}
