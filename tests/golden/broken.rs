//! The files `check/NN-name.yaml`, each with a mistake that people make, and beside each of them the output of
//! `hookgate check`: `check/NN-name.stderr`. `TRYCMD=overwrite` writes the outputs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Authority, Issuer, certificate};

/// A folder with the files that the broken files name, so that a missing file is a problem only where it is meant to be.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (_, certificate, key) = certificate(&["hooks.example.com"]);
    for (name, content) in [
        ("server.crt", certificate),
        ("server.key", key),
        ("clients.crt", Authority::new("clients").pem),
        ("jwks.json", Issuer::es256("k1").jwks()),
        ("secret", "an example of a secret".repeat(4)),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The files of the folder with this extension, sorted.
fn files(extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// The output of `hookgate check` for a copy of the file in `folder`.
fn printed(folder: &Path, file: &Path) -> String {
    let name = file.file_name().unwrap();
    std::fs::copy(file, folder.join(name)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
    let output = command.current_dir(folder).arg("check").arg(name).env_remove("HOOKGATE_CONFIG").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(64), &b""[..]), "{name:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_broken_file_has_its_golden_problems() {
    let (folder, files) = (folder(), files("yaml"));
    let overwrite = std::env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite");
    let mut differing = Vec::new();
    for file in &files {
        let (golden, actual) = (file.with_extension("stderr"), printed(folder.path(), file));
        if overwrite {
            std::fs::write(golden, actual).unwrap();
        } else if std::fs::read_to_string(&golden).ok().as_deref() != Some(&actual) {
            differing.push(format!("{} differs from what is printed now:\n{actual}", golden.display()));
        }
    }
    assert!(!files.is_empty());
    assert!(differing.is_empty(), "{}\nTRYCMD=overwrite accepts this", differing.join("\n"));
}

#[test]
fn every_golden_file_has_its_broken_file() {
    for path in files("stderr") {
        assert!(path.with_extension("yaml").exists(), "{} belongs to no file", path.display());
    }
}
