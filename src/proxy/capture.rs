//! Stores rejected requests for `hookgate explain` (`capture` of a route), and those that only a dry run forwards, whose file
//! names say so: unchanged, including their secrets, readable only by the operator (mode 0600), and at most
//! `capture.max_requests` of each route: the first of each reason and the newest, so that a flood does not delete the one
//! that the operator looks for.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use http::request::Parts;

use super::request_context::RequestContext;
use crate::auth::Rejection;
use crate::reason::Reason;

/// Maximum number of files that are written at the same time, each with its request in memory.
pub const WRITERS: usize = 8;

/// Captures of each reason that stay until the next ones, as long as they are at most half of a route's captures.
const FIRST: usize = 3;

/// The folder of the route, and the reason, of the files that are being written.
static UNDER_WAY: Mutex<BTreeSet<(PathBuf, Reason)>> = Mutex::new(BTreeSet::new());

/// Held from making room to writing the file: two writers would together exceed the maximum, and remove one file twice.
static TURN: Mutex<()> = Mutex::new(());

/// Writes the request to a file if the route has `capture`, on another thread than the request.
pub(super) fn store(context: &RequestContext<'_>, body: &[u8], rejection: &Rejection) {
    let RequestContext { route, head, request_id, now, .. } = context;
    let Some(capture) = route.capture.clone() else { return };
    let folder = capture.dir.join(&*route.name);
    let Some(turn) = Turn::begin(&folder, rejection.reason) else { return };
    let message = message(head, body);
    let reason = rejection.reason.word();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Milliseconds with 13 digits, so that file names sort by time.
    let mark = if route.observes(*now) { "dry_run-" } else { "" };
    let name = format!("{:013}-{reason}-{mark}{request_id}.http", since.as_millis());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = write(&folder, capture.max_requests, &name, &message) {
            tracing::warn!(folder = %folder.display(), %error, "cannot write a captured request");
        }
        drop(turn);
    });
}

/// The only writer of a route and reason. In a flood of one reason, a few captures show as much as all of them, and the
/// other reasons keep their turns.
struct Turn((PathBuf, Reason));

impl Turn {
    fn begin(folder: &Path, reason: Reason) -> Option<Self> {
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (folder.to_owned(), reason);
        (under_way.len() < WRITERS && under_way.insert(key.clone())).then(|| Self(key))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
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

/// Removes captures until there is room for one more: the oldest, except the first of each reason.
fn make_room(folder: &Path, most: usize) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut kept: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "http")).collect();
    kept.sort();
    let surplus = (kept.len() + 1).saturating_sub(most);
    let first = first_of_each_reason(&kept, most / 2);
    kept.iter().filter(|path| !first.contains(path)).take(surplus).try_for_each(fs::remove_file)
}

/// At most `most` of the captures, which are sorted by time: the first of every reason, then the second, and so on.
fn first_of_each_reason(captures: &[PathBuf], most: usize) -> BTreeSet<&PathBuf> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut ranked: Vec<(usize, &PathBuf)> = Vec::new();
    for path in captures {
        let rank = seen.entry(reason_of(path)).or_default();
        *rank += 1;
        if *rank <= FIRST {
            ranked.push((*rank, path));
        }
    }
    ranked.sort();
    ranked.into_iter().take(most).map(|(_, path)| path).collect()
}

/// The reason in the name of a capture.
fn reason_of(path: &Path) -> &str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('-').nth(1).unwrap_or_default()
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

    /// Of each reason the first ones stay, and the newest of all.
    #[test]
    fn a_flood_deletes_neither_the_first_nor_the_newest_captures() {
        let folder = tempfile::TempDir::new().unwrap();
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        write(folder.path(), 10, "001-token_expired-a.http", b"x").unwrap();
        for turn in 2..100 {
            write(folder.path(), 10, &format!("{turn:03}-invalid_signature-b.http"), b"x").unwrap();
            assert!(names().len() <= 10);
        }
        let numbers: Vec<u32> = names().iter().map(|name| name[..3].parse().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 94, 95, 96, 97, 98, 99]);
        // Many reasons share the half that is kept, one of each.
        for reason in 0..50 {
            write(folder.path(), 10, &format!("{}-r{reason}-c.http", 100 + reason), b"x").unwrap();
        }
        let numbers: Vec<u32> = names().iter().map(|name| name[..3].parse().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 100, 101, 102, 145, 146, 147, 148, 149]);
    }

    /// A flood of one reason takes one turn, and not those of other routes and reasons.
    #[test]
    fn one_request_of_each_route_and_reason_is_written_at_a_time() {
        let (route, other) = (Path::new("turns"), Path::new("other turns"));
        let turn = Turn::begin(route, Reason::TokenExpired);
        assert!(turn.is_some() && Turn::begin(route, Reason::TokenExpired).is_none());
        assert!(Turn::begin(other, Reason::TokenExpired).is_some());
        assert!(Turn::begin(route, Reason::InvalidSignature).is_some());
        drop(turn);
        assert!(Turn::begin(route, Reason::TokenExpired).is_some());
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
        assert_eq!(names, ["000-notes.txt", "1.http", "3.http"]);
        assert!(write(folder.path(), 2, "1.http", b"y").is_err());
    }
}
