//! Hot reload: routes, keys and certificates change under load; an invalid configuration changes nothing.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hookgate::reload::Reloaded;
use serde_json::json;

use crate::support::configuration::{Jwks, TrustedIssuer};
use crate::support::{Gateway, Issuer, Upstream, certificate, claims, replace, until};

#[tokio::test]
async fn a_new_key_is_loaded_and_an_old_one_dropped() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let (old, next) = (gateway.token(), Issuer::es256("k2"));
    assert_eq!(gateway.client().post(&next.token(&claims())).await.status, 401);
    replace(&gateway.path("jwks.json"), &next.jwks());
    // The file watch may have been faster, and then nothing is left to reload.
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(gateway.client().post(&next.token(&claims())).await.status, 200);
    assert_eq!(gateway.client().post(&old).await.status, 401);
}

#[tokio::test]
async fn changes_are_noticed_without_a_reload_signal() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    gateway.edit_route(|route| route.path("/other"));
    let moved = async || {
        let request = gateway.client().request("/other").header("authorization", format!("Bearer {}", gateway.token()));
        gateway.client().send(request, "{}").await.status == 200
    };
    until("the new path is served", moved).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (404, "no_route".into()));
}

/// A mounted ConfigMap changes by renaming the `..data` link; a watch on the file would be lost after the first change.
#[tokio::test]
async fn configmap_swaps_are_noticed_again_and_again() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let version = |name: &str, path: &str| {
        std::fs::create_dir(gateway.path(name)).unwrap();
        let text = gateway.edited(|configuration| configuration.route(|route| route.path(path)));
        std::fs::write(gateway.path(name).join("gateway.yaml"), text).unwrap();
        symlink(name, gateway.path("..new")).unwrap();
        std::fs::rename(gateway.path("..new"), gateway.path("..data")).unwrap();
    };
    version("..1", "/1");
    std::fs::remove_file(gateway.path("gateway.yaml")).unwrap();
    symlink("..data/gateway.yaml", gateway.path("gateway.yaml")).unwrap();
    for number in 2..5 {
        version(&format!("..{number}"), &format!("/{number}"));
        let served = async || {
            let request = gateway.client().request(&format!("/{number}"));
            let request = request.header("authorization", format!("Bearer {}", gateway.token()));
            gateway.client().send(request, "{}").await.status == 200
        };
        until("the swapped configuration is active", served).await;
    }
}

#[tokio::test]
async fn an_invalid_file_keeps_the_old_one_and_says_so() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let successful = async || gateway.metric("hookgate_config_last_reload_successful").await;
    assert_eq!(successful().await, Some(1.0));
    gateway.edit_route(|route| route.replay_protection("disable"));
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(successful().await, Some(0.0));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    gateway.edit_route(|route| route.replay_protection("disabled"));
    assert_eq!(gateway.running().reload(), Reloaded::Unchanged);
    assert_eq!(successful().await, Some(1.0));
}

#[tokio::test]
async fn a_missing_file_is_reported_once_and_loaded_when_it_is_back() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let changed = gateway.edited(|configuration| configuration.route(|route| route.path("/back")));
    let rejected = async || gateway.metric("hookgate_config_reloads_total{result=\"rejected\"}").await;
    std::fs::remove_file(gateway.path("gateway.yaml")).unwrap();
    until("the missing file is noticed", async || rejected().await == Some(1.0)).await;
    // Each of these reads the same missing file again.
    for look in 0..5 {
        std::fs::write(gateway.path(&format!("{look}.txt")), "").unwrap();
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    }
    replace(&gateway.path("gateway.yaml"), &changed);
    until("the configuration is active", async || {
        gateway.metric("hookgate_config_last_reload_successful").await == Some(1.0)
    })
    .await;
    assert_eq!(rejected().await, Some(1.0));
}

