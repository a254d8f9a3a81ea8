//! `hookgate check`: excerpts on a terminal, `--offline`, `--online`, and warnings of what people forget.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use hookgate::clock::UnixTime;
use hookgate::config::{self, Handles};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::key_server::{KeyServer, ok};
use crate::support::{Authority, Issuer, Upstream, certificate};

const BROKEN: &str = "listeners:\n  - { address: \"127.0.0.1:8443\", plaintext: true }\nroutes:\n  - name: a\n    \
                      match: { path: /a }\n    upstream: { url: \"http://127.0.0.1:8000\" }\n    \
                      auth: { preset: github, secret: hunter2 }\n";

fn write(folder: &TempDir, files: &[(&str, &str)]) {
    files.iter().for_each(|(name, content)| std::fs::write(folder.path().join(name), content).unwrap());
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.current_dir(folder).arg("check").args(arguments).env_remove("HOOKGATE_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The output of a command on a terminal of `script` (util-linux).
fn on_terminal(folder: &Path, command: &str, variables: &[(&str, &str)]) -> String {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", command, "/dev/null"]).current_dir(folder).stdin(Stdio::null());
    script.env_remove("HOOKGATE_CONFIG").env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    text(&script.output().unwrap().stdout).replace("\r\n", "\n")
}

#[test]
fn a_terminal_gets_the_line_with_a_caret_and_a_pipe_does_not() {
    let folder = TempDir::new().unwrap();
    write(&folder, &[("gateway.yaml", BROKEN)]);
    let line = "gateway.yaml:7:29: routes[0].auth.secret: expected {env: NAME} or {file: path}, never the value itself, \
                got a string\n";
    assert_eq!(text(&check(folder.path(), &[]).stderr), line);
    let command = |name: &str| format!("{} {name} gateway.yaml", env!("CARGO_BIN_EXE_hookgate"));
    let excerpt =
        format!("{line}  7 |     auth: {{ preset: github, secret: *** }}\n    |                             ^\n");
    for variables in [[("NO_COLOR", "1"), ("TERM", "xterm")], [("NO_COLOR", ""), ("TERM", "dumb")]] {
        for name in ["check", "run"] {
            assert_eq!(on_terminal(folder.path(), &command(name), &variables), excerpt, "{name}");
        }
    }
    let coloured = on_terminal(folder.path(), &command("check"), &[]);
    assert!(coloured.contains("\x1b[1;31m") && !coloured.contains("hunter2"), "{coloured:?}");
}

/// The files that it names do not exist.
#[test]
fn offline_needs_no_file_and_says_what_it_has_not_read() {
    let folder = TempDir::new().unwrap();
    let yaml = "listeners:\n  - address: \"127.0.0.1:8443\"\n    tls: { certificates: [ { cert: a.crt, key: a.key } ] }\n\
                routes:\n  - name: stripe\n    match: { path: /stripe }\n    upstream: { url: \"http://127.0.0.1:8000\" }\n    \
                auth: { preset: stripe, secret: { env: HOOKGATE_TEST_UNSET } }\n    replay_protection: disabled\n";
    let same = format!("{yaml}{}", yaml.split_once("routes:\n").unwrap().1.replace("name: stripe", "name: other"));
    write(
        &folder,
        &[("gateway.yaml", yaml), ("broken.yaml", &yaml.replace("/stripe }", "stripe }")), ("same.yaml", &same)],
    );
    assert_eq!(check(folder.path(), &[]).status.code(), Some(64));
    let output = check(folder.path(), &["--offline"]);
    let expected = "\
gateway.yaml: ok without its files, 1 listener, 1 route
gateway.yaml:3:30: not checked: listeners[0].tls.certificates[0].cert: file a.crt
gateway.yaml:3:43: not checked: listeners[0].tls.certificates[0].key: file a.key
gateway.yaml:8:39: not checked: routes[0].auth.secret.env: environment variable HOOKGATE_TEST_UNSET
";
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), expected), "{output:?}");
    let output = check(folder.path(), &["--offline", "broken.yaml"]);
    let problem = "broken.yaml:6:14: routes[0].match.path: ";
    assert!(text(&output.stderr).starts_with(problem) && text(&output.stderr).lines().count() == 1, "{output:?}");
    assert_eq!(output.status.code(), Some(64));
    let output = check(folder.path(), &["--offline", "same.yaml"]);
    assert!(
        text(&output.stderr).contains("routes[1].match: matches requests that route `stripe` matches too"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn online_reports_each_server_with_its_place() {
    let (folder, upstream) = (TempDir::new().unwrap(), Upstream::echo().await);
    let keys = KeyServer::start(ok(&Issuer::rs256("k1").jwks())).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = format!(
        "listeners:\n  - {{ address: \"127.0.0.1:0\", plaintext: true }}\nissuers:\n  acme:\n    issuer: a\n    \
         algorithms: [RS256]\n    jwks: {{ url: \"{}\" }}\nroutes:\n  - name: a\n    match: {{ path: /a }}\n    \
         upstream: {{ urls: [\"http://{}\", \"http://{gone}\"] }}\n    auth: {{ jwt: {{ issuer: acme, audience: app }} }}\n    \
         replay_protection: disabled\n",
        keys.url(),
        upstream.address
    );
    write(&folder, &[("gateway.yaml", &yaml)]);
    let run = |arguments: &'static [&'static str]| {
        let path = folder.path().to_owned();
        tokio::task::spawn_blocking(move || check(&path, arguments))
    };
    assert_eq!(run(&[]).await.unwrap().status.code(), Some(0));
    assert_eq!(keys.fetches(), 0);
    let output = run(&["--online"]).await.unwrap();
    let (found, failed) = (text(&output.stdout), text(&output.stderr));
    assert!(found.contains("gateway.yaml:7:13: issuers.acme.jwks.url: ok, fetched from "), "{output:?}");
    assert!(found.contains("usable keys: 1") && keys.fetches() == 1, "{output:?}");
    assert!(found.contains(&format!("routes[0].upstream.urls[0]: ok, connected to http://{}", upstream.address)));
    let problem = format!(
        "gateway.yaml:11:{}: routes[0].upstream.urls[1]: cannot connect to http://{gone}: ",
        yaml.lines().nth(10).unwrap().find(&format!("\"http://{gone}")).unwrap() + 1
    );
    assert!(failed.contains(&problem) && failed.to_lowercase().contains("connection refused"), "{failed}");
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&run(&["--online", "--format", "json"]).await.unwrap().stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json[0]["field"], "routes[0].upstream.urls[1]");
}

