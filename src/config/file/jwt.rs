//! The schema of `auth.jwt`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::number::Switch;
use super::scalar::{Delay, OneOrMany, OptionalDuration, Parsed, PlaceKey, Timeout};
use crate::auth::claims::Pointer;
use crate::auth::encoding::Encoding;
use crate::auth::jwt::binding::{BindingHash, HashPresence};
use crate::auth::request::UrlVariant;
use crate::auth::time::TimestampUnit;
use crate::config::reader::{Field, List, Section};

/// `jwt`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtYaml {
    /// A name under `issuers`, or several.
    pub issuer: Field<OneOrMany<String>>,
    /// The exact `aud`, or several, one of which the token must have.
    pub audience: Field<OneOrMany<String>>,
    /// Claims that a token must have; iss, aud and exp are always required.
    pub required_claims: Section<List<String>>,
    /// Claim name or JSON pointer → value, or {one_of|contains|prefix|matches|exists: …}.
    pub claims: Section<BTreeMap<String, Field<Value>>>,
    /// Allowed values of the header parameter `typ`, if a token has one; JWT and at+jwt if absent.
    pub allowed_types: Section<List<String>>,
    /// Maximum age of a token: now − iat.
    pub max_age: OptionalDuration,
    /// Maximum lifetime of a token: exp − iat.
    pub max_lifetime: OptionalDuration,
    /// Clock skew that is tolerated between the issuer and hookgate.
    pub leeway: Delay<30_000>,
    /// Where the token is; `Authorization: Bearer` if absent.
    pub token_from: Field<TokenYaml>,
    /// The claim with a hash of the body.
    pub body_hash: Field<BodyHashYaml>,
    /// The claim with a hash of the URL.
    pub url_hash: Field<UrlHashYaml>,
    /// The claim with the URL.
    pub url: Field<UrlClaimYaml>,
    /// The claim with the method.
    pub method: Field<MethodClaimYaml>,
    /// Atlassian's hash of method, path and query, in the claim `qsh`.
    pub qsh: Switch<false>,
    /// A claim other than `iat` with the time of issue.
    pub time_claim: Field<TimeClaimYaml>,
    /// Whether the token is bound to the client's certificate (`cnf`, RFC 8705).
    pub bound_certificate: Switch<false>,
}

/// `body_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyHashYaml {
    /// Name of the claim, or a JSON pointer.
    pub claim: Field<Parsed<Pointer>>,
    /// Hash algorithm; sha256 if absent.
    pub algorithm: Field<BindingHash>,
    /// Encoding of the hash; hex if absent. Both base64 encodings are accepted with and without padding.
    pub encoding: Field<Encoding>,
    /// When the claim must be present; required if absent.
    pub presence: Field<HashPresence>,
}

/// `url_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlHashYaml {
    /// Name of the claim, or a JSON pointer.
    pub claim: Field<Parsed<Pointer>>,
    /// Hash algorithm; sha256 if absent.
    pub algorithm: Field<BindingHash>,
    /// Encoding of the hash; hex if absent.
    pub encoding: Field<Encoding>,
    /// Parts of the URL in which senders differ: port, trailing slash.
    pub variants: Section<List<UrlVariant>>,
}

/// `url`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlClaimYaml {
    /// Name of the claim, or a JSON pointer.
    pub claim: Field<Parsed<Pointer>>,
    /// Whether the claim holds the query too; true if absent, except for `htu` (RFC 9449).
    pub query: Field<bool>,
    /// Parts of the URL in which senders differ: port, trailing slash.
    pub variants: Section<List<UrlVariant>>,
}

/// `method`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodClaimYaml {
    /// Name of the claim, or a JSON pointer.
    pub claim: Field<Parsed<Pointer>>,
}

/// `time_claim` of a JWT
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeClaimYaml {
    /// Name of the claim, or a JSON pointer.
    pub claim: Field<Parsed<Pointer>>,
    /// Unit or format of the time; default: s.
    pub unit: Field<TimestampUnit>,
    /// Maximum age; 5m if absent.
    pub max_age: Timeout<300_000>,
}

/// Where the token is: exactly one of header, query, cookie, form, json and body
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenYaml {
    /// Name of a header.
    pub header: Field<String>,
    /// Authentication scheme before the token in that header, followed by a space unless it ends in `=`; `none` for no
    /// scheme.
    pub scheme: Field<String>,
    /// Name of a query parameter.
    pub query: Field<String>,
    /// Name of a cookie.
    pub cookie: Field<String>,
    /// Field of a form body.
    pub form: Field<String>,
    /// JSON pointer into the body.
    pub json: Field<String>,
    /// `true`: the body is the token.
    pub body: Switch<false>,
}

impl TokenYaml {
    /// The keys of which exactly one says where the token is, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 6] {
        let body = self.body.get().then_some("");
        [
            PlaceKey::of("header", &self.header),
            PlaceKey::of("query", &self.query),
            PlaceKey::of("cookie", &self.cookie),
            PlaceKey::of("form", &self.form),
            PlaceKey::of("json", &self.json),
            PlaceKey { key: "body", text: body, at: self.body.at },
        ]
    }
}
