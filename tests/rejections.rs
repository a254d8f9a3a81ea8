//! Rejected requests, their responses, and the information that an unauthenticated client gets.

use serde_json::json;

use crate::support::configuration::{Configuration, Route, Signature, StaticToken, Timestamp, all_of};
use crate::support::http2::{PREFACE, SETTINGS, frame, frames_until, http2_head};
use crate::support::{Gateway, NOW, Setup, Upstream};

/// A public route for each of these matches, next to the guarded route.
fn with_public<const N: usize>(upstream: &Upstream, matches: [fn(Route) -> Route; N]) -> Setup {
    let routes = matches.iter().enumerate().map(|(index, matches)| {
        let route = Route::new(&format!("open-{index}")).upstream(format!("http://{}", upstream.address));
        matches(route.auth("public"))
    });
    Setup::new(upstream.address).top(|top| routes.fold(top, Configuration::add_route))
}

/// The usual gateway, whose route matches every path and method.
fn with_every_path(upstream: &Upstream) -> Setup {
    Setup::new(upstream.address).route(|route| route.path("/*").without("match.methods"))
}

/// The number of requests of the route with this reason, which the response does not disclose.
async fn counted(gateway: &Gateway, outcome: &str, reason: &str) -> Option<f64> {
    let name = format!("hookgate_requests_total{{outcome=\"{outcome}\",reason=\"{reason}\",route=\"webhook\"}}");
    gateway.metric(&name).await
}

