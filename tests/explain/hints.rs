//! `hookgate explain` finds the likely cause of a rejected signature, and says what to write instead.

use serde_json::json;
use tempfile::TempDir;

use super::{NOW, edit, explained, github, hmac, hookgate, preset, replaced, write};
use crate::support::configuration::{Signature, Timestamp};

#[track_caller]
fn hints(folder: &TempDir, message: &[u8], now: &str, hint: &str) {
    let (code, findings) = explained(folder, message, now);
    assert_eq!(code, 2, "{findings:#}");
    let found = findings["hints"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains(hint));
    assert!(found, "no {hint:?} in {findings:#}");
}

/// The gateway rejects it before the credential is read, and so does `explain`.
#[test]
fn a_websocket_upgrade_is_named() {
    let (folder, message) = hmac(github(), "", None);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let message = replaced(&replaced(&message, "POST", "GET"), "\r\n\r\n", &format!("\r\n{upgrade}{key}"));
    let message = String::from_utf8(message).unwrap();
    let message: String = message.split_inclusive('\n').filter(|line| !line.starts_with("content-length")).collect();
    hints(&folder, message.as_bytes(), NOW, "only a route with `websocket` forwards");
    assert_eq!(explained(&folder, message.as_bytes(), NOW).1["reason"], "upgrade_not_supported");
    edit(&folder, |route| route.with("websocket", json!({})));
    assert_eq!(explained(&folder, message.as_bytes(), NOW).0, 0);
}

#[test]
fn a_body_changed_in_transit_is_recognised() {
    for (sent, came, hint) in [
        ("{\"a\": 1}\n", "{\"a\": 1}", "final newline (LF) was removed"),
        ("{\"a\": 1}\r\n", "{\"a\": 1}", "final newline (CRLF) was removed"),
        ("{\"a\": 1}", "{\"a\": 1}\n", "a final newline was added"),
        ("{\"a\":1,\"b\":[2]}", "{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}", "its sender writes no whitespace"),
        ("{\"a\":1}\n", "{\"a\": 1}\n", "its sender writes no whitespace"),
        ("{\"a\": 1, \"b\": [2, 3]}", "{\"a\":1,\"b\":[2,3]}", "a space after comma and colon"),
        ("{\n  \"a\": 1\n}", "{\"a\":1}", "indents by two"),
        ("{\"a\":\"\\u00e9\"}", "{\"a\":\"é\"}", "non-ASCII characters as \\u escapes"),
        ("{\"a\":\"b\\/c\"}", "{\"a\":\"b/c\"}", "escapes slashes"),
    ] {
        let (folder, message) = hmac(github(), sent, None);
        let head = message.strip_suffix(sent.as_bytes()).unwrap();
        let message = replaced(&[head, came.as_bytes()].concat(), "content-length", "x-content-length");
        hints(&folder, &message, NOW, hint);
    }
}

#[test]
fn a_time_in_another_unit_and_a_clock_that_is_off_are_recognised() {
    let (folder, message) = hmac(preset("zoom"), "{}", None);
    hints(&folder, &message, "1800003600", "it would have passed");
    hints(&folder, &message, "1799996400", "a wrong clock");
    let timestamp = Timestamp::in_header("X-Time").unit("ms");
    let described = Signature::hmac("X-Sig", &["header:X-Time", "body"]).join(".").timestamp(timestamp);
    let (folder, message) = hmac(described.into(), "{}", None);
    edit(&folder, |route| route.with("auth.signature.timestamp.unit", "s"));
    hints(&folder, &message, NOW, "milliseconds");
}

