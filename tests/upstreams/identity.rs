//! The Host header, the path, the name in TLS and the client certificate that an upstream sees.

use hookgate::reload::Reloaded;
use serde_json::json;

use super::{UNREACHABLE, before, before_tls, problem, statuses};
use crate::support::configuration::{Route, Signature, file};
use crate::support::{Authority, Gateway, Upstream, certificate, hmac, replace};

#[tokio::test]
async fn the_upstream_gets_the_host_by_which_it_is_found() {
    let upstream = Upstream::echo().await;
    let url = format!("http://localhost:{}", upstream.address.port());
    let own = format!("localhost:{}", upstream.address.port());
    for (host, expected) in
        [("upstream", own.as_str()), ("app.internal", "app.internal"), ("App.internal:8080", "App.internal:8080")]
    {
        let gateway = before(&url).route(|route| route.with("upstream.host", host)).start();
        for client in [gateway.client(), gateway.client_http2()] {
            assert_eq!(client.post(&gateway.token()).await.status, 200);
            let seen = upstream.seen().pop().unwrap();
            let received = format!("localhost:{}", gateway.address().port());
            assert_eq!((seen.header("host"), seen.header("x-forwarded-host")), (Some(expected), Some(&*received)));
        }
    }
    let several = json!([url, format!("http://127.0.0.1:{}", upstream.address.port())]);
    let several = before("").route(|route| route.without("upstream.url").with("upstream.urls", several));
    let gateway = several.route(|route| route.with("upstream.host", "upstream")).start();
    assert_eq!(statuses(&gateway, 2).await, [200; 2]);
    let seen: Vec<_> = upstream.seen().iter().rev().take(2).map(|seen| seen.headers["host"].clone()).collect();
    assert!(seen[0] != seen[1] && seen.contains(&own.parse().unwrap()), "{seen:?}");
}

/// The signature covers the path as the sender wrote it.
#[tokio::test]
async fn a_prefix_is_stripped_and_added_after_the_signature_was_verified() {
    let upstream = Upstream::echo().await;
    let signature = Signature::hmac("X-Sig", &["path", "body"]).secret(file("secret"));
    let route = |route: Route| route.path("/hooks/*").auth(signature).without("replay_protection");
    let setup = before(&format!("http://{}", upstream.address)).file("secret", "the secret of a sender").route(route);
    let setup = setup.route(|route| route.with("upstream.strip_prefix", "/hooks"));
    let gateway = setup.route(|route| route.with("upstream.path_prefix", "/base/v1")).start();
    for (path, signed, expected) in [
        ("/hooks/github?a=/hooks", "/hooks/github?a=/hooks", "/base/v1/github?a=/hooks"),
        ("/hooks/", "/hooks/", "/base/v1/"),
        ("/h%6foks/a%20b/", "/h%6foks/a%20b/", "/base/v1/a%20b/"),
    ] {
        let signature = hmac("the secret of a sender", format!("{signed}{{}}"));
        for client in [gateway.client(), gateway.client_http2()] {
            let request = client.request(path).header("x-sig", signature.clone()).header("x-forwarded-prefix", "/evil");
            assert_eq!(client.send(request, "{}").await.status, 200, "{path}");
            let seen = upstream.seen().pop().unwrap();
            assert_eq!((seen.target.as_str(), seen.header("x-forwarded-prefix")), (expected, Some("/hooks")));
        }
    }
    let count = upstream.seen().len();
    for path in ["/hooks/../x", "/hooks//x", "/hooks/%2e%2e/x", "/hooks%2Fx", "/base/v1/x"] {
        let request =
            gateway.client().request(path).header("x-sig", hmac("the secret of a sender", format!("{path}{{}}")));
        assert!(gateway.client().send(request, "{}").await.status.is_client_error(), "{path}");
    }
    assert_eq!(upstream.seen().len(), count);
}

fn presenting(gateway: Route) -> Route {
    gateway.with("upstream.client_certificate", json!({ "cert": "gateway.crt", "key": "gateway.key" }))
}

#[tokio::test]
async fn a_client_certificate_is_presented_and_a_new_one_after_a_reload() {
    let (ca, chain, key) = certificate(&["localhost"]);
    let clients = Authority::new("clients");
    let upstream = Upstream::echo_mtls(&chain, &key, Some(&clients.pem)).await;
    let setup = || before_tls("localhost", &upstream, Some("app.pem")).file("app.pem", &ca);
    let gateway = setup().start();
    // In TLS 1.3 the handshake has ended before the upstream rejects it.
    assert_eq!(problem(&gateway).await.0, 502);
    let [(old, old_key), (new, new_key)] = [1, 2].map(|serial| clients.client("gateway.test", serial).pem());
    let setup = setup().route(presenting).file("gateway.crt", &old).file("gateway.key", &old_key);
    let gateway: Gateway = setup.route(|route| route.upstream_keepalive("20s")).start();
    assert_eq!(statuses(&gateway, 3).await, [200; 3]);
    let connections = upstream.connections();
    // A pair that does not match is not used.
    replace(&gateway.path("gateway.crt"), &new);
    assert_eq!(gateway.running().reload(), Reloaded::Rejected);
    assert_eq!((statuses(&gateway, 1).await, upstream.connections()), (vec![200], connections));
    replace(&gateway.path("gateway.key"), &new_key);
    assert_ne!(gateway.running().reload(), Reloaded::Rejected);
    // The connection with the old certificate is open, and not used.
    assert_eq!((statuses(&gateway, 2).await, upstream.connections()), (vec![200; 2], connections + 1));
}

/// The URL says where to connect, `server_name` who is expected there.
#[tokio::test]
async fn the_server_name_is_that_of_the_certificate() {
    let (ca, chain, key) = certificate(&["app.test"]);
    let upstream = Upstream::echo_tls(&chain, &key).await;
    let setup = || before_tls("127.0.0.1", &upstream, Some("app.pem")).file("app.pem", &ca);
    let gateway = setup().route(|route| route.with("upstream.server_name", "app.test")).start();
    assert_eq!(statuses(&gateway, 1).await, [200]);
    for other in [setup(), setup().route(|route| route.with("upstream.server_name", "other.test"))] {
        let (status, code) = problem(&other.start()).await;
        assert_eq!((status, code.as_str()), UNREACHABLE);
    }
}
