//! Stores rejected requests for `hookgate explain` (`capture` of a route): unchanged, including their secrets, readable
//! only by the operator (mode 0600), and at most `capture.max_requests` of each route.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use http::request::Parts;
use tokio::sync::Semaphore;

use super::request_context::RequestContext;
use crate::auth::Rejection;

/// Maximum number of files that are written at the same time.
static UNDER_WAY: Semaphore = Semaphore::const_new(4);

/// Held from making room to writing the file: two writers would together exceed the maximum, and remove one file twice.
static TURN: Mutex<()> = Mutex::new(());

/// Writes the request to a file if the route has `capture`, on another thread than the request.
pub(super) fn store(context: &RequestContext<'_>, body: &[u8], rejection: &Rejection) {
    let RequestContext { route, head, request_id, .. } = context;
    let Some(capture) = route.capture.clone() else { return };
    let message = message(head, body);
    let reason = rejection.reason.word();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Milliseconds with 13 digits, so that file names sort by time.
    let name = format!("{:013}-{reason}-{request_id}.http", since.as_millis());
    let folder = capture.dir.join(&*route.name);
    // In a flood, the first few captures show as much as all of them.
    let Ok(permit) = UNDER_WAY.try_acquire() else { return };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = write(&folder, capture.max_requests, &name, &message) {
            tracing::warn!(folder = %folder.display(), %error, "cannot write a captured request");
        }
        drop(permit);
    });
}

/// The request as an HTTP/1.1 message, regardless of its HTTP version.
fn message(head: &Parts, body: &[u8]) -> Vec<u8> {
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut message = format!("{} {target} HTTP/1.1\r\n", head.method).into_bytes();
    let host = head.uri.authority().filter(|_| !head.headers.contains_key(http::header::HOST));
    if let Some(host) = host {
        message.extend_from_slice(format!("host: {host}\r\n").as_bytes());
    }
    for (name, value) in &head.headers {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(body);
    message
}

fn write(folder: &Path, most: usize, name: &str, message: &[u8]) -> io::Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    make_room(folder, most)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
    file.write_all(message)
}

/// Removes the oldest captures until there is room for one more.
fn make_room(folder: &Path, most: usize) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut kept: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "http")).collect();
    kept.sort();
    let surplus = (kept.len() + 1).saturating_sub(most);
    kept.iter().take(surplus).try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_captures_respect_the_maximum() {
        let folder = tempfile::TempDir::new().unwrap();
        let kept = || fs::read_dir(folder.path()).unwrap().count();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    for turn in 0..50 {
                        write(folder, 3, &format!("{turn:03}-{writer}.http"), b"x").unwrap();
                    }
                });
            }
        });
        assert_eq!(kept(), 3);
        write(folder.path(), 1, "999.http", b"x").unwrap();
        assert_eq!(kept(), 1);
    }

    /// Only files that end in `.http` are removed: the operator may keep other files in that directory.
    #[test]
    fn only_captures_make_room() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join("000-notes.txt"), "mine").unwrap();
        for name in ["1.http", "2.http", "3.http"] {
            write(folder.path(), 2, name, b"x").unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["000-notes.txt", "2.http", "3.http"]);
        assert!(write(folder.path(), 2, "3.http", b"y").is_err());
    }
}
