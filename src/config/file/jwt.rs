//! The schema of `auth.jwt`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::number::Switch;
use super::scalar::{OneOrMany, OptionalSeconds, Parsed, PlaceKey, Seconds};
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
    /// A name under `issuers`, or several. With several, the `iss` of the token selects one, and their `issuer` values
    /// must differ.
    #[schemars(required, example = &"acme")]
    pub issuer: Field<OneOrMany<String>>,
    /// The exact `aud`, or several, one of which the token must have. `{tenant}` in it is the tenant in the path of the
    /// request, with an issuer that has `{tenant}` too. With `none` alone, `aud` is not compared; then a
    /// required `body_hash`, `url_hash`, `url` or `qsh` must bind the token, the token must be in the body, or a rule
    /// under `claims` must name the client by one or several texts, such as `client_id` of Amazon Cognito or `azp`.
    #[schemars(required, example = &"https://api.example.com/webhook")]
    pub audience: Field<OneOrMany<String>>,
    /// Claims that a token must have, not null; iss, aud and exp are required without being listed. `exp` may be left out
    /// of the list if `max_age` is set, `iss` with an issuer `none`, and `aud` with an audience `none`.
    #[schemars(example = json!(["iss", "aud", "exp", "jti"]), extend("default" = ["iss", "aud", "exp"]))]
    pub required_claims: Section<List<String>>,
    /// Claim name or JSON pointer → the value that the claim must have, or a mapping of one operator: `one_of`,
    /// `contains`, `contains_any`, `prefix`, `matches` or `exists`. Otherwise the response is 403 `claim_mismatch`. A string, number or
    /// boolean is equal in type and value. `{one_of: [a, b]}`: equal to one of the values. `{contains: a}`: a list with
    /// the value, or a string that has it among its words, which one space separates. `{contains_any: [a, b]}`: the same
    /// with at least one of the values, such as one of several groups. `{prefix: a}`: a string that begins with the text.
    /// `{matches: a}`: a string that the regular expression matches as a whole. `{exists: true}`: any value, null too;
    /// `{exists: false}`: no such claim. A list satisfies only `contains`, `contains_any` and `exists`.
    #[schemars(example = json!({ "event_scope": "webhook", "/realm/roles": { "contains": "hooks" } }))]
    pub claims: Section<BTreeMap<String, Field<Value>>>,
    /// Allowed values of the header parameter `typ`, if a token has one. Upper and lower case are the same, and a prefix
    /// `application/` is ignored.
    #[schemars(length(min = 1), example = json!(["secevent+jwt"]), extend("default" = ["JWT", "at+jwt"]))]
    pub allowed_types: Section<List<String>>,
    /// Maximum age of a token: now − iat. It requires `iat`.
    #[schemars(example = &"5m")]
    pub max_age: OptionalSeconds,
    /// Maximum lifetime of a token: exp − iat. It requires `exp` and `iat`.
    #[schemars(example = &"1h")]
    pub max_lifetime: OptionalSeconds,
    /// Clock skew that is tolerated between the issuer and hookgate, at most 5m.
    #[schemars(example = &"10s")]
    pub leeway: Seconds<30_000, 0>,
    /// Where the token is; it is read from nowhere else. Its size is bounded by `max_headers_size` of the listener, or in a
    /// body by `max_body_size`.
    #[schemars(example = json!({ "header": "X-Token" }))]
    #[schemars(extend("default" = { "header": "Authorization", "scheme": "Bearer" }))]
    pub token_from: Field<TokenYaml>,
    /// The claim with a hash of the body as it is received; the body is buffered. If the hash differs, the response is 401
    /// `body_mismatch`.
    #[schemars(example = json!({ "claim": "request_body_sha256" }))]
    pub body_hash: Field<BodyHashYaml>,
    /// The claim with a hash of the URL, which is `public_url` with path and query. If the hash differs, the response is
    /// 401 `url_mismatch`.
    #[schemars(example = json!({ "claim": "url_sha256" }))]
    pub url_hash: Field<UrlHashYaml>,
    /// The claim with the URL, which is compared character by character. If it differs, the response is 401
    /// `url_mismatch`.
    #[schemars(example = json!({ "claim": "htu" }))]
    pub url: Field<UrlClaimYaml>,
    /// The claim with the method. If it differs, the response is 401 `method_mismatch`.
    #[schemars(example = json!({ "claim": "htm" }))]
    pub method: Field<MethodClaimYaml>,
    /// Whether the claim `qsh` must have Atlassian's hash of method, path and query. If it differs, the response is 401
    /// `url_mismatch`.
    #[schemars(example = true)]
    pub qsh: Switch<false>,
    /// A claim other than `iat` with the time of issue. The time may be in the future by up to `max_age`, at most 5m;
    /// `leeway` does not apply to it.
    #[schemars(example = json!({ "claim": "issued_ms", "unit": "ms" }))]
    pub time_claim: Field<TimeClaimYaml>,
    /// Whether the token is bound to the client's certificate (`cnf`, RFC 8705); a listener must have `client_ca`. If
    /// `x5t#S256` is not the SHA-256 of the certificate, the response is 401 `certificate_mismatch`.
    #[schemars(example = true)]
    pub bound_certificate: Switch<false>,
}

