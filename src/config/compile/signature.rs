//! `signature` and `static_token`: the schemes that presets and operators can describe.

use std::time::Duration;

use super::auth::unit;
use super::compiler::Compiler;
use super::jwt::{encoding, variants};
use super::secrets::{KeyMaterial, WrittenKeys, material_of};
use crate::auth::claims::ClaimRule;
use crate::auth::encoding::Encoding;
use crate::auth::locator::{Locator, Scheme};
use crate::auth::secret::{Hash, Secret, SignatureAlgorithm};
use crate::auth::signature::{Component, Parse, Presence, SignaturePolicy, SignedTime};
use crate::auth::static_token::StaticTokenPolicy;
use crate::config::error::FieldPath;
use crate::config::file::signature::{
    ParseFile, RequireFile, SignatureAlgorithmFile, SignatureFile, SignedTimeFile, StaticTokenFile,
};
use crate::config::file::{DurationText, EncodingFile, OneOrMany};

/// Maximum number of components of a signed payload.
const MAX_PIECES: usize = 64;

/// Maximum number of secrets without key id: a rotation needs two, and a forged signature is verified with each.
const MAX_TRIED: usize = 10;

const PIECES: &str = "expected a component: literal:…, body, body.sha256.hex, method, url, url.decoded, path, query.sorted, \
                      form.sorted, header:NAME, header?:NAME, part:KEY, headers:KEY, json:/POINTER, json?:/POINTER, \
                      form:FIELD or secret";

/// Settings of a signature that are not in its [`SignatureFile`].
pub(super) struct Written<'a> {
    /// The preset's name, or `signature`, for the log.
    pub(super) name: &'a str,
    /// The secrets; `None` if one of them has a problem.
    pub(super) secrets: Option<Vec<Secret>>,
    /// A maximum age instead of the preset's.
    pub(super) tolerance: Option<Duration>,
}

