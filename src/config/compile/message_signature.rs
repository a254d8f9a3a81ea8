//! `http_message_signature`: its keys, and what a signature must cover.

use std::sync::Arc;
use std::time::Duration;

use super::compiler::{Compiler, RouteScope};
use super::secrets::{KeyMaterial, TENANTS_OF_OTHERS, WrittenKeys};
use crate::auth::content_digest::is_digest;
use crate::auth::issuer::{Issuer, IssuerClaim};
use crate::auth::keys::{Algorithm, KeySet, Keys};
use crate::auth::message_signature::{
    ComponentIdentifier, ComponentSource, HeaderForm, MessageSignaturePolicy, SignatureParameter,
};
use crate::auth::secret::Secret;
use crate::config::file::SecretEncoding;
use crate::config::file::message_signature::{MessageAlgorithmYaml, MessageSignatureYaml};
use crate::config::reader::{Field, Location};

/// The name of the scheme, and of its own keys in the log.
const NAME: &str = "http_message_signature";

/// The components that a signature must cover unless gateway.yaml lists others: all that an upstream acts on.
const DEFAULT_COMPONENTS: &[&str] = &["@method", "@target-uri", "content-digest"];

/// Maximum number of components in the list.
const MAX_COMPONENTS: usize = 64;

/// Maximum number of keys without key id: a rotation needs two, and a forged signature is verified with each.
const MAX_TRIED: usize = 10;

/// The largest `leeway`.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

