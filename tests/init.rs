//! `hookgate init` and `hookgate presets NAME --example`: what they write is a valid configuration for every preset, and a
//! request of `hookgate sign` passes it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hookgate::clock::UnixTime;
use hookgate::config::file::SecretEncoding;
use hookgate::config::{self, Handles, presets};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::explain::{keys, kind};
use crate::fleet::process::free_address;
use crate::support::{NOW, Upstream, certificate, until};

/// Warnings about the provider, which no setting of the operator changes.
const OF_PROVIDERS: [&str; 3] =
    ["was tested with requests of this project only", "is not bound to the body", "never retries: an event"];

fn hookgate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn succeeded(folder: &Path, arguments: &[&str]) -> String {
    let output = hookgate(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The secret or key of a preset; `None` if it needs none.
fn material(name: &str) -> Option<String> {
    let preset = presets::find(name).unwrap();
    let pair = || keys::Pair::generate(kind(&preset));
    Some(match preset.secret.as_ref().map(|secret| secret.encoding) {
        None if preset.root_ca.is_some() => keys::chain(&pair(), preset.x5c.as_ref().unwrap()).root,
        None if preset.public_key.is_some() => pair().public_pem(),
        None if preset.jwks.is_some() => pair().jwks(),
        None => return None,
        Some(SecretEncoding::Utf8) => "user: a secret that is long enough for HS512, by far".repeat(2),
        Some(SecretEncoding::Hex) => "0f".repeat(32),
        Some(SecretEncoding::Base64) => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
        Some(SecretEncoding::Whsec) => "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
    })
}

/// `--parameter NAME=VALUE` for each parameter of the preset's vectors.
fn parameters(name: &str) -> Vec<String> {
    let vectors = ["signatures.json", "tokens.json"].iter().flat_map(|file| crate::vectors::read(file));
    let parameters = vectors.into_iter().find(|vector| vector["preset"] == name).unwrap()["parameters"].clone();
    let texts = |value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| value.as_str().unwrap().to_owned()).collect(),
        value => vec![value.as_str().unwrap().to_owned()],
    };
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    let pairs = parameters.iter().flat_map(|(name, value)| texts(value).into_iter().map(move |text| (name, text)));
    pairs.flat_map(|(name, text)| ["--parameter".to_owned(), format!("{name}={text}")]).collect()
}

/// The warnings of a configuration, without those that no setting changes.
fn warnings(path: &Path) -> Vec<String> {
    let config = config::load(path, &Handles::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.rejected_files.is_empty());
    let warnings =
        config.warnings_at(UnixTime::from_seconds(NOW).unwrap()).into_iter().map(|warning| warning.to_string());
    warnings.filter(|warning| !OF_PROVIDERS.iter().any(|known| warning.contains(known))).collect()
}

fn is_protected(path: &Path) -> bool {
    std::fs::read_to_string(path).unwrap().contains("replay_protection: { ttl: ")
}

/// The folder holds the certificates and the keys of every preset.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (_, certificate, key) = certificate(&["localhost", "hooks.example.com"]);
    write(folder.path(), "certs/server.crt", certificate);
    write(folder.path(), "certs/server.key", key);
    folder
}

#[test]
fn every_preset_gets_a_configuration_without_warnings() {
    let folder = folder();
    let (mut count, mut protected) = (0, 0);
    for name in presets::PRESETS.keys() {
        let config = format!("{name}.yaml");
        let url = format!("https://hooks.example.com/{name}");
        let mut arguments = vec!["init", "--preset", name, "-c", &config, "--public-url", &url];
        arguments.extend([
            "--upstream",
            "http://127.0.0.1:8000",
            "--cert",
            "certs/server.crt",
            "--key",
            "certs/server.key",
        ]);
        let parameters = parameters(name);
        arguments.extend(parameters.iter().map(String::as_str));
        let preset = presets::find(name).unwrap();
        let file = format!("keys/{name}");
        if let Some(key) = material(name).filter(|_| !preset.has_jwks()) {
            write(folder.path(), &file, key);
            arguments.extend(["--secret-file", &file]);
        }
        if preset.signature.value().is_some_and(|signature| signature.key_id.is_written()) {
            arguments.extend(["--key-id", "key-1"]);
        }
        let output = succeeded(folder.path(), &arguments);
        assert!(output.contains(&format!("URL: {url}")) && output.contains("hookgate run"), "{output}");
        let path = folder.path().join(&config);
        assert_eq!(warnings(&path), [""; 0], "{name}: {}", std::fs::read_to_string(&path).unwrap());
        protected += usize::from(is_protected(&path));
        count += 1;
    }
    println!("{count} presets, {protected} with replay protection");
    assert!(protected > count / 2);
}

