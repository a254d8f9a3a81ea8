//! Signed requests through the gateway: when the body is read, how much of it is buffered, and the request that the
//! upstream gets.

use bytes::Bytes;

use crate::support::configuration::{Preset, Signature, Timestamp, file};
use crate::support::{Answer, Client, NOW, Setup, Upstream, hmac, until};

const SECRET: &str = "the secret of a sender";

/// A gateway with the preset `github`, which signs the body alone.
pub fn github(upstream: &Upstream) -> Setup {
    detailed(upstream, SECRET).auth(Preset::new("github").secret(file("secret")))
}

/// A gateway that tells every client the reason of a rejection.
fn detailed(upstream: &Upstream, secret: &str) -> Setup {
    let setup = Setup::new(upstream.address).file("secret", secret);
    setup.top(|top| top.error_detail("detailed"))
}

/// A gateway whose signature covers a timestamp and the body.
fn timed(upstream: &Upstream) -> Setup {
    let signature = Signature::hmac("X-Sig", &["header:X-Time", "body"]).join(".");
    detailed(upstream, SECRET).auth(signature.timestamp(Timestamp::in_header("X-Time").max_age("5m")))
}

pub fn signature(body: impl AsRef<[u8]>) -> String {
    format!("sha256={}", hmac(SECRET, body))
}

pub async fn send(client: &Client, body: impl Into<Bytes>, signature: &str) -> Answer {
    client.send(client.request("/webhook").header("x-hub-signature-256", signature), body).await
}

/// The HTTP/1.1 headers of a request with this signature.
pub fn head(signature: &str, more: &str) -> String {
    format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Hub-Signature-256: {signature}\r\n{more}\r\n\r\n")
}

#[tokio::test]
async fn a_signed_body_reaches_the_upstream_byte_for_byte() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let large = vec![b'x'; 300_000];
    for body in [&b""[..], b"{\"a\": 1}\n", b"\xff\x00 no text\r\n\r\n", &large] {
        for client in [gateway.client(), gateway.client_http2()] {
            let answer = send(&client, Bytes::copy_from_slice(body), &signature(body)).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, body));
            let seen = upstream.seen().pop().unwrap();
            assert_eq!((&seen.body[..], seen.header("x-hub-signature-256")), (body, Some(signature(body).as_str())));
        }
    }
    assert_eq!(gateway.counted("forwarded", "").await, Some(8.0));
}

#[tokio::test]
async fn a_signed_body_may_come_in_chunks() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    for (chunks, body) in [("2\r\n{}\r\n1\r\n\n\r\n0\r\n\r\n", "{}\n"), ("0\r\n\r\n", "")] {
        let head = head(&signature(body), "Transfer-Encoding: chunked\r\nConnection: close");
        let answer = gateway.wire().await.write(format!("{head}{chunks}")).await.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(upstream.seen().pop().unwrap().body, body);
    }
}

#[tokio::test]
async fn another_body_never_reaches_the_upstream() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let good = signature("{\"a\":1}");
    for body in ["{\"a\":2}", "{\"a\":1}\n", "{\"a\": 1}", ""] {
        for client in [gateway.client(), gateway.client_http2()] {
            assert_eq!(send(&client, body, &good).await.problem(), (401, "invalid_signature".into()), "{body:?}");
        }
    }
    for signature in [good.to_uppercase(), good.replace("sha256=", "sha1="), good[..70].to_owned(), String::new()] {
        assert_eq!(send(&gateway.client(), "{\"a\":1}", &signature).await.problem(), (401, "invalid_signature".into()));
    }
    assert!(upstream.seen().is_empty());
}

/// A client without a valid signature does not learn the reason.
#[tokio::test]
async fn no_signature_or_two_are_rejected_unread() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let two = format!("{}\r\nX-Hub-Signature-256: {}", signature(""), signature(""));
    let none = head("", "Content-Length: 1000").replace("X-Hub-Signature-256: \r\n", "");
    for (head, code) in [(none, "missing_credential"), (head(&two, "Content-Length: 1000"), "multiple_credentials")] {
        let answer = gateway.wire().await.write(head).await.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(code), "{answer}");
    }
    gateway.edit(|configuration| configuration.error_detail("standard"));
    gateway.running().reload();
    assert_eq!(send(&gateway.client(), "x", "sha256=00").await.problem(), (401, "unauthorized".into()));
    assert!(upstream.seen().is_empty());
}

