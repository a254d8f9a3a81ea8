//! The captured requests of a folder (`capture.dir`), by route and reason, as their file names tell.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::summary::RejectionKind;

/// The most captures that are shown for a reason: the newest.
const SHOWN: usize = 2;

/// Captured requests by route, rejection and reason, the newest first.
pub(super) type Captures = BTreeMap<String, BTreeMap<(RejectionKind, String), Vec<PathBuf>>>;

/// The newest captures of each route and reason below `folder`.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn captures(folder: &Path) -> anyhow::Result<Captures> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut captures = Captures::new();
    for route in entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        let path = route.path();
        let files = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut files: Vec<PathBuf> = files.filter_map(Result::ok).map(|file| file.path()).collect();
        files.sort_by(|one, other| other.cmp(one));
        for file in files {
            let Some((kind, reason)) = file.file_name().and_then(|name| described(name.to_str()?)) else {
                continue;
            };
            let of_route = captures.entry(route.file_name().to_string_lossy().into_owned()).or_default();
            let of_reason = of_route.entry((kind, reason)).or_default();
            if of_reason.len() < SHOWN {
                of_reason.push(file);
            }
        }
    }
    Ok(captures)
}

/// The rejection and the reason in the name of a capture: `MILLISECONDS-REASON-[dry_run-]ID.http`.
fn described(name: &str) -> Option<(RejectionKind, String)> {
    let (millis, rest) = name.strip_suffix(".http")?.split_once('-')?;
    let (reason, rest) = rest.split_once('-')?;
    let kind = if rest.starts_with("dry_run-") { RejectionKind::WouldBeRejected } else { RejectionKind::Rejected };
    millis.bytes().all(|byte| byte.is_ascii_digit()).then(|| (kind, reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_rejection_and_reason() {
        let (kind, reason) = described("1796050000123-invalid_signature-dry_run-0af7.http").unwrap();
        assert_eq!((kind, reason.as_str()), (RejectionKind::WouldBeRejected, "invalid_signature"));
        let (kind, _) = described("1796050000123-token_expired-0af7.http").unwrap();
        assert_eq!(kind, RejectionKind::Rejected);
        for name in ["notes.txt", "a-b-c.http", "1796050000123.http", "1796050000123-token_expired.http"] {
            assert!(described(name).is_none(), "{name}");
        }
    }
}