#[test]
fn the_example_of_every_preset_is_a_valid_configuration() {
    let folder = folder();
    for name in presets::PRESETS.keys() {
        let example = succeeded(folder.path(), &["presets", name, "--example"]);
        if let Some(key) = material(name) {
            write(folder.path(), &format!("secrets/{name}"), key);
        }
        write(folder.path(), &format!("secrets/{name}-token"), "a token of at least sixteen bytes");
        write(folder.path(), "gateway.yaml", &example);
        assert_eq!(warnings(&folder.path().join("gateway.yaml")), [""; 0], "{name}: {example}");
        let preset = presets::find(name).unwrap();
        let has_id = preset.signature.value().is_some_and(|signature| signature.id.is_written());
        assert!(!has_id || example.contains("replay_protection: { ttl: "), "{name}: {example}");
    }
}

/// The ids of a provider that retries for three days are kept for longer.
#[test]
fn ids_are_kept_for_longer_than_the_provider_retries() {
    let folder = TempDir::new().unwrap();
    for (name, ttl) in [("stripe", "4d"), ("apple-app-store", "181h"), ("slack", "25h"), ("square", "4d")] {
        let example = succeeded(folder.path(), &["presets", name, "--example"]);
        assert!(example.contains(&format!("replay_protection: {{ ttl: {ttl} }}")), "{name}: {example}");
    }
    for (name, preset) in presets::all() {
        let window = preset.retry_window.as_deref().map(config::values::parse_duration);
        assert!(window != Some(None), "{name}: retry_window is no duration");
    }
}

/// A gateway that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _may_have_ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Runs what `init` has written in a folder of its own, and sends two requests of `sign` without a body of their own.
async fn two_signed_requests_pass(init: &[&str]) {
    two_requests_pass(init, &["sign", "--send"]).await;
}

