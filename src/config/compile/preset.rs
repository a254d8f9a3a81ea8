//! `preset`: a provider's preset file and the operator's settings for it → a policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::compiler::Compiler;
use super::jwt::Origin;
use super::secrets::{KeyMaterial, WrittenKeys};
use super::signature::{Written, algorithm};
use crate::auth::Policy;
use crate::auth::challenge::{ChallengeRule, ExpectedValue, ResponseTemplate};
use crate::auth::claims::{ClaimRule, ClaimTest, Pointer};
use crate::auth::detached::{DetachedPolicy, Payload};
use crate::auth::issuer::Issuer;
use crate::auth::keys::{Algorithm, KeySet, Keys, PinnedRoot};
use crate::auth::locator::Locator;
use crate::auth::secret::{Secret, SecretKey};
use crate::config::error::FieldPath;
use crate::config::file::preset::{ChallengeFile, ChallengeSwitch, DetachedFile, ErrorFormatFile, PresetFile, X5cFile};
use crate::config::file::{AuthScheme, EncodingFile, SecretFile};
use crate::config::presets;
use crate::config::shape::nearest;
use crate::route::ErrorForm;

impl Compiler<'_> {
    pub(super) fn preset(&mut self, name: &str, file: &AuthScheme, path: &FieldPath) -> Option<Policy> {
        let preset = self.filled(name, file, path)?;
        if let Some(size) = preset.largest_body.as_deref() {
            self.route_largest_body = Some((name.to_owned(), size.to_owned(), preset.retries.starts_with("never")));
        }
        if preset.error_format == Some(ErrorFormatFile::Secevent) {
            self.route_errors = ErrorForm::Secevent;
        }
        let secrets = self.preset_secrets(&preset, file, path);
        let policy = self.preset_policy(name, &preset, file, secrets.as_deref(), path);
        let mut policy = policy?;
        let challenges = self.challenges(&preset, file, secrets.as_deref().unwrap_or_default(), path);
        // A MAC over a challenge must not be valid for a body: bodies must be JSON objects then, which challenges are
        // not.
        if let (true, Policy::Signature(signature)) = (challenges.iter().any(|one| one.secret.is_some()), &mut policy) {
            signature.required_json.get_or_insert_default();
        }
        self.route_challenges.extend(challenges);
        Some(policy)
    }

    /// The preset with its parameters filled in.
    fn filled(&mut self, name: &str, file: &AuthScheme, path: &FieldPath) -> Option<PresetFile> {
        let at = path.child("preset");
        let Some((bare, text)) = presets::find(name).zip(presets::text(name)) else {
            let known = presets::PRESETS.keys().copied();
            let meant = nearest(name, known).map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
            self.problems.add(&at, format!("unknown preset{meant} (`hookgate presets` lists them)"));
            return None;
        };
        let mut parameters = BTreeMap::new();
        for (parameter, about) in &bare.parameters {
            let given = file.parameters.as_ref().and_then(|given| given.get(parameter)).or(about.default.as_ref());
            match given.filter(|given| !given.is_empty()) {
                Some(given) => {
                    parameters.insert(parameter.clone(), given.clone());
                }
                // With the operator's own key set, the URL of the provider's is not needed.
                None if file.jwks.is_some() && only_in_jwks(&bare, parameter) => {}
                None => self.missing(&path.child("parameters").child(parameter), &about.what),
            }
        }
        for parameter in file.parameters.iter().flat_map(BTreeMap::keys) {
            if !bare.parameters.contains_key(parameter) {
                let known: Vec<&str> = bare.parameters.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let problem = format!("unknown parameter; this preset has {known}");
                self.problems.add(&path.child("parameters").child(parameter), problem);
            }
        }
        presets::parse(text, &parameters).map_err(|error| self.problems.add(&at, error)).ok()
    }

    /// The secrets or public keys that the preset needs; an empty list if its key set is fetched.
    fn preset_secrets(
        &mut self,
        preset: &PresetFile,
        file: &AuthScheme,
        path: &FieldPath,
    ) -> Option<Vec<(SecretFile, Option<Secret>)>> {
        let needed = needed(preset);
        if file.jwks.is_some() && !takes_jwks(preset) {
            self.problems.add(&path.child("jwks"), "this preset uses no key set; remove it");
        }
        let all = [KeyMaterial::Shared(EncodingFile::Utf8), KeyMaterial::PublicKey, KeyMaterial::RootCa];
        let all = all.map(|material| WrittenKeys::of_scheme(file, material));
        if file.jwks.is_some() && all.iter().any(WrittenKeys::is_written) {
            self.problems.add(&path.child("jwks"), "cannot be combined with a secret or public key; keep one of them");
        }
        let Some((material, what)) = needed else {
            for (_, at) in all.iter().filter(|keys| keys.is_written()).flat_map(|keys| keys.files(path)) {
                self.problems.add(&at, "this preset uses a key set; remove this");
            }
            return Some(Vec::new());
        };
        let keys = WrittenKeys::of_scheme(file, material);
        for wrong in all.iter().filter(|other| other.material.names() != material.names()) {
            self.only_material(wrong, material, path);
        }
        let has_jwks = file.jwks.is_some() || preset.issuer.as_ref().is_some_and(|issuer| issuer.jwks.is_some());
        if !keys.is_written() && has_jwks {
            return Some(Vec::new());
        }
        if !keys.is_written() {
            self.missing(&path.child(material.names().0), &format!("{{env: NAME}} or {{file: path}}: {what}"));
            return None;
        }
        let files = keys.files(path);
        self.unused_ids(preset, &files);
        let scheme = preset.signature.as_ref().and_then(|signature| signature.algorithm).map(algorithm);
        if preset.signature.is_some() || preset.static_token.is_some() || material.shared().is_some() {
            let secrets = self.secrets(&keys, scheme, path)?;
            return Some(
                files.into_iter().map(|(file, _)| (*file).clone()).zip(secrets.into_iter().map(Some)).collect(),
            );
        }
        // Public keys of tokens are read when their key set is built.
        if files.is_empty() || (keys.one.is_some() && keys.several.is_some()) {
            self.problems.add(&path.child("public_keys"), "expected `public_key`, or a list of `public_keys`");
            return None;
        }
        Some(files.into_iter().map(|(file, _)| ((*file).clone(), None)).collect())
    }

    /// Reports key ids that would have no effect, because the signature contains none.
    fn unused_ids(&mut self, preset: &PresetFile, files: &[(&SecretFile, FieldPath)]) {
        if preset.signature.as_ref().is_some_and(|signature| signature.key_id.is_some()) {
            return;
        }
        for (_, path) in files.iter().filter(|(file, _)| file.id.is_some()) {
            self.problems.add(&path.child("id"), "this provider sends no key id; remove it");
        }
    }

    fn preset_policy(
        &mut self,
        name: &str,
        preset: &PresetFile,
        file: &AuthScheme,
        secrets: Option<&[(SecretFile, Option<Secret>)]>,
        path: &FieldPath,
    ) -> Option<Policy> {
        let at = path.child("preset");
        let tolerance = self.tolerance(file.tolerance.as_ref(), path);
        if let Some(signature) = &preset.signature {
            let secrets = Some(made(secrets?));
            let policy = self.signature_policy(signature, Written { name, secrets, tolerance }, &at)?;
            if tolerance.is_some() && policy.time.is_none() {
                self.problems.add(&path.child("tolerance"), "this provider signs no timestamp; remove it");
            }
            return Some(Policy::Signature(Box::new(policy)));
        }
        if let Some(token) = &preset.static_token {
            if tolerance.is_some() {
                self.problems.add(&path.child("tolerance"), "this provider signs no timestamp; remove it");
            }
            return self.token_policy(token, Some(made(secrets?)), &at).map(|policy| Policy::Token(Box::new(policy)));
        }
        let jwt = preset.jwt.as_ref()?;
        let issuer = self.preset_issuer(name, preset, file, secrets?, path);
        let policy = self.jwt_policy(jwt, issuer.map(|issuer| vec![issuer]), Origin::Preset, &at);
        let mut policy = policy?;
        if let Some(tolerance) = tolerance {
            match &mut policy.time_claim {
                Some(time) => time.max_age = tolerance,
                None if policy.max_age.is_some() || policy.required_claims.iter().any(|name| name == "iat") => {
                    policy.max_age = Some(tolerance);
                }
                None => self.problems.add(&path.child("tolerance"), "this provider signs no time of issue; remove it"),
            }
        }
        let Some(detached) = preset.detached else { return Some(Policy::Jwt(Box::new(policy))) };
        let issuer = policy.issuers.pop()?;
        let payload = match detached {
            DetachedFile::Unencoded => Payload::Unencoded,
            DetachedFile::Truelayer => Payload::TrueLayer,
        };
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
        preset: &PresetFile,
        file: &AuthScheme,
        secrets: &[(SecretFile, Option<Secret>)],
        path: &FieldPath,
    ) -> Option<Issuer> {
        let issuer = preset.issuer.as_ref()?;
        let names = issuer.algorithms.as_deref().unwrap_or_default();
        let algorithms: Option<Vec<Algorithm>> = names.iter().map(|name| Algorithm::named(name)).collect();
        let algorithms = algorithms?;
        let keys = match (secrets.first(), &preset.x5c) {
            (Some(_), Some(extensions)) => self.pinned_root(secrets, extensions, &path.child("root_ca")),
            (Some((_, Some(_))), None) => self.shared_keys(secrets, &algorithms, &path.child("secret")),
            (Some((_, None)), None) => self.public_keys(secrets, &algorithms, &path.child("public_key")),
            (None, _) => {
                let Some(jwks) = file.jwks.as_ref().or(issuer.jwks.as_ref()) else {
                    let what = preset.jwks.as_ref().map_or("the key set", |jwks| &*jwks.what);
                    self.missing(&path.child("jwks"), &format!("{{file: path}}: {what}"));
                    return None;
                };
                let at = if file.jwks.is_some() { path.clone() } else { path.child("preset") };
                self.jwks(name, issuer, jwks, &algorithms, &at)
            }
        };
        let iss = issuer.issuer.clone().filter(|iss| iss != "none");
        Some(Issuer { name: name.into(), iss, algorithms, keys: keys?, token_cache: Arc::default() })
    }

    /// A key set with each secret for every HS algorithm that the provider uses.
    fn shared_keys(
        &mut self,
        secrets: &[(SecretFile, Option<Secret>)],
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        let mut set = KeySet::default();
        for secret in secrets.iter().filter_map(|(_, secret)| secret.as_ref()) {
            for algorithm in algorithms.iter().filter(|algorithm| algorithm.mac_length().is_some()) {
                let added = set.add_secret(secret.key.shared().unwrap_or_default(), *algorithm, secret.index);
                added.map_err(|error| self.problems.add(path, error.to_string())).ok()?;
            }
        }
        Some(Keys::Fixed(Arc::new(set)))
    }

    /// Public keys in PEM form.
    fn public_keys(
        &mut self,
        secrets: &[(SecretFile, Option<Secret>)],
        algorithms: &[Algorithm],
        path: &FieldPath,
    ) -> Option<Keys> {
        let mut all = KeySet::default();
        for (file, _) in secrets {
            let bytes = self.public_text(file, path)?;
            let fitting = algorithms.iter().find_map(|algorithm| KeySet::from_pem(&bytes, *algorithm).ok());
            if fitting.is_none() {
                let names: Vec<String> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
                let expected = "expected a public key in PEM form (`BEGIN PUBLIC KEY`; a key set is `jwks`), for";
                self.problems.add(path, format!("{expected} {}", names.join(", ")));
            }
            all.extend(fitting?);
        }
        Some(Keys::Fixed(Arc::new(all)))
    }

    fn pinned_root(
        &mut self,
        secrets: &[(SecretFile, Option<Secret>)],
        extensions: &X5cFile,
        path: &FieldPath,
    ) -> Option<Keys> {
        let [(file, _)] = secrets else {
            self.problems.add(path, "expected one root certificate");
            return None;
        };
        let bytes = self.public_text(file, path)?;
        let der = CertificateDer::from_pem_slice(&bytes).map_or_else(|_| bytes.to_vec(), |der| der.to_vec());
        let root = PinnedRoot::new(der, extensions.leaf.clone(), extensions.intermediate.clone());
        let root = root.map_err(|error| self.problems.add(path, error.to_string())).ok()?;
        Some(Keys::Chain(Arc::new(root)))
    }

    fn challenges(
        &mut self,
        preset: &PresetFile,
        file: &AuthScheme,
        secrets: &[(SecretFile, Option<Secret>)],
        path: &FieldPath,
    ) -> Vec<ChallengeRule> {
        let at = path.child("challenge");
        let token = match &file.challenge {
            None | Some(ChallengeSwitch::Switch(false)) => return Vec::new(),
            Some(ChallengeSwitch::Switch(true)) => None,
            Some(ChallengeSwitch::Token(file)) => self.challenge_token(file.token.as_ref(), &at),
        };
        let known = preset.challenge.as_deref().unwrap_or_default();
        if known.is_empty() {
            self.problems.add(&at, "this provider sends no endpoint verification challenge; remove it");
        }
        let asks_token = known.iter().any(|one| one.query.values().any(|value| value == "$token"));
        match (asks_token, &token) {
            (true, None) => self
                .problems
                .add(&at, "expected { token: {env: NAME} }: the token that was entered in the provider's console"),
            (false, Some(_)) => self.problems.add(&at, "this provider sends no token; set `challenge: true`"),
            (true, Some(_)) | (false, None) => {}
        }
        let signer = made(secrets).into_iter().next().map(|secret| secret.key);
        known.iter().filter_map(|one| challenge(one, token.as_ref(), signer.as_ref())).collect()
    }

    fn challenge_token(&mut self, file: Option<&SecretFile>, path: &FieldPath) -> Option<SecretKey> {
        let Some(file) = file else {
            self.missing(&path.child("token"), "{env: NAME} or {file: path}");
            return None;
        };
        let secret = self.secret_as(file, EncodingFile::Utf8, &path.child("token"))?;
        let key = SecretKey::from_secret(secret);
        key.map_err(|error| self.problems.add(&path.child("token"), error.to_string())).ok()
    }
}