/// The warnings of a configuration at a time, without those of other kinds.
fn warnings(yaml: &str, files: &[(&str, &str)], now: u64, marks: &[&str]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let (_, certificate, key) = certificate(&["hooks.example.com"]);
    write(
        &folder,
        &[("server.crt", &certificate), ("server.key", &key), ("secret", "a secret of more than 32 bytes, or so")],
    );
    write(&folder, files);
    write(&folder, &[("gateway.yaml", yaml)]);
    let config = config::load(&folder.path().join("gateway.yaml"), &Handles::default());
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let all = config.warnings_at(UnixTime::from_seconds(now).unwrap());
    let all = all.iter().map(|warning| format!("{}:{}", warning.position.line, warning));
    all.filter(|warning| marks.iter().any(|mark| warning.contains(mark))).collect()
}

const DAY: u64 = 24 * 3600;

#[test]
fn certificates_warn_before_they_are_valid_and_before_their_end() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut certificate = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    (certificate.not_before, certificate.not_after) =
        (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2027, 1, 1));
    let (begin, end) = (1_767_225_600, 1_798_761_600);
    let (certificate, key) = (certificate.self_signed(&key).unwrap().pem(), key.serialize_pem());
    let files = [("server.crt", certificate.as_str()), ("server.key", &key)];
    let yaml = "listeners:\n  - address: \"127.0.0.1:0\"\n    tls: { certificates: [ { cert: server.crt, key: server.key } ] }\n\
                routes:\n  - { name: a, match: { path: /a }, upstream: { url: \"http://127.0.0.1:1\" }, auth: public }\n";
    let told = |now| warnings(yaml, &files, now, &["certificates[0].cert"]);
    for (now, expected) in [
        (begin - 1, "is not valid before 2026-01-01T00:00:00Z"),
        (end - 30 * DAY, "in less than 30 days; renew it"),
        (end - 7 * DAY - 1, "in less than 30 days; renew it"),
        (end - 7 * DAY, "in less than 7 days; renew it"),
        (end, "expired at 2027-01-01T00:00:00Z"),
    ] {
        let told = told(now);
        let starts = told[0].starts_with("3:listeners[0].tls.certificates[0].cert: ");
        assert!(told.len() == 1 && starts && told[0].contains(expected), "{now}: {told:?}");
    }
    assert_eq!(told(begin), [""; 0]);
    assert_eq!(told(end - 30 * DAY - 1), [""; 0]);
}

#[test]
fn a_dry_run_warns_when_it_is_long_and_when_it_is_over() {
    let yaml = "listeners: [{ address: \"127.0.0.1:0\", plaintext: true }]\nroutes:\n  - name: a\n    match: { path: /a }\n    \
                upstream: { url: \"http://127.0.0.1:1\" }\n    auth: { preset: github, secret: { file: secret } }\n    \
                mode: dry_run\n    dry_run_until: 2026-12-31\n";
    let end = 1_798_761_600;
    let told = |now| warnings(yaml, &[], now, &["dry_run_until"]);
    assert!(told(end - 90 * DAY - 1)[0].starts_with("8:routes[0].dry_run_until: is more than 90 days away"));
    for now in [end - 90 * DAY, end - 1] {
        assert_eq!(told(now).len(), 1, "{:?}", told(now));
        assert!(told(now)[0].contains("until then no request is rejected"), "{:?}", told(now));
    }
    assert!(told(end)[0].contains("has passed"), "{:?}", told(end));
}

