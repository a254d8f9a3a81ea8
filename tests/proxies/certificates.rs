//! Client certificates that a proxy in front states: nginx and HAProxy themselves, and the header of Envoy.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::real::{haproxy, nginx};
use super::{PROXY, UNTRUSTED, ask_plainly, behind_proxies, status};
use crate::support::configuration::{ClientCertificate, Configuration};
use crate::support::{Authority, Client, Gateway, Identity, Setup, Upstream};

/// Accepts the certificate of `sender.test`, which the header states.
fn setup(upstream: &Upstream, authority: &Authority, header: &str) -> Setup {
    let from = json!({ "header": header, "ca": "clients.crt", "crl": "clients.crl" });
    behind_proxies(upstream)
        .file("clients.crt", &authority.pem)
        .file("clients.crl", &authority.list(2090, &[66]))
        .listener(|listener| listener.without_tls().with("client_certificate_from", from))
        .auth(ClientCertificate::empty().san(["dns:sender.test"]))
}

fn request(headers: &str) -> String {
    format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n")
}

fn client_cert(identity: &Identity) -> String {
    format!("Client-Cert: :{}:\r\n", STANDARD.encode(&identity.certificate))
}

fn escaped_pem(identity: &Identity) -> String {
    let base64 = STANDARD.encode(&identity.certificate);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    utf8_percent_encode(&pem, NON_ALPHANUMERIC).to_string()
}

/// The status of a request with these headers from 127.0.0.`last`.
async fn asked(gateway: &Gateway, last: u8, headers: &str) -> String {
    status(&ask_plainly(gateway, last, request(headers)).await).to_owned()
}

#[tokio::test]
async fn only_a_trusted_proxy_states_a_certificate() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, "Client-Cert").start();
    let good = client_cert(&authority.client("sender.test", 7));
    assert_eq!(asked(&gateway, PROXY, &good).await, "200");
    let seen = upstream.only();
    assert_eq!((seen.header("client-cert"), seen.header("client-cert-chain")), (None, None));
    assert_eq!(asked(&gateway, UNTRUSTED, &good).await, "401");
    assert_eq!(asked(&gateway, PROXY, "").await, "401");
    // Another header is not read.
    let other = format!("X-Forwarded-Client-Cert: Cert=\"{}\"\r\n", escaped_pem(&authority.client("sender.test", 7)));
    assert_eq!(asked(&gateway, PROXY, &other).await, "401");
    for malformed in ["Client-Cert: x\r\n", "Client-Cert: :AAAA:\r\n", &format!("{good}{good}")] {
        assert_eq!(asked(&gateway, PROXY, malformed).await, "400", "{malformed}");
    }
    assert_eq!(gateway.counted("rejected", "malformed_credential").await, Some(3.0));
    assert_eq!(upstream.seen().len(), 1);
}

/// Its chain, its time and its revocation, as of a direct connection.
#[tokio::test]
async fn the_chain_is_verified_here() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let gateway = setup(&upstream, &authority, "Client-Cert").start();
    for (identity, expected) in [
        (authority.client("sender.test", 7), "200"),
        (authority.client("other.test", 8), "403"),
        (authority.client("sender.test", 66), "403"),
        (Authority::new("clients").client("sender.test", 7), "403"),
    ] {
        assert_eq!(asked(&gateway, PROXY, &client_cert(&identity)).await, expected);
    }
    // Certificates of the test are valid until 4096, and the list until 2090.
    gateway.clock.forward(70 * 366 * 86400);
    assert_eq!(asked(&gateway, PROXY, &client_cert(&authority.client("sender.test", 7))).await, "403");
}

#[tokio::test]
async fn each_form_of_the_header_works() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let identity = authority.client("sender.test", 7);
    let pem = escaped_pem(&identity);
    for (header, value) in [
        ("X-Forwarded-Client-Cert", format!("By=spiffe://a/b;Hash=00;Cert=\"{pem}\";Subject=\"\";URI=")),
        ("X-Amzn-Mtls-Clientcert", pem.replace("%2B", "+").replace("%3D", "=").replace("%2F", "/")),
        ("X-Client-Certificate", pem),
    ] {
        let gateway = setup(&upstream, &authority, header).start();
        let line = format!("{header}: {value}\r\n{}: forged\r\n", header.replace('-', "_"));
        assert_eq!(asked(&gateway, PROXY, &line).await, "200", "{header}");
        let seen = upstream.seen().pop().unwrap();
        let spelt = |name: &str| name.replace('_', "-").eq_ignore_ascii_case(header);
        assert!(!seen.headers.keys().any(|name| spelt(name.as_str())), "{:?}", seen.headers);
    }
}

