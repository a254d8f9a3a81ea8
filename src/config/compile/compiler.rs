//! The state of a compilation, and the readers of durations, sizes, addresses and files that every part uses.

use std::net::SocketAddr;
use std::time::Duration;

use crate::auth::challenge::ChallengeRule;
use crate::clock::UnixTime;
use crate::config::compiled::Handles;
use crate::config::error::{FieldPath, Problems};
use crate::config::file::{DurationText, SizeText};
use crate::config::sources::{SourceContent, Sources};
use crate::config::values::{parse_duration, parse_size};
use crate::route::ErrorForm;

/// Walks the file and collects problems and warnings.
pub(super) struct Compiler<'a> {
    pub(super) sources: &'a Sources,
    pub(super) known: &'a Handles,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
    pub(super) handles: Handles,
    pub(super) certificates: Vec<(String, UnixTime)>,
    /// Whether a listener requests client certificates.
    pub(super) asks_clients: bool,
    /// Whether `trusted_proxies` names any.
    pub(super) trusts_proxies: bool,
    /// `max_buffered_bytes`: bytes of all bodies that may be buffered until they are verified.
    pub(super) buffered_bodies: u64,
    /// Whether the store is one in which replicas share rate limits.
    pub(super) shares_limits: bool,
    /// Number of secrets of the current route so far.
    pub(super) route_secrets: usize,
    /// Endpoint verification challenges of the current route so far.
    pub(super) route_challenges: Vec<ChallengeRule>,
    /// Format of the current route's error responses.
    pub(super) route_errors: ErrorForm,
    /// Preset of the current route, its largest body, and whether its sender never retries.
    pub(super) route_largest_body: Option<(String, String, bool)>,
    pub(super) client_crls: Vec<(String, UnixTime)>,
    /// Whether the current route has revocations in the shared store.
    pub(super) route_shares_revocation: bool,
    /// Whether there is a `store`, valid or not.
    pub(super) has_store: bool,
    /// Number of store entries that one route may have.
    pub(super) store_share: usize,
}

/// Helpers for every part of the compiler.
impl Compiler<'_> {
    pub(super) fn missing(&mut self, path: &FieldPath, what: &str) {
        self.problems.add_follow_up(path, format!("missing; expected {what}"));
    }

    /// A duration, which may be zero.
    pub(super) fn duration(&mut self, text: Option<&DurationText>, path: &FieldPath, default: Duration) -> Duration {
        self.optional_duration(text, path).unwrap_or(default)
    }

    pub(super) fn optional_duration(&mut self, text: Option<&DurationText>, path: &FieldPath) -> Option<Duration> {
        let parsed = parse_duration(&text?.0);
        if parsed.is_none() {
            self.problems.add(path, "expected a duration: a whole number and ms, s, m, h or d, such as 30s");
        }
        parsed
    }

    /// An optional duration that must not be zero, because zero would reject every request.
    pub(super) fn optional_nonzero_duration(
        &mut self,
        text: Option<&DurationText>,
        path: &FieldPath,
    ) -> Option<Duration> {
        text.map(|_| self.nonzero_duration(text, path, Duration::MAX))
    }

    /// A duration that must not be zero, because zero would reject or time out every request.
    pub(super) fn nonzero_duration(
        &mut self,
        text: Option<&DurationText>,
        path: &FieldPath,
        default: Duration,
    ) -> Duration {
        let duration = self.duration(text, path, default);
        if duration.is_zero() {
            self.problems.add(path, "must be longer than zero");
        }
        duration
    }

    pub(super) fn size(&mut self, text: Option<&SizeText>, path: &FieldPath, default: u64) -> u64 {
        let Some(text) = text else { return default };
        parse_size(&text.0).unwrap_or_else(|| {
            self.problems.add(path, "expected a size: a whole number and B, KiB, MiB or GiB, such as 1MiB");
            default
        })
    }

    pub(super) fn count<N: Default + PartialEq + Copy>(
        &mut self,
        number: Option<N>,
        path: &FieldPath,
        default: N,
    ) -> N {
        if number == Some(N::default()) {
            self.problems.add(path, "must be 1 or more");
        }
        number.unwrap_or(default)
    }

    pub(super) fn address(&mut self, text: Option<&str>, path: &FieldPath) -> Option<SocketAddr> {
        let Some(text) = text else {
            self.missing(path, "an address and a port, such as \"0.0.0.0:8443\"");
            return None;
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problems.add(path, "expected an IP address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"");
        }
        parsed
    }

    /// The contents of the file that is named at `path`.
    pub(super) fn file(&mut self, name: Option<&String>, path: &FieldPath) -> Option<&[u8]> {
        let Some(name) = name else {
            self.missing(path, "the path of a file");
            return None;
        };
        content(self.sources.files.get(name), &mut self.problems, path, &format!("file {name}"))
    }

    pub(super) fn variable(&mut self, name: &str, path: &FieldPath) -> Option<&[u8]> {
        content(self.sources.variables.get(name), &mut self.problems, path, &format!("environment variable {name}"))
    }
}

pub(super) fn content<'s>(
    content: Option<&'s SourceContent>,
    problems: &mut Problems,
    path: &FieldPath,
    what: &str,
) -> Option<&'s [u8]> {
    match content {
        Some(Ok(bytes)) => Some(bytes.as_slice()),
        Some(Err(error)) => {
            problems.add(path, format!("{what}: {error}"));
            None
        }
        None => {
            problems.add(path, format!("{what}: was not read"));
            None
        }
    }
}
