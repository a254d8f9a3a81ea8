//! The schema of an entry of `routes`.

use std::collections::BTreeMap;

use http::Method;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::auth::AuthYaml;
use super::filter::FilterRuleYaml;
use super::number::{Count, Number, Switch};
use super::scalar::{Day, Parsed, PlaceKey, RatePerSeconds, RevocationListName, Seconds, Size};
use super::store::{IdempotencyYaml, ReplayProtectionYaml};
use super::upstream::UpstreamYaml;
use super::web::{CorsYaml, WebSocketYaml};
use crate::auth::request::PublicUrl;
use crate::auth::time::TimestampUnit;
use crate::config::reader::{Field, List, Section};
use crate::route::{HeaderPattern, Rate};

/// A pattern that every valid `match.host` matches.
const HOST: &str = r"^(\[[0-9A-Fa-f:.]+\]|[^:/?#@*\[\]]+)$";

/// An entry of `routes`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteYaml {
    /// The route's name in the access log and in metrics, unique among the routes: 1 to 64 letters, digits, `-`, `_` and
    /// `.`, not beginning with `-` or `.`.
    #[schemars(required, regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"), example = &"github")]
    pub name: Field<String>,
    /// Which requests the route matches. The most specific match decides: host first, then an exact path, then one with
    /// `{tenant}`, then the longest prefix.
    #[serde(rename = "match")]
    #[schemars(required, example = json!({ "path": "/hooks/*", "methods": ["POST"] }))]
    pub matches: Section<MatchYaml>,
    /// The URL under which senders know the route, and which they sign: `https` and the host of the request if absent. It
    /// has a port if senders write one, and a path only if a proxy in front removes it. It or `match.host` is required if
    /// only the URL binds a JWT (`audience: none`).
    #[schemars(example = &"https://hooks.example.com")]
    pub public_url: Field<Parsed<PublicUrl>>,
    /// IP allowlist: IP addresses and CIDR ranges without host bits, one of which must contain the client's address.
    /// Otherwise the response is 403 `ip_not_allowed`, before the body and the credential are read.
    #[schemars(length(min = 1), example = json!(["203.0.113.0/24", "192.0.2.7"]))]
    pub allowed_ips: Section<List<Parsed<IpNet>>>,
    /// Where verified requests are forwarded.
    #[schemars(required, example = json!({ "url": "http://127.0.0.1:8000" }))]
    pub upstream: Section<UpstreamYaml>,
    /// Whether requests are rejected, or only counted and logged as such. `dry_run` requires `dry_run_until`.
    #[schemars(example = &"dry_run")]
    pub mode: Field<ModeYaml>,
    /// The last day of `mode: dry_run`, in UTC. From the next day on the route rejects requests; no reload is
    /// needed.
    #[schemars(example = &"2026-12-31")]
    pub dry_run_until: Field<Parsed<Day>>,
    /// How requests are authenticated: exactly one scheme, or `public` for no authentication.
    #[schemars(required, example = json!({ "preset": "github", "secret": { "env": "GITHUB_SECRET" } }))]
    pub auth: Field<AuthYaml>,
    /// A timestamp outside the credential, which must be recent. It is verified after the authentication scheme.
    #[schemars(example = json!({ "header": "X-Timestamp", "signed": false }))]
    pub timestamp: Field<TimestampYaml>,
    /// Replay protection, which needs a `store`: `disabled`, or its settings. Required with `jwt`. Without it, a copied
    /// request is accepted as long as its credential is valid.
    #[schemars(example = json!({ "id": { "claim": "jti" } }))]
    pub replay_protection: Field<ReplayProtectionYaml>,
    /// Idempotency keys: a request with the key of a committed one is not forwarded again. It needs a `store`. A key
    /// belongs to its sender and its route, and a 2xx of the upstream commits it. The body is buffered, because a second
    /// request with the key must have the same body.
    #[schemars(example = json!({ "key": { "header": "Idempotency-Key" } }))]
    pub idempotency: Field<IdempotencyYaml>,
    /// Revocation of tokens before they expire, with a JWT only. At least one of `file` and `shared: true` is required.
    #[schemars(example = json!({ "file": "revoked.yaml" }))]
    pub revocation: Field<RevocationYaml>,
    /// Event filter: rules by which verified events are acknowledged and not forwarded. The first rule that matches decides;
    /// a filtered event leaves no replay id and consumes no rate limit ([event filter](../../concepts/filter.md)).
    #[schemars(length(min = 1, max = 32))]
    #[schemars(example = json!([{ "name": "test-mode", "json": "/livemode", "is": false, "allow_unsigned": true }]))]
    pub filter: Section<List<Section<FilterRuleYaml>>>,
    /// Limits of requests: body size, rate, concurrency.
    #[schemars(example = json!({ "rate": "100/s", "concurrency": 256 }))]
    pub limits: Section<RouteLimitsYaml>,
    /// The headers that the upstream gets.
    #[schemars(example = json!({ "claims_to_headers": { "sub": "X-Hookgate-Subject" } }))]
    pub forward: Section<ForwardYaml>,
    /// WebSocket connections (RFC 6455), which are forwarded to the upstream once a handshake is verified; without this
    /// key a WebSocket upgrade gets 400 `upgrade_not_supported`. `match.methods` must include GET. Not with
    /// `auth: public` or `mode: dry_run`. See [WebSocket](../../concepts/websocket.md).
    #[schemars(example = json!({ "origins": ["https://app.example.com"], "max_tunnels": 5000 }))]
    pub websocket: Section<WebSocketYaml>,
    /// CORS: web pages of which origins may send requests and read responses. A preflight (OPTIONS with
    /// `Access-Control-Request-Method`) is answered without the upstream and without a credential, for the methods of
    /// `match`; responses get `Access-Control-Allow-Origin` and `Vary: Origin`, in place of the upstream's. Without this key,
    /// preflights are requests like others. See [CORS](../../concepts/websocket.md#cors).
    #[schemars(example = json!({ "origins": ["https://app.example.com"] }))]
    pub cors: Section<CorsYaml>,
    /// Reason → another HTTP status, from 200 to 299 or 400 to 599. A reason with 408, 409, 429 or 5xx cannot become a
    /// success, and reasons that occur before a route is matched cannot be changed.
    #[schemars(example = json!({ "token_expired": 403 }))]
    pub status_overrides: Section<BTreeMap<String, Field<Number<200, 599>>>>,
    /// Stores rejected requests for `hookgate explain`; in dry run those that would be rejected, with `dry_run` in the names
    /// of their files. The files contain tokens, signatures and secrets, and the body of every request is buffered.
    #[schemars(example = json!({ "max_requests": 50, "dir": "captured" }))]
    pub capture: Field<CaptureYaml>,
}

