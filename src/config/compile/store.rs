//! `store`: where replay ids, idempotency keys, shared rates and shared revocations are kept.

use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::compiler::Compiler;
use crate::config::error::FieldPath;
use crate::config::file::store::{DurabilityFile, RedisFile, StoreFile};
use crate::config::file::{DurationText, EncodingFile, OneOrMany, SecretFile};
use crate::settings::{Durability, RedisSettings, StoreBackend, StoreSettings};

/// Maximum number of live entries.
const CAPACITY: usize = 1_000_000;

/// Time between two writes of an embedded store.
const INTERVAL: Duration = Duration::from_secs(1);

/// Timeout of one Redis command.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The longest timeout of one Redis command, for which a request may wait.
const MAX_TIMEOUT: Duration = Duration::from_secs(2);

impl Compiler<'_> {
    pub(super) fn store(&mut self, file: Option<&StoreFile>, path: &FieldPath) -> Option<StoreSettings> {
        let (store, capacity, on_error) = match file? {
            StoreFile::Memory { capacity, on_error } => (Some(StoreBackend::Memory), *capacity, *on_error),
            StoreFile::Embedded { capacity, on_error, path: name, durability, interval } => {
                let store = self.embedded(name.as_ref(), durability.unwrap_or_default(), interval.as_ref(), path);
                (store, *capacity, *on_error)
            }
            StoreFile::Redis(redis) => (self.redis(redis, path), None, redis.on_error),
        };
        let capacity = self.count(capacity, &path.child("capacity"), CAPACITY);
        Some(StoreSettings { backend: store?, capacity, on_error: on_error.unwrap_or_default() })
    }

    fn embedded(
        &mut self,
        name: Option<&String>,
        durability: DurabilityFile,
        interval: Option<&DurationText>,
        path: &FieldPath,
    ) -> Option<StoreBackend> {
        let length = self.nonzero_duration(interval, &path.child("interval"), INTERVAL);
        let durability = match durability {
            DurabilityFile::Sync if interval.is_some() => {
                self.problems
                    .add(&path.child("interval"), "requires `durability: interval`; set it too, or remove this key");
                Durability::Sync
            }
            DurabilityFile::Sync => Durability::Sync,
            DurabilityFile::Interval => Durability::Interval(length),
        };
        let Some(name) = name else {
            self.missing(&path.child("path"), "the path of the file, which is created if it does not exist");
            return None;
        };
        Some(StoreBackend::Embedded { path: self.sources.resolve(name), durability })
    }

    fn redis(&mut self, file: &RedisFile, path: &FieldPath) -> Option<StoreBackend> {
        let urls = self.redis_urls(file, path);
        let ca = match file.tls.as_ref().map(|tls| &tls.ca) {
            None => None,
            Some(name) => Some(self.file(name.as_ref(), &path.child("tls").child("ca"))?.to_vec()),
        };
        let password = file.password.as_ref();
        let password = password.and_then(|secret| self.redis_password(secret, &path.child("password")));
        let timeout = self.nonzero_duration(file.timeout.as_ref(), &path.child("timeout"), TIMEOUT);
        if timeout > MAX_TIMEOUT {
            self.problems.add(&path.child("timeout"), "must be 2s or less: each request waits for it");
        }
        let prefix = file.prefix.clone().unwrap_or_else(|| "hookgate".to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(plain) {
            self.problems.add(&path.child("prefix"), "expected 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        Some(StoreBackend::Redis(RedisSettings {
            urls: urls?,
            cluster: file.cluster == Some(true),
            ca,
            username: file.username.clone(),
            password,
            timeout,
            prefix,
            on_failover: file.on_failover.unwrap_or_default(),
        }))
    }

    fn redis_password(&mut self, secret: &SecretFile, path: &FieldPath) -> Option<Zeroizing<String>> {
        let bytes = self.secret_as(secret, EncodingFile::Utf8, path)?;
        let text = std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()));
        if text.is_none() {
            self.problems.add(path, "is not UTF-8 text");
        }
        text
    }

    fn redis_urls(&mut self, file: &RedisFile, path: &FieldPath) -> Option<Vec<String>> {
        let at = path.child("url");
        let urls = file.url.as_ref().map(OneOrMany::to_vec).unwrap_or_default();
        if urls.is_empty() {
            self.missing(&at, "redis://host:6379, or rediss://host:6379 with TLS");
            return None;
        }
        if urls.len() > 1 && file.cluster != Some(true) {
            self.problems.add(&at, "several URLs need `cluster: true`; set it too, or use a single URL");
        }
        for text in &urls {
            match Url::parse(text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host()) {
                None => self.problems.add(&at, "expected redis://host:6379, or rediss://host:6379 with TLS"),
                Some(url) if !url.username().is_empty() || url.password().is_some() => {
                    self.problems.add(&at, "contains a user name or a password; set them as `username` and `password`");
                }
                Some(url) if url.query().is_some() || url.fragment().is_some() => {
                    self.problems.add(&at, "expected nothing after host, port and database");
                }
                Some(url) if url.scheme() == "redis" && file.tls.is_some() => {
                    self.problems.add(&at, "redis:// does not use TLS; use rediss:// or remove `tls`");
                }
                Some(url) => self.warn_of_plain_redis(&url, file, &at),
            }
        }
        Some(urls)
    }

    fn warn_of_plain_redis(&mut self, url: &Url, file: &RedisFile, path: &FieldPath) {
        let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "redis" && file.password.is_some() && !near {
            self.warnings.push(format!("{path}: the password is sent over the network in plain text; use rediss://"));
        }
    }
}
