//! Certificates that requests name by their URLs: fetched from the provider's host alone, rarely, and for requests that
//! meet every rule that needs no signature.

mod confirmations;

use std::net::SocketAddr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::key_server::{KeyServer, with_head};
use crate::support::{Answer, Gateway, Setup, Upstream, certificate, until};

const HOST: &str = "sns.eu-central-1.amazonaws.com";

const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:orders";

/// An SNS of one key: its host, reached through a proxy as the real one can be, and a gateway for its preset.
struct Sns {
    key: KeyPair,
    host: KeyServer,
    proxied: mpsc::UnboundedReceiver<String>,
    upstream: Upstream,
    gateway: Gateway,
}

/// A proxy that connects to `server` for every host.
async fn proxy(server: SocketAddr) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            heads.send(String::from_utf8(head).unwrap()).unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(server).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (address, seen)
}

/// The response with a certificate of this name for the key.
fn file(key: &KeyPair, name: &str) -> String {
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(key).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let pair = rcgen::KeyPair::from_pem(&pem).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&pair).unwrap();
    with_head("200 OK\r\ncontent-type: application/x-pem-file", &certificate.pem())
}

fn url(number: usize) -> String {
    format!("https://{HOST}/SimpleNotificationService-{number:032x}.pem")
}

impl Sns {
    async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// The same, with these keys of `auth`.
    async fn with(more: Value) -> Self {
        let upstream = Upstream::echo().await;
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let (ca, leaf, private) = certificate(&[HOST]);
        let host = KeyServer::start_tls(&leaf, &private, file(&key, "sns.amazonaws.com")).await;
        let (address, proxied) = proxy(host.address).await;
        let mut auth = json!({
            "preset": "aws-sns", "parameters": {"region": "eu-central-1", "topic_arns": [TOPIC, "arn:other"]},
            "certificate": {"ca": "provider-ca.crt", "proxy": format!("http://{address}")},
        });
        auth.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let setup = Setup::new(upstream.address).auth(auth).file("provider-ca.crt", &ca);
        let setup = setup.route(|route| route.replay_protection("disabled"));
        let gateway = setup.top(|top| top.trusted_proxies(["127.0.0.1"])).start();
        Self { key, host, proxied, upstream, gateway }
    }

    /// A message with these changes, signed by the key.
    fn message(&self, changes: Value) -> Value {
        let mut message = json!({
            "Type": "Notification", "MessageId": "9d2c5580-b61d-550c-8583-37a582870907", "TopicArn": TOPIC,
            "Message": "{\"order\":\n7}", "Timestamp": "2026-11-24T00:00:00.000Z", "SignatureVersion": "2",
            "SigningCertURL": url(1),
        });
        message.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
        let signed = names.iter().filter_map(|name| Some((name, message.get(name)?.as_str()?)));
        let text: String = signed.map(|(name, value)| format!("{name}\n{value}\n")).collect();
        let mut signature = vec![0; 256];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        message["Signature"] = STANDARD.encode(signature).into();
        message
    }

    async fn send(&self, message: &Value) -> Answer {
        self.send_from("127.0.0.1", message).await
    }

    async fn send_from(&self, client: &str, message: &Value) -> Answer {
        let client_ip = client.to_owned();
        let client = self.gateway.client();
        let request = client.request("/webhook").header("content-type", "text/plain; charset=UTF-8");
        client.send(request.method("POST").header("x-forwarded-for", client_ip), message.to_string()).await
    }

    async fn fetches(&self, result: &str) -> Option<f64> {
        let name = "hookgate_signing_certificate_fetches_total";
        self.gateway.metric(&format!("{name}{{issuer=\"aws-sns\",result=\"{result}\"}}")).await
    }
}

