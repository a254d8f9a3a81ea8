//! One gateway.yaml for several environments: `include`, and environment variables in scalars.

use std::path::Path;
use std::process::Command;

use hookgate::config::{self, Handles};
use hookgate::reload::Reloaded;
use tempfile::TempDir;

use crate::support::configuration::{Configuration, Listener};
use crate::support::{Gateway, Setup, Upstream, certificate, replace, until};

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn route(name: &str) -> String {
    format!("{{ name: {name}, match: {{ path: /{name} }}, upstream: {{ url: 'http://127.0.0.1:1' }}, auth: public }}")
}

const MAIN: &str = "listeners: [{ address: '127.0.0.1:0', plaintext: true }]\ninclude: routes.d/*.yaml\n";

/// The problems and warnings of gateway.yaml, a line each, without the path of the folder.
fn told(folder: &TempDir) -> String {
    let path = folder.path().join("gateway.yaml");
    let text = match config::load(&path, &Handles::default()) {
        Ok(config) => config.warnings.iter().map(|warning| config.shown(warning)).collect::<Vec<_>>().join("\n"),
        Err(errors) => errors.to_string(),
    };
    text.replace(&format!("{}/", folder.path().display()), "")
}

fn names(folder: &TempDir) -> Vec<String> {
    let config = config::load(&folder.path().join("gateway.yaml"), &Handles::default()).unwrap();
    let mut names: Vec<String> = config.snapshot.routes.routes().map(|route| route.name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn routes_of_a_folder_are_added_to_those_of_the_file() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "gateway.yaml", &format!("{MAIN}routes: [{}]\n", route("main")));
    write(folder.path(), "routes.d/b.yaml", &format!("routes: [{}]", route("b")));
    write(folder.path(), "routes.d/.hidden.yaml", "no: [routes");
    write(folder.path(), "routes.d/b.yaml~", "no: [routes");
    assert_eq!(names(&folder), ["b", "main"]);
    write(folder.path(), "gateway.yaml", MAIN);
    // As a mounted ConfigMap has it: a link to a file behind the link ..data.
    write(folder.path(), "routes.d/..1/a.yaml", &format!("routes:\n  - {}\n  - {}\n", route("a"), route("c")));
    std::os::unix::fs::symlink("..1", folder.path().join("routes.d/..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", folder.path().join("routes.d/a.yaml")).unwrap();
    assert_eq!(names(&folder), ["a", "b", "c"]);
}

#[test]
fn every_problem_names_its_file_and_its_line() {
    let folder = TempDir::new().unwrap();
    let main = format!("{MAIN}drain: {{ delay: soon }}\nroutes:\n  - {}\n", route("one"));
    write(folder.path(), "gateway.yaml", &main);
    write(folder.path(), "routes.d/a.yaml", &format!("# a comment\nroutes:\n  - {}\n  - {{ nme: x }}\n", route("two")));
    write(folder.path(), "routes.d/b.yaml", "routes: [\n");
    write(
        folder.path(),
        "routes.d/c.yaml",
        &format!("routes:\n  - {}\n  - {}\nworkers: 2\n", route("one"), route("two")),
    );
    write(folder.path(), "routes.d/d.yaml", "");
    std::fs::create_dir(folder.path().join("routes.d/e.yaml")).unwrap();
    let told = told(&folder);
    for expected in [
        "gateway.yaml:3:10: drain.delay: expected a duration",
        "routes.d/a.yaml:4:7: routes[1].nme: unknown field, did you mean `name`?",
        "routes.d/b.yaml:",
        "routes.d/c.yaml:4:1: workers: an included file has `routes` only; move this key to gateway.yaml",
        "routes.d/d.yaml:1:1: expected `routes:` and a list of routes",
        "routes.d/e.yaml:1:1: not a regular file",
        "routes.d/c.yaml:2:7: routes[0].name: duplicate name: routes[0] of the file that includes this one uses it",
        "routes.d/c.yaml:3:7: routes[1].name: duplicate name: routes[0] of routes.d/a.yaml uses it",
    ] {
        assert!(told.lines().any(|line| line.starts_with(expected)), "{expected}\n{told}");
    }
}

#[test]
fn a_pattern_without_a_match_is_a_warning_and_a_wrong_one_a_problem() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "gateway.yaml", &format!("{MAIN}routes: [{}]\n", route("main")));
    assert!(told(&folder).contains("include: matches no file"), "{}", told(&folder));
    write(folder.path(), "gateway.yaml", MAIN);
    let none = "gateway.yaml:2:1: include: routes.d/*.yaml: no file matches, and this file has no routes";
    assert!(told(&folder).starts_with(none), "{}", told(&folder));
    write(
        folder.path(),
        "gateway.yaml",
        &format!("{}routes: [{}]\n", MAIN.replace("routes.d/*", "routes.d/**/*"), route("main")),
    );
    let problem = "gateway.yaml:2:1: include: expected a folder and a pattern of names in it";
    assert!(told(&folder).starts_with(problem), "{}", told(&folder));
}

