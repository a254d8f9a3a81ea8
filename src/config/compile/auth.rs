//! `auth` and `timestamp` of a route: the authentication scheme, and trees of schemes (`all_of`, `any_of`).

use super::compiler::{Compiler, RouteScope};
use crate::auth::certificate_rule::CertificateRule;
use crate::auth::locator::Locator;
use crate::auth::time::TimestampRule;
use crate::auth::{Policy, Rules};
use crate::config::file::{AuthScheme, AuthWord, AuthYaml, ClientCertificateYaml, PlaceKey, RouteYaml, TimestampYaml};
use crate::config::reader::{Field, List, Location, Section};
use http::HeaderName;

/// Maximum number of schemes in one `all_of` or `any_of`.
const MAX_BRANCHES: usize = 16;

/// Maximum nesting of `all_of` and `any_of`.
const MAX_NESTING: usize = 6;

const SCHEMES: &str = "one of jwt, preset, signature, static_token, client_certificate, all_of and any_of, or `auth: public` for no \
     authentication";

const HEADER_NAME: &str = "expected a header name";

const POINTER: &str = "expected a name, or a JSON pointer such as /a/b (RFC 6901)";

impl Compiler<'_> {
    pub(super) fn rules(&mut self, file: &RouteYaml, scope: &mut RouteScope<'_>) -> Option<Rules> {
        let policy = match self.required(&file.auth, SCHEMES) {
            None => None,
            Some(AuthYaml::Word(AuthWord::Public)) => Some(Policy::Public),
            Some(AuthYaml::Scheme(scheme)) => self.scheme(scheme, 0, file.auth.at, scope),
        };
        let timestamp = match file.timestamp.is_written() {
            false => None,
            true => Some(self.timestamp(&file.timestamp, policy.as_ref())?),
        };
        let revocation = self.revocation(&file.revocation, policy.as_ref());
        Some(Rules::new(policy?, revocation, timestamp))
    }

    /// Compiles exactly one scheme; several schemes, and fields of another scheme, are problems.
    fn scheme(
        &mut self,
        file: &AuthScheme,
        nesting: usize,
        at: Location,
        scope: &mut RouteScope<'_>,
    ) -> Option<Policy> {
        if !file.preset.is_written() {
            self.only_beside_preset(file);
        }
        let written = [
            file.jwt.is_written(),
            file.preset.is_written(),
            file.signature.is_written(),
            file.static_token.is_written(),
            file.client_certificate.is_written(),
            file.all_of.is_written,
            file.any_of.is_written,
        ];
        match written {
            [true, false, false, false, false, false, false] => {
                Some(Policy::Jwt(Box::new(self.jwt(file.jwt.value()?, scope)?)))
            }
            [false, true, false, false, false, false, false] => self.preset(file, scope),
            [false, false, true, false, false, false, false] => {
                Some(Policy::Signature(Box::new(self.signature(&file.signature, scope)?)))
            }
            [false, false, false, true, false, false, false] => {
                Some(Policy::Token(Box::new(self.static_token(&file.static_token, scope)?)))
            }
            [false, false, false, false, true, false, false] => {
                let certificate = file.client_certificate.value()?;
                self.asks_for_certificates(at);
                Some(Policy::ClientCertificate(Box::new(self.client_certificate(certificate))))
            }
            [false, false, false, false, false, true, false] => {
                self.branches(&file.all_of, nesting, scope).map(Policy::AllOf)
            }
            [false, false, false, false, false, false, true] => {
                self.branches(&file.any_of, nesting, scope).map(Policy::AnyOf)
            }
            [false, false, false, false, false, false, false] => {
                self.problems.add_follow_up(at, format!("missing; expected {SCHEMES}"));
                None
            }
            _several => {
                let problem = format!("has more than one scheme; keep one, or combine them under all_of: {SCHEMES}");
                self.problems.add(at, problem);
                None
            }
        }
    }

    pub(super) fn asks_for_certificates(&mut self, at: Location) {
        if !self.file.requests_client_certificates() {
            self.problems.add(at, "no listener requests client certificates; set client_ca under tls of a listener");
        }
    }

    fn client_certificate(&mut self, file: &ClientCertificateYaml) -> CertificateRule {
        let problem = "must not be empty: every certificate would be rejected; set one or remove the key";
        self.not_empty(&file.san, problem);
        self.not_empty(&file.sha256, problem);
        CertificateRule {
            sans: file.san.iter().map(|name| (**name).clone()).collect(),
            sha256: file.sha256.iter().map(|fingerprint| fingerprint.0).collect(),
        }
    }

    fn only_beside_preset(&mut self, file: &AuthScheme) {
        let fields = [
            (file.secret.is_written(), file.secret.at),
            (file.secrets.is_written, file.secrets.at),
            (file.public_key.is_written(), file.public_key.at),
            (file.public_keys.is_written, file.public_keys.at),
            (file.root_ca.is_written(), file.root_ca.at),
            (file.tolerance.is_written(), file.tolerance.at),
            (file.parameters.is_written, file.parameters.at),
            (file.jwks.is_written(), file.jwks.at),
            (file.challenge.is_written(), file.challenge.at),
        ];
        for (_, at) in fields.into_iter().filter(|(is_written, _)| *is_written) {
            self.problems.add_unless_known(at, "requires `preset`; other schemes have their own key for it");
        }
    }

    fn branches(
        &mut self,
        files: &Section<List<Section<AuthScheme>>>,
        nesting: usize,
        scope: &mut RouteScope<'_>,
    ) -> Option<Vec<Policy>> {
        if !(2..=MAX_BRANCHES).contains(&files.len()) || nesting > MAX_NESTING {
            self.problems.add_follow_up(files.at, format!("expected 2 to {MAX_BRANCHES} schemes"));
        }
        let branches = files.iter().map(|file| self.scheme(file, nesting + 1, file.at, scope));
        let branches: Vec<Option<Policy>> = branches.collect();
        branches.into_iter().collect()
    }

    pub(super) fn header_name(&mut self, name: &str, at: Location) -> Option<HeaderName> {
        let parsed = HeaderName::try_from(name).ok();
        if parsed.is_none() {
            self.problems.add(at, HEADER_NAME);
        }
        parsed
    }

    /// The place under the one of these keys that is written.
    pub(super) fn locator(&mut self, keys: &[PlaceKey<'_>], at: Location) -> Option<Locator> {
        let key = self.only_key(keys, at)?;
        self.locator_under(key)
    }

    /// The one of these keys that is written.
    pub(super) fn only_key<'f>(&mut self, keys: &[PlaceKey<'f>], at: Location) -> Option<WrittenKey<'f>> {
        if let [only] = written(keys).as_slice() {
            return Some(*only);
        }
        let names: Vec<&str> = keys.iter().map(|key| key.key).collect();
        let (last, others) = names.split_last()?;
        self.not_one(at, &format!("{} and {last}", others.join(", ")), !written(keys).is_empty());
        None
    }

    pub(super) fn locator_under(&mut self, (key, text, at): WrittenKey<'_>) -> Option<Locator> {
        let locator = Locator::parse(key, text);
        if locator.is_none() {
            self.problems.add(at, if key == "header" { HEADER_NAME } else { POINTER });
        }
        locator
    }

    fn timestamp(&mut self, field: &Field<TimestampYaml>, policy: Option<&Policy>) -> Option<TimestampRule> {
        let file = field.value()?;
        let key = self.only_key(&file.places(), field.at)?;
        if key.0 == "claim" && policy.is_some_and(|policy| !has_jwt(policy)) {
            self.problems.add(key.2, "without a JWT there are no claims; use header or json");
        }
        let source = self.locator_under(key)?;
        if policy.is_some_and(|policy| !covers(policy, &source)) && file.signed.get() {
            let problem = "set `signed: false`: no signature covers this timestamp, so that an attacker can change it";
            self.problems.add_follow_up(file.signed.at, problem);
        }
        let (max_age, max_future) = (file.max_age.get(), file.max_future.get());
        Some(TimestampRule { source, unit: file.unit.or_default(), max_age, max_future })
    }
}

/// The name, the text and the place of a key that is written.
pub(super) type WrittenKey<'f> = (&'static str, &'f str, Location);

/// Whether the sender's signature covers this timestamp.
fn covers(policy: &Policy, source: &Locator) -> bool {
    matches!(source, Locator::Claim(_))
        || (source.is_in_body() && policy.binds_body())
        || source.header().is_some_and(|name| signs_header(policy, name))
}

/// The keys that are written.
pub(super) fn written<'f>(keys: &[PlaceKey<'f>]) -> Vec<WrittenKey<'f>> {
    keys.iter().filter_map(|key| Some((key.key, key.text?, key.at))).collect()
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