/// `capture` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureYaml {
    /// Number of requests to store. The oldest are deleted, except the first three of each reason, which are at most half
    /// of all.
    #[schemars(example = 50)]
    pub max_requests: Count<100, 1, 10_000>,
    /// Directory in which they are stored, without other files of the configuration. Each route has a subdirectory with
    /// mode 0700.
    #[schemars(required, example = &"captured")]
    pub dir: Field<String>,
}

/// `match` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchYaml {
    /// Host name without port and wildcard, in upper or lower case; every host if absent.
    #[schemars(regex(pattern = HOST), example = &"hooks.example.com")]
    pub host: Field<String>,
    /// Exact path, or a prefix that ends in `/*`: `/hooks/*` matches `/hooks/` and every path under it, not `/hooks`, and
    /// `/*` matches every path. One segment may be `{tenant}`, as in `/hooks/{tenant}`: the request is then verified with the
    /// secret of that tenant ([tenants](../../concepts/tenants.md)).
    #[schemars(required, regex(pattern = "^/"), example = &"/hooks/*")]
    pub path: Field<String>,
    /// HTTP methods in capitals, not CONNECT or TRACE; every method if absent. GET does not include HEAD. The response to
    /// another method on the path is 405 `method_not_allowed`.
    #[schemars(length(min = 1), example = json!(["POST"]))]
    pub methods: Section<List<Parsed<Method>>>,
    /// `true`: a path may contain encoded slashes (`%2F`), such as the names of an API's objects. It needs `path: /*`, and
    /// an upstream that no other route uses: some applications read `%2F` as `/`, others as a part of a name. Dot segments,
    /// `//`, `%5C` and `%25` are rejected in both readings, and the path is forwarded as it came.
    #[schemars(example = true)]
    pub allow_encoded_slashes: Switch<false>,
}