/// A half-finished rotation: the certificate of one pair and the key of another.
#[tokio::test]
async fn half_a_rotation_keeps_the_old_certificate() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let (_, certificate, key) = certificate(&["localhost"]);
    replace(&gateway.path("server.crt"), &certificate);
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    replace(&gateway.path("server.key"), &key);
    // The file watch may have been faster, and then nothing is left to reload.
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
}

#[tokio::test]
async fn changes_that_need_a_restart_are_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    gateway.edit(|configuration| configuration.workers(3).route(|route| route.path("/other")));
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

/// Sixteen senders, each on one connection that must never drop, while everything changes 100 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_fail_no_request() {
    let upstream = Upstream::echo().await;
    let gateway = Arc::new(Gateway::before(&upstream));
    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let connected = Arc::new(AtomicUsize::new(0));
    let second = Issuer::es256("k2");
    let both = format!("{{\"keys\":[{},{}]}}", gateway.issuer.jwk(), second.jwk());
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, done, sent) = (Arc::clone(&gateway), Arc::clone(&done), Arc::clone(&sent));
            let connected = Arc::clone(&connected);
            tokio::spawn(async move {
                let (mut wire, token) = (gateway.wire().await, gateway.token());
                connected.fetch_add(1, Ordering::SeqCst);
                while !done.load(Ordering::SeqCst) {
                    let request = format!(
                        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 3\r\n\r\nend"
                    );
                    let answer = wire.write(request).await.read_until("end").await;
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    // A sender that connects later would meet a certificate that its CA has not signed.
    until("every sender is connected", async || connected.load(Ordering::SeqCst) == senders.len()).await;
    // One file for both, so that no reload reads a mixed pair.
    let (_, first, key) = certificate(&["localhost"]);
    replace(&gateway.path("server.pem"), &format!("{first}{key}"));
    let certificates = json!([{"cert": "server.pem", "key": "server.pem"}]);
    gateway.edit(|configuration| configuration.listener(|listener| listener.certificates(certificates)));
    let only = gateway.issuer.jwks();
    for round in 0..100 {
        replace(&gateway.path("jwks.json"), if round % 2 == 0 { &both } else { &only });
        let methods: &[&str] = if round % 2 == 0 { &["POST"] } else { &["POST", "PUT"] };
        gateway.edit_route(|route| route.methods(methods));
        let (_, certificate, key) = certificate(&["localhost"]);
        replace(&gateway.path("server.pem"), &format!("{certificate}{key}"));
        let before = sent.load(Ordering::SeqCst);
        gateway.running().reload();
        until("more requests are sent", async || sent.load(Ordering::SeqCst) > before).await;
    }
    done.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.unwrap();
    }
    let open = gateway.metric("hookgate_config_reloads_total{result=\"rejected\"}").await;
    assert_eq!(open, Some(0.0));
}

/// Names that no configuration has any more would otherwise fill the memory, and every scrape.
#[tokio::test]
async fn a_reload_removes_the_metrics_of_names_that_it_removes() {
    let upstream = Upstream::echo().await;
    let gateway = Gateway::before(&upstream);
    let mut before = "webhook".to_owned();
    for round in 0..5 {
        let name = format!("route-{round}");
        let issuer = TrustedIssuer::new(&format!("https://{name}.test/"), &["RS256"]);
        let issuer = issuer.jwks(Jwks::url("http://127.0.0.1:9/jwks.json"));
        gateway.edit(|top| {
            let top = if round == 0 { top } else { top.without(&format!("issuers.{before}")) };
            top.route(|route| route.with("name", &*name)).add_issuer(&name, issuer)
        });
        assert_ne!(gateway.running().reload(), Reloaded::Rejected);
        assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
        until("only the new names are left", async || {
            let page = gateway.admin("/metrics").await.text();
            page.matches(&format!("=\"{name}\"")).count() > 2 && !page.contains(&format!("=\"{before}\""))
        })
        .await;
        before = name;
    }
}