impl Compiler<'_> {
    pub(super) fn message_signature(
        &mut self,
        field: &Field<Box<MessageSignatureYaml>>,
        scope: &mut RouteScope<'_>,
    ) -> Option<MessageSignaturePolicy> {
        let file = field.value()?;
        let issuer = self.signing_issuer(file, scope, field.at);
        let (required, requires_digest) = self.required_components(file);
        let required_parameters = self.required_parameters(file);
        let leeway = file.leeway.get();
        if leeway > MAX_LEEWAY {
            let problem =
                "is more than 5m: old signatures would be accepted for this time; synchronize the clocks instead";
            self.problems.add(file.leeway.at, problem);
        }
        Some(MessageSignaturePolicy {
            name: NAME.into(),
            places: MessageSignaturePolicy::headers_of_signatures(),
            issuer: issuer?,
            label: file.label.value().cloned(),
            tag: file.tag.value().cloned(),
            required,
            requires_digest,
            required_parameters,
            max_age: file.max_age.get(),
            leeway,
            replay_id: None,
        })
    }

    /// The issuer that `issuer` names, or one with the keys of the scheme.
    fn signing_issuer(
        &mut self,
        file: &MessageSignatureYaml,
        scope: &mut RouteScope<'_>,
        at: Location,
    ) -> Option<Issuer> {
        let own = [
            file.algorithm.written_at(),
            file.secret.written_at(),
            file.secrets.written_at(),
            file.public_key.written_at(),
            file.public_keys.written_at(),
        ];
        if file.issuer.is_written() {
            self.unused(&own, "cannot be combined with `issuer`, whose keys verify; keep one of them");
            let chosen = self.chosen_issuer(file.issuer.text()?, file.issuer.at, scope.issuers)?;
            if chosen.iss.is_of_path() {
                self.problems.add(file.issuer.at, "an issuer with {tenant} is for `jwt` only; use another one");
            }
            return Some(chosen);
        }
        if own.iter().all(Option::is_none) {
            self.missing(at, "`issuer`, or `algorithm` with a secret or public key");
            return None;
        }
        let algorithm = self.required(&file.algorithm, "the signature algorithm, such as ed25519")?;
        let algorithm = algorithm_of(*algorithm);
        let shared = WrittenKeys {
            one: &file.secret,
            several: Some(&file.secrets),
            material: KeyMaterial::Shared(SecretEncoding::Utf8),
        };
        let public =
            WrittenKeys { one: &file.public_key, several: Some(&file.public_keys), material: KeyMaterial::PublicKey };
        let is_shared = algorithm.mac_length().is_some();
        let (keys, others) = if is_shared { (&shared, &public) } else { (&public, &shared) };
        self.only_material(others, keys);
        if let Some(folder) = keys.folder() {
            self.problems.add(folder.at, TENANTS_OF_OTHERS);
            return None;
        }
        let secrets = self.secrets(keys, None, scope)?;
        self.check_key_ids_of_messages(&secrets, keys.one.at);
        let sets = secrets.iter().zip(keys.files()).map(|(secret, (_, at))| self.own_key(secret, algorithm, at));
        let mut set = KeySet::default();
        sets.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?.into_iter().for_each(|one| set.extend(one));
        Some(Issuer {
            name: NAME.into(),
            preset: true,
            iss: IssuerClaim::Any,
            algorithms: vec![algorithm],
            keys: Keys::Fixed(Arc::new(set)),
            token_cache: Arc::default(),
        })
    }

    fn own_key(&mut self, secret: &Secret, algorithm: Algorithm, at: Location) -> Option<KeySet> {
        let bytes = secret.key.shared().unwrap_or_default();
        let set = if algorithm.mac_length().is_some() {
            let mut set = KeySet::default();
            set.add_secret(bytes, algorithm, secret.index, secret.sender.as_ref()).map(|()| set)
        } else {
            KeySet::from_pem(bytes, algorithm)
        };
        Some(self.check(at, set)?.belonging_to(secret.index, secret.id.as_deref(), secret.sender.as_ref()))
    }

    fn check_key_ids_of_messages(&mut self, secrets: &[Secret], at: Location) {
        let named = secrets.iter().filter(|secret| secret.id.is_some()).count();
        if named == 0 && secrets.len() > MAX_TRIED {
            let problem = "and each signature would be tried with every one of them; set `id`, the `keyid` of each";
            self.problems.add(at, format!("more than {MAX_TRIED} keys, {problem}"));
        } else if named != 0 && named != secrets.len() {
            self.problems.add(at, "either each key needs an `id`, the `keyid` of its signatures, or none");
        }
    }

    /// The components that must be covered, and whether a digest of the body must be.
    fn required_components(&mut self, file: &MessageSignatureYaml) -> (Vec<ComponentIdentifier>, bool) {
        let written = &file.required_components;
        let problem = "must not be empty: a signature that covers nothing is valid for every request";
        self.not_empty(written, problem);
        if written.len() > MAX_COMPONENTS {
            self.problems.add(written.at, format!("expected 1 to {MAX_COMPONENTS} components"));
        }
        let all: Vec<ComponentIdentifier> = match written.written() {
            Some(written) => written.iter().map(|component| (**component).clone()).collect(),
            None => DEFAULT_COMPONENTS.iter().filter_map(|text| ComponentIdentifier::parse(text).ok()).collect(),
        };
        let is_of_body = |component: &ComponentIdentifier| {
            matches!(component.source(), ComponentSource::Header(name, form)
                if is_digest(name) && !matches!(form, HeaderForm::Member(_)))
        };
        let (digests, required): (Vec<_>, Vec<_>) = all.into_iter().partition(is_of_body);
        (required, !digests.is_empty())
    }

    fn required_parameters(&mut self, file: &MessageSignatureYaml) -> Vec<SignatureParameter> {
        let written = &file.required_parameters;
        let Some(parameters) = written.written() else { return vec![SignatureParameter::Created] };
        let parameters: Vec<_> = parameters.iter().filter_map(|parameter| parameter.value().copied()).collect();
        let bounded = [SignatureParameter::Created, SignatureParameter::Expires];
        if !bounded.iter().any(|parameter| parameters.contains(parameter)) {
            let problem = "needs `created` or `expires`: without a time, a copied request stays valid forever";
            self.problems.add_follow_up(written.at, problem);
        }
        parameters
    }
}

const fn algorithm_of(file: MessageAlgorithmYaml) -> Algorithm {
    match file {
        MessageAlgorithmYaml::RsaPssSha512 => Algorithm::PS512,
        MessageAlgorithmYaml::RsaV15Sha256 => Algorithm::RS256,
        MessageAlgorithmYaml::HmacSha256 => Algorithm::HS256,
        MessageAlgorithmYaml::EcdsaP256Sha256 => Algorithm::ES256,
        MessageAlgorithmYaml::EcdsaP384Sha384 => Algorithm::ES384,
        MessageAlgorithmYaml::Ed25519 => Algorithm::EdDSA,
    }
}
