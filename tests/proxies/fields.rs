//! X-Forwarded-For, Forwarded, X-Forwarded-Proto and X-Request-Id, from trusted proxies and from other clients.

use hookgate::reload::Reloaded;
use serde_json::json;

use super::{PROXY, UNTRUSTED, ask, ask_plainly, behind_proxies, forwarded, good, request, status};
use crate::support::configuration::{ClientCertificate, Listener};
use crate::support::{Authority, Setup, Upstream};

const HEADERS: &str = "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\nX-Forwarded-For: 127.0.0.10\r\n\
                       X-Forwarded-Proto: http\r\nX-Request-Id: front-7\r\n";

#[tokio::test]
async fn the_upstream_learns_the_client_and_the_trusted_proxies() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).start();
    let answer = forwarded(&gateway, HEADERS).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-request-id: front-7"), "{answer}");
    let seen = upstream.only();
    assert_eq!(seen.header("x-forwarded-for"), Some("198.51.100.7, 127.0.0.10, 127.0.0.9"));
    let standard = "for=198.51.100.7;host=\"localhost\";proto=http, for=127.0.0.10, for=127.0.0.9";
    assert_eq!(seen.header("forwarded"), Some(standard));
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-request-id")), (Some("http"), Some("front-7")));
}

#[tokio::test]
async fn forwarded_counts_where_x_forwarded_for_is_absent() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).start();
    let field = "Forwarded: for=\"6.6.6.6\r\nForwarded: for=\"[2001:db8::7]:4711\";proto=http, for=127.0.0.10\r\n";
    assert_eq!(status(&forwarded(&gateway, field).await), "200");
    let seen = upstream.only();
    assert_eq!(seen.header("x-forwarded-for"), Some("2001:db8::7, 127.0.0.10, 127.0.0.9"));
    let standard = "for=\"[2001:db8::7]\";host=\"localhost\";proto=https, for=127.0.0.10, for=127.0.0.9";
    assert_eq!(seen.header("forwarded"), Some(standard));
}

#[tokio::test]
async fn headers_of_an_untrusted_client_are_ignored() {
    let upstream = Upstream::echo().await;
    let without_trust = Setup::new(upstream.address).start();
    let gateway = behind_proxies(&upstream).start();
    for (gateway, from, address) in
        [(&gateway, UNTRUSTED, "127.0.0.1"), (&gateway, 16, "127.0.0.16"), (&without_trust, PROXY, "127.0.0.9")]
    {
        let fields = format!("{HEADERS}Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n");
        let answer = ask(gateway, from, good(gateway, &fields)).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("front-7"), "{answer}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.header("x-forwarded-for"), Some(address));
        assert_eq!(seen.header("forwarded"), Some(&*format!("for={address};host=\"localhost\";proto=https")));
        assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-real-ip")), (Some("https"), None));
        assert_eq!(seen.header("x-request-id").unwrap().len(), 32);
    }
}

#[tokio::test]
async fn an_ambiguous_request_id_is_not_taken_over() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).start();
    for fields in [
        "X-Request-Id: a/../b\r\n",
        "X-Request-Id: a\r\nX-Request-Id: a\r\n",
        "X-Request-Id: \r\n",
        "X_Request_Id: a\r\n",
    ] {
        assert_eq!(status(&forwarded(&gateway, fields).await), "200");
        assert_eq!(upstream.seen().pop().unwrap().header("x-request-id").unwrap().len(), 32, "{fields}");
    }
}

/// The gateway cannot know which header is the proxy's and which the attacker's, because a proxy passes on the header
/// that it does not know.
#[tokio::test]
async fn headers_that_name_two_clients_are_rejected() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).start();
    let both = |client: &str| format!("X-Forwarded-For: 198.51.100.7\r\nForwarded: for={client}, for=127.0.0.10\r\n");
    let answer = forwarded(&gateway, &both("6.6.6.6")).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("bad_request"), "{answer}");
    assert!(upstream.seen().is_empty());
    assert_eq!(status(&forwarded(&gateway, &both("198.51.100.7")).await), "200");
    assert_eq!(upstream.only().header("x-forwarded-for"), Some("198.51.100.7, 127.0.0.9"));
    assert_eq!(status(&ask(&gateway, UNTRUSTED, good(&gateway, &both("6.6.6.6"))).await), "200");
}

#[tokio::test]
async fn an_allow_list_looks_at_the_client_behind_trusted_proxies() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).route(|route| route.allowed_ips(["198.51.100.0/24"])).start();
    for (chain, expected) in [
        ("198.51.100.7", "200"),
        ("203.0.113.9, 198.51.100.7, 127.0.0.10", "200"),
        ("203.0.113.9", "403"),
        // A value that an attacker wrote, to which a trusted proxy appended the address of the attacker.
        ("198.51.100.7, 203.0.113.9", "403"),
        ("198.51.100.7, 203.0.113.9, 127.0.0.10", "403"),
        ("198.51.100.7, unknown, 127.0.0.10", "403"),
        ("198.51.100.7, garbage", "403"),
    ] {
        let answer = forwarded(&gateway, &format!("X-Forwarded-For: {chain}\r\n")).await;
        assert_eq!(status(&answer), expected, "{chain}");
    }
    let spoofed = good(&gateway, "X-Forwarded-For: 198.51.100.7\r\n");
    assert_eq!(status(&ask(&gateway, UNTRUSTED, spoofed).await), "403");
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_rejected_client_behind_a_proxy_uses_up_its_own_budget_only() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).route(|route| route.failed_auth_rate("2/h")).start();
    let from = |client: &str| format!("X-Forwarded-For: {client}\r\n");
    for (spoofed, expected) in [("6.6.6.1, ", "401"), ("6.6.6.2, ", "401"), ("6.6.6.3, ", "429"), ("", "429")] {
        let fields = from(&format!("{spoofed}203.0.113.9"));
        assert_eq!(status(&ask(&gateway, PROXY, request("x.y.z", &fields)).await), expected, "{spoofed}");
    }
    for fields in [&from("203.0.113.9"), &from("198.51.100.7"), ""] {
        assert_eq!(status(&forwarded(&gateway, fields).await), "200", "{fields}");
    }
    // 127.0.0.1 has its own budget, and cannot name another client.
    for expected in ["401", "401", "429"] {
        let spoofed = request("x.y.z", &from("198.51.100.7"));
        assert_eq!(status(&ask(&gateway, UNTRUSTED, spoofed).await), expected);
    }
    assert_eq!(status(&forwarded(&gateway, &from("198.51.100.7")).await), "200");
}

