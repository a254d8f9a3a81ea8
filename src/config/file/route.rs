//! The schema of an entry of `routes`.

use std::collections::BTreeMap;

use http::Method;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::issuer::{JwksYaml, SecretYaml};
use super::jwt::JwtYaml;
use super::number::{Count, Number, Switch};
use super::preset::ChallengeSwitch;
use super::scalar::{
    CertificateFingerprint, Day, Delay, FileName, OptionalDuration, Parsed, PlaceKey, RatePerSeconds,
    RevocationListName, Size, Timeout,
};
use super::signature::{SignatureYaml, StaticTokenYaml};
use super::store::{IdempotencyYaml, ReplayProtectionYaml};
use crate::auth::client_certificate::San;
use crate::auth::request::PublicUrl;
use crate::auth::time::TimestampUnit;
use crate::config::reader::{Field, List, Section, WordType, word_or_mapping};
use crate::route::Rate;

/// An entry of `routes`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteYaml {
    /// The route's name in the access log and in metrics.
    pub name: Field<String>,
    /// Which requests the route matches.
    #[serde(rename = "match")]
    pub matches: Section<MatchYaml>,
    /// The URL under which senders know the route, such as `https://hooks.example.com`; https and the request's host if
    /// absent.
    pub public_url: Field<Parsed<PublicUrl>>,
    /// IP allowlist: IP addresses and CIDR ranges such as 203.0.113.0/24, one of which must contain the client's
    /// address.
    pub allowed_ips: Section<List<Parsed<IpNet>>>,
    /// Where verified requests are forwarded.
    pub upstream: Section<UpstreamYaml>,
    /// Whether requests are rejected (`enforce`), or only counted and logged as such (`dry_run`).
    pub mode: Field<ModeYaml>,
    /// The last day of `mode: dry_run`, in UTC, such as 2026-12-31.
    pub dry_run_until: Field<Parsed<Day>>,
    /// How requests are authenticated: { jwt: … }, { preset: … }, …, or `public` for no authentication.
    pub auth: Field<AuthYaml>,
    /// A timestamp outside the credential, which must be recent.
    pub timestamp: Field<TimestampYaml>,
    /// Replay protection: `disabled`, or {id: …, on_duplicate: …}. Required for a JWT.
    pub replay_protection: Field<ReplayProtectionYaml>,
    /// Idempotency keys: a request with the key of a committed one is not forwarded again.
    pub idempotency: Field<IdempotencyYaml>,
    /// Revocation of tokens before they expire.
    pub revocation: Field<RevocationYaml>,
    /// Limits of requests: body size, rate, concurrency.
    pub limits: Section<RouteLimitsYaml>,
    /// The credential and the claims that the upstream gets.
    pub forward: Section<ForwardYaml>,
    /// Another HTTP status for a reason, such as {token_expired: 403}.
    pub status_overrides: Section<BTreeMap<String, Field<Number<200, 599>>>>,
    /// Stores rejected requests, credentials included, for `hookgate explain`.
    pub capture: Field<CaptureYaml>,
}

/// `capture` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureYaml {
    /// Number of requests to store; the oldest are deleted.
    pub max_requests: Count<100, 1, 10_000>,
    /// Directory in which they are stored.
    pub dir: Field<String>,
}

/// `match` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchYaml {
    /// Host name without a port; every host if absent.
    pub host: Field<String>,
    /// Exact path, or a prefix such as `/hooks/*`.
    pub path: Field<String>,
    /// HTTP methods; every method if absent.
    pub methods: Section<List<Parsed<Method>>>,
}

/// `upstream` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamYaml {
    /// http://host:port, https://host:port or unix:/path
    pub url: Field<String>,
    /// Several endpoints instead of `url`, with round-robin load balancing and passive health checks.
    pub urls: Section<List<Field<String>>>,
    /// PEM file with the root certificates that an https upstream's certificate must chain to; public roots if absent.
    pub ca: Field<Parsed<FileName>>,
    /// Timeouts of the upstream.
    pub timeouts: Section<UpstreamTimeoutsYaml>,
}

/// `timeouts` of an upstream
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTimeoutsYaml {
    /// From the end of the request's body to the end of the response; 30s if absent.
    pub total: Timeout<30_000>,
    /// Connecting, TLS handshake included; 5s if absent.
    pub connect: Timeout<5_000>,
    /// How long an idle connection is kept; 4s if absent. It must be shorter than the upstream's own keep-alive
    /// timeout.
    pub keepalive: Timeout<4_000>,
}

/// Whether requests are rejected
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "enforce"))]
pub enum ModeYaml {
    #[default]
    /// Requests that fail verification are rejected.
    Enforce,
    /// Dry run (shadow mode): every request is forwarded; the access log and metrics show which would be rejected.
    DryRun,
}

/// How requests are authenticated: `{ jwt: … }`, `{ preset: … }`, …, or `public`
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged, title = "{ jwt: … }, { preset: … }, …, or `public` for no authentication")]
pub enum AuthYaml {
    /// `public`
    Word(AuthWord),
    /// An authentication scheme.
    Scheme(Box<Section<AuthScheme>>),
}

impl<'de> Deserialize<'de> for AuthYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = "{ jwt: … }, { preset: … }, …, or `public` for no authentication";
        word_or_mapping(deserializer, (form, WordType::String), Self::Word, |scheme| Self::Scheme(Box::new(scheme)))
    }
}

/// The word for no authentication
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", rename = "{ jwt: … }, { preset: … }, …, or `public` for no authentication")]
#[schemars(rename = "AuthWord")]
pub enum AuthWord {
    /// Every client may send requests.
    Public,
}