async fn two_requests_pass(init: &[&str], sign: &'static [&str]) {
    let (folder, upstream, address) = (TempDir::new().unwrap(), Upstream::echo().await, free_address());
    let (address_text, upstream_text) = (address.to_string(), format!("http://{}", upstream.address));
    let url = format!("https://hooks.example.com/{}", init[1]);
    let more = ["--public-url", &url, "--upstream", &upstream_text, "--listen", &address_text];
    succeeded(folder.path(), &[&["init"], init, &more].concat());
    let path = folder.path().join("gateway.yaml");
    let text = std::fs::read_to_string(&path).unwrap().replace("127.0.0.1:9901", "127.0.0.1:0");
    std::fs::write(&path, text).unwrap();
    write(folder.path(), "other.crt", certificate(&["other"]).0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.arg("run").current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let _process = Process(command.spawn().unwrap());
    until("the gateway listens", async || TcpStream::connect(address).await.is_ok()).await;
    for _ in 0..2 {
        let (folder, name) = (folder.path().to_owned(), init[1].to_owned());
        // The upstream answers on this thread.
        tokio::task::spawn_blocking(move || {
            let output = hookgate(&folder, sign);
            assert!(output.status.success(), "{name}: {output:?}");
            if folder.join("certs/ca.crt").exists() {
                let other = hookgate(&folder, &[sign, &["--cacert", "other.crt"]].concat());
                let error = String::from_utf8(other.stderr).unwrap();
                assert!(error.contains("is not by other.crt; --cacert names the file with its CA"), "{error}");
            }
        })
        .await
        .unwrap();
    }
    assert_eq!(upstream.seen().len(), 2, "{}", init[1]);
}

#[tokio::test]
async fn a_signed_request_passes_what_init_has_written() {
    for preset in [
        "stripe",
        "github",
        "shopify",
        "slack",
        "twilio",
        "svix",
        "standard-webhooks",
        "zoom",
        "meta",
        "linear",
        "intercom",
        "typeform",
        "hubspot-v3",
        "gitlab",
        "mailgun",
        "telegram",
        "basic-auth",
    ] {
        two_signed_requests_pass(&["--preset", preset, "--generate-secret", "--tls", "none"]).await;
    }
}

#[tokio::test]
async fn a_token_of_the_development_issuer_passes_what_init_has_written() {
    two_signed_requests_pass(&["--issuer", "dev", "--tls", "dev"]).await;
}

/// The CA of the development certificate is trusted wherever the key is, and a Host header is sent once.
#[tokio::test]
async fn a_request_is_signed_with_another_key_and_host() {
    let sign = &["sign", "--key", "keys/my.key", "--header", "Host: hooks.example.com", "--send"];
    two_requests_pass(&["--preset", "stripe", "--generate-secret", "--tls", "dev"], sign).await;
}

#[test]
fn a_configuration_by_acme_and_with_claims_is_valid() {
    let folder = TempDir::new().unwrap();
    let url = ["--public-url", "https://hooks.example.com/in", "--upstream", "http://127.0.0.1:8000"];
    let init = ["init", "--issuer", "dev", "--claim", "event_scope=webhook", "--claim", "level=1", "--tls", "acme"];
    let incomplete = hookgate(folder.path(), &[&init[..], &url].concat());
    assert!(String::from_utf8_lossy(&incomplete.stderr).contains("add --agree-tos"), "{incomplete:?}");
    succeeded(folder.path(), &[&init[..], &url, &["--agree-tos"]].concat());
    let path = folder.path().join("gateway.yaml");
    assert!(
        std::fs::read_to_string(&path).unwrap().contains("          event_scope: \"webhook\"\n          level: 1\n")
    );
    assert_eq!(config::load(&path, &Handles::default()).unwrap().handles.acme[0].name, "hooks.example.com");
    let again = hookgate(folder.path(), &["init"]);
    assert_eq!(String::from_utf8_lossy(&again.stderr), "gateway.yaml already exists; nothing was written\n");
}

/// The owner of a key set has the private key as well: the next steps have a request that passes.
#[test]
fn an_issuer_of_one_s_own_is_tried_with_its_private_key() {
    let folder = TempDir::new().unwrap();
    succeeded(folder.path(), &["dev-certs"]);
    let init = ["init", "--issuer", "https://auth.example.com/", "--jwks", "certs/issuer.jwks.json", "--audience", "a"];
    let url = ["--public-url", "https://localhost:8443/in", "--upstream", "http://127.0.0.1:8000", "--tls", "dev"];
    let steps = succeeded(folder.path(), &[&init[..], &url].concat());
    let step = "  hookgate sign --key PRIVATE_KEY --send      # 200: with the private key of a key in certs/issuer.jwks.json\n";
    assert!(steps.ends_with(step), "{steps}");
}

/// The algorithm is that of the key, in a key set and in PEM form.
#[test]
fn a_key_of_one_s_own_needs_no_algorithm() {
    let folder = TempDir::new().unwrap();
    let kinds = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
        (&rcgen::PKCS_ED25519, "EdDSA"),
    ];
    for (kind, algorithm) in kinds {
        write(folder.path(), "issuer.pem", rcgen::KeyPair::generate_for(kind).unwrap().public_key_pem());
        let init = ["init", "--issuer", "https://auth.example.com/", "--jwks", "issuer.pem", "--audience", "a"];
        let url = ["--public-url", "https://localhost:8443/in", "--upstream", "http://127.0.0.1:8000", "--tls", "dev"];
        let config = format!("{algorithm}.yaml");
        succeeded(folder.path(), &[&init[..], &url, &["--config", &config]].concat());
        let written = std::fs::read_to_string(folder.path().join(&config)).unwrap();
        let issuer = format!("    algorithms: [{algorithm}]\n    public_key: {{ file: issuer.pem }}\n");
        assert!(written.contains(&issuer), "{written}");
    }
    write(
        folder.path(),
        "set.json",
        r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
    );
    let init = ["init", "--issuer", "https://auth.example.com/", "--jwks", "set.json", "--audience", "a"];
    let url = ["--public-url", "https://localhost:8443/in", "--upstream", "http://127.0.0.1:8000", "--tls", "dev"];
    succeeded(folder.path(), &[&init[..], &url].concat());
    let written = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    assert!(written.contains("algorithms: [ES256]\n    jwks: { file: set.json }"), "{written}");
}