#[tokio::test]
async fn before_a_signature_is_verified_no_reason_is_disclosed() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let good = gateway.token();
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, "A".repeat(342));
    for (token, code) in [("garbage", "malformed_token"), (&forged, "invalid_signature")] {
        assert_eq!(gateway.client().post(token).await.problem(), (401, "unauthorized".into()));
        assert_eq!(counted(&gateway, "rejected", code).await, Some(1.0), "{code}");
    }
    let expired = gateway.issuer.token_with(json!({"exp": NOW - 60}));
    assert_eq!(gateway.client().post(&expired).await.problem(), (401, "token_expired".into()));
    let unscoped = gateway.issuer.token_with(json!({"event_scope": null}));
    assert_eq!(gateway.client().post(&unscoped).await.problem(), (403, "claim_mismatch".into()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn opaque_and_detailed_disclose_less_and_more() {
    let upstream = Upstream::echo().await;
    for (errors, unproven, proven, forbidden) in [
        ("opaque", "unauthorized", "unauthorized", "forbidden"),
        ("detailed", "malformed_token", "token_expired", "claim_mismatch"),
    ] {
        let gateway = Setup::new(upstream.address).top(|top| top.error_detail(errors)).start();
        let expired = gateway.issuer.token_with(json!({"exp": NOW - 60}));
        let unscoped = gateway.issuer.token_with(json!({"event_scope": "x"}));
        assert_eq!(gateway.client().post("garbage").await.problem(), (401, unproven.into()));
        assert_eq!(gateway.client().post(&expired).await.problem(), (401, proven.into()));
        let rejected = gateway.client().post(&unscoped).await;
        assert_eq!(rejected.problem(), (403, forbidden.into()));
        let names_scope = rejected.header("www-authenticate").unwrap().contains("insufficient_scope");
        assert_eq!(names_scope, errors == "detailed");
    }
}

/// A 400 would tell an attacker that the first of two credentials is right.
#[tokio::test]
async fn an_unreadable_body_confirms_no_credential() {
    let upstream = Upstream::echo().await;
    let auth = all_of([StaticToken::new("X-Token", "token").into(), Signature::hmac("X-Sig", &["json:/a"]).into()]);
    for (errors, overrides, right) in [
        ("standard", json!({}), (401, "unauthorized")),
        ("opaque", json!({}), (401, "unauthorized")),
        ("detailed", json!({}), (400, "malformed_body")),
        ("standard", json!({ "malformed_body": 422 }), (401, "unauthorized")),
        ("opaque", json!({ "malformed_body": 422 }), (401, "unauthorized")),
        ("detailed", json!({ "malformed_body": 422 }), (422, "malformed_body")),
    ] {
        let setup =
            Setup::new(upstream.address).file("secret", "a secret of the sender").file("token", "the right token");
        let setup = setup.auth(auth.clone()).route(|route| route.status_overrides(overrides));
        let gateway = setup.top(|top| top.error_detail(errors)).start();
        let problem = async |token: &str| {
            let request =
                gateway.client().request("/webhook").header("x-token", token).header("x-sig", "00".repeat(32));
            gateway.client().send(request, "not JSON").await.problem()
        };
        assert_eq!(problem("the right token").await, (right.0, right.1.to_owned()), "{errors}");
        assert_eq!(problem("a wrong token").await.0, 401, "{errors}");
        assert_eq!(counted(&gateway, "rejected", "malformed_body").await, Some(1.0), "{errors}");
    }
}

#[tokio::test]
async fn a_rejection_is_a_problem_document_of_the_gateway() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let answer = gateway.client().post("garbage").await;
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("server"), Some("hookgate"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let id = answer.header("x-request-id").unwrap();
    let expected = json!({
        "type": "about:blank", "title": "Unauthorized", "status": 401, "reason": "unauthorized", "instance": id,
    });
    assert_eq!(answer.json(), expected);
}

/// RFC 6750 §3.1: no error for a request without a credential.
#[tokio::test]
async fn challenges_follow_rfc_6750() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let client = gateway.client();
    let challenge = |answer: crate::support::Answer| answer.header("www-authenticate").map(str::to_owned);
    let nothing = client.send(client.request("/webhook"), "{}").await;
    assert_eq!(challenge(nothing).as_deref(), Some("Bearer realm=\"webhook\""));
    assert_eq!(challenge(client.post("x").await).as_deref(), Some("Bearer realm=\"webhook\", error=\"invalid_token\""));
    let unscoped = client.post(&gateway.issuer.token_with(json!({"event_scope": "x"}))).await;
    assert_eq!(challenge(unscoped).as_deref(), Some("Bearer realm=\"webhook\", error=\"insufficient_scope\""));
}

/// Bandwidth shows its password only after a challenge (RFC 7617 §2); a 401 has one for each scheme (RFC 9110 §15.5.2).
#[tokio::test]
async fn each_scheme_in_authorization_has_its_challenge() {
    let upstream = Upstream::echo().await;
    for (scheme, wrong, expected) in [
        ("Basic", "Basic dXNlcjp3cm9uZw==", "Basic realm=\"webhook\", charset=\"UTF-8\""),
        ("Token", "Token wrong", "Token realm=\"webhook\""),
    ] {
        let token = StaticToken::new("Authorization", "token").with("scheme", scheme);
        let gateway = Setup::new(upstream.address).file("token", "user:a password").auth(token).start();
        let client = gateway.client();
        for request in [client.request("/webhook"), client.request("/webhook").header("authorization", wrong)] {
            let answer = client.send(request, "{}").await;
            assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some(expected)), "{scheme}");
        }
        let right = if scheme == "Basic" { "Basic dXNlcjphIHBhc3N3b3Jk" } else { "Token user:a password" };
        let answer = client.send(client.request("/webhook").header("authorization", right), "{}").await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let client = gateway.client();
    let good = format!("Bearer {}", gateway.token());
    for path in ["/", "/webhook/", "/Webhook", "/webhook2", "/other", "/other?/webhook", "/?x=/webhook"] {
        let answer = client.send(client.request(path).header("authorization", &good), "{}").await;
        assert_eq!(answer.problem(), (404, "no_route".into()), "{path}");
    }
    let answer = client.send(client.request("/webhook").method("GET").header("authorization", &good), "").await;
    assert_eq!((answer.problem(), answer.header("allow")), ((405, "method_not_allowed".into()), Some("POST, PUT")));
    // No shortcut by method: oauth2-proxy CVE-2026-34457.
    let answer = client.send(client.request("/webhook").method("OPTIONS"), "").await;
    assert_eq!(answer.status, 405);
    assert!(upstream.seen().is_empty());
}