impl Compiler<'_> {
    pub(super) fn signature(&mut self, file: &SignatureFile, path: &FieldPath) -> Option<SignaturePolicy> {
        let algorithm = self.algorithm(file, path);
        let material = algorithm.map_or(KeyMaterial::Shared(EncodingFile::Utf8), material_of);
        let keys = WrittenKeys::of_signature(file, material);
        self.only_material(&WrittenKeys::of_signature(file, material.other()), material, path);
        let secrets = self.secrets(&keys, algorithm, path);
        if file.key_id.is_none() {
            for (_, at) in keys.files(path).iter().filter(|(file, _)| file.id.is_some()) {
                self.problems.add(&at.child("id"), "the signature has no key id; set key_id, or remove this key");
            }
        }
        self.signature_policy(file, Written { name: "signature", secrets, tolerance: None }, path)
    }

    pub(super) fn signature_policy(
        &mut self,
        file: &SignatureFile,
        written: Written<'_>,
        path: &FieldPath,
    ) -> Option<SignaturePolicy> {
        let algorithm = self.algorithm(file, path);
        let places = self.places(file, path);
        let parse = self.parse(file.parse.as_ref(), &path.child("parse"));
        if file.encoding.is_none() {
            self.missing(&path.child("encoding"), "hex, base64 or base64url");
        }
        let signed_payload = self.components(file, algorithm, path);
        let time = match &file.timestamp {
            None => Some(None),
            Some(time) => {
                self.signed_time(time, written.tolerance, &signed_payload, &path.child("timestamp")).map(Some)
            }
        };
        let key_id = self.key_id(file, written.secrets.as_deref().unwrap_or_default(), path);
        let id = self.event_id(file, &signed_payload, &path.child("id"));
        let (required_headers, required_json) = self.require(file.require.as_ref(), &path.child("require"));
        let required_parts = file.require.as_ref().and_then(|require| require.parts.clone());
        let body_hash = file.body_hash.as_ref().and_then(|hash| hash.query.clone());
        if file.body_hash.is_some() && body_hash.is_none() {
            self.missing(&path.child("body_hash").child("query"), "the name of the query parameter");
        }
        if body_hash.is_some() && !signed_payload.contains(&Component::Url) {
            self.problems
                .add(&path.child("body_hash"), "the URL with the hash is not signed; add url to `signed_payload`");
        }
        Some(SignaturePolicy {
            name: written.name.into(),
            places: places?,
            parse: parse?,
            encoding: file.encoding.map_or(Encoding::Hex, encoding),
            algorithm: algorithm?,
            signed_payload,
            join: file.join.clone().unwrap_or_default(),
            url_variants: variants(file.url_variants.as_deref()),
            time: time?,
            key_id,
            required_headers,
            required_parts: required_parts.into_iter().flatten().collect(),
            required_json,
            body_hash,
            id,
            secrets: written.secrets?,
            replay_id: None,
        })
    }

    fn algorithm(&mut self, file: &SignatureFile, path: &FieldPath) -> Option<SignatureAlgorithm> {
        if file.algorithm.is_none() {
            self.missing(&path.child("algorithm"), "the signature algorithm, such as hmac-sha256");
        }
        file.algorithm.map(algorithm)
    }

    fn places(&mut self, file: &SignatureFile, path: &FieldPath) -> Option<Vec<Locator>> {
        let headers = file.header.as_ref().map(OneOrMany::to_vec);
        if headers.as_ref().is_some_and(Vec::is_empty) {
            self.problems.add(&path.child("header"), "must not be empty; set a header name");
            return Some(Vec::new());
        }
        let first = self.locator(&file.places(), path)?;
        let others = headers.iter().flatten().skip(1).map(|name| self.locator_under("header", name, path));
        std::iter::once(Some(first)).chain(others).collect()
    }

    fn parse(&mut self, file: Option<&ParseFile>, path: &FieldPath) -> Option<Parse> {
        let Some(file) = file else { return Some(Parse::Raw) };
        match (&file.prefix, &file.pairs, &file.list, &file.split) {
            (Some(prefix), None, None, None) => Some(Parse::Prefix(prefix.clone())),
            (None, Some(pairs), None, None) => Some(Parse::Pairs {
                separator: self
                    .text(pairs.separator.as_deref().or(Some(",")), &path.child("pairs").child("separator"))?,
                equals: self.text(pairs.equals.as_deref().or(Some("=")), &path.child("pairs").child("equals"))?,
                key: self.text(pairs.key.as_deref(), &path.child("pairs").child("key"))?,
            }),
            (None, None, Some(list), None) => Some(Parse::List {
                separator: self.text(list.separator.as_deref(), &path.child("list").child("separator"))?,
                prefix: list.prefix.clone().unwrap_or_default(),
            }),
            (None, None, None, Some(split)) => {
                let at = path.child("split");
                if split.index.is_none() {
                    self.missing(&at.child("index"), "the index of the field that is the signature, from 0");
                }
                let separator = self.text(split.separator.as_deref(), &at.child("separator"));
                Some(Parse::Split { separator: separator?, index: split.index?, list: split.list.clone() })
            }
            _none_or_several => {
                self.missing(path, "exactly one of prefix, pairs, list and split");
                None
            }
        }
    }

    /// A text that must not be empty.
    fn text(&mut self, text: Option<&str>, path: &FieldPath) -> Option<String> {
        let text = text.filter(|text| !text.is_empty()).map(str::to_owned);
        if text.is_none() {
            self.missing(path, "a text that is not empty");
        }
        text
    }

    fn components(
        &mut self,
        file: &SignatureFile,
        algorithm: Option<SignatureAlgorithm>,
        path: &FieldPath,
    ) -> Vec<Component> {
        let path = path.child("signed_payload");
        let written = file.signed_payload.as_deref().unwrap_or_default();
        if written.is_empty() || written.len() > MAX_PIECES {
            self.problems
                .add_follow_up(&path, format!("expected 1 to {MAX_PIECES} components, such as [part:t, body]"));
        }
        let mut components = Vec::new();
        for (index, text) in written.iter().enumerate() {
            match Component::parse(text) {
                Some(component) => components.push(component),
                None => self.problems.add_follow_up(&path.index(index), PIECES),
            }
        }
        let holds_secret = components.contains(&Component::Secret);
        match algorithm {
            Some(SignatureAlgorithm::Sha256) if !holds_secret => {
                self.problems
                    .add(&path, "a plain sha256 authenticates the sender only with `secret` as one of the components");
            }
            Some(SignatureAlgorithm::Sha256) | None => {}
            Some(_) if holds_secret => {
                self.problems.add(&path, "`secret` is a component of plain sha256 only; an HMAC uses it as its key");
            }
            Some(_) => {}
        }
        components
    }

    fn signed_time(
        &mut self,
        file: &SignedTimeFile,
        tolerance: Option<Duration>,
        signed_payload: &[Component],
        path: &FieldPath,
    ) -> Option<SignedTime> {
        let source = match self.only_key(&file.places(), path)? {
            ("part", part) => Component::Part(part.to_owned()),
            (key, text) => Component::Located(self.locator_under(key, text, path)?, Presence::Required),
        };
        if !source.is_covered_by(signed_payload) {
            let problem = "is not signed, so that an attacker can change it; add it to `signed_payload`, or, where the \
                           sender does not sign it, write it as the route's `timestamp` with `signed: false`";
            self.problems.add(path, problem);
        }
        let written = self.nonzero_duration(file.max_age.as_ref(), &path.child("max_age"), Duration::from_secs(300));
        let ahead = self.duration(file.max_future.as_ref(), &path.child("max_future"), written);
        // A timestamp in the future means clock skew: a larger tolerance for old requests is no reason to accept more.
        let max_future = tolerance.map_or(ahead, |tolerance| tolerance.min(ahead));
        let max_age = tolerance.unwrap_or(written);
        Some(SignedTime { source, unit: unit(file.unit.unwrap_or_default()), max_age, max_future })
    }

    fn key_id(&mut self, file: &SignatureFile, secrets: &[Secret], path: &FieldPath) -> Option<Component> {
        let Some(written) = file.key_id.as_deref() else {
            if secrets.len() > MAX_TRIED {
                self.problems
                    .add(path, format!("more than {MAX_TRIED} secrets, and each signature would be tried with every one of them; use key_id"));
            }
            return None;
        };
        let component = Component::parse(written);
        if component.is_none() {
            self.problems.add(&path.child("key_id"), PIECES);
        }
        if secrets.iter().any(|secret| secret.id.is_none()) {
            self.problems.add(path, "each secret needs an `id`, by which the signature refers to it");
        }
        component
    }

    /// An id that an attacker can change does not protect against replay (PageSpace#2199).
    fn event_id(&mut self, file: &SignatureFile, signed_payload: &[Component], path: &FieldPath) -> Option<Component> {
        let written = file.id.as_deref()?;
        let component = Component::parse(written);
        match &component {
            None => self.problems.add(path, PIECES),
            Some(component) if !component.is_covered_by(signed_payload) => {
                self.problems
                    .add(path, "is not signed: an attacker who replays the request could change it; remove it");
            }
            Some(_) => {}
        }
        component
    }

    fn require(
        &mut self,
        file: Option<&RequireFile>,
        path: &FieldPath,
    ) -> (Vec<(http::HeaderName, String)>, Option<Vec<ClaimRule>>) {
        let Some(file) = file else { return (Vec::new(), None) };
        let mut headers = Vec::new();
        for (name, value) in file.headers.iter().flatten() {
            if let Some(name) = self.header_name(name, &path.child("headers").child(name)) {
                headers.push((name, value.clone()));
            }
        }
        let json = file.json.as_ref().map(|rules| self.claim_rules(Some(rules), &path.child("json")));
        (headers, json)
    }

    pub(super) fn static_token(&mut self, file: &StaticTokenFile, path: &FieldPath) -> Option<StaticTokenPolicy> {
        let material = KeyMaterial::Shared(EncodingFile::Utf8);
        let keys = WrittenKeys { one: file.secret.as_ref(), several: file.secrets.as_deref(), material };
        let secrets = self.secrets(&keys, None, path);
        self.token_policy(file, secrets, path)
    }

    pub(super) fn token_policy(
        &mut self,
        file: &StaticTokenFile,
        secrets: Option<Vec<Secret>>,
        path: &FieldPath,
    ) -> Option<StaticTokenPolicy> {
        if file.header.is_none() && file.scheme.is_some() {
            self.problems.add(&path.child("scheme"), "is for `header` only; remove it");
        }
        let mut place = self.locator(&file.places(), path)?;
        if let Locator::Header { scheme, .. } = &mut place {
            *scheme = file.scheme.clone().filter(|scheme| scheme != "none").map(Scheme::Word);
        }
        Some(StaticTokenPolicy { place, secrets: secrets? })
    }

    /// `tolerance`: a maximum age instead of the preset's.
    pub(super) fn tolerance(&mut self, text: Option<&DurationText>, path: &FieldPath) -> Option<Duration> {
        self.optional_nonzero_duration(text, &path.child("tolerance"))
    }
}

pub(super) const fn algorithm(file: SignatureAlgorithmFile) -> SignatureAlgorithm {
    match file {
        SignatureAlgorithmFile::HmacSha1 => SignatureAlgorithm::Hmac(Hash::Sha1),
        SignatureAlgorithmFile::HmacSha256 => SignatureAlgorithm::Hmac(Hash::Sha256),
        SignatureAlgorithmFile::HmacSha384 => SignatureAlgorithm::Hmac(Hash::Sha384),
        SignatureAlgorithmFile::HmacSha512 => SignatureAlgorithm::Hmac(Hash::Sha512),
        SignatureAlgorithmFile::Sha256 => SignatureAlgorithm::Sha256,
        SignatureAlgorithmFile::Ed25519 => SignatureAlgorithm::Ed25519,
        SignatureAlgorithmFile::EcdsaP256 => SignatureAlgorithm::EcdsaP256,
        SignatureAlgorithmFile::RsaSha256 => SignatureAlgorithm::RsaSha256,
    }
}
