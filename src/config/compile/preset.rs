//! `preset`: a provider's preset file and the operator's settings for it → a policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::compiler::{Compiler, LargestBody, RouteScope};
use super::jwt::Origin;
use super::secrets::{DERIVED_OF_TENANTS, KeyMaterial, OF_TOKEN, TOKENS_OF_TENANTS, WrittenKeys, derived};
use super::signature::{Written, algorithm_of};
use crate::auth::Policy;
use crate::auth::detached::{DetachedPolicy, Payload};
use crate::auth::issuer::{Issuer, IssuerClaim};
use crate::auth::keys::{Algorithm, KeySet, Keys, PinnedRoot};
use crate::auth::secret::Secret;
use crate::auth::tenants::{Secrets, TenantSecrets};
use crate::config::file::preset::{DetachedYaml, ErrorFormatYaml, EvidenceKind, PresetYaml, RedeliveryYaml, X5cYaml};
use crate::config::file::{AuthScheme, SecretEncoding, SecretYaml};
use crate::config::presets;
use crate::config::reader::{Field, Location, Report, nearest};
use crate::route::ErrorForm;

/// A key of a preset: what the file has, its place, and the secret made of it unless it is a token's public key.
type PresetKey<'f> = (&'f SecretYaml, Location, Option<Secret>);

/// The keys of a preset.
#[derive(Default)]
pub(super) struct PresetKeys<'f> {
    listed: Vec<PresetKey<'f>>,
    /// The secrets of tenants instead.
    pub(super) tenants: Option<Arc<TenantSecrets>>,
}

