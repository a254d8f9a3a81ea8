//! Real proxies: nginx terminates TLS and sends forwarding headers; HAProxy forwards connections and sends the PROXY
//! protocol.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::behind_proxies;
use crate::fleet::process::{Process, free_address};
use crate::support::configuration::Listener;
use crate::support::{Client, Gateway, Issuer, Upstream, Wire, certificate, connect_from, until};

/// A running proxy in its own folder.
pub struct Front {
    pub address: SocketAddr,
    pub ca: String,
    _folder: TempDir,
    _process: Process,
}

/// Starts a proxy. `config` has placeholders for the folder, the proxy's own address and the gateway's.
async fn front(program: &str, arguments: &[&str], config: &str, gateway: &Gateway) -> Front {
    let (address, folder) = (free_address(), TempDir::new().unwrap());
    let (ca, certificate, key) = certificate(&["localhost"]);
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("server.crt", &certificate);
    write("server.key", &key);
    let config = config.replace("FOLDER", &folder.path().display().to_string());
    write(
        "config",
        &config.replace("ADDRESS", &address.to_string()).replace("GATEWAY", &gateway.address().to_string()),
    );
    let process = start(program, arguments, folder.path(), address).await;
    Front { address, ca, _folder: folder, _process: process }
}

async fn start(program: &str, arguments: &[&str], folder: &Path, address: SocketAddr) -> Process {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).arg(folder.join("config"));
    let log = folder.join("log");
    let hint = format!("{program} does not start; apt-get install {program}");
    let mut process = Process::start(&mut command, &log).expect(&hint);
    process.listens(address, &log).await;
    process
}

const NGINX: &str = r#"
daemon off;
master_process off;
pid FOLDER/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/proxy;
  fastcgi_temp_path FOLDER/fastcgi;
  uwsgi_temp_path FOLDER/uwsgi;
  scgi_temp_path FOLDER/scgi;
  server {
    listen ADDRESS ssl;
    ssl_certificate FOLDER/server.crt;
    ssl_certificate_key FOLDER/server.key;
    proxy_bind 127.0.0.9;
    proxy_set_header Host $http_host;
    MORE
    location / {
      proxy_pass http://GATEWAY;
    }
  }
}
"#;

/// Starts nginx with more directives.
pub async fn nginx(more: &str, gateway: &Gateway) -> Front {
    front("nginx", &["-e", "stderr", "-c"], &NGINX.replace("MORE", more), gateway).await
}

/// Starts HAProxy.
pub async fn haproxy(config: &str, gateway: &Gateway) -> Front {
    front("haproxy", &["-db", "-f"], config, gateway).await
}

const FORWARDING: &str = "
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-Id $request_id;";

#[tokio::test]
async fn nginx_forwards_the_client_the_scheme_and_the_id() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).listener(Listener::without_tls).start();
    let nginx = nginx(FORWARDING, &gateway).await;
    let client = Client::new(nginx.address, &nginx.ca);
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    let spoofing = request.header("x-forwarded-for", "6.6.6.6").header("x-forwarded-proto", "http");
    let answer = client.send(spoofing.header("x-request-id", "mine"), "{}").await;
    assert_eq!(answer.status, 200);
    let seen = upstream.only();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1, 127.0.0.9"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let id = seen.header("x-request-id").unwrap();
    assert!(id.len() == 32 && answer.header("x-request-id") == Some(id), "{id}");
    // nginx passes on headers that it does not know, so the client would be ambiguous.
    let request = client.request("/webhook").header("authorization", format!("Bearer {}", gateway.token()));
    assert_eq!(client.send(request.header("forwarded", "for=6.6.6.6"), "{}").await.status, 400);
}

/// The configuration of a hookgate process whose log is read.
const LOGGING: &str = r#"
trusted_proxies: [127.0.0.8/29]
workers: 1
listeners:
  - address: "GATEWAY"
    plaintext: true
routes:
  - name: open
    match: { path: /webhook }
    upstream: { url: "http://APP" }
    auth: public
"#;

#[tokio::test]
async fn the_log_has_the_client_s_address_and_the_proxy_s_id() {
    let (upstream, address, folder) = (Upstream::echo().await, free_address(), TempDir::new().unwrap());
    let config = LOGGING.replace("GATEWAY", &address.to_string()).replace("APP", &upstream.address.to_string());
    std::fs::write(folder.path().join("config"), config).unwrap();
    let _gateway = start(env!("CARGO_BIN_EXE_hookgate"), &["run", "--config"], folder.path(), address).await;
    let headers = "X-Forwarded-For: 6.6.6.6, 2001:db8::7\r\nX-Request-Id: front-7\r\n";
    for from in [super::PROXY, super::UNTRUSTED] {
        let mut stream = connect_from([127, 0, 0, from], address).await;
        stream.write_all(super::request("x", headers).as_bytes()).await.unwrap();
        assert_eq!(super::status(&super::rest(&mut stream).await), "200");
    }
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    // The last line may be incomplete.
    let all = || log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<serde_json::Value>>();
    let lines = || all().into_iter().filter(|line| line["message"] == "request").collect::<Vec<_>>();
    until("both lines are there", async || lines().len() == 2).await;
    let (proxied, direct) = (&lines()[0], &lines()[1]);
    assert_eq!((&proxied["client_address"], &proxied["request_id"]), (&"2001:db8::7".into(), &"front-7".into()));
    assert!(proxied.get("client_port").is_none(), "{proxied}");
    let untrusted = format!("127.0.0.{}", super::UNTRUSTED);
    assert!(direct["client_address"] == untrusted && direct["client_port"].as_u64() > Some(0), "{direct}");
    for line in [proxied, direct] {
        assert!(line["outcome"] == "forwarded" && line["status"] == 200 && line["complete"] == true, "{line}");
        assert!(line.get("reason").is_none() && line.get("detail").is_none(), "{line}");
    }
    assert_eq!(direct["request_id"].as_str().unwrap().len(), 32);
    assert!(!log().contains("6.6.6.6"));
}

