//! `jwks` of an issuer: a key set that is fetched, read from a file, or written into the YAML.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::Compiler;
use crate::auth::keys::{Algorithm, KeySet, Keys, RemoteKeys, RemoteSource};
use crate::config::error::FieldPath;
use crate::config::file::JwksFile;
use crate::config::values::parse_pin;

impl Compiler<'_> {
    pub(super) fn jwks(
        &mut self,
        name: &str,
        file: &JwksFile,
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        let path = path.child("jwks");
        self.not_yet(&path, &[("discovery", &file.discovery), ("cache", &file.cache)]);
        if file.url.is_none() {
            let fetching = [
                ("refresh", file.refresh.is_some()),
                ("max_stale", file.max_stale.is_some()),
                ("cooldown", file.cooldown.is_some()),
                ("ca", file.ca.is_some()),
                ("pins", file.pins.is_some()),
            ];
            for (name, _) in fetching.iter().filter(|(_, written)| *written) {
                self.problems.add(&path.child(name), "is for `url` only; remove it");
            }
        }
        match (&file.url, &file.file, &file.inline) {
            (Some(url), None, None) => self.remote(name, url, file, algorithms, &path),
            (None, Some(jwks), None) => {
                let bytes = self.file(Some(jwks), &path.child("file"))?.to_vec();
                self.key_set(&bytes, algorithms, &path.child("file"))
            }
            (None, None, Some(jwks)) => {
                let bytes = serde_json::to_vec(jwks).unwrap_or_default();
                self.key_set(&bytes, algorithms, &path.child("inline"))
            }
            (None, None, None) => {
                self.missing(&path, "one of url, file and inline");
                None
            }
            _several => {
                self.problems.add(&path, "has more than one of url, file and inline; keep one");
                None
            }
        }
    }

    fn key_set(&mut self, bytes: &[u8], algorithms: &[Algorithm], path: &FieldPath) -> Option<Keys> {
        if algorithms.is_empty() {
            return None;
        }
        match KeySet::from_jwks(bytes, algorithms) {
            Ok((set, skipped)) => {
                self.warnings.extend(skipped.iter().map(|key| format!("{path}: skipped {key}")));
                if set.is_empty() {
                    let why: Vec<String> = skipped.iter().map(ToString::to_string).collect();
                    self.problems.add(path, format!("holds no usable key: {}", why.join("; ")));
                }
                Some(Keys::Fixed(Arc::new(set)))
            }
            Err(error) => {
                self.problems.add(path, error.to_string());
                None
            }
        }
    }

    fn remote(
        &mut self,
        name: &str,
        url: &str,
        file: &JwksFile,
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        if !is_https_or_loopback(url) {
            self.problems
                .add(&path.child("url"), "expected an https:// address; http:// only to 127.0.0.1, [::1] or localhost");
            return None;
        }
        let ca = match &file.ca {
            None => None,
            Some(name) => Some(self.file(Some(name), &path.child("ca"))?.to_vec()),
        };
        if let Some(Err(error)) = ca.as_deref().map(|ca| crate::tls::client_config(Some(ca))) {
            self.problems.add(&path.child("ca"), error.to_string());
        }
        let source = RemoteSource {
            issuer: name.into(),
            url: url.to_owned(),
            ca,
            pins: self.pins(file.pins.as_deref(), url, &path.child("pins")),
            algorithms: algorithms.to_vec(),
            refresh: self.deadline(file.refresh.as_ref(), &path.child("refresh"), Duration::from_secs(600)),
            max_stale: self.deadline(file.max_stale.as_ref(), &path.child("max_stale"), Duration::from_secs(86_400)),
            cooldown: self.deadline(file.cooldown.as_ref(), &path.child("cooldown"), Duration::from_secs(30)),
        };
        if source.cooldown > source.refresh {
            self.problems.add(&path.child("cooldown"), "is longer than refresh; make it shorter");
        }
        if source.max_stale < source.refresh {
            self.problems
                .add(&path.child("max_stale"), "is shorter than refresh, so that there would be no keys in between");
        }
        let keys = self.handle(source);
        self.remote.push(Arc::clone(&keys));
        Some(Keys::Remote(keys))
    }

    fn pins(&mut self, written: Option<&[String]>, url: &str, path: &FieldPath) -> Vec<[u8; 32]> {
        match written {
            None => return Vec::new(),
            Some([]) => self.problems.add(path, "is empty; write a pin or remove it"),
            Some(_) if !is_https(url) => self.problems.add(path, "plain http shows no key to pin; use https"),
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

    /// A reload must not forget fetched keys. They are carried over only if everything that says whose keys
    /// they are and what they may do has stayed.
    fn handle(&self, source: RemoteSource) -> Arc<RemoteKeys> {
        let same = |known: &&Arc<RemoteKeys>| known.source == source;
        let alike = |known: &&Arc<RemoteKeys>| {
            let before = &known.source;
            let trusted = (&before.ca, &before.pins) == (&source.ca, &source.pins);
            trusted && (&before.url, &before.algorithms) == (&source.url, &source.algorithms)
        };
        if let Some(known) = self.known.iter().find(same) {
            return Arc::clone(known);
        }
        match self.known.iter().find(alike) {
            Some(known) => Arc::new(RemoteKeys::adopt(source, known)),
            None => Arc::new(RemoteKeys::new(source)),
        }
    }
}

fn is_https(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "https")
}

fn is_https_or_loopback(url: &str) -> bool {
    // What is fetched is the text as it stands, by a stricter reader.
    let as_it_stands = url.parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_some());
    let Some(url) = url::Url::parse(url).ok().filter(|_| as_it_stands) else { return false };
    let plain = url.username().is_empty() && url.password().is_none();
    let loopback = || match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    plain && url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && loopback()))
}
