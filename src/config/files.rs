//! Reads a file within a size limit, and describes why it could not be read.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::values::write_size;

/// The bytes, or why they could not be read.
pub type SourceContent = Result<Zeroizing<Vec<u8>>, String>;

/// Reads a regular file of at most `max` bytes. Without `O_NONBLOCK`, a FIFO would stop the start or reload until a writer
/// opens it.
pub(super) fn read_file(path: &Path, max: u64) -> SourceContent {
    let described = |error: std::io::Error| describe(&error);
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(described)?;
    let metadata = file.metadata().map_err(described)?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    // With room for the whole file: a secret must not be left behind where the buffer grows.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(max)).unwrap_or_default() + 1));
    file.take(max + 1).read_to_end(&mut bytes).map_err(described)?;
    if bytes.len() as u64 > max {
        return Err(format!("larger than {}", write_size(max)));
    }
    Ok(bytes)
}

pub(super) fn describe(error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        "not found".to_owned()
    } else if error.kind() == ErrorKind::PermissionDenied {
        "not readable: permission denied".to_owned()
    } else {
        error.to_string()
    }
}
