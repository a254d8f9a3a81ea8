//! HTTP Message Signatures (RFC 9421) through configuration, compilation and decision: the messages of the RFC, requests
//! that an independent implementation has signed, and changes of both. Each message is explained by the command, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::config::{Config, Handles, Sources, compile};
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::configuration::{MessageSignature, ReplayProtection, Store, file};
use crate::support::schema::assert_valid;
use crate::support::{Answer, Gateway, NOW, Setup, Upstream, hmac};
use crate::vectors::{Verdict, decide_at};

/// The files of the vectors; each has keys, a shared secret and the requests.
const FILES: [&str; 2] = ["rfc9421.json", "message_signatures.json"];

fn read_file(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn configuration(file: &Value, vector: &Value) -> Value {
    let mut settings = vector["settings"].clone();
    let own = settings.as_object_mut().unwrap().remove("key");
    match own.as_ref().and_then(Value::as_str) {
        None => settings["issuer"] = "signer".into(),
        Some("test-key-ed25519") => {
            settings["algorithm"] = "ed25519".into();
            settings["public_key"] = json!({"file": "ed25519.pem", "id": "test-key-ed25519"});
        }
        Some(id) => {
            settings["algorithm"] = "hmac-sha256".into();
            settings["secrets"] = json!([{"file": "secret", "encoding": "base64", "id": id}]);
        }
    }
    json!({
        "listeners": [{"address": "127.0.0.1:0", "plaintext": true}],
        "issuers": {"signer": {
            "issuer": "https://signer.example.com", "algorithms": ["PS512", "RS256", "ES256", "ES384", "EdDSA"],
            "jwks": {"inline": {"keys": file["keys"]}},
        }},
        "routes": [{
            "name": "route", "match": {"path": "/*"}, "upstream": {"url": "http://127.0.0.1:1"},
            "auth": {"http_message_signature": settings},
        }],
    })
}

/// The files that a configuration names. The public key is that of RFC 9421 B.1.4.
fn files(file: &Value) -> [(&'static str, String); 2] {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";
    [("ed25519.pem", pem.to_owned()), ("secret", file["secret"].as_str().unwrap().to_owned())]
}

fn compiled(file: &Value, vector: &Value) -> Config {
    let text = configuration(file, vector).to_string();
    assert_valid(&text);
    let files = files(file).map(|(name, text)| (name.to_owned(), Ok(Zeroizing::new(text.into_bytes()))));
    let sources = Sources::in_memory(PathBuf::from("gateway.yaml"), text, BTreeMap::from(files));
    compile(&sources, &Handles::default()).unwrap_or_else(|errors| panic!("{}: {errors}", vector["id"]))
}

fn head(request: &Value) -> Parts {
    let text = |name: &str| request[name].as_str().unwrap();
    let builder = Request::builder().method(text("method")).uri(text("target"));
    let headers = request["headers"].as_array().unwrap().iter();
    let builder =
        headers.fold(builder, |builder, line| builder.header(line[0].as_str().unwrap(), line[1].as_str().unwrap()));
    builder.body(()).unwrap().into_parts().0
}

/// Decides by the host of the request, as the gateway does without `public_url`.
fn verdict(config: &Config, request: &Value, now: &Value) -> Verdict {
    let head = head(request);
    let host = head.headers["host"].to_str().unwrap().to_owned();
    decide_at(config, &head, request["body"].as_str().unwrap().as_bytes(), &host, now.as_u64().unwrap())
}

fn is_expected(verdict: &Verdict, expected: &Value) -> bool {
    match verdict {
        Verdict::Granted => expected == "valid",
        Verdict::Rejected(reason) => expected == reason,
        Verdict::NotLoaded(_) => false,
    }
}

#[test]
fn the_messages_of_rfc_9421_and_of_another_implementation_have_their_expected_results() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for name in FILES {
        let file = read_file(name);
        for vector in file["vectors"].as_array().unwrap() {
            count += 1;
            let verdict = verdict(&compiled(&file, vector), &vector["request"], &vector["now"]);
            if !is_expected(&verdict, &vector["expected"]) {
                wrong.push(format!("{}: {verdict:?}, expected {}", vector["id"], vector["expected"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(count, 28 + 29);
}

/// `hookgate explain` shows the signature base that the RFC prints, and the same result as the gateway.
#[test]
fn explain_shows_the_signature_base_of_each_message() {
    for name in FILES {
        let file = read_file(name);
        for vector in file["vectors"].as_array().unwrap() {
            let folder = tempfile::TempDir::new().unwrap();
            let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
            files(&file).iter().for_each(|(name, text)| write(name, text.as_bytes()));
            write("gateway.yaml", configuration(&file, vector).to_string().as_bytes());
            write("request.http", message(&vector["request"]).as_bytes());
            let arguments = ["explain", "--request", "request.http", "--format", "json", "--now"];
            let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
            command.current_dir(folder.path()).args(arguments).arg(vector["now"].to_string());
            let output = command.output().unwrap();
            let findings: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{}: {}", vector["id"], String::from_utf8_lossy(&output.stderr)));
            let found = findings["reason"].as_str().unwrap_or("valid");
            assert_eq!(found, vector["expected"], "{}: {findings:#}", vector["id"]);
            if let (Some(base), "valid") = (vector["base"].as_str(), found) {
                let shown = |check: &Value| check["check"] == "signature base" && check["found"] == base;
                assert!(findings["checks"].as_array().unwrap().iter().any(shown), "{}: {findings:#}", vector["id"]);
            }
        }
    }
}

fn message(request: &Value) -> String {
    let text = |name: &str| request[name].as_str().unwrap();
    let mut message = format!("{} {} HTTP/1.1\r\n", text("method"), text("target"));
    for line in request["headers"].as_array().unwrap() {
        message += &format!("{}: {}\r\n", line[0].as_str().unwrap(), line[1].as_str().unwrap());
    }
    message + "\r\n" + text("body")
}

/// Each header, the method and the body are changed, one at a time: what a signature covers cannot change.
#[test]
fn a_change_of_anything_that_is_covered_is_rejected() {
    let mut tried = 0;
    for name in FILES {
        let file = read_file(name);
        for vector in file["vectors"].as_array().unwrap().iter().filter(|vector| vector["expected"] == "valid") {
            let config = compiled(&file, vector);
            let input = vector["request"]["headers"].to_string();
            let covers = |name: &str| input.contains(&format!("\\\"{name}\\\""));
            for (what, request) in changes(&vector["request"]) {
                let is_covered = match what.as_str() {
                    "signature" | "signature-input" => true,
                    "body" => covers("content-digest") || vector["settings"]["required_components"].is_null(),
                    "@authority" => covers("@authority") || covers("@target-uri"),
                    name => covers(name),
                };
                let verdict = verdict(&config, &request, &vector["now"]);
                assert_eq!(
                    matches!(verdict, Verdict::Rejected(_)),
                    is_covered,
                    "{}: {what}: {verdict:?}",
                    vector["id"]
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// The request with one part changed, and the name of the part.
fn changes(request: &Value) -> Vec<(String, Value)> {
    let with = |pointer: &str, text: String| {
        let mut request = request.clone();
        *request.pointer_mut(pointer).unwrap() = text.into();
        request
    };
    let body = format!("{} ", request["body"].as_str().unwrap());
    let mut all =
        vec![("@method".to_owned(), with("/method", "PUT".to_owned())), ("body".to_owned(), with("/body", body))];
    for (index, line) in request["headers"].as_array().unwrap().iter().enumerate() {
        let (name, value) = (line[0].as_str().unwrap().to_ascii_lowercase(), line[1].as_str().unwrap());
        let (name, changed) = match name.as_str() {
            "host" => ("@authority".to_owned(), format!("x{value}")),
            // The first character of the last signature, of which no other one is required.
            "signature" => {
                let (labels, last) = value.trim_end_matches(':').rsplit_once("=:").unwrap();
                (name, format!("{labels}=:{}:", other_first(last)))
            }
            "signature-input" => (name, format!("{value};x=1")),
            "priority" => (name, value.replacen("u=1", "u=2", 1)),
            "x-dict" => (name, value.replacen("a=1", "a=2", 1)),
            _ => (name, format!("{value}x")),
        };
        all.push((name, with(&format!("/headers/{index}/1"), changed)));
    }
    all
}

fn other_first(text: &str) -> String {
    let first = if text.starts_with('A') { 'B' } else { 'A' };
    format!("{first}{}", &text[1..])
}

const SECRET: &str = "the secret of a sender";

/// Sends a request, signed by HMAC-SHA256 over all that the default requires. The digest is that of `signed`.
async fn send(gateway: &Gateway, nonce: &str, signed: &str, body: &str) -> Answer {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, signed.as_bytes());
    let digest = format!("sha-256=:{}:", STANDARD.encode(hash));
    let covered = r#"("@method" "@target-uri" "content-digest" "x-id")"#;
    let input = format!("{covered};created={NOW};nonce=\"{nonce}\";keyid=\"k\";alg=\"hmac-sha256\"");
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": https://hooks.test/webhook\n\"content-digest\": {digest}\n\"x-id\": 7\n\
         \"@signature-params\": {input}"
    );
    let mac = STANDARD.encode(hex::decode(hmac(SECRET, base)).unwrap());
    let client = gateway.client();
    let request = client.request("/webhook").header("content-digest", digest).header("x-id", "7");
    let request = request.header("signature-input", format!("sig1={input}"));
    client.send(request.header("signature", format!("sig1=:{mac}:")), body.to_owned()).await
}

fn setup(upstream: &Upstream) -> Setup {
    let auth = MessageSignature::empty().algorithm("hmac-sha256").secret(file("secret"));
    let auth = auth.required_components(["@method", "@target-uri", "content-digest", "x-id"]);
    let auth = auth.required_parameters(["created", "nonce"]);
    let setup = Setup::new(upstream.address).file("secret", SECRET).auth(auth);
    let setup = setup.top(|top| top.store(Store::memory()).error_detail("detailed"));
    setup.route(|route| route.public_url("https://hooks.test"))
}

/// The nonce is the replay id, the body is the signed one, and the upstream gets the request as it came.
#[tokio::test]
async fn a_signed_request_is_forwarded_once() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(|route| route.replay_protection(ReplayProtection::empty())).start();
    assert_eq!(send(&gateway, "n-1", "{}", "{}").await.status, 200);
    assert_eq!(send(&gateway, "n-1", "{}", "{}").await.problem(), (409, "duplicate_request".to_owned()));
    assert_eq!(send(&gateway, "n-2", "{}", "{ }").await.problem(), (401, "body_mismatch".to_owned()));
    assert_eq!(send(&gateway, "n-1", "[]", "[]").await.problem(), (409, "replay_id_reused".to_owned()));
    let seen = upstream.only();
    assert!(seen.header("signature-input").is_some_and(|input| input.starts_with("sig1=(\"@method\"")));
    gateway.clock.forward(331);
    assert_eq!(send(&gateway, "n-3", "{}", "{}").await.problem(), (401, "timestamp_too_old".to_owned()));
}

#[tokio::test]
async fn a_dry_run_forwards_an_invalid_message_signature_and_its_headers_can_be_removed() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream)
        .route(|route| route.replay_protection("disabled").dry_run_until("2100-12-31").credential("remove"));
    let gateway = gateway.start();
    assert_eq!(send(&gateway, "n-1", "{}", "{ }").await.status, 200);
    let seen = upstream.only();
    assert_eq!((seen.header("signature"), seen.header("signature-input")), (None, None));
    assert_eq!(seen.header("x-id"), Some("7"));
    assert_eq!(gateway.counted("dry_run_rejected", "body_mismatch").await, Some(1.0));
}
