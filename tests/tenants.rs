//! Many tenants on one route: `/hooks/{tenant}`, whose secrets are the files of a folder.

mod tokens;

use std::path::Path;

use hookgate::config::Handles;
use serde_json::{Value, json};

use crate::support::configuration::{Preset, Route, SenderLimit, Signature, StaticToken, Store, any_of, file};
use crate::support::{Answer, Gateway, Setup, Upstream, hmac, replace, schema, until};

const ACME: &str = "the secret of the tenant acme";
const BOB: &str = "the secret of the tenant bob";

/// The secrets of tenants.
fn folder() -> Value {
    json!({ "dir": "secrets/{tenant}" })
}

fn signature() -> Signature {
    Signature::hmac("X-Signature", &["body"]).without("secret").with("secrets", folder())
}

/// `/hooks/{tenant}` for acme and bob, with this `auth`.
fn setup(upstream: &Upstream, auth: impl Into<Value>) -> Setup {
    let setup = Setup::new(upstream.address).auth(auth);
    let setup = setup.route(|route| route.path("/hooks/{tenant}").replay_protection("disabled"));
    setup.file("secrets/acme", ACME).file("secrets/bob", &format!("{BOB}\n")).file("secrets/.hidden", "")
}

/// POST of a body that is signed with this secret.
async fn post(gateway: &Gateway, path: &str, secret: &str, body: &str) -> Answer {
    let client = gateway.client();
    client.send(client.request(path).header("x-signature", hmac(secret, body)), body.to_owned()).await
}

async fn passes(gateway: &Gateway, path: &str, secret: &str) -> bool {
    post(gateway, path, secret, "x").await.status == 200
}

#[tokio::test]
async fn a_tenant_is_verified_with_its_own_secret() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, signature()).start();
    for (path, secret) in [("/hooks/acme", ACME), ("/hooks/bob?a=b", BOB), ("/hooks/%61cme", ACME)] {
        assert!(passes(&gateway, path, secret).await, "{path}");
    }
    let (forwarded, invalid) = (upstream.seen().len(), (401, "unauthorized".to_owned()));
    for path in ["/hooks/acme", "/hooks/carol", "/hooks/ACME", "/hooks/.hidden", "/hooks/acme.next", "/hooks/a%20b"] {
        assert_eq!(post(&gateway, path, BOB, "x").await.problem(), invalid, "{path}");
    }
    for path in ["/hooks", "/hooks/", "/hooks/acme/", "/hooks/acme/x"] {
        assert_eq!(post(&gateway, path, ACME, "x").await.problem().0, 404, "{path}");
    }
    // The segment never becomes a part of a file's name.
    for path in ["/hooks/..", "/hooks/%2e%2e", "/hooks/..%2facme", "/hooks/acme%00", "/hooks/acme%5c"] {
        assert_eq!(post(&gateway, path, ACME, "x").await.problem(), (400, "ambiguous_path".to_owned()), "{path}");
    }
    assert_eq!(upstream.seen().len(), forwarded);
}