/// oauth2-proxy CVE-2025-54576.
#[tokio::test]
async fn a_query_is_no_part_of_the_path() {
    let upstream = Upstream::echo().await;
    let gateway = with_public(&upstream, [|route| route.path("/open"), |route| route.path("/open/*")]).start();
    let post = async |target: &str| gateway.client().send(gateway.client().request(target), "{}").await.status.as_u16();
    for target in ["/webhook?/open", "/webhook?/open/", "/webhook?x=/open", "/webhook?/../open"] {
        assert_eq!(post(target).await, 401, "{target}");
    }
    assert_eq!(post("/open?/webhook").await, 200);
    assert_eq!(upstream.only().target, "/open?/webhook");
}

/// oauth2-proxy CVE-2026-34457: the path or user agent of a health check bypasses nothing; the health pages of the
/// gateway are on the admin listener.
#[tokio::test]
async fn no_health_page_and_no_user_agent_bypasses_authentication() {
    let upstream = Upstream::echo().await;
    let (gateway, mut asked) = (with_every_path(&upstream).start(), 0.0);
    let client = gateway.client();
    for path in PROBED {
        for agent in ["kube-probe/1.30", "GoogleHC/1.0"] {
            for method in ["GET", "HEAD", "OPTIONS"] {
                let request = client.request(path).method(method).header("user-agent", agent);
                assert_eq!(client.send(request, "").await.status, 401, "{method} {path} {agent}");
                asked += 1.0;
            }
        }
    }
    assert_eq!(counted(&gateway, "rejected", "missing_credential").await, Some(asked));
    assert!(upstream.seen().is_empty());
}

const PROBED: &[&str] =
    &["/livez", "/readyz", "/healthz", "/metrics", "/ping", "/favicon.ico", "/robots.txt", "/oauth2/auth"];

/// Envoy CVE-2023-27487, Traefik CVE-2026-35051: each header names a public path, and the gateway must ignore it.
#[tokio::test]
async fn no_header_selects_the_route() {
    let upstream = Upstream::echo().await;
    let gateway = with_public(
        &upstream,
        [
            |route| route.path("/open"),
            |route| route.host("open.test").path("/webhook"),
            |route| route.path("/webhook").methods(["GET"]),
        ],
    );
    let gateway = gateway.start();
    let (client, client_http2) = (gateway.client(), gateway.client_http2());
    for (name, value) in [
        ("x-original-url", "/open"),
        ("x-original-uri", "/open"),
        ("x-rewrite-url", "/open"),
        ("x-forwarded-uri", "/open"),
        ("x-forwarded-prefix", "/open"),
        ("x-envoy-original-path", "/open"),
        ("x-forwarded-host", "open.test"),
        ("x-original-host", "open.test"),
        ("forwarded", "host=open.test"),
        ("x-http-method-override", "GET"),
        ("x-forwarded-method", "GET"),
    ] {
        for client in [&client, &client_http2] {
            let answer = client.send(client.request("/webhook").header(name, value), "{}").await;
            assert_eq!(answer.status, 401, "{name}");
        }
    }
    assert!(upstream.seen().is_empty());
    for request in [client.request("/open"), client.request("/webhook").method("GET")] {
        assert_eq!(client.send(request, "").await.status, 200);
    }
}

