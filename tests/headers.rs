//! The headers that the upstream gets: those of clients that are removed, and those that the gateway sets.

use serde_json::{Value, json};

use crate::support::configuration::{Signature, StaticToken, any_of};
use crate::support::{Setup, Upstream, hmac};

/// Caddy CVE-2026-30851, oauth2-proxy CVE-2025-64484, Traefik CVE-2026-54763, Envoy CVE-2023-27487.
#[tokio::test]
async fn no_client_sets_identity_or_forwarding_headers() {
    let upstream = Upstream::echo().await;
    let headers = json!({"sub": "X-Who", "nothing": "X-Nothing"});
    let setup = Setup::new(upstream.address).listener(|listener| listener.max_headers_count(300));
    let gateway = setup.route(|route| route.claims_to_headers(headers)).start();
    let mut request =
        gateway.client().request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    let spoofed = [
        "x-who",
        "X_Who",
        "x.who",
        "x-nothing",
        "x-hookgate-sub",
        "x_hookgate_sub",
        "x.hookgate.sub",
        "forwarded",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded-uri",
        "x-forwarded-prefix",
        "x-original-forwarded-for",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "x-original-url",
        "x-original-uri",
        "x-original-host",
        "x-rewrite-url",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-envoy-original-path",
        "x-envoy-original-host",
        "proxy",
        "x-forwarded",
        "client-ip",
        "remote-user",
        "content_length",
        "transfer_encoding",
        "x-request-id",
        "x_request_id",
        "client-cert",
        "Client_Cert_Chain",
        "x-ssl-client-verify",
        "x-ssl-cert",
        "ssl-client-cert",
        "ssl_client_verify",
        "x-client-cert",
        "x-amzn-mtls-clientcert",
        "x-amzn-oidc-identity",
        "x-arr-clientcert",
        "remote-email",
        "remote_groups",
        "remote-name",
        "remote-addr",
        "x-remote-user",
        "x_remote_user",
        "x-auth-request-user",
        "x-authenticated-userid",
        "x-consumer-username",
        "x-webauth-user",
        "x-goog-authenticated-user-email",
        "x-goog-iap-jwt-assertion",
        "x-ms-client-principal",
        "x-ms-client-principal-name",
        "cf-connecting-ip",
        "cf-access-authenticated-user-email",
        "fastly-client-ip",
        "fly-client-ip",
        "x-azure-clientip",
        "x-host",
        "x-scheme",
        "front-end-https",
        "x-script-name",
        "x-original-method",
        "x-middleware-subrequest",
        "x-sendfile-type",
        "x-accel-mapping",
        "x-envoy-max-retries",
        "x-envoy-upstream-rq-timeout-ms",
    ];
    for name in spoofed {
        request = request.header(name, "evil").header(name, "evil, twice");
    }
    assert_eq!(gateway.client().send(request, "{}").await.status, 200);
    let seen = upstream.only();
    let evil: Vec<_> = seen.headers.iter().filter(|(_, value)| value.as_bytes().starts_with(b"evil")).collect();
    assert!(evil.is_empty(), "{evil:?}");
    assert_eq!((seen.header("x-who"), seen.header("x-nothing")), (Some("shop-42"), None));
}

/// Traefik GHSA-62c8-mh53-4cqv, pingora CVE-2026-105299: `Connection` must not remove headers that the proxy
/// sets.
#[tokio::test]
async fn hop_by_hop_headers_end_at_the_gateway() {
    let upstream = Upstream::echo().await;
    let headers = json!({"sub": "X-Hookgate-Sub"});
    let gateway = Setup::new(upstream.address).route(|route| route.claims_to_headers(headers)).start();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\
         Connection: close, x-hop, authorization, x-forwarded-for, x-request-id, content-length, host,\
         x-hookgate-sub\r\nX-Hookgate-Sub: evil\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\n\r\n{{}}",
        gateway.token()
    );
    assert!(gateway.wire().await.write(head).await.rest().await.starts_with("HTTP/1.1 200"));
    let seen = upstream.only();
    for gone in ["x-hop", "keep-alive", "te", "proxy-authorization", "connection"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    for kept in ["authorization", "x-forwarded-for", "x-request-id", "content-length", "host"] {
        assert!(seen.header(kept).is_some(), "{kept}");
    }
    assert_eq!((&seen.body[..], seen.header("x-hookgate-sub")), (&b"{}"[..], Some("shop-42")));
}

/// Upstreams decode other bytes differently, and a line break would start another header.
#[tokio::test]
async fn a_claim_that_is_not_visible_ascii_is_not_sent() {
    let upstream = Upstream::echo().await;
    let headers = json!({"sub": "X-Sub", "name": "X-Name", "line": "X-Line", "list": "X-List", "nothing": "X-Nothing"});
    let gateway = Setup::new(upstream.address).route(|route| route.claims_to_headers(headers)).start();
    let claims = json!({"name": "Jos\u{e9}", "line": "a\r\nX-Admin: 1", "list": [1, "b"], "nothing": null});
    assert_eq!(gateway.client().post(&gateway.issuer.token_with(claims)).await.status, 200);
    let seen = upstream.only();
    assert_eq!((seen.header("x-sub"), seen.header("x-list")), (Some("shop-42"), Some("[1,\"b\"]")));
    for none in ["x-name", "x-line", "x-nothing", "x-admin"] {
        assert_eq!(seen.header(none), None, "{none}");
    }
}

