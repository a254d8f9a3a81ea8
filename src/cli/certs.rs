//! `hookgate certs`: files for a first run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::dev::{Certificates, DevIssuer};

/// `hookgate certs`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the files go
    #[arg(long, default_value = "certs")]
    dir: PathBuf,
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
}

/// Who may read a file.
#[derive(Clone, Copy)]
enum Mode {
    Everybody,
    Owner,
}

pub(super) fn certs(arguments: &Arguments) -> anyhow::Result<()> {
    let certificates = Certificates::generate()?;
    let issuer = DevIssuer::generate()?;
    let files = [
        ("ca.crt", Mode::Everybody, certificates.ca.clone()),
        ("server.crt", Mode::Everybody, certificates.server.clone()),
        ("server.key", Mode::Owner, certificates.server_key.clone()),
        ("issuer.jwks.json", Mode::Everybody, format!("{:#}\n", issuer.jwks()?)),
        ("issuer.key", Mode::Owner, issuer.private_pem()),
    ];
    fs::create_dir_all(&arguments.dir).with_context(|| format!("cannot make {}", arguments.dir.display()))?;
    if let Some((name, ..)) = files.iter().find(|(name, ..)| !arguments.force && arguments.dir.join(name).exists()) {
        anyhow::bail!("{} is there already; --force replaces it", arguments.dir.join(name).display());
    }
    for (name, mode, content) in &files {
        let path = arguments.dir.join(name);
        write(&path, *mode, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Beside its place and then renamed into it: a gateway that watches the folder never sees half a file.
fn write(path: &Path, mode: Mode, content: &str) -> std::io::Result<()> {
    let bits = match mode {
        Mode::Everybody => 0o644,
        Mode::Owner => 0o600,
    };
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(bits).open(&beside)?;
    file.write_all(content.as_bytes())?;
    fs::rename(&beside, path)
}
