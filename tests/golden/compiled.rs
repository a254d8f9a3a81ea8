//! Snapshots of compiled configurations, `compiled/NAME.snap`: those of the repository, and `compiled/NAME.yaml`. A
//! snapshot changes when a default or a decision changes. `INSTA_UPDATE=always` accepts all changes.

use std::path::{Path, PathBuf};

use hookgate::config::Handles;
use tempfile::TempDir;

use super::view;
use crate::support::schema::load;
use crate::support::{Authority, Issuer, certificate};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A folder with the files that the configurations name.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("certs")).unwrap();
    let (_, certificate, key) = certificate(&["hooks.example.com"]);
    let authority = Authority::new("clients");
    for (name, content) in [
        ("certs/server.crt", certificate.as_str()),
        ("certs/server.key", &key),
        ("certs/clients.crt", &authority.pem),
        ("certs/clients.crl", &authority.list(4000, &[])),
        ("certs/issuer.jwks.json", &Issuer::rs256("k1").jwks()),
        ("secret", "an example of a secret"),
        ("another-secret", "another example of a secret"),
        ("revoked.yaml", "jti: [a, b]"),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// Compares the compiled form of a configuration with its snapshot.
fn compare(name: &str, yaml: &str) {
    let folder = folder();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, yaml).unwrap();
    let config = load(&path, &Handles::default()).unwrap_or_else(|errors| panic!("{name}: {errors}"));
    let text = view::of(&config);
    assert!(!text.contains(&*folder.path().to_string_lossy()), "{text}");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("compiled");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn the_repository_s_configuration_has_its_snapshot() {
    compare("gateway", &read("gateway.yaml"));
}

/// The ConfigMap's gateway.yaml; its certificate files are renamed to those of the folder.
#[test]
fn the_sidecar_s_configuration_has_its_snapshot() {
    let manifest = read("deploy/kubernetes/sidecar.yaml");
    let (_, block) = manifest.split_once("  gateway.yaml: |\n").unwrap();
    let lines = block.lines().map_while(|line| line.strip_prefix("    ")).collect::<Vec<&str>>().join("\n");
    let yaml = lines.replace("/etc/hookgate-tls/tls", "certs/server");
    compare("sidecar", &yaml);
}

/// The files of the folder with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compiled")).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn every_typical_configuration_has_its_snapshot() {
    let files = files("yaml");
    for file in &files {
        compare(file.file_stem().unwrap().to_str().unwrap(), &std::fs::read_to_string(file).unwrap());
    }
    assert!(files.len() >= 8, "{files:?}");
}

#[test]
fn every_snapshot_has_its_configuration() {
    for snapshot in files("snap") {
        let is_of_the_repository = ["gateway", "sidecar"].iter().any(|name| snapshot.file_stem().unwrap() == *name);
        let has_file = is_of_the_repository || snapshot.with_extension("yaml").exists();
        assert!(has_file, "{} belongs to no configuration", snapshot.display());
    }
}
