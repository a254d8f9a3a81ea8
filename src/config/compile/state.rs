//! `state`: where ids, keys and shared limits are kept.

use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::Compiler;
use crate::config::error::FieldPath;
use crate::config::file::EncodingFile;
use crate::config::file::state::{DurabilityFile, FailoverFile, OnErrorFile, StateFile, StateKind};
use crate::config::state::{Durability, Failover, OnError, RedisSettings, StateSettings, StoreSettings};

/// Live entries.
const CAPACITY: usize = 1_000_000;

/// What an embedded store may lose.
const INTERVAL: Duration = Duration::from_secs(1);

/// For one answer of a Redis.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The longest that a request may wait for one.
const MAX_TIMEOUT: Duration = Duration::from_secs(2);

impl Compiler<'_> {
    pub(super) fn state(&mut self, file: Option<&StateFile>, path: &FieldPath) -> Option<StateSettings> {
        let file = file?;
        let Some(kind) = file.kind else {
            self.missing(&path.child("kind"), "memory, embedded or redis");
            return None;
        };
        self.stray_fields(file, kind, path);
        let capacity = self.count(file.capacity, &path.child("capacity"), CAPACITY);
        let on_error = match file.on_error.unwrap_or_default() {
            OnErrorFile::Refuse => OnError::Refuse,
            OnErrorFile::Allow => OnError::Allow,
        };
        let store = match kind {
            StateKind::Memory => StoreSettings::Memory,
            StateKind::Embedded => self.embedded(file, path)?,
            StateKind::Redis => self.redis(file, path)?,
        };
        Some(StateSettings { store, capacity, on_error })
    }

    /// A field that means nothing for the kind is a mistake about the kind.
    fn stray_fields(&mut self, file: &StateFile, kind: StateKind, path: &FieldPath) {
        let (memory, embedded, redis) = (StateKind::Memory, StateKind::Embedded, StateKind::Redis);
        let fields: [(&str, bool, &[StateKind]); 12] = [
            ("capacity", file.capacity.is_some(), &[memory, embedded]),
            ("path", file.path.is_some(), &[embedded]),
            ("durability", file.durability.is_some(), &[embedded]),
            ("interval", file.interval.is_some(), &[embedded]),
            ("url", file.url.is_some(), &[redis]),
            ("cluster", file.cluster.is_some(), &[redis]),
            ("tls", file.tls.is_some(), &[redis]),
            ("username", file.username.is_some(), &[redis]),
            ("password", file.password.is_some(), &[redis]),
            ("timeout", file.timeout.is_some(), &[redis]),
            ("prefix", file.prefix.is_some(), &[redis]),
            ("failover", file.failover.is_some(), &[redis]),
        ];
        for (name, _, kinds) in fields.iter().filter(|(_, written, kinds)| *written && !kinds.contains(&kind)) {
            let kinds: Vec<&str> = kinds.iter().map(|kind| word(*kind)).collect();
            self.problems.add(&path.child(name), format!("is for kind {}; remove it", kinds.join(" and ")));
        }
    }

    fn embedded(&mut self, file: &StateFile, path: &FieldPath) -> Option<StoreSettings> {
        let interval = self.deadline(file.interval.as_ref(), &path.child("interval"), INTERVAL);
        let durability = match file.durability.unwrap_or_default() {
            DurabilityFile::Sync if file.interval.is_some() => {
                self.problems.add(&path.child("interval"), "goes with `durability: interval`; remove it");
                Durability::Sync
            }
            DurabilityFile::Sync => Durability::Sync,
            DurabilityFile::Interval => Durability::Interval(interval),
        };
        let Some(name) = &file.path else {
            self.missing(&path.child("path"), "the path of the file, which is made if it is not there");
            return None;
        };
        Some(StoreSettings::Embedded { path: self.sources.resolve(name), durability })
    }

    fn redis(&mut self, file: &StateFile, path: &FieldPath) -> Option<StoreSettings> {
        let urls = self.redis_urls(file, path);
        let ca = match file.tls.as_ref().map(|tls| &tls.ca) {
            None => None,
            Some(name) => Some(self.file(name.as_ref(), &path.child("tls").child("ca"))?.to_vec()),
        };
        let password = match &file.password {
            None => None,
            Some(secret) => self.redis_password(secret, &path.child("password")),
        };
        let timeout = self.deadline(file.timeout.as_ref(), &path.child("timeout"), TIMEOUT);
        if timeout > MAX_TIMEOUT {
            self.problems.add(&path.child("timeout"), "must be 2s or less: each request waits for it");
        }
        let prefix = file.prefix.clone().unwrap_or_else(|| "hookgate".to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(plain) {
            self.problems.add(&path.child("prefix"), "expected 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        let failover = match file.failover.unwrap_or_default() {
            FailoverFile::Refuse => Failover::Refuse,
            FailoverFile::Accept => Failover::Accept,
        };
        let (cluster, username) = (file.cluster == Some(true), file.username.clone());
        Some(StoreSettings::Redis(RedisSettings {
            urls: urls?,
            cluster,
            ca,
            username,
            password,
            timeout,
            prefix,
            failover,
        }))
    }

    fn redis_password(
        &mut self,
        secret: &crate::config::file::SecretFile,
        path: &FieldPath,
    ) -> Option<Zeroizing<String>> {
        let bytes = self.secret_as(secret, EncodingFile::Utf8, path)?;
        let text = std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()));
        if text.is_none() {
            self.problems.add(path, "is not UTF-8 text");
        }
        text
    }

    fn redis_urls(&mut self, file: &StateFile, path: &FieldPath) -> Option<Vec<String>> {
        let at = path.child("url");
        let urls = file.url.as_ref().map(crate::config::file::OneOrMany::to_vec).unwrap_or_default();
        if urls.is_empty() {
            self.missing(&at, "redis://host:6379, or rediss://host:6379 with TLS");
            return None;
        }
        if urls.len() > 1 && file.cluster != Some(true) {
            self.problems.add(&at, "several addresses are for `cluster: true`; name one");
        }
        for text in &urls {
            match Url::parse(text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host()) {
                None => self.problems.add(&at, "expected redis://host:6379, or rediss://host:6379 with TLS"),
                Some(url) if !url.username().is_empty() || url.password().is_some() => {
                    self.problems.add(&at, "holds a name or a password; write them as `username` and `password`");
                }
                Some(url) if url.query().is_some() || url.fragment().is_some() => {
                    self.problems.add(&at, "expected nothing after host, port and database");
                }
                Some(url) if url.scheme() == "redis" && file.tls.is_some() => {
                    self.problems.add(&at, "is without TLS; write rediss:// or remove `tls`");
                }
                Some(url) => self.warn_of_plain_redis(&url, file, &at),
            }
        }
        Some(urls)
    }

    fn warn_of_plain_redis(&mut self, url: &Url, file: &StateFile, path: &FieldPath) {
        let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "redis" && file.password.is_some() && !near {
            self.warnings.push(format!("{path}: the password goes over the network in plain text; use rediss://"));
        }
    }
}

const fn word(kind: StateKind) -> &'static str {
    match kind {
        StateKind::Memory => "memory",
        StateKind::Embedded => "embedded",
        StateKind::Redis => "redis",
    }
}