/// Istio CVE-2021-31920 and similar paths, as raw bytes: none reaches the upstream.
#[tokio::test]
async fn ambiguous_paths_are_rejected_and_not_rewritten() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.path("/*")).start();
    let paths = [
        "//webhook",
        "/a/../webhook",
        "/./webhook",
        "/a/%2e%2e/webhook",
        "/a%2fb",
        "/a%5Cb",
        "/a;b",
        "/..;/a",
        "/%252e",
        "/%c0%ae",
        "/a%00",
        "/%zz",
        "/a%23b",
    ];
    for path in paths {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            gateway.token()
        );
        let answer = gateway.wire().await.write(request).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("ambiguous_path"), "{path}: {answer}");
    }
    assert!(upstream.seen().is_empty());
}

/// An upstream decodes `/%61dmin`, so the route that guards `/admin` must match it, not a wider public route.
#[tokio::test]
async fn an_encoded_letter_does_not_bypass_a_guarded_route() {
    let upstream = Upstream::echo().await;
    let gateway = with_public(&upstream, [|route| route.path("/*")]).start();
    for path in ["/%77ebhook", "/%77%65%62%68%6f%6f%6B", "/w%65bhook"] {
        for client in [gateway.client(), gateway.client_http2()] {
            assert_eq!(client.send(client.request(path), "{}").await.problem().0, 401, "{path}");
        }
    }
    let request = gateway.client().request("/%77ebhook").header("authorization", format!("Bearer {}", gateway.token()));
    assert_eq!(gateway.client().send(request, "{}").await.status, 200);
    assert_eq!(upstream.only().target, "/%77ebhook");
}

#[tokio::test]
async fn tunnels_traces_upgrades_and_ambiguous_hosts_are_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = with_every_path(&upstream).start();
    let token = gateway.token();
    let upgrade = "POST /webhook HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
    let requests = [
        ("CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n", "bad_request"),
        ("TRACE /webhook HTTP/1.1\r\nHost: localhost\r\n", "bad_request"),
        (upgrade, "upgrade_not_supported"),
        ("POST /webhook HTTP/1.1\r\n", "missing_host"),
        ("POST /webhook HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", "bad_request"),
        ("POST http://other/webhook HTTP/1.1\r\nHost: localhost\r\n", "bad_request"),
    ];
    let credential = format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n");
    for (request, reason) in requests {
        // The bytes after it are discarded.
        let second = format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\n{credential}");
        let answer = gateway.wire().await.write(format!("{request}{credential}{second}")).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(answer.contains(&format!("\"reason\":\"{reason}\"")), "{reason}: {answer}");
    }
    let asterisk = format!("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n{credential}");
    let answer = gateway.wire().await.write(asterisk).await.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(upstream.seen().is_empty());
}

/// Cheap checks first: neither the body nor the credential is read if the address is not allowed.
#[tokio::test]
async fn an_address_that_is_not_allowed_is_rejected_before_all_else() {
    let upstream = Upstream::echo().await;
    for (errors, reason) in [("standard", "ip_not_allowed"), ("opaque", "forbidden")] {
        let setup = Setup::new(upstream.address)
            .route(|route| route.max_body_size("16B").allowed_ips(["203.0.113.0/24", "2001:db8::/32"]));
        let gateway = setup.top(|top| top.error_detail(errors)).start();
        assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (403, reason.into()));
        assert_eq!(gateway.client().post("garbage").await.problem(), (403, reason.into()));
        let answer = gateway.client().send(gateway.client().request("/webhook"), "x".repeat(17)).await;
        assert_eq!((answer.problem(), answer.header("www-authenticate")), ((403, reason.into()), None));
        assert_eq!(counted(&gateway, "rejected", "ip_not_allowed").await, Some(3.0));
    }
    assert!(upstream.seen().is_empty());
}

