//! The schema of an entry of `routes`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::issuer::{JwksFile, SecretFile};
use super::jwt::JwtFile;
use super::preset::ChallengeSwitch;
use super::scalar::{DurationText, RateText, SizeText, UnitFile};
use super::signature::{SignatureFile, StaticTokenFile};
use super::store::{IdempotencyFile, ReplayProtectionFile};

/// An entry of `routes`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteFile {
    /// The route's name in the access log and in metrics.
    pub name: Option<String>,
    /// Which requests the route matches.
    #[serde(rename = "match")]
    pub matches: Option<MatchFile>,
    /// The URL under which senders know the route, such as `https://hooks.example.com`; https and the request's host if
    /// absent.
    pub public_url: Option<String>,
    /// IP allowlist: IP addresses and CIDR ranges such as 203.0.113.0/24, one of which must contain the client's
    /// address.
    pub allowed_ips: Option<Vec<String>>,
    /// Where verified requests are forwarded.
    pub upstream: Option<UpstreamFile>,
    /// Whether requests are rejected (`enforce`), or only counted and logged as such (`dry_run`).
    pub mode: Option<ModeFile>,
    /// The last day of `mode: dry_run`, in UTC, such as 2026-12-31.
    pub dry_run_until: Option<String>,
    /// How requests are authenticated: { jwt: … }, { preset: … }, …, or `public` for no authentication.
    pub auth: Option<AuthFile>,
    /// A timestamp outside the credential, which must be recent.
    pub timestamp: Option<TimestampFile>,
    /// Replay protection: `disabled`, or {id: …, on_duplicate: …}. Required for a JWT.
    pub replay_protection: Option<ReplayProtectionFile>,
    /// Idempotency keys: a request with the key of a committed one is not forwarded again.
    pub idempotency: Option<IdempotencyFile>,
    /// Revocation of tokens before they expire.
    pub revocation: Option<RevocationFile>,
    /// Limits of requests: body size, rate, concurrency.
    pub limits: Option<RouteLimitsFile>,
    /// The credential and the claims that the upstream gets.
    pub forward: Option<ForwardFile>,
    /// Another HTTP status for a reason, such as {token_expired: 403}.
    pub status_overrides: Option<BTreeMap<String, u16>>,
    /// Stores rejected requests, credentials included, for `hookgate explain`.
    pub capture: Option<CaptureFile>,
}

/// `capture` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureFile {
    /// Number of requests to store; the oldest are deleted.
    pub max_requests: Option<usize>,
    /// Directory in which they are stored.
    pub dir: Option<String>,
}

/// `match` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatchFile {
    /// Host name without a port; every host if absent.
    pub host: Option<String>,
    /// Exact path, or a prefix such as `/hooks/*`.
    pub path: Option<String>,
    /// HTTP methods; every method if absent.
    pub methods: Option<Vec<String>>,
}

/// `upstream` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamFile {
    /// http://host:port, https://host:port or unix:/path
    pub url: Option<String>,
    /// Several endpoints instead of `url`, with round-robin load balancing and passive health checks.
    pub urls: Option<Vec<String>>,
    /// PEM file with the root certificates that an https upstream's certificate must chain to; public roots if absent.
    pub ca: Option<String>,
    /// Timeouts of the upstream.
    pub timeouts: Option<UpstreamTimeoutsFile>,
}

/// `timeouts` of an upstream
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTimeoutsFile {
    /// From the end of the request's body to the end of the response; 30s if absent.
    pub total: Option<DurationText>,
    /// Connecting, TLS handshake included; 5s if absent.
    pub connect: Option<DurationText>,
    /// How long an idle connection is kept; 4s if absent. It must be shorter than the upstream's own keep-alive
    /// timeout.
    pub keepalive: Option<DurationText>,
}

/// Whether requests are rejected
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeFile {
    /// Requests that fail verification are rejected.
    Enforce,
    /// Dry run (shadow mode): every request is forwarded; the access log and metrics show which would be rejected.
    DryRun,
}

/// How requests are authenticated: `{ jwt: … }`, `{ preset: … }`, …, or `public`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "{ jwt: … }, { preset: … }, …, or `public` for no authentication")]
pub enum AuthFile {
    /// `public`
    Word(AuthWord),
    /// An authentication scheme.
    Scheme(Box<AuthScheme>),
}

/// The word for no authentication
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthWord {
    /// Every client may send requests.
    Public,
}