/// A client must not learn which tenants exist: not by the response, and not by a metric.
#[tokio::test]
async fn an_unknown_tenant_gets_the_response_of_a_wrong_signature() {
    let upstream = Upstream::echo().await;
    let tokens = StaticToken::new("X-Signature", "none").without("secret").with("secrets", folder());
    for auth in [Value::from(signature()), tokens.into()] {
        let gateway = setup(&upstream, auth).start();
        let shown = |answer: Answer| {
            let mut headers = answer.headers.clone();
            for name in ["x-request-id", "date"] {
                headers.remove(name);
            }
            let mut body = answer.json();
            body["instance"].take();
            (answer.status, headers, body)
        };
        let wrong = shown(post(&gateway, "/hooks/acme", "another", "x").await);
        for secret in ["another", ACME, BOB] {
            assert_eq!(shown(post(&gateway, "/hooks/carol", secret, "x").await), wrong);
        }
        let page = gateway.admin("/metrics").await.text();
        assert!(!page.contains("carol") && !page.contains("acme"), "{page}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_file_takes_effect_by_itself() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, signature()).start();
    let version = gateway.admin("/status").await.json()["configuration"].clone();
    let tenants = async || gateway.metric("hookgate_tenants{folder=\"secrets\"}").await;
    assert_eq!(tenants().await, Some(2.0));
    replace(&gateway.path("secrets/carol"), "the secret of carol");
    until("carol is there", async || passes(&gateway, "/hooks/carol", "the secret of carol").await).await;
    assert_eq!(tenants().await, Some(3.0));
    // A rotation: the next secret is a second file, which then replaces the first.
    std::fs::write(gateway.path("secrets/acme.next"), "the next secret of acme").unwrap();
    until("the next secret", async || passes(&gateway, "/hooks/acme", "the next secret of acme").await).await;
    assert!(passes(&gateway, "/hooks/acme", ACME).await);
    std::fs::rename(gateway.path("secrets/acme.next"), gateway.path("secrets/acme")).unwrap();
    until("the old secret is gone", async || !passes(&gateway, "/hooks/acme", ACME).await).await;
    assert!(passes(&gateway, "/hooks/acme", "the next secret of acme").await);
    std::fs::remove_file(gateway.path("secrets/bob")).unwrap();
    until("bob is gone", async || !passes(&gateway, "/hooks/bob", BOB).await).await;
    assert_eq!(gateway.admin("/status").await.json()["configuration"], version);
}

/// A file of a rotation that was left over: a client with that secret would still pass for the tenant.
#[tokio::test]
async fn a_tenant_ends_with_its_main_file() {
    let upstream = Upstream::echo().await;
    let setup = setup(&upstream, signature()).file("secrets/acme.next", "the next secret of acme");
    let gateway = setup.file("secrets/carol.next", "the next secret of carol").start();
    let successful = "hookgate_tenants_last_reload_successful{folder=\"secrets\"}";
    until("carol's file is reported", async || gateway.metric(successful).await == Some(0.0)).await;
    assert!(!passes(&gateway, "/hooks/carol", "the next secret of carol").await);
    assert!(passes(&gateway, "/hooks/acme", "the next secret of acme").await);
    std::fs::remove_file(gateway.path("secrets/acme")).unwrap();
    until("acme is gone", async || !passes(&gateway, "/hooks/acme", ACME).await).await;
    assert!(!passes(&gateway, "/hooks/acme", "the next secret of acme").await);
    assert_eq!(gateway.metric("hookgate_tenants{folder=\"secrets\"}").await, Some(1.0));
    replace(&gateway.path("secrets/acme"), ACME);
    until("acme is back", async || passes(&gateway, "/hooks/acme", "the next secret of acme").await).await;
    assert!(passes(&gateway, "/hooks/acme", ACME).await);
}

/// One tenant's mistake must not stop the others, neither at the start nor later.
#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_others_active() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, signature()).file("secrets/carol", "").start();
    let successful = "hookgate_tenants_last_reload_successful{folder=\"secrets\"}";
    until("carol is rejected", async || gateway.metric(successful).await == Some(0.0)).await;
    assert!(passes(&gateway, "/hooks/acme", ACME).await);
    assert!(!passes(&gateway, "/hooks/carol", "").await);
    replace(&gateway.path("secrets/carol"), "the secret of carol");
    until("all are active", async || gateway.metric(successful).await == Some(1.0)).await;
    assert!(passes(&gateway, "/hooks/carol", "the secret of carol").await);
    // The last secret stays, perhaps while a file is being written.
    std::fs::write(gateway.path("secrets/acme"), "").unwrap();
    until("acme is rejected", async || gateway.metric(successful).await == Some(0.0)).await;
    assert!(passes(&gateway, "/hooks/acme", ACME).await && passes(&gateway, "/hooks/bob", BOB).await);
}

/// A secret does not wait for a configuration that is broken, and a changed configuration keeps the secrets.
#[tokio::test]
async fn secrets_and_configuration_are_reloaded_apart() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, signature()).start();
    let text = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    replace(&gateway.path("gateway.yaml"), "routes: [");
    replace(&gateway.path("secrets/bob"), "the next secret of bob");
    until("the next secret", async || passes(&gateway, "/hooks/bob", "the next secret of bob").await).await;
    replace(&gateway.path("gateway.yaml"), &text);
    let hex = json!({ "dir": "secrets", "file_encoding": "hex" });
    std::fs::write(gateway.path("secrets/acme"), hex::encode(ACME)).unwrap();
    std::fs::write(gateway.path("secrets/bob"), hex::encode(BOB)).unwrap();
    gateway.edit_route(|route| route.auth(signature().with("secrets", hex)));
    until("the files are hex", async || passes(&gateway, "/hooks/bob", BOB).await).await;
    assert!(passes(&gateway, "/hooks/acme", ACME).await);
    // A folder that does not exist keeps the old configuration, until it exists.
    gateway.edit_route(|route| route.auth(signature().with("secrets", json!({ "dir": "others" }))));
    let valid = async || gateway.metric("hookgate_config_last_reload_successful").await;
    until("the folder is missing", async || valid().await == Some(0.0)).await;
    assert!(passes(&gateway, "/hooks/acme", ACME).await);
    std::fs::create_dir(gateway.path("others")).unwrap();
    std::fs::write(gateway.path("others/dave"), "the secret of dave").unwrap();
    until("the folder is there", async || passes(&gateway, "/hooks/dave", "the secret of dave").await).await;
    assert!(!passes(&gateway, "/hooks/acme", ACME).await);
}

