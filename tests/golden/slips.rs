//! The files `slips/NN-name.yaml`, each with a slip that people make and a comment `#! FIELD: TEXT` on its line: what
//! `hookgate check` says of it must name this line, this field and, with this text, what to write instead.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::certificate;

/// A folder with the files that the slips name.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (_, certificate, key) = certificate(&["hooks.example.com"]);
    let expired_key = rcgen::KeyPair::generate().unwrap();
    let mut expired = rcgen::CertificateParams::new(vec!["hooks.example.com".to_owned()]).unwrap();
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    for (name, content) in [
        ("server.crt", certificate),
        ("server.key", key),
        ("expired.crt", expired.self_signed(&expired_key).unwrap().pem()),
        ("expired.key", expired_key.serialize_pem()),
        ("secret", "a secret for the tests, long enough\n".to_owned()),
        ("other", "another secret for the tests, long enough\n".to_owned()),
        ("quoted", "\"a secret for the tests, long enough\"\n".to_owned()),
        ("issuer.pem", rcgen::KeyPair::generate().unwrap().public_key_pem()),
        ("assignment", "GITHUB_SECRET=a secret for the tests, long enough\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The line, the field and the text of the comment in a file.
fn expectation(text: &str) -> (usize, &str, &str) {
    let marked = text.lines().zip(1..).find_map(|(line, number)| Some((number, line.split_once("#! ")?.1)));
    let (line, comment) = marked.unwrap();
    match comment.strip_prefix(": ") {
        Some(text) => (line, "", text),
        None => comment.split_once(": ").map(|(field, text)| (line, field, text)).unwrap(),
    }
}

#[test]
fn every_slip_is_named_with_its_line_its_field_and_what_to_write() {
    let folder = folder();
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/slips")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut unnamed = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(folder.path().join(name), &text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        let output = command.current_dir(folder.path()).args(["check", name]).env_remove("HOOKGATE_CONFIG").output();
        let printed = String::from_utf8(output.unwrap().stderr).unwrap();
        let (line, field, remedy) = expectation(&text);
        let place = format!("{name}:{line}:");
        let is_named = |told: &str| told.starts_with(&place) && told.contains(field) && told.contains(remedy);
        if !printed.lines().any(is_named) {
            unnamed.push(format!("{name}: expected line {line}, {field}, {remedy}, got:\n{printed}"));
        }
    }
    assert_eq!(files.len(), 44);
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
}