/// A configured PEM key accepts tokens with any `kid`.
const GUARDED: &str = r#"
log: { format: FORMAT }
workers: 1
listeners:
  - address: "GATEWAY"
    plaintext: true
issuers:
  acme: { issuer: https://issuer.test/, algorithms: [ES256], public_key: { file: key.pem } }
routes:
  - name: webhook
    match: { path: "/*" }
    upstream: { url: "http://APP" }
    auth: { jwt: { issuer: acme, audience: https://hooks.test/webhook } }
    replay_protection: disabled
"#;

/// A `kid` and a `sub` with a log line of either format and the start of an escape sequence.
const FORGED: &str = "k\n2026-11-24T00:00:00Z 200 forwarded x=1\n{\"message\":\"request\"}\n\"\x1b[31m";

const MARKER: &str = "never-to-be-logged";

/// A public key for the configuration, and a token of its key pair with the forged `kid`.
fn forging() -> (String, String) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let issuer = Issuer { kid: FORGED.to_owned(), algorithm: jsonwebtoken::Algorithm::ES256, key };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = issuer.token_with(json!({"iat": now, "nbf": now, "exp": now + 300, "sub": FORGED, "marker": MARKER}));
    (pair.public_key_pem(), token)
}

/// The number of complete log lines about requests.
fn request_lines(log: &str, format: &str) -> usize {
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let json = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"] == "request");
    let text = |line: &&str| line.split(' ').nth(1).is_some_and(|word| word.parse::<u16>().is_ok());
    if format == "json" { whole.lines().filter(json).count() } else { whole.lines().filter(text).count() }
}

#[tokio::test]
async fn no_client_forges_log_lines() {
    let upstream = Upstream::echo().await;
    let (key, token) = forging();
    let path = "/\"}{\"message\":\"request\"}";
    let traceparent = format!("{:\"<55}", "{\"message\":\"request\"}{'message':'request'}");
    for format in ["json", "text"] {
        let (address, folder) = (free_address(), TempDir::new().unwrap());
        let config = GUARDED.replace("GATEWAY", &address.to_string()).replace("APP", &upstream.address.to_string());
        std::fs::write(folder.path().join("config"), config.replace("FORMAT", format)).unwrap();
        std::fs::write(folder.path().join("key.pem"), &key).unwrap();
        let _gateway = start(env!("CARGO_BIN_EXE_hookgate"), &["run", "--config"], folder.path(), address).await;
        for (credential, status) in [(&*token, "200"), (MARKER, "401")] {
            let request = format!(
                "POST {path}?{MARKER}=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {credential}\r\n\
                 Traceparent: {traceparent}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{MARKER}",
                MARKER.len()
            );
            let mut stream = connect_from([127, 0, 0, super::UNTRUSTED], address).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(super::status(&super::rest(&mut stream).await), status);
        }
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
        until("both lines are there", async || request_lines(&log(), format) >= 2).await;
        is_clean(&log(), format);
        assert!(token.split('.').all(|part| !log().contains(part)), "{}", log());
    }
}

/// Asserts that the log has two request lines, with the forged text within its field.
#[track_caller]
fn is_clean(log: &str, format: &str) {
    assert_eq!(request_lines(log, format), 2, "{log}");
    assert!(!log.contains('\x1b') && !log.contains(MARKER) && !log.contains("'message'"), "{log}");
    if format == "json" {
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().filter(|line| line["kid"] == FORGED).count(), 1, "{log}");
    } else {
        assert!(
            log.lines().all(|line| line.starts_with("20"))
                && log.contains(format!("{FORGED:?}\"").replacen('"', "sender=\"acme/", 1).trim_end_matches('"')),
            "{log}"
        );
    }
}

const HAPROXY: &str = "
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen hooks
  bind ADDRESS
  server gateway GATEWAY source 127.0.0.9 HEADER
";

#[tokio::test]
async fn haproxy_names_the_client_in_both_versions() {
    let upstream = Upstream::echo().await;
    let gateway = behind_proxies(&upstream).listener(|listener| listener.proxy_protocol(true)).start();
    let more = "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl";
    for (last, header) in [(21, "send-proxy"), (22, "send-proxy-v2"), (23, more)] {
        let haproxy = haproxy(&HAPROXY.replace("HEADER", header), &gateway).await;
        let stream = connect_from([127, 0, 0, last], haproxy.address).await;
        let mut wire = Wire::over(stream, &gateway.ca, &[b"http/1.1"]).await;
        let spoofing = super::good(&gateway, "X-Forwarded-For: 6.6.6.6\r\n");
        assert_eq!(super::status(&wire.write(spoofing).await.rest().await), "200", "{header}");
        let client = format!("127.0.0.{last}");
        assert_eq!(upstream.seen().pop().unwrap().header("x-forwarded-for"), Some(&*client), "{header}");
    }
}