/// A ConfigMap or Secret of Kubernetes: each file is a link into `..data`, itself a link that is replaced.
#[tokio::test]
async fn a_kubernetes_volume_is_read() {
    use std::os::unix::fs::symlink;
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, signature().with("secrets", json!({ "dir": "mounted" })))
        .file("mounted/..one/acme", ACME)
        .file("mounted/.keep", "")
        .start();
    let mounted = gateway.path("mounted");
    symlink("..one", mounted.join("..data")).unwrap();
    symlink("..data/acme", mounted.join("acme")).unwrap();
    until("the link is read", async || passes(&gateway, "/hooks/acme", ACME).await).await;
    std::fs::create_dir(mounted.join("..two")).unwrap();
    std::fs::write(mounted.join("..two/acme"), "the next secret of acme").unwrap();
    symlink("..two", mounted.join("..data_tmp")).unwrap();
    std::fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).unwrap();
    until("the next secret", async || passes(&gateway, "/hooks/acme", "the next secret of acme").await).await;
    assert!(!passes(&gateway, "/hooks/acme", ACME).await);
    // No link makes another file a secret.
    std::fs::write(gateway.path("public"), "known to everybody").unwrap();
    symlink("../public", mounted.join("bob")).unwrap();
    let successful = "hookgate_tenants_last_reload_successful{folder=\"mounted\"}";
    until("the link is rejected", async || gateway.metric(successful).await == Some(0.0)).await;
    assert!(!passes(&gateway, "/hooks/bob", "known to everybody").await);
}