#[test]
fn hosts_without_a_certificate_and_hidden_routes_are_warnings() {
    let routes = |first: &str, second: &str| {
        let route = |name: &str, matches: &str| {
            format!(
                "  - {{ name: {name}, match: {{ {matches} }}, upstream: {{ url: \"http://127.0.0.1:1\" }}, auth: public }}\n"
            )
        };
        let top = "listeners: [{ address: \"127.0.0.1:0\", tls: { certificates: [{ cert: server.crt, key: server.key }] } }]\n";
        format!("{top}routes:\n{}{}", route("a", first), route("b", second))
    };
    let told = |first: &str, second: &str| {
        warnings(&routes(first, second), &[], 1_790_000_000, &["no certificate", "because a `host`"])
    };
    assert_eq!(told("host: hooks.example.com, path: /a", "host: HOOKS.example.com, path: /b"), [""; 0]);
    let foreign = told("host: hooks.example.com, path: /a", "host: other.example.com, path: /b");
    assert_eq!(foreign.len(), 1);
    let expected = "4:routes[1].match.host: no certificate has this name: clients reject the connection; the certificates have hooks.example.com";
    assert_eq!(foreign[0], expected);
    let hidden = told("host: hooks.example.com, path: \"/*\"", "path: /b");
    assert!(
        hidden.len() == 1 && hidden[0].starts_with("4:routes[1].match: requests to hooks.example.com go to route `a`"),
        "{hidden:?}"
    );
    assert_eq!(told("host: hooks.example.com, path: \"/a/*\"", "path: /b"), [""; 0]);
    assert_eq!(told("host: hooks.example.com, path: \"/*\"", "path: \"/*\""), [""; 0]);
}

/// Behind a proxy that terminates TLS, the certificates are those of the proxy.
#[test]
fn a_plaintext_listener_may_have_certificates_elsewhere() {
    let yaml = "listeners: [{ address: \"127.0.0.1:0\", plaintext: true }]\nroutes:\n  - { name: a, match: { host: other.test, \
                path: /a }, upstream: { url: \"http://127.0.0.1:1\" }, auth: public }\n";
    assert_eq!(warnings(yaml, &[], 1_790_000_000, &["no certificate"]), [""; 0]);
}

#[test]
fn secrets_with_more_than_their_value_are_warnings() {
    let yaml = "listeners: [{ address: \"127.0.0.1:0\", plaintext: true }]\nroutes:\n  - name: a\n    match: { path: /a }\n    \
                upstream: { url: \"http://127.0.0.1:1\" }\n    auth: { static_token: { header: X-Token, secret: { file: secret } } }\n";
    let told = |secret: &str| warnings(yaml, &[("secret", secret)], 1_790_000_000, &["static_token.secret"]);
    let plain = "0123456789abcdef0123456789abcdef";
    for (secret, expected) in [
        (format!("'{plain}'\n"), "quotes"),
        (format!("\u{feff}{plain}"), "byte order mark"),
        (format!(" {plain}"), "spaces"),
        (format!("{plain}\n\n"), "empty lines"),
        (format!("WEBHOOK_SECRET={plain}\n"), "write the value alone"),
        (format!("export WEBHOOK_SECRET={plain}\n"), "write the value alone"),
        (format!("{plain}\n{plain}\n"), "several lines"),
    ] {
        let told = told(&secret);
        assert!(told.len() == 1 && told[0].contains(expected), "{secret:?}: {told:?}");
    }
    for secret in
        [format!("{plain}\n"), format!("{plain}\r\n"), format!("{plain}=="), "MY_TOKEN_IN_CAPITALS==".to_owned()]
    {
        assert_eq!(told(&secret), [""; 0], "{secret:?}");
    }
}

/// A preset whose provider retries, one whose provider does not, one without ids, and one that is protected.
#[test]
fn retries_without_replay_protection_are_a_warning() {
    let told = |auth: &str, more: &str| {
        let yaml = format!(
            "listeners: [{{ address: \"127.0.0.1:0\", plaintext: true }}]\nroutes:\n  - name: a\n    match: {{ path: /a }}\n    \
             upstream: {{ url: \"http://127.0.0.1:1\" }}\n    auth: {{ preset: {auth}, secret: {{ file: secret }} }}\n{more}"
        );
        warnings(&yaml, &[], 1_790_000_000, &["sends an event again"]).len()
    };
    assert_eq!(told("stripe", ""), 1);
    assert_eq!(told("stripe", "    replay_protection: disabled\n"), 0);
    assert_eq!(told("github", ""), 0);
    assert_eq!(told("calendly", ""), 0);
    assert_eq!(told("gitlab-token", ""), 0);
}