impl Compiler<'_> {
    pub(super) fn preset(&mut self, file: &AuthScheme, scope: &mut RouteScope<'_>) -> Option<Policy> {
        let written = file.preset.text()?;
        let name = presets::resolve(written).unwrap_or(written);
        let preset = self.filled(name, file)?;
        if preset.evidence() == EvidenceKind::Own {
            let warning = format!(
                "{name} was tested with requests of this project only (evidence: self): compare a genuine request with \
                 `hookgate explain` before you rely on it"
            );
            self.warn(file.preset.at, &warning);
        }
        scope.preset = Some(name.to_owned());
        if let Some(size) = &preset.largest_body {
            let never_retries = preset.redelivery == Some(RedeliveryYaml::Never);
            scope.largest_body = Some(LargestBody { preset: name.to_owned(), size: size.clone(), never_retries });
        }
        if preset.error_format == Some(ErrorFormatYaml::Secevent) {
            scope.errors = ErrorForm::Secevent;
        }
        let keys = self.preset_keys(&preset, file, scope);
        let mut policy = self.preset_policy(name, &preset, file, keys.as_ref())?;
        let challenges = self.challenges(&preset, file, &keys.unwrap_or_default(), &policy);
        // A MAC over a challenge must not be valid for a body: bodies must be JSON objects then, which challenges are
        // not.
        if let (true, Policy::Signature(signature)) = (challenges.iter().any(|one| one.secret.is_some()), &mut policy) {
            signature.required_json.get_or_insert_default();
        }
        scope.challenges.extend(challenges);
        Some(policy)
    }

    /// The preset with its parameters filled in.
    fn filled(&mut self, name: &str, file: &AuthScheme) -> Option<PresetYaml> {
        let Some((bare, text)) = presets::find(name).zip(presets::text(name)) else {
            let meant =
                nearest(name, presets::names()).map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
            self.problems.add(file.preset.at, format!("unknown preset{meant} (`hookgate presets` lists them)"));
            return None;
        };
        let mut parameters = BTreeMap::new();
        for (parameter, about) in &bare.parameters {
            let field = file.parameters.get(parameter);
            let given = field.and_then(Field::value).map_or(about.default.as_slice(), |given| &**given);
            let at = field.map_or(file.preset.at, |field| field.at);
            let given = Some(given).filter(|given| !given.is_empty() && given.iter().all(|text| !text.is_empty()));
            match given {
                Some(given) if given.iter().any(|text| text == "none" || text.contains("${")) => {
                    let problem =
                        "must be the value itself: `none` would switch a check off, and `${` starts a parameter";
                    self.problems.add(at, problem);
                }
                Some([_, _, ..]) if !about.list.get() => self.problems.add(at, "must be one value"),
                Some(given) => {
                    parameters.insert(parameter.clone(), given.to_vec());
                }
                // With the operator's own key set, the URL of the provider's is not needed.
                None if file.jwks.is_written() && only_in_jwks(&bare, parameter) => {}
                None => {
                    let at = field.map(|field| field.at);
                    let at = at.unwrap_or_else(|| self.problems.absent_entry(file.parameters.at, parameter));
                    self.missing(at, &about.what);
                }
            }
        }
        for (parameter, field) in &*file.parameters {
            if !bare.parameters.contains_key(parameter) {
                let known: Vec<&str> = bare.parameters.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                self.problems.add(field.at, format!("unknown parameter; this preset has {known}"));
            }
        }
        let report = Report { problems: std::mem::take(&mut self.problems), ..Report::default() };
        let (preset, report) = presets::fill(text, &parameters, file.preset.at, report);
        self.problems = report.problems;
        Some(preset)
    }

    /// The secrets or public keys that the preset needs; an empty list if its key set is fetched.
    fn preset_keys<'f>(
        &mut self,
        preset: &PresetYaml,
        file: &'f AuthScheme,
        scope: &mut RouteScope<'_>,
    ) -> Option<PresetKeys<'f>> {
        if file.jwks.is_written() && !takes_jwks(preset) {
            self.problems.add(file.jwks.at, "this preset uses no key set; remove it");
        }
        let all = [KeyMaterial::Shared(SecretEncoding::Utf8), KeyMaterial::PublicKey, KeyMaterial::RootCa];
        let all = all.map(|material| WrittenKeys::of_scheme(file, material));
        if file.jwks.is_written() && all.iter().any(WrittenKeys::is_written) {
            self.problems.add(file.jwks.at, "cannot be combined with a secret or public key; keep one of them");
        }
        if !preset.names_certificate() {
            self.unused(&[file.certificate.written_at()], "this preset fetches no certificate; remove it");
        }
        let Some((material, what)) = needed(preset) else {
            for (_, at) in all.iter().flat_map(WrittenKeys::files) {
                let source = if preset.names_certificate() { "a certificate that it fetches" } else { "a key set" };
                self.problems.add(at, format!("this preset uses {source}; remove this"));
            }
            return Some(PresetKeys::default());
        };
        let keys = WrittenKeys::of_scheme(file, material);
        all.iter().for_each(|written| self.only_material(written, &keys));
        if !keys.is_written() && (file.jwks.is_written() || preset.has_jwks()) {
            return Some(PresetKeys::default());
        }
        if !keys.is_written() {
            self.missing(keys.one.at, &format!("{{env: NAME}} or {{file: path}}: {what}"));
            return None;
        }
        let files = keys.files();
        if !preset.signature.value().is_some_and(|signature| signature.key_id.is_written()) {
            self.unused_ids(&files, "this provider sends no key id; remove it, or set `sender`");
        }
        if let (Some(folder), false) =
            (keys.folder(), preset.signature.is_written() || preset.static_token.is_written())
        {
            self.problems.add(folder.at, TOKENS_OF_TENANTS);
            return None;
        }
        if preset.signature.is_written() || preset.static_token.is_written() || material.shared().is_some() {
            let algorithm = preset.signature.value().and_then(|signature| signature.algorithm.value().copied());
            let mut secrets = self.secrets(&keys, algorithm.map(algorithm_of), scope)?;
            if let Some(derivation) = preset.secret.as_ref().and_then(|secret| secret.derive) {
                if let Some(folder) = keys.folder() {
                    self.problems.add(folder.at, DERIVED_OF_TENANTS);
                    return None;
                }
                secrets.iter_mut().for_each(|secret| secret.key = derived(&secret.key, derivation));
            }
            let tenants = secrets.tenants.clone();
            let listed = files.into_iter().zip(secrets.iter());
            let listed = listed.map(|((file, at), secret)| (file, at, Some(secret.clone()))).collect();
            return Some(PresetKeys { listed, tenants });
        }
        // Public keys of tokens are read when their key set is built.
        self.unused_senders(&files, OF_TOKEN);
        if files.is_empty() || keys.are_both_written() {
            let expected = "expected `public_key`, or a list of `public_keys`";
            self.problems.add_follow_up(keys.several.map_or(keys.one.at, |several| several.at), expected);
            return None;
        }
        let listed = files.into_iter().map(|(file, at)| (file, at, None)).collect();
        Some(PresetKeys { listed, tenants: None })
    }

    fn preset_policy(
        &mut self,
        name: &str,
        preset: &PresetYaml,
        file: &AuthScheme,
        keys: Option<&PresetKeys<'_>>,
    ) -> Option<Policy> {
        let at = file.preset.at;
        let tolerance = file.tolerance.duration();
        if let Some(signature) = preset.signature.value() {
            let secrets = Some(keys?.secrets());
            let mut policy = self.signature_policy(
                signature,
                Written { name, secrets, tolerance, access: file.certificate.value() },
                at,
            )?;
            policy.repeats = preset.repeats.is_some();
            if tolerance.is_some() && policy.time.is_none() {
                self.problems.add(file.tolerance.at, "this provider signs no timestamp; remove it");
            }
            return Some(Policy::Signature(Box::new(policy)));
        }
        if let Some(token) = preset.static_token.value() {
            self.unused(&[file.tolerance.written_at()], "this provider signs no timestamp; remove it");
            return self
                .token_policy(token, name, Some(keys?.secrets()), at)
                .map(|policy| Policy::Token(Box::new(policy)));
        }
        let issuer = self.preset_issuer(name, preset, file, &keys?.listed);
        let policy = self.jwt_policy(preset.jwt.value()?, issuer.map(|issuer| vec![issuer]), Origin::Preset);
        let mut policy = policy?;
        if let Some(tolerance) = tolerance {
            match &mut policy.time_claim {
                Some(time) => time.max_age = tolerance,
                None if policy.max_age.is_some() || policy.required_claims.iter().any(|name| name == "iat") => {
                    policy.max_age = Some(tolerance);
                }
                None => self.problems.add(file.tolerance.at, "this provider signs no time of issue; remove it"),
            }
        }
        let payload = match preset.detached {
            None => return Some(Policy::Jwt(Box::new(policy))),
            Some(DetachedYaml::Unencoded) => Payload::Unencoded,
            Some(DetachedYaml::Truelayer) => Payload::TrueLayer,
        };
        let issuer = policy.issuers.pop()?;
        Some(Policy::Detached(Box::new(DetachedPolicy {
            payload,
            token: policy.token,
            issuer,
            time: policy.time_claim,
            replay_id: false,
        })))
    }

    fn preset_issuer(
        &mut self,
        name: &str,
        preset: &PresetYaml,
        file: &AuthScheme,
        keys: &[PresetKey<'_>],
    ) -> Option<Issuer> {
        let issuer = preset.issuer.value()?;
        let algorithms: Vec<Algorithm> = issuer.algorithms.iter().map(|algorithm| **algorithm).collect();
        let jwks = if file.jwks.is_written() { &file.jwks } else { &issuer.jwks };
        let set = match (keys.first(), &preset.x5c) {
            (Some(_), Some(extensions)) => self.pinned_root(keys, extensions, file.root_ca.at),
            (Some((.., Some(_))), None) => self.shared_keys(keys, &algorithms, file.secret.at),
            (Some((.., None)), None) => self.public_keys(keys, &algorithms),
            (None, _) if jwks.is_written() => self.jwks(name, &issuer.issuer, jwks, &algorithms),
            (None, _) => {
                let what = preset.jwks.as_ref().map_or("the key set", |jwks| &*jwks.what);
                self.missing(file.jwks.at, &format!("{{file: path}}: {what}"));
                None
            }
        };
        let iss = issuer.issuer.value().filter(|iss| *iss != "none");
        let iss = iss.cloned().map_or(IssuerClaim::Any, IssuerClaim::Exact);
        Some(Issuer { name: name.into(), preset: true, iss, algorithms, keys: set?, token_cache: Arc::default() })
    }

    /// A key set with each secret for every HS algorithm that the provider uses.
    fn shared_keys(&mut self, keys: &[PresetKey<'_>], algorithms: &[Algorithm], at: Location) -> Option<Keys> {
        let mut set = KeySet::default();
        for secret in keys.iter().filter_map(|(.., secret)| secret.as_ref()) {
            for algorithm in algorithms.iter().filter(|algorithm| algorithm.mac_length().is_some()) {
                let added = set.add_secret(
                    secret.key.shared().unwrap_or_default(),
                    *algorithm,
                    secret.index,
                    secret.sender.as_ref(),
                );
                self.check(at, added)?;
            }
        }
        Some(Keys::Fixed(Arc::new(set)))
    }

    /// Public keys in PEM form.
    fn public_keys(&mut self, keys: &[PresetKey<'_>], algorithms: &[Algorithm]) -> Option<Keys> {
        let mut all = KeySet::default();
        for (file, at, _) in keys {
            let bytes = self.public_text(file, *at)?;
            let fitting = algorithms.iter().find_map(|algorithm| KeySet::from_pem(bytes, *algorithm).ok());
            if fitting.is_none() {
                let names: Vec<String> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
                let expected = "expected a public key in PEM form (`BEGIN PUBLIC KEY`; a key set is `jwks`), for";
                self.problems.add(*at, format!("{expected} {}", names.join(", ")));
            }
            all.extend(fitting?);
        }
        Some(Keys::Fixed(Arc::new(all)))
    }

    fn pinned_root(&mut self, keys: &[PresetKey<'_>], extensions: &X5cYaml, at: Location) -> Option<Keys> {
        let [(file, ..)] = keys else {
            self.problems.add(at, "expected one root certificate");
            return None;
        };
        let bytes = self.public_text(file, at)?;
        let der = CertificateDer::from_pem_slice(bytes).map_or_else(|_| bytes.to_vec(), |der| der.to_vec());
        let root = PinnedRoot::new(der, extensions.leaf.clone(), extensions.intermediate.clone());
        Some(Keys::Chain(Arc::new(self.check(at, root)?)))
    }
}

/// The key material that a preset needs, with a description for the operator.
fn needed(preset: &PresetYaml) -> Option<(KeyMaterial, &str)> {
    if let Some(secret) = &preset.secret {
        return Some((KeyMaterial::Shared(secret.encoding), &secret.what));
    }
    let public = preset.public_key.as_ref().map(|key| (KeyMaterial::PublicKey, &*key.what));
    public.or_else(|| preset.root_ca.as_ref().map(|ca| (KeyMaterial::RootCa, &*ca.what)))
}

/// Whether a key set may be given: only for tokens that are verified with public keys.
const fn takes_jwks(preset: &PresetYaml) -> bool {
    preset.issuer.is_written() && preset.x5c.is_none() && preset.secret.is_none()
}

impl PresetKeys<'_> {
    pub(super) fn secrets(&self) -> Secrets {
        let listed = || self.listed.iter().filter_map(|(.., secret)| secret.clone()).collect();
        self.tenants.clone().map_or_else(listed, Secrets::from)
    }
}

/// Whether a parameter occurs in the URL of the key set and nowhere else.
fn only_in_jwks(preset: &PresetYaml, parameter: &str) -> bool {
    let name = format!("${{{parameter}}}");
    let issuer = preset.issuer.value();
    let url = issuer.and_then(|issuer| issuer.jwks.value()?.url.text());
    let elsewhere = format!("{:?}{:?}", preset.jwt, issuer.map(|issuer| &issuer.issuer));
    url.is_some_and(|url| url.contains(&name)) && !elsewhere.contains(&name)
}