/// Parsers trim whitespace, take an empty header for none, and cannot tell `"true"` from `true`.
#[tokio::test]
async fn a_claim_that_the_upstream_could_take_for_another_is_not_sent() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).route(|route| route.claims_to_headers(json!({"a": "X-A"}))).start();
    let send = async |claim: Value| {
        let request = gateway.client().request("/webhook").header("x-a", "of the client");
        let token = gateway.issuer.token_with(json!({"a": claim}));
        let request = request.header("authorization", format!("Bearer {token}"));
        assert_eq!(gateway.client().send(request, "{}").await.status, 200);
        upstream.seen().pop().unwrap().header("x-a").map(str::to_owned)
    };
    for ambiguous in
        ["", " ", "admin ", " admin", "admin\t", "true", "false", "null", "{\"a\":1}", "[1]", "\"a\"", "[1"]
    {
        assert_eq!(send(json!(ambiguous)).await, None, "{ambiguous:?}");
    }
    let plain = [
        (json!("an admin"), "an admin"),
        (json!("107691503500061507151"), "107691503500061507151"),
        (json!("True"), "True"),
        (json!(true), "true"),
        (json!({"a": 1}), "{\"a\":1}"),
    ];
    for (claim, text) in plain {
        assert_eq!(send(claim).await.as_deref(), Some(text));
    }
}

/// `remove` and `allow` of `forward` decide which headers of clients pass; they concern neither those that HTTP needs
/// nor those of the gateway.
#[tokio::test]
async fn a_route_removes_and_allows_headers_by_name_and_prefix() {
    let upstream = Upstream::echo().await;
    let remove = Setup::new(upstream.address).route(|route| route.with("forward.remove", json!(["X-Role", "X-Int-*"])));
    let allow =
        Setup::new(upstream.address).route(|route| route.with("forward.allow", json!(["x-role", "X-GitHub-*"])));
    let names = ["x-role", "x_role", "x-roles", "x-int-a", "x_int_b", "x-github-event", "user-agent"];
    let passed = [&["x-roles", "x-github-event", "user-agent"][..], &["x-role", "x-github-event"]];
    for (setup, passed) in [remove, allow].into_iter().zip(passed) {
        let gateway = setup.start();
        let token = gateway.token();
        let request = gateway.client().request("/webhook").header("authorization", format!("Bearer {token}"));
        let request = names.iter().fold(request, |request, name| request.header(*name, "of the client"));
        let request = request.header("content-type", "application/json").header("x-forwarded-for", "of the client");
        assert_eq!(gateway.client().send(request, "{}").await.status, 200);
        let seen = upstream.seen().pop().unwrap();
        for name in names {
            assert_eq!(seen.headers.contains_key(name), passed.contains(&name), "{name}");
        }
        for name in ["host", "content-length", "content-type", "authorization", "x-forwarded-for", "x-request-id"] {
            assert!(seen.header(name).is_some_and(|value| value != "of the client"), "{name}");
        }
    }
}

/// Mercado Pago signs X-Request-Id: an application that verifies as well would reject another one.
#[tokio::test]
async fn a_header_that_the_signature_covers_reaches_the_upstream_as_it_came() {
    const COVERED: [&str; 6] =
        ["X-Request-Id", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "X-Original-Url", "Client-Ip"];
    let upstream = Upstream::echo().await;
    let components: Vec<String> = COVERED.iter().map(|name| format!("header:{name}")).collect();
    let components: Vec<&str> = components.iter().map(String::as_str).collect();
    let signature = Signature::hmac("X-Sig", &components).join(";");
    let other = StaticToken::new("X-Token", "token");
    let setup =
        Setup::new(upstream.address).file("secret", "the secret of a sender").file("token", "the token of another");
    let gateway = setup.auth(any_of([signature.into(), other.into()])).start();
    let sig = hmac("the secret of a sender", COVERED.map(|name| format!("sent-{name}")).join(";"));
    for (credential, value, is_kept) in [("x-sig", sig.as_str(), true), ("x-token", "the token of another", false)] {
        let request = gateway.client().request("/webhook").header(credential, value).header("x-real-ip", "sent");
        let request = COVERED.iter().fold(request, |request, name| request.header(*name, format!("sent-{name}")));
        let answer = gateway.client().send(request, "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = upstream.seen().pop().unwrap();
        for name in COVERED {
            let sent = format!("sent-{name}");
            assert_eq!(seen.header(name) == Some(&*sent), is_kept, "{credential}: {name}");
        }
        assert_eq!(seen.header("x-real-ip"), None);
        assert!(seen.header("x-forwarded-proto").is_some() && seen.header("x-request-id").is_some());
        assert!(answer.header("x-request-id").is_some_and(|id| !id.starts_with("sent")));
    }
}