/// An editor adds a byte order mark, a shell quotes, and a copied cell spaces.
#[test]
fn a_secret_s_file_with_more_than_the_secret_is_recognised() {
    let (folder, message) = hmac(github(), "{}", None);
    for (content, around) in [
        ("\u{feff}the secret of this endpoint", "a byte order mark"),
        ("\"the secret of this endpoint\"\n", "quotes"),
        ("'the secret of this endpoint'", "quotes"),
        ("  the secret of this endpoint\t\n", "spaces or line breaks"),
        ("\nthe secret of this endpoint\r\n\r\n", "spaces or line breaks"),
        ("\u{feff} 'the secret of this endpoint' \n", "a byte order mark and spaces or line breaks and quotes"),
    ] {
        write(&folder, "secret", content);
        hints(&folder, &message, NOW, &format!("has {around} around the secret, and the sender does not"));
        let output = hookgate(folder.path(), &["check"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("has a byte order mark, quotes, spaces or empty lines"), "{content:?}: {told}");
    }
    write(&folder, "secret", "the secret of this endpoint\r\n");
    assert!(!String::from_utf8_lossy(&hookgate(folder.path(), &["check"]).stderr).contains("byte order mark"));
}

/// Mailgun's routes post multipart/form-data with attachments.
#[test]
fn a_multipart_body_is_said_not_to_be_read() {
    let (folder, message) = hmac(Signature::hmac("X-Sig", &["form:timestamp"]).into(), "{}", None);
    let text = String::from_utf8(message).unwrap();
    let message = text.replace("application/x-www-form-urlencoded", "multipart/form-data; boundary=x").into_bytes();
    hints(&folder, &message, NOW, "multipart/form-data, which is not read");
}

#[test]
fn a_prefix_that_is_not_configured_is_recognised() {
    let described = Signature::hmac("X-Sig", &["body"]).with("parse", json!({ "prefix": "sha256=" }));
    let (folder, message) = hmac(described.into(), "{}", None);
    edit(&folder, |route| route.without("auth.signature.parse"));
    hints(&folder, &message, NOW, "set parse: { prefix: \"sha256=\" }");
    edit(&folder, |route| route.with("auth.signature.encoding", "base64"));
    hints(&folder, &message, NOW, "set parse: { prefix: \"sha256=\" }");
    let (folder, message) = hmac(Signature::hmac("X-Sig", &["body"]).into(), "{}", None);
    edit(&folder, |route| route.with("auth.signature.parse", json!({ "prefix": "sha256=" })));
    hints(
        &folder,
        &message,
        NOW,
        "the signature has no prefix \"sha256=\", which the route expects: its sender must write it, or remove `parse`",
    );
}

/// Behind nginx, the URL that was signed is in no header unless nginx writes it.
#[test]
fn the_url_of_a_proxy_in_front_is_tried_or_said_to_be_unknown() {
    let (folder, message) = hmac(preset("square"), "{}", Some("https://hooks.example.com/pay"));
    edit(&folder, |route| route.without("public_url"));
    hints(&folder, &message, NOW, "no host or path other than those in this request was tried; set public_url");
    let forwarded = "host: app.internal\r\nx-forwarded-host: hooks.example.com, proxy\r\nx-forwarded-prefix: /pay/\r\n";
    let text = String::from_utf8(message).unwrap();
    let (first, rest) = text.split_once("\r\n").unwrap();
    let rest = rest.split_once("\r\n").unwrap().1;
    let message = format!("{first}\r\n{forwarded}{rest}").into_bytes();
    hints(&folder, &message, NOW, "set public_url to https://hooks.example.com/pay");
}

#[test]
fn a_secret_that_is_read_wrongly_and_one_of_another_route_are_recognised() {
    let (folder, message) = hmac(github(), "{}", None);
    write(&folder, "secret", "the secret of another endpoint, configured nowhere");
    hints(&folder, &message, NOW, "a secret that is not in this file");
    write(&folder, "secret", "another one");
    write(&folder, "old", "the secret of this endpoint");
    hints(&folder, &message, NOW, "a secret of the route other");
    // "the secret of this endpoint" in base64, without `encoding: base64`.
    write(&folder, "old", "something else entirely");
    write(&folder, "secret", "dGhlIHNlY3JldCBvZiB0aGlzIGVuZHBvaW50");
    hints(&folder, &message, NOW, "encoding: base64");
}

#[test]
fn another_public_url_is_recognised() {
    let (folder, message) = hmac(preset("square"), "{}", Some("https://localhost:8443"));
    edit(&folder, |route| route.public_url("https://hooks.example.com"));
    hints(&folder, &message, NOW, "set public_url to https://localhost:8443");
}

#[test]
fn a_request_of_another_sender_is_recognised() {
    let (folder, message) = hmac(github(), "{}", None);
    let message = replaced(&message, "x-hub-signature-256", "x-line-signature");
    hints(&folder, &message, NOW, "looks like one from line");
}
