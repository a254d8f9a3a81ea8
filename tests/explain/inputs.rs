//! The inputs of `hookgate explain`: captures with their time, folders, several files, the output of curl, keys by URL.
//! And `hookgate test`, which compares such requests with expected outcomes.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{NOW, edit, folder, hmac, hookgate, preset, replaced, write};
use crate::support::Issuer;
use crate::support::configuration::{Configuration, Jwks, TrustedIssuer};
use crate::support::key_server::{KeyServer, ok};

/// Exit code and output of a command in this folder.
fn run(folder: &TempDir, arguments: &[&str]) -> (i32, String) {
    let output = hookgate(folder.path(), arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

/// A route with captures: two with a body that was changed, one that was forwarded, at the time in their names.
fn captures() -> (TempDir, Vec<u8>) {
    let (folder, message) = hmac(preset("zoom"), "{\"a\":1}", None);
    std::fs::create_dir_all(folder.path().join("captured/hook")).unwrap();
    let changed = replaced(&replaced(&message, "\"a\":1", "\"a\": 1"), "content-length: 7", "content-length: 8");
    for (name, message) in [
        ("1800000000000-invalid_signature-a", &changed),
        ("1800000001999-invalid_signature-b", &changed),
        ("1800000003000-timestamp_too_old-c", &message),
    ] {
        write(&folder, &format!("captured/hook/{name}.http"), message);
    }
    (folder, message)
}

#[test]
fn captures_are_judged_at_their_own_time_and_summed_up_by_cause() {
    let (folder, _) = captures();
    let (code, text) = run(&folder, &["explain", "gateway.yaml", "captured"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.starts_with("3 requests: 1 forwarded, 2 rejected\n"), "{text}");
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("invalid_signature ")).collect();
    assert!(rows.len() == 1 && rows[0].trim_start().starts_with("2 "), "{text}");
    assert!(
        text.contains(
            "cause    the body was changed in transit: it was re-serialized; its sender writes no whitespace"
        ),
        "{text}"
    );
    assert!(text.contains("example  captured/hook/1800000000000-invalid_signature-a.http"), "{text}");
    let (code, text) = run(&folder, &["explain", "captured", "--newest"]);
    assert!(code == 0 && text.contains("2027-01-15T08:00:03Z, at which the request was captured"), "{text}");
    let (code, text) = run(&folder, &["explain", "captured", "--newest", "--now", "1800003600"]);
    assert!(
        code == 2 && text.contains("timestamp_too_old") && text.contains("2027-01-15T09:00:00Z, from --now"),
        "{text}"
    );
    let output = hookgate(folder.path(), &["explain", "captured", "--format", "json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((summary["summary"][0]["count"].as_u64(), summary["requests"].as_array().unwrap().len()), (Some(2), 3));
}

#[test]
fn several_files_one_of_them_unreadable() {
    let (folder, message) = captures();
    write(&folder, "good.http", message);
    write(&folder, "notes.http", "no request");
    let (code, text) = run(&folder, &["explain", "--now", NOW, "good.http", "notes.http"]);
    assert!(code == 1 && text.contains("2 requests: 1 forwarded, 0 rejected"), "{text}");
    assert!(text.contains("unreadable  notes.http: the headers are not terminated"), "{text}");
    let (code, text) = run(&folder, &["explain", "gateway.yaml", "captured/none"]);
    assert!(code == 1 && text.contains("cannot read captured/none"), "{text}");
    let (code, text) = run(&folder, &["explain", "gateway.yaml", "-c", "gateway.yaml", "good.http"]);
    assert!(code == 64 && text.contains("cannot be used with"), "{text}");
}

#[test]
fn the_output_of_curl_is_explained_with_its_body() {
    let (folder, message) = captures();
    let text = String::from_utf8(message).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let lines: String = head.lines().map(|line| format!("> {line}\n")).collect();
    write(&folder, "curl.txt", format!("* Connected to localhost\n{lines}> \n}} [7 bytes data]\n< HTTP/1.1 401\n"));
    write(&folder, "body.json", body);
    let (code, text) = run(&folder, &["explain", "curl.txt", "--body", "body.json", "--now", NOW]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&folder, &["explain", "curl.txt", "--now", NOW]);
    assert!(
        code == 1 && text.contains("the output of curl -v has no body: pass the file of --data-binary with --body"),
        "{text}"
    );
}

#[test]
fn the_client_s_address_is_checked_or_said_not_to_be() {
    let (folder, message) = captures();
    edit(&folder, |route| route.with("allowed_ips", json!(["192.0.2.0/24"])));
    write(&folder, "request.http", message);
    let explain = |more: &[&str]| run(&folder, &[&["explain", "request.http", "--now", NOW], more].concat());
    let (code, text) = explain(&[]);
    assert!(code == 0 && text.contains("allowed_ips          not checked"), "{text}");
    let (code, text) = explain(&["--client-address", "198.51.100.7"]);
    assert!(code == 2 && text.contains("It would be rejected: ip_not_allowed"), "{text}");
    assert_eq!(explain(&["--client-address", "192.0.2.7"]).0, 0);
}

/// The keys of an issuer with a JWKS URL are fetched, unless that is not wanted.
#[tokio::test]
async fn keys_are_fetched_unless_explain_is_offline() {
    let signer = Issuer::rs256("k1");
    let server = KeyServer::start(ok(&signer.jwks())).await;
    let folder = folder(&[("hook", json!({ "jwt": { "issuer": "acme", "audience": "a" } }))], None);
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let issuer = TrustedIssuer::new("https://issuer.test/", &["RS256"]).jwks(Jwks::url(&server.url()));
    let configuration = Configuration::read(&text).add_issuer("acme", issuer);
    write(&folder, "gateway.yaml", configuration.route(|route| route.replay_protection("disabled")).to_string());
    let now: u64 = NOW.parse().unwrap();
    let token = signer.token(&json!({ "iss": "https://issuer.test/", "aud": "a", "exp": now + 60 }));
    write(&folder, "request.http", format!("POST /hook HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"));
    let (offline, online) = tokio::task::spawn_blocking(move || {
        let explain = |more: &[&str]| run(&folder, &[&["explain", "request.http", "--now", NOW], more].concat());
        (explain(&["--offline"]), explain(&[]))
    })
    .await
    .unwrap();
    assert!(
        offline.0 == 2 && offline.1.contains("jwks_unavailable") && offline.1.contains("leave out --offline"),
        "{}",
        offline.1
    );
    assert!(online.0 == 0 && online.1.contains("of acme: 1 fetched from http://"), "{}", online.1);
}

#[test]
fn cases_are_tested_and_a_difference_is_told_with_its_cause() {
    let (folder, message) = captures();
    write(&folder, "request.http", message);
    let cases = "cases:\n\
        - { name: captured, request: request.http, now: \"1800000000\", expect: { outcome: forwarded, route: hook } }\n\
        - { name: old, request: request.http, now: \"1800003600\", expect: { reason: timestamp_too_old, status: 401 } }\n\
        - { name: generated, sign: { route: hook }, expect: { outcome: forwarded } }\n\
        - { name: unsigned, sign: { route: hook, remove_headers: [x-zm-signature] }, expect: { reason: missing_credential } }\n\
        - { name: tampered, sign: { route: hook, sent_body: gateway.yaml }, expect: { reason: invalid_signature } }\n";
    write(&folder, "cases.yaml", cases);
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert!(code == 0 && text.contains("5 cases: 5 as expected, 0 not"), "{text}");
    write(&folder, "cases.yaml", cases.replace("reason: timestamp_too_old, status: 401", "outcome: forwarded"));
    let (code, text) = run(&folder, &["test", "cases.yaml", "-c", "gateway.yaml"]);
    assert!(
        code == 2 && text.contains("FAIL  old") && text.contains("expected outcome forwarded, got rejected"),
        "{text}"
    );
    assert!(text.contains("hint: it would have passed 3300 s ago"), "{text}");
    let (code, text) = run(&folder, &["test", "cases.yaml", "--format", "json"]);
    assert!(code == 2 && text.contains("\"failed\": 1"), "{text}");
    write(&folder, "cases.yaml", "cases:\n- { name: a, request: gone.http, expect: { outcome: forwarded } }\n");
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert!(code == 2 && text.contains("cannot read gone.http"), "{text}");
    write(&folder, "cases.yaml", "cases:\n- { name: a, request: gone.http }\n");
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert!(code == 64 && text.contains("cases.yaml:2:") && text.contains("cases[0].expect"), "{text}");
}

/// A slip in the file of cases is an error at its line, and no case that happens to fail.
#[test]
fn cases_that_cannot_have_an_effect_are_errors_with_their_lines() {
    let (folder, _) = captures();
    let cases = "cases:\n\
        - { name: a, sign: { route: hok }, expect: { outcome: forwarded } }\n\
        - { name: b, sign: { route: hook, claims: { sub: x }, kid: k }, expect: { route: hok } }\n\
        - { name: c, sign: { route: hook }, expect: { reason: no_route, route: none } }\n";
    write(&folder, "cases.yaml", cases);
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert_eq!(code, 64, "{text}");
    for problem in [
        "cases.yaml:2:22: cases[0].sign.route: no route \"hok\"; did you mean hook?",
        "cases[1].sign.claims: has no effect: the request for the route hook has no token with claims",
        "cases[1].sign.kid: has no effect",
        "cases[1].expect.route: no route \"hok\"",
    ] {
        assert!(text.contains(problem), "{problem}: {text}");
    }
    assert!(!text.contains("cases[2]"), "{text}");
    write(&folder, "cases.yaml", "cases:\n- { name: a, sign: { method: PUT }, expect: { outcome: forwarded } }\n");
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert!(code == 64 && text.contains("expected a `route`, since there are several: "), "{text}");
}

/// `test` has keys where `explain` has options.
#[test]
fn the_hints_of_a_case_name_its_keys() {
    let folder = folder(&[("hook", json!({ "jwt": { "issuer": "acme", "audience": "a" } }))], None);
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let issuer = TrustedIssuer::new("https://issuer.test/", &["RS256"]).jwks(Jwks::url("https://issuer.test/jwks"));
    let configuration = Configuration::read(&text).add_issuer("acme", issuer);
    write(&folder, "gateway.yaml", configuration.route(|route| route.replay_protection("disabled")).to_string());
    let now: u64 = NOW.parse().unwrap();
    let token = Issuer::rs256("k1").token(&json!({ "iss": "https://issuer.test/", "aud": "a", "exp": now + 60 }));
    write(&folder, "a.http", format!("POST /hook HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"));
    let case = |now: &str| format!("{{ name: a, now: \"{now}\", request: a.http, expect: {{ outcome: forwarded }} }}");
    write(&folder, "cases.yaml", format!("cases:\n- {}\n", case(NOW)));
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert!(code == 2 && text.contains("under `jwks` of the file of cases") && !text.contains("--"), "{text}");
    let (folder, message) = captures();
    write(&folder, "a.http", message);
    write(&folder, "cases.yaml", format!("cases:\n- {}\n", case("1800003600")));
    for format in ["text", "json"] {
        let (_, text) = run(&folder, &["test", "cases.yaml", "--format", format]);
        assert!(text.contains("set its time with `now`") && !text.contains("--"), "{text}");
    }
}

/// A dry run does not hide the reason.
#[test]
fn the_reason_is_named_in_a_dry_run() {
    let (folder, message) = captures();
    edit(&folder, |route| route.with("mode", "dry_run").with("dry_run_until", "2099-01-01"));
    write(&folder, "a.http", message);
    let (code, text) = run(&folder, &["explain", "a.http", "--now", "1800003600"]);
    assert!(
        code == 0 && text.contains("\nIt would be forwarded in dry run, and without it rejected: timestamp_too_old\n"),
        "{text}"
    );
}

/// The example of the page runs, and prints what the page says.
#[test]
fn the_cases_in_the_documents_are_as_expected() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/test-configuration.md")).unwrap();
    let block = |mark: &str, at: usize| page.split(mark).nth(at).unwrap().split("\n```").next().unwrap().to_owned();
    let folder = TempDir::new().unwrap();
    write(&folder, "gateway.yaml", block("\n```yml\n", 1));
    write(&folder, "cases.yaml", block("\n```yml\n", 2));
    let commands = page.lines().filter_map(|line| line.strip_prefix("    "));
    for line in commands.filter(|line| line.contains("printf")) {
        let done = std::process::Command::new("sh").args(["-c", line]).current_dir(folder.path()).status().unwrap();
        assert!(done.success(), "{line}");
    }
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert_eq!((code, text.trim_end()), (0, block("\n```text\n", 1).trim_end()));
    // The second configuration, of which the page has the parts that are its own.
    let listeners = "listeners: [{ address: '127.0.0.1:0', plaintext: true }]\n";
    write(&folder, "gateway.yaml", [listeners, &block("\n```yml\n", 3)].concat());
    write(&folder, "cases.yaml", block("\n```yml\n", 4));
    assert_eq!(run(&folder, &["dev-certs"]).0, 0);
    let (code, text) = run(&folder, &["test", "cases.yaml"]);
    assert!(code == 0 && text.contains("2 cases: 2 as expected"), "{text}");
}