#[test]
fn files_of_dev_certs_and_a_secret_that_exist_are_used() {
    let folder = TempDir::new().unwrap();
    succeeded(folder.path(), &["dev-certs"]);
    write(folder.path(), "secrets/stripe", "whsec_0123456789abcdef");
    let key = std::fs::read(folder.path().join("certs/server.key")).unwrap();
    succeeded(folder.path(), &[&STRIPE[..], &["dev"]].concat());
    assert_eq!(std::fs::read(folder.path().join("certs/server.key")).unwrap(), key);
    // The certificate is for localhost only.
    let written = std::fs::read_to_string(folder.path().join("gateway.yaml")).unwrap();
    let address =
        "  - address: \"127.0.0.1:8443\"          # this machine only; 0.0.0.0 instead of 127.0.0.1: all addresses\n";
    assert!(written.contains(address), "{written}");
    assert_eq!(std::fs::read(folder.path().join("secrets/stripe")).unwrap(), b"whsec_0123456789abcdef");
}

/// Without a terminal, every argument that is missing is named at once.
#[test]
fn missing_arguments_are_named_together() {
    let folder = TempDir::new().unwrap();
    let none = hookgate(folder.path(), &["init"]);
    let problem = "there is no terminal to ask on; add --preset or --issuer, --public-url, --upstream, --tls\n";
    assert_eq!((none.status.code(), String::from_utf8_lossy(&none.stderr).as_ref()), (Some(64), problem));
    let some = hookgate(folder.path(), &["init", "--preset", "ably", "--tls", "none"]);
    let problem =
        "there is no terminal to ask on; add --public-url, --upstream, --secret-file or --generate-secret, --key-id\n";
    assert_eq!((some.status.code(), String::from_utf8_lossy(&some.stderr).as_ref()), (Some(64), problem));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

const STRIPE: [&str; 8] = [
    "init",
    "--preset",
    "stripe",
    "--public-url",
    "https://hooks.example.com/in",
    "--upstream",
    "http://127.0.0.1:8000",
    "--tls",
];

#[test]
fn a_secret_is_read_from_standard_input_and_not_printed() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.current_dir(folder.path()).args(STRIPE).args(["none", "--secret-file", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"whsec_0123456789abcdef\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8(printed).unwrap().contains("whsec_0"));
    let secret = folder.path().join("secrets/stripe");
    let mode = std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode, std::fs::read_to_string(secret).unwrap().as_str()), (0o600, "whsec_0123456789abcdef\n"));
}

#[test]
fn nothing_is_written_if_a_file_exists_or_the_configuration_is_invalid() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "secrets/stripe", "mine");
    let output = hookgate(folder.path(), &[&STRIPE[..], &["none", "--generate-secret"]].concat());
    let problem = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), problem.as_str()),
        (Some(1), "secrets/stripe already exists; nothing was written\n")
    );
    let invalid = [&STRIPE[..], &["none", "--secret-file", "secrets/stripe", "--listen", "everywhere"]].concat();
    let output = hookgate(folder.path(), &invalid);
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(64) && problem.contains("listeners[0].address"), "{problem}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(
        (names, std::fs::read_to_string(folder.path().join("secrets/stripe")).unwrap()),
        (vec!["secrets".into()], "mine".into())
    );
}

#[test]
fn a_dry_run_prints_the_configuration_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let printed = succeeded(folder.path(), &[&STRIPE[..], &["dev", "--generate-secret", "--dry-run"]].concat());
    assert!(printed.contains("    replay_protection: { ttl: 4d }\n"), "{printed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
