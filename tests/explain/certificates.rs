//! `hookgate explain` for requests that name their certificate by its URL.

use serde_json::Value;

use super::{edit, explained, folder, hookgate, write};
use crate::vectors::read;

/// A published request as a message, its time, and a folder with its route and its certificate.
fn published(id: &str) -> (tempfile::TempDir, Vec<u8>, String) {
    let vector = read("published.json").into_iter().find(|vector| vector["id"] == id).unwrap();
    let auth = serde_json::json!({"preset": vector["preset"], "parameters": vector["parameters"]});
    let folder = folder(&[("hook", auth)], None);
    let request = &vector["request"];
    let headers = request["headers"].as_object().unwrap().iter();
    let headers: String = headers.map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap())).collect();
    let body = request["body"].as_str().unwrap();
    let message =
        format!("POST /hook HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes();
    write(&folder, "provider.pem", request["certificate"]["pem"].as_str().unwrap());
    (folder, message, vector["now"].to_string())
}

fn with_file(folder: &tempfile::TempDir, file: &str, now: &str) -> Value {
    let arguments = ["explain", "--request", "request.http", "--now", now, "--format", "json", "--certificate", file];
    serde_json::from_slice(&hookgate(folder.path(), &arguments).stdout).unwrap()
}

#[test]
fn explain_says_which_certificate_it_lacks_and_takes_it_from_a_file() {
    for (id, url) in [
        (
            "aws-sns-sdk",
            "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem",
        ),
        ("paypal-sdk", "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"),
    ] {
        let (folder, message, now) = published(id);
        let (code, findings) = explained(&folder, &message, &now);
        assert_eq!((code, &findings["reason"]), (2, &"signing_certificate_unavailable".into()), "{findings:#}");
        let text = findings.to_string();
        assert!(text.contains(url) && text.contains("pass it with --certificate"), "{text}");
        assert_eq!(with_file(&folder, "provider.pem", &now)["verdict"], "forwarded");
        write(&folder, "other.pem", "no certificate");
        let findings = with_file(&folder, "other.pem", &now).to_string();
        assert!(findings.contains("expected 1 to 5 certificates in PEM form"), "{findings}");
    }
}

#[test]
fn explain_names_the_url_that_is_not_allowed() {
    let (folder, message, now) = published("aws-sns-sdk");
    edit(&folder, |route| {
        route.auth(serde_json::json!({
            "preset": "aws-sns",
            "parameters": {"region": "us-east-1", "topic_arns": "arn:aws:sns:us-west-2:131990247566:dongie-standard-topic"},
        }))
    });
    let (code, findings) = explained(&folder, &message, &now);
    assert_eq!((code, &findings["reason"]), (2, &"signing_certificate_not_allowed".into()), "{findings:#}");
    assert!(findings.to_string().contains("compare the region"), "{findings:#}");
}

/// The token would let a reader of the output confirm the subscription.
#[test]
fn explain_says_what_it_would_fetch_to_confirm_a_subscription() {
    let (folder, message, now) = published("aws-sns-sdk-subscription");
    write(&folder, "request.http", message);
    assert_eq!(with_file(&folder, "provider.pem", &now)["verdict"], "forwarded");
    let topic = "arn:aws:sns:us-west-2:131990247566:dongie-standard-topic";
    let parameters = serde_json::json!({"region": "us-west-2", "topic_arns": topic});
    let auth = serde_json::json!({"preset": "aws-sns-v1", "parameters": parameters, "challenge": true});
    edit(&folder, |route| route.auth(auth));
    let findings = with_file(&folder, "provider.pem", &now);
    assert_eq!(findings["verdict"], "challenge_answered", "{findings:#}");
    let checks = findings["checks"].as_array().unwrap();
    let note = checks.iter().find(|note| note["check"] == "challenge").unwrap()["found"].as_str().unwrap();
    let said = format!("after a GET of https://sns.us-west-2.amazonaws.com/ that confirms the subscription to {topic}");
    assert!(note.contains(&said) && note.ends_with("explain fetches nothing"), "{note}");
    assert!(!note.contains("2336412f"), "{note}");
}
