//! `auth` and `timestamp` of a route: the authentication scheme, and trees of schemes (`all_of`, `any_of`).

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;

use super::compiler::Compiler;
use super::issuer::IssuerKeys;
use crate::auth::certificate_rule::{CertificateRule, parse_fingerprint};
use crate::auth::claims::Pointer;
use crate::auth::client_certificate::San;
use crate::auth::locator::Locator;
use crate::auth::time::{TimestampRule, TimestampUnit};
use crate::auth::{Policy, Rules};
use crate::config::error::FieldPath;
use crate::config::file::{AuthFile, AuthScheme, AuthWord, ClientCertificateFile, RouteFile, TimestampFile, UnitFile};

/// Maximum number of schemes in one `all_of` or `any_of`, and of segments of its path.
const MAX_BRANCHES: usize = 16;

const SCHEMES: &str = "one of jwt, preset, signature, static_token, client_certificate, all_of and any_of, or `auth: public` for no \
     authentication";

const HEADER_NAME: &str = "expected a header name";

const POINTER: &str = "expected a name, or a JSON pointer such as /a/b (RFC 6901)";

impl Compiler<'_> {
    pub(super) fn rules(
        &mut self,
        file: &RouteFile,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Rules> {
        let auth = path.child("auth");
        let policy = match &file.auth {
            None => {
                self.missing(&auth, SCHEMES);
                None
            }
            Some(AuthFile::Word(AuthWord::Public)) => Some(Policy::Public),
            Some(AuthFile::Scheme(scheme)) => self.scheme(scheme, issuers, &auth),
        };
        let timestamp = match &file.timestamp {
            None => None,
            Some(timestamp) => Some(self.timestamp(timestamp, policy.as_ref(), &path.child("timestamp"))?),
        };
        let revocation = self.revocation(file.revocation.as_ref(), policy.as_ref(), &path.child("revocation"));
        Some(Rules::new(policy?, revocation, timestamp))
    }

    /// Compiles exactly one scheme; several schemes, and fields of another scheme, are problems.
    fn scheme(
        &mut self,
        file: &AuthScheme,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Policy> {
        if file.preset.is_none() {
            self.only_beside_preset(file, path);
        }
        let written = [
            file.jwt.is_some(),
            file.preset.is_some(),
            file.signature.is_some(),
            file.static_token.is_some(),
            file.client_certificate.is_some(),
            file.all_of.is_some(),
            file.any_of.is_some(),
        ];
        match written.iter().filter(|written| **written).count() {
            0 => {
                self.problems.add_follow_up(path, format!("missing; expected {SCHEMES}"));
                return None;
            }
            1 => {}
            _several => {
                self.problems
                    .add(path, format!("has more than one scheme; keep one, or combine them under all_of: {SCHEMES}"));
                return None;
            }
        }
        if let Some(jwt) = &file.jwt {
            return self.jwt(jwt, issuers, &path.child("jwt")).map(|policy| Policy::Jwt(Box::new(policy)));
        }
        if let Some(preset) = &file.preset {
            return self.preset(preset, file, path);
        }
        if let Some(signature) = &file.signature {
            return self
                .signature(signature, &path.child("signature"))
                .map(|policy| Policy::Signature(Box::new(policy)));
        }
        if let Some(token) = &file.static_token {
            return self.static_token(token, &path.child("static_token")).map(|policy| Policy::Token(Box::new(policy)));
        }
        if let Some(certificate) = &file.client_certificate {
            self.asks_for_certificates(path);
            let rule = self.client_certificate(certificate, &path.child("client_certificate"));
            return Some(Policy::ClientCertificate(Box::new(rule)));
        }
        let all = self.branches(file.all_of.as_deref(), issuers, &path.child("all_of")).map(Policy::AllOf);
        all.or_else(|| self.branches(file.any_of.as_deref(), issuers, &path.child("any_of")).map(Policy::AnyOf))
    }

    pub(super) fn asks_for_certificates(&mut self, path: &FieldPath) {
        if !self.asks_clients {
            self.problems.add(path, "no listener requests client certificates; set client_ca under tls of a listener");
        }
    }

    fn client_certificate(&mut self, file: &ClientCertificateFile, path: &FieldPath) -> CertificateRule {
        let mut rule = CertificateRule::default();
        for (index, name) in file.san.iter().flatten().enumerate() {
            match San::parse(name) {
                Ok(name) => rule.sans.push(name),
                Err(error) => self.problems.add(&path.child("san").index(index), error.to_string()),
            }
        }
        for (index, fingerprint) in file.sha256.iter().flatten().enumerate() {
            match parse_fingerprint(fingerprint) {
                Ok(fingerprint) => rule.sha256.push(fingerprint),
                Err(error) => self.problems.add(&path.child("sha256").index(index), error.to_string()),
            }
        }
        for (name, list) in [("san", &file.san), ("sha256", &file.sha256)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                self.problems.add(
                    &path.child(name),
                    "must not be empty: every certificate would be rejected; set one or remove the key",
                );
            }
        }
        rule
    }

    fn only_beside_preset(&mut self, file: &AuthScheme, path: &FieldPath) {
        let fields = [
            ("secret", file.secret.is_some()),
            ("secrets", file.secrets.is_some()),
            ("public_key", file.public_key.is_some()),
            ("public_keys", file.public_keys.is_some()),
            ("root_ca", file.root_ca.is_some()),
            ("tolerance", file.tolerance.is_some()),
            ("parameters", file.parameters.is_some()),
            ("jwks", file.jwks.is_some()),
            ("challenge", file.challenge.is_some()),
        ];
        for (name, _) in fields.iter().filter(|(_, written)| *written) {
            self.problems.add(&path.child(name), "requires `preset`; other schemes have their own key for it");
        }
    }

    fn branches(
        &mut self,
        files: Option<&[AuthScheme]>,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Vec<Policy>> {
        let files = files?;
        if !(2..=MAX_BRANCHES).contains(&files.len()) || path.segments().len() > MAX_BRANCHES {
            self.problems.add(path, format!("expected 2 to {MAX_BRANCHES} schemes"));
        }
        let branches = files.iter().enumerate().map(|(index, file)| self.scheme(file, issuers, &path.index(index)));
        let branches: Vec<Option<Policy>> = branches.collect();
        branches.into_iter().collect()
    }

    pub(super) fn header_name(&mut self, name: &str, path: &FieldPath) -> Option<HeaderName> {
        let parsed = HeaderName::try_from(name).ok();
        if parsed.is_none() {
            self.problems.add(path, HEADER_NAME);
        }
        parsed
    }

    pub(super) fn pointer(&mut self, name: &str, path: &FieldPath) -> Option<Pointer> {
        let pointer = Pointer::parse(name);
        if pointer.is_none() {
            self.problems.add(path, POINTER);
        }
        pointer
    }

    /// The place under the one of these keys that is written.
    pub(super) fn locator(&mut self, keys: &[(&'static str, Option<&str>)], path: &FieldPath) -> Option<Locator> {
        let (key, text) = self.only_key(keys, path)?;
        self.locator_under(key, text, path)
    }

    /// The one of these keys that is written, with its text.
    pub(super) fn only_key<'f>(
        &mut self,
        keys: &[(&'static str, Option<&'f str>)],
        path: &FieldPath,
    ) -> Option<(&'static str, &'f str)> {
        if let [only] = written(keys).as_slice() {
            return Some(*only);
        }
        let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let (last, others) = names.split_last()?;
        self.missing(path, &format!("exactly one of {} and {last}", others.join(", ")));
        None
    }

    pub(super) fn locator_under(&mut self, key: &str, text: &str, path: &FieldPath) -> Option<Locator> {
        let locator = Locator::parse(key, text);
        if locator.is_none() {
            self.problems.add(&path.child(key), if key == "header" { HEADER_NAME } else { POINTER });
        }
        locator
    }

    fn timestamp(&mut self, file: &TimestampFile, policy: Option<&Policy>, path: &FieldPath) -> Option<TimestampRule> {
        let max_age = self.nonzero_duration(file.max_age.as_ref(), &path.child("max_age"), Duration::from_secs(300));
        let max_future = self.duration(file.max_future.as_ref(), &path.child("max_future"), Duration::from_secs(60));
        let unit = unit(file.unit.unwrap_or_default());
        let source = self.timestamp_source(file, policy, path);
        Some(TimestampRule { source: source?, unit, max_age, max_future })
    }

    fn timestamp_source(&mut self, file: &TimestampFile, policy: Option<&Policy>, path: &FieldPath) -> Option<Locator> {
        let (key, text) = self.only_key(&file.places(), path)?;
        if key == "claim" && policy.is_some_and(|policy| !has_jwt(policy)) {
            self.problems.add(&path.child(key), "without a JWT there are no claims; use header or json");
        }
        let source = self.locator_under(key, text, path)?;
        if policy.is_some_and(|policy| !covers(policy, &source)) && file.signed != Some(false) {
            let what = "`signed: false`: no signature covers this timestamp, so that an attacker can change it";
            self.problems.add_follow_up(&path.child("signed"), format!("set {what}"));
        }
        Some(source)
    }
}

/// Whether the sender's signature covers this timestamp.
fn covers(policy: &Policy, source: &Locator) -> bool {
    matches!(source, Locator::Claim(_))
        || (source.is_in_body() && policy.binds_body())
        || source.header().is_some_and(|name| signs_header(policy, name))
}

/// The keys that are written, with their texts.
pub(super) fn written<'f>(keys: &[(&'static str, Option<&'f str>)]) -> Vec<(&'static str, &'f str)> {
    keys.iter().filter_map(|(key, text)| Some((*key, (*text)?))).collect()
}

/// Whether a signature covers this header in every alternative by which a request is accepted.
fn signs_header(policy: &Policy, name: &HeaderName) -> bool {
    match policy {
        Policy::Signature(signature) => signature.signs_header(name),
        Policy::AllOf(policies) => policies.iter().any(|policy| signs_header(policy, name)),
        Policy::AnyOf(policies) => policies.iter().all(|policy| signs_header(policy, name)),
        Policy::Jwt(_) | Policy::Detached(_) | Policy::ClientCertificate(_) | Policy::Token(_) | Policy::Public => {
            false
        }
    }
}

/// Whether a JWT is among the policies.
pub(super) fn has_jwt(policy: &Policy) -> bool {
    policy.leaves().iter().any(|leaf| matches!(leaf, Policy::Jwt(_)))
}

pub(super) const fn unit(file: UnitFile) -> TimestampUnit {
    match file {
        UnitFile::S => TimestampUnit::Seconds,
        UnitFile::Ms => TimestampUnit::Milliseconds,
        UnitFile::Us => TimestampUnit::Microseconds,
        UnitFile::Rfc3339 => TimestampUnit::Rfc3339,
    }
}
