//! The shape of an entry of `routes`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::preset::HandshakeSwitch;
use super::signature::{SignatureEncodingFile, SignatureFile, StaticTokenFile, UrlVariantFile};
use super::state::{IdempotencyFile, ReplayFile};
use super::{DurationText, JwksFile, OneOrMany, RateText, SecretFile, SizeText};

/// An entry of `routes`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteFile {
    /// Its name in logs and metrics.
    pub name: Option<String>,
    /// Which requests.
    #[serde(rename = "match")]
    pub matches: Option<MatchFile>,
    /// The address that senders know, such as `https://hooks.example.com`; https and the request's host if absent.
    pub public_url: Option<String>,
    /// Where they go.
    pub upstream: Option<UpstreamFile>,
    /// Whether refusals are carried out.
    pub mode: Option<ModeFile>,
    /// The last day of `mode: observe`, in UTC, such as 2026-12-31.
    pub observe_until: Option<String>,
    /// Who may pass: { jwt: … }, { preset: … }, …, or `public`, written out, for everybody.
    pub auth: Option<AuthFile>,
    /// A timestamp beside the credential.
    pub timestamp: Option<TimestampFile>,
    /// `off`, or what is remembered: {id: …, on_duplicate: …}. A JWT route must write it.
    pub replay: Option<ReplayFile>,
    /// What was done for a key is not done again.
    pub idempotency: Option<IdempotencyFile>,
    /// Tokens that shall not pass any more.
    pub revocation: Option<RevocationFile>,
    /// Limits of its requests.
    pub limits: Option<RouteLimitsFile>,
    /// What the app is told.
    pub forward: Option<ForwardFile>,
    /// Another status for a code, such as {expired: 403}.
    pub responses: Option<BTreeMap<String, u16>>,
    /// Keeps refused requests, secrets and all, for `hookgate explain`.
    pub capture: Option<CaptureFile>,
}

/// `capture` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureFile {
    /// How many are kept; the oldest go.
    pub refused: Option<usize>,
    /// The folder in which they are kept.
    pub dir: Option<String>,
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
    /// http://host:port, https://host:port or unix:/path
    pub url: Option<String>,
    /// Several instead, which take turns; what cannot be reached is set aside for a while.
    pub urls: Option<Vec<String>>,
    /// PEM file of certificates that an https app's must hang from; public roots if absent.
    pub ca: Option<String>,
    /// From the end of the request's body to the end of the app's reply.
    pub timeout: Option<DurationText>,
    /// For a connection, its TLS handshake included.
    pub connect_timeout: Option<DurationText>,
    /// How long an unused connection is kept: less than the app's own keep-alive.
    pub idle: Option<DurationText>,
}

/// Whether refusals are carried out
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModeFile {
    /// Yes.
    Enforce,
    /// No: everything is forwarded, and log and metrics say what would have been refused.
    Observe,
}

/// Who may pass: `{ jwt: … }`, `{ preset: … }`, …, or `public`, written out, for everybody
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "{ jwt: … }, { preset: … }, …, or `public` for everybody")]
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

/// `auth` of a route: exactly one of jwt, preset, signature, token, client_certificate, all_of and any_of
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthScheme {
    /// A JSON Web Token.
    pub jwt: Option<JwtFile>,
    /// A provider's name; `hookgate presets` lists them.
    pub preset: Option<String>,
    /// The secret that the preset asks for.
    pub secret: Option<SecretFile>,
    /// Several, of which any may match.
    pub secrets: Option<Vec<SecretFile>>,
    /// How old a request of the preset may be; it may not be farther ahead than that either.
    pub tolerance: Option<DurationText>,
    /// What else the preset asks for, by name.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Keys instead of those that the preset fetches.
    pub jwks: Option<JwksFile>,
    /// Whether the provider's questions about the endpoint are answered.
    pub handshake: Option<HandshakeSwitch>,
    /// A signature, described piece by piece.
    pub signature: Option<SignatureFile>,
    /// A secret that the sender shows as it is.
    pub token: Option<StaticTokenFile>,
    /// A client certificate (mutual TLS) that the listener trusts.
    pub client_certificate: Option<ClientCertificateFile>,
    /// Each of these.
    pub all_of: Option<Vec<AuthScheme>>,
    /// One of these, and each whose credential is there.
    pub any_of: Option<Vec<AuthScheme>>,
}