#[tokio::test]
async fn a_certificate_is_fetched_once_from_the_provider_s_host() {
    let mut sns = Sns::new().await;
    assert_eq!(sns.fetches("success").await, Some(0.0));
    for id in ["1", "2", "3"] {
        assert_eq!(sns.send(&sns.message(json!({"MessageId": id}))).await.status, 200);
    }
    assert!(sns.proxied.recv().await.unwrap().starts_with(&format!("CONNECT {HOST}:443 HTTP/1.1\r\n")));
    assert!(sns.host.requests()[0].starts_with(&format!("GET {} HTTP/1.1\r\n", &url(1)[8 + HOST.len()..])));
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (1, 3));
    assert_eq!(sns.fetches("success").await, Some(1.0));
    let status = sns.gateway.admin("/status").await.json()["signing_certificates"][0].clone();
    assert_eq!((&status["issuer"], &status["certificates"]), (&json!("aws-sns"), &json!(1)));
    assert_eq!(status["last_success"], "2026-11-24T00:00:00Z");
    let mut forged = sns.message(json!({}));
    forged["Message"] = "another".into();
    assert_eq!(sns.send(&forged).await.status, 401);
    assert_eq!(sns.gateway.counted("rejected", "invalid_signature").await, Some(1.0));
    // A day later the host is asked whether the certificate is still there.
    sns.gateway.clock.forward(24 * 3600 + 1);
    assert_eq!(sns.send(&sns.message(json!({"Timestamp": "2026-11-25T00:00:00.000Z"}))).await.status, 200);
    assert_eq!(sns.host.fetches(), 2);
    // A scrape removes the metrics of names that are not configured.
    assert_eq!(sns.fetches("success").await, Some(2.0));
}

/// SSRF: a client chooses the URL, and may only choose among the files of the provider.
#[tokio::test]
async fn a_client_without_a_topic_or_a_url_of_the_provider_causes_no_fetch() {
    let sns = Sns::new().await;
    let hosts = [
        "https://sns.s3-us-west-2.amazonaws.com",
        "https://sns.us-east-1.amazonaws.com",
        "http://sns.eu-central-1.amazonaws.com",
        "https://sns.eu-central-1.amazonaws.com:8443",
        "https://169.254.169.254",
        "https://sns.eu-central-1.amazonaws.com@127.0.0.1",
    ];
    for host in hosts {
        let message = sns.message(json!({"SigningCertURL": url(1).replace(&format!("https://{HOST}"), host)}));
        assert_eq!(sns.send(&message).await.problem(), (401, "unauthorized".into()), "{host}");
    }
    let count = f64::from(u32::try_from(hosts.len()).unwrap());
    assert_eq!(sns.gateway.counted("rejected", "signing_certificate_not_allowed").await, Some(count));
    let mut unsigned = sns.message(json!({}));
    unsigned["Signature"] = "AAAA".into();
    for message in [
        sns.message(json!({"TopicArn": "arn:aws:sns:eu-central-1:210987654321:orders"})),
        sns.message(json!({"Timestamp": "2026-11-23T22:54:00.000Z"})),
        sns.message(json!({"SignatureVersion": "1"})),
        sns.message(json!({"Type": "Other"})),
        unsigned,
    ] {
        assert_eq!(sns.send(&message).await.status, 401, "{message}");
    }
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_name_one_certificate_wait_for_one_fetch() {
    let sns = Sns::new().await;
    let messages: Vec<Value> = (0..20).map(|id| sns.message(json!({"MessageId": id.to_string()}))).collect();
    let answers = all_of(messages.iter().map(|message| sns.send(message))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (1, 20));
}

/// Runs the futures at the same time.
async fn all_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut ended: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, ended) in futures.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *ended = Some(value);
            }
        }
        if ended.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    ended.into_iter().flatten().collect()
}

