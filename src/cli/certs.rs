//! `hookgate dev-certs`: writes a development CA, a server certificate and an issuer's keys for a first run.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::dev::{Certificates, DevIssuer};

/// Arguments of `hookgate dev-certs`.
#[derive(Debug, clap::Args)]
pub struct DevCertsArguments {
    /// Directory for the files; created if it does not exist
    #[arg(long, default_value = "certs")]
    dir: PathBuf,
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
}

/// The mode of a file that every user may read.
const PUBLIC: u32 = 0o644;

/// The mode of a file that only the owner may read.
const PRIVATE: u32 = 0o600;

pub(super) fn certs(arguments: &DevCertsArguments) -> anyhow::Result<()> {
    let certificates = Certificates::generate()?;
    let issuer = DevIssuer::generate()?;
    let files = [
        ("ca.crt", PUBLIC, certificates.ca.clone()),
        ("server.crt", PUBLIC, certificates.server.clone()),
        ("server.key", PRIVATE, certificates.server_key.clone()),
        ("issuer.jwks.json", PUBLIC, format!("{:#}\n", issuer.jwks()?)),
        ("issuer.key", PRIVATE, issuer.private_pem.clone()),
    ];
    fs::create_dir_all(&arguments.dir)
        .with_context(|| format!("cannot create directory {}", arguments.dir.display()))?;
    if let Some((name, ..)) = files.iter().find(|(name, ..)| !arguments.force && arguments.dir.join(name).exists()) {
        anyhow::bail!("{} already exists; --force overwrites it", arguments.dir.join(name).display());
    }
    for (name, mode, content) in &files {
        let path = arguments.dir.join(name);
        write(&path, *mode, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Writes a temporary file and renames it to `path`: a gateway that watches the directory never sees half a file.
fn write(path: &Path, mode: u32, content: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    // A leftover temporary file would keep its own mode.
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(content.as_bytes())?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A temporary file of an interrupted run may have been created under another umask: a key that is written into it
    /// would be readable for every user.
    #[test]
    fn a_left_over_file_does_not_determine_the_key_s_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (key, left_over) = (folder.path().join("server.key"), folder.path().join("server.new"));
        fs::write(&left_over, "half a key").unwrap();
        fs::set_permissions(&left_over, fs::Permissions::from_mode(0o644)).unwrap();
        write(&key, PRIVATE, "a key").unwrap();
        let metadata = fs::metadata(&key).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, fs::read_to_string(&key).unwrap()), (0o600, "a key".into()));
        assert!(!left_over.exists());
    }
}
