//! Every reason for which a request is rejected or fails, one row each: its word, its status, its cause. The table of
//! reasons in docs/configuration.md is generated from the rows.
//!
//! Pure, and below `auth`, which does not know statuses: only `failure` reads the columns that make a response.

use http::StatusCode;

use crate::rows::rows;

/// The columns of a reason.
#[derive(Debug)]
pub(crate) struct ReasonRow {
    word: &'static str,
    cause: &'static str,
    hint: Option<&'static str>,
    /// HTTP status of the response.
    pub(crate) status: StatusCode,
    /// The error of RFC 8935 §2.4, if that protocol has one for it.
    pub(crate) secevent: Option<&'static str>,
    /// How a request with this reason ends.
    pub(crate) ending: Ending,
    /// The response is sent before a route is known, or to no client.
    pub(crate) before_route: bool,
}

/// How a request ends that is not forwarded, or whose response is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The gateway rejects it.
    Rejected,
    /// The gateway cannot decide, and the sender is asked to retry.
    Undecided,
    /// It fails while it is processed.
    Failed,
}

/// A row of the table: word, HTTP status and cause.
const fn row(word: &'static str, status: u16, cause: &'static str) -> ReasonRow {
    #[expect(clippy::panic, reason = "the compiler evaluates it")]
    let Ok(status) = StatusCode::from_u16(status) else { panic!("not an HTTP status") };
    ReasonRow { word, cause, hint: None, status, secevent: None, ending: Ending::Rejected, before_route: false }
}

/// The row of a credential that is rejected: word, HTTP status, error of RFC 8935 §2.4 and cause. A token that breaks
/// its own rules, times included, is an invalid request.
const fn credential(word: &'static str, status: u16, secevent: &'static str, cause: &'static str) -> ReasonRow {
    ReasonRow { secevent: Some(secevent), ..row(word, status, cause) }
}

impl ReasonRow {
    const fn before_route(self) -> Self {
        Self { before_route: true, ..self }
    }

