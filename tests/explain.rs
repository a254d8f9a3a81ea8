//! `hookgate sign` and `hookgate explain` as an operator runs them: each preset is signed for and explained, and the
//! usual mistakes are found.

mod certificates;
mod hints;
mod inputs;
pub mod keys;
mod mistakes;
mod slips;
mod tokens;

use std::path::Path;
use std::process::{Command, Output};

use hookgate::config::file::SecretEncoding;
use hookgate::config::file::preset::PresetYaml;
use hookgate::config::file::signature::SignatureAlgorithmYaml;
use hookgate::config::presets;
use serde_json::{Value, json};
use tempfile::TempDir;

use keys::Kind;

use crate::support::configuration::{Configuration, Listener, Preset, Route, Signature, file};

const NOW: &str = "1800000000";

fn hookgate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookgate")).current_dir(folder).args(arguments).output().unwrap()
}

/// A folder with a configuration of one or more routes.
fn folder(routes: &[(&str, Value)], public_url: Option<&str>) -> TempDir {
    let folder = TempDir::new().unwrap();
    let listener = Listener::empty().address("127.0.0.1:8443").without_tls();
    let routes = routes.iter().map(|(name, auth)| {
        let route = Route::new(name).path(format!("/{name}")).upstream("http://127.0.0.1:1").auth(auth.clone());
        if public_url.is_some() { route.public_url(public_url) } else { route }
    });
    let configuration = routes.fold(Configuration::empty().add_listener(listener), Configuration::add_route);
    std::fs::write(folder.path().join("gateway.yaml"), configuration.to_string()).unwrap();
    folder
}

/// Changes the first route of the configuration.
fn edit(folder: &TempDir, change: impl FnOnce(Route) -> Route) {
    let text = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    write(folder, "gateway.yaml", Configuration::read(&text).route(change).to_string());
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder.path().join(name), content).unwrap();
}

