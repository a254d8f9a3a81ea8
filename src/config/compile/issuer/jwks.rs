//! `jwks` of an issuer: a key set that is fetched, read from a file, or written inline in the YAML.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::compiler::Compiler;
use crate::auth::keys::{Algorithm, BearerToken, JwksAccess, KeySet, Keys, RemoteKeys, RemoteSource, Unusable};
use crate::config::compiled::NamedServer;
use crate::config::file::{JwksYaml, Parsed, Pin};
use crate::config::reader::{Field, List, Location, Section};
use crate::config::values::discovery_address;
use crate::settings::{is_fetchable, is_https};

/// URL of a remote key set.
struct JwksLocation {
    /// URL of the key set itself, or of the discovery document that names it.
    url: String,
    /// For a discovery document, the issuer that it must name.
    discovery: Option<String>,
}

impl Compiler<'_> {
    /// The keys under `jwks`. `issuer` is the field that a discovery document is found by.
    pub(in crate::config::compile) fn jwks(
        &mut self,
        name: &str,
        issuer: &Field<String>,
        field: &Field<Box<JwksYaml>>,
        algorithms: &[Algorithm],
    ) -> Option<Keys> {
        let file = field.value()?;
        let discovers = file.discovery.get();
        if !file.url.is_written() && !discovers && !file.discovery_url.is_written() {
            let fetching = [
                file.refresh_interval.written_at(),
                file.max_stale.written_at(),
                file.cooldown.written_at(),
                file.ca.written_at(),
                file.pins.written_at(),
                file.cache.written_at(),
                file.proxy.written_at(),
                file.bearer.written_at(),
                file.insecure_http.written_at(),
            ];
            self.unused(&fetching, "is for `url`, `discovery` and `discovery_url` only; remove it");
        }
        let sources = [
            ("url", file.url.is_written()),
            ("discovery", discovers),
            ("discovery_url", file.discovery_url.is_written()),
            ("file", file.file.is_written()),
            ("inline", file.inline.is_written()),
        ];
        let missing = "one of url, discovery, discovery_url, file and inline";
        let several = "has more than one of url, discovery, discovery_url, file and inline; keep one";
        match self.only_one(field.at, &sources, (missing, several))? {
            "url" => {
                let address = self.written_address(&file.url, file)?;
                self.remote(name, address, file, algorithms)
            }
            "discovery" => {
                let address = self.discovered_address(issuer, file)?;
                self.remote(name, address, file, algorithms)
            }
            "discovery_url" => {
                let address = self.written_address(&file.discovery_url, file)?;
                let iss = issuer.text().filter(|iss| !["", "none"].contains(iss))?.to_owned();
                self.remote(name, JwksLocation { discovery: Some(iss), ..address }, file, algorithms)
            }
            "file" => {
                let bytes = self.file(&file.file)?;
                self.key_set(bytes, algorithms, file.file.at)
            }
            _inline => {
                let bytes = serde_json::to_vec(file.inline.value()?).unwrap_or_default();
                self.key_set(&bytes, algorithms, file.inline.at)
            }
        }
    }

    fn key_set(&mut self, bytes: &[u8], algorithms: &[Algorithm], at: Location) -> Option<Keys> {
        if algorithms.is_empty() {
            return None;
        }
        let (set, skipped) = self.check(at, KeySet::from_jwks(bytes, algorithms))?;
        skipped.iter().for_each(|key| self.warn(at, &format!("skipped {key}")));
        if set.is_empty() {
            let why: Vec<String> = skipped.iter().map(ToString::to_string).collect();
            let why = if why.is_empty() { "the set is empty".to_owned() } else { why.join("; ") };
            let allowed: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
            let allowed = if skipped.iter().any(|key| matches!(key.why, Unusable::NotAllowed(_))) {
                format!("; `algorithms` has {}: write that of the key", allowed.join(", "))
            } else {
                String::new()
            };
            self.problems.add(at, format!("contains no usable key: {why}{allowed}"));
        }
        Some(Keys::Fixed(Arc::new(set)))
    }

    fn written_address(&mut self, field: &Field<String>, file: &JwksYaml) -> Option<JwksLocation> {
        let url = Some(field.text()?.to_owned()).filter(|url| is_fetchable(url, file.insecure_http.get()));
        let expected = "expected an https:// URL; http:// only to 127.0.0.1, [::1] or localhost, or with insecure_http to a \
                        host on a private network";
        Some(JwksLocation { url: self.check(field.at, url.ok_or(expected))?, discovery: None })
    }

    /// An `issuer` that is missing, empty or `none` has been reported at its own field.
    fn discovered_address(&mut self, issuer: &Field<String>, file: &JwksYaml) -> Option<JwksLocation> {
        let iss = issuer.text().filter(|iss| !["", "none"].contains(iss))?;
        let needed = "needs an `issuer` that is an https:// URL without a query (http:// only to loopback, or with \
                      insecure_http): the document is fetched from there; for another address set discovery_url";
        let url = discovery_address(iss, file.insecure_http.get());
        let url = self.check(file.discovery.at, url.ok_or(needed))?;
        Some(JwksLocation { url, discovery: Some(iss.to_owned()) })
    }

    /// The bearer token and the proxy, and whether plain http is allowed.
    fn access(&mut self, file: &JwksYaml, url: &str) -> Option<JwksAccess> {
        let insecure_http = file.insecure_http.get();
        if insecure_http && is_https(url) {
            self.problems.add(file.insecure_http.at, "is for an http:// URL only; remove it");
        } else if insecure_http {
            for other in [file.bearer.written_at(), file.proxy.written_at()].into_iter().flatten() {
                self.problems.add(other, "cannot be combined with insecure_http; use https");
            }
            let warning = "any program between the gateway and the issuer can replace the keys and so sign tokens: use \
                           https, with `ca` for a private authority";
            self.warn(file.insecure_http.at, warning);
        }
        let bearer = file.bearer.if_written(|field| {
            let written = std::str::from_utf8(self.file(&field.value()?.file)?).ok().map(str::trim);
            let token = written.filter(|token| !token.is_empty()).and_then(BearerToken::new);
            if !is_https(url) {
                self.problems.add(field.at, "would be sent unencrypted; use https");
            }
            self.check(field.at, token.ok_or("expected a file with one token in visible ASCII"))
        })?;
        let proxy = self.proxy(&file.proxy)?;
        Some(JwksAccess { proxy, bearer, insecure_http })
    }

    fn remote(&mut self, name: &str, address: JwksLocation, file: &JwksYaml, algorithms: &[Algorithm]) -> Option<Keys> {
        let ca = self.optional_file(&file.ca)?;
        if let Some(ca) = ca.as_deref() {
            self.check(file.ca.at, crate::tls::client_config(Some(ca)));
        }
        // A default follows a written `refresh_interval`.
        let (refresh, cooldown, max_stale): (Duration, Duration, Duration) =
            (file.refresh_interval.get(), file.cooldown.get(), file.max_stale.get());
        let cooldown = if file.cooldown.is_written() { cooldown } else { cooldown.min(refresh) };
        let max_stale = if file.max_stale.is_written() { max_stale } else { max_stale.max(refresh) };
        let access = self.access(file, &address.url)?;
        let source = RemoteSource {
            issuer: self.label(name, &address).into(),
            pins: self.pins(&file.pins, &address.url),
            url: address.url,
            discovery: address.discovery,
            ca,
            access,
            cache: self.cache(&file.cache),
            algorithms: algorithms.to_vec(),
            refresh,
            max_stale,
            cooldown,
        };
        if source.cooldown > source.refresh {
            self.problems.add(file.cooldown.at, "must not be longer than refresh_interval");
        }
        if source.max_stale < source.refresh {
            let problem = "must not be shorter than refresh_interval, or there would be no keys between two fetches";
            self.problems.add(file.max_stale.at, problem);
        }
        let shared = self.handles.remote_keys.iter().find(|keys| keys.source == source).cloned();
        let keys = shared.unwrap_or_else(|| self.handle(source));
        if !self.handles.remote_keys.iter().any(|known| Arc::ptr_eq(known, &keys)) {
            self.handles.remote_keys.push(Arc::clone(&keys));
        }
        if let Some(cache) = &keys.source.cache {
            self.sole_cache(cache, &keys, file.cache.at);
        }
        let written = [file.url.written_at(), file.discovery_url.written_at()].into_iter().flatten().next();
        self.server(written.unwrap_or(file.discovery.at), NamedServer::KeySet(Arc::clone(&keys)));
        Some(Keys::Remote(keys))
    }

    /// A label of its own for each URL: routes of several tenants may use the same preset.
    fn label(&self, name: &str, address: &JwksLocation) -> String {
        let others = self.handles.remote_keys.iter().filter(|keys| {
            let label = &*keys.source.issuer;
            let ours = label.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
            ours && keys.source.url != address.url
        });
        match others.count() {
            0 => name.to_owned(),
            count => format!("{name}#{}", count + 1),
        }
    }

    fn pins(&mut self, pins: &Section<List<Parsed<Pin>>>, url: &str) -> Vec<[u8; 32]> {
        if pins.is_written && pins.is_empty() {
            self.problems.add_follow_up(pins.at, "must not be empty; set a pin or remove it");
        } else if pins.is_written && !is_https(url) {
            self.problems.add(pins.at, "plain http has no public key to pin; use https");
        }
        pins.iter().map(|pin| pin.0).collect()
    }

    /// The file in which hookgate stores the key set; it must not be a file that the configuration is read from.
    fn cache(&mut self, field: &Field<String>) -> Option<PathBuf> {
        let (name, sources) = (field.text()?, self.sources);
        let cache = sources.resolve(name);
        let read = sources.files.keys().any(|file| sources.resolve(file) == cache) || sources.path == cache;
        if name.is_empty() || name.ends_with('/') {
            self.problems.add(field.at, "expected the path of a file");
        } else if read {
            let problem = "the configuration is read from this file, which would be overwritten; use another path";
            self.problems.add(field.at, problem);
        }
        Some(cache)
    }

    fn sole_cache(&mut self, cache: &Path, keys: &Arc<RemoteKeys>, at: Location) {
        let others = self.handles.remote_keys.iter().filter(|other| !Arc::ptr_eq(other, keys));
        if others.into_iter().any(|other| other.source.cache.as_deref() == Some(cache)) {
            self.problems.add(at, "another issuer uses this file; use another path");
        }
    }

    /// The handle of a key set. A reload keeps fetched keys, but only if their URL, the trusted certificates and pins,
    /// and the algorithms have not changed.
    fn handle(&self, source: RemoteSource) -> Arc<RemoteKeys> {
        let same = |known: &&Arc<RemoteKeys>| known.source == source;
        let alike = |known: &&Arc<RemoteKeys>| {
            let before = &known.source;
            let trusted = (&before.ca, &before.pins) == (&source.ca, &source.pins);
            let address = (&before.url, &before.discovery) == (&source.url, &source.discovery);
            trusted && address && before.algorithms == source.algorithms
        };
        if let Some(known) = self.known.remote_keys.iter().find(same) {
            return Arc::clone(known);
        }
        match self.known.remote_keys.iter().find(alike) {
            Some(known) => Arc::new(RemoteKeys::adopt(source, known)),
            None => Arc::new(RemoteKeys::new(source)),
        }
    }
}