/// One connection of a proxy carries requests of many clients.
#[tokio::test]
async fn each_request_of_a_connection_has_its_own_client() {
    let upstream = Upstream::echo().await;
    let setup = Setup::new(upstream.address);
    let gateway = setup.top(|top| top.trusted_proxies(["127.0.0.1"])).start();
    for client in [gateway.client(), gateway.client_http2()] {
        for (client_address, expected) in [
            (Some("198.51.100.7"), "198.51.100.7, 127.0.0.1"),
            (None, "127.0.0.1"),
            (Some("203.0.113.9"), "203.0.113.9, 127.0.0.1"),
        ] {
            let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
            let request =
                client_address.into_iter().fold(request, |request, value| request.header("x-forwarded-for", value));
            assert_eq!(client.send(request, "{}").await.status, 200);
            assert_eq!(upstream.seen().pop().unwrap().header("x-forwarded-for"), Some(expected));
        }
    }
    let opened = format!("hookgate_tls_handshakes_total{{listener=\"{}\",result=\"success\"}}", gateway.address());
    assert_eq!(gateway.metric(&opened).await, Some(2.0));
}

#[tokio::test]
async fn trust_ends_with_the_configuration_also_on_open_connections() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).start();
    let mut wire = gateway.wire_from(PROXY).await;
    let request = good(&gateway, "X-Forwarded-For: 198.51.100.7\r\n").replace("Connection: close\r\n", "");
    wire.write(&request).await.read_until("\r\n\r\n").await;
    gateway.edit(|configuration| configuration.trusted_proxies(["10.0.0.0/8"]));
    assert_eq!(gateway.running().reload(), Reloaded::Applied);
    wire.write(&request).await.read_until("\r\n\r\n").await;
    let seen = upstream.seen();
    let clients: Vec<_> = seen.iter().map(|seen| seen.header("x-forwarded-for").unwrap()).collect();
    assert_eq!(clients, ["198.51.100.7, 127.0.0.9", "127.0.0.9"]);
}

/// Behind an ingress that terminates TLS: the https URL is signed, and the scheme https is forwarded to the upstream.
#[tokio::test]
async fn a_sidecar_behind_an_ingress_forwards_the_scheme_that_the_client_used() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream)
        .listener(Listener::without_tls)
        .route(|route| route.jwt(|jwt| jwt.url(json!({"claim": "htu"}))))
        .start();
    let token = gateway.issuer.token_with(json!({"htu": "https://localhost/webhook"}));
    let https = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    for (from, fields, proto) in [
        (PROXY, https, "https"),
        (PROXY, "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: http\r\n", "http"),
        (PROXY, "X-Forwarded-For: 198.51.100.7\r\n", "http"),
        (UNTRUSTED, https, "http"),
    ] {
        assert_eq!(status(&ask_plainly(&gateway, from, request(&token, fields)).await), "200");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.header("x-forwarded-proto"), Some(proto), "{from} {fields}");
        assert!(seen.header("forwarded").unwrap().contains(&format!(";proto={proto}")));
    }
    let other = gateway.issuer.token_with(json!({"htu": "http://localhost/webhook"}));
    assert_eq!(status(&ask_plainly(&gateway, PROXY, request(&other, https)).await), "401");
}

/// A client certificate counts only if it is presented in the TLS handshake with the gateway.
#[tokio::test]
async fn no_header_of_a_proxy_is_a_client_certificate() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = behind_proxies(&upstream)
        .listener(|listener| listener.client_ca("clients.crt").client_auth("optional"))
        .top(|top| top.add_listener(Listener::new().without_tls()))
        .file("clients.crt", &authority.pem)
        .auth(ClientCertificate::empty().san(["dns:a.test"]))
        .start();
    let spoofed = "X-Forwarded-Client-Cert: Hash=00;Subject=\"CN=a.test\";DNS=a.test\r\nX-SSL-Client-Verify: SUCCESS\r\n\
                   X-SSL-Client-S-DN: CN=a.test\r\nSsl-Client-Verify: SUCCESS\r\nClient-Cert: :AAAA:\r\n\
                   X-Forwarded-Proto: https\r\nX-Forwarded-For: 198.51.100.7\r\n";
    let plain = gateway.running().listeners[1];
    let mut stream = crate::support::connect_from([127, 0, 0, PROXY], plain).await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, request("x", spoofed).as_bytes()).await.unwrap();
    assert_eq!(status(&super::rest(&mut stream).await), "401");
    assert_eq!(status(&ask(&gateway, PROXY, request("x", spoofed)).await), "401");
    assert!(upstream.seen().is_empty());
    let certified = gateway.client_showing(&authority.client("a.test", 7));
    assert_eq!(certified.send(certified.request("/webhook"), "{}").await.status, 200);
}
