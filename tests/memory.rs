//! The memory bound of a configuration, and the memory limit that follows from it.

use hookgate::app::memory::{cgroup_limit, memory_terms};
use hookgate::config::{self, Handles};
use serde_yaml::{Deserializer, Value};
use tempfile::TempDir;

use crate::support::certificate;

const MANIFEST: &str = include_str!("../deploy/kubernetes/sidecar.yaml");

/// The only document of this kind in the manifest.
fn document(kind: &str) -> Value {
    use serde::Deserialize;
    let documents = Deserializer::from_str(MANIFEST).map(|document| Value::deserialize(document).unwrap());
    documents.into_iter().find(|document| document["kind"] == kind).unwrap()
}

/// The container's limit is the bound, rounded up by at most an eighth.
#[test]
fn the_memory_limit_of_the_manifest_is_the_bound_of_its_configuration() {
    let (_, certificate, key) = certificate(&["localhost"]);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("gateway.yaml");
    let text = document("ConfigMap")["data"]["gateway.yaml"].as_str().unwrap().replace("/etc/hookgate-tls/", "");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("tls.crt"), certificate).unwrap();
    std::fs::write(folder.path().join("tls.key"), key).unwrap();
    let config = config::load(&path, &Handles::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let bound: u64 = memory_terms(&config).iter().map(|term| term.bytes).sum();
    let containers = &document("Deployment")["spec"]["template"]["spec"]["containers"];
    let gateway = containers.as_sequence().unwrap().iter().find(|container| container["name"] == "hookgate").unwrap();
    let limit = gateway["resources"]["limits"]["memory"].as_str().unwrap().strip_suffix("Mi").unwrap();
    let limit = limit.parse::<u64>().unwrap() << 20;
    assert!(bound <= limit && limit <= bound / 8 * 9, "bound {} MiB, limit {} MiB", bound >> 20, limit >> 20);
}

/// A limit that is lower than the bound is a warning, with the exit code of a valid file.
#[test]
fn check_prints_the_bound_and_warns_below_it() {
    let folder = TempDir::new().unwrap();
    let text = "workers: 2\nlisteners: [{ address: \"127.0.0.1:0\", plaintext: true }]\nroutes:\n  - name: a\n    \
                match: { path: /a }\n    upstream: { url: \"http://127.0.0.1:9\" }\n    auth: public\n";
    std::fs::write(folder.path().join("gateway.yaml"), text).unwrap();
    let check = |limit: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hookgate"));
        let output = command.args(["check", "--memory-limit", limit]).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let (bound, warnings) = check("4MiB");
    assert!(
        bound.contains("\nmemory when every limit is reached at once: ") && bound.contains("(connections "),
        "{bound}"
    );
    assert!(warnings.contains("warning: memory: needs ") && warnings.contains("more than the 4 MiB of"), "{warnings}");
    assert!(!check("100GiB").1.contains("memory: needs"));
}

/// Where this machine has no control groups, there is no limit.
#[test]
fn a_machine_without_control_groups_has_no_limit() {
    assert_eq!(cgroup_limit(TempDir::new().unwrap().path(), "0::/a\n4:memory:/b\n"), None);
}