/// An HTTP message that passes the route.
fn signed(folder: &TempDir, route: &str, more: &[&str]) -> Vec<u8> {
    let arguments = ["sign", "--route", route, "--format", "http", "--now", NOW, "--key", "key.pem"];
    let output = hookgate(folder.path(), &[&arguments, more].concat());
    assert!(output.status.success(), "{route}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Exit code and findings for a message.
fn explained(folder: &TempDir, message: &[u8], now: &str) -> (i32, Value) {
    write(folder, "request.http", message);
    let arguments = ["explain", "--request", "request.http", "--now", now, "--format", "json"];
    let output = hookgate(folder.path(), &arguments);
    let findings = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), findings.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

pub fn kind(preset: &PresetYaml) -> Kind {
    if let Some(signature) = preset.signature.value() {
        return match signature.algorithm.value().unwrap() {
            SignatureAlgorithmYaml::Ed25519 => Kind::Ed25519,
            SignatureAlgorithmYaml::EcdsaP256 => Kind::P256,
            _ => Kind::Rsa,
        };
    }
    let algorithm = preset.issuer.value().and_then(|issuer| issuer.algorithms.first());
    match algorithm.map(|algorithm| algorithm.text.as_str()) {
        Some("ES256") => Kind::P256,
        Some("ES512") => Kind::P521,
        Some("EdDSA") => Kind::Ed25519,
        _ => Kind::Rsa,
    }
}

/// A configuration for a preset, with a secret or a key of the right kind.
fn configured(name: &str) -> (TempDir, Vec<&'static str>) {
    let preset = presets::find(name).unwrap();
    let mut auth = json!({ "preset": name });
    let parameters = ["signatures.json", "tokens.json"].iter().flat_map(|file| crate::vectors::read(file));
    let parameters = parameters.into_iter().find(|vector| vector["preset"] == name).unwrap()["parameters"].clone();
    if parameters.as_object().is_some_and(|parameters| !parameters.is_empty()) {
        auth["parameters"] = parameters;
    }
    let pair = keys::Pair::generate(kind(&preset));
    let (mut secret, mut more) = (None, Vec::new());
    let mut key = "secret";
    match preset.secret.as_ref().map(|secret| secret.encoding) {
        None if preset.root_ca.is_some() => (key, more) = ("root_ca", vec!["--chain", "chain.pem"]),
        None if preset.public_key.is_some() => (key, secret) = ("public_key", Some(pair.public_pem())),
        None => auth["jwks"] = json!({"file": "jwks.json"}),
        Some(SecretEncoding::Utf8) => {
            secret = Some("an example of a secret: long enough for HS512, by far, and a password".repeat(2))
        }
        Some(SecretEncoding::Hex) => secret = Some("0f".repeat(32)),
        Some(SecretEncoding::Base64) => secret = Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        Some(SecretEncoding::Whsec) => secret = Some("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
    }
    if secret.is_some() || !more.is_empty() {
        auth[key] = json!({"file": "secret"});
    }
    if preset.signature.value().is_some_and(|signature| signature.key_id.is_written()) {
        auth[key]["id"] = "1".into();
    }
    let folder = folder(&[("hook", auth)], Some("https://localhost:8443"));
    write(&folder, "secret", secret.unwrap_or_default());
    write(&folder, "key.pem", pair.private_pem());
    if more.is_empty() {
        if preset.secret.is_none() && preset.public_key.is_none() {
            write(&folder, "jwks.json", pair.jwks());
        }
    } else {
        let chain = keys::chain(&pair, preset.x5c.as_ref().unwrap());
        write(&folder, "secret", chain.root);
        write(&folder, "chain.pem", chain.chain);
    }
    (folder, more)
}

#[test]
fn a_request_signed_for_a_preset_would_be_forwarded_and_no_other() {
    let mut count = 0;
    // The provider alone can sign for a certificate of its own.
    let names = presets::PRESETS.keys().filter(|name| !presets::find(name).unwrap().names_certificate());
    for name in names {
        let (folder, more) = configured(name);
        let message = signed(&folder, "hook", &more);
        let (code, findings) = explained(&folder, &message, NOW);
        assert_eq!(
            (code, &findings["verdict"]),
            (0, &json!("forwarded")),
            "{name}: {findings:#} {}",
            String::from_utf8_lossy(&message)
        );
        let preset = presets::find(name).unwrap();
        let unbound =
            preset.static_token.is_written() || ["mailgun"].contains(name) || findings.to_string().contains("no body");
        let changed = [message.as_slice(), b"x"].concat();
        let changed = replaced(&changed, "content-length", "x-content-length");
        let (code, findings) = explained(&folder, &changed, NOW);
        let json_alone = preset.signature.value().is_some_and(|signature| signature.json.is_written());
        let binds = folder_binds(&folder);
        if binds && !json_alone {
            assert_eq!((code, &findings["verdict"]), (2, &json!("rejected")), "{name}: {findings:#}");
        } else {
            assert!(unbound || !binds || json_alone, "{name}");
        }
        count += 1;
    }
    println!("{count} presets signed and explained");
}

/// Whether the route's policy binds the body, as `check` warns where it does not.
fn folder_binds(folder: &TempDir) -> bool {
    let output = hookgate(folder.path(), &["check"]);
    !String::from_utf8_lossy(&output.stderr).contains("is not bound to the body")
}

fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(message.to_vec()).unwrap().replacen(from, to, 1).into_bytes()
}

/// One route, its secret, and a message that passes it.
fn hmac(auth: Value, body: &str, public_url: Option<&str>) -> (TempDir, Vec<u8>) {
    let other = Preset::new("github").secret(file("old"));
    let folder = folder(&[("hook", auth), ("other", other.into())], public_url);
    write(&folder, "secret", "the secret of this endpoint");
    write(&folder, "old", "the secret of another endpoint");
    write(&folder, "body", body);
    let message = signed(&folder, "hook", &["--body", "body"]);
    assert_eq!(explained(&folder, &message, NOW).0, 0);
    (folder, message)
}

fn preset(name: &str) -> Value {
    Preset::new(name).secret(file("secret")).into()
}

fn github() -> Value {
    preset("github")
}

#[test]
fn a_har_entry_is_read_as_a_message_is() {
    let (folder, message) = hmac(github(), "{\"é\":1}", None);
    let text = String::from_utf8(message).unwrap();
    let signature = text.lines().find_map(|line| line.strip_prefix("x-hub-signature-256: ")).unwrap();
    let har = json!({"log": {"entries": [{"request": {
        "method": "POST", "url": "https://localhost:8443/hook",
        "headers": [{"name": ":method", "value": "POST"}, {"name": "X-Hub-Signature-256", "value": signature}],
        "postData": {"text": "{\"é\":1}"},
    }}]}});
    assert_eq!(explained(&folder, har.to_string().as_bytes(), NOW).0, 0);
}

/// The string to sign is printed without the secret in it.
#[test]
fn no_secret_is_printed() {
    let (folder, message) = hmac(preset("hubspot-v1"), "{\"a\":1}", None);
    write(&folder, "request.http", &message);
    let output = hookgate(folder.path(), &["explain", "--request", "request.http", "--now", NOW]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("<secret>{\"a\":1}") && text.contains("It would be forwarded"), "{text}");
    assert!(!text.contains("the secret of this endpoint"), "{text}");
}

/// Exit codes are for scripts: 2 means "would be rejected" and nothing else.
#[test]
fn a_wrong_command_line_is_no_rejection() {
    let folder = TempDir::new().unwrap();
    assert_eq!(hookgate(folder.path(), &["explain"]).status.code(), Some(64));
    assert_eq!(hookgate(folder.path(), &["explain", "--request", "gone"]).status.code(), Some(64));
    assert_eq!(hookgate(folder.path(), &["--help"]).status.code(), Some(0));
}

#[test]
fn a_request_signed_with_a_message_signature_would_be_forwarded_and_its_errors_are_found() {
    for (algorithm, kind) in [
        ("ed25519", Some(Kind::Ed25519)),
        ("ecdsa-p256-sha256", Some(Kind::P256)),
        ("rsa-pss-sha512", Some(Kind::Rsa)),
        ("rsa-v1_5-sha256", Some(Kind::Rsa)),
        ("hmac-sha256", None),
    ] {
        let settings = json!({
            "algorithm": algorithm, "tag": "hooks", "required_components": ["@method", "@target-uri", "content-digest", "x-id"],
            "required_parameters": ["created", "expires", "nonce", "keyid", "alg"],
        });
        let mut auth = json!({ "http_message_signature": settings });
        let key = if kind.is_some() { "public_keys" } else { "secrets" };
        auth["http_message_signature"][key] = json!([{"file": "secret", "id": "k1"}]);
        let folder = folder(&[("hook", auth)], Some("https://hooks.test"));
        let pair = kind.map(keys::Pair::generate);
        write(&folder, "secret", pair.as_ref().map_or("a secret of some length".to_owned(), keys::Pair::public_pem));
        write(&folder, "key.pem", pair.map_or(String::new(), |pair| pair.private_pem()));
        let message = signed(&folder, "hook", &[]);
        let (code, findings) = explained(&folder, &message, NOW);
        assert_eq!((code, &findings["verdict"]), (0, &json!("forwarded")), "{algorithm}: {findings:#}");
        let text = String::from_utf8(message).unwrap();
        let expect = |message: &str, reason: &str, hint: &str| {
            let (_, findings) = explained(&folder, message.as_bytes(), NOW);
            assert_eq!(findings["reason"], reason, "{algorithm}: {findings:#}");
            assert!(findings["hints"].to_string().contains(hint), "{algorithm}: {hint}: {findings:#}");
        };
        let spaced = text.replace("\"event\":", "\"event\": ").replace("content-length: 16", "content-length: 17");
        expect(&spaced, "body_mismatch", "the body was changed in transit");
        expect(&text.replace(" \"x-id\"", ""), "missing_signed_component", "\\\"x-id\\\" is not covered");
        expect(&text.replace("POST /", "PUT /"), "invalid_signature", "the sender signs POST");
        expect(&text.replace("x-id: development", "x-id: other"), "invalid_signature", "");
        edit(&folder, |route| route.public_url("https://internal.test"));
        let at_proxy = text.replace("host: ", "x-forwarded-host: hooks.test\r\nhost: ");
        expect(&at_proxy, "invalid_signature", "set public_url to https://hooks.test");
        edit(&folder, |route| route.public_url("https://hooks.test/base"));
        expect(&text, "invalid_signature", "set public_url to https://hooks.test");
    }
}

/// The tenant is that of the path.
#[test]
fn a_tenant_is_signed_for_and_explained() {
    let signature = Signature::hmac("X-Signature", &["body"]).without("secret");
    let auth = signature.with("secrets", json!({ "dir": "secrets/{tenant}" })).into();
    let folder = folder(&[("webhook", auth)], None);
    edit(&folder, |route| route.path("/hooks/{tenant}"));
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for tenant in ["acme", "bob"] {
        write(&folder, &format!("secrets/{tenant}"), format!("the secret of {tenant}"));
    }
    let url = |path: &str| ["--url".to_owned(), format!("http://localhost:8443{path}")];
    let sign = |path: &str| {
        let url = url(path);
        signed(&folder, "webhook", &url.each_ref().map(String::as_str))
    };
    let first = String::from_utf8(sign("")).unwrap();
    assert!(first.starts_with("POST /hooks/acme "), "{first}");
    let of_bob = String::from_utf8(sign("/hooks/bob")).unwrap();
    assert_eq!(explained(&folder, of_bob.as_bytes(), NOW).0, 0);
    for (path, finding) in [
        ("/hooks/acme ", "matches none of the tenant's secrets"),
        ("/hooks/carol ", "no tenant of this name has a file"),
    ] {
        let (code, findings) = explained(&folder, of_bob.replace("/hooks/bob ", path).as_bytes(), NOW);
        assert_eq!((code, &findings["reason"]), (2, &json!("invalid_signature")), "{findings}");
        assert!(findings["checks"].as_array().unwrap().iter().any(|check| check["found"] == finding), "{findings}");
    }
    let unknown = hookgate(folder.path(), &["sign", "--url", "http://localhost:8443/hooks/carol"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("none for the tenant in the path of --url"));
    let check = hookgate(folder.path(), &["check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    write(&folder, "secrets/carol", "");
    let check = hookgate(folder.path(), &["check"]);
    let problem = "routes[0].auth.signature.secrets.dir: secrets/carol: must not be empty";
    assert!(!check.status.success() && String::from_utf8_lossy(&check.stderr).contains(problem), "{check:?}");
}

#[test]
fn a_filtered_event_is_explained() {
    let folder = folder(&[("webhook", Preset::new("github").secret(file("secret")).into())], None);
    write(&folder, "secret", "the secret of the sender");
    let message = signed(&folder, "webhook", &[]);
    let rule = json!({ "name": "tests", "json": "/event", "is": "test" });
    edit(&folder, |route| route.filter(json!([rule.clone()])));
    let filter = |findings: &Value| {
        let checks = findings["checks"].as_array().unwrap().iter();
        checks.filter(|check| check["check"] == "filter").map(|check| check["found"].clone()).collect::<Vec<_>>()
    };
    let (code, findings) = explained(&folder, &message, NOW);
    assert_eq!((code, &findings["verdict"]), (0, &json!("filtered")), "{findings}");
    assert_eq!(filter(&findings), [json!("would be filtered by rule tests")]);
    let mut observed = rule.clone();
    observed["mode"] = "dry_run".into();
    edit(&folder, |route| route.filter(json!([observed])));
    let (_, findings) = explained(&folder, &message, NOW);
    assert_eq!(findings["verdict"], "forwarded");
    assert_eq!(filter(&findings), [json!("would be filtered, if it were no dry run, by rule tests")]);
}
