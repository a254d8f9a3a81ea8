//! Slips that are named, and causes that are not known and must not be claimed: each request differs from one that is
//! forwarded in the slip alone.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{NOW, explained, folder, hmac, hookgate, preset, replaced, write};
use crate::support::configuration::{Preset, Signature, file};
use crate::support::hmac as mac;

const SECRET: &str = "whsec_a_secret_of_stripe_1";
const BODY: &str = r#"{"id":"evt_1","amount":1250}"#;

fn message(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /hook HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// The hints for a request of the route `hook`.
#[track_caller]
fn hints(folder: &TempDir, message: &[u8]) -> Vec<String> {
    let (code, findings) = explained(folder, message, NOW);
    assert_eq!(code, 2, "{findings:#}");
    findings["hints"].as_array().unwrap().iter().map(|hint| hint.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn expect(folder: &TempDir, message: &[u8], cause: &str) {
    let hints = hints(folder, message);
    assert!(hints.first().is_some_and(|hint| hint.contains(cause)), "no {cause:?} in {hints:#?}");
}

/// The spellings of several serializers at once: json.dumps, json_encode, encoding/json, System.Text.Json, and editors.
#[test]
fn a_body_that_another_serializer_wrote_is_recognised_in_each_combination() {
    let plain = r#"{"b":"é😀","url":"https://a/?x=1&y=<2>","a":[1,2]}"#;
    for (sent, does) in [
        (
            r#"{"b": "\u00e9\ud83d\ude00", "url": "https://a/?x=1&y=<2>", "a": [1, 2]}"#,
            "writes a space after comma and colon, and writes non-ASCII characters as \\u escapes",
        ),
        (
            r#"{"b":"\u00e9\ud83d\ude00","url":"https:\/\/a\/?x=1&y=<2>","a":[1,2]}"#,
            "writes non-ASCII characters as \\u escapes, and escapes slashes",
        ),
        (
            "{\"b\":\"é😀\",\"url\":\"https://a/?x=1\\u0026y=\\u003c2\\u003e\",\"a\":[1,2]}\n",
            "writes <, > and & as \\u escapes, as Go and Rails do, and ends the body with a line break (LF)",
        ),
        (r#"{"b":"\u00E9\uD83D\uDE00","url":"https://a/?x=1\u0026y=\u003C2\u003E","a":[1,2]}"#, "as .NET does"),
        (
            r#"{"a": [1, 2], "b": "\u00e9\ud83d\ude00", "url": "https://a/?x=1&y=<2>"}"#,
            "writes a space after comma and colon, sorts the members by name, and writes non-ASCII",
        ),
        (
            "{\n    \"b\": \"é😀\",\n    \"url\": \"https:\\/\\/a\\/?x=1&y=<2>\",\n    \"a\": [\n        1,\n        2\n    ]\n}\n",
            "indents by four spaces, escapes slashes, and ends the body with a line break (LF)",
        ),
    ] {
        let (folder, message) = hmac(preset("github"), sent, None);
        let head = message.strip_suffix(sent.as_bytes()).unwrap();
        let message = replaced(&[head, plain.as_bytes()].concat(), "content-length", "x-content-length");
        expect(&folder, &message, does);
        assert!(!hints(&folder, &message).concat().contains("secret"), "{does}");
    }
    let (folder, message) = hmac(preset("github"), r#"{"a":"\u00e9","b":1}"#, None);
    let came = "{\n    \"a\": \"é\",\n    \"b\": 1\n}";
    let head =
        String::from_utf8(message).unwrap().split("\r\n\r\n").next().unwrap().replace("content-length", "x-length");
    let message = format!("{head}\r\n\r\n{came}");
    expect(
        &folder,
        message.as_bytes(),
        "its sender writes no whitespace, and writes non-ASCII characters as \\u escapes",
    );
    assert!(!hints(&folder, message.as_bytes()).concat().contains("in one line"));
}

fn stripe(secret: &str) -> TempDir {
    let folder = folder(&[("hook", Preset::new("stripe").secret(file("secret")).into())], None);
    write(&folder, "secret", secret);
    folder
}

fn signed_by_stripe(secret: &str, body: &str) -> Vec<u8> {
    let signature = mac(secret, format!("{NOW}.{body}"));
    message(&format!("stripe-signature: t={NOW},v1={signature}\r\n"), body)
}

#[test]
fn a_secret_with_something_around_it_or_of_another_kind_is_recognised() {
    let request = signed_by_stripe(SECRET, BODY);
    let alone = SECRET.strip_prefix("whsec_").unwrap();
    assert_eq!(explained(&stripe(SECRET), &request, NOW).0, 0);
    for (content, cause) in [
        (alone.to_owned(), "lacks its prefix `whsec_`"),
        (format!("{SECRET}\n\n"), "has spaces or line breaks around the secret"),
        (format!("STRIPE_SECRET={SECRET}\n"), "has a name and `=` around the secret"),
        (format!("export STRIPE_SECRET=\"{SECRET}\"\n"), "has the word `export` and a name and `=` and quotes around"),
        (format!("secret: '{SECRET}'\n"), "has a name and `:` and spaces or line breaks and quotes around"),
        (format!("whsec_of_another\n{SECRET}\n"), "has several lines, and line 2 is the secret"),
        (
            format!("# Stripe\nA={SECRET}\n"),
            "line 2 is the secret: write one alone, and others under `secrets`; without a name",
        ),
        ("${STRIPE_SECRET}".to_owned(), "is a placeholder"),
        ("$STRIPE_SECRET".to_owned(), "is a placeholder"),
        (
            "sk_live_51Habc".to_owned(),
            "begins with `sk_`, as an API key does, and not with `whsec_`: the secret of stripe is",
        ),
        ("we_1Nabc".to_owned(), "begins with `we_`, as the id of a webhook endpoint does"),
        ("something".to_owned(), "does not begin with `whsec_`, as each of stripe does"),
        ("https://dashboard.stripe.com/".to_owned(), "as a URL does"),
    ] {
        expect(&stripe(&content), &request, cause);
    }
    // Such a secret is that of Paystack.
    let folder = folder(&[("hook", Preset::new("paystack").secret(file("secret")).into())], None);
    write(&folder, "secret", "sk_live_1");
    let all = hints(&folder, &message(&format!("x-paystack-signature: {}\r\n", "0".repeat(128)), BODY)).concat();
    assert!(!all.contains("API key"), "{all}");
}

/// A character that is missing cannot be found: that the secret is another one is not claimed.
#[test]
fn what_was_not_tried_is_not_excluded() {
    let cut = &SECRET[..SECRET.len() - 1];
    let all = hints(&stripe(cut), &signed_by_stripe(SECRET, BODY));
    assert!(
        all.len() == 1
            && all[0].starts_with("most likely the sender uses a secret that is not in this file")
            && all[0].contains("Not tried, and so not excluded, is also a body"),
        "{all:?}"
    );
    assert!(all[0].contains("with a character missing") && !all[0].contains("Most likely"), "{all:?}");
    // Each kind of change is counted, if it was tried at all.
    assert!(all[0].contains("other forms of the body") && !all[0].contains(" 0 "), "{all:?}");
    let empty = hints(&stripe(SECRET), signed_by_stripe(SECRET, BODY).strip_suffix(BODY.as_bytes()).unwrap());
    assert!(empty[0].contains("the file has 0 bytes of the body, and its Content-Length is 28"), "{empty:?}");
    let lost =
        replaced(signed_by_stripe(SECRET, BODY).strip_suffix(BODY.as_bytes()).unwrap(), "content-length: 28", "a: b");
    let lost = hints(&stripe(SECRET), &lost);
    assert!(lost[0].contains("the body is empty, and the signature covers it"), "{lost:?}");
}

#[test]
fn a_signature_in_another_form_is_recognised() {
    let hex = mac(SECRET, format!("{NOW}.{BODY}"));
    let form = "the route expects the form `t=…,v1=SIGNATURE`, where SIGNATURE is 64 hex digits in lower case";
    for (value, cause) in [
        (format!("t={NOW},v0={hex}"), "a valid signature in the part `v0`, and none in `v1`"),
        (format!("t={NOW},v0={}", "0".repeat(64)), "the parts `t`, `v0`, and no `v1`"),
        (hex.clone(), "a signature alone, without the parts of the form"),
        (format!("v1={hex}"), "no part `t`, or more than one"),
        (format!("t={NOW},v1={}", &hex[..63]), "a signature of 63 characters, in another encoding or cut off"),
        ("hello".to_owned(), "another text, without the parts of the form"),
        (String::new(), "no value"),
    ] {
        let request = message(&format!("stripe-signature: {value}\r\n"), BODY);
        expect(&stripe(SECRET), &request, &format!("the header `stripe-signature` has {cause}: {form}"));
    }
    for (name, header, value, cause) in [
        ("github", "x-hub-signature-256", "sha256=00", "has a signature of 2 characters"),
        ("github", "x-hub-signature-256", "sha1=00", "has no `sha256=` at its beginning"),
        ("revolut", "revolut-signature", "v0=00", "has no item that begins with `v1=`"),
        ("shopify", "x-shopify-hmac-sha256", "00", "the route expects 44 characters of base64"),
    ] {
        let folder = folder(&[("hook", Preset::new(name).secret(file("secret")).into())], None);
        write(&folder, "secret", "wsk_1");
        let request = message(&format!("revolut-request-timestamp: {NOW}000\r\n{header}: {value}\r\n"), BODY);
        expect(&folder, &request, cause);
        let detail = explained(&folder, &request, NOW).1["checks"].to_string();
        assert!(detail.contains(header) && !detail.contains("`parse`"), "{detail}");
    }
    let parts = Signature::hmac("X-Sig", &["part:a", "body"])
        .with("parse", json!({ "pairs": { "separator": ",", "equals": "=", "key": "s" } }));
    let folder = folder(&[("hook", parts.into())], None);
    write(&folder, "secret", "a secret");
    expect(&folder, &message(&format!("x-sig: s={hex}\r\n"), BODY), "no part `a`");
}

/// Each cause has its own group.
#[test]
fn a_summary_tells_the_slips_apart() {
    let folder = stripe(SECRET);
    std::fs::create_dir(folder.path().join("captured")).unwrap();
    let hex = mac(SECRET, format!("{NOW}.{BODY}"));
    let values = [format!("t={NOW},v0={}", "0".repeat(64)), hex.clone(), format!("t={NOW},v1={}", &hex[..9])];
    for (index, value) in values.iter().enumerate() {
        write(&folder, &format!("captured/{index}.http"), message(&format!("stripe-signature: {value}\r\n"), BODY));
    }
    write(&folder, "captured/3.http", signed_by_stripe("whsec_of_another", BODY));
    let output = hookgate(folder.path(), &["explain", "gateway.yaml", "captured", "--now", NOW, "--format", "json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts: Vec<_> = summary["summary"].as_array().unwrap().iter().map(|group| group["count"].clone()).collect();
    assert_eq!(counts, [1, 1, 1, 1], "{summary:#}");
}