/// `body_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyHashYaml {
    /// Name of the claim, or a JSON pointer.
    #[schemars(required, example = &"request_body_sha256")]
    pub claim: Field<Parsed<Pointer>>,
    /// Hash algorithm.
    #[schemars(example = &"sha512")]
    pub algorithm: Field<BindingHash>,
    /// Encoding of the hash. Hex may be in either case, and base64 with or without padding.
    #[schemars(example = &"base64", extend("default" = "hex"))]
    pub encoding: Field<Encoding>,
    /// When the claim must be present.
    #[schemars(example = &"with_body")]
    pub presence: Field<HashPresence>,
}

/// `url_hash`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlHashYaml {
    /// Name of the claim, or a JSON pointer.
    #[schemars(required, example = &"url_sha256")]
    pub claim: Field<Parsed<Pointer>>,
    /// Hash algorithm.
    #[schemars(example = &"sha512")]
    pub algorithm: Field<BindingHash>,
    /// Encoding of the hash. Hex may be in either case, and base64 with or without padding.
    #[schemars(example = &"base64url", extend("default" = "hex"))]
    pub encoding: Field<Encoding>,
    /// Differences between the URL that senders use and the URL that hookgate receives, which are tolerated.
    #[schemars(example = json!(["port", "slash"]))]
    pub variants: Section<List<UrlVariant>>,
}

/// `url`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlClaimYaml {
    /// Name of the claim, or a JSON pointer.
    #[schemars(required, example = &"htu")]
    pub claim: Field<Parsed<Pointer>>,
    /// Whether the claim has the query too: `true` if absent, but `false` for the claim `htu` (RFC 9449).
    #[schemars(example = false)]
    pub query: Field<bool>,
    /// Differences between the URL that senders use and the URL that hookgate receives, which are tolerated.
    #[schemars(example = json!(["port"]))]
    pub variants: Section<List<UrlVariant>>,
}

/// `method`
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodClaimYaml {
    /// Name of the claim, or a JSON pointer.
    #[schemars(required, example = &"htm")]
    pub claim: Field<Parsed<Pointer>>,
}

/// `time_claim` of a JWT
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeClaimYaml {
    /// Name of the claim, or a JSON pointer.
    #[schemars(required, example = &"issued_ms")]
    pub claim: Field<Parsed<Pointer>>,
    /// Unit or format of the time.
    #[schemars(example = &"ms")]
    pub unit: Field<TimestampUnit>,
    /// Maximum age of the time, inclusive.
    #[schemars(example = &"10m")]
    pub max_age: Seconds<300_000>,
}

/// Where the token is: exactly one of header, query, cookie, form, json and body
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenYaml {
    /// Name of a header. Exactly one of `header`, `query`, `cookie`, `form`, `json` and `body` is required.
    #[schemars(example = &"X-Token")]
    pub header: Field<String>,
    /// Authentication scheme before the token in that header, followed by a space unless it ends in `=`: `Bearer` for
    /// Authorization if absent, none for other headers. `none` is for an Authorization header without a scheme.
    #[schemars(length(min = 1), example = &"Token")]
    pub scheme: Field<String>,
    /// Name of a query parameter.
    #[schemars(length(min = 1), example = &"token")]
    pub query: Field<String>,
    /// Name of a cookie.
    #[schemars(length(min = 1), example = &"session")]
    pub cookie: Field<String>,
    /// Field of a form body, which must be declared as `application/x-www-form-urlencoded`.
    #[schemars(length(min = 1), example = &"id_token")]
    pub form: Field<String>,
    /// JSON pointer into the body, which must be a JSON object.
    #[schemars(example = &"/token")]
    pub json: Field<String>,
    /// `true`: the body is the token.
    #[schemars(example = true)]
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