#[test]
fn a_client_revocation_list_warns_from_its_end_on() {
    let authority = Authority::new("clients");
    let list = authority.list(2027, &[]);
    let yaml = "listeners:\n  - address: \"127.0.0.1:0\"\n    tls: { certificates: [ { cert: server.crt, key: server.key } ], client_ca: ca.crt,\n      \
                client_crl: ca.crl }\nroutes:\n  - { name: a, match: { path: /a }, upstream: { url: \"http://127.0.0.1:1\" }, auth: public }\n";
    let told = |now| warnings(yaml, &[("ca.crt", &authority.pem), ("ca.crl", &list)], now, &["client_crl"]);
    assert_eq!(told(1_798_761_599), [""; 0]);
    assert!(told(1_798_761_600)[0].starts_with("4:listeners[0].tls.client_crl: has expired"));
}

#[test]
fn a_secret_that_every_user_can_read_is_a_warning() {
    let folder = TempDir::new().unwrap();
    let yaml = "listeners: [{ address: \"127.0.0.1:8443\", plaintext: true }]\nroutes:\n  - name: a\n    match: { path: /a }\n    \
                upstream: { url: \"http://127.0.0.1:1\" }\n    auth: { preset: github, secret: { file: secret } }\n";
    write(&folder, &[("gateway.yaml", yaml), ("secret", "a secret of more than 32 bytes, or so")]);
    let told = |mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(folder.path().join("secret"), mode).unwrap();
        text(&check(folder.path(), &[]).stderr)
    };
    let warning =
        "gateway.yaml:6:39: warning: routes[0].auth.secret.file: every user of this machine can read the file";
    assert!(told(0o644).contains(warning) && !told(0o640).contains("every user"));
    std::fs::create_dir(folder.path().join("..data")).unwrap();
    assert!(!told(0o644).contains("every user"));
}

#[test]
fn an_admin_port_on_all_addresses_is_a_warning() {
    let folder = TempDir::new().unwrap();
    let base = "listeners: [{ address: '127.0.0.1:8443', plaintext: true }]\nroutes: [{ name: a, match: { path: /a }, upstream: \
                { url: 'http://127.0.0.1:8000' }, auth: public }]\nadmin: ";
    let warned = |admin: &str| {
        write(&folder, &[("gateway.yaml", &format!("{base}{admin}\n"))]);
        text(&check(folder.path(), &[]).stderr).contains("admin.address: every machine that reaches this port can read")
    };
    assert!(warned("{ address: '0.0.0.0:9901' }") && warned("{ address: '[::]:9901' }"));
    assert!(!warned("{ address: '127.0.0.1:9901' }") && !warned("{ address: '10.0.0.1:9901' }"));
    assert!(!warned("{ address: '0.0.0.0:9901', hosts: [] }"));
}

/// A certificate of which a third of a short lifetime is left is not renewed late.
#[test]
fn a_certificate_with_a_short_lifetime_is_due_in_parts_of_it() {
    let folder = TempDir::new().unwrap();
    let now = UnixTime::from_seconds(1_800_000_000).unwrap();
    // The same as `now` at 0.
    let time = |hours: i32| {
        let hour = std::time::Duration::from_secs(3600);
        let (now, distance) = (rcgen::date_time_ymd(2027, 1, 15) + hour * 8, hour * hours.unsigned_abs());
        if hours < 0 { now - distance } else { now + distance }
    };
    let warned = |begins: i32, expires: i32| {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (time(begins), time(expires));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let yaml = "listeners: [{ address: '127.0.0.1:0', tls: { certificates: [{ cert: a.crt, key: a.key }] } }]\nroutes: [{ \
                    name: a, match: { path: /a }, upstream: { url: 'http://127.0.0.1:8000' }, auth: public }]\n";
        write(&folder, &[("gateway.yaml", yaml), ("a.crt", &certificate.pem()), ("a.key", &key.serialize_pem())]);
        let config = config::load(&folder.path().join("gateway.yaml"), &Handles::default()).unwrap();
        let warnings = config.warnings_at(now).into_iter().map(|warning| warning.message);
        warnings.filter(|warning| warning.contains("expires at")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!((warned(-24 * 50, 24 * 40), warned(-10, 14)), (String::new(), String::new()));
    assert!(warned(-24 * 65, 24 * 25).contains("in less than 30 days"));
    assert!(warned(-24 * 85, 24 * 5).contains("in less than 7 days"));
    assert!(warned(-17, 7).contains("in less than 8 hours") && warned(-23, 1).contains("in less than 2 hours"));
}
