//! Rate and concurrency limits: unauthenticated clients use up only their own budgets, and so does each sender. With
//! rates of one an hour, the duration of a test does not matter.

use std::sync::Arc;

use hookgate::reload::Reloaded;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::configuration::{Route, SenderLimit, Signature, StaticToken};
use crate::support::{Answer, Gateway, Issuer, Setup, Upstream, Wire, hmac, until};

fn gateway(upstream: &Upstream, limits: impl FnOnce(Route) -> Route) -> Gateway {
    Setup::new(upstream.address).route(limits).start()
}

fn token_of(gateway: &Gateway, subject: &str) -> String {
    gateway.issuer.token_with(json!({"sub": subject}))
}

/// The status and, if a limit was reached, its name.
fn met(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status.as_u16(), answer.header("ratelimit").and_then(|value| value.split('"').nth(1)))
}

#[tokio::test]
async fn unauthenticated_clients_do_not_use_up_the_budgets_of_senders() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| {
        let route = route.rate("1/h").burst(2).per_issuer(SenderLimit::rate_of("9/h"));
        route.per_subject(SenderLimit::rate_of("2/h").concurrency(1))
    });
    let forged = Issuer { kid: gateway.issuer.kid.clone(), ..Issuer::rs256("x") }.token(&crate::support::claims());
    for token in ["x.y.z", &forged, &gateway.issuer.token_with(json!({"exp": 1}))].repeat(10) {
        assert_eq!(gateway.client().post(token).await.status, 401);
    }
    // Each uses its own connection, and so possibly another worker.
    for _ in 0..2 {
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    }
    let answer = gateway.client().post(&token_of(&gateway, "another")).await;
    assert_eq!((answer.problem(), met(&answer)), ((429, "rate_limited".into()), (429, Some("route"))));
    assert_eq!(gateway.counted("rejected", "rate_limited").await, Some(1.0));
    assert_eq!(upstream.seen().len(), 2);
}

/// Static tokens have no issuer and no subject, so that only `per_sender` tells tenants apart.
#[tokio::test]
async fn each_sender_has_its_own_rate_and_concurrency() {
    let upstream = Upstream::echo().await;
    let secret = |name: &str| json!({ "file": name, "sender": name });
    let auth = StaticToken::empty().header("X-Token").with("secrets", json!([secret("tenant-a"), secret("tenant-b")]));
    let setup =
        Setup::new(upstream.address).auth(auth).file("tenant-a", "token of tenant a").file("tenant-b", "of tenant b");
    let limit = SenderLimit::rate_of("1/h").burst(2).concurrency(5);
    let gateway = setup.route(|route| route.per_sender(limit)).start();
    let post = async |token: &str| {
        let client = gateway.client();
        let request = client.request("/webhook").header("x-token", token);
        client.send(request, String::new()).await
    };
    for _ in 0..2 {
        assert_eq!(post("token of tenant a").await.status, 200);
    }
    assert_eq!(met(&post("token of tenant a").await), (429, Some("sender")));
    assert_eq!(post("of tenant b").await.status, 200);
    assert_eq!(upstream.seen().len(), 3);
}

/// With `capture` the body is read before the decision.
#[tokio::test]
async fn a_body_that_is_too_large_does_not_count_as_failed_authentication() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| {
        route.failed_auth_rate("1/h").max_body_size("1KiB").capture(json!({"max_requests": 1, "dir": "kept"}))
    });
    let chunked = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         401\r\n{}\r\n0\r\n\r\n",
        gateway.token(),
        "a".repeat(1025)
    );
    for _ in 0..3 {
        let answer = gateway.wire().await.write(&chunked).await.read_until("body_too_large").await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

/// Every customer of a provider can exhaust the rate of the addresses that the provider sends from.
#[tokio::test]
async fn a_client_rejected_too_often_is_rate_limited_but_genuine_requests_pass() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| route.failed_auth_rate("3/h"));
    for _ in 0..3 {
        assert_eq!(gateway.client().post("x.y.z").await.status, 401);
    }
    for _ in 0..3 {
        let answer = gateway.client().post("x.y.z").await;
        assert_eq!((answer.problem(), met(&answer)), ((429, "rate_limited".into()), (429, Some("failed_auth"))));
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    }
    let head = "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x.y.z\r\nContent-Length: 0\r\n\r\n";
    let answer = gateway.wire_from(2).await.write(head).await.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(upstream.seen().len(), 3);
}

/// The credential of a body's signature can only be verified with the body: a small one is read, a large one is not.
#[tokio::test]
async fn beyond_the_rate_signed_bodies_of_at_most_64_kib_are_verified() {
    let upstream = Upstream::echo().await;
    let setup = Setup::new(upstream.address).route(|route| {
        let route = route.failed_auth_rate("1/h").capture(json!({"max_requests": 9, "dir": "kept"}));
        route.without("replay_protection")
    });
    let gateway = setup.auth(Signature::hmac("X-Sig", &["body"])).file("secret", "the secret of a sender").start();
    let send = async |signed: &str, body: String| {
        let request = gateway.client().request("/webhook").header("x-sig", hmac("the secret of a sender", signed));
        gateway.client().send(request, body).await
    };
    assert_eq!(send("other", "body".into()).await.status, 401);
    until("it is captured", async || gateway.path("kept/webhook").read_dir().is_ok_and(|files| files.count() == 1))
        .await;
    let (small, large) = ("a".repeat(64 << 10), "a".repeat((64 << 10) + 1));
    for _ in 0..3 {
        assert_eq!(met(&send("other", "body".into()).await), (429, Some("failed_auth")));
        assert_eq!(send(&small, small.clone()).await.status, 200);
        assert_eq!(met(&send(&large, large.clone()).await), (429, Some("failed_auth")));
    }
    let chunked = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Sig: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         10001\r\n{large}\r\n0\r\n\r\n",
        hmac("the secret of a sender", &large)
    );
    let answer = gateway.wire().await.write(chunked).await.read_until("rate_limited").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert_eq!(gateway.path("kept/webhook").read_dir().unwrap().count(), 1);
}