/// Whether requests are rejected
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "enforce"))]
pub enum ModeYaml {
    /// Requests that fail verification are rejected.
    #[default]
    Enforce,
    /// Dry run (shadow mode): every request is forwarded, duplicates too; the access log and metrics show which would be
    /// rejected.
    DryRun,
}

/// `timestamp` of a route: exactly one of header, claim and json
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampYaml {
    /// Name of a header. Exactly one of `header`, `claim` and `json` is required.
    #[schemars(example = &"X-Timestamp")]
    pub header: Field<String>,
    /// Name of a claim of the JWT, or a JSON pointer to one.
    #[schemars(example = &"issued_at")]
    pub claim: Field<String>,
    /// JSON pointer into the body.
    #[schemars(example = &"/sent_at")]
    pub json: Field<String>,
    /// Unit or format of the time.
    #[schemars(example = &"rfc3339")]
    pub unit: Field<TimestampUnit>,
    /// Maximum age of the time, inclusive.
    #[schemars(example = &"10m")]
    pub max_age: Seconds<300_000>,
    /// Maximum time that the timestamp may be in the future, inclusive.
    #[schemars(example = &"30s")]
    pub max_future: Seconds<60_000, 0>,
    /// `false` is required if the credential does not sign the timestamp. An attacker can change such a timestamp.
    #[schemars(example = false)]
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
    /// YAML file with lists of revoked `jti`, `sub` and `kid`, and a time `issued_before`; all of them are optional. A
    /// change of the file takes effect without a reload. It has at most 1000000 names and 64 MiB.
    #[schemars(example = &"revoked.yaml")]
    pub file: Field<Parsed<RevocationListName>>,
    /// `true`: each token is also looked up in the revocations of a `store` of type redis. If the store does not respond,
    /// the response is 503 `store_unavailable`, regardless of `store.on_error`.
    #[schemars(example = true)]
    pub shared: Switch<false>,
}

/// `limits` of a route
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteLimitsYaml {
    /// Maximum size of a request body. Beyond it the response is 413 `body_too_large`. Where bodies are buffered, more
    /// than a quarter of `max_buffered_bytes` has no effect.
    #[schemars(example = &"256KiB")]
    pub max_body_size: Size<{ 1 << 20 }>,
    /// Rate limit of verified requests in total; on a public route, of all requests. Beyond it the response is 429
    /// `rate_limited`.
    #[schemars(example = &"100/s")]
    pub rate: RateField,
    /// Verified requests that may arrive at once, with `rate`: as many as the number in it if absent.
    #[schemars(example = 200)]
    pub burst: Burst,
    /// Verified requests that may be in flight at a time, to the end of the response. Beyond it the response is 429
    /// `concurrency_limited`.
    #[schemars(example = 256)]
    pub concurrency: Concurrency,
    /// Rate of requests with failed authentication from one IP address, or one /64 in IPv6. Beyond it a request of the
    /// address is verified only as far as that is cheap: one that fails, or whose credential signs a body over 64 KiB, is
    /// rejected with 429 `rate_limited`. The burst is the number in the rate.
    #[schemars(example = &"20/s")]
    pub failed_auth_rate: RateField,
    /// Limits of the verified requests of each issuer: a name under `issuers`, or the name of the preset.
    #[schemars(example = json!({ "rate": "50/s", "concurrency": 20 }))]
    pub per_issuer: Field<LimitYaml>,
    /// Limits of the verified requests of each subject of an issuer: the `sub` of a JWT.
    #[schemars(example = json!({ "rate": "5/s", "burst": 10 }))]
    pub per_subject: Field<LimitYaml>,
    /// Limits of the verified requests of each sender: the issuer and subject of a token, the `sender` or key id of a secret,
    /// the name of a client certificate, or all of these where a request has several credentials.
    #[schemars(example = json!({ "rate": "5/s", "burst": 10 }))]
    pub per_sender: Field<LimitYaml>,
    /// Whether replicas count the rates of verified requests together, in a `store` of type redis. Concurrency and
    /// `failed_auth_rate` are counted in each process. If Redis does not respond, the response is 503; with
    /// `store.on_error: allow` the process counts alone.
    #[schemars(example = true)]
    pub shared: Switch<false>,
}