/// A client invents the URLs of files that are absent: it uses up its own share of fetches, and no other one's.
#[tokio::test]
async fn a_failed_fetch_is_not_repeated_and_delays_no_other_client() {
    let sns = Sns::new().await;
    let genuine = file(&sns.key, "sns.amazonaws.com");
    sns.host.answers(with_head("404 Not Found", ""));
    let path = |number: usize| url(number)[8 + HOST.len()..].to_owned();
    sns.host.answers_at(&path(9), genuine);
    let invented = |number: usize| sns.message(json!({"SigningCertURL": url(number)}));
    for number in [1, 2, 1, 2, 3, 4] {
        let answer = sns.send_from("192.0.2.1", &invented(number)).await;
        assert_eq!(answer.problem(), (503, "signing_certificate_unavailable".into()), "{number}");
        assert_eq!(answer.header("retry-after"), Some("10"));
    }
    assert_eq!(sns.host.fetches(), 2);
    assert_eq!(sns.send_from("192.0.2.2", &invented(9)).await.status, 200);
    // Once the certificate is there, no client needs a fetch for it.
    assert_eq!(sns.send_from("192.0.2.1", &invented(9)).await.status, 200);
    assert_eq!((sns.host.fetches(), sns.fetches("error").await), (3, Some(2.0)));
    // One client has all addresses of an IPv6 network of 64 bits.
    for (last, number) in [(1, 11), (2, 12), (3, 13)] {
        assert_eq!(sns.send_from(&format!("2001:db8::{last}"), &invented(number)).await.status, 503);
    }
    assert_eq!(sns.host.fetches(), 5);
    assert_eq!(sns.send_from("2001:db8:0:1::1", &invented(14)).await.status, 503);
    assert_eq!(sns.host.fetches(), 6);
}

/// Successful fetches count as well: a host may answer any URL with its certificate.
#[tokio::test]
async fn a_network_uses_up_its_own_fetches_alone_and_a_known_url_needs_none() {
    let sns = Sns::new().await;
    let genuine = || file(&sns.key, "sns.amazonaws.com");
    let invented = |number: usize| sns.message(json!({"SigningCertURL": url(number)}));
    sns.host.answers(genuine());
    for number in 0..12 {
        let status = sns.send_from(&format!("2001:db8:0:{number:x}::1"), &invented(number)).await.status;
        assert_eq!(status, if number < 8 { 200 } else { 503 }, "{number}");
    }
    assert_eq!(sns.host.fetches(), 8);
    sns.host.answers(with_head("200 OK", "<html>"));
    let page = sns.send_from("192.0.2.1", &invented(20)).await;
    assert_eq!(page.problem(), (503, "signing_certificate_unavailable".into()));
    sns.host.answers(genuine());
    sns.gateway.clock.forward(24 * 3600 + 1);
    let message = json!({"SigningCertURL": url(1), "Timestamp": "2026-11-25T00:00:00.000Z"});
    assert_eq!(sns.send_from("2001:db8:0:20::1", &sns.message(message)).await.status, 200);
    assert_eq!(sns.host.fetches(), 10);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_another_s_certificate_is_not_used() {
    let sns = Sns::new().await;
    sns.host.answers(with_head(&format!("302 Found\r\nlocation: {}", url(2)), ""));
    sns.host.answers_at(&url(2)[8 + HOST.len()..], file(&sns.key, "sns.amazonaws.com"));
    let unavailable = (503, "signing_certificate_unavailable".into());
    assert_eq!(sns.send(&sns.message(json!({}))).await.problem(), unavailable);
    assert_eq!(sns.host.fetches(), 1);
    sns.host.answers(file(&sns.key, "evil.test"));
    for _ in 0..2 {
        let message = sns.message(json!({"SigningCertURL": url(3)}));
        assert_eq!(sns.send_from("192.0.2.1", &message).await.problem(), (401, "unauthorized".into()));
    }
    assert_eq!(sns.gateway.counted("rejected", "signing_certificate_not_allowed").await, Some(2.0));
    assert_eq!((sns.host.fetches(), sns.upstream.seen().len()), (2, 0));
}

#[tokio::test]
async fn a_reload_keeps_the_certificates_that_were_fetched() {
    let sns = Sns::new().await;
    assert_eq!(sns.send(&sns.message(json!({}))).await.status, 200);
    sns.gateway.edit_route(|route| route.max_body_size("10KiB"));
    let applied = "hookgate_config_reloads_total{result=\"applied\"}";
    until("the change is active", async || sns.gateway.metric(applied).await == Some(1.0)).await;
    assert_eq!(sns.send(&sns.message(json!({}))).await.status, 200);
    assert_eq!(sns.host.fetches(), 1);
}