/// Replay ids, idempotency keys and limits are those of the tenant.
#[tokio::test]
async fn a_tenant_is_a_sender_of_its_own() {
    let upstream = Upstream::echo().await;
    let stored = |route: Route| {
        let route = route.replay_protection(json!({ "ttl": "1h", "on_duplicate": "acknowledge" }));
        route.with("limits.per_sender", SenderLimit::rate_of("1/h").burst(1))
    };
    let gateway = setup(&upstream, signature()).top(|top| top.store(Store::memory())).route(stored).start();
    // The hash of the body is the id: the same for both.
    assert_eq!(post(&gateway, "/hooks/acme", ACME, "event 1").await.text(), "event 1");
    assert_eq!(post(&gateway, "/hooks/bob", BOB, "event 1").await.text(), "event 1");
    assert_eq!(post(&gateway, "/hooks/acme", ACME, "event 1").await.text(), "");
    for (path, secret) in [("/hooks/acme", ACME), ("/hooks/bob", BOB)] {
        assert_eq!(post(&gateway, path, secret, "event 2").await.status, 429, "{path}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn presets_and_inner_segments_have_tenants_too() {
    let upstream = Upstream::echo().await;
    let github = Preset::new("github").secrets(folder());
    let gateway = setup(&upstream, github).route(|route| route.path("/{tenant}/github/*")).start();
    let client = gateway.client();
    let signed = |path: &str, secret: &str| {
        client.request(path).header("x-hub-signature-256", format!("sha256={}", hmac(secret, "{}")))
    };
    assert_eq!(client.send(signed("/acme/github/push", ACME), "{}").await.status, 200);
    assert_eq!(client.send(signed("/bob/github/", BOB), "{}").await.status, 200);
    assert_eq!(client.send(signed("/bob/github/push", ACME), "{}").await.status, 401);
    assert_eq!(client.send(signed("/bob/github", BOB), "{}").await.status, 404);
}

/// The problems of a configuration.
fn problems(change: impl FnOnce(Route) -> Route, files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let (_, certificate, key) = crate::support::certificate(&["localhost"]);
    for (name, content) in [("server.crt", certificate.as_str()), ("server.key", &key), ("a", ACME), ("b", BOB)] {
        write(name, content);
    }
    write("jwks.json", &crate::support::Issuer::rs256("k").jwks());
    files.iter().for_each(|(name, content)| write(name, content));
    let top = crate::support::configuration::usual("127.0.0.1:9".parse().unwrap());
    let top = top.route(|route| change(route.path("/hooks/{tenant}").replay_protection("disabled")));
    let path = folder.path().join("gateway.yaml");
    write("gateway.yaml", &top.to_string());
    let messages = |errors: &hookgate::config::ConfigErrors| {
        errors.problems().iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
    };
    match schema::load(Path::new(&path), &Handles::default()) {
        Ok(config) => config.rejected_files.iter().map(|one| format!("{}: {}", one.field, one.message)).collect(),
        Err(errors) => messages(&errors),
    }
}

#[test]
fn a_path_with_a_tenant_and_its_secrets_belong_together() {
    let files = [("secrets/acme", ACME)];
    assert_eq!(problems(|route| route.auth(signature()), &files), Vec::<String>::new());
    let only = |change: fn(Route) -> Route, field: &str, words: &str| {
        let found = problems(change, &files);
        assert!(found.len() == 1 && found[0].starts_with(field) && found[0].contains(words), "{found:#?}");
    };
    let path = "routes[0].match.path: ";
    only(|route| route.auth(signature()).path("/hooks"), path, "require `{tenant}` in the path");
    only(|route| route.auth(Signature::hmac("X", &["body"]).secret(file("a"))), path, "`{tenant}` requires `secrets");
    only(|route| route, path, "`{tenant}` requires `secrets");
    let weaker = Signature::hmac("X-Other", &["body"]).secret(file("a"));
    let any = any_of([Value::from(signature()), weaker.into()]);
    let found = problems(|route| route.auth(any), &files);
    assert!(found[0].contains("in each alternative"), "{found:#?}");
    for wrong in
        ["/{tenant}x", "/hooks/{tenant}/{tenant}", "/hooks/{Tenant}", "/{a}/{tenant}", "/{tenant}/../x", "/{tenant}//x"]
    {
        let found = problems(|route| route.auth(signature()).path(wrong), &files);
        assert!(
            found.len() == 1 && found[0].contains("expected a path such as /hooks/{tenant}"),
            "{wrong}: {found:#?}"
        );
    }
    let secrets = |value: Value| signature().with("secrets", value);
    for (value, words) in [
        (json!({ "dir": "secrets/{tenant}/x" }), "expected a folder such as secrets/{tenant}"),
        (json!({}), "missing; expected a folder"),
        (json!({ "dir": "absent" }), "folder absent: not found"),
        (json!({ "dir": "a" }), "folder a: "),
        (json!("secrets"), "expected a list of secrets, or { dir: … }"),
    ] {
        let found = problems(|route| route.auth(secrets(value.clone())), &files);
        assert!(found.len() == 1 && found[0].contains(words), "{value}: {found:#?}");
    }
    let keyed = secrets(folder()).with("key_id", "header:X-Key");
    let found = problems(|route| route.auth(keyed), &files);
    assert!(found.len() == 1 && found[0].contains("the files of tenants have none"), "{found:#?}");
}

#[test]
fn each_file_that_cannot_be_used_is_named() {
    let long = "x".repeat(3000);
    let files = [
        ("secrets/acme", ACME),
        ("secrets/acme.1", "another secret of acme"),
        ("secrets/acme.2", "a third secret of acme"),
        ("secrets/acme.3", "a fourth secret of acme"),
        ("secrets/acme.4", "a fifth secret of acme"),
        ("secrets/bob", ACME),
        ("secrets/Carol", BOB),
        ("secrets/dave", ""),
        ("secrets/eve", "\n"),
        ("secrets/frank", "-----BEGIN PUBLIC KEY-----\n"),
        ("secrets/grace", &long),
        ("secrets/heidi", "the secret of heidi"),
        ("secrets/heidi.Next", BOB),
        ("secrets/inner/x", BOB),
        ("secrets/judy.next", BOB),
    ];
    let found = problems(|route| route.auth(signature()), &files);
    let expected = [
        ("Carol", "expected a tenant's name"),
        ("acme.4", "a tenant has at most 4 files"),
        ("bob", "has the same secret as tenant acme"),
        ("dave", "must not be empty"),
        ("eve", "must not be empty"),
        ("frank", "holds a key or certificate in PEM"),
        ("grace", "larger than 2KiB"),
        ("heidi.Next", "expected a tenant's name"),
        ("inner", "not a regular file"),
        ("judy.next", "there is no file judy"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, (name, words)) in found.iter().zip(expected) {
        let begin = format!("routes[0].auth.signature.secrets.dir: secrets/{name}: {words}");
        assert!(line.starts_with(&begin), "{line}, not {begin}");
    }
    let few = json!({ "dir": "secrets", "max_tenants": 2 });
    let found = problems(|route| route.auth(signature().with("secrets", few)), &files);
    assert!(found.len() == 1 && found[0].contains("more than 2 tenants; raise `max_tenants`"), "{found:#?}");
}

/// Public keys may be the secrets of tenants.
#[test]
fn a_public_key_of_a_tenant_has_any_form() {
    let key = "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let auth = signature().with("algorithm", "ed25519").without("secrets").with("public_keys", folder());
    assert_eq!(problems(|route| route.auth(auth.clone()), &[("secrets/acme", key)]), Vec::<String>::new());
    let found = problems(|route| route.auth(auth), &[("secrets/acme", "no key")]);
    assert!(found.len() == 1 && found[0].contains("expected the sender's public key"), "{found:#?}");
}