/// `per_issuer`, `per_subject` or `per_sender` of `limits`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitYaml {
    /// Rate limit of verified requests. Beyond it the response is 429 `rate_limited`.
    #[schemars(example = &"50/s")]
    pub rate: RateField,
    /// Verified requests that may arrive at once, with `rate`: as many as the number in it if absent.
    #[schemars(example = 50)]
    pub burst: Burst,
    /// Verified requests that may be in flight at a time, to the end of the response. Beyond it the response is 429
    /// `concurrency_limited`.
    #[schemars(example = 20)]
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
    /// Whether the credential is forwarded to the upstream; not with `auth: public`.
    #[schemars(example = &"remove")]
    pub credential: Field<CredentialYaml>,
    /// Claim of the JWT → custom header in which it is forwarded: a string as is, any other value as JSON. Not forwarded
    /// are a claim that is absent, null or not ASCII, and a string that the upstream could take for another value: an
    /// empty one, one with whitespace at an end, and one that looks like JSON (`true`, `false`, `null`, or one that
    /// begins with `{`, `[` or `"`). A header name consists of letters, digits and `-`, and has one claim. Clients
    /// cannot set these headers, on no route with the same upstream.
    #[schemars(example = json!({ "sub": "X-Hookgate-Subject" }))]
    pub claims_to_headers: Section<BTreeMap<String, Field<String>>>,
    /// Custom header in which the upstream gets the decision, as a JSON object: `scheme`, `dry_run`, `issuer`, `sender`,
    /// `kid`, `replay_ids`, `duplicates` (`first`, or `unchecked` without replay protection), and in a dry run the `reason`
    /// for which the request would be rejected. It has no secret. Clients cannot set it, on no route with the same
    /// upstream. See [The verdict](../../concepts/load-balancing.md#the-verdict).
    #[schemars(example = &"X-Hookgate-Verdict")]
    pub verdict: Field<String>,
    /// Headers of clients that are removed, in addition to those that always are: names, and prefixes that end in `*`.
    /// Other spellings (`X_Role`) are removed too. The headers that HTTP needs (Host, Content-Length, -Type and
    /// -Encoding) cannot be named, and those that the gateway sets are set regardless.
    #[schemars(length(min = 1), example = json!(["X-Role", "X-Internal-*"]))]
    pub remove: Section<List<Field<Parsed<HeaderPattern>>>>,
    /// The only headers of clients that are forwarded: names, and prefixes that end in `*`. All others are removed, except
    /// those that HTTP needs (Host, Content-Length, -Type and -Encoding) and those that the decision has read. Without it,
    /// all headers are forwarded that are not removed for another reason.
    #[schemars(length(min = 1), example = json!(["User-Agent", "X-GitHub-*"]))]
    pub allow: Section<List<Field<Parsed<HeaderPattern>>>>,
}

/// Whether the credential is forwarded
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "keep"))]
pub enum CredentialYaml {
    /// The credential is forwarded unchanged.
    #[default]
    Keep,
    /// The header of the token or signature is removed; not possible for a credential in a query, cookie or body.
    Remove,
}