/// The body is declared and never sent: a gateway that waited for it would respond with 408.
#[tokio::test]
async fn a_stale_request_is_rejected_unread() {
    let upstream = Upstream::echo().await;
    let gateway = timed(&upstream).start();
    let ask = async |time: &str| {
        let fields = format!("X-Time: {time}\r\nX-Sig: 00\r\nContent-Length: 1000");
        gateway.wire().await.write(head("", &fields)).await.read_until("}").await
    };
    for (time, code) in [
        ((NOW - 301).to_string(), "timestamp_too_old"),
        ((NOW + 301).to_string(), "timestamp_in_future"),
        ("soon".to_owned(), "malformed_timestamp"),
    ] {
        let answer = ask(&time).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(code), "{answer}");
    }
    for time in [NOW - 300, NOW + 300] {
        let sig = hmac(SECRET, format!("{time}.{{}}"));
        let request = gateway.client().request("/webhook").header("x-time", time).header("x-sig", sig);
        assert_eq!(gateway.client().send(request, "{}").await.status, 200);
    }
}

#[tokio::test]
async fn a_stale_time_next_to_the_signature_is_rejected_unread_too() {
    let upstream = Upstream::echo().await;
    let timestamp = Timestamp::in_header("X-Time").max_age("5m").signed(false);
    let gateway = github(&upstream).route(|route| route.timestamp(timestamp)).start();
    for (time, code) in [(NOW - 301, "timestamp_too_old"), (NOW + 61, "timestamp_in_future")] {
        let head = head(&signature("{}"), &format!("X-Time: {time}\r\nContent-Length: 2"));
        let answer = gateway.wire().await.write(head).await.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(code), "{answer}");
    }
    let request = gateway.client().request("/webhook").header("x-time", NOW);
    let answer = gateway.client().send(request.header("x-hub-signature-256", signature("{}")), "{}").await;
    assert_eq!((answer.status.as_u16(), upstream.seen().len()), (200, 1));
}

#[tokio::test]
async fn a_signed_body_has_its_limit() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).route(|route| route.max_body_size("4B")).start();
    let declared = head(&signature("12345"), "Content-Length: 5");
    let chunked = head(&signature("12345"), "Transfer-Encoding: chunked") + "5\r\n12345\r\n";
    for request in [declared, chunked] {
        let answer = gateway.wire().await.write(request).await.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    }
    assert_eq!(send(&gateway.client(), "1234", &signature("1234")).await.status, 200);
    assert_eq!(send(&gateway.client_http2(), "12345", &signature("12345")).await.status, 413);
    assert_eq!(upstream.only().body, "1234");
}

/// The memory of a good request is released once it is forwarded, so a series of them never reaches the bound.
#[tokio::test]
async fn forwarded_bodies_are_no_longer_counted() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).top(|top| top.max_buffered_bytes("64KiB")).start();
    let body = vec![b'x'; 16 * 1024];
    for client in [gateway.client(), gateway.client_http2()] {
        for _ in 0..10 {
            assert_eq!(send(&client, body.clone(), &signature(&body)).await.status, 200);
        }
    }
    until("no bytes are buffered", async || gateway.running().buffered.total() == 0).await;
}

#[tokio::test]
async fn half_a_signed_body_ends_with_408() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).listener(|listener| listener.request_body_idle("200ms")).start();
    let request = head(&signature("12345"), "Content-Length: 5") + "123";
    let answer = gateway.wire().await.write(request).await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_sender_that_disconnects_leaves_nothing() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let mut wire = gateway.wire().await;
    wire.write(head(&signature("12345"), "Content-Length: 5") + "123").await;
    drop(wire);
    // No status: nothing was sent.
    let labels = "outcome=\"error\",reason=\"client_disconnected\",route=\"webhook\",status=\"\"";
    let counted = format!("hookgate_requests_total{{{labels}}}");
    until("the rejection is counted", async || gateway.metric(&counted).await == Some(1.0)).await;
    assert!(upstream.seen().is_empty());
}

