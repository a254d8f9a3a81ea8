//! SIGTERM: every request that was sent gets its response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Gateway, Upstream, until};

fn request(token: &str) -> String {
    format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 3\r\n\r\nend"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_an_accepted_connection_is_answered() {
    let upstream = Upstream::echo().await;
    let mut gateway = Gateway::before(&upstream);
    let (sent, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (address, token, ca) = (gateway.address(), gateway.token(), gateway.ca.clone());
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (sent, over, token, ca) = (Arc::clone(&sent), Arc::clone(&over), token.clone(), ca.clone());
            tokio::spawn(async move {
                let mut connections = 0_usize;
                // A new connection after each `Connection: close`, until the listener is closed.
                while let Some(mut wire) = crate::support::Wire::try_connect(address, &ca).await {
                    connections += 1;
                    loop {
                        let answer = wire.write(request(&token)).await.read_until("end").await;
                        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                        sent.fetch_add(1, Ordering::SeqCst);
                        if answer.contains("connection: close") {
                            break;
                        }
                    }
                }
                assert!(over.load(Ordering::SeqCst), "the listener was closed although the drain had not begun");
                connections
            })
        })
        .collect();
    until("all are busy", async || sent.load(Ordering::SeqCst) > 200).await;
    over.store(true, Ordering::SeqCst);
    assert!(gateway.running.take().unwrap().drain(std::future::pending()).await, "something was cut off");
    for sender in senders {
        assert!(sender.await.unwrap() > 1);
    }
}

#[tokio::test]
async fn readiness_ends_when_the_drain_begins() {
    let upstream = Upstream::echo().await;
    let mut gateway = Gateway::before(&upstream);
    until("it is ready", async || gateway.admin("/readyz").await.status == 200).await;
    let running = gateway.running.take().unwrap();
    let admin = running.admin.unwrap();
    let drain = tokio::spawn(running.drain(std::future::pending()));
    until("it is unready", async || crate::support::get_plain(admin, "/readyz").await.status == 503).await;
    assert_eq!(crate::support::get_plain(admin, "/livez").await.status, 200);
    assert!(drain.await.unwrap());
}

/// A request in flight when the drain begins may finish within its timeout; HTTP/2 connections get GOAWAY.
#[tokio::test]
async fn http2_requests_are_finished_too() {
    let upstream = Upstream::echo().await;
    let mut gateway = Gateway::before(&upstream);
    let client = gateway.client_http2();
    assert_eq!(client.post(&gateway.token()).await.status, 200);
    let running = gateway.running.take().unwrap();
    let token = gateway.token();
    let drain = tokio::spawn(running.drain(std::future::pending()));
    for _ in 0..20 {
        assert_eq!(client.post(&token).await.status, 200);
    }
    assert!(drain.await.unwrap());
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() {
    let upstream = Upstream::silent().await;
    let mut gateway = Gateway::before(&upstream);
    let mut wire = gateway.wire().await;
    wire.write(request(&gateway.token())).await;
    let running = gateway.running.take().unwrap();
    assert!(!running.drain(std::future::ready(())).await);
    assert_eq!(wire.rest().await, "");
}
