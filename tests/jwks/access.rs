//! How key sets are reached: `jwks.proxy`, `jwks.bearer`, `jwks.insecure_http`, and the log of a fetch that failed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::fleet::process::free_address;
use crate::support::configuration::{Configuration, Jwks, Jwt, Listener, Route, TrustedIssuer};
use crate::support::key_server::{KeyServer, ok, with_head};
use crate::support::{Gateway, Issuer, Setup, Upstream, certificate};

/// A server over TLS, and a gateway that trusts it, with these changes of `jwks` and the bearer token in `bearer`.
async fn over_tls(issuer: &Issuer, change: impl FnOnce(Jwks, &KeyServer) -> Jwks) -> (KeyServer, Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let (ca, leaf, key) = certificate(&["localhost"]);
    let server = KeyServer::start_tls(&leaf, &key, ok(&issuer.jwks())).await;
    let jwks = change(Jwks::url(&format!("{}/jwks.json", server.url())).ca("issuer.crt"), &server);
    let setup = Setup::new(upstream.address).jwks(jwks).issuer(issuer.clone());
    let gateway = setup.file("issuer.crt", &ca).file("bearer", " s3cret-token\n").start();
    (server, upstream, gateway)
}

/// A proxy that answers CONNECT with this status, and then forwards bytes to localhost.
async fn proxy(status: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let port = head.split([':', ' ']).nth(2).unwrap().parse::<u16>().unwrap();
            heads.send(head).unwrap();
            client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            if status.starts_with("200") {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        }
    });
    (address, seen)
}

#[tokio::test]
async fn keys_are_fetched_through_a_proxy_by_connect() {
    let issuer = Issuer::rs256("k1");
    let (address, mut seen) = proxy("200 Connection established").await;
    let jwks = |jwks: Jwks, _: &KeyServer| jwks.proxy(format!("http://{address}")).bearer("bearer");
    let (server, _upstream, gateway) = over_tls(&issuer, jwks).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    let head = seen.recv().await.unwrap();
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.address.port())), "{head}");
    assert!(!head.contains("s3cret"), "{head}");
    assert!(server.requests()[0].contains("authorization: Bearer s3cret-token\r\n"), "{:?}", server.requests());
}

#[tokio::test]
async fn a_proxy_that_rejects_is_not_bypassed() {
    let issuer = Issuer::rs256("k1");
    let (address, _seen) = proxy("407 Proxy Authentication Required").await;
    let jwks = |jwks: Jwks, _: &KeyServer| jwks.proxy(format!("http://{address}"));
    let (server, _upstream, gateway) = over_tls(&issuer, jwks).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.problem(), (503, "jwks_unavailable".into()));
    assert_eq!(server.fetches(), 0);
}

/// A program that the server redirects to, or that a discovery document names, must not get the token.
#[tokio::test]
async fn a_bearer_token_is_for_the_configured_url_alone() {
    let issuer = Issuer::rs256("k1");
    let (server, _upstream, gateway) = over_tls(&issuer, |jwks, _| jwks.bearer("bearer")).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert!(server.requests()[0].contains("authorization: Bearer s3cret-token\r\n"), "{:?}", server.requests());

    let upstream = Upstream::echo().await;
    let (ca, leaf, key) = certificate(&["localhost"]);
    let server = KeyServer::start_tls(&leaf, &key, ok(&issuer.jwks())).await;
    let iss = server.url();
    server.answers_at("/document", with_head("302 Found\r\nlocation: /moved", ""));
    server.answers_at("/moved", ok(&json!({"issuer": iss, "jwks_uri": format!("{iss}/keys")}).to_string()));
    let jwks = Jwks::empty().discovery_url(format!("{iss}/document")).ca("issuer.crt").bearer("bearer");
    let setup = Setup::new(upstream.address).issuer(issuer.clone()).jwks(jwks);
    let setup = setup.top(|top| top.issuer("acme", |issuer| issuer.issuer(iss.clone())));
    let gateway = setup.file("issuer.crt", &ca).file("bearer", "s3cret-token").start();
    assert_eq!(gateway.client().post(&issuer.token_with(json!({ "iss": iss }))).await.status, 200);
    let requests = server.requests();
    let has: Vec<bool> = requests.iter().map(|request| request.contains("s3cret-token")).collect();
    assert_eq!(has, [true, false, false], "{requests:?}");
}

