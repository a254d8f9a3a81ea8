//! `store`: where replay ids, idempotency keys, shared rates and shared revocations are kept.

use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use super::compiler::Compiler;
use crate::config::file::store::{DurabilityYaml, EmbeddedYaml, RedisYaml, StoreYaml};
use crate::config::file::{Count, SecretEncoding, SecretYaml};
use crate::config::reader::{Field, Location};
use crate::settings::{Durability, RedisSettings, StoreBackend, StoreSettings};

/// The longest timeout of one Redis command, for which a request may wait.
const MAX_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum length of the key of hashes.
const MIN_HASH_KEY: usize = 16;

impl Compiler<'_> {
    pub(super) fn store(&mut self, file: &Field<StoreYaml>) -> Option<StoreSettings> {
        let (backend, capacity, on_error) = match file.value()? {
            StoreYaml::Memory(memory) => (StoreBackend::Memory, &memory.capacity, &memory.on_error),
            StoreYaml::Embedded(file) => (self.embedded(file)?, &file.capacity, &file.on_error),
            StoreYaml::Redis(redis) => (self.redis(redis)?, &Count::default(), &redis.on_error),
        };
        Some(StoreSettings { backend, capacity: capacity.get(), on_error: on_error.or_default() })
    }

    fn embedded(&mut self, file: &EmbeddedYaml) -> Option<StoreBackend> {
        let durability = match file.durability.or_default() {
            DurabilityYaml::Sync => Durability::Sync,
            DurabilityYaml::Interval => Durability::Interval(file.interval.get()),
        };
        if durability == Durability::Sync {
            let problem = "requires `durability: interval`; set it too, or remove this key";
            self.unused(&[file.interval.written_at()], problem);
        }
        let name = self.required(&file.path, "the path of the file, which is created if it does not exist")?;
        Some(StoreBackend::Embedded { path: self.sources.resolve(name), durability })
    }

    fn redis(&mut self, file: &RedisYaml) -> Option<StoreBackend> {
        let urls = self.redis_urls(file);
        let ca = match file.tls.value() {
            None => None,
            Some(tls) => Some(self.file(&tls.ca)?.to_vec()),
        };
        let password = file.password.value().and_then(|secret| self.redis_password(secret, file.password.at));
        let hash_key = self.hash_key(&file.hash_key);
        let timeout = file.timeout.get();
        if timeout > MAX_TIMEOUT {
            self.problems.add(file.timeout.at, "must be 2s or less: each request waits for it");
        }
        let prefix = file.prefix.text().unwrap_or("hookgate");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(plain) {
            self.problems.add(file.prefix.at, "expected 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        Some(StoreBackend::Redis(RedisSettings {
            urls: urls?,
            cluster: file.cluster.get(),
            ca,
            username: file.username.value().cloned(),
            password,
            hash_key,
            timeout,
            prefix: prefix.to_owned(),
            on_failover: file.on_failover.or_default(),
        }))
    }

    fn hash_key(&mut self, field: &Field<SecretYaml>) -> Option<Zeroizing<Vec<u8>>> {
        let Some(secret) = field.value() else {
            let warning = "is not set: a client that can read this Redis can find out by trying which ids were used; set a \
                           random secret, the same in all replicas";
            self.warn(field.at, warning);
            return None;
        };
        self.unused_names(secret, "has no effect on this key; remove it");
        let key = self.secret_as(secret, SecretEncoding::Utf8, field.at)?;
        let enough = key.len() >= MIN_HASH_KEY;
        self.check(field.at, enough.then_some(key).ok_or("must have at least 16 bytes: a shorter key can be guessed"))
    }

    fn redis_password(&mut self, secret: &SecretYaml, at: Location) -> Option<Zeroizing<String>> {
        self.unused_names(secret, "has no effect on the password; remove it");
        let bytes = self.secret_as(secret, SecretEncoding::Utf8, at)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8 text");
        self.check(at, text.map(|text| Zeroizing::new(text.to_owned())))
    }

    fn redis_urls(&mut self, file: &RedisYaml) -> Option<Vec<String>> {
        let at = file.url.at;
        let urls = file.url.or_default();
        if urls.is_empty() {
            self.missing(at, "redis://host:6379, or rediss://host:6379 with TLS");
            return None;
        }
        if urls.len() > 1 && !file.cluster.get() {
            self.problems.add(at, "several URLs need `cluster: true`; set it too, or use a single URL");
        }
        for text in &*urls {
            match Url::parse(text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host()) {
                None => self.problems.add(at, "expected redis://host:6379, or rediss://host:6379 with TLS"),
                Some(url) if !url.username().is_empty() || url.password().is_some() => {
                    self.problems.add(at, "contains a user name or a password; set them as `username` and `password`");
                }
                Some(url) if url.query().is_some() || url.fragment().is_some() => {
                    self.problems.add(at, "expected nothing after host, port and database");
                }
                Some(url) if url.scheme() == "redis" && file.tls.is_written() => {
                    self.problems.add(at, "redis:// does not use TLS; use rediss:// or remove `tls`");
                }
                Some(url) => self.warn_of_plain_redis(&url, file),
            }
        }
        Some(urls.to_vec())
    }

    fn warn_of_plain_redis(&mut self, url: &Url, file: &RedisYaml) {
        let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "redis" && file.password.is_written() && !near {
            self.warn(file.url.at, "the password is sent over the network in plain text; use rediss://");
        }
    }
}
