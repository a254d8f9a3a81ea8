//! `mode: dry_run`: a request that would be rejected is forwarded without identity and reported. Limits stay enforced.

mod how_to;

use hookgate::clock::UnixTime;
use hookgate::config::Handles;
use serde_json::json;

use crate::support::configuration::{Jwks, Preset, file};
use crate::support::{NOW, Setup, Upstream};

/// A gateway in dry run until 2026-11-24, the day on which the clock of the tests begins.
fn dry_run(upstream: &Upstream) -> Setup {
    let headers = json!({"sub": "X-Who"});
    Setup::new(upstream.address).route(|route| route.dry_run_until("2026-11-24").claims_to_headers(headers))
}

#[tokio::test]
async fn requests_that_would_be_rejected_are_forwarded_without_identity_and_reported() {
    let upstream = Upstream::echo().await;
    let gateway = dry_run(&upstream).start();
    let client = gateway.client();
    let expired = gateway.issuer.token_with(json!({"exp": NOW - 60}));
    for (token, code) in [("x.y.z", "malformed_token"), (&expired, "token_expired")] {
        let request = client.request("/webhook").header("authorization", format!("Bearer {token}"));
        let request = request.header("x-who", "evil").header("X_Who", "evil").header("x-hookgate-sub", "evil");
        let answer = client.send(request, "the body").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "the body"));
        let seen = upstream.seen().pop().unwrap();
        assert!(seen.headers.values().all(|value| value != "evil" && value != "shop-42"), "{:?}", seen.headers);
        assert_eq!(gateway.counted("dry_run_rejected", code).await, Some(1.0));
    }
    assert_eq!(client.send(client.request("/webhook"), "").await.status, 200);
    assert_eq!(gateway.counted("dry_run_rejected", "missing_credential").await, Some(1.0));
    assert_eq!(client.post(&gateway.token()).await.status, 200);
    assert_eq!(upstream.seen().pop().unwrap().header("x-who"), Some("shop-42"));
    assert_eq!(gateway.counted("forwarded", "").await, Some(1.0));
}

#[tokio::test]
async fn a_body_that_was_read_for_verification_is_forwarded_whole() {
    let upstream = Upstream::echo().await;
    let setup = dry_run(&upstream).route(|route| route.without("forward")).file("token", "t");
    let gateway = setup.auth(Preset::new("github").secret(file("token"))).start();
    let request = gateway.client().request("/webhook").header("x-hub-signature-256", "sha256=00");
    assert_eq!(gateway.client().send(request, "the body").await.text(), "the body");
    assert_eq!(gateway.counted("dry_run_rejected", "invalid_signature").await, Some(1.0));
}

#[tokio::test]
async fn limits_and_paths_stay_enforced() {
    let upstream = Upstream::echo().await;
    let setup = dry_run(&upstream).top(|top| top.workers(1));
    let gateway = setup.route(|route| route.path("/*").max_body_size("4B")).start();
    let client = gateway.client();
    let answer = client.send(client.request("/webhook"), "12345").await;
    assert_eq!(answer.problem(), (413, "body_too_large".into()));
    for path in ["/a//b", "/a%2fb", "/..;/a", "/a%00"] {
        let answer = client.send(client.request(path), "").await;
        assert_eq!(answer.problem(), (400, "ambiguous_path".into()), "{path}");
    }
    assert_eq!(client.send(client.request("/webhook").method("DELETE"), "").await.status, 405);
    assert!(upstream.seen().is_empty());
    let narrow = dry_run(&upstream).route(|route| route.allowed_ips(["203.0.113.0/24"])).start();
    assert_eq!(narrow.client().post(&narrow.token()).await.problem(), (403, "ip_not_allowed".into()));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn dry_run_ends_after_its_last_day() {
    let upstream = Upstream::echo().await;
    let gateway = dry_run(&upstream).start();
    gateway.clock.forward(24 * 3600 - 1);
    assert_eq!(gateway.client().post("x.y.z").await.status, 200);
    gateway.clock.forward(1);
    assert_eq!(gateway.client().post("x.y.z").await.problem(), (401, "unauthorized".into()));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn the_end_of_the_dry_run_is_a_metric_and_a_warning() {
    let upstream = Upstream::echo().await;
    let gateway = dry_run(&upstream).start();
    let until = async || gateway.metric("hookgate_route_dry_run_until_timestamp_seconds{route=\"webhook\"}").await;
    #[expect(clippy::cast_precision_loss, reason = "a day is exact")]
    let midnight = (NOW + 24 * 3600) as f64;
    assert_eq!(until().await, Some(midnight));
    let config = hookgate::config::load(&gateway.path("gateway.yaml"), &Handles::default()).unwrap();
    let warnings = |seconds| config.warnings_at(UnixTime::from_seconds(seconds).unwrap());
    let expected = "until then no request is rejected, not even one without a credential";
    assert!(warnings(NOW).iter().any(|warning| warning.message.contains(expected)), "{:?}", warnings(NOW));
    assert!(!warnings(NOW + 24 * 3600).iter().any(|warning| warning.message.contains(expected)));
    gateway.edit_route(|route| route.without("mode").without("dry_run_until"));
    gateway.running().reload();
    assert_eq!(until().await, None);
}

#[tokio::test]
async fn dry_run_also_covers_requests_that_cannot_be_verified() {
    let upstream = Upstream::echo().await;
    let gateway = dry_run(&upstream).jwks(Jwks::url("http://127.0.0.1:9/jwks.json")).start();
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert_eq!(gateway.counted("dry_run_rejected", "jwks_unavailable").await, Some(1.0));
    assert_eq!(upstream.only().header("x-who"), None);
}