/// A client may write anything into a header; only the peer address of the connection counts.
#[tokio::test]
async fn an_allow_list_looks_at_the_connection_alone() {
    let upstream = Upstream::echo().await;
    for (allow, claimed, status) in [("127.0.0.0/8", "203.0.113.9", 200), ("203.0.113.0/24", "203.0.113.9", 403)] {
        let gateway = Setup::new(upstream.address).route(|route| route.allowed_ips([allow])).start();
        let request = gateway.client().request("/webhook").header("x-forwarded-for", claimed);
        let request = request.header("forwarded", format!("for={claimed}")).header("x-real-ip", claimed);
        let request = request.header("authorization", format!("Bearer {}", gateway.token()));
        assert_eq!(gateway.client().send(request, "{}").await.status, status, "{allow}");
    }
}

#[tokio::test]
async fn statuses_can_be_chosen() {
    let upstream = Upstream::echo().await;
    let overrides = json!({"token_expired": 410, "malformed_token": 200});
    let gateway = Setup::new(upstream.address).route(|route| route.status_overrides(overrides)).start();
    let answer = gateway.client().post(&gateway.issuer.token_with(json!({"exp": NOW - 60}))).await;
    assert_eq!((answer.problem(), answer.header("www-authenticate")), ((410, "token_expired".into()), None));
    assert_eq!(gateway.client().post("garbage").await.problem(), (200, "unauthorized".into()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_token_expires_at_its_time() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let token = gateway.token();
    gateway.clock.forward(329);
    assert_eq!(gateway.client().post(&token).await.status, 200);
    gateway.clock.forward(1);
    assert_eq!(gateway.client().post(&token).await.problem(), (401, "token_expired".into()));
}

#[tokio::test]
async fn a_timestamp_next_to_the_token_is_missing_stale_or_early() {
    let upstream = Upstream::echo().await;
    let timestamp = Timestamp::in_header("X-Time").max_age("5m").max_future("1m").signed(false);
    let gateway = Setup::new(upstream.address).route(|route| route.timestamp(timestamp)).start();
    let client = gateway.client();
    for (time, reason) in [
        (None, Some("missing_timestamp")),
        (Some("soon".to_owned()), Some("malformed_timestamp")),
        (Some((NOW - 301).to_string()), Some("timestamp_too_old")),
        (Some((NOW + 61).to_string()), Some("timestamp_in_future")),
        (Some((NOW - 300).to_string()), None),
    ] {
        let mut request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
        request = time.iter().fold(request, |request, time| request.header("x-time", time));
        let answer = client.send(request, "{}").await;
        match reason {
            Some(reason) => assert_eq!(answer.problem(), (401, reason.into())),
            None => assert_eq!(answer.status, 200),
        }
    }
}

#[tokio::test]
async fn plain_http_to_the_tls_port_gets_a_400_and_is_never_forwarded() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    stream.write_all(b"POST /webhook HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let has_id = answer.contains("instance");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("tls_required") && !has_id, "{answer}");
    assert!(upstream.seen().is_empty());
}

/// Older curl (7.88 was seen) reports an error if its stream ends while it still sends, and loses the 401.
#[tokio::test]
async fn an_early_http2_rejection_still_takes_the_body() {
    const DATA_WITH_END: (u8, u8) = (0, 1);
    const PING_ACK: (u8, u8) = (6, 1);
    const RST_STREAM: u8 = 3;
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let mut wire = gateway.wire_http2().await;
    wire.write([PREFACE, SETTINGS, &http2_head("x.y.z", 4)].concat()).await;
    let (kind, flags) = DATA_WITH_END;
    frames_until(&mut wire, |k, f| (k, f) == (kind, flags)).await;
    let (kind, flags) = PING_ACK;
    for last in [0, 1] {
        wire.write([frame(0, last, 1, b"body"), frame(6, 0, 0, &[0; 8])].concat()).await;
        let frames = frames_until(&mut wire, |k, f| (k, f) == (kind, flags)).await;
        assert!(frames.iter().all(|(kind, _)| *kind != RST_STREAM), "{frames:?}");
    }
    assert!(upstream.seen().is_empty());
}