/// `auth` of a route: exactly one of jwt, preset, signature, static_token, client_certificate, all_of and any_of
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthScheme {
    /// A JSON Web Token (RFC 7519).
    pub jwt: Field<Box<JwtYaml>>,
    /// Name of a provider's preset; `hookgate presets` lists them.
    pub preset: Field<String>,
    /// The shared secret of the preset.
    pub secret: Field<SecretYaml>,
    /// Several shared secrets during a rotation; a request signed with any of them is accepted.
    pub secrets: Section<List<Section<SecretYaml>>>,
    /// The public key of the preset.
    pub public_key: Field<SecretYaml>,
    /// Several public keys during a rotation; a request signed with any of them is accepted.
    pub public_keys: Section<List<Section<SecretYaml>>>,
    /// The root certificate that the certificates of the preset's tokens must chain to.
    pub root_ca: Field<SecretYaml>,
    /// Maximum age of the preset's signed time; also the maximum time that it may be in the future.
    pub tolerance: OptionalDuration,
    /// Parameters of the preset, by name.
    pub parameters: Section<BTreeMap<String, Field<String>>>,
    /// Key set to use for the preset, instead of the one that it fetches.
    pub jwks: Field<Box<JwksYaml>>,
    /// Whether the provider's endpoint verification challenges are answered.
    pub challenge: Field<ChallengeSwitch>,
    /// A custom signature scheme.
    pub signature: Field<Box<SignatureYaml>>,
    /// A static token: a secret that the sender presents as is.
    pub static_token: Field<StaticTokenYaml>,
    /// A client certificate (mTLS) that the listener trusts.
    pub client_certificate: Field<ClientCertificateYaml>,
    /// Every one of these schemes must accept the request.
    pub all_of: Section<List<Section<AuthScheme>>>,
    /// One of these schemes must accept the request, and none whose credential is present may reject it.
    pub any_of: Section<List<Section<AuthScheme>>>,
}

/// `client_certificate`: without `san` and `sha256`, any certificate that the listener trusts
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateYaml {
    /// Subject alternative names, one of which the certificate must have: spiffe://…, dns:…, uri:…, email:… or ip:….
    pub san: Section<List<Parsed<San>>>,
    /// SHA-256 fingerprints in hex, one of which the certificate must have.
    pub sha256: Section<List<Parsed<CertificateFingerprint>>>,
}

/// `timestamp` of a route: exactly one of header, claim and json
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampYaml {
    /// Name of a header.
    pub header: Field<String>,
    /// Name of a token's claim, or a JSON pointer to one.
    pub claim: Field<String>,
    /// JSON pointer into the body.
    pub json: Field<String>,
    /// Unit or format of the time; default: s.
    pub unit: Field<TimestampUnit>,
    /// Maximum age; 5m if absent.
    pub max_age: Timeout<300_000>,
    /// Maximum time that the timestamp may be in the future; 60s if absent.
    pub max_future: Delay<60_000>,
    /// `false` is required if the credential does not sign the timestamp.
    pub signed: Switch<true>,
}

impl TimestampYaml {
    /// The keys of which exactly one says where the timestamp is, each with its text.
    pub fn places(&self) -> [PlaceKey<'_>; 3] {
        [PlaceKey::of("header", &self.header), PlaceKey::of("claim", &self.claim), PlaceKey::of("json", &self.json)]
    }
}

/// `revocation` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationYaml {
    /// YAML file with lists of revoked `jti`, `sub` and `kid`, and a time `issued_before`; it is reloaded when it
    /// changes.
    pub file: Field<Parsed<RevocationListName>>,
    /// `true`: tokens are also looked up in the revocations of a `store` of type redis, for each request.
    pub shared: Switch<false>,
}

/// `limits` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteLimitsYaml {
    /// Maximum size of a request body.
    pub max_body_size: Size<{ 1 << 20 }>,
    /// Rate limit of verified requests in total.
    pub rate: RateField,
    /// Verified requests that may arrive at once; as many as the number in `rate` if absent.
    pub burst: Burst,
    /// Verified requests that may be in flight at a time.
    pub concurrency: Concurrency,
    /// Rate of requests with failed authentication from one IP address, or one /64 in IPv6, above which all its
    /// requests are rejected.
    pub failed_auth_rate: RateField,
    /// Limits of the verified requests of each issuer.
    pub per_issuer: Field<LimitYaml>,
    /// Limits of the verified requests of each subject of an issuer.
    pub per_subject: Field<LimitYaml>,
    /// Whether replicas count the rates of verified requests together; requires a `store` of type redis. Concurrency
    /// and `failed_auth_rate` are counted in each process.
    pub shared: Switch<false>,
}

/// `per_issuer` or `per_subject` of `limits`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitYaml {
    /// Rate limit of verified requests.
    pub rate: RateField,
    /// Verified requests that may arrive at once; as many as the number in `rate` if absent.
    pub burst: Burst,
    /// Verified requests that may be in flight at a time.
    pub concurrency: Concurrency,
}

/// A rate limit.
pub type RateField = Field<Parsed<RatePerSeconds>>;

/// Requests that may arrive at once.
pub type Burst = Field<Number<1, { Rate::MAX as u64 }>>;

/// Requests that may be in flight at a time.
pub type Concurrency = Field<Number<1, { u32::MAX as u64 }>>;

/// `forward` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardYaml {
    /// Whether the credential is forwarded to the upstream.
    pub credential: Field<CredentialYaml>,
    /// Claim → header in which it is forwarded to the upstream.
    pub claims_to_headers: Section<BTreeMap<String, Field<String>>>,
}

/// Whether the credential is forwarded
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "keep"))]
pub enum CredentialYaml {
    #[default]
    /// The credential is forwarded unchanged.
    Keep,
    /// The credential is removed.
    Remove,
}
