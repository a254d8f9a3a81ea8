//! `jwks` of an issuer: a key set that is fetched, read from a file, or written inline in the YAML.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::compiler::Compiler;
use crate::auth::keys::{Algorithm, KeySet, Keys, RemoteKeys, RemoteSource};
use crate::config::error::FieldPath;
use crate::config::file::{IssuerFile, JwksFile};
use crate::config::values::{discovery_address, parse_pin};
use crate::settings::{is_https, is_https_or_loopback};

/// Default time between two fetches.
const REFRESH: Duration = Duration::from_secs(600);

/// URL of a remote key set.
struct JwksLocation {
    /// URL of the key set itself, or of the discovery document that names it.
    url: String,
    /// For a discovery document, the issuer that it must name.
    discovery: Option<String>,
}

impl Compiler<'_> {
    pub(in crate::config::compile) fn jwks(
        &mut self,
        name: &str,
        issuer: &IssuerFile,
        file: &JwksFile,
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        let path = path.child("jwks");
        let discovers = file.discovery == Some(true);
        if file.url.is_none() && !discovers {
            let fetching = [
                ("refresh_interval", file.refresh_interval.is_some()),
                ("max_stale", file.max_stale.is_some()),
                ("cooldown", file.cooldown.is_some()),
                ("ca", file.ca.is_some()),
                ("pins", file.pins.is_some()),
                ("cache", file.cache.is_some()),
            ];
            for (name, _) in fetching.iter().filter(|(_, written)| *written) {
                self.problems.add(&path.child(name), "is for `url` and `discovery` only; remove it");
            }
        }
        match (&file.url, discovers, &file.file, &file.inline) {
            (Some(url), false, None, None) => {
                let address = self.written_address(url, &path.child("url"))?;
                self.remote(name, address, file, algorithms, &path)
            }
            (None, true, None, None) => {
                let address = self.discovered_address(issuer, &path.child("discovery"))?;
                self.remote(name, address, file, algorithms, &path)
            }
            (None, false, Some(jwks), None) => {
                let bytes = self.file(Some(jwks), &path.child("file"))?.to_vec();
                self.key_set(&bytes, algorithms, &path.child("file"))
            }
            (None, false, None, Some(jwks)) => {
                let bytes = serde_json::to_vec(jwks).unwrap_or_default();
                self.key_set(&bytes, algorithms, &path.child("inline"))
            }
            (None, false, None, None) => {
                self.missing(&path, "one of url, discovery, file and inline");
                None
            }
            _several => {
                self.problems.add(&path, "has more than one of url, discovery, file and inline; keep one");
                None
            }
        }
    }

    pub(in crate::config::compile) fn key_set(
        &mut self,
        bytes: &[u8],
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        if algorithms.is_empty() {
            return None;
        }
        match KeySet::from_jwks(bytes, algorithms) {
            Ok((set, skipped)) => {
                self.warnings.extend(skipped.iter().map(|key| format!("{path}: skipped {key}")));
                if set.is_empty() {
                    let why: Vec<String> = skipped.iter().map(ToString::to_string).collect();
                    self.problems.add(path, format!("contains no usable key: {}", why.join("; ")));
                }
                Some(Keys::Fixed(Arc::new(set)))
            }
            Err(error) => {
                self.problems.add(path, error.to_string());
                None
            }
        }
    }

    fn written_address(&mut self, url: &str, path: &FieldPath) -> Option<JwksLocation> {
        if !is_https_or_loopback(url) {
            self.problems.add(path, "expected an https:// URL; http:// only to 127.0.0.1, [::1] or localhost");
            return None;
        }
        Some(JwksLocation { url: url.to_owned(), discovery: None })
    }

    /// An `issuer` that is missing, empty or `none` has been reported at its own field.
    fn discovered_address(&mut self, issuer: &IssuerFile, path: &FieldPath) -> Option<JwksLocation> {
        let iss = issuer.issuer.as_deref().filter(|iss| !["", "none"].contains(iss))?;
        let url = discovery_address(iss);
        if url.is_none() {
            let needs = "needs an `issuer` that is an https:// URL without a query (http:// only to loopback)";
            self.problems.add(path, format!("{needs}: the document is fetched from there"));
        }
        Some(JwksLocation { url: url?, discovery: Some(iss.to_owned()) })
    }

    fn remote(
        &mut self,
        name: &str,
        address: JwksLocation,
        file: &JwksFile,
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        let ca = match &file.ca {
            None => None,
            Some(name) => Some(self.file(Some(name), &path.child("ca"))?.to_vec()),
        };
        if let Some(Err(error)) = ca.as_deref().map(|ca| crate::tls::client_config(Some(ca))) {
            self.problems.add(&path.child("ca"), error.to_string());
        }
        let source = RemoteSource {
            issuer: self.label(name, &address).into(),
            pins: self.pins(file.pins.as_deref(), &address.url, &path.child("pins")),
            url: address.url,
            discovery: address.discovery,
            ca,
            cache: self.cache(file.cache.as_deref(), &path.child("cache")),
            algorithms: algorithms.to_vec(),
            refresh: self.nonzero_duration(file.refresh_interval.as_ref(), &path.child("refresh_interval"), REFRESH),
            max_stale: self.nonzero_duration(
                file.max_stale.as_ref(),
                &path.child("max_stale"),
                Duration::from_secs(86_400),
            ),
            cooldown: self.nonzero_duration(file.cooldown.as_ref(), &path.child("cooldown"), Duration::from_secs(30)),
        };
        if source.cooldown > source.refresh {
            self.problems.add(&path.child("cooldown"), "must not be longer than refresh_interval");
        }
        if source.max_stale < source.refresh {
            self.problems.add(
                &path.child("max_stale"),
                "must not be shorter than refresh_interval, or there would be no keys between two fetches",
            );
        }
        let shared = self.handles.remote_keys.iter().find(|keys| keys.source == source).cloned();
        let keys = shared.unwrap_or_else(|| self.handle(source));
        if !self.handles.remote_keys.iter().any(|known| Arc::ptr_eq(known, &keys)) {
            self.handles.remote_keys.push(Arc::clone(&keys));
        }
        if let Some(cache) = &keys.source.cache {
            self.sole_cache(cache, &keys, &path.child("cache"));
        }
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

    fn pins(&mut self, written: Option<&[String]>, url: &str, path: &FieldPath) -> Vec<[u8; 32]> {
        match written {
            None => return Vec::new(),
            Some([]) => self.problems.add(path, "must not be empty; set a pin or remove it"),
            Some(_) if !is_https(url) => self.problems.add(path, "plain http has no public key to pin; use https"),
            Some(_) => {}
        }
        let mut pins = Vec::new();
        for (index, pin) in written.into_iter().flatten().enumerate() {
            match parse_pin(pin) {
                Some(pin) => pins.push(pin),
                None => {
                    let expected = "expected `sha256/` and the base64 of 32 bytes: the hash of a SubjectPublicKeyInfo";
                    self.problems.add(&path.index(index), expected);
                }
            }
        }
        pins
    }

    /// The file in which hookgate stores the key set; it must not be a file that the configuration is read from.
    fn cache(&mut self, name: Option<&str>, path: &FieldPath) -> Option<PathBuf> {
        let (name, sources) = (name?, self.sources);
        let cache = sources.resolve(name);
        let read = sources.files.keys().any(|file| sources.resolve(file) == cache) || sources.path == cache;
        if name.is_empty() || name.ends_with('/') {
            self.problems.add(path, "expected the path of a file");
        } else if read {
            self.problems
                .add(path, "the configuration is read from this file, which would be overwritten; use another path");
        }
        Some(cache)
    }

    fn sole_cache(&mut self, cache: &Path, keys: &Arc<RemoteKeys>, path: &FieldPath) {
        let others = self.handles.remote_keys.iter().filter(|other| !Arc::ptr_eq(other, keys));
        if others.into_iter().any(|other| other.source.cache.as_deref() == Some(cache)) {
            self.problems.add(path, "another issuer uses this file; use another path");
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
