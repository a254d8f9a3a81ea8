//! `auth` and `timestamp` of a route: the authentication scheme, and trees of schemes (`all_of`, `any_of`).

use http::HeaderName;

use super::compiler::{Compiler, RouteScope};
use crate::auth::certificate_rule::CertificateRule;
use crate::auth::locator::Locator;
use crate::auth::signature::{Component, Presence};
use crate::auth::time::TimestampRule;
use crate::auth::{Policy, Rules};
use crate::config::file::{
    AuthScheme, AuthWord, AuthYaml, ClientCertificateYaml, HEADER_NAME, POINTER, PlaceKey, RouteYaml, TimestampYaml,
};
use crate::config::reader::{Field, List, Location, Section};

/// Maximum number of schemes in one `all_of` or `any_of`.
const MAX_BRANCHES: usize = 16;

/// Maximum nesting of `all_of` and `any_of`.
const MAX_NESTING: usize = 6;

const SCHEMES: &str = "one of jwt, preset, signature, http_message_signature, static_token, client_certificate, all_of and any_of, \
     or `auth: public` for no authentication";

impl Compiler<'_> {
    pub(super) fn rules(&mut self, file: &RouteYaml, scope: &mut RouteScope<'_>) -> Option<Rules> {
        let policy = self.required(&file.auth, SCHEMES).and_then(|auth| match auth {
            AuthYaml::Word(AuthWord::Public) => Some(Policy::Public),
            AuthYaml::Scheme(scheme) => self.scheme(scheme, 0, file.auth.at, scope),
        });
        let timestamp = file.timestamp.if_written(|field| self.timestamp(field, policy.as_ref()))?;
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
        let schemes = [
            ("jwt", file.jwt.is_written()),
            ("preset", file.preset.is_written()),
            ("signature", file.signature.is_written()),
            ("http_message_signature", file.http_message_signature.is_written()),
            ("static_token", file.static_token.is_written()),
            ("client_certificate", file.client_certificate.is_written()),
            ("all_of", file.all_of.is_written),
            ("any_of", file.any_of.is_written),
        ];
        let several = format!("has more than one scheme; keep one, or combine them under all_of: {SCHEMES}");
        match self.only_one(at, &schemes, (SCHEMES, &several))? {
            "jwt" => Some(Policy::Jwt(Box::new(self.jwt(file.jwt.value()?, scope)?))),
            "preset" => self.preset(file, scope),
            "signature" => Some(Policy::Signature(Box::new(self.signature(&file.signature, scope)?))),
            "http_message_signature" => {
                let policy = self.message_signature(&file.http_message_signature, scope)?;
                Some(Policy::MessageSignature(Box::new(policy)))
            }
            "static_token" => Some(Policy::Token(Box::new(self.static_token(&file.static_token, scope)?))),
            "client_certificate" => {
                let certificate = file.client_certificate.value()?;
                self.asks_for_certificates(at);
                Some(Policy::ClientCertificate(Box::new(self.client_certificate(certificate))))
            }
            "all_of" => self.branches(&file.all_of, nesting, scope).map(Policy::AllOf),
            _any_of => {
                let branches = self.branches(&file.any_of, nesting, scope)?;
                self.warn_of_common_places(&branches, file.any_of.at);
                Some(Policy::AnyOf(branches))
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
        let keys = [
            file.secret.written_at(),
            file.secrets.written_at(),
            file.public_key.written_at(),
            file.public_keys.written_at(),
            file.root_ca.written_at(),
            file.tolerance.written_at(),
            file.parameters.written_at(),
            file.jwks.written_at(),
            file.certificate.written_at(),
            file.challenge.written_at(),
        ];
        self.unused(&keys, "requires `preset`; other schemes have their own key for it");
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
        let branches: Vec<_> = files.iter().map(|file| self.scheme(file, nesting + 1, file.at, scope)).collect();
        branches.into_iter().collect()
    }

    /// Warns of alternatives of which one requires a credential in a place in which another one finds its own: such a
    /// credential must satisfy both.
    fn warn_of_common_places(&mut self, branches: &[Policy], at: Location) {
        let is_common = |one: &Policy, other: &Policy| {
            !one.tells_apart(other) && one.places().iter().any(|place| other.places().contains(place))
        };
        for (index, branch) in branches.iter().enumerate() {
            let shares = |other: &Policy| {
                let others = other.leaves();
                branch.leaves().iter().any(|ours| others.iter().any(|theirs| is_common(ours, theirs)))
            };
            let others = branches.iter().enumerate().skip(index + 1);
            for (other, _) in others.filter(|(_, other)| !branch.reads_credential_of(other) && shares(other)) {
                let warning = format!(
                    "[{index}] and [{other}] read a credential from the same place: where it is present, it must satisfy \
                     both, so that they are no alternatives"
                );
                self.warn(at, &warning);
            }
        }
    }

    pub(super) fn header_name(&mut self, name: &str, at: Location) -> Option<HeaderName> {
        self.check(at, HeaderName::try_from(name).map_err(|_| HEADER_NAME))
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
        self.check(at, Locator::parse(key, text).ok_or(if key == "header" { HEADER_NAME } else { POINTER }))
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

/// Whether a signature covers the value there, in every alternative by which a request is accepted.
pub(super) fn covers(policy: &Policy, source: &Locator) -> bool {
    if matches!(source, Locator::Claim(_)) {
        return true;
    }
    let is_in_signed_body = source.is_in_body() && policy.binds_body();
    match policy {
        Policy::Signature(signature) => {
            Component::Located(source.clone(), Presence::Required).is_covered_by(&signature.signed_payload)
        }
        Policy::MessageSignature(signature) => {
            is_in_signed_body || source.header().is_some_and(|name| signature.signs_header(name))
        }
        Policy::AllOf(policies) => policies.iter().any(|policy| covers(policy, source)),
        Policy::AnyOf(policies) => policies.iter().all(|policy| covers(policy, source)),
        Policy::Jwt(_) | Policy::Detached(_) => is_in_signed_body,
        Policy::ClientCertificate(_) | Policy::Token(_) | Policy::Public => false,
    }
}

/// The keys that are written.
pub(super) fn written<'f>(keys: &[PlaceKey<'f>]) -> Vec<WrittenKey<'f>> {
    keys.iter().filter_map(|key| Some((key.key, key.text?, key.at))).collect()
}

/// Whether a JWT is among the policies.
pub(super) fn has_jwt(policy: &Policy) -> bool {
    policy.leaves().iter().any(|leaf| matches!(leaf, Policy::Jwt(_)))
}