/// The key material that a preset needs, with a description for the operator.
fn needed(preset: &PresetFile) -> Option<(KeyMaterial, &str)> {
    if let Some(secret) = &preset.secret {
        return Some((KeyMaterial::Shared(secret.encoding), &secret.what));
    }
    let public = preset.public_key.as_ref().map(|key| (KeyMaterial::PublicKey, &*key.what));
    public.or_else(|| preset.root_ca.as_ref().map(|ca| (KeyMaterial::RootCa, &*ca.what)))
}

/// Whether a key set may be given: only for tokens that are verified with public keys.
const fn takes_jwks(preset: &PresetFile) -> bool {
    preset.issuer.is_some() && preset.x5c.is_none() && preset.secret.is_none()
}

fn made(secrets: &[(SecretFile, Option<Secret>)]) -> Vec<Secret> {
    secrets.iter().filter_map(|(_, secret)| secret.clone()).collect()
}

/// Whether a parameter occurs in the URL of the key set and nowhere else.
fn only_in_jwks(preset: &PresetFile, parameter: &str) -> bool {
    let name = format!("${{{parameter}}}");
    let jwks = preset.issuer.as_ref().and_then(|issuer| issuer.jwks.as_ref());
    let elsewhere = format!("{:?}{:?}", preset.jwt, preset.issuer.as_ref().map(|issuer| &issuer.issuer));
    jwks.and_then(|jwks| jwks.url.as_ref()).is_some_and(|url| url.contains(&name)) && !elsewhere.contains(&name)
}

