//! The admin listener.

use hookgate::reload::Reloaded;
use hookgate::snapshot::ConfigHash;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Gateway, Issuer, Setup, Upstream, connect_from, replace};

#[tokio::test]
async fn it_answers_probes_and_nothing_else() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    assert_eq!(gateway.admin("/livez").await.status, 200);
    assert_eq!(gateway.admin("/readyz").await.json()["ready"], true);
    assert_eq!(gateway.admin("/status").await.json()["version"], env!("CARGO_PKG_VERSION"));
    for path in ["/", "/metrics/", "/debug", "/../metrics"] {
        assert_eq!(gateway.admin(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_outcome_and_reason() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let client = gateway.client();
    client.post(&gateway.token()).await;
    client.post("x").await;
    client.send(client.request("/nowhere"), "").await;
    let count = async |labels: &str| gateway.metric(&format!("hookgate_requests_total{{{labels}}}")).await;
    let forwarded = "outcome=\"forwarded\",reason=\"\",route=\"webhook\"";
    assert_eq!(count(forwarded).await, Some(1.0));
    assert_eq!(count(&format!("{forwarded},status=\"200\"")).await, Some(1.0));
    let rejected = "outcome=\"rejected\",reason=\"malformed_token\",route=\"webhook\",status=\"401\"";
    assert_eq!(count(rejected).await, Some(1.0));
    assert_eq!(count("outcome=\"rejected\",reason=\"no_route\",route=\"\",status=\"404\"").await, Some(1.0));
    assert_eq!(gateway.metric("hookgate_request_duration_seconds_count{route=\"webhook\"}").await, Some(2.0));
    assert_eq!(gateway.metric("hookgate_upstream_duration_seconds_count{route=\"webhook\"}").await, Some(1.0));
    assert_eq!(gateway.metric("hookgate_verify_duration_seconds_count{scheme=\"jwt\"}").await, Some(2.0));
    let expiry = gateway.metric("hookgate_certificate_expiry_timestamp_seconds{name=\"server.crt\"}").await;
    assert!(expiry.is_some_and(|expiry| expiry > 1.8e9), "{expiry:?}");
    let begin = gateway.metric("hookgate_certificate_not_before_timestamp_seconds{name=\"server.crt\"}").await;
    assert!(begin.is_some() && begin < expiry, "{begin:?}");
}

/// Replicas are compared by their gateway.yaml. The hash over everything, secrets included, tells one process whether a
/// reload has arrived.
#[tokio::test]
async fn status_has_no_hash_of_a_secret() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let status = async || gateway.admin("/status").await.json();
    let file = std::fs::read(gateway.path("gateway.yaml")).unwrap();
    let yaml = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &file));
    let before = status().await;
    assert_eq!(before["gateway_yaml_sha256"], yaml);
    // The key of the hash is that of this process.
    let known = ConfigHash::of(&[b"known"]).0;
    let plain = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[&5_u64.to_be_bytes()[..], b"known"].concat());
    assert_ne!(known[..], *plain.as_ref());
    replace(&gateway.path("jwks.json"), &Issuer::es256("k2").jwks());
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    let after = status().await;
    assert_eq!(after["gateway_yaml_sha256"], yaml);
    assert_ne!(after["configuration"], before["configuration"]);
}

/// The pages of the admin listener contain no secrets.
#[tokio::test]
async fn no_page_holds_a_token_or_a_key() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let token = gateway.token();
    gateway.client().post(&token).await;
    let key = std::fs::read_to_string(gateway.path("server.key")).unwrap();
    for page in ["/metrics", "/readyz", "/status"] {
        let text = gateway.admin(page).await.text();
        assert!(!text.contains(&token[..20]) && !text.contains(key.lines().nth(1).unwrap()), "{page}");
    }
}

/// The status line of the response to these bytes.
async fn status_line(gateway: &Gateway, request: &str) -> String {
    let mut stream = connect_from([127, 0, 0, 1], gateway.running().admin.unwrap()).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// More connections than the listener holds, all older than the probe.
#[tokio::test]
async fn silent_connections_keep_out_no_probe() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect_from([127, 0, 0, 2], gateway.running().admin.unwrap()).await);
    }
    // Each may be silent for a second; in ten of them a liveness probe fails three times.
    let probe = status_line(&gateway, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answered = tokio::time::timeout(std::time::Duration::from_secs(5), probe).await;
    assert_eq!(answered.as_deref(), Ok("HTTP/1.1 200 OK"));
}

/// A website whose name resolves to this address (DNS rebinding) sends its own name.
#[tokio::test]
async fn only_addresses_and_configured_names_are_hosts() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::new(upstream.address).top(|top| top.admin_hosts(json!(["Ops.test"]))).start();
    let hosts = ["127.0.0.1", "192.0.2.1:9901", "[::1]:9901", "localhost:80", "LOCALHOST", "ops.test", "ops.test:9901"];
    for host in hosts {
        let line = status_line(&gateway, &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(line, "HTTP/1.1 200 OK", "{host}");
    }
    for host in ["evil.test", "ops.test.evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "a@localhost", ""] {
        let line = status_line(&gateway, &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(line, "HTTP/1.1 421 Misdirected Request", "{host}");
    }
    let two = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n";
    let another = "GET http://evil.test/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for request in [two, another, "GET /metrics HTTP/1.1\r\n\r\n"] {
        assert_eq!(status_line(&gateway, request).await, "HTTP/1.1 421 Misdirected Request", "{request}");
    }
    assert_eq!(status_line(&gateway, "GET /livez HTTP/1.0\r\n\r\n").await, "HTTP/1.0 200 OK");
}