/// `auth` of a route: exactly one of jwt, preset, signature, static_token, client_certificate, all_of and any_of
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthScheme {
    /// A JSON Web Token (RFC 7519).
    pub jwt: Option<JwtFile>,
    /// Name of a provider's preset; `hookgate presets` lists them.
    pub preset: Option<String>,
    /// The shared secret of the preset.
    pub secret: Option<SecretFile>,
    /// Several shared secrets during a rotation; a request signed with any of them is accepted.
    pub secrets: Option<Vec<SecretFile>>,
    /// The public key of the preset.
    pub public_key: Option<SecretFile>,
    /// Several public keys during a rotation; a request signed with any of them is accepted.
    pub public_keys: Option<Vec<SecretFile>>,
    /// The root certificate that the certificates of the preset's tokens must chain to.
    pub root_ca: Option<SecretFile>,
    /// Maximum age of the preset's signed time; also the maximum time that it may be in the future.
    pub tolerance: Option<DurationText>,
    /// Parameters of the preset, by name.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Key set to use for the preset, instead of the one that it fetches.
    pub jwks: Option<JwksFile>,
    /// Whether the provider's endpoint verification challenges are answered.
    pub challenge: Option<ChallengeSwitch>,
    /// A custom signature scheme.
    pub signature: Option<SignatureFile>,
    /// A static token: a secret that the sender presents as is.
    pub static_token: Option<StaticTokenFile>,
    /// A client certificate (mTLS) that the listener trusts.
    pub client_certificate: Option<ClientCertificateFile>,
    /// Every one of these schemes must accept the request.
    pub all_of: Option<Vec<AuthScheme>>,
    /// One of these schemes must accept the request, and none whose credential is present may reject it.
    pub any_of: Option<Vec<AuthScheme>>,
}

/// `client_certificate`: without `san` and `sha256`, any certificate that the listener trusts
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientCertificateFile {
    /// Subject alternative names, one of which the certificate must have: spiffe://…, dns:…, uri:…, email:… or ip:….
    pub san: Option<Vec<String>>,
    /// SHA-256 fingerprints in hex, one of which the certificate must have.
    pub sha256: Option<Vec<String>>,
}

/// `timestamp` of a route: exactly one of header, claim and json
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimestampFile {
    /// Name of a header.
    pub header: Option<String>,
    /// Name of a token's claim, or a JSON pointer to one.
    pub claim: Option<String>,
    /// JSON pointer into the body.
    pub json: Option<String>,
    /// Unit or format of the time; default: s.
    pub unit: Option<UnitFile>,
    /// Maximum age; 5m if absent.
    pub max_age: Option<DurationText>,
    /// Maximum time that the timestamp may be in the future; 60s if absent.
    pub max_future: Option<DurationText>,
    /// `false` is required if the credential does not sign the timestamp.
    pub signed: Option<bool>,
}

impl TimestampFile {
    /// The keys of which exactly one says where the timestamp is, each with its text.
    pub fn places(&self) -> [(&'static str, Option<&str>); 3] {
        [("header", self.header.as_deref()), ("claim", self.claim.as_deref()), ("json", self.json.as_deref())]
    }
}

/// `revocation` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RevocationFile {
    /// YAML file with lists of revoked `jti`, `sub` and `kid`, and a time `issued_before`; it is reloaded when it
    /// changes.
    pub file: Option<String>,
    /// `true`: tokens are also looked up in the revocations of a `store` of type redis, for each request.
    pub shared: Option<bool>,
}

/// `limits` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimitsFile {
    /// Maximum size of a request body.
    pub max_body_size: Option<SizeText>,
    /// Rate limit of verified requests in total.
    pub rate: Option<RateText>,
    /// Verified requests that may arrive at once; as many as the number in `rate` if absent.
    pub burst: Option<u32>,
    /// Verified requests that may be in flight at a time.
    pub concurrency: Option<u32>,
    /// Rate of requests with failed authentication from one IP address, or one /64 in IPv6, above which all its
    /// requests are rejected.
    pub failed_auth_rate: Option<RateText>,
    /// Limits of the verified requests of each issuer.
    pub per_issuer: Option<LimitFile>,
    /// Limits of the verified requests of each subject of an issuer.
    pub per_subject: Option<LimitFile>,
    /// Whether replicas count the rates of verified requests together; requires a `store` of type redis. Concurrency
    /// and `failed_auth_rate` are counted in each process.
    pub shared: Option<bool>,
}

/// `per_issuer` or `per_subject` of `limits`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitFile {
    /// Rate limit of verified requests.
    pub rate: Option<RateText>,
    /// Verified requests that may arrive at once; as many as the number in `rate` if absent.
    pub burst: Option<u32>,
    /// Verified requests that may be in flight at a time.
    pub concurrency: Option<u32>,
}

/// `forward` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardFile {
    /// Whether the credential is forwarded to the upstream.
    pub credential: Option<CredentialFile>,
    /// Claim → header in which it is forwarded to the upstream.
    pub claims_to_headers: Option<BTreeMap<String, String>>,
}

/// Whether the credential is forwarded
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialFile {
    /// The credential is forwarded unchanged.
    Keep,
    /// The credential is removed.
    Remove,
}