/// RFC 8705 §3: a token that is bound to the certificate.
#[tokio::test]
async fn a_bound_token_needs_the_certificate() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let from = json!({ "header": "Client-Cert", "ca": "clients.crt" });
    let gateway = behind_proxies(&upstream)
        .file("clients.crt", &authority.pem)
        .listener(|listener| listener.without_tls().with("client_certificate_from", from))
        .route(|route| route.jwt(|jwt| jwt.bound_certificate(true)))
        .start();
    let (bound, other) = (authority.client("sender.test", 7), authority.client("sender.test", 8));
    let token = gateway.issuer.token_with(json!({ "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode(bound.sha256()) } }));
    let with = |identity: &Identity| format!("Authorization: Bearer {token}\r\n{}", client_cert(identity));
    assert_eq!(asked(&gateway, PROXY, &with(&bound)).await, "200");
    assert_eq!(asked(&gateway, PROXY, &with(&other)).await, "401");
    assert_eq!(asked(&gateway, UNTRUSTED, &with(&bound)).await, "401");
}

const NGINX: &str = "
    ssl_client_certificate CLIENTS;
    ssl_verify_client optional_no_ca;
    proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;";

const HAPROXY: &str = r#"
global
  ssl-load-extra-del-ext
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend in
  bind ADDRESS ssl crt FOLDER/server.crt ca-file CLIENTS verify optional ca-ignore-err all crt-ignore-err all
  http-request del-header Client-Cert-Chain
  http-request set-header Client-Cert ":%[ssl_c_der,base64]:"
  default_backend gateway
backend gateway
  server gateway GATEWAY source 127.0.0.9
"#;

/// A client without a certificate, and one that forges the header, are told apart from one that has it.
#[tokio::test]
async fn nginx_and_haproxy_pass_the_certificate_on() {
    let (upstream, authority) = (Upstream::echo().await, Authority::new("clients"));
    let identity = authority.client("sender.test", 7);
    for (program, header) in [("nginx", "X-SSL-Client-Cert"), ("haproxy", "Client-Cert")] {
        let gateway = setup(&upstream, &authority, header).start();
        let clients = gateway.path("clients.crt").display().to_string();
        let proxy = match program {
            "nginx" => nginx(&NGINX.replace("CLIENTS", &clients), &gateway).await,
            _ => haproxy(&HAPROXY.replace("CLIENTS", &clients), &gateway).await,
        };
        let forged =
            if program == "nginx" { escaped_pem(&identity) } else { client_cert(&identity)[13..].trim().to_owned() };
        let send =
            async |client: Client| client.send(client.request("/webhook").header(header, &forged), "{}").await.status;
        assert_eq!(send(Client::showing(proxy.address, &proxy.ca, &identity)).await, 200, "{program}");
        assert_eq!(send(Client::new(proxy.address, &proxy.ca)).await, 401, "{program}");
        // nginx itself rejects a chain to an authority of the same name.
        let another = Authority::new("others").client("sender.test", 7);
        assert_eq!(send(Client::showing(proxy.address, &proxy.ca, &another)).await, 403, "{program}");
    }
}

#[test]
fn a_listener_has_one_source_of_certificates_and_trusted_proxies() {
    let from = || json!({ "header": "Client-Cert", "ca": "clients.crt" });
    for (change, problem) in [
        (
            (|top, from| {
                top.trusted_proxies(["10.0.0.0/8"])
                    .listener(|listener| listener.client_ca("clients.crt").with("client_certificate_from", from))
            }) as fn(Configuration, serde_json::Value) -> Configuration,
            "cannot be combined with `tls.client_ca`",
        ),
        (
            |top, from| top.listener(|listener| listener.with("client_certificate_from", from)),
            "requires `trusted_proxies`",
        ),
        (
            |top, _| {
                top.trusted_proxies(["10.0.0.0/8"])
                    .listener(|listener| listener.with("client_certificate_from", json!({})))
            },
            "client_certificate_from.ca: missing",
        ),
    ] {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("clients.crt"), Authority::new("clients").pem).unwrap();
        let (_, certificate, key) = crate::support::certificate(&["localhost"]);
        std::fs::write(folder.path().join("server.crt"), certificate).unwrap();
        std::fs::write(folder.path().join("server.key"), key).unwrap();
        std::fs::write(folder.path().join("jwks.json"), crate::support::Issuer::es256("k1").jwks()).unwrap();
        let top = change(crate::support::configuration::usual("127.0.0.1:9".parse().unwrap()), from());
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, top.to_string()).unwrap();
        let errors = hookgate::config::load(&path, &hookgate::config::Handles::default())
            .map_or_else(|errors| errors.to_string(), |_| String::new());
        assert!(errors.contains(problem), "{problem}: {errors}");
    }
}