/// `client_certificate`: with neither list, any certificate that the listener trusts
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificateFile {
    /// Names of which it has one: spiffe://…, dns:…, uri:…, email:… or ip:….
    pub san: Option<Vec<String>>,
    /// SHA-256 of which it has one, in hex.
    pub sha256: Option<Vec<String>>,
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
    /// The claim that holds a hash of the body.
    pub body_hash: Option<BodyHashFile>,
    /// The claim that holds a hash of the URL.
    pub url_hash: Option<UrlHashFile>,
    /// The claim that holds the URL.
    pub url: Option<UrlClaimFile>,
    /// The claim that holds the method.
    pub method: Option<MethodClaimFile>,
    /// Atlassian's hash over method, path and query, in the claim `qsh`.
    pub qsh: Option<bool>,
    /// A claim beside `iat` that tells when the token was made.
    pub time: Option<TimeClaimFile>,
    /// The token is bound to the client's certificate (`cnf`, RFC 8705).
    pub bound_certificate: Option<bool>,
}

/// `body_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BodyHashFile {
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
    /// Which hash; sha256 if absent.
    pub algorithm: Option<HashFile>,
    /// How it is written; hex if absent. Both base64 forms with or without padding.
    pub encoding: Option<SignatureEncodingFile>,
    /// When it must be there; always, if absent.
    pub presence: Option<HashPresenceFile>,
}

/// `url_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlHashFile {
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
    /// Which hash; sha256 if absent.
    pub algorithm: Option<HashFile>,
    /// How it is written; hex if absent.
    pub encoding: Option<SignatureEncodingFile>,
    /// Parts of the URL in which senders differ from what arrives: port, slash.
    pub variants: Option<Vec<UrlVariantFile>>,
}

/// `url`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UrlClaimFile {
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
    /// Whether the query belongs to it; it does, save in `htu` (RFC 9449).
    pub query: Option<bool>,
    /// Parts of the URL in which senders differ from what arrives: port, slash.
    pub variants: Option<Vec<UrlVariantFile>>,
}

/// `method`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MethodClaimFile {
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
}

/// `time` of a JWT
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeClaimFile {
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
    /// How the time is written.
    pub unit: Option<UnitFile>,
    /// How old it may be.
    pub max_age: Option<DurationText>,
}

/// A hash
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

/// When a body's hash must be there
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashPresenceFile {
    /// Always.
    #[default]
    Required,
    /// Never: a body without its hash passes.
    Optional,
    /// Where the body is not empty.
    WithBody,
    /// Where the body is not empty, and never where it is.
    AbsentIfEmpty,
}

/// Where the token is: exactly one of header, query, cookie, form, json and body
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenFile {
    /// A header's name.
    pub header: Option<String>,
    /// The word before the token in that header, with a blank after it unless it ends in `=`; `none` for none.
    pub scheme: Option<String>,
    /// A query parameter's name.
    pub query: Option<String>,
    /// A cookie's name.
    pub cookie: Option<String>,
    /// A field's name in a form body.
    pub form: Option<String>,
    /// A JSON pointer into the body.
    pub json: Option<String>,
    /// `true`: the whole body.
    pub body: Option<bool>,
}

/// `timestamp` of a route: exactly one of header, claim and json
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimestampFile {
    /// A header's name.
    pub header: Option<String>,
    /// A claim's name, or a JSON pointer.
    pub claim: Option<String>,
    /// A JSON pointer into the body.
    pub json: Option<String>,
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

/// `revocation` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RevocationFile {
    /// A YAML file with lists of `jti`, `sub` and `kid`, and a time `issued_before`; a change takes effect by itself.
    pub file: Option<String>,
    /// true: what a `state` of kind redis says is revoked; asked for each request, and effective at once.
    pub shared: Option<bool>,
}

/// `limits` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimitsFile {
    /// The largest request body.
    pub body: Option<SizeText>,
    /// How often verified requests pass, all together.
    pub rate: Option<RateText>,
    /// How many of them at once, after a silence; as many as the number in `rate` if absent.
    pub burst: Option<u32>,
    /// How many verified requests are on their way at a time.
    pub concurrency: Option<u32>,
    /// How often requests of one address, or one /64 in IPv6, are refused before it is not listened to any more.
    pub rate_unauthenticated: Option<RateText>,
    /// The same for each issuer.
    pub issuer: Option<LimitFile>,
    /// The same for each subject of an issuer.
    pub subject: Option<LimitFile>,
    /// Counted together with other replicas; needs a `state` of kind redis.
    pub shared: Option<bool>,
    /// Addresses, or nets such as 203.0.113.0/24, one of which must hold the peer's.
    pub allow: Option<Vec<String>>,
}

/// `issuer` or `subject` of `limits`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitFile {
    /// How often verified requests pass.
    pub rate: Option<RateText>,
    /// How many of them at once, after a silence; as many as the number in `rate` if absent.
    pub burst: Option<u32>,
    /// How many verified requests are on their way at a time.
    pub concurrency: Option<u32>,
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