#[tokio::test]
async fn insecure_http_reaches_a_private_host() {
    let (upstream, issuer) = (Upstream::echo().await, Issuer::rs256("k1"));
    let server = KeyServer::start(ok(&issuer.jwks())).await;
    let gateway = server.gateway(&upstream, &issuer, |jwks| jwks.insecure_http(true));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

/// Starts a process with this issuer, sends it a request with `token`, and returns the log lines up to the one that
/// `is_wanted` accepts.
async fn logged(issuer: TrustedIssuer, token: Option<&str>, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (address, folder) = (free_address(), TempDir::new().unwrap());
    let listener = Listener::empty().address(address.to_string()).without_tls();
    let jwt = Jwt::empty().issuer("acme").audience("https://hooks.test/webhook");
    let route = Route::new("all").path("/webhook").upstream("http://127.0.0.1:9").auth(jwt);
    let route = route.replay_protection("disabled");
    let config = Configuration::empty().workers(1).drain_delay("0s").add_issuer("acme", issuer);
    let config = config.add_listener(listener).add_route(route);
    std::fs::write(folder.path().join("gateway.yaml"), config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.args(["run", "--config", "gateway.yaml"]).current_dir(folder.path()).env_remove("HOOKGATE_LOG");
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    let (sender, mut receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        lines.for_each(|line| _ = sender.send(line));
    });
    let mut lines: Vec<Value> = Vec::new();
    let mut asked = token.is_none();
    while !lines.last().is_some_and(&is_wanted) {
        let line = tokio::time::timeout(crate::support::PATIENCE, receiver.recv()).await;
        lines.push(line.unwrap_or_else(|_| panic!("{lines:?}")).unwrap());
        if let (false, Some(token), Ok(mut stream)) = (asked, token, TcpStream::connect(address).await) {
            asked = true;
            let head =
                format!("POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: Bearer {token}\r\n");
            stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    lines
}

fn is_failed_fetch(line: &Value) -> bool {
    line["message"] == "could not fetch keys"
}

/// Before, the address in the log was always that of the discovery document.
#[tokio::test]
async fn a_failed_fetch_is_logged_with_the_url_that_failed() {
    let issuer = |server: &KeyServer, iss: &str| {
        let jwks = Jwks::empty().discovery_url(format!("{}/document", server.url()));
        TrustedIssuer::new(iss, &["RS256"]).jwks(jwks)
    };
    let server = KeyServer::start(with_head("404 Not Found", "")).await;
    let keys = format!("{}/keys", server.url());
    server.answers_at("/document", ok(&json!({"issuer": "https://issuer.test", "jwks_uri": keys}).to_string()));
    let lines = logged(issuer(&server, "https://issuer.test"), None, is_failed_fetch).await;
    let line = lines.last().unwrap();
    assert_eq!((line["url"].as_str(), line["error"].as_str()), (Some(&*keys), Some("unexpected status 404")));
    // A final slash is the most frequent difference.
    let lines = logged(issuer(&server, "https://issuer.test/"), None, is_failed_fetch).await;
    let line = lines.last().unwrap();
    assert_eq!(line["url"].as_str(), Some(&*format!("{}/document", server.url())));
    let error = line["error"].as_str().unwrap();
    assert!(error.contains(r#"expected the `issuer` "https://issuer.test/", got "https://issuer.test""#), "{error}");
}

#[tokio::test]
async fn plain_http_is_warned_of_and_a_rejected_token_is_logged_with_its_cause() {
    let signer = Issuer::rs256("k1");
    let server = KeyServer::start(ok(&signer.jwks())).await;
    let jwks = Jwks::url(&format!("{}/jwks.json", server.url())).insecure_http(true);
    let issuer = TrustedIssuer::new("https://issuer.test", &["RS256"]).jwks(jwks);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims =
        json!({"iss": "https://issuer.test/", "aud": "https://hooks.test/webhook", "sub": "s3cret", "exp": now + 300});
    let token = signer.token(&claims);
    let lines = logged(issuer, Some(&token), |line| line["message"] == "request").await;
    assert!(
        lines.iter().any(|line| line["message"] == "keys are fetched over plain http (insecure_http)"),
        "{lines:?}"
    );
    let warned =
        |line: &Value| line["warning"].as_str().is_some_and(|text| text.contains("insecure_http: any program"));
    assert!(lines.iter().any(warned), "{lines:?}");
    let line = lines.last().unwrap();
    assert_eq!(line["reason"], "invalid_issuer");
    assert_eq!(line["detail"], r#"expected iss "https://issuer.test", got "https://issuer.test/""#);
    assert!(!line.to_string().contains("s3cret") && !line.to_string().contains("eyJ"), "{line}");
}
