//! The shape of an entry of `routes`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{DurationText, OneOrMany, SizeText};

/// An entry of `routes`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteFile {
    /// Its name in logs and metrics.
    pub name: Option<String>,
    /// Which requests.
    #[serde(rename = "match")]
    pub matches: Option<MatchFile>,
    /// Not supported yet.
    pub public_url: Option<Value>,
    /// Where they go.
    pub upstream: Option<UpstreamFile>,
    /// Whether refusals are carried out.
    pub mode: Option<ModeFile>,
    /// Not supported yet.
    pub observe_until: Option<Value>,
    /// Who may pass: { jwt: … }, or `public`, written out, for everybody.
    pub auth: Option<AuthFile>,
    /// A timestamp beside the credential.
    pub timestamp: Option<TimestampFile>,
    /// `off`; {id: …, on_duplicate: …} is not supported yet. A JWT route must write it.
    pub replay: Option<Value>,
    /// Not supported yet.
    pub idempotency: Option<Value>,
    /// Not supported yet.
    pub revocation: Option<Value>,
    /// Limits of its requests.
    pub limits: Option<RouteLimitsFile>,
    /// What the app is told.
    pub forward: Option<ForwardFile>,
    /// Another status for a code, such as {expired: 403}.
    pub responses: Option<BTreeMap<String, u16>>,
    /// Not supported yet.
    pub capture: Option<Value>,
}

/// `match` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatchFile {
    /// A host name without port; all hosts if absent.
    pub host: Option<String>,
    /// An exact path, or a prefix as `/hooks/*`.
    pub path: Option<String>,
    /// Methods; all if absent.
    pub methods: Option<Vec<String>>,
}

/// `upstream` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamFile {
    /// http://host:port
    pub url: Option<String>,
    /// From the end of the request's body to the end of the app's reply.
    pub timeout: Option<DurationText>,
    /// For a connection.
    pub connect_timeout: Option<DurationText>,
    /// How long an unused connection is kept: less than the app's own keep-alive.
    pub idle: Option<DurationText>,
    /// Not supported yet.
    pub urls: Option<Value>,
    /// Not supported yet.
    pub ca: Option<Value>,
}

/// Whether refusals are carried out
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeFile {
    /// Yes.
    Enforce,
    /// Not supported yet.
    Observe,
}

/// Who may pass: `{ jwt: … }`, or `public`, written out, for everybody
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "{ jwt: … }, or `public` for everybody")]
pub enum AuthFile {
    /// `public`
    Word(AuthWord),
    /// One of the schemes.
    Scheme(Box<AuthScheme>),
}

/// The word for everybody
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthWord {
    /// Everybody.
    Public,
}

/// `auth` of a route: exactly one scheme
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthScheme {
    /// A JSON Web Token.
    pub jwt: Option<JwtFile>,
    /// Not supported yet.
    pub preset: Option<Value>,
    /// Not supported yet.
    pub secret: Option<Value>,
    /// Not supported yet.
    pub secrets: Option<Value>,
    /// Not supported yet.
    pub tolerance: Option<Value>,
    /// Not supported yet.
    pub parameters: Option<Value>,
    /// Not supported yet.
    pub signature: Option<Value>,
    /// Not supported yet.
    pub token: Option<Value>,
    /// Not supported yet.
    pub client_certificate: Option<Value>,
    /// Not supported yet.
    pub all_of: Option<Value>,
    /// Not supported yet.
    pub any_of: Option<Value>,
}

/// `jwt`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtFile {
    /// A name under `issuers`, or several.
    pub issuer: Option<OneOrMany>,
    /// The exact `aud`, or several of which one must be named.
    pub audience: Option<OneOrMany>,
    /// Claims that must be there; iss, aud and exp are in any case.
    pub required: Option<Vec<String>>,
    /// Claim, or JSON pointer → value, or {one_of|contains|prefix|matches|exists: …}.
    pub claims: Option<BTreeMap<String, Value>>,
    /// Allowed `typ` of the header, where there is one; JWT and at+jwt if absent.
    pub types: Option<Vec<String>>,
    /// The greatest age, now − iat.
    pub max_age: Option<DurationText>,
    /// The longest life, exp − iat.
    pub max_lifetime: Option<DurationText>,
    /// How far clocks may differ.
    pub leeway: Option<DurationText>,
    /// Where the token is; `Authorization: Bearer` if absent.
    pub token: Option<TokenFile>,
    /// Not supported yet.
    pub body_hash: Option<Value>,
    /// Not supported yet.
    pub url_hash: Option<Value>,
    /// Not supported yet.
    pub url: Option<Value>,
    /// Not supported yet.
    pub method: Option<Value>,
    /// Not supported yet.
    pub bound_certificate: Option<Value>,
}

/// Where the token is: exactly one of header, query and cookie
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenFile {
    /// A header's name.
    pub header: Option<String>,
    /// The word before the token in that header.
    pub scheme: Option<String>,
    /// A query parameter's name.
    pub query: Option<String>,
    /// A cookie's name.
    pub cookie: Option<String>,
    /// Not supported yet.
    pub form: Option<Value>,
    /// Not supported yet.
    pub json: Option<Value>,
    /// Not supported yet.
    pub body: Option<Value>,
}

/// `timestamp` of a route: exactly one of header and claim
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimestampFile {
    /// A header's name.
    pub header: Option<String>,
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
    /// Not supported yet.
    pub json: Option<Value>,
    /// How the time is written.
    pub unit: Option<UnitFile>,
    /// How old it may be.
    pub max_age: Option<DurationText>,
    /// How far ahead it may be.
    pub max_future: Option<DurationText>,
    /// Must be written as false where the credential does not sign the timestamp.
    pub covered: Option<bool>,
}

/// How a time is written
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnitFile {
    /// Unix seconds.
    #[default]
    S,
    /// Unix milliseconds.
    Ms,
    /// Unix microseconds.
    Us,
    /// RFC 3339.
    Rfc3339,
}

/// `limits` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimitsFile {
    /// The largest request body.
    pub body: Option<SizeText>,
    /// Not supported yet.
    pub rate: Option<Value>,
    /// Not supported yet.
    pub burst: Option<Value>,
    /// Not supported yet.
    pub concurrency: Option<Value>,
    /// Not supported yet.
    pub rate_unauthenticated: Option<Value>,
    /// Addresses, or nets such as 203.0.113.0/24, one of which must hold the peer's.
    pub allow: Option<Vec<String>>,
}

/// `forward` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardFile {
    /// Whether the app sees the credential.
    pub credential: Option<CredentialFile>,
    /// Claim → header in which the app gets it.
    pub claims: Option<BTreeMap<String, String>>,
}

/// Whether the app sees the credential
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialFile {
    /// As it came.
    Keep,
    /// No.
    Remove,
}