    const fn ends(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// Adds a hint for the operator, which `hookgate explain` prints.
    const fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

rows! {
    /// The reason for which a request is rejected or fails: a field of the access log, a label of the metrics, `reason`
    /// of the response where it may be disclosed, and a key of `status_overrides`.
    #[expect(missing_docs, reason = "the cause in its row says what a reason means")]
    pub enum Reason;
    /// Only this file and `failure` read it.
    pub(crate) fn row -> &'static ReasonRow;

    BadRequest = &row(
        "bad_request", 400,
        "two hosts, a target that contradicts Host, CONNECT, TRACE, forwarding headers that contradict each other, no \
         idempotency key on a route that requires one; the HTTP/1 connection is closed",
    ).before_route();
    /// RFC 9112 §3.2.
    MissingHost = &row("missing_host", 400, "no Host header").before_route();
    /// RFC 9110 §7.8.
    UpgradeNotSupported =
        &row("upgrade_not_supported", 400, "a protocol upgrade, such as WebSocket").before_route();
    AmbiguousPath =
        &row("ambiguous_path", 400, "a path that two programs could read differently, or a fragment").before_route();
    /// RFC 9112 §7.1 and §11.2.
    AmbiguousFraming = &row(
        "ambiguous_framing", 400,
        "request smuggling: bytes that two programs could split into different requests, see below",
    ).before_route();
    MalformedCredential = &credential(
        "malformed_credential", 400, "invalid_request",
        "the header that carries the credential, or a signed header, cannot be read",
    );
    MalformedBody = &credential(
        "malformed_body", 400, "invalid_request",
        "the body must be JSON or a form, but cannot be parsed. If `error_detail` withholds reasons, the response \
         before authentication is 401 `unauthorized`, as for a wrong credential",
    ).hint("the body is neither a JSON object nor a form");
    ClientDisconnected = &row(
        "client_disconnected", 400,
        "the client disconnected before its request or its response was complete; in the log only",
    ).before_route().ends(Ending::Failed);
    TlsRequired = &row("tls_required", 400, "plain HTTP on a TLS port").before_route();
    MissingCredential =
        &credential("missing_credential", 401, "invalid_request", "no token, signature, secret or certificate");
    MultipleCredentials = &credential(
        "multiple_credentials", 401, "invalid_request", "more than one credential, or a signed header twice",
    ).hint("the request has two credentials: another proxy may add one");
    /// Not a compact JWS, or one that breaks a rule of RFC 7515, 7519 or 8725.
    MalformedToken = &credential("malformed_token", 401, "invalid_request", "not a JWS that follows the rules");
    UnsupportedAlgorithm = &credential(
        "unsupported_algorithm", 401, "invalid_key", "an algorithm that is not allowed for the issuer or the key",
    ).hint("the token's `alg` is not one of the issuer's algorithms, or not that of its key");
    UnknownKey = &credential("unknown_key", 401, "invalid_key", "no key for its `kid`")
        .hint("no key of the issuer has this `kid`: its JWKS may be older than the token's key");
    InvalidSignature = &credential(
        "invalid_signature", 401, "authentication_failed",
        "the signature does not verify, or does not have the form of `parse`",
    ).hint(
        "neither the body, the URL, the encoding nor a known secret explains it: compare the signed payload with the \
         sender's, and the secret with the one in its console",
    );
    MissingSignedComponent = &credential(
        "missing_signed_component", 401, "authentication_failed", "a component of the signed payload is absent",
    ).hint("a header, part or member that must be signed is missing: compare `signed_payload`");
    RequirementNotMet = &credential(
        "requirement_not_met", 401, "authentication_failed", "a condition under `require` does not hold",
    ).hint("a `require` of the signature is not met: the request has another type or version");
    InvalidStaticToken = &credential(
        "invalid_static_token", 401, "authentication_failed", "the static token matches none of the secrets",
    ).hint("the token is not one of the route's secrets: compare it with the one in the sender's console");
    MissingClaim = &credential("missing_claim", 401, "invalid_request", "a required claim is absent");
    InvalidIssuer = &credential("invalid_issuer", 401, "invalid_issuer", "`iss`")
        .hint("`iss` is not the configured issuer: the token comes from another tenant or environment");
    InvalidAudience = &credential("invalid_audience", 401, "invalid_audience", "`aud`")
        .hint("`aud` is not the audience of this route: the token was issued for another service");
    /// RFC 7519 §4.1.4.
    TokenExpired = &credential("token_expired", 401, "invalid_request", "`exp`");
    /// RFC 7519 §4.1.5.
    TokenNotYetValid = &credential("token_not_yet_valid", 401, "invalid_request", "`nbf`");
    TokenTooOld = &credential("token_too_old", 401, "invalid_request", "`iat` is older than `max_age`");
    TokenIssuedInFuture =
        &credential("token_issued_in_future", 401, "invalid_request", "`iat` is in the future, beyond `leeway`");
    TokenLifetimeTooLong =
        &credential("token_lifetime_too_long", 401, "invalid_request", "`exp` − `iat` over `max_lifetime`");
    MissingTimestamp = &credential("missing_timestamp", 401, "invalid_request", "the timestamp is absent");
    MalformedTimestamp = &credential(
        "malformed_timestamp", 401, "invalid_request", "the timestamp cannot be parsed, or occurs twice",
    );
    TimestampTooOld = &credential(
        "timestamp_too_old", 401, "invalid_request", "the route's timestamp, or a signed time, is too old",
    );
    TimestampInFuture =
        &credential("timestamp_in_future", 401, "invalid_request", "it is too far in the future");
    BodyMismatch = &credential("body_mismatch", 401, "invalid_request", "the body is not the signed one");
    MethodMismatch = &credential("method_mismatch", 401, "invalid_request", "the method is not the signed one")
        .hint("the token was issued for another method");
    UrlMismatch = &credential("url_mismatch", 401, "invalid_request", "the URL is not the signed one");
    /// RFC 8705 §3.1.
    CertificateMismatch = &credential(
        "certificate_mismatch", 401, "authentication_failed",
        "the token is bound to another client certificate, or the connection has none",
    ).hint("client certificates cannot be verified offline");
    Revoked = &credential("revoked", 401, "access_denied", "on the route's revocation list");
    IpNotAllowed =
        &credential("ip_not_allowed", 403, "access_denied", "the client's address is not in `allowed_ips`");
    ClaimMismatch = &credential("claim_mismatch", 403, "access_denied", "a rule under `claims` does not hold");
    CertificateNotAllowed = &credential(
        "certificate_not_allowed", 403, "access_denied",
        "the route does not accept the client certificate, or the listener no longer trusts it",
    ).hint("client certificates cannot be verified offline");
    NoRoute = &row("no_route", 404, "no route for host and path").before_route();
    MethodNotAllowed = &row("method_not_allowed", 405, "the route has other methods: `Allow`").before_route();
    DuplicateRequest = &row("duplicate_request", 409, "a duplicate: its event has been delivered");
    ReplayIdReused =
        &row("replay_id_reused", 409, "its id was used before by another request, which was not delivered");
    DuplicateInFlight = &row("duplicate_in_flight", 409, "a request with its id is in flight: `Retry-After: 10`");
    /// RFC 9110 §15.5.9.
    RequestTimeout =
        &row("request_timeout", 408, "the headers or the body did not arrive in time").ends(Ending::Failed);
    BodyTooLarge = &row("body_too_large", 413, "over the route's `limits.max_body_size`");
    UriTooLong = &row("uri_too_long", 414, "a target over 8 KiB").before_route();
    /// RFC 9110 §15.5.20.
    MisdirectedRequest = &row(
        "misdirected_request", 421,
        "the route uses client certificates, and the client connected by the name (SNI) of another host",
    );
    IdempotencyKeyReused =
        &row("idempotency_key_reused", 422, "its key was used with another method, target or body");
    RateLimited = &row(
        "rate_limited", 429,
        "over [a rate limit](#rate-and-concurrency-limits), or more than 20 [challenges](#challenge) per second: \
         `Retry-After`",
    );
    ConcurrencyLimited = &row(
        "concurrency_limited", 429, "over [a concurrency limit](#rate-and-concurrency-limits): `Retry-After: 1`",
    );
    HeadersTooLarge =
        &row("headers_too_large", 431, "over `max_headers_size` or `max_headers_count`").before_route();
    TokenTooLarge = &credential("token_too_large", 431, "invalid_request", "a token over 8 KiB");
    UpstreamUnreachable =
        &row("upstream_unreachable", 502, "no connection to the upstream").ends(Ending::Failed);
    UpstreamProtocolError = &row(
        "upstream_protocol_error", 502, "the upstream's connection ended early, or its response was not HTTP",
    ).ends(Ending::Failed);
    JwksUnavailable = &row(
        "jwks_unavailable", 503,
        "the issuer's keys could not be fetched, so hookgate cannot verify the token (fail closed): `Retry-After: 10`",
    ).ends(Ending::Undecided);
    BufferFull = &row(
        "buffer_full", 503,
        "[buffered bodies](#routes) have reached `max_buffered_bytes`, or those of one address its quarter: \
         `Retry-After: 10`",
    ).ends(Ending::Undecided);
    TooManyWaitingRequests = &row(
        "too_many_waiting_requests", 503,
        "[the requests that wait for their bodies](#routes) have reached their limit, or those of one address its \
         quarter: `Retry-After: 10`",
    ).ends(Ending::Undecided);
    StoreUnavailable = &row(
        "store_unavailable", 503,
        "the store did not respond, or may have lost entries (fail closed): `Retry-After: 10`",
    ).ends(Ending::Undecided);
    StoreFull = &row(
        "store_full", 503, "the store, or the route's share of it, is full: `Retry-After: 10`",
    ).ends(Ending::Undecided);
    UpstreamTimeout =
        &row("upstream_timeout", 504, "no response within `upstream.timeouts.total`").ends(Ending::Failed);
}

impl Reason {
    /// The word for it in the access log, metrics, responses, configuration and documents.
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// The reason with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// The cause, as the reference states it, in Markdown.
    pub const fn cause(self) -> &'static str {
        self.row().cause
    }

    /// A hint for the operator, where the cause alone does not help.
    pub const fn hint(self) -> Option<&'static str> {
        self.row().hint
    }
}
