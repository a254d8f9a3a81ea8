//! Every reason for which a request is rejected or fails, one row each: its word, its status, and the texts about it.
//! docs/reference/reasons.md is generated from the rows.
//!
//! Pure, and below `auth`, which does not know statuses: only `failure` reads the columns that make a response.

mod row;
mod texts;

use crate::rows::rows;
pub(crate) use row::{Ending, ReasonRow};
use row::{ReasonTexts, credential, row};

rows! {
    /// The reason for which a request is rejected or fails: a field of the access log, a label of the metrics, `reason`
    /// of the response where it may be disclosed, and a key of `status_overrides`.
    #[expect(missing_docs, reason = "the cause in its row says what a reason means")]
    pub enum Reason;
    /// Only this file and `failure` read it.
    pub(crate) fn row -> &'static ReasonRow;

    BadRequest = &row("bad_request", 400, ReasonTexts {
        cause: "two hosts, a target that contradicts Host, CONNECT, TRACE, forwarding headers that contradict each \
                other, an idempotency key that is missing though required, empty or over 1 KiB; the HTTP/1 connection \
                is closed",
        operator: "Let the proxy in front send one `Host`, and remove the forwarding header that it does not set.",
        sender: "Correct the request, or add the idempotency key.",
    }).before_route();
    /// RFC 9112 §3.2.
    MissingHost = &row("missing_host", 400, ReasonTexts {
        cause: "no Host header",
        operator: "Let the proxy in front forward `Host`.",
        sender: "Send a `Host` header.",
    }).before_route();
    /// RFC 3986 §2.
    InvalidTarget = &row("invalid_target", 400, ReasonTexts {
        cause: "the request target is no URL: `\"`, `<`, `>`, a backtick in the path, bytes beyond ASCII that are not \
                UTF-8, or no path; the HTTP/1 connection is closed",
        operator: "Find the client by its address, and let it percent-encode the URL.",
        sender: "Percent-encode these bytes, such as `%22` for `\"`.",
    }).before_route();
    /// RFC 9110 §7.8 and RFC 6455 §4.2.1.
    UpgradeNotSupported = &credential("upgrade_not_supported", 400, "invalid_request", ReasonTexts {
        cause: "a WebSocket upgrade on a route without `websocket`, or one that is not a complete opening handshake: GET \
                with HTTP/1.1 and without a body, `Upgrade: websocket`, `Connection: Upgrade`, \
                `Sec-WebSocket-Version: 13` and a `Sec-WebSocket-Key`. The extended CONNECT of HTTP/2 (RFC 8441) is not \
                supported",
        operator: "If the upstream expects WebSocket connections there, set `websocket` on the route. See \
                   [WebSocket](../concepts/websocket.md).",
        sender: "Send the request without `Upgrade`, or the handshake of RFC 6455 over HTTP/1.1.",
    }).hint("the request asks for WebSocket (`Upgrade: websocket`), which only a route with `websocket` forwards");
    AmbiguousPath = &row("ambiguous_path", 400, ReasonTexts {
        cause: "a path that two programs could read differently, a fragment, or another spelling (case, final slash) of \
                the path of a stricter route with the same upstream",
        operator: "Give the sender a URL with the exact path of its route; such a path cannot be allowed.",
        sender: "Use the exact path, without dot segments, `//`, `;`, `\\` and encoded separators.",
    }).before_route();
    /// RFC 9112 §7.1 and §11.2.
    AmbiguousFraming = &row("ambiguous_framing", 400, ReasonTexts {
        cause: "request smuggling: bytes that two programs could split into different requests",
        operator: "Find the client by its address: an attacker, or a program or proxy that writes invalid HTTP/1.1.",
        sender: "Send one `Content-Length`, or `Transfer-Encoding: chunked`, and line ends of CRLF.",
    }).before_route();
    MalformedCredential = &credential("malformed_credential", 400, "invalid_request", ReasonTexts {
        cause: "the header that carries the credential, or a signed header, cannot be read",
        operator: "Compare the header with the sender's documentation; `hookgate explain` shows it.",
        sender: "Send the header in visible ASCII, in the documented form.",
    });
    MalformedBody = &credential("malformed_body", 400, "invalid_request", ReasonTexts {
        cause: "the body must be JSON or a form, but cannot be parsed. If `error_detail` withholds reasons, the \
                response before authentication is 401 `unauthorized`, as for a wrong credential",
        operator: "Compare the body with the keys of the route that read it: `json`, `form`, `require`.",
        sender: "Send a valid body: one JSON object, or a form with its `Content-Type`.",
    }).hint("the body is neither a JSON object nor a form");
    ClientDisconnected = &row("client_disconnected", 400, ReasonTexts {
        cause: "the client disconnected before its request or its response was complete, and gets no response",
        operator: "If it is frequent, compare the sender's timeout with the upstream's duration.",
        sender: "Retry with a longer timeout. The upstream may have processed the request.",
    }).before_route().ends(Ending::Failed);
    TlsRequired = &row("tls_required", 400, ReasonTexts {
        cause: "plain HTTP on a TLS port; it is counted as `plain_http` of `hookgate_tls_handshakes_total`",
        operator: "Give the sender an https URL.",
        sender: "Use https.",
    }).before_route();
    MissingCredential = &credential("missing_credential", 401, "invalid_request", ReasonTexts {
        cause: "no token, signature, secret or certificate",
        operator: "Check that the sender sends its credential there, and that no proxy removes it.",
        sender: "Send the credential where the receiver expects it.",
    });
    MultipleCredentials = &credential("multiple_credentials", 401, "invalid_request", ReasonTexts {
        cause: "more than one credential, or a signed header twice",
        operator: "Find the proxy that adds a credential or a header.",
        sender: "Send one credential, and each signed header once.",
    }).hint("the request has two credentials: another proxy may add one");
    /// Not a compact JWS, or one that breaks a rule of RFC 7515, 7519 or 8725.
    MalformedToken = &credential("malformed_token", 401, "invalid_request", ReasonTexts {
        cause: "the token is not a JWS in compact form, or breaks a rule of RFC 7515, 7519 or 8725",
        operator: "Find the rule that the token breaks with `hookgate explain`.",
        sender: "Send a signed token in compact form, with claims of the registered types.",
    }).hint(
        "the token is not a signed JWT as RFC 7515 and 7519 have it, see `detail`; opaque and encrypted access tokens are not \
         supported: let the client ask the issuer for a JWT, usually by an audience of its own",
    );
    UnsupportedAlgorithm = &credential("unsupported_algorithm", 401, "invalid_key", ReasonTexts {
        cause: "an algorithm that is not allowed for the issuer or the key",
        operator: "Compare the token's `alg` with `algorithms` of the issuer.",
        sender: "Sign with an algorithm that the receiver allows.",
    }).hint("the token's `alg` is not one of the issuer's algorithms, or not that of its key");
    UnknownKey = &credential("unknown_key", 401, "invalid_key", ReasonTexts {
        cause: "the issuer has no key with the token's `kid`",
        operator: "Check that the issuer's JWKS has the key, and when it was fetched: `last_success` in `/status`. See [An \
                   unknown key](../concepts/keys.md#an-unknown-key).",
        sender: "Sign with a published key. After a key rotation, retry later.",
    }).hint(
        "no key of the issuer is that of the token: `detail` says whether its `kid` is unknown (the JWKS may be older), or \
         missing in the token or in the JWKS",
    );
    InvalidSignature = &credential("invalid_signature", 401, "authentication_failed", ReasonTexts {
        cause: "the signature does not verify, or does not have the form of `parse`",
        operator: "Compare the secret with the sender's, and run `hookgate explain`, which tries likely causes.",
        sender: "Sign the bytes as they are sent, with the current secret or key.",
    }).hint(
        "compare the signed payload with the sender's, and the secret or key with the one in its console",
    );
    MissingSignedComponent = &credential("missing_signed_component", 401, "authentication_failed", ReasonTexts {
        cause: "a component of the signed payload, or the replay id in it, is absent, or an HTTP Message Signature does \
                not cover a component that the route requires",
        operator: "Compare `signed_payload` or `required_components`, and the replay id, with the request. A proxy may \
                   remove headers.",
        sender: "Send every header, member and part that is signed.",
    }).hint(
        "a header, part or member that must be signed is missing: compare `signed_payload`, and the `id` of \
         `replay_protection` or of the preset",
    );
    RequirementNotMet = &credential("requirement_not_met", 401, "authentication_failed", ReasonTexts {
        cause: "a condition under `require` does not hold, or a parameter of `required_parameters` is absent",
        operator: "Compare `require` with the request, which has another type or version, or `required_parameters`.",
        sender: "Send the type and version of request that the receiver expects.",
    }).hint("a `require` of the signature is not met: the request has another type or version");
    InvalidStaticToken = &credential("invalid_static_token", 401, "authentication_failed", ReasonTexts {
        cause: "the static token matches none of the secrets",
        operator: "Compare the route's secrets with the token in the sender's console.",
        sender: "Send the current token.",
    }).hint("the token is not one of the route's secrets: compare it with the one in the sender's console");
    MissingClaim = &credential("missing_claim", 401, "invalid_request", ReasonTexts {
        cause: "a required claim, or the claim of a binding or of the replay id, is absent",
        operator: "Compare `required_claims` and the claims of bindings with those of the token.",
        sender: "Send a token with this claim.",
    }).hint(
        "the token does not have the claim in `detail`: compare `required_claims`, `max_age`, the bindings and the replay id \
         with the claims that the issuer sends",
    );
    InvalidIssuer = &credential("invalid_issuer", 401, "invalid_issuer", ReasonTexts {
        cause: "`iss` is not an issuer of the route",
        operator: "Compare `iss` with the configured issuer: the tenant or environment may differ.",
        sender: "Send a token of the issuer that the receiver expects.",
    }).hint("`iss` is not the configured issuer: the token comes from another tenant or environment");
    InvalidAudience = &credential("invalid_audience", 401, "invalid_audience", ReasonTexts {
        cause: "`aud` is not the audience of the route",
        operator: "Compare `audience` with the token's `aud`.",
        sender: "Send a token that was issued for this receiver.",
    }).hint("`aud` is not the audience of this route: the token was issued for another service");
    /// RFC 7519 §4.1.4.
    TokenExpired = &credential("token_expired", 401, "invalid_request", ReasonTexts {
        cause: "`exp` has passed, or is before `iat`",
        operator: "Compare the clocks, and the token's lifetime with the delay of the sender's retries.",
        sender: "Send a new token with each attempt.",
    });
    /// RFC 7519 §4.1.5.
    TokenNotYetValid = &credential("token_not_yet_valid", 401, "invalid_request", ReasonTexts {
        cause: "`nbf` is in the future, beyond `leeway`",
        operator: "Compare the clocks; `leeway` is the allowed difference.",
        sender: "Retry when the token is valid, or correct the issuer's clock.",
    });
    TokenTooOld = &credential("token_too_old", 401, "invalid_request", ReasonTexts {
        cause: "`iat` is older than `max_age`",
        operator: "Compare `max_age` with the time for which the sender uses a token.",
        sender: "Send a new token.",
    });
    TokenIssuedInFuture = &credential("token_issued_in_future", 401, "invalid_request", ReasonTexts {
        cause: "`iat` is in the future, beyond `leeway`",
        operator: "Compare the clocks; `leeway` is the allowed difference.",
        sender: "Correct the issuer's clock.",
    });
    TokenLifetimeTooLong = &credential("token_lifetime_too_long", 401, "invalid_request", ReasonTexts {
        cause: "`exp` − `iat` is over `max_lifetime`",
        operator: "Compare `max_lifetime` with the lifetime that the issuer gives its tokens.",
        sender: "Send tokens with a shorter lifetime.",
    });
    MissingTimestamp = &credential("missing_timestamp", 401, "invalid_request", ReasonTexts {
        cause: "the timestamp is absent",
        operator: "Check that the sender sends the timestamp there, and that no proxy removes it.",
        sender: "Send the timestamp.",
    });
    MalformedTimestamp = &credential("malformed_timestamp", 401, "invalid_request", ReasonTexts {
        cause: "the timestamp cannot be parsed, or occurs twice",
        operator: "Compare `unit` with the form of the sender's timestamp.",
        sender: "Send the timestamp once, in the documented form.",
    });
    TimestampTooOld = &credential("timestamp_too_old", 401, "invalid_request", ReasonTexts {
        cause: "the route's timestamp, or a signed time, is too old",
        operator: "Compare the clocks, and `max_age`, or `tolerance` beside a preset, with the delay of the sender's retries.",
        sender: "Sign each attempt with the current time.",
    });
    TimestampInFuture = &credential("timestamp_in_future", 401, "invalid_request", ReasonTexts {
        cause: "the timestamp is too far in the future",
        operator: "Compare the clocks; `max_future` of a `timestamp` is the allowed difference.",
        sender: "Correct the clock.",
    });
    BodyMismatch = &credential("body_mismatch", 401, "invalid_request", ReasonTexts {
        cause: "the body is not the signed one",
        operator: "Find the proxy that changes the body, for example by re-serializing it.",
        sender: "Hash the bytes of the body as they are sent.",
    });
    MethodMismatch = &credential("method_mismatch", 401, "invalid_request", ReasonTexts {
        cause: "the method is not the signed one",
        operator: "Find the proxy that changes the method.",
        sender: "Send the method that is signed.",
    }).hint("the token was issued for another method");
    UrlMismatch = &credential("url_mismatch", 401, "invalid_request", ReasonTexts {
        cause: "the URL is not the signed one",
        operator: "Set `public_url` to the URL that the sender signs; `variants` allow for port and slash.",
        sender: "Sign the URL that is requested, with its query.",
    });
    SigningCertificateNotAllowed = &credential("signing_certificate_not_allowed", 401, "invalid_key", ReasonTexts {
        cause: "the request names no certificate, or one whose URL is not on a host and path of the route; or the file \
                there has no valid certificate of the provider",
        operator: "Compare `detail` of the log with `hosts`, `path` and `subject`, or with the region of the preset.",
        sender: "Name the certificate with which the request is signed.",
    }).hint(
        "the URL of the certificate is not one of this route: compare the region or the environment of the preset, or \
         `hosts` and `path`",
    );
    /// RFC 8705 §3.1.
    CertificateMismatch = &credential("certificate_mismatch", 401, "authentication_failed", ReasonTexts {
        cause: "the token is bound to another client certificate, or the connection has none",
        operator: "Check that TLS is terminated by hookgate, and compare the certificate with the token's `cnf`.",
        sender: "Connect with the certificate to which the token is bound.",
    }).hint("client certificates cannot be verified offline");
    Revoked = &credential("revoked", 401, "access_denied", ReasonTexts {
        cause: "the token is on the route's revocation list, or in the shared revocations",
        operator: "Nothing, unless the entry is a mistake: then remove it from the list.",
        sender: "Ask the receiver, and send a new token.",
    });
    IpNotAllowed = &credential("ip_not_allowed", 403, "access_denied", ReasonTexts {
        cause: "the client's address is not in `allowed_ips`",
        operator: "Compare `client_address` of the log with `allowed_ips`; behind a proxy set `trusted_proxies`.",
        sender: "Send from an address that the receiver allows.",
    });
    /// RFC 6455 §10.2: cross-site WebSocket hijacking.
    OriginNotAllowed = &credential("origin_not_allowed", 403, "access_denied", ReasonTexts {
        cause: "a WebSocket upgrade whose `Origin` is absent or not in `websocket.origins`, or a CORS preflight whose `Origin` \
                is not in `cors.origins`",
        operator: "Add the origin of the web page to the list, if it is one of yours.",
        sender: "Send the request from a web page of an origin that the receiver allows.",
    }).hint("the `Origin` is not one of the route's `websocket.origins`");
    ClaimMismatch = &credential("claim_mismatch", 403, "access_denied", ReasonTexts {
        cause: "a rule under `claims` does not hold",
        operator: "Compare `claims` with the token, for example with `hookgate explain`.",
        sender: "Send a token with the permissions that the receiver requires.",
    }).hint(
        "a rule under `claims` does not hold: `detail` has the claim and the operator",
    );
    CertificateNotAllowed = &credential("certificate_not_allowed", 403, "access_denied", ReasonTexts {
        cause: "the route does not accept the client certificate, or the listener no longer trusts it",
        operator: "Compare `san` and `sha256` with the certificate; check its expiry and its revocation.",
        sender: "Connect with a valid certificate that the receiver has allowed.",
    }).hint("client certificates cannot be verified offline");
    NoRoute = &row("no_route", 404, ReasonTexts {
        cause: "no route for host and path",
        operator: "Compare the sender's URL with `match` of the routes.",
        sender: "Correct the URL.",
    }).before_route();
    MethodNotAllowed = &row("method_not_allowed", 405, ReasonTexts {
        cause: "the route has other methods",
        operator: "Add the method to `match.methods` if the upstream expects it.",
        sender: "Use a method that `Allow` of the response lists.",
    }).before_route();
    /// RFC 9110 §15.5.9.
    RequestTimeout = &row("request_timeout", 408, ReasonTexts {
        cause: "the headers or the body did not arrive in time",
        operator: "If senders with slow connections are rejected, raise `timeouts` of the listener.",
        sender: "Retry, and send the request without pauses.",
    }).ends(Ending::Failed);
    DuplicateRequest = &row("duplicate_request", 409, ReasonTexts {
        cause: "a request with this replay id or idempotency key has been delivered: the same event, or another one \
                with the same id",
        operator: "Find the earlier request of this `sender` in the log. If it was another event, this one is lost: \
                see the [runbook](../operate/runbook.md#409-conflict-duplicate_request-duplicate_in_flight-replay_id_reused).",
        sender: "Do not retry the event: it has been delivered. Send another event with a token or id of its own.",
    });
    ReplayIdReused = &row("replay_id_reused", 409, ReasonTexts {
        cause: "the [replay id](../concepts/replay-and-idempotency.md#replay-ids) was used before by another request: \
                another method, target or body",
        operator: "Check that `id` identifies one event. If retries have another body, set `id: { hash: true }`.",
        sender: "Give each event its own id.",
    });
    DuplicateInFlight = &row("duplicate_in_flight", 409, ReasonTexts {
        cause: "another request with this replay id or idempotency key is in flight",
        operator: "If it is frequent, compare the sender's timeout with the upstream's duration.",
        sender: "Retry after the 10 s of `Retry-After`.",
    });
    BodyTooLarge = &row("body_too_large", 413, ReasonTexts {
        cause: "the body is larger than the route's `limits.max_body_size`",
        operator: "Raise `limits.max_body_size` if the sender's bodies are larger.",
        sender: "Send a smaller body; a retry fails too.",
    });
    UriTooLong = &row("uri_too_long", 414, ReasonTexts {
        cause: "the target is longer than 8 KiB",
        operator: "Nothing: the limit is fixed.",
        sender: "Send the data in the body.",
    }).before_route();
    /// RFC 9110 §15.5.20.
    MisdirectedRequest = &row("misdirected_request", 421, ReasonTexts {
        cause: "the route uses client certificates, and the client connected by the name (SNI) of another host",
        operator: "Check that the sender connects by the host name of the route.",
        sender: "Retry over a connection of its own to this host.",
    });
    IdempotencyKeyReused = &row("idempotency_key_reused", 422, ReasonTexts {
        cause: "the idempotency key was used with another method, target or body",
        operator: "Nothing: the sender has a defect.",
        sender: "Give each request its own key, and retry it unchanged.",
    });
    RateLimited = &row("rate_limited", 429, ReasonTexts {
        cause: "the request exceeds [a rate limit](configuration/routes.md#routes.limits.rate), or more than 20 \
                [challenges](configuration/authentication.md#routes.auth.challenge) per second of one address on one \
                route",
        operator: "Raise the limit if the requests are legitimate; `detail` of the log names the limit.",
        sender: "Retry after `Retry-After`, and send fewer requests per second.",
    });
    ConcurrencyLimited = &row("concurrency_limited", 429, ReasonTexts {
        cause: "the request exceeds [a concurrency limit](configuration/routes.md#routes.limits.concurrency)",
        operator: "Raise the limit that `detail` of the log names if the upstream can process more at a time.",
        sender: "Retry after `Retry-After`, with fewer requests at a time.",
    });
    HeadersTooLarge = &row("headers_too_large", 431, ReasonTexts {
        cause: "the headers are larger than `max_headers_size`, or more than `max_headers_count`",
        operator: "Raise `limits.max_headers_size` or `limits.max_headers_count` of the listener.",
        sender: "Send fewer or smaller headers.",
    }).before_route();
    UpstreamUnreachable = &row("upstream_unreachable", 502, ReasonTexts {
        cause: "no connection to the upstream, or an HTTP/2 upstream that rejected the request unprocessed",
        operator: "Start the upstream, or correct `upstream`; `detail` of the log has the cause.",
        sender: "Retry later: the upstream has not received the request.",
    }).ends(Ending::Failed);
    UpstreamProtocolError = &row("upstream_protocol_error", 502, ReasonTexts {
        cause: "the upstream's connection ended early, or its response was not HTTP",
        operator: "`detail` of the log has the cause. `upstream.timeouts.keepalive` must be shorter than the upstream's own.",
        sender: "Retry. The upstream may have processed the request.",
    }).ends(Ending::Failed);
    JwksUnavailable = &row("jwks_unavailable", 503, ReasonTexts {
        cause: "the issuer's keys could not be fetched, so hookgate cannot verify the token (fail closed)",
        operator: "Check that hookgate reaches the issuer; the log has the error of each fetch. See \
                   [Outages](../concepts/reload.md#outages).",
        sender: "Retry after `Retry-After`.",
    }).ends(Ending::Undecided);
    /// A rejection and no failure: an unauthenticated client can cause it at will, and must not hide a failure.
    JwksCooldown = &row("jwks_cooldown", 503, ReasonTexts {
        cause: "the issuer's fetched keys lack the token's `kid`, and were fetched for an unknown key within the \
                `cooldown`, so that a key published since then is not known yet",
        operator: "Usually none: a forged token, or one whose key is no longer published. See [An unknown \
                   key](../concepts/keys.md#an-unknown-key).",
        sender: "Retry after `Retry-After`.",
    });
    /// A rejection and no failure: an unauthenticated client can cause it at will, by the URL of a file that is absent.
    SigningCertificateUnavailable = &row("signing_certificate_unavailable", 503, ReasonTexts {
        cause: "the certificate that the request names could not be fetched, or too many were fetched for its client or \
                the route, so hookgate cannot verify the signature (fail closed)",
        operator: "Check that hookgate reaches the provider's host by https; the log has the error of each fetch. See \
                   [Signing certificates](../concepts/signing-certificates.md).",
        sender: "Retry after `Retry-After`.",
    });
    SubscriptionNotConfirmed = &row("subscription_not_confirmed", 503, ReasonTexts {
        cause: "a verified message asks to confirm a subscription, and its URL could not be fetched, or too many were \
                fetched",
        operator: "Check that hookgate reaches the provider's host by https; `detail` of the log has the error. See \
                   [Signing certificates](../concepts/signing-certificates.md#confirming-subscriptions).",
        sender: "Retry after `Retry-After`.",
    }).ends(Ending::Undecided);
    BufferFull = &row("buffer_full", 503, ReasonTexts {
        cause: "buffered bodies have reached `max_buffered_bytes`, or those of one address a quarter of it, and no \
                other client had to [give way](../concepts/limits.md#who-gives-way), or this one had to",
        operator: "Raise `max_buffered_bytes`; if `detail` of the log is `address`, find the client, and set \
                   `trusted_proxies`.",
        sender: "Retry after `Retry-After`.",
    }).ends(Ending::Undecided);
    TooManyWaitingRequests = &row("too_many_waiting_requests", 503, ReasonTexts {
        cause: "the requests that wait for their bodies have reached 64 MiB, or those of one address a quarter \
                of it, and no other client had to [give way](../concepts/limits.md#who-gives-way), or this one had to",
        operator: "Find the clients that send bodies slowly; behind a proxy set `trusted_proxies`.",
        sender: "Retry after `Retry-After`, and send the body without pauses.",
    }).ends(Ending::Undecided);
    StoreUnavailable = &row("store_unavailable", 503, ReasonTexts {
        cause: "the store did not respond, or may have lost entries (fail closed)",
        operator: "Restore the store; the log has the cause. See [Outages](../concepts/reload.md#outages).",
        sender: "Retry after `Retry-After`.",
    }).ends(Ending::Undecided);
    StoreFull = &row("store_full", 503, ReasonTexts {
        cause: "the route's share of the store is full: `capacity`, divided by the number of routes that use the store",
        operator: "Raise `capacity` of the store, which needs a restart (a memory store loses its ids), or lower the `ttl` \
                   of the route for new ids.",
        sender: "Retry after `Retry-After`.",
    }).ends(Ending::Undecided);
    UpstreamTimeout = &row("upstream_timeout", 504, ReasonTexts {
        cause: "no response within `upstream.timeouts.total` or `response_headers`",
        operator: "Make the upstream faster, or raise the timeout that `detail` of the log names. Responses without end \
                   need `total: none`.",
        sender: "Retry. The upstream may have processed the request.",
    }).ends(Ending::Failed);
}
