//! Rejected requests are stored for `hookgate explain`: readable by the operator alone, and at most `max_requests`.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::support::configuration::{Preset, Route, file};
use crate::support::{Gateway, Setup, Upstream, until};

fn setup(upstream: &Upstream) -> Setup {
    let setup = Setup::new(upstream.address).file("secret", "a secret");
    setup.auth(Preset::new("github").secret(file("secret")))
}

fn capturing(route: Route) -> Route {
    route.capture(json!({"max_requests": 3, "dir": "kept"}))
}

/// The captured files, the oldest first.
fn captured(gateway: &Gateway) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(gateway.path("kept/webhook")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn texts(gateway: &Gateway) -> Vec<String> {
    captured(gateway).iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

/// Sends a request with a wrong signature and waits until it is captured. While the previous one is being written, it is
/// not, and is sent again.
async fn reject(gateway: &Gateway, body: &'static str) {
    let mut polls = 0;
    until("the request is captured", async || {
        if polls % 400 == 0 {
            let request = gateway.client().request("/webhook?a=%20").header("x-hub-signature-256", "sha256=00");
            assert_eq!(gateway.client().send(request, body).await.status, 401);
        }
        polls += 1;
        texts(gateway).iter().any(|text| text.ends_with(&format!("\r\n\r\n{body}")))
    })
    .await;
}

#[tokio::test]
async fn a_rejected_request_is_captured_whole_for_its_owner_alone() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(capturing).start();
    reject(&gateway, "{\"a\": 1}\n").await;
    let files = captured(&gateway);
    assert_eq!(files.len(), 1);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = files[0].parent().unwrap();
    assert_eq!((mode(&files[0]), mode(folder), mode(folder.parent().unwrap())), (0o600, 0o700, 0o700));
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(name.contains("-invalid_signature-") && name.ends_with(".http"), "{name}");
    let text = texts(&gateway).remove(0);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /webhook?a=%20 HTTP/1.1\r\n"), "{head}");
    let host = format!("host: localhost:{}", gateway.address().port());
    for field in [host.as_str(), "x-hub-signature-256: sha256=00", "content-length: 9"] {
        assert_eq!(head.split("\r\n").filter(|line| *line == field).count(), 1, "{field}: {head}");
    }
    assert_eq!(body, "{\"a\": 1}\n");
}

/// HTTP/2 has no text form, so a capture is written as HTTP/1.1 and can be read like the others.
#[tokio::test]
async fn a_request_over_http2_is_captured_as_http1() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(capturing).start();
    let client = gateway.client_http2();
    assert_eq!(client.send(client.request("/webhook"), "the body").await.status, 401);
    until("the request is captured", async || texts(&gateway).iter().any(|text| text.ends_with("the body"))).await;
    let text = texts(&gateway).remove(0);
    assert!(text.starts_with("POST /webhook HTTP/1.1\r\nhost: localhost:"), "{text}");
}

#[tokio::test]
async fn the_first_and_the_newest_captures_stay() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(capturing).start();
    for body in ["one", "two", "three", "four", "five", "six"] {
        reject(&gateway, body).await;
        assert!(captured(&gateway).len() <= 3);
    }
    let bodies: Vec<String> = texts(&gateway).iter().map(|text| text.rsplit("\r\n").next().unwrap().into()).collect();
    assert_eq!(bodies, ["one", "five", "six"]);
}

/// A dry run forwards what it would reject, and captures it with a mark. A duplicate that the decision accepts is not.
#[tokio::test]
async fn a_dry_run_captures_what_it_would_reject() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(|route| capturing(route).dry_run_until("2026-11-24")).start();
    let send = async |signature: String, body: &'static str| {
        let request = gateway.client().request("/webhook").header("x-hub-signature-256", signature);
        assert_eq!(gateway.client().send(request, body).await.text(), body);
    };
    send(format!("sha256={}", crate::support::hmac("a secret", "good")), "good").await;
    send("sha256=00".to_owned(), "bad").await;
    until("the request is captured", async || texts(&gateway).iter().any(|text| text.ends_with("bad"))).await;
    let files = captured(&gateway);
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(files.len() == 1 && name.contains("-invalid_signature-dry_run-"), "{files:?}");
    gateway.clock.forward(24 * 3600);
    let request = gateway.client().request("/webhook").header("x-hub-signature-256", "sha256=00");
    assert_eq!(gateway.client().send(request, "enforced").await.status, 401);
    until("it is captured", async || texts(&gateway).iter().any(|text| text.ends_with("enforced"))).await;
    let marked = captured(&gateway).iter().filter(|path| path.to_string_lossy().contains("dry_run")).count();
    assert_eq!((captured(&gateway).len(), marked), (2, 1));
}

/// The rejected request is captured last, so earlier requests would be there by then if they were captured.
#[tokio::test]
async fn forwarded_requests_are_not_captured() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(capturing).start();
    let good = format!("sha256={}", crate::support::hmac("a secret", "good"));
    let request = gateway.client().request("/webhook").header("x-hub-signature-256", good);
    assert_eq!(gateway.client().send(request, "good").await.status, 200);
    assert_eq!(gateway.client().send(gateway.client().request("/other"), "no route").await.status, 404);
    reject(&gateway, "bad").await;
    assert_eq!(captured(&gateway).len(), 1);
}

#[tokio::test]
async fn nothing_is_captured_unless_it_is_configured() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    let request = gateway.client().request("/webhook").header("x-hub-signature-256", "sha256=00");
    assert_eq!(gateway.client().send(request, "before").await.status, 401);
    gateway.edit_route(capturing);
    gateway.running().reload();
    reject(&gateway, "after").await;
    assert_eq!(captured(&gateway).len(), 1);
}
