//! `challenge` of a preset: the endpoint verification challenges of its provider, if the route answers them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::compiler::Compiler;
use super::preset::PresetKeys;
use crate::auth::Policy;
use crate::auth::challenge::{ChallengeRule, ConfirmationRule, ExpectedValue, QueryValue, ResponseTemplate};
use crate::auth::locator::Locator;
use crate::auth::secret::SecretKey;
use crate::auth::signing_certificate::SigningCertificates;
use crate::config::file::preset::{ChallengeSwitch, ChallengeYaml, ConfirmationYaml, PresetYaml};
use crate::config::file::{AuthScheme, SecretEncoding, SecretYaml};
use crate::config::reader::Field;

impl Compiler<'_> {
    /// The challenges that the route answers, of a preset with this policy.
    pub(super) fn challenges(
        &mut self,
        preset: &PresetYaml,
        file: &AuthScheme,
        keys: &PresetKeys<'_>,
        policy: &Policy,
    ) -> Vec<ChallengeRule> {
        let at = file.challenge.at;
        let token = match file.challenge.value() {
            None | Some(ChallengeSwitch::Switch(false)) => return Vec::new(),
            Some(ChallengeSwitch::Switch(true)) => None,
            Some(ChallengeSwitch::Token(file)) => self.challenge_token(&file.token),
        };
        let known = &preset.challenge;
        if known.is_empty() {
            self.problems.add(at, "this provider sends no endpoint verification challenge; remove it");
        }
        let asks_token = known.iter().any(ChallengeYaml::shows_token);
        if asks_token && token.is_none() {
            let expected = "expected { token: {env: NAME} }: the token that was entered in the provider's console";
            self.problems.add(at, expected);
        } else if !asks_token && token.is_some() {
            self.problems.add(at, "this provider sends no token; set `challenge: true`");
        }
        if keys.tenants.is_some() && known.iter().any(signs) {
            self.problems.add(at, "the response is signed with the secret, and each tenant has its own; remove it");
        }
        let signer = keys.secrets().first().map(|secret| secret.key.clone());
        let named = if let Policy::Signature(signature) = policy { signature.certificate.as_ref() } else { None };
        let certificates = named.map(|named| &named.certificates);
        let rules = known.iter().filter_map(|one| self.challenge(one, token.as_ref(), signer.as_ref(), certificates));
        rules.collect()
    }

    /// Never `None` for a built-in preset: a test compiles each of them.
    fn challenge(
        &mut self,
        file: &ChallengeYaml,
        token: Option<&SecretKey>,
        signer: Option<&SecretKey>,
        certificates: Option<&Arc<SigningCertificates>>,
    ) -> Option<ChallengeRule> {
        let query = file.query.iter().map(|(name, value)| {
            let expected = if value == "$token" {
                ExpectedValue::Secret(token?.clone())
            } else {
                ExpectedValue::Text(value.clone())
            };
            Some((name.clone(), expected))
        });
        let challenge = match &file.value_from {
            None => None,
            Some(place) => Some(locator(place)?),
        };
        let answer = match (&file.literal, &file.response) {
            (_, Some(response)) => ResponseTemplate::Json(response.clone()),
            (text, None) => ResponseTemplate::Text(text.clone().unwrap_or_default()),
        };
        let confirmation = match &file.confirmation {
            // Unsigned, any client could have a URL fetched.
            Some(_) if !file.signed.get() => return None,
            Some(confirmation) => Some(self.confirmation(confirmation, certificates?)?),
            None => None,
        };
        Some(ChallengeRule {
            method: file.method.parse::<Method>().ok()?,
            signed: file.signed.get(),
            query: query.collect::<Option<_>>()?,
            json: self.claim_rules(&file.json),
            headers: fields(&file.headers)?,
            challenge,
            answer,
            answer_headers: fields(&file.response_headers)?,
            secret: if signs(file) { Some(signer?.clone()) } else { None },
            confirmation,
        })
    }

    fn confirmation(
        &mut self,
        file: &ConfirmationYaml,
        certificates: &Arc<SigningCertificates>,
    ) -> Option<Box<ConfirmationRule>> {
        let query = file.query.iter().map(|(name, value)| {
            let expected = locator(value).map_or_else(|| QueryValue::Text(value.clone()), QueryValue::Located);
            (name.clone(), expected)
        });
        Some(Box::new(ConfirmationRule {
            certificates: Arc::clone(certificates),
            url: locator(&file.url_from)?,
            topic: locator(&file.topic_from)?,
            json: self.claim_rules(&file.json),
            query: query.collect(),
        }))
    }

    fn challenge_token(&mut self, field: &Field<SecretYaml>) -> Option<SecretKey> {
        let file = self.required(field, "{env: NAME} or {file: path}")?;
        self.unused_names(file, "has no effect on a challenge's token; remove it");
        let secret = self.secret_as(file, SecretEncoding::Utf8, field.at)?;
        self.check(field.at, SecretKey::from_secret(secret))
    }
}

/// Whether the response to a challenge contains a MAC.
fn signs(file: &ChallengeYaml) -> bool {
    format!("{:?}{:?}", file.response, file.response_headers).contains("$hmac")
}

/// The place that a preset names, as `json:/POINTER`.
fn locator(place: &str) -> Option<Locator> {
    let (key, text) = place.split_once(':')?;
    Locator::parse(key, text)
}

fn fields(written: &BTreeMap<String, String>) -> Option<Vec<(HeaderName, String)>> {
    written.iter().map(|(name, value)| Some((name.parse().ok()?, value.clone()))).collect()
}