#[tokio::test]
async fn each_subject_has_its_budget_within_its_issuer_s() {
    let upstream = Upstream::echo().await;
    let limit = |burst| SenderLimit::rate_of("1/h").burst(burst);
    let gateway = gateway(&upstream, |route| route.per_issuer(limit(3)).per_subject(limit(2)));
    for (subject, expected) in [
        ("shop-1", (200, None)),
        ("shop-1", (200, None)),
        ("shop-1", (429, Some("subject"))),
        ("shop-2", (200, None)),
        ("shop-2", (429, Some("issuer"))),
    ] {
        let answer = gateway.client().post(&token_of(&gateway, subject)).await;
        assert_eq!(met(&answer), expected, "{subject}");
    }
}

/// draft-ietf-httpapi-ratelimit-headers-10.
#[tokio::test]
async fn a_429_names_the_limit_and_when_to_retry() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| route.rate("6/h").burst(20));
    let client = gateway.client();
    for _ in 0..20 {
        let answer = client.post(&gateway.token()).await;
        assert_eq!((met(&answer), answer.header("ratelimit-policy")), ((200, None), None));
    }
    let answer = client.post(&gateway.token()).await;
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=600).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("ratelimit-policy"), Some("\"route\";q=20;w=12000"));
    assert_eq!(answer.header("ratelimit"), Some(format!("\"route\";r=0;t={seconds}").as_str()));
}

#[tokio::test]
async fn counters_persist_over_a_reload() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| route.rate("1/h").failed_auth_rate("1/h"));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    gateway.edit_route(|route| route.concurrency(9).rate("2/h").burst(1));
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    let answer = gateway.client().post(&gateway.token()).await;
    assert_eq!((met(&answer), answer.header("ratelimit-policy")), ((429, Some("route")), Some("\"route\";q=1;w=1800")));
    assert_eq!(gateway.client().post("x.y.z").await.status, 401);
    gateway.edit_route(|route| route.concurrency(8));
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(met(&gateway.client().post("x.y.z").await), (429, Some("failed_auth")));
}

#[tokio::test]
async fn a_dry_run_route_keeps_its_limits() {
    let upstream = Upstream::echo().await;
    let gateway = gateway(&upstream, |route| route.dry_run_until("2026-11-24").rate("1/h").failed_auth_rate("2/h"));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert_eq!(met(&gateway.client().post(&gateway.token()).await), (429, Some("route")));
    // An unverified request counts for the budget of its address only.
    for _ in 0..2 {
        assert_eq!(gateway.client().post("x.y.z").await.status, 200);
    }
    assert_eq!(met(&gateway.client().post("x.y.z").await), (429, Some("failed_auth")));
    assert_eq!(upstream.seen().len(), 3);
}

/// A request in flight, with half of its response received.
async fn half_answered(gateway: &Gateway, subject: &str) -> Wire {
    let mut wire = gateway.wire().await;
    let token = token_of(gateway, subject);
    let head = "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n";
    wire.write(format!("{head}Authorization: Bearer {token}\r\n\r\n")).await.read_until("\r\nha").await;
    wire
}

async fn post(gateway: &Gateway, subject: &str) -> Answer {
    let client = gateway.client();
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", token_of(gateway, subject)));
    client.send(request, "").await
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::halting(Arc::clone(&gate)).await;
    let gateway = gateway(&upstream, |route| route.concurrency(2).per_subject(SenderLimit::empty().concurrency(1)));
    let mut first = half_answered(&gateway, "shop-1").await;
    let answer = post(&gateway, "shop-1").await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((429, "concurrency_limited".into()), Some("1")));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"subject\";q=1;qu=\"concurrent-requests\""));
    assert_eq!(answer.header("ratelimit"), Some("\"subject\";r=0"));
    let mut second = half_answered(&gateway, "shop-2").await;
    assert_eq!(met(&post(&gateway, "shop-3").await), (429, Some("route")));
    gate.add_permits(2);
    first.read_until("lf").await;
    second.read_until("lf").await;
    // After its response, the subject may send the next request.
    for _ in 0..20 {
        gate.add_permits(1);
        assert_eq!(post(&gateway, "shop-1").await.status, 200);
    }
    assert_eq!(gateway.counted("rejected", "concurrency_limited").await, Some(2.0));
}

#[tokio::test]
async fn a_client_that_disconnects_releases_its_permit() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = Upstream::halting(Arc::clone(&gate)).await;
    let gateway = gateway(&upstream, |route| route.concurrency(1));
    drop(half_answered(&gateway, "shop-1").await);
    gate.add_permits(9);
    until("the permit is free again", async || post(&gateway, "shop-1").await.status == 200).await;
}