/// Never `None` for a built-in preset: a test compiles each of them.
fn challenge(file: &ChallengeFile, token: Option<&SecretKey>, signer: Option<&SecretKey>) -> Option<ChallengeRule> {
    let query = file.query.iter().map(|(name, value)| {
        let expected =
            if value == "$token" { ExpectedValue::Secret(token?.clone()) } else { ExpectedValue::Text(value.clone()) };
        Some((name.clone(), expected))
    });
    let json = file.json.iter().map(|(pointer, value)| {
        Some(ClaimRule { pointer: Pointer::parse(pointer)?, test: ClaimTest::Equals(value.clone()) })
    });
    let challenge = match &file.value_from {
        None => None,
        Some(place) => Some(place.split_once(':').and_then(|(key, text)| Locator::parse(key, text))?),
    };
    let answer = match (&file.literal, &file.response) {
        (_, Some(response)) => ResponseTemplate::Json(response.clone()),
        (text, None) => ResponseTemplate::Text(text.clone().unwrap_or_default()),
    };
    let signs = format!("{:?}{:?}", file.response, file.response_headers).contains("$hmac");
    Some(ChallengeRule {
        method: file.method.parse::<Method>().ok()?,
        signed: file.signed,
        query: query.collect::<Option<_>>()?,
        json: json.collect::<Option<_>>()?,
        headers: fields(&file.headers)?,
        challenge,
        answer,
        answer_headers: fields(&file.response_headers)?,
        secret: if signs { Some(signer?.clone()) } else { None },
    })
}

fn fields(written: &BTreeMap<String, String>) -> Option<Vec<(HeaderName, String)>> {
    written.iter().map(|(name, value)| Some((name.parse().ok()?, value.clone()))).collect()
}