/// RFC 9110 §10.1.1: a request that is rejected by its headers gets no 100 Continue.
#[tokio::test]
async fn a_signed_request_that_expects_100_continue_is_verified_by_its_headers_first() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let expecting = |signature: &str| {
        let head = head(signature, "Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close");
        if signature.is_empty() { head.replace("X-Hub-Signature-256: \r\n", "") } else { head }
    };
    let rejected = gateway.wire().await.write(expecting("")).await.rest().await;
    assert!(rejected.starts_with("HTTP/1.1 401"), "{rejected}");
    let mut wire = gateway.wire().await;
    wire.write(expecting(&signature("{}"))).await.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert!(wire.write("{}").await.rest().await.contains("HTTP/1.1 200"));
    assert_eq!(upstream.only().body, "{}");
}

#[tokio::test]
async fn while_secrets_rotate_any_of_them_may_have_signed_and_each_use_is_counted() {
    let upstream = Upstream::echo().await;
    let secrets = Preset::new("github").secrets([file("new"), file("secret")]);
    let gateway = github(&upstream).file("new", "the next secret").file("third", "the third one").auth(secrets).start();
    let used = async |index: usize| {
        let labels = format!("{{index=\"{index}\",route=\"webhook\"}}");
        gateway.metric(&format!("hookgate_secret_last_used_timestamp_seconds{labels}")).await
    };
    let (old, new) = (signature("x"), format!("sha256={}", hmac("the next secret", "x")));
    assert_eq!(send(&gateway.client(), "x", &old).await.status, 200);
    assert_eq!((used(0).await, used(1).await), (None, Some(NOW as f64)));
    gateway.clock.forward(60);
    assert_eq!(send(&gateway.client(), "x", &new).await.status, 200);
    let other = format!("sha256={}", hmac("another secret", "x"));
    assert_eq!(send(&gateway.client(), "x", &other).await.status, 401);
    assert_eq!((used(0).await, used(1).await), (Some((NOW + 60) as f64), Some(NOW as f64)));
    // The place of a secret in the list changes: its last use goes with it.
    let secrets = Preset::new("github").secrets([file("third"), file("new")]);
    gateway.edit_route(|route| route.auth(secrets));
    assert_ne!(gateway.running().reload(), hookgate::reload::Reloaded::Rejected);
    assert_eq!((used(0).await, used(1).await), (None, Some((NOW + 60) as f64)));
}

/// WSGI merges both spellings, so only the verified header is forwarded.
#[tokio::test]
async fn no_other_spelling_of_a_signed_header_reaches_the_upstream() {
    let upstream = Upstream::echo().await;
    let gateway = timed(&upstream).start();
    let sig = hmac(SECRET, format!("{NOW}.{{}}"));
    let request = gateway.client().request("/webhook").header("x-time", NOW).header("x-sig", sig);
    let request = request.header("x_time", "evil").header("X.Sig", "evil").header("x_sig", "evil");
    assert_eq!(gateway.client().send(request, "{}").await.status, 200);
    let seen = upstream.only();
    assert!(seen.header("x-time").is_some() && seen.header("x-sig").is_some());
    assert!(seen.headers.values().all(|value| value != "evil"), "{:?}", seen.headers);
}

/// An upstream that verifies the signature again would reject a forwarded request without it.
#[tokio::test]
async fn the_connection_header_does_not_remove_a_signature() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).start();
    let connection = "Content-Length: 2\r\nConnection: close, x-hub-signature-256, x-hop\r\nX-Hop: 1";
    let answer = gateway.wire().await.write(head(&signature("{}"), connection) + "{}").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = upstream.only();
    assert_eq!((seen.header("x-hub-signature-256"), seen.header("x-hop")), (Some(signature("{}").as_str()), None));
}

#[tokio::test]
async fn a_signature_can_be_removed_before_the_upstream() {
    let upstream = Upstream::echo().await;
    let gateway = github(&upstream).route(|route| route.credential("remove")).start();
    assert_eq!(send(&gateway.client(), "x", &signature("x")).await.status, 200);
    assert_eq!(upstream.only().header("x-hub-signature-256"), None);
}