async fn status(gateway: &Gateway, path: &str) -> u16 {
    gateway.client().send(gateway.client().request(path), "{}").await.status.as_u16()
}

#[tokio::test]
async fn files_that_are_added_changed_and_removed_are_noticed() {
    let upstream = Upstream::echo().await;
    let open = |path: &str| {
        let url = format!("http://{}", upstream.address);
        format!("routes: [{{ name: more, match: {{ path: {path} }}, upstream: {{ url: '{url}' }}, auth: public }}]")
    };
    let setup = Setup::new(upstream.address).top(|top| top.with("include", "routes.d/*.yaml"));
    // The folder is there, and has no file yet.
    let gateway = setup.file("routes.d/README", "").start();
    assert_eq!(status(&gateway, "/one").await, 404);
    replace(&gateway.path("routes.d/more.yaml"), &open("/one"));
    until("the added file is active", async || status(&gateway, "/one").await == 200).await;
    replace(&gateway.path("routes.d/more.yaml"), &open("/two"));
    until("the changed file is active", async || status(&gateway, "/two").await == 200).await;
    replace(&gateway.path("routes.d/more.yaml"), "routes: [");
    until("the broken file is noticed", async || {
        gateway.metric("hookgate_config_last_reload_successful").await == Some(0.0)
    })
    .await;
    assert_eq!((gateway.running().reload(), status(&gateway, "/two").await), (Reloaded::Rejected, 200));
    std::fs::remove_file(gateway.path("routes.d/more.yaml")).unwrap();
    until("the removed file is noticed", async || status(&gateway, "/two").await == 404).await;
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
}

/// The output of `hookgate check` with these environment variables, and `true` if it succeeds.
fn checked(folder: &TempDir, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    command.current_dir(folder.path()).arg("check").env_remove("HOOKGATE_CONFIG").envs(variables.iter().copied());
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Numbers, booleans, durations and parts of texts.
#[test]
fn a_value_of_the_environment_has_the_type_of_its_field() {
    let folder = TempDir::new().unwrap();
    let listener = Listener::empty().address("127.0.0.1:${PORT}").with("plaintext", "${PLAIN:-true}");
    let main = Configuration::empty().add_listener(listener).with("workers", "${WORKERS:-1}");
    let main = main.with("include", "${ROUTES:-routes.d}/*.yaml").with("drain.delay", "${DELAY}");
    write(folder.path(), "gateway.yaml", &main.to_string());
    let upstream = route("a").replace("http://127.0.0.1:1", "${UPSTREAM:-http://127.0.0.1:1}");
    write(folder.path(), "routes.d/a.yaml", &format!("routes:\n  - {upstream}\n"));
    let (is_valid, text) = checked(&folder, &[("PORT", "8443"), ("DELAY", "3s"), ("UPSTREAM", "http://10.0.0.1:80")]);
    assert!(is_valid && text.contains("http://10.0.0.1"), "{text}");
    let wrong = [("PORT", "many"), ("WORKERS", "many"), ("UPSTREAM", "nowhere"), ("PLAIN", "maybe")];
    let (is_valid, text) = checked(&folder, &wrong);
    assert!(!is_valid);
    for (field, rest) in [
        ("workers", "(the value comes from ${WORKERS})"),
        ("listeners[0].address", "(the value comes from ${PORT})"),
        ("listeners[0].plaintext", "(the value comes from ${PLAIN})"),
        ("drain.delay", "environment variable DELAY is not set; set it, or write a default: ${DELAY:-default}"),
        ("routes[0].upstream.url", "(the value comes from ${UPSTREAM})"),
    ] {
        let of_field: Vec<&str> = text.lines().filter(|line| line.contains(&format!(" {field}: "))).collect();
        assert!(of_field.len() == 1 && of_field[0].contains(rest), "{field}: {text}");
    }
    assert!(text.lines().any(|line| line.starts_with("routes.d/a.yaml:2:")), "{text}");
}

/// The blocks of the page are no `yaml`, which would have to match the JSON Schema as they are written.
#[test]
fn the_examples_of_the_page_are_valid() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/environments.md")).unwrap();
    let blocks: Vec<&str> = page.split("```yml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let [variables, including, included] = blocks[..] else { panic!("{blocks:?}") };
    let (folder, (_, certificate, key)) = (TempDir::new().unwrap(), certificate(&["localhost"]));
    write(folder.path(), "certs/server.crt", &certificate);
    write(folder.path(), "certs/server.key", &key);
    write(folder.path(), "secrets/github", "an example of a secret");
    write(folder.path(), "gateway.yaml", variables);
    assert_eq!(names(&folder), ["github"]);
    write(folder.path(), "gateway.yaml", including);
    write(folder.path(), "routes.d/github.yaml", included);
    assert_eq!(names(&folder), ["github"]);
}