/// github.com/standard-webhooks/standard-webhooks, spec: several signatures while a secret rotates, those of other
/// versions are ignored, and id and time are signed and required.
#[tokio::test]
async fn standard_webhooks_follow_their_specification() {
    use base64::Engine;
    let upstream = Upstream::echo().await;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let preset = Preset::new("standard-webhooks").secret(file("secret"));
    let gateway = detailed(&upstream, &format!("whsec_{}", encode(SECRET.as_bytes()))).auth(preset).start();
    let mac = |text: String| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
        encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref())
    };
    let good = mac(format!("msg_1.{NOW}.{{}}"));
    let ask = async |id: &str, time: u64, signature: &str| {
        let fields = [("webhook-id", id), ("webhook-timestamp", &time.to_string()), ("webhook-signature", signature)];
        let present = fields.iter().filter(|(_, value)| !["", "0"].contains(value));
        let client = gateway.client();
        let request = present.fold(client.request("/webhook"), |request, (name, value)| request.header(*name, *value));
        let answer = client.send(request, "{}").await;
        if answer.status == 200 { "passed".to_owned() } else { answer.problem().1 }
    };
    for signature in [format!("v1,{good}"), format!("v1a,x v2,{good} v1,AAAA v1,{good}")] {
        assert_eq!(ask("msg_1", NOW, &signature).await, "passed");
    }
    let stale = mac(format!("msg_1.{}.{{}}", NOW - 301));
    for (id, time, signature, code) in [
        ("msg_1", NOW, good.clone(), "invalid_signature"),
        ("msg_1", NOW, format!("v1a,{good}"), "invalid_signature"),
        ("msg_1", NOW, format!("v1,{good}v1,{good}"), "invalid_signature"),
        ("msg_1", NOW, String::new(), "missing_credential"),
        ("msg_2", NOW, format!("v1,{good}"), "invalid_signature"),
        ("", NOW, format!("v1,{good}"), "missing_signed_component"),
        ("msg_1", NOW + 1, format!("v1,{good}"), "invalid_signature"),
        ("msg_1", 0, format!("v1,{good}"), "missing_timestamp"),
        ("msg_1", NOW - 301, format!("v1,{stale}"), "timestamp_too_old"),
        ("msg_1", NOW + 301, format!("v1,{good}"), "timestamp_in_future"),
    ] {
        assert_eq!(ask(id, time, &signature).await, code, "{id} {time} {signature}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

/// Fields of a form are signed without separators: an attacker who has a signed form with the hash of a body in a field
/// could move all fields into the URL, and send that body.
#[tokio::test]
async fn a_body_hash_inside_of_signed_fields_does_not_stand_for_a_body() {
    use aws_lc_rs::{digest, hmac};
    use base64::Engine;
    let upstream = Upstream::echo().await;
    let preset = Preset::new("twilio").secret(file("secret"));
    let setup = detailed(&upstream, SECRET).auth(preset);
    let gateway = setup.route(|route| route.path("/*").public_url("https://hooks.test")).start();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
    let sign = |text: &str| base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let send = async |target: &str, signature: &str, content_type: &str, body: &str| {
        let request = gateway.client().request(target).header("x-twilio-signature", signature);
        let answer = gateway.client().send(request.header("content-type", content_type), body.to_owned()).await;
        if answer.status == 200 { (200, String::new()) } else { answer.problem() }
    };
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    let forged = "{\"forged\":true}";
    let hash = hex::encode(digest::digest(&digest::SHA256, forged.as_bytes()));
    // A message whose text the attacker chose, as Twilio signs and sends it.
    let signature = sign(&format!("https://hooks.test/hookBodyx?bodySHA256={hash}&ToSmith"));
    let body = format!("To=Smith&Body=x%3FbodySHA256%3D{hash}%26");
    assert_eq!(send("/hook", &signature, form, &body).await.0, 200);
    let moved = format!("/hookBodyx?bodySHA256={hash}&ToSmith");
    assert_eq!(send(&moved, &signature, json, forged).await, (401, "body_mismatch".into()));
    // A hash that Twilio has written.
    let target = format!("/hook?a=1&bodySHA256={hash}");
    let signature = sign(&format!("https://hooks.test{target}"));
    assert_eq!(send(&target, &signature, json, forged).await.0, 200);
    assert_eq!(send(&target, &signature, json, "{}").await, (401, "body_mismatch".into()));
    assert_eq!(send(&target, &signature, form, forged).await, (401, "invalid_signature".into()));
}
